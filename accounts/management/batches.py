"""What the commands that work in batches have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final, NoReturn

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _
from tqdm import tqdm

INTERRUPTED: Final = 130
"""The exit status that a shell knows for a program that Ctrl-C has stopped."""


def add_arguments(parser: CommandParser, *, size: int) -> None:
    """Add the options that both commands take; a batch is of that size if nothing is said."""
    parser.add_argument(
        "--batch-size",
        type=int,
        default=size,
        help=f"How many rows a batch takes. Default: {size}.",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="Say what would happen, and change nothing.",
    )
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
