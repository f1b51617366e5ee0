"""A runtime behind the gate, within each kind of unit: the second half of sandbox.py.

Rule: the runtime is a stand-in (runtime.py), a unit of its own as a user whom the gate takes for an owner; a call that it
answers went through the sandbox, and its answer names that user.
"""

import json
import shlex

from expect import need
from units import as_user, copied, figure

PORT, RUNTIME = 18789, 18790
CONF = "/etc/loopgate/loopgate.conf"
DROP_IN = "/usr/share/loopgate/runtime.conf"
PLACE = "/etc/systemd/system/loopgate.service.d/runtime.conf"
STAND_IN = "openclaw-gateway.service"
BARRED, READY = "71fe9e441a6c4328ba95a4a3a1668237", "5b7d0f3f5d2b4d0c9a4c1d7b0f6f2c91"
# Of loopgate.service with the drop-in.
EXPOSURE_MAX = 1.1
# PORT TOKEN METHOD: one call.
CALL = """
import json, sys
sys.path.insert(0, "/tests")
from peer import Peer
peer = Peer(int(sys.argv[1]))
hello = peer.connect(["operator.read"], {"token": sys.argv[2]})
print(json.dumps(peer.call(sys.argv[3], {}) if hello.get("ok") else hello))
"""


class Reached:
    """What the daemon of each kind of unit reaches, and what starts the runtime."""

    def __init__(self, tried, unit, name: str):
        self.tried, self.unit, self.name = tried, unit, name
        self.shell, self.report = tried.shell, tried.report

    def run(self) -> None:
        self.settings(CONF, ["root", "tester"])
        self.stand_in("tester")
        self.shell.run(f"systemctl start {STAND_IN}")
        for name, check in (
            ("without the drop-in the runtime is out of reach, and that is said once", self.barred),
            ("with the drop-in, put in place by doctor's commands, it is reached", self.mended),
            ("the drop-in lets nothing out of this machine", self.confined),
            ("the drop-in's Wants= starts the runtime by traffic", self.by_traffic),
            ("a runtime that fails or is not there does not touch the gate", self.without),
            ("the unit of a named user reaches that user's runtime", self.of_named),
            ("a user's own unit reaches that user's runtime, and starts it", self.of_user),
            ("no call to the runtime was refused", self.none_refused),
        ):
            self.report.check(name, check)

    def barred(self) -> str:
        self.shell.run("systemctl restart loopgate.service")
        answer = self.call("root")
        error = answer.get("error") or {}
        need(error.get("code") == "UNAVAILABLE" and "RestrictAddressFamilies=" in error.get("message", ""), str(answer))
        said = self.entries(BARRED, "loopgate.service")
        need(len(said) == 1, f"{len(said)} entries")
        need("loopgate doctor runtime" in said[0]["REMEDY"], said[0]["REMEDY"])
        return said[0]["CAUSE"]

    def mended(self) -> str:
        report = json.loads(self.shell.run("loopgate doctor --json runtime || :"))
        commands = [command for check in report["checks"] for finding in check["findings"] for command in finding["mend"]]
        need(any(DROP_IN in command for command in commands), json.dumps(report))
        self.shell.run("\n".join(["(set -e", *commands, ")"]))
        said = self.reaches("root", "loopgate.service", "tester")
        report = json.loads(self.shell.run("loopgate doctor --json runtime"))
        need(report["ok"], json.dumps(report))
        exposure = self.shell.run("systemd-analyze security --no-pager loopgate.service | tail -n 1")
        return f"{len(commands)} commands; {said}; exposure {figure(exposure, EXPOSURE_MAX)}"

    def confined(self) -> str:
        lines = self.shell.run(f"cat /usr/lib/systemd/system/loopgate.service {DROP_IN}")
        lines = lines.replace("[Install]", "#").replace("Also=", "#")
        came = self.tried.probe("boxed", copied(lines), "", "RestrictAddressFamilies", "IPAddressDeny")
        done = {name for name, how in came.items() if how == "done"}
        need(done == {"RestrictAddressFamilies: IPv4", "RestrictAddressFamilies: IPv6", "IPAddressDeny: send to this machine"},
             str(came))
        need({how for name, how in came.items() if name.startswith("IPAddressDeny")} == {"done", "EPERM"}, str(came))
        return f"{len(came) - len(done)} attempts refused"

    def by_traffic(self) -> str:
        self.shell.run(f"""(set -e
            sed -i 's/^#Wants=/Wants=/' {PLACE}
            systemctl daemon-reload
            systemctl stop loopgate.service {STAND_IN})""")
        need(self.state(STAND_IN) == "inactive" and self.state("loopgate.service") == "inactive", "they do not stop")
        said = self.reaches("root", "loopgate.service", "tester")
        self.shell.run("systemctl stop loopgate.service")
        need(self.state(STAND_IN) == "active", f"after a stop of the gate the runtime is {self.state(STAND_IN)}")
        return f"started, and left alone by a stop; {said}"

    def without(self) -> str:
        seen = []
        for start in ("ExecStart=false", "ExecStart=/nowhere", None):
            self.shell.run(f"systemctl stop loopgate.service {STAND_IN}; systemctl reset-failed {STAND_IN} 2>/dev/null || :")
            if start:
                self.tried.unit(STAND_IN, f"[Service]\n{start}")
            else:
                self.shell.run(f"rm /run/systemd/system/{STAND_IN}; systemctl daemon-reload")
            answer = self.call("root", "health")
            need(answer.get("ok"), str(answer))
            need(self.state("loopgate.service") == "active", self.state("loopgate.service"))
            need(self.unit.show("NRestarts") == "0", "the gate was started again")
            seen.append(f"{self.shell.run(f'systemctl show -P LoadState {STAND_IN}').strip()} {self.state(STAND_IN)}")
        self.shell.run(f"systemctl reset-failed {STAND_IN} 2>/dev/null || :; rm {PLACE}; systemctl daemon-reload; "
                       "systemctl stop loopgate.socket loopgate.service")
        need(seen == ["loaded failed", "loaded failed", "not-found inactive"], f"the runtime was {seen}")
        return ", ".join(seen)

    def of_named(self) -> str:
        home = f"/home/{self.name}"
        self.shell.run(f"install -d -o {self.name} {home}/.config {home}/.config/loopgate")
        self.settings(f"{home}/.config/loopgate/loopgate.conf", [])
        self.stand_in(self.name)
        self.shell.run(f"systemctl start loopgate@{self.name}.socket {STAND_IN}")
        said = self.reaches(self.name, f"loopgate@{self.name}.service", self.name)
        self.shell.run(f"systemctl stop loopgate@{self.name}.socket loopgate@{self.name}.service {STAND_IN}")
        return said

    def of_user(self) -> str:
        """With the runtime as a unit of the same manager, where OpenClaw puts it."""
        home = "/home/tester"
        config = json.dumps({"gateway": {"auth": {"mode": "token", "token": self.unit.secret}}})
        drop = f"{home}/.config/systemd/user/loopgate.service.d"
        self.shell.run(f"""(set -e
            install -d -o tester {home}/.config {home}/.config/loopgate {home}/.config/systemd {home}/.config/systemd/user {drop}
            install -d -o tester -m 700 {home}/.openclaw
            printf %s {shlex.quote(config)} >{home}/.openclaw/openclaw.json; chown tester {home}/.openclaw/openclaw.json
            printf '[Unit]\nWants={STAND_IN}\n' >{drop}/runtime.conf)""")
        self.settings(f"{home}/.config/loopgate/loopgate.conf", [])
        self.tried.unit(STAND_IN, self.lines(), "--user")
        self.shell.run(as_user("systemctl --user start loopgate.socket"))
        need(self.state(STAND_IN, "--user") == "inactive", "it runs before anybody has connected")
        said = self.reaches("tester", "loopgate.service", "tester", "--user")
        self.shell.run(as_user("systemctl --user stop loopgate.service"))
        need(self.state(STAND_IN, "--user") == "active", "a stop of the gate has stopped the runtime")
        self.shell.run(as_user(f"systemctl --user stop loopgate.socket {STAND_IN}"))
        return said

    def none_refused(self) -> str:
        """By the words of every manager: the daemon would have been killed."""
        said = self.shell.run("journalctl --sync; journalctl -b --no-pager -o cat _COMM=systemd | grep -e status=31/SYS || :").strip()
        need(not said, said)
        return "in no unit"

    def reaches(self, user: str, service: str, owner: str, manager: str = "") -> str:
        """One call by `user` comes back from the runtime, and the journal and the manager know of it."""
        answer = self.call(user)
        need(answer.get("payload") == {"ok": True, "method": "artifacts.list", "params": {}, "user": owner}, str(answer))
        need(self.entries(READY, service, manager), "no entry that the runtime answers")
        show = f"systemctl {manager} show -P StatusText {service}"
        # The manager is told at most once a second.
        wait = f"for try in $(seq 50); do {show} | grep -q stand-in && break; sleep 0.1; done; {show}"
        status = self.shell.run(as_user(wait) if manager else wait).strip()
        need("runtime stand-in" in status, status)
        return status

    def call(self, user: str, method: str = "artifacts.list") -> dict:
        """By default what only a runtime can answer."""
        words = f"runuser -u {user} -- python3 -c {shlex.quote(CALL)} {PORT} {self.unit.secret} {method}"
        return json.loads(self.shell.run(words))

    def entries(self, identity: str, service: str, manager: str = "") -> list:
        """The entries of one kind that the present process has written."""
        show = f"systemctl {manager} show -P MainPID {service}"
        pid = self.shell.run(as_user(show) if manager else show).strip()
        text = self.shell.run(f"journalctl --sync; journalctl -b --no-pager --all -o json MESSAGE_ID={identity} _PID={pid}")
        return [json.loads(line) for line in text.splitlines()]

    def state(self, unit: str, manager: str = "") -> str:
        command = f"systemctl {manager} show -P ActiveState {unit}"
        return self.shell.run(as_user(command) if manager else command).strip()

    def settings(self, file: str, owners: list) -> None:
        text = json.dumps({"owner": owners, "runtime": {"port": RUNTIME}})
        self.shell.run(f"printf %s {shlex.quote(text)} >{file}")

    def stand_in(self, user: str) -> None:
        self.tried.unit(STAND_IN, self.lines(f"User={user}"))

    @staticmethod
    def lines(*more: str) -> str:
        return "\n".join(("[Service]", f"ExecStart=python3 /tests/runtime.py {RUNTIME}", *more))
