"""Tokens that are signed with key pairs: each names its key, and is taken from nobody else."""

from __future__ import annotations

import base64
import hmac
import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.management import call_command
from joserfc import jwt as joserfc
from joserfc.jwk import KeySet
from jwt.algorithms import ECAlgorithm
from rest_framework_simplejwt import state
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.tokens import RefreshToken as SimpleJWTRefreshToken

from accounts import services
from accounts.exceptions import TokenInvalid
from accounts.tokens import AccessToken, RefreshToken, decode_access
from tests.documents import code, commands, run
from tests.host import PATIENCE
from tests.pairs import EACH_ALGORITHM, private, public


def kid_of(raw):
    return jwt.get_unverified_header(raw).get("kid")


def current_kid():
    return next(iter(AccessToken().token_backend.public_keys))


@pytest.fixture
def post(client):
    def send(path, bearer=None, **body):
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return client.post(path, body, content_type="application/json", headers=headers)

    return send


@pytest.fixture
def refresh(post):
    def send(raw):
        return post("/token", grant_type="refresh_token", refresh_token=str(raw))

    return send


# The key that a token names


@EACH_ALGORITHM
def test_a_login_lives_and_ends_under_a_key_pair(deploy, post, refresh, is_in, user, algorithm):
    deploy(algorithm)
    grant = {"grant_type": "password", "username": "ana", "password": "password123"}
    tokens = post("/token", **grant).json()

    tokens = refresh(tokens["refresh_token"]).json()
    assert kid_of(tokens["access_token"]) == kid_of(tokens["refresh_token"]) == current_kid()
    assert is_in(tokens["access_token"])

    assert post("/logout", tokens["access_token"]).status_code == 200
    assert not is_in(tokens["access_token"])
    assert refresh(tokens["refresh_token"]).status_code == 400


def test_a_token_of_hmac_names_no_key(phone):
    assert kid_of(str(phone.access)) is None


def test_a_token_is_verified_with_the_key_that_it_names_and_with_no_other(deploy, is_in, phone):
    deploy("ES256", "old", "next")
    named = str(phone.access)
    assert is_in(named)

    deploy("ES256", "next", "old")
    wrong = jwt.encode(phone.access.payload, private(), "ES256", {"kid": current_kid()})
    assert not is_in(wrong)
    assert is_in(named)
    deploy("ES256", "next")
    assert not is_in(named)


@pytest.mark.parametrize("kid", ["", "x", "../../key", None, 5, ["x"], {}])
def test_a_key_that_is_not_known_proves_nothing(deploy, is_in, phone, kid):
    deploy("ES256", "old", "next")
    encode = json.dumps({"alg": "ES256", "typ": "JWT", "kid": kid}).encode()

    assert not is_in(crafted(encode, phone.access.payload, sign_by_ec(private())))


def test_a_token_that_names_no_key_is_taken_as_before(deploy, is_in, phone):
    """Of SimpleJWT's own code, or from the time before its keys had names."""
    deploy("ES256", "next", "old")

    for name in ("next", "old"):
        assert is_in(jwt.encode(phone.access.payload, private(name=name), "ES256"))
    assert not is_in(jwt.encode(phone.access.payload, private(name="other"), "ES256"))


def test_where_simplejwt_is_given_a_url_of_keys_a_token_is_verified_with_those_alone(
    deploy, live_server, user, phone
):
    deploy("ES256", "next")
    of_next = str(phone.access)
    deploy("ES256", "old", jwk_url=f"{live_server.url}/.well-known/jwks.json")

    # The old one is there, at this moment, whatever else is set here.
    assert decode_access(str(phone.refresh.access_token)).sid == phone.access.sid
    with pytest.raises(TokenInvalid):
        decode_access(of_next)


# Algorithms


