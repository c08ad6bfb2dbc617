"""Removing the rows that nothing asks for any more, batch after batch, beside traffic.

Nothing is recorded: nobody is logged out by it, for what goes was refused already.

Each function here removes one batch in one short transaction, and says where the next one begins,
so that all of them together read a table once. On PostgreSQL it waits for nobody: a row that a
request holds is left for the next run. What is removed has run out in the very moment it is
removed, for the DELETE itself looks again.

PostgreSQL's rows go as they lie, see ``accounts.services.heap``. In the order of their primary key
go those of other databases, those that rows of the host point at, and the record's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import connections, transaction
from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts import blacklist
from accounts.conf import conf
from accounts.models import LogoutEvent, Session, database
from accounts.services import heap
from accounts.services.heap import AnyOf, Array
from accounts.services.transactions import retried

Key = str | int

M = TypeVar("M", bound=Model)


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


def old_events() -> QuerySet[LogoutEvent]:
    """Return the recorded events older than ``AUDIT_RETENTION``; none where that is not set."""
    events = LogoutEvent.objects.using(database())
    if conf.audit_retention is None:
        return events.none()
    return events.filter(occurred_at__lt=timezone.now() - conf.audit_retention)


@retried
def prune_sessions(*, size: int, after: Key | None = None) -> Batch:
    """Remove a batch of ``expired_sessions()``, of ``size`` rows at most."""
    if _lie_alone(Session):
        removed, page = heap.remove(expired_sessions(), size=size, first=int(after or 0))
        return Batch(removed=removed, last=page)
    return _prune(expired_sessions(), size=size, after=after)


@retried
def prune_events(*, size: int, after: Key | None = None) -> Batch:
    """Remove a batch of ``old_events()``, of ``size`` rows at most."""
    with transaction.atomic(using=database()):
        _allow_deletion()
        batch = _prune(old_events(), size=size, after=after)
        _forbid_deletion()
    return batch


@retried
def prune_tokens(*, size: int, after: Key | None = None) -> Batch:
    """Remove a batch of ``expired_tokens()``, of ``size`` at most, and what blacklists them.

    Where it goes by the primary key, those among the next ``size`` rows.
    """
    listings = blacklist.blacklistings()
    if _lie_alone(expired_tokens().model, listings.model):
        listed = listings.model._meta.get_field("token")
        removed, page = heap.remove(
            expired_tokens(), size=size, first=int(after or 0), referring=listed
        )
        return Batch(removed=removed, last=page)
    # Among all rows: SimpleJWT has no index of ``expires_at``, so to look for the next ones that
    # have run out could mean to read the whole table for each batch.
    last = _last_key(blacklist.outstanding(), size=size, after=after)
    expired = _between(expired_tokens(), after=after, last=last)
    # By the same range: a shorter way than from each token to what blacklists it.
    listings = _between(listings, "token", after=after, last=last)
    unlisted = expired.filter(~Exists(listings.filter(token=OuterRef("pk"))))
    with transaction.atomic(using=database()):
        listings.filter(_free("token", expired))._raw_delete(database())  # noqa: SLF001
        # One that another transaction held a moment ago may be blacklisted still.
        removed = _remove(unlisted, known=listings.model)
    return Batch(removed=removed, last=last)


def _lie_alone(model: type[Model], known: type[Model] | None = None) -> bool:
    """Whether rows can be removed as they lie: no row of the host asks for a cascade."""
    return connections[database()].vendor == "postgresql" and not _is_pointed_at(model, known)


def _is_pointed_at(model: type[Model], known: type[Model] | None) -> bool:
    """Whether rows of the host, not of the ``known`` model, point at those of a model."""
    pointing = {
        field.related_model
        for field in model._meta.get_fields(include_hidden=True)
        if field.auto_created and not field.concrete
    }
    return bool(pointing - {known})


def _allow_deletion() -> None:
    """Tell PostgreSQL, which guards the record, that this transaction prunes it (migration 0002).

    Only this one: what else uses the connection later is refused as before.
    """
    _set_pruning("on")


def _forbid_deletion() -> None:
    """Take that back: the caller's transaction may go on."""
    _set_pruning("off")


def _set_pruning(state: str) -> None:
    if connections[database()].vendor == "postgresql":
        with connections[database()].cursor() as cursor:
            cursor.execute("SELECT set_config('drf_logout.pruning', %s, true)", [state])


def _prune(doomed: QuerySet[Any], *, size: int, after: Key | None) -> Batch:
    last = _last_key(doomed, size=size, after=after)
    with transaction.atomic(using=database()):
        removed = _remove(_between(doomed, after=after, last=last))
    return Batch(removed=removed, last=last)


def _last_key(rows: QuerySet[Any], *, size: int, after: Key | None) -> Key | None:
    """Return the key that the next so many rows end with; None if there are not so many."""
    keys = _between(rows, after=after, last=None).order_by("pk").values_list("pk", flat=True)
    key: Key | None = keys[size - 1 : size].first()
    return key


def _between(
    rows: QuerySet[Any], key: str = "pk", *, after: Key | None, last: Key | None
) -> QuerySet[Any]:
    if after is not None:
        rows = rows.filter(**{f"{key}__gt": after})
    if last is not None:
        rows = rows.filter(**{f"{key}__lte": last})
    return rows


def _free(key: str, rows: QuerySet[Any]) -> Q | AnyOf:
    """Match the keys of those rows that nobody else holds, and lock these.

    Elsewhere than on PostgreSQL all of the rows, so that the statement may have to wait for some.
    """
    keys = rows.order_by().values("pk")
    if connections[database()].vendor != "postgresql":
        return Q(**{f"{key}__in": keys})
    # All of them are found before the first is locked: where there are few, finding takes long.
    found = keys.filter(AnyOf("pk", Array(keys)))
    free = found.select_for_update(skip_locked=True)
    return AnyOf(key, Array(free))


def _remove(rows: QuerySet[Any], *, known: type[Model] | None = None) -> int:
    """Delete the rows that nobody else holds, in one statement.

    Where rows of the host point at them (those of the ``known`` model are gone already), as Django
    does it: with the cascade that they ask for.
    """
    model = rows.model
    rows = rows.filter(_free("pk", rows))
    if _is_pointed_at(model, known):
        # Past the record's own ``delete()``, which refuses.
        _, removed = QuerySet.delete(rows)
        return removed.get(model._meta.label, 0)
    # ``delete()`` would read every row as soon as any receiver of the host listens to deletions,
    # and refuses where the rows are the record: this is its one exception, for the host itself has
    # said how long the record is kept.
    # None where Django knows without asking that there are no such rows.
    return rows._raw_delete(rows.db) or 0  # noqa: SLF001
