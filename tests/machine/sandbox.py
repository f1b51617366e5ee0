"""sandbox.py SUITE: the units as systemd judges them, what they forbid, and what must work all the same. See `sandbox`.

Rule: an attempt counts as forbidden by a unit if it fails there and goes otherwise under the same user without the unit;
what works is shown by real clients, while a refused call would end the daemon (see `install_stage`).
"""

import json
import pathlib
import re
import shlex
import shutil
import sys
import tempfile
import threading
import traceback
import types

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/compat"))

import child
import plan
from clients import PORT, Shell, Unit
from expect import need
from report import Report, Unexpected
from sandbox_runtime import Reached
from units import as_user, copied, figure


class Judged:
    """What systemd says of the units as they are installed."""

    def __init__(self, shell: Shell, report: Report):
        self.shell, self.report = shell, report

    def run(self) -> None:
        # systemd asks man(1) for each page that a unit names. There is none in the machine; the pages are.
        self.shell.run(f"printf %s {shlex.quote(MAN)} >/usr/local/bin/man; chmod 755 /usr/local/bin/man")
        self.report.check("verify says nothing", self.verify)
        for unit, most in EXPOSURE_MAX.items():
            self.report.check(f"exposure of {unit}", lambda unit=unit, most=most: self.exposure(unit, most))
        self.report.check("exposure of the user's unit", self.exposure_of_user)

    def verify(self) -> str:
        paths = [f"{SYSTEM}/{name}" for name in ("loopgate.socket", "loopgate.service")]
        names = ["loopgate@tester.socket", "loopgate@tester.service"]
        said = "".join(self.shell.run(f"systemd-analyze verify {unit} 2>&1") for unit in paths + names)
        said += self.shell.run(as_user(f"systemd-analyze --user verify {USER}/loopgate.socket {USER}/loopgate.service 2>&1"))
        need(not said.strip(), said)
        return f"{len(paths + names) + 2} units"

    def exposure(self, unit: str, most: float) -> str:
        return figure(self.shell.run(f"systemd-analyze security --no-pager {unit} | tail -n 1"), most)

    def exposure_of_user(self) -> str:
        return figure(self.shell.run(as_user("systemd-analyze --user security --no-pager loopgate.service | tail -n 1")), EXPOSURE_USER_MAX)


