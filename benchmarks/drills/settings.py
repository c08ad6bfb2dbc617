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
ROOT_URLCONF = "benchmarks.drills.urls"
# A drill is one client, and its guesses are many: neither limits nor slow hashes are drilled.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
_NO_LIMIT = "1000000000/1d"
ACCOUNTS = {
    **ACCOUNTS,
    "LOGOUT_RATE": _NO_LIMIT,
    "PASSWORD_RATE": _NO_LIMIT,
    "ADDRESS_RATE": _NO_LIMIT,
}
# What is refused at the end of a drill has been revoked: it has not run out.
SIMPLE_JWT = {**SIMPLE_JWT, "ACCESS_TOKEN_LIFETIME": timedelta(days=1)}
