"""Cache backends for rate limits: counters in Redis, and in the database where there is none.

``RedisCounters`` is Django's Redis cache, but that this makes a client of redis-py for each
command, which takes as long as the command.

``DatabaseCounters`` counts exactly. Django's own database cache reads a count and then writes it,
so parallel requests lose counts. Here each operation is one statement, exact for any number of
processes. Only whole numbers are kept, and only what counting needs is there: ``add()``,
``incr()``, ``get()`` and what rests on them.

Each statement commits by itself. Inside a transaction of the caller it cannot: there it is undone
with the transaction, and others who count under the same key wait for its end. Where requests run
in transactions (ATOMIC_REQUESTS), route ``drf_logout.Counter`` to an alias of the same database
that is without them.

It takes PostgreSQL, or SQLite from 3.35 on.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Any, Final

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from django.db import OperationalError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from accounts.models import Counter

TRIES: Final = 100
"""Of each statement. Where a host has set a stricter isolation than PostgreSQL's default, one of
all that change a counter in the same moment gets through, and the others begin again."""

SERIALIZATION_FAILURE: Final = "40001"

PRUNED: Final = 10
"""How many expired counters go with each new one, so that the table stays as small as its use."""

# Any: Django's own signatures, and parameters of SQL.


class RedisCounters(RedisCache):
    """``CACHES = {"counters": {"BACKEND": "accounts.counters.RedisCounters", "LOCATION": …}}``."""

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        """Take what Django's takes, its ``OPTIONS`` too."""
        super().__init__(server, params)
        self._class = _KeptClients


class _KeptClients(RedisCacheClient):
    """Django's, with one client for each of its pools, which are safe over threads and forks."""

    def __init__(self, servers: Any, **options: Any) -> None:
        super().__init__(servers, **options)
        self._client = cache(self._client)  # type: ignore[has-type] # not in Django's stubs


class DatabaseCounters(BaseCache):
    """``CACHES = {"counters": {"BACKEND": "accounts.counters.DatabaseCounters"}}``."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        """Take what Django gives a backend; ``LOCATION`` means nothing here."""
        super().__init__(params)

    def add(
        self,
        key: Any,
        value: Any,
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> bool:
        """Begin a count, unless there is one."""
        now, expires = int(time.time()), self.get_backend_timeout(timeout)
        count, _ = self._execute(
            "INSERT INTO {table} (key, value, expires) VALUES (%s, %s, %s)"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = excluded.expires"
            " WHERE {table}.expires <= %s",
            [self._key(key, version), value, None if expires is None else int(expires), now],
        )
        if count:
            self._prune(now)
        return bool(count)

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """Add to a count, and return the sum. Raises ``ValueError`` where there is none."""
        _, rows = self._execute(
            "UPDATE {table} SET value = value + %s"
            " WHERE key = %s AND (expires > %s OR expires IS NULL) RETURNING value",
            [delta, self._key(key, version), int(time.time())],
        )
        if not rows:
            raise ValueError(f"Key {key!r} not found")
        return int(rows[0][0])

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """Return a count."""
        _, rows = self._execute(
            "SELECT value FROM {table} WHERE key = %s AND (expires > %s OR expires IS NULL)",
            [self._key(key, version), int(time.time())],
        )
        return rows[0][0] if rows else default

    def delete(self, key: Any, version: int | None = None) -> bool:
        """Forget a count; return whether there was one."""
        count, _ = self._execute("DELETE FROM {table} WHERE key = %s", [self._key(key, version)])
        return bool(count)

    def clear(self) -> None:
        """Forget every count."""
        self._execute("DELETE FROM {table}", [])

    def _key(self, key: Any, version: int | None) -> str:
        return self.make_and_validate_key(key, version=version)

    def _prune(self, now: int) -> None:
        """Remove some counters that have expired, but for those that somebody else holds."""
        self._execute(
            "DELETE FROM {table} WHERE key IN"
            " (SELECT key FROM {table} WHERE expires <= %s ORDER BY expires LIMIT %s {free})",
            [now, PRUNED],
        )

    def _execute(self, sql: str, params: list[Any]) -> tuple[int, list[Any]]:
        """Run a statement; return how many rows it changed, and those that it returns."""
        connection = connections[router.db_for_write(Counter)]
        features = connection.features
        sql = sql.format(
            table=connection.ops.quote_name(Counter._meta.db_table),
            free="FOR UPDATE SKIP LOCKED" if features.has_select_for_update_skip_locked else "",
        )
        if connection.in_atomic_block:
            # In a savepoint: a failure leaves the caller's transaction as it was.
            with transaction.atomic(using=connection.alias):
                return _once(connection, sql, params)
        for _ in range(TRIES - 1):
            try:
                return _once(connection, sql, params)
            except OperationalError as error:
                if getattr(error.__cause__, "sqlstate", None) != SERIALIZATION_FAILURE:
                    raise
        return _once(connection, sql, params)


def _once(connection: BaseDatabaseWrapper, sql: str, params: list[Any]) -> tuple[int, list[Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.rowcount, cursor.fetchall() if cursor.description else []
