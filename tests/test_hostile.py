"""Bad input to every endpoint: the contract's error, never a 500, and nothing changes."""

from __future__ import annotations

import http.client
import io
import json
import logging
import re
import socket
import string
import unicodedata
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import jwt
import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.http import HttpResponse
from django.test import Client, override_settings
from hypothesis import assume, example, given
from hypothesis import strategies as st
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import AccessToken as StockAccessToken
from rest_framework_simplejwt.tokens import RefreshToken as StockRefreshToken

from accounts import services
from accounts.api.contracts import LANGUAGES
from accounts.clients import ClientInfo
from accounts.models import LogoutEvent, Session, TokenVersion
from tests.conftest import PASSWORD
from tests.host import PATIENCE

KEY = django_settings.SIMPLE_JWT["SIGNING_KEY"]
POSTS = ("token", "logout", "logout/all", "reauthenticate")
SCOPES = ("session", "others", "refresh_tokens", "global")
PROTECTED = ("logout", "logout/all", "reauthenticate", "user")
FORM = "application/x-www-form-urlencoded"
MISSING = object()
DEEP = 100_000


@dataclass
class Wire:
    """A contract, as a client meets it."""

    name: str
    prefix: str
    expired: int
    client: Client

    def send(
        self,
        endpoint: str,
        body: object = b"",
        *,
        bearer: object = None,
        method: str = "",
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        headers = dict(headers or {})
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        return self.client.generic(
            method or ("GET" if endpoint == "user" else "POST"),
            self.prefix + endpoint,
            body,
            content_type,
            headers=headers,
        )

    def refuses(self, response: Any, status: int, *, endpoint: str = "") -> bool:
        """Assert that an answer is this error, to the letter of the contract."""
        assert response.status_code == status, response.content
        body = json.loads(response.content)
        if endpoint == "token" and status == 400:
            assert set(body) == {"error", "error_description"}
            assert body["error"] in {"invalid_request", "invalid_grant", "unsupported_grant_type"}
            assert body["error_description"].isascii()
        elif self.name == "v1":
            assert set(body) == {"success", "message"}
            assert body["success"] is False
            assert body["message"]
        else:
            assert set(body) == {"code", "msg"}
            assert body["code"] == status
            assert body["msg"]
        assert "no-store" in response.headers["Cache-Control"]
        assert "Accept-Language" in response.headers["Vary"]
        assert response.headers["Content-Language"] in LANGUAGES
        assert (status == 401) == ("WWW-Authenticate" in response.headers)
        return True


@pytest.fixture(scope="module")
def handler():
    """The application; to set it up costs more than to answer."""
    return Client().handler


@pytest.fixture
def wire(request, handler):
    """A contract. Both are read by the same views: two are asked for their own words alone."""
    client = Client(raise_request_exception=False)
    client.handler = handler
    if getattr(request, "param", "v1") == "v1":
        return Wire("v1", "/api/v1/auth/", 403, client)
    return Wire("plain", "/api/auth/", 401, client)


BOTH = pytest.mark.parametrize("wire", ["v1", "plain"], indirect=True)


@pytest.fixture(autouse=True)
def _no_rate_limits(settings):
    rate = "1000000/1d"
    settings.ACCOUNTS = {"LOGOUT_RATE": rate, "PASSWORD_RATE": rate, "ADDRESS_RATE": rate}


@pytest.fixture
def login(user):
    """Two logins of the user, so that there is one more to lose; the second one's tokens."""
    services.log_in(user=user, client=ClientInfo())
    return services.log_in(user=user, client=ClientInfo())


@pytest.fixture
def foreign(stranger):
    return services.log_in(user=stranger, client=ClientInfo())


def rows() -> dict[str, list[Any]]:
    """Return everything that a request could have changed."""
    models = (
        get_user_model(),
        Session,
        TokenVersion,
        LogoutEvent,
        OutstandingToken,
        BlacklistedToken,
    )
    return {
        model.__name__: list(model._default_manager.order_by("pk").values()) for model in models
    }


def signed(token: Any, key: str = KEY, algorithm: str = "HS256", **claims: object) -> str:
    """Return a token with other claims, signed as ours are."""
    payload = {**token.payload, **claims}
    payload = {claim: value for claim, value in payload.items() if value is not MISSING}
    return jwt.encode(payload, key, algorithm)


def tampered(
    token: Any, *, header: str = "", payload: str = "", signature: str | None = None
) -> str:
    """Return a token with another part and the old signature."""
    parts = str(token).split(".")
    if header:
        parts[0] = segment(header)
    if payload:
        parts[1] = segment(payload)
    if signature is not None:
        parts[2] = signature
    return ".".join(parts)


def segment(content: str) -> str:
    return urlsafe_b64encode(content.encode()).decode().rstrip("=")


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


UNSIGNED = '{"alg":"none","typ":"JWT"}'

# What a stranger can make of a genuine token without our key.
HEADERS = {
    "no algorithm, with a signature": UNSIGNED,
    "a list for an algorithm": '{"alg":["HS256"]}',
    "an object for an algorithm": '{"alg":{}}',
    "null for an algorithm": '{"alg":null}',
    "5,000 digits for an algorithm": '{"alg":' + "9" * 5_000 + "}",
    "the same member twice": '{"alg":"HS256","alg":"HS256"}',
    "a key in the header": '{"alg":"HS256","jwk":{"kty":"oct","k":"AA"}}',
    "a critical header": '{"alg":"HS256","crit":["x"]}',
    "a payload outside": '{"alg":"HS256","b64":false,"crit":["b64"]}',
    "a key id that is no string": '{"alg":"HS256","kid":[1]}',
    "an empty header": "{}",
    "a list for a header": "[]",
    "null for a header": "null",
    "a header nested 100,000 deep": nested(DEEP),
    "a header nested as deep as fits": nested(5_000),
    "a header with a deep member": '{"alg":"HS256","x":' + nested(5_000) + "}",
}
PAYLOADS = {
    "another user": '{"sub":"1"}',
    "a payload nested 100,000 deep": nested(DEEP),
    "a payload nested as deep as fits": nested(5_000),
    "5,000 digits in the payload": '{"exp":' + "9" * 5_000 + "}",
    "an empty payload": "{}",
    "a lone surrogate": '{"sub":"\\ud800"}',
}
FORGERIES: dict[str, Callable[[Any], str]] = {
    "no algorithm": lambda token: tampered(token, header=UNSIGNED, signature=""),
    "none, in capitals": lambda token: tampered(token, header='{"alg":"NONE"}', signature=""),
    "no signature": lambda token: tampered(token, signature=""),
    "a signature cut short": lambda token: str(token)[:-2],
    "a signature that is not base64": lambda token: tampered(token, signature="***"),
    "two segments": lambda token: str(token).rpartition(".")[0],
    "four segments": lambda token: f"{token}.{token.payload['jti']}",
    "nothing but dots": lambda token: "." * 500,
    "another key": lambda token: signed(token, "another-key-of-more-than-thirty-two-characters"),
    "another algorithm": lambda token: signed(token, f"{KEY}{KEY}", algorithm="HS512"),
    "another algorithm, our key": lambda token: signed(token, algorithm="HS512"),
    "a megabyte": lambda token: "a" * 1_000_000,
    "a genuine token and a megabyte": lambda token: f"{token}{'a' * 1_000_000}",
    "a byte of Latin-1": lambda token: f"{token}\xff",
    "UTF-8 read as Latin-1": lambda token: "ñandú".encode().decode("latin-1"),
    "NUL": lambda token: f"{token}\x00",
    "control characters": lambda token: f"{token}\x1b[2J\x7f",
    "two tokens": lambda token: f"{token} {token}",
    "a list of two tokens": lambda token: f"{token},{token}",
    "a quoted token": lambda token: f'"{token}"',
    **{
        name: lambda token, header=header: tampered(token, header=header)
        for name, header in HEADERS.items()
    },
    **{
        name: lambda token, payload=payload: tampered(token, payload=payload)
        for name, payload in PAYLOADS.items()
    },
}

STRANGE = {
    "sid": [
        "no-uuid",
        "\x00",
        "\ud800",
        "9" * 5_000,
        "",
        5,
        0,
        True,
        False,
        [],
        ["a"],
        {},
        {"a": 1},
    ],
    "sub": [MISSING, None, 1, [], ["1"], {"id": 1}, True, 1.5],
    "jti": [MISSING, None, 1, [], ["a"], {}, "", "a" * 256, "a" * 9_000, "a\x00b", "\ud800"],
    "exp": [MISSING, None, [], "soon", 10**12, 10**15, 10**100, 1e300, float("inf"), float("nan")],
    "iat": ["soon", [], float("inf"), 10**100],
    "nbf": ["soon", [], float("inf"), 10**100],
    "token_type": [MISSING, None, "", 1, [], {}, "sliding", ["access", "refresh"]],
}
"""Claims of a shape that no token of ours has, however well signed."""

FOREIGN = {
    "sid": ["00000000-0000-0000-0000-000000000000"],
    "sub": ["", "0", "-1", "999999999", "9" * 5_000, "1 OR 1=1", "\x00", "\ud800", "ana"],
}
"""Claims in good shape that name no login that is alive."""


def cases(claims: Mapping[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(
            claim, value, id=f"{claim}-{'missing' if value is MISSING else ascii(value)[:12]}"
        )
        for claim, values in claims.items()
        for value in values
    ]


@pytest.mark.parametrize(
    "body",
    [
        b" ",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"5",
        b"true",
        b"NaN",
        b"\x00",
        b"{}\x00",
        b"\xff\xfe",
        b'{"token":"\xff"}',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b'{"token":"a","token":"b"}',
        b'{"scope":"session","scope":"session"}',
        b'{"a":{"b":1,"b":2}}',
        b"9" * 5_000,
        b'{"token":' + b"9" * 5_000 + b"}",
        b'{"token":-1e' + b"9" * 5_000 + b"0}{",
        nested(DEEP).encode(),
        b'{"token":' + nested(DEEP).encode() + b"}",
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b'{"token":"' + b"a" * 2_700_000 + b'"}',
        b" " * 2_700_000,
        b"{}{}",
        b"{'token':'a'}",
        b'{"token":"a",}',
    ],
    ids=lambda body: f"{len(body)}-{body[:12]!r}",
)
def test_a_body_that_is_no_json_object_is_refused(wire, body, login):
    before = rows()

    for endpoint in POSTS:
        named = wire.send(endpoint, body, bearer=login.access)
        assert wire.refuses(named, 400, endpoint=endpoint)
        anonymous = wire.send(endpoint, body)
        assert wire.refuses(anonymous, 400 if endpoint == "token" else 401, endpoint=endpoint)

    assert rows() == before


WRONG = [None, True, 5, -1.5, 10**4_000, [], ["a"], {}, {"a": "b"}, [[[]]], "", "\x00", "\ud800"]
"""Values that no field takes."""


@pytest.mark.parametrize(
    ("endpoint", "field"),
    [
        ("logout", "token"),
        ("logout", "scope"),
        ("logout/all", "token"),
        ("logout/all", "scope"),
        ("reauthenticate", "password"),
        ("token", "grant_type"),
        ("token", "refresh_token"),
        ("token", "username"),
        ("token", "email"),
        ("token", "password"),
    ],
)
def test_a_field_of_the_wrong_type_is_refused(wire, endpoint, field, login):
    right = {}
    if endpoint == "token":
        grant = "refresh_token" if field == "refresh_token" else "password"
        right = {"grant_type": grant, "username": "ana", "password": PASSWORD}
        if field == "email":
            del right["username"]
    before = rows()

    for value in WRONG:
        response = wire.send(endpoint, {**right, field: value}, bearer=login.access)
        assert wire.refuses(response, 401 if field == "token" else 400, endpoint=endpoint)

    assert rows() == before


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_access_token_proves_nothing(wire, forge, login):
    forged = forge(login.access)
    before = rows()

    for endpoint in PROTECTED:
        body = {"password": PASSWORD} if endpoint == "reauthenticate" else {}
        response = wire.send(endpoint, body, bearer=forged)
        assert wire.refuses(response, 401)
        assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    for endpoint in ("logout", "logout/all"):
        response = wire.send(endpoint, {"token": forged}, bearer=login.access)
        assert wire.refuses(response, 401)
        assert wire.refuses(wire.send(endpoint, {"token": str(login.access)}, bearer=forged), 401)
    assert wire.refuses(wire.send("sessions", bearer=forged, method="GET"), 401)
    path = f"sessions/{login.access.sid}"
    assert wire.refuses(wire.send(path, bearer=forged, method="DELETE"), 401)

    assert rows() == before


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_refresh_token_proves_nothing(wire, forge, login):
    forged = forge(login.refresh)
    before = rows()

    body = {"grant_type": "refresh_token", "refresh_token": forged}
    assert wire.refuses(wire.send("token", body), 400, endpoint="token")
    assert wire.refuses(
        wire.send("token", urlencode(body), content_type=FORM),
        400,
        endpoint="token",
    )
    assert wire.refuses(wire.send("logout", {"token": forged}, bearer=login.access), 401)

    assert rows() == before


@pytest.mark.parametrize(("claim", "value"), cases(STRANGE))
def test_a_strange_claim_is_as_invalid_as_a_forged_one(wire, claim, value, login):
    access, refresh = (signed(token, **{claim: value}) for token in (login.access, login.refresh))
    before = rows()

    for endpoint in PROTECTED:
        assert wire.refuses(wire.send(endpoint, {"password": PASSWORD}, bearer=access), 401)
    for token in (access, refresh):
        assert wire.refuses(wire.send("logout", {"token": token}, bearer=login.access), 401)
    body = {"grant_type": "refresh_token", "refresh_token": refresh}
    assert wire.refuses(wire.send("token", body), 400, endpoint="token")

    assert rows() == before


@pytest.mark.parametrize(("claim", "value"), cases(FOREIGN))
def test_a_token_that_names_no_live_login_ends_nothing(wire, claim, value, login):
    before = rows()

    for others in ({}, {"sid": MISSING}):
        claims = {**others, claim: value}
        access, refresh = (signed(token, **claims) for token in (login.access, login.refresh))
        assert wire.refuses(wire.send("user", bearer=access), 401)
        assert wire.refuses(wire.send("reauthenticate", {"password": PASSWORD}, bearer=access), 401)
        for endpoint in ("logout", "logout/all"):
            # To somebody who holds it, the login that it names has ended already.
            assert wire.send(endpoint, bearer=access).status_code == 200
            named = wire.send(endpoint, {"token": refresh}, bearer=login.access)
            assert named.status_code == (401 if claim == "sub" else 200)
        body = {"grant_type": "refresh_token", "refresh_token": refresh}
        assert wire.refuses(wire.send("token", body), 400, endpoint="token")

    assert rows() == before


@pytest.mark.parametrize("kind", [StockAccessToken, StockRefreshToken])
def test_a_plain_token_that_was_ended_with_all_others_ends_nothing(wire, kind, user):
    plain = str(kind.for_user(user))
    ended = services.log_in(user=user, client=ClientInfo())
    assert wire.send("logout/all", bearer=ended.access).status_code == 200
    alive = services.log_in(user=user, client=ClientInfo())
    before = rows()

    for scope in SCOPES:
        response = wire.send("logout", {"token": plain, "scope": scope}, bearer=alive.access)
        assert response.status_code == 200, scope

    assert rows() == before


@BOTH
def test_a_token_that_expired_ends_nothing(wire, login):
    before = rows()

    for exp in (1, 0, -1, -(10**9), -(10**12), 1.5, True):
        access, refresh = (signed(token, exp=exp) for token in (login.access, login.refresh))
        for endpoint in ("logout", "logout/all"):
            assert wire.refuses(wire.send(endpoint, bearer=access), wire.expired)
            for token in (access, refresh):
                response = wire.send(endpoint, {"token": token}, bearer=login.access)
                assert wire.refuses(response, wire.expired)
                response = wire.send(endpoint, {"token": token}, bearer=access)
                assert wire.refuses(response, wire.expired)
        assert wire.refuses(wire.send("user", bearer=access), 401)
        body = {"grant_type": "refresh_token", "refresh_token": refresh}
        assert wire.refuses(wire.send("token", body), 400, endpoint="token")

    assert rows() == before


def test_a_token_that_expired_before_time_began_ends_nothing(wire, login):
    before = rows()

    for exp in (-(10**15), -(10**100), -1e300, float("-inf")):
        access = signed(login.access, exp=exp)
        for endpoint in ("logout", "logout/all"):
            for body in ({}, {"token": str(login.refresh)}):
                response = wire.send(endpoint, body, bearer=access)
                assert response.status_code in {401, wire.expired}
                assert wire.refuses(response, response.status_code)
        assert wire.refuses(wire.send("user", bearer=access), 401)

    assert rows() == before


def test_a_fraction_of_a_second_is_a_valid_expiry(wire, login):
    """``exp`` may be fractional (RFC 7519 §2, NumericDate)."""
    access = signed(login.access, exp=login.access["exp"] + 0.5)

    assert wire.send("user", bearer=access).status_code == 200
    assert wire.send("logout", bearer=access).status_code == 200
    assert wire.refuses(wire.send("user", bearer=access), 401)


def test_a_refresh_token_is_no_bearer(wire, login):
    before = rows()

    for endpoint in PROTECTED:
        response = wire.send(endpoint, {"password": PASSWORD}, bearer=login.refresh)
        assert wire.refuses(response, 401)

    assert rows() == before


def test_an_access_token_is_no_refresh_token(wire, login):
    before = rows()

    body = {"grant_type": "refresh_token", "refresh_token": str(login.access)}
    assert wire.refuses(wire.send("token", body), 400, endpoint="token")

    assert rows() == before


@BOTH
@pytest.mark.parametrize("kind", ["access", "refresh"])
def test_nobody_names_the_login_of_another_user(wire, kind, login, foreign):
    token = str(getattr(foreign, kind))
    before = rows()

    for bearer in (login.access, signed(login.access, exp=1)):
        for scope in SCOPES:
            response = wire.send("logout", {"token": token, "scope": scope}, bearer=bearer)
            assert wire.refuses(response, 401)
        assert wire.refuses(wire.send("logout/all", {"token": token}, bearer=bearer), 401)

    assert rows() == before


def test_the_sid_of_another_user_ends_nothing(wire, login, foreign):
    """A token that mixes two logins can only come from a leaked key, and still ends neither."""
    mixed = signed(login.access, sid=foreign.access["sid"])
    before = rows()

    assert wire.refuses(wire.send("user", bearer=mixed), 401)
    assert wire.send("logout", bearer=mixed).status_code == 200
    assert wire.send("logout/all", bearer=mixed).status_code == 200
    assert wire.send("logout", {"token": mixed}, bearer=login.access).status_code == 200

    assert rows() == before


def test_a_header_of_another_shape_is_no_bearer(wire, login):
    before = rows()

    for header in (
        "",
        " ",
        "Bearer",
        "Bearer ",
        "Bearer\t{token}",
        "bearer",
        "Token {token}",
        "Basic {token}",
        "Bearer={token}",
        "{token}",
        "Bearer{token}",
        "\xff\xfe {token}",
        "\u017fBearer {token}",
        "Basic YW5hOnBhc3N3b3JkMTIz",
        "a" * 1_000_000,
    ):
        for endpoint in PROTECTED:
            response = wire.send(
                endpoint,
                {"password": PASSWORD},
                headers={"Authorization": header.format(token=login.access)},
            )
            assert wire.refuses(response, 401)
            assert response.headers["WWW-Authenticate"] == "Bearer", header[:20]

    assert rows() == before


def test_json_is_utf_8_whatever_the_header_says(wire, login):
    before = rows()

    for content_type in (
        "application/json; charset=utf-7",
        "application/json; charset=hex",
        "application/json; charset=utf-16",
        "application/json; charset=" + "a" * 8_000,
        'application/json; charset="',
        "application/json;;;=",
        "APPLICATION/JSON",
    ):
        for endpoint, status in (("token", 400), ("logout", 401), ("logout/all", 401)):
            body = {"token": "ñ", "grant_type": "ñ"}
            response = wire.send(endpoint, body, bearer=login.access, content_type=content_type)
            assert wire.refuses(response, status, endpoint=endpoint)

    assert rows() == before


@BOTH
def test_another_media_type_is_refused(wire, login):
    before = rows()

    part = b"--x\r\nContent-Disposition: form-data; name=token\r\n\r\na\r\n--x--"
    for content_type in (
        "text/plain",
        "text/plain; charset=hex",
        "multipart/form-data; boundary=x",
        "multipart/form-data",
        "multipart/form-data; boundary=" + "x" * 1_000,
        "application/xml",
        "application/jsonx",
        "application/json, application/json",
        "json",
        "/",
        ";",
        "\xff",
        "*/*",
        "a" * 8_000,  # a server takes no longer header
    ):
        for endpoint in POSTS:
            for body in (part, b"{}"):
                response = wire.send(endpoint, body, bearer=login.access, content_type=content_type)
                assert wire.refuses(response, 415)

    assert rows() == before


def test_a_form_is_for_the_token_endpoint_alone(wire, login):
    before = rows()

    for endpoint in ("logout", "logout/all", "reauthenticate"):
        for charset in ("", "; charset=utf-7", "; charset=hex"):
            response = wire.send(
                endpoint,
                f"scope=session&password={PASSWORD}",
                bearer=login.access,
                content_type=f"{FORM}{charset}",
            )
            assert wire.refuses(response, 415)

    assert rows() == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"&&&===",
        b"grant_type",
        b"grant_type=",
        b"grant_type=none",
        b"grant_type=password",
        b"grant_type=password&grant_type=password&username=ana&password=password123",
        b"grant_type=password&username=ana&username=eve&password=password123",
        b"grant_type=password&username=ana&password=password123&password=password123",
        b"grant_type=password&username=ana&password=password123&x=1&x=2",
        b"grant_type=password&username=ana&email=ana%40example.com&password=password123",
        b"grant_type[]=password&username=ana&password=password123",
        b"grant_type=password&username[]=ana&password=password123",
        b"grant_type=password&username=ana%00&password=password123",
        b"grant_type=password&username=%FF%FE&password=%FF%FE",
        b"grant_type=password&username=\xff&password=\xff",
        b"grant_type=password&username=ana&password=" + b"a" * 1_000_000,
        b"grant_type=password&username=" + b"a" * 1_000_000 + b"&password=a",
        b"grant_type=refresh_token&refresh_token=%00",
        b"grant_type=refresh_token&refresh_token=" + b"9" * 5_000,
        b"grant_type=refresh_token&refresh_token=a&refresh_token=a",
        b"grant_type=refresh_token&refresh_token=" + b"a" * 2_700_000,
        b"&".join(b"a%d=1" % number for number in range(5_000)),
        b"grant_type=password;username=ana;password=password123",
        b"+AGcAcgBhAG4AdABfAHQAeQBwAGU-=password",
    ],
    ids=lambda body: f"{len(body)}-{body[:20]!r}",
)
def test_a_form_that_is_out_of_shape_logs_nobody_in(wire, body, user):
    before = rows()

    for charset in ("", "; charset=utf-7", "; charset=hex", "; charset=utf-16"):
        response = wire.send("token", body, content_type=f"{FORM}{charset}")
        assert wire.refuses(response, 400, endpoint="token")

    assert rows() == before


