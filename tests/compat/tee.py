"""Writes down what clients and gateway say to each other: a loopback relay that reads along.

Rule: bytes pass unchanged and at once, but for the port in the Host header, which the gateway checks;
what cannot be read is passed on all the same. For looking into a failure (--tee): the gateway then
sees this relay as its peer.
"""

import pathlib
import socket
import threading
import time


class Tee:
    """Relays a port of its own to `port` and writes every message to `path`, until `close`."""

    def __init__(self, port: int, path: pathlib.Path):
        self._to = port
        self._log = path.open("w", encoding="utf-8")
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._hosts = [b"Host: 127.0.0.1:%d\r\n" % number for number in (self.port, port)]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        with self._lock:
            self._log.close()

    def _accept(self) -> None:
        number = 0
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            number += 1
            gate = socket.create_connection(("127.0.0.1", self._to))
            for name, source, sink in ((f"{number} client:", client, gate), (f"{number} gate:  ", gate, client)):
                threading.Thread(target=self._pump, args=(name, source, sink), daemon=True).start()

    def _pump(self, name: str, source: socket.socket, sink: socket.socket) -> None:
        reader = Reader()
        try:
            while data := source.recv(1 << 16):
                for message in reader.feed(data):
                    self._write(name, message)
                sink.sendall(data.replace(*self._hosts, 1))
        except OSError as error:
            self._write(name, f"({error})")
        self._write(name, "(end)")
        try:
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _write(self, name: str, message: str) -> None:
        with self._lock:
            if not self._log.closed:
                self._log.write(f"{time.time():.3f} {name} {message[:MESSAGE_CHARS_MAX]}\n")
                self._log.flush()


class Reader:
    """One direction: an HTTP head, then WebSocket frames (RFC 6455, section 5.2)."""

    def __init__(self):
        self._rest, self._upgraded = b"", False

    def feed(self, data: bytes) -> list:
        self._rest += data
        found = []
        while (message := self._next()) is not None:
            found.append(message)
        return found

    def _next(self):
        if not self._upgraded:
            head, end, rest = self._rest.partition(b"\r\n\r\n")
            if not end:
                return None
            self._rest, self._upgraded = rest, True
            return head.split(b"\r\n")[0].decode("latin-1")
        return self._frame()

    def _frame(self):
        rest = self._rest
        if len(rest) < 2:
            return None
        size, at = rest[1] & 0x7F, 2
        if size > 125:
            width = 2 if size == 126 else 8
            size, at = int.from_bytes(rest[2:2 + width], "big"), 2 + width
        mask = rest[at:at + 4] if rest[1] & 0x80 else b"\0\0\0\0"
        at += 4 if rest[1] & 0x80 else 0
        if len(rest) < at + size:
            return None
        body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(rest[at:at + size]))
        self._rest = rest[at + size:]
        if rest[0] & 0x0F == 8:
            return f"close {int.from_bytes(body[:2], 'big')} {body[2:].decode('utf-8', 'replace')!r}"
        return {9: "ping ", 10: "pong "}.get(rest[0] & 0x0F, "") + body.decode("utf-8", "replace")


MESSAGE_CHARS_MAX = 2000
