"""``manage.py demo``: the project, with something to log in as."""

from __future__ import annotations

import contextlib
import secrets
import signal
import socket
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

HOST = "127.0.0.1"
EMAIL = "test@example.com"
PASSWORD = "password123"  # noqa: S105 - README.md tells it to everybody

LINES = """
Open this in a browser: what runs here, with each request to try.

  {site}/
  user {email}, password {password}
  administrator admin, password {admin_password}

Or paste this into another terminal.

  # Log in:
  TOKEN=$(curl -s {api}/token -H 'Content-Type: application/json' \\
    -d '{{"grant_type": "password", "email": "{email}", "password": "{password}"}}' \\
    | python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
  # Who am I?
  curl -i {api}/user -H "Authorization: Bearer $TOKEN"
  # Log out:
  curl -i -X POST {api}/logout -H "Authorization: Bearer $TOKEN"
  # Refused:
  curl -i {api}/user -H "Authorization: Bearer $TOKEN"

Ctrl-C stops.
"""


class Command(BaseCommand):
    """Migrate, make the two users and serve."""

    help = "Serves the project for a first look, with a demo user and an administrator."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the port."""
        parser.add_argument("port", nargs="?", type=int, default=8000)

    def handle(self, *, port: int, **options: Any) -> None:
        """Serve until interrupted."""
        # So that the embedded PostgreSQL stops with us, however we are stopped.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        _check_port(port)
        call_command("migrate", verbosity=0)
        site = f"http://{HOST}:{port}"
        lines = LINES.format(
            site=site,
            api=f"{site}/api/v1/auth",
            email=EMAIL,
            password=PASSWORD,
            admin_password=_make_users(),
        )
        # From the moment that this says what Ctrl-C does.
        with contextlib.suppress(KeyboardInterrupt):
            self.stdout.write(lines)
            self.stdout.flush()
            call_command("runserver", f"{HOST}:{port}", use_reloader=False, skip_checks=True)


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise CommandError(
                f"Port {port} cannot be used ({error}). Another one: python3 -m authproject 8001"
            ) from error


def _make_users() -> str:
    """Make the users that are missing; return what to say of the administrator's password."""
    users = get_user_model()._default_manager
    if not users.filter(username=EMAIL).exists():
        users.create_user(username=EMAIL, email=EMAIL, password=PASSWORD)
    if users.filter(username="admin").exists():
        return (
            "as printed the first time; a new one: .venv/bin/python manage.py changepassword admin"
        )
    password = secrets.token_urlsafe(12)
    users.create_superuser(username="admin", email="admin@example.com", password=password)
    return password
