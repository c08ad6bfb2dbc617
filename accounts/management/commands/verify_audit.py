"""``manage.py verify_audit``: look for entries of the record that were edited or removed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.management import batches, seals
from accounts.management.interruption import Interruption
from accounts.management.seals import Finding, Kind

SHOWN: Final = 1_000
"""How many findings are listed; all are counted."""

_SENTENCES: Final = {
    Kind.CHANGED: gettext_lazy("Ids %(first)d to %(last)d (seal %(seal)d): an entry was changed."),
    Kind.REMOVED: gettext_lazy("Ids %(first)d to %(last)d (seal %(seal)d): entries were removed."),
    Kind.INSERTED: gettext_lazy(
        "Ids %(first)d to %(last)d: entries were inserted after their seal was made."
    ),
    Kind.UNSEALED: gettext_lazy(
        "Ids %(first)d to %(last)d: entries older than an hour have no seal. Is seal_audit running?"
    ),
    Kind.SEAL: gettext_lazy(
        "Seal %(seal)d (ids %(first)d to %(last)d): it, or one before or after it, was changed or "
        "removed, or is of another SECRET_KEY."
    ),
}


@dataclass(kw_only=True, slots=True)
class _Report:
    """How far a run came; the keys of ``--json``."""

    entries: int = 0
    unsealed: int = 0
    seals: int = 0
    pruned: int = 0
    found: int = 0
    findings: list[Finding] = field(default_factory=list)


class Command(BaseCommand):
    """Read the record seal after seal, and list what does not fit."""

    help = (
        "Reads the record of logouts against its seals, and lists what somebody edited, removed or "
        "inserted behind Django's back. Safe beside traffic. Run it before prune_accounts, and "
        "keep an old SECRET_KEY in SECRET_KEY_FALLBACKS as long as entries from its time are kept. "
        "The keys of --json: complete (true or false); entries (how many were read); unsealed (how "
        "many have no seal yet); seals (how many were ever made: keep it elsewhere, for it never "
        "falls), pruned (how many of these were); found (how many findings), findings (the first "
        "thousand: kind, which is changed, removed, inserted, unsealed or seal; seal, which is a "
        "number; first and last, which are ids). Exit status: 0, 1 if anything was found or it "
        "failed, 130 if Ctrl-C or SIGTERM stopped it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take how to answer."""
        batches.add_json(parser)

    def handle(
        self,
        *,
        as_json: bool,
        verbosity: int,
        **options: Any,  # Any: Django's own
    ) -> None:
        """Read the record, and say what was found, however it ended."""
        report, failure = _Report(), None
        with (
            Interruption() as interruption,
            batches.progress_bar(seals.entries().count, verbosity=verbosity, unit="rows") as bar,
        ):
            try:
                for page in batches.each(seals.verify(), bar, interruption):
                    report.entries += page.entries
                    report.found += len(page.findings)
                    report.findings += page.findings[: SHOWN - len(report.findings)]
                    bar.update(page.entries)
                newest = seals.newest_seal()
                report.seals, report.pruned = newest.number, newest.oldest - 1
                report.unsealed = seals.entries().filter(pk__gt=newest.last).count()
            except DatabaseError as error:
                failure = error
        complete = failure is None and not interruption.requested
        self.stdout.write(_as_json(report, complete=complete) if as_json else _as_text(report))
        _exit(report, failure, interruption)


def _as_json(report: _Report, *, complete: bool) -> str:
    findings = [finding._asdict() for finding in report.findings]
    return json.dumps({"complete": complete, **asdict(report), "findings": findings})


def _as_text(report: _Report) -> str:
    lines = [_SENTENCES[finding.kind] % finding._asdict() for finding in report.findings]
    if (more := report.found - len(lines)) > 0:
        lines.append(ngettext("And %d more.", "And %d more.", more) % more)
    entries = ngettext("Read %d entry.", "Read %d entries.", report.entries) % report.entries
    unsealed = ngettext("%d has no seal yet.", "%d have no seal yet.", report.unsealed)
    lines.append(f"{entries} {unsealed % report.unsealed}" if report.unsealed else entries)
    return "\n".join(lines)


def _exit(report: _Report, failure: DatabaseError | None, interruption: Interruption) -> None:
    if failure is not None:
        message = _("Stopped by an error; the rest was not read: %s")
        raise CommandError(message % failure) from failure
    if interruption.requested:
        message = _("Stopped; the rest was not read.")
        raise CommandError(message, returncode=batches.INTERRUPTED)
    if report.found:
        message = ngettext(
            "The record does not fit its seals: %d finding.",
            "The record does not fit its seals: %d findings.",
            report.found,
        )
        raise CommandError(message % report.found)
