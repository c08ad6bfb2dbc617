"""Ending logins by their rows: because their user, an administrator or a rule says so."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Exists, Prefetch, Q, QuerySet

from accounts import blacklist
from accounts.clients import ClientInfo
from accounts.conf import conf
from accounts.exceptions import CredentialsChanged, LoginRunOut, TokenReused
from accounts.models import Session, SessionQuerySet, TokenVersion, User, database, password_hashes
from accounts.services.record import (
    UNCHANGED,
    Cause,
    Initiator,
    LogoutResult,
    Reason,
    Scope,
    record,
    record_each,
)
from accounts.services.transactions import after_request, retried


class AlreadyEnded(Exception):
    """The login that asks turned out to have ended."""


@retried
def end_sessions(*, sessions: SessionQuerySet, cause: Cause | None) -> LogoutResult:
    """End these logins, of whatever users; each is on record for itself.

    Without a cause each ends for the limit that it is past.
    """
    with transaction.atomic(using=database()):
        ended = list(
            sessions.using(database())
            .filter(user__isnull=False)
            # What a list has joined to its rows is not to be locked.
            .select_related(None)
            .select_for_update()
            .order_by("pk")
            .defer("session_data")
            .prefetch_related(Prefetch("user", _users()))
        )
        if not ended:
            return UNCHANGED
        Session.objects.filter(pk__in=[session.pk for session in ended]).delete()
        blacklist.blacklist_jtis(*[session.refresh_jti for session in ended])
        return record_each(ended, cause=cause)


@retried
def end_others(*, keep: Session, cause: Cause) -> LogoutResult:
    """End all logins of a login's user but that one. If it has ended itself, nothing changes."""
    if (user := keep.user) is None:
        raise ValueError("an anonymous session is no login")
    this = Session.objects.primary().of(user).filter(pk=keep.pk)
    try:
        with transaction.atomic(using=database()):
            sessions_ended, tokens_revoked = delete_others(user, this, sid=keep.sid)
            return record(
                user=user,
                scope=Scope.OTHERS,
                cause=cause,
                session_id=keep.sid,
                sessions_ended=sessions_ended,
                tokens_revoked=tokens_revoked,
            )
    except AlreadyEnded:
        return UNCHANGED


def delete_others(user: User, this: QuerySet[Session], *, sid: uuid.UUID) -> tuple[int, int]:
    """Delete all rows of a user but this one, of this ``sid``, and revoke their tokens.

    Returns how many logins ended, and how many tokens were revoked. Raises ``AlreadyEnded``.
    """
    TokenVersion.objects.lock(user.pk)
    # Not locked: the rows of a user are locked in one order only, that of a single statement.
    others = Session.objects.of(user).exclude(sid=sid).filter(Exists(this))
    sessions_ended, _ = others.delete()
    if not sessions_ended and not this.exists():
        raise AlreadyEnded
    # Read anew, for a refresh beside this may have rotated it.
    return sessions_ended, blacklist.blacklist_all(user, keep=this.values("refresh_jti"))


@retried
def end_all(*, user: User, cause: Cause) -> LogoutResult:
    """End every login of a user, and make every token of theirs worthless."""
    with transaction.atomic(using=database()):
        TokenVersion.objects.raise_version(user)
        sessions_ended, _ = Session.objects.of(user).delete()
        return record(
            user=user,
            scope=Scope.GLOBAL,
            cause=cause,
            sessions_ended=sessions_ended,
            tokens_revoked=blacklist.blacklist_all(user),
        )


@retried
def secure_account(*, user: User, cause: Cause) -> LogoutResult:
    """End every login of a user whose account somebody else got into.

    The password that is known to others becomes worthless: the user sets a new one by Django's
    password reset, or an administrator does.
    """
    with transaction.atomic(using=database()):
        result = end_all(user=user, cause=cause)
        if user.has_usable_password():
            # Not an unusable one, which Django's password reset would pass over.
            user.set_password(secrets.token_urlsafe(32))
            user.save(update_fields=["password"])
    return result


def end_browser_session(*, user: User, session_key: str, client: ClientInfo) -> LogoutResult:
    """End a browser login whose owner asked for it, as Django's own ``logout()`` does."""
    return end_sessions(
        sessions=Session.objects.of(user).browser(session_key), cause=Cause(client=client)
    )


def run_out(*, session: Session) -> LogoutResult:
    """Record that a login was found to be past one of its limits: once, whoever else finds it."""
    # Asked again: a use beside this one may just have kept it alive.
    return end_sessions(sessions=Session.objects.run_out().filter(pk=session.pk), cause=None)


def end_reused(*, session: Session) -> LogoutResult:
    """End a login whose replaced refresh token was used again: somebody may have stolen it."""
    return end_sessions(
        sessions=Session.objects.filter(pk=session.pk),
        cause=Cause(reason=Reason.TOKEN_REUSED, initiator=Initiator.POLICY),
    )


def token_blacklisted(*, user_id: Any, jti: str, sid: uuid.UUID | None) -> LogoutResult:
    """End the login of a token that code which knows nothing but SimpleJWT has blacklisted.

    ``sid`` is that of the token, where it is known; a refresh token is found by its id.
    """
    of_user = Session.objects.filter(user=user_id)  # which no index of the ids could replace
    return end_sessions(
        sessions=Session.objects.token(sid)
        if sid
        else of_user.filter(Q(refresh_jti=jti) | Q(previous_refresh_jti=jti)),
        cause=Cause(reason=Reason.REVOKED, initiator=Initiator.SYSTEM),
    )


