"""``manage.py seal_audit``: seal the entries of the record that have no seal yet."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError
from django.utils.translation import ngettext

from accounts.management import batches, seals
from accounts.management.interruption import Interruption


class Command(BaseCommand):
    """Seal ten thousand entries at a time, until all of them are sealed or somebody stops it."""

    help = (
        "Seals the record of logouts, for verify_audit to show that nobody has changed it. To be "
        "run each minute, beside traffic. It waits for whoever is writing to the record, a minute "
        "at most, and nobody waits for it; where two of it run at once, one does the work. The "
        "keys of --json: complete (true or false); seals and entries (how many were sealed). Exit "
        "status: 0, 1 if it failed, 130 if Ctrl-C or SIGTERM stopped it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take how to answer."""
        batches.add_json(parser)

    def handle(
        self,
        *,
        as_json: bool,
        verbosity: int,
        **options: Any,  # Django's own
    ) -> None:
        """Seal, and say how much was sealed, however it ended."""
        count = {"seals": 0, "entries": 0}
        failure = None
        with (
            Interruption() as interruption,
            batches.progress_bar(_count, verbosity=verbosity, unit="rows") as bar,
        ):
            try:
                for made in batches.each(seals.seal(seals.entries()), bar, interruption):
                    count["seals"] += 1
                    count["entries"] += made.entries
                    bar.update(made.entries)
            except DatabaseError as error:
                failure = error
        complete = failure is None and not interruption.requested
        self.stdout.write(json.dumps({"complete": complete, **count}) if as_json else _text(count))
        batches.check_end(failure, interruption)


def _count() -> int:
    return seals.entries().filter(pk__gt=seals.newest_seal().last).count()


def _text(count: dict[str, int]) -> str:
    sentence = ngettext("Sealed %d entry.", "Sealed %d entries.", count["entries"])
    return sentence % count["entries"]
