"""A state folder with something in it: a session with two messages, a cron job, a model, a log.

Rule: the files are what OpenClaw 2026.3.13 itself writes and reads; a gateway of that version on
the same folder gives the answers that are asked for here.
"""

import json
import pathlib
import time

from expect import at, equal, need


def config(state: pathlib.Path, secret: dict, port: int) -> dict:
    """An openclaw.json with one provider and one model, and a log of its own."""
    model = {"id": MODEL, "name": "Compat Model", "reasoning": False, "input": ["text"], "contextWindow": 32768,
             "maxTokens": 4096, "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}}
    # Port 9 discards; nothing is ever sent there.
    provider = {"baseUrl": "http://127.0.0.1:9/v1", "apiKey": "none", "api": "openai-completions", "models": [model]}
    return {
        "gateway": {"mode": "local", "bind": "loopback", "port": port, "auth": secret},
        "models": {"providers": {PROVIDER: provider}},
        "agents": {"defaults": {"model": {"primary": f"{PROVIDER}/{MODEL}"}}},
        "logging": {"file": str(state / LOG)},
        "update": {"checkOnStart": False},
    }


def write(state: pathlib.Path, seen: pathlib.Path | None = None) -> None:
    """Writes the session, the job and the log below a state folder. `seen` is its path where the gateway runs, if another."""
    ms = int(time.time() * 1000)
    sessions = state / "agents/main/sessions"
    sessions.mkdir(mode=0o700, parents=True)
    file = sessions / f"{SESSION}.jsonl"
    named = (seen or state) / file.relative_to(state)
    entry = {"sessionId": SESSION, "updatedAt": ms, "label": "Compat", "sessionFile": str(named)}
    put(sessions / "sessions.json", json.dumps({KEY: entry}))
    put(file, "".join(json.dumps(line) + "\n" for line in transcript(ms)))
    (state / "cron").mkdir(mode=0o700)
    put(state / "cron/jobs.json", json.dumps({"version": 1, "jobs": [job(ms)]}))
    meta = {"runtime": "node", "name": "openclaw", "date": iso(ms), "logLevelId": 3, "logLevelName": "INFO"}
    put(state / LOG, json.dumps({"0": LOGGED, "_meta": meta, "time": iso(ms)}) + "\n")


def transcript(ms: int) -> list:
    def message(number: int, role: str, text: str) -> dict:
        parent = str(number - 1) if number > 1 else None
        body = {"role": role, "content": [{"type": "text", "text": text}], "timestamp": ms}
        return {"type": "message", "id": str(number), "parentId": parent, "timestamp": iso(ms), "message": body}
    return [
        {"type": "session", "version": 3, "id": SESSION, "timestamp": iso(ms), "cwd": "/"},
        message(1, "user", QUESTION),
        message(2, "assistant", ANSWER),
    ]


def job(ms: int) -> dict:
    hour = 3_600_000
    return {
        "id": JOB, "name": "compat job", "enabled": True, "createdAtMs": ms, "updatedAtMs": ms,
        "schedule": {"kind": "every", "everyMs": hour, "anchorMs": ms},
        "sessionTarget": "main", "wakeMode": "next-heartbeat",
        "payload": {"kind": "systemEvent", "text": "tick"}, "state": {"nextRunAtMs": ms + hour},
    }


def history(answer) -> None:
    said = [(message["role"], message["content"][0]["text"]) for message in at(answer, "messages")]
    need(said == [("user", QUESTION), ("assistant", ANSWER)], f"the messages are {said}")


def sessions(answer) -> None:
    equal(answer, "count", 1)
    equal(answer, "sessions.0.key", KEY)
    equal(answer, "sessions.0.sessionId", SESSION)
    equal(answer, "defaults.model", MODEL)


def jobs(answer) -> None:
    equal(answer, "total", 1)
    equal(answer, "jobs.0.id", JOB)
    equal(answer, "jobs.0.schedule.kind", "every")


def models(answer) -> None:
    need(any(model["id"] == MODEL and model["provider"] == PROVIDER for model in at(answer, "models")),
         f"{PROVIDER}/{MODEL} is not among the models")


def summary(answer) -> None:
    equal(answer, "sessions.count", 1)


def log(lines) -> None:
    need(at(lines, "0.file").endswith(LOG), f"the log is {at(lines, '0.file')}")
    need(any(line.get("message") == LOGGED and line.get("level") == "info" for line in lines),
         f"no line with level info says {LOGGED!r}")


def put(path: pathlib.Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def iso(ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(ms / 1000))


KEY = "agent:main:main"
SESSION = "5e551011-0000-4000-8000-00000000c0de"
JOB = "10b00000-0000-4000-8000-00000000c0de"
PROVIDER, MODEL = "compat", "compat-model"
LOG, LOGGED = "gateway.log", "the gate was opened"
QUESTION, ANSWER = "Is the gate open?", "It is."
# What a row of the table must show besides, where the gateway has this state.
CHECKS = {
    "cron list": jobs,
    "logs": log,
    "health": summary,
    "gateway call status": summary,
    "gateway call models.list": models,
    "gateway call chat.history": history,
    "gateway call sessions.list": sessions,
}
