"""``gunicorn authproject.wsgi``, whose workers are there to be killed."""

from __future__ import annotations

import http.client
import random
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

START_TIMEOUT = 60
STOP_TIMEOUT = 15
"""Seconds."""

HOST = "127.0.0.1"


class WebServer:
    """Gunicorn with some worker processes of some threads each."""

    def __init__(self, folder: Path, *, workers: int, threads: int) -> None:
        """Begin it; ``wait()`` returns when it answers."""
        self.port = _free_port()
        self._log = (folder / "gunicorn.log").open("ab")
        command = [
            *(sys.executable, "-m", "gunicorn", "authproject.wsgi"),
            *("--bind", f"{HOST}:{self.port}", "--no-control-socket"),
            *("--workers", str(workers), "--threads", str(threads)),
        ]
        self._master = subprocess.Popen(command, stdout=self._log, stderr=self._log)

    def wait(self) -> None:
        """Return when it answers."""
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self._master.poll() is None:
            connection = http.client.HTTPConnection(HOST, self.port, timeout=START_TIMEOUT)
            try:
                connection.request("GET", "/user")
                connection.getresponse().read()
            except OSError:
                time.sleep(0.1)
            else:
                return
            finally:
                connection.close()
        raise TimeoutError(f"gunicorn does not start: {Path(self._log.name).read_text()[-2000:]}")

    def processes(self) -> list[psutil.Process]:
        """Return its workers."""
        return list(psutil.Process(self._master.pid).children())

    def kill_worker(self) -> None:
        """Kill -9 one worker process; the master begins another.

        Raises ``LookupError`` if there is none.
        """
        random.choice(self.processes()).kill()

    def close(self) -> None:
        """Stop it, workers and all."""
        if self._master.poll() is not None:
            self._log.close()  # workers without a master stop by themselves
            return
        workers = psutil.Process(self._master.pid).children()
        self._master.terminate()
        try:
            self._master.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            for process in (self._master, *workers):
                process.kill()
            self._master.wait()
        self._log.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