@pytest.mark.parametrize(
    "body",
    [
        {"grant_type": "password", "username": "ana", "password": "wrong"},
        {"grant_type": "password", "email": "ana@example.com", "password": "wrong"},
        {"grant_type": "password", "username": "nobody", "password": PASSWORD},
        {"grant_type": "password", "email": "ana@example.com\x00", "password": PASSWORD},
        {"grant_type": "password", "email": "%", "password": PASSWORD},
        {"grant_type": "password", "email": "ana@example_com", "password": PASSWORD},
        {"grant_type": "password", "username": "ana", "password": f" {PASSWORD}"},
        {"grant_type": "password", "username": "ana", "email": "eve@example.com", "password": ""},
        {"grant_type": "password", "username": "ana", "password": "a" * 1_000_000},
        {"grant_type": "password", "username": "a" * 1_000_000, "password": PASSWORD},
        {"grant_type": "password", "username": "'; DROP TABLE auth_user; --", "password": "x"},
        {"grant_type": "password", "sub": "1", "password": PASSWORD},
        {"grant_type": "client_credentials"},
        {"grant_type": "PASSWORD", "username": "ana", "password": PASSWORD},
        {},
    ],
    ids=lambda body: str(body)[:60],
)
def test_an_anonymous_request_writes_nothing(wire, body, user, stranger):
    before = rows()

    assert wire.refuses(wire.send("token", body), 400, endpoint="token")
    for endpoint in PROTECTED:
        assert wire.refuses(wire.send(endpoint, body), 401)

    assert rows() == before


