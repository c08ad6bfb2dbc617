"""The example project, set up for the drills: on their PostgreSQL, and out of their way."""

from __future__ import annotations

import os
from datetime import timedelta

from authproject.settings import *  # noqa: F403
from authproject.settings import ACCOUNTS, SIMPLE_JWT

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "postgres",
        "USER": "postgres",
        "HOST": os.environ["DRILL_DATABASE_HOST"],
        # A connection that outlives its server is harder than one for each request.
        "CONN_MAX_AGE": None,
    },
}
ACCOUNTS = {**ACCOUNTS, "LOGOUT_RATE": "1000000000/1d"}
# What is refused at the end of a drill has been revoked: it has not run out.
SIMPLE_JWT = {**SIMPLE_JWT, "ACCESS_TOKEN_LIFETIME": timedelta(days=1)}
