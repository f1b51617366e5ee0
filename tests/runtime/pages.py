"""The Control UI of each runtime version, served by the runtime, in a real browser.

Rule: what counts is what a person sees. The page comes from the same port that its WebSocket goes to, so all that it
loads, passes through the gate as well.
"""

import time

import ui
from browser import Browser
from expect import need


class Visit(ui.Page):
    """One visit to a house, from an empty browser to its end. `said`, a regular expression, is what its chat shows."""

    def __init__(self, lane, house, said: str = ui.EMPTY_CHAT):
        super().__init__(lane, house, None)
        self.house, self.said = house, said

    def connect(self) -> str:
        """Opens the page with a link that carries the token, as `openclaw dashboard` makes it."""
        self.browser = Browser(self.lane.folder("browser"))
        self.browser.open(f"http://127.0.0.1:{self.gateway.port}/#token={self.gateway.secret}")
        note = "paired silently" if self.house.direct else self.pair()
        self.browser.until(lambda: self.browser.sockets.admitted(self.url), "the page is admitted", ui.LOAD_SECS)
        self.look()
        return note

    def settle(self) -> None:
        """The page of 2026.9.6 loads itself anew when it is let in and its settings are not those of a stranger."""
        seen, since = [], time.monotonic()

        def quiet() -> bool:
            nonlocal seen, since
            live = self.browser.sockets.live(self.url)
            if live != seen or len(live) != 1:
                seen, since = live, time.monotonic()
            return time.monotonic() - since > QUIET_SECS
        self.browser.until(quiet, f"the page keeps one connection for {QUIET_SECS} s", ui.LOAD_SECS)
        self.look()
        super().settle()

    def look(self) -> None:
        """Visits the views."""
        for path, shown in self.views():
            self.browser.route(path)
            self.browser.wait(ui.shows(shown), f"{path} shows {shown!r}", ui.LOAD_SECS)
            need(not self.browser.run(ui.shows(ui.COMPLAINT)), f"{path} complains: {self.browser.text()[:300]!r}")

    def views(self) -> tuple:
        return (("/chat", self.said), ui.HEALTH[self.lane.version])

    def close(self) -> None:
        """Keeps what was seen, and ends the browser."""
        if not self.browser:
            return
        name = f"{self.lane.version}-page"
        self.lane.report.keep(f"{name}.png", self.browser.screenshot())
        self.lane.report.keep(f"{name}-frames.log", self.browser.sockets.transcript())
        self.lane.report.keep(f"{name}-refused-calls.log", self.refused())
        self.browser.close()
        self.browser = None


# A page that loads itself anew does so within a second of being let in.
QUIET_SECS = 3
