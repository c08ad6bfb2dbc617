"""Putting the end of logins on record."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

from django.db import transaction

from accounts.clients import ClientInfo
from accounts.models import USERNAME_MAX_LENGTH, LogoutEvent, Session, User, database
from accounts.signals import login_ended

Initiator = LogoutEvent.Initiator
Reason = LogoutEvent.Reason
Scope = LogoutEvent.Scope


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """Why logins end, and who began it.

    ``actor`` is who did it, when not the user; ``client`` the device that asked for it, if one did.
    """

    reason: Reason = Reason.LOGOUT
    initiator: Initiator = Initiator.USER
    actor: User | None = None
    client: ClientInfo | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LogoutResult:
    """What ended. ``events`` is empty where there was nothing to end, and so nothing to record."""

    sessions_ended: int = 0
    tokens_revoked: int = 0
    events: tuple[LogoutEvent, ...] = ()


UNCHANGED: Final = LogoutResult()


def compose(*, cause: Cause, scope: Scope, device: ClientInfo | None = None) -> LogoutEvent:
    """Return an event that says why, from where and how much; not yet whose, or what, ended.

    ``device`` is whose login ends, for where no client asked for it.
    """
    client = cause.client or device or ClientInfo()
    return LogoutEvent(
        actor=cause.actor,
        actor_name=_name(cause.actor) if cause.actor else "",
        initiator=cause.initiator,
        reason=cause.reason,
        scope=scope,
        ip_address=client.ip_address,
        user_agent=client.user_agent,
        request_id=client.request_id,
    )


def record(
    *,
    user: User,
    scope: Scope,
    cause: Cause,
    sessions_ended: int,
    tokens_revoked: int,
    session_id: uuid.UUID | None = None,
    token_jti: str = "",
) -> LogoutResult:
    """Record that logins of one user ended together; if none did, what an administrator asked."""
    if not sessions_ended and not tokens_revoked and cause.initiator != Initiator.ADMIN:
        return UNCHANGED
    event = compose(cause=cause, scope=scope)
    event.session_id, event.token_jti = session_id, token_jti
    event.sessions_ended, event.tokens_revoked = sessions_ended, tokens_revoked
    return _record([(user, event)])


def record_each(sessions: Iterable[Session], *, cause: Cause | None) -> LogoutResult:
    """Record the end of each of these logins; of its own device, where no other asked for it.

    Without a cause each ended for the limit that it is past.
    """
    events = []
    for session in sessions:
        why = cause or Cause(
            reason=session.run_out_by or Reason.EXPIRED, initiator=Initiator.POLICY
        )
        device = ClientInfo(ip_address=session.ip_address, user_agent=session.user_agent)
        event = compose(cause=why, scope=Scope.SESSION, device=device)
        event.session_id, event.sessions_ended = session.sid, 1
        event.tokens_revoked = int(bool(session.refresh_jti))
        events.append((cast("User", session.user), event))  # an anonymous one is no login
    return _record(events)


def announce(events: Iterable[LogoutEvent]) -> LogoutResult:
    """Tell of events that were recorded, from the commit on; return what they say."""
    events = tuple(events)
    for event in events:
        # What a receiver does wrong is its own affair, for the login has ended.
        tell = partial(login_ended.send_robust, sender=LogoutEvent, event=event)
        transaction.on_commit(tell, using=database())
    return LogoutResult(
        sessions_ended=sum(event.sessions_ended for event in events),
        tokens_revoked=sum(event.tokens_revoked for event in events),
        events=events,
    )


def _record(events: Sequence[tuple[User, LogoutEvent]]) -> LogoutResult:
    for user, event in events:
        if event.reason == Reason.USER_DELETED:
            event.user_id = user.pk  # There is no user by the time that receivers ask.
        else:
            event.user = user
        event.username = _name(user)
        if event.actor == user:
            event.actor, event.actor_name = None, ""
    # Not by save(), whose signals the one statement of a usual logout does not send either.
    rows = [event for _, event in events]
    return announce(LogoutEvent.objects.using(database()).bulk_create(rows))


def _name(user: User) -> str:
    return str(user.get_username())[:USERNAME_MAX_LENGTH]  # which need not be text
