"""What a request is refused with, beside DRF's own, and how it is told to who asks for problems."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from django.http import HttpRequest
from rest_framework.exceptions import APIException

from accounts.api import contracts

PROBLEM: Final = "application/problem+json"


def names(request: HttpRequest, media_type: str) -> bool:
    """Whether a client names a media type among those that it accepts."""
    accepted = [
        (f"{kind.main_type}/{kind.sub_type}", kind.quality) for kind in request.accepted_types
    ]
    return any(name == media_type and quality for name, quality in accepted)


def problem(status: int, message: contracts.Text) -> contracts.Body:
    """Return problem details (RFC 9457 §3.1), which say what the contract's error says."""
    title = HTTPStatus(status).phrase
    return {"type": "about:blank", "title": title, "status": status, "detail": str(message)}


class Refused(APIException):
    """A refusal in words of ours, which the contract's error repeats: 400 unless told otherwise."""

    status_code = 400

    def __init__(
        self, message: contracts.Text | None = None, code: str | None = None, *, status: int = 400
    ) -> None:
        super().__init__(None if message is None else str(message), code)
        self.status_code = status


class OAuthError(APIException):
    """An error of OAuth (RFC 6749 §5.2): what is said to people, and what to programs."""

    status_code = 400


class Malformed(OAuthError):
    """What was sent is no request of ours."""

    default_detail = "A parameter is missing, repeated or malformed"
    default_code = "invalid_request"


class InvalidClient(OAuthError):
    """A client that does not authenticate, or is not who it says to be."""

    status_code = 401
    default_detail = "The client is unknown, or its secret is wrong"
    default_code = "invalid_client"
    auth_header = 'Basic realm="drf_logout"'
