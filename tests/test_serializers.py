"""What comes in: bodies, and SimpleJWT's own views with our serializers."""

from __future__ import annotations

from io import BytesIO

import pytest
from django.urls import include, path
from rest_framework.exceptions import ErrorDetail, ParseError
from rest_framework_simplejwt import serializers as simplejwt
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken as SimpleJWTRefreshToken
from rest_framework_simplejwt.views import (
    TokenBlacklistView,
    TokenObtainPairView,
    TokenRefreshView,
    TokenVerifyView,
)

from accounts import blacklist, logins, services, tokens
from accounts.api.serializers import (
    FormParser,
    JSONParser,
    PasswordGrantSerializer,
    ReauthenticationSerializer,
    RefreshGrantSerializer,
    TokenObtainPairSerializer,
)
from accounts.api.urls import plain
from accounts.exceptions import TokenRevoked
from accounts.models import Session
from accounts.services import Scope
from accounts.testing import LoginClient

from .conftest import PASSWORD


class HostSerializer(TokenObtainPairSerializer):
    """A host's own, with a claim more."""

    @classmethod
    def get_token(cls, user):
        token = super().get_token(user)
        token["tenant"] = "acme"
        return token


urlpatterns = [
    path("obtain", TokenObtainPairView.as_view()),
    path("host/obtain", TokenObtainPairView.as_view(serializer_class=HostSerializer)),
    path("refresh", TokenRefreshView.as_view()),
    path(
        "stock/refresh",
        TokenRefreshView.as_view(serializer_class=simplejwt.TokenRefreshSerializer),
    ),
    path("verify", TokenVerifyView.as_view()),
    path("blacklist", TokenBlacklistView.as_view()),
    path("", include(plain)),
]


# Bodies


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b"{}", {}),
        (b' {"token": "a", "scope": null} ', {"token": "a", "scope": None}),
        ('{"token": "ñ"}'.encode(), {"token": "ñ"}),
        (b'{"a": {"b": 1}, "b": 2}', {"a": {"b": 1}, "b": 2}),
    ],
)
def test_an_object_is_a_body(raw, body):
    assert JSONParser().parse(BytesIO(raw)) == body


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"1",
        b'"token"',
        b'{"token": "a", "token": "b"}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"token": "\xff"}',
        b'{"n": ' + b"9" * 5000 + b"}",
        b'{"a":' * 100_000,
        b"[" * 100_000,
        '{"token": "a"}'.encode("utf-16"),
    ],
    ids=lambda raw: repr(raw[:20]),
)
def test_anything_else_is_a_parse_error(raw):
    with pytest.raises(ParseError):
        JSONParser().parse(BytesIO(raw))


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b"", {}),
        (b"grant_type=password&email=a%40b.c", {"grant_type": "password", "email": "a@b.c"}),
        (b"password=a+b%2B", {"password": "a b+"}),
        (b"password=", {"password": ""}),
    ],
)
def test_a_form_is_a_body(raw, body):
    assert FormParser().parse(BytesIO(raw)) == body


def test_a_form_that_repeats_a_parameter_is_a_parse_error():
    with pytest.raises(ParseError):
        FormParser().parse(BytesIO(b"email=a&email=b"))


@pytest.mark.parametrize("parser", [JSONParser, FormParser])
def test_a_body_larger_than_django_allows_is_a_parse_error(settings, parser):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    with pytest.raises(ParseError):
        parser().parse(BytesIO(b" " * 9 + b"{}"))

    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 11
    assert parser().parse(BytesIO(b" " * 9 + b"{}")) is not None

    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = None
    assert parser().parse(BytesIO(b" " * 9 + b"{}")) is not None


@pytest.mark.parametrize(
    ("serializer", "body"),
    [
        (PasswordGrantSerializer, {"email": "a@b.c", "password": " spaces count "}),
        (PasswordGrantSerializer, {"username": "ana", "password": "p"}),
        (RefreshGrantSerializer, {"refresh_token": "t"}),
        (ReauthenticationSerializer, {"password": "p"}),
    ],
)
def test_what_is_asked_for_is_taken_as_it_was_sent(serializer, body):
    filled = serializer(data=body)

    assert filled.is_valid()
    assert dict(filled.validated_data) == body


@pytest.mark.parametrize(
    ("serializer", "body"),
    [
        (PasswordGrantSerializer, {"email": "a@b.c"}),
        (PasswordGrantSerializer, {"password": "p"}),
        (PasswordGrantSerializer, {"email": "a@b.c", "username": "ana", "password": "p"}),
        (PasswordGrantSerializer, {"email": "", "password": "p"}),
        (PasswordGrantSerializer, {"email": "a\x00", "password": "p"}),
        (RefreshGrantSerializer, {}),
        *[
            (ReauthenticationSerializer, {"password": value})
            for value in (None, "", 1, 1.5, True, [], {}, ["p"], "\x00", "\ud800")
        ],
    ],
)
def test_what_is_not_asked_for_is_refused(serializer, body):
    assert not serializer(data=body).is_valid()


