"""Runs real OpenClaw clients of several versions against loopgated: python3 tests/compat --help

Rule: every check is a function that returns or raises; lanes run them, the report prints them.
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import sys
import tempfile

import child
import plan
import target
from report import Report

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def main() -> int:
    options = parse()
    logs = ROOT / "target/compat/logs"
    shutil.rmtree(logs, ignore_errors=True)
    report = Report(logs)
    # Short, because the path of a UNIX socket may have 107 bytes at most.
    work = pathlib.Path(tempfile.mkdtemp(prefix="loopgate-compat-"))
    if options.target == "external":
        aim = target.External(options.port, options.token, options.seeded)
    else:
        aim = target.Own(options.bins.resolve(), work)
    # As for Ctrl-C: whatever is running is ended first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        plan.Plan(options, aim, report, work).run()
    finally:
        child.end_all()
        shutil.rmtree(work, ignore_errors=True)
    return report.close()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 tests/compat", description=__doc__.splitlines()[0])
    parser.add_argument("--bins", type=pathlib.Path, default=ROOT / "target/debug",
                        help="folder with loopgated and loopgate (default: target/debug)")
    parser.add_argument("--clients", type=pathlib.Path, default=ROOT / "target/compat",
                        help="folder with one install a version (default: target/compat)")
    parser.add_argument("--version", action="append", choices=plan.VERSIONS,
                        help="only this client version (repeatable)")
    parser.add_argument("--only", type=re.compile, default=re.compile(""), metavar="REGEX",
                        help="only checks whose name matches")
    parser.add_argument("--target", choices=("loopgated", "external"), default="loopgated")
    parser.add_argument("--port", type=int, help="external: the port it listens on")
    parser.add_argument("--token", default="", help="external: its token")
    parser.add_argument("--seeded", action="store_true", help="external: its state folder holds what seed.py writes")
    parser.add_argument("--ui-port", type=int, default=0,
                        help="external: the port of 127.0.0.1 from which its configuration allows the Control UI")
    parser.add_argument("--tee", action="store_true", help="write every message into target/compat/logs/GATEWAY.tee")
    options = parser.parse_args()
    if options.target == "external" and not options.port:
        parser.error("--target=external needs --port")
    options.rounds = number("ROUNDS", 1)
    options.parallel = number("PARALLEL", 1)
    options.hold = number("HOLD", 20)
    options.version = options.version or list(plan.VERSIONS)
    return options


def number(name: str, default: int) -> int:
    """A whole number from the environment, at least 1."""
    text = os.environ.get(name) or str(default)
    if not text.isdigit() or int(text) < 1:
        raise SystemExit(f"compat: {name}={text} is not a whole number above 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
