"""adopt.py VERSION: runs inside the machine as root. A user's real OpenClaw gateway goes behind loopgate and back.

Rule: before and after are compared as a whole: every file below ~/.config, the state of each unit, who listens where.
A fault is made for real, and by somebody else than loopgate.
"""

import json
import os
import pathlib
import subprocess
import sys
import time
import traceback

import doctor
from doctor import USER, Person, eventually

TOKEN = "tok-adopt-canary-1"
GATE, RUNTIME, SECOND = 18789, 28789, 28989
UNIT = "openclaw-gateway.service"
BOTH = ("active", "enabled")
UNITS = (UNIT, "loopgate.socket", "loopgate.service")
CONF = "// mine\n{\n  // who may\n  owner: ['tester'],\n  limits: { connections: 64 }, // few\n}\n"
START_S = 120
# OpenClaw 2026.9.6 gives up on a busy machine: a lock of its own, or the service manager, was not fast enough for it.
ATTEMPTS = 3
failed = 0


def check(name: str, holds, seen="") -> None:
    global failed
    failed += not holds
    print(f"{'ok  ' if holds else 'FAIL'} adopt: {name}{'' if holds else f': {seen}'}", flush=True)


def listeners(port: int) -> set:
    """The uids of those who listen at the port."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in pathlib.Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                found.add(int(fields[7]))
    return found


class Tester(Person):
    def move(self, command: str, timeout: int = 400) -> tuple:
        """(exit status, report) of `loopgate adopt` or `release`; the report is the failure if there is no other."""
        done = self.shell(f"loopgate {command} --json", timeout)
        if TOKEN in done.stdout + done.stderr:
            check(f"{command}: no secret is shown", False, done.stdout + done.stderr)
        return done.returncode, json.loads(done.stdout or done.stderr), done.stderr

    def openclaw(self, command: str, env: str = "") -> subprocess.CompletedProcess:
        start = time.monotonic()
        done = self.shell(f"cd; NO_COLOR=1 {env} openclaw {command}", 400)
        print(f"     $ openclaw {command}: exit {done.returncode} in {time.monotonic() - start:.1f} s", flush=True)
        return done

    def tree(self) -> dict:
        """Every file below ~/.config with its mode and its text."""
        found = {}
        for folder, _, names in os.walk(self.home / ".config"):
            for path in (pathlib.Path(folder, name) for name in names if not name.endswith(".bak")):
                link = path.is_symlink()
                found[str(path.relative_to(self.home))] = (oct(path.lstat().st_mode), os.readlink(path) if link else path.read_text())
        return found

    def states(self) -> dict:
        """Whether each unit is there now, and from now on."""
        return {unit: tuple(self.shell(f"systemctl --user show -P {of} {unit}").stdout.strip()
                            for of in ("ActiveState", "UnitFileState")) for unit in UNITS}

    def drop_in(self, unit: str, text: str) -> None:
        self.write(f".config/systemd/user/{unit}.d/10-fault.conf", text, 0o644)
        self.must("systemctl --user daemon-reload")

    def mend(self, unit: str) -> None:
        folder = self.home / f".config/systemd/user/{unit}.d"
        (folder / "10-fault.conf").unlink()
        if not any(folder.iterdir()):
            folder.rmdir()
        self.must("systemctl --user daemon-reload; systemctl --user reset-failed")

    def answers(self, port: int) -> bool:
        script = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}/healthz', timeout=3).status)"
        return self.shell(f'python3 -c "{script}"').stdout.strip() == "200"

    def runs_at(self, port: int, seconds: float = START_S) -> bool:
        """Whether the gateway's unit is the one that answers there."""
        def holds() -> bool:
            active = self.shell(f"systemctl --user is-active {UNIT}").stdout.strip() == "active"
            return active and listeners(port) == {self.uid} and self.answers(port)
        return eventually(holds, seconds)


def prepare() -> tuple:
    root = Person("root")
    root.must("cp -a /stage/. / && systemd-sysusers && systemctl daemon-reload && journalctl --update-catalog")
    root.must("install -m 755 /tests/openclaw.sh /usr/local/bin/openclaw")
    pathlib.Path("/etc/sudoers.d/tester").write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")
    tester = Tester(USER)
    root.must(f"loginctl enable-linger {USER}")
    eventually(lambda: tester.shell("systemctl --user is-system-running").stdout.strip() in ("running", "degraded"))
    config = {"gateway": {"mode": "local", "bind": "loopback", "auth": {"mode": "token", "token": TOKEN}},
              "update": {"checkOnStart": False}}
    tester.write(".openclaw/openclaw.json", json.dumps(config))
    tester.must("chmod 700 ~/.openclaw")
    done = tester.openclaw("gateway install")
    check("OpenClaw's own installer sets its gateway up", done.returncode == 0 and tester.runs_at(GATE), done.stdout + done.stderr)
    return root, tester


