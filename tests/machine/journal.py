"""journal.py system|user: runs inside the machine. Each line says one thing that holds, or does not.

Rule: what is asked for is what a person would look up: journalctl's JSON, and its explanations.
"""

import json
import os
import pathlib
import subprocess
import sys
import traceback

from peer import Peer

PORT = 18789
TOKEN = "tok-journal-0000000000000001"


class Service:
    """loopgated as a unit of the system's manager or of the user's."""

    def __init__(self, kind: str):
        self.flags = ["--user"] if kind == "user" else []
        home = pathlib.Path.home()
        self.config = home / ".openclaw/openclaw.json" if kind == "user" else pathlib.Path("/etc/loopgate/openclaw.json")
        runtime = os.environ.get("XDG_RUNTIME_DIR", "") if kind == "user" else "/run"
        self.socket = f"{runtime}/loopgate/owner.sock"

    def start(self) -> None:
        self.config.parent.mkdir(parents=True, exist_ok=True)
        auth = {"mode": "token", "token": TOKEN}
        self.config.write_text(json.dumps({"gateway": {"mode": "local", "auth": auth}}))
        run("systemctl", *self.flags, "start", "loopgate.socket")

    def journal(self, *more: str) -> str:
        return run("journalctl", *self.flags, "--no-pager", "--all", "-u", "loopgate.service", *more)

    def entries(self) -> list:
        return [json.loads(line) for line in self.journal("-o", "json").splitlines()]

    def show(self, unit: str, name: str) -> str:
        return run("systemctl", *self.flags, "show", "-P", name, unit).strip()


class Checks:
    """Counts what holds."""

    def __init__(self, kind: str):
        self.kind, self.failed = kind, 0

    def check(self, name: str, holds, seen="") -> None:
        self.failed += not holds
        print(f"{'ok  ' if holds else 'FAIL'} journal, {self.kind}: {name}{'' if holds else f': {seen}'}", flush=True)


def main() -> int:
    kind = sys.argv[1]
    service, checks = Service(kind), Checks(kind)
    try:
        service.start()
        talk(service, checks)
        # journald writes them as they come; what is on its way is waited for.
        subprocess.run(["journalctl", "--sync"], check=kind == "system", stderr=subprocess.DEVNULL)
        read(service, checks)
        unit(service, checks)
    except (OSError, subprocess.CalledProcessError, KeyError, ValueError):
        checks.check("the test runs to its end", False, traceback.format_exc())
        print(run("systemctl", *service.flags, "status", "--no-pager", "loopgate.service", check=False))
    return 1 if checks.failed else 0


def talk(service: Service, checks: Checks) -> None:
    """One client of each kind: the owner's, one with few scopes, one with a wrong token."""
    status = run("loopgate", "--socket", service.socket, "status", "--json", check=False)
    checks.check("loopgate status answers through the owner's socket", status.startswith("{"), status)
    peer = Peer(PORT)
    hello = peer.connect(["operator.read"], {"token": TOKEN})
    checks.check("a peer with the token is admitted", hello.get("ok"), hello)
    checks.check("its read is answered", peer.call("node.list", {}).get("ok"))
    denied = peer.call("device.pair.list", {})
    checks.check("its pairing call is denied", "missing scope" in denied.get("error", {}).get("message", ""), denied)
    peer.close()
    stranger = Peer(PORT)
    refused = stranger.connect(["operator.read"], {"token": "tok-journal-wrong"})
    checks.check("a wrong token is refused", not refused.get("ok"), refused)
    stranger.close()


def read(service: Service, checks: Checks) -> None:
    entries, ids = service.entries(), message_ids()
    ours = [entry for entry in entries if entry.get("MESSAGE_ID") in ids.values()]
    uid = str(os.getuid())
    for name, title, must, fields in EXPECTED:
        found = [entry for entry in ours if entry["MESSAGE_ID"] == ids[title] and must.items() <= entry.items()]
        checks.check(f"there is an entry for {name}", found, [entry["MESSAGE"] for entry in ours])
        if found:
            missing = [field for field in fields if not found[0].get(field)]
            checks.check(f"it has its fields: {' '.join(fields)}", not missing, f"missing {missing} in {found[0]}")
            checks.check("it tells the peer's user", found[0].get("PEER_UID") == uid, found[0].get("PEER_UID"))
    undeclared = {key for entry in ours for key in entry if key[0] != "_" and key not in declared()} - COMMON
    checks.check("every field is declared", not undeclared, undeclared)
    checks.check("no entry shows the token", TOKEN not in service.journal("-o", "export"))
    catalog = service.journal("-x", f"MESSAGE_ID={ids['a connection was refused']}")
    checks.check("journalctl -x explains the refusal", subject(ids["a connection was refused"]) in catalog, catalog)


