"""What can be done to a login. Transactions and the audit record live here.

Every service takes effect as a whole or not at all, and returns after its commit (unless the
caller has a transaction open). Two rules keep them safe beside each other:

- Log-ins and the ends of several logins lock the user's ``TokenVersion`` first, so that they take
  turns: a log-in is ended with the others or begins after them.
- A refresh changes the login's row only if its token is still the current one there, and the end
  of a login takes that row away: whichever commits first, no live token is left behind.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import IntegrityError, OperationalError, router, transaction
from django.db.models import DateTimeField, Exists, F, Q, Value
from django.db.models.functions import Least
from django.utils import timezone

from accounts import tokens
from accounts.clients import ClientInfo
from accounts.exceptions import NotReauthenticable, TokenRevoked
from accounts.models import LogoutEvent, Session, TokenVersion
from accounts.sessions import hash_key
from accounts.signals import login_ended
from accounts.tokens import AccessToken, Login, RefreshToken

Scope = LogoutEvent.Scope
Initiator = LogoutEvent.Initiator
Reason = LogoutEvent.Reason

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenPair:
    """The tokens of a login."""

    access: AccessToken
    refresh: RefreshToken


@dataclass(frozen=True, kw_only=True, slots=True)
class LogoutResult:
    """What ended. ``event`` is None where there was nothing to end, and so nothing to record."""

    sessions_ended: int
    tokens_revoked: int
    event: LogoutEvent | None


UNCHANGED: Final = LogoutResult(sessions_ended=0, tokens_revoked=0, event=None)


class _AlreadyEnded(Exception):  # noqa: N818 - undoes a transaction, never leaves this module
    """The token that names the login turned out to be revoked."""


def _retried(service: Callable[P, R]) -> Callable[P, R]:
    """Run a service once more if it lost a race and the database undid it.

    The races are those to make a user's first ``TokenVersion`` and, for logouts of several devices
    in the same moment, deadlocks. Only the outermost transaction can be run again.
    """

    @wraps(service)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return service(*args, **kwargs)
        except (IntegrityError, OperationalError) as error:
            undone = isinstance(error, IntegrityError) or (
                getattr(error.__cause__, "sqlstate", "") in _UNDONE_SQLSTATES
            )
            if not undone or transaction.get_connection(_database()).in_atomic_block:
                raise
            return service(*args, **kwargs)

    return run


_UNDONE_SQLSTATES: Final = {"40001", "40P01"}  # serialization failure, deadlock


@_retried
def log_in(
    *,
    user: AbstractBaseUser,
    client: ClientInfo,
    mint: Callable[[AbstractBaseUser], RefreshToken] = RefreshToken.for_user,
) -> TokenPair:
    """Begin a token login of a user who has proved who they are.

    ``mint`` makes the refresh token, with whatever claims of its own a host wants to add.
    """
    with transaction.atomic(using=_database()):
        version = TokenVersion.objects.lock(user).version
        refresh = mint(user)
        _begin(user=user, refresh=refresh, version=version, client=client)
    return TokenPair(access=refresh.access_token, refresh=refresh)


@_retried
def refresh(*, token: RefreshToken, client: ClientInfo) -> TokenPair:
    """Rotate a refresh token: its successor takes its place, and it is worthless from then on.

    A token that plain SimpleJWT minted begins a login of ours. Raises ``TokenRevoked`` if the
    login has ended, or ``TokenReused`` if the token has a successor already.
    """
    login = tokens.find_login(token)
    successor = tokens.rotate(token)
    with transaction.atomic(using=_database()):
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

    Raises ``TokenRevoked`` if its login has ended.
    """
    session = Session.objects.token(token.sid).first() if token.sid else None
    if session is None or not _rotate(session, session.refresh_jti, token):
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


@_retried
def log_out(
    *,
    user: AbstractBaseUser,
    presented: Sequence[AccessToken | RefreshToken],
    scope: LogoutEvent.Scope,
    client: ClientInfo,
    session_key: str = "",
) -> LogoutResult:
    """End logins of a user who asked for it.

    ``presented`` are verified tokens of this user: the first names the login, the others belong
    to the same one. ``session_key`` is that of the user's browser session, where one came along.
    If the login that is named has ended already, nothing changes.
    """
    try:
        with transaction.atomic(using=_database()):
            sessions_ended, tokens_revoked = _ENDINGS[scope](user, presented, session_key)
            if not sessions_ended and not tokens_revoked:
                return UNCHANGED
            event = _record(
                user=user,
                scope=scope,
                session_id=presented[0].sid,
                token_jti=presented[0].jti,
                sessions_ended=sessions_ended,
                tokens_revoked=tokens_revoked,
                client=client,
            )
    except _AlreadyEnded:
        return UNCHANGED
    return LogoutResult(sessions_ended=sessions_ended, tokens_revoked=tokens_revoked, event=event)


def end_browser_session(
    *, user: AbstractBaseUser, session_key: str, client: ClientInfo
) -> LogoutResult:
    """End a browser login whose owner asked for it, as Django's own ``logout()`` does."""
    with transaction.atomic(using=_database()):
        session = (
            Session.objects.of(user).browser(hash_key(session_key)).select_for_update().first()
        )
        if session is None:
            return UNCHANGED
        session.delete()
        event = _record(
            user=user,
            scope=Scope.SESSION,
            session_id=session.sid,
            token_jti="",  # nosec: a browser login has no token
            sessions_ended=1,
            tokens_revoked=0,
            client=client,
        )
    return LogoutResult(sessions_ended=1, tokens_revoked=0, event=event)


