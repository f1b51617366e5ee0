"""A client of the gateway protocol that calls and listens at the same time, under a device identity of its own.

Rule: it keeps everything that it heard, in order, with its arrival; nothing is asked twice and no close is mended.
"""

import json
import threading
import time

from device import Device
from peer import Peer
from report import Unexpected


class Answer:
    """What became of one call: `ok`, `payload` or `error`, after `secs`. Without an answer: `lost` says why."""

    def __init__(self, method: str, deadline: float):
        self.method, self.deadline = method, deadline
        self.frames, self.lost, self.secs = [], "", None
        self._began, self._came = time.monotonic(), threading.Event()

    def take(self, frame: dict) -> None:
        self.frames.append(frame)
        self.secs = time.monotonic() - self._began
        self._came.set()

    def lose(self, why: str) -> None:
        self.lost = self.lost or why
        self._came.set()

    def wait(self) -> "Answer":
        if not self._came.wait(max(0, self._began + self.deadline - time.monotonic())):
            self.lose(f"no answer within {self.deadline} s")
        return self

    @property
    def ok(self) -> bool:
        return bool(self.frames) and self.frames[0].get("ok") is True

    @property
    def payload(self):
        return self.frames[0].get("payload") if self.frames else None

    @property
    def error(self) -> dict:
        return (self.frames[0].get("error") or {}) if self.frames else {"code": "LOST", "message": self.lost}

    def good(self):
        """The payload, or Unexpected."""
        if not self.wait().ok:
            raise Unexpected(f"{self.method}: {json.dumps(self.error)}")
        return self.payload


class Caller(Peer):
    """One connection of a client of `version` on `port`; `events` holds (seconds, frame)."""

    def __init__(self, port: int, secret: str, version: str, **more):
        super().__init__(port)
        self._socket.settimeout(None)
        self.version, self.port = version, port
        self.events, self.calls, self.closed = [], {}, None
        self._heard, self._writing, self._next = threading.Condition(), threading.Lock(), 0
        threading.Thread(target=self._listen, daemon=True).start()
        nonce = self.event(lambda frame: frame["event"] == "connect.challenge", "the challenge")["payload"]["nonce"]
        hello = self.ask("connect", introduction(version, secret, nonce, **more)).wait()
        if not hello.ok:
            self.drop()
            raise Unexpected(f"connect of {version} refused: {json.dumps(hello.error)}, closed {self.closed}")
        self.hello = hello.payload

    def ask(self, method: str, params: dict, deadline: float = 0) -> Answer:
        """Sends a call; returns at once."""
        answer = Answer(method, deadline or ANSWER_SECS)
        with self._writing:
            self._next += 1
            name = f"{self._next}:{method}"
            self.calls[name] = answer
            frame = {"type": "req", "id": name, "method": method, "params": params}
            try:
                self._send(1, json.dumps(frame).encode())
            except OSError as reason:
                answer.lose(f"not sent: {reason}")
        if self.closed:
            answer.lose(f"closed {self.closed}")
        return answer

    def get(self, method: str, params: dict = None, deadline: float = 0):
        """Calls and waits for a good answer's payload."""
        return self.ask(method, params or {}, deadline).good()

    def event(self, wanted, what: str, secs: float = 0) -> dict:
        """The first event so far, or to come, that is wanted."""
        limit = time.monotonic() + (secs or ANSWER_SECS)
        seen = 0
        with self._heard:
            while True:
                for _, frame in self.events[seen:]:
                    if wanted(frame):
                        return frame
                seen = len(self.events)
                if self.closed:
                    raise Unexpected(f"closed {self.closed} while waiting for {what}")
                if not self._heard.wait(max(0, limit - time.monotonic())) and time.monotonic() >= limit:
                    raise Unexpected(f"{what} did not come within {secs or ANSWER_SECS} s")

    def until(self, ready, what: str, secs: float = 0):
        """Waits until `ready` gives something."""
        limit = time.monotonic() + (secs or ANSWER_SECS)
        while time.monotonic() < limit:
            if value := ready():
                return value
            time.sleep(0.1)
        raise Unexpected(f"{what}: not so within {secs or ANSWER_SECS} s")

    def named(self, name: str) -> list:
        """The payloads of all events of a name so far, in order."""
        return [frame.get("payload") for _, frame in list(self.events) if frame["event"] == name]

    def drop(self) -> None:
        """Ends it without waiting for the other side."""
        try:
            with self._writing:
                self._send(8, b"\x03\xe8")
            self._socket.shutdown(2)
        except OSError:
            pass

    def _listen(self) -> None:
        why = "by its end"
        try:
            while True:
                kind, body = self._frame()
                if kind == 8:
                    why = f"{int.from_bytes(body[:2], 'big')} {body[2:].decode(errors='replace')}".strip()
                    break
                if kind == 9:
                    with self._writing:
                        self._send(10, body)
                elif kind == 1:
                    self._take_in(json.loads(body))
        except (OSError, ValueError) as reason:
            why = str(reason)
        with self._heard:
            self.closed = why or "without a code"
            self._heard.notify_all()
        for answer in list(self.calls.values()):
            if not answer.frames:
                answer.lose(f"closed {self.closed}")
        self._socket.close()

    def _take_in(self, frame: dict) -> None:
        if frame.get("type") == "res" and frame.get("id") in self.calls:
            self.calls[frame["id"]].take(frame)
            return
        with self._heard:
            self.events.append((time.monotonic(), frame))
            self._heard.notify_all()


def introduction(version: str, secret: str, nonce: str, device=None, scopes=None, client=None, caps=None,
                 role="operator", **more) -> dict:
    """The params of a `connect`."""
    protocol = PROTOCOL[version]
    known = {"id": "cli", "version": version, "platform": "linux", "mode": "cli", **(client or {})}
    connect = {"minProtocol": protocol, "maxProtocol": protocol, "client": known, "role": role,
               "caps": list(CAPS[version] if caps is None else caps),
               "scopes": list(SCOPES if scopes is None else scopes), "auth": {"token": secret}, **more}
    return {**connect, "device": (device or Device()).proof(nonce, connect)}


PROTOCOL = {"2026.3.13": 3, "2026.9.6": 4}
# As their Control UIs declare them, as far as it matters here.
CAPS = {"2026.3.13": ("tool-events",), "2026.9.6": ("tool-events", "approvals")}
SCOPES = ("operator.admin", "operator.read", "operator.write", "operator.approvals", "operator.pairing")
# The deadline of a client of either version for an ordinary call.
ANSWER_SECS = 30
