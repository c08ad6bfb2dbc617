"""contracts.md, line by line: what a phone, a browser and a stranger meet over HTTP."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from itertools import product
from types import SimpleNamespace

import jwt
import pytest
from django.conf import settings as django_settings
from django.contrib.auth.signals import user_logged_out
from django.urls import include, path
from django.utils import timezone
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import Session, TokenVersion
from accounts.permissions import RecentlyAuthenticated
from accounts.tokens import AccessToken, RefreshToken
from tests.conftest import PASSWORD
from tests.http import OVER_COOKIE, PLAIN, PLAIN_API, V1, dump, table_away

SCOPES = ["session", "others", "refresh_tokens", "global"]
ENDPOINTS = ["logout", "logout/all"]


class VaultView(APIView):
    """Opens to those who have just proved who they are."""

    permission_classes = [IsAuthenticated, RecentlyAuthenticated]

    def get(self, request):
        """Open."""
        return Response({"open": True})


urlpatterns = [
    path("vault", VaultView.as_view()),
    path("", include("authproject.urls")),
]


@pytest.fixture
def eve(stranger):
    stranger.is_staff = True
    stranger.save()
    return stranger


BOTH = pytest.mark.parametrize("wire", [V1, PLAIN], ids=["v1", "plain"])


@pytest.fixture
def wire():
    """A contract: the same views answer under each, so ``BOTH`` is for what they word each."""
    return V1


@pytest.fixture(params=ENDPOINTS)
def endpoint(request):
    return request.param


@pytest.fixture
def phone(clients, ana, wire):
    return clients.phone(wire).log_in()


@pytest.fixture
def tablet(clients, ana, wire):
    return clients.phone(wire).log_in()


@pytest.fixture
def strangers_phone(clients, eve, wire):
    return clients.phone(wire).log_in("eve")


@pytest.fixture
def limiter(monkeypatch):
    """Stop the clock of the rate limit."""
    clock = SimpleNamespace(now=1_800_000_000)
    stopped = SimpleNamespace(time=lambda: clock.now, monotonic=time.monotonic)
    monkeypatch.setattr("django_ratelimit.core.time", stopped)
    monkeypatch.setattr("accounts.ratelimit.time", stopped)
    return clock


def expired_access(raw):
    token = AccessToken(raw)
    token.set_exp(lifetime=-timedelta(minutes=1))
    return str(token)


def expired_refresh(raw):
    token = RefreshToken(raw)
    token.set_exp(lifetime=-timedelta(minutes=1))
    return str(token)


def forged(raw, *, key=None, algorithm="HS256", **claims):
    """Return a token that claims the same and more, signed by some other key or algorithm."""
    payload = jwt.decode(raw, options={"verify_signature": False})
    return jwt.encode({**payload, **claims}, key, algorithm=algorithm)


def tampered(raw):
    head, payload, signature = raw.split(".")
    return (
        f"{head}.{payload}.{signature[:10]}{'A' if signature[10] != 'A' else 'B'}{signature[11:]}"
    )


def with_other_claims(raw):
    """Return the token with another user's id under the old signature."""
    head, _, signature = raw.split(".")
    return f"{head}.{forged(raw, key='k' * 64, sub='1000000').split('.')[1]}.{signature}"


def assert_common_headers(answer, language):
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Content-Language"] == language
    assert "accept-language" in re.split(r",\s*", answer.headers["Vary"].lower())
    assert "no-store" in answer.headers["Cache-Control"]


def assert_limit_headers(answer):
    assert answer.headers["RateLimit-Policy"] == '"logout";q=20;w=300'
    limit = re.fullmatch(r'"logout";r=(\d+);t=(\d+)', answer.headers["RateLimit"])
    assert limit is not None
    assert 0 <= int(limit[1]) <= 19
    assert 0 <= int(limit[2]) <= 300
    assert answer.headers["X-RateLimit-Limit"] == "20"
    assert answer.headers["X-RateLimit-Remaining"] == limit[1]
    assert answer.headers["X-RateLimit-Reset"] == limit[2]


def assert_logout_answer(answer, status, body, language):
    assert (answer.status_code, answer.json()) == (status, body)
    assert_common_headers(answer, language)
    assert_limit_headers(answer)
    if status == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    else:
        assert "WWW-Authenticate" not in answer.headers
    assert ("Retry-After" in answer.headers) == (status == 429)


# POST logout: logged out


@BOTH
def test_a_logout_is_answered_in_the_words_of_the_contract(clients, ana, wire, endpoint):
    text = {"logout": "logged_out", "logout/all": "everywhere"}[endpoint]
    for language in (None, "es", "en"):
        phone = clients.phone(wire, language=language).log_in()

        answer = phone.log_out(endpoint)

        assert_logout_answer(answer, 200, wire.success(text, language), language or wire.language)


def test_the_plain_contract_is_served_under_api_auth_too(clients, ana):
    phone = clients.phone(PLAIN_API).log_in()
    assert phone.is_in

    assert phone.log_out().json() == PLAIN_API.success("logged_out")

    assert not phone.is_in
    assert phone.renew().json()["error"] == "invalid_grant"


def test_with_a_slash_at_its_end_a_route_answers_the_same(phone):
    assert phone.call("GET", "user/", bearer=phone.access).json() == phone.user().json()

    answer = phone.log_out("logout/")

    assert (answer.status_code, answer.json()) == (200, phone.wire.success("logged_out"))
    assert not phone.is_in


def test_after_a_logout_the_access_and_the_refresh_token_are_refused(phone, endpoint):
    assert phone.is_in

    phone.log_out(endpoint)

    assert not phone.is_in
    answer = phone.renew()
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert not phone.is_in


BODIES = [
    {},
    {"data": b"", "headers": {"Content-Type": "application/json"}},
    {"data": b"{}", "headers": {"Content-Type": "application/json; charset=utf-8"}},
    {"json": {}},
    {"json": {"scope": "session"}},
    {"json": {"unknown": ["to", "us"]}},
]


def test_the_body_is_optional(phone):
    for body in BODIES:
        answer = phone.call("POST", "logout", bearer=phone.access, **body)

        assert answer.status_code == 200, body
        assert not phone.is_in
        phone.log_in()


