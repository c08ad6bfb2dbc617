"""Logouts per second beside one-insert requests per second, under gunicorn and a bounded load."""

from __future__ import annotations

import itertools
import os
import random
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.comparison.environments import ROOT
from benchmarks.comparison.figures import Spread
from benchmarks.comparison.servers import HOST, free_port, wait_for
from benchmarks.comparison.workers import Worker

PROCESSES: Final = 2
CLIENTS: Final = 4
TIMEOUT: Final = 30
"""Seconds."""

WARM_SECONDS: Final = 1.0
WARM_LOGOUTS: Final = 200


class Unanswered(Exception):
    """A request under load was not answered as it has to be."""


@dataclass(kw_only=True, slots=True)
class Slices:
    """Requests per second of each slice."""

    floors: list[float] = field(default_factory=list)
    logouts: list[float] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class Throughput:
    """What is told of a subject; requests per second."""

    ratio: Spread
    floor: Spread
    logouts: Spread


def measure(
    workers: Sequence[Worker],
    *,
    python: Mapping[str, Path],
    env: Mapping[str, Mapping[str, str]],
    folder: Path,
    slices: int,
    seconds: float,
) -> dict[str, Throughput]:
    """Serve every subject, and load one after the other in an order of its own each time.

    ``python`` and ``env`` are those of each subject's name, as ``workers`` run with.
    """
    with ExitStack() as stack:
        ports = {
            worker.subject.name: stack.enter_context(
                gunicorn(python[worker.subject.name], env[worker.subject.name], folder)
            )
            for worker in workers
        }
        found = {worker.subject.name: Slices() for worker in workers}
        guesses = {
            worker.subject.name: _floor(worker, ports[worker.subject.name], WARM_SECONDS)
            for worker in workers
        }
        for worker in workers:
            # Its first requests import what the later ones have.
            _logouts(worker, ports[worker.subject.name], WARM_SECONDS, WARM_LOGOUTS)
        for number in range(slices):
            for worker in random.sample(workers, len(workers)):
                name = worker.subject.name
                # Which of the two comes first changes from slice to slice.
                for kind in ("floor", "logout") if number % 2 else ("logout", "floor"):
                    if kind == "floor":
                        guesses[name] = _floor(worker, ports[name], seconds)
                        found[name].floors.append(guesses[name])
                    else:
                        count = int(guesses[name] * seconds) + CLIENTS
                        rate = _logouts(worker, ports[name], seconds, count)
                        found[name].logouts.append(rate)
    return {name: _sum_up(rates) for name, rates in found.items()}


def _sum_up(found: Slices) -> Throughput:
    ratios = [a / b for a, b in zip(found.logouts, found.floors, strict=True)]
    return Throughput(
        ratio=Spread.of(ratios), floor=Spread.of(found.floors), logouts=Spread.of(found.logouts)
    )


def _floor(worker: Worker, port: int, seconds: float) -> float:
    request = raw(worker.ask("requests", operation="logout", count=0)["floor"])
    return load(port, itertools.repeat(request), seconds)


def _logouts(worker: Worker, port: int, seconds: float, count: int) -> float:
    calls = worker.ask("requests", operation="logout", count=count)["calls"]
    return load(port, iter([raw(call) for call in calls]), seconds)


def raw(call: Mapping[str, str]) -> bytes:
    """Return a request as it is sent."""
    lines = [
        f"{call['method']} {call['path']} HTTP/1.1",
        f"Host: {HOST}",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(call['body'].encode())}",
    ]
    if call["authorization"]:
        lines.append(f"Authorization: {call['authorization']}")
    return "\r\n".join([*lines, "", call["body"]]).encode()


def load(port: int, requests: Iterator[bytes], seconds: float) -> float:
    """Send requests for some time, a few at once; return how many were answered per second.

    Raises ``Unanswered``.
    """
    begun = time.perf_counter()
    deadline = begun + seconds
    counts = [0] * CLIENTS
    failures: list[str] = []
    turn = threading.Lock()

    def client(number: int) -> None:
        while time.perf_counter() < deadline and not failures:
            with turn:
                request = next(requests, None)
            if request is None:
                return
            answer = _answer(port, request)
            if not answer.startswith((b"HTTP/1.1 2", b"HTTP/1.0 2")):
                failures.append(f"{request.partition(b' HTTP')[0]!r}: {answer[:500]!r}")
                return
            counts[number] += 1

    threads = [threading.Thread(target=client, args=[number]) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise Unanswered(failures[0])
    return sum(counts) / (time.perf_counter() - begun)


def _answer(port: int, request: bytes) -> bytes:
    """Return the whole of an answer; nothing where the connection breaks."""
    chunks = []
    try:
        with socket.create_connection((HOST, port), timeout=TIMEOUT) as connection:
            connection.sendall(request)
            while chunk := connection.recv(65_536):
                chunks.append(chunk)
    except OSError as error:
        return str(error).encode()
    return b"".join(chunks)


@contextmanager
def gunicorn(python: Path, env: Mapping[str, str], folder: Path) -> Iterator[int]:
    """Serve a subject by processes of one thread each; give the port."""
    port = free_port()
    command = [
        *(str(python), "-m", "gunicorn", "benchmarks.comparison.project.wsgi"),
        *("--bind", f"{HOST}:{port}", "--workers", str(PROCESSES), "--no-control-socket"),
    ]
    with (folder / "gunicorn.log").open("ab") as log:
        server = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **env}, stdout=log, stderr=log
        )
    try:
        wait_for(port, server)
        yield port
    finally:
        server.terminate()
        server.wait()
