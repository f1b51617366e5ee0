"""A chat turn end to end: a person asks, the runtime's model answers word by word, two clients hear it.

Rule: both hear every word, in order, and the same; what a runtime may join together it may not lose or repeat.
"""

import json
import uuid

from caller import Caller
from expect import equal, need
from report import Unexpected


def run(lane, houses: list) -> None:
    for house in houses:
        with house.turns:
            lane.at(house).check("chat turn at two clients", lambda: play(lane, house))


def play(lane, house) -> str:
    asker, hearer = (Caller(house.port, house.secret, lane.version) for _ in range(2))
    try:
        # A client that has asked the runtime for nothing gets its leg to it a little later.
        hearer.get("tts.providers")
        heard = Heard(asker, hearer, house.provider.turn(WORDS), f"agent:main:turn-{lane.version}")
        heard.ask()
        for number in range(0, WORDS, STEP):
            heard.say(STEP, number + STEP)
        return heard.complete()
    finally:
        asker.drop()
        hearer.drop()


class Heard:
    """One turn, and what both clients hear of it."""

    def __init__(self, asker: Caller, hearer: Caller, turn, key: str):
        self.asker, self.callers, self.turn, self.key = asker, (asker, hearer), turn, key
        self.run = str(uuid.uuid4())

    def ask(self) -> None:
        """Says it, and waits until the runtime has asked its model."""
        params = {"sessionKey": self.key, "message": f"Say {self.turn.mark}, please.", "idempotencyKey": self.run}
        begun = self.asker.get("chat.send", params)
        equal(begun, "runId", self.run)
        equal(begun, "status", "started")
        self.turn.wait_asked()

    def say(self, count: int, last: int) -> None:
        """Releases `count` words, and waits until both have heard word `last`. Chat events come some time apart, and
        what falls between two of them waits for the next word; agent events do not wait."""
        self.turn.release(count)
        word = self.turn.words[last - 1].strip()
        for caller in self.callers:
            try:
                caller.event(lambda frame: mine(frame, "agent", self.run) and word in json.dumps(frame["payload"]), word)
            except Unexpected as reason:
                raise Unexpected(f"{reason}\n" + "\n".join(map(self.heard, self.callers))) from None

    def heard(self, caller: Caller) -> str:
        """What a caller has heard so far, for the report of a failure."""
        deltas = [payload["data"].get("text") for payload in caller.named("agent") if payload.get("runId") == self.run]
        return f"{caller.version}: {len(caller.events)} events, {len(deltas)} of the run, the last: {deltas[-1:]}"

    def complete(self) -> str:
        """Waits for the end and looks at the whole."""
        for caller in self.callers:
            caller.event(lambda frame: mine(frame, "chat", self.run) and frame["payload"]["state"] == "final",
                         "the final", FINAL_SECS)
        told = [self.story(caller) for caller in self.callers]
        need(told[0] == told[1], f"the clients heard different things:\n{told[0]}\n{told[1]}")
        return f"{len(self.turn.words)} words in {len(told[0])} events"

    def story(self, caller: Caller) -> list:
        """(seq, state, text) of the run's chat events, after a look at their order."""
        events = [payload for payload in caller.named("chat") if payload["runId"] == self.run and "message" in payload]
        deltas = [payload["data"]["delta"] for payload in caller.named("agent")
                  if payload.get("runId") == self.run and payload.get("stream") == "assistant"]
        need("".join(deltas).strip() == self.turn.text, f"the words of its agent events are {''.join(deltas)!r}")
        story = [(payload["seq"], payload["state"], text_of(payload)) for payload in events]
        for before, after in zip(story, story[1:]):
            need(before[0] <= after[0], f"seq {after[0]} came after {before[0]}")
            need(after[2].startswith(before[2]), f"{after[2]!r} does not go on from {before[2]!r}")
        states = [state for _, state, _ in story]
        need(states == ["delta"] * (len(states) - 1) + ["final"], f"the states are {states}")
        need(len(states) > 2, f"only {len(states)} events: nothing was streamed")
        equal({"text": story[-1][2]}, "text", self.turn.text)
        return story


def mine(frame: dict, name: str, run: str) -> bool:
    return frame["event"] == name and frame["payload"].get("runId") == run


def text_of(payload: dict) -> str:
    return "".join(part.get("text", "") for part in payload.get("message", {}).get("content", ()))


WORDS, STEP = 40, 4
# The runtime writes its transcript before it says that it is done.
FINAL_SECS = 30
