"""The rows: a login, the version of a user's tokens, and the record of what ended."""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import IntegrityError, connections, models, router, transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from accounts.clients import USER_AGENT_MAX_LENGTH, device_name
from accounts.conf import TOUCH_INTERVAL, conf
from accounts.exceptions import AppendOnly

if TYPE_CHECKING:
    # What the type checker takes the host's AUTH_USER_MODEL for.
    from django.contrib.auth.models import User
    from django.contrib.sessions.backends.db import SessionStore
else:
    User = AbstractBaseUser


USERNAME_MAX_LENGTH: Final = 254
"""Of a name on record, as of an e-mail address; a longer one is cut."""


def hash_key(session_key: str) -> str:
    """Return what is stored of a session key: its SHA-256, in 64 hexadecimal digits.

    A key is 32 random characters, so its hash cannot be searched for it.
    """
    return hashlib.sha256(session_key.encode(errors="replace")).hexdigest()


def password_hashes(user: User) -> list[str]:
    """Return the hashes that a login of this user may carry: a changed password ends it.

    With ``SECRET_KEY`` and with each of ``SECRET_KEY_FALLBACKS``, as Django's own sessions do.
    """
    return [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]


class SessionQuerySet(models.QuerySet["Session"]):
    """What is alive, and whose it is."""

    def primary(self) -> Self:
        """Read where it is written: a replica may not know yet that a login has ended."""
        return self.using(router.db_for_write(self.model))

    def alive(self) -> Self:
        """Keep the rows that have not run out."""
        return self.filter(~_run_out())

    def run_out(self) -> Self:
        """Keep the rows that are past one of their limits."""
        return self.filter(_run_out())

    def of(self, user: User) -> Self:
        """Keep one user's logins; a stranger's are simply absent."""
        return self.filter(user=user)

    def browser(self, stored_key: str) -> Self:
        """Keep the browser session with this stored key."""
        return self.filter(kind=Session.Kind.BROWSER, session_key=stored_key)

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
                name="accounts_session_token_has_user",
                condition=Q(kind="browser") | Q(user__isnull=False),
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

    @property
    def device(self) -> str:
        """What a person calls the device: ``"Firefox on Windows"``."""
        return device_name(self.user_agent)

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
    "sid",
    "session_data",
    "expire_date",
    "user",
    "auth_hash",
    "authenticated_at",
    "last_seen_at",
    "ip_address",
    "user_agent",
)
"""The columns that the session engine may change in a row that exists."""


class TokenVersionQuerySet(models.QuerySet["TokenVersion"]):
    """Each user's row is also the lock that log-ins and the end of all logins take turns on."""

    def lock(self, user_id: Any) -> TokenVersion:  # Any: as the host's key is
        """Return the user's row, made if it is missing, locked until the transaction ends.

        With it the user as they are now, whatever was read before the lock.
        """
        features = connections[router.db_for_write(self.model)].features
        of = ("self",) if features.has_select_for_update_of else ()
        rows = self.select_for_update(of=of).select_related("user")
        return rows.get_or_create(user_id=user_id)[0]

    def raise_version(self, user: User) -> None:
        """Make every token of the user, minted until now, worthless; locks as ``lock()`` does."""
        version = self.filter(user=user)
        # A user who was read together with their version may be known to have none.
        known_missing = user._state.fields_cache.get("token_version", user) is None
        if known_missing or not version.update(version=F("version") + 1):
            try:
                with transaction.atomic(using=router.db_for_write(self.model)):
                    self.create(user=user, version=1)
            except IntegrityError:  # made in this very moment
                version.update(version=F("version") + 1)


class TokenVersion(models.Model):
    """The version that a user's tokens have to carry; a token without one has version 0."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        primary_key=True,
        related_name="token_version",
        verbose_name=_("user"),
    )
    version = models.PositiveIntegerField(_("version"), default=0)

    objects = TokenVersionQuerySet.as_manager()

    class Meta:
        verbose_name = _("token version")
        verbose_name_plural = _("token versions")

    def __str__(self) -> str:
        return str(self.version)


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
    username = models.CharField(_("username"), max_length=USERNAME_MAX_LENGTH, db_index=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
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
        indexes = [models.Index(fields=["occurred_at", "id"], name="accounts_event_time")]

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


class Counter(models.Model):
    """One count of ``accounts.counters``, under the key that its reader has made."""

    key = models.CharField(primary_key=True, max_length=250)
    value = models.BigIntegerField()
    expires = models.BigIntegerField(null=True, db_index=True)
    """Seconds since the epoch; None if never."""

    class Meta:
        default_permissions = ()  # nobody works with these rows

    def __str__(self) -> str:
        return f"{self.key}: {self.value}"
