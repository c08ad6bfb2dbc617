"""The proof of the record."""

from __future__ import annotations

from django.db import models


class AuditSeal(models.Model):
    """The seal of the entries of a range of ids, and of the seal before it.

    See ``accounts.management.seals``.

    The range is the ids above ``after`` up to ``last``, with so many ``entries``, none of them
    later than ``latest``; ``contents`` is the hash of what they say. The seals from number
    ``oldest`` on have to be there. ``nonce`` is a random value in the newest seal and its hash in
    the others; ``previous`` is the hash of the seal before as it was found. ``digest`` covers all
    of this.
    """

    number = models.PositiveBigIntegerField(primary_key=True)
    oldest = models.PositiveBigIntegerField()
    after = models.BigIntegerField()
    last = models.BigIntegerField()
    entries = models.PositiveIntegerField()
    latest = models.DateTimeField()
    contents = models.CharField(max_length=64)
    previous = models.CharField(max_length=64)
    nonce = models.CharField(max_length=64)
    digest = models.CharField(max_length=64)

    class Meta:
        default_permissions = ()  # nobody works with these rows

    def __str__(self) -> str:
        return str(self.number)