def discard(*, session: Session) -> LogoutResult:
    """End a login that is refused, or thrown away, for its password is not the user's any more.

    Django also throws a browser's session away when another user logs in in the same browser.
    """
    sessions = Session.objects.filter(pk=session.pk)
    user = _read_again(session.user_id)
    if user is None or session.auth_hash in password_hashes(user):
        cause = Cause(reason=Reason.DISCARDED, initiator=Initiator.SYSTEM)
    else:
        # Unless the login has meanwhile turned out to be the one that changed it.
        sessions = sessions.filter(auth_hash=session.auth_hash)
        cause = Cause(reason=Reason.PASSWORD_CHANGED, initiator=Initiator.POLICY)
    return end_sessions(sessions=sessions, cause=cause)


OF: Final[Mapping[str, Callable[..., LogoutResult]]] = {
    LoginRunOut.code: run_out,
    TokenReused.code: end_reused,
    CredentialsChanged.code: discard,
}
"""How a login is ended that is over, by the code of the error that says so."""


def end_outdated(*, user: User) -> LogoutResult:
    """End the logins that began with another password than the user has now."""
    if (current := _read_again(user.pk)) is None:
        return UNCHANGED
    return end_sessions(
        sessions=Session.objects.of(current).exclude(auth_hash__in=password_hashes(current)),
        cause=Cause(reason=Reason.PASSWORD_CHANGED, initiator=Initiator.POLICY),
    )


def _read_again(user_id: Any) -> User | None:  # Any: as the host's key is
    return _users().filter(pk=user_id).first()


def _users() -> QuerySet[User]:
    """Return the users where they are written: a replica may not know them yet."""
    return get_user_model()._base_manager.using(database())  # noqa: SLF001 - as documented


@retried
def password_changed(*, user: User) -> None:
    """End the other logins of a user who has just got a new password.

    From the commit on they are refused. They are ended after the request, for only then it is
    known which login changed the password and stays (see Django's ``update_session_auth_hash()``,
    and ``keep_session()``).
    """
    with transaction.atomic(using=database()):
        standing = Session.objects.of(user).values("refresh_jti")
        # Of logins without a row, which hold no hash of the password.
        record(
            user=user,
            scope=Scope.OTHERS,
            cause=Cause(reason=Reason.PASSWORD_CHANGED, initiator=Initiator.POLICY),
            sessions_ended=0,
            tokens_revoked=blacklist.blacklist_all(user, keep=standing),
        )
    password_disabled(user=user)


def password_disabled(*, user: User) -> None:
    """End the logins of a user who may just have lost the password that they began with."""

    def end() -> None:
        after_request(partial(end_outdated, user=user))

    # Not to fail what has been committed: the outdated logins are refused all the same.
    transaction.on_commit(end, using=database(), robust=True)


def keep_session(*, session: Session | None, user: User) -> None:
    """Let a login outlive the change of its user's password that it has just made.

    What Django's ``update_session_auth_hash()`` is for a browser, for a token login
    (``request.auth.session``; None for a plain SimpleJWT token, which no password ends).
    """
    if session is not None:
        auth_hash = user.get_session_auth_hash()
        Session.objects.of(user).filter(pk=session.pk).update(auth_hash=auth_hash)


@retried
def user_deactivated(*, user: User) -> LogoutResult:
    """End every login of a user who may not log in any more, if there is one."""
    with transaction.atomic(using=database()):
        if TokenVersion.objects.lock(user.pk).user.is_active:
            return UNCHANGED
        ended = _end_everything(user, Reason.USER_DEACTIVATED)
        if ended.events:
            TokenVersion.objects.raise_version(user)
    return ended


@retried
def user_deleted(*, user: User) -> LogoutResult:
    """End every login of a user who is about to be deleted, if there is one."""
    with transaction.atomic(using=database()):
        TokenVersion.objects.lock(user.pk)
        return _end_everything(user, Reason.USER_DELETED)


def _end_everything(user: User, reason: Reason) -> LogoutResult:
    sessions_ended, _ = Session.objects.of(user).delete()
    return record(
        user=user,
        scope=Scope.GLOBAL,
        cause=Cause(reason=reason, initiator=Initiator.POLICY),
        sessions_ended=sessions_ended,
        tokens_revoked=blacklist.blacklist_all(user),
    )


def make_room(
    *,
    user_id: Any,  # Any: as the host's key is
    session_key: str,
) -> TokenVersion:
    """Let a login begin: in its turn, and in place of the oldest where there would be too many.

    ``session_key`` is the stored one of the login that begins. Called in the transaction that
    begins it; returns the user's version, locked.
    """
    version = TokenVersion.objects.lock(user_id)
    if (limit := conf.max_sessions) is not None:
        others = Session.objects.primary().filter(~Q(pk=session_key), user=user_id)
        newest_first = others.alive().order_by("-authenticated_at", "-sid")
        surplus = list(newest_first.values_list("pk", flat=True)[limit - 1 :])
        if surplus:
            end_sessions(
                sessions=Session.objects.filter(pk__in=surplus),
                cause=Cause(reason=Reason.MAX_SESSIONS, initiator=Initiator.POLICY),
            )
    return version