ODD_HEADERS = {
    "Accept": ["", "text/html", "*/*;q=0", "a" * 100_000, "\xff", ",;q=,", "application/xml"],
    "Accept-Language": [
        "",
        "*",
        "xx",
        "es;q=x",
        "a" * 100_000,
        "\xff",
        "es," * 50_000,
        ";;;",
        "\x00",
    ],
    "X-Forwarded-For": ["x", "\xff", "a" * 100_000, "::1%" + "a" * 999, "1.2.3.4," * 9_999, "\x00"],
    "X-Request-ID": ["", "\xff", "a" * 100_000, "a\r\nb: c", "\x00", "${jndi:ldap://x}"],
    "User-Agent": ["", "\xff", "a" * 100_000, "\x00\x1b[2J", "a\r\nb", "\x85\xad"],
    "Cookie": [
        "sessionid",
        "sessionid=",
        "sessionid=a",
        "sessionid=" + "a" * 100_000,
        "sessionid=\xff\xfe\x00",
        'sessionid="\\303\\050"',
        "sessionid=../../etc/passwd",
        "django_language=" + "a" * 100_000,
        "django_language=es-" + "a" * 499 + "-a",
        "=;=;=",
        "a=b; " * 20_000,
        "csrftoken=\xff",
        "messages=W10:x",
    ],
    "Host": ["testserver:99999", "TESTSERVER"],
    "Referer": ["\xff", "a" * 100_000],
    "Transfer-Encoding": ["chunked", "\xff"],
    "Origin": ["null", "https://example.com", "\xff"],
    "X-HTTP-Method-Override": ["DELETE", "\xff"],
    "If-Modified-Since": ["x", "a" * 10_000],
}


