"""The tokens: the only module that knows SimpleJWT's token classes and tables."""

from __future__ import annotations

import uuid
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import connections, router
from django.db.models import DateTimeField, Exists, OuterRef, QuerySet, Value
from django.db.models.constants import OnConflict
from django.utils import timezone
from rest_framework_simplejwt import exceptions as simplejwt
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import AccessToken as SimpleJWTAccessToken
from rest_framework_simplejwt.tokens import RefreshToken as SimpleJWTRefreshToken
from rest_framework_simplejwt.tokens import Token as SimpleJWTToken
from rest_framework_simplejwt.utils import datetime_from_epoch, get_md5_hash_password

from accounts.exceptions import TokenError, TokenExpired, TokenInvalid, TokenReused, TokenRevoked
from accounts.models import Session, TokenVersion

MAX_LENGTH: Final = 16_384
"""Of a raw token, in characters; servers allow no longer header."""

SESSION_CLAIM: Final = "sid"
VERSION_CLAIM: Final = "ver"


if TYPE_CHECKING:
    _TokenBase = SimpleJWTToken
else:
    _TokenBase = object


class _LoginClaims(_TokenBase):
    """The claims that say which login a token belongs to."""

    @property
    def sid(self) -> uuid.UUID | None:
        """The login's public id; None in a token that plain SimpleJWT minted."""
        value = self.payload.get(SESSION_CLAIM)
        return uuid.UUID(value) if value else None

    @property
    def version(self) -> int:
        """The version of the user's tokens when this one was minted."""
        return int(self.payload.get(VERSION_CLAIM, 0))

    @property
    def jti(self) -> str:
        """The token's own id (RFC 7519 §4.1.7)."""
        return str(self.payload[api_settings.JTI_CLAIM])

    @property
    def user_id(self) -> str:
        """The user, by SimpleJWT's ``USER_ID_FIELD``."""
        return str(self.payload[api_settings.USER_ID_CLAIM])

    @property
    def expires_at(self) -> datetime:
        """The ``exp`` claim."""
        return datetime_from_epoch(self.payload["exp"])

    @property
    def password_hash(self) -> str | None:
        """SimpleJWT's own ``REVOKE_TOKEN_CLAIM``, where the host has it switched on."""
        return self.payload.get(api_settings.REVOKE_TOKEN_CLAIM)


class AccessToken(_LoginClaims, SimpleJWTAccessToken):
    """An access token; whether its login still stands is ``find_login()``'s to say."""

    session: Session | None = None
    """The login's row, on the token of an authenticated request (``request.auth``)."""


class ExpiredAccessToken(AccessToken):
    """An access token whose ``exp`` does not matter: whose it was, never what it allows."""

    @property
    def token_backend(self) -> TokenBackend:
        backend = copy(super().token_backend)
        backend.leeway = timedelta(days=36_500)
        return backend


class RefreshToken(_LoginClaims, SimpleJWTRefreshToken):
    """A refresh token; whether its login still stands is ``find_login()``'s to say."""

    access_token_class = AccessToken

    def check_blacklist(self) -> None:
        """Leave it to ``find_login()``, which reads everything in one statement."""


T = TypeVar("T", bound="AccessToken | RefreshToken")


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """A live login: whose it is, its row (None for plain SimpleJWT's) and the token that says so."""

    user: AbstractBaseUser
    session: Session | None
    token: AccessToken | RefreshToken


def decode_access(raw: str) -> AccessToken:
    """Verify an access token's signature, expiry and type.

    Raises ``TokenExpired`` or ``TokenInvalid``.
    """
    return _decode(raw, AccessToken)


def decode_refresh(raw: str) -> RefreshToken:
    """Verify a refresh token, as ``decode_access()`` does."""
    return _decode(raw, RefreshToken)


def decode(raw: str) -> AccessToken | RefreshToken:
    """Verify a token of either type, as ``decode_access()`` does."""
    try:
        return decode_access(raw)
    except TokenInvalid:
        return decode_refresh(raw)


def decode_expired_access(raw: str) -> AccessToken:
    """Verify an access token's signature and type alone. Raises ``TokenInvalid``."""
    return _decode(raw, ExpiredAccessToken)


def _decode(raw: str, kind: type[T]) -> T:
    # A JWT is ASCII; anything else fails in a different place of each library below.
    if not raw.isascii() or len(raw) > MAX_LENGTH:
        raise TokenInvalid
    try:
        token = kind(raw)
        # A claim of a strange shape, signed with our key, is as invalid as a forged one.
        _ = token.sid, token.version, token.user_id, token.jti
    except simplejwt.ExpiredTokenError as error:
        raise TokenExpired from error
    except (simplejwt.TokenError, LookupError, ValueError, TypeError, RecursionError) as error:
        raise TokenInvalid from error
    return token


def find_login(token: AccessToken | RefreshToken) -> Login:
    """Find the live login of a verified token, in one SELECT.

    Alive means: the login's row stands and has not run out, the user is active, the password and
    the version of the user's tokens are still those of the log-in, and SimpleJWT's blacklist knows
    neither this token nor the login's refresh token. Read from the primary database: a replica
    may not know yet that the login has ended.

    Raises ``TokenRevoked`` if any of it does not hold, ``TokenReused`` if the login stands but a
    newer refresh token has replaced this one.
    """
    if token.sid is None:
        return _find_plain_login(token)
    # Of a refresh token, the row itself knows whether it is the current one.
    jtis = [OuterRef("refresh_jti")] + [token.jti] * isinstance(token, AccessToken)
    session = (
        Session.objects.using(router.db_for_write(Session))
        .token(token.sid)
        .alive()
        .filter(~_blacklisted(*jtis))
        .select_related("user__token_version")
        .defer("session_data")
        .first()
    )
    if session is None or session.user is None:
        raise TokenRevoked
    user = session.user
    if (
        str(getattr(user, api_settings.USER_ID_FIELD)) != token.user_id
        or not user.is_active
        or not session.matches_password_of(user)
        or version_of(user) != token.version
    ):
        raise TokenRevoked
    if isinstance(token, RefreshToken) and token.jti != session.refresh_jti:
        raise TokenReused if session.refresh_jti else TokenRevoked
    return Login(user=user, session=session, token=token)


