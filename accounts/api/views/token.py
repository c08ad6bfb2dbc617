"""The endpoints where a client proves who it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from django.contrib.auth import authenticate
from django.contrib.auth.signals import user_logged_in
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import audit, services, tokens
from accounts.api import contracts
from accounts.api.serializers import (
    FormParser,
    JSONParser,
    PasswordGrantSerializer,
    ReauthenticationSerializer,
    RefreshGrantSerializer,
)
from accounts.api.views.base import ContractView, Refused, validated
from accounts.conf import conf
from accounts.exceptions import (
    NotReauthenticable,
    TokenError,
    TokenExpired,
    TokenReused,
    TokenRevoked,
)
from accounts.models import User
from accounts.ratelimit import Attempts, address_key
from accounts.tokens import AccessToken, Login


class OAuthError(APIException):
    """An error answer of the token endpoint (RFC 6749 §5.2)."""

    status_code = 400


class TokenView(ContractView):
    """``POST token``: log in by password, or refresh (RFC 6749 §4.3, §6)."""

    authentication_classes = ()
    permission_classes = ()
    parser_classes = (JSONParser, FormParser)

    event = audit.Event.LOGIN_FAIL
    user_id: str | None = None
    session_id: object = None

    def post(self, request: Request) -> Response:
        """Issue tokens."""
        body: Mapping[str, object] = request.data  # type: ignore[assignment] # our parsers see to it
        grant = body.get("grant_type")
        if not isinstance(grant, str) or not grant:
            raise ValidationError
        if grant == "password":
            pair = self._log_in(request)
        elif grant == "refresh_token":
            pair = self._refresh(request)
        else:
            raise OAuthError("Use password or refresh_token", "unsupported_grant_type")
        self.user_id, self.session_id = pair.refresh.user_id, pair.refresh.sid
        self.reason = grant
        return Response(
            {
                "access_token": str(pair.access),
                "refresh_token": str(pair.refresh),
                "token_type": "Bearer",
                "expires_in": int(AccessToken.lifetime.total_seconds()),
            }
        )

    def error_body(self, exc: Exception, status: int) -> contracts.Body:
        """Answer 400 as RFC 6749 has it, in either contract and, as it requires, in ASCII."""
        if status != 400:
            return super().error_body(exc, status)
        if not isinstance(exc, OAuthError):
            exc = OAuthError("A parameter is missing, repeated or malformed", "invalid_request")
        return {"error": exc.get_codes(), "error_description": str(exc.detail)}

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
        name = next(iter(fields.values()))
        attempts = [_attempt_from_address(request), _attempt_at(request, f"name:{name.casefold()}")]
        if (known := services.find_user(**fields)) is not None:
            # However it is named: by username, by address, in whatever spelling finds it.
            attempts.append(_attempt_at(request, f"user:{known.pk}"))
        # A name that is nobody's is tried all the same, for a failure to take as long.
        username = known.get_username() if known else name
        user = _authenticate(request, attempts, username=username, password=password)
        if user is None:
            raise OAuthError("Wrong credentials", "invalid_grant")
        pair = services.log_in(user=user, client=self.client)
        self.event = audit.Event.LOGIN_SUCCESS
        user_logged_in.send(sender=type(user), request=request._request, user=user)
        return pair

    def _refresh(self, request: Request) -> services.TokenPair:
        raw = validated(RefreshGrantSerializer, request)["refresh_token"]
        self.event = audit.Event.TOKEN_CREATED
        try:
            token = tokens.decode_refresh(raw)
            self.user_id, self.session_id = token.user_id, token.sid
            return services.refresh(token=token, client=self.client)
        except TokenError as error:
            self.event = _REFRESH_EVENTS.get(type(error), audit.Event.LOGIN_FAIL)
            self.reason = error.code
            raise OAuthError("The refresh token is not valid", "invalid_grant") from error


_REFRESH_EVENTS = {
    TokenExpired: audit.Event.SESSION_EXPIRED,
    TokenRevoked: audit.Event.SESSION_USE_AFTER_EXPIRE,
    TokenReused: audit.Event.TOKEN_REUSE,
}


class ReauthenticateView(ContractView):
    """``POST reauthenticate``: prove that it is still you."""

    token: AccessToken | None = None

    def post(self, request: Request) -> Response:
        """Check the password, and mark this login."""
        token = self.token = cast("AccessToken", request.auth)
        password = validated(ReauthenticationSerializer, request)["password"]
        login = Login(user=cast("User", request.user), session=token.session, token=token)
        user = _authenticate(
            request,
            [_attempt_from_address(request), _attempt_at(request, f"user:{login.user.pk}")],
            username=login.user.get_username(),
            password=password,
        )
        if user is None or user.pk != login.user.pk:
            raise Refused(400, contracts.WRONG_PASSWORD, "wrong_password")
        try:
            services.reauthenticate(login=login)
        except NotReauthenticable as error:
            message = contracts.NOT_REAUTHENTICABLE
            raise Refused(400, message, "not_reauthenticable") from error
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


def _authenticate(
    request: Request, attempts: list[Attempts], *, username: str, password: str
) -> User | None:
    """Check a password; what succeeds does not count against the limits on guessing."""
    user = authenticate(request._request, username=username, password=password)
    if user is None or not tokens.is_allowed(user):
        return None
    for attempt in attempts:
        attempt.succeed()
    return user


def _attempt_from_address(request: Request) -> Attempts:
    return Attempts(request, name="address", key=address_key(request), rate=conf.address_rate)


def _attempt_at(request: Request, account: str) -> Attempts:
    return Attempts(request, name="password", key=account, rate=conf.password_rate)
