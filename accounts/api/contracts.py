"""The wire formats: the same answers in other shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from django.conf import settings
from django.utils import timezone, translation
from django.utils.functional import Promise
from django.utils.translation import pgettext_lazy
from django.utils.translation.trans_real import parse_accept_lang_header

from accounts.authentication import NOT_VALID
from accounts.services import Scope

LANGUAGES: Final = ("es", "en")
"""The languages that every message is translated to."""

Text = str | Promise
Body = dict[str, object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Contract:
    """How one wire format says things.

    A host's own is one expression: ``replace(DRF, default_scope=Scope.GLOBAL)``.
    """

    language: str | None
    """Spoken to a client that names none; None where the host's Django chooses for every client."""
    default_scope: Scope
    """Of ``POST logout``."""
    expired_status: int
    """The HTTP status of a logout whose token has expired."""
    success: Callable[[Text], Body]
    error: Callable[[int, Text, str], Body]
    """Of a status, what is said to people, and what is said to programs."""

    def negotiate(self, accept_language: str) -> str:
        """Return the language of an answer (RFC 9110 §12.5.4).

        The first range that is a translated language, whatever its region; where none is, or the
        client does not care (``*``), the contract's own. A contract without one speaks as the
        host's other views do: what ``LocaleMiddleware`` has chosen, else ``LANGUAGE_CODE``.
        """
        if self.language is None:
            return translation.get_language() or settings.LANGUAGE_CODE
        for language_range, quality in parse_accept_lang_header(accept_language.lower()):
            language = language_range.partition("-")[0]
            if language_range == "*" or not quality:
                break
            if language in LANGUAGES:
                return language
        return self.language


def timestamp(moment: datetime) -> str:
    """Return a moment as it is written: UTC, in whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


V1: Final = Contract(
    language="es",
    default_scope=Scope.SESSION,
    expired_status=403,
    success=lambda message: {"success": True, "message": str(message)},
    error=lambda status, message, code: {"success": False, "message": str(message)},
)

PLAIN: Final = Contract(
    language="en",
    default_scope=Scope.REFRESH_TOKENS,
    expired_status=401,
    success=lambda message: {"message": str(message), "timestamp": timestamp(timezone.now())},
    error=lambda status, message, code: {"code": status, "msg": str(message)},
)

DRF: Final = Contract(
    language=None,
    default_scope=Scope.SESSION,
    expired_status=401,
    success=lambda message: {"detail": str(message)},
    error=lambda status, message, code: {"detail": str(message), "code": code},
)

LOGGED_OUT: Final = pgettext_lazy("drf_logout", "Logout successful")
LOGGED_OUT_EVERYWHERE: Final = pgettext_lazy("drf_logout", "Logged out from all devices")
REAUTHENTICATED: Final = pgettext_lazy("drf_logout", "Authentication confirmed")

BAD_BODY: Final = pgettext_lazy("drf_logout", "The request body is not valid")
UNKNOWN_SCOPE: Final = pgettext_lazy("drf_logout", "Unknown scope")
WRONG_PASSWORD: Final = pgettext_lazy("drf_logout", "Wrong password")
NOT_REAUTHENTICABLE: Final = pgettext_lazy("drf_logout", "Log in again to confirm who you are")

ERRORS: Final[Mapping[int, Text]] = {
    400: BAD_BODY,
    401: NOT_VALID,
    403: pgettext_lazy("drf_logout", "Not allowed"),
    404: pgettext_lazy("drf_logout", "Not found"),
    405: pgettext_lazy("drf_logout", "Method not allowed"),
    415: pgettext_lazy("drf_logout", "Media type not supported"),
    429: pgettext_lazy("drf_logout", "Too many requests"),
    500: pgettext_lazy("drf_logout", "Internal server error"),
}
"""What is said of a status when nothing more is known."""
