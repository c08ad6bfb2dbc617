"""For the tests of a host: a client that logs in, as its users do.

``self.client`` of a test case, by a mixin::

    from accounts.testing import LoginMixin

    class OrdersTest(LoginMixin, TestCase):
        def test_a_customer_sees_their_orders(self):
            self.client.log_in(self.customer)
            self.assertEqual(self.client.get("/orders").status_code, 200)

Or a fixture of pytest, with ``pytest_plugins = ["accounts.testing"]`` in ``conftest.py``::

    def test_a_customer_sees_their_orders(login_client, customer):
        login_client.log_in(customer)
        assert login_client.get("/orders").status_code == 200

Each ``LoginClient()`` is a device of its own. DRF's ``force_authenticate()`` is for views that ask
for the user alone: it begins no login, so what is about one answers 401.
"""

from __future__ import annotations

from contextlib import suppress

from rest_framework.test import APIClient
from rest_framework_simplejwt.settings import api_settings

from accounts import services
from accounts.api.serializers import minting
from accounts.clients import ClientInfo
from accounts.models import User


class LoginClient(APIClient):
    """DRF's client, with the access token of a login."""

    def log_in(self, user: User) -> services.TokenPair:
        """Log in without a password, and send the access token from then on."""
        pair = services.log_in(user=user, client=ClientInfo(), mint=minting())
        bearer = f"{api_settings.AUTH_HEADER_TYPES[0]} {pair.access}"
        self.credentials(**{api_settings.AUTH_HEADER_NAME: bearer})
        return pair


class LoginMixin:
    """A test case whose ``self.client`` logs in."""

    client_class = LoginClient


with suppress(ImportError):  # the tests of a host may run without pytest
    import pytest

    @pytest.fixture
    def login_client() -> LoginClient:
        """Return a client that logs in."""
        return LoginClient()
