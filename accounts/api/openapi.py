"""What drf-spectacular writes of the endpoints: read off their views and contracts.

Importing it registers the extensions; ``AccountsConfig`` does where drf-spectacular is an app.
"""

from __future__ import annotations

import re
import uuid
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final, cast

from django.contrib.auth import get_user_model
from django.utils import translation
from drf_spectacular.contrib import rest_framework_simplejwt as simplejwt
from drf_spectacular.extensions import (
    OpenApiAuthenticationExtension,
    OpenApiSerializerExtension,
    OpenApiViewExtension,
)
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import (
    ComponentRegistry,
    ResolvedComponent,
    append_meta,
    build_bearer_security_scheme_object,
    get_doc,
)
from drf_spectacular.utils import (
    Direction,
    OpenApiExample,
    OpenApiParameter,
    OpenApiRequest,
    OpenApiResponse,
)
from rest_framework import exceptions as drf
from rest_framework.exceptions import APIException
from rest_framework.views import APIView
from rest_framework_simplejwt.settings import api_settings

from accounts import passwords
from accounts.api import contracts, cookies, views
from accounts.api.contracts import LANGUAGES, REAUTHENTICATED, Body, timestamp
from accounts.api.serializers import (
    PasswordGrantSerializer,
    ReauthenticationSerializer,
    RefreshGrantSerializer,
)
from accounts.api.views.base import ContractView
from accounts.api.views.errors import PROBLEM, InvalidClient, Malformed, problem
from accounts.api.views.logout import UnknownScope
from accounts.api.views.oauth import (
    RETRY_AFTER,
    SIGNED,
    MayNot,
    TwoWays,
    Unavailable,
    UnsupportedTokenType,
    said,
)
from accounts.api.views.sessions import shown
from accounts.api.views.token import (
    ForeignForm,
    NoCookies,
    NotReauthenticable,
    RefreshRefused,
    UnsupportedGrant,
    WrongCredentials,
    WrongPassword,
)
from accounts.conf import conf
from accounts.exceptions import ReauthenticationRequired, TokenExpired, TokenInvalid, TokenRevoked
from accounts.models import Session
from accounts.ratelimit import Usage
from accounts.services import Scope
from accounts.tokens import AccessToken

Schema = dict[str, Any]  # Any: JSON
Bodies = dict[str, Body]
"""Examples by name."""

# Of the examples, so that a schema is the same each time it is made.
MOMENT: Final = datetime(2026, 1, 31, 10, 30, tzinfo=UTC)
SID: Final = uuid.UUID("87f3b72b-16aa-4fb9-9c85-8c2e1c52323e")
TOKEN: Final = "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl"  # noqa: S105 - it opens nothing
CLIENT: Final = "registeredClient"
PASSWORD: Final = "password123"  # noqa: S105 - of nobody

FORMATS: Final = {
    "date-time": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"),
    "uuid": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
}


def schema_of(values: Sequence[object]) -> Schema:
    """Return the schema of JSON that has exactly the keys and the types of these values.

    A flag that is the same in all of them is constant.
    """
    if not values:
        return {}
    some = [value for value in values if value is not None]
    if len(some) < len(values):
        return append_meta(schema_of(some), {"nullable": True})
    if all(isinstance(value, bool) for value in values):
        return {"type": "boolean", **({"enum": values[:1]} if len(set(values)) == 1 else {})}
    if all(isinstance(value, int) for value in values):
        return {"type": "integer"}
    if all(isinstance(value, str) for value in values):
        texts = cast("Sequence[str]", values)
        for name, form in FORMATS.items():
            if all(map(form.fullmatch, texts)):
                return {"type": "string", "format": name}
        return {"type": "string"}
    if not all(isinstance(value, Mapping) for value in values):
        return {}  # of a host's own contract
    bodies = cast("Sequence[Body]", values)
    keys = dict.fromkeys(key for body in bodies for key in body)
    return _object(
        {key: schema_of([body[key] for body in bodies if key in body]) for key in keys},
        required=[key for key in keys if all(key in body for body in bodies)],
    )


