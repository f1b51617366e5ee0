"""doctor.py: runs inside the machine as root. Makes faults, asks `loopgate doctor`, and runs what it prints.

Rule: a command is run as it stands, in one shell of the user who asked. That doctor is content afterwards is the
only thing that counts.
"""

import glob
import json
import os
import pathlib
import pwd
import re
import subprocess
import sys
import time
import traceback

USER, OTHER = "tester", "other"
SECRET = "tok-doctor-canary-4"
PORT, RUNTIME = 18789, 18790
TOKEN, NEW_TOKEN, OLD_TOKEN = "tok-doctor-canary-1", "tok-doctor-canary-2", "tok-doctor-canary-3"
EMPTY_STORE = {"version": 1, "devices": {}, "nodes": {}, "bootstrapSpent": [], "imported": True}
PATIENCE_S = 30
FAILED = 0


def check(name: str, holds, seen="") -> None:
    global FAILED
    FAILED += not holds
    print(f"{'ok  ' if holds else 'FAIL'} doctor: {name}{'' if holds else f': {seen}'}", flush=True)


class Person:
    """Somebody with a shell."""

    def __init__(self, name: str):
        entry = pwd.getpwnam(name)
        self.name, self.uid, self.home = name, entry.pw_uid, pathlib.Path(entry.pw_dir)
        self.more: dict = {}

    def shell(self, script: str, timeout: int = 60) -> subprocess.CompletedProcess:
        env = {"HOME": str(self.home), "USER": self.name, "LANG": "C.UTF-8",
               "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
               "XDG_RUNTIME_DIR": f"/run/user/{self.uid}", **self.more}
        if self.uid == 0:
            del env["XDG_RUNTIME_DIR"]
        argv = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--init-groups", "sh", "-c", script]
        return subprocess.run(argv, env=env, capture_output=True, encoding="utf-8", timeout=timeout, cwd="/")

    def must(self, script: str) -> str:
        done = self.shell(script)
        if done.returncode != 0:
            raise OSError(f"{self.name}: {script}: exit {done.returncode}: {done.stderr.strip()} {done.stdout.strip()}")
        return done.stdout

    def write(self, path: str, text: str, mode: int = 0o600) -> pathlib.Path:
        file = self.home / path
        self.must(f"mkdir -p '{file.parent}' && : >'{file}'")
        file.write_text(text)
        file.chmod(mode)
        return file

    def doctor(self, before: str = "", checks: str = "") -> dict:
        """The report; `before` runs in the same shell."""
        start = time.monotonic()
        done = self.shell(f"{before}\nloopgate doctor --json {checks}" if before else f"loopgate doctor --json {checks}")
        took = time.monotonic() - start
        told = done.stdout + done.stderr
        if any(token in told for token in (TOKEN, NEW_TOKEN, OLD_TOKEN, SECRET)):
            check("no secret is shown", False, told)
        if took > 15 and not before:
            check("it takes seconds", False, f"{took:.1f} s")
        try:
            report = json.loads(done.stdout[done.stdout.index('{\n  "checks"'):])
        except ValueError as error:
            raise OSError(f"doctor: exit {done.returncode}: {told}") from error
        if (done.returncode == 0) != report["ok"]:
            check("the exit status says what the report says", False, done.returncode)
        return report


def findings(report: dict) -> list:
    return [finding for of in report["checks"] for finding in of["findings"]]


