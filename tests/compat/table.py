"""The table of commands: what each prints against a healthy gateway that knows its token.

Rule: one row a command; a row holds for every client version unless it names the versions it is
for. Answers are checked where users and scripts look.
"""

import re
from typing import Callable, NamedTuple

import seed
from client import Result
from expect import at, equal, exits, kind, need


class Row(NamedTuple):
    """`check` gets the result of a command that ended with exit 0."""

    name: str
    argv: tuple
    check: Callable[[Result], None]


def call(method: str, check: Callable, params: str = "") -> Row:
    """A row for `gateway call`."""
    extra = ("--params", params) if params else ()
    return Row(f"gateway call {method}", ("gateway", "call", method, "--json", *extra), lambda r: check(r.json()))


def judge(row: Row, result: Result, seeded: bool = False) -> None:
    exits(result, 0)
    row.check(result)
    if seeded and row.name in seed.CHECKS:
        seed.CHECKS[row.name](result.lines() if row.name == "logs" else result.json())


def status(result: Result) -> None:
    answer = result.json()
    equal(answer, "gateway.reachable", True)
    equal(answer, "gateway.error", None)
    kind(answer, "gateway.self.version", str)


def probe(result: Result) -> None:
    answer = result.json()
    equal(answer, "ok", True)
    equal(answer, "degraded", False)
    equal(answer, "warnings", [])
    equal(answer, "primaryTargetId", "localLoopback")
    for field in ("ok", "rpcOk"):
        equal(answer, f"targets.0.connect.{field}", True)
    equal(answer, "targets.0.connect.scopeLimited", False)
    # All four of the probe's calls were answered.
    equal(answer, "targets.0.health.ok", True)
    kind(answer, "targets.0.presence", list)
    kind(answer, "targets.0.self.host", str)
    kind(answer, "targets.0.config.path", str)


def devices(answer) -> None:
    kind(answer, "pending", list)
    kind(answer, "paired", list)
    for device in at(answer, "paired"):
        need(re.fullmatch("[0-9a-f]{64}", at(device, "deviceId")), "deviceId is not 64 hex digits")
        need("operator" in at(device, "roles") or "node" in at(device, "roles"), "a device without a role")
        need("token" not in str(at(device, "tokens.0")).replace("tokens", ""), "a device token is shown")


def health(answer) -> None:
    equal(answer, "ok", True)
    kind(answer, "ts", int)
    kind(answer, "agents", list)
    kind(answer, "channels", dict)
    kind(answer, "sessions.count", int)


def nodes(answer) -> None:
    kind(answer, "ts", int)
    kind(answer, "nodes", list)


def jobs(answer) -> None:
    kind(answer, "jobs", list)
    need(at(answer, "total") == len(at(answer, "jobs")), "total is not the number of jobs")
    equal(answer, "hasMore", False)


def logs(result: Result) -> None:
    lines = result.lines()
    need(lines, "no output")
    equal(lines[0], "type", "meta")
    kind(lines[0], "file", str)
    kind(lines[0], "cursor", int)
    need(all(line["type"] in ("meta", "log", "raw", "notice") for line in lines), "a line of an unknown type")


def summary(answer) -> None:
    kind(answer, "heartbeat.agents", list)
    kind(answer, "sessions.count", int)
    kind(answer, "sessions.recent", list)
    kind(answer, "channelSummary", list)


def presence(answer) -> None:
    own = [entry for entry in answer if entry.get("mode") == "gateway" and entry.get("reason") == "self"]
    need(len(own) == 1, f"{len(own)} entries for the gateway itself, not 1")
    for field in ("host", "version", "text"):
        kind(own[0], field, str)
    kind(own[0], "ts", int)


def config(answer) -> None:
    equal(answer, "exists", True)
    equal(answer, "valid", True)
    kind(answer, "hash", str)
    kind(answer, "path", str)
    equal(answer, "config.gateway.auth.mode", "token")
    need("tok-compat-" not in str(answer), "the answer shows the token")


def models(answer) -> None:
    kind(answer, "models", list)
    for model in at(answer, "models"):
        kind(model, "id", str)
        kind(model, "provider", str)


def history(answer) -> None:
    equal(answer, "sessionKey", "main")
    kind(answer, "messages", list)


def sessions(answer) -> None:
    kind(answer, "ts", int)
    kind(answer, "sessions", list)
    need(at(answer, "count") == len(at(answer, "sessions")), "count is not the number of sessions")
    kind(answer, "defaults", dict)


def channels(answer) -> None:
    kind(answer, "ts", int)
    kind(answer, "channelOrder", list)
    kind(answer, "channels", dict)
    kind(answer, "channelAccounts", dict)


def parsed(check: Callable) -> Callable:
    return lambda result: check(result.json())


ROWS = (
    Row("status", ("status", "--json"), status),
    Row("gateway probe", ("gateway", "probe", "--json"), probe),
    Row("devices list", ("devices", "list", "--json"), parsed(devices)),
    Row("health", ("health", "--json"), parsed(health)),
    Row("nodes status", ("nodes", "status", "--json"), parsed(nodes)),
    Row("cron list", ("cron", "list", "--json"), parsed(jobs)),
    Row("logs", ("logs", "--limit", "20", "--json"), logs),
    call("status", summary),
    call("system-presence", presence),
    call("config.get", config),
    call("node.list", nodes),
    call("device.pair.list", devices),
    call("models.list", models),
    call("chat.history", history, '{"sessionKey":"main"}'),
    call("sessions.list", sessions),
    call("channels.status", channels),
)
