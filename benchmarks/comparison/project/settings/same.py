"""What is the same for all, ours too: Django's default middleware, the database, the routes."""

from __future__ import annotations

import json
import os

ALLOWED_HOSTS = ["testserver", "127.0.0.1"]

# Those of a project that has just been started.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
SECURE_SSL_REDIRECT = False

ROOT_URLCONF = "benchmarks.comparison.project.urls"
WSGI_APPLICATION = "benchmarks.comparison.project.wsgi.application"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "USER": "postgres",
        "HOST": os.environ["COMPARISON_HOST"],
        "NAME": os.environ["COMPARISON_DATABASE"],
        **json.loads(os.environ["COMPARISON_CONNECTION"]),
    },
}
