"""A plugin for SimpleJWT's own suite: PostgreSQL in place of SQLite, and apps of ours besides."""

from __future__ import annotations

import json
import os
from pathlib import Path

from django.conf import LazySettings

_configure = LazySettings.configure
_results: dict[str, bool] = {}


def configure(self, **options):
    """Configure as their ``conftest.py`` does."""
    # Which server, libpq knows from the environment.
    options["DATABASES"] = {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "postgres",
            "TEST": {"NAME": "test_simplejwt"},
        }
    }
    apps = os.environ["BESIDE_APPS"].split()
    options["INSTALLED_APPS"] = [*options["INSTALLED_APPS"], *apps]
    _configure(self, **options)


LazySettings.configure = configure


def pytest_collectreport(report):
    if report.failed:
        _results[report.nodeid] = False


def pytest_runtest_logreport(report):
    # A test has several reports: of its parts, and of each subtest.
    _results[report.nodeid] = _results.get(report.nodeid, True) and not report.failed


def pytest_sessionfinish():
    Path(os.environ["BESIDE_RESULTS"]).write_text(json.dumps(_results))
