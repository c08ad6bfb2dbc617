"""The app's settings: typed properties over ``settings.ACCOUNTS``, read when asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, Generic, NamedTuple, TypeGuard, TypeVar

from django.conf import settings

UNIX_SOCKET: Final = "unix"
"""The entry of ``TRUSTED_PROXIES`` that stands for a peer without an address."""

AAL1: Final = {"ABSOLUTE_TIMEOUT": timedelta(days=30)}
AAL2: Final = {"IDLE_TIMEOUT": timedelta(hours=1), "ABSOLUTE_TIMEOUT": timedelta(hours=24)}
AAL3: Final = {"IDLE_TIMEOUT": timedelta(minutes=15), "ABSOLUTE_TIMEOUT": timedelta(hours=12)}
"""The limits of the assurance levels of NIST SP 800-63B-4: ``ACCOUNTS = {**AAL2, …}``."""

TOUCH_INTERVAL: Final = timedelta(minutes=1)
"""``last_seen_at`` is this coarse, so that reading an API does not mean writing to it."""

LONGEST: Final = timedelta(days=36_500)

CLEARABLE: Final = ("cache", "cookies", "storage", "executionContexts", "clientHints", "*")
"""The types of https://www.w3.org/TR/clear-site-data/#header."""

_PERIODS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

T = TypeVar("T")


class Cookie(NamedTuple):
    """The cookie that refresh tokens are kept in: its name, ``SameSite`` and ``Domain``."""

    name: str = "refresh_token"
    samesite: str = "Strict"
    domain: str | None = None


class Rate(NamedTuple):
    """So many requests in so many seconds."""

    limit: int
    seconds: int


# How a value that a host has set is read; a wrong one raises ``ValueError``.


def _duration(value: object) -> timedelta | None:
    return None if value is None else _some_time(value)


def _some_time(value: object) -> timedelta:
    if _is_int(value):
        try:
            value = timedelta(seconds=value)
        except OverflowError as error:
            raise ValueError("is too long") from error
    if not isinstance(value, timedelta) or value <= timedelta(0):
        raise ValueError("must be a timedelta or a number of seconds, above zero")
    if value > LONGEST:
        raise ValueError("is too long")
    return value


def _idle_time(value: object) -> timedelta | None:
    duration = _duration(value)
    if duration is not None and duration <= TOUCH_INTERVAL:
        raise ValueError("must be longer than the minute to which use is noted")
    return duration


def _grace(value: object) -> timedelta:
    return timedelta(0) if _is_int(value) and not value else _some_time(value)


def _number(value: object) -> int | None:
    if value is None or (_is_int(value) and value > 0):
        return value
    raise ValueError("must be a number above zero, or None")


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be True or False")
    return value


def _items(value: object) -> tuple[object, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError("must be a list")
    return tuple(value)


def _keys(value: object) -> tuple[str, ...]:
    keys = tuple(key for key in _items(value) if isinstance(key, str) and key)
    if len(keys) < len(_items(value)):
        raise ValueError("must be a list of keys")
    return keys


def _kinds(value: object) -> tuple[str, ...]:
    kinds = tuple(map(str, _items(value)))
    if any(kind not in CLEARABLE for kind in kinds):
        raise ValueError(f"must be a list of {', '.join(CLEARABLE)}")
    return kinds


def _cookie(value: object) -> Cookie | None:
    """Refuse what browsers refuse, too."""
    if value is None:
        return None
    if not isinstance(value, dict) or not all(isinstance(part, str) for part in value.values()):
        raise ValueError("must be None, or a dict of text")
    if not set(value) <= {name.upper() for name in Cookie._fields}:
        raise ValueError("may have NAME, SAMESITE and DOMAIN")
    cookie = Cookie(**{name.lower(): part for name, part in value.items()})
    if not re.fullmatch(r"(?!__(?i:host|secure)-)[\w!#$%&'*+.^`|~-]+", cookie.name, re.ASCII):
        raise ValueError("NAME must be that of a cookie, without the prefix of one")
    if cookie.samesite not in {"Strict", "Lax", "None"}:
        raise ValueError("SAMESITE must be 'Strict', 'Lax' or 'None'")
    if cookie.samesite == "None" and not settings.SESSION_COOKIE_SECURE:
        raise ValueError("SAMESITE 'None' takes HTTPS: set SESSION_COOKIE_SECURE, too")
    if not re.fullmatch(r"(?:[a-z\d-]+\.)+[a-z][a-z\d-]*", cookie.domain or "a.a"):
        raise ValueError("DOMAIN must be a domain, as in 'example.com'")
    return cookie


def _edges(value: object) -> frozenset[str]:
    if value not in (True, False, "pages"):
        raise ValueError("must be True, False or 'pages'")
    return frozenset({True: ("pages", "api"), False: (), "pages": ("pages",)}[value])


def _rate(value: object) -> Rate:
    return _parsed_rate(str(value))


@lru_cache(maxsize=8)  # the same few are read on every request
def _parsed_rate(value: str) -> Rate:
    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)?([smhd])", value)
    if match is None:
        raise ValueError("must be a count and a period, as in '20/5m'")
    return Rate(int(match[1]), int(match[2] or 1) * _PERIODS[match[3]])


