"""Runs real OpenClaw clients through loopgated to real OpenClaw gateways: python3 tests/runtime --help

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
import threading
import traceback

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT / "tests/machine"), str(ROOT / "tests/compat")]

import child
import commands
import fates
import nodes
import plan
import turns
from houses import House
from provider import Provider
from report import Report


class Lane(plan.Lane):
    """One client version's checks; `at` a house they carry its name."""

    def __init__(self, run, version: str, house=None):
        super().__init__(run, version)
        self.house = house

    def at(self, house) -> "Lane":
        return Lane(self.run, self.version, house)

    def folder(self, name: str) -> pathlib.Path:
        return super().folder(f"{name}-at-{self.house.version}" if self.house else name)

    def check(self, name: str, action) -> bool:
        return super().check(f"at {self.house.version}: {name}" if self.house else name, action)


class Trial:
    """All checks of a run, in their order."""

    def __init__(self, options, report: Report, work: pathlib.Path):
        self.options, self.report = options, report
        self.provider = Provider()
        self.houses = [House(version, options, work, self.provider) for version in options.runtime]
        self.lanes = [Lane(plan.Plan(options, None, report, work), version) for version in options.version]

    def run(self) -> None:
        opened = each(self.houses, lambda house: self.report.check(f"runtime {house.version} is ready", house.open))
        if not all(opened):
            return
        for part in PARTS:
            if self.options.part in (None, part):
                each(self.lanes, lambda lane: self.guarded(lane, part))

    def own(self, lane: Lane) -> list:
        """The houses that a client of the lane's version can visit: all of them, if there is a gate."""
        return [house for house in self.houses if not house.direct or house.version == lane.version]

    def guarded(self, lane: Lane, part: str) -> None:
        """One part of one lane. A bug of the harness must not look like a short run."""
        try:
            PARTS[part](lane, self.own(lane))
        except Exception:
            self.report.fail(f"{lane.version} {part}", "the harness itself failed", traceback.format_exc())

    def close(self) -> None:
        for house in self.houses:
            self.report.check(f"house {house.version} ends clean", house.stop)
        self.provider.close()


def each(things: list, action) -> list:
    """All of them at the same time; what the action gave for each."""
    given = [None] * len(things)

    def one(number: int) -> None:
        given[number] = action(things[number])
    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(things))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return given


def main() -> int:
    options = parse()
    logs = ROOT / "target/runtime"
    shutil.rmtree(logs, ignore_errors=True)
    report = Report(logs)
    # Short, because the path of a UNIX socket may have 107 bytes at most.
    work = pathlib.Path(tempfile.mkdtemp(prefix="loopgate-runtime-"))
    # As for Ctrl-C: whatever is running is ended first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        trial = Trial(options, report, work)
        try:
            trial.run()
        finally:
            trial.close()
    finally:
        child.end_all()
        shutil.rmtree(work, ignore_errors=True)
    return report.close()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 tests/runtime", description=__doc__.splitlines()[0])
    parser.add_argument("--bins", type=pathlib.Path, default=ROOT / "target/debug",
                        help="folder with loopgated and loopgate (default: target/debug)")
    parser.add_argument("--clients", type=pathlib.Path, default=ROOT / "target/compat",
                        help="folder with one install a version (default: target/compat)")
    parser.add_argument("--version", action="append", choices=plan.VERSIONS,
                        help="only this client version (repeatable)")
    parser.add_argument("--runtime", action="append", choices=plan.VERSIONS,
                        help="only this runtime version (repeatable)")
    parser.add_argument("--part", choices=tuple(PARTS), help="only this part")
    parser.add_argument("--only", type=re.compile, default=re.compile(""), metavar="REGEX",
                        help="only checks whose name matches")
    parser.add_argument("--direct", action="store_true",
                        help="without the gate, for comparing; only pairings of one version can work")
    options = parser.parse_args()
    options.rounds, options.parallel = int(os.environ.get("ROUNDS") or 1), 1
    options.version = options.version or list(plan.VERSIONS)
    options.runtime = options.runtime or list(plan.VERSIONS)
    return options


PARTS = {"turns": turns.run, "commands": commands.run, "nodes": nodes.run, "fates": fates.run}

if __name__ == "__main__":
    sys.exit(main())
