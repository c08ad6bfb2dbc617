"""The example project, set up as one of many hosts that share a Redis: with the verdict cache."""

from __future__ import annotations

from authproject.settings import *  # noqa: F403
from authproject.settings import ACCOUNTS, CACHES

# Its counts, and its verdicts, are the matter here: let no busy machine make it look down.
CACHES["default"]["OPTIONS"] = {"socket_connect_timeout": 30, "socket_timeout": 30}
ACCOUNTS = {
    **ACCOUNTS,
    "VERDICT_CACHE": "default",
    "VERDICT_MAX_AGE": 60,
    "LOGOUT_RATE": "1000000/1d",
}
