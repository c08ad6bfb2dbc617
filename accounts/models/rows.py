"""Rows by their keys, in one SELECT that the ORM writes once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connections
from django.db.models import QuerySet

# Any: Django gives no public types to its compilers, nor to what they read.

Part = tuple[QuerySet[Any], Any, object]
"""What selects a row and those it points at, the field of its key, and the key to be replaced."""


class Select:
    """One SELECT of a row by its key, and of another one beside it, by its own.

    Writing it takes the ORM longer than running it takes the database.
    """

    def __init__(self, using: str, *parts: Part) -> None:
        """Let the ORM write it for a database."""
        self._using, self._sql, first = using, "", 0
        self._params: list[Any] = []
        self._parts: list[tuple[Any, int, slice, Any, list[Any]]] = []
        for rows, field, place in parts:
            compiler: Any = rows.query.get_compiler(using=using)
            sql, params = compiler.as_sql()
            both = f"SELECT * FROM ({self._sql}) AS one LEFT JOIN ({sql}) AS other ON TRUE"  # noqa: S608 - all ours
            self._sql = both if self._sql else sql
            key = params.index(field.get_db_prep_value(place, connections[using]))
            columns = slice(first, first := first + len(compiler.select))
            converters = compiler.get_converters([column for column, *_ in compiler.select])
            infos = [compiler.klass_info, *compiler.klass_info.get("related_klass_infos", ())]
            models = [_model(compiler, info) for info in infos]
            self._parts.append((field, len(self._params) + key, columns, converters, models))
            self._params += params

    def get(self, *keys: object) -> list[Any]:
        """Return the rows of the keys, None for one that is missing; without the first, all are."""
        connection, params = connections[self._using], [*self._params]
        for (field, place, *_), key in zip(self._parts, keys, strict=True):
            params[place] = field.get_db_prep_value(key, connection)
        with connection.cursor() as cursor:
            cursor.execute(self._sql, params)
            found = cursor.fetchone()
        return [found and _object(connection, found[part[2]], *part[3:]) for part in self._parts]


def _model(compiler: Any, info: Any) -> tuple[Any, ...]:
    columns = slice(info["select_fields"][0], info["select_fields"][-1] + 1)
    names = [column.target.attname for column, *_ in compiler.select[columns]]
    return info["model"].from_db, names, columns, info.get("local_setter")


def _object(connection: Any, values: Sequence[Any], converters: Any, models: Any) -> Any:
    if all(value is None for value in values):
        return None
    row, found = [*values], None
    for column, (convert, expression) in converters.items():
        for converter in convert:
            row[column] = converter(row[column], expression, connection)
    for from_db, names, columns, point in models:
        one = from_db(connection.alias, names, row[columns])
        found = found or one
        if point is not None:
            point(found, one)
    return found