def refusals(root: Person, tester: Tester) -> None:
    """What stands in the way is said, and nothing is touched."""
    before = tester.tree(), tester.states()
    done = root.shell("loopgate adopt")
    check("root is told who does it", done.returncode == 64 and "as that user" in done.stderr, done.stderr)
    root.must("systemctl enable loopgate.socket")
    code, report, _ = tester.move("adopt")
    command = "sudo systemctl disable --now loopgate.socket"
    check("an instance of the system stands in the way, and its end is named", code == 78 and report["next"][0] == command, report)
    doctor_says = [line for one in doctor.findings(tester.doctor(checks="openclaw")) for line in one["mend"]]
    check("doctor names both commands", doctor_says == [command, "loopgate adopt"], doctor_says)
    tester.must(report["next"][0])
    for port in (GATE, 18791, 18800):
        code, report, _ = tester.move(f"adopt --runtime-port={port}")
        check(f"port {port} would be in the gate's way", code == 64, report)
    thief = subprocess.Popen(["python3", "-c", LISTENER, str(RUNTIME)])
    eventually(lambda: listeners(RUNTIME))
    code, report, _ = tester.move(f"adopt --runtime-port={RUNTIME}")
    check("a taken port is refused, and its holder is named", code == 78 and "python3 of user root" in report["message"]
          or "process of user root" in report["message"], report)
    code, report, _ = tester.move("adopt --dry-run")
    check("and passed over where nobody asks for it", code == 0 and report["runtimePort"] == SECOND, report)
    thief.kill()
    thief.wait()
    check("nothing was touched", (tester.tree(), tester.states()) == before, tester.states())
    shown = tester.shell("loopgate adopt --dry-run")
    print(shown.stdout)
    check("a dry run shows everything and does nothing", shown.returncode == 0 and "--port 28789" in shown.stdout
          and (tester.tree(), tester.states()) == before, shown.stdout + shown.stderr)


LISTENER = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(3600)"

# What goes wrong, by whose unit, and what loopgate says of it.
FAULTS = [
    ("the gateway finds its new port taken", UNIT, "[Unit]\nWants=thief.service\nAfter=thief.service\n", "holds it|does not"),
    ("the gateway does not start behind loopgate", UNIT,
     "[Service]\nExecStartPre=/bin/sh -c 'test ! -e %h/.config/systemd/user/openclaw-gateway.service.d/50-loopgate.conf'\n", "start"),
    ("the socket cannot be opened", "loopgate.socket", "[Socket]\nListenStream=127.0.0.1:1\n", "enable --now loopgate.socket: systemctl: Job"),
    ("loopgated does not start", "loopgate.service", "[Service]\nExecStart=\nExecStart=/bin/false\n", "port 18789"),
]


def rollbacks(tester: Tester) -> None:
    """Whatever goes wrong on the way, everything is as it was."""
    thief = f"[Service]\nType=exec\nExecCondition=/bin/sh -c 'test -e %h/.config/systemd/user/{UNIT}.d/50-loopgate.conf'\n" \
            f"ExecStart=/usr/bin/python3 -c \"{LISTENER}\" {RUNTIME}\n"
    tester.write(".config/systemd/user/thief.service", thief, 0o644)
    tester.write(".config/loopgate/loopgate.conf", CONF, 0o640)
    for name, unit, text, words in FAULTS:
        tester.drop_in(unit, text)
        before = tester.tree(), tester.states()
        start = time.monotonic()
        code, report, err = tester.move("adopt")
        took = time.monotonic() - start
        print(f"     {report.get('fault')} ({took:.1f} s)")
        check(f"{name}: it says so and puts all back", code == 1 and report.get("putBack") and not report["notPutBack"]
              and any(word in report["fault"] for word in words.split("|")) and "as it was before" in err, (code, report, err))
        check(f"{name}: the gateway is back", tester.runs_at(GATE, 5), tester.states())
        tester.shell("systemctl --user stop thief.service")
        after = tester.tree(), tester.states()
        check(f"{name}: files and units are as before", after == before, (before, after))
        tester.mend(unit)
    tester.must(f"rm ~/.config/systemd/user/thief.service; systemctl --user daemon-reload; systemctl --user restart {UNIT}")
    check("and it runs", tester.runs_at(GATE))


def adopted(tester: Tester, name: str, code: int, report: dict) -> None:
    good = code == 0 and report["ok"] and report["runtimePort"] == RUNTIME and not report["putBack"]
    check(f"{name}: it works", good, (code, report))
    holds = listeners(GATE) == {tester.uid} and tester.runs_at(RUNTIME, 5)
    check(f"{name}: loopgate has the port, the gateway the other one", holds, tester.states())
    states = tester.states()
    check(f"{name}: both start with the user", all(states[unit] == BOTH for unit in UNITS[:2]), states)


