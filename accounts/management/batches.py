"""What the commands that work in batches have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn, TypeVar

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError
from django.utils.translation import gettext as _
from tqdm import tqdm

from accounts.management.interruption import Interruption

T = TypeVar("T")

INTERRUPTED: Final = 130
"""The exit status that a shell knows for a program that Ctrl-C has stopped."""


def add_arguments(parser: CommandParser, *, size: int) -> None:
    """Add the options of a command that changes rows; of that many at a time if nothing is said."""
    parser.add_argument(
        "--batch-size",
        type=int,
        default=size,
        help=f"How many rows a batch takes. Default: {size}.",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="Say what would happen, and change nothing."
    )
    add_json(parser)


def add_json(parser: CommandParser) -> None:
    """Add the option to answer a program."""
    parser.add_argument(
        "--json",
        action="store_true",
        dest="as_json",
        help="Print one JSON object in place of the sentence; its keys are listed above.",
    )


def check_size(size: int) -> None:
    """Raise ``CommandError`` for a batch of no rows."""
    if size < 1:
        raise CommandError(_("--batch-size has to be 1 or more."))


def progress_bar(count: Callable[[], int], *, verbosity: int, unit: str) -> tqdm[NoReturn]:
    """Return a bar on stderr, if that is a terminal; only then is counted how much there is."""
    hidden = verbosity == 0 or not sys.stderr.isatty()
    return tqdm(total=None if hidden else count(), disable=hidden, unit=f" {unit}", file=sys.stderr)


def each(steps: Iterator[T], bar: tqdm[Any], interruption: Interruption) -> Iterator[T]:
    """Take step after step, until none is left or somebody stops it."""
    while not interruption.requested:
        # A log may go to the same terminal: its lines are to stand above the bar.
        with bar.external_write_mode():
            step = next(steps, None)
        if step is None:
            return
        yield step


def check_end(failure: DatabaseError | None, interruption: Interruption) -> None:
    """Raise ``CommandError`` if a run did not come to its end."""
    if failure is not None:
        message = _("Stopped by an error; what is left is for the next run: %s")
        raise CommandError(message % failure) from failure
    if interruption.requested:
        raise CommandError(_("Stopped; what is left is for the next run."), returncode=INTERRUPTED)
