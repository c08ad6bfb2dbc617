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

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connections
from django.db.models import CharField, IntegerField, QuerySet, TextField, UUIDField
from django.db.models.deletion import Collector
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.utils import aware_utcnow, datetime_from_epoch

from accounts import blacklist
from accounts.clients import ClientInfo
from accounts.conf import conf
from accounts.models import USERNAME_MAX_LENGTH, LogoutEvent, Session, User, database
from accounts.services.record import Cause, LogoutResult, Scope, announce, compose
from accounts.tokens import AccessToken, LoginToken, RefreshToken

# Any: parameters of SQL.


def are_possible() -> bool:
    """Whether the database can, and a statement is all that it takes to commit."""
    connection = connections[database()]
    commits = connection.in_atomic_block or connection.get_autocommit()
    return bool(connection.vendor == "postgresql" and commits)


def end(
    *, presented: Sequence[LoginToken], scope: Scope, client: ClientInfo
) -> LogoutResult | None:
    """End the login of an access token, the first that was presented, and put it on record.

    Where statements ``are_possible()``.
    With the scope ``refresh_tokens`` the others are closed, too: then the caller has asked whether
    the password is still that of the login, which SQL cannot, and has taken the user's turn, for a
    statement does not see the login that began while it waited.

    None if nothing was done: the login is not alive, or it takes more than a statement to tell.
    """
    named = presented[0]
    if not isinstance(named, AccessToken) or named.sid is None:
        return None
    # What is not printable, the database may refuse to take.
    if not (named.user_id.isprintable() and _is_plain()):
        return None
    event = compose(cause=Cause(client=client), scope=scope)
    event.session_id, event.token_jti, event.sessions_ended = named.sid, named.jti, 1
    now = event.occurred_at
    params = {
        **{name: getattr(event, name) for name in _SAID},
        **_rows(presented),
        "owner": named.user_id,
        "utc_now": aware_utcnow(),
        "idle": conf.idle_timeout and now - conf.idle_timeout,
        "absolute": conf.absolute_timeout and now - conf.absolute_timeout,
        "access_end": now + AccessToken.lifetime,
    }
    if (row := _run(_end(database(), scope, len(presented)), params)) is None:
        return None
    event.pk, event.user_id, event.username, event.tokens_revoked = row
    event._state.adding, event._state.db = False, database()
    return announce([event])


def rotate(
    user: User, session: Session, token: RefreshToken, successor: RefreshToken, moment: datetime
) -> bool:
    """Let the successor take the place of the current token.

    False if nothing was done: it is that no more, or SimpleJWT's table has no row of it.
    """
    params = {
        **_rows([token, successor]),
        "login": session.pk,
        "expires": successor.expires_at,
        "occurred_at": moment,
        "known_hash": session.auth_hash,
        "hash": user.get_session_auth_hash(),
    }
    return _run(_ROTATE, params) is not None


def can_rotate() -> bool:
    """Whether ``rotate()`` can: it keeps what is replaced, as SimpleJWT's own setting may say."""
    return are_possible() and blacklist.keeps_replaced()


def _run(sql: str, params: Mapping[str, Any]) -> Any:
    with connections[database()].cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchone()


def _rows(tokens: Sequence[LoginToken]) -> dict[str, Any]:
    """Return what SimpleJWT's table is to have of these tokens."""
    rows: dict[str, Any] = {}
    for number, token in enumerate(tokens):
        rows[f"jti{number}"], rows[f"created{number}"] = token.jti, token.current_time
        rows[f"expires{number}"] = datetime_from_epoch(token.payload["exp"])
    return rows


def _is_plain() -> bool:
    """Whether Django has nothing to do with what is deleted, nor the host with a user's name.

    Django has where rows of the host point at logins, or its code listens to their deletion.
    """
    model = get_user_model()
    field = model._meta.get_field(model.USERNAME_FIELD)
    return (
        isinstance(field, CharField | TextField | IntegerField | UUIDField)
        and not hasattr(field, "from_db_value")
        and model.get_username is AbstractBaseUser.get_username
        and Collector(using=database(), origin=None).can_fast_delete(Session.objects.all())
    )


# What is put into SQL below are names of tables, of columns and of parameters, and values of ours.
# ruff: noqa: S608

TABLES: Final = {
    "session": Session._meta.db_table,
    "event": LogoutEvent._meta.db_table,
    "outstanding": OutstandingToken._meta.db_table,
    "blacklisted": BlacklistedToken._meta.db_table,
}

_SAID: Final = (
    *("occurred_at", "initiator", "reason", "scope", "session_id", "token_jti"),
    *("actor_name", "sessions_ended", "user_agent", "request_id", "ip_address"),
)
_VALUES: Final = ", ".join(f"%({name})s" for name in _SAID)


def _presented(count: int) -> str:
    # One by one: for arrays PostgreSQL would make a plan each time.
    row = "(%(jti{n})s::text, %(created{n})s::timestamptz, %(expires{n})s::timestamptz)"
    rows = ", ".join(row.format(n=number) for number in range(count))
    return f"(VALUES {rows}) AS token (jti, created_at, expires_at)"


def _of_owner(field: str, alias: str) -> str:
    """Return what selects a field of a login's user, as text: of any table, or of several."""
    owner: QuerySet[User] = QuerySet(get_user_model()).filter(pk=RawSQL("login.user_id", ()))
    text = owner.annotate(text=Cast(field, TextField())).values("text")
    sql, _ = text.query.get_compiler(using=alias).as_sql()
    return f"({sql})"


