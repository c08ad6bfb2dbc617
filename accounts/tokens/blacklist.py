"""SimpleJWT's tables, kept honest for code that knows nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connections, router
from django.db.models import DateTimeField, Exists, OuterRef, QuerySet, Value
from django.db.models.constants import OnConflict
from django.utils import timezone
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.utils import aware_utcnow, datetime_from_epoch

from accounts.exceptions import TokenError
from accounts.models import User
from accounts.tokens.jwt import LoginToken, RefreshToken, decode_refresh


def record(user: User, *tokens: LoginToken) -> None:
    """Make sure that SimpleJWT's outstanding tokens have a row for each of these."""
    OutstandingToken.objects.using(router.db_for_write(OutstandingToken)).bulk_create(
        _rows(user, tokens), ignore_conflicts=True
    )


def _rows(user: User, tokens: Sequence[LoginToken]) -> list[OutstandingToken]:
    return [
        OutstandingToken(
            user_id=user.pk,
            jti=token.jti,
            token="",  # nosec: what it says is that no raw token is kept
            created_at=token.current_time,
            expires_at=datetime_from_epoch(token.payload["exp"]),
        )
        for token in tokens
    ]


def blacklist_jtis(*jtis: str) -> int:
    """Blacklist these recorded tokens; return how many were not blacklisted before."""
    return _blacklist(OutstandingToken.objects.filter(jti__in=jtis))


def blacklist(user: User, presented: Sequence[LoginToken], *jtis: str) -> int:
    """Record the presented tokens of a user, and blacklist them and those with these ids.

    Returns how many were not blacklisted before.
    """
    known = OutstandingToken.objects.filter(jti__in=[*jtis, *(token.jti for token in presented)])
    return _record_and_blacklist(user, presented, known)


def blacklist_all(
    user: User,
    *,
    presented: Sequence[LoginToken] = (),
    keep: Sequence[str] | QuerySet[Any, Any] = (),
) -> int:
    """Blacklist every recorded token of a user that is live, but those with an id to keep.

    And, recorded or not, those that are presented.
    """
    # Their clock, which is that of UTC without time zones too.
    live = OutstandingToken.objects.filter(user_id=user.pk, expires_at__gt=aware_utcnow())
    return _record_and_blacklist(user, presented, live.exclude(jti__in=keep))


def keeps_replaced() -> bool:
    """Whether replaced refresh tokens keep their rows, blacklisted; SimpleJWT's own setting."""
    return bool(api_settings.BLACKLIST_AFTER_ROTATION)


def replace(user: User, token: RefreshToken, successor: RefreshToken) -> bool:
    """Tell SimpleJWT's tables that a token was replaced; False if it was blacklisted before.

    Where replaced tokens are not kept, the successor takes the row over: code that knows nothing
    but SimpleJWT has always accepted a replaced token then. Ours refuses it by its login, which a
    token that plain SimpleJWT minted has not.
    """
    if keeps_replaced() or token.sid is None:
        record(user, token, successor)
        return bool(blacklist_jtis(token.jti))
    if is_blacklisted(token):
        return False
    row = _rows(user, [successor])[0]
    known = OutstandingToken.objects.using(router.db_for_write(OutstandingToken))
    if not known.filter(jti=token.jti).update(
        jti=row.jti, created_at=row.created_at, expires_at=row.expires_at
    ):
        record(user, successor)
    return True


def is_blacklisted(token: LoginToken) -> bool:
    """Whether SimpleJWT's blacklist has this token."""
    primary = BlacklistedToken.objects.using(router.db_for_write(BlacklistedToken))
    return primary.filter(token__jti=token.jti).exists()


def forget_raw(outstanding: OutstandingToken) -> RefreshToken | None:
    """Take the raw token out of a row that is about to be saved.

    SimpleJWT's own code puts it there. Returns the token if it is one of a login of ours.
    """
    raw, outstanding.token = outstanding.token, ""
    try:
        token = decode_refresh(raw)
    except TokenError:
        return None
    return token if token.sid else None


def blacklisted(*jtis: str | OuterRef) -> Exists:
    """Return the condition that one of these ids is blacklisted."""
    return Exists(BlacklistedToken.objects.filter(token__jti__in=jtis))


def _record_and_blacklist(
    user: User, presented: Sequence[LoginToken], outstanding: QuerySet[OutstandingToken]
) -> int:
    if presented:
        record(user, *presented)
    return _blacklist(outstanding)


def _blacklist(outstanding: QuerySet[OutstandingToken]) -> int:
    """Insert from a SELECT, which the ORM has no call for: one statement for any number of rows.

    A row that another transaction inserts in the same moment is passed over where the database
    can (``ON CONFLICT DO NOTHING``), else ``IntegrityError`` undoes the caller's transaction.
    """
    connection = connections[router.db_for_write(BlacklistedToken)]
    rows = (
        outstanding.order_by()
        .filter(blacklistedtoken__isnull=True)
        .annotate(now=Value(timezone.now(), output_field=DateTimeField()))
        .values_list("pk", "now")
    )
    select, params = rows.query.get_compiler(connection=connection).as_sql()
    quote, meta = connection.ops.quote_name, BlacklistedToken._meta
    columns = [field for field in meta.concrete_fields if not field.primary_key]
    names = ", ".join(quote(str(field.column)) for field in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"{connection.ops.insert_statement(on_conflict=OnConflict.IGNORE)}"
            f" {quote(meta.db_table)} ({names}) {select}"
            f" {connection.ops.on_conflict_suffix_sql(columns, OnConflict.IGNORE, [], [])}",
            params,
        )
        return int(cursor.rowcount)
