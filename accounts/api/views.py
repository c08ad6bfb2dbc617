"""The endpoints: they translate between HTTP and the services, and log what was answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth import SESSION_KEY, authenticate
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.core.signals import got_request_exception
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import Resolver404, resolve
from django.utils import translation
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.log import log_response
from django.views.decorators.debug import sensitive_variables
from django.views.defaults import server_error as django_server_error
from rest_framework.exceptions import APIException, NotAuthenticated, ParseError, ValidationError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView, set_rollback
from rest_framework_simplejwt.exceptions import InvalidToken

from accounts import audit, services, tokens
from accounts.api import contracts
from accounts.api.contracts import Contract
from accounts.api.serializers import (
    FormParser,
    JSONParser,
    PasswordGrantSerializer,
    ReauthenticationSerializer,
    RefreshGrantSerializer,
)
from accounts.authentication import EXPIRED, JWTAuthentication, message_of, read_bearer
from accounts.clients import ClientInfo
from accounts.conf import conf
from accounts.exceptions import (
    NotReauthenticable,
    TokenError,
    TokenExpired,
    TokenInvalid,
    TokenReused,
    TokenRevoked,
)
from accounts.ratelimit import Attempts, address_key, rate_limit
from accounts.services import Scope
from accounts.sessions import SessionStore
from accounts.tokens import AccessToken, Login, RefreshToken


class JSONOnly(BaseContentNegotiation):
    """Answer in JSON whatever the client accepts: no logout fails for a header."""

    def select_parser(self, request: Request, parsers: Sequence[Any]) -> Any:
        """Return the parser of the body's media type, if there is one."""
        content_type = request.content_type.partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == content_type), None)

    def select_renderer(
        self, request: Request, renderers: Sequence[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the JSON renderer."""
        return renderers[0], "application/json"


class Refused(APIException):
    """A refusal in words of ours, which the contract's error repeats."""

    def __init__(self, status_code: int, message: contracts.Text, code: str) -> None:
        super().__init__(str(message), code)
        self.status_code = status_code


class ContractView(APIView):
    """An endpoint that speaks a contract, in the client's language, and is never cached.

    Its services have transactions of their own: ATOMIC_REQUESTS would send an answer's success
    before its commit, and undo what has to outlast an error answer.
    """

    contract: Contract = contracts.V1

    authentication_classes = (JWTAuthentication,)
    permission_classes = (IsAuthenticated,)
    parser_classes = (JSONParser,)
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = JSONOnly
    throttle_classes = ()
    versioning_class = None
    http_method_names: ClassVar = ["get", "head", "post"]

    client: ClientInfo
    reason: str
    """Why the request was refused, for the security log."""

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., HttpResponse]:
        """Return the view function, outside of ATOMIC_REQUESTS."""
        return transaction.non_atomic_requests(super().as_view(**initkwargs))

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer in the language that the client and the contract agree on."""
        self.client = ClientInfo.from_request(request)
        self.reason = ""
        language = self.contract.negotiate(request.headers.get("Accept-Language", ""))
        with translation.override(language):
            response = super().dispatch(request, *args, **kwargs)
        return _private(response, language)

    def handle_exception(self, exc: Exception) -> Response:
        """Turn any exception into the contract's error."""
        if isinstance(exc, TokenError):
            self.reason = exc.code
            exc = InvalidToken(message_of(exc))
        elif isinstance(exc, (BadRequest, SuspiciousOperation)):
            exc = ParseError()
        if isinstance(exc, APIException):
            response = super().handle_exception(exc)
            self.reason = self.reason or str(exc.get_codes())
        else:
            set_rollback()
            response = Response(status=500, exception=True)
            self.reason = "error"
            # As Django does for a view that raises: in its log, and for who reports errors.
            got_request_exception.send(sender=type(self), request=self.request._request)
            log_response(
                "Internal Server Error: %s",
                self.request.path,
                response=response,
                request=self.request._request,
                exception=exc,
            )
        response.data = self.error_body(exc, response.status_code)
        return response

    def error_body(self, exc: Exception, status: int) -> contracts.Body:
        """Return the contract's error, in words of ours: DRF's may repeat what was sent."""
        if isinstance(exc, InvalidToken):
            return self.contract.error(status, exc.detail["detail"])
        if isinstance(exc, Refused):
            return self.contract.error(status, exc.detail)
        return self.contract.error(status, contracts.ERRORS[status])

    def log(
        self,
        event: audit.Event,
        *,
        action: str,
        target: str,
        status: int,
        user_id: str | None = None,
        session_id: object = None,
    ) -> None:
        """Log what is about to be answered."""
        audit.log(
            event,
            action=action,
            target=target,
            success=status < 400,
            reason=self.reason,
            status=status,
            client=self.client,
            user_id=user_id,
            session_id=str(session_id) if session_id else None,
        )

    def success(self, message: contracts.Text) -> Response:
        """Return the contract's success."""
        return Response(self.contract.success(message))


def _private(response: HttpResponseBase, language: str) -> HttpResponseBase:
    patch_vary_headers(response, ("Accept-Language",))
    patch_cache_control(response, no_store=True)
    response.headers["Content-Language"] = language
    return response


class LogoutView(ContractView):
    """``POST logout``: end the login of the bearer, or of the token in the body."""

    permission_classes = ()
    message: ClassVar[contracts.Text] = contracts.LOGGED_OUT
    scope: ClassVar[Scope | None] = None
    """The one scope of this endpoint; None where the client chooses."""

    bearer: AccessToken | TokenError | None
    """What the Authorization header carries: a genuine token, or what is wrong with it."""
    caller_id: str | None = None
    ended: services.LogoutResult | None = None
    presented: Sequence[AccessToken | RefreshToken] = ()

    def perform_authentication(self, request: Request) -> None:
        """Tell the states of a bearer apart; each has an answer of its own, none is needed yet."""
        try:
            raw = read_bearer(request)
            self.bearer = None if raw is None else tokens.decode_access(raw)
        except TokenError as error:
            self.bearer = error

    def rate_key(self, request: Request) -> str:
        """Return the user that a genuine token names as a key, else the client address."""
        token: AccessToken | RefreshToken | None = None
        if isinstance(self.bearer, AccessToken):
            token = self.bearer
        elif isinstance(self.bearer, TokenExpired):
            try:
                token = self._named(request, self._expired_bearer(request))
            except (TokenError, APIException):
                token = None
        return f"user:{token.user_id}" if token else address_key(request)

    @rate_limit("logout", rate=lambda: conf.logout_rate, key=rate_key)
    def post(self, request: Request) -> Response:
        """Log out."""
        if self.bearer is None:
            raise NotAuthenticated
        if isinstance(self.bearer, TokenExpired):
            bearer = self._expired_bearer(request)
        elif isinstance(self.bearer, TokenError):
            raise self.bearer
        else:
            bearer = self.bearer
        self.caller_id = bearer.user_id
        scope = self._scope(request)
        named = self._named(request, bearer)
        if isinstance(self.bearer, TokenExpired) and not isinstance(named, RefreshToken):
            raise self.bearer
        try:
            self._log_out(request, bearer, named, scope)
        except TokenRevoked:
            self.ended = services.UNCHANGED
        return self.success(self.message)

    @rate_limit("logout", rate=lambda: conf.logout_rate, key=rate_key)
    def http_method_not_allowed(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Refuse, and count: the limit is the route's."""
        return super().http_method_not_allowed(request, *args, **kwargs)

    def handle_exception(self, exc: Exception) -> Response:
        """As everywhere, but for the status of an expired token."""
        if isinstance(exc, TokenExpired) and self.contract.expired_status != 401:
            exc = Refused(self.contract.expired_status, EXPIRED, exc.code)
        return super().handle_exception(exc)

    def finalize_response(
        self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Log the answer."""
        status = response.status_code
        event = audit.Event.SESSION_LOGOUT
        if status == 429:
            event = audit.Event.RATE_LIMIT_EXCEEDED
        elif self.reason == TokenExpired.code:
            event = audit.Event.SESSION_EXPIRED
        elif self.ended is not None:
            self.reason = "logout" if self.ended.event else "already_ended"
        sid = self.presented[0].sid if self.presented else None
        about = {"status": status, "user_id": self.caller_id, "session_id": sid}
        self.log(event, action="logout", target="session", **about)
        if status == 200 and self.ended is not None and self.ended.tokens_revoked:
            self.log(audit.Event.TOKEN_REVOKED, action="logout", target="token", **about)
        return super().finalize_response(request, response, *args, **kwargs)

    def _expired_bearer(self, request: Request) -> AccessToken:
        return tokens.decode_expired_access(read_bearer(request) or "")

    def _scope(self, request: Request) -> Scope:
        value = request.data.get("scope", self.scope or self.contract.default_scope)
        if value not in Scope.values or (self.scope is not None and value != self.scope):
            raise Refused(400, contracts.UNKNOWN_SCOPE, "unknown_scope")
        return Scope(value)

    def _named(self, request: Request, bearer: AccessToken) -> AccessToken | RefreshToken | None:
        """Return the token in the body, if it is one of the caller's; None if there is none."""
        if "token" not in request.data:
            return None
        raw = request.data["token"]
        if not isinstance(raw, str):
            raise TokenInvalid
        token = tokens.decode(raw)
        if token.user_id != bearer.user_id:
            raise TokenInvalid
        return token

    def _log_out(
        self,
        request: Request,
        bearer: AccessToken,
        named: AccessToken | RefreshToken | None,
        scope: Scope,
    ) -> None:
        """Find who asks, end what they ask for, and tell Django."""
        proof = named if isinstance(self.bearer, TokenExpired) and named else bearer
        user = tokens.find_login(proof).user
        if named is None or proof is named:
            self.presented = [proof]
        elif named.sid == bearer.sid:
            self.presented = [named, bearer]
        else:
            self.presented = [named]
        session_key = _own_session_key(request, user)
        self.ended = services.log_out(
            user=user,
            presented=self.presented,
            scope=scope,
            client=self.client,
            session_key=session_key,
        )
        if self.ended.event is None:
            return
        if session_key:
            _drop_session(request)
        user_logged_out.send_robust(sender=type(user), request=request._request, user=user)


class LogoutAllView(LogoutView):
    """``POST logout/all``: end every login of the user."""

    message = contracts.LOGGED_OUT_EVERYWHERE
    scope = Scope.GLOBAL


def _own_session_key(request: Request, user: AbstractBaseUser) -> str:
    """Return the key of the browser session that came along, if it is this user's."""
    session = getattr(request._request, "session", None)
    if session is None or settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return ""
    if session.get(SESSION_KEY) != user._meta.pk.value_to_string(user):
        return ""
    return session.session_key or ""


def _drop_session(request: Request) -> None:
    """Leave the request with an empty session, so that the middleware deletes the cookie."""
    session = request._request.session
    if isinstance(session, SessionStore):
        # Its row went with the logout. To flush it would be one more statement that may fail.
        request._request.session = SessionStore()
    else:
        session.flush()


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
        grant = request.data.get("grant_type")
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

    def finalize_response(
        self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Log the answer."""
        self.log(
            audit.Event.RATE_LIMIT_EXCEEDED if response.status_code == 429 else self.event,
            action="token",
            target="session",
            status=response.status_code,
            user_id=self.user_id,
            session_id=self.session_id,
        )
        return super().finalize_response(request, response, *args, **kwargs)

    @sensitive_variables()
    def _log_in(self, request: Request) -> services.TokenPair:
        credentials = _validated(PasswordGrantSerializer, request)
        name = credentials.get("email") or credentials.get("username", "")
        user = _authenticate(request, f"account:{name.casefold()}", **credentials)
        if user is None:
            raise OAuthError("Wrong credentials", "invalid_grant")
        pair = services.log_in(user=user, client=self.client)
        self.event = audit.Event.LOGIN_SUCCESS
        user_logged_in.send(sender=type(user), request=request._request, user=user)
        return pair

    @sensitive_variables()
    def _refresh(self, request: Request) -> services.TokenPair:
        raw = _validated(RefreshGrantSerializer, request)["refresh_token"]
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

    def post(self, request: Request) -> Response:
        """Check the password, and mark this login."""
        password = _validated(ReauthenticationSerializer, request)["password"]
        login = Login(user=request.user, session=request.auth.session, token=request.auth)
        user = _authenticate(
            request,
            f"user:{request.user.pk}",
            username=request.user.get_username(),
            password=password,
        )
        if user is None or user.pk != request.user.pk:
            raise Refused(400, contracts.WRONG_PASSWORD, "wrong_password")
        try:
            services.reauthenticate(login=login)
        except NotReauthenticable as error:
            message = contracts.NOT_REAUTHENTICABLE
            raise Refused(400, message, "not_reauthenticable") from error
        self.reason = "password"
        return self.success(contracts.REAUTHENTICATED)

    def finalize_response(
        self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Log the answer."""
        event = audit.Event.LOGIN_SUCCESS if response.status_code == 200 else audit.Event.LOGIN_FAIL
        if response.status_code == 429:
            event = audit.Event.RATE_LIMIT_EXCEEDED
        token = request.auth if isinstance(request.auth, AccessToken) else None
        self.log(
            event,
            action="reauthenticate",
            target="session",
            status=response.status_code,
            user_id=token.user_id if token else None,
            session_id=token.sid if token else None,
        )
        return super().finalize_response(request, response, *args, **kwargs)


class UserView(ContractView):
    """``GET user``: who the bearer is."""

    def get(self, request: Request) -> Response:
        """Return the user."""
        user = request.user
        return Response(
            {
                "id": user.pk,
                "username": user.get_username(),
                "email": getattr(user, user.get_email_field_name(), ""),
            }
        )


def _validated(serializer_class: type[Serializer[Any]], request: Request) -> dict[str, str]:
    serializer = serializer_class(data=request.data)
    serializer.is_valid(raise_exception=True)
    return serializer.validated_data


@sensitive_variables()
def _authenticate(request: Request, account: str, **credentials: str) -> AbstractBaseUser | None:
    """Check a password, within the limits on guessing by address and by account."""
    attempts = [
        Attempts(request, name="address", key=address_key(request), rate=conf.address_rate),
        Attempts(request, name="password", key=account, rate=conf.password_rate),
    ]
    user = authenticate(request._request, **credentials)
    if user is None or not user.is_active:
        return None
    for attempt in attempts:
        attempt.succeed()
    return user


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500 in the contract of the route, where one of ours fails outside of its view.

    For ``handler500`` of a host's URLconf; every other route gets Django's own page.
    """
    try:
        view = resolve(request.path_info).func
    except Resolver404:
        return django_server_error(request)
    if not issubclass(getattr(view, "cls", type), ContractView):
        return django_server_error(request)
    contract: Contract = view.initkwargs["contract"]
    language = contract.negotiate(request.headers.get("Accept-Language", ""))
    with translation.override(language):
        response = JsonResponse(contract.error(500, contracts.ERRORS[500]), status=500)
    return _private(response, language)
