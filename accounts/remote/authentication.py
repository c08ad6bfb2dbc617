"""From a bearer token of another service to who it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from django.views.decorators.debug import sensitive_variables
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework.request import Request

from accounts.remote.issuer import Claims, NoAnswer, NotAlive, issuer


class Unavailable(APIException):
    """The issuer does not say who is in: 503, and nobody is."""

    status_code = 503
    default_code = "temporarily_unavailable"
    wait = 5
    """Seconds, for ``Retry-After``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteUser:
    """Who a token is of, as the issuer says. It has no row here, and no permission of Django's."""

    sub: str
    """The user's key at the issuer."""
    username: str = ""
    """Empty where the issuer was not asked, or does not say."""

    is_authenticated: ClassVar = True
    is_anonymous: ClassVar = False
    is_active: ClassVar = True
    is_staff: ClassVar = False
    is_superuser: ClassVar = False

    def __str__(self) -> str:
        return self.username or self.sub

    @property
    def pk(self) -> str:
        """As ``sub``; what DRF counts a user's requests by."""
        return self.sub

    def get_username(self) -> str:
        """Return the name."""
        return self.username

    def has_perms(self, perm_list: object, obj: object = None) -> bool:
        """Return False: permissions are the host's own to write."""
        return False


class RemoteAuthentication(BaseAuthentication):
    """Accept an access token of the issuer of ``ACCOUNTS_REMOTE`` whose login is alive.

    ``request.user`` is a ``RemoteUser``, and ``request.auth`` a dict: the token's claims, and what
    the issuer says of it (RFC 7662 §2.2). Answers 401 to every other token, and 503 where the
    issuer does not answer.
    """

    @sensitive_variables()
    def authenticate(self, request: Request) -> tuple[Any, Claims] | None:  # Any: as in DRF
        """Return who and what, or None if the request has no bearer token."""
        scheme, _, raw = request.META.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
        if scheme.lower() != "bearer" or not raw:
            return None
        try:
            claims = issuer().claims(raw.strip())
        except NotAlive as error:
            raise AuthenticationFailed(code="token_not_valid") from error
        except NoAnswer as error:
            raise Unavailable from error
        return self.get_user(claims), claims

    def get_user(self, claims: Claims) -> Any:  # Any: as above
        """Return who it is: for a subclass to return a user of its own tables."""
        # SimpleJWT's name of it, where the issuer could not be asked.
        sub = claims.get("sub", claims.get("user_id"))
        if sub is None:
            raise AuthenticationFailed(code="token_not_valid")
        return RemoteUser(sub=str(sub), username=str(claims.get("username", "")))

    def authenticate_header(self, request: Request) -> str:
        """Name an error only to a client that presented a token (RFC 6750 §3.1)."""
        scheme, _, raw = request.META.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
        is_presented = scheme.lower() == "bearer" and raw
        return 'Bearer error="invalid_token"' if is_presented else "Bearer"
