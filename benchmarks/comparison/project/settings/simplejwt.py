"""SimpleJWT with its own blacklist of refresh tokens."""

from __future__ import annotations

from benchmarks.comparison.project.settings.base import *  # noqa: F403
from benchmarks.comparison.project.settings.base import APPS, DJANGO_APPS, RENDERERS

COMPARISON_DRIVER = "benchmarks.comparison.project.drivers.simplejwt"
INSTALLED_APPS = [
    *APPS,
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    *DJANGO_APPS,
]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework_simplejwt.authentication.JWTAuthentication",
    ],
    "DEFAULT_RENDERER_CLASSES": RENDERERS,
}
