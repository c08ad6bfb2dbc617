"""The endpoints where a client proves who it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from django.contrib.auth.signals import user_logged_in
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_simplejwt.utils import datetime_to_epoch

from accounts import audit, passwords, services, tokens
from accounts.api import contracts, cookies
from accounts.api.serializers import (
    FormParser,
    JSONParser,
    PasswordGrantSerializer,
    ReauthenticationSerializer,
    RefreshGrantSerializer,
    is_foreign_form,
    minting,
)
from accounts.api.views.base import ContractView, CookieView, OAuthView, login_token, validated
from accounts.api.views.errors import OAuthError, Refused
from accounts.authentication import after_end_event
from accounts.exceptions import TokenError, TokenExpired, TokenReused, TokenRevoked, UserInactive
from accounts.models import User
from accounts.tokens import AccessToken, RefreshToken


class ForeignForm(OAuthError):
    """A page of another site sent a form."""

    default_detail, default_code = "A form of another site is not taken", "invalid_request"


class UnsupportedGrant(OAuthError):
    """The ``grant_type`` is another."""

    default_detail, default_code = "Use password or refresh_token", "unsupported_grant_type"


class WrongCredentials(OAuthError):
    """The name or the password is wrong, or the user may not log in."""

    default_detail, default_code = "Wrong credentials", "invalid_grant"


class RefreshRefused(OAuthError):
    """The refresh token is revoked, expired, foreign or reused."""

    default_detail, default_code = "The refresh token is not valid", "invalid_grant"


class WrongPassword(Refused):
    """It is not the password of the bearer."""

    default_detail, default_code = contracts.WRONG_PASSWORD, "wrong_password"


class NotReauthenticable(Refused):
    """A plain token is of no login that could be marked."""

    default_detail, default_code = contracts.NOT_REAUTHENTICABLE, "not_reauthenticable"


class NoCookies(OAuthError):
    """A client asks for the cookie of a host that sets none."""

    default_detail = "Refresh tokens are not kept in cookies here"
    default_code = "invalid_request"


class TokenView(OAuthView, CookieView):
    """``POST token``: log in by password, or refresh (RFC 6749 §4.3, §6)."""

    authentication_classes = ()
    permission_classes = ()
    parser_classes = (JSONParser, FormParser)

    event = audit.Event.LOGIN_FAIL
    user: User | None = None
    """Who has logged in."""
    user_id: str | None = None
    session_id: object = None

    def post(self, request: Request) -> Response:
        """Issue tokens."""
        if is_foreign_form(request._request):
            raise ForeignForm
        if cookies.HEADER in request.headers and self.cookie is None:
            raise NoCookies
        body: Mapping[str, object] = request.data  # type: ignore[assignment] # our parsers see to it
        grant = body.get("grant_type")
        if not isinstance(grant, str) or not grant:
            raise ValidationError
        if grant == "password":
            pair = self._log_in(request)
        elif grant == "refresh_token":
            pair = self._refresh(request)
        else:
            raise UnsupportedGrant
        self.user_id, self.session_id = pair.refresh.user_id, pair.refresh.sid
        self.reason = grant
        answer = {
            "access_token": str(pair.access),
            "refresh_token": str(pair.refresh),
            "token_type": "Bearer",
            "expires_in": pair.access["exp"] - datetime_to_epoch(pair.refresh.current_time),
        }
        if self.cookie is not None:
            del answer["refresh_token"]
            self.cookie.token = pair.refresh
        response = Response(answer)
        if self.user is not None:
            passwords.remember_device(request._request, response, self.user)
        return response

    def log_answer(self, status: int) -> None:
        """Log who logged in or refreshed, or did not."""
        self.log(
            self.event,
            action="token",
            status=status,
            user_id=self.user_id,
            session_id=self.session_id,
        )

    def _log_in(self, request: Request) -> services.TokenPair:
        fields = validated(PasswordGrantSerializer, request)
        password = fields.pop("password")
        user = passwords.log_in(request._request, password=password, **fields)
        if user is None:
            raise WrongCredentials
        try:
            pair = services.log_in(user=user, client=self.client, mint=minting())
        except TokenRevoked as error:  # gone or deactivated while the password was checked
            raise WrongCredentials from error
        self.event, self.user = audit.Event.LOGIN_SUCCESS, user
        # What a receiver does wrong is its own affair, for the login has begun.
        user_logged_in.send_robust(sender=type(user), request=request._request, user=user)
        return pair

    def _refresh(self, request: Request) -> services.TokenPair:
        raw = None
        if self.cookie is None or "refresh_token" in request.data:
            raw = validated(RefreshGrantSerializer, request)["refresh_token"]
        self.event = audit.Event.TOKEN_CREATED
        try:
            token = self._cookie_token() if raw is None else tokens.decode_refresh(raw)
            self.user_id, self.session_id = token.user_id, token.sid
            return services.refresh(token=token, client=self.client)
        except TokenError as error:
            self.event = _event(error)
            self.reason = error.code
            # Of a user who may not use it for now, it is not dead.
            if self.cookie is not None and not isinstance(error, UserInactive):
                self.cookie.is_dead = self.cookie.is_taken
            raise RefreshRefused from error

    def _cookie_token(self) -> RefreshToken:
        token = self.cookie.take() if self.cookie else None
        if token is None:
            # A page that opens cannot know whether somebody is logged in: that is nobody's failure.
            raise TokenExpired
        return token


def _event(error: TokenError) -> audit.Event:
    match error:
        case TokenExpired():
            return audit.Event.SESSION_EXPIRED
        case TokenReused():
            return audit.Event.TOKEN_REUSE
        case TokenRevoked():
            return after_end_event(error)
        case _:
            return audit.Event.LOGIN_FAIL


class ReauthenticateView(ContractView):
    """``POST reauthenticate``: prove that it is still you."""

    token: AccessToken | None = None

    def post(self, request: Request) -> Response:
        """Check the password, and mark this login."""
        token = self.token = login_token(request)
        password = validated(ReauthenticationSerializer, request)["password"]
        if token.session is None:
            raise NotReauthenticable
        claimed = cast("User", request.user)
        user = passwords.confirm(
            request._request, user=claimed, session=token.session, password=password
        )
        if user is None:
            raise WrongPassword
        services.reauthenticate(session=token.session, user=user)
        self.reason = "password"
        return self.success(contracts.REAUTHENTICATED)

    def log_answer(self, status: int) -> None:
        """Log who proved who they are, or did not."""
        self.log(
            audit.Event.LOGIN_SUCCESS if status == 200 else audit.Event.LOGIN_FAIL,
            action="reauthenticate",
            status=status,
            user_id=self.token.user_id if self.token else None,
            session_id=self.token.sid if self.token else None,
        )
