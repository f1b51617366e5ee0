"""What clients live through while their runtime dies, freezes and restarts, under load.

Rule: no connection is lost, no read that the gate knows fails, and every other call is answered within its deadline,
with a true error if it must be one. The clients keep calling all the time; each wrong answer is kept.
"""

import collections
import json
import re
import threading
import time

from caller import ANSWER_SECS, Caller
from expect import need
from pages import Visit
from report import Unexpected


class Session:
    """One client that goes on calling until it is told to stop. `seen` counts how its calls ended."""

    def __init__(self, house, version: str, methods: tuple, judge):
        self.caller = Caller(house.port, house.secret, version)
        self.methods, self.judge = methods, judge
        self.seen, self.wrong, self.longest = collections.Counter(), [], 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Lets it finish the call that it is at."""
        self._over.set()
        self._thread.join(ANSWER_SECS + 5)

    def _work(self) -> None:
        number = 0
        while not self._over.wait(PAUSE_SECS) and not self.caller.closed:
            method, params = self.methods[number % len(self.methods)]
            number += 1
            answer = self.caller.ask(method, params).wait()
            self.longest = max(self.longest, answer.secs or ANSWER_SECS)
            self.seen["ok" if answer.ok else answer.error.get("code")] += 1
            if (fault := self.judge(answer)) and len(self.wrong) < WRONG_MAX:
                self.wrong.append(f"{method}: {fault}")


class Crowd:
    """The sessions of a house: as many that read what the gate knows as others that need the runtime."""

    def __init__(self, house, versions: list, pairs: int):
        self.house, self.began = house, time.monotonic()
        self.readers, self.others = [], []
        for number in range(pairs):
            version = versions[number % len(versions)]
            self.readers.append(Session(house, version, READS, never_fails))
            self.others.append(Session(house, version, FORWARDED, true_error))

    def lost(self) -> list:
        return [f"{session.caller.version}: {session.caller.closed}" for session in self.readers + self.others
                if session.caller.closed]

    def stop(self) -> None:
        for session in self.readers + self.others:
            session._over.set()
        for session in self.readers + self.others:
            session.stop()

    def drop(self) -> None:
        for session in self.readers + self.others:
            session.caller.drop()

    def connected(self) -> str:
        lost = self.lost()
        need(not lost, f"{len(lost)} of {len(self.readers + self.others)} connections are lost, first: {lost[:1]}")
        secs = time.monotonic() - self.began
        due = int(secs / TICK_SECS) - 1
        late = [session.caller.version for session in self.readers + self.others
                if len(session.caller.named("tick")) < due]
        need(not late, f"{len(late)} sessions heard fewer than {due} ticks in {secs:.0f} s")
        return f"{len(self.readers + self.others)} sessions for {secs:.0f} s"

    def read(self) -> str:
        return told(self.readers)

    def forwarded(self) -> str:
        good = sum(session.seen["ok"] for session in self.others)
        need(good, "no call was answered by the runtime at all")
        return told(self.others)


class Flight:
    """Calls that are under way while the runtime dies: an agent's run and a wait for its end."""

    def __init__(self, house, version: str):
        self.caller = Caller(house.port, house.secret, version)
        self.turn = house.provider.turn(8)
        run = f"flight-{self.turn.mark}"
        params = {"message": f"Say {self.turn.mark}.", "sessionKey": f"agent:main:{run}", "idempotencyKey": run}
        self.agent = self.caller.ask("agent", params)
        self.turn.wait_asked()
        need(self.agent.wait().ok and self.agent.payload.get("status") == "accepted", f"agent: {self.agent.frames}")
        self.waiting = self.caller.ask("agent.wait", {"runId": run, "timeoutMs": 25_000})

    def told(self) -> str:
        """Both are told that nobody knows what became of them."""
        try:
            limit = time.monotonic() + ANSWER_SECS
            while len(self.agent.frames) < 2 and time.monotonic() < limit and not self.caller.closed:
                time.sleep(0.02)
            count = len(self.agent.frames)
            need(count == 2, f"agent has {count} answers, not 2; closed {self.caller.closed}")
            ends = {"agent": self.agent.frames[1], "agent.wait": (self.waiting.wait().frames or [{}])[0]}
            for method, frame in ends.items():
                error = frame.get("error") or {}
                need(error.get("code") == "UNAVAILABLE", f"{method} in flight ends with {json.dumps(frame)}")
                need(re.search("may have been executed|what came of it is not known", error.get("message", "")),
                     f"{method} in flight is not told that nobody knows: {error.get('message')!r}")
            return "both told"
        finally:
            self.caller.drop()


