"""What other services read before they trust a token: the public keys, and where things are.

Both are the same for everybody, in no language and of no contract, and no database is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import NoReverseMatch, reverse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page, require_safe

from accounts.tokens import AccessToken

MAX_AGE: Final = 300
"""Seconds. So long is a key trusted that was taken away because it has leaked; and so long does a
new one have to be published before it signs. It is what verifiers take where they are told nothing.
"""

NAMESPACES: Final = ("drf_logout", "drf_logout_v1", "drf_logout_plain")

View = Callable[[HttpRequest], HttpResponse]


def _public(view: View) -> View:
    for decorate in (
        cache_control(public=True, max_age=MAX_AGE),
        conditional_page,
        require_safe,
        transaction.non_atomic_requests,  # which would ask for a database
        login_not_required,
    ):
        view = decorate(view)
    return view


@_public
def jwks(request: HttpRequest) -> HttpResponse:
    """``GET .well-known/jwks.json``: the keys that verify tokens (RFC 7517 §5).

    The current one comes first. An HMAC key is a secret, and never here.
    """
    backend = AccessToken().token_backend
    more = {"use": "sig", "alg": backend.algorithm}
    keys = [{**backend.jwk(key), "kid": kid, **more} for kid, key in backend.public_keys.items()]
    return JsonResponse({"keys": keys})


def issuer(request: HttpRequest) -> str:
    """Return who signs, as the answers for other services name it."""
    return AccessToken().token_backend.issuer or request.build_absolute_uri("/").rstrip("/")


@_public
def metadata(request: HttpRequest) -> HttpResponse:
    """``GET .well-known/oauth-authorization-server``: what is mounted, and where (RFC 8414 §2)."""
    backend = AccessToken().token_backend
    clients = ["client_secret_basic", "client_secret_post"]
    introspect = {"introspection_endpoint_auth_methods_supported": clients}
    if backend.public_keys:
        introspect["introspection_signing_alg_values_supported"] = [backend.algorithm]
    of_endpoints: dict[str, Any] = {  # Any: as JSON has it
        "token": {
            "grant_types_supported": ["password", "refresh_token"],
            "token_endpoint_auth_methods_supported": ["none"],
        },
        "revoke": {"revocation_endpoint_auth_methods_supported": clients},
        "introspect": introspect,
    }
    names = {"token": "token", "revoke": "revocation", "introspect": "introspection"}
    content: dict[str, Any] = {
        "issuer": issuer(request),
        "response_types_supported": [],
        "grant_types_supported": [],
    }
    for name, more in of_endpoints.items():
        if path := _path(name):
            content[f"{names[name]}_endpoint"] = request.build_absolute_uri(path)
            content |= more
    if backend.public_keys:
        content["jwks_uri"] = request.build_absolute_uri("jwks.json")
    return JsonResponse(content)


def _path(name: str) -> str:
    """Return the path of an endpoint; empty where no contract of ours is mounted with it."""
    for namespace in NAMESPACES:
        try:
            return reverse(f"{namespace}:{name}")
        except NoReverseMatch:
            continue
    return ""
