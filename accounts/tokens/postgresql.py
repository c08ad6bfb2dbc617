"""SimpleJWT's tables, as parts of a larger statement on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from django.db import connections, router
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.utils import aware_utcnow, datetime_from_epoch

from accounts.tokens.jwt import LoginToken

OUTSTANDING: Final = OutstandingToken._meta.db_table
BLACKLISTED: Final = BlacklistedToken._meta.db_table

LIVE: Final = "user_id = %(user)s AND expires_at > %(utc_now)s"


class Part(NamedTuple):
    """Some named parts of a ``WITH``, and the parameters that they take."""

    sql: str
    params: dict[str, Any]  # Any: whatever PostgreSQL takes


def database() -> str:
    """Return the alias of the database that SimpleJWT's tables are in."""
    return router.db_for_write(OutstandingToken)


def blacklisting(
    user: Any,  # Any: the key, as the host's is
    recorded: Sequence[LoginToken],
    *,
    which: str,
    after: str,
) -> Part:
    """Record these tokens of a user, then blacklist those of which a condition is true.

    The part ``listed`` has those that were not blacklisted before. Nothing is written unless
    another condition is true, which so decides what the statement does first.
    """
    key = OutstandingToken._meta.get_field("user").db_type(connections[database()])
    params: dict[str, Any] = {"user": user, "now": timezone.now(), "utc_now": aware_utcnow()}
    rows = []
    for number, token in enumerate(recorded):
        rows.append(
            f"(%(user)s::{key}, %(jti{number})s, '', %(created{number})s, %(expires{number})s)"
        )
        params[f"jti{number}"] = token.jti
        params[f"created{number}"] = token.current_time
        params[f"expires{number}"] = datetime_from_epoch(token.payload["exp"])
    recording = f"SELECT * FROM {OUTSTANDING} WHERE FALSE"  # noqa: S608 - names of tables
    if rows:
        recording = f"""
            INSERT INTO {OUTSTANDING} (user_id, jti, token, created_at, expires_at)
            SELECT * FROM (VALUES {", ".join(rows)}) AS token WHERE {after}
            ON CONFLICT DO NOTHING RETURNING *
        """  # noqa: S608 - names of tables and of parameters
    # What has just been recorded is not in the table yet for the rest of the statement.
    sql = f"""
        recorded AS ({recording}),
        listed AS (
            INSERT INTO {BLACKLISTED} (token_id, blacklisted_at)
            SELECT id, %(now)s FROM (
                SELECT * FROM {OUTSTANDING} UNION ALL SELECT * FROM recorded
            ) AS token
            WHERE {after} AND ({which})
                AND NOT EXISTS (SELECT FROM {BLACKLISTED} WHERE token_id = token.id)
            ON CONFLICT DO NOTHING RETURNING token_id
        )
    """  # noqa: S608 - names of tables and of parameters
    return Part(sql, params)