@pytest.mark.parametrize("header", ODD_HEADERS)
def test_an_odd_header_changes_no_refusal(wire, header, login):
    before = rows()

    for value in ODD_HEADERS[header]:
        odd = {header: value}
        for endpoint in PROTECTED:
            assert wire.refuses(wire.send(endpoint, headers=odd), 401)
        response = wire.send("token", {"grant_type": "x"}, headers=odd)
        assert wire.refuses(response, 400, endpoint="token")
        response = wire.send("logout", {"scope": "x"}, bearer=login.access, headers=odd)
        assert wire.refuses(response, 400)

    assert rows() == before


@pytest.mark.parametrize("header", ODD_HEADERS)
def test_an_odd_header_stands_in_the_way_of_no_logout(wire, header, user):
    for value in ODD_HEADERS[header]:
        access = services.log_in(user=user, client=ClientInfo()).access
        response = wire.send("logout", bearer=access, headers={header: value})
        assert response.status_code == 200
        assert wire.refuses(wire.send("user", bearer=access), 401)

    for event in LogoutEvent.objects.all():
        assert "Cc" not in map(unicodedata.category, event.user_agent + event.request_id)
    assert LogoutEvent.objects.count() == len(ODD_HEADERS[header])


METHODS = ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "GETT", "post ", "\xff", "__init__"]


