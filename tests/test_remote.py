"""Another service: it takes our tokens by our keys and our word, over HTTP, and by nothing else."""

from __future__ import annotations

import time
from collections import Counter
from io import StringIO

import jwt
import pytest
from django.apps import apps
from django.core.checks.registry import registry
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.signals import request_started
from rest_framework.permissions import DjangoModelPermissions, IsAdminUser, IsAuthenticated
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from accounts.models import Client, Session
from accounts.remote import RemoteAuthentication, RemoteUser, issuer
from accounts.remote.apps import RemoteConfig
from accounts.remote.checks import check_deployment, check_settings
from accounts.remote.conf import SETTINGS
from accounts.tokens import AccessToken
from tests.documents import DOCS
from tests.host import free_port
from tests.pairs import private

pytestmark = pytest.mark.django_db(transaction=True)

ISSUER = "https://auth.example.com"
KEYS, WORD = "/.well-known/jwks.json", "/api/v1/auth/introspect"


class OrdersView(APIView):
    """What the other service serves."""

    authentication_classes = (RemoteAuthentication,)
    permission_classes = (IsAuthenticated,)

    def get(self, request):
        """Say who asks."""
        user = request.user
        return Response({"sub": user.sub, "name": str(user), "claims": request.auth})


def ask(token="", view=OrdersView, header=None):
    header = f"Bearer {token}" if header is None else header
    request = APIRequestFactory().get("/orders", headers={"Authorization": header})
    answer = view.as_view()(request)
    answer.render()
    return answer


@pytest.fixture
def secret(live_server):
    output = StringIO()
    call_command("create_client", "orders", stdout=output)
    return output.getvalue().partition("client_secret=")[2].strip()


@pytest.fixture
def remote(settings, live_server, secret, monkeypatch):
    """Set the other service up; what is None is left out."""
    opened, open_session = [], issuer._session

    def session():
        opened.append(open_session())
        return opened[-1]

    monkeypatch.setattr(issuer, "_session", session)

    def set_up(**more):
        given = {
            "ISSUER": ISSUER,
            "JWKS": live_server.url + KEYS,
            "INTROSPECT": live_server.url + WORD,
            "CLIENT_ID": "orders",
            "CLIENT_SECRET": secret,
            **more,
        }
        settings.ACCOUNTS_REMOTE = {k: v for k, v in given.items() if v is not None}

    issuer._issuer.cache_clear()
    set_up()
    yield set_up
    # A connection that is kept open keeps a thread of the server waiting.
    for each in opened:
        each.close()


@pytest.fixture
def signed(deploy, remote):
    """Let the issuer sign with a key pair."""
    deploy("ES256", "old", issuer=ISSUER)


@pytest.fixture
def alone(remote):
    """Let the issuer sign with a secret that nobody else knows."""
    remote(JWKS=None, ISSUER=None)


@pytest.fixture
def asked():
    """Count what the issuer is asked, by path."""
    counted = Counter()

    def count(sender, environ, **kwargs):
        counted[environ["PATH_INFO"]] += 1

    request_started.connect(count)
    yield counted
    request_started.disconnect(count)


def nowhere():
    return f"http://127.0.0.1:{free_port()}/"


# Who is let in


@pytest.mark.parametrize("how", ["signed", "alone"])
def test_a_token_is_accepted_until_its_login_ends_and_no_longer(
    request, live_server, user, phone, how
):
    request.getfixturevalue(how)
    raw = str(phone.access)

    accepted = ask(raw)
    Session.objects.all().delete()
    refused = ask(raw)

    assert (accepted.data["sub"], accepted.data["name"]) == (str(user.pk), "ana")
    assert accepted.data["claims"]["sid"] == phone.access["sid"]
    assert (refused.status_code, refused.data["detail"].code) == (401, "token_not_valid")
    assert refused.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("header", ["", "Basic b3JkZXJzOng=", "Bearer", "Bearer  "])
def test_without_a_bearer_nobody_is_anybody(remote, asked, header):
    answer = ask(header=header)

    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert not asked


