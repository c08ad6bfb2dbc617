"""``manage.py create_key``: make a key pair to sign tokens with."""

from __future__ import annotations

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from accounts.management import keys


class Command(BaseCommand):
    """Write the private key, and say what to set."""

    help = (
        "Makes a key pair to sign tokens with, whose public half other services find at "
        ".well-known/jwks.json. Writes the private key as PEM to a file that its owner alone can "
        "read, and never over another file; without a file, to the standard output. Says what to "
        "set. Changes no setting."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the algorithm and the file."""
        parser.add_argument("file", nargs="?", help="where the private key goes")
        parser.add_argument(
            "--algorithm",
            choices=keys.ALGORITHMS,
            default=keys.ALGORITHMS[0],
            help="%(default)s by default",
        )

    def handle(
        self,
        *,
        file: str | None,
        algorithm: str,
        **options: Any,  # Django's own
    ) -> None:
        """Make it."""
        try:
            private_key = keys.create(algorithm)
        except ImportError as error:
            raise CommandError(
                _("Key pairs need the library cryptography: pip install 'drf-logout[keys]'")
            ) from error
        if file is None:
            self.stdout.write(private_key)
        else:
            _write(file, private_key)
        said = self.stderr if file is None else self.stdout
        said.style_func = None
        said.write(
            _(
                'Set SIMPLE_JWT["ALGORITHM"] to "%s", SIMPLE_JWT["SIGNING_KEY"] to the private '
                'key, and SIMPLE_JWT["VERIFYING_KEY"] to this public key:'
            )
            % algorithm
        )
        said.write(keys.public_key(private_key))


def _write(path: str, text: str) -> None:
    """Write a new file; what is there, a link too, stays as it is."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
    except OSError as error:
        what = {"path": path, "error": error.strerror}
        raise CommandError(_("Cannot write to %(path)s: %(error)s.") % what) from error
