"""A peer of the gateway protocol in a few lines, for tests that look at what loopgated says of it.

Rule: it sends what it is told to and hides nothing; it is not an example of a good client.
"""

import base64
import json
import os
import socket


class Peer:
    """One WebSocket connection over TCP (`port`) or a UNIX socket (`path`)."""

    def __init__(self, port: int = 0, path: str = ""):
        if path:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(ANSWER_SECS)
            self._socket.connect(path)
        else:
            self._socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECS)
        self._rest = b""
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall((
            f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
        while b"\r\n\r\n" not in self._rest:
            self._rest += self._more()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0] + b" ":
            raise ConnectionError(head.decode("latin-1"))

    def connect(self, scopes: list, auth: dict, **more) -> dict:
        """Says `connect` as a command line of protocol 3; the answer frame."""
        client = {"id": "cli", "version": "2026.3.13", "platform": "linux", "mode": "cli"}
        return self.call("connect", {
            "minProtocol": 3, "maxProtocol": 3, "client": client, "caps": [], "role": "operator",
            "scopes": scopes, "auth": auth, **more})

    def call(self, method: str, params: dict) -> dict:
        """Sends a request; the answer frame, past any events."""
        self._send(1, json.dumps({"type": "req", "id": method, "method": method, "params": params}).encode())
        while True:
            kind, body = self._frame()
            if kind == 8:
                raise ConnectionError(f"closed {int.from_bytes(body[:2], 'big')} {body[2:].decode()}")
            frame = json.loads(body) if kind == 1 else {}
            if frame.get("type") == "res":
                return frame

    def close(self) -> None:
        """Ends it as a client does, and waits for the gateway's end."""
        self._send(8, b"")
        try:
            while self._socket.recv(1 << 16):
                pass
        except OSError:
            pass
        self._socket.close()

    def _send(self, kind: int, body: bytes) -> None:
        # A mask of zeros is a mask.
        size = bytes([0x80 | len(body)]) if len(body) < 126 else b"\xfe" + len(body).to_bytes(2, "big")
        self._socket.sendall(bytes([0x80 | kind]) + size + bytes(4) + body)

    def _frame(self) -> tuple:
        kind, size = self._take(2)
        if size > 125:
            size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
        return kind & 0x0F, self._take(size)

    def _take(self, size: int) -> bytes:
        while len(self._rest) < size:
            self._rest += self._more()
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def _more(self) -> bytes:
        data = self._socket.recv(1 << 16)
        if not data:
            raise ConnectionError("closed without a close frame")
        return data


ANSWER_SECS = 10
