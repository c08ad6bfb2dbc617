"""The row of a login."""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self

from django.conf import settings
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models, router
from django.db.models import Q
from django.utils import timezone
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from accounts.clients import USER_AGENT_MAX_LENGTH
from accounts.conf import TOUCH_INTERVAL, conf
from accounts.models.event import LogoutEvent
from accounts.models.rows import Part
from accounts.models.user import User

if TYPE_CHECKING:
    from django.contrib.sessions.backends.db import SessionStore

NO_SID: Final = uuid.UUID(int=0)
"""That of no login."""


def hash_key(session_key: str) -> str:
    """Return what is stored of a session key: its SHA-256, in 64 hexadecimal digits.

    A key is 32 random characters, so its hash cannot be searched for it.
    """
    return hashlib.sha256(session_key.encode(errors="replace")).hexdigest()


def database() -> str:
    """Return the alias of the database that the logins are in."""
    return router.db_for_write(Session)


class SessionQuerySet(models.QuerySet["Session"]):
    """What is alive, and whose it is."""

    def primary(self) -> Self:
        """Read where it is written: a replica may not know yet that a login has ended."""
        return self.using(database())

    def alive(self) -> Self:
        """Keep the rows that have not run out."""
        return self.filter(~_run_out())

    def run_out(self) -> Self:
        """Keep the rows that are past one of their limits."""
        return self.filter(_run_out())

    def of(self, user: User) -> Self:
        """Keep one user's logins; a stranger's are simply absent."""
        return self.filter(user=user)

    def browser(self, session_key: str) -> Self:
        """Keep the browser session with this key."""
        return self.filter(kind=Session.Kind.BROWSER, session_key=hash_key(session_key))

    def token(self, sid: uuid.UUID) -> Self:
        """Keep the token login with this ``sid``."""
        return self.filter(kind=Session.Kind.TOKEN, sid=sid)

    def refreshed_by(self, jti: str) -> Self:
        """Keep the login whose refresh token has this id, or had it just now.

        See ``Session.has_just_rotated()``.
        """
        just_rotated = Q(
            previous_refresh_jti=jti, rotated_at__gte=timezone.now() - conf.refresh_grace
        )
        return self.filter(Q(refresh_jti=jti) | just_rotated & ~Q(refresh_jti=""))


def _run_out() -> Q:
    """Match what ``Session.run_out_by`` names a limit of."""
    now = timezone.now()
    run_out = Q(expire_date__lte=now)
    if (idle := conf.idle_timeout) is not None:
        run_out |= Q(last_seen_at__lte=now - idle)
    if (absolute := conf.absolute_timeout) is not None:
        run_out |= Q(authenticated_at__lte=now - absolute)
    return run_out


