"""What journeys are made of: phones and browsers that speak real HTTP, and a look at the data."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Self

import jwt
import requests
from django.db import connection
from django.http import HttpResponse
from django.test import Client as TestClient

from tests.host import PATIENCE

PASSWORD = "password123"

OVER_COOKIE = os.environ.get("REFRESH") == "cookie"
"""Whether phones keep their refresh token in a cookie: the same tests, once more."""


# The contracts, as a client knows them

TEXTS = {
    "logged_out": {"es": "Sesión cerrada exitosamente", "en": "Logout successful"},
    "everywhere": {
        "es": "Sesión cerrada en todos los dispositivos",
        "en": "Logged out from all devices",
    },
    "not_valid": {"es": "Token no proporcionado o inválido", "en": "Token not provided or invalid"},
    "expired": {"es": "El token ha expirado", "en": "Token has expired"},
    "revoked": {"es": "El token ha sido invalidado", "en": "Token has been invalidated"},
    "too_many": {
        "es": "Demasiadas solicitudes, inténtelo más tarde",
        "en": "Too many requests",
    },
    "failure": {"es": "Error interno del servidor", "en": "Internal server error"},
}


class _Now:
    """Equal to a timestamp of this moment: UTC with ``Z``, whole seconds."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, str) or not re.fullmatch(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", other
        ):
            return False
        age = datetime.now(UTC) - datetime.fromisoformat(other)
        return timedelta(0) <= age < timedelta(minutes=1)

    __hash__ = None  # type: ignore[assignment] # nothing that it equals has the same hash

    def __repr__(self) -> str:
        return "<now, in whole seconds of UTC>"


NOW = _Now()


@dataclass(frozen=True, kw_only=True)
class Wire:
    """One contract, at one place where it is mounted."""

    name: str
    base: str
    language: str
    expired_status: int

    def success(self, text: str, language: str | None = None) -> dict[str, object]:
        """Return the body of a success."""
        message = TEXTS[text][language or self.language]
        if self.name == "v1":
            return {"success": True, "message": message}
        return {"message": message, "timestamp": NOW}

    def error(self, status: int, text: str, language: str | None = None) -> dict[str, object]:
        """Return the body of an error."""
        message = TEXTS[text][language or self.language]
        if self.name == "v1":
            return {"success": False, "message": message}
        return {"code": status, "msg": message}

    def is_error(self, status: int, body: dict[str, object]) -> bool:
        """Whether a body has the shape of an error, whatever it says."""
        if self.name == "v1":
            message = body.get("message")
            expected: dict[str, object] = {"success": False, "message": message}
        else:
            message = body.get("msg")
            expected = {"code": status, "msg": message}
        return body == expected and isinstance(message, str) and message != ""


V1 = Wire(name="v1", base="/api/v1/auth/", language="es", expired_status=403)
PLAIN = Wire(name="plain", base="/", language="en", expired_status=401)
PLAIN_API = Wire(name="plain", base="/api/auth/", language="en", expired_status=401)


# The clients


def curl(words: list[str], **values: str) -> HttpResponse:
    """Send what a command of the documentation sends, with values for its variables."""
    words = [re.sub(r"\$(\w+)", lambda name: values[name[1]], word) for word in words]
    [address] = [word for word in words[1:] if word.startswith(("/", "http://"))]
    options = dict(pairwise(words[1:]))
    return TestClient().generic(
        options.get("-X", "POST" if "--json" in options else "GET"),
        re.sub("^http://[^/]*", "", address),
        options.get("--json", ""),
        content_type="application/json",
        headers=dict([options["-H"].split(": ")]) if "-H" in options else {},
    )


class Client:
    """Anything that speaks HTTP to the server."""

    def __init__(self, server: str, wire: Wire, *, language: str | None = None) -> None:
        self.server = server
        self.wire = wire
        self.http = requests.Session()
        self.http.trust_env = False
        if language is not None:
            self.http.headers["Accept-Language"] = language

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.http.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        bearer: str | None = None,
        headers: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> requests.Response:
        """Send a request: to a route of the contract, or from the root (``/admin/``)."""
        authorization = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
        url = self.server + (path if path.startswith("/") else self.wire.base + path)
        return self.http.request(
            method,
            url,
            headers={**authorization, **(headers or {})},
            timeout=PATIENCE,
            allow_redirects=False,
            **kwargs,
        )