@pytest.mark.parametrize("credential", ["access", "refresh"])
def test_a_token_in_the_body_names_the_login_that_ends(phone, tablet, credential):
    answer = phone.log_out(token=getattr(tablet, credential), scope="session")

    assert (answer.status_code, answer.json()) == (200, phone.wire.success("logged_out"))
    assert not tablet.is_in
    assert tablet.renew().status_code == 400
    assert phone.is_in
    assert phone.renew().status_code == 200


@pytest.mark.parametrize("credential", ["access", "refresh"])
def test_a_token_of_the_bearers_own_login_in_the_body_ends_that(phone, tablet, credential):
    answer = phone.log_out(token=getattr(phone, credential), scope="session")

    assert answer.status_code == 200
    assert not phone.is_in
    assert phone.renew().status_code == 400
    assert tablet.is_in


def test_the_scheme_of_the_authorization_header_has_no_case(phone):
    answer = phone.call("POST", "logout", headers={"Authorization": f"bearer {phone.access}"})

    assert answer.status_code == 200
    assert not phone.is_in


def test_user_logged_out_is_sent_once_for_a_logout(phone, ana, endpoint):
    received = []

    def receiver(sender, request, user, **kwargs):
        received.append((sender, request.path, user.pk))

    user_logged_out.connect(receiver)
    try:
        phone.log_out(endpoint)
        phone.log_out(endpoint)
    finally:
        user_logged_out.disconnect(receiver)

    assert received == [(type(ana), phone.wire.base + endpoint, ana.pk)]


# POST logout: already revoked


ANY_SCOPE = [{}, *({"scope": scope} for scope in SCOPES)]


@BOTH
def test_a_revoked_bearer_is_a_success_that_changes_nothing(phone, tablet):
    phone.log_out(scope="session")
    before = dump()

    for body in ANY_SCOPE:
        answer = phone.log_out(**body)

        assert_logout_answer(answer, 200, phone.wire.success("logged_out"), phone.wire.language)
        assert dump() == before, body
    assert tablet.is_in


@pytest.mark.parametrize("credential", ["access", "refresh"])
def test_a_revoked_token_in_the_body_is_a_success_that_changes_nothing(
    clients, phone, tablet, credential
):
    lost = clients.phone(phone.wire).log_in()
    lost.log_out(scope="session")
    before = dump()

    for body in ANY_SCOPE:
        answer = phone.log_out(token=getattr(lost, credential), **body)

        assert_logout_answer(answer, 200, phone.wire.success("logged_out"), phone.wire.language)
        assert dump() == before, body
    assert phone.is_in
    assert tablet.is_in


def test_a_revoked_bearer_ends_no_login_that_a_live_token_names(phone, tablet):
    phone.log_out(scope="session")
    before = dump()

    for scope in SCOPES:
        answer = phone.log_out(token=tablet.refresh, scope=scope)

        assert (answer.status_code, answer.json()) == (200, phone.wire.success("logged_out"))
        assert dump() == before, scope
    assert tablet.is_in
    assert tablet.renew().status_code == 200


def test_a_rotated_refresh_token_names_no_login_any_more(phone, tablet, after_grace):
    rotated = tablet.refresh
    tablet.renew()
    after_grace()
    before = dump()

    for scope in SCOPES:
        answer = phone.log_out(token=rotated, scope=scope)

        assert (answer.status_code, answer.json()) == (200, phone.wire.success("logged_out"))
        assert dump() == before, scope
    assert tablet.is_in


def test_a_revoked_bearer_leaves_the_users_browser_alone(clients, ana, phone):
    browser = clients.browser(phone.wire).log_in()
    phone.log_out(scope="session")

    answer = browser.call("POST", "logout", bearer=phone.access)

    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
    assert browser.is_in


@BOTH
def test_a_logout_after_logout_all_is_a_success(phone):
    first = phone.log_out("logout/all")
    before = dump()
    second, third = phone.log_out("logout"), phone.log_out("logout/all")

    assert first.json() == phone.wire.success("everywhere")
    assert (second.status_code, second.json()) == (200, phone.wire.success("logged_out"))
    assert (third.status_code, third.json()) == (200, phone.wire.success("everywhere"))
    assert dump() == before


# POST logout: nothing that proves who asks

HEADERS_THAT_PROVE_NOTHING = {
    "no header": lambda phone: None,
    "another scheme": lambda phone: "Basic YW5hOnBhc3N3b3JkMTIz",
    "the scheme alone": lambda phone: "Bearer",
    "the token alone": lambda phone: phone.access,
}
HEADERS_THAT_PROVE_NOTHING_BY_A_TOKEN = {
    "two tokens": lambda phone: f"Bearer {phone.access} {phone.access}",
    "no JWT": lambda phone: "Bearer undefined",
    "half a JWT": lambda phone: f"Bearer {phone.access.rpartition('.')[0]}",
    "a changed signature": lambda phone: f"Bearer {tampered(phone.access)}",
    "changed claims": lambda phone: f"Bearer {with_other_claims(phone.access)}",
    "another key": lambda phone: f"Bearer {forged(phone.access, key='k' * 64)}",
    "another algorithm": lambda phone: (
        "Bearer " + forged(phone.access, key=django_settings.JWT_SIGNING_KEY, algorithm="HS512")
    ),
    "no algorithm": lambda phone: f"Bearer {forged(phone.access, algorithm='none')}",
    "a refresh token": lambda phone: f"Bearer {phone.refresh}",
    "an unknown type": lambda phone: (
        "Bearer " + forged(phone.access, key=django_settings.JWT_SIGNING_KEY, token_type="sliding")
    ),
}


def post_with(phone, authorization, path="logout", **kwargs):
    headers = {} if authorization is None else {"Authorization": authorization}
    return phone.call("POST", path, headers=headers, **kwargs)


@BOTH
def test_a_logout_without_a_bearer_is_refused_and_ends_nothing(phone, endpoint):
    before = dump()

    for header in HEADERS_THAT_PROVE_NOTHING.values():
        answer = post_with(phone, header(phone), endpoint)

        assert_logout_answer(answer, 401, phone.wire.error(401, "not_valid"), phone.wire.language)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert dump() == before
    assert phone.is_in


