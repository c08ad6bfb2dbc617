"""The project as it is deployed, in a temporary folder: PostgreSQL, migrations, gunicorn."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import django
from django.core.management import call_command
from django.db import connections

from benchmarks.drills.client import Client
from benchmarks.drills.postgresql import PostgreSQL
from benchmarks.drills.webserver import WebServer


@dataclass(frozen=True, kw_only=True)
class Project:
    """What runs, and a client of it."""

    postgresql: PostgreSQL
    webserver: WebServer
    client: Client


@contextmanager
def running(
    *, workers: int, threads: int, settings: str = "benchmarks.drills.settings"
) -> Iterator[Project]:
    """Run the project, with this process set up to look into its tables."""
    # Who asks the drill to stop means its servers too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="drill-")))
        postgresql = PostgreSQL(folder)
        stack.callback(postgresql.close)
        postgresql.start()
        _set_up_django(postgresql, settings)
        stack.callback(connections.close_all)
        call_command("migrate", verbosity=0)
        webserver = WebServer(folder, workers=workers, threads=threads)
        stack.callback(webserver.close)
        webserver.wait()
        yield Project(
            postgresql=postgresql, webserver=webserver, client=Client(port=webserver.port)
        )


def _set_up_django(postgresql: PostgreSQL, settings: str) -> None:
    # The drill and its web server have to agree, whatever this shell is set up for.
    for name in ("DEBUG", "DATABASE_URL", "REDIS_URL", "TRUSTED_PROXIES"):
        os.environ.pop(name, None)
    os.environ.update(
        DJANGO_SETTINGS_MODULE=settings,
        DRILL_DATABASE_HOST=str(postgresql.data),
        DRILL_GUESSES=str(postgresql.data.parent / "guesses.log"),
        SECRET_KEY=secrets.token_urlsafe(50),
        JWT_SIGNING_KEY=secrets.token_urlsafe(50),
        ALLOWED_HOSTS="127.0.0.1",
        SECURE_SSL_REDIRECT="0",
    )
    django.setup()
