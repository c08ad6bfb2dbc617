"""Revocation (RFC 7009) and introspection (RFC 7662), for registered clients and for users."""

from __future__ import annotations

import base64
from datetime import timedelta
from io import StringIO

import jwt
import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.test import Client as Browser
from django.urls import reverse
from jwt import PyJWKSet
from rest_framework_simplejwt.tokens import RefreshToken as SimpleJWTRefreshToken
from rest_framework_simplejwt.tokens import SlidingToken

from accounts import services
from accounts.models import Client, LogoutEvent, Session
from accounts.tokens import AccessToken

pytestmark = pytest.mark.django_db

API = "/api/v1/auth/"
INACTIVE = {"active": False}


def register(client_id, *options):
    output = StringIO()
    call_command("create_client", client_id, *options, stdout=output)
    return dict(line.split("=", 1) for line in output.getvalue().splitlines())["client_secret"]


def basic(client_id, secret):
    pair = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def post(path, headers=None, **form):
    encoded = "application/x-www-form-urlencoded"
    body = "&".join(f"{name}={value}" for name, value in form.items())
    browser = Browser(raise_request_exception=False)
    return browser.post(API + path, body, content_type=encoded, headers=headers or {})


@pytest.fixture
def orders(db):
    """A service that may introspect and revoke; what it sends to authenticate."""
    return basic("orders", register("orders", "--may-revoke"))


@pytest.fixture
def theirs(stranger, device):
    return services.log_in(user=stranger, client=device)


# Who asks


def test_a_secret_is_256_random_bits_and_its_hash_alone_is_kept(db):
    secret = register("orders")

    assert len(base64.urlsafe_b64decode(secret + "=")) == 32
    assert secret not in str(Client.objects.values().get())


def test_two_secrets_count_and_no_third(phone):
    made = [register("orders"), *(register("orders", "--new-secret") for _ in range(2))]

    known = [post("introspect", basic("orders", s), token=phone.access).status_code for s in made]

    assert known == [401, 200, 200]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["orders"], "There is a client “orders” already."),
        (["nobody", "--new-secret"], "There is no client “nobody”."),
        (["a b"], "Enter a valid “slug”"),
    ],
)
def test_a_mistake_registers_nobody(db, arguments, told):
    register("orders")

    with pytest.raises(CommandError, match=told):
        call_command("create_client", *arguments)
    assert Client.objects.count() == 1


@pytest.mark.standard("RFC 6749 §5.2", "RFC 7662 §2.1")
@pytest.mark.parametrize("path", ["revoke", "introspect"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("orders", "wrong"),
        basic("nobody", ""),
        {"Authorization": "Basic"},
        {"Authorization": "Basic ****"},
        {"Authorization": "Basic /w=="},
    ],
)
def test_who_is_no_client_is_told_to_authenticate(phone, orders, is_in, path, headers):
    answer = post(path, headers, token=phone.access)

    assert (answer.status_code, answer.json()) == (
        401,
        {
            "error": "invalid_client",
            "error_description": "The client is unknown, or its secret is wrong",
        },
    )
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="drf_logout"'
    assert is_in(phone.access)


@pytest.mark.parametrize("path", ["revoke", "introspect"])
@pytest.mark.parametrize(
    "client_id",
    [
        "%00",
        "orders%00",
        "%ED%A0%80",
        "%F0%9F%98%80",
        "x" * 5_000,
        "'; --",
        "",
        "%",
        "%0d%0aSet-Cookie:x",
    ],
)
def test_whatever_a_client_is_said_to_be_called_it_is_unknown(phone, is_in, path, client_id):
    in_header = post(path, basic(client_id, "x"), token=phone.access)
    in_body = post(path, client_id=client_id, client_secret="%00", token=phone.access)

    assert {answer.status_code for answer in (in_header, in_body)} == {401}
    assert is_in(phone.access)


def test_a_client_may_authenticate_in_the_body(phone):
    secret = register("orders")

    answer = post("introspect", client_id="orders", client_secret=secret, token=phone.access)

    assert answer.json()["active"] is True