@pytest.mark.parametrize("case", HEADERS_THAT_PROVE_NOTHING_BY_A_TOKEN)
def test_a_bearer_of_no_worth_is_refused_and_ends_nothing(phone, case):
    header = HEADERS_THAT_PROVE_NOTHING_BY_A_TOKEN[case](phone)
    refused = phone.wire.error(401, "not_valid")
    before = dump()

    answer = post_with(phone, header)

    assert_logout_answer(answer, 401, refused, phone.wire.language)
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    for method, route in (("GET", "user"), ("POST", "reauthenticate")):
        answer = phone.call(method, route, headers={"Authorization": header})
        assert (answer.status_code, answer.json()) == (401, refused)
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
        assert_common_headers(answer, phone.wire.language)
    assert dump() == before
    assert phone.is_in


def test_a_cookie_alone_logs_nobody_out(clients, ana, wire, endpoint):
    browser = clients.browser(wire).log_in()

    answer = browser.call("POST", endpoint)

    assert answer.json() == wire.error(401, "not_valid")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert browser.is_in


@pytest.mark.skipif(OVER_COOKIE, reason="a cookie needs no bearer")
def test_a_refresh_token_in_the_body_without_a_bearer_is_refused(phone, endpoint):
    answer = post_with(phone, None, endpoint, json={"token": phone.refresh})

    assert (answer.status_code, answer.json()) == (401, phone.wire.error(401, "not_valid"))
    assert phone.is_in


TOKENS_OF_NO_WORTH = {
    "malformed": lambda phone, stranger: "not.a.token",
    "empty": lambda phone, stranger: "",
    "null": lambda phone, stranger: None,
    "a number": lambda phone, stranger: 42,
    "true": lambda phone, stranger: True,
    "a list": lambda phone, stranger: [phone.refresh],
    "an object": lambda phone, stranger: {"token": phone.refresh},
    "tampered": lambda phone, stranger: tampered(phone.refresh),
    "of another key": lambda phone, stranger: forged(phone.refresh, key="k" * 64),
    "a stranger's access token": lambda phone, stranger: stranger.access,
    "a stranger's refresh token": lambda phone, stranger: stranger.refresh,
}


def test_a_token_of_no_worth_in_the_body_is_refused_and_ends_nothing(phone, strangers_phone):
    before = dump()

    for case, token in TOKENS_OF_NO_WORTH.items():
        answer = phone.log_out(token=token(phone, strangers_phone), scope="global")

        assert_logout_answer(answer, 401, phone.wire.error(401, "not_valid"), phone.wire.language)
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
        assert dump() == before, case
    assert phone.is_in
    assert strangers_phone.is_in


def test_a_strangers_revoked_token_in_the_body_is_refused_too(phone, strangers_phone):
    strangers_phone.log_out(scope="session")

    answer = phone.log_out(token=strangers_phone.refresh)

    assert (answer.status_code, answer.json()) == (401, phone.wire.error(401, "not_valid"))
    assert phone.is_in


# POST logout: expired


@BOTH
def test_a_logout_with_an_expired_bearer_says_so_and_ends_nothing(phone, endpoint):
    status = phone.wire.expired_status
    before = dump()

    answer = phone.call("POST", endpoint, bearer=expired_access(phone.access))

    assert_logout_answer(answer, status, phone.wire.error(status, "expired"), phone.wire.language)
    if status == 401:
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert dump() == before
    assert phone.is_in


@BOTH
def test_an_expired_token_in_the_body_says_so_and_ends_nothing(phone, tablet):
    status = phone.wire.expired_status
    before = dump()

    for named in (phone, tablet):
        for token in (expired_access(named.access), expired_refresh(named.refresh)):
            answer = phone.log_out(token=token)

            error = phone.wire.error(status, "expired")
            assert_logout_answer(answer, status, error, phone.wire.language)
    assert dump() == before
    assert phone.is_in
    assert tablet.is_in


@BOTH
def test_a_live_refresh_token_proves_the_caller_whose_bearer_expired(phone, tablet):
    answer = phone.call(
        "POST",
        "logout",
        bearer=expired_access(phone.access),
        json={"token": phone.refresh, "scope": "session"},
    )

    assert_logout_answer(answer, 200, phone.wire.success("logged_out"), phone.wire.language)
    assert not phone.is_in
    assert phone.renew().status_code == 400
    assert tablet.is_in


def test_a_live_refresh_token_proves_the_caller_of_logout_all_too(phone, tablet):
    answer = phone.call(
        "POST", "logout/all", bearer=expired_access(phone.access), json={"token": phone.refresh}
    )

    assert (answer.status_code, answer.json()) == (200, phone.wire.success("everywhere"))
    assert not phone.is_in
    assert not tablet.is_in


def test_after_an_expired_bearer_a_revoked_refresh_token_is_a_success_that_changes_nothing(
    phone, tablet
):
    phone.log_out(scope="session")
    before = dump()

    answer = phone.call(
        "POST",
        "logout",
        bearer=expired_access(phone.access),
        json={"token": phone.refresh, "scope": "global"},
    )

    assert (answer.status_code, answer.json()) == (200, phone.wire.success("logged_out"))
    assert dump() == before
    assert tablet.is_in


def test_an_expired_bearer_with_a_strangers_refresh_token_ends_nothing(phone, strangers_phone):
    before = dump()

    answer = phone.call(
        "POST",
        "logout",
        bearer=expired_access(phone.access),
        json={"token": strangers_phone.refresh},
    )

    assert (answer.status_code, answer.json()) == (401, phone.wire.error(401, "not_valid"))
    assert dump() == before
    assert strangers_phone.is_in


@BOTH
def test_an_access_token_in_the_body_proves_no_caller_whose_bearer_expired(phone, tablet):
    status = phone.wire.expired_status

    answer = phone.call(
        "POST",
        "logout",
        bearer=expired_access(phone.access),
        json={"token": tablet.access},
    )

    assert (answer.status_code, answer.json()) == (status, phone.wire.error(status, "expired"))
    assert tablet.is_in


# POST logout: the other errors


