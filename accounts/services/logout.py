"""Logging out: ending logins, and recording that they ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.db import transaction
from django.db.models import Case, DateTimeField, Exists, F, OuterRef, Q, Value, When
from django.db.models.functions import Least
from django.utils import timezone

from accounts import tokens, verdicts
from accounts.clients import ClientInfo
from accounts.models import Session, TokenVersion, User, hash_key
from accounts.services import postgresql, statement
from accounts.services.endings import AlreadyEnded, delete_others, end_sessions
from accounts.services.postgresql import Ended
from accounts.services.recording import (
    UNCHANGED,
    Cause,
    LogoutResult,
    Scope,
    announce,
    compose,
    record,
)
from accounts.services.transactions import database, retried
from accounts.tokens import AccessToken, LoginToken


@retried
def log_out(
    *,
    user: User,
    presented: Sequence[LoginToken],
    scope: Scope,
    client: ClientInfo,
    session: Session | None = None,
    session_key: str = "",
) -> LogoutResult:
    """End logins of a user who asked for it.

    ``presented`` are verified tokens of this user: the first names the login, the others belong
    to the same one, as far as plain SimpleJWT's tell. ``session`` is the row of that login, where
    it has just been found alive; ``session_key`` that of the user's browser session, where one came
    along. If the login that is named has ended already, nothing changes.
    """
    named = presented[0]
    alone = scope is Scope.SESSION and not session_key
    if session and alone and (result := _end_alone(user, session, presented, client)):
        return result
    try:
        with transaction.atomic(using=database()):
            if named.sid is not None and postgresql.can_end():
                ended = _end_at_once(user, presented, scope, session, session_key)
            else:
                ended = Ended(*_ENDINGS[scope](user, presented, session_key))
            if not ended.sessions and not ended.tokens:
                verdicts.forget(user)
                return UNCHANGED
            return record(
                user=user,
                scope=scope,
                cause=Cause(client=client),
                session_id=named.sid,
                token_jti=named.jti,
                sessions_ended=ended.sessions,
                tokens_revoked=ended.tokens,
                claim=ended.claim,
            )
    except AlreadyEnded:
        verdicts.forget(user)  # who ended it may be about to
        return UNCHANGED


def _end_alone(
    user: User, session: Session, presented: Sequence[LoginToken], client: ClientInfo
) -> LogoutResult | None:
    """End a login in one statement, which is all that the most usual logout takes."""
    if not postgresql.can_end() or not statement.is_possible():
        return None
    event = compose(
        user=user,
        scope=Scope.SESSION,
        cause=Cause(client=client),
        session_id=session.sid,
        token_jti=presented[0].jti,
        sessions_ended=1,
    )
    ended = statement.end(user=user, session=session, presented=presented, event=event)
    return announce(event) if ended else None


def _end_at_once(
    user: User,
    presented: Sequence[LoginToken],
    scope: Scope,
    session: Session | None,
    session_key: str,
) -> Ended:
    # In a statement of its own: the next one has to see the log-in that this one waits for.
    if scope is Scope.GLOBAL:
        TokenVersion.objects.raise_version(user)
    elif scope is not Scope.SESSION:
        TokenVersion.objects.lock(user.pk)
    ended = postgresql.end(
        user=user, presented=presented, scope=scope, session=session, session_key=session_key
    )
    if ended is None:
        raise AlreadyEnded
    return ended


def end_browser_session(*, user: User, session_key: str, client: ClientInfo) -> LogoutResult:
    """End a browser login whose owner asked for it, as Django's own ``logout()`` does."""
    return end_sessions(
        sessions=Session.objects.of(user).browser(hash_key(session_key)),
        cause=Cause(client=client),
    )


# What each scope ends: each takes the user, the presented tokens and the key of the browser session
# that came along, and returns how many logins ended and how many tokens were revoked.


def _end_session(user: User, presented: Sequence[LoginToken], session_key: str) -> tuple[int, int]:
    jtis = []
    ended = _browser(session_key)
    if presented[0].sid is None:
        if tokens.is_blacklisted(presented[0]):
            raise AlreadyEnded
    else:
        # Locked, so that a refresh in flight cannot change which refresh token is the current one.
        session = tokens.named_login(presented[0], user).select_for_update().first()
        if session is None:
            raise AlreadyEnded
        jtis.append(session.refresh_jti)
        ended |= Q(pk=session.pk)
    sessions_ended, _ = Session.objects.of(user).filter(ended).delete()
    tokens_revoked = tokens.blacklist(user, presented, *jtis)
    if not tokens_revoked:
        # A token without a row, and a request beside this one was first.
        raise AlreadyEnded
    return sessions_ended, tokens_revoked


def _end_refresh_tokens(
    user: User, presented: Sequence[LoginToken], session_key: str
) -> tuple[int, int]:
    # The other logins lose their refresh token and run out with their access token; one whose
    # refresh token is blacklisted has ended already. All of the rows are locked by this one
    # statement, and with them the user's version: in its wake no refresh in flight can succeed.
    turn = TokenVersion.objects.select_for_update().filter(user=user)
    sid = presented[0].sid
    Session.objects.of(user).filter(
        ~tokens.blacklisted(OuterRef("refresh_jti")),
        kind=Session.Kind.TOKEN,
        user__in=turn.values("user"),
    ).update(
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
    sessions_ended = _delete_if_named(user, presented, ended)
    return sessions_ended, tokens.blacklist_all(user, presented=presented)


def _end_all(user: User, presented: Sequence[LoginToken], session_key: str) -> tuple[int, int]:
    TokenVersion.objects.raise_version(user)
    sessions_ended = _delete_if_named(user, presented, Q())
    return sessions_ended, tokens.blacklist_all(user, presented=presented)


def _end_others(user: User, presented: Sequence[LoginToken], session_key: str) -> tuple[int, int]:
    named = presented[0]
    if named.sid is not None:
        return delete_others(user, tokens.named_login(named, user), sid=named.sid)
    TokenVersion.objects.lock(user.pk)
    sessions_ended, _ = Session.objects.of(user).filter(~tokens.blacklisted(named.jti)).delete()
    if not sessions_ended and tokens.is_blacklisted(named):
        raise AlreadyEnded
    return sessions_ended, tokens.blacklist_all(user, keep=[named.jti])


_ENDINGS: Final = {
    Scope.SESSION: _end_session,
    Scope.OTHERS: _end_others,
    Scope.REFRESH_TOKENS: _end_refresh_tokens,
    Scope.GLOBAL: _end_all,
}


def _delete_if_named(user: User, presented: Sequence[LoginToken], ended: Q) -> int:
    """Delete rows of the user, if the token that asks for it is not revoked."""
    named = presented[0]
    sessions = Session.objects.of(user).filter(ended)
    if named.sid is None:
        if tokens.is_blacklisted(named):
            raise AlreadyEnded
        return sessions.delete()[0]
    standing = tokens.named_login(named, user)
    sessions_ended, _ = sessions.filter(Exists(standing)).delete()
    if not sessions_ended:
        raise AlreadyEnded
    return sessions_ended


def _browser(session_key: str) -> Q:
    """Match the browser session that came along, if one did."""
    if not session_key:
        return Q(pk__in=())
    return Q(kind=Session.Kind.BROWSER, session_key=hash_key(session_key))
