"""The version of a user's tokens."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connections, models, router
from django.db.models.functions import Greatest
from django.utils.translation import gettext_lazy as _

from accounts.models.user import User


class TokenVersionQuerySet(models.QuerySet["TokenVersion"]):
    """Each user's row is also the lock that log-ins and the end of all logins take turns on."""

    def lock(self, user_id: Any) -> TokenVersion:  # Any: as the host's key is
        """Return the user's row, made if it is missing, locked until the transaction ends.

        With it the user as they are now, whatever was read before the lock.
        """
        features = connections[router.db_for_write(self.model)].features
        of = ("self",) if features.has_select_for_update_of else ()
        rows = self.select_for_update(of=of).select_related("user")
        version, is_new = rows.get_or_create(user_id=user_id)
        if is_new:
            # Or it would be read where the host reads: a replica may not know the user yet.
            users = get_user_model()._base_manager.using(version._state.db)  # noqa: SLF001 - as documented
            version.user = users.get(pk=user_id)
        return version

    def raise_version(self, user: User) -> None:
        """Make worthless every plain token that was minted until now; locks as ``lock()`` does."""
        next_second = int(time.time()) + 1
        version, raised = self.filter(user=user), Greatest("version", next_second)
        if not version.update(version=raised):
            self.get_or_create(user=user, defaults={"version": next_second})
            version.update(version=raised)


class TokenVersion(models.Model):
    """From when on the plain tokens of a user count, those that SimpleJWT's own code has minted.

    Their version is their ``iat``, in seconds since the epoch (0 if they have none); it has to be
    this one or a later one.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        primary_key=True,
        related_name="token_version",
        verbose_name=_("user"),
    )
    version = models.PositiveBigIntegerField(_("version"), default=0)

    objects = TokenVersionQuerySet.as_manager()

    class Meta:
        verbose_name = _("token version")
        verbose_name_plural = _("token versions")

    def __str__(self) -> str:
        return str(self.version)
