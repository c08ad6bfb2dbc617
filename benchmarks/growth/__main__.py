"""``python -m benchmarks.growth``: is it as fast among ten million rows as among a thousand?

Two databases of one server: a small one, and one that grows to so many logins, each with its
outstanding token, and as many entries of the record. They are measured in turn, a few rounds here
and a few there, so that whatever else the machine does slows both. The bytes of a row are those of
the filled table: with its indexes, and with the room that is left in its pages.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.drills.machine import describe
from benchmarks.growth import filling, rows
from benchmarks.growth.server import Server, running

NAMES = {
    "logins": "login",
    "tokens": "its outstanding token",
    "events": "entry of the record",
}
PEERS = {"Django session": 476, "SimpleJWT, each refresh": 624, "knox": 745, "allauth": 779}
"""Bytes of a row among a million, measured in the same way."""

LARGE, SMALL = "postgres", "small"
"""The databases."""

BATCH = 10
"""Rounds in one of the databases before it is the other's turn; the first in each do not count."""

_AUTH_HASH = (
    "from django.contrib.auth.models import User; print(User(password='').get_session_auth_hash())"
)


def main() -> None:
    """Measure, print the figures, and write them to a file if one is named."""
    parser = argparse.ArgumentParser("benchmarks.growth", description=__doc__)
    parser.add_argument(
        "--sizes",
        type=lambda text: sorted(int(size) for size in text.split(",")),
        default=[1_000_000, 10_000_000],
        help="how many rows, with commas between. Default: 1000000,10000000.",
    )
    parser.add_argument("--small", type=int, default=1_000, help="the few rows. Default: 1000.")
    parser.add_argument("--rounds", type=int, default=300, help="at each size. Default: 300.")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    options = parser.parse_args()
    if options.small < 3 * (options.rounds + BATCH):
        parser.error("so few logins are not enough for so many rounds")
    with running() as server:
        figures = _measure(server, options.sizes, options.small, options.rounds)
    text = json.dumps(figures, indent=2)
    print(text)
    if options.json is not None:
        options.json.write_text(f"{text}\n")


def _measure(server: Server, sizes: list[int], small: int, rounds: int) -> dict[str, Any]:
    setup = f"import django; django.setup(); {_AUTH_HASH}"
    auth_hash = server.python("-c", setup).strip()
    with psycopg.connect(server.postgresql.address, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {SMALL}")
    server.python("-m", "django", "migrate", "-v0", GROWTH_DATABASE=SMALL)
    for name in (LARGE, SMALL):
        with psycopg.connect(server.postgresql.address, dbname=name, autocommit=True) as connection:
            rows.add_users(connection)
            connection.execute("VACUUM ANALYZE")
    figures: dict[str, Any] = {
        "machine": describe(server.postgresql.version()),
        "rounds": rounds,
        "small": small,
        "peers_bytes": PEERS,
        "sizes": {},
    }
    for size in sizes:
        began = time.monotonic()
        filling.fill(server.postgresql, {LARGE: size, SMALL: small}, auth_hash)
        seconds = time.monotonic() - began
        figures["sizes"][size] = {
            "filled_in_seconds": round(seconds),
            "bytes": _bytes(server, size),
            **_in_turn(server, size, small, rounds),
        }
    return figures


def _bytes(server: Server, size: int) -> dict[str, dict[str, int]]:
    """Return the bytes of a row of each table."""
    found = {}
    with psycopg.connect(server.postgresql.address, dbname=LARGE) as connection:
        for kind, table in filling.TABLES.items():
            row = connection.execute(
                f"SELECT pg_relation_size('{table}'), pg_indexes_size('{table}'),"
                f" pg_total_relation_size('{table}')"
            ).fetchall()[0]
            names = ("heap", "indexes", "total")
            found[NAMES[kind]] = {n: round(b / size) for n, b in zip(names, row, strict=True)}
    return found


def _in_turn(server: Server, size: int, small: int, rounds: int) -> dict[str, Any]:
    """Return what each operation takes in both databases, and how much longer in the large one."""
    took: dict[str, dict[str, list[float]]] = {LARGE: {}, SMALL: {}}
    with _asked(server, LARGE, size) as large, _asked(server, SMALL, small) as few:
        asked = {LARGE: large, SMALL: few}
        for done in range(-BATCH, rounds, BATCH):
            for name in random.sample(sorted(asked), len(asked)):
                answer = _ask(asked[name], min(BATCH, rounds - done))
                for operation, times in answer.items() if done >= 0 else ():
                    took[name].setdefault(operation, []).extend(times)
    ms = {
        name: {operation: statistics.median(times) for operation, times in found.items()}
        for name, found in took.items()
    }
    return {
        "ms": {operation: round(median, 2) for operation, median in ms[LARGE].items()},
        "ms_among_few": {operation: round(median, 2) for operation, median in ms[SMALL].items()},
        "times_as_long": {
            operation: round(median / ms[SMALL][operation], 2)
            for operation, median in ms[LARGE].items()
        },
    }


@contextmanager
def _asked(server: Server, database: str, logins: int) -> Iterator[subprocess.Popen[str]]:
    """Begin a process that measures in a database, and end it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.growth.operations", "1", str(logins)],
        env={**server.environment, "GROWTH_DATABASE": database},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process


def _ask(process: subprocess.Popen[str], rounds: int) -> dict[str, list[float]]:
    if process.stdin is None or process.stdout is None:
        raise TypeError("it has been begun with pipes")
    process.stdin.write(f"{rounds}\n")
    process.stdin.flush()
    answer: dict[str, list[float]] = json.loads(process.stdout.readline())
    return answer


if __name__ == "__main__":
    main()
