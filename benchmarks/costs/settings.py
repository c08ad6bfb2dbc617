"""The example project as it is deployed, with no limit in the way of being measured."""

from __future__ import annotations

from datetime import timedelta

from authproject.settings import *  # noqa: F403
from authproject.settings import ACCOUNTS, SIMPLE_JWT

ACCOUNTS = {**ACCOUNTS, "LOGOUT_RATE": "1000000000/1d"}
SIMPLE_JWT = {**SIMPLE_JWT, "ACCESS_TOKEN_LIFETIME": timedelta(days=1)}