def craft(token, *, key=None, alg="ES256", without="", header=None, **claims):
    """Sign as the issuer does, but for what is said."""
    payload = {**token.payload, "iss": ISSUER, **claims}
    payload.pop(without, None)
    [kid] = AccessToken().token_backend.public_keys
    key = None if alg == "none" else key or private()
    return jwt.encode(payload, key, alg, {"kid": kid} if header is None else header)


CRAFTED = {
    "of another key": lambda pair: craft(pair.access, key=private(name="other")),
    "of a key that is not named": lambda pair: craft(pair.access, header={}),
    "signed by nobody": lambda pair: craft(pair.access, alg="none"),
    "signed with a secret": lambda pair: craft(pair.access, key="x" * 64, alg="HS256"),
    "of another algorithm": lambda pair: craft(
        pair.access, key=private("RS256", "other"), alg="RS256"
    ),
    "expired": lambda pair: craft(pair.access, exp=1),
    "without an end": lambda pair: craft(pair.access, without="exp"),
    "of another issuer": lambda pair: craft(pair.access, iss="https://evil.example.com"),
    "of no issuer": lambda pair: craft(pair.access, without="iss"),
    "for another service": lambda pair: craft(pair.access, aud="invoices"),
    "a refresh token": lambda pair: str(pair.refresh),
    "cut": lambda pair: str(pair.access)[:-9],
    "two": lambda pair: f"{pair.access} {pair.access}",
    "garbage": lambda pair: "garbage",
    "not ASCII": lambda pair: "\u00e9",
    "endless": lambda pair: "a.b." + "c" * 20_000,
}


@pytest.mark.parametrize("case", CRAFTED)
def test_what_the_issuer_has_not_signed_for_this_is_refused_and_not_asked_about(
    signed, phone, asked, case
):
    answer = ask(CRAFTED[case](phone))

    assert (answer.status_code, asked[WORD]) == (401, 0)


def test_a_token_is_for_the_audience_that_is_set(remote, deploy, phone):
    deploy("ES256", "old", issuer=ISSUER, audience="orders")
    remote(AUDIENCE="orders")

    assert ask(phone.access).status_code == 200
    assert ask(craft(phone.access, aud="invoices")).status_code == 401
    assert ask(craft(phone.access)).status_code == 401


def test_an_algorithm_that_is_not_allowed_is_refused(remote, signed, phone):
    remote(ALGORITHMS=["EdDSA"])

    assert ask(phone.access).status_code == 401


def test_the_clocks_of_two_services_may_differ(remote, signed, phone):
    remote(INTROSPECT=nowhere(), ACCEPT_WHEN_DOWN=True)

    assert ask(craft(phone.access, iat=phone.access["iat"] + 60)).status_code == 200


def test_a_dead_token_is_dead_to_a_client_that_hints_at_another_type(alone, phone):
    assert ask(phone.refresh).status_code == 401


# The keys


def test_the_keys_are_fetched_once_and_not_again_for_each_key_that_nobody_knows(
    signed, phone, asked
):
    for number in range(20):
        ask(craft(phone.access, header={"kid": f"key{number}"}))
    assert ask(phone.access).status_code == 200

    assert asked[KEYS] == 1


def test_a_new_key_is_fetched_when_it_signs(signed, deploy, phone, asked, monkeypatch):
    monkeypatch.setattr(issuer, "PAUSE", 0)
    raw = str(phone.access)
    ask(raw)

    deploy("ES256", "next", "old", issuer=ISSUER)

    assert [ask(token).status_code for token in (AccessToken(raw), raw)] == [200, 200]
    assert asked[KEYS] == 2


def test_without_the_keys_nobody_is_let_in_and_nobody_waits_for_them_twice(
    remote, signed, phone, impostor
):
    broken = impostor(b"garbage\r\n\r\n")
    port = broken.url.partition("127.0.0.1:")[2].partition("/")[0]
    remote(JWKS=f"http://127.0.0.1:{port}/", ACCEPT_WHEN_DOWN=True)

    answers = [ask(phone.access) for _ in range(3)]

    assert {(answer.status_code, answer.headers["Retry-After"]) for answer in answers} == {
        (503, "5")
    }
    assert len(broken.accepted) == 1


