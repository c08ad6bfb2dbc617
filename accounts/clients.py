"""Who is calling: the one reader of client address, user agent and request id."""

from __future__ import annotations

import logging
import re
import uuid
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Self

from django.http import HttpRequest

from accounts.conf import UNIX_SOCKET, conf

logger = logging.getLogger(__name__)

USER_AGENT_MAX_LENGTH = 512
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]")
_REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientInfo:
    """The client behind a request, safe to store and to log."""

    ip_address: str | None = None
    user_agent: str = ""
    request_id: str = ""

    @classmethod
    def from_request(cls, request: HttpRequest) -> Self:
        """Read the client off a request.

        The address is the right-most hop that no trusted proxy vouches for. The user agent is cut
        to 512 characters and stripped of control characters, so that it cannot forge a log line.
        The request id is the caller's ``X-Request-ID`` if it is plain, else a new one.
        """
        # One for each request, whoever asks for it.
        request_id = request.META.setdefault("HTTP_X_REQUEST_ID", uuid.uuid4().hex)
        return cls(
            ip_address=_address(request),
            user_agent=_UNPRINTABLE.sub("", request.headers.get("User-Agent", ""))[
                :USER_AGENT_MAX_LENGTH
            ],
            request_id=request_id if _REQUEST_ID.fullmatch(request_id) else uuid.uuid4().hex,
        )


def clear_site_data(request: HttpRequest) -> str:
    """Return the ``Clear-Site-Data`` header of a logout; empty where it is not to be sent.

    Over HTTPS alone, since browsers ignore it elsewhere.
    """
    if not request.is_secure():
        return ""
    return ", ".join(f'"{kind}"' for kind in conf.clear_site_data)


def _address(request: HttpRequest) -> str | None:
    peer = request.META.get("REMOTE_ADDR", "")
    nearest = _parse(peer)
    trusted = _is_trusted(nearest) if nearest else not peer and UNIX_SOCKET in conf.trusted_proxies
    if trusted:
        for hop in reversed(request.headers.get("X-Forwarded-For", "").split(",")):
            address = _parse(hop)
            if address is None:
                break
            nearest = address
            if not _is_trusted(address):
                break
    elif _is_proxied(request, nearest) and not conf.trusted_proxies:
        _warn_of_proxy()
    return str(nearest) if nearest else None


def _is_proxied(request: HttpRequest, peer: IPv4Address | IPv6Address | None) -> bool:
    """Whether a request looks as if a proxy beside us has passed it on."""
    return "X-Forwarded-For" in request.headers and not (peer and peer.is_global)


@cache
def _warn_of_proxy() -> None:
    """Tell once in a process."""
    logger.warning(
        "X-Forwarded-For from a private address, and nobody is in ACCOUNTS['TRUSTED_PROXIES']: "
        "everybody behind that proxy has one address, and shares one limit"
    )


def _parse(hop: str) -> IPv4Address | IPv6Address | None:
    """Read one hop, with or without a port, as proxies write it: ``[2001:db8::1]:443``."""
    hop = hop.strip()
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        address = ip_address(hop.partition("%")[0])
    except ValueError:
        return None
    # A dual-stack socket shows IPv4 peers as ::ffff:192.0.2.1; they are one client.
    return getattr(address, "ipv4_mapped", None) or address


def _is_trusted(address: IPv4Address | IPv6Address) -> bool:
    return any(not isinstance(net, str) and address in net for net in conf.trusted_proxies)
