"""A real node host behind the gate: the gate's clients see it, and so do the agents of the runtime.

Rule: what the runtime sees is asked at the runtime itself, past the gate, as an agent of its own would.
"""

import node
from caller import Caller
from child import end
from expect import at, equal, need
from report import Unexpected


def run(lane, houses: list) -> None:
    for house in houses:
        Hosted(lane.at(house), house).play()


class Hosted(node.Host):
    """One node host at a house, from its start to its end."""

    def __init__(self, lane, house):
        super().__init__(lane, house, lane.client("node-operator", house, house.auth), f"node-{lane.version}")
        self.house = house

    def play(self) -> None:
        if self.house.direct:
            return
        try:
            if not self.lane.check("node run connects", self.connect):
                return
            self.lane.command("nodes invoke", self.operator, self.invocation(), node.found_shell, self.house)
            self.lane.command("browser status with a node", self.operator, node.BROWSER, node.browser, self.house)
            self.lane.check("the runtime sees the node", lambda: self.told(self.seen))
            self.lane.check("the runtime's agents reach the node", lambda: self.told(self.reached))
            self.lane.check("exec approval through the gate", lambda: self.told(self.approved))
        finally:
            if self.child:
                end(self.child)
        self.lane.check("node run gone", self.gone)
        self.lane.check("the runtime sees it gone", lambda: self.told(lambda: self.seen(False)))

    def told(self, question) -> str:
        try:
            return question()
        except Unexpected as reason:
            raise self.failure(str(reason)) from None

    def seen(self, connected: bool = True) -> str:
        """The runtime lists it, with what it can do."""
        agent = self.agent()
        try:
            row = agent.until(lambda: self.listed(agent, connected), f"the runtime lists it, connected: {connected}")
            if connected:
                need("system.which" in at(row, "commands"), f"its commands are {row.get('commands')}")
            return f"as {at(row, 'nodeId')[:8]}"
        finally:
            agent.drop()

    def listed(self, agent: Caller, connected: bool) -> dict:
        rows = [row for row in agent.get("node.list")["nodes"] if row.get("displayName") == self.name]
        return next((row for row in rows if bool(row.get("connected")) == connected), None)

    def reached(self) -> str:
        """A call from the runtime's side is answered by the host."""
        agent = self.agent()
        try:
            which = {"nodeId": at(self.listed(agent, True), "nodeId"), "command": "system.which",
                     "params": {"bins": ["sh"]}, "idempotencyKey": f"which-{self.lane.version}", "timeoutMs": 15_000}
            answer = agent.get("node.invoke", which)
            equal(answer, "ok", True)
            need(at(answer, "payload.bins.sh").endswith("/sh"), "the node's answer has no path for sh")
            return at(answer, "payload.bins.sh")
        finally:
            agent.drop()

    def approved(self) -> str:
        """What an agent asks at the runtime is shown to a client of the gate, whose answer reaches the agent."""
        agent, person = self.agent(), Caller(self.house.port, self.house.secret, self.lane.version)
        try:
            person.get("tts.providers")
            # A node's own question names its node; this one is the gateway's host's.
            question = {"command": "ls /", "commandArgv": ["ls", "/"], "cwd": "/", "host": "gateway", "security": "full",
                        "ask": "always", "agentId": "main", "sessionKey": "agent:main:main", "timeoutMs": 20_000,
                        "twoPhase": True}
            asked = agent.ask("exec.approval.request", question)
            shown = person.event(lambda frame: frame["event"] == "exec.approval.requested", "exec.approval.requested")
            number = at(shown, "payload.id")
            equal(person.get("exec.approval.resolve", {"id": number, "decision": "allow-once"}), "ok", True)
            agent.until(lambda: len(asked.frames) == 2, "the decision")
            equal(asked.frames[1], "payload.decision", "allow-once")
            return "asked, shown, allowed once"
        finally:
            agent.drop()
            person.drop()

    def agent(self) -> Caller:
        """A client of the runtime's own version, at the runtime itself."""
        return Caller(self.house.runtime.port, self.house.secret, self.house.version)
