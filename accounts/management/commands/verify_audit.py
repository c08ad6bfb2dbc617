"""``manage.py verify_audit``: look for entries of the record that were edited or removed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.management import batches
from accounts.management.interruption import Interruption
from accounts.services import verification
from accounts.services.verification import Finding, Kind

SHOWN: Final = 1_000
"""How many findings are listed; all are counted."""

_SENTENCES: Final = {
    Kind.CHANGED: gettext_lazy(
        "Chain %(chain)s, number %(first)s (id %(event)s): the entry, or its place, was changed."
    ),
    Kind.REMOVED: gettext_lazy(
        "Chain %(chain)s, numbers %(first)s to %(last)s: removed. The next cannot be checked."
    ),
    Kind.INSERTED: gettext_lazy(
        "Chain %(chain)s, number %(first)s (id %(event)s): inserted, for its place is not free."
    ),
    Kind.UNPROVED: gettext_lazy(
        "Id %(event)s: inserted, or recorded by an older release, for it has no proof."
    ),
    Kind.CHAIN_REMOVED: gettext_lazy(
        "Chain %(chain)s: its row was removed, so its entries cannot be checked."
    ),
    Kind.CHAIN_CHANGED: gettext_lazy(
        "Chain %(chain)s: its row was changed, or entries at one of its ends were removed with it."
    ),
}


@dataclass(kw_only=True, slots=True)
class _Report:
    """How far a run came; the keys of ``--json``."""

    accepted: int = 0
    entries: int = 0
    unproved: int = 0
    recorded: int = 0
    pruned: int = 0
    found: int = 0
    findings: list[Finding] = field(default_factory=list)


class Command(BaseCommand):
    """Read the record page after page, and list what does not fit."""

    help = (
        "Reads the record of logouts against its proof, and lists the entries that somebody "
        "edited, removed or inserted behind Django's back. Safe beside traffic. Run it before "
        "prune_accounts, and keep an old SECRET_KEY in SECRET_KEY_FALLBACKS as long as entries "
        "from its time are kept. The keys of --json: complete (true or false); accepted; entries "
        "(how many were read), unproved (how many of these are from before there were proofs); "
        "recorded (how many ever had a proof: keep it elsewhere, for it never falls), pruned (how "
        "many of these were); found (how many findings), findings (the first thousand: kind, "
        "which is changed, removed, inserted, unproved, chain_removed or chain_changed; chain; "
        "first and last, which are numbers; event, which is an id). Exit status: 0, 1 if "
        "anything was found or it failed, 130 if Ctrl-C or SIGTERM stopped it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take how to read and to answer."""
        parser.add_argument(
            "--accept-unproved",
            action="store_true",
            help="Take the entries without a proof that there are now for genuine: once, when no "
            "process of a release without proofs is left.",
        )
        parser.add_argument(
            "--batch-size",
            type=int,
            default=1000,
            help="How many rows a batch takes. Default: 1000.",
        )
        parser.add_argument(
            "--json",
            action="store_true",
            dest="as_json",
            help="Print one JSON object in place of the list; its keys are listed above.",
        )

    def handle(
        self,
        *,
        accept_unproved: bool,
        batch_size: int,
        as_json: bool,
        verbosity: int,
        **options: Any,  # Any: Django's own
    ) -> None:
        """Read the record, and say what was found, however it ended."""
        batches.check_size(batch_size)
        report, failure = _Report(), None
        with (
            Interruption() as interruption,
            batches.progress_bar(verification.count, verbosity=verbosity, unit="rows") as bar,
        ):
            try:
                if accept_unproved:
                    report.accepted = verification.accept_unproved()
                for page in verification.verify(size=batch_size):
                    report.entries += page.entries
                    report.unproved += page.unproved
                    report.found += len(page.findings)
                    report.findings += page.findings[: SHOWN - len(report.findings)]
                    bar.update(page.entries)
                    if interruption.requested:
                        break
                total = verification.total()
                report.recorded, report.pruned = total.recorded, total.pruned
            except DatabaseError as error:
                failure = error
        complete = failure is None and not interruption.requested
        self.stdout.write(_as_json(report, complete=complete) if as_json else _as_text(report))
        _exit(report, failure, interruption)


def _as_json(report: _Report, *, complete: bool) -> str:
    return json.dumps({"complete": complete, **asdict(report)})


def _as_text(report: _Report) -> str:
    lines = [_SENTENCES[finding.kind] % asdict(finding) for finding in report.findings]
    if (more := report.found - len(lines)) > 0:
        lines.append(ngettext("And %d more.", "And %d more.", more) % more)
    entries = ngettext("Read %d entry.", "Read %d entries.", report.entries) % report.entries
    unproved = ngettext(
        "%d of them is from before there were proofs, and cannot be checked.",
        "%d of them are from before there were proofs, and cannot be checked.",
        report.unproved,
    )
    lines.append(f"{entries} {unproved % report.unproved}" if report.unproved else entries)
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
            "The record does not fit its proof: %d finding.",
            "The record does not fit its proof: %d findings.",
            report.found,
        )
        raise CommandError(message % report.found)
