"""The endpoints that end logins."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth import SESSION_KEY, get_user_model
from django.contrib.auth.signals import user_logged_out
from django.contrib.sessions.backends.base import SessionBase
from django.utils.functional import SimpleLazyObject
from rest_framework.exceptions import APIException, NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import audit, services, tokens
from accounts.api import contracts
from accounts.api.views.base import CookieView
from accounts.api.views.errors import Refused
from accounts.authentication import EXPIRED, read_bearer
from accounts.clients import clear_site_data
from accounts.conf import conf
from accounts.exceptions import TokenError, TokenExpired, TokenInvalid
from accounts.ratelimit import address_key, is_within, rate_limit
from accounts.services import Scope
from accounts.sessions import SessionStore
from accounts.tokens import AccessToken, LoginToken, RefreshToken


def is_within_alone(request: Request, token: LoginToken) -> bool:
    """Whether a login is within the limit by itself, where its user's is spent.

    A plain token is of no login, and whoever has a refresh token mints any number of them.
    """
    key, rate = f"login:{token.sid}", conf.logout_rate
    return token.sid is not None and is_within(request, name="logout", key=key, rate=rate)


def is_of_same_login(token: LoginToken, other: LoginToken) -> bool:
    """Whether two tokens are one login's. A plain one is of no login, and stands for itself."""
    if token.sid is None:
        return token.jti == other.jti
    return token.sid == other.sid


class UnknownScope(Refused):
    """The scope is none of this endpoint's."""

    default_detail, default_code = contracts.UNKNOWN_SCOPE, "unknown_scope"


