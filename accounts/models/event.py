"""The record of what ended."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.fields.related_descriptors import ForwardManyToOneDescriptor
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.clients import USER_AGENT_MAX_LENGTH
from accounts.exceptions import AppendOnly
from accounts.models.indexes import TimeIndex
from accounts.models.user import User

USERNAME_MAX_LENGTH: Final = 254
"""Of a name on record, as of an e-mail address; a longer one is cut."""


class AccountIfAny(ForwardManyToOneDescriptor):  # type: ignore[type-arg] # not generic at run time
    """The account of a key; None once it is deleted."""

    def get_object(self, instance: models.Model) -> Any:  # Any: the host's user
        """Return it, if there is one; Django's own raises ``DoesNotExist``."""
        accounts = self.get_queryset(instance=instance)
        return accounts.filter(self.field.get_reverse_related_filter(instance)).first()


class AccountKey(models.ForeignKey[User | None, User | None]):
    """The key of an account, which outlives it: no constraint, and nothing to do when it goes."""

    forward_related_accessor_class = AccountIfAny

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: Django's own arguments
        free = {"on_delete": models.DO_NOTHING, "db_constraint": False, "db_index": False}
        super().__init__(*args, **kwargs | free | {"null": True, "related_name": "+"})


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
    user = AccountKey(settings.AUTH_USER_MODEL, verbose_name=_("user"))
    username = models.CharField(_("username"), max_length=USERNAME_MAX_LENGTH)
    actor = AccountKey(settings.AUTH_USER_MODEL, verbose_name=_("actor"))
    actor_name = models.CharField(_("actor's name"), max_length=USERNAME_MAX_LENGTH, blank=True)
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
        # ``ip_address`` have theirs for the admin's search.
        indexes = [
            # A period: of the chart, of the admin's list, and what is too old to be kept.
            TimeIndex(fields=["occurred_at"], name="drf_logout_event_occurred_at"),
            # The beginning of a name: the admin's search.
            models.Index(
                fields=["username"], opclasses=["varchar_pattern_ops"], name="drf_logout_event_user"
            ),
            # The same of who acted for a user; few events name one.
            models.Index(
                fields=["actor_name"],
                condition=Q(actor_name__gt=""),
                opclasses=["varchar_pattern_ops"],
                name="drf_logout_event_actor",
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
