"""``python -m benchmarks.growth.pruning``: ours and SimpleJWT's, one after the other.

Ours removes logins, then logins with the outstanding token of each; SimpleJWT's as many tokens.
Ours is also run twice at once, and beside people who log in, ask, refresh and log out. PostgreSQL
logs whoever waits 100 ms for a lock.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.drills.machine import describe
from benchmarks.growth import rows
from benchmarks.growth.server import Server, running

OURS = ("prune_accounts", "--json")
SIMPLEJWTS = ("flushexpiredtokens",)


def main() -> None:
    """Measure, print the figures, and write them to a file if one is named."""
    parser = argparse.ArgumentParser("benchmarks.growth.pruning", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="Default: a million.")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    options = parser.parse_args()
    with running() as server:
        figures = _measure(server, options.rows)
    text = json.dumps(figures, indent=2)
    print(text)
    if options.json is not None:
        options.json.write_text(f"{text}\n")


def _measure(server: Server, number: int) -> dict[str, Any]:
    with psycopg.connect(server.postgresql.address, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET log_lock_waits = on")
        connection.execute("ALTER SYSTEM SET deadlock_timeout = '100ms'")
        connection.execute("SELECT pg_reload_conf()")
        rows.add_users(connection)
        _fill(connection, number, "logins")
        alone = _run(server, *OURS)
        _fill(connection, number, "logins", "tokens")
        ours = _run(server, *OURS)
        _fill(connection, number, "logins", "tokens")
        with ThreadPoolExecutor(2) as pool:
            shares = list(pool.map(lambda _: _run(server, *OURS), range(2)))
        _fill(connection, number, "tokens")
        theirs = _run(server, *SIMPLEJWTS)
        _fill(connection, number, "logins", "tokens")
        beside, traffic = _run_beside_traffic(server, *OURS)
    return {
        "machine": describe(server.postgresql.version()),
        "rows": number,
        "logins_alone": alone,
        "ours": ours,
        "ours_two_at_once": shares,
        "simplejwt": theirs,
        "times_as_fast": {
            "logins_alone": _ratio(theirs, alone),
            "ours": _ratio(theirs, ours),
            "ours_two_at_once": min(_ratio(theirs, share) for share in shares),
        },
        "ours_beside_traffic": beside,
        "traffic": traffic,
        "waits_for_a_lock_of_100_ms": _waits(server),
    }


def _fill(connection: psycopg.Connection[Any], number: int, *kinds: str) -> None:
    """Fill the tables anew with what ran out yesterday, and give PostgreSQL time to settle."""
    connection.execute(
        "TRUNCATE drf_logout_session, token_blacklist_outstandingtoken,"
        " token_blacklist_blacklistedtoken"
    )
    for kind in kinds:
        rows.add(connection, kind, first=1, last=number, expires_in="-1 day")
    connection.execute("VACUUM ANALYZE")
    connection.execute("CHECKPOINT")


def _run(server: Server, *command: str) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads(server.python("-m", "benchmarks.growth.command", *command))
    return figures


def _ratio(theirs: dict[str, Any], ours: dict[str, Any]) -> float:
    return round(float(theirs["seconds"] / ours["seconds"]), 1)


def _waits(server: Server) -> list[str]:
    """Return what PostgreSQL has logged of anybody who waited: which lock, and for how long."""
    log = server.log.read_text().splitlines()
    return [line for line in log if "still waiting for" in line or " acquired " in line]


def _run_beside_traffic(server: Server, *command: str) -> tuple[dict[str, Any], dict[str, Any]]:
    people = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.growth.traffic"],
        env=server.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert people.stdout is not None
        people.stdout.readline()
        time.sleep(2)
        figures = _run(server, *command)
        people.send_signal(signal.SIGTERM)
        traffic: dict[str, Any] = json.loads(people.communicate(timeout=60)[0])
    finally:
        people.kill()
    return figures, traffic


if __name__ == "__main__":
    main()
