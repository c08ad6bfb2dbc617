"""From dj-rest-auth's cookie to a live login.

Apart from its neighbours: DRF imports it before any view.
"""

from __future__ import annotations

from dj_rest_auth.app_settings import api_settings
from dj_rest_auth.jwt_auth import JWTCookieAuthentication as TheirAuthentication
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import AUTH_HEADER_TYPES

from accounts.authentication import InvalidToken, JWTAuthentication
from accounts.models import User
from accounts.tokens import AccessToken


class JWTCookieAuthentication(JWTAuthentication):
    """Accept a bearer token or, without an Authorization header, the one in the cookie.

    A browser sends a cookie by itself, to public views as well: one that is not good is as none.
    """

    def authenticate(  # type: ignore[override] # as in ours
        self, request: Request
    ) -> tuple[User, AccessToken] | None:
        """As everywhere; a cookie after the CSRF check that dj-rest-auth's settings ask for."""
        if super().get_header(request) is not None:
            return super().authenticate(request)
        name = api_settings.JWT_AUTH_COOKIE
        if name and (
            api_settings.JWT_AUTH_COOKIE_ENFORCE_CSRF_ON_UNAUTHENTICATED
            or (api_settings.JWT_AUTH_COOKIE_USE_CSRF and name in request.COOKIES)
        ):
            TheirAuthentication().enforce_csrf(request)
        try:
            return super().authenticate(request)
        except InvalidToken:
            return None

    def get_header(self, request: Request) -> bytes | None:  # type: ignore[override] # as in ours
        """Return the header, or what it would be with the cookie's token."""
        raw = request.COOKIES.get(api_settings.JWT_AUTH_COOKIE)
        cookie = f"{AUTH_HEADER_TYPES[0]} {raw}".encode() if raw else None
        return super().get_header(request) or cookie