@BOTH
def test_an_unknown_method_is_refused(wire, login):
    before = rows()

    body = {"password": PASSWORD}
    for endpoint in (*POSTS, "user"):
        for method in METHODS:
            response = wire.send(endpoint, body, bearer=login.access, method=method)
            assert wire.refuses(response, 405, endpoint=endpoint)

    assert rows() == before


@BOTH
def test_get_changes_nothing(wire, login):
    """A link, an image or a prefetch logs nobody out."""
    before = rows()

    for endpoint in POSTS:
        response = wire.send(endpoint, bearer=login.access, method="GET")
        assert wire.refuses(response, 405, endpoint=endpoint)
    assert wire.refuses(wire.send("user", bearer=login.access, method="POST"), 405)

    assert rows() == before


def test_a_cookie_reaches_no_token_login(wire, login):
    before = rows()
    row = Session.objects.get(sid=login.access["sid"])

    for key in (row.session_key, str(row.sid), row.refresh_jti):
        wire.client.cookies["sessionid"] = key
        assert wire.refuses(wire.send("user"), 401)
        assert wire.refuses(wire.send("logout"), 401)

    assert rows() == before


def test_a_cookie_alone_logs_nobody_out(wire, user):
    """No other site can make a browser log out: a cookie is no proof here."""
    wire.client.force_login(user)
    before = rows()

    for endpoint in PROTECTED:
        assert wire.refuses(wire.send(endpoint, {"password": PASSWORD}), 401)

    assert rows() == before


