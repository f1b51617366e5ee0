"""clients.py RESTARTS: real clients that stay while the service under them is restarted and killed. See `clients`.

Rule: what counts is what the other end sees: the WebSocket of a page as the browser counts it, the words on the page
and in the log of the node host, the sockets of the kernel, and commands that a person types meanwhile.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import types
from concurrent import futures

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/compat"))

import child
import node
import plan
import seed
import table
import ui
from expect import at, equal, exits, need
from report import Report, Unexpected
from static import Site
from target import Gateway, http_status, token_auth


class Unit(Gateway):
    """loopgate.service of the machine, as the system's manager runs it. Stands where tests/compat has a gateway."""

    # What tests/compat goes by: devices have to be approved.
    name = "loopgated"

    def __init__(self, origins: list, seeded: bool = True):
        super().__init__(PORT, token_auth(), seeded)
        self._shell = Shell()
        # The clients are root's and the service is not; here root is who owns it.
        self.configure(pathlib.Path(os.environ["BENCH_ROOT"]), {"origins": origins, "owner": ["root"]})
        self.systemctl("start loopgate.socket")
        need(http_status(PORT, "/readyz") == 200, f"the service does not come up\n{self.log()}")

    def configure(self, root: pathlib.Path, settings: dict) -> None:
        """Writes the files that the service finds, below the machine's `root`."""
        # systemd gives the folder to the user that it makes for the service.
        (root / STATE.relative_to("/")).mkdir(mode=0o700, parents=True)
        if self.seeded:
            seed.write(root / STATE.relative_to("/"), STATE)
        folder = root / "etc/loopgate"
        folder.mkdir(exist_ok=True)
        (folder / "openclaw.json").write_text(json.dumps(seed.config(STATE, self.auth, PORT)), encoding="utf-8")
        (folder / "loopgate.conf").write_text(json.dumps(settings), encoding="utf-8")

    def loopgate(self, *argv: str):
        command = [os.environ["BENCH_ENTER"], "--", "loopgate", "--socket", "/run/loopgate/owner.sock", *argv]
        return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=30, stdin=subprocess.DEVNULL)

    def log(self) -> str:
        return self._shell.run("journalctl --sync; journalctl --no-pager -o short-precise -u loopgate.service")

    def entries(self) -> list:
        text = self._shell.run("journalctl --sync; journalctl --no-pager --all -o json -u loopgate.service")
        return [json.loads(line) for line in text.splitlines()]

    def systemctl(self, words: str) -> float:
        """Runs it to its end; how long that took, in seconds."""
        began = time.monotonic()
        self._shell.run(f"systemctl {words}")
        return time.monotonic() - began

    def show(self, name: str) -> str:
        return self._shell.run(f"systemctl show -P {name} loopgate.service").strip()

    def stop(self) -> str:
        self._shell.close()
        return ""