class Tried:
    """What is refused from inside."""

    def __init__(self, shell: Shell, report: Report):
        self.shell, self.report = shell, report

    def run(self) -> None:
        self.prepare()
        for name, unit, user in UNITS:
            self.report.check(f"{name} forbids", lambda unit=unit, user=user: self.attempts(unit, user))
        self.report.check("the user's unit forbids", self.attempts_of_user)
        self.report.check("IPAddressDeny= of the service", self.sends)
        self.report.check("IPAddressDeny= of the socket", self.arrives)

    def prepare(self) -> None:
        """Doors that only a sandbox shuts, and another machine, 10.77.0.2."""
        self.shell.run(f"""(set -e
            for place in {PLACES}; do
                mkdir -p $place/probe; echo text >$place/probe/file; chmod 1777 $place/probe; chmod 644 $place/probe/file
            done
            ip netns add peer; ip link add near type veth peer name far netns peer
            ip address add 10.77.0.1/24 dev near; ip link set near up
            ip -n peer address add 10.77.0.2/24 dev far; ip -n peer link set far up)""")

    def attempts(self, unit: str, user: str) -> str:
        lines = self.shell.run(f"cat {SYSTEM}/{unit}")
        plain = self.probe("plain", f"[Service]\nUser={user}\nStateDirectory=probe-{user}")
        boxed = self.probe("boxed", copied(lines.replace("%i", user)))
        # Once more without the filter, which would hide that another line does nothing.
        bare = self.probe("bare", re.sub("(?m)^SystemCallFilter=.*", "", copied(lines.replace("%i", user))))
        return compared(lines, plain, boxed) + ", without the call filter " + compared(
            re.sub("(?m)^SystemCallFilter=.*", "", lines), plain, bare)

    def attempts_of_user(self) -> str:
        lines = self.shell.run(f"cat {USER}/loopgate.service")
        return compared(lines, self.probe("plain", "[Service]", "--user"), self.probe("boxed", copied(lines), "--user"))

    def sends(self) -> str:
        """With sockets that the service does not have: those of the unit lines that are tried alone."""
        lines = re.sub("(?m)^RestrictAddressFamilies=.*", "", self.shell.run(f"cat {SYSTEM}/loopgate.service"))
        plain = self.probe("plain", "[Service]\nUser=loopgate", "", "IPAddressDeny")
        boxed = self.probe("boxed", copied(lines), "", "IPAddressDeny")
        need(set(plain.values()) == {"done"}, f"without the unit: {plain}")
        need(set(boxed.values()) == {"EPERM"}, f"with the unit: {boxed}")
        lines = self.shell.run(f"cat {SYSTEM}/loopgate@.service").replace("%i", "tester")
        named = self.probe("boxed", copied(lines), "", "IPAddressDeny")
        within = "IPAddressDeny: send to this machine"
        need(named.pop(within) == "done" and set(named.values()) == {"EPERM"}, f"with the unit of a named user: {named}")
        return f"{len(boxed)} refused, and {len(named)} to a named user's"

    def arrives(self) -> str:
        """What another machine sends to a listener of the socket unit is dropped, were there one that it could reach."""
        lines = self.shell.run(f"grep -v -e ^ListenStream= -e ^SocketGroup= {SYSTEM}/loopgate.socket")
        bare = re.sub("(?m)^IPAddress.*", "", lines)
        seen = []
        for text in (bare, lines):
            text = text.replace("[Socket]", "[Socket]\nListenStream=10.77.0.1:7777\nService=idle.service")
            self.unit("idle.service", "[Service]\nExecStart=sleep infinity")
            self.unit("idle.socket", text)
            self.shell.run("systemctl start idle.socket")
            knock = "timeout 1 ip netns exec peer bash -c ': </dev/tcp/10.77.0.1/7777'"
            seen.append(self.shell.run(f"{knock} 2>/dev/null && echo open || echo shut").strip())
            self.shell.run("systemctl stop idle.socket idle.service")
        need(seen == ["open", "shut"], f"without and with: {seen}")
        return "another machine is not heard"

    def probe(self, name: str, lines: str, manager: str = "", *asked: str) -> dict:
        """What became of each attempt in a unit of these lines."""
        out = "%t/probe.json"
        self.unit(f"{name}.service", lines.replace("[Service]", "\n".join((
            "[Service]", "Type=oneshot", f"StandardOutput=truncate:{out}",
            f"ExecStart=python3 /tests/sandbox_probe.py {' '.join(asked)}"))), manager)
        text = f"systemctl {manager} start {name}.service && cat "
        text += "$XDG_RUNTIME_DIR/probe.json" if manager else "/run/probe.json"
        return json.loads(self.shell.run(as_user(text) if manager else text))

    def unit(self, name: str, lines: str, manager: str = "") -> None:
        folder = "/run/systemd/user" if manager else "/run/systemd/system"
        self.shell.run(f"mkdir -p {folder}; printf '%s\n' {shlex.quote(lines)} >{folder}/{name}")
        reload = f"systemctl {manager} daemon-reload"
        self.shell.run(as_user(reload) if manager else reload)


