"""``python -m benchmarks.growth``: is it as fast among ten million rows as among a thousand?

First the logins grow (each with its outstanding token), then, beside a thousand of these, the
entries of the record: both at once would take more disk than the 10 GiB that this keeps to. The
bytes of a row are those of the largest table: with its indexes, and with the room that is left in
its pages.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.drills.machine import describe
from benchmarks.growth import rows
from benchmarks.growth.server import Server, running

TABLES = {
    "login": "drf_logout_session",
    "its outstanding token": "token_blacklist_outstandingtoken",
    "entry of the record": "drf_logout_logoutevent",
}
PEERS = {"Django session": 476, "SimpleJWT, each refresh": 624, "knox": 745, "allauth": 779}
"""Bytes of a row among a million, measured in the same way."""

SMALLEST = 1_000
_AUTH_HASH = (
    "from django.contrib.auth.models import User; print(User(password='').get_session_auth_hash())"
)


def main() -> None:
    """Measure, print the figures, and write them to a file if one is named."""
    parser = argparse.ArgumentParser("benchmarks.growth", description=__doc__)
    parser.add_argument(
        "--sizes",
        type=lambda text: sorted(int(size) for size in text.split(",")),
        default=[SMALLEST, 1_000_000, 10_000_000],
        help="how many rows, with commas between. Default: 1000,1000000,10000000.",
    )
    parser.add_argument("--rounds", type=int, default=300, help="at each size. Default: 300.")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    options = parser.parse_args()
    if options.sizes[0] < 3 * options.rounds + 100:
        parser.error("the smallest size has too few logins for so many rounds")
    with running() as server:
        figures = _measure(server, options.sizes, options.rounds)
    text = json.dumps(figures, indent=2)
    print(text)
    if options.json is not None:
        options.json.write_text(f"{text}\n")


def _measure(server: Server, sizes: list[int], rounds: int) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "machine": describe(server.postgresql.version()),
        "rounds": rounds,
        "peers_bytes": PEERS,
    }
    setup = f"import django; django.setup(); {_AUTH_HASH}"
    auth_hash = server.python("-c", setup).strip()
    with psycopg.connect(server.postgresql.address, autocommit=True) as connection:
        connection.execute("CREATE TABLE floor (id bigserial PRIMARY KEY, written_at timestamptz)")
        rows.add_users(connection)
        for growing, kinds in {"logins": ("logins", "tokens"), "record": ("events",)}.items():
            connection.execute("TRUNCATE drf_logout_session, token_blacklist_blacklistedtoken,"
                " token_blacklist_outstandingtoken, drf_logout_logoutevent")  # fmt: skip
            if growing == "record":
                _add(connection, ("logins", "tokens"), 1, sizes[0], auth_hash)
            filled = 0
            figures[growing] = {}
            for size in sizes:
                _add(connection, kinds, filled + 1, size, auth_hash)
                sizes_of_rows = _bytes(connection, size)
                untouched = (filled + 1, size) if growing == "logins" else (1, sizes[0])
                arguments = map(str, (*untouched, rounds))
                measured = json.loads(
                    server.python("-m", "benchmarks.growth.operations", *arguments)
                )
                if growing == "record":
                    _restore(connection, sizes[0], auth_hash)
                figures[growing][size] = {"bytes": sizes_of_rows, **measured}
                filled = size
        _compare(figures)
    return figures


def _add(
    connection: psycopg.Connection[Any],
    kinds: tuple[str, ...],
    first: int,
    last: int,
    auth_hash: str,
) -> None:
    for kind in kinds:
        rows.add(connection, kind, first=first, last=last, auth_hash=auth_hash)
    connection.execute("VACUUM ANALYZE")
    connection.execute("CHECKPOINT")


def _restore(connection: psycopg.Connection[Any], logins: int, auth_hash: str) -> None:
    """Put back the few logins, some of which have been refreshed or have ended."""
    connection.execute(
        "TRUNCATE drf_logout_session, token_blacklist_blacklistedtoken,"
        " token_blacklist_outstandingtoken"
    )
    _add(connection, ("logins", "tokens"), 1, logins, auth_hash)


def _bytes(connection: psycopg.Connection[Any], size: int) -> dict[str, dict[str, int]]:
    """Return the bytes of a row of each table that has so many, but for what the rounds ended."""
    found = {}
    for name, table in TABLES.items():
        count, heap, indexes, total = connection.execute(
            f"SELECT (SELECT count(*) FROM {table}), pg_relation_size('{table}'),"
            f" pg_indexes_size('{table}'), pg_total_relation_size('{table}')"
        ).fetchall()[0]
        if count > size * 0.9:
            found[name] = {
                "heap": round(heap / count),
                "indexes": round(indexes / count),
                "total": round(total / count),
            }
    return found


def _compare(figures: dict[str, Any]) -> None:
    """Add how much longer each operation takes than at the smallest size, both to the floors."""
    for growing in ("logins", "record"):
        sizes = figures[growing]
        smallest = sizes[min(sizes)]["to_floor"]
        for measured in sizes.values():
            measured["to_smallest"] = {
                name: round(ratio / smallest[name], 2)
                for name, ratio in measured["to_floor"].items()
            }


if __name__ == "__main__":
    main()