def test_a_wrong_password_proves_nothing(wire, login):
    before = rows()

    odd = ["a" * 1_000_000, "\x00", "\ud800", "ñ"]
    for password in ("wrong", "", " ", f"{PASSWORD} ", PASSWORD.upper(), *odd):
        response = wire.send("reauthenticate", {"password": password}, bearer=login.access)
        assert wire.refuses(response, 400), password[:20]

    assert rows() == before


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.text(st.characters(codec=None, categories=["Cs", "Cc"]), max_size=5),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4)
    ),
    max_leaves=10,
)
names = st.sampled_from(
    ["token", "scope", "grant_type", "refresh_token", "username", "email", "password"]
)
header_text = st.text(st.characters(max_codepoint=255), max_size=200)


@given(endpoint=st.sampled_from(POSTS), body=st.binary(max_size=300))
def test_random_bytes_as_a_body_change_nothing(wire, user, endpoint, body):
    before = rows()

    response = wire.send(endpoint, b"\x01" + body)

    assert wire.refuses(response, 400 if endpoint == "token" else 401, endpoint=endpoint)
    assert rows() == before


@given(
    endpoint=st.sampled_from(POSTS),
    body=st.dictionaries(names | st.text(), json_values, max_size=6),
    known=st.booleans(),
)
def test_random_json_changes_nothing(wire, login, endpoint, body, known):
    # A scope of the four, or no token and no scope, would be a logout in good shape.
    body.setdefault("token", None)
    before = rows()

    response = wire.send(endpoint, body, bearer=login.access if known else None)

    expected = {400} if endpoint == "token" else {400, 401} if known else {401}
    assert response.status_code in expected
    assert wire.refuses(response, response.status_code, endpoint=endpoint)
    assert rows() == before


@given(endpoint=st.sampled_from(PROTECTED), header=header_text, scheme=st.booleans())
def test_random_text_as_authorization_proves_nothing(wire, user, endpoint, header, scheme):
    before = rows()

    value = f"Bearer {header}" if scheme else header
    response = wire.send(endpoint, headers={"Authorization": value})

    assert wire.refuses(response, 401)
    assert rows() == before


@given(
    endpoint=st.sampled_from(PROTECTED),
    headers=st.dictionaries(st.sampled_from(sorted(ODD_HEADERS.keys() - {"Host"})), header_text),
)
def test_random_headers_change_nothing(wire, user, endpoint, headers):
    before = rows()

    assert wire.refuses(wire.send(endpoint, headers=headers), 401)
    assert rows() == before


@given(data=st.data())
def test_a_mutated_token_proves_nothing(wire, login, data):
    genuine = str(data.draw(st.sampled_from([login.access, login.refresh]), label="of"))
    position = data.draw(st.integers(0, len(genuine) - 1), label="position")
    cut = data.draw(st.integers(0, 3), label="cut")
    inserted = data.draw(
        st.text(string.ascii_letters + string.digits + "-_.=\x00é\ud800", max_size=3),
        label="inserted",
    )
    mutated = genuine[:position] + inserted + genuine[position + cut :]
    # The last character of the signature has bits that mean nothing, and "=" is padding.
    signature = mutated.rpartition(".")[2].rstrip("=")[:42]
    if mutated.startswith(genuine[: genuine.rindex(".") + 1]) and genuine.endswith(
        signature, 0, genuine.rindex(".") + 43
    ):
        return
    before = rows()

    body = {"grant_type": "refresh_token", "refresh_token": mutated}
    assert wire.refuses(wire.send("token", body), 400, endpoint="token")
    assert wire.refuses(wire.send("logout", {"token": mutated}, bearer=login.access), 401)
    if mutated.isascii():
        assert wire.refuses(wire.send("logout", bearer=mutated), 401)
        assert wire.refuses(wire.send("user", bearer=mutated), 401)
    assert rows() == before


