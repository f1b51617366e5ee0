"""booted.py VERSION RESTARTS: a real runtime behind loopgate.service in a booted machine. See tests/machine/runtime.

Rule: here the gate is restarted, and not the runtime, and nobody may notice: the page keeps its WebSocket, and the
words of a turn come to every client in order and whole, however often the gate is replaced between them.
"""

import pathlib
import re
import shutil
import sys
import tempfile
import traceback
import types

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/runtime"), str(TOP / "tests/machine"), str(TOP / "tests/compat")]

import child
import clients
import plan
from caller import Caller
from expect import need
from pages import Visit
from provider import Provider
from report import Report, Unexpected
from runtimes import Runtime
from turns import Heard


class Front(clients.Unit):
    """loopgate.service before a runtime that runs on the host, in the machine's network. Stands where a house does."""

    direct = False

    def __init__(self, version: str, work: pathlib.Path, provider: Provider):
        self.version, self.provider, self.runtime = version, provider, None
        self._work = work
        super().__init__([], seeded=False)

    def configure(self, root: pathlib.Path, settings: dict) -> None:
        self.runtime = Runtime(self.version, TOP / "target/compat" / self.version, self._work / "runtime", self.auth)
        self.runtime.configure(self.port, self.provider.config()).start()
        super().configure(root, {**settings, "runtime": {"port": self.runtime.port}})
        folder = root / "etc/systemd/system/loopgate.service.d"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / "usr/share/loopgate/runtime.conf", folder)
        self.systemctl("daemon-reload")

    def log(self) -> str:
        told = self.runtime.log().splitlines()[-200:] if self.runtime else ()
        return "\n".join([*told, "--- gate", super().log()])

    def stop(self) -> str:
        if self.runtime:
            self.runtime.stop()
        return super().stop()


class Trial:
    """One runtime version; a page of its own, and a caller of each client version."""

    def __init__(self, lane, front: Front, restarts: int):
        self.lane, self.front, self.restarts = lane, front, restarts
        self.visit, self.callers, self.took = Visit(lane, front), [], []

    def run(self) -> None:
        check = self.lane.check
        if not check("runtime is ready", self.front.runtime.wait_ready):
            return
        self.callers = [Caller(self.front.port, self.front.secret, version) for version in plan.VERSIONS]
        if not check("page loads", lambda: self.visit.told(self.visit.connect)):
            return
        check("page rests", self.visit.settle)
        for number in range(0, self.restarts, EACH):
            check(f"chat turn over {EACH} restarts of the gate" + (f", {number}" if number else ""), self.turn)
        for name, question in (
            ("page keeps its connection", self.visit.same_socket),
            ("page stays healthy", self.visit.stayed_healthy),
            ("page still answers", self.visit.still_answers),
            ("page's console is clean", self.visit.clean),
            ("callers keep their connections", self.kept),
        ):
            check(name, lambda question=question: self.visit.told(question))

    def turn(self) -> str:
        """Everybody hears a turn during which the gate is restarted again and again."""
        for caller in self.callers:
            caller.get("tts.providers")
        # What the runtime itself says, for the report of a failure.
        witness = Caller(self.front.runtime.port, self.front.secret, self.lane.version)
        heard = Heard(*self.callers, self.front.provider.turn(WORDS), "agent:main:main")
        try:
            heard.ask()
            for number in range(EACH):
                heard.say(STEP, number * 2 * STEP + STEP)
                # These are on their way while the gate goes.
                heard.turn.release(STEP)
                self.took.append(self.front.systemctl("restart loopgate.service"))
                self.kept()
            heard.turn.release_all()
            note = heard.complete()
            self.visit.said = re.escape(heard.turn.words[-1].strip())
            return f"{note}; longest restart {max(self.took) * 1000:.0f} ms"
        except Unexpected as reason:
            raise Unexpected(f"{reason}\nat the runtime itself: {heard.heard(witness)}\n{self.front.log()}") from None
        finally:
            witness.drop()

    def kept(self) -> str:
        lost = [f"{caller.version}: {caller.closed}" for caller in self.callers if caller.closed]
        need(not lost, f"connections are lost: {lost}")
        return f"{len(self.callers)} of {len(self.callers)}"

    def close(self) -> None:
        for caller in self.callers:
            caller.drop()
        self.visit.close()
        entries = self.front.entries()
        taken = [entry for entry in entries if entry["MESSAGE"] == clients.TAKEN_OVER]
        troubles = [entry["MESSAGE"] for entry in entries if entry["MESSAGE"] in clients.TROUBLES]
        self.lane.check("the journal tells the same", lambda: journal(len(taken), len(self.took), troubles))


def journal(taken: int, restarts: int, troubles: list) -> str:
    need(not troubles, f"the journal has {len(troubles)} times: {troubles[:1]}")
    need(taken == restarts, f"{taken} processes took over, not {restarts}")
    return f"{taken} times taken over"


def main() -> int:
    version, restarts = sys.argv[1], int(sys.argv[2])
    logs = TOP / "target/machine" / f"runtime-{version}"
    shutil.rmtree(logs, ignore_errors=True)
    report = Report(logs)
    work = pathlib.Path(tempfile.mkdtemp(prefix="loopgate-booted-"))
    options = types.SimpleNamespace(clients=TOP / "target/compat", only=re.compile(""))
    provider = Provider()
    front = None
    try:
        front = Front(version, work, provider)
        trial = Trial(plan.Lane(plan.Plan(options, front, report, work), version), front, restarts)
        try:
            trial.run()
        finally:
            trial.close()
    except Exception as reason:  # a bug of the harness must not look like a short run
        report.fail("the test runs to its end", str(reason).partition("\n")[0], traceback.format_exc())
    finally:
        if front:
            front.stop()
        child.end_all()
        shutil.rmtree(work, ignore_errors=True)
    return report.close()


# Restarts a turn, and words between them.
EACH, STEP = 5, 4
WORDS = 2 * EACH * STEP

if __name__ == "__main__":
    sys.exit(main())
