"""Removing rows where PostgreSQL keeps them: page after page, as they lie.

In the order of a key, which is random, each row would be another page to read; and what has run out
by one of several limits is found by no index. So each batch looks at the next pages, as many as are
read in a moment, and a whole run reads the table once, however few of its rows have run out.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import connections, transaction
from django.db.models import BooleanField, Field, Func, QuerySet, Subquery, TextField
from django.db.models.sql import DeleteQuery

PAGES: Final = 256
"""Of a batch: two megabytes, where nobody has built PostgreSQL with pages of another size."""

_PLACE: Final = Func(template="ctid", output_field=TextField())


def remove(
    rows: QuerySet[Any],  # Any: of one model or another
    *,
    size: int,
    first: int,
    referring: Field[Any, Any] | None = None,
) -> tuple[int, int | None]:
    """Remove, in one statement, ``size`` of the rows in a batch of pages, from the first one on.

    A row that somebody else holds is passed over: nobody is waited for. Those whose ``referring``
    column is the key of a removed row go with it; that column's constraint has to be deferred.

    Returns how many rows went, and the page that the next batch begins with; None at the end.
    """
    connection = connections[rows.db]
    free = (
        rows.order_by()
        .annotate(place=_PLACE)
        .filter(place__gte=f"({first},0)", place__lt=f"({first + PAGES},0)")
        .values("place")
        # Locked where they are found, and looked at again if that took a wait.
        .select_for_update(skip_locked=True)[:size]
    )
    # Of these rows: in a table of several parts a place is not the only one of its number.
    delete = rows.order_by().filter(AnyOf(_PLACE, Array(free))).query
    delete.__class__ = DeleteQuery
    quote, meta = connection.ops.quote_name, rows.model._meta
    with_them = ""
    if referring is not None:
        with_them = (
            f", referring AS (DELETE FROM {quote(referring.model._meta.db_table)}"  # noqa: S608 - names of columns
            f" WHERE {quote(str(referring.column))} = ANY(ARRAY(SELECT key FROM gone)))"
        )
    with transaction.atomic(using=rows.db), connection.cursor() as cursor:
        statement, params = delete.get_compiler(connection=connection).as_sql()
        cursor.execute(
            f"WITH gone AS ({statement} RETURNING {quote(meta.pk.column)} AS key){with_them}"  # noqa: S608 - as above
            " SELECT count(*), pg_relation_size(%s::regclass) / current_setting('block_size')::int"
            " FROM gone",
            (*params, quote(meta.db_table)),
        )
        removed, pages = cursor.fetchone()
    # As many as were asked for: there may be more of them in these pages.
    following = first if removed == size else first + PAGES
    return removed, following if following < pages else None


class AnyOf(Func):
    """``key = ANY(ARRAY(SELECT …))``: one look at the keys, whatever their number.

    ``key IN (SELECT …)`` can become a join, which locks the rows again and again.
    """

    arg_joiner = " = ANY("
    template = "%(expressions)s)"
    output_field = BooleanField()


class Array(Subquery):
    """What ``AnyOf`` looks at."""

    template = "ARRAY(%(subquery)s)"
