"""The endpoints for other services: revocation (RFC 7009) and introspection (RFC 7662)."""

from __future__ import annotations

import base64
import re
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import unquote_plus

from django.db import Error as DatabaseError
from django.http import HttpResponse
from rest_framework.exceptions import Throttled, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import audit, services, tokens
from accounts.api.serializers import FormParser
from accounts.api.views.base import OAuthView, login_token
from accounts.api.views.errors import InvalidClient, OAuthError, names
from accounts.api.views.logout import is_of_same_login, is_within_alone
from accounts.api.views.well_known import issuer
from accounts.conf import conf
from accounts.exceptions import TokenError, TokenRevoked
from accounts.models import NO_SID, Client, Session, User
from accounts.ratelimit import address_key, is_within, rate_limit
from accounts.services import Cause, Initiator, Reason, Scope
from accounts.tokens import AccessToken, LoginToken, RefreshToken

RETRY_AFTER: Final = 5
"""Seconds, where the storage is down."""

SIGNED: Final = "application/token-introspection+jwt"
"""An introspection's answer as a JWT (RFC 9701 §5)."""


class Unavailable(OAuthError):
    """The storage is down (RFC 7009 §2.2.1)."""

    status_code = 503
    default_detail = "The storage is down; a token that was alive still is"
    default_code = "temporarily_unavailable"


class MayNot(OAuthError):
    """A client asks for what it was not registered for."""

    default_detail = "This client may not do that"
    default_code = "unauthorized_client"


class UnsupportedTokenType(OAuthError):
    """A token is ours, and of a type that cannot be revoked."""

    default_detail = "Only access and refresh tokens can be revoked"
    default_code = "unsupported_token_type"


class TwoWays(OAuthError):
    """A client's secret comes along twice."""

    default_detail, default_code = "A client authenticates in one way", "invalid_request"


class ClientView(OAuthView):
    """An endpoint for registered clients."""

    permission_classes = ()
    parser_classes = (FormParser,)

    client_id = ""
    """Who is said to ask."""

    def handle_exception(self, exc: Exception) -> Response:
        """As everywhere, but for 503 where the storage is down: the token still lives."""
        response = super().handle_exception(exc)
        if isinstance(exc, DatabaseError):
            down = Unavailable()
            response.status_code = down.status_code
            response.headers["Retry-After"] = str(RETRY_AFTER)
            response.data = self.error_body(down, down.status_code)
        return response

    def authenticate_client(
        self, request: Request, *, sid: uuid.UUID = NO_SID
    ) -> tuple[Client | None, Session | None]:
        """Return who asks, None if no client does, and the row of a token's login.

        Raises ``InvalidClient`` for a wrong secret.
        """
        credentials = _credentials(request)
        if credentials is None:
            return None, None
        self.client_id = credentials[0][:100]
        # What cannot be an id is none: not every database takes it for text.
        is_id = re.fullmatch(r"[\w-]{1,100}", credentials[0], re.ASCII)
        found = Client.authenticate(*credentials, sid=sid) if is_id else None
        if found is None:
            # A secret cannot be guessed; but who tries is not to be served for ever.
            rate = conf.address_rate
            if not is_within(request, name="client", key=address_key(request), rate=rate):
                raise Throttled(wait=rate.seconds)
            raise InvalidClient
        return found

    def refusal(self, status: int) -> audit.Event | None:
        """Return what the refusal of somebody is; None if it was of no person, but of a form."""
        if self.reason == MayNot.default_code:
            return audit.Event.NOT_ALLOWED
        return audit.Event.LOGIN_FAIL if status in {401, 429} else None

    def log_client(
        self, event: audit.Event | None, *, action: str, status: int, token: LoginToken | None
    ) -> None:
        """Log what a client, or who says to be one, has asked for."""
        if event is None:
            return
        self.log(
            event,
            action=action,
            target=f"client:{self.client_id}" if self.client_id else "token",
            status=status,
            user_id=token.user_id if token else None,
            session_id=token.sid if token else None,
        )


