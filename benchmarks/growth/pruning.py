"""``python -m benchmarks.growth.pruning``: ours and SimpleJWT's, one after the other.

SimpleJWT's removes tokens. Ours removes as many tokens, in one run and in two at once; logins; and
logins with the outstanding token of each, beside people who log in, ask, refresh and log out.
PostgreSQL logs whoever waits 100 ms for a lock.

Whoever deletes a token pays for PostgreSQL's check that nothing blacklists it. What that takes is
read from the plan of a DELETE by primary key, which is neither's.
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

PIECES = 20
"""Of the table, whose plans are read."""


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
        _fill(connection, number, "tokens")
        theirs = _run(server, *SIMPLEJWTS)
        _fill(connection, number, "tokens")
        ours = {"tokens": _run(server, *OURS)}
        _fill(connection, number, "tokens")
        with ThreadPoolExecutor(2) as pool:
            shares = list(pool.map(lambda _: _run(server, *OURS), range(2)))
        _fill(connection, number, "logins")
        ours["logins"] = _run(server, *OURS)
        _fill(connection, number, "logins", "tokens")
        ours["logins_and_tokens"], traffic = _run_beside_traffic(server, *OURS)
        _fill(connection, number, "tokens")
        check = _check(connection, number)
    a_token = theirs["seconds"] / number * 1e6
    return {
        "machine": describe(server.postgresql.version()),
        "rows": number,
        "simplejwt": theirs,
        "ours": ours,
        "ours_two_at_once": shares,
        "times_as_fast": {
            **{what: _ratio(theirs, run) for what, run in ours.items()},
            "tokens_two_at_once": min(_ratio(theirs, share) for share in shares),
        },
        "foreign_key": check,
        # If nothing but the check took any time.
        "times_as_fast_at_most": round(a_token / check["check_us"], 1),
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


def _check(connection: psycopg.Connection[Any], number: int) -> dict[str, float]:
    """Return what the plan says: microseconds of a deleted token, and those of its check.

    Of several pieces the one that took least: what else the machine does is no part of it.
    """
    pieces = []
    size = max(number // PIECES, 1)
    (first,) = connection.execute(
        "SELECT min(id) FROM token_blacklist_outstandingtoken"
    ).fetchall()[0]
    for piece in range(PIECES):
        with connection.transaction():
            # Else the plan, which ends before the commit, knows nothing of it.
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            found = connection.execute(
                "EXPLAIN (ANALYZE, BUFFERS OFF, FORMAT JSON)"
                " DELETE FROM token_blacklist_outstandingtoken WHERE id >= %s AND id < %s",
                [first + piece * size, first + (piece + 1) * size],
            ).fetchall()
        (plan,) = found[0][0]
        (trigger,) = plan["Triggers"]
        pieces.append((trigger["Time"], plan["Execution Time"], trigger["Calls"]))
    check, total, calls = min(pieces)
    return {
        "delete_us": round(total * 1000 / calls, 2),
        "check_us": round(check * 1000 / calls, 2),
        "share": round(check / total, 2),
    }


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
