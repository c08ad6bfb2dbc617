"""The contract of hosts that have no wire of their own: DRF's conventions."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.urls import include, path, reverse
from django.utils import translation
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.contracts import DRF
from accounts.api.urls import drf, routes
from accounts.services import Scope

from .conftest import PASSWORD

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class HostView(APIView):
    """A protected view of the host."""

    def get(self, request):
        return Response()


urlpatterns = [
    path("auth/", include(drf)),
    path(
        "own/",
        include(routes(replace(DRF, language="es", default_scope=Scope.GLOBAL)), namespace="own"),
    ),
    path("host", HostView.as_view()),
]


@pytest.fixture
def ask():
    web = Client(raise_request_exception=False)

    def run(method, path, body=None, bearer=None, **headers):
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        return getattr(web, method)(
            path,
            body,
            content_type="application/json",
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )

    return run


def expired(token):
    token.set_exp(from_time=token.current_time - timedelta(days=1), lifetime=timedelta())
    return str(token)


@pytest.mark.parametrize(
    ("route", "text"),
    [("logout", "Logout successful"), ("logout/all", "Logged out from all devices")],
)
def test_a_success_has_a_detail(ask, phone, route, text):
    answer = ask("post", f"/auth/{route}", bearer=phone.access)

    assert (answer.status_code, answer.json()) == (200, {"detail": text})


def test_a_bare_logout_ends_this_login_alone(ask, phone, laptop):
    ask("post", "/auth/logout", bearer=phone.access)

    grant = {"grant_type": "refresh_token", "refresh_token": str(laptop.refresh)}
    assert ask("post", "/auth/token", grant).status_code == 200


def test_no_token_is_not_authenticated(ask):
    answer = ask("post", "/auth/logout")

    assert (answer.status_code, answer.json()) == (
        401,
        {"detail": "Token not provided or invalid", "code": "not_authenticated"},
    )


@pytest.mark.parametrize("route", ["logout", "user"])
def test_an_expired_token_is_401(ask, phone, route):
    method = "post" if route == "logout" else "get"

    answer = ask(method, f"/auth/{route}", bearer=expired(phone.access))

    assert (answer.status_code, answer.json()) == (
        401,
        {"detail": "Token has expired", "code": "token_not_valid"},
    )


def test_a_refused_token_is_refused_as_on_the_hosts_own_views(ask, phone):
    ask("post", "/auth/logout", bearer=phone.access)

    for bearer in (phone.access, "garbage", expired(phone.refresh.access_token)):
        answer = ask("get", "/auth/user", bearer=bearer)
        assert answer.status_code == 401
        assert answer.json() == ask("get", "/host", bearer=bearer).json()


@pytest.mark.parametrize(
    ("method", "route", "body", "status", "error"),
    [
        (
            "post",
            "logout",
            {"scope": "?"},
            400,
            {"detail": "Unknown scope", "code": "unknown_scope"},
        ),
        (
            "post",
            "logout",
            [],
            400,
            {"detail": "The request body is not valid", "code": "parse_error"},
        ),
        (
            "post",
            "reauthenticate",
            {},
            400,
            {"detail": "The request body is not valid", "code": "invalid"},
        ),
        ("delete", "sessions/x", None, 404, {"detail": "Not found", "code": "not_found"}),
        (
            "get",
            "logout",
            None,
            405,
            {"detail": "Method not allowed", "code": "method_not_allowed"},
        ),
    ],
)
def test_an_error_has_a_detail_and_the_code_that_drf_gives_it(
    ask, phone, method, route, body, status, error
):
    answer = ask(method, f"/auth/{route}", body, bearer=phone.access)

    assert (answer.status_code, answer.json()) == (status, error)


def test_the_token_endpoint_answers_as_rfc_6749_has_it(ask, user):
    grant = {"grant_type": "password", "username": "ana", "password": f"not {PASSWORD}"}

    answer = ask("post", "/auth/token", grant)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_a_failure_is_an_error_that_tells_nothing(ask, phone):
    def down(execute, sql, *args):
        raise OperationalError("could not connect to server: secret.example.com")

    with connection.execute_wrapper(down):
        answer = ask("post", "/auth/logout", bearer=phone.access)

    assert (answer.status_code, answer.json()) == (
        500,
        {"detail": "Internal server error", "code": "error"},
    )


LOCALE = "django.middleware.locale.LocaleMiddleware"


@pytest.mark.parametrize(
    ("negotiates", "code", "accepted", "spoken"),
    [
        (True, "en", "es", "es"),
        (True, "es", "en", "en"),
        (True, "es", "de", "es"),
        (False, "es", "en", "es"),
        (False, "en", "es", "en"),
    ],
)
def test_the_language_is_the_one_that_the_host_speaks(
    settings, ask, phone, negotiates, code, accepted, spoken
):
    settings.LANGUAGE_CODE = code
    if not negotiates:
        settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != LOCALE]
    translation.activate(code)

    answer = ask("post", "/auth/logout", bearer=phone.access, Accept_Language=accepted)

    said = {"es": "Sesión cerrada exitosamente", "en": "Logout successful"}[spoken]
    assert answer.json() == {"detail": said}
    assert answer.headers["Content-Language"] == spoken


def test_a_contract_of_the_hosts_own_is_one_expression(ask, phone, laptop):
    answer = ask("post", "/own/logout", bearer=phone.access)

    assert answer.json() == {"detail": "Sesión cerrada exitosamente"}
    for login in (phone, laptop):
        assert ask("get", "/own/user", bearer=login.access).status_code == 401


def test_the_routes_have_names(ask):
    assert reverse("drf_logout:logout_all") == "/auth/logout/all"
    assert reverse("own:logout_all") == "/own/logout/all"