class Served:
    """What works within the sandbox."""

    def __init__(self, unit: Unit, shell: Shell, report: Report, work: pathlib.Path):
        self.unit, self.shell, self.report, self.work = unit, shell, report, work

    def run(self) -> None:
        options = types.SimpleNamespace(clients=TOP / "target/compat", only=re.compile(""), rounds=1, parallel=1)
        run = plan.Plan(options, self.unit, self.report, self.work)
        lanes = [threading.Thread(target=plan.Lane(run, version).table, args=(self.unit,)) for version in plan.VERSIONS]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        self.report.check("another user's peer is refused by its uid", self.foreign)
        self.report.check("a reload that cannot be fails, and says why", self.reload)
        self.report.check("a group that is nowhere is found to be nowhere", self.unknown)
        self.report.check("a session outlives a restart", lambda: self.session("loopgate.service", "root"))
        self.report.check("no call was refused", self.none_refused)
        self.report.check("a user's own home is read", self.of_user)

    def foreign(self) -> str:
        self.peer("tester", "tok-wrong", "connect", "exit")
        found = [entry for entry in self.unit.entries() if entry.get("RULE") == "peer-foreign"]
        need(found, f"no entry with RULE=peer-foreign\n{self.unit.log()}")
        need(found[0].get("PEER_UID") == "1000", f"PEER_UID={found[0].get('PEER_UID')}")
        return "PEER_UID=1000"

    def reload(self) -> str:
        file = "/etc/loopgate/openclaw.json"
        before = self.unit.show("MainPID")
        status = self.shell.run(f"cp -p {file} /run/good && echo '{{ gateway: ' >{file}; systemctl reload loopgate.service "
                                f"2>/dev/null; echo $?; cp -p /run/good {file}")
        said = [line for line in self.unit.log().splitlines() if f"{file}:" in line]
        need(status.strip() != "0", "systemctl reload succeeded")
        need(said, f"the journal does not name {file}\n{self.unit.log()}")
        need(self.unit.show("MainPID") == before and self.unit.show("ActiveState") == "active", "it is not what it was")
        self.unit.systemctl("reload loopgate.service")
        return said[-1].split(": ", 1)[1]

    def unknown(self) -> str:
        """A name that is in no file is asked for at the manager, too, which takes other calls."""
        file = "/etc/loopgate/loopgate.conf"
        status = self.shell.run(f"cp -p {file} /run/good && echo '{{ owner: [\"%nowhere\"] }}' >{file}; "
                                f"systemctl reload loopgate.service 2>/dev/null; echo $?; cp -p /run/good {file}")
        said = [line for line in self.unit.log().splitlines() if "there is no group nowhere" in line]
        need(status.strip() != "0" and said, f"exit {status.strip()}\n{self.unit.log()}")
        return said[-1].split(": ", 1)[1]

    def session(self, service: str, user: str) -> str:
        """One peer, asked before and after."""
        self.shell.run(f"rm -f /tmp/asked /tmp/restarted; (while [ ! -e /tmp/asked ]; do sleep 0.02; done; "
                       f"systemctl restart {service}; touch /tmp/restarted) >/dev/null 2>&1 &")
        self.peer(user, self.unit.secret, "connect")
        before = self.pid(service)
        told = self.peer(user, self.unit.secret, "connect", "health", "restart", "logs.tail")
        need(told == "ok ok ok", told)
        after = self.pid(service)
        need(before != after, "it was not restarted")
        return f"process {before}, then {after}"

    def none_refused(self) -> str:
        said = self.shell.run("journalctl --sync; journalctl -b --no-pager -o cat _PID=1 | grep -e status=31/SYS || :").strip()
        need(not said, said)
        need(self.unit.show("NRestarts") == "0", f"it was started again: {self.unit.log()}")
        store = self.shell.run("stat -c '%a %U %s' /var/lib/loopgate/pairing.json").strip()
        return f"0 restarts; the pairing store: {store}"

    def of_user(self) -> str:
        """loopgate@NAME for a name with what names may have in them."""
        home = f"/home/{NAME}"
        config = json.dumps({"gateway": {"auth": {"mode": "token", "token": self.unit.secret}}})
        self.shell.run(f"""(set -e
            useradd --create-home {NAME}
            install -d -o {NAME} -m 700 {home}/.openclaw
            printf %s {shlex.quote(config)} >{home}/.openclaw/openclaw.json; chown {NAME} {home}/.openclaw/openclaw.json
            mkdir -p /tmp/openclaw; echo a line >/tmp/openclaw/openclaw-$(date +%F).log
            find {home} -printf '%p %T@ %s\\n' | sort >/run/home-before
            systemctl start loopgate@{NAME}.socket)""")
        need(self.unit.show("ActiveState") == "inactive", "loopgate.service still runs beside it")
        pids = self.session(f"loopgate@{NAME}.service", NAME)
        seen = self.shell.run(f"stat -c '%a %U' /var/lib/loopgate-users/{NAME} /run/loopgate/{NAME}/owner.sock").split()
        need(seen == ["700", NAME, "600", NAME], f"state and door: {seen}")
        self.shell.run(f"find {home} -printf '%p %T@ %s\\n' | sort | cmp /run/home-before -")
        uid = self.shell.run(f"ps -o user:32= -p $(systemctl show -P MainPID loopgate@{NAME}.service)").strip()
        need(uid == NAME, f"it runs as {uid}")
        self.shell.run(f"systemctl stop loopgate@{NAME}.socket && test ! -e /run/loopgate/{NAME}/owner.sock")
        self.shell.run("systemctl start loopgate.socket && ! systemctl --failed --no-legend | grep .")
        return pids

    def pid(self, service: str) -> str:
        return self.shell.run(f"systemctl show -P MainPID {service}").strip()

    def peer(self, user: str, token: str, *steps: str) -> str:
        """What became of each step of one connection by a process of `user`."""
        return self.shell.run(f"runuser -u {user} -- python3 -c {shlex.quote(PEER)} {PORT} {token} {' '.join(steps)}").strip()