# SimpleJWT's own views


@pytest.fixture
def post(client, db, settings):
    settings.ROOT_URLCONF = __name__

    def run(path, **body):
        return client.post(path, body, content_type="application/json", REMOTE_ADDR="192.0.2.9")

    return run


@pytest.fixture
def rotation(monkeypatch):
    """Set ``ROTATE_REFRESH_TOKENS``, which SimpleJWT reads from one object all over."""
    return lambda on: monkeypatch.setattr(api_settings, "ROTATE_REFRESH_TOKENS", on)


def log_out(user, device, pair, scope=Scope.SESSION):
    services.log_out(proof=pair.access, scope=scope, client=device)


def test_simplejwts_view_begins_a_login_of_ours(post, is_in, user):
    answer = post("/obtain", username="ana", password=PASSWORD)

    assert answer.status_code == 200
    assert set(answer.json()) == {"access", "refresh"}
    session = Session.objects.get()
    assert tokens.decode_access(answer.json()["access"]).sid == session.sid
    assert (session.user, session.kind, session.ip_address) == (user, "token", "192.0.2.9")
    assert is_in(answer.json()["access"])


@pytest.mark.parametrize("password", ["wrong", ""])
def test_simplejwts_view_refuses_as_ever(post, user, password):
    answer = post("/obtain", username="ana", password=password)

    assert answer.status_code == (401 if password else 400)
    assert not Session.objects.exists()


def test_an_inactive_user_begins_no_login(post, user):
    user.is_active = False
    user.save()

    assert post("/obtain", username="ana", password=PASSWORD).status_code == 401
    assert not Session.objects.exists()


@pytest.mark.parametrize("update", [True, False])
def test_the_last_login_is_noted_where_the_host_wants_it(monkeypatch, post, user, update):
    monkeypatch.setattr(api_settings, "UPDATE_LAST_LOGIN", update)

    post("/obtain", username="ana", password=PASSWORD)

    user.refresh_from_db()
    assert (user.last_login is not None) is update


def test_a_host_adds_claims_in_get_token(post, user):
    answer = post("/host/obtain", username="ana", password=PASSWORD).json()
    refreshed = post("/refresh", refresh=answer["refresh"]).json()

    for raw in (answer["access"], answer["refresh"], refreshed["access"], refreshed["refresh"]):
        token = tokens.decode(raw)
        assert token["tenant"] == "acme"
        assert token.sid == Session.objects.get().sid


@pytest.fixture
def host_serializer(monkeypatch):
    """Set the host's serializer."""

    def run(path):
        monkeypatch.setattr(api_settings, "TOKEN_OBTAIN_SERIALIZER", path)

    return run


def test_the_token_endpoint_keeps_the_claims_that_a_host_adds(post, user, host_serializer):
    host_serializer(f"{__name__}.HostSerializer")

    answer = post("/token", grant_type="password", username="ana", password=PASSWORD).json()
    grant = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}
    refreshed = post("/token", **grant).json()

    for pair in (answer, refreshed):
        for kind in ("access_token", "refresh_token"):
            token = tokens.decode(pair[kind])
            assert token["tenant"] == "acme"
            assert token.sid == Session.objects.get().sid


def test_a_client_of_a_hosts_tests_has_the_claims_that_the_host_adds(user, host_serializer):
    host_serializer(f"{__name__}.HostSerializer")

    assert LoginClient().log_in(user).access["tenant"] == "acme"


class StockSerializer(simplejwt.TokenObtainPairSerializer):
    """A host's own that is none of ours: what it mints is of no login."""


def test_the_token_endpoint_mints_by_itself_where_the_hosts_serializer_is_not_ours(
    post, user, host_serializer, is_in
):
    host_serializer(f"{__name__}.StockSerializer")

    answer = post("/token", grant_type="password", username="ana", password=PASSWORD).json()

    assert is_in(answer["access_token"])
    assert tokens.decode(answer["access_token"]).sid == Session.objects.get().sid


def test_a_refresh_rotates(post, is_in, phone, rotation, after_grace):
    view = "/refresh"
    rotation(True)

    answer = post(view, refresh=str(phone.refresh))

    assert answer.status_code == 200
    assert is_in(answer.json()["access"])
    assert Session.objects.get().refresh_jti == tokens.decode_refresh(answer.json()["refresh"]).jti
    assert post(view, refresh=answer.json()["refresh"]).status_code == 200
    after_grace()
    assert post(view, refresh=str(phone.refresh)).status_code == 401


