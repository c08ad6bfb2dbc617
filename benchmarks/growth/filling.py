"""Tables of ten million rows, filled in minutes.

Without indexes, which are made when the rows are there, and without a check of foreign keys, which
the rows are known to meet. Two tables are filled at a time, on a server that neither waits for its
disk nor writes what it adds to its log; it is started anew, as it is by default, before anything
is measured.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg

from benchmarks.drills.postgresql import PostgreSQL
from benchmarks.growth import rows

TABLES = {
    "logins": "drf_logout_session",
    "tokens": "token_blacklist_outstandingtoken",
    "events": "drf_logout_logoutevent",
}

CAREFREE = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    # What a transaction adds to a table that it has emptied is then not logged.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "4GB",
    "shared_buffers": "1GB",
    "maintenance_work_mem": "1GB",
    # In a container, the shared memory of two processes that sort may be as small as 64 MB.
    "max_parallel_maintenance_workers": "0",
}

# The key of SimpleJWT's outstanding tokens stays: a foreign key needs it, and it is in order.
_INDEXES = """
SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', conrelid::regclass, conname),
    format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', conrelid::regclass, conname,
        pg_get_constraintdef(oid))
FROM pg_constraint AS it
WHERE conrelid = %(table)s::regclass AND contype IN ('p', 'u') AND NOT EXISTS (
    SELECT FROM pg_constraint AS other
    WHERE other.contype = 'f' AND other.conindid = it.conindid
)
UNION ALL
SELECT format('DROP INDEX %%s', indexrelid::regclass), pg_get_indexdef(indexrelid)
FROM pg_index
WHERE indrelid = %(table)s::regclass
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
"""


def fill(postgresql: PostgreSQL, sizes: Mapping[str, int], auth_hash: str) -> None:
    """Fill the tables of each of these databases with so many rows, in place of what they have."""
    postgresql.stop()
    postgresql.start(**CAREFREE)
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(_fill, f"{postgresql.address} dbname={name}", kind, size, auth_hash)
            for name, size in sizes.items()
            for kind in TABLES
        ]
    for job in jobs:
        job.result()
    postgresql.stop()
    # The server has not waited for any of it, and what is measured is not to wait for it either.
    os.sync()
    postgresql.start()


def _fill(address: str, kind: str, size: int, auth_hash: str) -> None:
    table = TABLES[kind]
    with psycopg.connect(address, autocommit=True) as connection:
        with connection.transaction():
            # Triggers are what checks foreign keys.
            connection.execute("SET LOCAL session_replication_role = replica")
            connection.execute(f"TRUNCATE {table} RESTART IDENTITY CASCADE")
            indexes = connection.execute(_INDEXES, {"table": table}).fetchall()
            _run(connection, [drop for drop, _ in indexes])
            rows.add(connection, kind, first=1, last=size, auth_hash=auth_hash)
            _run(connection, [create for _, create in indexes])
        connection.execute(f"VACUUM ANALYZE {table}")


def _run(connection: psycopg.Connection[Any], statements: list[str]) -> None:
    for statement in statements:
        connection.execute(statement)
