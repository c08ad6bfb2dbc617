"""Rows by the million, as long as real ones, made by PostgreSQL itself."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

import psycopg

USERS = 10_000

AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/142.0.0.0 Safari/537.36"
)

_PIECE = 500_000
"""Of one statement: what it sorts and checks at its end stays in memory."""

_USERS = """
INSERT INTO auth_user (id, username, password, email, first_name, last_name,
    is_superuser, is_staff, is_active, date_joined)
SELECT 1000 + n, 'user' || n, '', '', '', '', false, false, true, now()
FROM generate_series(1, %(users)s::int) AS n
"""

_VERSIONS = """
INSERT INTO drf_logout_tokenversion (user_id, version)
SELECT 1000 + n, 0 FROM generate_series(1, %(users)s::int) AS n
"""

# Seen in the next hour, so that a request writes nothing, however long the filling takes.
_LOGINS = """
INSERT INTO drf_logout_session (session_key, session_data, expire_date, sid, user_id, kind,
    auth_hash, authenticated_at, last_seen_at, ip_address, user_agent,
    refresh_jti, previous_refresh_jti,
    rotated_at)
SELECT md5('sid' || n), '', %(expires)s, md5('sid' || n)::uuid, 1001 + n %% %(users)s::int, 'token',
    %(hash)s, %(expires)s - interval '14 days',
    %(expires)s - interval '14 days' + interval '1 hour',
    '10.0.0.0'::inet + n, %(agent)s, md5('jti' || n), md5('previous' || n),
    %(expires)s - interval '14 days'
FROM generate_series(%(first)s::int, %(last)s::int) AS n
"""

_TOKENS = """
INSERT INTO token_blacklist_outstandingtoken (user_id, jti, token, created_at, expires_at)
SELECT 1001 + n %% %(users)s::int, md5('jti' || n), '', %(expires)s - interval '14 days',
    %(expires)s
FROM generate_series(%(first)s::int, %(last)s::int) AS n
"""

_EVENTS = """
INSERT INTO drf_logout_logoutevent (occurred_at, user_id, username, actor_name, initiator,
    reason, scope, session_id, token_jti, sessions_ended, tokens_revoked, ip_address, user_agent,
    request_id)
SELECT now() - (%(rows)s::int - n) * interval '30 days' / %(rows)s::int, 1001 + n %% %(users)s::int,
    'user' || 1 + n %% %(users)s::int, '', 'user', 'logout', 'session', gen_random_uuid(),
    md5('jti' || n), 1, 2, '10.0.0.0'::inet + n, %(agent)s, gen_random_uuid()::text
FROM generate_series(%(first)s::int, %(last)s::int) AS n
"""

TABLES = {"logins": _LOGINS, "tokens": _TOKENS, "events": _EVENTS}
"""What can be filled: logins by token, the outstanding tokens of these, entries of the record."""


def sid(number: int) -> uuid.UUID:
    """Return the ``sid`` of a login."""
    return uuid.UUID(hashlib.md5(f"sid{number}".encode()).hexdigest())


def jti(number: int) -> str:
    """Return the id of a login's refresh token."""
    return hashlib.md5(f"jti{number}".encode()).hexdigest()


def user_id(number: int) -> int:
    """Return whose login it is."""
    return 1001 + number % USERS


def add_users(connection: psycopg.Connection[Any]) -> None:
    """Make those whom the rows belong to; they have no password."""
    connection.execute(_USERS, {"users": USERS})
    connection.execute(_VERSIONS, {"users": USERS})


def add(
    connection: psycopg.Connection[Any],
    kind: str,
    *,
    first: int,
    last: int,
    expires_in: str = "14 days",
    auth_hash: str = "x" * 64,
) -> None:
    """Add the rows with these numbers to a table; the numbers of one row and another differ."""
    row = connection.execute("SELECT now() + %s::interval", [expires_in]).fetchone()
    assert row is not None
    values = {
        "users": USERS,
        "agent": AGENT,
        "rows": last,
        "expires": row[0],
        "hash": auth_hash,
    }
    for begin in range(first, last + 1, _PIECE):
        end = min(begin + _PIECE - 1, last)
        connection.execute(TABLES[kind], {**values, "first": begin, "last": end})
