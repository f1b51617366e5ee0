"""A real `openclaw node run` host behind the gateway: the browser, and calls that are relayed.

Rule: the node is a client like any other, with a home of its own; what it may do is approved by the
command line of the same version, as a person would do it.
"""

import time

from child import end
from expect import at, equal, exits, need, says
from report import Unexpected
from target import token_auth


def run(lane) -> None:
    with lane.served("node", token_auth()) as gateway:
        if not gateway:
            return
        operator = lane.client("node-operator", gateway, gateway.auth)
        if lane.run.aim.name == "loopgated":
            lane.command("browser status without a node", operator, BROWSER, no_browser, gateway)
        Host(lane, gateway, operator).play()


class Host:
    """One node host from its start to its end. `name` tells it from others of the same gateway."""

    def __init__(self, lane, gateway, operator, name=""):
        self.lane, self.gateway, self.operator, self.name = lane, gateway, operator, name or NAME
        self.client = lane.client("node-host", gateway, gateway.auth)
        self.log = self.client.home / "node.log"
        self.child = None

    def play(self) -> None:
        try:
            if not self.lane.check("node run connects", self.connect):
                return
            self.commands()
        finally:
            if self.child:
                end(self.child)
        self.lane.check("node run gone", self.gone)

    def commands(self) -> None:
        for name, argv, judge in (
            ("nodes status with a node", ("nodes", "status", "--json"), connected),
            ("browser status with a node", BROWSER, browser),
            ("nodes invoke", self.invocation(), found_shell),
        ):
            self.lane.command(name, self.operator, argv, judge, self.gateway)

    def invocation(self) -> tuple:
        """The command that has the host look for a shell."""
        which = ("--command", "system.which", "--params", '{"bins":["sh"]}')
        return ("nodes", "invoke", "--node", self.name, *which, "--json")

    def connect(self) -> str:
        """Starts the host and waits until the gateway lists it with its browser, approving it if asked."""
        argv = ("node", "run", "--host", "127.0.0.1", "--port", str(self.gateway.port), "--display-name", self.name)
        env = {"OPENCLAW_GATEWAY_TOKEN": self.gateway.secret}
        with self.log.open("w", encoding="utf-8") as log:
            self.child = self.client.start(*argv, log=log, env=env)
        limit = time.monotonic() + CONNECT_SECS
        while time.monotonic() < limit:
            if self.child.poll() is not None:
                raise self.failure(f"the node host ended with status {self.child.returncode}")
            row = self.row()
            if row and row.get("pendingRequestId"):
                self.approve(row["pendingRequestId"])
            elif row and row.get("connected") and "browser.proxy" in row.get("commands", ()):
                return "listed with browser.proxy"
        raise self.failure(f"not connected after {CONNECT_SECS} s")

    def gone(self) -> None:
        """A node that has ended stays known, and is not shown as connected."""
        row = self.row()
        if not row or row.get("connected"):
            raise self.failure("still connected after its end" if row else "no longer known after its end")

    def row(self) -> dict:
        result = self.operator.run("nodes", "status", "--json")
        if result.code != 0:
            raise self.failure(f"nodes status: exit {result.code}\n{result.evidence}")
        nodes = at(result.json(), "nodes")
        return next((node for node in nodes if node.get("displayName") == self.name), None)

    def approve(self, request: str) -> None:
        result = self.operator.run("nodes", "approve", request, "--json")
        if result.code != 0:
            raise self.failure(f"nodes approve: exit {result.code}\n{result.evidence}")

    def failure(self, reason: str) -> Unexpected:
        log = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return Unexpected(f"{reason}\n{self.gateway.log()}\n--- the node host\n{log}")


def no_browser(result) -> None:
    exits(result, 1)
    says(result, "browser", "node|runtime", "connect")


def browser(result) -> None:
    exits(result, 0)
    says(result, r"^\s*(profile|enabled): ", "running: ")


def connected(result) -> None:
    exits(result, 0)
    nodes = [node for node in at(result.json(), "nodes") if node.get("displayName") == NAME]
    need(len(nodes) == 1, f"{len(nodes)} nodes with the name of the host, not 1")
    equal(nodes[0], "connected", True)
    equal(nodes[0], "paired", True)
    need("browser" in at(nodes[0], "caps"), "the node's capability browser is not listed")


def found_shell(result) -> None:
    exits(result, 0)
    answer = result.json()
    equal(answer, "ok", True)
    need(at(answer, "payload.bins.sh").endswith("/sh"), "the node's answer has no path for sh")


NAME = "compat-node"
BROWSER = ("browser", "status")
# A host loads for some 5 s before it connects, longer with both lanes busy.
CONNECT_SECS = 90
