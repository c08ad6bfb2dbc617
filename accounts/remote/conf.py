"""Where the issuer is, and how it is asked: ``settings.ACCOUNTS_REMOTE``, read when asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

ALGORITHMS: Final = (
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "PS256",
    "PS384",
    "PS512",
    "RS256",
    "RS384",
    "RS512",
)
"""Those of a key pair: who verifies by another cannot sign."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Remote:
    """The settings; see ``docs/how-to/services.md``."""

    introspect: str
    client_id: str
    client_secret: str = field(repr=False)
    jwks: str = ""
    issuer: str = ""
    audience: str = ""
    algorithms: tuple[str, ...] = ALGORITHMS
    timeout: float = 2
    """Seconds, of a connection and of an answer; what fails is tried once more."""
    cache_seconds: float = 0
    """How long a login that was alive may count as alive without being asked about."""
    accept_when_down: bool = False
    """Whether the signature is enough while the issuer does not answer."""

    @classmethod
    def read(cls) -> Remote:
        """Return what is set. Raises ``ImproperlyConfigured``."""
        given = getattr(settings, "ACCOUNTS_REMOTE", {})
        for problem in problems(given):
            raise ImproperlyConfigured(problem)
        values = {**given, "ALGORITHMS": tuple(given.get("ALGORITHMS", ALGORITHMS))}
        return cls(**{name.lower(): value for name, value in values.items()})


def problems(given: object) -> Iterator[str]:
    """Say each thing that is wrong with the settings."""
    if not isinstance(given, dict):
        yield "ACCOUNTS_REMOTE is not a dict."
        return
    for name, value in given.items():
        if name not in _KINDS:
            yield f"ACCOUNTS_REMOTE[{name!r}] is not a setting."
        elif not _KINDS[name][0](value):
            yield f"ACCOUNTS_REMOTE[{name!r}] {_KINDS[name][1]}."
    for name, reason in (
        ("INTROSPECT", "it alone knows which logins have ended"),
        ("CLIENT_ID", "'manage.py create_client' of the issuer registers one"),
        ("CLIENT_SECRET", "'manage.py create_client' of the issuer prints it"),
        *((("ISSUER", "by JWKS, a token has to be of one issuer"),) if "JWKS" in given else ()),
    ):
        if name not in given:
            yield f"ACCOUNTS_REMOTE[{name!r}] is missing: {reason}."
    for name in ("ISSUER", "AUDIENCE", "ALGORITHMS", "ACCEPT_WHEN_DOWN"):
        if name in given and "JWKS" not in given:
            yield f"ACCOUNTS_REMOTE[{name!r}] takes JWKS: without it no token is verified here."


def _is_url(value: object) -> bool:
    try:
        parts = urlsplit(str(value))
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _are_algorithms(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(v in ALGORITHMS for v in value)


_URL: Final = (_is_url, "must be an address, as in 'https://auth.example.com/…'")
_TEXT: Final = (_is_text, "must be text")
_KINDS: Final[Mapping[str, tuple[Callable[[object], bool], str]]] = {
    "INTROSPECT": _URL,
    "CLIENT_ID": _TEXT,
    "CLIENT_SECRET": _TEXT,
    "JWKS": _URL,
    "ISSUER": _TEXT,
    "AUDIENCE": _TEXT,
    "ALGORITHMS": (_are_algorithms, f"must be a list of {', '.join(ALGORITHMS)}"),
    "TIMEOUT": (lambda value: _is_number(value) and bool(value), "must be seconds, above zero"),
    "CACHE_SECONDS": (_is_number, "must be seconds"),
    "ACCEPT_WHEN_DOWN": (lambda value: isinstance(value, bool), "must be True or False"),
}
SETTINGS: Final = tuple(_KINDS)
