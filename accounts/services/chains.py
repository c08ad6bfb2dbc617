"""The proof that nobody has edited or removed an entry of the record behind Django's back.

How it works
============

Each entry has a place: the chain it is in, and its number there. Its ``digest`` is an HMAC, with a
key derived from ``SECRET_KEY``, of its place, what it says and two seals. A seal is the hash of a
nonce, a random value that only the row of the chain knows, and only until the next entry replaces
it: the entry keeps the seal of its own nonce, and its digest covers the seal of the one before it
as well. So

- an edited entry does not fit its digest, and a removed one leaves a gap in the numbers;
- the newest entries cannot be removed by turning the row of the chain back, for the nonce that it
  had then is nowhere any more; nor does the next entry hide that, for its digest covers what it
  found;
- pruning, which removes the oldest of a chain, leaves a mark of where it came to.

An entry takes any chain that nobody else is writing to in that moment, so that nobody waits, and
no two recordings wait for each other, as long as there are fewer of them than chains. A chain is
locked by its recording, after everything else that a service locks; or, by one statement that does
all of it, before, and then only if it is free (see ``accounts.services.statement``).

What it cannot show: what somebody did who has ``SECRET_KEY`` (or one of the fallbacks), or who put
back an older copy of the rows of the chains together with the entries; that the record was emptied
as a whole, chains and all; a changed ``id``, ``user`` or ``actor`` (these two become null when an
account goes; the name is covered); and anything about entries from before there were proofs, but
their number. Against the first two helps an anchor elsewhere: the number of entries that were ever
recorded, which ``manage.py verify_audit --json`` prints, never falls.
"""

from __future__ import annotations

import hashlib
import json
import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Final, NamedTuple

from django.apps import AppConfig
from django.apps import apps as installed_apps
from django.apps.registry import Apps
from django.conf import settings
from django.db import connections, router
from django.db.models import Max
from django.db.models.signals import post_migrate
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

from accounts.models import AuditChain, LogoutEvent
from accounts.services.transactions import database

CHAINS: Final = 32
"""How many recordings can be under way before one waits for another. It may only grow, and then
by a migration that begins the new ones."""

COVERED: Final = (
    "username",
    "initiator",
    "reason",
    "scope",
    "token_jti",
    "sessions_ended",
    "tokens_revoked",
    "user_agent",
    "request_id",
    "chain",
    "number",
    "seal",
)
"""What a digest covers, besides the time, the session and the address, and the seal before it."""


def _nonce() -> str:
    return secrets.token_hex(16)


class _Place(NamedTuple):
    chain: int
    newest: int
    found: str  # the nonce of the entry before


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """What a place for so many entries is asked for with, by ``PLACED``; and the place, if given.

    ``nonce`` is that of the last of them.
    """

    entries: int
    nonce: str = field(default_factory=_nonce)
    place: _Place | None = None

    @property
    def params(self) -> dict[str, int | str]:
        """The parameters of ``PLACED``."""
        return {
            "chains": CHAINS,
            "first_chain": random.randrange(CHAINS),  # noqa: S311 - spreads the load
            "entries": self.entries,
            "nonce": self.nonce,
        }

    def given(self, row: Sequence[Any] | None) -> Claim:  # Any: as a cursor has it
        """Return this with the columns of ``placed``, or with no place where these are null."""
        return replace(self, place=_Place(*row) if row and row[0] is not None else None)


# MATERIALIZED, so that it is asked once: each asking locks another chain.
PLACED: Final = """
found AS MATERIALIZED (
    SELECT number, nonce FROM accounts_auditchain WHERE {after}
    ORDER BY (number + %(first_chain)s) %% %(chains)s LIMIT 1 FOR UPDATE SKIP LOCKED
),
placed AS (
    UPDATE accounts_auditchain AS chain
    SET entries = chain.entries + %(entries)s, nonce = %(nonce)s
    FROM found WHERE chain.number = found.number
    RETURNING chain.number, chain.entries, found.nonce
)
"""
"""The parts of a statement that take the next numbers of a chain which nobody else holds."""


def prove(events: Sequence[LogoutEvent], *, claim: Claim | None = None) -> None:
    """Give these events, which the same transaction is about to insert, their proof.

    In the place that a statement has taken for them, if it has found one.
    """
    claim = claim or Claim(entries=len(events))
    place = claim.place or _advance_free(claim) or _advance_any(claim)
    nonces = [*(_nonce() for _ in events[1:]), claim.nonce]
    before = seal(place.found)
    first = place.newest - len(events) + 1
    for number, (event, own) in enumerate(zip(events, nonces, strict=True), first):
        event.chain, event.number, event.seal = place.chain, number, seal(own)
        event.digest = _hmac(_entry(event, before), settings.SECRET_KEY)
        before = event.seal