def unit(service: Service, checks: Checks) -> None:
    checks.check("the service is up, and says how it is", service.show("loopgate.service", "StatusText"))
    checks.check("it never had to start again", service.show("loopgate.service", "NRestarts") == "0")
    reload = subprocess.run(["systemctl", *service.flags, "reload", "loopgate.service"], capture_output=True)
    checks.check("it reloads", reload.returncode == 0, reload.stderr)
    peer = Peer(PORT)
    checks.check("and serves", peer.connect(["operator.read"], {"token": TOKEN}).get("ok"))
    run("systemctl", *service.flags, "stop", "loopgate.service")
    result = service.show("loopgate.service", "Result"), service.show("loopgate.service", "ExecMainStatus")
    checks.check("it stops with status 0", result == ("success", "0"), result)
    checks.check("its port stays open", service.show("loopgate.socket", "ActiveState") == "active")


def message_ids() -> dict:
    """The entries' ids by their message, as the daemon itself lists them."""
    rows = [line.split(None, 2) for line in run("loopgated", "--dump=entries").splitlines()]
    return {message: message_id for message_id, _, message in rows if len(message_id) == 32}


def declared() -> set:
    return {line.split()[0] for line in run("loopgated", "--dump=fields").splitlines() if line.strip()}


def subject(message_id: str) -> str:
    """The first words of the catalog's text for an id."""
    text = pathlib.Path("/usr/lib/systemd/catalog/loopgate.catalog").read_text(encoding="utf-8")
    section = text.partition(f"-- {message_id}\n")[2]
    return section.split("Subject: ", 1)[1].split("\n", 1)[0]


def run(*argv: str, check: bool = True) -> str:
    done = subprocess.run(argv, capture_output=True, encoding="utf-8")
    if check and done.returncode != 0:
        raise OSError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout + ("" if check else done.stderr)


PEER = ("CONN_ID", "DOOR", "PEER_UID", "PHASE", "ELAPSED_USEC")
CLIENT = PEER + ("CLIENT_ID", "CLIENT_MODE", "CLIENT_VERSION", "ROLE")
GRANT = CLIENT + ("PROTOCOL", "AUTH_METHOD", "RULE", "SCOPES_GRANTED")
# For what, by which message, with which values, and with which fields besides.
EXPECTED = (
    ("the owner's admission", "a client was admitted", {"DOOR": "owner", "AUTH_METHOD": "peer-uid"},
     GRANT + ("PEER_PID", "SCOPES_REQUESTED")),
    ("the peer's admission", "a client was admitted", {"DOOR": "tcp", "AUTH_METHOD": "token"},
     GRANT + ("SCOPES_REQUESTED",)),
    ("the refusal", "a connection was refused", {"DOOR": "tcp"},
     CLIENT + ("PROTOCOL", "SCOPES_REQUESTED", "RULE", "CLOSE_CODE", "CLOSE_REASON", "REMEDY")),
    ("an allowed call", "a scope decision: allowed", {"METHOD": "node.list", "DECISION": "allow"},
     GRANT + ("SCOPE_REQUIRED",)),
    ("a denied call", "a scope decision: denied", {"METHOD": "device.pair.list", "DECISION": "deny-missing-scope"},
     GRANT + ("SCOPE_REQUIRED", "REQUEST_ID")),
)
# What journald's protocol itself defines.
COMMON = {"MESSAGE", "MESSAGE_ID", "PRIORITY", "SYSLOG_IDENTIFIER", "SYSLOG_FACILITY", "SYSLOG_PID",
          "SYSLOG_TIMESTAMP", "CODE_FILE", "CODE_LINE", "CODE_FUNC", "TARGET"}

if __name__ == "__main__":
    sys.exit(main())
