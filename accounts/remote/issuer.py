"""The service that issues tokens, as another one sees it: its keys, and what it says of a token."""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote_plus

import jwt
import requests
from django.core.cache.backends.locmem import LocMemCache
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from accounts.remote.conf import Remote

logger = logging.getLogger(__name__)

Claims = dict[str, Any]
"""As JSON has them, so Any."""

MAX_LENGTH: Final = 16_384
"""Of a raw token, in characters; servers allow no longer header."""
PAUSE: Final = 30
"""Seconds: a ``kid`` that nobody knows makes the keys be fetched again no sooner."""
PAUSE_WHEN_DOWN: Final = 5
"""Seconds: after a failure, whoever needs the keys does not wait for another one."""
BUSY: Final = frozenset({429, 500, 502, 503, 504})
CONNECTIONS: Final = 32
VERDICTS: Final = 10_000


class NoAnswer(Exception):
    """The issuer does not say whether a login is alive."""


class Down(NoAnswer):
    """The issuer is out of reach, or busy: it may say so in a while."""


class NotAlive(Exception):
    """A token is not the issuer's, is no access token, has expired, or its login has ended."""


class Issuer:
    """One issuer. Threads share it, and its connections."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        # Of this process alone: who could write to a shared cache would decide who is in.
        self._verdicts = LocMemCache(uuid.uuid4().hex, {"OPTIONS": {"MAX_ENTRIES": VERDICTS}})
        self._session = _session()
        if remote.jwks:
            self._keys = _Keys(remote.jwks, timeout=remote.timeout, cooldown_duration=PAUSE)

    def claims(self, raw: str) -> Claims:
        """Return what a token whose login is alive says. Raises ``NoAnswer`` or ``NotAlive``."""
        if not raw.isascii() or len(raw) > MAX_LENGTH:
            raise NotAlive
        claims = self._verified(raw) if self._remote.jwks else {}
        try:
            return claims | self._said(raw)
        except Down:
            if not self._remote.accept_when_down:
                raise
            return claims

    def _verified(self, raw: str) -> Claims:
        """Return the claims of a token that the issuer has signed, and which has not expired."""
        allowed = list(self._remote.algorithms)
        try:
            header = jwt.get_unverified_header(raw)
            # A key is looked for where the algorithm could be right.
            if header.get("alg") not in allowed or not isinstance(header.get("kid"), str):
                raise NotAlive
            claims: Claims = jwt.decode(
                raw,
                self._keys.get_signing_key(header["kid"]),
                algorithms=allowed,
                issuer=self._remote.issuer,
                audience=self._remote.audience or None,
                # The issuer's clock may be ahead, and what it has signed is not younger than now.
                options={"require": ["exp", "iss"], "verify_iat": False},
            )
        except jwt.PyJWKClientConnectionError as error:
            raise Down from error
        except (jwt.PyJWTError, ArithmeticError, RecursionError, TypeError, ValueError) as error:
            raise NotAlive from error
        if claims.get("token_type") != "access":
            raise NotAlive
        return claims

    def _said(self, raw: str) -> Claims:
        """Return what the issuer says of a token now, or said a little while ago."""
        if not self._remote.cache_seconds:
            return self._asked(raw)
        name = hashlib.sha256(raw.encode()).hexdigest()
        said: Claims | None = self._verdicts.get(name)
        if said is None:
            said = self._asked(raw)
            end = said.get("exp")
            left = end - time.time() if isinstance(end, int | float) else 0
            self._verdicts.set(name, said, min(self._remote.cache_seconds, left))
        return said

    def _asked(self, raw: str) -> Claims:
        remote = self._remote
        # RFC 6749 §2.3.1 encodes both as a form does.
        credentials = quote_plus(remote.client_id), quote_plus(remote.client_secret)
        try:
            answer = self._session.post(
                remote.introspect,
                {"token": raw, "token_type_hint": "access_token"},
                auth=credentials,
                timeout=remote.timeout,
                allow_redirects=False,
            )
            said = answer.json() if answer.status_code == 200 else None
        except (requests.RequestException, RecursionError) as error:
            logger.error("The issuer cannot be asked: %s", type(error).__name__)
            raise Down from error
        if not isinstance(said, dict):
            logger.error("The issuer answers %s to 'introspect'", answer.status_code)
            # After 400 and 401, which are about our client, no signature is enough.
            raise Down if answer.status_code in BUSY else NoAnswer
        if said.get("active") is not True:
            raise NotAlive
        return said


def _session() -> requests.Session:
    session = requests.Session()
    # A connection that was idle may turn out closed. What says 503 is not waited for.
    again = Retry(1, status=0, allowed_methods=None, respect_retry_after_header=False)
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=again, pool_maxsize=CONNECTIONS))
    return session


class _Keys(jwt.PyJWKClient):
    """PyJWT's own, which keeps the keys for five minutes, and what it says when it is down."""

    _down_until = 0.0

    def fetch_data(self) -> Any:  # Any: as in PyJWT
        """Fetch the keys. Raises ``PyJWKClientConnectionError``, at once where it just did."""
        if time.monotonic() < self._down_until:
            raise jwt.PyJWKClientConnectionError("The issuer was down just now")
        try:
            return super().fetch_data()
        except (jwt.PyJWTError, OSError, ValueError) as error:
            self._down_until = time.monotonic() + PAUSE_WHEN_DOWN
            logger.error("The issuer's keys cannot be read: %s", type(error).__name__)
            raise jwt.PyJWKClientConnectionError("The issuer is down") from error


_issuer = lru_cache(maxsize=4)(Issuer)


def issuer() -> Issuer:
    """Return the issuer of the settings, the same one as long as they are the same.

    Raises ``ImproperlyConfigured``.
    """
    return _issuer(Remote.read())
