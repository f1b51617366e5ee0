"""What an answer must look like: small checks that say what they miss.

Rule: a check asserts fields that a user or a program reads, not only the exit status.
"""

import re

from client import Result
from report import Unexpected


def need(condition, reason: str) -> None:
    if not condition:
        raise Unexpected(reason)


def at(value, path: str):
    """The value at a dotted path; a number picks a list element."""
    seen = []
    for key in path.split("."):
        seen.append(key)
        try:
            value = value[int(key)] if isinstance(value, list) else value[key]
        except (KeyError, IndexError, TypeError, ValueError):
            raise Unexpected(f"no {'.'.join(seen)} in the answer") from None
    return value


def equal(value, path: str, wanted) -> None:
    found = at(value, path)
    need(found == wanted and type(found) is type(wanted), f"{path} is {found!r}, not {wanted!r}")


def kind(value, path: str, wanted: type) -> None:
    found = at(value, path)
    need(isinstance(found, wanted) and not (wanted is int and isinstance(found, bool)),
         f"{path} is {found!r}, not {wanted.__name__}")


def says(result: Result, *patterns: str) -> None:
    """Each pattern (a regular expression, any case) occurs in what the client printed."""
    for pattern in patterns:
        need(re.search(pattern, result.text, re.IGNORECASE | re.MULTILINE), f"nothing like {pattern!r} in the output")


def exits(result: Result, code: int) -> None:
    need(result.code is not None, f"still running after {result.secs:.0f} s")
    need(result.code == code, f"exit {result.code}, not {code}")


def closes_with_reason(result: Result) -> None:
    """No close of the gateway's may reach a user as "1000" or without a reason."""
    found = re.search(r"\b1000\b[^\n]*closure|closed \(1000|no close reason|abnormal closure|\(1006", result.text)
    need(not found, f"a close without a reason: {found and found.group(0)!r}")
