"""The token classes: SimpleJWT's, with the claims that say which login they belong to."""

from __future__ import annotations

import json
import re
import uuid
from base64 import urlsafe_b64encode
from copy import copy
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast

import jwt
from django.conf import settings
from django.utils import timezone
from rest_framework_simplejwt import exceptions as simplejwt
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import AccessToken as SimpleJWTAccessToken
from rest_framework_simplejwt.tokens import BlacklistMixin
from rest_framework_simplejwt.tokens import RefreshToken as SimpleJWTRefreshToken
from rest_framework_simplejwt.tokens import Token as SimpleJWTToken
from rest_framework_simplejwt.tokens import UntypedToken as SimpleJWTUntypedToken

from accounts.conf import conf
from accounts.exceptions import TokenExpired, TokenInvalid
from accounts.models import Session, User

MAX_LENGTH: Final = 16_384
"""Of a raw token, in characters; servers allow no longer header."""

SESSION_CLAIM: Final = "sid"


class Backend(TokenBackend):
    """SimpleJWT's own, which verifies with the keys of before and after as well.

    A token of a key pair names its key in the header ``kid``. What a token says of itself never
    chooses the algorithm.
    """

    def __init__(self, backend: TokenBackend, fallbacks: tuple[str, ...], *keys: object) -> None:
        vars(self).update(vars(backend))
        self._fallbacks = fallbacks

    @cached_property
    def public_keys(self) -> dict[str, Any]:  # Any: as in SimpleJWT
        """The keys that verify, by ``kid``, the current one first; none of HMAC's, a secret."""
        is_pair = self.verifying_key and not self.algorithm.startswith("HS")
        keys = map(self._prepare_key, (self.verifying_key, *self._fallbacks) if is_pair else ())
        return {thumbprint(self.jwk(key)): key for key in keys}

    def jwk(self, key: Any) -> dict[str, str]:  # Any: as above
        """Return the public half of a key as a JWK (RFC 7517 §4), whichever half is given.

        It has the members that make its thumbprint, in their order (RFC 7638 §3.2).
        """
        jwk = jwt.PyJWS().get_algorithm_by_name(self.algorithm).to_jwk(key, as_dict=True)
        return {name: jwk[name] for name in sorted(jwk.keys() & {"kty", "crv", "x", "y", "n", "e"})}

    def encode(self, payload: dict[str, Any]) -> str:
        """Sign as SimpleJWT does, and name the key."""
        given = {"aud": self.audience, "iss": self.issuer}
        return self.sign(payload | {name: v for name, v in given.items() if v is not None})

    def sign(self, claims: dict[str, Any], **header: str) -> str:
        """Sign claims that need not be a token's, with these members of the header and the key."""
        kid = {"kid": next(iter(self.public_keys))} if self.public_keys else {}
        key, encoder = self.prepared_signing_key, self.json_encoder
        return jwt.encode(claims, key, self.algorithm, header | kid, encoder)

    def get_verifying_key(self, token: SimpleJWTToken) -> Any:  # Any: as above
        """Return the key that has signed a token; where none has, the current one refuses it."""
        keys = {} if self.jwks_client else self.public_keys
        if keys and "kid" in (header := jwt.get_unverified_header(token)):  # type: ignore[arg-type] # it is raw
            if header["kid"] not in keys:
                raise jwt.InvalidTokenError("signed with an unknown key")
            return keys[header["kid"]]
        current = super().get_verifying_key(token)
        for key in (current, *map(self._prepare_key, self._fallbacks)) if self._fallbacks else ():
            try:
                jwt.PyJWS().decode_complete(token, key, algorithms=[self.algorithm])  # type: ignore[arg-type] # it is raw
            except jwt.InvalidTokenError:
                continue
            return key
        return current


# One for each set of keys, for it prepares them once.
_backend: Final = lru_cache(maxsize=8)(Backend)


def thumbprint(jwk: dict[str, str]) -> str:
    """Return the name that anybody would give to a public key (RFC 7638), as ``jwk()`` has it."""
    content = json.dumps(jwk, separators=(",", ":"))
    return urlsafe_b64encode(sha256(content.encode()).digest()).decode().rstrip("=")


# Of a token, and so of the login that a request asks for again and again while it is answered.
_uuid: Final = lru_cache(maxsize=1_024)(uuid.UUID)


if TYPE_CHECKING:
    _TokenBase = SimpleJWTToken
else:
    _TokenBase = object