def fits(event: LogoutEvent, before: str) -> bool:
    """Whether an entry says what it said when it was recorded, after the one with that seal."""
    return _vouches(event.digest, _entry(event, before))


def seal(nonce: str) -> str:
    """Return what an entry keeps of its nonce."""
    return hashlib.sha256(nonce.encode()).hexdigest()


def mark(chain: AuditChain) -> None:
    """Vouch for where a chain begins."""
    chain.mark = _hmac(_beginning(chain), settings.SECRET_KEY)


def is_marked(chain: AuditChain) -> bool:
    """Whether a chain begins where pruning has left it."""
    return _vouches(chain.mark, _beginning(chain))


def begin() -> None:
    """Begin the chains, if there is none: entries that there are already have no proof."""
    if AuditChain.objects.using(database()).exists():
        return
    newest = LogoutEvent.objects.using(database()).aggregate(newest=Max("pk"))["newest"] or 0
    chains = []
    for number in range(CHAINS):
        nonce = _nonce()
        chain = AuditChain(
            number=number, nonce=nonce, pruned_seal=seal(nonce), unproved_until=newest
        )
        mark(chain)
        chains.append(chain)
    # A request beside this one may do the same.
    AuditChain.objects.using(database()).bulk_create(chains, ignore_conflicts=True)


def _begin_after_migration(
    sender: AppConfig,
    using: str,
    apps: Apps = installed_apps,
    **kwargs: Any,  # Any: Django's own
) -> None:
    """Begin the chains where their table has just been made, or emptied by ``flush``."""
    known = AuditChain._meta.label_lower in {m._meta.label_lower for m in apps.get_models()}
    ours = sender.label == AuditChain._meta.app_label
    if ours and known and using == database() and router.allow_migrate_model(using, AuditChain):
        begin()


post_migrate.connect(_begin_after_migration)


def look_up() -> Claim:
    """Return a claim for the next place of a chain as it is now, if it is there; lock nothing."""
    chain = random.randrange(CHAINS)  # noqa: S311 - spreads the load
    with connections[database()].cursor() as cursor:
        cursor.execute(
            "SELECT number, entries + 1, nonce FROM accounts_auditchain WHERE number = %s", [chain]
        )
        return Claim(entries=1).given(cursor.fetchone())


_ADVANCE: Final = f"WITH {PLACED.format(after='TRUE')} SELECT * FROM placed"  # noqa: S608 - no value is put in


def _advance_free(claim: Claim) -> _Place | None:
    """Take a chain that nobody else holds, in one statement; None if there is none."""
    connection = connections[database()]
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute(_ADVANCE, claim.params)
        return claim.given(cursor.fetchone()).place


def _advance_any(claim: Claim) -> _Place:
    """Wait for a chain, on any database; begin them where there are none (a test emptied them)."""
    chains = AuditChain.objects.using(database())
    number = random.randrange(CHAINS)  # noqa: S311 - as above
    while (chain := chains.select_for_update().filter(pk=number).first()) is None:
        begin()
        # Should one be missing, logouts go on without it: to tell is up to ``verify_audit``.
        number = random.choice(chains.values_list("pk", flat=True))  # noqa: S311 - as above
    newest = chain.entries + claim.entries
    chains.filter(pk=number).update(entries=newest, nonce=claim.nonce)
    return _Place(number, newest, chain.nonce)


def _entry(event: LogoutEvent, before: str) -> str:
    said = {name: getattr(event, name) or "" for name in COVERED}
    said["occurred_at"] = _moment(event.occurred_at)
    said["session_id"] = str(event.session_id or "")
    said["ip_address"] = _packed(event.ip_address)
    return json.dumps(["entry", before, said], sort_keys=True)


def _moment(value: datetime) -> str:
    aware = timezone.make_aware(value) if timezone.is_naive(value) else value
    return aware.astimezone(UTC).isoformat()


def _packed(address: str | None) -> str:
    """Return an address as its bytes: databases, and versions of Python, write it differently."""
    try:
        return ip_address(address or "").packed.hex()
    except ValueError:
        return address or ""


def _beginning(chain: AuditChain) -> str:
    said = [chain.number, chain.pruned, chain.pruned_seal, chain.unproved_until]
    return json.dumps(["chain", *said])


def _hmac(value: str, secret: str | bytes) -> str:
    return salted_hmac(__name__, value, secret=secret, algorithm="sha256").hexdigest()


def _vouches(hmac: str, value: str) -> bool:
    return any(
        constant_time_compare(hmac, _hmac(value, secret))
        for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    )
