"""Pages of a list that may be very long."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property


class BoundedPaginator(Paginator):  # type: ignore[type-arg] # not generic at run time
    """Count no further than anybody turns pages; filters and dates lead to the rest."""

    limit = 10_000

    @cached_property
    def count(self) -> int:
        """The number of rows, or ``limit`` if there are more."""
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment] # as Django has it
        return rows[: self.limit].count()
