"""Where a client address is, as text: by the host's GeoIP2 database, if it has one."""

from __future__ import annotations

import logging
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Final

from django.conf import settings
from django.contrib.gis.geoip2 import GeoIP2
from django.utils.translation import gettext as _

logger: Final = logging.getLogger(__name__)

LOCAL: Final = [
    ip_network(network)
    for network in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
]


def place_of(address: str | None) -> str:
    """Return the city and country of an address, as far as they are known; never raises.

    Names are those of the database. Needs Django's ``GEOIP_PATH`` and the package geoip2.
    """
    if not address:
        return ""
    parsed = ip_address(address)
    if any(parsed in network for network in LOCAL):
        return _("local network")
    path = getattr(settings, "GEOIP_PATH", None)
    reader = _open(str(path)) if path else None
    if reader is None:
        return ""
    try:
        found = reader.city(address) if reader.is_city else reader.country(address)
    except Exception:  # noqa: BLE001 - what it raises is that of a package that may be missing
        return ""  # most often an address that the database does not have
    names = (found.get("city"), found["country_name"])
    return ", ".join(str(name) for name in names if name)


@lru_cache(maxsize=1)  # opened once: it is mapped into memory
def _open(path: str) -> GeoIP2 | None:
    try:
        return GeoIP2(path)
    except Exception:
        logger.exception("No places are shown: the GeoIP2 database cannot be opened")
        return None
