"""A Redis for what is measured, on a port of its own."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

import psutil
import redis

START_TIMEOUT = 10
"""Seconds."""


class RedisServer:
    """One server that keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        """Begin it; return when it answers."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        self.url = f"redis://127.0.0.1:{port}/0"
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
        self._server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        self._client = redis.Redis(port=port)
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if time.monotonic() > deadline:
                raise TimeoutError("redis-server does not start")
            time.sleep(0.02)

    def processes(self) -> list[psutil.Process]:
        """Return its one process."""
        return [psutil.Process(self._server.pid)]

    def commands(self) -> int:
        """Return how many commands it has carried out, but for those that ask for this."""
        counted = dict(self._client.info("commandstats"))
        ours = ("cmdstat_info", "cmdstat_ping")
        return sum(int(counted[name]["calls"]) for name in counted if not name.startswith(ours))

    def close(self) -> None:
        """Stop it."""
        self._client.close()
        self._server.terminate()
        self._server.wait()

    def _answers(self) -> bool:
        try:
            return bool(self._client.ping())
        except redis.ConnectionError:
            return False
