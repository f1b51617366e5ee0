"""Port 18789 is somebody else's when the package comes: it is installed all the same, says so, and shows the way out."""

import re

from box import PORT, Box, listeners, wait_for
from expect import need
from target import http_status


def run(trial) -> None:
    for name, start in (
        ("another program", PROGRAM),
        ("OpenClaw's own gateway", GATEWAY),
    ):
        taken = Taken(trial.box, start)
        trial.steps([(f"{name} holds the port: {what}", action) for what, action in (
            ("it listens", taken.listen),
            ("installation succeeds, and says so", taken.install),
            ("nothing has failed, and the holder still serves", taken.unharmed),
            ("an upgrade meanwhile succeeds too, and starts nothing", taken.upgrade),
            ("the way out that was printed works", taken.way_out),
            ("purge", taken.purge),
        )])


class Taken:
    """`start` is the command of the user tester that takes the port."""

    def __init__(self, box: Box, start: str):
        self.box, self.root, self.start = box, box.root, start
        self.printed = ""

    def listen(self) -> str:
        self.box.user().ok(self.start)
        # The listener of an IPv4 address is enough to be in the way.
        return str(wait_for("somebody listens", listeners))

    def install(self) -> str:
        self.printed = self.box.apt("install /packages/a.deb")
        need("18789" in self.printed, f"the port is not named\n{self.printed}")
        need("tester" in self.printed, f"who holds it is not said\n{self.printed}")
        need("loopgate adopt" in self.printed, f"how a gateway is kept is not said\n{self.printed}")
        need(self.commands(), f"no command is shown\n{self.printed}")
        return "; ".join(self.commands())

    def commands(self) -> list:
        return re.findall(r"^\s*\$ (.+)$", self.printed, re.M)

    def unharmed(self) -> str:
        need(len(listeners()) == 1, f"{listeners()} listen")
        need(self.box.state("loopgate.socket") == ("inactive", "enabled"), f"{self.box.state('loopgate.socket')}")
        need(not self.box.processes(), f"{self.box.processes()} runs")
        return "inactive, enabled"

    def upgrade(self) -> None:
        self.box.dpkg("-i /packages/b.deb")
        self.unharmed()

    def way_out(self) -> str:
        for command in self.commands():
            self.root.ok(command)
        wait_for("the socket is active", lambda: self.box.state("loopgate.socket")[0] == "active")
        need(http_status(PORT, "/readyz") == 200, "/readyz")
        return "; ".join(self.commands())

    def purge(self) -> None:
        self.root.run("systemctl --user -M tester@ stop openclaw-gateway.service")
        self.box.purge()
        need(not listeners(), f"{listeners()} still listen")


LISTENER = "python3 -m http.server --bind 127.0.0.1 18789"
PROGRAM = f"systemd-run --user --quiet --collect --scope {LISTENER} >/dev/null 2>&1 & disown"
# As `openclaw gateway install` names it.
GATEWAY = f"systemd-run --user --quiet --collect --unit=openclaw-gateway -p Restart=always {LISTENER}"