def eventually(what, seconds: float = PATIENCE_S):
    """The first true value of `what`, or its last."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.1)


def mended(person: Person, name: str, of: str, pattern: str, level: str = "fault", rest: bool = True) -> None:
    """There is a finding like this; its commands, and those of every other fault, leave none (`rest`: nor any other)."""
    report = person.doctor()
    found = [one for one in findings(report) if one["check"] == of and re.search(pattern, one["text"])]
    check(f"{name}: found, as a {level} of the check {of}", found and found[0]["level"] == level, findings(report))
    if not found:
        return
    commands = [command for one in findings(report) if one["level"] == "fault" or one in found for command in one["mend"]]
    check(f"{name}: has a command", found[0]["mend"], found)
    print(f"     {found[0]['text']}", *[f"\n       $ {command}" for command in commands], sep="")
    script = "set -e\n" + "\n".join(follow(person, list(dict.fromkeys(commands)))) + "\nset +e"
    done = {}

    def content() -> bool:
        done["report"] = person.doctor(before=script if not done else "")
        left = [one for one in findings(done["report"]) if one["check"] == of and re.search(pattern, one["text"])]
        return not left and (done["report"]["ok"] or not rest)

    # What is in the shell's environment is mended in that shell alone.
    once = 0 if person.more and of == "secret" else PATIENCE_S
    check(f"{name}: mended by its commands", eventually(content, once), [one for one in findings(done["report"])])


def follow(person: Person, commands: list) -> list:
    """Where doctor asks for itself as root, what it says then."""
    out = []
    for command in commands:
        again = re.fullmatch(r"sudo loopgate doctor (\w+)", command)
        if again is None:
            out.append(command)
            continue
        report = json.loads(person.shell(f"sudo loopgate doctor --json {again[1]}").stdout)
        nested = [f"sudo {more}" for one in findings(report) for more in one["mend"]]
        print(*[f"       # {more}" for more in nested], sep="\n")
        out += nested
    return out


LISTENER = """
import os, socket, sys
sys.path.insert(0, "/tests")
from runtime import Leg, Runtime
ports = [word for before, word in zip(sys.argv, sys.argv[1:]) if before == "--port"] or sys.argv[1:]
server = Runtime((sys.argv[2] if len(sys.argv) > 2 and sys.argv[2][0] != "-" else "127.0.0.1", int(ports[-1] if "--port" in sys.argv else ports[0])), Leg)
if os.environ.get("NOTIFY_SOCKET"):
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
server.serve_forever()
"""


def gateway_unit(port: int) -> str:
    """A stand-in for OpenClaw's own gateway, as its installer writes the unit."""
    return (f"[Unit]\nDescription=OpenClaw Gateway\n[Service]\nType=notify\nNotifyAccess=all\n"
            f"ExecStart=/usr/bin/python3 /opt/listener.py {port} 127.0.0.1 gateway --port {port}\nRestart=no\n"
            "[Install]\nWantedBy=default.target\n")


def config(token: str) -> str:
    return json.dumps({"gateway": {"mode": "local", "auth": {"mode": "token", "token": token}}})


def prepare() -> tuple:
    root = Person("root")
    root.must("cp -a /stage/. / && systemd-sysusers && systemctl daemon-reload && journalctl --update-catalog")
    root.must(f"useradd --create-home {OTHER}")
    pathlib.Path("/opt/listener.py").write_text(LISTENER)
    pathlib.Path("/etc/sudoers.d/tester").write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")
    tester = Person(USER)
    root.must(f"loginctl enable-linger {USER}")
    eventually(lambda: tester.shell("systemctl --user is-system-running").stdout.strip() in ("running", "degraded"))
    return root, tester


