"""What tests of units have in common."""

import re
import shlex

from expect import need


def copied(lines: str) -> str:
    """A unit's lines for a program that tries and ends."""
    return re.sub("(?m)^(Requires|After|Exec[A-Za-z]+|Type|Restart|WatchdogSec|Also)=.*", "", lines)


def figure(line: str, most: float) -> str:
    value = re.search(r"([0-9]+\.[0-9])", line.replace("@", " "))
    need(value and float(value[1]) <= most, f"more than {most}: {line}")
    return value[1]


def as_user(command: str) -> str:
    return ("runuser -u tester -- env XDG_RUNTIME_DIR=/run/user/1000 DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus "
            f"HOME=/home/tester sh -c {shlex.quote(command)}")
