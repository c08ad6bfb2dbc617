"""dj-rest-auth's routes, two with a view of ours: its settings cannot name these.

Put ``include("accounts.api.dj_rest_auth.urls")`` in the place of ``include("dj_rest_auth.urls")``.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from dj_rest_auth import jwt_auth, urls, views
from dj_rest_auth.app_settings import api_settings
from django.contrib.auth import logout
from django.urls import re_path
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import audit, services, tokens
from accounts.api import contracts
from accounts.api.dj_rest_auth.serializers import TokenRefreshSerializer
from accounts.authentication import InvalidToken, read_bearer
from accounts.clients import ClientInfo
from accounts.exceptions import TokenError, TokenInvalid
from accounts.services import Scope
from accounts.tokens import LoginToken


class LogoutView(views.LogoutView):  # type: ignore[misc] # dj-rest-auth has no types
    """End the login of each token that came along: in the header, the body or a cookie."""

    def perform_authentication(self, request: Request) -> None:
        """Need no access token that is alive, but the CSRF token where cookies need one."""
        names = {api_settings.JWT_AUTH_COOKIE, api_settings.JWT_AUTH_REFRESH_COOKIE}
        asks = api_settings.JWT_AUTH_COOKIE_USE_CSRF and names & request.COOKIES.keys()
        if asks and "Authorization" not in request.headers:
            jwt_auth.JWTCookieAuthentication().enforce_csrf(request)

    def logout(self, request: Request) -> Response:
        """Log out. A token that is already revoked is a success that changes nothing.

        Raises ``InvalidToken`` where no token that came along is genuine.
        """
        if not (presented := _presented(request)):
            raise InvalidToken(TokenInvalid())
        client = ClientInfo.from_request(request)
        for token in presented:
            result = services.log_out(proof=token, scope=Scope.SESSION, client=client)
            for event in result.events:
                audit.log(
                    audit.Event.SESSION_LOGOUT,
                    action="logout",
                    reason="logout",
                    status=200,
                    client=client,
                    user_id=token.user_id,
                    session_id=event.session_id,
                )
        if api_settings.SESSION_LOGIN:
            logout(request._request)
        response = Response(contracts.DRF.success(contracts.LOGGED_OUT))
        jwt_auth.unset_jwt_cookies(response)
        return response


def _presented(request: Request) -> list[LoginToken]:
    """Return the genuine tokens of a request; the access token first, for it is revoked, too."""
    body: object = request.data
    raws: list[object] = [
        request.COOKIES.get(api_settings.JWT_AUTH_COOKIE),
        body.get("refresh") if isinstance(body, Mapping) else None,
        request.COOKIES.get(api_settings.JWT_AUTH_REFRESH_COOKIE),
    ]
    presented: list[LoginToken] = []
    with suppress(TokenError):
        raws.insert(0, read_bearer(request))
    for raw in raws:
        with suppress(TokenError):
            presented.append(tokens.decode(raw if isinstance(raw, str) else ""))
    return presented


class TokenRefreshView(jwt_auth.get_refresh_view()):  # type: ignore[misc] # as above
    """Rotate the refresh token of the body or the cookie."""

    serializer_class = TokenRefreshSerializer


OURS = [
    re_path(r"logout/?$", LogoutView.as_view(), name="rest_logout"),
    re_path(r"token/refresh/?$", TokenRefreshView.as_view(), name="token_refresh"),
]
NAMES = {route.name for route in OURS}
urlpatterns = [*OURS, *(route for route in urls.urlpatterns if route.name not in NAMES)]
