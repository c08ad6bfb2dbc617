"""What happens outside of this app, handed to a service."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from functools import partial
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import transaction
from django.db.models.signals import post_save, pre_delete, pre_save
from django.dispatch import receiver
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from accounts import audit, services, tokens
from accounts.clients import ClientInfo
from accounts.exceptions import TokenError as AccountsTokenError
from accounts.logins import may_be_recorded
from accounts.models import LogoutEvent, Session, User
from accounts.services import Reason
from accounts.sessions import SessionStore
from accounts.signals import login_ended

# Any: Django passes its signals' own arguments along.


@receiver(pre_save, sender=OutstandingToken)
def on_outstanding_token(instance: OutstandingToken, **kwargs: Any) -> None:
    """Keep no raw token, and none that would outlive the login that it is of.

    Raises SimpleJWT's ``TokenError``, which its views answer with 401.
    """
    if _sid(instance) is not None:
        return
    raw, instance.token = instance.token, ""
    try:
        token = tokens.decode(raw)
    except AccountsTokenError:
        return
    if isinstance(token, tokens.AccessToken):
        # Should it be blacklisted, nothing else leads from its row to its login.
        instance.token = str(token.sid or "")
    elif not may_be_recorded(token):
        raise TokenError("Token is blacklisted")


@receiver(post_save, sender=BlacklistedToken)
def on_token_blacklisted(instance: BlacklistedToken, **kwargs: Any) -> None:
    """End the login of a token that the host, or SimpleJWT's own code, revokes."""
    token = instance.token
    end = partial(services.token_blacklisted, user_id=token.user_id, jti=token.jti, sid=_sid(token))
    # At once, it could wait for a refresh that waits for the row of this very token.
    transaction.on_commit(end, using=services.database())


def _sid(outstanding: OutstandingToken) -> uuid.UUID | None:
    """Return the login that a recorded access token is of."""
    try:
        return uuid.UUID(outstanding.token)
    except ValueError:
        return None


@receiver(pre_save, sender=Session)
def on_session_saved(instance: Session, **kwargs: Any) -> None:
    """Let a browser's login begin as a token's does; the engine has a transaction open."""
    if instance.begins_login:
        services.make_room(user_id=instance.user_id, session_key=instance.session_key)


def on_user_saved(
    instance: User,
    *,
    created: bool,
    raw: bool,
    update_fields: Collection[str] | None = None,
    **kwargs: Any,
) -> None:
    """End the logins that a new password, or a deactivation, ends."""
    if created or raw:
        return

    def is_saved(field: str) -> bool:
        return update_fields is None or field in update_fields

    # What Django's own hook, a validator's password_changed(), is called for: a renewed hash of
    # the same password is not one.
    if is_saved("password") and instance._password is not None:  # type: ignore[attr-defined]  # noqa: SLF001 # Django's
        services.password_changed(user=instance)
    elif is_saved("password") and not instance.has_usable_password():
        services.password_disabled(user=instance)
    if is_saved("is_active") and not instance.is_active:
        services.user_deactivated(user=instance)


def on_user_deleted(instance: User, **kwargs: Any) -> None:
    """End the logins of a user who goes."""
    services.user_deleted(user=instance)


def connect_users() -> None:
    """Listen to the user model, and to its proxies and children, whose signals are their own."""
    for model in apps.get_models():
        if issubclass(model, get_user_model()):
            post_save.connect(on_user_saved, sender=model)
            pre_delete.connect(on_user_deleted, sender=model)


@receiver(user_logged_in)
def on_user_logged_in(request: HttpRequest | None, user: User, **kwargs: Any) -> None:
    """Tell a browser's session whose browser it is."""
    if request is None or audit.is_taken_over(request):
        return
    client = ClientInfo.from_request(request)
    session = getattr(request, "session", None)
    if isinstance(session, SessionStore):
        session.logged_in = client
        if session.login is not None:
            # Django gives a session that was anonymous a new key, but not one of the same user.
            session.cycle_key()
    _log(audit.Event.LOGIN_SUCCESS, action="login", reason="password", client=client, user=user)


@receiver(user_login_failed)
def on_user_login_failed(request: HttpRequest | None = None, **kwargs: Any) -> None:
    """Log who could not log in; the name that was tried may be a password, so it is left out."""
    # What is handed to authenticate() need not be a request at all.
    if isinstance(request, HttpRequest | Request):
        event = audit.Event.LOGIN_FAIL
        audit.log_refusal(request, event, action="login", reason="credentials")


@receiver(user_logged_out)
def on_user_logged_out(request: HttpRequest | None, user: User | None, **kwargs: Any) -> None:
    """Record what Django's own ``logout()`` ends."""
    if request is None or user is None or audit.is_taken_over(request):
        return
    session = getattr(request, "session", None)
    if not isinstance(session, SessionStore) or not session.session_key:
        return
    client = ClientInfo.from_request(request)
    result = services.end_browser_session(user=user, session_key=session.session_key, client=client)
    session.ended = True
    for ended in result.events:
        _log(
            audit.Event.SESSION_LOGOUT,
            action="logout",
            reason="logout",
            client=client,
            user=user,
            session_id=ended.session_id,
        )


def _log(event: audit.Event, *, user: User, **said: Any) -> None:
    """Log what a page of the host does, once that has committed; its answer is not known here."""
    log = partial(audit.log, event, user_id=user.pk, **said)
    transaction.on_commit(log, using=services.database())


@receiver(login_ended)
def on_login_ended(event: LogoutEvent, **kwargs: Any) -> None:
    """Log what ended though its user did not ask for it."""
    if event.initiator == LogoutEvent.Initiator.USER:
        return  # The page or endpoint that was asked logs it, with its answer.
    expired = event.reason in {Reason.EXPIRED, Reason.IDLE_TIMEOUT, Reason.ABSOLUTE_TIMEOUT}
    client = ClientInfo(
        ip_address=event.ip_address, user_agent=event.user_agent, request_id=event.request_id
    )
    audit.log(
        audit.Event.SESSION_EXPIRED if expired else audit.Event.SESSION_LOGOUT,
        action="end_session",
        reason=event.reason,
        client=client,
        user_id=event.user_id,
        session_id=event.session_id,
    )
