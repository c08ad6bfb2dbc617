"""The example project as it is deployed, with no limit in the way of being measured."""

from __future__ import annotations

import os
from datetime import timedelta

from authproject.settings import *  # noqa: F403
from authproject.settings import ACCOUNTS, SIMPLE_JWT

ACCOUNTS = {**ACCOUNTS, "LOGOUT_RATE": "1000000000/1d"}
if "COSTS_VERDICT_CACHE" in os.environ:
    ACCOUNTS |= {"VERDICT_CACHE": "default", "VERDICT_MAX_AGE": 60}
SIMPLE_JWT = {**SIMPLE_JWT, "ACCESS_TOKEN_LIFETIME": timedelta(days=1)}
