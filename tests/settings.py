"""The example project, set up for its tests."""

from __future__ import annotations

import os

os.environ.setdefault("DEBUG", "1")
if "REDIS_URL" in os.environ:
    # Each process of the tests clears counters of its own.
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    os.environ["REDIS_URL"] = os.environ["REDIS_URL"].rpartition("/")[0] + f"/{worker}"

from authproject.settings import *  # noqa: F403
from authproject.settings import DATABASES

# The threads of a race are more than a pool is meant for.
DATABASES["default"].get("OPTIONS", {}).pop("pool", None)
if "postgresql" in DATABASES["default"]["ENGINE"]:
    # Nothing here has to outlive a crash of the server, so nothing waits for the disk.
    DATABASES["default"]["OPTIONS"]["options"] = "-c synchronous_commit=off"

# Fast; test_authproject.py sees to the real ones.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# A client would begin by reading the folders of every application.
WHITENOISE_AUTOREFRESH = True

if "REDIS_URL" not in os.environ:
    # Faster than the counters in the database, which test_counters.py sees to.
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            "OPTIONS": {"MAX_ENTRIES": 100_000},
        },
    }
    RATELIMIT_USE_CACHE = "default"

# Django 6.1 asks for it; older ones send to memory by themselves.
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}

# For accounts.api.dj_rest_auth; the library reads it when it is imported.
REST_AUTH = {
    "USE_JWT": True,
    "JWT_AUTH_COOKIE": "access",
    "JWT_AUTH_REFRESH_COOKIE": "refresh",
    "SESSION_LOGIN": False,
    "TOKEN_MODEL": None,
    "OLD_PASSWORD_FIELD_ENABLED": True,
    "LOGIN_SERIALIZER": "accounts.api.dj_rest_auth.serializers.LoginSerializer",
    "JWT_TOKEN_CLAIMS_SERIALIZER": "accounts.api.dj_rest_auth.serializers.TokenClaimsSerializer",
    "PASSWORD_CHANGE_SERIALIZER": "accounts.api.dj_rest_auth.serializers.PasswordChangeSerializer",
}
