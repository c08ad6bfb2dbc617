"""What is counted where there is no Redis."""

from __future__ import annotations

from django.db import models


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
