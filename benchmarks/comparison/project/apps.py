"""The app of the table that the write floor inserts into."""

from __future__ import annotations

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """The worker project."""

    name = "benchmarks.comparison.project"
    label = "comparison"
    default_auto_field = "django.db.models.BigAutoField"
