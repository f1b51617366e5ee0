"""The other two kinds of instance: the system's unit that acts for a user, and the units of a user's own manager."""

import functools
import json

from box import PORT, Box, listeners
from census import Census
from crowd import Crowd
from expect import need
from target import http_status


def run(trial) -> None:
    for kind in (Template, Users):
        instance = kind(trial.box)
        trial.steps([(f"{kind.NAME}: {name}", action) for name, action in (
            ("a census before", instance.before),
            ("install, and part with the system's own", instance.install),
            ("it serves as the user", instance.serves),
            ("upgrade, 40 sessions", functools.partial(instance.change, "b")),
            ("downgrade, 40 sessions", functools.partial(instance.change, "a")),
            ("upgrade with settings that cannot be used: the old one goes on", instance.unusable),
            ("remove tells everybody, and closes the port", instance.remove),
            ("installed again, it is as the user left it", instance.again),
            ("purge while it runs", instance.purge),
            ("nothing is left", instance.nothing_left),
        )])


class Instance:
    """An instance that acts for the user tester. What differs is in the classes below."""

    def __init__(self, box: Box):
        self.box, self.root, self.tester = box, box.root, box.user()

    def systemctl(self, words: str) -> str:
        raise NotImplementedError

    def before(self) -> str:
        auth = {"mode": "token", "token": TOKEN}
        home = self.box.files / "home/tester/.openclaw"
        home.mkdir(mode=0o700, exist_ok=True)
        (home / "openclaw.json").write_text(json.dumps({"gateway": {"mode": "local", "auth": auth}}), encoding="utf-8")
        self.root.ok("chown -R tester: /home/tester/.openclaw")
        self.census = Census(self.box)
        return f"{len(self.census.files)} files"

    def install(self) -> None:
        self.box.apt("install /packages/a.deb")
        self.root.ok("systemctl disable --now loopgate.socket")
        self.systemctl(f"enable --now {self.SOCKET}")

    def serves(self) -> str:
        need(http_status(PORT, "/readyz") == 200, "/readyz")
        seen = self.box.processes()
        need([(user, program) for _, user, program in seen] == [("tester", "/usr/bin/loopgated")], f"{seen}")
        json.loads(self.tester.ok("loopgate status --json"))
        return self.state()

    def state(self) -> str:
        return self.systemctl(f"show -P StatusText {self.SERVICE}").strip()

    def change(self, package: str) -> str:
        sockets = listeners()
        since, pid = (self.systemctl(f"show -P {name} {unit}") for name, unit in
                      (("ActiveEnterTimestampMonotonic", self.SOCKET), ("MainPID", self.SERVICE)))
        with Crowd(TOKEN) as crowd:
            self.box.dpkg(f"-i /packages/{package}.deb")
            seen = self.box.processes()
            need(len(seen) == 1 and seen[0][0] != pid.strip() and seen[0][2] == "/usr/bin/loopgated",
                 f"{seen} runs, before it was {pid}\n{self.box.said}")
            text = crowd.unharmed()
        need(listeners() == sockets, f"other sockets listen: {sockets}, now {listeners()}")
        need(self.systemctl(f"show -P ActiveEnterTimestampMonotonic {self.SOCKET}") == since, "the socket was restarted")
        need(self.systemctl(f"show -P NeedDaemonReload {self.SERVICE}").strip() == "no", "the manager has the old unit")
        need(self.box.state("loopgate.socket") == ("inactive", "disabled"), f"{self.box.state('loopgate.socket')}")
        return text

    def unusable(self) -> str:
        """Its user finds out, and mends it, and nobody is harmed."""
        with Crowd(TOKEN) as crowd:
            self.tester.ok("mkdir -p ~/.config/loopgate && echo '{ nonsense' >~/.config/loopgate/loopgate.conf")
            said = self.box.dpkg("-i /packages/b.deb")
            need("loopgate:" in said, f"nothing was said\n{said}")
            program = self.box.processes()[0][2]
            need(program.endswith("(deleted)"), f"what runs is {program}\n{said}")
            self.tester.ok("rm -r ~/.config/loopgate; rmdir --ignore-fail-on-non-empty ~/.config")
            self.systemctl(f"restart {self.SERVICE}")
            text = crowd.unharmed()
        return text

    def remove(self) -> str:
        crowd = Crowd(TOKEN)
        self.box.apt("remove loopgate")
        text = crowd.told(1012)
        need(not self.box.processes(), f"{self.box.processes()} still runs\n{self.box.said}")
        need(not listeners(), f"{listeners()} still listen")
        return text

    def again(self) -> str:
        """What was enabled is so still, and comes back with the package where that is root's; the system's stays disabled."""
        self.box.apt("install /packages/a.deb")
        need(self.box.state("loopgate.socket") == ("inactive", "disabled"),
             f"{self.box.state('loopgate.socket')}\n{self.box.said}")
        need(self.systemctl(f"is-enabled {self.SOCKET}").strip() == "enabled", "it is not enabled any more")
        need(bool(listeners()) == self.COMES_BACK, f"{listeners()} listen")
        self.systemctl(f"start {self.SOCKET}")
        with Crowd(TOKEN, 3) as crowd:
            crowd.unharmed()
        return "came by itself" if self.COMES_BACK else "had to be started"

    def purge(self) -> None:
        self.box.purge()
        need(not self.box.processes() and not listeners(), f"{self.box.processes()} and {listeners()} are left")

    def nothing_left(self) -> str:
        return self.census.same(Census(self.box), self.OWN)


class Template(Instance):
    """loopgate@tester of the system's manager."""

    NAME, SOCKET, SERVICE = "for a user", "loopgate@tester.socket", "loopgate@tester.service"
    COMES_BACK = True
    OWN = ()

    def systemctl(self, words: str) -> str:
        return self.root.ok(f"systemctl {words}")


class Users(Instance):
    """loopgate of the user's manager."""

    NAME, SOCKET, SERVICE = "a user's own", "loopgate.socket", "loopgate.service"
    # The user's manager starts what its user has enabled when it starts itself.
    COMES_BACK = False
    OWN = (
        ("/home/tester/.config*", "what the user has enabled is the user's"),
        ("/home/tester/.local*", "the state is the user's, in the home"),
    )

    def systemctl(self, words: str) -> str:
        return self.tester.ok(f"systemctl --user {words}")

    def nothing_left(self) -> str:
        loaded = self.tester.ok("systemctl --user list-units --all --no-legend --plain 'loopgate*'")
        left = [line for line in loaded.splitlines() if line.split()[1:3] != ["not-found", "inactive"]]
        need(not left, f"units are left in the user's manager\n{loaded}")
        return super().nothing_left()


TOKEN = "tok-package-000000000000000000002"
