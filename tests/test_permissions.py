"""RecentlyAuthenticated: what a login has to earn, and earns for itself alone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import include, path
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.tokens import RefreshToken as SimpleJWTRefreshToken

from accounts import services
from accounts.api.urls import plain
from accounts.authentication import JWTAuthentication
from accounts.models import Session
from accounts.permissions import RecentlyAuthenticated

from .conftest import PASSWORD

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class SensitiveView(APIView):
    """A view that wants to know that it is still the same person."""

    authentication_classes = [JWTAuthentication, SessionAuthentication]
    permission_classes = [RecentlyAuthenticated]

    def get(self, request):
        return Response()


class Header(BaseAuthentication):
    """A host's own: whoever the header names."""

    def authenticate(self, request):
        name = request.headers["X-User"]
        return get_user_model().objects.get(username=name), None


class HeaderView(SensitiveView):
    """The same, for users whom the host knows by other means."""

    authentication_classes = [Header]


urlpatterns = [
    path("sensitive", SensitiveView.as_view()),
    path("by-header", HeaderView.as_view()),
    path("", include(plain)),
]


@pytest.fixture
def ask(client):
    def run(access):
        return client.get("/sensitive", headers={"Authorization": f"Bearer {access}"})

    return run


@pytest.fixture
def prove(client):
    def run(access, password=PASSWORD):
        return client.post(
            "/reauthenticate",
            {"password": password},
            content_type="application/json",
            headers={"Authorization": f"Bearer {access}"},
        )

    return run


def test_a_login_is_refused_until_it_has_proved_itself(ask, prove, phone):
    refused = ask(phone.access)
    assert refused.status_code == 403
    assert refused.json() == {"detail": "Recent authentication required"}
    assert refused.data["detail"].code == "reauthentication_required"

    assert prove(phone.access).status_code == 200

    assert ask(phone.access).status_code == 200


def test_a_wrong_password_proves_nothing(ask, prove, phone):
    assert prove(phone.access, "wrong").status_code == 400

    assert ask(phone.access).status_code == 403


def test_another_device_has_to_prove_itself(ask, prove, phone, laptop):
    prove(phone.access)

    assert ask(laptop.access).status_code == 403


def test_a_refreshed_login_has_still_proved_itself(ask, prove, phone):
    prove(phone.access)

    assert ask(phone.refresh.access_token).status_code == 200


def test_the_proof_wears_off(ask, prove, phone):
    prove(phone.access)
    Session.objects.update(reauthenticated_at=timezone.now() - timedelta(minutes=10))

    assert ask(phone.access).status_code == 403


def test_logging_out_ends_the_proof(client, ask, prove, phone):
    prove(phone.access)
    bearer = {"Authorization": f"Bearer {phone.access}"}
    client.post("/logout", content_type="application/json", headers=bearer)

    assert ask(phone.access).status_code == 401


def test_a_token_of_plain_simplejwt_cannot_earn_it(ask, prove, user):
    access = SimpleJWTRefreshToken.for_user(user).access_token

    assert prove(access).status_code == 400
    assert ask(access).status_code == 403


def test_a_browser_or_nobody_is_refused(client, user):
    assert client.get("/sensitive").status_code == 401

    client.force_login(user)

    assert client.get("/sensitive").status_code == 403


@pytest.fixture
def proved(client, user):
    """The row of a browser's login that has been re-authenticated."""
    client.force_login(user)
    row = Session.objects.get(kind="browser")
    services.reauthenticate(session=row, user=user)
    return row


def test_a_browser_that_has_proved_itself_is_allowed(client, proved):
    assert client.get("/sensitive").status_code == 200


def test_the_proof_of_a_browser_wears_off(client, proved, settings):
    settings.ACCOUNTS = {"REAUTHENTICATION_MAX_AGE": 60}
    Session.objects.update(reauthenticated_at=timezone.now() - timedelta(seconds=60))

    assert client.get("/sensitive").status_code == 403


def test_another_browser_has_to_prove_itself(proved, user):
    other = Client()
    other.force_login(user)

    assert other.get("/sensitive").status_code == 403


def test_the_proof_of_a_browser_ends_with_its_login(client, proved, user):
    client.logout()
    client.force_login(user)

    assert client.get("/sensitive").status_code == 403


def test_a_token_does_not_share_the_proof_of_the_browser_that_it_came_with(ask, proved, phone):
    assert ask(phone.access).status_code == 403


def test_a_token_has_its_own_proof_whatever_browser_it_came_with(client, ask, prove, phone, user):
    client.force_login(user)
    prove(phone.access)

    assert ask(phone.access).status_code == 200
    assert client.get("/sensitive").status_code == 403


def test_a_user_known_by_other_means_has_the_proof_of_their_browser(client, proved):
    assert client.get("/by-header", headers={"X-User": "ana"}).status_code == 200


@pytest.mark.usefixtures("stranger")
def test_a_user_known_by_other_means_has_not_the_proof_of_anothers_browser(client, proved):
    assert client.get("/by-header", headers={"X-User": "eve"}).status_code == 403


@pytest.mark.usefixtures("user")
def test_a_user_without_any_login_is_refused(client):
    assert client.get("/by-header", headers={"X-User": "ana"}).status_code == 403


@pytest.mark.parametrize("engine", ["db", "signed_cookies", "cache"])
def test_a_browser_of_another_engine_cannot_earn_it(client, user, settings, engine):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    client.force_login(user)

    assert client.get("/sensitive").status_code == 403
