"""A PostgreSQL with the project's tables, and Python processes that use it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.drills.postgresql import PostgreSQL


@dataclass(frozen=True, kw_only=True)
class Server:
    """What runs, where it writes its log, and the environment of a process that uses it."""

    postgresql: PostgreSQL
    log: Path
    environment: dict[str, str]

    def python(self, *arguments: str, **environment: str) -> str:
        """Run Python to its end; return what it prints."""
        done = subprocess.run(
            [sys.executable, *arguments],
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout


@contextmanager
def running() -> Iterator[Server]:
    """Run it in a temporary folder, which goes in the end."""
    with tempfile.TemporaryDirectory(prefix="growth-") as name:
        postgresql = PostgreSQL(Path(name))
        try:
            postgresql.start()
            # Whatever this shell is set up for.
            unset = {"DATABASE_URL", "REDIS_URL", "TRUSTED_PROXIES"}
            server = Server(
                postgresql=postgresql,
                log=Path(name) / "postgresql.log",
                environment={
                    **{k: v for k, v in os.environ.items() if k not in unset},
                    "DJANGO_SETTINGS_MODULE": "benchmarks.growth.settings",
                    "DRILL_DATABASE_HOST": str(postgresql.data),
                    "SECRET_KEY": secrets.token_urlsafe(50),
                    "JWT_SIGNING_KEY": secrets.token_urlsafe(50),
                    "SECURE_SSL_REDIRECT": "0",
                    "DEBUG": "0",
                },
            )
            server.python("-m", "django", "migrate", "-v0")
            yield server
        finally:
            postgresql.close()
