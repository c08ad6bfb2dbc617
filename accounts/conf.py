"""The app's settings: typed properties over ``settings.ACCOUNTS``, read when asked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final, NamedTuple

from django.conf import settings

UNIX_SOCKET: Final = "unix"
"""The entry of ``TRUSTED_PROXIES`` that stands for a peer without an address."""

AAL1: Final = {"ABSOLUTE_TIMEOUT": timedelta(days=30)}
AAL2: Final = {"IDLE_TIMEOUT": timedelta(hours=1), "ABSOLUTE_TIMEOUT": timedelta(hours=24)}
AAL3: Final = {"IDLE_TIMEOUT": timedelta(minutes=15), "ABSOLUTE_TIMEOUT": timedelta(hours=12)}
"""The limits of the assurance levels of NIST SP 800-63B-4: ``ACCOUNTS = {**AAL2, …}``."""

DEFAULTS: Final[Mapping[str, Any]] = {  # Any: each key has a type of its own, below
    "IDLE_TIMEOUT": None,
    "ABSOLUTE_TIMEOUT": None,
    "MAX_SESSIONS": None,
    "REFRESH_GRACE": timedelta(seconds=10),
    "SIGNING_KEY_FALLBACKS": (),
    "REAUTHENTICATION_MAX_AGE": timedelta(minutes=10),
    "REAUTHENTICATE_TO_END_OTHERS": "pages",
    "LOGOUT_RATE": "20/5m",
    "PASSWORD_RATE": "10/5m",
    "ADDRESS_RATE": "100/5m",
    "PASSWORD_FAIL_OPEN": False,
    "TRUSTED_PROXIES": (),
    "CLEAR_SITE_DATA": (),
    "AUDIT_RETENTION": None,
}
"""Each setting; ``conf`` has a property of its name in lower case."""

TOUCH_INTERVAL: Final = timedelta(minutes=1)
"""``last_seen_at`` is this coarse, so that reading an API does not mean writing to it."""

LONGEST: Final = timedelta(days=36_500)

CLEARABLE: Final = ("cache", "cookies", "storage", "executionContexts", "clientHints", "*")
"""The types of https://www.w3.org/TR/clear-site-data/#header."""

_PERIODS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Rate(NamedTuple):
    """So many requests in so many seconds."""

    limit: int
    seconds: int


class Conf:
    """What a host project has set, or the default; a wrong value raises ``ValueError``.

    The system checks read every property once at start, so a wrong value is told before a
    request meets it.
    """

    @property
    def idle_timeout(self) -> timedelta | None:
        """How long a login may go unused."""
        value = self._duration("IDLE_TIMEOUT")
        if value is not None and value <= TOUCH_INTERVAL:
            raise ValueError("must be longer than the minute to which use is noted")
        return value

    @property
    def absolute_timeout(self) -> timedelta | None:
        """How long after the log-in a login ends, whatever is done with it."""
        return self._duration("ABSOLUTE_TIMEOUT")

    @property
    def max_sessions(self) -> int | None:
        """How many logins a user may have at a time."""
        value: int | None = self._get("MAX_SESSIONS")
        if value is not None and (not _is_int(value) or value < 1):
            raise ValueError("must be a number above zero, or None")
        return value

    @property
    def refresh_grace(self) -> timedelta:
        """How long a refresh token that was rotated is answered with its successor again."""
        if _is_int(self._get("REFRESH_GRACE")) and not self._get("REFRESH_GRACE"):
            return timedelta(0)
        value = self._duration("REFRESH_GRACE")
        if value is None:
            raise ValueError("must not be None; 0 allows no second answer")
        return value

    @property
    def signing_key_fallbacks(self) -> tuple[str, ...]:
        """Keys that sign no token and verify one still, or already: public ones if not of HMAC."""
        value = tuple(self._list("SIGNING_KEY_FALLBACKS"))
        if not all(isinstance(key, str) and key for key in value):
            raise ValueError("must be a list of keys")
        return value

    @property
    def reauthentication_max_age(self) -> timedelta:
        """How long a re-authentication counts."""
        value = self._duration("REAUTHENTICATION_MAX_AGE")
        if value is None:
            raise ValueError("must not be None")
        return value

    @property
    def reauthenticate_to_end_others(self) -> frozenset[str]:
        """Where ending any but the current login takes a recent re-authentication."""
        value = self._get("REAUTHENTICATE_TO_END_OTHERS")
        if value not in (True, False, "pages"):
            raise ValueError("must be True, False or 'pages'")
        return frozenset({True: ("pages", "api"), False: (), "pages": ("pages",)}[value])

    @property
    def logout_rate(self) -> Rate:
        """Requests to ``logout`` and ``logout/all`` together, for each user."""
        return self._rate("LOGOUT_RATE")

    @property
    def password_rate(self) -> Rate:
        """Wrong passwords for each account."""
        return self._rate("PASSWORD_RATE")

    @property
    def address_rate(self) -> Rate:
        """Wrong passwords from each client address, whatever the account."""
        return self._rate("ADDRESS_RATE")

    @property
    def password_fail_open(self) -> bool:
        """Whether passwords may be tried without limit where attempts cannot be counted."""
        value = self._get("PASSWORD_FAIL_OPEN")
        if not isinstance(value, bool):
            raise ValueError("must be True or False")
        return value

    @property
    def trusted_proxies(self) -> frozenset[IPv4Network | IPv6Network | str]:
        """The networks whose ``X-Forwarded-For`` is believed."""
        return _networks(tuple(map(str, self._list("TRUSTED_PROXIES"))))

    @property
    def clear_site_data(self) -> tuple[str, ...]:
        """What a browser is told to clear when it has logged out."""
        value = tuple(self._list("CLEAR_SITE_DATA"))
        if any(kind not in CLEARABLE for kind in value):
            raise ValueError(f"must be a list of {', '.join(CLEARABLE)}")
        return value

    @property
    def audit_retention(self) -> timedelta | None:
        """How long a ``LogoutEvent`` is kept."""
        return self._duration("AUDIT_RETENTION")

    def _duration(self, name: str) -> timedelta | None:
        value = self._get(name)
        if value is None:
            return None
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

    def _list(self, name: str) -> Iterable[Any]:  # Any: as of _get()
        value = self._get(name)
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise ValueError("must be a list")
        return value

    def _rate(self, name: str) -> Rate:
        return _rate(str(self._get(name)))

    def _get(self, name: str) -> Any:  # Any: what a host wrote is not known to have a type
        return getattr(settings, "ACCOUNTS", {}).get(name, DEFAULTS[name])


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# The same few settings are read on every request.


@lru_cache(maxsize=8)
def _rate(value: str) -> Rate:
    if (match := re.fullmatch(r"([1-9]\d*)/([1-9]\d*)?([smhd])", value)) is None:
        raise ValueError("must be a count and a period, as in '20/5m'")
    return Rate(int(match[1]), int(match[2] or 1) * _PERIODS[match[3]])


@lru_cache(maxsize=8)
def _networks(values: tuple[str, ...]) -> frozenset[IPv4Network | IPv6Network | str]:
    return frozenset(v if v == UNIX_SOCKET else ip_network(v) for v in values)


conf: Final = Conf()
