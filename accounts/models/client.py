"""The services that ask about tokens, or revoke them."""

from __future__ import annotations

import hashlib
import secrets
from functools import cache
from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext_lazy as _

from accounts.conf import TOUCH_INTERVAL
from accounts.models.session import database


class ClientQuerySet(models.QuerySet["Client"]):
    """Who a service is, by what it presents."""

    def authenticate(self, client_id: str, secret: str) -> Client | None:
        """Return the client with this id and secret, if it is active; note that it was used."""
        # A replica may not know yet that it was deactivated.
        sql, params = _select(using := database())
        found = self.raw(sql, [client_id if p == _PLACE else p for p in params], using=using)
        client = next(iter(found), None)
        if client is None or not client.knows(secret):
            return None
        now = timezone.now()
        if client.last_used_at is None or now - client.last_used_at >= TOUCH_INTERVAL:
            self.using(database()).filter(pk=client.pk).update(last_used_at=now)
        return client


class Client(models.Model):
    """A registered client (RFC 6749 §2): another service, which authenticates by a secret.

    A new secret takes nothing from the one before: both count, until there is another new one.
    """

    client_id = models.SlugField(_("client id"), max_length=100, unique=True)
    secret = models.CharField(max_length=64, editable=False)
    """The SHA-256 of 256 random bits, in hexadecimal digits."""
    previous_secret = models.CharField(max_length=64, editable=False, blank=True)
    may_introspect = models.BooleanField(_("may introspect"), default=True)
    may_revoke = models.BooleanField(_("may revoke"), default=False)
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)
    """To the minute."""

    objects = ClientQuerySet.as_manager()

    class Meta:
        verbose_name = _("registered client")
        verbose_name_plural = _("registered clients")

    def __str__(self) -> str:
        return self.client_id

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


_PLACE = "?"
"""What the id takes the place of."""


@cache
def _select(using: str) -> Any:  # Any: Django gives no public types to its compilers
    """Return the SELECT of an active client, which the ORM takes longer to write than to run."""
    rows = Client.objects.filter(client_id=_PLACE, is_active=True)
    return rows.query.get_compiler(using=using).as_sql()


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
