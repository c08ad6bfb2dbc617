"""How many commits one PostgreSQL makes durable, for one client and for many at a time."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import psycopg

CLIENTS = (1, 4, 16, 64)

SCRIPT = "INSERT INTO costs_probe (filler) VALUES (repeat('x', {size}));\n"


def commits_per_second(
    program: Path, address: str, *, folder: Path, wal_bytes: int, seconds: int
) -> dict[str, float]:
    """Return the commits a second by the number of clients, each of so much write-ahead log.

    ``program`` is pgbench. Many clients share a flush to the disk, which is where one waits.
    """
    script = folder / "commit.sql"
    # A row's own overhead in the log, and that of its commit, is about a hundred bytes.
    script.write_text(SCRIPT.format(size=max(1, wal_bytes - 100)))
    rates = {}
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE TABLE costs_probe (filler text)")
        # As it is written: in the log a row is not compressed.
        connection.execute("ALTER TABLE costs_probe ALTER filler SET STORAGE EXTERNAL")
        for clients in CLIENTS:
            connection.execute("CHECKPOINT")
            rates[str(clients)] = _rate(program, address, script, clients, seconds)
        connection.execute("DROP TABLE costs_probe")
    return rates


def _rate(program: Path, address: str, script: Path, clients: int, seconds: int) -> float:
    command = [str(program), "--no-vacuum", "--protocol", "prepared", "--file", str(script)]
    load = ["--client", str(clients), "--jobs", "1", "--time", str(seconds)]
    done = subprocess.run(
        [*command, *load, address], check=True, capture_output=True, text=True, timeout=seconds + 60
    )
    found = re.search(r"^tps = ([\d.]+)", done.stdout, flags=re.MULTILINE)
    if found is None:
        raise ValueError(f"pgbench says no rate: {done.stdout}")
    return round(float(found[1]), 1)
