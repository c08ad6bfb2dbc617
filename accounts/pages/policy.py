"""The content security policy of the pages: what they load, and where their forms lead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.shortcuts import resolve_url
from django.templatetags.static import static

SELF: Final = ("'self'",)
NONE: Final = ("'none'",)

Directives = Mapping[str, Sequence[str]]
"""Sources by directive, in the shape of Django 6's ``SECURE_CSP``."""

STRICT: Final[Directives] = {
    "default-src": NONE,
    "script-src": SELF,
    "style-src": SELF,
    "img-src": SELF,
    "connect-src": SELF,  # for what a dialog shows
    "form-action": SELF,
    "base-uri": NONE,
    "frame-ancestors": NONE,
}


def header(directives: Directives) -> str:
    """Return the value of ``Content-Security-Policy``.

    With the host of the static files, and with those that a form leads to at last: Chromium asks
    ``form-action`` about redirects too.
    """
    files = _origins(static("drf_logout/pages.css"))
    ways = (settings.LOGIN_URL, settings.LOGIN_REDIRECT_URL, settings.LOGOUT_REDIRECT_URL)
    added = {
        "script-src": files,
        "style-src": files,
        "img-src": files,
        "form-action": _origins(*[resolve_url(way) for way in ways if way]),
    }
    return "; ".join(
        " ".join([directive, *sources, *added.get(directive, ())])
        for directive, sources in directives.items()
    )


def _origins(*urls: str) -> list[str]:
    """Return the origins of the absolute ones among these URLs."""
    parts = [urlsplit(url) for url in urls]
    return list(
        dict.fromkeys(
            f"{part.scheme}://{part.netloc}" if part.scheme else part.netloc
            for part in parts
            if part.netloc
        )
    )
