"""dj-rest-auth, its tokens in the header and the body."""

from __future__ import annotations

from benchmarks.comparison.project.settings.base import *  # noqa: F403
from benchmarks.comparison.project.settings.base import APPS, DJANGO_APPS, RENDERERS

COMPARISON_DRIVER = "benchmarks.comparison.project.drivers.dj_rest_auth"
INSTALLED_APPS = [
    *APPS,
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "dj_rest_auth",
    *DJANGO_APPS,
]
REST_AUTH = {
    "USE_JWT": True,
    "TOKEN_MODEL": None,
    # A refresh token comes in the body, as everybody else's does.
    "JWT_AUTH_HTTPONLY": False,
}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["dj_rest_auth.jwt_auth.JWTCookieAuthentication"],
    "DEFAULT_RENDERER_CLASSES": RENDERERS,
}
