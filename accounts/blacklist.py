"""SimpleJWT's two tables, kept honest for code that knows nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connections, router
from django.db.models import DateTimeField, Exists, OuterRef, QuerySet, Value
from django.db.models.constants import OnConflict
from django.utils import timezone
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.state import token_backend
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.utils import aware_utcnow, datetime_from_epoch

from accounts.models import User
from accounts.tokens import LoginToken, RefreshToken


def record(user: User, *tokens: LoginToken) -> None:
    """Make sure that SimpleJWT's outstanding tokens have a row for each of these."""
    rows = [OutstandingToken(user_id=user.pk, jti=token.jti, **_row(token)) for token in tokens]
    outstanding().bulk_create(rows, ignore_conflicts=True)


def _row(token: LoginToken) -> dict[str, Any]:  # Any: columns are of several types
    return {
        "token": "",  # nosec: what it says is that no raw token is kept
        "created_at": token.current_time,
        "expires_at": datetime_from_epoch(token.payload["exp"]),
    }


def blacklist(user: User, presented: Sequence[LoginToken], jtis: Iterable[str] = ()) -> int:
    """Record the presented tokens of a user, and blacklist them and those with these ids.

    Returns how many were not blacklisted before.
    """
    record(user, *presented)
    return blacklist_jtis(*jtis, *(token.jti for token in presented))


def blacklist_jtis(*jtis: str) -> int:
    """Blacklist these recorded tokens; return how many were not blacklisted before."""
    return _blacklist(outstanding().filter(jti__in=jtis))


def blacklist_all(
    user: User,
    *,
    presented: Sequence[LoginToken] = (),
    keep: Sequence[str] | QuerySet[Any, Any] = (),
) -> int:
    """Blacklist every recorded token of a user that is live, but those with an id to keep.

    And, recorded or not, those that are presented.
    """
    record(user, *presented)
    return _blacklist(live().filter(user_id=user.pk).exclude(jti__in=keep))


def keeps_replaced() -> bool:
    """Whether replaced refresh tokens keep their rows, blacklisted; SimpleJWT's own setting."""
    return bool(api_settings.BLACKLIST_AFTER_ROTATION)


def replace(user: User, token: RefreshToken, successor: RefreshToken) -> bool:
    """Tell SimpleJWT's tables that a token was replaced; False if it was blacklisted meanwhile.

    Where replaced tokens are not kept, the successor takes the row over: code that knows nothing
    but SimpleJWT has always accepted a replaced token then. Ours refuses it by its login, which a
    token that plain SimpleJWT minted has not.
    """
    if keeps_replaced() or token.sid is None:
        record(user, token, successor)
        return bool(blacklist_jtis(token.jti))
    known = outstanding().filter(jti=token.jti)
    if not known.update(jti=successor.jti, **_row(successor)):
        record(user, successor)
    return True


def is_blacklisted(jti: str) -> bool:
    """Whether SimpleJWT's blacklist has the token with this id."""
    return blacklistings().filter(token__jti=jti).exists()


def blacklisted(jti: str | OuterRef) -> Exists:
    """Return the condition that the token with this id is blacklisted."""
    return Exists(BlacklistedToken.objects.filter(token__jti=jti))


def outstanding() -> QuerySet[OutstandingToken]:
    """Return every recorded token, where they are written."""
    return OutstandingToken.objects.using(router.db_for_write(OutstandingToken)).order_by()


def live() -> QuerySet[OutstandingToken]:
    """Return the recorded tokens that neither have run out nor are blacklisted."""
    # Their clock, which is that of UTC without time zones too.
    return outstanding().filter(expires_at__gt=aware_utcnow(), blacklistedtoken__isnull=True)


def expired() -> QuerySet[OutstandingToken]:
    """Return the recorded tokens that no clock takes any more.

    ``LEEWAY`` is how long after its ``exp`` a token is still taken: until then its place on the
    blacklist is needed.
    """
    return outstanding().filter(expires_at__lt=aware_utcnow() - token_backend.get_leeway())


def blacklistings() -> QuerySet[BlacklistedToken]:
    """Return the rows that blacklist a recorded token."""
    return BlacklistedToken.objects.using(router.db_for_write(BlacklistedToken))


def _blacklist(tokens: QuerySet[OutstandingToken]) -> int:
    """Insert from a SELECT, which the ORM has no call for: one statement for any number of rows.

    A row that another transaction inserts in the same moment is passed over where the database
    can (``ON CONFLICT DO NOTHING``), else ``IntegrityError`` undoes the caller's transaction.
    """
    connection = connections[tokens.db]
    rows = (
        tokens.filter(blacklistedtoken__isnull=True)
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
