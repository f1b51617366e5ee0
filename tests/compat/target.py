"""The gateways under test: loopgated under socket activation, or a gateway that runs already.

Rule: a loopgated is started the way systemd starts it, with its sockets handed over, and is alone
in a state folder of its own. How it ends is part of the test: exit 0, no panic, no secret said.
"""

import http.client
import json
import os
import pathlib
import secrets
import signal
import socket
import subprocess
import time

import seed
from child import end, spawn
from report import Skip, Unexpected


class Gateway:
    """A gateway that answers on `port`. `auth` is the auth section of its configuration; `seeded`
    tells that its state folder holds what `seed` writes."""

    def __init__(self, port: int, auth: dict, seeded: bool):
        self.port, self.auth, self.seeded = port, auth, seeded

    @property
    def secret(self) -> str:
        return self.auth.get("token") or self.auth.get("password") or ""

    def loopgate(self, *argv: str):
        """Runs the project's own command line as the owner; None where there is none."""
        return None

    def log(self) -> str:
        return "(a stand-in keeps its own log)"

    def stop(self) -> str:
        """Ends it and says how that went; "" if it is not ours to end. Raises Unexpected if it went badly."""
        return ""


class Loopgated(Gateway):
    """A loopgated of its own under systemd-socket-activate, until `stop`. Where it stands before a runtime, `behind` has
    the `port` to serve, and that runtime's port, state folder and configuration, which are then the gate's too."""

    def __init__(self, bins: pathlib.Path, folder: pathlib.Path, auth: dict, origins: list, behind=None):
        super().__init__(behind.port if behind else free_port(), auth, seeded=not behind)
        self._bins, self._folder, self._behind = bins, folder, behind
        self._socket = folder / "owner.sock"
        self._log = folder / "loopgated.log"
        self._write_config(origins)
        with self._log.open("wb") as log:
            self._child = spawn(
                self._command(), cwd=folder, env={"PATH": os.environ["PATH"]},
                stdout=log, stderr=subprocess.STDOUT,
            )
        self._wait_ready()

    def loopgate(self, *argv: str):
        return subprocess.run(
            [str(self._bins / "loopgate"), *argv], capture_output=True, encoding="utf-8", timeout=30,
            env={"HOME": str(self._folder), "LOOPGATE_SOCKET": str(self._socket)}, stdin=subprocess.DEVNULL,
        )

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> str:
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
            try:
                self._child.wait(timeout=STOP_SECS)
            except subprocess.TimeoutExpired:
                raise Unexpected(f"loopgated did not end within {STOP_SECS} s of SIGTERM") from None
            finally:
                end(self._child)
        if self._child.returncode != 0:
            raise Unexpected(f"loopgated ended with status {self._child.returncode}")
        text = self.log()
        if "panicked" in text:
            raise Unexpected("loopgated panicked")
        if self.secret and self.secret in text:
            raise Unexpected("loopgated wrote the secret into its log")
        return "exit 0"

    def _command(self) -> list:
        listen = ["-l", f"127.0.0.1:{self.port}"]
        names = ["tcp"]
        if has_ipv6():
            listen += ["-l", f"[::1]:{self.port}"]
            names.append("tcp")
        listen += ["-l", str(self._socket)]
        names.append("owner")
        setenv = [f"--setenv={name}={value}" for name, value in self._env().items()]
        return ["systemd-socket-activate", *listen, "--fdname=" + ":".join(names), *setenv,
                str(self._bins / "loopgated"), f"--config={self._folder / 'loopgate.conf'}"]

    def _env(self) -> dict:
        return {
            "HOME": str(self._folder),
            "OPENCLAW_STATE_DIR": str(self._openclaw),
            "OPENCLAW_CONFIG_PATH": str(self._openclaw / "openclaw.json"),
            "STATE_DIRECTORY": str(self._folder / "state"),
        }

    @property
    def _openclaw(self) -> pathlib.Path:
        """OpenClaw's state folder, with its configuration in it."""
        return self._behind.runtime.state if self._behind else self._folder / "openclaw"

    def _write_config(self, origins: list) -> None:
        (self._folder / "state").mkdir(mode=0o700, parents=True)
        settings = {"origins": origins}
        if self._behind:
            settings["runtime"] = {"port": self._behind.runtime.port}
        else:
            self._openclaw.mkdir(mode=0o700)
            seed.write(self._openclaw)
            seed.put(self._openclaw / "openclaw.json", json.dumps(seed.config(self._openclaw, self.auth, self.port)))
        seed.put(self._folder / "loopgate.conf", json.dumps(settings))

    def _wait_ready(self) -> None:
        limit = time.monotonic() + READY_SECS
        seen = "no answer"
        while time.monotonic() < limit:
            if self._child.poll() is not None:
                raise Unexpected(f"loopgated ended at once, status {self._child.returncode}\n{self.log()}")
            try:
                if (seen := http_status(self.port, "/readyz")) == 200:
                    return
            except OSError as error:
                seen = str(error)
            time.sleep(0.05)
        raise Unexpected(f"loopgated not ready after {READY_SECS} s: {seen}\n{self.log()}")


class Own:
    """Makes a Loopgated for each request."""

    name = "loopgated"

    def __init__(self, bins: pathlib.Path, work: pathlib.Path):
        self._bins, self._work = bins, work
        for binary in ("loopgated", "loopgate"):
            if not (bins / binary).exists():
                raise SystemExit(f"compat: {bins / binary} is missing; run `make build`, or name another --bins")

    def gateway(self, name: str, auth: dict, origins=()) -> Gateway:
        folder = self._work / name
        folder.mkdir(parents=True)
        return Loopgated(self._bins, folder, auth, list(origins))


class External:
    """A gateway that somebody else runs: for comparing, and for developing this harness."""

    name = "external"

    def __init__(self, port: int, token: str, seeded: bool):
        self._port, self._token, self._seeded = port, token, seeded

    def gateway(self, name: str, auth: dict, origins=()) -> Gateway:
        if auth["mode"] != "token":
            raise Skip("the stand-in runs with a token")
        return Gateway(self._port, {"mode": "token", "token": self._token}, self._seeded)


def token_auth() -> dict:
    return {"mode": "token", "token": "tok-compat-" + secrets.token_hex(12)}


def password_auth() -> dict:
    return {"mode": "password", "password": "pass-compat-" + secrets.token_hex(12)}


def free_port() -> int:
    """A port that is free on every loopback address now. Nobody else on the machine hunts for it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
            return True
    except OSError:
        return False


def http_status(port: int, path: str) -> int:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        link.request("GET", path)
        return link.getresponse().status
    finally:
        link.close()


# Ready means activated, configured and answering; loopgated needs milliseconds.
READY_SECS = 10
# Every peer gets its shutdown event and a close; the daemon's own bound is shorter.
STOP_SECS = 5
