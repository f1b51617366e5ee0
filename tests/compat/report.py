"""What the run says: one line a check, kept output where one failed, a count at the end.

Rule: a failure is never without its evidence. The line names the reason, the lines below it the
file that holds the whole output, and its last lines.
"""

import pathlib
import re
import threading
import time
from typing import Callable


class Unexpected(Exception):
    """A client or the gateway did not behave as expected; the text is the reason."""


class Skip(Exception):
    """The check needs something that a stand-in target does not have."""


class Report:
    """Collects outcomes from all lanes. `logs` is the folder for the output of failed checks."""

    def __init__(self, logs: pathlib.Path):
        self.logs = logs
        self.passed = 0
        self.failed = []
        self._lock = threading.Lock()
        logs.mkdir(parents=True, exist_ok=True)

    def ok(self, name: str, note: str) -> None:
        with self._lock:
            self.passed += 1
            print(f"ok   {name} ({note})", flush=True)

    def skip(self, name: str, reason: str) -> None:
        with self._lock:
            print(f"skip {name}: {reason}", flush=True)

    def fail(self, name: str, reason: str, evidence: str) -> None:
        """`evidence` is everything that was seen; its tail is printed, all of it is kept."""
        path = self.keep(name + ".log", f"{name}\n{reason}\n\n{evidence}\n")
        with self._lock:
            self.failed.append(name)
            print(f"FAIL {name}: {reason}", flush=True)
            print(f"     kept in {path}", flush=True)
            for line in evidence.splitlines()[-TAIL_LINES:]:
                print(f"     | {line[:TAIL_COLUMNS]}", flush=True)

    def check(self, name: str, action: Callable) -> bool:
        """Runs `action`, whose value is a note, and reports it; true if it went well."""
        try:
            began = time.monotonic()
            note = action()
            self.ok(name, note or f"{time.monotonic() - began:.1f} s")
            return True
        except Unexpected as reason:
            self.fail(name, *split(reason))
        return False

    def keep(self, name: str, content) -> pathlib.Path:
        """Writes text or bytes into the log folder, under a file name made of `name`."""
        path = self.logs / re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-")
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content, encoding="utf-8")
        return path

    def close(self) -> int:
        """Prints the count, alone on the last line; returns the exit status."""
        for name in self.failed:
            print(f"failed: {name}")
        print(f"{self.passed} passed, {len(self.failed)} failed", flush=True)
        return 1 if self.failed or not self.passed else 0


def split(reason: Unexpected) -> tuple:
    """An Unexpected's first line is the reason, the rest the evidence."""
    first, _, rest = str(reason).partition("\n")
    return first, rest


# Enough to see the cause in a CI log without opening the file.
TAIL_LINES = 15
TAIL_COLUMNS = 240