def test_id_and_secret_are_encoded_as_of_a_form(phone):
    client = Client(client_id="or-ders")
    client.secret = ""
    client.renew_secret()
    client.save()
    secret = client.renew_secret()
    client.save()
    encoded = basic("or%2Dders", secret.replace("-", "%2D"))

    assert post("introspect", encoded, token=phone.access).status_code == 200


def test_a_client_authenticates_in_one_way(phone, orders):
    answer = post("introspect", orders, client_id="orders", client_secret="x", token=phone.access)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_client_that_is_not_active_is_none(phone, orders):
    Client.objects.update(is_active=False)

    assert post("introspect", orders, token=phone.access).status_code == 401


@pytest.mark.parametrize("path", ["revoke", "introspect"])
def test_a_client_does_what_it_may(phone, orders, is_in, security_log, path):
    Client.objects.update(may_revoke=False, may_introspect=False)

    answer = post(path, orders, token=phone.access)

    assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")
    assert is_in(phone.access)
    [line] = security_log()
    assert (line["event"], line["object"]) == ("authz_fail", "client:orders")


def test_the_last_use_is_noted_once_a_minute(phone, orders, django_assert_num_queries):
    post("introspect", orders, token=phone.access)
    noted = Client.objects.get().last_used_at

    post("introspect", orders, token=phone.access)

    assert noted is not None
    assert Client.objects.get().last_used_at == noted