def segment(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def crafted(header, payload, sign):
    """Make a token that no library would."""
    content = segment(header) + b"." + segment(json.dumps(payload).encode())
    return (content + b"." + segment(sign(content))).decode()


def sign_by_ec(pem):
    algorithm = ECAlgorithm(ECAlgorithm.SHA256)
    return lambda content: algorithm.sign(content, algorithm.prepare_key(pem))


def sign_by_hmac(secret):
    return lambda content: hmac.digest(secret.encode(), content, "sha256")


P384 = ec.generate_private_key(ec.SECP384R1())

FORGERIES = {
    "the public key as a secret": ({"alg": "HS256"}, sign_by_hmac(public())),
    "the same, without its last line": ({"alg": "HS256"}, sign_by_hmac(public().strip())),
    "no algorithm": ({"alg": "none"}, lambda content: b""),
    "none, in capitals": ({"alg": "NONE"}, lambda content: b""),
    "no signature": ({"alg": "ES256"}, lambda content: b""),
    "a signature of zeros": ({"alg": "ES256"}, lambda content: b"\0" * 64),
    "another curve": ({"alg": "ES384"}, sign_by_ec(P384)),
    "another curve by the name of this one": ({"alg": "ES256"}, sign_by_ec(P384)),
    "a key of its own": (
        {"alg": "ES256", "jwk": ECAlgorithm.to_jwk(P384.public_key(), as_dict=True)},
        sign_by_ec(P384),
    ),
    "another pair": ({"alg": "RS256"}, None),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_a_token_says_of_its_algorithm_opens_nothing(deploy, is_in, phone, forgery):
    deploy("ES256", "old", "next")
    header, sign = FORGERIES[forgery]
    if sign is None:
        rsa = jwt.get_algorithm_by_name("RS256")
        sign = lambda content: rsa.sign(content, rsa.prepare_key(private("RS256")))  # noqa: E731

    for more in ({}, {"kid": current_kid()}):
        text = json.dumps({"typ": "JWT", **header, **more}).encode()
        assert not is_in(crafted(text, phone.access.payload, sign))
    good = json.dumps({"alg": "ES256", "kid": current_kid()}).encode()
    assert is_in(crafted(good, phone.access.payload, sign_by_ec(private())))


# Issuer and audience


@pytest.mark.parametrize("claim", ["iss", "aud"])
@pytest.mark.parametrize("value", ["https://other.example", None])
def test_a_token_of_another_issuer_or_for_another_audience_is_refused_everywhere(
    deploy, is_in, refresh, post, phone, laptop, user, claim, value
):
    deploy(issuer="https://issuer.example", audience="https://api.example")

    def other(token):
        payload = jwt.decode(str(token), options={"verify_signature": False}) | {claim: value}
        if value is None:
            del payload[claim]
        return jwt.encode(payload, private(), "ES256", {"kid": current_kid()})

    plain = SimpleJWTRefreshToken.for_user(user)
    expired = laptop.refresh.access_token
    expired["exp"] = 1

    for access in (phone.access, plain.access_token):
        assert is_in(access)
        assert not is_in(other(access))
    for token in (plain, phone.refresh):
        assert refresh(other(token)).json()["error"] == "invalid_grant"
        tokens = refresh(token).json()
        assert is_in(tokens["access_token"])
    assert post("/api/v1/auth/logout", expired).status_code == 403
    assert post("/api/v1/auth/logout", other(expired)).status_code == 401
    body = {"token": other(laptop.refresh)}
    assert post("/logout", tokens["access_token"], **body).status_code == 401
    assert is_in(laptop.access)
    body = {"token": str(laptop.refresh)}
    assert post("/logout", tokens["access_token"], **body).status_code == 200
    assert not is_in(laptop.access)


def test_what_is_signed_says_who_signed_it_and_for_whom(deploy, phone):
    deploy(issuer="https://issuer.example", audience=["https://a.example", "https://b.example"])

    for token in (phone.access, phone.refresh, RefreshToken(str(phone.refresh)).access_token):
        said = jwt.decode(str(token), options={"verify_signature": False})
        assert said["iss"] == "https://issuer.example"
        assert said["aud"] == ["https://a.example", "https://b.example"]


# The lines of the page


def test_the_lines_of_the_page_make_a_pair_and_verify_by_it(
    monkeypatch, tmp_path, capsys, live_server, user, device
):
    monkeypatch.chdir(tmp_path)
    [(words, shown)] = commands("docs/how-to/keys.md", "Key pairs")
    call_command(*words[2:])
    printed = capsys.readouterr().out
    assert printed.startswith(shown.rstrip("…"))
    lines, verifying = code("docs/how-to/keys.md", "python", "Key pairs")
    public_key = printed[printed.index("-----BEGIN") :]
    names = {"Path": Path, "PUBLIC_KEY": public_key, "SIMPLE_JWT": {}}
    made = run(lines.replace("/run/secrets/", ""), **names).SIMPLE_JWT
    keys = (made["ALGORITHM"], made["SIGNING_KEY"], made["VERIFYING_KEY"])
    monkeypatch.setattr(state, "token_backend", TokenBackend(*keys, issuer=made["ISSUER"]))
    access = services.log_in(user=user, client=device).access
    here = f"{live_server.url}/.well-known"

    lines = verifying.replace("https://api.example.com/.well-known", here)
    verified = run(lines, jwt=jwt, raw=str(access))

    assert verified.claims["sid"] == access["sid"]


# A rotation, as other services see it


def by_pyjwt(url, algorithm):
    known = jwt.PyJWKClient(url)
    known.get_signing_keys()

    def verify(raw):
        key = known.get_signing_key_from_jwt(raw)
        return jwt.decode(raw, key, algorithms=[algorithm])

    return verify


def by_joserfc(url, algorithm):
    known = KeySet.import_key_set(requests.get(url, timeout=PATIENCE).json())
    return lambda raw: joserfc.decode(raw, known, algorithms=[algorithm]).claims


def rotate(deploy, phone, algorithm, verifiers):
    """Change the keys by the steps of docs/how-to/keys.md: nobody is refused at any moment.

    Each step meets processes that are a step behind, and verifiers that know the keys of then.
    """
    before, known = None, []
    for step in (("old",), ("old", "next"), ("next", "old"), ("next",)):
        behind, before = before or step, step
        deploy(algorithm, *step)
        assert phone.renew().status_code == 200
        for process in (behind, step):
            deploy(algorithm, *process)
            assert phone.is_in
        fetched = [verifier() for verifier in verifiers]
        for verify in (*known, *fetched):
            assert verify(phone.access)["token_type"] == "access"
        known = fetched
    return kid_of(phone.access)


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # its name, by RFC 9864
@EACH_ALGORITHM
def test_keys_change_without_one_refusal_here_or_by_who_verifies(
    deploy, clients, ana, live_server, algorithm
):
    deploy(algorithm)
    phone = clients.phone().log_in()
    url = f"{live_server.url}/.well-known/jwks.json"
    first = kid_of(phone.access)

    verifiers = [lambda: by_pyjwt(url, algorithm), lambda: by_joserfc(url, algorithm)]

    assert rotate(deploy, phone, algorithm, verifiers) == current_kid() != first


BY_JOSE = """
import { createInterface } from "node:readline";
import { createRemoteJWKSet, jwtVerify } from "jose";
const keys = createRemoteJWKSet(new URL(process.argv[2]));
await keys.reload();
for await (const token of createInterface({ input: process.stdin })) {
  const { payload } = await jwtVerify(token, keys, { algorithms: [process.argv[3]] });
  console.log(JSON.stringify(payload));
}
"""


@pytest.fixture(scope="module")
def jose(tmp_path_factory):
    """Verify by jose, of npm, in a process that keeps the keys that it has fetched."""
    if shutil.which("npm") is None:
        message = "npm is not installed: apt-get install npm"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    folder = tmp_path_factory.mktemp("jose")
    # In the folder: with --prefix npm does not read what the machine has set for all.
    (folder / "package.json").write_text("{}")
    install = ["npm", "install", "--silent", "jose@6"]
    subprocess.run(install, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    (folder / "verify.mjs").write_text(BY_JOSE)

    @contextmanager
    def started():
        running = []

        def start(url, algorithm):
            command = ["node", str(folder / "verify.mjs"), url, algorithm]
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            running.append(process)

            def verify(raw):
                process.stdin.write(raw + "\n")
                process.stdin.flush()
                return json.loads(process.stdout.readline())

            return verify

        try:
            yield start
        finally:
            for process in running:
                process.communicate(timeout=PATIENCE)

    return started


@pytest.mark.drill
@EACH_ALGORITHM
def test_keys_change_without_one_refusal_by_jose(
    deploy, clients, ana, live_server, jose, algorithm
):
    deploy(algorithm)
    phone = clients.phone().log_in()
    url = f"{live_server.url}/.well-known/jwks.json"

    with jose() as by_jose:
        rotate(deploy, phone, algorithm, [lambda: by_jose(url, algorithm)])