def run(lane, houses: list) -> None:
    """The fates of the runtime of the lane's version, with clients of every version and the runtime's page before it."""
    house = next((house for house in houses if house.version == lane.version), None)
    if not house:
        return
    lane = lane.at(house)
    visit, crowd = Visit(lane, house), None
    try:
        shown = lane.check("page loads", lambda: visit.told(visit.connect)) and lane.check("page rests", visit.settle)
        if shown:
            lane.check("page's console is clean when loaded", lambda: visit.told(visit.clean))
        crowd = Crowd(house, lane.options.version, PAIRS)
        Fates(lane, house).run(RESTARTS + lane.options.rounds - 1)
        crowd.stop()
        for name, question in (
            ("no connection is lost", crowd.connected),
            ("no read that the gate knows fails", crowd.read),
            ("every other call is answered", crowd.forwarded),
        ):
            lane.check(name, lambda question=question: with_log(question, house))
        for name, question in VISITED if shown else ():
            lane.check(name, lambda question=question: visit.told(lambda: question(visit)))
    finally:
        if crowd:
            crowd.drop()
        visit.close()


class Fates:
    """Everything that happens to one house's runtime, while a crowd calls."""

    def __init__(self, lane, house):
        self.lane, self.house = lane, house

    def run(self, restarts: int) -> None:
        again = ((f"restart {number + 1}", self.restart) for number in range(restarts))
        for name, fate in (("SIGKILL", self.kill), (f"SIGSTOP for {FREEZE_SECS} s", self.freeze), *again):
            self.lane.check(f"runtime {name}", lambda fate=fate: self.live_through(fate))

    def live_through(self, fate) -> str:
        noticed = Noticed(self.house)
        return f"{fate()}, {noticed.soon()}, {self.recovered()}"

    def kill(self) -> str:
        flights = [Flight(self.house, version) for version in self.lane.options.version]
        self.house.runtime.kill()
        try:
            return ", ".join(flight.told() for flight in flights)
        finally:
            self.house.runtime.start().wait_ready()

    def freeze(self) -> str:
        self.house.runtime.freeze()
        try:
            time.sleep(FREEZE_SECS)
        finally:
            self.house.runtime.thaw()
        return "thawed"

    def restart(self) -> str:
        return self.house.runtime.restart()

    def recovered(self) -> str:
        """A forwarded call goes through again."""
        began = time.monotonic()
        caller = Caller(self.house.port, self.house.secret, self.lane.version)
        try:
            while True:
                answer = caller.ask(*FORWARDED[0], deadline=BACKLOG_SECS).wait()
                took = time.monotonic() - began
                if answer.ok:
                    return f"a call goes through after {took:.1f} s"
                if took > BACKLOG_SECS:
                    raise Unexpected(f"no call goes through within {BACKLOG_SECS} s: {json.dumps(answer.error)}\n{self.house.log()}")
                time.sleep(0.05)
        finally:
            caller.drop()


