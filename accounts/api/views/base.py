"""What every endpoint has in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from django.core.exceptions import BadRequest, SuspiciousOperation
from django.core.signals import got_request_exception
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.urls import Resolver404, resolve
from django.utils import translation
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.functional import cached_property
from django.utils.log import log_response
from django.views.decorators.debug import sensitive_variables
from django.views.defaults import server_error as django_server_error
from rest_framework.exceptions import APIException, NotAuthenticated, ParseError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView, exception_handler, set_rollback

from accounts import audit, services
from accounts.api import contracts
from accounts.api.contracts import Contract
from accounts.api.cookies import RefreshCookie
from accounts.api.serializers import JSONParser
from accounts.api.views.errors import PROBLEM, Malformed, OAuthError, Refused, names, problem
from accounts.authentication import InvalidToken, JWTAuthentication
from accounts.clients import ClientInfo
from accounts.exceptions import ReauthenticationRequired, TokenError
from accounts.permissions import RecentlyAuthenticated
from accounts.tokens import AccessToken


class JSONOnly(BaseContentNegotiation):
    """Answer in JSON whatever the client accepts: no logout fails for a header."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """Return the parser of the body's media type, if there is one."""
        content_type = request.content_type.partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == content_type), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the JSON renderer."""
        return next(iter(renderers)), "application/json"


class ContractView(APIView):
    """An endpoint that speaks a contract, in the client's language, and is never cached.

    Its services have transactions of their own: ATOMIC_REQUESTS would send an answer's success
    before its commit, and undo what has to outlast an error answer.
    """

    contract: Contract = contracts.V1

    http_method_names = ["get", "head", "post"]
    authentication_classes: Any = (JWTAuthentication,)  # Any: DRF declares no type for these
    permission_classes: Any = (IsAuthenticated,)
    parser_classes: Any = (JSONParser,)
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = JSONOnly
    throttle_classes = ()
    versioning_class = None

    reason: str
    """Why the answer is what it is, for the security log."""

    @cached_property
    def client(self) -> ClientInfo:
        """Who is calling."""
        return ClientInfo.from_request(self.request)

    @cached_property
    def wants_problem(self) -> bool:
        """Whether an error is to be told as RFC 9457 has it."""
        return names(self.request, PROBLEM)

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., Any]:  # type: ignore[override] # DRF's own type is private
        """Return the view function, outside of ATOMIC_REQUESTS."""
        view = super().as_view(**initkwargs)
        return transaction.non_atomic_requests(using=services.database())(view)

    @sensitive_variables()
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer in the language that the client and the contract agree on."""
        # Django's reports of errors show no token and no password.
        request.sensitive_post_parameters = "__ALL__"  # type: ignore[attr-defined] # as Django does
        audit.take_over(request)
        self.reason = ""
        language = self.contract.negotiate(request.headers.get("Accept-Language", ""))
        with translation.override(language):
            response = super().dispatch(request, *args, **kwargs)
        self.log_answer(response.status_code)
        return _private(response, language)

    def get_exception_handler(self) -> Callable[[Exception, Any], Response | None]:
        """Return DRF's own: a host's may answer in statuses that the contract does not know."""
        return exception_handler

    def handle_exception(self, exc: Exception) -> Response:
        """Turn any exception into the contract's error."""
        exc = self.as_http(exc)
        if isinstance(exc, APIException):
            response = super().handle_exception(exc)
            self.reason = self.reason or _reason(exc)
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
        if self.wants_problem:
            response.content_type = PROBLEM
        return response

    def as_http(self, exc: Exception) -> Exception:
        """Return the refusal that an exception is to the client; what is none, as it is."""
        if isinstance(exc, TokenError):
            return InvalidToken(exc)
        if isinstance(exc, ReauthenticationRequired):
            return Refused(RecentlyAuthenticated.message, RecentlyAuthenticated.code, status=403)
        if isinstance(exc, (BadRequest, SuspiciousOperation)):
            return ParseError()
        return exc

    def error_body(self, exc: Exception, status: int) -> contracts.Body:
        """Return the contract's error, in words of ours: DRF's may repeat what was sent."""
        if isinstance(exc, InvalidToken):
            # One code for every token, as SimpleJWT has it: what its clients look for.
            return self.contract_error(status, exc.message, exc.default_code)
        message = str(exc.detail) if isinstance(exc, Refused) else contracts.ERRORS[status]
        code = _code(exc) if isinstance(exc, APIException) else "error"
        return self.contract_error(status, message, code)

    def contract_error(self, status: int, message: contracts.Text, code: str) -> contracts.Body:
        """Return the contract's error, or the problem that the client asks for."""
        if self.wants_problem:
            return {**problem(status, message), "code": code}
        return self.contract.error(status, message, code)

    def success(self, message: contracts.Text) -> Response:
        """Return the contract's success."""
        return Response(self.contract.success(message))

    def log_answer(self, status: int) -> None:
        """Log what is about to be answered, where it is a matter of security."""

    def log(
        self,
        event: audit.Event,
        *,
        action: str,
        target: str = "session",
        status: int,
        user_id: str | None,
        session_id: object,
    ) -> None:
        """Write a line of the security log; a refusal by the rate limit is an event of its own."""
        audit.log(
            audit.Event.RATE_LIMIT_EXCEEDED if status == 429 else event,
            action=action,
            target=target,
            success=status < 400,
            reason=self.reason,
            status=status,
            client=self.client,
            user_id=user_id,
            session_id=session_id,
        )