def test_wrong_secrets_are_limited_by_address_and_logged_and_right_ones_are_not(
    phone, orders, settings, security_log
):
    settings.ACCOUNTS = {"ADDRESS_RATE": "2/1d"}

    answers = [post("introspect", basic("orders", "x"), token=phone.access) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert int(answers[2].headers["Retry-After"]) > 0
    lines = security_log()
    assert {(line["event"], line["reason"]) for line in lines} == {
        ("authn_login_fail", "invalid_client"),
        ("excess_rate_limit_exceeded", "throttled"),
    }
    assert {line["object"] for line in lines} == {"client:orders"}
    assert post("introspect", orders, token=phone.access).status_code == 200


# Introspection


def test_a_live_token_is_told_what_it_says(user, phone, orders):
    answer = post("introspect", orders, token=phone.access)

    assert answer.json() == {
        "active": True,
        "sub": str(user.pk),
        "username": "ana",
        "sid": phone.access["sid"],
        "jti": phone.access.jti,
        "exp": phone.access["exp"],
        "iat": phone.access["iat"],
        "token_type": "Bearer",
    }


def test_a_refresh_token_is_one_to_who_hints_at_it_alone(phone, orders):
    answers = [
        post("introspect", orders, token=phone.refresh, **hint).json()
        for hint in ({}, {"token_type_hint": "access_token"}, {"token_type_hint": "refresh_token"})
    ]

    assert answers[:2] == [INACTIVE, INACTIVE]
    assert (answers[2]["active"], answers[2]["token_type"]) == (True, "refresh_token")


def test_a_plain_token_is_of_no_login(user, orders):
    access = SimpleJWTRefreshToken.for_user(user).access_token
    access["client_id"] = "shop"

    said = post("introspect", orders, token=access).json()

    assert said["active"] is True
    assert "sid" not in said
    assert said["client_id"] == "shop"


def expired(token):
    token = AccessToken(str(token))
    token.set_exp(lifetime=-timedelta(minutes=1))
    return token


INACTIVE_TOKENS = {
    "garbage": lambda phone: "garbage",
    "not ASCII": lambda phone: "%C3%A9",
    "expired": lambda phone: expired(phone.access),
    "of another type": lambda phone: SlidingToken(),
    "forged": lambda phone: f"{phone.access}x",
}


@pytest.mark.standard("RFC 7662 §2.2")
@pytest.mark.parametrize("case", INACTIVE_TOKENS)
def test_what_is_no_live_token_is_inactive_and_nothing_else_is_told(phone, orders, case):
    answer = post("introspect", orders, token=INACTIVE_TOKENS[case](phone))

    assert (answer.status_code, answer.json()) == (200, INACTIVE)


@pytest.mark.standard("RFC 7662 §2.2")
@pytest.mark.parametrize("how", ["logout", "deactivation"])
def test_a_token_of_an_ended_login_is_inactive(user, phone, orders, how):
    if how == "logout":
        post("revoke", bearer(phone.access), token=phone.access)
    else:
        user.is_active = False
        user.save()

    assert post("introspect", orders, token=phone.access).json() == INACTIVE


def test_an_introspection_is_a_use_of_the_login(phone, orders, settings):
    settings.ACCOUNTS = {"IDLE_TIMEOUT": timedelta(hours=1)}
    Session.objects.update(last_seen_at=phone.access.current_time - timedelta(minutes=50))

    post("introspect", orders, token=phone.access)

    age = phone.access.current_time - Session.objects.get(sid=phone.access.sid).last_seen_at
    assert age < timedelta(minutes=1)


def test_an_introspection_takes_one_statement(phone, orders, django_assert_num_queries):
    post("introspect", orders, token=phone.access)

    with django_assert_num_queries(1):
        post("introspect", orders, token=phone.access)


# Revocation


@pytest.mark.standard("RFC 7009 §2.1")
@pytest.mark.parametrize("hint", [{}, {"token_type_hint": "nonsense"}])
@pytest.mark.parametrize("kind", ["access", "refresh"])
def test_revoking_a_token_ends_its_whole_login(user, phone, laptop, orders, is_in, kind, hint):
    answer = post("revoke", orders, token=getattr(phone, kind), **hint)

    assert (answer.status_code, answer.content) == (200, b"")
    assert (is_in(phone.access), is_in(laptop.access)) == (False, True)
    event = LogoutEvent.objects.get()
    assert (event.reason, event.initiator, event.session_id) == (
        "revoked",
        "system",
        phone.access.sid,
    )


@pytest.mark.standard("RFC 7009 §2.2")
@pytest.mark.parametrize("headers", ["client", "bearer"])
@pytest.mark.parametrize("case", [case for case in INACTIVE_TOKENS if case != "of another type"])
def test_what_is_no_live_token_is_revoked_already(phone, laptop, orders, is_in, headers, case):
    sent = orders if headers == "client" else bearer(laptop.access)

    answer = post("revoke", sent, token=INACTIVE_TOKENS[case](phone))

    assert answer.status_code == 200
    assert (is_in(phone.access), is_in(laptop.access)) == (True, True)


@pytest.mark.standard("RFC 7009 §2.2.1")
def test_a_token_of_another_type_is_not_supported(user, orders):
    answer = post("revoke", orders, token=SlidingToken.for_user(user))

    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_token_type")


@pytest.mark.standard("RFC 7009 §2.2")
def test_revoking_twice_is_a_success_that_changes_nothing(phone, orders):
    answers = [post("revoke", orders, token=phone.access) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert LogoutEvent.objects.count() == 1


def test_a_plain_token_is_revoked(user, orders, is_in):
    access = SimpleJWTRefreshToken.for_user(user).access_token

    post("revoke", orders, token=access)

    assert not is_in(access)


def test_a_user_revokes_another_login_of_theirs(phone, laptop, is_in, security_log):
    answer = post("revoke", bearer(phone.access), token=laptop.refresh)

    assert answer.status_code == 200
    assert (is_in(phone.access), is_in(laptop.access)) == (True, False)
    assert LogoutEvent.objects.get().reason == "logout"
    assert answer.headers["X-RateLimit-Remaining"] == "19"
    assert "authn_token_revoked" in {line["event"] for line in security_log()}


@pytest.mark.standard("RFC 7009 §2.1")
def test_a_user_revokes_nobody_elses_token(phone, theirs, is_in):
    answer = post("revoke", bearer(phone.access), token=theirs.access)

    assert (answer.status_code, answer.content) == (200, b"")
    assert is_in(theirs.access)
    assert not LogoutEvent.objects.exists()


def test_over_the_users_limit_a_login_may_still_revoke_itself(phone, laptop, is_in, settings):
    settings.ACCOUNTS = {"LOGOUT_RATE": "1/1d"}
    post("revoke", bearer(phone.access), token="x")

    assert post("revoke", bearer(phone.access), token="x").status_code == 200  # of its own count
    assert post("revoke", bearer(phone.access), token=laptop.access).status_code == 429
    assert post("revoke", bearer(phone.access), token=phone.refresh).status_code == 200
    assert (is_in(phone.access), is_in(laptop.access)) == (False, True)


def test_over_the_users_limit_a_plain_token_revokes_itself_and_no_other(user, is_in, settings):
    settings.ACCOUNTS = {"LOGOUT_RATE": "1/1d"}
    one, other = (SimpleJWTRefreshToken.for_user(user).access_token for _ in range(2))
    post("revoke", bearer(one), token="x")

    assert post("revoke", bearer(one), token=other).status_code == 429
    assert post("revoke", bearer(one), token=one).status_code == 200
    assert (is_in(one), is_in(other)) == (False, True)


def test_a_bearer_that_is_dead_revokes_nothing(phone, laptop, is_in):
    answer = post("revoke", bearer(expired(phone.access)), token=laptop.access)

    assert answer.status_code == 401
    assert is_in(laptop.access)


@pytest.mark.parametrize("path", ["revoke", "introspect"])
@pytest.mark.parametrize("form", [{}, {"token": ""}])
def test_a_request_without_a_token_is_an_invalid_request(orders, path, form):
    answer = post(path, orders, **form)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.standard("RFC 7009 §2.2.1")
@pytest.mark.parametrize("path", ["revoke", "introspect"])
def test_without_its_storage_the_answer_is_503_and_the_token_lives(
    phone, orders, is_in, security_log, path
):
    def down(execute, sql, *args):
        raise OperationalError("could not connect to server: secret.example.com")

    with connection.execute_wrapper(down):
        answer = post(path, orders, token=phone.access)

    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert b"secret" not in answer.content
    assert is_in(phone.access)
    logged = [(line["event"], line["result"]) for line in security_log()]
    assert logged == ([("authn_token_revoked", "failure")] if path == "revoke" else [])


# Signed answers

SIGNED = "application/token-introspection+jwt"


@pytest.fixture
def pair_login(deploy, user, device):
    """A login whose tokens a key pair has signed."""
    deploy(issuer="https://issuer.example")
    return services.log_in(user=user, client=device)


def ask_signed(orders, token, accept=SIGNED):
    return post("introspect", {**orders, "Accept": accept}, token=token)


def verified(answer):
    """Return what a client makes of an answer, with the key that is published."""
    raw = answer.content.decode()
    keys = PyJWKSet.from_dict(Browser().get("/.well-known/jwks.json").json())
    key = keys[jwt.get_unverified_header(raw)["kid"]]
    return jwt.decode(raw, key, [key.algorithm_name], audience="orders")


@pytest.mark.standard("RFC 9701 §5")
def test_an_answer_is_signed_for_who_asks_for_that(pair_login, orders):
    answer = ask_signed(orders, pair_login.access)

    claims = verified(answer)
    assert answer.headers["Content-Type"] == SIGNED
    assert jwt.get_unverified_header(answer.content)["typ"] == "token-introspection+jwt"
    assert claims.keys() == {"iss", "aud", "iat", "token_introspection"}
    assert claims["iss"] == "https://issuer.example"
    said = post("introspect", orders, token=pair_login.access).json()
    assert claims["token_introspection"] == said


@pytest.mark.standard("RFC 9701 §5")
def test_of_an_ended_login_a_signed_answer_tells_nothing_else_either(pair_login, orders):
    Session.objects.all().delete()

    assert verified(ask_signed(orders, pair_login.access))["token_introspection"] == INACTIVE
    assert verified(ask_signed(orders, "garbage"))["token_introspection"] == INACTIVE


@pytest.mark.standard("RFC 9701 §8.1")
def test_a_signed_answer_is_no_token(pair_login, orders, is_in):
    signed = ask_signed(orders, pair_login.access).content.decode()

    assert not is_in(signed)
    assert post("introspect", orders, token=signed).json() == INACTIVE
    assert post("revoke", orders, token=signed).status_code == 200
    assert is_in(pair_login.access)


def test_a_wrong_secret_gets_no_signed_answer(pair_login, orders):
    answer = ask_signed(basic("orders", "wrong"), pair_login.access)

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("accept", ["*/*", "application/json", f"{SIGNED};q=0"])
def test_who_does_not_name_it_gets_no_signed_answer(pair_login, orders, accept):
    assert ask_signed(orders, pair_login.access, accept).json()["active"] is True


def test_without_a_key_that_is_public_no_answer_is_signed(phone, orders):
    assert ask_signed(orders, phone.access).json()["active"] is True


# Problem details


def asks(path, accept, **headers):
    return Browser(raise_request_exception=False).post(
        path, {}, content_type="application/json", headers={"Accept": accept, **headers}
    )


PROBLEM = "application/problem+json"


@pytest.mark.standard("RFC 9457 §3.1.2")
@pytest.mark.parametrize(("api", "words"), [(API, "Token no proporcionado o inválido"), ("/", "")])
@pytest.mark.parametrize("accept", [PROBLEM, f"application/json, {PROBLEM};q=0.5"])
def test_who_asks_for_problem_details_gets_them(db, api, words, accept):
    answer = asks(f"{api}logout", accept)

    assert answer.headers["Content-Type"] == PROBLEM
    assert answer.json() == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": words or "Token not provided or invalid",
        "code": "not_authenticated",
    }
    assert answer.status_code == 401


@pytest.mark.parametrize("accept", ["", "*/*", "application/*", f"{PROBLEM};q=0"])
def test_who_does_not_ask_gets_the_contracts_error(db, accept):
    answer = asks(f"{API}logout", accept)

    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == {"success": False, "message": "Token no proporcionado o inválido"}


def test_a_problem_of_oauth_says_what_its_error_says(db):
    answer = asks(f"{API}token", PROBLEM)

    text = "A parameter is missing, repeated or malformed"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": text,
        "error": "invalid_request",
        "error_description": text,
    }


