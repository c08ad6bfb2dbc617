"""Removing the rows that nothing asks for any more, batch after batch, beside traffic.

Nobody is logged out by it, for what goes was refused already. The end of each login is on record.

Each function here removes one batch in one short transaction, and says where the next one begins,
so that all of them together read a table once. It waits for nobody: a row that a request holds is
left for the next run. And what is removed has run out in the very moment it is removed, for it is
looked at once more when it is locked.

PostgreSQL's rows go as they lie, see ``accounts.management.heap``. Elsewhere, and where rows of the
host point at them, they go in the order of their key, by Django's own ``delete()``.

Entries of the record go with their seals, see ``accounts.management.seals``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.db import connections, transaction
from django.db.models import Field, ForeignObjectRel, Model, QuerySet

from accounts import blacklist
from accounts.management import heap
from accounts.models import Session, database
from accounts.services.endings import end_sessions
from accounts.services.transactions import retried

Key = str | int

KEYS: Final = 1000
"""Of a batch by key: no more than any database takes in one statement."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """How many rows went, and where that came to, for the next batch: None if none is left."""

    removed: int
    last: Key | None


def expired_sessions() -> QuerySet[Session]:
    """Return the logins, and the sessions of anonymous browsers, that have run out."""
    return Session.objects.using(database()).run_out()


def expired_tokens() -> QuerySet[Any]:  # Any: the rows are SimpleJWT's
    """Return SimpleJWT's rows of tokens that have run out."""
    return blacklist.expired()


@retried
def prune_sessions(*, size: int, after: Key | None = None) -> Batch:
    """Remove a batch of ``expired_sessions()``, of ``size`` of either kind at most."""
    anonymous, logins = (expired_sessions().filter(user__isnull=none) for none in (True, False))
    with transaction.atomic(using=database()):
        batch = _prune(anonymous, size=size, after=after)
        if goes_by_pages := _goes_by_pages(Session):
            logins = heap.batch(logins, first=int(after or 0))
        else:
            until = {"pk__lte": batch.last} if batch.last else {}
            logins = logins.filter(pk__gt=after or "", **until)
        free = logins.select_for_update(skip_locked=True).values_list("pk", flat=True)
        # Fewer than of what leaves no entry behind, for they are locked until all are on record.
        keys = list(free[: min(size, KEYS)])
        ended = end_sessions(sessions=Session.objects.filter(pk__in=keys), cause=None)
    # As many as were asked for: there may be more of them in these pages.
    last = int(after or 0) if goes_by_pages and len(keys) == min(size, KEYS) else batch.last
    return Batch(removed=batch.removed + ended.sessions_ended, last=last)


@retried
def prune_tokens(*, size: int, after: Key | None = None) -> Batch:
    """Remove a batch of ``expired_tokens()``, of ``size`` at most, and what blacklists them."""
    return _prune(expired_tokens(), size=size, after=after)


def _prune(doomed: QuerySet[Any], *, size: int, after: Key | None) -> Batch:
    if not _goes_by_pages(doomed.model):
        return _prune_by_key(doomed, size=size, after=after)
    removed, page = heap.remove(
        doomed, referring=_referring(doomed.model), size=size, first=int(after or 0)
    )
    return Batch(removed=removed, last=page)


def _goes_by_pages(model: type[Model]) -> bool:
    blacklisted = blacklist.blacklistings().model
    hosts = {column.model for to in (model, blacklisted) for column in _referring(to)}
    return connections[database()].vendor == "postgresql" and hosts <= {blacklisted}


def _referring(model: type[Model]) -> list[Field[Any, Any]]:
    """Return the columns of any table, the host's too, that point at rows of a model."""
    relations = model._meta.get_fields(include_hidden=True)
    return [relation.field for relation in relations if isinstance(relation, ForeignObjectRel)]


def _prune_by_key(doomed: QuerySet[Any], *, size: int, after: Key | None) -> Batch:
    """Remove those among the next ``size`` rows of the table, with the cascade that hosts ask for.

    Among all rows: where few have run out, to look for the next of them is to read for long.
    """
    size = min(size, KEYS)
    table: QuerySet[Any] = QuerySet(doomed.model, using=doomed.db).order_by("pk")
    following = table if after is None else table.filter(pk__gt=after)
    keys = list(following.values_list("pk", flat=True)[:size])
    with transaction.atomic(using=doomed.db):
        # A database that has no locks of rows is not asked for them.
        free = doomed.filter(pk__in=keys).select_for_update(skip_locked=True)
        _, removed = table.filter(pk__in=list(free.values_list("pk", flat=True))).delete()
    return Batch(
        removed=removed.get(doomed.model._meta.label, 0),
        last=keys[-1] if len(keys) == size else None,
    )
