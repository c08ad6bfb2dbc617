"""From a verified token to its login."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import router
from django.db.models import OuterRef
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.utils import get_md5_hash_password

from accounts.compiled import CompiledQuery
from accounts.exceptions import (
    CredentialsChanged,
    LoginRunOut,
    TokenReused,
    TokenRevoked,
    UserInactive,
)
from accounts.models import Session, SessionQuerySet, TokenVersion, User, password_hashes
from accounts.tokens.blacklist import blacklisted, is_blacklisted
from accounts.tokens.jwt import LoginToken, RefreshToken


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """A live login: whose it is, its row (none for plain SimpleJWT's) and its token."""

    user: User
    session: Session | None
    token: LoginToken


def find_login(token: LoginToken) -> Login:
    """Find the live login of a verified token, in one SELECT.

    Alive means: the login's row stands and has not run out, the user is active, the password and
    the version of the user's tokens are still those of the log-in, and SimpleJWT's blacklist knows
    neither this token nor the login's refresh token. Read from the primary database: a replica
    may not know yet that the login has ended.

    Raises ``TokenRevoked`` if any of it does not hold. The row still stands where that is
    ``LoginRunOut``, ``CredentialsChanged``, ``TokenReused`` (another refresh token has replaced
    this one, and not just now) or ``UserInactive`` (nothing but the user is the matter).
    """
    if (sid := token.sid) is None:
        return _find_plain_login(token)
    session = (
        _OF_REFRESH_TOKEN.get(using=_primary(), sid=sid)
        if isinstance(token, RefreshToken)
        else _OF_ACCESS_TOKEN.get(using=_primary(), sid=sid, jti=token.jti)
    )
    if session is None or session.user is None:
        raise TokenRevoked
    user = session.user
    if (
        str(getattr(user, api_settings.USER_ID_FIELD)) != token.user_id
        or version_of(user) != token.version
    ):
        raise TokenRevoked
    if session.run_out_by is not None:
        raise LoginRunOut(session)
    if session.auth_hash not in password_hashes(user):
        raise CredentialsChanged(session)
    if isinstance(token, RefreshToken) and token.jti != session.refresh_jti:
        if not session.refresh_jti:
            raise TokenRevoked
        if not session.has_just_rotated(token.jti):
            raise TokenReused(session)
    if not is_allowed(user):
        raise UserInactive(user)
    return Login(user=user, session=session, token=token)


def _named(sid: Any, *jtis: Any) -> SessionQuerySet:
    # Any: values, or their places in SQL.
    return (
        Session.objects.token(sid)
        .filter(~blacklisted(OuterRef("refresh_jti"), *jtis))
        .select_related("user__token_version")
        .defer("session_data")
    )


_OF_ACCESS_TOKEN: Final = CompiledQuery(lambda *, sid, jti: _named(sid, jti))
# Of a refresh token, the row itself knows whether it is the current one.
_OF_REFRESH_TOKEN: Final = CompiledQuery(lambda *, sid: _named(sid))


def _primary() -> str:
    return router.db_for_write(Session)


def _find_plain_login(token: LoginToken) -> Login:
    """As ``find_login()``, for a token that plain SimpleJWT minted: it has no row."""
    manager = get_user_model()._default_manager.using(_primary())
    try:
        user = (
            manager.filter(~blacklisted(token.jti), **{api_settings.USER_ID_FIELD: token.user_id})
            .select_related("token_version")
            .get()
        )
    except (get_user_model().DoesNotExist, ValueError, ValidationError) as error:
        # The last two: an id from before the host changed the type of its user's key.
        raise TokenRevoked from error
    if version_of(user) != token.version:
        raise TokenRevoked
    if api_settings.CHECK_REVOKE_TOKEN and token.password_hash != get_md5_hash_password(
        user.password
    ):
        raise TokenRevoked
    if not is_allowed(user):
        raise UserInactive(user)
    return Login(user=user, session=None, token=token)


def is_allowed(user: User) -> bool:
    """Whether a user may log in at all: active, and by SimpleJWT's ``USER_AUTHENTICATION_RULE``."""
    return bool(user.is_active and api_settings.USER_AUTHENTICATION_RULE(user))


def named_login(token: LoginToken, user: User) -> SessionQuerySet:
    """Return the row of the user's login that a token names; none if the token is revoked.

    ``find_login()`` for a statement that changes the row: a token that proves nothing any more
    ends nothing.
    """
    if (sid := token.sid) is None:
        return Session.objects.none()
    sessions = (
        Session.objects.primary()
        .of(user)
        .token(sid)
        .alive()
        .filter(auth_hash__in=password_hashes(user))
    )
    if isinstance(token, RefreshToken):
        return sessions.refreshed_by(token.jti).filter(~blacklisted(OuterRef("refresh_jti")))
    return sessions.filter(~blacklisted(token.jti))


def is_standing(token: LoginToken, user: User) -> bool:
    """Whether a user's token names a login that stands; a plain one, whether it is not revoked."""
    if token.sid is None:
        return not is_blacklisted(token)
    return named_login(token, user).exists()


def live_logins(user: User) -> SessionQuerySet:
    """Return the user's logins that would be accepted now, by browser and by token."""
    return (
        Session.objects.primary()
        .of(user)
        .alive()
        .filter(~blacklisted(OuterRef("refresh_jti")), auth_hash__in=password_hashes(user))
    )


def version_of(user: User) -> int:
    """Return the version that the user's tokens have to carry."""
    try:
        return user.token_version.version
    except TokenVersion.DoesNotExist:
        return 0
