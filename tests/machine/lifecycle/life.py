"""The life of the package on one machine, from the first installation to the purge."""

import functools
import json
import pathlib
import re

import openclaw
import seed
from box import PORT, Box, listeners
from census import Census
from crowd import Crowd
from expect import at, equal, need
from target import http_status


def run(trial) -> None:
    life = Life(trial.box)
    begun = trial.steps((
        ("a census before", life.before),
        ("apt-get install", life.install),
        ("the port is there, and enabled", life.port),
        ("two commands to a working gate: loopgate status as root", life.first_status),
        ("a token is made, and nobody else can read it", life.generated),
        ("nothing else is enabled", life.nothing_else),
        ("the service runs as loopgate, on both families", life.serves),
        ("the system user is locked", life.locked),
        ("manual, completions, catalog are where they are looked for", life.documents),
        ("journalctl -x explains an entry", life.explained),
        ("systemd-analyze verify is silent", life.verified),
        ("systemd-analyze security", life.secured),
        ("dpkg --verify is silent", life.intact),
        ("a member of the group is an owner", life.member),
    ), vital=5)
    if not begun:
        return
    trial.every(life.real_clients())
    trial.steps((
        ("upgrade by dpkg -i, 40 sessions", functools.partial(life.change, "b", "dpkg -i")),
        ("downgrade by dpkg -i, 40 sessions", functools.partial(life.change, "a", "dpkg -i")),
        ("upgrade by apt-get, 40 sessions", functools.partial(life.change, "b", "apt")),
        ("downgrade by apt-get, 40 sessions", functools.partial(life.change, "a", "apt")),
        ("reinstallation, 40 sessions", functools.partial(life.change, "a", "apt --reinstall")),
        ("changed settings outlive an upgrade, without a question", life.settings_kept),
        ("both have changed the settings: noninteractive keeps the administrator's", life.settings_both),
        ("both have changed the settings: plain dpkg asks, and can go on", life.settings_asked),
        ("a device is paired", life.pair),
        ("remove tells everybody, and closes the port", life.remove),
        ("what was there is kept", life.kept),
        ("installed again, it knows its devices", life.again),
        ("purge", life.box.purge),
        ("nothing is left", life.nothing_left),
    ), vital=0)


