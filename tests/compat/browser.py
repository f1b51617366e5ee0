"""A headless Chromium, driven over the DevTools protocol through a pipe: no port, no package.

Rule: the browser reaches 127.0.0.1 and nothing else, and starts from an empty profile.
"""

import base64
import json
import os
import pathlib
import queue
import threading
import time

from child import end, spawn
from report import Unexpected


class Sockets:
    """The page's WebSockets, as the browser saw them: when each closed, and what it carried."""

    def __init__(self):
        self.opened = {}
        self.closed = set()
        self.frames = []

    def see(self, method: str, params: dict) -> None:
        key = params.get("requestId")
        if method == "Network.webSocketCreated":
            self.opened[key] = params["url"]
        elif method == "Network.webSocketClosed":
            self.closed.add(key)
        elif method == "Page.frameNavigated" and "parentId" not in params["frame"]:
            # Another document: the sockets of the one before are gone without a word.
            self.closed.update(self.opened)
        elif method in ARROWS and len(self.frames) < FRAMES_MAX:
            self.frames.append((key, ARROWS[method], params["response"]["payloadData"]))

    def live(self, prefix: str) -> list:
        """The sockets to URLs that begin so and are open."""
        return [key for key, url in list(self.opened.items()) if url.startswith(prefix) and key not in self.closed]

    def admitted(self, prefix: str) -> bool:
        """One socket to such a URL is open, and the gateway has said hello on it."""
        live = self.live(prefix)
        return len(live) == 1 and any(
            key == live[0] and arrow == "gate:" and '"hello-ok"' in text for key, arrow, text in list(self.frames))

    def failures(self) -> list:
        """(method, error) of every call that the gateway answered with an error."""
        calls, found = {}, []
        for _, arrow, text in list(self.frames):
            try:
                frame = json.loads(text)
            except ValueError:
                continue
            if frame.get("type") == "req":
                calls[frame.get("id")] = frame.get("method")
            elif frame.get("type") == "res" and not frame.get("ok"):
                found.append((calls.get(frame.get("id"), "?"), frame.get("error")))
        return found

    def transcript(self) -> str:
        return "\n".join(f"{arrow} {text[:FRAME_SHOWN_CHARS]}" for _, arrow, text in list(self.frames))


class Browser:
    """One browser with one page. `errors` collects what the page's console calls an error."""

    def __init__(self, folder: pathlib.Path):
        self._id = 0
        self._answers = queue.Queue()
        self.errors = []
        self.sockets = Sockets()
        their_in, self._out = os.pipe()
        self._in, their_out = os.pipe()
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "chromium.log").open("wb") as log:
            # Chromium reads from descriptor 3 and writes to 4.
            self._child = spawn(
                ["bash", "-c", f'exec 3<&{their_in} 4>&{their_out}; exec "$@"', "bash", "chromium",
                 f"--user-data-dir={folder / 'profile'}", *FLAGS, "about:blank"],
                stdout=log, stderr=log, pass_fds=(their_in, their_out),
                env={"HOME": str(folder), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
            )
        os.close(their_in)
        os.close(their_out)
        threading.Thread(target=self._read, daemon=True).start()
        self._session = None
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, url: str) -> None:
        self._call("Page.navigate", url=url)

    def route(self, path: str) -> None:
        """Goes to another view of the page that is loaded, as a click on its menu does."""
        self.run(f"history.pushState(null, '', {path!r}); dispatchEvent(new PopStateEvent('popstate'))")

    def run(self, script: str):
        """The value of a JavaScript expression in the page."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise Unexpected(f"the page threw: {answer['exceptionDetails'].get('exception', answer)}")
        return answer["result"].get("value")

    def wait(self, script: str, what: str, secs: float):
        """Waits until the expression is true; `what` is the reason when it does not become so."""
        return self.until(lambda: self.run(script), what, secs)

    def until(self, ready, what: str, secs: float):
        """The same for a function of Python."""
        limit = time.monotonic() + secs
        while time.monotonic() < limit:
            if value := ready():
                return value
            time.sleep(0.2)
        shown = " ".join(self.text().split())
        raise Unexpected(f"{what}: not so after {secs:.0f} s; the page shows: {shown[:SHOWN_CHARS]!r}")

    def text(self) -> str:
        return self.run(VISIBLE) or ""

    def screenshot(self) -> bytes:
        return base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])

    def close(self) -> None:
        end(self._child)
        for descriptor in (self._in, self._out):
            os.close(descriptor)

    def _call(self, method: str, **params) -> dict:
        self._id += 1
        message = {"id": self._id, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            try:
                answer = self._answers.get(timeout=CALL_SECS)
            except queue.Empty:
                raise Unexpected(f"the browser does not answer {method}") from None
            if answer is None:
                raise Unexpected("the browser is gone")
            if answer["id"] == self._id:
                break
        if "error" in answer:
            raise Unexpected(f"{method}: {answer['error']}")
        return answer["result"]

    def _read(self) -> None:
        """Takes what the browser says apart: answers for the caller, errors for the list."""
        rest = b""
        while chunk := self._receive():
            *messages, rest = (rest + chunk).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self._answers.put(message)
                    continue
                self.sockets.see(message["method"], message.get("params", {}))
                if error := page_error(message):
                    self.errors.append(error)
        self._answers.put(None)

    def _receive(self) -> bytes:
        try:
            return os.read(self._in, 1 << 16)
        except OSError:
            return b""


def page_error(message: dict) -> str:
    """The text of a DevTools event that a developer would see in red; else ""."""
    params = message.get("params", {})
    match message["method"]:
        case "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            return "exception: " + details.get("exception", {}).get("description", details["text"])
        case "Runtime.consoleAPICalled" if params["type"] in ("error", "assert"):
            return "console: " + " ".join(str(a.get("value", a.get("description", ""))) for a in params["args"])
        case "Log.entryAdded" if params["entry"]["level"] == "error":
            return f"log: {params['entry']['text']} {params['entry'].get('url', '')}"
    return ""


FLAGS = (
    "--remote-debugging-pipe", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--window-size=1280,900", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
# The first call waits for the browser to start, on a machine where a client loads as well.
CALL_SECS = 60
ARROWS = {"Network.webSocketFrameSent": "page:", "Network.webSocketFrameReceived": "gate:"}
# A page makes some hundred calls in five minutes; a flood must not fill the memory of the test.
FRAMES_MAX = 20_000
FRAME_SHOWN_CHARS = 600
SHOWN_CHARS = 300
# innerText stops at shadow roots. Between two documents there is nothing at all.
VISIBLE = """(function read(node) {
    if (!node) return "";
    const own = node.innerText ?? "";
    const roots = [...node.querySelectorAll("*")].filter((e) => e.shadowRoot).map((e) => e.shadowRoot);
    return [own, ...roots.flatMap((root) => [...root.children]).map(read)].join("\\n");
})(document.body ?? document.documentElement)"""
