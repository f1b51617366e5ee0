"""The booted machine as its administrator sees it: shells inside, units, packages.

Rule: a command is what a person would type; what it printed is part of every complaint.
"""

import os
import pathlib
import re
import subprocess
import threading
import time

from expect import need
from report import Unexpected


class Shell:
    """A shell inside the machine, of root or of another user in their manager. One for all commands, so that a command
    costs no start of a unit."""

    def __init__(self, user: str = ""):
        who = [f"--user={user}"] if user else []
        self._child = subprocess.Popen([os.environ["BENCH_ENTER"], *who, "--", "bash"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, encoding="utf-8", errors="replace")
        self._lock = threading.Lock()

    def run(self, command: str) -> tuple:
        """Its exit status and what it printed, errors among it. It has no input."""
        with self._lock:
            self._child.stdin.write(SCRIPT % command)
            self._child.stdin.flush()
            lines = []
            for line in self._child.stdout:
                if line.startswith(MARK):
                    return int(line.removeprefix(MARK)), "".join(lines).rstrip("\n")
                lines.append(line)
        raise Unexpected(f"the machine is gone during: {command}\n{''.join(lines)}")

    def ok(self, command: str) -> str:
        """The same for one that must end with status 0."""
        status, text = self.run(command)
        need(status == 0, f"{command}: exit {status}\n{text}")
        return text

    def close(self) -> None:
        self._child.stdin.close()
        self._child.wait(timeout=10)


class Box:
    """The machine under test."""

    def __init__(self):
        self.root = Shell()
        self._users = {}
        self.files = pathlib.Path(os.environ["BENCH_ROOT"])
        # What the installers have printed.
        self.said = ""

    def user(self, name: str = "tester") -> Shell:
        """A shell in the manager of an ordinary user. The first makes the manager, and lingers."""
        if name not in self._users:
            self._users[name] = Shell(name)
        return self._users[name]

    def close(self) -> None:
        for shell in (*self._users.values(), self.root):
            shell.close()

    # -- packages --

    def apt(self, words: str) -> str:
        return self._install(f"DEBIAN_FRONTEND=noninteractive apt-get -y -qq -o Dpkg::Use-Pty=0 {words}")

    def dpkg(self, words: str) -> str:
        return self._install(f"dpkg {words}")

    def _install(self, command: str) -> str:
        status, self.said = self.root.run(command)
        need(status == 0, f"{command}: exit {status}\n{self.said}")
        return self.said

    def purge(self) -> None:
        """All of it, without a complaint."""
        complaints = [line for line in self.apt("purge loopgate").splitlines()
                      if re.search("error|warning|fail|not empty", line, re.I) and not re.search(KNOWN, line)]
        need(not complaints, f"{complaints}\n{self.said}")

    def version(self) -> str:
        return self.root.run("dpkg-query -W -f='${Version}' loopgate")[1]

    # -- units --

    def show(self, unit: str, name: str, shell: Shell | None = None) -> str:
        shell = shell or self.root
        return shell.ok(f"systemctl {'' if shell is self.root else '--user '}show -P {name} {unit}").strip()

    def state(self, unit: str) -> tuple:
        """Active, and enabled."""
        return self.root.run(f"systemctl is-active {unit}")[1], self.root.run(f"systemctl is-enabled {unit}")[1]

    def settled(self) -> None:
        """What must hold after every step. Raises Unexpected."""
        for shell, flag in [(self.root, ""), *((shell, "--user ") for shell in self._users.values())]:
            failed = shell.ok(f"systemctl {flag}--failed --no-legend --plain")
            need(not failed.strip(), f"failed units\n{failed}\n{self.journal()}")
        audit = self.root.ok("dpkg --audit")
        need(not audit.strip(), f"dpkg --audit is not silent\n{audit}")

    def journal(self) -> str:
        return self.root.run("journalctl --sync; journalctl --no-pager -n 30 -o short-precise")[1]

    def processes(self) -> list:
        """The loopgated that run, as (pid, user, program)."""
        text = self.root.ok("for p in /proc/[0-9]*; do [ \"$(cat $p/comm 2>/dev/null)\" != loopgated ] || "
                            "echo ${p#/proc/} $(stat -c %U $p) $(readlink $p/exe); done")
        return [tuple(line.split(" ", 2)) for line in text.splitlines() if line.strip()]


def listeners() -> list:
    """The numbers of the sockets that listen at the port: each keeps its own as long as it lives."""
    found = []
    for name in ("tcp", "tcp6"):
        rows = pathlib.Path("/proc/self/net", name).read_text(encoding="ascii").splitlines()[1:]
        found += [row[9] for row in map(str.split, rows) if row[1].endswith(f":{PORT:04X}") and row[3] == LISTEN]
    return found


def wait_for(what: str, condition, secs: float = 10):
    """Waits until `condition` returns something true, and returns that."""
    limit = time.monotonic() + secs
    while not (seen := condition()):
        need(time.monotonic() < limit, f"not within {secs} s: {what}")
        time.sleep(0.02)
    return seen


PORT = 18789
# Debian 12's systemd has the folder too, under another name: /lib.
KNOWN = "directory '/usr/lib/systemd/system-preset' not empty so not removed"
LISTEN = "0A"
MARK = "--lifecycle-done "
SCRIPT = "{ %s\n} </dev/null 2>&1; s=$?; echo; echo " + MARK + "$s\n"