@pytest.mark.parametrize("view", ["/refresh", "/stock/refresh"])
def test_a_refresh_without_rotation_gives_an_access_token(post, is_in, phone, rotation, view):
    rotation(False)

    for _ in range(2):
        answer = post(view, refresh=str(phone.refresh))
        assert set(answer.json()) == {"access"}
        assert is_in(answer.json()["access"])

    assert Session.objects.get().refresh_jti == phone.refresh.jti


@pytest.fixture(params=[Scope.SESSION, Scope.REFRESH_TOKENS, Scope.GLOBAL])
def ended(request, user, device, phone):
    """A login that has ended."""
    log_out(user, device, phone, request.param)
    return phone


@pytest.mark.parametrize("view", ["/refresh", "/stock/refresh"])
@pytest.mark.parametrize("rotates", [True, False])
def test_a_refresh_token_that_we_ended_is_refused(post, ended, rotation, view, rotates):
    rotation(rotates)

    answer = post(view, refresh=str(ended.refresh))

    assert answer.status_code == 401
    assert answer.json()["code"] == "token_not_valid"


@pytest.mark.parametrize("rotates", [True, False])
@pytest.mark.parametrize(
    "raw", ["garbage", "\ud800", "\x00", "ñ"], ids=["garbage", "surrogate", "nul", "letter"]
)
def test_a_refresh_with_no_token_of_ours_is_refused(post, rotation, rotates, raw):
    rotation(rotates)

    assert post("/refresh", refresh=raw).status_code in {400, 401}


@pytest.mark.parametrize("rotates", [True, False])
def test_a_deleted_user_is_refused(post, user, phone, rotation, rotates):
    rotation(rotates)
    user.delete()

    assert post("/refresh", refresh=str(phone.refresh)).status_code == 401


def test_a_plain_token_is_refreshed_into_a_login(post, is_in, user, rotation):
    rotation(True)
    token = SimpleJWTRefreshToken.for_user(user)

    answer = post("/refresh", refresh=str(token)).json()

    assert is_in(answer["access"])
    assert Session.objects.get().user == user
    assert post("/refresh", refresh=str(token)).status_code == 401


def test_a_plain_token_is_refreshed_without_a_login_where_nothing_rotates(
    post, is_in, user, rotation
):
    rotation(False)

    answer = post("/refresh", refresh=str(SimpleJWTRefreshToken.for_user(user))).json()

    assert is_in(answer["access"])
    assert not Session.objects.exists()


def test_the_refresh_token_of_an_ended_login_is_not_verified(post, user, device, phone):
    assert post("/verify", token=str(phone.refresh)).status_code == 200
    assert post("/verify", token=str(phone.access)).status_code == 200

    log_out(user, device, phone)

    refused = post("/verify", token=str(phone.refresh))
    assert refused.status_code == 400
    assert refused.data == {
        "non_field_errors": [ErrorDetail("Token is blacklisted", code="invalid")]
    }
    assert post("/verify", token=str(phone.access)).status_code == 400


def test_a_login_that_simplejwts_view_blacklists_is_dead_for_us(
    post, is_in, phone, laptop, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        assert post("/blacklist", refresh=str(phone.refresh)).status_code == 200

    assert not is_in(phone.access)
    assert is_in(laptop.access)
    with pytest.raises(TokenRevoked):
        logins.find_login(phone.refresh)
    assert post("/refresh", refresh=str(phone.refresh)).status_code == 401


def test_a_token_that_is_not_rotated_is_refused_once_it_is_blacklisted_in_bulk(
    post, phone, rotation
):
    rotation(False)
    blacklist.blacklist_jtis(phone.refresh.jti)

    assert post("/refresh", refresh=str(phone.refresh)).status_code == 401
    assert not Session.objects.exists()


def test_a_login_that_we_ended_can_still_be_sent_to_simplejwts_blacklist(post, user, device, phone):
    log_out(user, device, phone)

    assert post("/blacklist", refresh=str(phone.refresh)).status_code == 401


def test_no_view_leaves_a_raw_token_behind(post, user, rotation):
    rotation(True)
    pair = post("/obtain", username="ana", password=PASSWORD).json()
    for _ in range(3):
        pair = post("/refresh", refresh=pair["refresh"]).json()
    post("/blacklist", refresh=pair["refresh"])

    assert OutstandingToken.objects.count() == 4
    assert set(OutstandingToken.objects.values_list("token", flat=True)) == {""}


def test_a_hosts_view_that_passes_no_request_on_logs_in(user):
    serializer = TokenObtainPairSerializer(data={"username": "ana", "password": PASSWORD})

    assert serializer.is_valid()
    assert Session.objects.get().ip_address is None
