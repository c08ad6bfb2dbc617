"""Putting the end of logins on record."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

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
    """Record that logins of one user ended together; nothing if none did."""
    if not sessions_ended and not tokens_revoked:
        return UNCHANGED
    event = _event(user, cause, cause.client or ClientInfo())
    event.scope, event.session_id, event.token_jti = scope, session_id, token_jti
    event.sessions_ended, event.tokens_revoked = sessions_ended, tokens_revoked
    return _record([event])


def record_each(sessions: Iterable[Session], *, cause: Cause) -> LogoutResult:
    """Record the end of each of these logins; of its own device, where no other asked for it."""
    events = []
    for session in sessions:
        if session.user is None:
            raise ValueError("an anonymous session is no login")
        device = ClientInfo(ip_address=session.ip_address, user_agent=session.user_agent)
        event = _event(session.user, cause, cause.client or device)
        event.scope, event.session_id = Scope.SESSION, session.sid
        event.sessions_ended, event.tokens_revoked = 1, int(bool(session.refresh_jti))
        events.append(event)
    return _record(events)


def announce(events: Iterable[LogoutEvent]) -> LogoutResult:
    """Tell of events that were recorded, from the commit on; return what they say."""
    events = tuple(events)
    for event in events:
        # What a receiver does wrong is its own affair, for the login has ended.
        transaction.on_commit(
            lambda event=event: login_ended.send_robust(sender=LogoutEvent, event=event),  # type: ignore[misc] # bound now
            using=database(),
        )
    return LogoutResult(
        sessions_ended=sum(event.sessions_ended for event in events),
        tokens_revoked=sum(event.tokens_revoked for event in events),
        events=events,
    )


def _record(events: list[LogoutEvent]) -> LogoutResult:
    # Not by save(), whose signals the one statement of a usual logout does not send either.
    return announce(LogoutEvent.objects.using(database()).bulk_create(events))


def _event(user: User, cause: Cause, client: ClientInfo) -> LogoutEvent:
    return LogoutEvent(
        # One who is about to be deleted stays on record by name.
        user=None if cause.reason == Reason.USER_DELETED else user,
        # Which need not be text.
        username=str(user.get_username())[:USERNAME_MAX_LENGTH],
        actor=None if cause.actor == user else cause.actor,
        initiator=cause.initiator,
        reason=cause.reason,
        ip_address=client.ip_address,
        user_agent=client.user_agent,
        request_id=client.request_id,
    )
