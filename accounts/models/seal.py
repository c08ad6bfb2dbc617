"""The proof of the record."""

from __future__ import annotations

from django.db import models


class AuditSeal(models.Model):
    """The seal of the entries of a range of ids, and of the seal before it; see ``accounts.seals``.

    It covers the ids above ``after`` up to ``last``, in which there were so many ``entries``; every
    entry from the id ``lowest`` on has to be there. Only the newest seal knows its ``nonce``.
    """

    number = models.PositiveBigIntegerField(primary_key=True)
    sealed_at = models.DateTimeField()
    after = models.BigIntegerField()
    last = models.BigIntegerField()
    lowest = models.BigIntegerField()
    entries = models.PositiveIntegerField()
    nonce = models.CharField(max_length=32, blank=True)
    digest = models.CharField(max_length=64)

    class Meta:
        default_permissions = ()  # nobody works with these rows

    def __str__(self) -> str:
        return str(self.number)
