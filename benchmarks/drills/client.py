"""A client of the API, over HTTP and with a connection for each request."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any, Final
from urllib.parse import urlencode

TIMEOUT: Final = 60
"""Seconds to wait for an answer."""

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"

NO_ANSWER: Final = 0
"""The status where the connection failed, or ended without an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, and the JSON that came with it."""

    status: int
    body: dict[str, Any] = field(default_factory=dict)  # Any: whatever the server sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Asks a server on this machine."""

    port: int
    host: str = "127.0.0.1"
    cookies: dict[str, str] | None = field(default=None, compare=False)
    """What the server has set, to be sent again; None keeps none."""

    def log_out(self, path: str, bearer: str, **body: str) -> Answer:
        """POST to one of the endpoints that end logins."""
        return self.call("POST", path, bearer=bearer, body=body)

    def log_in(self, username: str, password: str) -> Answer:
        """POST token, with a password."""
        return self.post("/token", grant_type="password", username=username, password=password)

    def post(self, path: str, **body: str) -> Answer:
        """POST whatever it is, without a bearer."""
        return self.call("POST", path, body=body)

    def submit(self, path: str, **fields: str) -> Answer:
        """POST a form as a browser does: with the token of the page that it is on."""
        cookies = {} if self.cookies is None else self.cookies
        if "csrftoken" not in cookies:
            self.call("GET", path)
        fields["csrfmiddlewaretoken"] = cookies.get("csrftoken", "")
        return self.call("POST", path, body=fields, kind=FORM)

    def refresh(self, token: str) -> Answer:
        """POST token, with a refresh token."""
        return self.post("/token", grant_type="refresh_token", refresh_token=token)

    def user(self, bearer: str) -> Answer:
        """GET user, the protected example."""
        return self.call("GET", "/user", bearer=bearer)

    def call(
        self,
        method: str,
        path: str,
        *,
        bearer: str = "",
        body: Mapping[str, str] | None = None,
        kind: str = JSON,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask; a body goes as JSON or as a form."""
        sent = {"Connection": "close", **(headers or {})}
        if bearer:
            sent["Authorization"] = f"Bearer {bearer}"
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        content = None
        if body:
            sent["Content-Type"] = kind
            content = json.dumps(body) if kind == JSON else urlencode(body)
        connection = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT)
        try:
            connection.request(method, path, content, sent)
            response = connection.getresponse()
            if self.cookies is not None:
                self._keep(response)
            return Answer(response.status, _json(response.read()))
        except (OSError, http.client.HTTPException):
            return Answer(NO_ANSWER)
        finally:
            connection.close()

    def _keep(self, response: http.client.HTTPResponse) -> None:
        for header in response.headers.get_all("Set-Cookie", []):
            for name, cookie in SimpleCookie(header).items():
                # Read as it is sent again: quoted, where it has been.
                self.cookies[name] = cookie.coded_value  # type: ignore[index] # there is a jar


def _json(content: bytes) -> dict[str, Any]:  # Any: as above
    """Return what the server sent; nothing of a page, as code beside ours answers a failure."""
    try:
        found: dict[str, Any] = json.loads(content)
    except ValueError:
        return {}
    return found
