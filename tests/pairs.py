"""Key pairs, and what deploys with them."""

from __future__ import annotations

from functools import cache

import pytest
from rest_framework_simplejwt import state
from rest_framework_simplejwt.backends import TokenBackend

from accounts.management import keys

EACH_ALGORITHM = pytest.mark.parametrize("algorithm", keys.ALGORITHMS)


@cache
def _made(algorithm: str, name: str) -> str:
    return keys.create(algorithm)


def private(algorithm: str = "ES256", name: str = "old") -> str:
    """Return the private key of this name, as PEM: the same for each caller."""
    return _made(algorithm, name)


def public(algorithm: str = "ES256", name: str = "old") -> str:
    """Return its public half."""
    return keys.public_key(private(algorithm, name))


@pytest.fixture
def deploy(monkeypatch, settings):
    """Deploy with this key of a pair and these fallbacks; further arguments are SimpleJWT's."""

    def run(algorithm="ES256", name="old", *fallbacks, **more):
        backend = TokenBackend(algorithm, private(algorithm, name), public(algorithm, name), **more)
        monkeypatch.setattr(state, "token_backend", backend)
        settings.ACCOUNTS = {
            **settings.ACCOUNTS,
            "SIGNING_KEY_FALLBACKS": [public(algorithm, other) for other in fallbacks],
        }

    return run
