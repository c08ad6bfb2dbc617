"""Measure, tell, and write the numbers down."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import django
import psycopg
from django.core.management import call_command
from django.db import connections

from benchmarks.costs import fleet, meters, primary
from benchmarks.costs.redis import RedisServer
from benchmarks.drills import logins, machine
from benchmarks.drills.client import Answer, Client
from benchmarks.drills.logins import Login
from benchmarks.drills.postgresql import PostgreSQL
from benchmarks.drills.webserver import WebServer

Costs = dict[str, float]

SETTLING = 1.2
"""Seconds."""

NUDGES = 20
"""Refused refreshes, enough for each connection of a pool to have its turn."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The servers that are measured; ``watch`` is a connection to a database that none uses."""

    folder: Path
    postgresql: PostgreSQL
    redis: RedisServer
    watch: psycopg.Connection
    spare: list[Login] = field(default_factory=list)

    @contextmanager
    def web(self) -> Iterator[WebServer]:
        """Serve with one process, which answers one request at a time."""
        server = WebServer(self.folder, workers=1, threads=1)
        try:
            server.wait()
            yield server
        finally:
            server.close()

    def measure(
        self, server: WebServer, calls: Sequence[Callable[[], Answer]], *, status: int
    ) -> Costs:
        """Return what each of these calls costs, one after the other."""
        log = self._log(server)
        before = self._spent(server, log)
        took = []
        for call in calls:
            began = time.perf_counter()
            answer = call()
            took.append(time.perf_counter() - began)
            if answer.status != status:
                raise ValueError(f"{answer.status} in place of {status}: {answer.body}")
        after = self._spent(server, log)
        costs = replace(after, **self._log(server)).each(before, len(calls))
        return {**costs, "seconds": round(statistics.median(took), 6)}

    def _spent(self, server: WebServer, log: Costs) -> meters.Spent:
        return meters.Spent(
            seconds=time.monotonic(),
            web_cpu=meters.cpu(server.processes()),
            postgresql_cpu=meters.cpu(self.postgresql.processes()),
            redis_cpu=meters.cpu(self.redis.processes()),
            redis_commands=self.redis.commands(),
            **log,
        )

    def _log(self, server: WebServer) -> Costs:
        """Read the log's meters, when each connection has reported what it did.

        It does so as it closes, or at the end of a statement that comes a second later.
        """
        connections.close_all()
        connections["default"].close_pool()  # type: ignore[attr-defined] # PostgreSQL's own
        time.sleep(SETTLING)
        for _ in range(NUDGES):
            Client(port=server.port).refresh(self.spare[0].refresh)
        return meters.log(self.watch)


def main(arguments: list[str] | None = None) -> int:
    """Measure; return the exit status."""
    options = _parser().parse_args(arguments)
    with _running() as bench:
        results = _measure(bench, options.count)
        results["primary"] = primary.commits_per_second(
            bench.postgresql.program("pgbench"),
            bench.postgresql.address,
            folder=bench.folder,
            wal_bytes=int(results["costs"]["logout"]["wal_bytes"]),
            seconds=options.seconds,
        )
        results["fleet"] = fleet.needs(
            results["costs"]["logout"],
            row_bytes=results["bytes"]["entry of the record"],
            primary=results["primary"],
        )
        results = {"machine": machine.describe(bench.postgresql.version()), **results}
    _tell(results)
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("benchmarks.costs", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000, help="operations of each kind")
    parser.add_argument("--seconds", type=int, default=5, help="of commits, by each load")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    return parser


