"""Logging out: a user, by a token of theirs, ends this login, the others or all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from django.db import transaction
from django.db.models import Case, DateTimeField, Exists, F, Q, Value, When
from django.db.models.functions import Least
from django.utils import timezone

from accounts import blacklist
from accounts.clients import ClientInfo
from accounts.conf import conf
from accounts.exceptions import ReauthenticationRequired, TokenRevoked, UserInactive
from accounts.logins import named_login, version_of
from accounts.models import Session, TokenVersion, User, database, hash_key
from accounts.services import statements
from accounts.services.endings import AlreadyEnded, delete_others
from accounts.services.login import find_login
from accounts.services.record import UNCHANGED, Cause, LogoutResult, Scope, record
from accounts.services.transactions import retried
from accounts.tokens import AccessToken, LoginToken


@retried
def log_out(
    *,
    proof: LoginToken,
    named: LoginToken | None = None,
    scope: Scope,
    client: ClientInfo,
    session_key: str = "",
) -> LogoutResult:
    """End logins of the user whom a verified token, ``proof``, belongs to.

    ``named``, another verified token of that user, says which login is meant; without it, it is
    that of ``proof``. ``session_key`` is that of the browser session that came along, which ends
    too if it is this user's.

    Nothing changes where the login of either has ended already. Raises
    ``ReauthenticationRequired``, see ``ACCOUNTS["REAUTHENTICATE_TO_END_OTHERS"]``.
    """
    presented = _presented(proof, named or proof)
    end_at_once = partial(statements.end, presented=presented, scope=scope, client=client)
    is_usual = presented[0] is proof and not session_key and statements.are_possible()
    if is_usual and scope is Scope.SESSION and (result := end_at_once()):
        return result
    session = None
    try:
        login = find_login(token=proof)
        user, session = login.user, login.session
    except UserInactive as error:
        user = error.user  # whose logins may end
    except TokenRevoked:
        return UNCHANGED
    try:
        ends_others = scope is not Scope.SESSION or presented[0].sid != proof.sid
        if ends_others and _asks_again(session):
            _require_standing(presented[0], user)
            raise ReauthenticationRequired
        with transaction.atomic(using=database()):
            if is_usual and scope is Scope.REFRESH_TOKENS:
                TokenVersion.objects.lock(user.pk)
                if result := end_at_once():
                    return result
            sessions_ended, tokens_revoked = _ENDINGS[scope](user, presented, session_key)
            return record(
                user=user,
                scope=scope,
                cause=Cause(client=client),
                session_id=presented[0].sid,
                token_jti=presented[0].jti,
                sessions_ended=sessions_ended,
                tokens_revoked=tokens_revoked,
            )
    except AlreadyEnded:
        return UNCHANGED


def _presented(proof: LoginToken, named: LoginToken) -> Sequence[LoginToken]:
    """Return the tokens that are revoked; the first names the login, the others belong to it."""
    if named.sid != proof.sid:
        return [named]
    if named.jti == proof.jti:
        return [proof]
    # Of one login the proof stands for sure: a refresh beside this may have replaced the other.
    return [named, proof] if named.sid is None else [proof, named]


def require_recent_authentication(session: Session | None) -> None:
    """Raise ``ReauthenticationRequired`` for a login that may not end others by the API yet.

    See ``ACCOUNTS["REAUTHENTICATE_TO_END_OTHERS"]`` (ASVS 7.5.2).
    """
    if _asks_again(session):
        raise ReauthenticationRequired


def _asks_again(session: Session | None) -> bool:
    asks = "api" in conf.reauthenticate_to_end_others
    return asks and (session is None or not session.recently_reauthenticated)


def _require_standing(named: LoginToken, user: User) -> None:
    if not _is_standing(named, user):
        raise AlreadyEnded


def _is_standing(token: LoginToken, user: User) -> bool:
    """Whether a user's token names a login that stands; a plain one, whether it is not revoked."""
    if token.sid is not None:
        return named_login(token, user).exists()
    return token.issued_at >= version_of(user) and not blacklist.is_blacklisted(token.jti)