def _object(properties: Schema, *, required: Collection[str]) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        **({"required": list(required)} if required else {}),
        "additionalProperties": False,
    }


def _header(
    name: str, example: object, statuses: Collection[int], *, required: bool = True
) -> OpenApiParameter:
    schema = {**schema_of([example]), "example": example}
    if name == "Retry-After":
        schema["minimum"] = 1
    return OpenApiParameter(
        name, schema, OpenApiParameter.HEADER, required=required, response=sorted(statuses)
    )


def _examples(named: Mapping[str, Bodies]) -> list[OpenApiExample]:
    """Return each body once, under its language if there is another one in another language."""
    examples: dict[str, Body] = {}
    for name, bodies in named.items():
        alike = len({str(body) for body in bodies.values()}) == 1
        for language, body in bodies.items():
            if body not in examples.values():
                examples[name if alike else f"{name} {language}"] = body
    return [OpenApiExample(name, value=body) for name, body in examples.items()]


def _problem(status: int) -> OpenApiResponse:
    """Return an error as a client may ask for it (RFC 9457)."""
    body = problem(status, contracts.ERRORS.get(status, ""))
    schema = schema_of([body]) | {"additionalProperties": True}
    schema["properties"]["status"]["enum"] = [status]
    return OpenApiResponse(schema, HTTPStatus(status).phrase)


class ContractSchema(AutoSchema):
    """An endpoint: the requests of its view and the answers of its contract, and no others."""

    view: Any  # the ContractView, which DRF's stubs have as any view, and as none
    segments = 1
    """Of the route."""

    # What an endpoint has of its own

    @abstractmethod
    def success(self) -> tuple[int, Schema | None, Bodies]:
        """Return the status of a success, the schema of its body, and examples.

        Without a schema, that of the examples.
        """

    def parameters(self) -> Iterator[OpenApiParameter]:
        """Yield what else a request may carry."""
        if language := self.view.contract.language:
            yield OpenApiParameter(
                "Accept-Language",
                {"type": "string", "example": language},
                OpenApiParameter.HEADER,
                description=f"One of {', '.join(LANGUAGES)}; `{language}` unless given.",
            )

    def exceptions(self) -> Iterator[Exception]:
        """Yield what the view may raise."""
        yield from (drf.NotAuthenticated(), TokenInvalid(), TokenExpired(), TokenRevoked())
        yield Exception()

    def headers(self, statuses: Collection[int]) -> Iterator[OpenApiParameter]:
        """Yield the headers of answers with these statuses."""
        yield _header("Cache-Control", "no-store", statuses)
        yield _header("Content-Language", self._languages()[0], statuses)
        yield _header("Vary", "Accept-Language", statuses)
        yield _header("WWW-Authenticate", 'Bearer error="invalid_token"', [401])
        yield _header("Retry-After", 60, [429])

    # What drf-spectacular asks for

    def get_operation_id(self) -> str:
        """Return the path in words: the same, whatever else the host serves."""
        return re.sub(r"\W+", "_", self.path).strip("_")

    def get_summary(self) -> str:
        """Return what the view says of itself, behind the name of its route."""
        text = " ".join(get_doc(type(self.view)).split()).rpartition("``: ")[2]
        return text[:1].upper() + text[1:].rstrip(".")

    def get_description(self) -> str:  # type: ignore[override] # as drf-spectacular has it
        """Return nothing: the summary is all."""
        return ""

    def get_tags(self) -> list[str]:
        """Return where the endpoints are mounted, for they belong together."""
        return [self.path.rstrip("/").rsplit("/", self.segments)[0] + "/"]

    def get_override_parameters(self) -> list[Any]:  # Any: as in AutoSchema
        """Return the parameters of a request and the headers of the answers."""
        statuses = {int(status) for status, _ in self.get_response_serializers()}
        return [*self.parameters(), *self.headers(statuses)]

    def get_response_serializers(self) -> Any:  # Any: as in AutoSchema
        """Return the answers by status, with examples in each language."""
        schemas: dict[int, Schema | None] = {}
        found: dict[int, dict[str, Bodies]] = {}  # by status, name and language
        for language in self._languages():
            with translation.override(language):
                status, schemas[status], bodies = self.success()
                told = [(status, name, body) for name, body in bodies.items()]
                for code, name, body in (*told, *map(self._refused, self.exceptions())):
                    found.setdefault(code, {}).setdefault(name, {})[language] = body
        for code, named in found.items():
            some = [body for bodies in named.values() for body in bodies.values()]
            schemas[code] = schemas.get(code) or schema_of(some)
        answers = {
            (code, "application/json"): OpenApiResponse(
                schema, HTTPStatus(code).phrase, _examples(found.get(code, {}))
            )
            for code, schema in sorted(schemas.items())
        }
        errors = [code for code in schemas if code >= 400]
        return answers | {(code, PROBLEM): _problem(code) for code in errors}

    def _languages(self) -> list[str]:
        """Return the contract's own language first, and Spanish and English where it has them."""
        contract = self.view.contract
        with_examples = LANGUAGES[:2] if contract.language else ()
        return list(dict.fromkeys([contract.negotiate(""), *with_examples]))

    def _refused(self, exception: Exception) -> tuple[int, str, Body]:
        """Return the status of what the view makes of an exception, a name for it, and the body."""
        refusal = self.view.as_http(exception)
        status = refusal.status_code if isinstance(refusal, APIException) else 500
        body = self.view.error_body(refusal, status)
        return status, re.sub(r"(?<=.)(?=[A-Z])", " ", type(exception).__name__), body

    def _said(self, message: object) -> Body:
        """Return the contract's success; a contract may tell the time."""
        body = self.view.contract.success(cast("str", message))
        return {
            key: timestamp(MOMENT) if schema_of([value]).get("format") == "date-time" else value
            for key, value in body.items()
        }


class TakesBody(ContractSchema):
    """An endpoint that reads a body."""

    @abstractmethod
    def request(self) -> tuple[Schema, Bodies]:
        """Return the schema of a body, and examples."""

    def exceptions(self) -> Iterator[Exception]:
        """Yield what a body may be refused with, too."""
        yield from super().exceptions()
        yield from (drf.ParseError(), drf.UnsupportedMediaType(""), drf.Throttled())

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: ComponentRegistry
    ) -> Schema | None:
        """Return the operation. Its body is required where it has to have some key."""
        schema, _ = self.request()
        operation = super().get_operation(path, path_regex, path_prefix, method, registry)
        # It is None for what is excluded, which nothing of ours is.
        found = cast("Schema", operation)
        # A host may leave parsers out.
        found.get("requestBody", {})["required"] = bool({"oneOf", "required"} & set(schema))
        return found

    def get_request_serializer(self) -> Any:  # Any: as in AutoSchema
        """Return the body, for each media type."""
        schema, bodies = self.request()
        examples = [OpenApiExample(name, value=body) for name, body in bodies.items()]
        return {
            media_type: OpenApiRequest(schema, examples=examples)
            for media_type in self.map_parsers()
        }


class TakesCookie(TakesBody):
    """An endpoint that takes the refresh token from a cookie too, where the host has said so."""

    def parameters(self) -> Iterator[OpenApiParameter]:
        """Yield what a client asks for the cookie by, too."""
        yield from super().parameters()
        if conf.refresh_cookie is not None:
            yield OpenApiParameter(
                cookies.HEADER,
                {"type": "string", "example": "1"},
                OpenApiParameter.HEADER,
                description="With any value: the refresh token is kept in a cookie.",
            )

    def headers(self, statuses: Collection[int]) -> Iterator[OpenApiParameter]:
        """Yield the cookie, too."""
        yield from super().headers(statuses)
        if (cookie := conf.refresh_cookie) is not None:
            example = f"{cookie.name}=…; HttpOnly; SameSite={cookie.samesite}"
            yield _header("Set-Cookie", example, statuses, required=False)


class TokenSchema(TakesCookie):
    """``POST token``."""

    def request(self) -> tuple[Schema, Bodies]:
        """Return the two grants."""
        who = [{"required": [name]} for name in ("email", "username")]
        log_in = self._grant("password", PasswordGrantSerializer()) | {"oneOf": who}
        refresh = self._grant("refresh_token", RefreshGrantSerializer())
        if conf.refresh_cookie is not None:
            refresh["required"].remove("refresh_token")
        return {"oneOf": [log_in, refresh]}, {
            "log in": {
                "grant_type": "password",
                "email": "ana@example.com",
                "password": PASSWORD,
            },
            "refresh": {"grant_type": "refresh_token", "refresh_token": TOKEN},
        }

    def success(self) -> tuple[int, Schema | None, Bodies]:
        """Return the tokens."""
        body: Body = {
            "access_token": TOKEN,
            "refresh_token": TOKEN,
            "token_type": "Bearer",
            "expires_in": int(api_settings.ACCESS_TOKEN_LIFETIME.total_seconds()),
        }
        examples = {"tokens": body}
        if conf.refresh_cookie is not None:
            found = {key: value for key, value in body.items() if key != "refresh_token"}
            examples["refresh token in a cookie"] = found
        return 200, schema_of(list(examples.values())), examples

    def exceptions(self) -> Iterator[Exception]:
        """Yield the errors of RFC 6749 in place of those of a bearer, which is not read."""
        bearer = (drf.NotAuthenticated, TokenInvalid, TokenExpired, TokenRevoked)
        yield from (one for one in super().exceptions() if not isinstance(one, bearer))
        yield from (Malformed(), ForeignForm(), UnsupportedGrant())
        yield from (WrongCredentials(), RefreshRefused())
        if conf.refresh_cookie is None:
            yield NoCookies()

    def headers(self, statuses: Collection[int]) -> Iterator[OpenApiParameter]:
        """Yield the cookie of the device that has logged in, too."""
        cookie = f"{passwords.DEVICE_COOKIE}=…; HttpOnly; SameSite=Strict"
        yield _header("Set-Cookie", cookie, [200], required=False)
        yield from super().headers(statuses)

    def _grant(self, grant_type: str, serializer: Any) -> Schema:  # Any: of either type of fields
        mapped: Schema = self._map_serializer(serializer, "request")  # type: ignore[no-untyped-call]
        properties = {"grant_type": {"type": "string", "enum": [grant_type]}}
        return {
            "type": "object",
            "title": grant_type,
            "properties": {**properties, **mapped["properties"]},
            "required": ["grant_type", *mapped["required"]],
        }


class Limited(ContractSchema):
    """An endpoint within the rate limit of ``logout``."""

    def exceptions(self) -> Iterator[Exception]:
        """Yield what keeps a login from ending others, too."""
        yield from super().exceptions()
        yield drf.Throttled()
        if "api" in conf.reauthenticate_to_end_others:
            yield ReauthenticationRequired()

    def headers(self, statuses: Collection[int]) -> Iterator[OpenApiParameter]:
        """Yield the headers of the limit, too."""
        yield from super().headers(statuses)
        rate = conf.logout_rate
        usage = Usage(name="logout", rate=rate, count=1, reset=rate.seconds, ends=())
        for name, value in usage.headers.items():
            example = int(value) if value.isdigit() else value
            yield _header(name, example, self.counted(statuses))

    def counted(self, statuses: Collection[int]) -> Collection[int]:
        """Return the statuses of requests that are counted."""
        return statuses


class LogoutSchema(Limited, TakesCookie):
    """``POST logout``."""

    def get_auth(self) -> list[Schema]:
        """Return that a cookie does without a bearer."""
        return [*super().get_auth(), *([] if conf.refresh_cookie is None else [{}])]

    def request(self) -> tuple[Schema, Bodies]:
        """Return the token of the login, and what else ends."""
        scopes = [self.view.scope] if self.view.scope else list(Scope)
        default = self.view.scope or self.view.contract.default_scope
        token = "An access or refresh token of the login to end; that of the bearer unless given."  # noqa: S105
        properties = {
            "token": {"type": "string", "description": token},
            "scope": {
                "type": "string",
                "enum": [scope.value for scope in scopes],
                "default": default.value,
                "description": Scope.__doc__,
            },
        }
        examples = {scope.value: {"scope": scope.value} for scope in scopes}
        return {"type": "object", "properties": properties}, cast("Bodies", examples)

    def success(self) -> tuple[int, Schema | None, Bodies]:
        """Return that the login has ended."""
        return 200, None, {"logged out": self._said(self.view.message)}

    def exceptions(self) -> Iterator[Exception]:
        """Yield the refusal of a scope; a token that is revoked already is none."""
        yield from (one for one in super().exceptions() if not isinstance(one, TokenRevoked))
        yield UnknownScope()

    def headers(self, statuses: Collection[int]) -> Iterator[OpenApiParameter]:
        """Yield what a browser is told to clear, too."""
        yield from super().headers(statuses)
        if conf.clear_site_data:
            kinds = ", ".join(f'"{kind}"' for kind in conf.clear_site_data)
            yield _header("Clear-Site-Data", kinds, [200], required=False)


class LogoutAllSchema(LogoutSchema):
    """``POST logout/all``."""

    segments = 2


class ReauthenticateSchema(TakesBody):
    """``POST reauthenticate``."""

    def request(self) -> tuple[Schema, Bodies]:
        """Return the password."""
        schema = self._map_serializer(ReauthenticationSerializer(), "request")  # type: ignore[no-untyped-call]
        return schema, {"password": {"password": PASSWORD}}

    def success(self) -> tuple[int, Schema | None, Bodies]:
        """Return that it is still the same person."""
        return 200, None, {"confirmed": self._said(REAUTHENTICATED)}

    def exceptions(self) -> Iterator[Exception]:
        """Yield what is wrong with a password, too."""
        yield from super().exceptions()
        yield from (drf.ValidationError(), WrongPassword(), NotReauthenticable())


class SessionsSchema(ContractSchema):
    """``GET sessions``."""

    def parameters(self) -> Iterator[OpenApiParameter]:
        """Yield the place of a page, too."""
        yield from super().parameters()
        yield OpenApiParameter("cursor", str, description="Where a page begins, as `next` has it.")

    def success(self) -> tuple[int, Schema | None, Bodies]:
        """Return a page of logins."""
        columns = {
            "sid": SID,
            "kind": Session.Kind.TOKEN,
            "authenticated_at": MOMENT,
            "last_seen_at": MOMENT,
            "expire_date": MOMENT + timedelta(days=14),
            "ip_address": "192.0.2.7",
            "user_agent": "python-requests/2.34.2",
        }
        phone, nowhere = Session(**columns), Session(**columns | {"ip_address": None})
        login = schema_of([shown(phone, SID), shown(nowhere, None)])
        login["properties"]["kind"]["enum"] = Session.Kind.values
        address = append_meta({"type": "string", "format": "uri"}, {"nullable": True})
        page = {"next": address, "previous": address, "results": {"type": "array", "items": login}}
        example: Body = {"next": None, "previous": None, "results": [shown(phone, SID)]}
        return 200, _object(page, required=page), {"logins": example}

    def exceptions(self) -> Iterator[Exception]:
        """Yield the refusal of a cursor that is not ours, too."""
        yield from super().exceptions()
        yield drf.NotFound()


class SessionSchema(Limited):
    """``DELETE sessions/<sid>``."""

    segments = 2

    def parameters(self) -> Iterator[OpenApiParameter]:
        """Yield which login it is, too."""
        yield from super().parameters()
        schema = {"type": "string", "format": "uuid"}
        yield OpenApiParameter(
            "sid", schema, OpenApiParameter.PATH, description="The `id` of a login."
        )

    def success(self) -> tuple[int, Schema | None, Bodies]:
        """Return that it has ended."""
        return 204, None, {}

    def exceptions(self) -> Iterator[Exception]:
        """Yield that there is no such login, too."""
        yield from super().exceptions()
        yield drf.NotFound()

    def counted(self, statuses: Collection[int]) -> Collection[int]:
        """Leave out the requests of nobody, who has no limit here."""
        return set(statuses) - {401}


class UserSchema(ContractSchema):
    """``GET user``."""

    def success(self) -> tuple[int, Schema | None, Bodies]:
        """Return the columns of the host's user."""
        user = get_user_model()
        columns = {"id": user._meta.pk, "username": user._meta.get_field(user.USERNAME_FIELD)}
        properties: Schema = {}
        for key, column in columns.items():
            mapped = self._map_model_field(column, "response")  # type: ignore[no-untyped-call]
            # What it is called in a form is of no use here.
            properties[key] = {k: v for k, v in mapped.items() if k not in {"title", "description"}}
        properties["email"] = {"type": "string"}
        return 200, _object(properties, required=properties), {}


class ClientSchema(TakesBody):
    """An endpoint for registered clients."""

    def request(self) -> tuple[Schema, Bodies]:
        """Return the token, and a client that does not authenticate by header."""
        text: Schema = {"type": "string"}
        hint = append_meta(text, {"description": "`refresh_token` or `access_token`."})
        properties = {"token": text, "token_type_hint": hint}
        properties |= {"client_id": text, "client_secret": text}
        return {"type": "object", "properties": properties, "required": ["token"]}, {
            "token": {"token": TOKEN}
        }

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: ComponentRegistry
    ) -> Schema | None:
        """Return the operation, and name how a client authenticates."""
        scheme = {"type": "http", "scheme": "basic"}
        kind = ResolvedComponent.SECURITY_SCHEMA
        registry.register_on_missing(ResolvedComponent(CLIENT, kind, scheme, CLIENT))
        return super().get_operation(path, path_regex, path_prefix, method, registry)

    def get_auth(self) -> list[Schema]:
        """Return a client's secret, in the header or in the body, beside what the view takes."""
        return [*super().get_auth(), {CLIENT: []}, {}]

    def exceptions(self) -> Iterator[Exception]:
        """Yield what a client is told."""
        yield from (drf.UnsupportedMediaType(""), drf.Throttled(), Exception())
        yield from (InvalidClient(), Malformed(), TwoWays(), MayNot(), Unavailable())

    def headers(self, statuses: Collection[int]) -> Iterator[OpenApiParameter]:
        """Yield when to come again, too."""
        yield from super().headers(statuses)
        yield _header("Retry-After", RETRY_AFTER, [503])


class RevokeSchema(ClientSchema):
    """``POST revoke``."""

    def success(self) -> tuple[int, Schema | None, Bodies]:
        """Return that no such token is live."""
        return 200, None, {}

    def exceptions(self) -> Iterator[Exception]:
        """Yield what a user is told, too."""
        yield from super().exceptions()
        yield from (UnsupportedTokenType(), TokenInvalid(), TokenExpired(), TokenRevoked())
        if "api" in conf.reauthenticate_to_end_others:
            yield ReauthenticationRequired()


class IntrospectSchema(ClientSchema):
    """``POST introspect``."""

    def success(self) -> tuple[int, Schema | None, Bodies]:
        """Return what a token says."""
        token = AccessToken()
        token[api_settings.USER_ID_CLAIM], token["sid"] = "1", str(SID)
        token[api_settings.JTI_CLAIM] = SID.hex
        token["iat"], token["exp"] = 1_769_855_400, 1_769_855_700
        live = said(token, get_user_model()(**{get_user_model().USERNAME_FIELD: "ana"}))
        dead: Body = {"active": False}
        schema = schema_of([live, dead, {**dead, "client_id": ""}])
        return 200, schema, {"live": live, "not live": dead}

    def get_response_serializers(self) -> Any:  # Any: as in AutoSchema
        """Return the answers, and the signed one where a key pair signs."""
        answers = super().get_response_serializers()
        if AccessToken().token_backend.public_keys:
            jwt = {"type": "string", "description": "A JWT, as RFC 9701 §5 has it."}
            answers[200, SIGNED] = OpenApiResponse(jwt, HTTPStatus.OK.phrase)
        return answers


SCHEMAS: Final[Mapping[type[ContractView], type[ContractSchema]]] = {
    views.TokenView: TokenSchema,
    views.LogoutView: LogoutSchema,
    views.LogoutAllView: LogoutAllSchema,
    views.ReauthenticateView: ReauthenticateSchema,
    views.SessionsView: SessionsSchema,
    views.SessionView: SessionSchema,
    views.UserView: UserSchema,
    views.RevokeView: RevokeSchema,
    views.IntrospectView: IntrospectSchema,
}


class Endpoint(OpenApiViewExtension):
    """An endpoint of ours, or of a host that has made a subclass of one."""

    target_class = ContractView
    match_subclasses = True
    priority = -1

    def view_replacement(self) -> type[APIView]:
        """Return the view with a schema."""
        schema = next(SCHEMAS[view] for view in self.target.__mro__ if view in SCHEMAS)
        return type(self.target.__name__, (self.target,), {"schema": schema()})


class Bearer(OpenApiAuthenticationExtension):
    """``JWTAuthentication`` and its subclasses, by the name that SimpleJWT's own has."""

    target_class = "accounts.authentication.JWTAuthentication"
    name = simplejwt.SimpleJWTScheme.name
    match_subclasses = True
    priority = -1

    def get_security_definition(self, auto_schema: AutoSchema) -> Schema:
        """Return the scheme of the Authorization header."""
        return build_bearer_security_scheme_object(
            header_name=api_settings.AUTH_HEADER_NAME,
            token_prefix=api_settings.AUTH_HEADER_TYPES[0],
            bearer_format="JWT",
        )


class KeepsFields(OpenApiSerializerExtension):
    """A serializer of ours for SimpleJWT's own view: with its fields, and those of a subclass."""

    match_subclasses = True
    priority = -1

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> Schema:
        """Return what drf-spectacular knows of SimpleJWT's serializer, and what it finds here."""
        known = super().map_serializer(auto_schema, direction)
        found = auto_schema._map_serializer(  # noqa: SLF001 - as its own extensions do
            self.target, direction, bypass_extensions=True
        )
        required = dict.fromkeys([*known.get("required", ()), *found.get("required", ())])
        properties = {**found["properties"], **known["properties"]}
        return {**found, "properties": properties, "required": list(required)}


class ObtainFields(KeepsFields, simplejwt.TokenObtainPairSerializerExtension):
    """Of ``TOKEN_OBTAIN_SERIALIZER``."""

    target_class = "accounts.api.serializers.TokenObtainPairSerializer"


class RefreshFields(KeepsFields, simplejwt.TokenRefreshSerializerExtension):
    """Of ``TOKEN_REFRESH_SERIALIZER``."""

    target_class = "accounts.api.serializers.TokenRefreshSerializer"