def may_be_genuine(claim: str, value: object) -> bool:
    """Whether a token of ours, or of plain SimpleJWT, may have this claim."""
    if value is None:
        return True
    if claim in {"exp", "iat", "nbf"}:
        return isinstance(value, int | float)
    if claim == "jti" and isinstance(value, str):
        return 0 < len(value) < 256 and not re.search("[\x00\ud800-\udfff]", value)
    return False


@given(
    claim=st.sampled_from(["sub", "jti", "sid", "exp", "iat", "nbf", "token_type"]),
    value=json_values,
)
def test_random_claims_under_our_own_signature_end_nothing(wire, login, claim, value):
    genuine = login.access.get(claim)
    assume(not may_be_genuine(claim, value))
    assume(type(value) is not type(genuine) or value != genuine)
    access, refresh = (signed(token, **{claim: value}) for token in (login.access, login.refresh))
    before = rows()

    with transaction.atomic():
        for response in (
            wire.send("user", bearer=access),
            wire.send("logout", bearer=access),
            wire.send("logout", {"token": refresh}, bearer=access),
            wire.send("logout/all", {"token": refresh}, bearer=login.access),
            wire.send("token", {"grant_type": "refresh_token", "refresh_token": refresh}),
        ):
            assert response.status_code in {200, 400, 401, wire.expired}, (claim, value)
        after = rows()
        transaction.set_rollback(True)  # the next example meets the same login

    assert after == before


# The list of logins


@given(cursor=st.text(max_size=200) | st.binary(max_size=100), packed=st.booleans())
def test_a_random_cursor_shows_a_page_or_none(wire, login, cursor, packed):
    raw = cursor if isinstance(cursor, bytes) else cursor.encode(errors="replace")
    before = rows()

    value = urlsafe_b64encode(raw) if packed else raw
    response = wire.send(f"sessions?cursor={quote(value)}", bearer=login.access, method="GET")

    if response.status_code != 200:
        assert wire.refuses(response, 404)
    assert rows() == before


@given(
    position=st.text(max_size=60) | st.datetimes().map(str),
    offset=st.integers() | st.text(max_size=10),
    reverse=st.integers() | st.text(max_size=3),
)
def test_a_cursor_of_random_parts_shows_a_page_or_none(wire, login, position, offset, reverse):
    before = rows()

    parts = {"p": position.encode(errors="replace"), "o": offset, "r": reverse}
    cursor = urlsafe_b64encode(urlencode(parts, errors="replace").encode()).decode()
    response = wire.send(f"sessions?cursor={quote(cursor)}", bearer=login.access, method="GET")

    if response.status_code != 200:
        assert wire.refuses(response, 404)
    assert rows() == before


@given(sid=st.text(min_size=1, max_size=80) | st.uuids().map(str))
def test_a_random_id_ends_no_login(wire, login, sid):
    before = rows()

    path = f"sessions/{quote(sid.replace('/', '_').encode(errors='replace'))}"
    assert wire.refuses(wire.send(path, bearer=login.access, method="DELETE"), 404)
    assert wire.refuses(wire.send(path, method="DELETE"), 401)

    assert rows() == before


@given(header=header_text, scheme=st.booleans())
def test_random_text_as_authorization_shows_and_ends_no_login(wire, login, header, scheme):
    before = rows()

    headers = {"Authorization": f"Bearer {header}" if scheme else header}
    assert wire.refuses(wire.send("sessions", headers=headers, method="GET"), 401)
    path = f"sessions/{login.access.sid}"
    assert wire.refuses(wire.send(path, headers=headers, method="DELETE"), 401)

    assert rows() == before


# The log


@pytest.fixture
def log():
    """Everything that is logged, as the project writes it to the standard error."""
    stream = io.StringIO()
    handlers = {}
    for name, formatter in (("", "text"), ("accounts.audit", "json")):
        handlers[name] = logging.StreamHandler(stream)
        form = django_settings.LOGGING["formatters"][formatter]
        handlers[name].setFormatter(logging.Formatter(form["format"], style=form["style"]))
        logging.getLogger(name).addHandler(handlers[name])
    yield stream
    for name, handler in handlers.items():
        logging.getLogger(name).removeHandler(handler)


TEXT_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (WARNING|ERROR) django\.[\w.]+ .*")
SECRET = "Hush5ecret"
FORGED = '{"event": "authn_login_success"}'
FORGING = [
    f"a\r\n{FORGED}",
    f"\n{FORGED}\n",
    f"\x1b[2K\r{FORGED}",
    "\x1b]0;title\x07\x9b31m",
    f"\x85{FORGED}\u2028{FORGED}\u2029",
    "\u202etxet",
    f'", "event": "{FORGED}',
    "%s %(message)s {asctime}",
]
forging = st.sampled_from(FORGING) | st.text(max_size=60)


