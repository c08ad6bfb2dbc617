"""The app's settings: typed properties over ``settings.ACCOUNTS``, read when asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final, NamedTuple

from django.conf import settings

UNIX_SOCKET: Final = "unix"
"""The entry of ``TRUSTED_PROXIES`` that stands for a peer without an address."""

DEFAULTS: Final[Mapping[str, Any]] = {  # Any: each key has a type of its own, below
    "TRUSTED_PROXIES": (),
    "REAUTHENTICATION_MAX_AGE": timedelta(minutes=10),
    "LOGOUT_RATE": "20/5m",
    "PASSWORD_RATE": "10/5m",
    "ADDRESS_RATE": "100/5m",
}


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
    def trusted_proxies(self) -> frozenset[IPv4Network | IPv6Network | str]:
        """The networks whose ``X-Forwarded-For`` is believed."""
        value = self._get("TRUSTED_PROXIES")
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise ValueError("must be a list of networks")
        return _networks(tuple(map(str, value)))

    @property
    def reauthentication_max_age(self) -> timedelta:
        """How long a re-authentication counts; seconds where a plain number is set."""
        value = self._get("REAUTHENTICATION_MAX_AGE")
        if isinstance(value, int) and not isinstance(value, bool):
            try:
                value = timedelta(seconds=value)
            except OverflowError as error:
                raise ValueError("is too long") from error
        if not isinstance(value, timedelta) or value <= timedelta(0):
            raise ValueError("must be a timedelta or a number of seconds, above zero")
        return value

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

    def _rate(self, name: str) -> Rate:
        value = self._get(name)
        match = (
            re.fullmatch(r"([1-9]\d*)/([1-9]\d*)?([smhd])", value)
            if isinstance(value, str)
            else None
        )
        if match is None:
            raise ValueError("must be a count and a period, as in '20/5m'")
        return Rate(int(match[1]), int(match[2] or 1) * _PERIODS[match[3]])

    def _get(self, name: str) -> Any:  # Any: what a host wrote is not known to have a type
        return getattr(settings, "ACCOUNTS", {}).get(name, DEFAULTS[name])


@lru_cache(maxsize=8)  # the same few settings are read on every request
def _networks(values: tuple[str, ...]) -> frozenset[IPv4Network | IPv6Network | str]:
    return frozenset(v if v == UNIX_SOCKET else ip_network(v) for v in values)


conf: Final = Conf()

PROPERTIES: Final[Mapping[str, Callable[[], object]]] = {
    "TRUSTED_PROXIES": lambda: conf.trusted_proxies,
    "REAUTHENTICATION_MAX_AGE": lambda: conf.reauthentication_max_age,
    "LOGOUT_RATE": lambda: conf.logout_rate,
    "PASSWORD_RATE": lambda: conf.password_rate,
    "ADDRESS_RATE": lambda: conf.address_rate,
}
"""Each setting and how it is read, for the system checks."""