class Phone(Client):
    """A client with tokens."""

    access = ""
    refresh = ""

    def call(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **kwargs: Any
    ) -> requests.Response:
        """Send a request; a refresh token, whosever it is, goes and comes by cookie."""
        body = kwargs.get("json")
        if not OVER_COOKIE or not isinstance(body, dict):
            return super().call(method, path, headers=headers, **kwargs)
        kept = {
            name: value
            for name, value in body.items()
            if name not in {"refresh_token", "token"} or not _is_for_cookie(value)
        }
        if kept == body and body.get("grant_type") != "password":
            return super().call(method, path, headers=headers, **kwargs)
        headers = {"X-Refresh-Cookie": "1", **(headers or {})}
        for name in body.keys() - kept.keys():
            headers["Cookie"] = f"refresh_token={body[name]}"
        kwargs["json"] = kept
        answer = super().call(method, path, headers=headers, **kwargs)
        if "refresh_token" in answer.cookies:
            whole = {**answer.json(), "refresh_token": answer.cookies["refresh_token"]}
            answer._content = json.dumps(whole).encode()
            self.http.cookies.clear()
        return answer

    def log_in(self, username: str = "ana", password: str = PASSWORD) -> Self:
        """Log in by password and keep the tokens."""
        self._keep(self.token(grant_type="password", username=username, password=password))
        return self

    def renew(self) -> requests.Response:
        """Refresh, and keep the new tokens if there are any."""
        answer = self.token(grant_type="refresh_token", refresh_token=self.refresh)
        if answer.status_code == 200:
            self._keep(answer)
        return answer

    def token(self, **body: object) -> requests.Response:
        """POST token."""
        return self.call("POST", "token", json=body)

    def user(self) -> requests.Response:
        """GET user."""
        return self.call("GET", "user", bearer=self.access)

    def log_out(self, path: str = "logout", **body: object) -> requests.Response:
        """POST logout, with a body if there is anything to say."""
        return self.call("POST", path, bearer=self.access, **({"json": body} if body else {}))

    def reauthenticate(self, password: str = PASSWORD) -> requests.Response:
        """POST reauthenticate."""
        return self.call("POST", "reauthenticate", bearer=self.access, json={"password": password})

    @property
    def is_in(self) -> bool:
        """Whether the access token is accepted."""
        return _accepted(self.user(), refused=401)

    def _keep(self, answer: requests.Response) -> None:
        tokens = answer.json()
        self.access, self.refresh = tokens["access_token"], tokens["refresh_token"]


class Browser(Client):
    """A client with cookies, of a member of the staff."""

    def log_in(self, username: str = "ana", password: str = PASSWORD) -> Self:
        """Log in through the admin's page, CSRF and all."""
        self.submit_log_in(username, password)
        return self

    def submit_log_in(self, username: str, password: str) -> requests.Response:
        """Open the admin's login page, fill it in and send it."""
        self.call("GET", "/admin/login/")
        return self.call(
            "POST",
            "/admin/login/",
            data={
                "username": username,
                "password": password,
                "csrfmiddlewaretoken": self.http.cookies["csrftoken"],
                "next": "/admin/",
            },
        )

    @property
    def session_key(self) -> str:
        """The value of the session cookie; empty if there is none."""
        return self.http.cookies.get("sessionid") or ""

    @property
    def is_in(self) -> bool:
        """Whether the session cookie opens the admin."""
        return _accepted(self.call("GET", "/admin/"), refused=302)


def _is_for_cookie(value: object) -> bool:
    """Whether this is no access token, and can be sent as a cookie."""
    if not isinstance(value, str) or not re.fullmatch("[!-:<-~]+", value):
        return False
    try:
        claims = jwt.decode(value, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        claims = {}
    return claims.get("token_type") != "access"


def _accepted(answer: requests.Response, *, refused: int) -> bool:
    if answer.status_code not in {200, refused}:
        raise AssertionError(f"{answer.status_code}: {answer.text}")
    return answer.status_code == 200


class Clients:
    """Makes clients of one server, and hangs up for all of them."""

    def __init__(self, server: str) -> None:
        self.server = server
        self._open: list[Client] = []

    def phone(self, wire: Wire = V1, *, language: str | None = None) -> Phone:
        """Return a phone that has not logged in."""
        self._open.append(phone := Phone(self.server, wire, language=language))
        return phone

    def browser(self, wire: Wire = V1) -> Browser:
        """Return a browser that has not logged in."""
        self._open.append(browser := Browser(self.server, wire))
        return browser

    def close(self) -> None:
        """Hang up."""
        for client in self._open:
            client.http.close()


# The data


def dump() -> dict[str, list[str]]:
    """Return every row of every table, as text."""
    tables = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            tables[table] = sorted(str(row) for row in cursor.fetchall())
    return tables


@contextmanager
def table_away(table: str) -> Iterator[None]:
    """Make the database refuse whatever needs a table: it is not there."""
    name, away = (connection.ops.quote_name(n) for n in (table, f"{table}_away"))
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {name} RENAME TO {away}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {away} RENAME TO {name}")