@BOTH
@pytest.mark.parametrize("language", ["es", "en"])
def test_the_errors_are_told_in_the_language_that_the_client_names(clients, ana, wire, language):
    phone = clients.phone(wire, language=language).log_in()
    expired = phone.call("POST", "logout", bearer=expired_access(phone.access))
    invalid = phone.call("POST", "logout")
    phone.log_out()
    revoked = phone.user()

    status = wire.expired_status
    assert (expired.status_code, expired.json()) == (
        status,
        wire.error(status, "expired", language),
    )
    assert (invalid.status_code, invalid.json()) == (401, wire.error(401, "not_valid", language))
    assert (revoked.status_code, revoked.json()) == (401, wire.error(401, "revoked", language))
    for answer in (expired, invalid, revoked):
        assert_common_headers(answer, language)


@BOTH
def test_a_storage_failure_is_an_internal_server_error(clients, ana, wire, endpoint):
    for language in (None, "es", "en"):
        phone = clients.phone(wire, language=language).log_in()

        with table_away("drf_logout_session"):
            answer = phone.log_out(endpoint)

        assert_logout_answer(
            answer, 500, wire.error(500, "failure", language), language or wire.language
        )
        assert phone.is_in


def assert_told_in_the_contracts_shape(phone, answer, status):
    assert answer.status_code == status
    assert phone.wire.is_error(status, answer.json()), answer.text
    assert_common_headers(answer, phone.wire.language)
    assert_limit_headers(answer)
    assert "Retry-After" not in answer.headers


@BOTH
def test_broken_json_is_refused_and_ends_nothing(phone):
    for body in (b"{", b'{"token": }', b"token", b"\xff", b"[]", b"null", b'"text"', b"7"):
        answer = phone.call(
            "POST",
            "logout",
            bearer=phone.access,
            data=body,
            headers={"Content-Type": "application/json"},
        )

        assert_told_in_the_contracts_shape(phone, answer, 400)
    assert phone.is_in


def test_an_unknown_scope_is_refused_and_ends_nothing(phone):
    before = dump()

    for scope in ("", "GLOBAL", "everything", None, 1, True, [], {"a": 1}):
        assert_told_in_the_contracts_shape(phone, phone.log_out(scope=scope), 400)
    assert dump() == before
    assert phone.is_in


@BOTH
def test_another_method_is_refused_and_ends_nothing(phone, endpoint):
    for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS"):
        answer = phone.call(method, endpoint, bearer=phone.access)

        assert_told_in_the_contracts_shape(phone, answer, 405)
        assert "POST" in answer.headers["Allow"]
    assert phone.call("HEAD", endpoint, bearer=phone.access).status_code == 405
    assert phone.is_in


@BOTH
def test_another_media_type_is_refused_and_ends_nothing(phone):
    form = "application/x-www-form-urlencoded"
    for media_type in (form, "text/plain", "application/xml", "multipart/form-data"):
        answer = phone.call(
            "POST",
            "logout",
            bearer=phone.access,
            data=b"scope=session",
            headers={"Content-Type": media_type},
        )

        assert_told_in_the_contracts_shape(phone, answer, 415)
    assert phone.is_in


# The scopes: two browsers, a phone and a tablet of one user, and a stranger

LOGOUTS = {
    "session": {"scope": "session"},
    "others": {"scope": "others"},
    "refresh_tokens": {"scope": "refresh_tokens"},
    "global": {"scope": "global"},
    "logout/all": {},
}
STAYS_IN = {
    #                  phone, its refresh, tablet, its refresh, browsers
    "session": (False, False, True, True, True),
    "others": (True, True, False, False, False),
    "refresh_tokens": (False, False, True, False, True),
    "global": (False, False, False, False, False),
    "logout/all": (False, False, False, False, False),
}


@BOTH
@pytest.mark.parametrize("what", LOGOUTS)
def test_a_scope_ends_what_it_names_and_nothing_else(clients, eve, phone, tablet, what):
    wire = phone.wire
    browsers = [clients.browser(wire).log_in() for _ in range(2)]
    strangers = [clients.phone(wire).log_in("eve"), clients.browser(wire).log_in("eve")]
    everyone = [phone, tablet, *browsers, *strangers]
    assert all(client.is_in for client in everyone)
    phone_in, phone_renews, tablet_in, tablet_renews, browsers_in = STAYS_IN[what]

    path = what if what == "logout/all" else "logout"
    text = "everywhere" if what == "logout/all" else "logged_out"
    answer = phone.log_out(path, **LOGOUTS[what])

    assert (answer.status_code, answer.json()) == (200, wire.success(text))
    immediately = [client.is_in for client in everyone]
    assert immediately == [phone_in, tablet_in, browsers_in, browsers_in, True, True]
    assert [client.renew().status_code for client in (phone, tablet, strangers[0])] == [
        200 if renews else 400 for renews in (phone_renews, tablet_renews, True)
    ]
    assert [client.is_in for client in everyone] == immediately


@pytest.mark.parametrize("what", ["others", "refresh_tokens", "global"])
def test_a_scope_is_counted_from_the_login_that_the_token_names(clients, phone, tablet, what):
    laptop = clients.phone(phone.wire).log_in()

    phone.log_out(token=tablet.refresh, scope=what)

    devices = (phone, tablet, laptop)
    expected = {
        "others": ([False, True, False], [400, 200, 400]),
        "refresh_tokens": ([True, False, True], [400, 400, 400]),
        "global": ([False, False, False], [400, 400, 400]),
    }
    assert ([d.is_in for d in devices], [d.renew().status_code for d in devices]) == expected[what]


def test_after_refresh_tokens_another_device_is_out_when_its_access_token_expires(phone, tablet):
    phone.log_out(scope="refresh_tokens")
    assert tablet.is_in

    tablet.access = expired_access(tablet.access)

    assert not tablet.is_in
    assert tablet.renew().json()["error"] == "invalid_grant"
    in_an_access_tokens_time = timezone.now() + AccessToken.lifetime + timedelta(seconds=1)
    assert not Session.objects.filter(expire_date__gt=in_an_access_tokens_time).exists()


def test_after_refresh_tokens_another_device_can_still_log_out(phone, tablet):
    phone.log_out(scope="refresh_tokens")

    assert tablet.log_out(scope="session").json() == tablet.wire.success("logged_out")

    assert not tablet.is_in


