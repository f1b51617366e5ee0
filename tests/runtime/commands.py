"""Every command, by each client version, through the gate to each runtime version; and what it prints directly.

Rule: a pairing is judged by the same table as a gate without a runtime; where client and runtime are of one version, the
answer is besides the one that the client gets at the runtime itself.
"""

import json

import compare
import table
from client import Client
from expect import at, equal, exits, kind, need
from report import Unexpected
from table import Row


class Commands:
    """One client version at one port of a house. `answers` keeps what each command printed, for comparing."""

    def __init__(self, client: Client, house, port: int):
        self.house = house
        self.client = client.configure(port, house.auth)
        self.answers, self.job = {}, "no-job"

    def judged(self, row: Row) -> str:
        """Runs and judges one row; a note of how long it took. Raises Unexpected with what was printed."""
        result = self.run(row)
        try:
            table.judge(row, result)
        except Unexpected as reason:
            raise Unexpected(f"{reason}\n{self.house.log()}\n--- the client\n{result.evidence}") from None
        return f"{result.secs:.1f} s"

    def run(self, row: Row):
        """Runs one row and keeps its answer, whatever it is worth."""
        result = self.client.run(*(word.replace("JOB", self.job) for word in row.argv))
        try:
            answer = result.lines() if row.name == "logs" else result.json()
        except Unexpected:
            answer = result.text
        if row.name == "cron add" and isinstance(answer, dict):
            self.job = answer.get("id", self.job)
        self.answers[row.name] = self.plain(VIEWS.get(row.name, whole)(answer))
        return result

    def plain(self, answer):
        """The answer without what is this run's own: its port, its home, the id of its job."""
        text = json.dumps(answer)
        ports = ((f":{port}", ":PORT") for port in (self.house.port, self.house.runtime.port))
        for own, name in ((str(self.client.home), "HOME"), (self.job, "JOB"), *ports):
            text = text.replace(own, name)
        return json.loads(text)


def run(lane, houses: list) -> None:
    """All commands of the lane's client version at every house, and directly where the versions are the same."""
    for house in houses:
        at_house, direct = lane.at(house), {}
        if house.version == lane.version:
            plain = Commands(at_house.client("direct", house, house.auth), house, house.runtime.port)
            # What the runtime itself answers is no failure of the gate's; what differs from it may be.
            for row in ROWS:
                if row.name not in LOCAL and lane.options.only.search(row.name):
                    plain.run(row)
            direct = plain.answers
        gate = Commands(at_house.client("commands", house, house.auth), house, house.port)
        for row in ROWS:
            at_house.check(row.name, lambda: judged(gate, row, direct))


def judged(gate: Commands, row: Row, direct: dict) -> str:
    note = gate.judged(row)
    if row.name not in direct:
        return note
    return f"{note}, {compare.same(row.name, direct[row.name], gate.answers[row.name])}"


def whole(answer):
    return answer


def meta(lines):
    """Each run adds lines to the log."""
    return lines[:1]


def gateway(entries):
    """Who else is present is another one in each run."""
    return [entry for entry in entries if entry.get("mode") == "gateway"]


def fields(answer):
    """Each run has a device of its own."""
    return {**answer, "paired": {key: True for device in answer["paired"] for key in device}}


def parsed(check):
    return lambda result: check(result.json())


def browser(answer) -> None:
    equal(answer, "enabled", True)
    kind(answer, "profile", str)
    kind(answer, "running", bool)


def skills(answer) -> None:
    need(at(answer, "skills"), "no skills")
    kind(answer, "skills.0.name", str)


def agents(answer) -> None:
    equal(answer, "0.id", "main")
    equal(answer, "0.isDefault", True)


def added(answer) -> None:
    kind(answer, "id", str)
    equal(answer, "name", "gate-job")
    equal(answer, "schedule.everyMs", 3_600_000)


def listed(answer) -> None:
    need(any(job.get("name") == "gate-job" for job in at(answer, "jobs")), "the job that was added is not listed")


def removed(answer) -> None:
    equal(answer, "ok", True)
    equal(answer, "removed", True)


def happened(answer) -> None:
    equal(answer, "ok", True)


def row(words: str, check, name: str = "") -> Row:
    return Row(name or words, (*words.split(), "--json"), parsed(check))


ROWS = (
    *table.ROWS,
    row("browser status", browser),
    row("skills list", skills),
    row("agents list", agents),
    row("cron add --name gate-job --every 1h --system-event ring", added, "cron add"),
    row("cron list", listed, "cron list with a job"),
    row("cron rm JOB", removed, "cron rm"),
    row("system event --text ring --mode next-heartbeat", happened, "system event"),
    row("channels status", table.channels),
)
# What of an answer can be compared.
VIEWS = {
    "logs": meta,
    "gateway call system-presence": gateway,
    "devices list": fields,
    "gateway call device.pair.list": fields,
}
# These never ask the gateway, in one version at least, and so can say nothing of it.
LOCAL = ("agents list",)