# What each scope ends: each takes the user, the presented tokens and the key of the browser session
# that came along, and returns how many logins ended and how many tokens were revoked.


def _end_session(user: User, presented: Sequence[LoginToken], session_key: str) -> tuple[int, int]:
    named, ended, jtis = presented[0], _browser(session_key), []
    if named.sid is not None:
        # Locked, so that a refresh in flight cannot change which refresh token is the current one.
        session = named_login(named, user).select_for_update().first()
        if session is None:
            raise AlreadyEnded
        jtis.append(session.refresh_jti)
        ended |= Q(pk=session.pk)
    else:
        _require_standing(named, user)
    sessions_ended, _ = Session.objects.of(user).filter(ended).delete()
    tokens_revoked = blacklist.blacklist(user, presented, jtis)
    if not tokens_revoked:
        # A token without a row, and a request beside this one was first.
        raise AlreadyEnded
    return sessions_ended, tokens_revoked


def _end_refresh_tokens(
    user: User, presented: Sequence[LoginToken], session_key: str
) -> tuple[int, int]:
    # The other logins lose their refresh token and run out with their access token. All of the rows
    # are locked by this one statement, and with them the user's version: in its wake no refresh in
    # flight can succeed.
    turn = TokenVersion.objects.select_for_update().filter(user=user)
    sid = presented[0].sid
    Session.objects.of(user).filter(kind=Session.Kind.TOKEN, user__in=turn.values("user")).update(
        # This login keeps what names it until it is deleted.
        refresh_jti=Case(When(sid=sid, then=F("refresh_jti")), default=Value("")),
        expire_date=Least(
            F("expire_date"),
            Value(timezone.now() + AccessToken.lifetime, output_field=DateTimeField()),
        ),
    )
    ended = _browser(session_key)
    if sid is not None:
        ended |= Q(sid=sid)
    else:
        _require_standing(presented[0], user)
    sessions_ended = _delete_if_named(user, presented[0], ended)
    return sessions_ended, blacklist.blacklist_all(user, presented=presented)


def _end_all(user: User, presented: Sequence[LoginToken], session_key: str) -> tuple[int, int]:
    if presented[0].sid is None:
        # Before the version rises, and in turn: it could be the one that has just ended all.
        TokenVersion.objects.lock(user.pk)
        _require_standing(presented[0], user)
    TokenVersion.objects.raise_version(user)
    sessions_ended = _delete_if_named(user, presented[0], Q())
    return sessions_ended, blacklist.blacklist_all(user, presented=presented)


def _end_others(user: User, presented: Sequence[LoginToken], session_key: str) -> tuple[int, int]:
    named = presented[0]
    if named.sid is not None:
        return delete_others(user, named_login(named, user), sid=named.sid)
    TokenVersion.objects.lock(user.pk)
    _require_standing(named, user)
    sessions_ended, _ = Session.objects.of(user).delete()
    return sessions_ended, blacklist.blacklist_all(user, keep=[named.jti])


_ENDINGS: Final = {
    Scope.SESSION: _end_session,
    Scope.OTHERS: _end_others,
    Scope.REFRESH_TOKENS: _end_refresh_tokens,
    Scope.GLOBAL: _end_all,
}


def _delete_if_named(user: User, named: LoginToken, ended: Q) -> int:
    """Delete rows of the user, if the login that asks for it stands."""
    sessions = Session.objects.of(user).filter(ended)
    if named.sid is None:
        return sessions.delete()[0]
    sessions_ended, _ = sessions.filter(Exists(named_login(named, user))).delete()
    if not sessions_ended:
        raise AlreadyEnded
    return sessions_ended


def _browser(session_key: str) -> Q:
    """Match the browser session that came along, if one did."""
    if not session_key:
        return Q(pk__in=())
    return Q(kind=Session.Kind.BROWSER, session_key=hash_key(session_key))
