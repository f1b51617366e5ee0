"""What is on the machine: files, users, units. Taken before the package came and after it was purged.

Rule: a difference is a fault unless the table names the place and the reason.
"""

from box import Box
from expect import need


class Census:
    """The machine at one moment."""

    def __init__(self, box: Box):
        lines = box.root.ok(FIND).splitlines()
        self.files = dict(line.split("\t", 1) for line in lines if "\t" in line)
        self.users = {name: set(box.root.ok(f"getent {name}").splitlines()) for name in ("passwd", "group")}
        self.units = box.root.ok("systemctl list-unit-files --no-legend --plain 'loopgate*' || :").strip()
        self.loaded = box.root.ok("systemctl list-units --all --no-legend --plain 'loopgate*' || :").strip()
        self.catalog = box.root.ok("journalctl --list-catalog | grep -ci loopgate || :").strip()

    def same(self, after: "Census", more: tuple = ()) -> str:
        """Nothing of the package is left, and nothing else is gone."""
        excepted = set()
        wrong = []
        for path in sorted(self.files.keys() | after.files.keys()):
            old, new = self.files.get(path), after.files.get(path)
            if old == new:
                continue
            # What bears our name is excepted for a reason of its own only.
            table = more if "loopgate" in path else (*EXCEPTIONS, *more)
            if place := next((place for place, _ in table if under(path, place)), None):
                excepted.add(place)
                continue
            wrong.append(f"{path}: before {old}, after {new}")
        need(not wrong, f"{len(wrong)} differences\n" + "\n".join(wrong))
        need(not (after.units or after.loaded), f"units are left\n{after.units}\n{after.loaded}")
        need(after.catalog == "0", f"{after.catalog} lines of the journal catalog are left")
        for name, wanted in (("passwd", 1), ("group", 1)):
            fresh, gone = after.users[name] - self.users[name], self.users[name] - after.users[name]
            need(not gone and len(fresh) <= wanted and all(line.startswith("loopgate:") for line in fresh),
                 f"{name}: {fresh} came, {gone} went")
        return f"{len(self.files)} files; exceptions in use: {', '.join(sorted(excepted))}"


def under(path: str, place: str) -> bool:
    """A place that ends with / means all below it; one that ends with * all that begin so."""
    return path.startswith(place.rstrip("*")) if place[-1] in "/*" else path == place


# Kind, mode, owner, and where a link leads; of settings also what they hold.
FIND = (
    "cd / && { find /etc /usr /var /home /root /opt /srv /boot /run -xdev "
    "-path /opt/openclaw -prune -o -path /opt/cache -prune -o -printf '%p\\t%y %m %U:%G %l\\n'; "
    "find /etc -xdev -type f -exec sha256sum {} + | sed 's/^\\([^ ]*\\)  \\(.*\\)/\\2 \\t\\1/'; } | sort"
)
EXCEPTIONS = (
    ("/etc/passwd*", "the system user stays, as Debian does it: its number must never be another's"),
    ("/etc/group*", "the same"),
    ("/etc/shadow*", "the same"),
    ("/etc/gshadow*", "the same"),
    ("/etc/.pwd.lock", "whoever writes those files leaves it"),
    ("/var/lib/dpkg/", "dpkg's own books, whose old versions it keeps"),
    ("/var/log/", "logs, and the journal"),
    ("/var/cache/apt/", "what apt has worked out"),
    ("/var/lib/apt/", "the same"),
    ("/var/lib/bench/", "this test's own"),
    ("/run/systemd/", "the manager's own: units, streams, sessions"),
    ("/run/user/", "what user managers have there"),
    ("/run/lock/", "locks"),
)