# The issuer is down


def test_where_the_issuer_does_not_answer_nobody_is_let_in(remote, signed, phone):
    remote(INTROSPECT=nowhere())

    answer = ask(phone.access)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_where_the_host_says_so_a_signature_is_enough_while_the_issuer_is_down(
    remote, signed, user, phone
):
    remote(INTROSPECT=nowhere(), ACCEPT_WHEN_DOWN=True)

    assert ask(phone.access).data["sub"] == str(user.pk)
    assert str(RemoteAuthentication().get_user({"sub": "7"})) == "7"
    assert ask(craft(phone.access, without="sub")).status_code == 401
    assert ask(craft(phone.access, exp=1)).status_code == 401


@pytest.mark.parametrize("wrong", [{"CLIENT_SECRET": "wrong"}, {"INTROSPECT": "/user"}])
def test_what_is_wrong_with_our_own_client_lets_nobody_in(
    remote, signed, live_server, phone, wrong, caplog
):
    wrong = {k: live_server.url + v if v[0] == "/" else v for k, v in wrong.items()}
    remote(**wrong, ACCEPT_WHEN_DOWN=True)

    assert ask(phone.access).status_code == 503
    assert "The issuer answers 40" in caplog.text
    assert str(phone.access) not in caplog.text


def test_an_issuer_whose_storage_is_down_is_down(remote, signed, phone, monkeypatch):
    from django.db import OperationalError

    def down(*args, **kwargs):
        raise OperationalError

    monkeypatch.setattr(Client, "authenticate", down)
    assert ask(phone.access).status_code == 503

    remote(ACCEPT_WHEN_DOWN=True)
    assert ask(phone.access).status_code == 200


# Verdicts that are kept


def test_every_request_asks_unless_the_host_says_otherwise(signed, phone, asked):
    for _ in range(3):
        ask(phone.access)

    assert asked[WORD] == 3


def test_a_verdict_is_kept_as_long_as_is_set(remote, signed, phone, asked, monkeypatch):
    remote(CACHE_SECONDS=60)
    raw = str(phone.access)
    ask(raw)
    Session.objects.all().delete()
    assert (ask(raw).status_code, asked[WORD]) == (200, 1)

    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)

    assert [ask(raw).status_code for _ in range(2)] == [401, 401]
    assert asked[WORD] == 3  # that a login is over, is not kept


def test_no_verdict_outlives_its_token(remote, alone, phone, monkeypatch):
    remote(JWKS=None, ISSUER=None, CACHE_SECONDS=1_000_000)
    raw = str(phone.access)
    ask(raw)
    Session.objects.all().delete()
    assert ask(raw).status_code == 200

    monkeypatch.setattr(time, "time", lambda: phone.access["exp"] + 1)

    assert ask(raw).status_code == 401


# Who it is


class Staff(OrdersView):
    permission_classes = (IsAdminUser,)


class Models(OrdersView):
    permission_classes = (DjangoModelPermissions,)
    queryset = Session.objects.none()

    def options(self, request):
        """Serve nothing."""


@pytest.mark.parametrize("view", [Staff, Models])
def test_a_user_of_another_service_has_no_rights_in_this_one(alone, phone, view):
    request = APIRequestFactory().post("/", headers={"Authorization": f"Bearer {phone.access}"})

    assert view.as_view()(request).status_code == 403


def test_a_user_is_counted_by_the_key_at_the_issuer():
    user = RemoteUser(sub="7", username="ana")

    assert (user.pk, user.get_username(), str(user)) == ("7", "ana", "ana")
    assert user == RemoteUser(sub="7", username="ana")


# The settings


