"""A wrong or dangerous set-up, told at start."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004

from accounts.remote.conf import SETTINGS, problems

# Any: Django passes what future versions may add.


def check_settings(**kwargs: Any) -> Iterator[CheckMessage]:
    """Check ``settings.ACCOUNTS_REMOTE``, and what is needed to use it."""
    hint = f"The settings are {', '.join(SETTINGS)}."
    for problem in problems(getattr(settings, "ACCOUNTS_REMOTE", {})):
        yield Error(problem, hint=hint, id="drf_logout_remote.E001")
    for module in ("requests", "cryptography"):
        if find_spec(module) is None:
            what = f"The library {module!r} is not installed."
            hint = "Install 'drf-logout[remote]'."
            yield Error(what, hint=hint, id="drf_logout_remote.E002")
    if apps.is_installed("accounts"):
        what = "This service has the logins itself, and asks another for them."
        hint = "Use 'accounts.authentication.JWTAuthentication' here, and no 'accounts.remote'."
        yield Warning(what, hint=hint, id="drf_logout_remote.W001")


def check_deployment(**kwargs: Any) -> Iterator[CheckMessage]:
    """Check that nobody on the way reads the secret, or answers in the issuer's place."""
    given = getattr(settings, "ACCOUNTS_REMOTE", {})
    for name in ("JWKS", "INTROSPECT"):
        if not any(problems(given)) and _is_readable(given.get(name, "")):
            what = f"ACCOUNTS_REMOTE[{name!r}] is asked without encryption."
            hint = "Name it by https."
            yield Warning(what, hint=hint, id="drf_logout_remote.W002")


def _is_readable(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        is_here = ip_address(host).is_loopback
    except ValueError:
        is_here = host == "localhost"
    return parts.scheme == "http" and not is_here
