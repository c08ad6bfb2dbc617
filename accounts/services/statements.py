"""A login's usual end, and its refresh, each as one statement, which only PostgreSQL can do.

What a step costs is the way to the database, and what the ORM does for it: more than the change
itself (``benchmarks.comparison``). The two say once more what ``logout`` and ``login`` say in the
ORM, and are held to the same tests; where they do nothing, those find out why.

How they hold
=============

A part of such a statement sees what was committed before it began, and nothing of what another part
writes. But a row that it changes it sees as it is by then, for it has waited for whoever else
changed it. So what a logout has to revoke is told by the very row that it deletes: the refresh that
was in flight has left its successor there. The successor's row of SimpleJWT's table may not be
seen; an upsert finds it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from functools import cache
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connections, transaction
from django.db.models import CharField, IntegerField, TextField, UUIDField
from django.db.models.deletion import Collector
from django.db.models.functions import Cast
from django.utils import timezone
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.utils import aware_utcnow, datetime_from_epoch

from accounts import blacklist
from accounts.clients import ClientInfo
from accounts.conf import conf
from accounts.models import (
    USERNAME_MAX_LENGTH,
    LogoutEvent,
    Session,
    TokenVersion,
    User,
    database,
)
from accounts.services.record import Initiator, LogoutResult, Reason, Scope, announce
from accounts.tokens import AccessToken, LoginToken, RefreshToken

# Any: parameters of SQL.

TABLES: Final = {
    "session": Session._meta.db_table,
    "event": LogoutEvent._meta.db_table,
    "outstanding": OutstandingToken._meta.db_table,
    "blacklisted": BlacklistedToken._meta.db_table,
}


def are_possible() -> bool:
    """Whether the database can, and a statement is all that it takes to commit."""
    connection = connections[database()]
    commits = connection.in_atomic_block or connection.get_autocommit()
    return bool(connection.vendor == "postgresql" and commits)


def end(
    *, presented: Sequence[LoginToken], scope: Scope, client: ClientInfo
) -> LogoutResult | None:
    """End the login of an access token, the first that was presented, and put it on record.

    None if nothing was done: the scope is another one than ``session`` and ``refresh_tokens``, the
    login is not alive, or it takes more than a statement to tell.
    """
    named, owner = presented[0], presented[0].user_id
    if scope not in _SCOPES or not isinstance(named, AccessToken) or named.sid is None:
        return None
    # What is not printable, the database may refuse to take.
    if not owner.isprintable() or not are_possible() or not _can_delete() or not _has_plain_name():
        return None
    now = timezone.now()
    sql, params = _end(database(), scope)
    params = {
        **params,
        **_rows(presented),
        "sid": named.sid,
        "owner": owner,
        "now": now,
        "utc_now": aware_utcnow(),
        "idle": conf.idle_timeout and now - conf.idle_timeout,
        "absolute": conf.absolute_timeout and now - conf.absolute_timeout,
        "access_end": now + AccessToken.lifetime,
        "token_jti": named.jti,
        "ip_address": client.ip_address,
        "user_agent": client.user_agent,
        "request_id": client.request_id,
    }
    with nullcontext() if scope is Scope.SESSION else transaction.atomic(using=database()):
        if scope is not Scope.SESSION:
            # First: a statement does not see the login that began while it waited.
            _take_turn(named.sid)
        row = _run(sql, params)
    if row is None:
        return None
    pk, user_id, username, tokens_revoked = row
    event = LogoutEvent(
        pk=pk,
        occurred_at=now,
        user_id=user_id,
        username=username,
        initiator=Initiator.USER,
        reason=Reason.LOGOUT,
        scope=scope,
        session_id=named.sid,
        token_jti=named.jti,
        sessions_ended=1,
        tokens_revoked=tokens_revoked,
        ip_address=client.ip_address,
        user_agent=client.user_agent,
        request_id=client.request_id,
    )
    event._state.adding, event._state.db = False, database()
    return announce([event])


def rotate(
    user: User, session: Session, token: RefreshToken, successor: RefreshToken, moment: datetime
) -> bool:
    """Let the successor take the place of the current token; False if it is that no more."""
    params = {
        **_rows([token, successor]),
        "login": session.pk,
        "jti": token.jti,
        "successor": successor.jti,
        "expires": successor.expires_at,
        "now": moment,
        "known_hash": session.auth_hash,
        "hash": user.get_session_auth_hash(),
    }
    return _run(_ROTATE, params) is not None


def can_rotate() -> bool:
    """Whether ``rotate()`` can: it keeps what is replaced, as SimpleJWT's own setting may say."""
    return are_possible() and blacklist.keeps_replaced()