class RevokeView(ClientView):
    """``POST revoke``: end the login of a token (RFC 7009)."""

    # For a registered client, or for the token's own user, whose bearer comes along.
    token: LoginToken | None = None

    def post(self, request: Request) -> Response:
        """Revoke. What is no token, or has been revoked, is a success that changes nothing."""
        client, _ = self.authenticate_client(request)
        if client is None and request.auth is None:
            raise InvalidClient
        if client is not None and not client.may_revoke:
            raise MayNot
        raw = _presented(request)
        with suppress(TokenError):
            self.token = tokens.decode(raw)
        if self.token is None and tokens.is_of_another_type(raw):
            raise UnsupportedTokenType
        if client is None:
            return self._revoke_own(request)
        if self.token is not None:
            with suppress(TokenRevoked):
                self._end(self.token)
        return Response()

    def log_answer(self, status: int) -> None:
        """Log what was revoked, what was to be and was not, and who may not."""
        event = self.refusal(status) or (audit.Event.TOKEN_REVOKED if self.reason else None)
        self.log_client(event, action="revoke", status=status, token=self.token)

    def _end(self, token: LoginToken) -> None:
        session = services.find_login(token=token).session
        if session is None:
            result = services.log_out(proof=token, scope=Scope.SESSION, client=self.client)
        else:
            cause = Cause(reason=Reason.REVOKED, initiator=Initiator.SYSTEM, client=self.client)
            sessions = Session.objects.filter(pk=session.pk)
            result = services.end_sessions(sessions=sessions, cause=cause)
        self.reason = "revoked" if result.events else ""

    def _may_leave(self, request: Request) -> bool:
        bearer = login_token(request)
        own = self.token is not None and is_of_same_login(self.token, bearer)
        return own or is_within_alone(request, bearer)

    @rate_limit(
        "logout",
        rate=lambda: conf.logout_rate,
        key=lambda view, request: f"user:{login_token(request).user_id}",
        unless=_may_leave,
    )
    def _revoke_own(self, request: Request) -> Response:
        bearer, token = login_token(request), self.token
        # Another user's is as unknown as none.
        if token is not None and token.user_id == bearer.user_id:
            result = services.log_out(
                proof=bearer, named=token, scope=Scope.SESSION, client=self.client
            )
            self.reason = "revoked" if result.events else ""
        return Response()


class IntrospectView(ClientView):
    """``POST introspect``: tell a registered client whether a token's login is alive (RFC 7662)."""

    authentication_classes = ()

    def post(self, request: Request) -> Response | HttpResponse:
        """Tell what a live token says, or nothing but that it is not one."""
        token = self._token(request)
        client, session = self.authenticate_client(request, sid=(token and token.sid) or NO_SID)
        if client is None:
            raise InvalidClient
        if not client.may_introspect:
            raise MayNot
        _presented(request)
        content: dict[str, object] = {"active": False}
        if token is not None:
            with suppress(TokenRevoked):
                login = services.find_login(token=token, read=lambda sid: session)
                if login.session is not None:
                    login.session.touch()
                content = said(token, login.user)
        return self._answer(request, content)

    def _answer(self, request: Request, content: dict[str, object]) -> Response | HttpResponse:
        """Answer in JSON; signed, where a client asks for that and there is a key to verify it."""
        if not names(request, SIGNED) or not (backend := AccessToken().token_backend).public_keys:
            return Response(content)
        claims = {
            "iss": issuer(request),
            "aud": self.client_id,
            "iat": int(time.time()),
            "token_introspection": content,
        }
        signed = backend.sign(claims, typ=SIGNED.removeprefix("application/"))
        return HttpResponse(signed, content_type=SIGNED)

    @staticmethod
    def _token(request: Request) -> LoginToken | None:
        """Return the token that is asked about; None if that is none.

        A refresh token is for the token endpoint: whoever does not hint at one asks about what a
        bearer has sent, and could take it for an access token.
        """
        form = _form(request)
        is_refresh = form.get("token_type_hint") == "refresh_token"
        try:
            return (tokens.decode if is_refresh else tokens.decode_access)(form.get("token", ""))
        except TokenError:
            return None

    def log_answer(self, status: int) -> None:
        """Log who may not; whatever else is answered changes nothing."""
        self.log_client(self.refusal(status), action="introspect", status=status, token=None)


def said(token: LoginToken, user: User) -> dict[str, object]:
    """Return what is told of a live token (RFC 7662 §2.2)."""
    claims: dict[str, object] = {
        "active": True,
        "sub": token.user_id,
        "username": str(user.get_username()),
        "jti": token.jti,
        "exp": token["exp"],
        "iat": token.issued_at,
        "token_type": "refresh_token" if isinstance(token, RefreshToken) else "Bearer",
    }
    if token.sid is not None:
        claims["sid"] = str(token.sid)
    if isinstance(client_id := token.payload.get("client_id"), str):
        claims["client_id"] = client_id
    return claims


def _form(request: Request) -> Mapping[str, str]:
    return request.data  # type: ignore[return-value] # our parser sees to it


def _presented(request: Request) -> str:
    """Return the raw token that is asked about. Raises ``ValidationError``."""
    raw = _form(request).get("token")
    if not raw:
        raise ValidationError
    return raw


def _credentials(request: Request) -> tuple[str, str] | None:
    """Return a client's id and secret (RFC 6749 §2.3.1), None if there is no secret.

    Raises ``InvalidClient``, and ``OAuthError`` where they come in more than one way.
    """
    scheme, _, encoded = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    secret = _form(request).get("client_secret")
    if secret is not None and scheme:
        raise TwoWays
    if secret is not None:
        return _form(request).get("client_id", ""), secret
    if scheme.lower() != "basic":
        return None
    try:
        pair = base64.b64decode(encoded, validate=True).decode()
    except ValueError as error:
        raise InvalidClient from error
    client_id, _, secret = pair.partition(":")
    return unquote_plus(client_id), unquote_plus(secret)
