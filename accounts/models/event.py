"""The record of what ended."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.clients import USER_AGENT_MAX_LENGTH
from accounts.exceptions import AppendOnly
from accounts.models.indexes import TimeIndex

USERNAME_MAX_LENGTH: Final = 254
"""Of a name on record, as of an e-mail address; a longer one is cut."""


class LogoutEventQuerySet(models.QuerySet["LogoutEvent"]):
    """The record: rows are added and read."""

    def update(self, **kwargs: Any) -> int:  # Any: Django's own signature
        """Refuse: what is on record stays as it was recorded."""
        raise AppendOnly

    def delete(self) -> tuple[int, dict[str, int]]:
        """Refuse: what is on record stays."""
        raise AppendOnly

    def bulk_create(self, *args: Any, **kwargs: Any) -> list[LogoutEvent]:  # Any: as above
        """Record events; a recorded one cannot be written over."""
        if kwargs.get("update_conflicts"):
            raise AppendOnly
        return super().bulk_create(*args, **kwargs)


class LogoutEvent(models.Model):
    """One end of one or more logins, as it was recorded with the change itself."""

    class Scope(models.TextChoices):
        """What ends: this login, all but this one, this one with all refresh tokens, or all."""

        SESSION = "session", _("this login")
        OTHERS = "others", _("other logins")
        REFRESH_TOKENS = "refresh_tokens", _("refresh tokens")
        GLOBAL = "global", _("all logins")

    class Initiator(models.TextChoices):
        """Who began it; the values of CAEP's ``initiating_entity``."""

        USER = "user", _("user")
        ADMIN = "admin", _("administrator")
        POLICY = "policy", _("policy")
        SYSTEM = "system", _("system")

    class Reason(models.TextChoices):
        """Why logins ended."""

        LOGOUT = "logout", _("logged out")
        EXPIRED = "expired", _("expired")
        IDLE_TIMEOUT = "idle_timeout", _("unused for too long")
        ABSOLUTE_TIMEOUT = "absolute_timeout", _("lasted too long")
        MAX_SESSIONS = "max_sessions", _("too many logins")
        DISCARDED = "discarded", _("browser session discarded")
        PASSWORD_CHANGED = "password_changed", _("password changed")
        USER_DEACTIVATED = "user_deactivated", _("user deactivated")
        USER_DELETED = "user_deleted", _("user deleted")
        TOKEN_REUSED = "token_reused", _("refresh token used again")
        REVOKED = "revoked", _("token revoked by other code")
        COMPROMISED = "compromised", _("account compromised")
        ADMINISTRATIVE = "administrative", _("ended by an administrator")

    occurred_at = models.DateTimeField(_("time"), default=timezone.now)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("user"),
    )
    username = models.CharField(_("username"), max_length=USERNAME_MAX_LENGTH)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        db_index=False,
        related_name="+",
        verbose_name=_("actor"),
    )
    initiator = models.CharField(_("initiator"), max_length=6, choices=Initiator)
    reason = models.CharField(_("reason"), max_length=32, choices=Reason)
    scope = models.CharField(_("scope"), max_length=14, choices=Scope)
    session_id = models.UUIDField(_("session id"), null=True, db_index=True)
    token_jti = models.CharField(_("token id"), max_length=255, blank=True)
    sessions_ended = models.PositiveIntegerField(_("sessions ended"))
    tokens_revoked = models.PositiveIntegerField(_("tokens revoked"))
    ip_address = models.GenericIPAddressField(_("IP address"), null=True, db_index=True)
    user_agent = models.CharField(_("user agent"), max_length=USER_AGENT_MAX_LENGTH, blank=True)
    request_id = models.CharField(_("request id"), max_length=64, blank=True)
    objects = LogoutEventQuerySet.as_manager()

    class Meta:
        verbose_name = _("logout event")
        verbose_name_plural = _("logout events")
        # The key is the order of the admin's list and of the exported file. ``session_id`` and
        # ``ip_address`` have theirs for the admin's search, ``user`` for when a user is deleted.
        indexes = [
            # A period: of the chart, of the admin's list, and what is too old to be kept.
            TimeIndex(
                fields=["occurred_at"], autosummarize=True, name="drf_logout_event_occurred_at"
            ),
            # The beginning of a name: the admin's search.
            models.Index(
                fields=["username"], opclasses=["varchar_pattern_ops"], name="drf_logout_event_user"
            ),
            # Whom a deleted user acted for; few events have an actor.
            models.Index(
                fields=["actor"], condition=Q(actor__isnull=False), name="drf_logout_event_actor"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.username} {self.occurred_at:%Y-%m-%d %H:%M:%S}"

    def save(self, **kwargs: Any) -> None:  # Any: Django's own arguments, passed on
        """Record the event; a recorded one cannot be saved again."""
        if not self._state.adding:
            raise AppendOnly
        super().save(**{**kwargs, "force_insert": True})

    def delete(self, using: Any = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
        """Refuse: what is on record stays."""
        raise AppendOnly
