"""``manage.py create_client``: register a service that asks about tokens, or revokes them."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from accounts.models import Client, database


class Command(BaseCommand):
    """Register a client, or give one a new secret, and show the secret this once."""

    help = (
        "Registers a client (RFC 6749 §2) and prints its id and its secret, which is shown this "
        "once: only its hash is kept. With --new-secret, an existing client gets another one; the "
        "secret before it counts until there is another new one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the client's name, and what it may do."""
        parser.add_argument("client_id", help="Letters, digits, hyphens and underscores.")
        parser.add_argument(
            "--may-revoke", action="store_true", help="Let it revoke tokens (RFC 7009)."
        )
        parser.add_argument(
            "--no-introspect",
            action="store_false",
            dest="may_introspect",
            help="Do not let it introspect tokens (RFC 7662).",
        )
        parser.add_argument(
            "--new-secret", action="store_true", help="Make a new secret for an existing client."
        )

    def handle(
        self,
        *,
        client_id: str,
        may_revoke: bool,
        may_introspect: bool,
        new_secret: bool,
        **options: Any,  # Django's own
    ) -> None:
        """Make the secret, and print it."""
        client = Client.objects.using(database()).filter(client_id=client_id).first()
        if client is not None and not new_secret:
            told = _("There is a client “%s” already. With --new-secret it gets a new secret.")
            raise CommandError(told % client_id)
        if client is None and new_secret:
            raise CommandError(_("There is no client “%s”.") % client_id)
        if client is None:
            client = Client(
                client_id=client_id, may_revoke=may_revoke, may_introspect=may_introspect
            )
            try:
                client.clean_fields()
            except ValidationError as error:
                raise CommandError(" ".join(error.messages)) from error
        secret = client.renew_secret()
        client.save(using=database())
        self.stdout.write(f"client_id={client.client_id}\nclient_secret={secret}")
