"""The processes that a run starts, and their end.

Rule: every child leads a process group of its own and is ended by its id, also when the run is cut
short. Nothing is ever looked for by name.
"""

import os
import signal
import subprocess

_running = set()


def spawn(argv: list, **options) -> subprocess.Popen:
    """Starts a child without standard input."""
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True, **options)
    _running.add(child)
    return child


def end(child: subprocess.Popen) -> int:
    """Ends a child with its process group, first politely; returns its exit code."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if child.poll() is not None:
            break
        os.killpg(child.pid, number)
        try:
            child.wait(timeout=STOP_SECS)
        except subprocess.TimeoutExpired:
            continue
    _running.discard(child)
    return child.wait()


def end_all() -> None:
    """Ends what is still running."""
    for child in list(_running):
        end(child)


# A client's own shutdown, on a busy machine.
STOP_SECS = 10
