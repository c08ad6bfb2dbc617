"""The services that ask about tokens, or revoke them."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from functools import cache

from django.db import models
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext_lazy as _

from accounts.conf import TOUCH_INTERVAL
from accounts.models.rows import Select
from accounts.models.session import NO_SID, Session, database


class Client(models.Model):
    """A registered client (RFC 6749 §2): another service, which authenticates by a secret.

    A new secret takes nothing from the one before: both count, until there is another new one.
    """

    client_id = models.SlugField(_("client id"), max_length=100, db_index=False)
    secret = models.CharField(max_length=64, editable=False)
    """The SHA-256 of 256 random bits, in hexadecimal digits."""
    previous_secret = models.CharField(max_length=64, editable=False, blank=True)
    may_introspect = models.BooleanField(_("may introspect"), default=True)
    may_revoke = models.BooleanField(_("may revoke"), default=False)
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)
    """To the minute."""

    class Meta:
        verbose_name = _("registered client")
        verbose_name_plural = _("registered clients")
        # As ``unique=True``, but without its second index, for LIKE.
        constraints = [
            models.UniqueConstraint(fields=["client_id"], name="drf_logout_client_id_unique")
        ]

    def __str__(self) -> str:
        return self.client_id

    @classmethod
    def authenticate(
        cls, client_id: str, secret: str, *, sid: uuid.UUID = NO_SID
    ) -> tuple[Client, Session | None] | None:
        """Return the active client with this id and secret, if there is one; note that it was used.

        Beside it, of the same SELECT, the token login with this ``sid``.
        """
        # A replica may not know yet that it was deactivated.
        client, session = _select(using := database()).get(client_id, sid)
        if client is None or not client.knows(secret):
            return None
        now = timezone.now()
        if client.last_used_at is None or now - client.last_used_at >= TOUCH_INTERVAL:
            cls.objects.using(using).filter(pk=client.pk).update(last_used_at=now)
        return client, session

    def renew_secret(self) -> str:
        """Return a new secret, whose hash alone is kept; the caller saves."""
        secret = secrets.token_urlsafe(32)
        self.previous_secret, self.secret = self.secret, _hash(secret)
        return secret

    def knows(self, secret: str) -> bool:
        """Whether this is one of its secrets."""
        presented = _hash(secret)
        known = [constant_time_compare(presented, s) for s in (self.secret, self.previous_secret)]
        return any(known)


@cache
def _select(using: str) -> Select:
    rows = Client.objects.filter(client_id="?", is_active=True)
    rows = rows.defer("client_id", "is_active", "created_at")
    return Select(using, (rows, Client._meta.get_field("client_id"), "?"), Session.by_sid())


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