def test_after_refresh_tokens_and_global_the_user_logs_in_anew(clients, phone, tablet):
    phone.log_out(scope="refresh_tokens")
    tablet.log_out(scope="global")

    phone.log_in()

    assert phone.is_in
    assert phone.renew().status_code == 200
    assert not tablet.is_in


@BOTH
def test_the_default_scope_is_that_of_the_contract(phone, tablet):
    phone.log_out()

    assert not phone.is_in
    assert tablet.is_in
    assert tablet.renew().status_code == {"v1": 200, "plain": 400}[phone.wire.name]


def test_logout_all_raises_the_users_token_version_and_no_one_elses(phone, strangers_phone, ana):
    phone.log_out("logout/all")

    assert TokenVersion.objects.get(user=ana).version > 0
    assert not TokenVersion.objects.exclude(user=ana).filter(version__gt=0).exists()
    assert strangers_phone.is_in


def test_logout_all_kills_tokens_that_belong_to_no_login_of_ours(phone, ana):
    from rest_framework_simplejwt.tokens import RefreshToken as PlainRefreshToken

    plain = PlainRefreshToken.for_user(ana)
    bearer = str(plain.access_token)
    assert phone.call("GET", "user", bearer=bearer).status_code == 200

    phone.log_out("logout/all")

    assert phone.call("GET", "user", bearer=bearer).json() == phone.wire.error(401, "revoked")
    answer = phone.token(grant_type="refresh_token", refresh_token=str(plain))
    assert answer.json()["error"] == "invalid_grant"


# The browser session that came along


def test_a_browser_session_of_the_same_user_that_came_along_ends(clients, phone, endpoint):
    browser, other = (clients.browser(phone.wire).log_in() for _ in range(2))
    cookie = browser.session_key

    answer = browser.call("POST", endpoint, bearer=phone.access)

    assert answer.status_code == 200
    deleted = answer.headers["Set-Cookie"]
    assert re.match(r'sessionid=(""|);', deleted)
    assert "Max-Age=0" in deleted
    assert browser.session_key == ""
    thief = clients.browser(phone.wire)
    thief.http.cookies.set("sessionid", cookie)
    assert not thief.is_in
    assert other.is_in is (endpoint == "logout")


def test_a_browser_session_that_came_along_ends_under_every_scope(clients, phone):
    for scope in SCOPES:
        phone.log_in()
        browser = clients.browser(phone.wire).log_in()
        cookie = browser.session_key

        answer = browser.call("POST", "logout", bearer=phone.access, json={"scope": scope})

        assert answer.status_code == 200
        assert "Max-Age=0" in answer.headers["Set-Cookie"]
        thief = clients.browser(phone.wire)
        thief.http.cookies.set("sessionid", cookie)
        assert not thief.is_in, scope


def test_a_browser_session_of_another_user_is_left_alone(clients, eve, phone):
    browser = clients.browser(phone.wire).log_in("eve")
    cookie = browser.session_key

    for what, body in LOGOUTS.items():
        phone.log_in()
        path = "logout/all" if what == "logout/all" else "logout"
        answer = browser.call("POST", path, bearer=phone.access, json=body)

        assert answer.status_code == 200
        assert "Set-Cookie" not in answer.headers
        assert browser.session_key == cookie
        assert browser.is_in, what


def test_a_cookie_of_nobody_does_not_stand_in_the_way(clients, phone):
    browser = clients.browser(phone.wire)
    browser.http.cookies.set("sessionid", "x" * 32)

    answer = browser.call("POST", "logout", bearer=phone.access)

    assert (answer.status_code, answer.json()) == (200, phone.wire.success("logged_out"))
    assert not phone.is_in


# POST token


def as_form(phone, **fields):
    return phone.call("POST", "token", data=fields)


def as_json(phone, **fields):
    return phone.call("POST", "token", json=fields)


SENT = pytest.mark.parametrize("send", [as_json, as_form], ids=["json", "form"])


def assert_tokens(answer, wire):
    assert answer.status_code == 200
    assert_common_headers(answer, wire.language)
    body = answer.json()
    assert body.keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert body["token_type"] == "Bearer"
    assert body["expires_in"] == 300
    return body


def assert_refused_grant(answer, wire, error):
    assert answer.status_code == 400, answer.text
    assert_common_headers(answer, wire.language)
    body = answer.json()
    assert body.keys() == {"error", "error_description"}
    assert body["error"] == error
    assert isinstance(body["error_description"], str)
    assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", body["error_description"])


@BOTH
@SENT
def test_a_password_buys_tokens(clients, ana, wire, send):
    phone = clients.phone(wire)

    for name in ({"username": "ana"}, {"email": "ana@example.com"}):
        body = assert_tokens(send(phone, grant_type="password", password=PASSWORD, **name), wire)

        phone.access, phone.refresh = body["access_token"], body["refresh_token"]
        assert phone.is_in
        assert phone.renew().status_code == 200


@SENT
def test_a_refresh_token_buys_new_tokens_and_is_spent(phone, send, after_grace):
    spent = phone.refresh

    body = assert_tokens(send(phone, grant_type="refresh_token", refresh_token=spent), phone.wire)

    assert body["refresh_token"] != spent
    lost = send(phone, grant_type="refresh_token", refresh_token=spent)
    assert assert_tokens(lost, phone.wire)["refresh_token"] == body["refresh_token"]
    after_grace()
    again = send(phone, grant_type="refresh_token", refresh_token=spent)
    assert_refused_grant(again, phone.wire, "invalid_grant")
    phone.access = body["access_token"]
    assert not phone.is_in


def test_a_refresh_goes_on_with_the_same_login(phone):
    before, first = AccessToken(phone.access), RefreshToken(phone.refresh)

    phone.renew()

    after, second = AccessToken(phone.access), RefreshToken(phone.refresh)
    assert before.sid == first.sid == after.sid == second.sid
    assert len({before.jti, first.jti, after.jti, second.jti}) == 4
    assert phone.is_in
    phone.log_out(scope="session")
    assert not phone.is_in
    assert phone.call("GET", "user", bearer=str(before)).status_code == 401


