"""Rate limits on django-ratelimit's counters, and the headers that tell of them.

The headers are those of draft-ietf-httpapi-ratelimit-headers-10, with the older ``X-RateLimit``
ones beside them.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial, wraps
from threading import Lock
from typing import Concatenate, Final, ParamSpec, TypeVar

from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.http import HttpRequest
from django_ratelimit.core import get_usage
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.clients import ClientInfo
from accounts.conf import Rate, conf

logger = logging.getLogger(__name__)

NOT_ENFORCED: Final = "Rate limit %s is not enforced: its store is unavailable: %s"
COUNTED_HERE: Final = "Rate limit %s is each process's own: its store is unavailable: %s"

P = ParamSpec("P")
T = TypeVar("T")
V = TypeVar("V", bound=APIView)

RETRY_INTERVAL: Final = 1.0
"""Seconds after a failure in which the store is not asked again."""

MINUTE: Final = 60

MAX_KEYS: Final = 10_000


class Outage:
    """Whether the store is down: then one request a second asks it, and no other waits for it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._retry_at = 0.0

    def lasts(self) -> bool:
        """Whether the caller should not ask the store."""
        with self._lock:
            now = time.monotonic()
            lasts = now < self._retry_at
            if self._retry_at and not lasts:
                # The caller tries; others need not wait with it for what may time out.
                self._retry_at = now + RETRY_INTERVAL
            return lasts

    def begin(self) -> None:
        """Note that the store has failed."""
        with self._lock:
            self._retry_at = time.monotonic() + RETRY_INTERVAL

    def end(self) -> None:
        """Note that the store has answered."""
        with self._lock:
            self._retry_at = 0.0


class Budget:
    """A few attempts for each key and minute, counted by this process alone."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._spent: dict[int, int] = {}
        self._ends = 0.0

    def spend(self, key: str, rate: Rate) -> int | None:
        """Count an attempt; return the seconds to wait (≥ 1) if it may not be made.

        The budget is a minute's share of the rate, at least one. Where there are too many keys to
        remember, a new one may not be tried before the next minute.
        """
        budget = max(1, min(rate.limit, rate.limit * MINUTE // rate.seconds))
        digest = hash(key)  # of a size that whoever chooses the name cannot choose
        with self._lock:
            now = time.monotonic()
            if now >= self._ends:
                self._spent.clear()
                self._ends = now + MINUTE
            spent = self._spent.get(digest, 0)
            if spent >= budget or (not spent and len(self._spent) >= MAX_KEYS):
                return math.ceil(self._ends - now)
            self._spent[digest] = spent + 1
        return None


class StoreUnavailable(Exception):
    """The cache that counts requests does not. See its server and ``CACHES``."""


_outage: Final = Outage()
_budget: Final = Budget()


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """How much of a limit is used: ``count`` of ``rate.limit``, for ``reset`` seconds (≥ 1).

    ``ends`` is the last second of the window; several where the clock has ticked while it counted.
    """

    name: str
    rate: Rate
    count: int
    reset: int
    ends: Sequence[int]

    @property
    def exceeded(self) -> bool:
        """Whether this request is one too many."""
        return self.count > self.rate.limit

    @property
    def headers(self) -> dict[str, str]:
        """The headers of an answer under this limit."""
        remaining = max(0, self.rate.limit - self.count)
        return {
            "RateLimit-Policy": f'"{self.name}";q={self.rate.limit};w={self.rate.seconds}',
            "RateLimit": f'"{self.name}";r={remaining};t={self.reset}',
            "X-RateLimit-Limit": str(self.rate.limit),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": str(self.reset),
        }


def count(request: HttpRequest | Request, *, name: str, key: str, rate: Rate) -> Usage | None:
    """Count a request under a limit's name and a key.

    Returns None where ``RATELIMIT_ENABLE`` is off. Raises ``StoreUnavailable``: at once, and
    without asking the store, within a second after it has failed in this process.
    """
    # Of one length, and of letters that every store takes.
    digest = _digest(key)
    began = int(time.time())
    for _ in range(2):  # a store may have let go of a counter between two questions
        usage = _asking(
            partial(
                get_usage,
                request,
                group=f"accounts.{name}",
                key=lambda group, request: digest,
                rate=tuple(rate),
                increment=True,
            )
        )
        if not getattr(settings, "RATELIMIT_ENABLE", True):
            return None
        if usage and usage["limit"]:  # else django-ratelimit says that it could not count
            break
    else:
        _outage.begin()
        raise StoreUnavailable("it refuses to count")
    # It says when its window ends by a clock that may have ticked meanwhile, or leapt.
    ends = [second + usage["time_left"] for second in range(began, int(time.time()) + 1)[-MINUTE:]]
    # The window still holds in the second that it says is the first of the next one.
    return Usage(
        name=name, rate=rate, count=usage["count"], reset=max(1, usage["time_left"] + 1), ends=ends
    )


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def _asking(ask: Callable[[], T]) -> T:
    """Ask the store, unless it has just failed. Raises ``StoreUnavailable``."""
    if _outage.lasts():
        raise StoreUnavailable("it failed less than a second ago")
    try:
        answer = ask()
    except Exception as error:
        _outage.begin()
        # As repr() has it: what a server answers reaches no log as it is.
        raise StoreUnavailable(f"{type(error).__name__}: {str(error)[:200]!r}") from error
    _outage.end()
    return answer


def address_key(request: HttpRequest | Request) -> str:
    """Return the client address as a key: all of an IPv6 subscriber's /64 is one client."""
    address = ClientInfo.from_request(request).ip_address
    if address is not None and ":" in address:
        address = str(ipaddress.ip_network(f"{address}/64", strict=False))
    return f"address:{address}"