@contextmanager
def _running() -> Iterator[Bench]:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="costs-")))
        postgresql = PostgreSQL(folder)
        stack.callback(postgresql.close)
        postgresql.start()
        redis = RedisServer(folder)
        stack.callback(redis.close)
        os.environ.pop("DEBUG", None)
        os.environ.update(
            DJANGO_SETTINGS_MODULE="benchmarks.costs.settings",
            DATABASE_URL=f"postgres://postgres@/postgres?host={postgresql.data}",
            REDIS_URL=redis.url,
            SECRET_KEY=secrets.token_urlsafe(50),
            JWT_SIGNING_KEY=secrets.token_urlsafe(50),
            ALLOWED_HOSTS="127.0.0.1",
            SECURE_SSL_REDIRECT="0",
        )
        django.setup()
        stack.callback(connections.close_all)
        call_command("migrate", verbosity=0)
        elsewhere = postgresql.address.replace("dbname=postgres", "dbname=template1")
        watch = psycopg.connect(elsewhere, autocommit=True)
        # It would be charged to whatever is measured while it works.
        watch.execute("ALTER SYSTEM SET autovacuum = off")
        watch.execute("SELECT pg_reload_conf()")
        stack.callback(watch.close)
        yield Bench(folder=folder, postgresql=postgresql, redis=redis, watch=watch)


def _measure(bench: Bench, count: int) -> dict[str, Any]:  # Any: JSON
    spare, *begun = logins.begin(count + 1)
    bench.spare.append(spare)
    costs: dict[str, Costs] = {}
    with bench.web() as server:
        client = Client(port=server.port)
        client.log_out("/logout", spare.access)
        _warm_up(client, begun)
        nobody = [partial(client.user, "")] * count
        costs["refused without a token"] = bench.measure(server, nobody, status=401)
        costs["request"] = bench.measure(server, _requests(client, begun), status=200)
        renew = [partial(client.refresh, login.refresh) for login in begun]
        costs["refresh"] = bench.measure(server, renew, status=200)
        costs["logout"] = bench.measure(server, _logouts(client, begun), status=200)
    return {"costs": costs, "bytes": {"entry of the record": _entry_bytes(count)}}


def _warm_up(client: Client, begun: Sequence[Login]) -> None:
    """Let the server import, connect and prepare what it will; each of these is refused."""
    for login in begun[:20]:
        client.user(login.access + "x")
        client.refresh(login.refresh + "x")
        client.log_out("/logout", login.access + "x")
    client.user(begun[0].access)


def _requests(client: Client, begun: Sequence[Login]) -> list[Callable[[], Answer]]:
    return [partial(client.user, login.access) for login in begun]


def _logouts(client: Client, begun: Sequence[Login]) -> list[Callable[[], Answer]]:
    return [partial(client.log_out, "/logout", login.access, scope="session") for login in begun]


def _entry_bytes(count: int) -> float:
    """Return what one entry of the record takes, with its indexes."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT pg_total_relation_size('drf_logout_logoutevent')")
        return round(float(cursor.fetchone()[0]) / count, 1)


SHOWN = {
    "web_cpu": ("web CPU ms", 1_000),
    "postgresql_cpu": ("PostgreSQL CPU ms", 1_000),
    "redis_cpu": ("Redis CPU ms", 1_000),
    "seconds": ("median ms", 1_000),
    "wal_bytes": ("WAL bytes", 1),
    "wal_full_pages": ("of full pages", 1),
    "wal_flushes": ("flushes", 1),
    "redis_commands": ("Redis commands", 1),
}


def _tell(results: dict[str, Any]) -> None:  # Any: JSON
    print(f"costs: {results['machine']}\n")
    print("one after the other, each:")
    for name, costs in results["costs"].items():
        shown = (f"{costs[key] * scale:.4g} {text}" for key, (text, scale) in SHOWN.items())
        print(f"  {name}: {', '.join(shown)}")
    for name, size in results["bytes"].items():
        print(f"  {name}: {size:.0f} bytes")
    print("\ncommits a second of one primary, by clients:", results["primary"])
    print("\nby arithmetic:")
    for line in results["fleet"]:
        print(" ", ", ".join(f"{key} {value:,}" for key, value in line.items()))


if __name__ == "__main__":
    sys.exit(main())
