"""The table that the write floor inserts into."""

from __future__ import annotations

from django.db import models


class Entry(models.Model):
    """A small row, of the least that a record of something has."""

    at = models.DateTimeField(auto_now_add=True)
    text = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.text