def _networks(value: object) -> frozenset[IPv4Network | IPv6Network | str]:
    return _parsed_networks(tuple(map(str, _items(value))))


@lru_cache(maxsize=8)  # as above
def _parsed_networks(values: tuple[str, ...]) -> frozenset[IPv4Network | IPv6Network | str]:
    return frozenset(v if v == UNIX_SOCKET else ip_network(v) for v in values)


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


class _Setting(Generic[T]):
    def __init__(self, default: object, read: Callable[[object], T]) -> None:
        self._default, self._read = default, read

    def __set_name__(self, owner: type[Conf], name: str) -> None:
        self._name = name.upper()
        DEFAULTS[self._name] = self._default

    def __get__(self, instance: Conf, owner: type[Conf]) -> T:
        return self._read(getattr(settings, "ACCOUNTS", {}).get(self._name, self._default))


DEFAULTS: Final[dict[str, object]] = {}
"""Each setting; ``conf`` has an attribute of its name in lower case."""


class Conf:
    """What a host project has set, or the default; a wrong value raises ``ValueError``.

    The system checks read every attribute once at start, so a wrong value is told before a
    request meets it.
    """

    idle_timeout = _Setting(None, _idle_time)
    """How long a login may go unused."""
    absolute_timeout = _Setting(None, _duration)
    """How long after the log-in a login ends, whatever is done with it."""
    max_sessions = _Setting(None, _number)
    """How many logins a user may have at a time."""
    refresh_grace = _Setting(timedelta(seconds=10), _grace)
    """How long a refresh token that was rotated is answered with its successor again."""
    signing_key_fallbacks = _Setting((), _keys)
    """Keys that sign no token and verify one still, or already: public ones if not of HMAC."""
    refresh_cookie = _Setting(None, _cookie)
    """The cookie of refresh tokens, for clients that ask for it; None: tokens go in bodies."""
    reauthentication_max_age = _Setting(timedelta(minutes=10), _some_time)
    """How long a re-authentication counts."""
    reauthenticate_to_end_others = _Setting("pages", _edges)
    """Where ending any but the current login takes a recent re-authentication."""
    logout_rate = _Setting("20/5m", _rate)
    """Requests to ``logout`` and ``logout/all`` together, for each user."""
    password_rate = _Setting("10/5m", _rate)
    """Wrong passwords for each account."""
    address_rate = _Setting("100/5m", _rate)
    """Wrong passwords from each client address, whatever the account."""
    password_fail_open = _Setting(default=False, read=_flag)
    """Whether passwords may be tried without limit where attempts cannot be counted."""
    trusted_proxies = _Setting((), _networks)
    """The networks whose ``X-Forwarded-For`` is believed."""
    clear_site_data = _Setting((), _kinds)
    """What a browser is told to clear when it has logged out."""
    audit_retention = _Setting(None, _duration)
    """How long a ``LogoutEvent`` is kept."""


conf: Final = Conf()