class _LoginClaims(_TokenBase):
    """The claims that say which login a token belongs to."""

    @property
    def token_backend(self) -> Backend:
        stock = super().token_backend
        fallbacks = conf.signing_key_fallbacks
        return _backend(stock, fallbacks, stock.signing_key, stock.verifying_key)

    @property
    def sid(self) -> uuid.UUID | None:
        """The login's public id; None in a token that plain SimpleJWT minted."""
        value = self.payload.get(SESSION_CLAIM)
        return None if value is None else _uuid(value)

    @property
    def issued_at(self) -> int:
        """The ``iat`` claim, in seconds since the epoch; 0 if there is none."""
        return int(self.payload.get("iat", 0))

    @property
    def jti(self) -> str:
        """The token's own id (RFC 7519 §4.1.7)."""
        return str(self.payload[api_settings.JTI_CLAIM])

    @property
    def user_id(self) -> str:
        """The user, by SimpleJWT's ``USER_ID_FIELD``."""
        return str(self.payload[api_settings.USER_ID_CLAIM])

    @property
    def expires_at(self) -> datetime:
        """The ``exp`` claim."""
        moment = datetime.fromtimestamp(self.payload["exp"], UTC)
        return moment if settings.USE_TZ else timezone.make_naive(moment)

    def check_claims(self) -> None:
        """Raise for a claim of a strange shape: signed with our key, and still not ours.

        Some of the properties raise by themselves, errors of several classes.
        """
        _ = self.sid, self.user_id, self.expires_at, self.issued_at
        jti = self.payload[api_settings.JTI_CLAIM]
        if not isinstance(jti, str) or not re.fullmatch(r"[!-~]{1,255}", jti):
            raise ValueError("not an id")

    @property
    def password_hash(self) -> str | None:
        """SimpleJWT's own ``REVOKE_TOKEN_CLAIM``, where the host has it switched on."""
        return self.payload.get(api_settings.REVOKE_TOKEN_CLAIM)


class AccessToken(_LoginClaims, SimpleJWTAccessToken):
    """An access token; whether its login still stands is ``find_login()``'s to say."""

    session: Session | None = None
    """The login's row, on the token of an authenticated request (``request.auth``)."""


class ExpiredAccessToken(AccessToken):
    """An access token whose ``exp`` does not matter: whose it was, never what it allows."""

    @property
    def token_backend(self) -> Backend:
        backend = copy(super().token_backend)
        backend.leeway = timedelta(days=36_500)
        return backend


class RefreshToken(_LoginClaims, SimpleJWTRefreshToken):
    """A refresh token; whether its login still stands is ``find_login()``'s to say."""

    access_token_class = AccessToken

    @property
    def access_token(self) -> AccessToken:
        """A new access token of the same login, which does not outlive this token."""
        access: AccessToken = super().access_token  # type: ignore[assignment] # our class of it
        access["exp"] = min(access["exp"], self["exp"])
        return access

    @classmethod
    def for_user(cls, user: User) -> Self:  # type: ignore[override] # of fewer types
        """Return a token that no table has yet; ``services.log_in()`` makes it a login's."""
        token: Self = super(BlacklistMixin, cls).for_user(user)
        return token

    def check_blacklist(self) -> None:
        """Leave it to ``find_login()``, which reads everything in one statement."""


class UntypedToken(_LoginClaims, SimpleJWTUntypedToken):
    """A token of whatever type."""


T = TypeVar("T", AccessToken, RefreshToken, UntypedToken)

LoginToken = AccessToken | RefreshToken


def decode_access(raw: str) -> AccessToken:
    """Verify an access token's signature, expiry and type.

    Raises ``TokenExpired`` or ``TokenInvalid``.
    """
    return _decode(raw, AccessToken)


def decode_refresh(raw: str) -> RefreshToken:
    """Verify a refresh token, as ``decode_access()`` does."""
    return _decode(raw, RefreshToken)


def decode(raw: str) -> AccessToken | RefreshToken:
    """Verify a token of either type, as ``decode_access()`` does."""
    try:
        return decode_access(raw)
    except TokenInvalid:
        return decode_refresh(raw)


def is_of_another_type(raw: str) -> bool:
    """Whether a token is signed with our keys, and still neither an access nor a refresh token."""
    try:
        return _decode(raw, UntypedToken).payload["token_type"] not in {"access", "refresh"}
    except (TokenExpired, TokenInvalid):
        return False


def decode_expired_access(raw: str) -> AccessToken:
    """Verify an access token's signature and type alone. Raises ``TokenInvalid``."""
    return _decode(raw, ExpiredAccessToken)


def _decode(raw: str, kind: type[T]) -> T:
    # A JWT is ASCII; anything else fails in a different place of each library below.
    if not raw.isascii() or len(raw) > MAX_LENGTH:
        raise TokenInvalid
    try:
        token = kind(raw)  # type: ignore[arg-type] # SimpleJWT's annotation is of its own type
        token.check_claims()
    except simplejwt.ExpiredTokenError as error:
        raise TokenExpired from error
    except (
        simplejwt.TokenError,
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise TokenInvalid from error
    return token


def bind(token: RefreshToken, sid: uuid.UUID) -> None:
    """Make a fresh refresh token, and so each access token minted from it, the login's."""
    token[SESSION_CLAIM] = str(sid)


def limit(token: RefreshToken, end: datetime | None) -> None:
    """Let a token expire at the end of its login, if that comes first."""
    if end is not None:
        token["exp"] = min(token["exp"], int(end.timestamp()))


def rotate(token: RefreshToken) -> RefreshToken:
    """Return a successor of a refresh token: its claims, with an id and expiry of its own."""
    successor = RefreshToken()
    for claim, value in token.payload.items():
        if claim not in RefreshToken.no_copy_claims:
            successor[claim] = value
    return successor


def rotated(token: RefreshToken, session: Session) -> RefreshToken:
    """Return the successor that a login's previous refresh token has got, once more."""
    successor = rotate(token)
    successor[api_settings.JTI_CLAIM] = session.refresh_jti
    rotated_at = cast("datetime", session.rotated_at)  # it has been refreshed
    successor["iat"] = int(rotated_at.timestamp())
    successor["exp"] = int(session.expire_date.timestamp())
    return successor
