"""django-rest-knox, as it comes."""

from __future__ import annotations

from benchmarks.comparison.project.settings.base import *  # noqa: F403
from benchmarks.comparison.project.settings.base import APPS, DJANGO_APPS, RENDERERS

COMPARISON_DRIVER = "benchmarks.comparison.project.drivers.knox"
INSTALLED_APPS = [*APPS, "rest_framework", "knox", *DJANGO_APPS]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["knox.auth.TokenAuthentication"],
    "DEFAULT_RENDERER_CLASSES": RENDERERS,
}
