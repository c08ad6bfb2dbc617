"""An index of a kind that only PostgreSQL has."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.backends.ddl_references import Statement


class TimeIndex(models.Index):
    """An index of a time that rises with the rows: a BRIN, which takes next to no space or work.

    It finds a period, and puts nothing in order. Where there is no BRIN it is a plain index.
    Django's ``BrinIndex`` asks for ``django.contrib.postgres`` among a host's apps, from 6.1 on.
    """

    def create_sql(
        self,
        model: type[models.Model],
        schema_editor: Any,  # Any: each database has its own
        using: str = "",
        **kwargs: Any,  # Any: as Django passes them on
    ) -> Statement:
        """Return what creates it."""
        if schema_editor.connection.vendor != "postgresql":
            return super().create_sql(model, schema_editor, using=using, **kwargs)
        statement = super().create_sql(model, schema_editor, using=" USING brin", **kwargs)
        extra = f" WITH (autosummarize = on){statement.parts['extra']}"
        statement.parts["extra"] = extra  # type: ignore[assignment] # the stub knows tables alone
        return statement
