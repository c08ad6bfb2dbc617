"""The proof that nobody has changed the record behind Django's back, made beside traffic.

How it works
============

A logout inserts its entry and is done. ``manage.py seal_audit`` seals the entries later. Each seal
covers those of a range of ids, ten thousand at most, and the seal before it, by an HMAC with a key
derived from ``SECRET_KEY``:

- An edited, removed or inserted entry does not fit the seal of its range. One whose id is in no
  range (zero, negative, or pruned already) was inserted.
- A removed seal is missed by the one after it, and an edited one does not fit its digest.
- The newest seals cannot be cut off with their entries. The newest one knows its nonce, a random
  value that the next one replaces by its hash, so that no older one can be the newest again. And
  the next one covers all that it has found in the one before: neither sealing on after a change
  nor undoing the change later hides it.
- Pruning removes whole seals with their entries, in one transaction with a new seal, of no entry,
  which says from which number on the seals have to be there.

An id is given out before it is committed. So a seal waits, as CREATE INDEX CONCURRENTLY does, for
those who are writing to the record in that moment; nobody waits for it. What is committed later
with an id of its range was not there when it was made: it reads as inserted.

What it covers
==============

Every column of an entry, those that come later too; null counts as empty. An entry keeps the key
and the name of its user, and of whoever acted for them, when their accounts are deleted. (To an
account that comes back with the key of a deleted one its entries lead again, under the old name.)

What it cannot show
===================

- What was changed, removed or made up before it was sealed, for that is sealed as it is.
  PostgreSQL guards that minute (migration 0002), and ``verify_audit`` fails where an entry is older
  than an hour and has no seal.
- The work of somebody who has ``SECRET_KEY``, or one of the fallbacks.
- That an older copy of it all was put back, or the newest seal of an earlier time with its nonce
  and nothing after it; that the record was emptied, seals and all. Each seal is a line of the
  security log, the anchor elsewhere: a number that comes twice there shows each of these.

Pruning stops before a seal that does not fit, and before one whose entries are not as many as they
were, until somebody has looked into it and has emptied the table of the seals. The next run then
seals what is there, from number 1 on.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db import IntegrityError, OperationalError, connections, transaction
from django.db.models import Max, Min, QuerySet
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

from accounts import audit
from accounts.clients import ClientInfo
from accounts.conf import LONGEST, conf
from accounts.models import AuditSeal, LogoutEvent, database

SIZE: Final = 10_000
"""How many entries a seal covers at most."""

OVERDUE: Final = timedelta(hours=1)
"""How old an entry without a seal may be."""

PAUSE: Final = 0.05
PAUSES: Final = 1_200
"""How many seconds pass before it is asked again who writes, and how often: a minute in all."""

_APART: Final = {"_state", "digest"}
"""What is not among that which a row says."""

Row = dict[str, Any]  # Any: a value of any column


class Kind(StrEnum):
    """What was found."""

    CHANGED = "changed"
    REMOVED = "removed"
    INSERTED = "inserted"
    UNSEALED = "unsealed"
    SEAL = "seal"


class Finding(NamedTuple):
    """One thing that is wrong: the seal that tells, and the ids that it is about."""

    kind: Kind
    seal: int | None
    first: int
    last: int


class Page(NamedTuple):
    """How many entries were read, and what is wrong with them."""

    entries: int
    findings: list[Finding]


def entries() -> QuerySet[LogoutEvent]:
    """Return the record."""
    return LogoutEvent.objects.using(database())


def old_entries() -> QuerySet[LogoutEvent]:
    """Return the entries older than ``AUDIT_RETENTION``."""
    return entries().filter(occurred_at__lt=_limit())


def newest_seal() -> AuditSeal:
    """Return the newest seal, as the next one will leave it; number 0 if there is none."""
    newest = _seals().order_by("number").last() or AuditSeal(number=0, oldest=1, after=0, last=0)
    newest.nonce = _hash(newest.nonce)
    return newest


# Sealing


def seal(among: QuerySet[LogoutEvent]) -> Iterator[AuditSeal]:
    """Seal the record up to the last one of these entries; yield each seal that was made.

    That is the end, too, where somebody else seals in the same moment. Raises ``OperationalError``
    if a transaction that writes to the record has not ended within a minute.
    """
    newest = newest_seal()
    # First the id, then the writers: who begins to write after this is given a higher one.
    until = among.filter(pk__gt=newest.last).aggregate(id=Max("pk"))["id"]
    if until is None:
        return
    _wait_for_writers()
    while rows := list(_read(newest.last, until)[:SIZE]):
        if (made := _append(newest, rows, oldest=newest.oldest)) is None:
            return
        yield made
        newest = made


def _wait_for_writers() -> None:
    """Wait until every transaction has ended that is writing to the record now."""
    if connections[database()].vendor != "postgresql":
        return  # SQLite has one writer
    with connections[database()].cursor() as cursor:
        cursor.execute(
            "SELECT array_agg(virtualtransaction) FROM pg_locks WHERE relation = %s::regclass"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND mode = 'RowExclusiveLock' AND pid <> pg_backend_pid()",
            [LogoutEvent._meta.db_table],
        )
        writers = cursor.fetchone()
        for _ in range(PAUSES):
            cursor.execute("SELECT 1 FROM pg_locks WHERE virtualtransaction = ANY(%s)", writers)
            if cursor.fetchone() is None:
                return
            time.sleep(PAUSE)
    raise OperationalError("a transaction that writes to the record does not end")


def _append(before: AuditSeal, rows: Sequence[Row], *, oldest: int) -> AuditSeal | None:
    """Seal these entries after that seal; None if somebody else has sealed after it."""
    now, nonce = timezone.now(), secrets.token_hex(16)
    made = AuditSeal(
        number=before.number + 1,
        oldest=oldest,
        after=before.last,
        last=rows[-1]["id"] if rows else before.last,
        entries=len(rows),
        # None is later than its seal, whatever the clock of its process said.
        latest=min([now, max(row["occurred_at"] for row in rows)]) if rows else now,
        contents=_contents(rows),
        previous=_hash(_said(vars(before))),
        nonce=_hash(nonce),
    )
    made.digest, made.nonce = _digest(made, settings.SECRET_KEY), nonce
    try:
        with transaction.atomic(using=database()):
            made.save(using=database(), force_insert=True)
            _seals().filter(pk=before.pk).update(nonce=before.nonce)
    except IntegrityError:  # the number is taken
        return None
    made.nonce = _hash(nonce)
    target, reason = f"audit_seal/{made.number}/{made.digest}", "recorded" if rows else "pruned"
    log = partial(audit.log, audit.Event.RECORD_SEALED, client=ClientInfo())
    log = partial(log, action="seal", target=target, reason=reason)
    transaction.on_commit(log, using=database())
    return made


# Pruning


def prune(*, size: int) -> Iterator[int]:
    """Remove the seals whose entries are all old, with these; yield how many went each time.

    In the order of their numbers, each time as many seals as have ``size`` entries together, or
    one. That is the end where somebody holds an entry, or where one is missing or too many: the
    proof of that stays.
    """
    limit = _limit()
    while due := _due(newest := newest_seal(), limit, size):
        rows = entries().filter(pk__gt=due[0].after, pk__lte=due[-1].last)
        with transaction.atomic(using=database()):
            held = rows.select_for_update(skip_locked=True).values_list("pk", flat=True)
            if len(held) != sum(seal.entries for seal in due):
                return
            if (made := _append(newest, [], oldest=due[-1].number + 1)) is None:
                continue  # after the seal that was made meanwhile
            _allow_deletion("on")
            # Past the record's own ``delete()``, which refuses.
            QuerySet.delete(rows)
            _allow_deletion("off")
            _seals().filter(number__lt=made.oldest).delete()
        yield len(held)


def _due(newest: AuditSeal, limit: datetime, size: int) -> list[AuditSeal]:
    """Return the oldest seals, as long as they fit and are of before the limit."""
    older = _seals().filter(number__gte=newest.oldest, number__lt=newest.number)
    found, entries = [*older.order_by("number")[:size], newest], 0
    for place, seal in enumerate(found):
        genuine = seal.number == newest.oldest + place and _is_genuine(seal)
        if not genuine or seal.latest >= limit or (entries and entries + seal.entries > size):
            return found[:place]
        entries += seal.entries
    return found


def _limit() -> datetime:
    """Return the time from which on entries are kept: for ever, or what is as good as that."""
    return timezone.now() - (conf.audit_retention or LONGEST)


def _allow_deletion(state: str) -> None:
    """Tell PostgreSQL, which guards the record (migration 0002), if this transaction prunes it."""
    if connections[database()].vendor == "postgresql":
        with connections[database()].cursor() as cursor:
            cursor.execute("SELECT set_config('drf_logout.maintenance', %s, true)", [state])


# Verifying


def verify() -> Iterator[Page]:
    """Read the record against its seals, beside traffic, sealing and pruning, a seal at a time."""
    newest = newest_seal()
    older = _seals().filter(number__gte=newest.oldest, number__lt=newest.number).order_by("number")
    before = AuditSeal(number=newest.oldest - 1, last=(older.first() or newest).after)
    yield Page(0, _found(Kind.INSERTED, entries().filter(pk__lte=before.last)))
    while before is not newest and not newest._state.adding:
        seal = older.filter(number__gt=before.number).first() or newest
        yield _check(seal, before)
        before = seal
    overdue = entries().filter(pk__gt=newest.last, occurred_at__lt=timezone.now() - OVERDUE)
    findings = _found(Kind.UNSEALED, overdue)
    # Unless somebody has sealed them meanwhile.
    yield Page(0, findings if newest.number == newest_seal().number else [])


def _found(kind: Kind, wrong: QuerySet[LogoutEvent]) -> list[Finding]:
    ids = wrong.aggregate(first=Min("pk"), last=Max("pk"))
    return [Finding(kind, None, **ids)] if ids["first"] is not None else []


def _check(seal: AuditSeal, before: AuditSeal) -> Page:
    rows, findings = [], []
    follows = seal.previous == _hash(_said(vars(before)))
    # Or it is the oldest one, by now: those before it were pruned.
    in_place = follows or seal.number <= newest_seal().oldest
    if not (genuine := _is_genuine(seal)) or not in_place:
        findings.append(Finding(Kind.SEAL, seal.number, before.last + 1, seal.last))
    if genuine:
        rows = list(_read(seal.after, seal.last)[: seal.entries + 1])
        if (kind := _compare(seal, rows)) is not None:
            findings.append(Finding(kind, seal.number, seal.after + 1, seal.last))
    return Page(len(rows), findings)


def _compare(seal: AuditSeal, rows: Sequence[Row]) -> Kind | None:
    if len(rows) != seal.entries:
        kind = Kind.INSERTED if len(rows) > seal.entries else Kind.REMOVED
    elif _contents(rows) != seal.contents:
        kind = Kind.CHANGED
    else:
        return None
    # Asked after its entries: a seal that is gone now was pruned, and they with it.
    return kind if _seals().filter(pk=seal.pk).exists() else None


# What is covered


def _seals() -> QuerySet[AuditSeal]:
    return AuditSeal.objects.using(database())


def _read(after: int, until: int) -> QuerySet[LogoutEvent, Any]:  # Any: of ``Row``
    return entries().filter(pk__gt=after, pk__lte=until).order_by("pk").values()


def _contents(rows: Sequence[Row]) -> str:
    return _hash("\n".join(map(_said, rows)))


def _said(row: Mapping[str, Any]) -> str:
    """Return what a row says. A column that comes later, and is empty, changes nothing of that."""
    said = {name: row[name] for name in row if name not in _APART and row[name] not in (None, "")}
    return json.dumps(said, default=_text, sort_keys=True)


def _text(value: object) -> str:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(seal: AuditSeal, key: str | bytes) -> str:
    return salted_hmac(__name__, _said(vars(seal)), secret=key, algorithm="sha256").hexdigest()


def _is_genuine(seal: AuditSeal) -> bool:
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return any(constant_time_compare(seal.digest, _digest(seal, key)) for key in keys)
