"""The drills' settings, for what is measured in process: not passwords, and not logs."""

from __future__ import annotations

import os

from benchmarks.drills.settings import *  # noqa: F403
from benchmarks.drills.settings import DATABASES

DATABASES["default"]["NAME"] = os.environ.get("GROWTH_DATABASE", "postgres")
DEBUG = False
ALLOWED_HOSTS = ["testserver"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGGING_CONFIG = None