def _take_turn(sid: uuid.UUID) -> None:
    """Wait for who else ends several logins of this user, or begins one."""
    turn = TokenVersion.objects.using(database()).select_for_update()
    turn.filter(user__in=Session.objects.token(sid).values("user")).values_list("pk").first()


def _run(sql: str, params: Mapping[str, Any]) -> Any:
    with connections[database()].cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchone()


def _rows(tokens: Sequence[LoginToken]) -> dict[str, Any]:
    """Return what SimpleJWT's table is to have of these tokens, column by column."""
    by_jti = {token.jti: token for token in tokens}
    return {
        "jtis": list(by_jti),
        "created": [token.current_time for token in by_jti.values()],
        "expire": [datetime_from_epoch(token.payload["exp"]) for token in by_jti.values()],
    }


def _can_delete() -> bool:
    """Whether Django has nothing to do with what is deleted.

    It has where rows of the host point at logins, or its code listens to their deletion.
    """
    return Collector(using=database(), origin=None).can_fast_delete(Session.objects.all())


def _has_plain_name() -> bool:
    """Whether the database has a user's name as ``get_username()`` returns it."""
    model = get_user_model()
    field = model._meta.get_field(model.USERNAME_FIELD)
    return (
        model.get_username is AbstractBaseUser.get_username
        and isinstance(field, CharField | TextField | IntegerField | UUIDField)
        and not hasattr(field, "from_db_value")
    )


_PLACE: Final = uuid.UUID(int=0)
"""What the ``sid`` takes the place of."""


@cache
def _end(alias: str, scope: Scope) -> tuple[str, Mapping[str, Any]]:
    """Return the statement and those of its parameters that are always the same.

    The ORM writes what depends on the host's users: any table, or several, and any key.
    """
    named = Session.objects.token(_PLACE).annotate(
        owner=Cast(f"user__{api_settings.USER_ID_FIELD}", TextField()),
        name=Cast(f"user__{get_user_model().USERNAME_FIELD}", TextField()),
    )
    rows: Any = named.values_list("pk", "owner", "name")
    sql, values = rows.query.get_compiler(using=alias).as_sql()
    names = ["sid" if value == _PLACE else f"fixed{n}" for n, value in enumerate(values)]
    fixed = {name: value for name, value in zip(names, values, strict=True) if name != "sid"}
    named_sql = sql % tuple(f"%({name})s" for name in names)
    parts = {"named": f"named (login, owner, name) AS ({named_sql})", **_SCOPES[scope]}
    return _END.format(**parts, **TABLES), {**fixed, "scope": scope.value}


# ruff: noqa: S608 - what is put in are names of tables and of parameters, and values of ours

# What SimpleJWT's tables have to learn of some tokens, ``revoked``, of which a row may be missing.
_BLACKLISTING: Final = """
recorded AS (
    INSERT INTO {outstanding} (user_id, jti, token, created_at, expires_at)
    SELECT user_id, jti, '', created_at, expires_at FROM revoked
    WHERE NOT EXISTS (SELECT FROM {outstanding} AS known WHERE known.jti = revoked.jti)
    ON CONFLICT (jti) DO UPDATE SET token = '' RETURNING id, jti
),
listed AS (
    INSERT INTO {blacklisted} (token_id, blacklisted_at)
    SELECT id, %(now)s::timestamptz FROM (
        SELECT id, jti FROM recorded
        UNION SELECT known.id, jti FROM {outstanding} AS known JOIN revoked USING (jti)
        {others}
    ) AS token WHERE {which}
    ON CONFLICT (token_id) DO NOTHING RETURNING token_id
)"""