class Life:
    """Steps, in their order. What a later one needs to know is kept here."""

    def __init__(self, box: Box):
        self.box, self.root = box, box.root
        self.token = ""

    # -- installation --

    def before(self) -> str:
        self.box.user()
        need(self.box.version() == "" or "no packages" in self.box.version(), "the package is there already")
        self.census = Census(self.box)
        return f"{len(self.census.files)} files"

    def install(self) -> str:
        said = self.box.apt("install /packages/a.deb")
        wrong = [line for line in said.splitlines() if re.search("warning|error|fail|could not|not found", line, re.I)]
        need(not wrong, f"apt-get complains: {wrong}\n{said}")
        return self.box.version()

    def port(self) -> str:
        need(self.box.state("loopgate.socket") == ("active", "enabled"), f"{self.box.state('loopgate.socket')}")
        need(len(listeners()) == 2, f"{listeners()} listen")
        need(not self.box.processes(), "the service runs before anybody has asked for it")
        return "active, enabled; the service waits for the first client"

    def nothing_else(self) -> None:
        files = self.root.ok("systemctl list-unit-files --no-legend --plain 'loopgate*'")
        enabled = [line.split()[0] for line in files.splitlines() if line.split()[1] == "enabled"]
        need(enabled == ["loopgate.socket"], f"enabled are {enabled}\n{files}")
        theirs = self.box.user().ok("systemctl --user list-unit-files --no-legend --plain 'loopgate*'")
        need(len(theirs.splitlines()) == 2 and all(line.split()[1] != "enabled" for line in theirs.splitlines()),
             f"the user's:\n{theirs}")

    def first_status(self) -> str:
        answer = json.loads(self.root.ok("loopgate status --json"))
        return f"{len(json.dumps(answer))} characters"

    def serves(self) -> str:
        seen = self.box.processes()
        need([(user, program) for _, user, program in seen] == [("loopgate", "/usr/bin/loopgated")], f"{seen}")
        need(http_status(PORT, "/readyz") == 200, "/readyz on 127.0.0.1")
        text = self.root.ok(f"exec 3<>/dev/tcp/::1/{PORT}; printf 'GET /readyz HTTP/1.1\\r\\nHost: [::1]:{PORT}\\r\\n"
                            f"Connection: close\\r\\n\\r\\n' >&3; timeout 5 cat <&3")
        need(" 200 " in text.splitlines()[0], f"/readyz on ::1 says {text}")
        return self.box.show("loopgate.service", "StatusText")

    def locked(self) -> str:
        status = self.root.ok("passwd -S loopgate")
        need(status.split()[1] in ("L", "LK"), status)
        line = self.root.ok("getent passwd loopgate")
        need(line.endswith("/nologin") and int(line.split(":")[2]) < 1000, line)
        return line

    def generated(self) -> str:
        self.token = self.root.ok("cat /var/lib/loopgate/gateway-token").strip()
        mode = self.root.ok("stat -c '%a %U' /var/lib/loopgate/gateway-token")
        need(mode == "600 loopgate", mode)
        need(re.fullmatch("[A-Za-z0-9_-]{43}", self.token), "it is not 32 bytes in base64url")
        journal = self.root.ok("journalctl --sync; journalctl --no-pager --all -o export")
        need(self.token not in journal, "the journal shows it")
        return mode

    def documents(self) -> None:
        for path in DOCUMENTS:
            need((self.box.files / path.relative_to("/")).exists(), f"{path} is missing")

    def explained(self) -> str:
        text = self.root.ok(f"journalctl --sync; journalctl --no-pager -x -u loopgate.service MESSAGE_ID={READY_ID}")
        found = re.search("^░░ Subject: (loopgated is ready.*)", text, re.M)
        need(found, f"no explanation\n{text}")
        return found.group(1)

    def verified(self) -> None:
        # The machine has no man(1); that the pages are there is another check.
        verify, units = "systemd-analyze --man=no verify", "loopgate.service loopgate.socket"
        for shell, command in (
            (self.root, f"{verify} /usr/lib/systemd/system/loopgate.* /usr/lib/systemd/system/loopgate@*"),
            (self.root, f"{verify} {units} loopgate@tester.service loopgate@tester.socket"),
            (self.box.user(), f"{verify} --user {units}"),
        ):
            text = shell.ok(command)
            need(not text.strip(), f"{command}\n{text}")

    def secured(self) -> str:
        def figure(unit: str) -> float:
            text = self.root.ok(f"systemd-analyze security --no-pager {unit}")
            return float(re.search(r"(\d+\.\d+) \w+", text.splitlines()[-1]).group(1))
        ours, users = figure("loopgate.service"), figure("loopgate@tester.service")
        need(ours <= EXPOSURE_MAX, f"it is {ours}")
        return f"{ours}; the one that acts for a user {users}"

    def intact(self) -> None:
        text = self.root.ok("dpkg --verify loopgate")
        need(not text.strip(), text)

    # -- use --

    def member(self) -> str:
        status, text = self.root.run(AS_TESTER + "loopgate status --json")
        need(status != 0, "everybody may ask without a secret")
        self.root.ok("usermod -aG loopgate tester && systemctl reload loopgate.service")
        json.loads(self.root.ok(AS_TESTER + "loopgate status --json"))
        return f"before that exit {status}"

    def real_clients(self) -> list:
        """The table of tests/compat, by an owner who is not root, with the token that was made. The machine has what
        `seed` writes, and an openclaw.json that names no token."""
        state = pathlib.Path("/var/lib/loopgate/openclaw")
        seed.write(self.box.files / state.relative_to("/"), state)
        config = json.dumps(seed.config(state, {"mode": "token"}, PORT))
        (self.box.files / "etc/loopgate/openclaw.json").write_text(config, encoding="utf-8")
        self.root.ok(f"chown -R loopgate: {state}; systemctl reload loopgate.service")
        return openclaw.every_command(self.box, "tester", self.token, PORT)

    # -- other versions --

    def change(self, package: str, how: str) -> str:
        """Another version under live sessions: the same sockets, the next process, no question, no fault."""
        sockets, since = listeners(), self.box.show("loopgate.socket", "ActiveEnterTimestampMonotonic")
        pid = self.box.show("loopgate.service", "MainPID")
        with Crowd(self.token) as crowd:
            if how.startswith("dpkg"):
                said = self.box.dpkg(f"{how.removeprefix('dpkg')} /packages/{package}.deb")
            else:
                more = how.removeprefix("apt").strip()
                said = self.box.apt(f"install --allow-downgrades {more} /packages/{package}.deb")
            self.runs_new(pid)
            text = crowd.unharmed()
        need(listeners() == sockets, f"other sockets listen: {sockets}, now {listeners()}")
        need(self.box.show("loopgate.socket", "ActiveEnterTimestampMonotonic") == since, "the socket was restarted")
        need("loopgate:" not in said and "rror" not in said, said)
        stale = [unit for unit in ("loopgate.service", "loopgate.socket") if self.box.show(unit, "NeedDaemonReload") != "no"]
        need(not stale, f"the manager has old units: {stale}")
        return text

    def runs_new(self, old: str) -> None:
        seen = self.box.processes()
        need(len(seen) == 1 and seen[0][0] != old and seen[0][2] == "/usr/bin/loopgated",
             f"{seen} runs, before it was {old}\n{self.box.said}")

    def settings_kept(self) -> str:
        self.root.ok(f"sed -i '1i {MARK}' {SETTINGS}")
        text = self.change("b", "dpkg -i")
        need(MARK in self.root.ok(f"cat {SETTINGS}"), "the change is lost")
        self.no_leftovers()
        self.change("a", "dpkg -i")
        return text

    def settings_both(self) -> str:
        text = self.change("c", "apt -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold")
        need(MARK in self.root.ok(f"cat {SETTINGS}"), "the change is lost")
        need(self.root.run(f"test -e {SETTINGS}.dpkg-dist")[0] == 0, "the maintainer's is not beside it")
        self.change("a", "dpkg --force-confold -i")
        return text

    def settings_asked(self) -> str:
        """Without a terminal dpkg cannot ask and stops; the sessions must not mind, and it must be possible to go on."""
        with Crowd(self.token) as crowd:
            status, text = self.root.run("dpkg -i /packages/c.deb")
            need(status != 0 and "conffile" in text, f"exit {status}\n{text}")
            need(self.root.ok("dpkg --audit").strip(), "dpkg believes that all is well")
            self.box.dpkg("--configure -a --force-confdef --force-confold")
            note = crowd.unharmed()
        need(MARK in self.root.ok(f"cat {SETTINGS}"), "the change is lost")
        self.change("a", "dpkg --force-confold -i")
        self.root.ok(f"sed -i 1d {SETTINGS}; rm -f {SETTINGS}.dpkg-*")
        return note

    def no_leftovers(self) -> None:
        left = self.root.ok("ls /etc/loopgate")
        need(".dpkg-" not in left, f"files are left beside the settings\n{left}")

    # -- the end --

    def pair(self) -> str:
        self.devices = self.paired()
        need(self.devices, "no device is paired")
        return f"{len(self.devices)} of them"

    def paired(self) -> list:
        answer = json.loads(self.root.ok("loopgate devices list --json"))
        return sorted(at(device, "deviceId") for device in at(answer, "paired"))

    def remove(self) -> str:
        crowd = Crowd(self.token)
        said = self.box.apt("remove loopgate")
        text = crowd.told(1012)
        need(not self.box.processes(), f"{self.box.processes()} still runs\n{said}")
        need(not listeners(), f"{listeners()} still listen")
        loaded = self.root.ok("systemctl list-units --all --no-legend --plain 'loopgate*'")
        # What is enabled stays so until the purge, as Debian does it.
        left = [line for line in loaded.splitlines() if line.split()[1:3] != ["not-found", "inactive"]]
        need(not left, f"units are left\n{loaded}")
        return text

    def kept(self) -> None:
        for path in ("/var/lib/loopgate", SETTINGS):
            need(self.root.run(f"test -e {path}")[0] == 0, f"{path} is gone")
        state = self.root.run("dpkg-query -W -f='${db:Status-Abbrev}' loopgate")[1]
        need(state.startswith("rc"), f"dpkg has it as {state}")

    def again(self) -> str:
        self.box.apt("install /packages/a.deb")
        state = self.box.state("loopgate.socket")
        need(state == ("active", "enabled"), f"{state}\n{self.box.said}")
        equal({"devices": self.paired()}, "devices", self.devices)
        with Crowd(self.token, 3) as crowd:
            return crowd.unharmed()

    def nothing_left(self) -> str:
        self.root.ok("gpasswd -d tester loopgate; journalctl --sync")
        return self.census.same(Census(self.box), (("/home/tester/.*", "what the clients have left in their own home"),))


AS_TESTER = (
    "setpriv --reuid=tester --regid=tester --init-groups "
    "env HOME=/home/tester USER=tester XDG_RUNTIME_DIR=/run/user/1000 "
)
SETTINGS = "/etc/loopgate/loopgate.conf"
MARK = "// The administrator was here."
# As asked of the unit.
EXPOSURE_MAX = 1.0
# Of the entry that tells of a start.
READY_ID = "950268b646524c378ca3dffce8085594"
DOCUMENTS = [pathlib.Path(path) for path in (
    "/usr/share/man/man8/loopgated.8.gz", "/usr/share/man/man1/loopgate.1.gz", "/usr/share/man/man5/loopgate.conf.5.gz",
    "/usr/share/man/man7/loopgate-journal.7.gz", "/usr/share/bash-completion/completions/loopgate",
    "/usr/share/zsh/vendor-completions/_loopgate", "/usr/share/fish/vendor_completions.d/loopgate.fish",
    "/usr/lib/systemd/catalog/loopgate.catalog", "/usr/share/doc/loopgate/copyright",
    "/usr/share/doc/loopgate/changelog.gz",
)]