class Shell:
    """A shell inside the machine. One for all commands, so that a command runs when it is due and not after a start."""

    def __init__(self):
        self._child = subprocess.Popen([os.environ["BENCH_ENTER"], "--", "sh"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, encoding="utf-8")
        self._lock = threading.Lock()

    def run(self, command: str) -> str:
        """What the command prints. Raises Unexpected with its errors if it fails."""
        with self._lock:
            self._child.stdin.write(SCRIPT % command)
            self._child.stdin.flush()
            lines = []
            for line in self._child.stdout:
                lines.append(line)
                if line.startswith(MARK):
                    break
        text = "".join(lines[:-1]).removesuffix("\n")
        if not lines or lines[-1] != f"{MARK} 0\n":
            raise Unexpected(f"{command} failed: {text.strip() if lines else 'the machine is gone'}")
        return text

    def close(self) -> None:
        self._child.stdin.close()
        self._child.wait(timeout=10)


class Guest:
    """The clients of one version: a page, a node host, and commands of which one runs at any time."""

    def __init__(self, lane, gateway, site):
        self.lane, self.gateway = lane, gateway
        self.operator = lane.client("operator", gateway, gateway.auth)
        self.page = ui.Page(lane, gateway, site)
        self.host = node.Host(lane, gateway, self.operator, f"node-{lane.version}")
        self.calls, self.failures = 0, []

    def settle(self) -> None:
        """Remembers what must not change."""
        self.row = self.host.row()
        self.words = len(self.log())
        self.page.settle()

    def work(self, over: threading.Event) -> None:
        """Runs commands one after another until it is over."""
        while not over.is_set():
            argv, judge = self.commands()[self.calls % len(COMMANDS)]
            self.calls += 1
            try:
                self.lane.judged(self.operator, argv, judge, self.gateway)
            except Unexpected as reason:
                self.failures.append(f"{' '.join(argv)}: {reason}")

    def commands(self) -> list:
        return [*COMMANDS[:-1], (self.host.invocation(), node.found_shell)]

    def every_command(self) -> str:
        """Each command once. Says how long they took."""
        return ", ".join(self.lane.judged(self.operator, argv, judge, self.gateway) for argv, judge in self.commands())

    def all_went_well(self) -> str:
        need(not self.failures, f"{len(self.failures)} of {self.calls} failed, first: {''.join(self.failures[:1])}")
        return f"{self.calls} of them"

    def frames(self) -> int:
        return len(self.page.browser.sockets.frames)

    def same_node(self) -> str:
        need(self.host.child.poll() is None, f"the node host ended with status {self.host.child.returncode}")
        row, said = self.host.row(), self.log()[self.words:]
        for field in ("nodeId", "connectedAtMs", "connected"):
            equal(row, field, at(self.row, field))
        need(not re.search("gateway (closed|connect failed)|reconnect", said), f"the node host says: {said.strip()}")
        return f"connected since {at(row, 'connectedAtMs')}, {len(said)} characters in its log since"

    def log(self) -> str:
        return self.host.log.read_text(encoding="utf-8", errors="replace")

    def end(self) -> None:
        if self.host.child:
            child.end(self.host.child)
        if self.page.browser:
            self.lane.report.keep(f"{self.lane.version}.png", self.page.browser.screenshot())
            self.lane.report.keep(f"{self.lane.version}-frames.log", self.page.browser.sockets.transcript())
            self.page.browser.close()


class Trial:
    """The whole: guests come, the service goes and comes back, guests are asked what they saw."""

    def __init__(self, unit: Unit, guests: list, report: Report, restarts: int):
        self.unit, self.guests, self.report, self.restarts = unit, guests, report, restarts
        self.stayed, self.took = set(), []

    def run(self) -> None:
        if not all([self.arrive(guest) for guest in self.guests]):
            return
        self.each(lambda guest: guest.lane.check("commands before", guest.every_command))
        if not self.report.check("all are at rest", self.settle):
            return
        with futures.ThreadPoolExecutor(len(self.guests)) as pool:
            over = threading.Event()
            workers = [pool.submit(guest.work, over) for guest in self.guests]
            try:
                self.report.check(f"{self.restarts} restarts", self.restart_all)
            finally:
                over.set()
            for worker in workers:
                worker.result()
        self.report.check("SIGKILL", self.kill)
        self.each(self.ask)
        self.report.check("the journal tells the same", self.read_journal)

    def each(self, action) -> None:
        """All guests at the same time."""
        with futures.ThreadPoolExecutor(len(self.guests)) as pool:
            list(pool.map(action, self.guests))

    def arrive(self, guest: Guest) -> bool:
        """The node host loads while the page is paired: one page at a time, for a person would not know whose request
        it approves."""
        told = []
        host = threading.Thread(target=lambda: told.append(guest.lane.check("node run connects", guest.host.connect)))
        host.start()
        shown = guest.lane.check("ui connects", lambda: guest.page.told(guest.page.connect))
        host.join()
        return shown and told == [True]

    def settle(self) -> str:
        for guest in self.guests:
            guest.settle()
        self.stayed = connections()
        self.quiet()
        return f"{len(self.stayed)} connections"

    def restart_all(self) -> str:
        for _ in range(self.restarts):
            time.sleep(RESTART_SECS)
            self.meet()
            self.took.append(self.unit.systemctl("restart loopgate.service"))
            self.unharmed()
        return f"longest {max(self.took) * 1000:.0f} ms"

    def meet(self) -> None:
        """Waits a while for a command's connection to the gateway: a restart is to catch it there."""
        limit = time.monotonic() + MEET_SECS
        while time.monotonic() < limit and not connections() - self.stayed:
            time.sleep(0.002)

    def kill(self) -> str:
        """A connection that is within a message cannot outlive this, so nobody is."""
        self.quiet()
        pid = self.unit.show("MainPID")
        self.unit.systemctl("kill --signal=KILL loopgate.service")
        limit = time.monotonic() + BACK_SECS
        while self.unit.show("MainPID") in (pid, "0") or self.unit.show("SubState") != "running":
            need(time.monotonic() < limit, f"not back after {BACK_SECS} s\n{self.unit.log()}")
            time.sleep(0.01)
        self.unharmed()
        equal({"NRestarts": self.unit.show("NRestarts")}, "NRestarts", "1")
        return "back with another process"

    def quiet(self) -> None:
        """Waits until no page has said or heard anything for a while, and no command is connected."""
        limit = time.monotonic() + QUIET_LIMIT_SECS
        seen, since = None, 0
        while seen is None or time.monotonic() < since + QUIET_SECS:
            need(time.monotonic() < limit, f"no silence of {QUIET_SECS} s in {QUIET_LIMIT_SECS} s")
            now = [guest.frames() for guest in self.guests], connections() == self.stayed
            if now != seen or not now[1]:
                seen, since = now, time.monotonic()
            time.sleep(0.01)

    def unharmed(self) -> None:
        gone = self.stayed - connections()
        need(not gone, f"{len(gone)} connections of pages and node hosts are gone\n{self.unit.log()}")

    def ask(self, guest: Guest) -> None:
        for name, question in (
            ("commands meanwhile", guest.all_went_well),
            ("commands after", guest.every_command),
            ("ui keeps its connection", guest.page.same_socket),
            ("ui stays healthy", guest.page.stayed_healthy),
            ("ui still answers", guest.page.still_answers),
            ("ui has one connection to the end", guest.page.same_socket),
            ("ui console is clean", guest.page.clean),
            ("node run keeps its connection", guest.same_node),
        ):
            guest.lane.check(name, lambda question=question: self.told(question, guest))

    def told(self, question, guest: Guest) -> str:
        try:
            return guest.page.told(question)
        except Unexpected as reason:
            raise Unexpected(f"{reason}\n--- the node host\n{guest.log()}") from None

    def read_journal(self) -> str:
        """Each process took over everybody, and nobody was admitted twice."""
        entries = self.unit.entries()
        for trouble in TROUBLES:
            found = [entry for entry in entries if entry["MESSAGE"] == trouble]
            need(not found, f"{len(found)} times: {trouble}: {found and found[0].get('CAUSE')}\n{self.unit.log()}")
        taken = [entry for entry in entries if entry["MESSAGE"] == TAKEN_OVER]
        need(len(taken) == self.restarts + 1, f"{len(taken)} processes took over, not {self.restarts + 1}")
        few = [entry["CONNECTIONS"] for entry in taken if int(entry["CONNECTIONS"]) < len(self.stayed)]
        need(not few, f"a process took over {few} connections, not {len(self.stayed)}")
        for client in ("openclaw-control-ui", "node-host"):
            admitted = [entry for entry in entries
                        if entry["MESSAGE"] == ADMITTED and entry.get("CLIENT_ID") == client]
            need(len(admitted) == len(self.guests), f"{client} was admitted {len(admitted)} times")
        commands = sum(int(entry["CONNECTIONS"]) > len(self.stayed) for entry in taken)
        slowest = max(int(entry["ELAPSED_USEC"]) for entry in taken)
        return f"{len(taken)} times taken over, {commands} with a command's connection; longest {slowest} us"


def connections() -> set:
    """The local ports of clients that are connected to the gateway."""
    rows = [line.split() for line in pathlib.Path("/proc/self/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return {row[1] for row in rows if row[2].endswith(f":{PORT:04X}") and row[3] == ESTABLISHED}


def main() -> int:
    logs = TOP / "target/machine/clients"
    shutil.rmtree(logs, ignore_errors=True)
    report = Report(logs)
    work = pathlib.Path(tempfile.mkdtemp(prefix="loopgate-clients-"))
    sites = [Site(TOP / "target/compat" / version, version) for version in plan.VERSIONS]
    try:
        trial(report, work, sites, int(sys.argv[1]))
    except Exception as reason:  # a bug of the harness must not look like a short run
        report.fail("the test runs to its end", str(reason).partition("\n")[0], traceback.format_exc())
    finally:
        child.end_all()
        shutil.rmtree(work, ignore_errors=True)
    return report.close()


def trial(report: Report, work: pathlib.Path, sites: list, restarts: int) -> None:
    unit = Unit([site.origin for site in sites])
    options = types.SimpleNamespace(clients=TOP / "target/compat", only=re.compile(""))
    run = plan.Plan(options, unit, report, work)
    guests = [Guest(plan.Lane(run, version), unit, site) for version, site in zip(plan.VERSIONS, sites)]
    try:
        Trial(unit, guests, report, restarts).run()
    finally:
        for guest in guests:
            guest.end()
        unit.stop()


def status(result) -> None:
    exits(result, 0)
    table.summary(result.json())


def probe(result) -> None:
    exits(result, 0)
    table.probe(result)


PORT = 18789
STATE = pathlib.Path("/var/lib/loopgate/openclaw")
# The third is the guest's own: a call that its node host answers.
COMMANDS = (
    (("gateway", "call", "status", "--json"), status),
    (("gateway", "probe", "--json"), probe),
    (),
)
ADMITTED = "a client was admitted"
TAKEN_OVER = "connections were taken over from the loopgated before"
TROUBLES = (
    "a connection could not be taken over",
    "what the loopgated before has left cannot be used",
    "connections cannot be kept over a restart",
    "loopgated ends by a fault of its own",
)
RESTART_SECS = 1
# A command loads for two seconds or more before it connects.
MEET_SECS = 3
BACK_SECS = 5
QUIET_SECS = 0.5
QUIET_LIMIT_SECS = 30
ESTABLISHED = "01"
MARK = "--bench-done"
# What a command says of its failure is worth reading only if it fails.
SCRIPT = "{ %s\n} 2>/tmp/errors </dev/null; s=$?; [ $s = 0 ] || cat /tmp/errors; echo; echo " + MARK + " $s\n"

if __name__ == "__main__":
    sys.exit(main())