class LogoutView(CookieView):
    """``POST logout``: end the login of the bearer, or of the token in the body."""

    permission_classes: Any = ()
    message: ClassVar[contracts.Text] = contracts.LOGGED_OUT
    scope: ClassVar[Scope | None] = None
    """The one scope of this endpoint; None where the client chooses."""

    bearer: AccessToken | TokenError | None
    """What the Authorization header carries: a genuine token, or what is wrong with it."""
    caller_id: str | None = None
    tokens_revoked = 0
    clears_site_data = False
    sid: uuid.UUID | None = None

    def perform_authentication(self, request: Request) -> None:
        """Tell the states of a bearer apart; each has an answer of its own, none is needed yet."""
        try:
            raw = read_bearer(request)
            self.bearer = None if raw is None else tokens.decode_access(raw)
        except TokenError as error:
            self.bearer = error

    def rate_key(self, request: Request) -> str:
        """Return the user that a genuine token names as a key, else the client address."""
        token: LoginToken | None = None
        if isinstance(self.bearer, AccessToken):
            token = self.bearer
        elif isinstance(self.bearer, TokenExpired):
            with suppress(TokenError, APIException):
                token = self._named(request, self._expired_bearer(request))
        elif self.bearer is None:
            with suppress(TokenError, APIException):
                token = self._in_cookie(request)
        return f"user:{token.user_id}" if token else address_key(request)

    def may_leave(self, request: Request) -> bool:
        """Whether a standing login ends itself: what others have spent keeps nobody from that.

        What else it may end counts for this login, then.
        """
        try:
            _, named, proof, scope = self._asked(request)
            services.find_login(token=proof)
        except (TokenError, APIException):
            return False
        leaves = scope is not Scope.OTHERS and is_of_same_login(named or proof, proof)
        return leaves or is_within_alone(request, proof)

    @rate_limit("logout", rate=lambda: conf.logout_rate, key=rate_key, unless=may_leave)
    def post(self, request: Request) -> Response:
        """Log out."""
        bearer, named, proof, scope = self._asked(request)
        self._log_out(request, bearer, named, proof, scope)
        if self.cookie is not None and scope is not Scope.OTHERS:
            self.cookie.is_dead = self.cookie.is_taken
        response = self.success(self.message)
        if self.clears_site_data and (header := clear_site_data(request._request)):
            response.headers["Clear-Site-Data"] = header
        return response

    @rate_limit("logout", rate=lambda: conf.logout_rate, key=rate_key)
    def http_method_not_allowed(  # type: ignore[override] # the same, decorated
        self, request: Request, *args: Any, **kwargs: Any
    ) -> Response:
        """Refuse, and count: the limit is the route's."""
        return super().http_method_not_allowed(request, *args, **kwargs)

    def as_http(self, exc: Exception) -> Exception:
        """As everywhere, but for the status of an expired token."""
        if isinstance(exc, TokenExpired) and self.contract.expired_status != 401:
            return Refused(EXPIRED, exc.code, status=self.contract.expired_status)
        return super().as_http(exc)

    def log_answer(self, status: int) -> None:
        """Log the logout and, beside it, the tokens that it revoked."""
        event = audit.Event.SESSION_LOGOUT
        if self.reason == TokenExpired.code:
            event = audit.Event.SESSION_EXPIRED
        log = partial(
            self.log, action="logout", status=status, user_id=self.caller_id, session_id=self.sid
        )
        log(event)
        if self.tokens_revoked and status == 200:
            log(audit.Event.TOKEN_REVOKED, target="token")

    def _asked(self, request: Request) -> tuple[LoginToken, LoginToken | None, LoginToken, Scope]:
        """Return the bearer, the token in the body, which of them proves who asks, and the scope.

        A cookie stands for the token in the body and, where there is none, for the bearer.

        Raises what the request is refused with.
        """
        bearer: LoginToken | None
        if self.bearer is None:
            bearer = self._in_cookie(request)
            if bearer is None:
                raise NotAuthenticated
        elif isinstance(self.bearer, TokenExpired):
            bearer = self._expired_bearer(request)
        elif isinstance(self.bearer, TokenError):
            raise self.bearer
        else:
            bearer = self.bearer
        self.caller_id = bearer.user_id
        scope = self._scope(request)
        if self.bearer is None:
            return bearer, None, bearer, scope
        named = self._named(request, bearer)
        if isinstance(self.bearer, AccessToken):
            return bearer, named, bearer, scope
        if isinstance(named, RefreshToken):
            return bearer, named, named, scope
        raise self.bearer

    def _expired_bearer(self, request: Request) -> AccessToken:
        return tokens.decode_expired_access(read_bearer(request) or "")

    def _scope(self, request: Request) -> Scope:
        body: Mapping[str, object] = request.data  # type: ignore[assignment] # our parser sees to it
        try:
            scope = Scope(body.get("scope", self.scope or self.contract.default_scope))  # type: ignore[call-overload] # of any type, as sent
        except ValueError:
            scope = None
        if scope is None or scope is not (self.scope or scope):
            raise UnknownScope
        return scope

    def _named(self, request: Request, bearer: LoginToken) -> LoginToken | None:
        """Return the token in the body or the cookie, if there is one; it is the caller's."""
        body: Mapping[str, object] = request.data  # type: ignore[assignment] # our parser sees to it
        token: LoginToken | None
        if "token" not in body:
            token = self._in_cookie(request)
        elif isinstance(raw := body["token"], str):
            token = tokens.decode(raw)
        else:
            raise TokenInvalid
        if token is not None and token.user_id != bearer.user_id:
            raise TokenInvalid
        return token

    def _in_cookie(self, request: Request) -> RefreshToken | None:
        """Return the token of the cookie, where it is asked for and the body has none."""
        if self.cookie is None or "token" in request.data:
            return None
        return self.cookie.take()

    def _log_out(
        self,
        request: Request,
        bearer: LoginToken,
        named: LoginToken | None,
        proof: LoginToken,
        scope: Scope,
    ) -> None:
        """End what is asked for, and tell Django."""
        self.sid = (named or proof).sid
        session = _browser_login(request)
        result = services.log_out(
            proof=proof,
            named=named,
            scope=scope,
            client=self.client,
            session_key=(session.session_key or "") if session else "",
        )
        if not result.events:
            self.reason = "already_ended"
            return
        self.reason, self.tokens_revoked = "logout", result.tokens_revoked
        event, users = result.events[0], get_user_model()
        if session:
            owner = users._meta.pk.value_to_string(users(pk=event.user_id))
            if session[SESSION_KEY] == owner:
                _drop_session(request)
        if scope is not Scope.OTHERS:
            own = is_of_same_login(named or bearer, bearer)
            self.clears_site_data = own or scope is Scope.GLOBAL
            # Read when somebody asks, as Django's own logout hands it on.
            user: Any = SimpleLazyObject(lambda: event.user)
            user_logged_out.send_robust(sender=users, request=request._request, user=user)


class LogoutAllView(LogoutView):
    """``POST logout/all``: end every login of the user."""

    message = contracts.LOGGED_OUT_EVERYWHERE
    segments = 2
    scope = Scope.GLOBAL


def _browser_login(request: Request) -> SessionBase | None:
    """Return the session of the cookie that came along, if somebody is logged in by it."""
    session = getattr(request._request, "session", None)
    if session is None or settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return None
    return session if SESSION_KEY in session else None


def _drop_session(request: Request) -> None:
    """Leave the request with an empty session, so that the middleware deletes the cookie."""
    session = request._request.session
    if isinstance(session, SessionStore):
        # Its row went with the logout. To flush it would be one more statement that may fail.
        request._request.session = SessionStore()
    else:
        session.flush()