@cache
def _end(alias: str, scope: Scope, count: int) -> str:
    """Return the statement that ends a login; the ORM writes what depends on the host's users."""
    closes, users = scope is Scope.REFRESH_TOKENS, get_user_model()
    field = api_settings.USER_ID_FIELD
    is_key = field == users._meta.pk.name
    return _END.format(
        owner="login.user_id::text" if is_key else _of_owner(field, alias),
        name=_of_owner(users.USERNAME_FIELD, alias),
        closed=_CLOSED.format(**TABLES) if closes else "",
        closed_tokens="UNION ALL SELECT * FROM closed" if closes else "",
        unknown=_UNKNOWN.format(**TABLES) if closes else "",
        others=_OTHERS.format(**TABLES) if closes else "",
        presented=_presented(count),
        **TABLES,
    )


_END: Final = f"""WITH ended AS (
    DELETE FROM {{session}} AS login
    WHERE sid = %(session_id)s AND kind = '{Session.Kind.TOKEN}' AND {{owner}} = %(owner)s
        AND expire_date > %(occurred_at)s
        AND last_seen_at > COALESCE(%(idle)s::timestamptz, '-infinity')
        AND authenticated_at > COALESCE(%(absolute)s::timestamptz, '-infinity')
    RETURNING sid, user_id, refresh_jti, COALESCE(rotated_at, authenticated_at) AS issued_at,
        expire_date, left({{name}}, {USERNAME_MAX_LENGTH}) AS username
),
{{closed}}
revoked AS (
    SELECT user_id, refresh_jti AS jti, issued_at AS created_at, expire_date AS expires_at
    FROM ended WHERE refresh_jti <> ''
    UNION ALL SELECT user_id, token.* FROM ended, {{presented}} WHERE token.jti <> refresh_jti
    {{closed_tokens}}
),
recorded AS (
    INSERT INTO {{outstanding}} (user_id, jti, token, created_at, expires_at)
    SELECT user_id, jti, '', created_at, expires_at FROM revoked {{unknown}}
    ON CONFLICT (jti) DO UPDATE SET token = '' RETURNING id
),
listed AS (
    INSERT INTO {{blacklisted}} (token_id, blacklisted_at)
    SELECT id, %(occurred_at)s::timestamptz FROM (SELECT id FROM recorded {{others}}) AS token
    ON CONFLICT (token_id) DO NOTHING RETURNING token_id
)
INSERT INTO {{event}} (user_id, username, tokens_revoked, {", ".join(_SAID)})
SELECT user_id, username, (SELECT count(*) FROM listed), {_VALUES}::inet FROM ended
RETURNING id, user_id, username, tokens_revoked
"""

# The other logins, which keep their access token until it runs out.
_CLOSED: Final = f"""closed AS (
    UPDATE {{session}} AS login SET
        refresh_jti = '', previous_refresh_jti = login.refresh_jti,
        expire_date = LEAST(login.expire_date, %(access_end)s)
    FROM ended
    WHERE login.user_id = ended.user_id AND login.kind = '{Session.Kind.TOKEN}'
        AND login.sid <> ended.sid AND login.refresh_jti <> ''
    RETURNING login.user_id, login.previous_refresh_jti,
        COALESCE(login.rotated_at, login.authenticated_at), login.expire_date
),"""

# Of many tokens those that have a row keep it as it is: to write it anew is what an upsert does.
_UNKNOWN: Final = (
    "WHERE NOT EXISTS (SELECT FROM {outstanding} AS known WHERE known.jti = revoked.jti)"
)

# Those, and the tokens that plain SimpleJWT has minted.
_OTHERS: Final = """UNION ALL SELECT known.id FROM {outstanding} AS known JOIN revoked USING (jti)
    UNION ALL SELECT known.id FROM {outstanding} AS known JOIN ended USING (user_id)
    WHERE expires_at > %(utc_now)s
        AND NOT EXISTS (SELECT FROM {blacklisted} WHERE token_id = known.id)"""

# A token without a row is told apart by what changes nothing: ``login`` sees to it in the ORM.
_ROTATE: Final = """WITH rotated AS (
    UPDATE {session} AS login SET
        refresh_jti = %(jti1)s, previous_refresh_jti = %(jti0)s, rotated_at = %(occurred_at)s,
        last_seen_at = %(occurred_at)s, expire_date = %(expires)s,
        auth_hash = CASE auth_hash WHEN %(known_hash)s THEN %(hash)s ELSE auth_hash END
    FROM {outstanding} AS known
    WHERE session_key = %(login)s AND refresh_jti = %(jti0)s AND known.jti = %(jti0)s
        AND NOT EXISTS (SELECT FROM {blacklisted} WHERE token_id = known.id)
    RETURNING login.user_id, known.id
),
recorded AS (
    INSERT INTO {outstanding} (user_id, jti, token, created_at, expires_at)
    SELECT user_id, %(jti1)s, '', %(created1)s, %(expires1)s FROM rotated
    ON CONFLICT (jti) DO NOTHING
),
listed AS (
    INSERT INTO {blacklisted} (token_id, blacklisted_at) SELECT id, %(occurred_at)s FROM rotated
    ON CONFLICT (token_id) DO NOTHING
)
SELECT 1 FROM rotated
""".format(**TABLES)