def compared(lines: str, plain: dict, boxed: dict) -> str:
    """Judges each attempt whose directive the unit has."""
    has = set(re.findall("(?m)^([A-Za-z]+)=", lines))
    count = 0
    for name, came in boxed.items():
        if not has & set(name.split(":")[0].split(", ")) or name.startswith("IPAddressDeny"):
            continue
        if name in MAY and re.search(f"(?m)^{MAY[name]}", lines):
            need(came == "done", f"{name}: {came}, though it may")
            continue
        need(came != "done", f"{name}: done")
        need(came != plain[name] or name in ANYWAY, f"{name}: {came} without the unit too")
        count += 1
    return f"{count} attempts refused"


def main() -> int:
    logs = TOP / f"target/machine/sandbox-{sys.argv[1]}"
    shutil.rmtree(logs, ignore_errors=True)
    report = Report(logs)
    work = pathlib.Path(tempfile.mkdtemp(prefix="loopgate-sandbox-"))
    shell = Shell()
    try:
        shell.run("systemd-run --quiet --wait --collect loginctl enable-linger tester && "
                  "while [ ! -S /run/user/1000/bus ]; do sleep 0.05; done")
        Judged(shell, report).run()
        tried = Tried(shell, report)
        tried.run()
        # Whose it is the manager sees to only once.
        shell.run("rm -r /var/lib/loopgate")
        unit = Unit([])
        Served(unit, shell, report, work).run()
        Reached(tried, unit, NAME).run()
        unit.stop()
    except Exception as reason:  # a bug of the harness must not look like a short run
        report.fail("the test runs to its end", str(reason).partition("\n")[0], traceback.format_exc())
    finally:
        child.end_all()
        shell.close()
        shutil.rmtree(work, ignore_errors=True)
    return report.close()


SYSTEM, USER = "/usr/lib/systemd/system", "/usr/lib/systemd/user"
UNITS = (("loopgate.service", "loopgate.service", "loopgate"), ("loopgate@.service", "loopgate@.service", "tester"))
# The second reads a user's home and /tmp, leaves that user's shared memory alone, and dials a runtime on this machine.
EXPOSURE_MAX = {"loopgate.service": 0.8, "loopgate@tester.service": 1.4}
# A user's manager enforces no more.
EXPOSURE_USER_MAX = 6.4
NAME = "a.user-with_9"
PLACES = "/etc /usr /var /home /tmp /dev /usr/lib/modules"
# Refused to an ordinary user, or in a container, in any case; that the unit forbids them too shows nowhere.
ANYWAY = (
    "ProtectClock: set the clock", "ProtectHostname: set the host name", "ProtectKernelLogs: read the kernel's log",
    "RestrictNamespaces: a mount namespace", "RestrictRealtime: set a real-time scheduler", "SystemCallFilter: mount",
)
# What a unit with such a line has to be able to do.
MAY = {
    "ProtectHome: read /home": "ProtectHome=read-only",
    "RestrictAddressFamilies: IPv4": "RestrictAddressFamilies=.*AF_INET ",
    "RestrictAddressFamilies: IPv6": "RestrictAddressFamilies=.*AF_INET6",
}
MAN = """#!/bin/sh
exec test -e "/usr/share/man/man$1/$2.$1"
"""
# PORT TOKEN STEP...: connects, calls methods, and waits for a restart that somebody else makes.
PEER = """
import os, sys, time
sys.path.insert(0, "/tests")
from peer import Peer
peer, told = Peer(int(sys.argv[1])), []
for step in sys.argv[3:]:
    if step == "exit":
        break
    if step == "restart":
        open("/tmp/asked", "w").close()
        while not os.path.exists("/tmp/restarted"):
            time.sleep(0.02)
        continue
    scopes = ["operator.read"]
    answer = peer.connect(scopes, {"token": sys.argv[2]}) if step == "connect" else peer.call(step, {})
    good = answer.get("ok") and (step != "logs.tail" or answer["payload"]["lines"])
    told.append("ok" if good else str(answer))
print(*told)
"""

if __name__ == "__main__":
    sys.exit(main())
