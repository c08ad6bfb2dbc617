"""Servers in processes of their own: four workers of the example project, Redis, and impostors."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest
from django.db import connection
from redis import ConnectionError as RedisConnectionError
from redis import Redis

from tests.documents import ROOT
from tests.host import PATIENCE, first_answer, free_port

WORKERS = 4


def needed(program: str, package: str) -> str:
    """Return where a program is; without it the test is skipped, and fails in CI."""
    if found := shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin"):
        return found
    message = f"{program} is not installed: apt-get install {package}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


class Workers:
    """The example project, served by four processes on the database of the test."""

    def __init__(self, url: str, log: Path) -> None:
        self.url = url
        self._log = log

    @property
    def log(self) -> str:
        """What they have logged until now."""
        return self._log.read_text()

    @property
    def pids(self) -> set[str]:
        """The processes that have answered."""
        return set(re.findall(r"^<(\d+)> answered", self.log, flags=re.MULTILINE))


@contextmanager
def workers(folder: Path, **environment: str) -> Iterator[Workers]:
    """Serve the test's database; further variables of the environment by name."""
    port, log = free_port(), folder / "workers.log"
    command = ["gunicorn", "--workers", str(WORKERS), "--bind", f"127.0.0.1:{port}"]
    access_log = ["--access-logfile", "-", "--access-logformat", "%(p)s answered %(s)s"]
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", *command, *access_log, "authproject.wsgi"],
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "DEBUG": "1",
                "ALLOWED_HOSTS": "127.0.0.1",
                "DATABASE_URL": _database_url(),
                **environment,
            },
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        first_answer(f"{url}/user")
        yield Workers(url, log)
    finally:
        server.terminate()
        assert server.wait(timeout=PATIENCE) == 0


def _database_url() -> str:
    settings = connection.settings_dict
    address = {"host": settings["HOST"], "port": settings["PORT"]}
    query = urlencode({name: value for name, value in address.items() if value})
    credentials = f"{settings['USER']}:{settings['PASSWORD']}"
    return f"postgres://{credentials}@/{settings['NAME']}?{query}"


class RedisServer:
    """A real Redis that can be killed and started again, without its data."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", ""],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + PATIENCE
        with self.client() as client:
            while time.monotonic() < deadline:
                try:
                    client.ping()
                except RedisConnectionError:
                    time.sleep(0.02)
                else:
                    return
        raise AssertionError("redis-server does not answer")

    def kill(self) -> None:
        """Kill it at once."""
        self._process.kill()
        self._process.wait()

    def client(self) -> Redis:
        """Return a client of the server."""
        return Redis(port=self.port)


@pytest.fixture
def redis_server(tmp_path):
    needed("redis-server", "redis-server")
    server = RedisServer(tmp_path)
    yield server
    server.kill()


class Impostor:
    """Something that accepts connections, and answers each message with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.accepted: list[socket.socket] = []
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Hang up, and listen no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in self.accepted:
            client.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted.append(client)
            if self._answer:
                threading.Thread(target=self._talk, args=[client], daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        try:
            while client.recv(4096):
                client.sendall(self._answer)
        except OSError:
            pass


class SlowProxy:
    """Passes on what is said to a Redis, and each of its answers late."""

    def __init__(self, server: RedisServer, delay: float) -> None:
        self._server, self._delay = server, delay
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=[client], daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._server.port)) as server:
            try:
                while question := client.recv(65_536):
                    server.sendall(question)
                    answer = server.recv(65_536)
                    threading.Event().wait(self._delay)
                    client.sendall(answer)
            except OSError:
                pass


@pytest.fixture
def slow_redis(redis_server):
    """Return a function that makes a slow Redis, of so many seconds for each answer."""
    made = []

    def make(delay):
        made.append(SlowProxy(redis_server, delay))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def impostor():
    """Make impostors; an empty answer is silence."""
    made = []

    def make(answer=b""):
        made.append(Impostor(answer))
        return made[-1]

    yield make
    for one in made:
        one.close()
