"""A login's end, and its refresh, each in one statement, as only PostgreSQL can.

What a step costs is the way to the database, and what the ORM does for it: more than the change
itself. These statements do what ``logout`` and ``login`` do step by step on every other database,
and are held to the same tests.

Their parts wait for each other, so that locks are taken in one order: the logins, SimpleJWT's rows,
a chain of the record. No part sees what another has written, or what was committed while the
statement waited for a lock; so the turn of a user is taken before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.db import connections
from django.db.models.deletion import Collector
from django.utils import timezone

from accounts import tokens
from accounts.models import Session, User, hash_key
from accounts.services import chains
from accounts.services.recording import Scope
from accounts.services.transactions import database
from accounts.tokens import AccessToken, LoginToken, RefreshToken
from accounts.tokens.postgresql import (
    BLACKLISTED,
    LIVE,
    OUTSTANDING,
    Part,
    blacklisting,
)
from accounts.tokens.postgresql import database as blacklist_database


class Rotated(NamedTuple):
    """Whether the login's token was replaced, and whether it was not blacklisted before."""

    replaced: bool
    revoked: bool


class Ended(NamedTuple):
    """How many logins have ended, and how many tokens were revoked; the place of it on record."""

    sessions: int
    tokens: int
    claim: chains.Claim | None = None


def can_refresh() -> bool:
    """Whether a statement can do it: on PostgreSQL, with SimpleJWT's tables beside ours."""
    alias = database()
    return connections[alias].vendor == "postgresql" and blacklist_database() == alias


def can_end() -> bool:
    """Whether a statement can do it, and Django has nothing to do with what it deletes.

    It has where rows of the host point at logins, or its code listens to their deletion.
    """
    collector = Collector(using=database(), origin=None)
    return can_refresh() and collector.can_fast_delete(Session.objects.all())


def end(
    *,
    user: User,
    presented: Sequence[LoginToken],
    scope: Scope,
    session_key: str,
    session: Session | None,
) -> Ended | None:
    """End what a logout of this scope ends; None if the login that asks for it is gone.

    The caller undoes the transaction then. ``session`` is that login, where it is known to stand.
    """
    what = _SCOPES[scope]
    standing = _standing(presented[0], user, session)
    done = what.done.format(standing=standing.sql)
    listing = blacklisting(
        key_of(user),
        () if scope is Scope.OTHERS else presented,
        which=what.revoked,
        after=f"{done} AND {_LOCKED}",
    )
    claim = chains.Claim(entries=1)
    params = {
        **standing.params,
        **listing.params,
        **claim.params,
        "sid": presented[0].sid,
        "presented": [token.jti for token in presented],
        "browser": hash_key(session_key) if session_key else None,
        "access_end": timezone.now() + AccessToken.lifetime,
    }
    sql = _END.format(
        ended=f"{what.ended} OR {_BROWSER}" if session_key else what.ended,
        closed=what.closed,
        done=done,
        standing=standing.sql,
        blacklisting=listing.sql,
        placed=chains.PLACED.format(after=_CHANGED),
    )
    with connections[database()].cursor() as cursor:
        cursor.execute(sql, params)
        is_done, sessions, revoked, missed, *place = cursor.fetchone()
    if not is_done:
        return None
    if missed:
        revoked += tokens.blacklist_jtis(*missed)
    return Ended(sessions=sessions, tokens=revoked, claim=claim.given(place))


def rotate(
    *,
    user: User,
    session: Session,
    token: RefreshToken,
    successor: RefreshToken,
    moment: datetime,
) -> Rotated:
    """Let a refresh token's successor take its place, if the token is still the current one."""
    listing = blacklisting(
        key_of(user),
        (token, successor),
        which="jti = %(jti)s",
        after="EXISTS (SELECT FROM rotated)",
    )
    params = {
        **listing.params,
        "login": session.pk,
        "jti": token.jti,
        "successor": successor.jti,
        "expires": successor.expires_at,
        "moment": moment,
    }
    with connections[database()].cursor() as cursor:
        cursor.execute(_ROTATE.format(blacklisting=listing.sql), params)
        return Rotated(*cursor.fetchone())


class _Scope(NamedTuple):
    """Conditions, for a statement to be made of."""

    ended: str
    """Which logins end."""
    closed: str
    """Whether the other logins cannot be refreshed any more."""
    revoked: str
    """Which of the user's tokens are blacklisted."""
    done: str
    """Whether the login that asks for it was there."""


_LOCKED: Final = "(SELECT count(*) FROM ended) + (SELECT count(*) FROM closed) >= 0"
"""True, once the statement has come to all of the logins that it changes."""