class Session(AbstractBaseSession):
    """A login, by browser or by token: while the row stands, it is alive.

    ``user`` is null, and the clocks with it, for the session of an anonymous browser.
    """

    class Kind(models.TextChoices):
        BROWSER = "browser", _("browser")
        TOKEN = "token", _("token")

    session_key = models.CharField(_("session key"), max_length=64, primary_key=True)
    # As Django's, but without its index: PostgreSQL could not keep what a refresh writes in place
    # (a HOT update), and pruning reads the table as it lies.
    expire_date = models.DateTimeField(_("expire date"))
    sid = models.UUIDField(_("session id"), default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("user"),
    )
    kind = models.CharField(_("kind"), max_length=7, choices=Kind, default=Kind.BROWSER)
    auth_hash = models.CharField(max_length=128, blank=True, editable=False)
    authenticated_at = models.DateTimeField(_("logged in at"), null=True, blank=True)
    last_seen_at = models.DateTimeField(_("last seen at"), null=True, blank=True)
    reauthenticated_at = models.DateTimeField(_("re-authenticated at"), null=True, blank=True)
    ip_address = models.GenericIPAddressField(_("IP address"), null=True, blank=True)
    user_agent = models.CharField(_("user agent"), max_length=USER_AGENT_MAX_LENGTH, blank=True)
    refresh_jti = models.CharField(max_length=255, blank=True, editable=False)
    previous_refresh_jti = models.CharField(max_length=255, blank=True, editable=False)
    rotated_at = models.DateTimeField(null=True, blank=True, editable=False)

    begins_login = False
    """Whether saving this row lets somebody log in; the session engine sets it."""

    objects = SessionQuerySet.as_manager()  # type: ignore[assignment, misc] # Django's own

    class Meta(AbstractBaseSession.Meta):
        constraints = [
            models.CheckConstraint(
                name="drf_logout_session_token_has_user",
                condition=Q(kind="browser") | Q(user__isnull=False),
            )
        ]
        # None names a column that a request or a refresh writes, so that these stay HOT. The
        # others: the key finds a browser's session, ``sid`` a token's, and ``user`` a user's.
        indexes = [
            # The admin's list, the newest login first. Anonymous sessions are none.
            models.Index(
                fields=["authenticated_at"],
                condition=Q(user__isnull=False),
                name="drf_logout_session_logged_in",
            ),
            # The admin's search: who is logged in from this address?
            models.Index(
                fields=["ip_address"], condition=Q(user__isnull=False), name="drf_logout_session_ip"
            ),
        ]

    def __str__(self) -> str:
        return str(self.sid)

    def save(self, **kwargs: Any) -> None:  # Any: Django's own arguments, passed on
        """Save; the engine's update leaves alone what is not the engine's.

        Django's session engine writes whole rows back. A re-authentication that committed while
        the request ran would be undone.
        """
        if kwargs.get("force_update"):
            kwargs["update_fields"] = kwargs.get("update_fields") or ENGINE_FIELDS
        super().save(**kwargs)
        self.begins_login = False

    @classmethod
    def get_session_store_class(cls) -> type[SessionStore]:
        # Imported when asked: the engine stands above the models.
        store: type[SessionStore] = import_string("accounts.sessions.SessionStore")
        return store

    @classmethod
    def by_sid(cls) -> Part:
        """Return what selects a token login and its user, without the data of the session."""
        rows = cls.objects.token(NO_SID).select_related("user").defer("session_data")
        return rows, cls._meta.get_field("sid"), NO_SID

    def fits(self, user: User) -> bool:
        """Whether the password is still the one of the log-in; by an old ``SECRET_KEY`` too."""
        return (
            self.auth_hash == user.get_session_auth_hash()
            or self.auth_hash in user.get_session_auth_fallback_hash()
        )

    @property
    def expires_at(self) -> datetime:
        """When the login ends if it is not used until then."""
        return min(self._limits().values())

    @property
    def run_out_by(self) -> LogoutEvent.Reason | None:
        """The limit that the login is past; None while it is alive."""
        limits = self._limits()
        first = min(limits, key=lambda reason: limits[reason])
        return first if limits[first] <= timezone.now() else None

    def _limits(self) -> dict[LogoutEvent.Reason, datetime]:
        limits = {LogoutEvent.Reason.EXPIRED: self.expire_date}
        if (idle := conf.idle_timeout) is not None and self.last_seen_at is not None:
            limits[LogoutEvent.Reason.IDLE_TIMEOUT] = self.last_seen_at + idle
        if (end := self.absolute_end) is not None:
            limits[LogoutEvent.Reason.ABSOLUTE_TIMEOUT] = end
        return limits

    @property
    def absolute_end(self) -> datetime | None:
        """When the login ends whatever is done with it; None if there is no such limit."""
        limit = conf.absolute_timeout
        if limit is None or self.authenticated_at is None:
            return None
        return self.authenticated_at + limit

    def has_just_rotated(self, jti: str) -> bool:
        """Whether the refresh token with this id is the one that the current one replaced.

        A client whose answer was lost, or that refreshes from several tabs, comes with it. A login
        that may not be refreshed any more has no current one.
        """
        if not self.refresh_jti or jti != self.previous_refresh_jti or self.rotated_at is None:
            return False
        return timezone.now() - self.rotated_at <= conf.refresh_grace

    @property
    def recently_reauthenticated(self) -> bool:
        """Whether the person has proved, recently enough, that it is still them."""
        marked = self.reauthenticated_at
        return marked is not None and timezone.now() - marked < conf.reauthentication_max_age

    def touch(self) -> None:
        """Note that the login was used, at most once a minute."""
        if now := self._needs_touch():
            type(self).objects.filter(pk=self.pk).update(last_seen_at=now)

    async def atouch(self) -> None:
        """See ``touch()``."""
        if now := self._needs_touch():
            await type(self).objects.filter(pk=self.pk).aupdate(last_seen_at=now)

    def _needs_touch(self) -> datetime | None:
        now = timezone.now()
        if self.last_seen_at is None or now - self.last_seen_at < TOUCH_INTERVAL:
            return None
        self.last_seen_at = now
        return now


ENGINE_FIELDS: Final = (
    *("sid", "session_data", "expire_date", "user", "auth_hash"),
    *("authenticated_at", "last_seen_at", "ip_address", "user_agent"),
)
"""The columns that the session engine may change in a row that exists."""
