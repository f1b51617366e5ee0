"""firstuse.py: runs inside the machine, as root. Each line says one thing that holds, or does not.

Rule: what is typed is what the README and the messages say to type, by the user who would type it, after a login of
that user's own.
"""

import json
import pathlib
import pwd
import shlex
import stat
import subprocess
import sys
import traceback

TOKEN = pathlib.Path("/var/lib/loopgate/gateway-token")
LIMIT_SECS = 120


class Said:
    """What a command has said."""

    def __init__(self, done: subprocess.CompletedProcess):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def text(self) -> str:
        return " ".join((self.out + self.err).split())

    def json(self):
        return json.loads(self.out[self.out.index("{"):]) if "{" in self.out else {}

    def has(self, *words: str) -> bool:
        return all(word in self.text for word in words)


class Checks:
    """Counts what holds."""

    def __init__(self):
        self.failed = 0

    def check(self, name: str, holds, said=None) -> None:
        self.failed += not holds
        seen = f": exit {said.code}: {said.out}{said.err}" if isinstance(said, Said) else f": {said}"
        print(f"{'ok  ' if holds else 'FAIL'} first use: {name}{'' if holds else seen}", flush=True)


def root(command: str) -> Said:
    """A root shell, with nothing but a path."""
    env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "HOME": "/root", "LOGNAME": "root",
           "LANG": "C.UTF-8"}
    return Said(subprocess.run(["sh", "-c", command], env=env, cwd="/", stdin=subprocess.DEVNULL, capture_output=True,
                               encoding="utf-8", errors="replace", timeout=LIMIT_SECS))


def login(user: str, command: str) -> Said:
    """A login of its own, so that it has the groups that the user is in now."""
    return root(f"su - {user} -c {shlex.quote('export NO_COLOR=1 LANG=C.UTF-8; ' + command)}")


def main() -> int:
    checks = Checks()
    try:
        for user in ("alice", "ben", "carol"):
            root(f"useradd --create-home --shell /bin/bash {user}")
        installed(checks)
        become_owner(checks)
        stranger(checks)
        one_user(checks)
    except (OSError, subprocess.TimeoutExpired, KeyError, ValueError):
        checks.check("the test runs to its end", False, traceback.format_exc())
    if checks.failed:
        print(root("journalctl --sync; journalctl --no-pager -u 'loopgate*'").out)
    return 1 if checks.failed else 0


def installed(checks: Checks) -> None:
    """What the package does, and the first command."""
    said = root("systemctl enable --now loopgate.socket")
    checks.check("the socket starts", said.code == 0, said)
    said = root("loopgate status")
    checks.check("root asks without a secret", said.code == 0 and said.has("unix:/run/loopgate/owner.sock"), said)
    meta = TOKEN.stat()
    mode = (stat.S_IMODE(meta.st_mode), pwd.getpwuid(meta.st_uid).pw_name)
    checks.check("a token is made, for the service alone", mode == (0o600, "loopgate"), mode)
    root("journalctl --sync")
    said = root("journalctl -o json --no-pager MESSAGE_ID=b89f75b4edd34b22b7a41b7e4c6ef14d")
    entries = [json.loads(line) for line in said.out.splitlines()]
    checks.check("the journal says how it is read", len(entries) == 1 and f"sudo cat {TOKEN}" in entries[0]["REMEDY"],
                 said)
    checks.check("and not what it is", token() not in root("journalctl -o json --all --no-pager").out)
    said = root("journalctl -x --no-pager -u loopgate.service")
    checks.check("the catalog explains it", said.has("Subject: A gateway token was made"))


def become_owner(checks: Checks) -> None:
    said = login("alice", "loopgate status")
    checks.check("a user who is no owner is told how to become one",
                 said.code == 77 and said.has("sudo usermod -aG loopgate $USER",
                                              "sudo systemctl reload loopgate.service"), said)
    root("usermod -aG loopgate alice")
    said = login("alice", "loopgate status")
    checks.check("before the reload the message asks for it",
                 said.code == 77 and said.has("sudo systemctl reload loopgate.service"), said)
    said = root("systemctl reload loopgate.service")
    checks.check("the service reloads", said.code == 0, said)
    said = login("alice", "loopgate status")
    checks.check("a member of the group asks without a secret", said.code == 0 and said.has("owner.sock"), said)
    said = login("alice", f"cat {TOKEN}")
    checks.check("the token itself is root's to give", said.code != 0, said)

    said = login("alice", f"openclaw config set gateway.auth.token {token()}")
    checks.check("openclaw config set takes the token", said.code == 0, said)
    said = login("alice", "openclaw status --json")
    gateway = said.json().get("gateway", {})
    checks.check("openclaw status reaches the gateway", gateway.get("reachable") is True and not gateway.get("error"),
                 said)
    said = login("alice", "openclaw devices list --json")
    checks.check("openclaw devices list is answered", said.code == 0 and len(said.json().get("paired", [])) == 1, said)
    said = login("alice", "openclaw gateway probe --json")
    probe = said.json()
    checks.check("openclaw gateway probe finds nothing wrong",
                 (said.code, probe.get("ok"), probe.get("degraded")) == (0, True, False), said)


def stranger(checks: Checks) -> None:
    """The right token in the hands of another user of the machine opens nothing."""
    uid = pwd.getpwnam("ben").pw_uid
    refused = f"user {uid} may not use this gateway"
    said = login("ben", "openclaw devices list --json")
    checks.check("openclaw of a stranger is refused in words", said.code != 0 and said.has(refused), said)
    login("ben", f"openclaw config set gateway.auth.token {token()}")
    said = login("ben", "openclaw devices list --json")
    checks.check("with the token too", said.code != 0 and said.has(refused), said)
    for option in ("", "--url ws://127.0.0.1:18789 "):
        said = login("ben", f"loopgate {option}health")
        checks.check(f"loopgate {option}says the same, and nothing of secrets",
                     said.code == 77 and said.has(refused) and not said.has("--token"), said)


def one_user(checks: Checks) -> None:
    """A system unit that acts for carol: her settings, a folder of her own, her socket."""
    settings = pathlib.Path("/home/carol/.config/loopgate/loopgate.conf")
    settings.parent.mkdir(parents=True)
    settings.write_text("{ serverVersion: '2026.9.6' }", encoding="ascii")
    root("chown -R carol: /home/carol/.config")
    root("systemctl disable --now loopgate.socket; systemctl stop loopgate.service")
    said = root("systemctl enable --now loopgate@carol.socket")
    checks.check("the socket of one user starts", said.code == 0, said)
    for name, ask in (("carol", lambda: login("carol", "loopgate status")), ("root", lambda: root("loopgate status"))):
        said = ask()
        checks.check(f"{name} asks at that user's socket, by that user's settings",
                     said.code == 0 and said.has("unix:/run/loopgate/carol/owner.sock", "2026.9.6"), said)
    own = pathlib.Path("/var/lib/loopgate-users/carol/gateway-token")
    said = login("carol", f"cat {own}")
    checks.check("the token is that user's own", said.code == 0 and len(said.out) == 44, said)
    said = login("carol", f"loopgate --url ws://127.0.0.1:18789 --token-file {own} health")
    checks.check("and opens the port to that user", said.code == 0, said)
    said = login("alice", "loopgate status")
    checks.check("a member of the group is a stranger here", said.code == 77, said)
    said = root("systemctl --failed --no-legend; journalctl -p err --no-pager -q -u 'loopgate*'")
    checks.check("nothing has failed", not said.out, said)


def token() -> str:
    return TOKEN.read_text(encoding="ascii").strip()


if __name__ == "__main__":
    sys.exit(main())
