"""SimpleJWT with the recipe that blacklists access tokens as well."""

from __future__ import annotations

from benchmarks.comparison.project.settings.simplejwt import *  # noqa: F403
from benchmarks.comparison.project.settings.simplejwt import REST_FRAMEWORK

COMPARISON_DRIVER = "benchmarks.comparison.project.drivers.recipe"
REST_FRAMEWORK = {
    **REST_FRAMEWORK,
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "benchmarks.comparison.project.recipe.authentication.BlacklistAuthentication",
    ],
}