def users_instance(root: Person, tester: Person) -> None:
    first = tester.doctor()
    check("nothing is enabled: it says so", any(one["check"] == "socket" and one["level"] == "fault" for one in findings(first)), first)
    tester.write(".openclaw/openclaw.json", config(TOKEN))
    tester.must("chmod 700 ~/.openclaw && systemctl --user enable --now loopgate.socket")
    tester.write(".config/loopgate/loopgate.conf", "{runtime: {port: %d}}\n" % RUNTIME)
    tester.write(".config/systemd/user/openclaw-gateway.service", gateway_unit(RUNTIME), 0o644)
    tester.must("systemctl --user daemon-reload && systemctl --user enable --now openclaw-gateway.service")
    tester.must("loopgate health")
    report = tester.doctor()
    check("a healthy user's instance has no fault", report["ok"], findings(report))
    status = {of["check"]: of["status"] for of in report["checks"]}
    wanted = ("port", "socket", "linger", "openclaw", "files", "runtime", "secret", "pairing", "catalog")
    check("and every check is ok", all(status[of] == "ok" for of in wanted), report)
    start = time.monotonic()
    print(tester.shell("loopgate doctor").stdout, f"     in {time.monotonic() - start:.2f} s", sep="")
    report = root.doctor()
    check("root finds the same", report["ok"] and "tester" in json.dumps(report), findings(report))
    pid = tester.must("systemctl --user show -P MainPID loopgate.service").strip()
    tester.must(f"kill -STOP {pid}")
    start = time.monotonic()
    report = tester.doctor()
    took = time.monotonic() - start
    late = [one for one in findings(report) if one["check"] == "secret" and "within" in one["text"]]
    check("a gateway that hangs is a fault, and nobody waits for it", late and took < 12, f"{took:.1f} s, {findings(report)}")
    tester.shell(f"kill -CONT {pid}")
    eventually(lambda: tester.shell("loopgate health").returncode == 0)

    tester.more = {"OPENCLAW_GATEWAY_TOKEN": OLD_TOKEN}
    mended(tester, "a stale variable", "secret", "OPENCLAW_GATEWAY_TOKEN in the environment")
    tester.more = {}
    tester.write(".openclaw/.env", f"A=1\nexport OPENCLAW_GATEWAY_TOKEN='{OLD_TOKEN}'\n")
    mended(tester, "a stale variable in a file", "secret", r"OPENCLAW_GATEWAY_TOKEN in .*/\.env")
    check("what else is in that file stays", tester.must("cat ~/.openclaw/.env") == "A=1\n")
    tester.must("rm ~/.openclaw/.env && systemctl --user reload-or-restart loopgate.service")
    tester.must(f"systemctl --user set-environment OPENCLAW_GATEWAY_TOKEN={OLD_TOKEN}")
    mended(tester, "a stale variable of the service manager", "secret", "service manager of tester gives", "warning")

    tester.must("chmod 666 ~/.openclaw/openclaw.json")
    mended(tester, "a wrong mode", "files", "can be written by other users")

    tester.must("systemctl --user kill --signal=KILL openclaw-gateway.service")
    eventually(lambda: tester.shell("systemctl --user is-failed openclaw-gateway.service").stdout.strip() == "failed")
    mended(tester, "a dead runtime", "runtime", "nobody listens at port 18790")

    tester.write(".openclaw/openclaw.json", config(NEW_TOKEN))
    mended(tester, "a changed token", "secret", "does not take the secret from .*openclaw.json")

    tester.write(".local/state/loopgate/pairing.json", '{"version": 1, "devices"')
    tester.shell("systemctl --user restart loopgate.service")
    mended(tester, "a damaged store", "files", "cannot be understood")
    store = tester.write(".local/state/loopgate/pairing.json", json.dumps(EMPTY_STORE))
    root.must(f"chown root {store}")
    mended(tester, "an unreadable store", "files", "pairing.json belongs to user 0")

    limits = "[Unit]\nStartLimitIntervalSec=600\nStartLimitBurst=2\n"
    tester.write(".config/systemd/user/loopgate.service.d/limit.conf", limits, 0o644)
    tester.must("systemctl --user daemon-reload")
    for _ in range(4):
        tester.shell("systemctl --user restart loopgate.service")
    tester.shell("systemctl --user stop loopgate.service; timeout 5 loopgate --wait 0 health")
    mended(tester, "a start limit", "socket", r"has failed \(.*start-limit-hit")
    tester.must("rm -r ~/.config/systemd/user/loopgate.service.d && systemctl --user daemon-reload")

    library = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")[0]
    tester.must(f"systemctl --user set-environment LD_PRELOAD={library} FAKETIME=+600s")
    tester.must("systemctl --user restart loopgate.service; systemctl --user unset-environment LD_PRELOAD FAKETIME")
    mended(tester, "a skewed clock", "clock", "its clock is 9 min|its clock is 10 min")

    root.must(f"loginctl disable-linger {USER}")
    eventually(lambda: not os.path.exists(f"/run/user/{tester.uid}/systemd"))
    mended(tester, "missing linger", "linger", "does not run|does not linger")

    # What only root may read must not reach a user's gateway, nor root's report.
    pathlib.Path("/root/secret").write_text(SECRET)
    os.chmod("/root/secret", 0o600)
    provider = {"secrets": {"providers": {"f": {"source": "file", "path": "/root/secret", "mode": "singleValue"}}},
                "gateway": {"auth": {"mode": "token", "token": {"source": "file", "provider": "f", "id": "value"}}}}
    tester.write(".openclaw/openclaw.json", json.dumps(provider))
    tester.shell("systemctl --user reload-or-restart loopgate.service")
    told = [one["text"] for one in findings(root.doctor()) if one["check"] == "secret"]
    check("root does not read for a user what the user may not", any("it belongs to user 0" in text for text in told), told)
    tester.write(".openclaw/openclaw.json", config(NEW_TOKEN))
    tester.must("systemctl --user reload-or-restart loopgate.service")

    root.must("rm /var/lib/systemd/catalog/database")
    mended(tester, "no catalog", "catalog", "explains 0 of", "warning")

    rival = ".config/systemd/user/openclaw-gateway.service"
    tester.must("systemctl --user stop loopgate.socket loopgate.service openclaw-gateway.service")
    tester.write(rival, gateway_unit(PORT), 0o644)
    tester.must("systemctl --user daemon-reload && systemctl --user enable --now openclaw-gateway.service")
    tester.shell("systemctl --user start loopgate.socket")
    tester.write(".config/loopgate/loopgate.conf", "{}\n")
    mended(tester, "a taken port", "port", "python3 holds it")
    shown = tester.must("systemctl --user show -P ExecStart openclaw-gateway.service")
    check("a taken port: the gateway is moved, not just killed", "--port 28789" in shown, shown)
    tester.write(rival, gateway_unit(PORT).replace("/usr/bin/python3", "/usr/bin/python3 -u"), 0o644)
    tester.must("systemctl --user daemon-reload")
    mended(tester, "a moved gateway whose unit was written again", "openclaw", "another command than its file says", "warning")
    tester.must("loopgate release && systemctl --user disable --now openclaw-gateway.service")
    tester.must(f"rm ~/{rival} && systemctl --user daemon-reload && systemctl --user enable loopgate.socket")

    # Once as in a session of theirs, once as a service of the system.
    for kind in (["--scope", "--quiet"], ["--unit=stranger", "--quiet"]):
        foreigner(root, tester, kind)


