"""Putting the end of logins on record."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from django.db import transaction

from accounts import verdicts
from accounts.clients import ClientInfo
from accounts.models import USERNAME_MAX_LENGTH, LogoutEvent, Session, User
from accounts.services import chains
from accounts.services.transactions import database
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
    claim: chains.Claim | None = None,
) -> LogoutResult:
    """Record that logins of one user ended together; in a place that was claimed for it."""
    event = compose(
        user=user,
        scope=scope,
        cause=cause,
        session_id=session_id,
        token_jti=token_jti,
        sessions_ended=sessions_ended,
    )
    event.tokens_revoked = tokens_revoked
    # One transaction, if none is open, for the place in the chain and the entry that takes it.
    with transaction.atomic(using=database(), savepoint=False):
        chains.prove([event], claim=claim)
        event.save()
    return announce(event)


def announce(event: LogoutEvent) -> LogoutResult:
    """Tell of an event that was recorded, from the commit on; return what it says."""
    _announce([event])
    return LogoutResult(
        sessions_ended=event.sessions_ended, tokens_revoked=event.tokens_revoked, events=(event,)
    )


def compose(
    *,
    user: User,
    scope: Scope,
    cause: Cause,
    session_id: uuid.UUID | None,
    token_jti: str,
    sessions_ended: int,
) -> LogoutEvent:
    """Return an event that says so, but for the tokens; it is not recorded yet."""
    event = _event(user, cause, cause.client or ClientInfo())
    event.scope = scope
    event.session_id = session_id
    event.token_jti = token_jti
    event.sessions_ended = sessions_ended
    return event


def record_each(sessions: Iterable[Session], *, cause: Cause) -> tuple[LogoutEvent, ...]:
    """Record the end of each of these logins; of its own device, where no other asked for it."""
    events = []
    for session in sessions:
        if session.user is None:
            raise ValueError("an anonymous session is no login")
        device = ClientInfo(ip_address=session.ip_address, user_agent=session.user_agent)
        event = _event(session.user, cause, cause.client or device)
        event.scope = Scope.SESSION
        event.session_id = session.sid
        event.sessions_ended = 1
        event.tokens_revoked = int(bool(session.refresh_jti))
        events.append(event)
    with transaction.atomic(using=database(), savepoint=False):
        chains.prove(events)
        LogoutEvent.objects.bulk_create(events)
    _announce(events)
    return tuple(events)


def _event(user: User, cause: Cause, client: ClientInfo) -> LogoutEvent:
    return LogoutEvent(
        # One who is about to be deleted stays on record by name.
        user=None if cause.reason == Reason.USER_DELETED else user,
        username=user.get_username()[:USERNAME_MAX_LENGTH],
        actor=None if cause.actor == user else cause.actor,
        initiator=cause.initiator,
        reason=cause.reason,
        ip_address=client.ip_address,
        user_agent=client.user_agent,
        request_id=client.request_id,
    )


def _announce(events: Sequence[LogoutEvent]) -> None:
    verdicts.forget(*[event.user for event in events if event.user is not None])
    # What a receiver does wrong is its own affair, for the login has ended.
    for event in events:
        transaction.on_commit(
            lambda event=event: login_ended.send_robust(sender=LogoutEvent, event=event),  # type: ignore[misc] # bound now
            using=database(),
        )
