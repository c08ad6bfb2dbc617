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
from django.db.models import Case, F, Value, When
from django.utils import timezone

from accounts import blacklist, logins, tokens
from accounts.clients import ClientInfo
from accounts.exceptions import LoginOver, TokenRevoked, UserInactive
from accounts.logins import Login
from accounts.models import Session, User, database
from accounts.services import endings, statements
from accounts.services.transactions import after_request, retried
from accounts.tokens import AccessToken, LoginToken, RefreshToken


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenPair:
    """The tokens of a login."""

    access: AccessToken
    refresh: RefreshToken


@retried
def log_in(
    *, user: User, client: ClientInfo, mint: Callable[[User], RefreshToken] = RefreshToken.for_user
) -> TokenPair:
    """Begin a token login of a user who has proved who they are.

    ``mint`` makes the refresh token, with whatever claims of its own a host wants to add. Raises
    ``TokenRevoked`` if the user is gone by now, ``UserInactive`` if they may not log in.
    """
    with transaction.atomic(using=database()):
        refresh = mint(user)
        _begin(user=user, refresh=refresh, client=client)
        blacklist.record(user, refresh)
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
        successor = _successor(token, login.session)
    return TokenPair(access=successor.access_token, refresh=successor)


def mint_access(*, token: RefreshToken) -> AccessToken:
    """Mint another access token of a refresh token that is not rotated; raises as ``refresh()``."""
    session = find_login(token=token).session
    if session is not None and blacklist.is_blacklisted(session.refresh_jti):
        raise _revoked(session)
    return token.access_token


def find_login(*, token: LoginToken, read: logins.Read | None = None) -> Login:
    """Find the live login of a verified token, in one SELECT.

    Raises as ``logins.find_login()`` does, and ends what that finds to be over: a login that has
    run out or has an old password, one whose refresh token is used again (RFC 9700 §4.14.2),
    and those of a user who was deactivated.
    """
    try:
        return logins.find_login(token, read)
    except LoginOver as error:
        _settle(partial(endings.OF[error.code], session=error.session))
        raise
    except UserInactive as error:
        if not error.user.is_active:
            _settle(partial(endings.user_deactivated, user=error.user))
        raise


def _settle(end: Callable[[], object]) -> None:
    """End at once; after the request where a transaction is open that a refusal would undo."""
    if transaction.get_connection(database()).in_atomic_block:
        after_request(end)
    else:
        end()


def reauthenticate(*, session: Session, user: User) -> None:
    """Note that the person behind a login has just proved, by password, that it is still them.

    Raises ``TokenRevoked`` if the login has ended meanwhile.
    """
    session.reauthenticated_at = timezone.now()
    # Checking a password may renew its hash.
    session.auth_hash = user.get_session_auth_hash()
    marked = Session.objects.filter(pk=session.pk).update(
        reauthenticated_at=session.reauthenticated_at, auth_hash=session.auth_hash
    )
    if not marked:
        raise TokenRevoked


def _adopt(user: User, token: RefreshToken, client: ClientInfo) -> RefreshToken:
    """Begin a login of ours with the successor of a token that plain SimpleJWT minted."""
    successor = tokens.rotate(token)
    with transaction.atomic(using=database()):
        if token.issued_at < _begin(user=user, refresh=successor, client=client):
            raise TokenRevoked
        if not blacklist.replace(user, token, successor):
            # SimpleJWT's own code was first.
            raise TokenRevoked
    return successor


def _rotate_once(user: User, session: Session, token: RefreshToken) -> RefreshToken:
    """Return the one successor of a login's refresh token, made here or in a request beside."""
    successor = tokens.rotate(token)
    moment = timezone.now()
    # Dated, so that its login's row is enough to mint it again.
    successor["iat"] = int(moment.timestamp())
    tokens.limit(successor, session.absolute_end)
    change = (user, session, token, successor, moment)
    if (statements.can_rotate() and statements.rotate(*change)) or _rotate(*change):
        return successor
    # The login has been refreshed or has ended, or its token was blacklisted.
    return _successor(token, cast("Session", find_login(token=token).session))


def _successor(token: RefreshToken, session: Session) -> RefreshToken:
    """Return the successor that a login's previous token has got, once more."""
    if token.jti != session.refresh_jti and not blacklist.is_blacklisted(session.refresh_jti):
        return tokens.rotated(token, session)
    raise _revoked(session)


def _revoked(session: Session) -> TokenRevoked:
    """End a login whose refresh token other code has blacklisted without a signal.

    ``bulk_create()`` sends none.
    """
    jti, sid = session.refresh_jti, session.sid
    _settle(partial(endings.token_blacklisted, user_id=session.user_id, jti=jti, sid=sid))
    return TokenRevoked()


def _rotate(
    user: User, session: Session, token: RefreshToken, successor: RefreshToken, moment: datetime
) -> bool:
    """Do as ``statements.rotate()`` does, on any database."""
    current = Session.objects.filter(
        ~blacklist.blacklisted(token.jti), pk=session.pk, refresh_jti=token.jti
    )
    # With a new ``SECRET_KEY`` the password has another hash, as Django renews a browser's.
    known, renewed = Value(session.auth_hash), Value(user.get_session_auth_hash())
    with transaction.atomic(using=database()):
        replaced = current.update(
            refresh_jti=successor.jti,
            previous_refresh_jti=token.jti,
            rotated_at=moment,
            last_seen_at=moment,
            expire_date=successor.expires_at,
            auth_hash=Case(When(auth_hash=known, then=renewed), default=F("auth_hash")),
        ) and blacklist.replace(user, token, successor)
        transaction.set_rollback(not replaced, using=database())
    return bool(replaced)


def _begin(*, user: User, refresh: RefreshToken, client: ClientInfo) -> int:
    """Begin a login with its first refresh token; return the version of the user's tokens."""
    sid = uuid.uuid4()
    now = timezone.now()
    # No cookie has a key with this for its hash: that would have twice as many digits.
    session_key = sid.hex
    try:
        version = endings.make_room(user_id=user.pk, session_key=session_key)
    except get_user_model().DoesNotExist as error:
        raise TokenRevoked from error
    if not logins.is_allowed(version.user):
        raise UserInactive(version.user)
    tokens.bind(refresh, sid)
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