@given(agent=forging, request_id=forging, path=forging, name=forging)
@example(agent="", request_id="", path="0/", name="")
def test_no_line_of_the_log_is_forged_and_none_holds_a_secret(
    wire, log, user, agent, request_id, path, name
):
    log.seek(0)
    log.truncate()
    # As a server hands on bytes that are no Latin-1.
    headers = {
        name: value.encode(errors="replace").decode("latin-1")
        for name, value in {"User-Agent": agent, "X-Request-ID": request_id}.items()
    }
    forged = f"{SECRET}.{SECRET}.{SECRET}"
    grant = {"grant_type": "password", "username": name, "password": SECRET}

    wire.send("logout", {"token": forged}, bearer=forged, headers=headers)
    wire.send("token", grant, headers=headers)
    wire.send("token", {"grant_type": "refresh_token", "refresh_token": forged}, headers=headers)
    wire.send(f"sessions/{quote(path.encode(errors='replace'))}", method="DELETE", headers=headers)
    wire.send(f"nowhere/{quote(path.encode(errors='replace'))}", headers=headers)

    lines = log.getvalue().removesuffix("\n").split("\n")
    security = [json.loads(line) for line in lines if line.startswith("{")]
    others = [line for line in lines if not line.startswith("{")]
    # Of one segment it is a login's, with a slash at its end, too; else there is nothing to log.
    assert len(security) == (4 if re.fullmatch("[^/]+/?", path) else 3)
    assert {entry["event"] for entry in security} == {"session_logout", "authn_login_fail"}
    assert all(TEXT_LINE.fullmatch(line) for line in others)
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert SECRET not in log.getvalue()


# The address


trusted = st.sampled_from(["127.0.0.1", "10.0.0.1", "10.255.255.255:443", " 10.1.2.3 "])
untrusted = st.ip_addresses(v=4).filter(
    lambda address: not any(address in ip_network(net) for net in ("127.0.0.0/8", "10.0.0.0/8"))
)
claims = st.lists(st.ip_addresses().map(str) | st.text(st.characters(max_codepoint=255)))


@given(claimed=claims, client=untrusted, proxies=st.lists(trusted, max_size=3))
def test_an_address_is_believed_of_trusted_proxies_alone(
    wire, security_log, caplog, claimed, client, proxies
):
    forwarded = {"X-Forwarded-For": ",".join([*claimed, str(client), *proxies])}
    caplog.clear()

    wire.send("logout", headers=forwarded)
    trusting = {**django_settings.ACCOUNTS, "TRUSTED_PROXIES": ["127.0.0.0/8", "10.0.0.0/8"]}
    with override_settings(ACCOUNTS=trusting):
        wire.send("logout", headers=forwarded)

    assert [line["source_ip"] for line in security_log()] == ["127.0.0.1", str(client)]


# What only the wire can carry


def exchange(server: Any, request: bytes) -> tuple[int, dict[str, object]]:
    """Send these bytes; return the status and the body of the answer."""
    address = urlsplit(server.url)
    with closing(socket.create_connection((address.hostname, address.port), PATIENCE)) as raw:
        raw.sendall(request)
        raw.shutdown(socket.SHUT_WR)
        with closing(http.client.HTTPResponse(raw, method="POST")) as response:
            response.begin()
            return response.status, json.loads(response.read())


AUTHORIZATIONS = [
    b"Bearer \xff\xfe\xfd",
    b"Bearer \xc3\xb1\xc3\xa1",
    b"\xff",
    b"Bearer a\x00b",
    b"Bearer \xed\xa0\x80",
    b"Bearer " + b"a" * 60_000,
    b"Bearer a\r\nAuthorization: Bearer b",
    b"Bearer a\r\n b",
]


@BOTH
def test_bytes_that_are_no_text_prove_nothing(wire, live_server, user):
    before = rows()

    for authorization in AUTHORIZATIONS:
        for endpoint in ("logout", "logout/all", "reauthenticate"):
            status, body = exchange(
                live_server,
                b"POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: %s\r\n"
                b"Content-Length: 2\r\nContent-Type: application/json\r\n"
                b"Connection: close\r\n\r\n{}"
                % (f"{wire.prefix}{endpoint}".encode(), authorization),
            )
            assert status == 401, authorization
            assert set(body) == ({"success", "message"} if wire.name == "v1" else {"code", "msg"})

    assert rows() == before


BROKEN = [
    b"Content-Length: -1",
    b"Content-Length: x",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: 1",
    b"Content-Length: 40\r\nContent-Type: application/json; charset=\xff",
    b"Content-Length: 40\r\nContent-Type: application/json\r\nCookie: sessionid=\xff\xfe",
    b"Content-Length: 40\r\nContent-Type: application/json\r\nX-Forwarded-For: \xff\xfe",
    b"Content-Length: 40\r\nContent-Type: application/json\r\nUser-Agent: \xff\x80\x85",
    b"Content-Length: 40\r\nContent-Type: application/json\r\nAccept-Language: \xff;q=\xff",
    b"Content-Length: 40\r\nContent-Type: application/json\r\nContent-Encoding: gzip",
    b"Content-Type: application/json\r\nTransfer-Encoding: chunked",
    b"Content-Type: application/json",
]


def test_a_broken_request_logs_nobody_in(wire, live_server, user):
    before = rows()

    for head in BROKEN:
        status, body = exchange(
            live_server,
            b"POST %stoken HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n\r\n"
            b'{"grant_type":"password","username":"ana' % (wire.prefix.encode(), head),
        )
        if b"Content-Type" in head:
            assert (status, set(body)) == (400, {"error", "error_description"}), head
        else:
            assert status in {400, 415}, head

    assert rows() == before