def test_a_refused_token_is_a_problem_with_its_code(phone):
    services.end_all(user=Session.objects.get().user, cause=services.Cause())

    answer = Browser().get(
        f"{API}user", headers={"Accept": PROBLEM, "Authorization": f"Bearer {phone.access}"}
    )

    assert (answer.json()["status"], answer.json()["code"]) == (401, "token_not_valid")


# The admin


def test_an_administrator_registers_a_client_and_sees_its_secret_once(admin_client, phone):
    add, listed = (reverse(f"admin:drf_logout_client_{page}") for page in ("add", "changelist"))

    page = admin_client.post(
        add, {"client_id": "orders", "may_introspect": "on", "is_active": "on"}
    )

    secret = page.context["made"][0][1]
    assert secret in page.text
    assert secret not in admin_client.get(listed).text
    assert post("introspect", basic("orders", secret), token=phone.access).status_code == 200


def test_an_administrator_makes_a_new_secret_beside_the_old_one(admin_client, phone):
    old = register("orders")
    client = Client.objects.get()
    chosen = {"action": "renew_secrets", "_selected_action": [client.pk]}

    page = admin_client.post(reverse("admin:drf_logout_client_changelist"), chosen)

    new = page.context["made"][0][1]
    for secret in (old, new):
        answer = post("introspect", basic("orders", secret), token=phone.access)
        assert answer.status_code == 200


def test_an_id_stays_as_it_was_registered(admin_client):
    register("orders")
    change = reverse("admin:drf_logout_client_change", args=[Client.objects.get().pk])

    admin_client.post(change, {"client_id": "other", "may_revoke": "on", "is_active": "on"})

    assert str(Client.objects.get(may_revoke=True)) == "orders"
