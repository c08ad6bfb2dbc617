"""The drills' settings, for what is measured in process: not passwords, and not logs."""

from __future__ import annotations

from benchmarks.drills.settings import *  # noqa: F403

DEBUG = False
ALLOWED_HOSTS = ["testserver"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGGING_CONFIG = None
ROOT_URLCONF = "benchmarks.growth.urls"
