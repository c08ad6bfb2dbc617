"""What a fleet needs at so many logouts a second: arithmetic, from what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DAY = 86_400
RATES = (1, 100, 10_000)
"""Logouts a second."""


def needs(
    logout: Mapping[str, float], *, row_bytes: float, primary: Mapping[str, float]
) -> list[dict[str, Any]]:  # Any: JSON
    """Return a line for each of the rates.

    Cores are those of the machine that was measured, each busy to the full; whoever plans leaves
    room. ``row_bytes`` is what one entry of the record takes, with its indexes.
    """
    best = max(primary.values())
    return [
        {
            "logouts_per_second": rate,
            "web_cores": round(rate * logout["web_cpu"], 3),
            "postgresql_cores": round(rate * logout["postgresql_cpu"], 3),
            "commits_per_second": round(rate * logout["wal_flushes"], 1),
            "share_of_one_primarys_commits": round(rate * logout["wal_flushes"] / best, 4),
            "wal_megabytes_per_second": round(rate * logout["wal_bytes"] / 1e6, 4),
            "wal_gigabytes_per_day": round(rate * logout["wal_bytes"] * DAY / 1e9, 2),
            "record_rows_per_day": rate * DAY,
            "record_gigabytes_per_day": round(rate * row_bytes * DAY / 1e9, 3),
            "redis_commands_per_second": round(rate * logout["redis_commands"], 1),
        }
        for rate in RATES
    ]
