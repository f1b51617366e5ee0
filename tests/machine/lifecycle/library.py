"""needrestart: after a library was replaced it names the service, and restarts it under live sessions."""

import json

from box import Box, listeners
from crowd import Crowd
from expect import need


def run(trial) -> None:
    library = Library(trial.box)
    trial.steps((
        ("installation", library.install),
        ("before, nothing needs a restart", library.quiet),
        ("a library is replaced: needrestart names the service", library.named),
        ("needrestart -r a restarts it, 40 sessions", library.restart),
        ("afterwards nothing needs a restart", library.quiet),
    ), vital=1)


class Library:
    """The package on a machine with needrestart."""

    def __init__(self, box: Box):
        self.box, self.root = box, box.root

    def install(self) -> str:
        self.box.apt("install /packages/a.deb")
        config = {"gateway": {"mode": "local", "auth": {"mode": "token", "token": TOKEN}}}
        (self.box.files / "etc/loopgate/openclaw.json").write_text(json.dumps(config), encoding="utf-8")
        self.root.ok("loopgate status --json")
        return self.root.ok("needrestart --version 2>&1 | grep -o 'needrestart [0-9.]*'; :")

    def services(self) -> list:
        text = self.root.ok("needrestart -b -r l -l")
        return [line.split()[1] for line in text.splitlines() if line.startswith("NEEDRESTART-SVC:")]

    def quiet(self) -> str:
        need("loopgate.service" not in self.services(), f"{self.services()}")
        return f"{len(self.services())} others"

    def named(self) -> str:
        """As dpkg replaces it: another file comes under the name, the old one lives on in who has it open."""
        pid = self.box.show("loopgate.service", "MainPID")
        paths = self.root.ok(f"sed -n 's|.* \\(/.*/{LIBRARY}\\)$|\\1|p' /proc/{pid}/maps | sort -u").splitlines()
        need(len(paths) == 1, f"{LIBRARY} is mapped from {paths}")
        self.root.ok(f"cp -p {paths[0]} {paths[0]}.new && mv {paths[0]}.new {paths[0]}")
        need("loopgate.service" in self.services(), f"{self.services()}")
        return paths[0]

    def restart(self) -> str:
        sockets, pid = listeners(), self.box.show("loopgate.service", "MainPID")
        with Crowd(TOKEN) as crowd:
            self.box.said = self.root.ok("needrestart -r a -l -q 2>&1")
            need(self.box.show("loopgate.service", "MainPID") != pid, f"it was not restarted\n{self.box.said}")
            text = crowd.unharmed()
        need(listeners() == sockets, f"other sockets listen: {sockets}, now {listeners()}")
        return text


TOKEN = "tok-package-000000000000000000003"
LIBRARY = "libgcc_s.so.1"
