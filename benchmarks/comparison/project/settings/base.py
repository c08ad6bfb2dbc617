"""What is the same for all peers: the apps of Django, the lifetimes, the log."""

from __future__ import annotations

import os
from datetime import timedelta

from benchmarks.comparison.project.settings.same import *  # noqa: F403

DEBUG = False
SECRET_KEY = os.environ["SECRET_KEY"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

APPS = ["benchmarks.comparison.project"]
DJANGO_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

RENDERERS = ["rest_framework.renderers.JSONRenderer"]

SIMPLE_JWT = {
    # Nothing runs out during a run.
    "ACCESS_TOKEN_LIFETIME": timedelta(days=1),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=14),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"text": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {
        "text": {"class": "benchmarks.comparison.project.logs.Formatted", "formatter": "text"},
    },
    "root": {"handlers": ["text"], "level": "INFO"},
}
