"""A client of the API, over HTTP and with a connection for each request."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from typing import Any, Final

TIMEOUT: Final = 60
"""Seconds to wait for an answer."""

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

    def log_out(self, path: str, bearer: str, **body: str) -> Answer:
        """POST to one of the endpoints that end logins."""
        return self._call("POST", path, bearer, body)

    def log_in(self, username: str, password: str) -> Answer:
        """POST token, with a password."""
        return self.post("/token", grant_type="password", username=username, password=password)

    def post(self, path: str, **body: str) -> Answer:
        """POST whatever it is, without a bearer."""
        return self._call("POST", path, "", body)

    def refresh(self, token: str) -> Answer:
        """POST token, with a refresh token."""
        return self.post("/token", grant_type="refresh_token", refresh_token=token)

    def user(self, bearer: str) -> Answer:
        """GET user, the protected example."""
        return self._call("GET", "/user", bearer, {})

    def _call(self, method: str, path: str, bearer: str, body: dict[str, str]) -> Answer:
        headers = {"Connection": "close"}
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        if body:
            headers["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT)
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            return Answer(response.status, _json(response.read()))
        except (OSError, http.client.HTTPException):
            return Answer(NO_ANSWER)
        finally:
            connection.close()


def _json(content: bytes) -> dict[str, Any]:  # Any: as above
    """Return what the server sent; nothing of a page, as code beside ours answers a failure."""
    try:
        found: dict[str, Any] = json.loads(content)
    except ValueError:
        return {}
    return found
