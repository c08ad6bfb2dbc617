"""From a bearer token to a live login."""

from __future__ import annotations

from typing import Final, cast

from django.utils.functional import Promise
from django.utils.translation import pgettext_lazy
from django.views.decorators.debug import sensitive_variables
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import AUTH_HEADER_TYPES
from rest_framework_simplejwt.authentication import JWTAuthentication as SimpleJWTAuthentication
from rest_framework_simplejwt.exceptions import InvalidToken as SimpleJWTInvalidToken
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import Token

from accounts import audit, services
from accounts.clients import ClientInfo
from accounts.exceptions import LoginRunOut, TokenError, TokenExpired, TokenInvalid, TokenRevoked
from accounts.models import User
from accounts.tokens import AccessToken, decode_access

NOT_VALID: Final = pgettext_lazy("drf_logout", "Token not provided or invalid")
EXPIRED: Final = pgettext_lazy("drf_logout", "Token has expired")
REVOKED: Final = pgettext_lazy("drf_logout", "Token has been invalidated")


class InvalidToken(SimpleJWTInvalidToken):
    """A token was refused: SimpleJWT's 401, with a reason that a client can act on."""

    def __init__(self, error: TokenError) -> None:
        self.error, self.reason = error, error.code
        self.message = str(_message(error))
        super().__init__(self.message)


def _message(error: TokenError) -> str | Promise:
    if isinstance(error, TokenExpired):
        return EXPIRED
    return REVOKED if isinstance(error, TokenRevoked) else NOT_VALID


def read_bearer(request: Request) -> str | None:
    """Return the raw token of the Authorization header; None if it has none of our scheme.

    The scheme is matched without regard to case (RFC 9110 §11.1). Raises ``TokenInvalid`` if more
    than a token follows it.
    """
    return _bearer(request.META.get(api_settings.AUTH_HEADER_NAME, ""))


def _bearer(header: str) -> str | None:
    scheme, _, raw = header.strip().partition(" ")
    if not raw or scheme.lower() not in {known.lower() for known in AUTH_HEADER_TYPES}:
        return None
    if " " in (raw := raw.strip()):
        raise TokenInvalid
    return raw


def after_end_event(error: TokenError) -> audit.Event:
    """Return how the security log names the use of a login that has ended."""
    if isinstance(error, LoginRunOut):
        return audit.Event.SESSION_EXPIRED
    return audit.Event.SESSION_USE_AFTER_EXPIRE


class JWTAuthentication(SimpleJWTAuthentication):
    """Accept an access token whose login is alive, in one SELECT.

    Takes the place of SimpleJWT's class of the same name. ``request.user`` is the user and
    ``request.auth`` the token, with the login's row as its ``session`` (None for a token that
    plain SimpleJWT minted). Answers 401 to every other token, with SimpleJWT's error code
    ``token_not_valid``.
    """

    @sensitive_variables()
    def authenticate(  # type: ignore[override] # SimpleJWT's is generic over a type of its own
        self, request: Request
    ) -> tuple[User, AccessToken] | None:
        """Return the user and the token, or None if the request has no bearer token."""
        header = self.get_header(request)
        raw = None if header is None else self.get_raw_token(header)
        if raw is None:
            return None
        token = self.get_validated_token(raw)
        try:
            return self.get_user(token), token
        except InvalidToken as refused:
            audit.log(
                after_end_event(refused.error),
                action="authenticate",
                target=request.path,
                success=False,
                reason=refused.reason,
                status=401,
                client=ClientInfo.from_request(request),
                user_id=token.user_id,
                session_id=token.sid,
            )
            raise

    def get_header(self, request: Request) -> bytes | None:  # type: ignore[override] # None, too
        """Return the Authorization header, of whatever characters it is made."""
        header: str = request.META.get(api_settings.AUTH_HEADER_NAME, "")
        return header.encode(errors="replace") or None

    def get_raw_token(self, header: bytes) -> bytes | None:
        """Return the token of a header, as ``read_bearer()``. Raises ``InvalidToken``."""
        try:
            raw = _bearer(header.decode(errors="replace"))
        except TokenError as error:
            raise InvalidToken(error) from error
        return None if raw is None else raw.encode()

    def get_validated_token(self, raw_token: str | bytes) -> AccessToken:
        """Verify a raw token, for code that has no request. Raises ``InvalidToken``."""
        raw = raw_token if isinstance(raw_token, str) else raw_token.decode(errors="replace")
        try:
            return decode_access(raw)
        except TokenError as error:
            raise InvalidToken(error) from error

    @sensitive_variables()
    def get_user(self, validated_token: Token) -> User:  # type: ignore[override] # as above
        """Return the user of a verified token whose login is alive, and note its use.

        The login's row is the token's ``session`` from then on. Raises ``InvalidToken``.
        """
        token = cast("AccessToken", validated_token)
        try:
            login = services.find_login(token=token)
            if login.session is not None:
                login.session.touch()
        except TokenRevoked as error:
            raise InvalidToken(error) from error
        token.session = login.session
        return login.user

    def authenticate_header(self, request: Request) -> str:
        """Name an error only to a client that presented a token (RFC 6750 §3.1)."""
        header = self.get_header(request)
        try:
            presented = header is not None and self.get_raw_token(header) is not None
        except InvalidToken:
            presented = True
        return 'Bearer error="invalid_token"' if presented else "Bearer"
