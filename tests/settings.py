"""The example project, set up for its tests."""

from __future__ import annotations

import os

os.environ.setdefault("DEBUG", "1")

from authproject.settings import *  # noqa: F403

# Fast, and still a hasher of Django's; test_settings.py sees to the real ones.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
