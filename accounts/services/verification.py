"""Reading the record against its proof; see ``accounts.services.chains``.

Page after page, beside traffic: a page is read while its chain is locked, and recordings take
another one meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, cast

from django.db import transaction
from django.db.models import Max, Q, QuerySet, Sum

from accounts.models import AuditChain, LogoutEvent
from accounts.services import chains
from accounts.services.transactions import database


class Kind(StrEnum):
    """What was found."""

    CHANGED = "changed"
    REMOVED = "removed"
    INSERTED = "inserted"
    UNPROVED = "unproved"
    CHAIN_REMOVED = "chain_removed"
    CHAIN_CHANGED = "chain_changed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that is wrong: with an entry, with those of some numbers, or with a chain."""

    kind: Kind
    chain: int | None = None
    first: int | None = None
    last: int | None = None
    event: int | None = None


@dataclass(kw_only=True, slots=True)
class Page:
    """How many entries were read, how many of them have no proof for they are older, the rest."""

    entries: int = 0
    unproved: int = 0
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class Total:
    """How many entries were ever recorded with a proof, and how many of them were pruned.

    The first never falls: kept elsewhere, it shows that an older state was put back.
    """

    recorded: int
    pruned: int


@dataclass(kw_only=True, slots=True)
class _Walk:
    """How far a chain was read: up to the entry with the number ``at`` and the key ``key``.

    ``number`` is that of the last entry that had its place, and ``before`` its seal.
    """

    chain: int
    number: int
    before: str
    at: int
    key: int = 0


_NO_PLACE: Final = Q(chain=None) | Q(number=None)


def count() -> int:
    """Return how many entries there are to read."""
    return _entries().count()


def total() -> Total:
    """Return what the chains have counted."""
    sums = _chains().aggregate(entries=Sum("entries"), pruned=Sum("pruned"))
    return Total(recorded=sums["entries"] or 0, pruned=sums["pruned"] or 0)


def verify(*, size: int) -> Iterator[Page]:
    """Read the whole record, in pages of so many entries."""
    yield from _unproved(size)
    standing = set(_chains().values_list("pk", flat=True))
    placed = _entries().filter(chain__isnull=False, number__isnull=False).order_by()
    named = {chain or 0 for chain in placed.values_list("chain", flat=True).distinct()}
    for number in sorted(standing.union(named, range(chains.CHAINS))):
        if number in standing:
            yield from _walk(number, size)
        else:
            yield Page(findings=[Finding(kind=Kind.CHAIN_REMOVED, chain=number)])


def accept_unproved() -> int:
    """Take the entries without a proof that there are now for genuine; return how many those are.

    While a release that brings the proofs is rolled out, processes of the one before it go on
    recording without.
    """
    with transaction.atomic(using=database()):
        standing = list(_chains().select_for_update().order_by("pk"))
        unproved = _entries().filter(_NO_PLACE)
        newest = unproved.aggregate(newest=Max("pk"))["newest"] or 0
        for chain in standing:
            if chains.is_marked(chain) and chain.unproved_until < newest:
                chain.unproved_until = newest
                chains.mark(chain)
        _chains().bulk_update(standing, ["unproved_until", "mark"])
        return unproved.filter(pk__lte=newest).count()


def _unproved(size: int) -> Iterator[Page]:
    """Read the entries without a place: those from before there were proofs, and inserted ones."""
    marked = [chain for chain in _chains() if chains.is_marked(chain)]
    until = min((chain.unproved_until for chain in marked), default=0)
    last = 0
    while keys := _keys(_entries().filter(_NO_PLACE, pk__gt=last), size):
        late = [Finding(kind=Kind.UNPROVED, event=key) for key in keys if key > until]
        yield Page(entries=len(keys), unproved=len(keys) - len(late), findings=late)
        last = keys[-1]


def _keys(entries: QuerySet[LogoutEvent], size: int) -> list[int]:
    return list(entries.order_by("pk").values_list("pk", flat=True)[:size])


def _walk(number: int, size: int) -> Iterator[Page]:
    """Read one chain from where it begins to where it ends."""
    walk: _Walk | None = None
    read = size
    while read == size:
        page = Page()
        with transaction.atomic(using=database()):
            chain = _chains().select_for_update().get(pk=number)
            if walk is None:
                walk = _begin(chain, page, size)
            elif walk.number < chain.pruned:
                # Pruned meanwhile.
                walk.number, walk.before = chain.pruned, chain.pruned_seal
            entries = list(_next(walk, chain)[:size])
            for entry in entries:
                _check(walk, chain, entry, page)
            read = page.entries = len(entries)
            if read < size:
                _end(walk, chain, page)
        yield page


def _begin(chain: AuditChain, page: Page, size: int) -> _Walk:
    if not chains.is_marked(chain):
        page.findings.append(Finding(kind=Kind.CHAIN_CHANGED, chain=chain.pk))
    pruned = _entries().filter(chain=chain.pk, number__lte=chain.pruned)
    for key in _keys(pruned, size):
        page.findings.append(Finding(kind=Kind.INSERTED, chain=chain.pk, event=key))
    return _Walk(chain=chain.pk, number=chain.pruned, before=chain.pruned_seal, at=chain.pruned + 1)


def _next(walk: _Walk, chain: AuditChain) -> QuerySet[LogoutEvent]:
    entries = _entries().filter(chain=chain.pk, number__gte=max(walk.at, chain.pruned + 1))
    return entries.exclude(number=walk.at, pk__lte=walk.key).order_by("number", "pk")


def _check(walk: _Walk, chain: AuditChain, entry: LogoutEvent, page: Page) -> None:
    number = cast("int", entry.number)
    walk.at, walk.key = number, entry.pk
    if not walk.number < number <= chain.entries:
        page.findings.append(
            Finding(kind=Kind.INSERTED, chain=chain.pk, first=number, last=number, event=entry.pk)
        )
        return
    if number > walk.number + 1:
        # This entry cannot be checked: the seal before it is gone.
        page.findings.append(_removed(walk, until=number - 1))
    elif not chains.fits(entry, walk.before):
        page.findings.append(
            Finding(kind=Kind.CHANGED, chain=chain.pk, first=number, last=number, event=entry.pk)
        )
    walk.number, walk.before = number, entry.seal


def _end(walk: _Walk, chain: AuditChain, page: Page) -> None:
    if walk.number < chain.entries:
        page.findings.append(_removed(walk, until=chain.entries))
    elif walk.number > chain.entries or walk.before != chains.seal(chain.nonce):
        # Also where its newest entries were removed, and their number with them.
        page.findings.append(Finding(kind=Kind.CHAIN_CHANGED, chain=chain.pk))


def _removed(walk: _Walk, *, until: int) -> Finding:
    return Finding(kind=Kind.REMOVED, chain=walk.chain, first=walk.number + 1, last=until)


def _chains() -> QuerySet[AuditChain]:
    return AuditChain.objects.using(database())


def _entries() -> QuerySet[LogoutEvent]:
    return LogoutEvent.objects.using(database())