class OAuthView(ContractView):
    """An endpoint of OAuth: its errors are the same in every contract and, as it says, in ASCII."""

    def error_body(self, exc: Exception, status: int) -> contracts.Body:
        """Return the error of RFC 6749 §5.2, where it has one."""
        if status == 400 and not isinstance(exc, OAuthError):
            exc = Malformed()
        if not isinstance(exc, OAuthError):
            return super().error_body(exc, status)
        text = str(exc.detail)
        body: contracts.Body = {"error": exc.get_codes(), "error_description": text}
        return {**problem(status, text), **body} if self.wants_problem else body


class CookieView(ContractView):
    """An endpoint that takes the refresh token from a cookie where the client says so."""

    segments: ClassVar[int] = 1
    """Of the endpoint's path, behind that of the API."""
    cookie: RefreshCookie | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Find out what the client wants, before anything is read."""
        self.cookie = RefreshCookie.asked_for(request, segments=self.segments)
        super().initial(request, *args, **kwargs)

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        """Set or delete the cookie, whatever the answer."""
        if self.cookie is not None:
            self.cookie.answer(response)
        return super().finalize_response(request, response, *args, **kwargs)


def validated(serializer_class: type[Serializer[Any]], request: Request) -> dict[str, str]:
    """Return a body's fields. Raises ``ValidationError``."""
    serializer = serializer_class(data=request.data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def login_token(request: Request) -> AccessToken:
    """Return the token of the caller's login.

    Raises ``NotAuthenticated``: a test may force a user on us who has no login.
    """
    if not isinstance(request.auth, AccessToken):
        raise NotAuthenticated
    return request.auth


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Answer 500 in the contract of the route, where one of ours fails outside of its view.

    For ``handler500`` of a host's URLconf; every other route gets Django's own page.
    """
    try:
        # Any: DRF puts the two attributes on it.
        view: Any = resolve(request.path_info, getattr(request, "urlconf", None)).func
    except Resolver404:
        return django_server_error(request)
    if not issubclass(getattr(view, "cls", object), ContractView):
        return django_server_error(request)
    contract: Contract = view.initkwargs.get("contract", view.cls.contract)
    language = contract.negotiate(request.headers.get("Accept-Language", ""))
    with translation.override(language):
        body, kind = contract.error(500, contracts.ERRORS[500], "error"), "application/json"
        if names(request, PROBLEM):
            body, kind = problem(500, contracts.ERRORS[500]) | {"code": "error"}, PROBLEM
        response = JsonResponse(body, status=500, content_type=kind)
    return _private(response, language)


def _reason(exc: APIException) -> str:
    return exc.reason if isinstance(exc, InvalidToken) else _code(exc)


def _code(exc: APIException) -> str:
    codes = exc.get_codes()
    return codes if isinstance(codes, str) else "invalid"


def _private(response: HttpResponseBase, language: str) -> HttpResponseBase:
    patch_vary_headers(response, ("Accept-Language",))
    patch_cache_control(response, no_store=True)
    response.headers["Content-Language"] = language
    return response
