"""Logging in, and what keeps a login going."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import cast

from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from accounts import tokens, verdicts
from accounts.clients import ClientInfo
from accounts.exceptions import (
    CredentialsChanged,
    LoginRunOut,
    NotReauthenticable,
    TokenReused,
    TokenRevoked,
    UserInactive,
)
from accounts.models import Session, User
from accounts.services import postgresql
from accounts.services.endings import discard, end_reused, make_room, run_out, user_deactivated
from accounts.services.transactions import after_request, database, retried
from accounts.tokens import AccessToken, Login, LoginToken, RefreshToken


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

    ``mint`` makes the refresh token, with whatever claims of its own a host wants to add. Raises
    ``TokenRevoked`` if the user is gone by now, ``UserInactive`` if they may not log in.
    """
    with transaction.atomic(using=database()):
        refresh = mint(user)
        _begin(user=user, refresh=refresh, client=client)
    return TokenPair(access=refresh.access_token, refresh=refresh)


@retried
def refresh(*, token: RefreshToken, client: ClientInfo) -> TokenPair:
    """Rotate a refresh token: its successor takes its place.

    For ``REFRESH_GRACE`` whoever comes with the token again gets the same successor: the answer
    may have been lost, or several tabs ask at once. Later, the login ends. A token that plain
    SimpleJWT minted begins a login of ours. Raises ``TokenRevoked`` if the login has ended.
    """
    login = find_login(token=token)
    if login.session is None:
        successor = _adopt(login.user, token, client)
    elif login.session.refresh_jti == token.jti:
        successor = _rotate_once(login.user, login.session, token)
    else:
        successor = tokens.rotated(token, login.session)
    return TokenPair(access=successor.access_token, refresh=successor)


def follow_rotation(*, token: RefreshToken) -> None:
    """Take over a refresh token that SimpleJWT's own code has rotated.

    Raises ``TokenRevoked`` if its login has ended, or may not be refreshed any more.
    """
    session = Session.objects.primary().token(token.sid).first() if token.sid else None
    current = session.refresh_jti if session else ""
    if session is None or not current or not _rotate(session, current, token):
        raise TokenRevoked


def find_login(*, token: LoginToken) -> Login:
    """Find the live login of a verified token, in one SELECT.

    Raises as ``tokens.find_login()`` does, and ends what that finds to be over: a login that has
    run out or has an old password, one whose refresh token is used again (RFC 9700 §4.14.2), and
    those of a user who was deactivated.
    """
    try:
        return _find_login(token)
    except LoginRunOut as error:
        _settle(partial(run_out, session=cast("Session", error.session)))
        raise
    except TokenReused as error:
        _settle(partial(end_reused, session=cast("Session", error.session)))
        raise
    except CredentialsChanged as error:
        _settle(partial(discard, session=cast("Session", error.session)))
        raise
    except UserInactive as error:
        user = cast("User", error.user)
        if not user.is_active:
            _settle(partial(user_deactivated, user=user))
        raise


def _find_login(token: LoginToken) -> Login:
    try:
        return tokens.find_login(token)
    except TokenRevoked:
        verdicts.forget_user_of(token)
        raise


def _settle(end: Callable[[], object]) -> None:
    """End at once; after the request where a transaction is open that a refusal would undo."""
    if transaction.get_connection(database()).in_atomic_block:
        after_request(end)
    else:
        end()


def reauthenticate(*, session: Session | None, user: User) -> None:
    """Note that the person behind a login has just proved, by password, that it is still them.

    Raises ``TokenRevoked`` if the login has ended meanwhile, ``NotReauthenticable`` if it has no
    row to note it in.
    """
    if session is None:
        raise NotReauthenticable
    session.reauthenticated_at = timezone.now()
    # Checking a password may renew its hash.
    session.auth_hash = user.get_session_auth_hash()
    marked = Session.objects.filter(pk=session.pk).update(
        reauthenticated_at=session.reauthenticated_at, auth_hash=session.auth_hash
    )
    if not marked:
        raise TokenRevoked
    verdicts.forget(user)