def _begin(
    *, user: AbstractBaseUser, refresh: RefreshToken, version: int, client: ClientInfo
) -> None:
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


# What each scope ends: each takes the user, the presented tokens and the key of the browser session
# that came along, and returns how many logins ended and how many tokens were revoked.


def _end_session(
    user: AbstractBaseUser, presented: Sequence[AccessToken | RefreshToken], session_key: str
) -> tuple[int, int]:
    jtis = [token.jti for token in presented]
    ended = _browser(session_key)
    if presented[0].sid is not None:
        # Locked, so that a refresh in flight cannot change which refresh token is the current one.
        session = tokens.named_login(presented[0]).filter(user=user).select_for_update().first()
        if session is None:
            raise _AlreadyEnded
        jtis.append(session.refresh_jti)
        ended |= Q(pk=session.pk)
    sessions_ended, _ = Session.objects.of(user).filter(ended).delete()
    tokens.record(user, *presented)
    tokens_revoked = tokens.blacklist_jtis(*jtis)
    if not tokens_revoked:
        # A token without a row, and a request beside this one was first.
        raise _AlreadyEnded
    return sessions_ended, tokens_revoked


def _end_refresh_tokens(
    user: AbstractBaseUser, presented: Sequence[AccessToken | RefreshToken], session_key: str
) -> tuple[int, int]:
    # The other logins lose their refresh token and run out with their access token. All of the
    # rows are locked by this one statement, in whose wake no refresh in flight can succeed.
    Session.objects.of(user).filter(kind=Session.Kind.TOKEN).update(
        previous_refresh_jti=F("refresh_jti"),
        refresh_jti="",
        expire_date=Least(
            F("expire_date"),
            Value(timezone.now() + AccessToken.lifetime, output_field=DateTimeField()),
        ),
    )
    ended = Q(sid=presented[0].sid) | _browser(session_key)
    sessions_ended = _delete_if_named(user, presented, ended, current_jti="previous_refresh_jti")
    tokens.record(user, *presented)
    return sessions_ended, tokens.blacklist_all(user)


def _end_all(
    user: AbstractBaseUser, presented: Sequence[AccessToken | RefreshToken], session_key: str
) -> tuple[int, int]:
    TokenVersion.objects.raise_version(user)
    sessions_ended = _delete_if_named(user, presented, Q())
    tokens.record(user, *presented)
    return sessions_ended, tokens.blacklist_all(user)


def _end_others(
    user: AbstractBaseUser, presented: Sequence[AccessToken | RefreshToken], session_key: str
) -> tuple[int, int]:
    TokenVersion.objects.lock(user)
    named, keep = presented[0], presented[0].jti
    if named.sid is not None:
        session = tokens.named_login(named).filter(user=user).select_for_update().first()
        if session is None:
            raise _AlreadyEnded
        keep = session.refresh_jti
    elif tokens.is_blacklisted(named):
        raise _AlreadyEnded
    sessions_ended, _ = Session.objects.of(user).exclude(sid=named.sid).delete()
    return sessions_ended, tokens.blacklist_all(user, keep=keep)


_ENDINGS: Final = {
    Scope.SESSION: _end_session,
    Scope.OTHERS: _end_others,
    Scope.REFRESH_TOKENS: _end_refresh_tokens,
    Scope.GLOBAL: _end_all,
}


def _delete_if_named(
    user: AbstractBaseUser,
    presented: Sequence[AccessToken | RefreshToken],
    ended: Q,
    *,
    current_jti: str = "refresh_jti",
) -> int:
    """Delete rows of the user, if the token that asks for it is not revoked."""
    named = presented[0]
    sessions = Session.objects.of(user).filter(ended)
    if named.sid is None:
        if tokens.is_blacklisted(named):
            raise _AlreadyEnded
        return sessions.delete()[0]
    standing = tokens.named_login(named, current_jti=current_jti).filter(user=user)
    sessions_ended, _ = sessions.filter(Exists(standing)).delete()
    if not sessions_ended:
        raise _AlreadyEnded
    return sessions_ended


def _browser(session_key: str) -> Q:
    """Match the browser session that came along, if one did."""
    if not session_key:
        return Q(pk__in=())
    return Q(kind=Session.Kind.BROWSER, session_key=hash_key(session_key))


def _record(
    *,
    user: AbstractBaseUser,
    scope: LogoutEvent.Scope,
    session_id: uuid.UUID | None,
    token_jti: str,
    sessions_ended: int,
    tokens_revoked: int,
    client: ClientInfo,
) -> LogoutEvent:
    event = LogoutEvent.objects.create(
        user=user,
        username=user.get_username(),
        initiator=Initiator.USER,
        reason=Reason.LOGOUT,
        scope=scope,
        session_id=session_id,
        token_jti=token_jti,
        sessions_ended=sessions_ended,
        tokens_revoked=tokens_revoked,
        ip_address=client.ip_address,
        user_agent=client.user_agent,
        request_id=client.request_id,
    )
    # What a receiver does wrong is its own affair, for the login has ended.
    transaction.on_commit(
        lambda: login_ended.send_robust(sender=LogoutEvent, event=event), using=_database()
    )
    return event


def _database() -> str:
    return router.db_for_write(Session)
