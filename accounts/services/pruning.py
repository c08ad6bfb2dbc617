"""Removing the rows that nothing asks for any more, batch after batch, beside traffic.

Nothing is recorded: nobody is logged out by it, for what goes was refused already.

Each function here removes one batch in one short transaction, and says where the next one begins,
so that all of them together read a table once. On PostgreSQL it waits for nobody: a row that a
request holds is left for the next run. What is removed has run out in the very moment it is
removed, for the DELETE itself looks again.

PostgreSQL's rows go as they lie, see ``accounts.services.heap``. In the order of their primary key
go those of other databases, those that rows of the host point at, and the record's.

The record is pruned chain by chain, the oldest entries first, so that what is left can still be
checked; see ``accounts.services.chains``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import Any, TypeVar, cast

from django.db import connections, transaction
from django.db.models import Exists, Model, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from accounts.conf import conf
from accounts.models import AuditChain, LogoutEvent, Session
from accounts.services import chains, heap
from accounts.services.heap import AnyOf, Array
from accounts.services.transactions import database, retried
from accounts.tokens import expiry

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
    return expiry.expired().using(database())


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
    """Remove a batch of ``old_events()``, of ``size`` rows at most.

    Those without a proof come first, by their keys; then each chain, by its name.
    """
    if isinstance(after, str):
        return _prune_chain(int(after), size=size)
    with transaction.atomic(using=database()):
        _allow_deletion()
        batch = _prune(old_events().filter(chain=None), size=size, after=after)
        _forbid_deletion()
    if batch.last is not None:
        return batch
    return Batch(removed=batch.removed, last=_next_chain())


@retried
def prune_tokens(*, size: int, after: Key | None = None) -> Batch:
    """Remove a batch of ``expired_tokens()``, of ``size`` at most, and what blacklists them.

    Where it goes by the primary key, those among the next ``size`` rows.
    """
    listings = expiry.blacklistings().using(database())
    if _lie_alone(expired_tokens().model, listings.model):
        listed = listings.model._meta.get_field("token")
        removed, page = heap.remove(
            expired_tokens(), size=size, first=int(after or 0), referring=listed
        )
        return Batch(removed=removed, last=page)
    # Among all rows: SimpleJWT has no index of ``expires_at``, so to look for the next ones that
    # have run out could mean to read the whole table for each batch.
    last = _last_key(expiry.recorded().using(database()), size=size, after=after)
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


def _prune_chain(number: int, *, size: int) -> Batch:
    """Remove the oldest entries of a chain, and note in it where that came to."""
    removed = 0
    with transaction.atomic(using=database()):
        chain = _lock(AuditChain.objects.using(database()).filter(pk=number)).first()
        if chain is not None and (newest := _last_old(chain, size)) is not None:
            entries = LogoutEvent.objects.using(database()).filter(chain=chain.pk)
            _allow_deletion()
            removed = _remove(entries.filter(number__gt=chain.pruned, number__lte=newest.number))
            _forbid_deletion()
            was_marked = chains.is_marked(chain)
            chain.pruned, chain.pruned_seal = cast("int", newest.number), newest.seal
            if was_marked:
                chains.mark(chain)
            else:
                # What somebody did to the chain stays to be seen.
                chain.mark = ""
            chain.save(using=database(), update_fields=["pruned", "pruned_seal", "mark"])
    # A shorter batch was the last of its chain, or somebody holds what comes next.
    return Batch(removed=removed, last=_next_chain(number if removed == size else number + 1))


def _last_old(chain: AuditChain, size: int) -> LogoutEvent | None:
    """Return the last of the next entries of a chain that are old, and that nobody holds."""
    entries = LogoutEvent.objects.using(database()).filter(chain=chain.pk, number__gt=chain.pruned)
    page = list(entries.order_by("number", "pk").only("number", "seal")[:size])
    if not page:
        return None
    old = old_events().filter(chain=chain.pk, number__gt=chain.pruned, number__lte=page[-1].number)
    free = set(_lock(old).values_list("pk", flat=True))
    last = None
    for event in takewhile(lambda event: event.pk in free, page):
        last = event
    return last


def _lock(rows: QuerySet[M]) -> QuerySet[M]:
    """Lock what nobody else holds; elsewhere than on PostgreSQL all of it."""
    return rows.select_for_update(skip_locked=connections[database()].vendor == "postgresql")


def _next_chain(first: int = 0) -> str | None:
    """Return the name of the next chain that begins with an old entry."""
    entries = LogoutEvent.objects.filter(chain=OuterRef("pk"), number__gt=OuterRef("pruned"))
    oldest = entries.order_by("number", "pk").values("pk")[:1]
    found = (
        AuditChain.objects.using(database())
        .filter(pk__gte=first)
        .annotate(oldest=Subquery(oldest))
        .filter(Exists(old_events().filter(pk=OuterRef("oldest"))))
    )
    number = found.order_by("pk").values_list("pk", flat=True).first()
    return None if number is None else str(number)


def _allow_deletion() -> None:
    """Tell PostgreSQL, which guards the record, that this transaction prunes it (migration 0006).

    Only this one: what else uses the connection later is refused as before.
    """
    _set_pruning("on")


def _forbid_deletion() -> None:
    """Take that back: the caller's transaction may go on."""
    _set_pruning("off")


def _set_pruning(state: str) -> None:
    if connections[database()].vendor == "postgresql":
        with connections[database()].cursor() as cursor:
            cursor.execute("SELECT set_config('accounts.pruning', %s, true)", [state])


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