def _adopt(user: User, token: RefreshToken, client: ClientInfo) -> RefreshToken:
    """Begin a login of ours with the successor of a token that plain SimpleJWT minted."""
    successor = tokens.rotate(token)
    with transaction.atomic(using=database()):
        if _begin(user=user, refresh=successor, client=client) != token.version:
            raise TokenRevoked
        if not tokens.replace(user, token, successor):
            # SimpleJWT's own code was first.
            raise TokenRevoked
    return successor


def _rotate_once(user: User, session: Session, token: RefreshToken) -> RefreshToken:
    """Return the one successor of a login's refresh token, made here or in a request beside."""
    successor = tokens.rotate(token)
    try:
        with transaction.atomic(using=database()):
            _replace(user, session, token, successor)
            _renew_hash(user, session)
    except _Overtaken:
        # The login has been refreshed, or has ended.
        overtaken = find_login(token=token).session
        return tokens.rotated(token, cast("Session", overtaken))
    return successor


class _Overtaken(Exception):
    """The token that is to be replaced is not the login's current one any more."""


def _replace(user: User, session: Session, token: RefreshToken, successor: RefreshToken) -> None:
    if tokens.keeps_replaced() and postgresql.can_refresh():
        replaced, revoked = postgresql.rotate(
            user=user,
            session=session,
            token=token,
            successor=successor,
            moment=_date(session, successor),
        )
    else:
        replaced = _rotate(session, token.jti, successor)
        revoked = replaced and tokens.replace(user, token, successor)
    if not replaced:
        raise _Overtaken
    if not revoked:
        # SimpleJWT's own code was first.
        raise TokenRevoked


def _renew_hash(user: User, session: Session) -> None:
    """Let a login outlive the ``SECRET_KEY`` that it began with, as Django does a browser's."""
    current = user.get_session_auth_hash()
    if session.auth_hash != current:
        # Unless it has changed the password meanwhile.
        outdated = Session.objects.filter(pk=session.pk, auth_hash=session.auth_hash)
        outdated.update(auth_hash=current)


def _begin(*, user: User, refresh: RefreshToken, client: ClientInfo) -> int:
    """Begin a login with its first refresh token; return the version of the user's tokens."""
    sid = uuid.uuid4()
    now = timezone.now()
    # No cookie has a key with this for its hash: that would have twice as many digits.
    session_key = sid.hex
    try:
        version = make_room(user_id=user.pk, session_key=session_key)
        current = version.user
    except get_user_model().DoesNotExist as error:
        raise TokenRevoked from error
    if not tokens.is_allowed(current):
        raise UserInactive(current)
    tokens.bind(refresh, sid=sid, version=version.version)
    session = Session(
        session_key=session_key,
        sid=sid,
        user=user,
        kind=Session.Kind.TOKEN,
        auth_hash=user.get_session_auth_hash(),
        authenticated_at=now,
        last_seen_at=now,
        refresh_jti=refresh.jti,
        ip_address=client.ip_address,
        user_agent=client.user_agent,
    )
    tokens.limit(refresh, session.absolute_end)
    session.expire_date = refresh.expires_at
    session.save(force_insert=True)
    return version.version


def _rotate(session: Session, jti: str, successor: RefreshToken) -> bool:
    """Let the successor take the place of the token with this id, if that still has it."""
    current = Session.objects.filter(pk=session.pk, refresh_jti=jti)
    moment = _date(session, successor)
    return bool(
        current.update(
            refresh_jti=successor.jti,
            previous_refresh_jti=jti,
            rotated_at=moment,
            last_seen_at=moment,
            expire_date=successor.expires_at,
        )
    )


def _date(session: Session, successor: RefreshToken) -> datetime:
    """Date a successor of now, so that its login's row is enough to mint it again."""
    moment = timezone.now()
    successor["iat"] = int(moment.timestamp())
    tokens.limit(successor, session.absolute_end)
    return moment
