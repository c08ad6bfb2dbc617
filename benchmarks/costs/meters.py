"""What servers have spent until now."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, fields

import psutil
import psycopg

COUNTERS = """
SELECT pg_current_wal_insert_lsn() - '0/0',
       (SELECT wal_records FROM pg_stat_wal),
       (SELECT wal_fpi FROM pg_stat_wal),
       (SELECT COALESCE(sum(fsyncs), 0) FROM pg_stat_io WHERE object = 'wal')
"""
"""Of a server of version 18 or later: before it, ``pg_stat_io`` knew nothing of the log."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """Totals; the difference of two is what was spent between them."""

    seconds: float
    """Of the clock."""
    web_cpu: float
    """Seconds of processor time: of the workers alone, as below of all processes of a server."""
    postgresql_cpu: float
    redis_cpu: float
    redis_commands: float
    wal_bytes: float
    wal_records: float
    wal_full_pages: float
    """Of the records, those that hold a whole page: its first change after a checkpoint."""
    wal_flushes: float
    """Of the log to the disk: one for each durable commit, where one comes after the other."""

    def each(self, before: Spent, count: int) -> dict[str, float]:
        """Return what one of so many operations has spent since."""
        return {
            field.name: round((getattr(self, field.name) - getattr(before, field.name)) / count, 6)
            for field in fields(self)
        }


def log(connection: psycopg.Connection) -> dict[str, float]:
    """Return what PostgreSQL's write-ahead log has come to."""
    row = connection.execute(COUNTERS).fetchone() or ()
    names = ("wal_bytes", "wal_records", "wal_full_pages", "wal_flushes")
    return dict(zip(names, map(float, row), strict=True))


def cpu(processes: Sequence[psutil.Process]) -> float:
    """Return the processor time of these, in seconds; with that of their children that are gone."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # a connection's, say
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total
