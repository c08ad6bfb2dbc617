"""The transactions that the services run in."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from django.core.signals import request_finished, request_started
from django.db import IntegrityError, OperationalError, transaction

from accounts.models import database

logger: Final = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

PAUSE: Final = 0.02  # seconds
UNDONE_SQLSTATES: Final = {"40001", "40P01"}  # serialization failure, deadlock


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
            # psycopg's name for it, then psycopg2's.
            code = getattr(error.__cause__, "sqlstate", getattr(error.__cause__, "pgcode", ""))
            undone = isinstance(error, IntegrityError) or code in UNDONE_SQLSTATES
            if not undone or transaction.get_connection(database()).in_atomic_block:
                raise
            # The other one goes first: who is back before it has woken up meets it again.
            time.sleep(PAUSE)
            return service(*args, **kwargs)

    return run


_request: Final = threading.local()
"""``calls`` are those that wait for the end of the request that this thread answers.

An ASGI server, too, has one thread for all synchronous code of a request.
"""


def after_request(call: Callable[[], object]) -> None:
    """Call when the request that is being answered has been; at once where there is none.

    For what has to outlast an error answer, whose transaction ATOMIC_REQUESTS undoes, or needs to
    see what the request leaves behind. None of it is needed for an ended login to be refused.
    """
    calls = getattr(_request, "calls", None)
    if calls is None:
        call()
    else:
        calls.append(call)


def _begin_request(**kwargs: Any) -> None:  # Any: Django's signals' own arguments
    _request.calls = []


def _finish_request(**kwargs: Any) -> None:  # Any: as above
    calls = getattr(_request, "calls", None)
    _request.calls = None
    if not calls:
        return
    connection = transaction.get_connection(database())
    was_closed = connection.connection is None
    for call in calls:
        try:
            call()
        except Exception:
            logger.exception("Could not end logins after the request")
    if was_closed:
        # Django has just closed what is not to outlive a request.
        connection.close()


request_started.connect(_begin_request)
request_finished.connect(_finish_request)