def test_a_chain_of_refreshes_works_link_by_link(phone):
    for _ in range(3):
        assert phone.renew().status_code == 200
        assert phone.is_in


REFUSED_REQUESTS = {
    "nothing": ({}, "invalid_request"),
    "no grant": ({"username": "ana", "password": PASSWORD}, "invalid_request"),
    "an empty grant": (
        {"grant_type": "", "username": "ana", "password": PASSWORD},
        "invalid_request",
    ),
    "no password": ({"grant_type": "password", "username": "ana"}, "invalid_request"),
    "an empty password": (
        {"grant_type": "password", "username": "ana", "password": ""},
        "invalid_request",
    ),
    "no name": ({"grant_type": "password", "password": PASSWORD}, "invalid_request"),
    "no refresh token": ({"grant_type": "refresh_token"}, "invalid_request"),
    "an empty refresh token": (
        {"grant_type": "refresh_token", "refresh_token": ""},
        "invalid_request",
    ),
    "another grant": ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
    "a grant in capitals": (
        {"grant_type": "PASSWORD", "username": "ana", "password": PASSWORD},
        "unsupported_grant_type",
    ),
    "a wrong password": (
        {"grant_type": "password", "username": "ana", "password": "wrong"},
        "invalid_grant",
    ),
    "a wrong password for an address": (
        {"grant_type": "password", "email": "ana@example.com", "password": "wrong"},
        "invalid_grant",
    ),
    "an unknown user": (
        {"grant_type": "password", "username": "nobody", "password": PASSWORD},
        "invalid_grant",
    ),
    "an unknown address": (
        {"grant_type": "password", "email": "nobody@example.com", "password": PASSWORD},
        "invalid_grant",
    ),
    "no token at all": (
        {"grant_type": "refresh_token", "refresh_token": "undefined"},
        "invalid_grant",
    ),
}


@pytest.mark.parametrize("case", REFUSED_REQUESTS)
def test_a_token_request_is_refused_with_the_error_of_rfc_6749(clients, ana, case):
    fields, error = REFUSED_REQUESTS[case]
    before = dump()

    for wire, send in product((V1, PLAIN), (as_json, as_form)):
        answer = send(clients.phone(wire), **fields)

        assert_refused_grant(answer, wire, error)
        assert "WWW-Authenticate" not in answer.headers
    assert dump() == before


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        (
            "application/x-www-form-urlencoded",
            "grant_type=password&grant_type=password&username=ana&password=password123",
        ),
        (
            "application/x-www-form-urlencoded",
            "grant_type=password&username=ana&password=password123&password=password123",
        ),
        (
            "application/json",
            '{"grant_type": "password", "username": "ana", "username": "ana",'
            ' "password": "password123"}',
        ),
        ("application/json", '{"grant_type": "password"'),
        ("application/json", '["grant_type"]'),
        ("application/json", '{"grant_type": ["password"]}'),
        ("application/json", '{"grant_type": "password", "username": "ana", "password": 1}'),
        ("application/json", '{"grant_type": "refresh_token", "refresh_token": null}'),
    ],
)
def test_a_repeated_or_malformed_parameter_is_an_invalid_request(
    clients, ana, wire, media_type, body
):
    answer = clients.phone(wire).call(
        "POST", "token", data=body, headers={"Content-Type": media_type}
    )

    assert_refused_grant(answer, wire, "invalid_request")


REFUSED_REFRESH_TOKENS = {
    "expired": lambda phone, ana: expired_refresh(phone.refresh),
    "tampered": lambda phone, ana: tampered(phone.refresh),
    "of another key": lambda phone, ana: forged(phone.refresh, key="k" * 64),
    "of no algorithm": lambda phone, ana: forged(phone.refresh, algorithm="none"),
    "an access token": lambda phone, ana: phone.access,
}


def test_a_refresh_token_of_no_worth_is_an_invalid_grant(phone, ana):
    for case, token in REFUSED_REFRESH_TOKENS.items():
        answer = phone.token(grant_type="refresh_token", refresh_token=token(phone, ana))

        assert_refused_grant(answer, phone.wire, "invalid_grant")
        assert phone.is_in, case


def deactivated(user):
    user.is_active = False
    user.save()


def given_another_password(user):
    user.set_password("another password")
    user.save()


@pytest.mark.parametrize(
    "change", [deactivated, given_another_password, lambda user: user.delete()]
)
def test_a_refresh_token_of_a_user_who_changed_is_an_invalid_grant(phone, ana, change):
    change(ana)

    assert_refused_grant(phone.renew(), phone.wire, "invalid_grant")
    assert not phone.is_in


@BOTH
def test_an_inactive_user_is_an_invalid_grant(clients, ana, wire):
    deactivated(ana)

    answer = clients.phone(wire).token(grant_type="password", username="ana", password=PASSWORD)

    assert_refused_grant(answer, wire, "invalid_grant")


def test_who_exists_is_not_told(clients, ana, wire):
    phone = clients.phone(wire)

    wrong = phone.token(grant_type="password", username="ana", password="wrong")
    unknown = phone.token(grant_type="password", username="nobody", password="wrong")

    assert wrong.json() == unknown.json()


def test_a_log_in_ends_no_other_login(clients, phone):
    clients.phone(phone.wire).log_in()

    assert phone.is_in


# GET user


@BOTH
def test_user_tells_the_bearer_who_they_are(phone, ana):
    answer = phone.user()

    assert answer.status_code == 200
    assert answer.json() == {"id": ana.pk, "username": "ana", "email": "ana@example.com"}
    assert_common_headers(answer, phone.wire.language)


@pytest.fixture(params=["GET user", "POST reauthenticate"])
def protected(request):
    return request.param.split()


@BOTH
def test_nobody_is_refused_without_an_error_code(phone, protected):
    answer = phone.call(*protected)

    assert (answer.status_code, answer.json()) == (401, phone.wire.error(401, "not_valid"))
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert_common_headers(answer, phone.wire.language)


@BOTH
def test_an_expired_token_is_refused(phone, protected):
    answer = phone.call(*protected, bearer=expired_access(phone.access))

    assert (answer.status_code, answer.json()) == (401, phone.wire.error(401, "expired"))
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert_common_headers(answer, phone.wire.language)