class Noticed:
    """Whether the gate notices that the runtime is there again, once something has happened to it."""

    def __init__(self, house):
        self.house, self.secs = house, {}
        self.before = self.notices()

    def notices(self) -> int:
        return self.house.gate.log().count(READY) if self.house.gate else 0

    def soon(self) -> str:
        """The gate does so as soon as a client that tries at the runtime itself, which may turn long after it says that
        it is ready."""
        began = time.monotonic()

        def measure(name: str, action) -> None:
            action(began + LET_IN_SECS)
            self.secs[name] = time.monotonic() - began
        threads = [threading.Thread(target=measure, args=pair) for pair in (("direct", self.let_in), ("gate", self.said))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        need(len(self.secs) == 2, f"within {LET_IN_SECS} s only {self.secs}\n{self.house.log()}")
        late = self.secs["gate"] - self.secs["direct"]
        told = ", ".join(f"{name} {secs:.2f} s" for name, secs in self.secs.items())
        need(late < NOTICE_SECS, f"noticed {late:.2f} s after a client of the runtime: {told}\n{self.house.log()}")
        return f"noticed: {told}"

    def let_in(self, limit: float) -> None:
        """Until the runtime lets a client in."""
        while time.monotonic() < limit:
            try:
                return Caller(self.house.runtime.port, self.house.secret, self.house.version).drop()
            except (Unexpected, OSError):
                time.sleep(0.05)
        raise Unexpected(f"the runtime lets nobody in within {LET_IN_SECS} s")

    def said(self, limit: float) -> None:
        """Until the gate has told of a runtime that answers."""
        while self.house.gate and self.notices() == self.before:
            need(time.monotonic() < limit, f"not noticed within {LET_IN_SECS} s")
            time.sleep(0.02)


def with_log(question, house) -> str:
    try:
        return question()
    except Unexpected as reason:
        raise Unexpected(f"{reason}\n{house.log()}") from None


def never_fails(answer) -> str:
    return "" if answer.ok else json.dumps(answer.error)


def true_error(answer) -> str:
    """What is wrong with an answer of a call that needs the runtime; "" if nothing is."""
    if answer.ok:
        return ""
    error = answer.error
    if re.search(STOPPING, error.get("message", "")):
        return ""
    if error.get("code") != "UNAVAILABLE" or error.get("retryable") is not True:
        return json.dumps(error)
    after = error.get("retryAfterMs")
    return "" if isinstance(after, int) and 0 < after <= RETRY_MAX_MS else f"retryAfterMs is {after!r}"


def told(sessions: list) -> str:
    wrong = [fault for session in sessions for fault in session.wrong]
    seen = sum((session.seen for session in sessions), collections.Counter())
    need(not wrong, f"{len(wrong)} or more wrong answers of {sum(seen.values())}, first: {wrong[0] if wrong else ''}\n"
         + "\n".join(wrong))
    longest = max(session.longest for session in sessions)
    return f"{', '.join(f'{count} {code}' for code, count in sorted(seen.items()))}; longest {longest:.1f} s"


# What the gate answers by itself when it must.
READS = (
    ("health", {}), ("system-presence", {}), ("sessions.list", {}), ("node.list", {}), ("cron.list", {}),
    ("device.pair.list", {}), ("status", {}), ("config.get", {}), ("gateway.identity.get", {}),
    ("chat.history", {"sessionKey": "main"}), ("models.list", {}), ("channels.status", {}), ("agents.list", {}),
)
# What only the runtime can do. The first one tells whether it is back.
FORWARDED = (
    ("wake", {"mode": "next-heartbeat", "text": "ring"}), ("tts.providers", {}), ("config.schema", {}),
    ("agents.files.list", {"agentId": "main"}),
)
# What is asked of the page that was open all the time.
VISITED = (
    ("page keeps its connection", Visit.same_socket),
    ("page stays healthy", Visit.stayed_healthy),
    ("page still answers", Visit.still_answers),
    ("page's console is clean", Visit.clean),
)
# Pairs of a session that reads and one that needs the runtime; both client versions in turn.
PAIRS = 4
RESTARTS = 5
PAUSE_SECS = 0.2
WRONG_MAX = 20
TICK_SECS = 30
FREEZE_SECS = 20
# After a freeze the runtime has a backlog, and each client wants a leg.
BACKLOG_SECS = 20
# How long it may let nobody in after it has said that it is ready.
LET_IN_SECS = 60
# A second, and another for a machine that has much else to do.
NOTICE_SECS = 2
# What the gate's journal says of a runtime that is there.
READY = "the OpenClaw runtime answers"
# What a runtime that is stopping answers by itself, which is passed on as it is.
STOPPING = "Gateway request entry is closed|unavailable during gateway restart"
# A longer wait than any runtime's start is no true one.
RETRY_MAX_MS = 60_000
