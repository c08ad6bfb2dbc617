"""``manage.py prune_accounts``: remove the rows that nothing asks for any more."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError
from django.db.models import QuerySet
from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from tqdm import tqdm

from accounts.management import batches, pruning, seals
from accounts.management.interruption import Interruption
from accounts.management.pruning import Batch, Key


class _PruneBatch(Protocol):
    def __call__(self, *, size: int, after: Key | None) -> Batch: ...


class _Prune(Protocol):
    def __call__(self, *, size: int) -> Iterator[int]: ...


class _Table(NamedTuple):
    rows: Callable[[], QuerySet[Any]]  # Any: of one model or another
    prune: _Prune


def _each(prune: _PruneBatch, *, size: int) -> Iterator[int]:
    """Prune batch after batch; yield how many rows each of them removed."""
    batch = prune(size=size, after=None)
    yield batch.removed
    while batch.last is not None:
        batch = prune(size=size, after=batch.last)
        yield batch.removed


def _prune_record(*, size: int) -> Iterator[int]:
    """Seal what has no seal, and prune; yield how many entries went each time."""
    # What is old has seals of its own, since a seal goes as a whole.
    for among in (seals.old_entries(), seals.entries()):
        for _made in seals.seal(among):
            yield 0
    yield from seals.prune(size=size)


TABLES: Final = {
    "sessions": _Table(pruning.expired_sessions, partial(_each, pruning.prune_sessions)),
    "tokens": _Table(pruning.expired_tokens, partial(_each, pruning.prune_tokens)),
    "events": _Table(seals.old_entries, _prune_record),
}


class Command(BaseCommand):
    """Prune table after table, batch after batch, until nothing is left or somebody stops it."""

    help = (
        "Removes logins and anonymous sessions that have run out, SimpleJWT's rows of expired "
        "tokens, and logout events older than AUDIT_RETENTION: all that a seal covers, once all "
        "of it is that old; what has no seal is sealed first. Safe beside traffic. Stopped in the "
        "middle, it loses nothing and the next run goes on. The keys of --json: dry_run and "
        "complete (true or false); sessions, tokens and events (how many were removed, or in a dry "
        "run would be). Exit status: 0, 1 if it failed, 130 if Ctrl-C or SIGTERM stopped it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the options of a command that works in batches."""
        # As many as go in much less than a tenth of a second, which is how long a row is locked.
        batches.add_arguments(parser, size=5000)

    def handle(
        self,
        *,
        batch_size: int,
        dry_run: bool,
        as_json: bool,
        verbosity: int,
        **options: Any,  # Django's own
    ) -> None:
        """Prune, and say what was removed, however it ended."""
        batches.check_size(batch_size)
        if dry_run:
            counts = {name: table.rows().count() for name, table in TABLES.items()}
            self.stdout.write(_as_json(counts, dry_run=True) if as_json else _would_remove(counts))
            return
        removed = dict.fromkeys(TABLES, 0)
        failure = None
        with (
            Interruption() as interruption,
            batches.progress_bar(_count_all, verbosity=verbosity, unit="rows") as bar,
        ):
            try:
                _prune_all(removed, batch_size, interruption, bar)
            except DatabaseError as error:
                failure = error
        complete = failure is None and not interruption.requested
        self.stdout.write(_as_json(removed, complete=complete) if as_json else _removed(removed))
        batches.check_end(failure, interruption)


def _prune_all(
    removed: dict[str, int], size: int, interruption: Interruption, bar: tqdm[Any]
) -> None:
    """Count what goes into ``removed``, which holds until where it came even if this raises."""
    for name, table in TABLES.items():
        for rows in batches.each(table.prune(size=size), bar, interruption):
            removed[name] += rows
            bar.update(rows)


def _count_all() -> int:
    return sum(table.rows().count() for table in TABLES.values())


def _as_json(counts: Mapping[str, int], *, dry_run: bool = False, complete: bool = True) -> str:
    return json.dumps({"dry_run": dry_run, "complete": complete, **counts})


def _removed(counts: Mapping[str, int]) -> str:
    return _("Removed %s.") % _sentence(counts)


def _would_remove(counts: Mapping[str, int]) -> str:
    return _("Would remove %s.") % _sentence(counts)


def _sentence(counts: Mapping[str, int]) -> str:
    sessions, tokens, events = counts["sessions"], counts["tokens"], counts["events"]
    return get_text_list(
        [
            ngettext("%d session", "%d sessions", sessions) % sessions,
            ngettext("%d token", "%d tokens", tokens) % tokens,
            ngettext("%d logout event", "%d logout events", events) % events,
        ],
        _("and"),
    )
