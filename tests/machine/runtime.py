"""runtime.py PORT: stands where OpenClaw's own gateway is behind loopgated, at 127.0.0.1:PORT. Lets everybody in, and
answers each call with the method, the params and the user that it runs as.

Rule: it shows that loopgated reaches it, and no more; what real runtimes say is tested with real ones.
"""

import base64
import hashlib
import json
import os
import pwd
import socketserver
import sys

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Leg(socketserver.StreamRequestHandler):
    """One WebSocket connection."""

    def handle(self) -> None:
        head = {}
        self.rfile.readline()
        while line := self.rfile.readline().strip():
            name, _, value = line.partition(b":")
            head[name.lower()] = value.strip()
        if b"sec-websocket-key" not in head:
            # The health page, which a doctor asks for.
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nConnection: close\r\n\r\n{\"ok\":true}")
            return
        accept = base64.b64encode(hashlib.sha1(head[b"sec-websocket-key"] + MAGIC).digest())
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        self.say({"type": "event", "event": "connect.challenge", "payload": {"nonce": "stand-in", "ts": 0}})
        while True:
            kind, body = self.frame()
            if kind == TEXT:
                self.answer(json.loads(body))
            elif kind == PING:
                self.send(PONG, body)
            elif kind == CLOSE:
                self.send(CLOSE, body)
                return

    def answer(self, request: dict) -> None:
        if request["method"] == "connect":
            payload = {"type": "hello-ok", "protocol": 3, "server": {"version": VERSION, "connId": "x"},
                       "features": {"methods": ["artifacts.list"], "events": []}, "snapshot": {},
                       "policy": {"maxPayload": 1 << 20, "maxBufferedBytes": 1 << 20, "tickIntervalMs": 30000}}
        else:
            # An answer to `health`, too.
            payload = {"ok": True, "method": request["method"], "params": request.get("params"),
                       "user": pwd.getpwuid(os.getuid()).pw_name}
        self.say({"type": "res", "id": request["id"], "ok": True, "payload": payload})

    def say(self, value: dict) -> None:
        self.send(TEXT, json.dumps(value).encode())

    def send(self, kind: int, body: bytes) -> None:
        size = bytes([len(body)]) if len(body) < 126 else b"\x7e" + len(body).to_bytes(2, "big")
        self.wfile.write(bytes([0x80 | kind]) + size + body)

    def frame(self) -> tuple:
        kind, size = self.rfile.read(2) or (CLOSE, 0x80)
        size &= 0x7F
        if size > 125:
            size = int.from_bytes(self.rfile.read(2 if size == 126 else 8), "big")
        mask = self.rfile.read(4)
        body = self.rfile.read(size)
        return kind & 0x0F, bytes(byte ^ mask[index % 4] for index, byte in enumerate(body))


class Runtime(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request, client_address) -> None:
        """A leg that breaks is the other side's affair."""


VERSION = "stand-in"

if __name__ == "__main__":
    with Runtime(("127.0.0.1", int(sys.argv[1])), Leg) as runtime:
        runtime.serve_forever()