_PRESENTED: Final = """unnest(
        %(jtis)s::text[], %(created)s::timestamptz[], %(expire)s::timestamptz[]
    ) AS token (jti, created_at, expires_at)"""

_END: Final = f"""WITH {{named}},
ended AS (
    DELETE FROM {{session}} AS login USING named
    WHERE session_key = named.login AND named.owner = %(owner)s
        AND expire_date > %(now)s
        AND last_seen_at > COALESCE(%(idle)s::timestamptz, '-infinity')
        AND authenticated_at > COALESCE(%(absolute)s::timestamptz, '-infinity')
    RETURNING sid, user_id, name, refresh_jti, expire_date,
        COALESCE(rotated_at, authenticated_at) AS issued_at
),
{{closed}}
revoked AS (
    SELECT user_id, refresh_jti AS jti, issued_at AS created_at, expire_date AS expires_at
    FROM ended WHERE refresh_jti <> ''
    UNION ALL SELECT user_id, token.* FROM ended, {_PRESENTED} WHERE token.jti <> refresh_jti
    {{closed_tokens}}
),
{_BLACKLISTING}
INSERT INTO {{event}} (
    occurred_at, user_id, username, initiator, reason, scope, session_id, token_jti,
    sessions_ended, tokens_revoked, ip_address, user_agent, request_id
)
SELECT %(now)s, user_id, left(name, {USERNAME_MAX_LENGTH}), '{Initiator.USER}', '{Reason.LOGOUT}',
    %(scope)s, sid, %(token_jti)s, 1, (SELECT count(*) FROM listed), %(ip_address)s::inet,
    %(user_agent)s, %(request_id)s
FROM ended
RETURNING id, user_id, username, tokens_revoked
"""

_SCOPES: Final = {
    Scope.SESSION: {
        "closed": "",
        "closed_tokens": "",
        "which": "TRUE",
        "others": "",
    },
    Scope.REFRESH_TOKENS: {
        # The other logins keep their access token until it runs out.
        "closed": f"""closed AS (
            UPDATE {TABLES["session"]} AS login SET refresh_jti = '',
                previous_refresh_jti = login.refresh_jti,
                expire_date = LEAST(login.expire_date, %(access_end)s)
            FROM ended
            WHERE login.user_id = ended.user_id AND login.kind = '{Session.Kind.TOKEN}'
                AND login.sid <> ended.sid AND login.refresh_jti <> ''
            RETURNING login.user_id, login.previous_refresh_jti,
                COALESCE(login.rotated_at, login.authenticated_at), login.expire_date
        ),""",
        "closed_tokens": "UNION ALL SELECT * FROM closed",
        # Those of plain SimpleJWT.
        "which": "TRUE",
        "others": f"""UNION SELECT known.id, jti FROM {TABLES["outstanding"]} AS known
            JOIN ended USING (user_id) WHERE expires_at > %(utc_now)s
                AND NOT EXISTS (SELECT FROM {TABLES["blacklisted"]} WHERE token_id = known.id)""",
    },
}

_ROTATE: Final = f"""WITH rotated AS (
    UPDATE {{session}} SET
        refresh_jti = %(successor)s, previous_refresh_jti = %(jti)s, rotated_at = %(now)s,
        last_seen_at = %(now)s, expire_date = %(expires)s,
        auth_hash = CASE auth_hash WHEN %(known_hash)s THEN %(hash)s ELSE auth_hash END
    WHERE session_key = %(login)s AND refresh_jti = %(jti)s AND NOT EXISTS (
        SELECT FROM {{outstanding}} AS known JOIN {{blacklisted}} ON token_id = known.id
        WHERE known.jti = %(jti)s
    )
    RETURNING user_id
),
revoked AS (SELECT user_id, token.* FROM rotated, {_PRESENTED}),
{_BLACKLISTING}
SELECT 1 FROM rotated
""".format(**TABLES, which="jti = %(jti)s", others="")
