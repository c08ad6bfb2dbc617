"""Querysets whose SQL is made once: making it takes the ORM longer than running it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, Final, Generic, TypeVar

from django.db import connections
from django.db.models import Expression, Model, QuerySet

M = TypeVar("M", bound=Model)

# Any: compilers and parameters of SQL, to which Django gives no public types.


class CompiledQuery(Generic[M]):
    """A queryset of at most one row, as a function of some values.

    On PostgreSQL its SQL is made once for each database; elsewhere, where values have to be
    prepared for it, at each use.
    """

    def __init__(self, queryset: Callable[..., QuerySet[M]]) -> None:
        """Take what makes the queryset: called by names, with the values or with their places."""
        self._queryset: Final = queryset
        self._compiled: Final[dict[str, _Compiled[M]]] = {}

    def get(self, *, using: str, **values: object) -> M | None:
        """Return the row for these values, if there is one."""
        if connections[using].vendor != "postgresql":
            return self._queryset(**values).using(using).first()
        compiled = self._compiled.get(using)
        if compiled is None:
            places = {name: _Place(name) for name in values}
            compiled = _Compiled(self._queryset(**places).using(using))
            self._compiled[using] = compiled
        return next(iter(compiled.rows(values)), None)


class _Place(Expression):
    """The place of a value that is another one each time."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return "%s", (self,)


class _Compiled(Generic[M]):
    """A queryset with its SQL; the rest of the work, from row to objects, stays Django's."""

    def __init__(self, queryset: QuerySet[M]) -> None:
        self._queryset = queryset
        self._compiler: Any = queryset.query.get_compiler(using=queryset.db)
        self._sql, self._params = self._compiler.as_sql()
        self._compiler.connection = None  # that of the thread that happened to be the first

    def rows(self, values: Mapping[str, object]) -> QuerySet[M]:
        """Return the queryset for some values."""
        compiler = copy(self._compiler)
        compiler.connection = connections[self._queryset.db]  # each thread has its own
        params = [values[p.name] if isinstance(p, _Place) else p for p in self._params]
        compiler.as_sql = lambda: (self._sql, params)
        rows = QuerySet.__new__(type(self._queryset))
        # Not by copy(), which would run it, nor by a clone, which is made to be changed.
        vars(rows).update(vars(self._queryset), _query=_Query(compiler))
        return rows


class _Query:
    """As much of a query as a queryset asks for to be run."""

    def __init__(self, compiler: Any) -> None:
        self._compiler = compiler

    def get_compiler(self, using: str) -> Any:
        return self._compiler
