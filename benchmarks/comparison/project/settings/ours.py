"""The example project, with a limit that counts and never refuses."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from authproject.settings import *  # noqa: F403
from authproject.settings import ACCOUNTS, INSTALLED_APPS, LOGGING, SIMPLE_JWT
from benchmarks.comparison.project.settings.same import *  # noqa: F403

COMPARISON_DRIVER = "benchmarks.comparison.project.drivers.ours"
INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks.comparison.project"]
ACCOUNTS = {**ACCOUNTS, "LOGOUT_RATE": "1000000000/1d"}
SIMPLE_JWT = {**SIMPLE_JWT, "ACCESS_TOKEN_LIFETIME": timedelta(days=1)}

# Its loggers and formats, to handlers that write nothing.
_handlers: Any = LOGGING["handlers"]  # Any: of dictConfig()
LOGGING = {
    **LOGGING,
    "handlers": {
        name: {**handler, "class": "benchmarks.comparison.project.logs.Formatted"}
        for name, handler in _handlers.items()
    },
}