@BOTH
def test_a_revoked_token_is_refused(clients, ana, wire, protected):
    for language in (None, "es", "en"):
        phone = clients.phone(wire, language=language).log_in()
        phone.log_out()

        answer = phone.call(*protected, bearer=phone.access)

        assert (answer.status_code, answer.json()) == (401, wire.error(401, "revoked", language))
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
        assert_common_headers(answer, language or wire.language)


# POST reauthenticate


def vault(phone):
    return phone.call("GET", "/vault", bearer=phone.access).status_code


@BOTH
@pytest.mark.urls("tests.test_journeys")
def test_reauthentication_opens_what_needs_it_to_this_login_alone(phone, tablet):
    assert vault(phone) == 403

    answer = phone.reauthenticate()

    assert answer.status_code == 200
    assert_common_headers(answer, phone.wire.language)
    body = answer.json()
    if phone.wire.name == "v1":
        assert body == {"success": True, "message": body["message"]}
    else:
        assert body.keys() == {"message", "timestamp"}
    assert vault(phone) == 200
    assert vault(tablet) == 403
    assert phone.renew().status_code == 200
    assert vault(phone) == 200


@pytest.mark.urls("tests.test_journeys")
@pytest.mark.parametrize(
    ("age", "expected"), [(timedelta(minutes=9), 200), (timedelta(minutes=10, seconds=1), 403)]
)
def test_reauthentication_lasts_ten_minutes(phone, age, expected):
    phone.reauthenticate()

    Session.objects.filter(sid=AccessToken(phone.access).sid).update(
        reauthenticated_at=timezone.now() - age
    )

    assert vault(phone) == expected


@pytest.mark.urls("tests.test_journeys")
def test_how_long_reauthentication_lasts_is_a_setting(phone, settings):
    phone.reauthenticate()
    Session.objects.update(reauthenticated_at=timezone.now() - timedelta(minutes=2))
    assert vault(phone) == 200

    settings.ACCOUNTS = {"REAUTHENTICATION_MAX_AGE": timedelta(minutes=1)}

    assert vault(phone) == 403


@pytest.mark.urls("tests.test_journeys")
def test_logging_out_clears_reauthentication(phone):
    phone.reauthenticate()

    phone.log_out()

    assert vault(phone) == 401
    phone.log_in()
    assert vault(phone) == 403


@BOTH
@pytest.mark.urls("tests.test_journeys")
def test_without_the_password_there_is_no_reauthentication(phone):
    for body in (
        {"password": "wrong"},
        {"password": ""},
        {"password": None},
        {},
        {"password": [1]},
    ):
        answer = phone.call("POST", "reauthenticate", bearer=phone.access, json=body)

        assert answer.status_code == 400, body
        assert phone.wire.is_error(400, answer.json())
    assert vault(phone) == 403
    assert phone.is_in


@pytest.mark.urls("tests.test_journeys")
def test_a_strangers_password_is_no_reauthentication(phone, eve):
    eve.set_password("a password of hers")
    eve.save()

    assert phone.reauthenticate("a password of hers").status_code == 400
    assert vault(phone) == 403


@pytest.mark.urls("tests.test_journeys")
def test_nobody_opens_what_needs_reauthentication(clients, ana, wire):
    assert clients.phone(wire).call("GET", "/vault").status_code == 401


# The rate limit


