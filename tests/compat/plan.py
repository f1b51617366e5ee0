"""What is run, and in which order: one lane a client version, all lanes at the same time.

Rule: the lanes share the main gateway, so both versions are on one port at once in every run. What
needs a gateway in a special state gets one of its own.
"""

import pathlib
import threading
import traceback
from typing import Callable

import auth
import node
import table
import ui
from client import Client
from expect import closes_with_reason
from report import Report, Skip, Unexpected, split
from target import token_auth
from tee import Tee


class Plan:
    """All checks of a run. `aim` makes gateways, `work` is the folder for homes and state."""

    def __init__(self, options, aim, report: Report, work: pathlib.Path):
        self.options, self.aim, self.report, self.work = options, aim, report, work

    def run(self) -> None:
        with Served(self, "main", token_auth()) as main:
            lanes = [threading.Thread(target=self._lane, args=(version, main), daemon=True)
                     for version in self.options.version]
            for lane in lanes:
                lane.start()
            for lane in lanes:
                lane.join()

    def _lane(self, version: str, main) -> None:
        lane = Lane(self, version)
        try:
            if main:
                lane.table(main)
            auth.run(lane)
            node.run(lane)
            ui.run(lane)
        except Exception:  # a bug of the harness must not look like a short run
            self.report.fail(f"{version} lane", "the harness itself failed", traceback.format_exc())


class Served:
    """A gateway for the length of a `with`; its end is a check too. None when it cannot be had."""

    def __init__(self, run: Plan, name: str, mode: dict, origins=()):
        self._run, self._name, self._mode, self._origins = run, name, mode, origins
        self._gateway = self._tee = None

    def __enter__(self):
        name = f"gateway {self._name}"
        try:
            self._gateway = self._run.aim.gateway(self._name, self._mode, self._origins)
            if self._run.options.tee:
                self._tee = Tee(self._gateway.port, self._run.report.logs / f"{self._name}.tee")
                self._gateway.port = self._tee.port
        except Skip as reason:
            self._run.report.skip(name, str(reason))
        except Unexpected as reason:
            self._run.report.fail(f"{name} starts", *split(reason))
        return self._gateway

    def __exit__(self, *_):
        if not self._gateway:
            return
        if self._tee:
            self._tee.close()
        name = f"gateway {self._name} ends clean"
        try:
            if note := self._gateway.stop():
                self._run.report.ok(name, note)
        except Unexpected as reason:
            self._run.report.fail(name, str(reason), self._gateway.log())


class Lane:
    """One client version's checks, one after the other."""

    def __init__(self, run: Plan, version: str):
        self.run, self.version = run, version
        self.options, self.report = run.options, run.report
        self.install = self.options.clients.resolve() / version

    def client(self, home: str, gateway, mode: dict) -> Client:
        """A client with a new home that believes in `mode`, the auth section of its config."""
        return Client(self.version, self.install, self.folder(home)).configure(gateway.port, mode)

    def folder(self, name: str) -> pathlib.Path:
        return self.run.work / self.version / name

    def served(self, name: str, mode: dict, origins=()) -> Served:
        return Served(self.run, f"{self.version}-{name}", mode, origins)

    def table(self, gateway) -> None:
        """Each command of the table: in a row, then at once, as often as asked for."""
        client = self.client("table", gateway, gateway.auth)
        for row in table.ROWS:
            def once(row=row):
                return self.judged(client, row.argv, lambda result: table.judge(row, result, gateway.seeded), gateway)
            self.check(row.name, lambda: self._in_a_row(once))
            if self.options.parallel > 1:
                self.check(f"{row.name} x{self.options.parallel} at once", lambda: self._at_once(once))

    def command(self, name: str, client: Client, argv: tuple, judge: Callable, gateway) -> None:
        """One command as one check."""
        self.check(name, lambda: self.judged(client, argv, judge, gateway))

    def judged(self, client: Client, argv: tuple, judge: Callable, gateway) -> str:
        result = client.run(*argv)
        try:
            judge(result)
            closes_with_reason(result)
        except Unexpected as reason:
            raise Unexpected(f"{reason}\n{gateway.log()}\n--- the client\n{result.evidence}") from None
        return f"{result.secs:.1f} s"

    def check(self, name: str, action: Callable) -> bool:
        """Runs `action` and reports it, unless the options leave it out; true if it was run and went well."""
        name = f"{self.version} {name}"
        if not self.options.only.search(name):
            return False
        return self.report.check(name, action)

    def _in_a_row(self, once: Callable) -> str:
        notes = [once() for _ in range(self.options.rounds)]
        return notes[0] if len(notes) == 1 else f"{len(notes)} in a row"

    def _at_once(self, once: Callable) -> str:
        failures = []

        def attempt():
            try:
                once()
            except Unexpected as reason:
                failures.append(reason)
        threads = [threading.Thread(target=attempt) for _ in range(self.options.parallel)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise Unexpected(f"{len(failures)} of {len(threads)} failed: {failures[0]}")
        return f"{len(threads)} at once"


VERSIONS = ("2026.3.13", "2026.9.6")
