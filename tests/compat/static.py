"""Serves a version's Control UI from its npm package, as a web server in front would.

Rule: nothing of a gateway is imitated but what the page fetches from its own origin before it
connects: its settings and the picture of the assistant.
"""

import http.server
import json
import pathlib
import sys
import threading
import urllib.parse


class Site:
    """An HTTP server on a loopback port, by default any free one, until `close`."""

    def __init__(self, install: pathlib.Path, version: str, port: int = 0):
        root = install / "node_modules/openclaw/dist/control-ui"
        self._server = Server(("127.0.0.1", port), handler(root, settings(version)))
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Server(http.server.ThreadingHTTPServer):
    """A browser drops connections as it likes; that is nothing to report."""

    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def settings(version: str) -> dict:
    """The documents by path; each version asks for its own."""
    page = {"basePath": "", "assistantName": "Assistant", "assistantAvatar": "A", "assistantAgentId": "main",
            "serverVersion": version}
    return {
        "/__openclaw/control-ui-config.json": page,
        "/control-ui-config.json": page,
        "/avatar/main": {"avatarUrl": None},
    }


def handler(root: pathlib.Path, documents: dict):
    class Handler(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map,
                          ".js": "text/javascript", ".webmanifest": "application/manifest+json",
                          ".woff2": "font/woff2", ".webp": "image/webp"}

        def __init__(self, *args):
            super().__init__(*args, directory=str(root))

        def do_GET(self):
            path = urllib.parse.urlsplit(self.path).path
            if path in documents:
                return self.send_document(documents[path])
            # A route of the page, not a file: the page itself answers it.
            if not pathlib.PurePosixPath(path).suffix and not (root / path.lstrip("/")).is_file():
                self.path = "/index.html"
            return super().do_GET()

        def send_document(self, document: dict):
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler
