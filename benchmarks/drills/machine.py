"""The machine that a drill ran on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version


def describe(postgresql: str) -> str:
    """Return one line about what the numbers of a drill depend on."""
    return ", ".join(
        [
            f"{os.cpu_count()} cores",
            f"{platform.system()} {platform.machine()}",
            f"Python {platform.python_version()}",
            f"Django {version('django')}",
            f"gunicorn {version('gunicorn')}",
            f"PostgreSQL {postgresql}",
        ]
    )
