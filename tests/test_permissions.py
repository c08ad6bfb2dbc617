"""RecentlyAuthenticated: what a login has to earn, and earns for itself alone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import include, path
from django.utils import timezone
from rest_framework.authentication import SessionAuthentication
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.tokens import RefreshToken as SimpleJWTRefreshToken

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


urlpatterns = [path("sensitive", SensitiveView.as_view()), path("", include(plain))]


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
