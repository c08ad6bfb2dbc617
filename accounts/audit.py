"""The security log: one line of JSON for each decision, success or failure.

Event names are those of the OWASP logging vocabulary. The line is the message itself, in ASCII
with everything else escaped, so that no formatter is needed and no value can start a line of its
own or reach a terminal. The caller names what it logs; tokens, passwords and session keys never
reach this module.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from enum import Enum
from threading import Lock
from typing import Final

from django.http import HttpRequest

from accounts.clients import ClientInfo

_TAKEN_OVER: Final = "accounts.audit"

logger: Final = logging.getLogger("accounts.audit")

MAX_TOLD: Final = 10_000
_told: Final[set[str]] = set()
_lock: Final = Lock()


class Event(Enum):
    """An event of the OWASP logging vocabulary, with the level it is logged at."""

    LOGIN_SUCCESS = "authn_login_success", logging.INFO
    LOGIN_FAIL = "authn_login_fail", logging.WARNING
    NOT_ALLOWED = "authz_fail", logging.WARNING
    TOKEN_CREATED = "authn_token_created", logging.INFO
    TOKEN_REVOKED = "authn_token_revoked", logging.INFO
    TOKEN_REUSE = "authn_token_reuse", logging.CRITICAL
    SESSION_LOGOUT = "session_logout", logging.INFO
    SESSION_EXPIRED = "session_expired", logging.INFO
    SESSION_USE_AFTER_EXPIRE = "session_use_after_expire", logging.CRITICAL
    RECORD_SEALED = "sensitive_create", logging.INFO
    RATE_LIMIT_EXCEEDED = "excess_rate_limit_exceeded", logging.WARNING

    def __init__(self, label: str, level: int) -> None:
        self.label = label
        self.level = level


def take_over(request: HttpRequest) -> None:
    """Note that the view of this request logs by itself what Django's signals tell of."""
    request.META[_TAKEN_OVER] = True


def is_taken_over(request: HttpRequest) -> bool:
    """Whether a view logs by itself."""
    return _TAKEN_OVER in request.META


def _is_news(login: str) -> bool:
    with _lock:
        if login in _told:
            return False
        if len(_told) >= MAX_TOLD:
            _told.clear()
        _told.add(login)
    return True


def log(
    event: Event,
    *,
    action: str,
    reason: str,
    client: ClientInfo,
    target: str = "session",
    success: bool = True,
    status: int | None = None,
    user_id: object = None,
    session_id: object = None,
) -> None:
    """Write one line.

    ``action`` is what was asked for and ``target`` what it was asked of; ``reason`` is why it
    ended as it did; ``status`` is the HTTP status, None where no request was answered.
    ``session_id`` is the public ``sid``, which logs nobody in. The use of an ended login is told
    once by each process: whoever has its token can use it without end.
    """
    if event is Event.SESSION_USE_AFTER_EXPIRE and not _is_news(str(session_id or user_id)):
        return
    entry = {
        "datetime": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "event": event.label,
        "level": logging.getLevelName(event.level),
        "action": action,
        "object": target,
        "result": "success" if success else "failure",
        "reason": reason,
        "status": status,
        "user": None if user_id is None else str(user_id),
        "session": None if session_id is None else str(session_id),
        "source_ip": client.ip_address,
        "user_agent": client.user_agent,
        "request_id": client.request_id,
    }
    logger.log(event.level, json.dumps(entry))


def log_refusal(request: HttpRequest, event: Event, *, action: str, reason: str) -> None:
    """Log that a password was not accepted, or not even tried, unless the view does."""
    if not is_taken_over(request):
        client = ClientInfo.from_request(request)
        user_id = getattr(getattr(request, "user", None), "pk", None)
        log(event, action=action, reason=reason, success=False, client=client, user_id=user_id)
