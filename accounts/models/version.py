"""The version of a user's tokens."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connections, models, router, transaction
from django.db.models import F
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