def foreigner(root: Person, tester: Person, kind: list) -> None:
    """Another user's process at the port."""
    tester.must("systemctl --user stop loopgate.socket loopgate.service")
    argv = ["systemd-run", *kind, f"--uid={OTHER}", "python3", "/opt/listener.py", str(PORT), "0.0.0.0"]
    subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    listening = f"ss -Hltn sport = :{PORT}" if os.path.exists("/usr/bin/ss") else f"grep -c ':{PORT:04X} ' /proc/net/tcp"
    eventually(lambda: root.shell(listening).stdout.strip() not in ("", "0"))
    mended(tester, "a foreign listener", "port", f"process of user {OTHER} holds it")


def systems_instance(root: Person, tester: Person) -> None:
    tester.must("systemctl --user disable --now loopgate.socket; systemctl --user stop loopgate.service")
    root.must("systemctl stop loopgate.socket; systemctl disable loopgate.socket")
    mended(root, "no instance enabled", "socket", "no socket unit of loopgate is enabled")
    root.must("loopgate health")
    report = root.doctor()
    check("a healthy system's instance has no fault, for root", report["ok"], findings(report))
    print(root.shell("loopgate doctor").stdout)
    # The command line of OpenClaw's, as far as doctor's command needs it.
    stub = pathlib.Path("/usr/local/bin/openclaw")
    stub.write_text('#!/bin/sh\n[ "$1 $2 $3" = "config set gateway.auth.token" ] && '
                    'printf \'{"gateway":{"auth":{"mode":"token","token":"%s"}}}\' "$4" >~/.openclaw/openclaw.json\n')
    stub.chmod(0o755)
    skipped = {of["check"] for of in tester.doctor()["checks"] if of["status"] == "skipped"}
    check("what is closed to a user is not called good", {"pairing", "refusals"} <= skipped, skipped)
    mended(tester, "a user outside the group", "secret", f"does not serve user {USER}", rest=False)
    mended(tester, "a token that the user does not know", "secret", "does not take the secret|wants a secret")


def templates_instance(root: Person, tester: Person) -> None:
    root.must(f"systemctl disable --now loopgate.socket; systemctl enable --now loopgate@{USER}.socket")
    tester.write(".openclaw/openclaw.json", config(TOKEN))
    tester.must("loopgate health")
    for person in (tester, root):
        report = person.doctor()
        told = [of for of in report["checks"] if of["check"] == "secret"]
        check(f"a healthy instance for {USER} has no fault, for {person.name}", report["ok"], findings(report))
        check("and its secret is taken", "takes the secret" in json.dumps(told), told)
    root.must("systemctl enable loopgate.socket")
    mended(tester, "two instances for one port", "socket", "is claimed by")


def main() -> int:
    try:
        root, tester = prepare()
        users_instance(root, tester)
        systems_instance(root, tester)
        templates_instance(root, tester)
    except (OSError, ValueError, subprocess.SubprocessError, IndexError):
        check("the test runs to its end", False, traceback.format_exc())
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