def user_key(view: APIView, request: Request) -> str:
    """Return the authenticated user as a key, else the client address."""
    if request.user is not None and request.user.is_authenticated:
        return f"user:{request.user.pk}"
    return address_key(request)


def rate_limit(
    name: str,
    *,
    rate: Callable[[], Rate],
    key: Callable[[V, Request], str] = user_key,
    unless: Callable[[V, Request], bool] = lambda view, request: False,
) -> Callable[
    [Callable[Concatenate[V, Request, P], Response]], Callable[Concatenate[V, Request, P], Response]
]:
    """Limit a handler of a DRF view, and say so in the headers of each of its answers.

    ``rate`` and ``key`` (of the view and the request) are called at each request, after DRF's own
    authentication; ``unless``, too, where the limit is exceeded: then it may let the request pass.
    Handlers of the same ``name`` share their count. Over the limit DRF's ``Throttled`` is raised.
    If the counting store is down, the handler runs without a limit and the log says so.
    """

    def decorate(
        handler: Callable[Concatenate[V, Request, P], Response],
    ) -> Callable[Concatenate[V, Request, P], Response]:
        @wraps(handler)
        def limited(view: V, request: Request, *args: P.args, **kwargs: P.kwargs) -> Response:
            usage = _count_or_tell(request, name=name, key=key(view, request), rate=rate())
            try:
                if usage is not None and usage.exceeded and not unless(view, request):
                    raise Throttled(wait=usage.reset)
                response = handler(view, request, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 - DRF's own hook decides what it becomes
                response = view.handle_exception(error)
            if usage is not None:
                for header, value in usage.headers.items():
                    response.headers[header] = value
            return response

        return limited  # type: ignore[return-value] # wraps() loses that it is the same

    return decorate


def is_within(request: Request, *, name: str, key: str, rate: Rate) -> bool:
    """Count under a limit; whether it allows this. Without the store it does, as the log says."""
    usage = _count_or_tell(request, name=name, key=key, rate=rate)
    return usage is None or not usage.exceeded


def _count_or_tell(request: Request, *, name: str, key: str, rate: Rate) -> Usage | None:
    try:
        return count(request, name=name, key=key, rate=rate)
    except StoreUnavailable as error:
        logger.error(NOT_ENFORCED, name, error)
        return None


class Attempts:
    """A limit on the attempts that fail, exact under parallel ones.

    Each attempt counts as failed until it has succeeded, so that of any number of parallel
    guesses no more than the limit are ever evaluated. A success is taken off the window that the
    attempt began in, whenever it comes.

    Without the counting store each process has a small budget of its own, in which successes count
    too; with ``PASSWORD_FAIL_OPEN`` nothing is counted. The log tells of either.
    """

    def __init__(self, request: HttpRequest, *, name: str, key: str, rate: Rate) -> None:
        """Begin an attempt. Raises ``Throttled``."""
        self._successes: list[str] = []
        self._timeout = rate.seconds + MINUTE
        try:
            if (begun := count(request, name=name, key=key, rate=rate)) is None:
                return
            # Where the clock has ticked, a success is written of several windows: of the true one
            # none is missing, and of another there are no more.
            successes = [f"accounts.{name}.success:{_digest(key)}:{end}" for end in begun.ends]
            succeeded = max(_asking(lambda: _cache().get_many(successes)).values(), default=0)
        except StoreUnavailable as error:
            _begin_uncounted(error, name=name, key=key, rate=rate)
            return
        if begun.count - succeeded > rate.limit:
            raise Throttled(wait=begun.reset)
        self._successes = successes

    def succeed(self) -> None:
        """End the attempt well: it no longer counts."""
        if not self._successes:
            return
        try:
            _asking(self._count_success)
        except StoreUnavailable as error:
            logger.error("An attempt counts as failed: no store to say otherwise: %s", error)

    def _count_success(self) -> None:
        for key in self._successes:
            with suppress(ValueError):  # the store has let go of it already
                _cache().add(key, 1, self._timeout) or _cache().incr(key)


def _cache() -> BaseCache:
    """Return the cache that django-ratelimit counts in."""
    return caches[getattr(settings, "RATELIMIT_USE_CACHE", "default")]


def _begin_uncounted(error: StoreUnavailable, *, name: str, key: str, rate: Rate) -> None:
    """Allow an attempt that the store cannot count, or raise ``Throttled``."""
    if conf.password_fail_open:
        logger.error(NOT_ENFORCED, name, error)
        return
    logger.error(COUNTED_HERE, name, error)
    if wait := _budget.spend(f"{name}:{key}", rate):
        raise Throttled(wait=wait)
