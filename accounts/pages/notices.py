"""What a page has to say after a redirect: Django's messages or, without them, in the session."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest

_KEY = "accounts.notice"


def leave_notice(request: HttpRequest, text: str) -> None:
    """Say something on the next page."""
    try:
        messages.success(request, text)
    except messages.MessageFailure:
        request.session[_KEY] = text


def take_notices(request: HttpRequest) -> list[str]:
    """Return what is to be said, once."""
    own = request.session.pop(_KEY, "")
    return [*map(str, messages.get_messages(request)), *([own] if own else [])]
