"""Logging in, and what keeps a login going."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from accounts import tokens
from accounts.clients import ClientInfo
from accounts.exceptions import NotReauthenticable, TokenRevoked
from accounts.models import Session, TokenVersion, User
from accounts.services.transactions import database, retried
from accounts.tokens import AccessToken, Login, RefreshToken


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenPair:
    """The tokens of a login."""

    access: AccessToken
    refresh: RefreshToken


def find_user(*, email: str = "", username: str = "") -> User | None:
    """Find who logs in with this username, or is the one active user with this e-mail address.

    The case of an address does not matter; one that several active users share is nobody's.
    """
    model = get_user_model()
    field = model.get_email_field_name()
    if username or field == model.USERNAME_FIELD or not hasattr(model, field):
        try:
            return model._default_manager.get_by_natural_key(username or email)
        except model.DoesNotExist:
            return None
    matches = model._default_manager.filter(**{f"{field}__iexact": email})
    users = [user for user in matches if user.is_active]
    return users[0] if len(users) == 1 else None


@retried
def log_in(
    *,
    user: User,
    client: ClientInfo,
    mint: Callable[[User], RefreshToken] = RefreshToken.for_user,
) -> TokenPair:
    """Begin a token login of a user who has proved who they are.

    ``mint`` makes the refresh token, with whatever claims of its own a host wants to add.
    """
    with transaction.atomic(using=database()):
        version = TokenVersion.objects.lock(user).version
        refresh = mint(user)
        _begin(user=user, refresh=refresh, version=version, client=client)
    return TokenPair(access=refresh.access_token, refresh=refresh)


@retried
def refresh(*, token: RefreshToken, client: ClientInfo) -> TokenPair:
    """Rotate a refresh token: its successor takes its place, and it is worthless from then on.

    A token that plain SimpleJWT minted begins a login of ours. Raises ``TokenRevoked`` if the
    login has ended, or ``TokenReused`` if the token has a successor already.
    """
    login = tokens.find_login(token)
    successor = tokens.rotate(token)
    with transaction.atomic(using=database()):
        if login.session is None:
            version = TokenVersion.objects.lock(login.user).version
            if version != token.version:
                raise TokenRevoked
            _begin(user=login.user, refresh=successor, version=version, client=client)
        elif not _rotate(login.session, token.jti, successor):
            raise TokenRevoked
        tokens.record(login.user, token, successor)
        if not tokens.blacklist_jtis(token.jti):
            # SimpleJWT's own view, or a request beside this one, was first.
            raise TokenRevoked
    return TokenPair(access=successor.access_token, refresh=successor)


def follow_rotation(*, token: RefreshToken) -> None:
    """Take over a refresh token that SimpleJWT's own code has rotated.

    Raises ``TokenRevoked`` if its login has ended, or may not be refreshed any more.
    """
    session = Session.objects.primary().token(token.sid).first() if token.sid else None
    current = session.refresh_jti if session else ""
    if session is None or not current or not _rotate(session, current, token):
        raise TokenRevoked


def reauthenticate(*, login: Login) -> None:
    """Note that the person behind a login has just proved that it is still them.

    Raises ``TokenRevoked`` if the login has ended meanwhile, ``NotReauthenticable`` if it has no
    row to note it in.
    """
    if login.session is None:
        raise NotReauthenticable
    marked = Session.objects.filter(pk=login.session.pk).update(reauthenticated_at=timezone.now())
    if not marked:
        raise TokenRevoked


def _begin(*, user: User, refresh: RefreshToken, version: int, client: ClientInfo) -> None:
    sid = uuid.uuid4()
    now = timezone.now()
    tokens.bind(refresh, sid=sid, version=version)
    Session.objects.create(
        # No cookie has a key with this for its hash: that would have twice as many digits.
        session_key=sid.hex,
        sid=sid,
        user=user,
        kind=Session.Kind.TOKEN,
        auth_hash=user.get_session_auth_hash(),
        authenticated_at=now,
        last_seen_at=now,
        expire_date=refresh.expires_at,
        refresh_jti=refresh.jti,
        ip_address=client.ip_address,
        user_agent=client.user_agent,
    )


def _rotate(session: Session, jti: str, successor: RefreshToken) -> bool:
    """Let the successor take the place of the token with this id, if that still has it."""
    now = timezone.now()
    return bool(
        Session.objects.filter(pk=session.pk, refresh_jti=jti).update(
            refresh_jti=successor.jti,
            previous_refresh_jti=jti,
            rotated_at=now,
            last_seen_at=now,
            expire_date=successor.expires_at,
        )
    )
