"""Removing rows where PostgreSQL keeps them: page after page, as they lie.

In the order of a key, which is random, each row would be another page to read; and what has run out
by one of several limits is found by no index. So each batch looks at the next pages, as many as are
read in a moment, and a whole run reads the table once, however few of its rows have run out.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from django.db import connections, transaction
from django.db.models import Field, Func, QuerySet, TextField

PAGES: Final = 256
"""Of a batch: two megabytes, where nobody has built PostgreSQL with pages of another size."""


def batch(rows: QuerySet[Any], *, first: int) -> QuerySet[Any]:  # Any: of one model or another
    """Keep the rows in a batch of pages, from the first one on."""
    placed = rows.order_by().annotate(place=Func(template="ctid", output_field=TextField()))
    pages = {"place__gte": f"({first},0)", "place__lt": f"({first + PAGES},0)"}
    return placed.filter(**pages)  # type: ignore[no-any-return] # what is annotated is Any there


def remove(
    doomed: QuerySet[Any],  # Any: of one model or another
    *,
    referring: Collection[Field[Any, Any]],
    size: int,
    first: int,
) -> tuple[int, int | None]:
    """Remove, in one statement, ``size`` of the rows in a batch of pages, from the first one on.

    Rows of other tables that refer to them by one of these columns go with them; the constraint of
    such a column has to be deferred.

    Returns how many rows went, and the page that the next batch begins with; None at the end.
    """
    connection = connections[doomed.db]
    quote, meta = connection.ops.quote_name, doomed.model._meta
    free = (
        batch(doomed, first=first)
        .values("place")
        # One that somebody else holds is passed over. Once locked, nobody else can keep it alive.
        .select_for_update(skip_locked=True)[:size]
    )
    cascade = "".join(
        f", referring{number} AS (DELETE FROM {quote(column.model._meta.db_table)}"  # noqa: S608 - names of columns
        f" WHERE {quote(str(column.column))} = ANY(ARRAY(SELECT key FROM gone)))"
        for number, column in enumerate(referring)
    )
    with transaction.atomic(using=doomed.db), connection.cursor() as cursor:
        select, params = free.query.get_compiler(connection=connection).as_sql()
        cursor.execute(
            # ONLY: in another part of a table a place is another row's. And = ANY, for a join of
            # IN could lock the rows again and again.
            f"WITH gone AS (DELETE FROM ONLY {quote(meta.db_table)}"  # noqa: S608 - as above
            f" WHERE ctid = ANY(ARRAY({select})) RETURNING {quote(meta.pk.column)} AS key){cascade}"
            " SELECT count(*), pg_relation_size(%s::regclass) / current_setting('block_size')::int"
            " FROM gone",
            (*params, quote(meta.db_table)),
        )
        removed, pages = cursor.fetchone()
    # As many as were asked for: there may be more of them in these pages.
    following = first if removed == size else first + PAGES
    return removed, following if following < pages else None