def moved(tester: Tester, version: str) -> None:
    before = tester.tree(), tester.states()
    adopted(tester, "adopt", *tester.move("adopt")[:2])
    conf = (tester.home / ".config/loopgate/loopgate.conf").read_text()
    want = f"{{\n  runtime: {{ port: {RUNTIME}, unit: '{UNIT}' }},\n  // who may"
    check("what else is in the settings stays", conf == CONF.replace("{\n  // who may", want), conf)
    code, report, _ = tester.move("adopt")
    check("a second time there is nothing to do", code == 0 and report["steps"] == [] and len(report["seen"]) == 3, report)
    done = tester.openclaw("health")
    check("clients get along", done.returncode == 0, done.stdout + done.stderr)
    report = tester.doctor()
    check("doctor has nothing to complain of", report["ok"], doctor.findings(report))

    done = tester.openclaw("gateway status")
    print(done.stdout)
    port = GATE if version == "2026.3.13" else RUNTIME
    fine = done.returncode == 0 and f"port={port} (service args)" in done.stdout and "probe: ok" in done.stdout
    check("`openclaw gateway status` is content", fine, done.stdout + done.stderr)
    done = tester.openclaw("doctor --non-interactive")
    print(done.stdout)
    check("`openclaw doctor` changes nothing", done.returncode == 0 and tester.runs_at(RUNTIME, 5), done.stdout + done.stderr)
    done = tester.openclaw("doctor --fix --non-interactive")
    print(done.stdout)
    # It stops the gateway; whether it gets it started again within its own deadlines is up to it, and to the machine's load.
    tester.must(f"systemctl --user start {UNIT}")
    check("nor does `openclaw doctor --fix`, as far as the port goes", tester.runs_at(RUNTIME) and tester.answers(GATE),
          done.stdout + done.stderr)
    for _ in range(ATTEMPTS):
        main = tester.shell(f"systemctl --user show -P MainPID {UNIT}").stdout
        done = tester.openclaw("gateway restart", f"OPENCLAW_GATEWAY_TOKEN={TOKEN}")
        print(done.stdout, done.stderr)
        again = tester.shell(f"systemctl --user show -P MainPID {UNIT}").stdout
        if done.returncode == 0:
            break
    check("`openclaw gateway restart` restarts it where it is", done.returncode == 0 and main != again and tester.runs_at(RUNTIME),
          done.stdout + done.stderr)
    done = tester.openclaw("gateway install --force")
    check("OpenClaw's installer leaves it where it is", done.returncode == 0 and tester.runs_at(RUNTIME) and tester.answers(GATE),
          done.stdout + done.stderr)
    code, report, _ = tester.move("adopt --dry-run")
    check("and there is still nothing to do", code == 0 and report["steps"] == [], report)

    doctor.Person("root").must(f"systemctl restart user@{tester.uid}.service")
    check("after a restart of the user's manager all is in its place", tester.runs_at(RUNTIME) and tester.answers(GATE))

    code, report, _ = tester.move("release --dry-run")
    check("a dry run of release does nothing", code == 0 and report["steps"] and tester.runs_at(RUNTIME, 5), report)
    released(tester, "release", before)
    code, report, _ = tester.move("release")
    check("a second time there is nothing to do", code == 0 and report["steps"] == [] and tester.runs_at(GATE, 5), report)


def released(tester: Tester, name: str, before: tuple) -> None:
    code, report, _ = tester.move("release")
    check(f"{name}: it works", code == 0 and report["ok"], (code, report))
    check(f"{name}: the gateway has its port back", tester.runs_at(GATE, 5), tester.states())
    after = tester.tree(), tester.states()
    check(f"{name}: files and units are as before", after == before, (before, after))


def interrupted(tester: Tester) -> None:
    """Killed in the middle, and finished by the next run, in either direction."""
    before = tester.tree(), tester.states()
    drop_in = tester.home / f".config/systemd/user/{UNIT}.d/50-loopgate.conf"
    points = [
        ("when the first file is written", drop_in.exists),
        ("when the port is open", lambda: tester.states()["loopgate.socket"] == BOTH),
    ]
    for name, reached in points:
        for way in ("adopt", "release"):
            kill_when(tester, "adopt", reached)
            if way == "adopt":
                adopted(tester, f"killed {name}, adopted again", *tester.move("adopt")[:2])
            released(tester, f"killed {name}, and back by way of {way}", before)
    adopted(tester, "once more", *tester.move("adopt")[:2])
    kill_when(tester, "release", lambda: not drop_in.exists())
    released(tester, "killed when the last file is gone, released again", before)


def kill_when(tester: Tester, command: str, reached) -> None:
    argv = ["setpriv", f"--reuid={tester.uid}", f"--regid={tester.uid}", "--init-groups", "loopgate", command, "--json"]
    env = {"HOME": str(tester.home), "PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": f"/run/user/{tester.uid}"}
    run = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not reached() and run.poll() is None and time.monotonic() < end:
        time.sleep(0.001)
    check(f"{command} is killed in the middle", run.poll() is None, run.returncode)
    run.kill()
    run.wait()


def main() -> int:
    version = sys.argv[1]
    print(f"==== OpenClaw {version}", flush=True)
    try:
        root, tester = prepare()
        refusals(root, tester)
        rollbacks(tester)
        moved(tester, version)
        interrupted(tester)
    except (OSError, ValueError, KeyError, subprocess.SubprocessError):
        check("the test runs to its end", False, traceback.format_exc())
    return 1 if failed or doctor.FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