_CHANGED: Final = "(SELECT count(*) FROM ended) + (SELECT count(*) FROM listed) > 0"

_BROWSER: Final = f"kind = '{Session.Kind.BROWSER}' AND session_key = %(browser)s"

_OWN: Final = "SELECT refresh_jti FROM accounts_session WHERE sid = %(sid)s"

_SCOPES: Final = {
    Scope.SESSION: _Scope(
        ended="sid = %(sid)s",
        closed="FALSE",
        revoked="jti = ANY(%(presented)s) OR jti = ANY(ARRAY(SELECT refresh_jti FROM ended))",
        done="EXISTS (SELECT FROM ended WHERE sid = %(sid)s)",
    ),
    Scope.REFRESH_TOKENS: _Scope(
        ended="sid = %(sid)s",
        closed="TRUE",
        revoked=LIVE,
        done="EXISTS (SELECT FROM ended WHERE sid = %(sid)s)",
    ),
    Scope.OTHERS: _Scope(
        ended="sid <> %(sid)s",
        closed="FALSE",
        # But its own, as this statement sees it.
        revoked=f"{LIVE} AND jti <> ALL(ARRAY({_OWN}))",
        done="EXISTS ({standing})",
    ),
    Scope.GLOBAL: _Scope(
        ended="TRUE",
        closed="FALSE",
        revoked=LIVE,
        done="EXISTS (SELECT FROM ended)",
    ),
}

# ``closed``: the other logins keep their access token until it runs out. One whose refresh token
# SimpleJWT's own code has blacklisted is over, and would be revived if that were forgotten.
_END: Final = f"""WITH ended AS (
    DELETE FROM accounts_session
    WHERE user_id = %(user)s AND ({{ended}}) AND EXISTS ({{standing}})
    RETURNING sid, refresh_jti
),
closed AS (
    UPDATE accounts_session SET
        refresh_jti = '', previous_refresh_jti = refresh_jti,
        expire_date = LEAST(expire_date, %(access_end)s)
    WHERE {{closed}} AND (SELECT count(*) FROM ended) > 0
        AND user_id = %(user)s AND kind = '{Session.Kind.TOKEN}' AND sid <> %(sid)s
        AND refresh_jti <> '' AND NOT EXISTS (
            SELECT FROM {OUTSTANDING} AS token JOIN {BLACKLISTED} ON token_id = token.id
            WHERE jti = refresh_jti
        )
    RETURNING previous_refresh_jti AS refresh_jti
),
{{blacklisting}},
{{placed}}
SELECT
    {{done}},
    (SELECT count(*) FROM ended),
    (SELECT count(*) FROM listed),
    -- The tokens that a refresh has recorded which committed while this statement waited for it.
    ARRAY(
        SELECT refresh_jti FROM (
            SELECT refresh_jti FROM ended UNION ALL SELECT refresh_jti FROM closed
        ) AS revoked
        WHERE refresh_jti <> ''
            AND NOT EXISTS (SELECT FROM {OUTSTANDING} WHERE jti = refresh_jti)
    ),
    placed.*
FROM (VALUES (1)) AS one LEFT JOIN placed ON TRUE
"""  # noqa: S608 - names of tables

_ROTATE: Final = """WITH rotated AS (
    UPDATE accounts_session SET
        refresh_jti = %(successor)s, previous_refresh_jti = %(jti)s, rotated_at = %(moment)s,
        last_seen_at = %(moment)s, expire_date = %(expires)s
    WHERE session_key = %(login)s AND refresh_jti = %(jti)s
    RETURNING sid
),
{blacklisting}
SELECT EXISTS (SELECT FROM rotated), EXISTS (SELECT FROM listed)
"""


def _standing(named: LoginToken, user: User, session: Session | None) -> Part:
    """Return what selects the login that a token names, if it stands."""
    if session is not None:
        # Nobody can have taken it away but by deleting it.
        return Part(
            "SELECT FROM accounts_session WHERE session_key = %(login)s", {"login": session.pk}
        )
    rows = tokens.named_login(named, user).values("pk")
    sql, values = rows.query.get_compiler(using=database()).as_sql()
    params = {f"standing{number}": value for number, value in enumerate(values)}
    return Part(sql % tuple(f"%({name})s" for name in params), params)


def key_of(user: User) -> Any:  # Any: as the host's is
    """Return a user's key as PostgreSQL takes it."""
    field = Session._meta.get_field("user")
    return field.get_db_prep_value(user.pk, connections[database()])
