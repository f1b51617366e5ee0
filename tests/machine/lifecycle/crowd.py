"""Live sessions with steady traffic, and newcomers, while something happens to the gateway under them.

Rule: every call has a name of its own, and every answer is counted against it: what is lost or doubled shows.
"""

import contextlib
import itertools
import json
import random
import threading
import time

from peer import Peer

from box import PORT
from expect import need


class Session(Peer):
    """A session whose calls have names."""

    def __init__(self):
        super().__init__(PORT)
        self._numbers = itertools.count(1)
        self.answered = 0

    def ask(self) -> None:
        """One call, and its answer: the only one, and the right one. Raises ConnectionError or ValueError."""
        name = f"call-{next(self._numbers)}"
        self._send(1, json.dumps({"type": "req", "id": name, "method": "status", "params": {}}).encode())
        while True:
            kind, body = self._frame()
            if kind == 9:
                self._send(10, body)
            elif kind == 8:
                raise ConnectionError(f"closed {int.from_bytes(body[:2], 'big')} {body[2:].decode()}")
            frame = json.loads(body) if kind == 1 else {}
            if frame.get("type") == "event" and frame["event"] == "shutdown":
                raise ConnectionError("told that the gateway shuts down")
            if frame.get("type") == "res":
                if frame["id"] != name or not frame["ok"]:
                    raise ValueError(f"{name} was answered with {str(frame)[:200]}")
                self.answered += 1
                return

    def end(self) -> str:
        """Reads on until the gateway closes it: how that was."""
        try:
            while True:
                kind, body = self._frame()
                if kind == 8:
                    return f"{int.from_bytes(body[:2], 'big')} {body[2:].decode()}"
        except OSError as reason:
            return str(reason)


class Crowd:
    """Sessions that stay, each in a thread, and one newcomer after another."""

    def __init__(self, token: str, count: int = 40):
        self._token, self._over = token, threading.Event()
        self.faults, self.visits, self.longest = [], 0, 0.0
        self.sessions = [self._admitted() for _ in range(count)]
        self._threads = [threading.Thread(target=self._stay, args=(session,), daemon=True) for session in self.sessions]
        self._threads.append(threading.Thread(target=self._visit, daemon=True))
        for thread in self._threads:
            thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._finish()

    def unharmed(self) -> str:
        """Ends the crowd: nobody may have noticed anything."""
        calls = self._finish()
        need(not self.faults, f"{len(self.faults)} faults, the first: {self.faults[:1]}\n" + "\n".join(self.faults))
        return (f"{len(self.sessions)} sessions, {calls} calls, {self.visits} newcomers, 0 lost; longest call "
                f"{self.longest * 1000:.0f} ms")

    def told(self, code: int) -> str:
        """Ends the crowd after the gateway has ended it: everybody was told so with this code."""
        self._finish()
        others = [fault for fault in self.faults if fault.startswith("a session") and f"closed {code} " not in fault
                  and "shuts down" not in fault]
        ends = [fault for fault in self.faults if fault.startswith("a session")]
        need(len(ends) == len(self.sessions) and not others,
             f"{len(ends)} of {len(self.sessions)} were ended, {len(others)} not with {code}\n" + "\n".join(self.faults))
        return f"{len(ends)} sessions, code {code}"

    def alive(self) -> int:
        """How many sessions are in no trouble yet."""
        return len(self.sessions) - sum(fault.startswith("a session") for fault in self.faults)

    def _admitted(self) -> Session:
        session = Session()
        hello = session.connect(["operator.read"], {"token": self._token})
        need(hello.get("ok"), f"a session is not admitted: {hello}")
        return session

    def _stay(self, session: Session) -> None:
        try:
            while not self._over.is_set():
                began = time.monotonic()
                session.ask()
                self.longest = max(self.longest, time.monotonic() - began)
                time.sleep(random.uniform(0.01, 0.2))
        except (OSError, ValueError) as reason:
            self.faults.append(f"a session: {reason}")

    def _visit(self) -> None:
        while not self._over.is_set():
            try:
                session = self._admitted()
                session.ask()
                session.close()
                self.visits += 1
            except Exception as reason:  # whatever keeps a newcomer out is to be told
                self.faults.append(f"a newcomer: {reason}")
                time.sleep(0.1)
            time.sleep(0.02)

    def _finish(self) -> int:
        if self._over.is_set():
            return 0
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=30)
        for session in self.sessions:
            with contextlib.suppress(OSError):
                session.close()
        return sum(session.answered for session in self.sessions)
