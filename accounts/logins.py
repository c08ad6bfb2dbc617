"""From a verified token to its login: one SELECT."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import cast

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.utils import get_md5_hash_password

from accounts.blacklist import blacklisted
from accounts.exceptions import (
    CredentialsChanged,
    LoginRunOut,
    TokenReused,
    TokenRevoked,
    UserInactive,
)
from accounts.models import Session, SessionQuerySet, TokenVersion, User, database, password_hashes
from accounts.models.rows import Select
from accounts.tokens import LoginToken, RefreshToken


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """A live login: whose it is, and its row (none for plain SimpleJWT's)."""

    user: User
    session: Session | None


Read = Callable[[uuid.UUID], Session | None]
"""What returns the row of a token login, if there is one, with its user."""


def find_login(token: LoginToken, read: Read | None = None) -> Login:
    """Find the live login of a verified token, in one SELECT.

    Alive means: the login's row stands and has not run out, the user is active, and the password is
    still that of the log-in. A refresh token has to be the current one. Read from the primary
    database: a replica may not know yet that the login has ended. ``read`` is for who reads the
    login's row together with something else.

    Raises ``TokenRevoked`` if any of it does not hold. The row still stands where that is
    ``LoginRunOut``, ``CredentialsChanged``, ``TokenReused`` (another refresh token has replaced
    this one, and not just now), or ``UserInactive`` (nothing but the user is the
    matter).
    """
    if token.sid is None:
        return _find_plain_login(token)
    session = read(token.sid) if read else _select(database()).get(token.sid)[0]
    if session is None:
        raise TokenRevoked
    user = cast("User", session.user)  # a token's login has one
    if str(getattr(user, api_settings.USER_ID_FIELD)) != token.user_id:
        raise TokenRevoked
    if session.run_out_by is not None:
        raise LoginRunOut(session)
    if not session.fits(user):
        raise CredentialsChanged(session)
    if isinstance(token, RefreshToken) and token.jti != session.refresh_jti:
        if not session.refresh_jti:
            raise TokenRevoked
        if not session.has_just_rotated(token.jti):
            raise TokenReused(session)
    if not is_allowed(user):
        raise UserInactive(user)
    return Login(user=user, session=session)


@cache
def _select(using: str) -> Select:
    return Select(using, Session.by_sid())


def _find_plain_login(token: LoginToken) -> Login:
    """As ``find_login()``, for a token that plain SimpleJWT minted: it has no row."""
    users = get_user_model()._default_manager.using(database()).select_related("token_version")
    try:
        user = users.get(~blacklisted(token.jti), **{api_settings.USER_ID_FIELD: token.user_id})
    except (get_user_model().DoesNotExist, ValueError, ValidationError) as error:
        # The last two: an id from before the host changed the type of its user's key.
        raise TokenRevoked from error
    if token.issued_at < version_of(user):
        raise TokenRevoked
    if api_settings.CHECK_REVOKE_TOKEN and token.password_hash != get_md5_hash_password(
        user.password
    ):
        raise TokenRevoked
    if not is_allowed(user):
        raise UserInactive(user)
    return Login(user=user, session=None)


def may_be_recorded(token: RefreshToken) -> bool:
    """Whether SimpleJWT's own code may record a token that it has minted, or is to revoke.

    That of a login has to be its current one: a rotation that knows nothing of the login
    could outlive it. A plain one has to count still: rotated, it would be younger than what has
    ended it.
    """
    if token.sid is not None:
        return Session.objects.primary().token(token.sid).filter(refresh_jti=token.jti).exists()
    owner = {f"user__{api_settings.USER_ID_FIELD}": token.user_id}
    versions = TokenVersion.objects.using(database()).filter(version__gt=token.issued_at)
    return not versions.filter(**owner).exists()


def is_allowed(user: User) -> bool:
    """Whether a user may log in at all: active, and by SimpleJWT's ``USER_AUTHENTICATION_RULE``."""
    return bool(user.is_active and api_settings.USER_AUTHENTICATION_RULE(user))


def named_login(token: LoginToken, user: User) -> SessionQuerySet:
    """Return the row of the user's login that a token names; none if the token is revoked.

    ``find_login()`` for a statement that changes the row: a token that proves nothing any more
    ends nothing.
    """
    if token.sid is None:
        return Session.objects.none()
    sessions = live_logins(user).token(token.sid)
    return sessions.refreshed_by(token.jti) if isinstance(token, RefreshToken) else sessions


def live_logins(user: User) -> SessionQuerySet:
    """Return the user's logins that would be accepted now, by browser and by token."""
    logins = Session.objects.primary().of(user).alive()
    return logins.filter(auth_hash__in=password_hashes(user))


def version_of(user: User) -> int:
    """Return the second from which on the user's plain tokens count."""
    try:
        return user.token_version.version
    except TokenVersion.DoesNotExist:
        return 0
