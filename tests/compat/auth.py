"""Auth outcomes: a wrong secret, none at all, and the other auth modes, per client version.

Rule: the reason must reach the person at the terminal. A refused command exits as its version does
for a refusal, names the cause, and what it prints never hides behind a bare close.
"""

from typing import Callable, NamedTuple

import table
from expect import at, equal, exits, kind, need, says
from target import password_auth, token_auth


class Case(NamedTuple):
    """A client that believes in `mode`; `rows` are (name, argv, judge) of what it then runs."""

    name: str
    mode: dict
    rows: tuple


def run(lane) -> None:
    token, password = token_auth(), password_auth()
    with lane.served("auth-token", token) as gateway:
        if gateway:
            play(lane, gateway, (
                Case("wrong token", {"mode": "token", "token": "tok-compat-wrong"}, wrong("token", lane.version)),
                Case("no token", {}, missing(lane.version)),
            ))
            if lane.version in STORES_DEVICE_TOKEN:
                device_token(lane, gateway)
    with lane.served("auth-none", {"mode": "none"}) as gateway:
        if gateway:
            play(lane, gateway, (Case("auth none", {"mode": "none"}, FINE),))
    with lane.served("auth-password", password) as gateway:
        if gateway:
            play(lane, gateway, (
                Case("auth password", password, FINE),
                Case("wrong password", WRONG_PASSWORD, wrong("password", lane.version)),
            ))


def play(lane, gateway, cases: tuple) -> None:
    for case in cases:
        client = lane.client(case.name.replace(" ", "-"), gateway, case.mode)
        for name, argv, judge in case.rows:
            lane.command(f"{case.name}: {name}", client, argv, judge, gateway)


def device_token(lane, gateway) -> None:
    """A client that was paired once gets in again by its device token alone."""
    client = lane.client("device-token", gateway, gateway.auth)
    lane.command("device token: first, with the token", client, *CALL[1:], gateway)
    client.configure(gateway.port, {})
    lane.command("device token: then without it", client, *CALL[1:], gateway)


def wrong(what: str, version: str) -> tuple:
    """Every command names the mismatch. 3.13 also tells which setting to correct."""
    words = (f"unauthorized: gateway {what} mismatch",)
    remedy = words + ((rf"gateway\.remote\.{what}|gateway\.auth\.{what}",) if what == "token" else ())
    return (
        ("gateway call", CALL[1], refused(*remedy)),
        ("devices list", ("devices", "list", "--json"), refused(*remedy)),
        ("health", ("health", "--json"), refused(*words)),
        ("gateway probe", PROBE[1], probe_refused(f"gateway {what} mismatch", version)),
        ("status", STATUS[1], unreachable(f"gateway {what} mismatch", version)),
    )


def missing(version: str) -> tuple:
    """9.6 does not even connect with a call; 3.13 is told by the gateway what it lacks."""
    if version == "2026.3.13":
        call, health = refused("unauthorized: gateway token missing", r"gateway\.auth\.token"), refused("token missing")
    else:
        call, health = refused("requires credentials", "token"), refused("gateway is reachable", "token")
    return (
        ("gateway call", CALL[1], call),
        ("health", ("health", "--json"), health),
        ("gateway probe", PROBE[1], probe_refused("device identity required|token", version)),
    )


def refused(*words: str) -> Callable:
    def judge(result):
        exits(result, 1)
        says(result, *words)
    return judge


def probe_refused(word: str, version: str) -> Callable:
    """9.6 calls a gateway that answers with a refusal reachable but degraded, and exits 0."""
    def judge(result):
        exits(result, 1 if version == "2026.3.13" else 0)
        answer = result.json()
        need(not at(answer, "ok") or at(answer, "degraded"), "a refused probe is called healthy")
        equal(answer, "targets.0.connect.rpcOk", False)
        equal(answer, "targets.0.connect.close.code", 1008)
        kind(answer, "targets.0.connect.close.reason", str)
        need(at(answer, "targets.0.connect.close.reason"), "the close has no reason")
        says(result, rf'"error": "[^"]*({word})')
    return judge


def unreachable(word: str, version: str) -> Callable:
    """`status` exits 0 whatever it finds; its JSON has the cause."""
    def judge(result):
        exits(result, 0)
        equal(result.json(), "gateway.reachable", version != "2026.3.13")
        says(result, rf'"error": "[^"]*({word})')
    return judge


def judged(row: table.Row) -> tuple:
    return row.name, row.argv, lambda result: table.judge(row, result)


def row(name: str) -> tuple:
    return judged(next(found for found in table.ROWS if found.name == name))


WRONG_PASSWORD = {"mode": "password", "password": "pass-compat-wrong"}
CALL, PROBE, STATUS = row("gateway call status"), row("gateway probe"), row("status")
# With the right secret, or where none is asked for, all is as in the table.
FINE = (CALL, PROBE, STATUS, row("devices list"))
# 2026.9.6 makes no device for a command line that has the shared secret.
STORES_DEVICE_TOKEN = ("2026.3.13",)