WRONG = [
    ([], "ACCOUNTS_REMOTE is not a dict."),
    ({"X": 1}, "ACCOUNTS_REMOTE['X'] is not a setting."),
    ({"INTROSPECT": None}, "ACCOUNTS_REMOTE['INTROSPECT'] is missing"),
    ({"CLIENT_ID": None}, "ACCOUNTS_REMOTE['CLIENT_ID'] is missing"),
    ({"CLIENT_SECRET": None}, "ACCOUNTS_REMOTE['CLIENT_SECRET'] is missing"),
    ({"ISSUER": None}, "ACCOUNTS_REMOTE['ISSUER'] is missing"),
    ({"JWKS": None}, "ACCOUNTS_REMOTE['ISSUER'] takes JWKS"),
    ({"CLIENT_SECRET": ""}, "ACCOUNTS_REMOTE['CLIENT_SECRET'] must be text."),
    ({"INTROSPECT": "auth.example.com"}, "ACCOUNTS_REMOTE['INTROSPECT'] must be an address"),
    ({"JWKS": "file:///etc/passwd"}, "ACCOUNTS_REMOTE['JWKS'] must be an address"),
    ({"JWKS": "http://[::1"}, "ACCOUNTS_REMOTE['JWKS'] must be an address"),
    ({"ALGORITHMS": ["HS256"]}, "ACCOUNTS_REMOTE['ALGORITHMS'] must be a list of ES256"),
    ({"ALGORITHMS": "ES256"}, "ACCOUNTS_REMOTE['ALGORITHMS'] must be a list of ES256"),
    ({"TIMEOUT": 0}, "ACCOUNTS_REMOTE['TIMEOUT'] must be seconds, above zero."),
    ({"CACHE_SECONDS": -1}, "ACCOUNTS_REMOTE['CACHE_SECONDS'] must be seconds."),
    ({"ACCEPT_WHEN_DOWN": 1}, "ACCOUNTS_REMOTE['ACCEPT_WHEN_DOWN'] must be True or False."),
]


@pytest.mark.parametrize(("wrong", "told"), WRONG)
def test_a_wrong_setting_is_told_at_start_and_lets_nobody_in(remote, settings, wrong, told):
    if isinstance(wrong, dict):
        remote(**wrong)
    else:
        settings.ACCOUNTS_REMOTE = wrong

    found = [message for message in check_settings() if message.id == "drf_logout_remote.E001"]

    assert found[0].msg.startswith(told)
    with pytest.raises(ImproperlyConfigured, match=found[0].msg.split("[")[0]):
        ask("token")
    assert not list(check_deployment())


def test_without_its_libraries_or_beside_our_tables_it_says_so(remote, monkeypatch):
    monkeypatch.setattr("accounts.remote.checks.find_spec", lambda name: None)

    messages = [message.msg for message in check_settings()]

    assert messages == [
        "The library 'requests' is not installed.",
        "The library 'cryptography' is not installed.",
        "This service has the logins itself, and asks another for them.",
    ]


def test_the_app_has_the_checks(remote, monkeypatch):
    monkeypatch.setattr(apps, "is_installed", lambda name: False)  # "accounts", which is not there
    run = (registry.registered_checks, registry.deployment_checks)
    before = [set(checks) for checks in run]

    RemoteConfig.create("accounts.remote").ready()

    added = [checks - others for checks, others in zip(run, before, strict=True)]
    for checks, new in zip(run, added, strict=True):
        checks.difference_update(new)
    assert added == [{check_settings}, {check_deployment}]
    assert not list(check_settings())


def test_an_issuer_that_is_asked_without_encryption_is_told(remote):
    assert not list(check_deployment())

    remote(JWKS="http://localhost/keys", INTROSPECT="http://auth.example.com/introspect")

    [message] = check_deployment()
    assert message.msg == "ACCOUNTS_REMOTE['INTROSPECT'] is asked without encryption."


def test_the_secret_is_in_no_text_of_the_settings(remote, secret):
    assert secret not in repr(issuer.Remote.read())


def test_each_setting_and_each_check_is_documented():
    page = (DOCS / "how-to" / "services.md").read_text()
    for name in SETTINGS:
        assert f"| `{name}` |" in page
    checks = (DOCS / "reference" / "checks.md").read_text()
    for number in ("E001", "E002", "W001", "W002"):
        assert f"| `drf_logout_remote.{number}` |" in checks
