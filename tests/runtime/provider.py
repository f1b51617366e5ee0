"""A stand-in for a model provider, OpenAI-compatible, whose answers come word by word as the test releases them.

Rule: an answer belongs to the turn whose mark was said since the model last spoke; whatever else a runtime asks its model
for (a title, a summary) is answered at once and briefly.
"""

import http.server
import json
import sys
import threading
import time

from report import Unexpected


class Turn:
    """One answer of `count` words. Put `mark` into the message that is to be answered with it."""

    def __init__(self, number: int, count: int):
        self.mark = f"turn-{number:04d}"
        self.words = [f"{self.mark}-{index:03d} " for index in range(count)]
        self.text = "".join(self.words).strip()
        self.asked = threading.Event()
        self._allowed = threading.Semaphore(0)

    def release(self, count: int) -> None:
        """Lets so many more words go out."""
        self._allowed.release(count)

    def release_all(self) -> None:
        self.release(len(self.words))

    def wait_asked(self) -> None:
        if not self.asked.wait(ASKED_SECS):
            raise Unexpected(f"the runtime has not asked its provider for {self.mark} within {ASKED_SECS} s")

    def paced(self):
        """The words, each when it is released. Ends early where the test forgets about it."""
        self.asked.set()
        for word in self.words:
            if not self._allowed.acquire(timeout=WORD_SECS):
                return
            yield word


class Provider:
    """Serves a loopback port until `close`. `requests` counts what came, by path."""

    def __init__(self):
        self._turns, self._lock, self._number = {}, threading.Lock(), 0
        self.requests = {}
        self._server = Server(("127.0.0.1", 0), handler(self))
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def turn(self, count: int) -> Turn:
        with self._lock:
            self._number += 1
            turn = Turn(self._number, count)
            self._turns[turn.mark] = turn
        return turn

    def config(self) -> dict:
        """The sections of openclaw.json that make this the provider of every agent."""
        model = {"id": MODEL, "name": "Stand-in", "reasoning": False, "input": ["text"], "contextWindow": 128000,
                 "maxTokens": 4096, "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}}
        provider = {"baseUrl": f"http://127.0.0.1:{self.port}/v1", "apiKey": "made-up", "api": "openai-completions",
                    "models": [model]}
        return {
            "models": {"providers": {NAME: provider}},
            "agents": {"defaults": {"model": {"primary": f"{NAME}/{MODEL}"}}},
        }

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, body: dict):
        """The words for a request, as an iterator."""
        with self._lock:
            self.requests[path] = self.requests.get(path, 0) + 1
        asked = last_words(body)
        turn = next((turn for mark, turn in self._turns.items() if mark in asked), None)
        return turn.paced() if turn else iter(["Fine."])


class Server(http.server.ThreadingHTTPServer):
    """A runtime that is killed drops its connections; that is nothing to report."""

    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def last_words(body: dict) -> str:
    """What was said since the model last spoke, as a string that can be searched: 2026.9.6 puts what the person said
    before a message of its own."""
    said = ""
    for message in body.get("messages", ()):
        said = "" if message.get("role") == "assistant" else said + json.dumps(message.get("content"))
    return said


def handler(provider: Provider):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.whole({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": NAME}]})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            words = provider.answer(self.path, body)
            if body.get("stream"):
                self.streamed(words)
            else:
                choice = {"index": 0, "finish_reason": "stop",
                          "message": {"role": "assistant", "content": "".join(words)}}
                self.whole({**head("chat.completion"), "choices": [choice], "usage": USAGE})

        def whole(self, document: dict):
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def streamed(self, words):
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            self.chunk({"role": "assistant", "content": ""}, None)
            for word in words:
                self.chunk({"content": word}, None)
            self.chunk({}, "stop", usage=USAGE)
            self.wfile.write(b"data: [DONE]\n\n")

        def chunk(self, delta: dict, reason, **more):
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            event = {**head("chat.completion.chunk"), "choices": [choice], **more}
            self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
            self.wfile.flush()

        def log_message(self, *_):
            pass

    return Handler


def head(kind: str) -> dict:
    return {"id": "chatcmpl-made-up", "object": kind, "created": int(time.time()), "model": MODEL}


NAME, MODEL = "standin", "standin-model"
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
# A runtime prepares its first turn for seconds, and compiles its modules for the first one of an installation, which
# has taken more than a minute beside other work.
ASKED_SECS = 180
# How long a word waits for the test; a test that forgot is over by then.
WORD_SECS = 120
