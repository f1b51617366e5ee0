"""Where nothing may be started: a policy forbids it, or there is no systemd at all, as where an image is built."""

import os
import pathlib
import subprocess

from box import Box, listeners
from census import EXCEPTIONS, under
from expect import need


def run(trial) -> None:
    policy = Policy(trial.box)
    trial.steps((
        ("policy-rc.d says 101: installation starts nothing", policy.install),
        ("an upgrade starts nothing", policy.upgrade),
        ("a boot later it is there", policy.boot),
        ("purge", policy.purge),
    ), vital=1)
    with Chroot() as chroot:
        trial.steps((
            ("no systemd: a census before", chroot.before),
            ("no systemd: installation works", chroot.install),
            ("no systemd: the socket is enabled, the user is there", chroot.enabled),
            ("no systemd: upgrade, downgrade, remove and installation work", chroot.change),
            ("no systemd: purge leaves nothing", chroot.purge),
        ))


class Policy:
    """A machine whose administrator lets no package start or stop anything."""

    def __init__(self, box: Box):
        self.box, self.root = box, box.root

    def install(self) -> str:
        self.root.ok("printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d")
        self.box.apt("install /packages/a.deb")
        return self.idle()

    def idle(self) -> str:
        need(not listeners() and not self.box.processes(), f"{listeners()} listen, {self.box.processes()} run")
        need(self.box.state("loopgate.socket") == ("inactive", "enabled"), f"{self.box.state('loopgate.socket')}")
        return "inactive, enabled"

    def upgrade(self) -> str:
        self.box.dpkg("-i /packages/b.deb")
        return self.idle()

    def boot(self) -> str:
        """As a boot would: what is enabled for sockets.target is started with it."""
        self.root.ok("systemctl start loopgate.socket; loopgate status --json >/dev/null")
        self.root.ok("rm /usr/sbin/policy-rc.d")
        return "served"

    def purge(self) -> None:
        self.box.purge()
        need(not listeners(), f"{listeners()} still listen")


class Chroot:
    """A copy of the root file system in which nothing runs."""

    def __init__(self):
        self._folder = pathlib.Path("/run/systemd/nspawn/bare")

    def __enter__(self):
        # Below the boot's own tmpfs, which goes with the machine.
        for name in ("upper", "work", "root"):
            (self._folder / name).mkdir(parents=True)
        self.root = self._folder / "root"
        lower = pathlib.Path(os.environ["LIFECYCLE_ROOTFS"]).resolve()
        layers = f"lowerdir={lower},upperdir={self._folder}/upper,workdir={self._folder}/work"
        host(f"mount -t overlay -o {layers} bare {self.root}")
        packages = pathlib.Path(os.environ["LIFECYCLE_LOGS"], "packages")
        host(f"mkdir {self.root}/packages && mount --bind {packages} {self.root}/packages")
        host(f"mount -t proc proc {self.root}/proc && mount -t tmpfs run {self.root}/run")
        return self

    def __exit__(self, *_):
        host(f"umount {self.root}/run {self.root}/proc {self.root}/packages {self.root}")

    def inside(self, command: str) -> str:
        return host(f"DEBIAN_FRONTEND=noninteractive chroot {self.root} sh -c '{command}'")

    def files(self) -> set:
        text = host(f"cd {self.root} && find etc usr var home root -xdev -printf '/%p %y %m %U:%G %l\\n'")
        return set(text.splitlines())

    def before(self) -> str:
        self.seen = self.files()
        return f"{len(self.seen)} files"

    def install(self) -> str:
        text = self.inside("apt-get -y -qq install /packages/a.deb")
        wrong = [line for line in text.splitlines() if "Failed" in line or "rror" in line]
        need(not wrong, text)
        return self.inside("dpkg-query -W loopgate").strip()

    def enabled(self) -> str:
        link = self.root / "etc/systemd/system/sockets.target.wants/loopgate.socket"
        need(link.is_symlink(), f"{link} is missing")
        need("loopgate:" in (self.root / "etc/passwd").read_text(encoding="utf-8"), "no user")
        return os.readlink(link)

    def change(self) -> None:
        for command in ("dpkg -i /packages/b.deb", "dpkg -i /packages/a.deb", "dpkg -r loopgate", "dpkg -i /packages/b.deb"):
            self.inside(command)
        need(not self.inside("dpkg --audit").strip(), "dpkg --audit is not silent")

    def purge(self) -> str:
        self.inside("apt-get -y -qq purge loopgate")
        differ = sorted(line for line in self.files() ^ self.seen
                        if "loopgate" in line or not any(under(line.split()[0], place) for place, _ in EXCEPTIONS))
        need(not differ, f"{len(differ)} differences\n" + "\n".join(differ))
        left = [str(path) for path in (self.root / "run").rglob("*loopgate*")]
        need(not left, f"{left} is left")
        return f"{len(self.seen)} files"


def host(command: str) -> str:
    done = subprocess.run(["sh", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
                          timeout=120)
    need(done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr
