"""What comes in: bodies, their parsers, and serializers for SimpleJWT's own views."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import IO, Any, Final

from django.conf import settings
from django.contrib.auth.models import update_last_login
from django.http import HttpRequest, QueryDict
from django.utils.module_loading import import_string
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed, ParseError, PermissionDenied
from rest_framework.parsers import FormParser as DRFFormParser
from rest_framework.parsers import JSONParser as DRFJSONParser
from rest_framework_simplejwt import exceptions as simplejwt
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer as SimpleJWTObtain
from rest_framework_simplejwt.serializers import TokenRefreshSerializer as SimpleJWTRefresh
from rest_framework_simplejwt.settings import api_settings

from accounts import audit, passwords, services, tokens
from accounts.api.contracts import BAD_BODY
from accounts.clients import ClientInfo
from accounts.exceptions import TokenError
from accounts.models import User

FORM_TYPES: Final = {"", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain"}
"""What a browser sends to another site without a preflight."""


def is_foreign_form(request: HttpRequest) -> bool:
    """Whether a page of another site may have sent this without asking: as a form.

    By Fetch metadata or, without it, by Origin; a client that sends neither is no browser. What no
    form can send, CORS has a say in. Sites of ``CSRF_TRUSTED_ORIGINS`` are not foreign.
    """
    origin = request.headers.get("Origin", "")
    site = request.headers.get("Sec-Fetch-Site", "")
    if request.content_type not in FORM_TYPES or site in {"same-origin", "none"}:
        return False
    if not site and origin in {"", f"{request.scheme}://{request.get_host()}"}:
        return False
    return not any(fnmatchcase(origin, trusted) for trusted in settings.CSRF_TRUSTED_ORIGINS)


def refuse_foreign_form(request: HttpRequest) -> None:
    """Raise ``PermissionDenied`` where a page of another site would log somebody in."""
    if is_foreign_form(request):
        event = audit.Event.LOGIN_FAIL
        audit.log_refusal(request, event, action="login", reason="foreign_form")
        raise PermissionDenied


def _read(stream: IO[bytes]) -> bytes:
    # DRF's parsers read without the limit that Django has for a request body.
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    data = stream.read() if limit is None else stream.read(limit + 1)
    if limit is not None and len(data) > limit:
        raise ParseError(BAD_BODY)
    return data


class JSONParser(DRFJSONParser):
    """An object, in UTF-8 (RFC 8259 §8.1), that names no member twice."""

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the object. Raises ``ParseError`` for anything else."""
        try:
            # Nested too deep for Python's stack is a RecursionError, a number with too many digits
            # or a byte that is not UTF-8 a ValueError.
            body = json.loads(_read(stream).decode(), object_pairs_hook=_object)
        except (ValueError, RecursionError) as error:
            raise ParseError(BAD_BODY) from error
        if not isinstance(body, dict):
            raise ParseError(BAD_BODY)
        return body


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(result := dict(pairs)) < len(pairs):
        raise ValueError("a member is repeated")
    return result


class FormParser(DRFFormParser):
    """A form, in UTF-8, that names no parameter twice (RFC 6749 §3.2)."""

    def parse(  # type: ignore[override] # a dict, as of JSON, where DRF has a QueryDict
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the parameters. Raises ``ParseError`` where one is repeated."""
        form = QueryDict(_read(stream), encoding="utf-8")
        if any(len(values) > 1 for _, values in form.lists()):
            raise ParseError(BAD_BODY)
        return form.dict()


class StringField(serializers.CharField):
    """Text as it was sent: no number is taken for it, and no white space trimmed off."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: object) -> str:
        """Return the text."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class PasswordGrantSerializer(serializers.Serializer[Any]):
    """``grant_type=password`` (RFC 6749 §4.3.2), with the e-mail address as a way to say who."""

    email = StringField(required=False)
    username = StringField(required=False)
    password = StringField()

    def validate(self, attrs: dict[str, str]) -> dict[str, str]:
        """Require one of the two names."""
        if ("email" in attrs) == ("username" in attrs):
            raise serializers.ValidationError("one of email and username")
        return attrs


class RefreshGrantSerializer(serializers.Serializer[Any]):
    """``grant_type=refresh_token`` (RFC 6749 §6)."""

    refresh_token = StringField()


class ReauthenticationSerializer(serializers.Serializer[Any]):
    """The proof that it is still the same person."""

    password = StringField()


class TokenObtainPairSerializer(SimpleJWTObtain):
    """For ``SIMPLE_JWT["TOKEN_OBTAIN_SERIALIZER"]``: SimpleJWT's own view begins a login of ours.

    As in SimpleJWT, a subclass may add claims of its own in ``get_token()``.
    """

    token_class = tokens.RefreshToken

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        """Check the credentials, within the limits on guessing, and log in."""
        request = self.context.get("request")
        request = HttpRequest() if request is None else getattr(request, "_request", request)
        refuse_foreign_form(request)
        user = passwords.log_in(
            request, username=attrs[self.username_field], password=attrs["password"]
        )
        if user is None:
            code = "no_active_account"
            raise AuthenticationFailed(self.error_messages[code], code)
        self.user = user
        pair = services.log_in(
            user=user,
            client=_client(self),
            mint=self.get_token,  # type: ignore[arg-type] # what it mints is of ``token_class``
        )
        if api_settings.UPDATE_LAST_LOGIN:
            update_last_login(type(user), user)
        return {"refresh": str(pair.refresh), "access": str(pair.access)}


def minting() -> Callable[[User], tokens.RefreshToken]:
    """Return how a log-in mints: with the claims of the host's ``TOKEN_OBTAIN_SERIALIZER``.

    Of a subclass of ours; any other mints tokens that are of no login.
    """
    serializer = import_string(api_settings.TOKEN_OBTAIN_SERIALIZER)
    if not issubclass(serializer, TokenObtainPairSerializer):
        serializer = TokenObtainPairSerializer
    mint: Callable[[User], tokens.RefreshToken] = serializer.get_token
    return mint


class TokenRefreshSerializer(SimpleJWTRefresh):
    """For ``SIMPLE_JWT["TOKEN_REFRESH_SERIALIZER"]``: a refresh that no race can outlive.

    Rotates where ``ROTATE_REFRESH_TOKENS`` says so.
    """

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        """Return new tokens of a login that is alive."""
        try:
            token = tokens.decode_refresh(attrs["refresh"])
            if not api_settings.ROTATE_REFRESH_TOKENS:
                return {"access": str(services.mint_access(token=token))}
            client = _client(self)
            pair = services.refresh(token=token, client=client)
        except TokenError as error:
            raise simplejwt.TokenError("Token is invalid or expired") from error
        return {"refresh": str(pair.refresh), "access": str(pair.access)}


def _client(serializer: serializers.BaseSerializer[Any]) -> ClientInfo:
    """Return the client, where SimpleJWT's view or a host's own has passed the request on."""
    request = serializer.context.get("request")
    return ClientInfo() if request is None else ClientInfo.from_request(request)
