"""A house: a real gateway as the runtime, and loopgated before it, both on one openclaw.json.

Rule: a check asks `port` and does not know who answers there, so that every check can be run at the runtime directly.
"""

import pathlib
import threading

import target
from runtimes import Runtime, quiet_port


class House(target.Gateway):
    """One version's runtime behind a gate of its own; with `direct`, the runtime alone."""

    def __init__(self, version: str, options, work: pathlib.Path, provider):
        auth = target.token_auth()
        self.direct, self._bins = options.direct, options.bins
        self.version, self._folder, self.provider = version, work / f"house-{version}", provider
        self._folder.mkdir(parents=True)
        self.runtime = Runtime(version, options.clients.resolve() / version, self._folder / "runtime", auth)
        super().__init__(self.runtime.port if self.direct else quiet_port(), auth, seeded=False)
        self.gate = None
        # The first turn of 2026.3.13 makes its workspace. Two that do so in the same instant rename the same temporary
        # file, and one of them ends with ENOENT; without the gate too.
        self.turns = threading.Lock()

    def open(self) -> str:
        """Starts the runtime, and the gate before it while the runtime is still away."""
        self.runtime.configure(self.port, self.provider.config()).start()
        if not self.direct:
            self.gate = target.Loopgated(self._bins.resolve(), self._folder / "gate", self.auth, [], self)
        return self.runtime.wait_ready()

    def loopgate(self, *argv: str):
        return self.gate.loopgate(*argv) if self.gate else None

    def log(self) -> str:
        gate = self.gate.log() if self.gate else "(no gate: directly)"
        return f"--- runtime {self.version}\n{tail(self.runtime.log())}\n--- gate\n{tail(gate)}"

    def stop(self) -> str:
        try:
            return self.gate.stop() if self.gate else ""
        finally:
            self.runtime.stop()


def tail(text: str) -> str:
    return "\n".join(text.splitlines()[-LOG_LINES:])


LOG_LINES = 200
