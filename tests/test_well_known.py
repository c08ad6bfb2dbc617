"""What other services read: the public keys, and where the endpoints are."""

from __future__ import annotations

import jwt
import pytest
from django.urls import clear_url_caches, include, path
from rest_framework_simplejwt import state
from rest_framework_simplejwt.backends import ALLOWED_ALGORITHMS, TokenBackend

from accounts.api.urls import drf, plain, well_known
from accounts.tokens import AccessToken, thumbprint
from tests.pairs import EACH_ALGORITHM, private

JWKS = "/.well-known/jwks.json"
METADATA = "/.well-known/oauth-authorization-server"
HOST = "http://testserver"

# Neither asks a database: these tests have none.


@pytest.fixture
def mount(settings, monkeypatch):
    """Serve these routes, and no others."""

    def run(**routes):
        patterns = [path(prefix, include(included)) for included, prefix in routes.values()]
        monkeypatch.setitem(globals(), "urlpatterns", patterns)
        settings.ROOT_URLCONF = __name__
        clear_url_caches()

    yield run
    clear_url_caches()


@pytest.fixture
def metadata(client):
    return lambda: client.get(METADATA).json()


# Keys


def test_a_thumbprint_is_that_of_the_standard():
    """RFC 7638 §3.1: its own key, and its own result."""
    key = {
        "kty": "RSA",
        "n": (
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc"
            "_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQ"
            "R0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bF"
            "TWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
        ),
        "e": "AQAB",
        "alg": "RS256",
        "kid": "2011-04-29",
    }
    backend = AccessToken().token_backend
    backend = type(backend)(TokenBackend("RS256"), ())

    jwk = backend.jwk(jwt.PyJWK(key).key)

    assert list(jwk) == ["e", "kty", "n"]
    assert thumbprint(jwk) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@EACH_ALGORITHM
def test_the_keys_of_now_and_before_and_after_are_there_and_verify(deploy, client, algorithm):
    """RFC 7517 §4 and §5, RFC 7638 §3.2."""
    deploy(algorithm, "old", "next")
    token = str(AccessToken())

    keys = client.get(JWKS).json()["keys"]

    current, coming = (jwt.PyJWK(key) for key in keys)
    assert [key["use"] for key in keys] == ["sig", "sig"]
    assert [key["alg"] for key in keys] == [algorithm, algorithm]
    assert current.key_id == jwt.get_unverified_header(token)["kid"] != coming.key_id
    assert jwt.decode(token, current)["token_type"] == "access"
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, coming)


@pytest.mark.parametrize("algorithm", sorted(a for a in ALLOWED_ALGORITHMS if a.startswith("HS")))
@pytest.mark.parametrize("verifying_key", ["", "a second secret, set where none is asked for"])
def test_no_secret_of_hmac_is_there(client, monkeypatch, settings, algorithm, verifying_key):
    secret, old = "the secret of the tokens" * 4, "the secret of before" * 4
    monkeypatch.setattr(state, "token_backend", TokenBackend(algorithm, secret, verifying_key))
    settings.ACCOUNTS = {"SIGNING_KEY_FALLBACKS": [old]}

    assert client.get(JWKS).json() == {"keys": []}
    assert "jwks_uri" not in client.get(METADATA).json()


@EACH_ALGORITHM
def test_of_a_private_key_in_the_wrong_place_the_public_half_alone_is_there(
    deploy, client, settings, algorithm
):
    deploy(algorithm)
    settings.ACCOUNTS = {"SIGNING_KEY_FALLBACKS": [private(algorithm, "next")]}

    for key in client.get(JWKS).json()["keys"]:
        assert set(key) <= {"kty", "crv", "x", "y", "n", "e", "kid", "use", "alg"}


@pytest.mark.parametrize("address", [JWKS, METADATA])
def test_anybody_may_keep_an_answer_for_a_while_and_ask_whether_it_has_changed(
    deploy, client, address
):
    deploy("ES256", "old", "next")
    answer = client.get(address)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert "Set-Cookie" not in answer.headers
    tag = {"If-None-Match": answer.headers["ETag"]}
    assert client.get(address, headers=tag).status_code == 304
    assert client.head(address).status_code == 200
    assert client.post(address).status_code == 405

    deploy("ES256", "next", "old", issuer="https://new.example")

    assert client.get(address, headers=tag).status_code == 200


# Metadata


def test_the_metadata_tell_what_the_example_project_has_mounted(client):
    """RFC 8414 §2 and §3.2."""
    content = client.get(METADATA).json()

    assert content["issuer"] == HOST
    assert content["token_endpoint"] == f"{HOST}/api/v1/auth/token"
    assert content["grant_types_supported"] == ["password", "refresh_token"]
    assert content["token_endpoint_auth_methods_supported"] == ["none"]
    assert content["response_types_supported"] == []


def test_the_metadata_name_the_issuer_of_the_tokens_and_the_address_of_the_keys(deploy, metadata):
    deploy(issuer="https://issuer.example")

    assert metadata()["issuer"] == "https://issuer.example"
    assert metadata()["jwks_uri"] == HOST + JWKS


@pytest.mark.standard("RFC 9701 §7")
def test_the_metadata_tell_what_signs_the_answer_of_an_introspection(deploy, metadata):
    supported = "introspection_signing_alg_values_supported"
    assert supported not in metadata()

    deploy("EdDSA")

    assert metadata()[supported] == ["EdDSA"]


def test_what_is_not_mounted_is_not_told(mount, metadata):
    mount(known=(well_known, ""))

    assert metadata() == {
        "issuer": HOST,
        "grant_types_supported": [],
        "response_types_supported": [],
    }


@pytest.mark.parametrize("contract", [drf, plain], ids=["drf", "plain"])
def test_each_contract_is_found_where_it_is_mounted(mount, metadata, contract):
    mount(known=(well_known, ""), api=(contract, "auth/"))

    assert metadata()["token_endpoint"] == f"{HOST}/auth/token"


def test_endpoints_for_clients_are_told_where_they_are(mount, metadata):
    """The rest of RFC 8414 §2: revocation and introspection."""

    def view(request):
        """Is never called."""

    routes = [path(name, view, name=name) for name in ("revoke", "introspect")]
    mount(known=(well_known, ""), api=((routes, "drf_logout"), "auth/"))

    methods = ["client_secret_basic", "client_secret_post"]
    assert metadata().items() >= {"revocation_endpoint": f"{HOST}/auth/revoke"}.items()
    assert metadata()["revocation_endpoint_auth_methods_supported"] == methods
    assert metadata()["introspection_endpoint"] == f"{HOST}/auth/introspect"
    assert metadata()["introspection_endpoint_auth_methods_supported"] == methods