def _find_plain_login(token: AccessToken | RefreshToken) -> Login:
    """As ``find_login()``, for a token that plain SimpleJWT minted: it has no row."""
    manager = get_user_model()._default_manager.using(router.db_for_write(Session))
    try:
        user = (
            manager.filter(~_blacklisted(token.jti), **{api_settings.USER_ID_FIELD: token.user_id})
            .select_related("token_version")
            .get()
        )
    except (get_user_model().DoesNotExist, ValueError, ValidationError) as error:
        # The last two: an id from before the host changed the type of its user's key.
        raise TokenRevoked from error
    if not user.is_active or version_of(user) != token.version:
        raise TokenRevoked
    if api_settings.CHECK_REVOKE_TOKEN and token.password_hash != get_md5_hash_password(
        user.password
    ):
        raise TokenRevoked
    return Login(user=user, session=None, token=token)


def named_login(
    token: AccessToken | RefreshToken, *, current_jti: str = "refresh_jti"
) -> QuerySet[Session]:
    """Return the row of the login that a token with a ``sid`` names, none if it is revoked.

    ``current_jti`` is the column that has the id of the login's refresh token.
    """
    sessions = Session.objects.filter(
        ~_blacklisted(token.jti), kind=Session.Kind.TOKEN, sid=token.sid
    )
    if isinstance(token, RefreshToken):
        sessions = sessions.filter(**{current_jti: token.jti})
    return sessions


def version_of(user: AbstractBaseUser) -> int:
    """Return the version that the user's tokens have to carry."""
    try:
        return user.token_version.version
    except TokenVersion.DoesNotExist:
        return 0


def bind(token: RefreshToken, *, sid: uuid.UUID, version: int) -> None:
    """Make a fresh refresh token, and so each access token minted from it, the login's."""
    token[SESSION_CLAIM] = str(sid)
    token[VERSION_CLAIM] = version


def rotate(token: RefreshToken) -> RefreshToken:
    """Return the successor of a refresh token: the same claims, with an id and expiry of its own."""
    successor = RefreshToken()
    for claim, value in token.payload.items():
        if claim not in RefreshToken.no_copy_claims:
            successor[claim] = value
    return successor


def record(user: AbstractBaseUser, *tokens: AccessToken | RefreshToken) -> None:
    """Make sure that SimpleJWT's outstanding tokens have a row for each of these."""
    OutstandingToken.objects.bulk_create(
        [
            OutstandingToken(
                user_id=user.pk,
                jti=token.jti,
                token="",  # nosec: what it says is that no raw token is kept
                created_at=token.current_time,
                expires_at=token.expires_at,
            )
            for token in tokens
        ],
        ignore_conflicts=True,
    )


def blacklist_jtis(*jtis: str) -> int:
    """Blacklist these recorded tokens; return how many were not blacklisted before."""
    return _blacklist(OutstandingToken.objects.filter(jti__in=jtis))


def blacklist_all(user: AbstractBaseUser, *, keep: str = "") -> int:
    """Blacklist every recorded token of a user but the one with the id ``keep``."""
    return _blacklist(OutstandingToken.objects.filter(user_id=user.pk).exclude(jti=keep))


def is_blacklisted(token: AccessToken | RefreshToken) -> bool:
    """Whether SimpleJWT's blacklist has this token."""
    return BlacklistedToken.objects.filter(token__jti=token.jti).exists()


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


def _blacklisted(*jtis: str | OuterRef) -> Exists:
    return Exists(BlacklistedToken.objects.filter(token__jti__in=jtis))


def _blacklist(outstanding: QuerySet[OutstandingToken]) -> int:
    """Insert from a SELECT, which the ORM has no call for: one statement for any number of rows.

    A row that another transaction inserts in the same moment is passed over where the database
    can (``ON CONFLICT DO NOTHING``), else ``IntegrityError`` undoes the caller's transaction.
    """
    connection = connections[router.db_for_write(BlacklistedToken)]
    now = timezone.now()
    rows = (
        outstanding.order_by()
        .filter(blacklistedtoken__isnull=True, expires_at__gt=now)
        .annotate(now=Value(now, output_field=DateTimeField()))
        .values_list("pk", "now")
    )
    select, params = rows.query.get_compiler(connection=connection).as_sql()
    quote, meta = connection.ops.quote_name, BlacklistedToken._meta
    columns = [meta.get_field("token"), meta.get_field("blacklisted_at")]
    with connection.cursor() as cursor:
        cursor.execute(
            f"{connection.ops.insert_statement(on_conflict=OnConflict.IGNORE)}"
            f" {quote(meta.db_table)} ({', '.join(quote(c.column) for c in columns)}) {select}"
            f" {connection.ops.on_conflict_suffix_sql(columns, OnConflict.IGNORE, [], [])}",
            params,
        )
        return cursor.rowcount
