"""Fixtures; each builds one thing."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache

PASSWORD = "password123"


@pytest.fixture(autouse=True)
def _fresh_rate_limits():
    cache.clear()


@pytest.fixture
def user(db):
    return get_user_model().objects.create_user(
        username="ana", email="ana@example.com", password=PASSWORD
    )


@pytest.fixture
def stranger(db):
    return get_user_model().objects.create_user(
        username="eve", email="eve@example.com", password=PASSWORD
    )
