"""The transactions that the services run in."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from django.db import IntegrityError, OperationalError, router, transaction

from accounts.models import Session

P = ParamSpec("P")
R = TypeVar("R")

UNDONE_SQLSTATES: Final = {"40001", "40P01"}  # serialization failure, deadlock


def database() -> str:
    """Return the alias of the database that the logins are in."""
    return router.db_for_write(Session)


def retried(service: Callable[P, R]) -> Callable[P, R]:
    """Run a service once more if it lost a race and the database undid it.

    The races are those to make a user's first ``TokenVersion`` and, for logouts of several devices
    in the same moment, deadlocks. Only the outermost transaction can be run again.
    """

    @wraps(service)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return service(*args, **kwargs)
        except (IntegrityError, OperationalError) as error:
            undone = isinstance(error, IntegrityError) or (
                # psycopg's name for it, then psycopg2's.
                getattr(error.__cause__, "sqlstate", getattr(error.__cause__, "pgcode", ""))
                in UNDONE_SQLSTATES
            )
            if not undone or transaction.get_connection(database()).in_atomic_block:
                raise
            return service(*args, **kwargs)

    return run
