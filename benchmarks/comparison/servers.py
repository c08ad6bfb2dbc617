"""What the subjects run on: one PostgreSQL with a database for each, and Redis for ours."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from benchmarks.drills.postgresql import PostgreSQL

HOST: Final = "127.0.0.1"
START_TIMEOUT: Final = 30
"""Seconds."""


def create_database(postgresql: PostgreSQL, name: str) -> None:
    """Make an empty database."""
    with psycopg.connect(postgresql.address, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Run a Redis that keeps nothing; give its URL, or "" where the machine has none."""
    program = shutil.which("redis-server")
    if program is None:
        yield ""
        return
    port = free_port()
    options = ["--bind", HOST, "--port", str(port), "--dir", str(folder), "--save", ""]
    with (folder / "redis.log").open("ab") as log:
        server = subprocess.Popen([program, *options], stdout=log, stderr=log)
    try:
        wait_for(port, server)
        yield f"redis://{HOST}:{port}/0"
    finally:
        server.terminate()
        server.wait()


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    """Return when a server takes connections. Raises ``TimeoutError``."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection((HOST, port), timeout=START_TIMEOUT).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"{server.args!r} does not start")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
