"""The Control UI of each version in a real browser, served from an allowed origin.

Rule: what counts is what a person sees: the page says connected, goes on saying so, and its console
stays clean. One WebSocket carries it all the time.
"""

import json
import re
import time

import seed
from browser import VISIBLE, Browser
from expect import need
from report import Unexpected
from static import Site
from target import token_auth


def run(lane) -> None:
    site = Site(lane.install, lane.version, lane.options.ui_port)
    try:
        with lane.served("ui", token_auth(), [site.origin]) as gateway:
            if gateway:
                Page(lane, gateway, site).play()
    finally:
        site.close()


class Page:
    """One visit, from the first load in an empty browser to its end."""

    def __init__(self, lane, gateway, site):
        self.lane, self.gateway, self.site = lane, gateway, site
        self.url = f"ws://127.0.0.1:{gateway.port}"
        self.browser = None

    def play(self) -> None:
        lane, name = self.lane, f"{self.lane.version}-ui"
        try:
            if not lane.check("ui connects", lambda: self.told(self.connect)):
                return
            lane.check(f"ui stays connected for {lane.options.hold} s", lambda: self.told(self.stay))
            lane.check("ui console is clean", lambda: self.told(self.clean))
        finally:
            if self.browser:
                lane.report.keep(f"{name}.png", self.browser.screenshot())
                lane.report.keep(f"{name}-frames.log", self.browser.sockets.transcript())
                lane.report.keep(f"{name}-refused-calls.log", self.refused())
                self.browser.close()

    def connect(self) -> str:
        """Opens the page with a link that names gateway and token, as `openclaw dashboard` makes it."""
        self.browser = Browser(self.lane.folder("browser"))
        self.browser.open(f"{self.site.origin}/?gatewayUrl={self.url}#token={self.gateway.secret}")
        self.browser.wait(CONFIRM, "the page asks whether to go to another gateway", LOAD_SECS)
        # Until it was asked, the page tried its own origin, where no gateway is.
        self.browser.errors.clear()
        note = self.pair() if self.lane.run.aim.name == "loopgated" else "paired silently"
        self.browser.until(lambda: self.browser.sockets.admitted(self.url), "the page is admitted", LOAD_SECS)
        for path, shown in self.views():
            self.browser.route(path)
            self.browser.wait(shows(shown), f"{path} shows {shown!r}", LOAD_SECS)
            need(not self.browser.run(shows(COMPLAINT)), f"{path} complains: {self.browser.text()[:300]!r}")
        return note

    def views(self) -> tuple:
        """The views to visit: where, and what a good one shows. The last tells the connection's state."""
        chat = f"{re.escape(seed.QUESTION)}[^]*{re.escape(seed.ANSWER)}" if self.gateway.seeded else EMPTY_CHAT
        return (("/chat", chat), HEALTH[self.lane.version])

    def pair(self) -> str:
        """A new browser is not let in silently; the owner approves it, and the page gets in."""
        pending = self.browser.until(lambda: self.devices()["pending"], "the page asks to be paired", LOAD_SECS)
        need(len(pending) == 1, f"{len(pending)} pairing requests, not 1")
        self.browser.wait("/pairing/i.test(document.body.innerText)", "the page says that it must be paired", LOAD_SECS)
        self.approve(pending[0]["requestId"])
        # What the page was refused before does not count.
        self.browser.errors.clear()
        self.browser.wait(CONNECT, "the page lets a person connect again", LOAD_SECS)
        return "paired by the owner"

    def stay(self) -> str:
        before = self.browser.sockets.live(self.url)
        need(len(before) == 1, f"{len(before)} open connections to the gateway, not 1")
        time.sleep(self.lane.options.hold)
        need(self.browser.sockets.live(self.url) == before, "the connection was closed or replaced")
        _, healthy = self.views()[-1]
        need(self.browser.run(shows(healthy)), f"the page no longer shows {healthy!r}")
        calls = sum(1 for _, arrow, text in self.browser.sockets.frames if arrow == "page:" and '"req"' in text)
        return f"{calls} calls, {len(self.browser.sockets.failures())} of them refused"

    def clean(self) -> str:
        seen = [error for error in self.browser.errors if not any(known in error for known in EXPECTED_ERRORS)]
        need(not seen, f"{len(seen)} errors, first: {seen and seen[0][:200]}")
        return "no errors"

    def settle(self) -> None:
        """Remembers what must not change, and has the page look at itself all the time."""
        sockets = self.browser.sockets
        self.socket = sockets.live(self.url)
        need(len(self.socket) == 1, f"the page has {len(self.socket)} connections, not 1")
        self.opened = len(sockets.opened)
        self.browser.run(SAMPLER % (shows(self.views()[-1][1]), VISIBLE, SAMPLE_MS))
        self.since = time.monotonic()

    def same_socket(self) -> str:
        sockets = self.browser.sockets
        need(sockets.live(self.url) == self.socket, "the browser saw the page's WebSocket close")
        need(len(sockets.opened) == self.opened, f"the page opened {len(sockets.opened) - self.opened} more WebSockets")
        hellos = [key for key, arrow, text in sockets.frames if arrow == "gate:" and '"hello-ok"' in text]
        need(hellos == self.socket, f"the page was greeted {len(hellos)} times")
        return "1 WebSocket opened, 0 closed"

    def stayed_healthy(self) -> str:
        seen = self.browser.run("window.kept")
        need(seen, "the page has loaded itself anew")
        need(not seen["bad"], f"{len(seen['bad'])} of {seen['count']} looks saw something else: {seen['bad'][:1]}")
        secs = time.monotonic() - self.since
        need(seen["count"] > secs * 1000 / SAMPLE_MS / 4, f"only {seen['count']} looks at the page in {secs:.0f} s")
        return f"{seen['count']} looks in {secs:.0f} s"

    def still_answers(self) -> str:
        """Visits the views again: what they show is asked for over the WebSocket that was there all the time."""
        before = len(self.browser.sockets.frames)
        for path, shown in self.views():
            self.browser.route(path)
            self.browser.wait(shows(shown), f"{path} shows {shown!r}", LOAD_SECS)
        asked = [text for _, arrow, text in self.browser.sockets.frames[before:] if arrow == "page:"]
        need(asked, "the page asked for nothing")
        return f"{len(asked)} calls"

    def devices(self) -> dict:
        return json.loads(self.owner("devices", "list", "--json"))

    def approve(self, request: str) -> None:
        self.owner("devices", "approve", request)

    def owner(self, *argv: str) -> str:
        done = self.gateway.loopgate(*argv)
        need(done.returncode == 0, f"loopgate {' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def refused(self) -> str:
        return "\n".join(f"{method}: {json.dumps(error)}" for method, error in self.browser.sockets.failures())

    def told(self, action) -> str:
        """Adds what the browser saw to a failure."""
        try:
            return action()
        except Unexpected as reason:
            errors = "\n".join(self.browser.errors) if self.browser else ""
            frames = self.browser.sockets.transcript() if self.browser else ""
            raise Unexpected(f"{reason}\n{frames}\n{self.gateway.log()}\n--- console errors\n{errors}") from None


def shows(pattern: str) -> str:
    """An expression that is true when the text on the page matches."""
    return f"new RegExp({json.dumps(pattern)}).test({VISIBLE})"


EMPTY_CHAT = "Type a message below"
# Where each version shows the state of its connection, and a good one.
HEALTH = {
    "2026.3.13": ("/overview", r"STATUS\s+OK\s+UPTIME\s+\S+\s+TICK INTERVAL\s+30s"),
    "2026.9.6": ("/settings/connection", r"Connected to 127\.0\.0\.1:\d+\s+Connected\s+Avg ping"),
}
# What no view may show, whatever it is about.
COMPLAINT = r"unknown method|missing scope|disconnected \(|Gateway unreachable"
# Console errors that are no fault of the gateway, each with its reason; a part of the text is enough.
EXPECTED_ERRORS = (
    # The page's style sheet asks for web fonts; the browser of the test reaches loopback only.
    "fonts.googleapis.com",
    # The page learns that the owner has no picture by asking for it.
    "/api/users/gateway-owner/avatar",
    # So it learns that a workspace has none; a runtime says 404, or 503 as long as it has not looked.
    "/__openclaw__/workspace-icon/",
)
# A link to another gateway than the page's own origin is confirmed by a click.
CONFIRM = """(function () {
    const wanted = (button) => /^(Confirm|Switch to)/.test(button.innerText.trim());
    const button = [...document.querySelectorAll("button.primary")].find(wanted);
    button?.click();
    return Boolean(button);
})()"""
# The login stays until it is told to try again.
CONNECT = """(function () {
    const button = document.querySelector("button.login-gate__connect");
    button?.click();
    return Boolean(button);
})()"""
# A page that reconnects waits for 800 ms first.
SAMPLE_MS = 200
# Looks at the page from inside, so that it costs the test nothing. What it sees is bounded.
SAMPLER = """(function () {
    window.kept = { count: 0, bad: [] };
    setInterval(() => {
        window.kept.count += 1;
        if (!(%s) && window.kept.bad.length < 10) window.kept.bad.push((%s).slice(0, 300));
    }, %d);
})()"""
# The 9.6 page loads 117 files, and its first load compiles them.
LOAD_SECS = 60
