"""What a host's own tests do with the app: they force who asks, or log in."""

from __future__ import annotations

from pkgutil import resolve_name

import pytest
from django.test import TestCase
from django.urls import include, path
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView
from rest_framework_simplejwt.tokens import AccessToken as SimpleJWTAccessToken

from accounts.api.urls import drf
from accounts.models import Session
from accounts.permissions import RecentlyAuthenticated
from accounts.testing import LoginClient
from accounts.testing import login_client as login_client  # noqa: PLC0414 # a fixture
from tests.documents import code, run

from .conftest import PASSWORD

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class RecentView(APIView):
    """A view of the host that wants to know that it is still the same person."""

    permission_classes = [RecentlyAuthenticated]

    def get(self, request):
        return Response()


class OrdersView(APIView):
    """A view of the host that asks for a login."""

    def get(self, request):
        return Response(status=200 if request.user.is_authenticated else 401)


urlpatterns = [
    path("", include(drf)),
    path("recent", RecentView.as_view()),
    path("orders", OrdersView.as_view()),
]

REFUSED = (401, {"detail": "Token not provided or invalid", "code": "not_authenticated"})
ROUTES = [
    ("post", "/logout"),
    ("post", "/logout/all"),
    ("get", "/sessions"),
    ("delete", "/sessions/8a5f1f2e-0000-4000-8000-000000000000"),
    ("post", "/reauthenticate"),
]


@pytest.fixture(params=[None, "a token", SimpleJWTAccessToken()], ids=["none", "text", "stock"])
def forced(request, user):
    """DRF's client, that says who asks, with a token that is none of ours."""
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(user=user, token=request.param)
    return client


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_what_is_about_a_login_refuses_a_user_who_is_forced_without_one(forced, method, route):
    answer = getattr(forced, method)(route, {"password": PASSWORD}, format="json")

    assert (answer.status_code, answer.json()) == REFUSED


def test_a_forced_user_is_who_they_are(forced):
    assert forced.get("/user").json()["username"] == "ana"


def test_a_forced_user_is_not_recently_authenticated(forced):
    assert forced.get("/recent").status_code == 403


def test_nobody_is_recently_authenticated_by_somebodys_cookie(user):
    browser = APIClient(raise_request_exception=False)
    browser.force_login(user)
    Session.objects.update(reauthenticated_at=Session.objects.get().authenticated_at)
    browser.force_authenticate(token="a token")

    assert browser.get("/recent").status_code == 403


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_a_user_who_is_forced_with_a_token_of_ours_is_answered(phone, user, method, route):
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(user=user, token=phone.access)

    answer = getattr(client, method)(route, {"password": PASSWORD}, format="json")

    assert answer.status_code < 500


def test_a_client_logs_in_and_out(login_client, user):
    login_client.log_in(user)
    assert login_client.get("/user").json()["username"] == "ana"

    assert login_client.post("/logout").status_code == 200

    assert login_client.get("/user").status_code == 401


def test_each_client_is_a_device(login_client, user):
    laptop = LoginClient()
    laptop.log_in(user)
    login_client.log_in(user)

    login_client.post("/logout")

    assert laptop.get("/user").status_code == 200


def test_a_log_in_returns_the_tokens(login_client, user):
    pair = login_client.log_in(user)

    grant = {"grant_type": "refresh_token", "refresh_token": str(pair.refresh)}
    assert login_client.post("/token", grant, format="json").status_code == 200


# The tests of the page: pytest collects and runs them here, as in a host

ON_THE_PAGE, CONFTEST, BY_FIXTURE = code("docs/how-to/tests.md", "python")


@pytest.fixture
def customer(user):
    return user


class CustomerTestCase(TestCase):
    """What the tests of a host begin with."""

    @pytest.fixture(autouse=True)
    def _customer(self, customer):
        self.customer = customer


OrdersTest = run(ON_THE_PAGE, TestCase=CustomerTestCase, __name__=__name__).OrdersTest
del CustomerTestCase  # which has no test of its own

globals().update(vars(run(BY_FIXTURE, __name__=__name__)))


def test_the_plugin_of_the_page_has_the_fixture():
    [plugin] = run(CONFTEST).pytest_plugins
    assert resolve_name(plugin).login_client is login_client
