"""Whether two answers say the same: what a command prints through the gate, and directly.

Rule: a difference is known with its reason or it is a failure. Only what differs between two direct runs as well is
passed over, by the names in PASSING.
"""

import re
from typing import NamedTuple

from report import Unexpected


class Known(NamedTuple):
    """A difference that is meant to be: `command` and `path` are regular expressions that match wholly."""

    command: str
    path: str
    reason: str


def same(command: str, direct, gate) -> str:
    """Raises Unexpected unless every difference is known. Says how many are."""
    found = list(differences(direct, gate))
    strange = [line for path, line in found if not known(command, path)]
    if strange:
        count = f"{len(strange)} differences from the direct answer"
        raise Unexpected(f"{count}, first: {strange[0]}\n" + "\n".join(strange))
    return f"{len(found)} known differences" if found else "the same as directly"


def differences(direct, gate, path: str = ""):
    """(path, what) of everything that is not equal, passing by what no two runs have in common."""
    if passing(path):
        return
    if isinstance(direct, dict) and isinstance(gate, dict):
        for key in sorted(direct.keys() | gate.keys()):
            where = f"{path}.{key}" if path else key
            if key in direct and key in gate:
                yield from differences(direct[key], gate[key], where)
            elif not passing(where):
                yield where, f"{where}: {'missing' if key in direct else 'added'}: {shown((direct | gate)[key])}"
    elif isinstance(direct, list) and isinstance(gate, list) and len(direct) == len(gate):
        for number, pair in enumerate(zip(direct, gate)):
            yield from differences(*pair, f"{path}.{number}")
    elif direct != gate or type(direct) is not type(gate):
        yield path, f"{path}: {shown(direct)} directly, {shown(gate)} through the gate"


def passing(path: str) -> bool:
    return bool(PASSING.search(path))


def known(command: str, path: str) -> bool:
    return any(re.fullmatch(row.command, command) and re.fullmatch(row.path, path) for row in DIFFERENCES)


def shown(value) -> str:
    return repr(value)[:SHOWN_CHARS]


# Times, durations, process ids, the ids of connections and of what the command itself makes, loads, the events that
# the direct run has left, and how many calls are being answered.
PASSING = re.compile(
    r"(^|\.)(ts|mtimeMs|time|cursor|size|pid|connId|bootId|instanceId|latencyMs|lastInputSeconds|snapshotRevision|"
    r"[a-z][A-Za-z]*AtMs|updatedAt|anchorMs|ageMs|age|uptimeMs|elapsedMs|durationMs|connectLatencyMs|eventLoop|hash|"
    r"nextWakeAtMs|presence|configRevision|processMemory|snapshotAt|queuedSystemEvents|rootRequests)(\.|$)")
SHOWN_CHARS = 200

DIFFERENCES = (
    Known("status", r"gateway\.(error|reachable|self)",
          "the gateway of 2026.3.13 denies the command line's probe to read, and that of 2026.9.6 does not say who it is"),
    Known("gateway probe", r"degraded|capability|warnings|targets\.0\.(config|health|self|summary)|"
          r"targets\.0\.(auth\.(capability|scopes)|connect\.(error|rpcOk|scopeLimited))",
          "both gateways deny their own command line's probe to read; the gate lets it, and it is whole"),
    Known("gateway probe", r"targets\.0\.server\.(buildId|version)",
          "the gate says its own version, and has no build id"),
    Known("gateway call system-presence", r"\.0\.(ip|text|version|modelIdentifier)",
          "the gate is present as itself, and says nothing of the machine's addresses"),
    Known("health", r"(agents\.\d+\.)?sessions\.(count|recent)(\..*)?",
          "a runtime keeps its snapshot for a while, so that two askings may be of before and after a turn"),
    Known("devices list|gateway call device.pair.list", r"paired\.connected",
          "the gate says of each device whether it is connected, as 2026.9.6 does, to clients of either version"),
    Known("devices list|gateway call device.pair.list", r"paired\.(approvedVia|lastSeenReason)",
          "2026.9.6 notes how a device was approved and why it was seen last, which the gate's journal tells"),
)
