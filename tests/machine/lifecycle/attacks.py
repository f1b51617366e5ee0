"""Upgrades at the wrong moment and in the wrong state: under live sessions, none of which may notice, unless it is said."""

import json
import random
import re
import threading
import time

from box import PORT, Box, Shell, listeners, wait_for
from crowd import Crowd
from expect import need
from target import http_status


def run(trial) -> None:
    attacks = Attacks(trial.box)
    trial.steps((
        ("installation", attacks.install),
        ("between unpacked and configured", attacks.unpacked),
        (f"dpkg is killed at {KILLS} random instants, and goes on each time", attacks.killed),
        ("two upgrades without a pause", attacks.twice),
        ("upgrade while it reloads", attacks.reloading),
        ("upgrade with settings that cannot be used", attacks.unusable),
        ("upgrade to a daemon that does not start, and back", attacks.broken),
        ("downgrade from a hand-over of a newer format", attacks.newer),
        ("upgrade while the service is down: it stays down, the port open", attacks.down),
        ("a masked service stays masked", attacks.masked),
        ("a masked service that runs goes on", attacks.masked_running),
        ("a disabled socket stays disabled", attacks.disabled),
        ("a masked socket stays masked, also over remove and installation", attacks.masked_socket),
        ("purge", attacks.box.purge),
    ), vital=1)