@BOTH
@pytest.mark.usefixtures("limiter")
def test_twenty_logouts_pass_and_the_next_is_too_many(clients, ana, wire):
    phone = clients.phone(wire).log_in()
    answers = [phone.log_out(ENDPOINTS[n % 2], scope="global") for n in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == [
        str(n) for n in range(19, -1, -1)
    ]

    for language in (None, "es", "en"):
        phone = clients.phone(wire, language=language).log_in()
        assert phone.log_out().status_code == 200  # of a standing login
        for answer in [phone.log_out(endpoint) for endpoint in ENDPOINTS]:
            assert_logout_answer(
                answer, 429, wire.error(429, "too_many", language), language or wire.language
            )
            reset = int(answer.headers["X-RateLimit-Reset"])
            assert answer.headers["X-RateLimit-Remaining"] == "0"
            assert int(answer.headers["Retry-After"]) >= max(1, reset)


@pytest.mark.usefixtures("limiter")
def test_the_limit_is_the_users_whatever_the_login_and_the_contract(clients, ana):
    devices = [clients.phone(wire).log_in() for wire in (V1, PLAIN, PLAIN_API)]

    answers = [
        devices[n % 3].call("POST", "logout", bearer=devices[n % 3].access) for n in range(20)
    ]

    assert {answer.status_code for answer in answers} == {200}
    assert [device.log_out().status_code for device in devices] == [429] * 3


@pytest.mark.usefixtures("limiter")
def test_each_user_has_a_limit_of_their_own(phone, strangers_phone):
    assert [phone.log_out().status_code for _ in range(21)] == [200] * 20 + [429]

    answer = strangers_phone.log_out()

    assert answer.status_code == 200
    assert answer.headers["X-RateLimit-Remaining"] == "19"


@pytest.mark.usefixtures("limiter")
def test_callers_who_are_nobody_are_counted_by_address(phone, settings):
    settings.ACCOUNTS = {"TRUSTED_PROXIES": ["127.0.0.0/8"]}

    def knock(address, bearer=None):
        return phone.call("POST", "logout", bearer=bearer, headers={"X-Forwarded-For": address})

    knocks = [knock("192.0.2.1", bearer) for bearer in [None, "undefined"] * 10]

    assert [answer.status_code for answer in knocks] == [401] * 20
    assert [answer.headers["X-RateLimit-Remaining"] for answer in knocks] == [
        str(n) for n in range(19, -1, -1)
    ]
    assert knock("192.0.2.1").status_code == 429
    assert knock("192.0.2.2").status_code == 401
    assert knock("192.0.2.1", phone.access).status_code == 200


@pytest.mark.usefixtures("limiter")
def test_a_forwarded_address_is_not_believed_without_a_trusted_proxy(clients, ana, wire):
    phone = clients.phone(wire)

    answers = [
        phone.call("POST", "logout", headers={"X-Forwarded-For": f"192.0.2.{n}"}) for n in range(21)
    ]

    assert [answer.status_code for answer in answers] == [401] * 20 + [429]


@pytest.mark.usefixtures("limiter")
def test_a_forged_token_does_not_use_up_its_users_limit(phone):
    for _ in range(5):
        phone.call("POST", "logout", bearer=tampered(phone.access))

    assert phone.log_out().headers["X-RateLimit-Remaining"] == "19"


def test_a_limit_ends_with_its_window(phone, limiter):
    assert [phone.log_out().status_code for _ in range(21)] == [200] * 20 + [429]
    phone.log_in()

    limiter.now += 301

    answer = phone.log_out()
    assert answer.status_code == 200
    assert answer.headers["X-RateLimit-Remaining"] == "19"
    assert not phone.is_in


def test_whoever_waits_as_long_as_retry_after_says_is_served(phone, limiter):
    refused = [phone.log_out() for _ in range(21)][-1]
    assert refused.status_code == 429

    limiter.now += int(refused.headers["Retry-After"])

    assert phone.log_out().status_code == 200


@BOTH
@pytest.mark.usefixtures("limiter")
def test_guessing_an_accounts_password_is_limited(clients, ana, eve, wire, settings):
    settings.ACCOUNTS = {"PASSWORD_RATE": "3/5m"}
    phone = clients.phone(wire)

    def guess(username, password):
        return phone.token(grant_type="password", username=username, password=password)

    assert [guess("ana", f"wrong{n}").status_code for n in range(3)] == [400] * 3

    answer = guess("ana", PASSWORD)

    assert (answer.status_code, answer.json()) == (429, wire.error(429, "too_many"))
    assert int(answer.headers["Retry-After"]) >= 1
    assert_common_headers(answer, wire.language)
    assert guess("eve", PASSWORD).status_code == 200


@pytest.mark.usefixtures("limiter")
def test_an_account_is_one_account_by_either_of_its_names(clients, ana, wire, settings):
    settings.ACCOUNTS = {"PASSWORD_RATE": "4/5m"}
    phone = clients.phone(wire)
    names = [{"username": "ana"}, {"email": "ana@example.com"}] * 2
    for name in names:
        phone.token(grant_type="password", password="wrong", **name)

    answers = [phone.token(grant_type="password", password=PASSWORD, **n) for n in names[:2]]

    # As for a wrong password: a 429 would tell that the two names are one account's.
    assert [answer.status_code for answer in answers] == [400, 400]


@pytest.mark.usefixtures("limiter")
def test_guessing_from_one_address_is_limited_whatever_the_account(clients, ana, wire, settings):
    settings.ACCOUNTS = {"ADDRESS_RATE": "3/5m", "TRUSTED_PROXIES": ["127.0.0.0/8"]}
    phone = clients.phone(wire)

    def log_in(username, password, address):
        return phone.call(
            "POST",
            "token",
            json={"grant_type": "password", "username": username, "password": password},
            headers={"X-Forwarded-For": address},
        ).status_code

    assert [log_in(f"user{n}", "wrong", "192.0.2.1") for n in range(3)] == [400] * 3

    assert log_in("ana", PASSWORD, "192.0.2.1") == 429
    assert log_in("ana", PASSWORD, "192.0.2.2") == 200


@pytest.mark.urls("tests.test_journeys")
@pytest.mark.usefixtures("limiter")
def test_guessing_at_reauthentication_is_limited(phone, strangers_phone, settings):
    settings.ACCOUNTS = {"PASSWORD_RATE": "3/5m"}
    assert [phone.reauthenticate(f"wrong{n}").status_code for n in range(3)] == [400] * 3

    answer = phone.reauthenticate()

    assert (answer.status_code, answer.json()) == (429, phone.wire.error(429, "too_many"))
    assert int(answer.headers["Retry-After"]) >= 1
    assert vault(phone) == 403
    assert strangers_phone.reauthenticate().status_code == 200


# Accept-Language

SPOKEN = [
    (None, None),
    ("*", None),
    ("es", "es"),
    ("en", "en"),
    ("ES", "es"),
    ("es-MX", "es"),
    ("en-GB", "en"),
    ("nl", None),
    ("nl-BE, ja", None),
    ("nl, es", "es"),
    ("nl, en;q=0.5", "en"),
    ("es-MX, es;q=0.9, en;q=0.8", "es"),
    ("en;q=0.1, es;q=0.9", "es"),
    ("es;q=0.1, en;q=0.9", "en"),
    ("en, *;q=0.5", "en"),
    ("es, *;q=0.5", "es"),
    ("nl, *;q=0.5", None),
    ("es;q=0, en", "en"),
    ("en;q=0, es", "es"),
    ("not a language!", None),
]


@pytest.mark.parametrize("wire", [V1, PLAIN, PLAIN_API], ids=["v1", "plain", "plain_api"])
def test_the_language_is_the_clients_or_else_the_contracts(clients, wire, settings):
    settings.ACCOUNTS = {"LOGOUT_RATE": "1000/5m"}
    for header, language in SPOKEN:
        answer = clients.phone(wire, language=header).call("POST", "logout")

        spoken = language or wire.language
        assert answer.json() == wire.error(401, "not_valid", spoken), header
        assert_common_headers(answer, spoken)


@BOTH
@pytest.mark.parametrize("language", ["es", "en"])
def test_every_route_speaks_the_clients_language(clients, ana, wire, language):
    phone = clients.phone(wire, language=language).log_in()

    answers = [
        phone.user(),
        phone.call("GET", "user"),
        phone.reauthenticate(),
        phone.reauthenticate("wrong"),
        phone.token(grant_type="password", username="ana", password="wrong"),
        phone.renew(),
        phone.log_out(),
        phone.log_out("logout/all"),
    ]

    for answer in answers:
        assert_common_headers(answer, language)


@BOTH
def test_the_two_languages_say_it_differently(clients, ana, wire):
    for route in ("reauthenticate", "logout", "logout/all"):
        texts = set()
        for language in ("es", "en"):
            phone = clients.phone(wire, language=language).log_in()
            body = phone.call("POST", route, bearer=phone.access, json={}).json()
            texts.add(body.get("message") or body.get("msg"))
        assert len(texts) == 2, route
