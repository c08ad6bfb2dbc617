"""An index of a kind that only PostgreSQL has."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.backends.ddl_references import Statement


class TimeIndex(BrinIndex):
    """An index of a time that rises with the rows: a BRIN, which takes next to no space or work.

    It finds a period, and puts nothing in order. Where there is no BRIN it is a plain index.
    """

    suffix = models.Index.suffix

    def create_sql(
        self,
        model: type[models.Model],
        schema_editor: Any,  # Any: each database has its own
        using: str = "",
        **kwargs: Any,  # Any: as Django passes them on
    ) -> Statement:
        """Return what creates it."""
        if schema_editor.connection.vendor != "postgresql":
            # Past the parent's, which names a kind of index.
            return models.Index.create_sql(self, model, schema_editor, using=using, **kwargs)
        return super().create_sql(model, schema_editor, using=using or BrinIndex.suffix, **kwargs)