class Attacks:
    """The system's instance, with a token in openclaw.json."""

    def __init__(self, box: Box):
        self.box, self.root = box, box.root

    def install(self) -> None:
        self.box.apt("install /packages/a.deb")
        config = {"gateway": {"mode": "local", "auth": {"mode": "token", "token": TOKEN}}}
        (self.box.files / "etc/loopgate/openclaw.json").write_text(json.dumps(config), encoding="utf-8")
        self.root.ok("loopgate status --json")

    def program(self) -> str:
        """What the service runs; a reload has a process of its own besides."""
        pid = self.box.show("loopgate.service", "MainPID")
        return self.root.ok(f"readlink /proc/{pid}/exe")

    # -- the wrong moment --

    def unpacked(self) -> str:
        with Crowd(TOKEN) as crowd:
            self.box.dpkg("--unpack /packages/b.deb")
            time.sleep(0.5)
            need(self.program().endswith("(deleted)"), f"what runs is {self.program()}")
            self.box.dpkg("--configure -a")
            need(self.program() == "/usr/bin/loopgated", f"what runs is {self.program()}")
            return crowd.unharmed()

    def killed(self) -> str:
        """SIGKILL for dpkg itself; its script runs on, as it would."""
        seed = random.randrange(1 << 32)
        chance, states = random.Random(seed), []
        with Crowd(TOKEN) as crowd:
            for number in range(KILLS):
                package = "ab"[number % 2]
                # The status as dpkg has left it, before anything is mended.
                states.append(self.root.ok(
                    f"dpkg -i /packages/{package}.deb >/tmp/dpkg.log 2>&1 & p=$!; sleep {chance.uniform(0, 0.4):.3f}; "
                    "kill -KILL $p 2>/dev/null; wait $p 2>/dev/null; dpkg-query -W -f='${db:Status-Abbrev}' loopgate"))
                # What was killed while it unpacked has to be unpacked again; Debian 12's dpkg says so and fails here.
                self.root.run("dpkg --configure -a")
                self.box.dpkg(f"-i /packages/{package}.deb")
                need(self.program() == "/usr/bin/loopgated", f"what runs is {self.program()}")
            return f"seed {seed}, left as {' '.join(states)}; {crowd.unharmed()}"

    def twice(self) -> str:
        with Crowd(TOKEN) as crowd:
            began = time.monotonic()
            self.box.said = self.root.ok("dpkg -i /packages/b.deb && dpkg -i /packages/a.deb && dpkg -i /packages/b.deb")
            took = time.monotonic() - began
            return f"three in {took:.1f} s; {crowd.unharmed()}"

    def reloading(self) -> str:
        over, reloads = threading.Event(), []

        def reload() -> None:
            shell = Shell()
            while not over.is_set():
                reloads.append(shell.run("systemctl reload loopgate.service"))
            shell.close()
        with Crowd(TOKEN) as crowd:
            thread = threading.Thread(target=reload)
            thread.start()
            try:
                wait_for("a reload", lambda: reloads)
                for package in "abab":
                    self.box.dpkg(f"-i /packages/{package}.deb")
                    need(self.program() == "/usr/bin/loopgated", f"what runs is {self.program()}")
            finally:
                over.set()
                thread.join()
            text = crowd.unharmed()
        return f"{len(reloads)} reloads, {sum(status != 0 for status, _ in reloads)} of them interrupted; {text}"

    # -- the wrong state --

    def unusable(self) -> str:
        """The administrator has made a mistake that has not come to light. It costs nobody anything, and it is said."""
        with Crowd(TOKEN) as crowd:
            self.root.ok(f"cp -p {SETTINGS} /tmp/settings; echo '{{ nonsense' >{SETTINGS}")
            said = self.box.dpkg("-i /packages/a.deb")
            held = self.program(), crowd.longest
            self.root.ok(f"cp -p /tmp/settings {SETTINGS}")
            need("loopgate:" in said, f"nothing was said\n{said}")
            for command in re.findall("systemctl restart .*", said):
                self.root.ok(command)
            need(self.program() == "/usr/bin/loopgated", f"what runs is {self.program()}\n{said}")
            text = crowd.unharmed()
        need(held[0].endswith("(deleted)") and held[1] < 1, f"{held} went on\n{said}")
        return text

    def answers(self) -> bool:
        try:
            return http_status(PORT, "/readyz") == 200
        except OSError:
            return False

    def broken(self) -> str:
        """It is asked before it comes, so the old one goes on."""
        with Crowd(TOKEN) as crowd:
            self.box.dpkg("-i /packages/b.deb")
            said = self.box.dpkg("-i /packages/d.deb")
            need("loopgate:" in said, f"nothing was said\n{said}")
            need(self.program().endswith("(deleted)"), f"what runs is {self.program()}")
            self.box.dpkg("-i /packages/b.deb")
            need(self.program() == "/usr/bin/loopgated", f"what runs is {self.program()}")
            return crowd.unharmed()

    def newer(self) -> str:
        """A daemon that does not start leaves the hand-over with systemd, where it is made what a later version writes."""
        with Crowd(TOKEN) as crowd:
            self.root.ok("cp -p /bin/false /usr/bin/loopgated.new && mv /usr/bin/loopgated.new /usr/bin/loopgated")
            self.root.run("systemctl restart loopgate.service")
            self.root.ok(f"python3 -c '{NEWER}'")
            self.box.dpkg("-i /packages/a.deb")
            wait_for("it serves", lambda: self.answers())
            wait_for("all sessions have ended", lambda: not crowd.alive())
            text = crowd.told(1012)
        need(self.program() == "/usr/bin/loopgated", f"what runs is {self.program()}")
        said = self.root.ok("journalctl --sync; journalctl --no-pager --all -o json -u loopgate.service -n 5000")
        causes = {entry.get("CAUSE") for entry in map(json.loads, said.splitlines())}
        why = [cause for cause in causes if cause and "format 2" in cause]
        need(why, f"the journal does not say why: {causes}")
        with Crowd(TOKEN, 3) as after:
            after.unharmed()
        return f"{text}; {why[0]}"

    def down(self) -> str:
        sockets = listeners()
        self.root.ok("systemctl stop loopgate.service")
        self.box.dpkg("-i /packages/b.deb")
        need(not self.box.processes(), f"{self.box.processes()} was started")
        need(listeners() == sockets, "other sockets listen")
        with Crowd(TOKEN, 3) as crowd:
            return crowd.unharmed()

    def masked(self) -> str:
        self.root.ok("systemctl stop loopgate.service; systemctl mask loopgate.service 2>&1")
        said = self.box.dpkg("-i /packages/a.deb")
        state = self.box.state("loopgate.service")
        need(state == ("inactive", "masked"), f"{state}")
        self.root.ok("systemctl unmask loopgate.service 2>&1")
        # The port was open to nobody meanwhile; a client that knocked then has made the socket fail.
        self.root.ok("systemctl reset-failed loopgate.socket; systemctl start loopgate.socket")
        return said.splitlines()[-1]

    def masked_running(self) -> str:
        """It runs and may not be started again: it must not be stopped."""
        with Crowd(TOKEN) as crowd:
            self.root.ok("systemctl mask loopgate.service 2>&1")
            said = self.box.dpkg("-i /packages/b.deb")
            text = crowd.unharmed()
        need(self.box.state("loopgate.service") == ("active", "masked"), f"{self.box.state('loopgate.service')}")
        ran = self.program()
        self.root.ok("systemctl unmask loopgate.service 2>&1 && systemctl restart loopgate.service")
        need(ran.endswith("(deleted)") and "is masked" in said, f"{ran} runs\n{said}")
        return text

    def disabled(self) -> None:
        self.root.ok("systemctl disable --now loopgate.socket 2>&1; systemctl stop loopgate.service")
        for package in "ab":
            self.box.dpkg(f"-i /packages/{package}.deb")
            need(self.box.state("loopgate.socket") == ("inactive", "disabled"), f"{self.box.state('loopgate.socket')}")
            need(not listeners() and not self.box.processes(), "something was started")
        self.root.ok("systemctl enable --now loopgate.socket 2>&1")

    def masked_socket(self) -> None:
        self.root.ok("systemctl stop loopgate.service loopgate.socket; systemctl mask loopgate.socket 2>&1")
        for words in ("-i /packages/a.deb", "-r loopgate", "-i /packages/b.deb"):
            self.box.dpkg(words)
            need(self.root.run("systemctl is-enabled loopgate.socket")[1] == "masked", f"after dpkg {words} not masked")
            need(not listeners() and not self.box.processes(), "something was started")
        self.root.ok("systemctl unmask loopgate.socket 2>&1 && systemctl start loopgate.socket")
        with Crowd(TOKEN, 3) as crowd:
            crowd.unharmed()



TOKEN = "tok-package-000000000000000000004"
SETTINGS = "/etc/loopgate/loopgate.conf"
KILLS = 6
# The format's number is the second word of the memory file that systemd keeps for the next process.
NEWER = (
    "import glob, os\n"
    "found = [path for path in glob.glob(\"/proc/1/fd/*\") if \"memfd:loopgate-state\" in os.readlink(path)]\n"
    "assert found\n"
    "for path in found:\n"
    "    file = os.open(path, os.O_WRONLY)\n"
    "    os.pwrite(file, (2).to_bytes(8, \"little\"), 8)\n"
)
