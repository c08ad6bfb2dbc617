"""The endpoints' rarer turns: what fails around them, and the hosts they find themselves in."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.models import Session as DjangoSession
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.db import DatabaseError, OperationalError, connection
from django.test import Client
from django.urls import include, path, reverse
from rest_framework.parsers import JSONParser
from rest_framework.response import Response
from rest_framework.schemas.generators import EndpointEnumerator
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import RefreshToken as SimpleJWTRefreshToken

from accounts import services
from accounts.api.contracts import PLAIN, V1
from accounts.api.urls import drf, plain, v1
from accounts.api.views import LogoutView, UserView
from accounts.models import LogoutEvent, Session
from accounts.sessions import SessionStore
from accounts.signals import login_ended

from .conftest import PASSWORD

pytestmark = pytest.mark.django_db

UNREACHABLE = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "redis://127.0.0.1:1/0",
        "OPTIONS": {"socket_connect_timeout": 0.5, "retry": None},
    }
}
FAILURES = [
    (
        "/api/v1/auth",
        {"success": False, "message": "Error interno del servidor"},
        "es",
    ),
    ("/api/auth", {"code": 500, "msg": "Internal server error"}, "en"),
    ("", {"code": 500, "msg": "Internal server error"}, "en"),
]


class RefusingView(UserView):
    """A view of the host's that Django's own security errors come up in."""

    error = None

    def get(self, request):
        raise self.error


class SubclassView(LogoutView):
    """A host's own logout, with a contract that no route names."""

    contract = PLAIN


urlpatterns = [
    path("api/v1/auth/", include(v1)),
    path("default/logout", LogoutView.as_view()),
    path("subclass/logout", SubclassView.as_view()),
    path("suspicious", RefusingView.as_view(contract=PLAIN, error=SuspiciousOperation("x"))),
    path("bad", RefusingView.as_view(contract=PLAIN, error=BadRequest("x"))),
    path("drf/", include(drf)),
    path("", include(plain)),
]
handler500 = "accounts.api.views.server_error"


def failing_middleware(get_response):
    """Fail, as a middleware of the host may."""

    def fail(request):
        raise RuntimeError("secret detail")

    return fail


@pytest.fixture
def web():
    """A client that is answered 500 where there is an error, as a real one is."""
    return Client(raise_request_exception=False)


@pytest.fixture
def post(web):
    def run(path, body=None, access=None, **headers):
        if access is not None:
            headers["Authorization"] = f"Bearer {access}"
        return web.post(
            path,
            {} if body is None else body,
            content_type="application/json",
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )

    return run


@pytest.fixture
def plain_access(user):
    return SimpleJWTRefreshToken.for_user(user).access_token


def database_down(execute, sql, *args):
    raise OperationalError("could not connect to server: secret.example.com")


# Storage that is down


@pytest.mark.parametrize(("prefix", "body", "language"), FAILURES)
def test_a_logout_without_its_database_is_the_contracts_500(post, phone, prefix, body, language):
    with connection.execute_wrapper(database_down):
        answer = post(f"{prefix}/logout", access=phone.access)

    assert answer.status_code == 500
    assert answer.json() == body
    assert answer.headers["Content-Language"] == language
    assert answer.headers["Cache-Control"] == "no-store"
    assert post(f"{prefix}/logout", access=phone.access).status_code == 200


def test_a_logout_that_cannot_be_recorded_did_not_happen(post, is_in, phone):
    def refuse(execute, sql, *args):
        if "drf_logout_logoutevent" in sql:
            raise DatabaseError("the disk is full")
        return execute(sql, *args)

    with connection.execute_wrapper(refuse):
        assert post("/logout", access=phone.access).status_code == 500

    assert is_in(phone.access)


def test_authentication_without_its_database_lets_nobody_in(web, phone):
    with connection.execute_wrapper(database_down):
        answer = web.get("/user", headers={"Authorization": f"Bearer {phone.access}"})

    assert answer.status_code == 500
    assert answer.json() == {"code": 500, "msg": "Internal server error"}


@pytest.mark.parametrize("path", ["/token", "/reauthenticate"])
def test_few_passwords_are_tried_without_the_store_that_counts(settings, web, post, phone, path):
    settings.CACHES = UNREACHABLE
    body = {"grant_type": "password", "username": "ana", "password": PASSWORD}
    answers = []
    for _ in range(3):
        answers.append(post(path, body, access=phone.access))
        web.cookies.clear()  # of the device, which has a few of its own

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json() == {"code": 429, "msg": "Too many requests"}
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 60


def test_a_logout_without_the_store_that_counts_is_a_logout(settings, post, is_in, phone, caplog):
    settings.CACHES = UNREACHABLE

    assert post("/logout", access=phone.access).status_code == 200

    assert "Rate limit logout is not enforced" in caplog.text
    assert not is_in(phone.access)


def test_an_unexpected_failure_is_in_djangos_log_and_in_the_security_log(
    post, phone, caplog, security_log
):
    with connection.execute_wrapper(database_down):
        post("/logout", access=phone.access)

    [record] = [record for record in caplog.records if record.name == "django.request"]
    assert record.levelname == "ERROR"
    assert record.exc_info[0] is OperationalError
    assert record.status_code == 500
    line = security_log()[-1]
    assert (line["status"], line["result"], line["reason"]) == (500, "failure", "error")


# A middleware that fails


@pytest.fixture
def failing(settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.failing_middleware"]


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize(("prefix", "body", "language"), FAILURES)
@pytest.mark.parametrize("route", ["token", "logout", "logout/all", "reauthenticate", "user"])
def test_a_failing_middleware_is_the_contracts_500(post, prefix, body, language, route):
    answer = post(f"{prefix}/{route}")

    assert answer.status_code == 500
    assert answer.json() == body
    assert answer.headers["Content-Language"] == language
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Accept-Language" in answer.headers["Vary"]


@pytest.mark.usefixtures("failing")
def test_a_failing_middleware_is_a_problem_to_who_asks_for_problems(post):
    answer = post("/logout", Accept="application/problem+json")

    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "Internal server error",
        "code": "error",
    }


@pytest.mark.usefixtures("failing")
def test_a_failing_middleware_speaks_the_clients_language(post):
    answer = post("/logout", Accept_Language="es-MX")

    assert answer.json() == {"code": 500, "msg": "Error interno del servidor"}


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize("path", ["/admin/", "/nowhere", "/logouts"])
def test_a_failure_on_another_route_is_djangos_own_page(web, path):
    answer = web.get(path)

    assert answer.status_code == 500
    assert answer.headers["Content-Type"].startswith("text/html")
    assert b"secret detail" not in answer.content


@pytest.mark.usefixtures("failing")
@pytest.mark.urls(__name__)
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/default/logout", {"success": False, "message": "Error interno del servidor"}),
        ("/subclass/logout", {"code": 500, "msg": "Internal server error"}),
    ],
)
def test_a_route_that_names_no_contract_fails_in_the_views_own(post, path, body):
    answer = post(path)

    assert answer.status_code == 500
    assert answer.json() == body


# Django's own errors


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("path", ["/suspicious", "/bad"])
def test_what_django_takes_for_a_bad_request_is_one(web, phone, path):
    answer = web.get(path, headers={"Authorization": f"Bearer {phone.access}"})

    assert answer.status_code == 400
    assert answer.json() == {"code": 400, "msg": "The request body is not valid"}


def test_a_body_that_is_cut_off_is_a_bad_request(post, monkeypatch, phone):
    def cut_off(*args):
        raise SuspiciousOperation

    monkeypatch.setattr("accounts.api.serializers._read", cut_off)

    assert post("/logout", access=phone.access).status_code == 400


# Other hosts


def test_a_host_without_sessions_logs_in_and_out(settings, post, is_in, user):
    settings.MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]

    tokens = post(
        "/token", {"grant_type": "password", "username": "ana", "password": PASSWORD}
    ).json()
    assert is_in(tokens["access_token"])

    assert post("/logout", access=tokens["access_token"]).status_code == 200
    assert not is_in(tokens["access_token"])


@pytest.fixture(params=["accounts.sessions", "django.contrib.sessions.backends.db"])
def browser(request, settings, web, user):
    """A browser of the user's, on a host with our session engine or Django's own."""
    settings.SESSION_ENGINE = request.param
    web.force_login(user)
    return web


@pytest.mark.parametrize("path", ["/logout", "/logout/all"])
def test_the_browser_that_came_along_is_logged_out_whatever_the_engine(browser, post, phone, path):
    answer = post(path, access=phone.access)

    assert answer.status_code == 200
    assert answer.cookies["sessionid"].value == ""
    assert not Session.objects.exists()
    assert not DjangoSession.objects.exists()


def test_a_browser_of_another_user_stays_whatever_the_engine(browser, post, theirs):
    key = browser.cookies["sessionid"].value

    answer = post("/logout", access=theirs.access)

    assert answer.status_code == 200
    assert "sessionid" not in answer.cookies
    assert browser.session.session_key == key
    assert browser.session["_auth_user_id"]


def test_an_unknown_cookie_is_no_obstacle(web, post, is_in, phone):
    web.cookies["sessionid"] = "unknown"

    assert post("/logout", access=phone.access).status_code == 200
    assert not is_in(phone.access)


def test_a_browser_whose_login_had_ended_stays_as_it_is(web, post, user, phone):
    web.force_login(user)
    Session.objects.filter(kind="token").delete()

    assert post("/logout", access=phone.access).status_code == 200

    assert SessionStore().exists(web.cookies["sessionid"].value)


@pytest.mark.django_db(transaction=True)
def test_under_atomic_requests_a_logout_commits_before_it_is_acknowledged(monkeypatch, post, phone):
    heard = []
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)

    def committed(**kwargs):
        heard.append("committed")

    def acknowledged(**kwargs):
        heard.append("in a transaction" if connection.in_atomic_block else "acknowledged")

    login_ended.connect(committed)
    user_logged_out.connect(acknowledged)
    try:
        answer = post("/logout", access=phone.access)
    finally:
        login_ended.disconnect(committed)
        user_logged_out.disconnect(acknowledged)

    assert answer.status_code == 200
    assert heard == ["committed", "acknowledged"]


@pytest.mark.django_db(transaction=True)
def test_under_atomic_requests_a_failure_leaves_the_login_whole(monkeypatch, post, is_in, phone):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)

    def refuse(execute, sql, *args):
        if "drf_logout_logoutevent" in sql:
            raise DatabaseError("the disk is full")
        return execute(sql, *args)

    with connection.execute_wrapper(refuse):
        assert post("/logout", access=phone.access).status_code == 500

    assert is_in(phone.access)


# Signals


@pytest.fixture
def heard():
    """Who is heard to log in and out, and whether the request came with it."""
    events = []

    def log_in(request, user, **kwargs):
        events.append(("in", user, request.path))

    def log_out(request, user, **kwargs):
        events.append(("out", user, request.path))

    user_logged_in.connect(log_in)
    user_logged_out.connect(log_out)
    yield events
    user_logged_in.disconnect(log_in)
    user_logged_out.disconnect(log_out)


def test_django_is_not_told_of_a_logout_of_the_others(post, phone, laptop):
    heard = []

    def listen(**kwargs):
        heard.append(kwargs["user"])

    user_logged_out.connect(listen)
    try:
        assert post("/logout", {"scope": "others"}, access=phone.access).status_code == 200
    finally:
        user_logged_out.disconnect(listen)

    assert heard == []


def test_django_hears_of_a_log_in_and_of_a_logout(post, user, heard):
    body = {"grant_type": "password", "username": "ana", "password": PASSWORD}
    access = post("/token", body).json()["access_token"]
    post("/logout", access=access)

    assert heard == [("in", user, "/token"), ("out", user, "/logout")]
    user.refresh_from_db()
    assert user.last_login


def test_django_does_not_hear_of_a_logout_that_changes_nothing(post, phone, heard):
    post("/logout", access=phone.access)
    heard.clear()

    assert post("/logout", access=phone.access).status_code == 200

    assert heard == []


def test_a_receiver_that_fails_does_not_fail_the_logout(post, is_in, phone):
    def fail(**kwargs):
        raise RuntimeError

    user_logged_out.connect(fail)
    try:
        assert post("/logout", access=phone.access).status_code == 200
    finally:
        user_logged_out.disconnect(fail)

    assert not is_in(phone.access)


# Logging out, case by case


def expired(token):
    token.set_exp(lifetime=-timedelta(seconds=1))
    return token


def test_the_token_in_the_body_is_the_one_that_ends(post, is_in, phone, laptop):
    assert post("/logout", {"token": str(laptop.access)}, phone.access).status_code == 200
    assert not is_in(laptop.access)


def test_the_session_scope_ends_only_the_token_in_the_body(post, is_in, phone, laptop):
    body = {"token": str(laptop.refresh), "scope": "session"}
    assert post("/logout", body, phone.access).status_code == 200

    assert not is_in(laptop.access)
    assert is_in(phone.access)


def test_both_tokens_of_one_login_are_revoked(post, phone):
    post("/logout", {"token": str(phone.refresh), "scope": "session"}, phone.access)

    assert LogoutEvent.objects.get().tokens_revoked == 2


def test_an_expired_bearer_with_its_live_refresh_token_logs_out(post, is_in, phone):
    answer = post("/logout", {"token": str(phone.refresh)}, expired(phone.access))

    assert answer.status_code == 200
    assert not Session.objects.exists()


EXPIRED = {
    "/api/v1/auth/logout": (403, {"success": False, "message": "El token ha expirado"}),
    "/logout": (401, {"code": 401, "msg": "Token has expired"}),
}


@pytest.mark.parametrize("path", EXPIRED)
def test_an_expired_token_logs_nobody_out(post, phone, laptop, path):
    access, raw = phone.refresh.access_token, str(expired(phone.access))

    for answer in (
        post(path, access=raw),
        post(path, {"token": str(laptop.access)}, raw),
        post(path, {"token": raw}, access),
    ):
        assert (answer.status_code, answer.json()) == EXPIRED[path]

    assert Session.objects.count() == 2


@pytest.mark.parametrize("token", [None, 1, [], {}, "", "garbage", True])
def test_a_token_in_the_body_that_is_none_ends_nothing(post, is_in, phone, token):
    access = phone.access
    assert post("/logout", {"token": token}, access).status_code == 401
    assert is_in(access)

    assert post("/logout", {"token": token}, expired(phone.access)).status_code == 401


@pytest.fixture
def theirs(stranger, device):
    """A login of another user."""
    return services.log_in(user=stranger, client=device)


@pytest.mark.parametrize("kind", ["access", "refresh"])
def test_a_token_of_another_user_ends_nothing(post, is_in, phone, theirs, kind):
    answer = post("/logout", {"token": str(getattr(theirs, kind))}, phone.access)

    assert answer.status_code == 401
    assert is_in(theirs.access)
    assert is_in(phone.access)


@pytest.mark.parametrize("scope", ["", "all", 1, None, [], {}, ["session"], "SESSION"])
def test_an_unknown_scope_is_refused(post, is_in, phone, scope):
    answer = post("/logout", {"scope": scope}, phone.access)

    assert (answer.status_code, answer.json()) == (400, {"code": 400, "msg": "Unknown scope"})
    assert is_in(phone.access)


@pytest.mark.parametrize(("scope", "status"), [("global", 200), ("session", 400), (None, 400)])
def test_logging_out_everywhere_has_one_scope(post, phone, scope, status):
    assert post("/logout/all", {"scope": scope}, phone.access).status_code == status


@pytest.mark.parametrize("access", [None, "", "garbage"])
def test_a_logout_of_nobody_is_refused(post, access):
    answer = post("/logout", access=access)

    assert answer.status_code == 401
    assert answer.json() == {"code": 401, "msg": "Token not provided or invalid"}


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete", "head", "options"])
def test_another_method_is_refused_and_counted(web, method):
    answer = getattr(web, method)("/logout")

    assert answer.status_code == 405
    assert answer.headers["X-RateLimit-Remaining"] == "19"


def test_a_user_is_limited_and_another_is_not(settings, post, phone, theirs):
    settings.ACCOUNTS = {"LOGOUT_RATE": "2/5m"}
    body = {"scope": "none"}
    assert [post("/logout", body, phone.access).status_code for _ in range(3)] == [400, 400, 429]

    assert post("/logout", access=theirs.access).status_code == 200
    refused = post("/logout", {"scope": "none"}, phone.access)
    assert refused.status_code == 429
    assert refused.json() == {"code": 429, "msg": "Too many requests"}


def test_a_refusal_by_the_limit_is_in_the_security_log(settings, post, phone, security_log):
    settings.ACCOUNTS = {"LOGOUT_RATE": "1/5m"}
    for _ in range(2):
        post("/logout", {"scope": "none"}, phone.access)

    refused, limited = security_log()
    assert (refused["event"], refused["reason"]) == ("session_logout", "unknown_scope")
    assert (limited["event"], limited["status"]) == ("excess_rate_limit_exceeded", 429)


def test_a_logout_and_the_tokens_it_revoked_are_in_the_security_log(post, phone, security_log):
    post("/logout", access=phone.access)
    post("/logout", access=phone.access)
    post("/logout", access=expired(phone.access))

    logged_out, revoked, again, late = security_log()
    assert (logged_out["event"], logged_out["reason"]) == ("session_logout", "logout")
    assert (revoked["event"], revoked["object"]) == ("authn_token_revoked", "token")
    assert (again["event"], again["reason"], again["result"]) == (
        "session_logout",
        "already_ended",
        "success",
    )
    assert (late["event"], late["reason"], late["status"]) == (
        "session_expired",
        "token_expired",
        401,
    )
    sid = str(phone.refresh.sid)
    assert (logged_out["session"], revoked["session"], again["session"]) == (sid, sid, sid)


def test_a_logout_that_a_request_beside_it_overtakes_is_a_success(post, phone):
    def end_meanwhile(execute, sql, *args):
        result = execute(sql, *args)
        if sql.startswith("SELECT") and '"drf_logout_session"' in sql:
            Session.objects.all()._raw_delete("default")
        return result

    with connection.execute_wrapper(end_meanwhile):
        answer = post("/logout", {"scope": "others"}, access=phone.access)

    assert answer.status_code == 200
    assert not LogoutEvent.objects.exists()


# Tokens and re-authentication, case by case


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": None}, "invalid_request"),
        ({"grant_type": ["password"]}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "password"}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "magic"}, "unsupported_grant_type"),
        ({"grant_type": "password", "username": "ana", "password": "wrong"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "garbage"}, "invalid_grant"),
    ],
)
@pytest.mark.parametrize("path", ["/token", "/api/v1/auth/token"])
def test_a_refused_grant_is_an_oauth_error(post, user, path, body, error):
    answer = post(path, body)

    assert answer.status_code == 400
    assert set(answer.json()) == {"error", "error_description"}
    assert answer.json()["error"] == error
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("name", [{"username": "ana"}, {"email": "ana@example.com"}])
def test_a_password_grant_logs_in(post, is_in, user, name):
    answer = post("/token", {"grant_type": "password", "password": PASSWORD} | name)

    assert answer.status_code == 200
    assert set(answer.json()) == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("Bearer", 300)
    assert is_in(answer.json()["access_token"])


def test_a_grant_by_form_logs_in(web, user):
    body = "grant_type=password&username=ana&password=password123"

    answer = web.post(
        "/token", body, content_type="application/x-www-form-urlencoded; charset=utf-8"
    )

    assert answer.status_code == 200


def test_an_inactive_user_gets_no_token_whatever_the_backend(settings, post, user):
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.AllowAllUsersModelBackend"]
    get_user_model().objects.update(is_active=False)
    body = {"grant_type": "password", "username": "ana", "password": PASSWORD}

    assert post("/token", body).json()["error"] == "invalid_grant"


def test_a_refresh_grant_rotates(post, is_in, phone, security_log):
    body = {"grant_type": "refresh_token", "refresh_token": str(phone.refresh)}
    answer = post("/token", body)

    assert is_in(answer.json()["access_token"])
    assert answer.json()["refresh_token"] != str(phone.refresh)
    [line] = security_log()
    assert (line["event"], line["result"]) == ("authn_token_created", "success")


@pytest.mark.parametrize(
    ("spoil", "event"),
    [
        (lambda pair: expired(pair.refresh), "session_expired"),
        (lambda pair: Session.objects.all().delete(), "session_use_after_expire"),
        (lambda pair: Session.objects.update(refresh_jti="newer"), "authn_token_reuse"),
        (lambda pair: pair.refresh.payload.update(token_type="access"), "authn_login_fail"),
    ],
    ids=["expired", "ended", "reused", "invalid"],
)
def test_why_a_refresh_was_refused_is_in_the_security_log(post, phone, security_log, spoil, event):
    spoil(phone)
    body = {"grant_type": "refresh_token", "refresh_token": str(phone.refresh)}

    assert post("/token", body).json()["error"] == "invalid_grant"

    [line] = security_log()
    assert (line["event"], line["result"]) == (event, "failure")


def test_guesses_at_one_account_are_limited(settings, post, user):
    settings.ACCOUNTS = {"PASSWORD_RATE": "2/5m"}
    body = {"grant_type": "password", "username": "ana", "password": "wrong"}
    answers = [post("/token", body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [400, 400]

    refused = post("/token", body | {"password": PASSWORD})

    assert refused.status_code == 429
    assert refused.json() == {"code": 429, "msg": "Too many requests"}
    assert int(refused.headers["Retry-After"]) >= 1


def test_guesses_from_one_address_are_limited(settings, post, user):
    settings.ACCOUNTS = {"ADDRESS_RATE": "2/5m"}
    body = {"grant_type": "password", "password": "wrong"}

    statuses = [post("/token", body | {"username": f"user{n}"}).status_code for n in range(3)]

    assert statuses == [400, 400, 429]


def test_a_re_authentication_needs_the_own_password(post, phone, stranger, security_log):
    stranger.set_password("another password")
    stranger.save()

    refused = post("/reauthenticate", {"password": "another password"}, phone.access)
    accepted = post("/reauthenticate", {"password": PASSWORD}, phone.access)

    assert (refused.status_code, refused.json()) == (400, {"code": 400, "msg": "Wrong password"})
    assert accepted.status_code == 200
    assert accepted.json()["message"] == "Authentication confirmed"
    assert [line["event"] for line in security_log()] == [
        "authn_login_fail",
        "authn_login_success",
    ]


def test_a_re_authentication_of_nobody_is_refused(post, security_log):
    assert post("/reauthenticate", {"password": PASSWORD}).status_code == 401

    [line] = security_log()
    assert (line["event"], line["user"], line["session"]) == ("authn_login_fail", None, None)


def test_a_plain_token_has_nothing_to_mark(post, plain_access):
    answer = post("/reauthenticate", {"password": PASSWORD}, plain_access)

    assert answer.status_code == 400
    assert answer.json() == {"code": 400, "msg": "Log in again to confirm who you are"}


def test_a_login_that_ends_while_the_password_is_checked_is_not_marked(post, phone):
    def end_meanwhile(execute, sql, *args):
        if sql.startswith('UPDATE "drf_logout_session"'):
            Session.objects.all().delete()
        return execute(sql, *args)

    with connection.execute_wrapper(end_meanwhile):
        answer = post("/reauthenticate", {"password": PASSWORD}, phone.access)

    assert answer.status_code == 401
    assert answer.json() == {"code": 401, "msg": "Token has been invalidated"}


def test_the_example_route_says_who_the_bearer_is(web, user, phone):
    answer = web.get("/user", headers={"Authorization": f"Bearer {phone.access}"})

    assert answer.json() == {"id": user.pk, "username": "ana", "email": "ana@example.com"}


# Media types and languages


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonx", 415),
    ],
)
def test_only_json_is_a_body(web, phone, content_type, status):
    answer = web.post(
        "/logout",
        b"{}",
        content_type=content_type,
        headers={"Authorization": f"Bearer {phone.access}"},
    )

    assert answer.status_code == status


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "*/*", "garbage", ""])
def test_the_answer_is_json_whatever_the_client_accepts(post, phone, accept):
    answer = post("/logout", access=phone.access, Accept=accept)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == JSONParser.media_type


@pytest.mark.parametrize(
    ("accept_language", "v1", "plain"),
    [
        ("", "es", "en"),
        ("*", "es", "en"),
        ("en", "en", "en"),
        ("es", "es", "es"),
        ("es-MX,en;q=0.5", "es", "es"),
        ("EN-gb", "en", "en"),
        ("nl, en;q=0.5", "en", "en"),
        ("nl", "es", "en"),
        ("pt-BR", "pt", "pt"),
        ("fr-CA, en", "fr", "fr"),
        ("de-AT, *;q=0.5", "de", "de"),
        ("nl, it-CH;q=0.5", "it", "it"),
        ("nl, *;q=0.1, es;q=0.05", "es", "en"),
        ("es;q=0", "es", "en"),
        ("en;q=0", "es", "en"),
        ("es;q=0.1, en;q=0.9", "en", "en"),
        ("garbage;;;", "es", "en"),
    ],
)
def test_the_client_chooses_the_language(accept_language, v1, plain):
    assert V1.negotiate(accept_language) == v1
    assert PLAIN.negotiate(accept_language) == plain


# Users who may not log in, hosts with ideas of their own


def test_a_user_who_is_inactive_for_now_logs_out_for_good(post, is_in, user, phone):
    user.is_active = False
    user.save()

    assert post("/api/v1/auth/logout", access=phone.access).status_code == 200
    user.is_active = True
    user.save()

    assert not is_in(phone.access)
    assert LogoutEvent.objects.get().user == user


def test_simplejwts_rule_on_who_may_log_in_holds(post, is_in, phone, monkeypatch):
    monkeypatch.setattr(api_settings, "USER_AUTHENTICATION_RULE", lambda user: False)
    body = {"grant_type": "password", "username": "ana", "password": PASSWORD}

    assert not is_in(phone.access)
    assert post("/token", body).json()["error"] == "invalid_grant"


def teapot(exc, context):
    return Response({"detail": "short and stout"}, status=418)


def test_a_hosts_exception_handler_is_not_asked(settings, post):
    settings.REST_FRAMEWORK = {"EXCEPTION_HANDLER": f"{__name__}.teapot"}

    assert post("/logout").status_code == 401


def test_the_limit_on_guesses_does_not_tell_who_exists(settings, post, user):
    settings.ACCOUNTS = {"PASSWORD_RATE": "2/5m"}
    body = {"grant_type": "password", "password": "wrong"}

    for names in (("ana", "ana", "ANA"), ("nobody", "nobody", "NOBODY")):
        statuses = [post("/token", body | {"username": name}).status_code for name in names]
        assert statuses == [400, 400, 429]


def test_who_guesses_too_much_costs_no_statement(settings, post, user, django_assert_num_queries):
    settings.ACCOUNTS = {"ADDRESS_RATE": "1/5m"}
    body = {"grant_type": "password", "email": "ana@example.com", "password": "wrong"}
    assert post("/token", body).status_code == 400

    with django_assert_num_queries(0):
        assert post("/token", body).status_code == 429


# Trailing slashes


ROUTES = [
    ("POST", "token"),
    ("POST", "logout"),
    ("POST", "logout/all"),
    ("POST", "reauthenticate"),
    ("GET", "sessions"),
    ("DELETE", "sessions/8a5f1f2e-0000-4000-8000-000000000000"),
    ("GET", "user"),
]


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("prefix", ["/drf/", "/api/v1/auth/", "/"])
@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_with_a_slash_at_its_end_a_route_answers_the_same(web, phone, prefix, method, route):
    bearer = {"Authorization": f"Bearer {phone.access}"}

    with_one, without = (
        web.generic(method, f"{prefix}{route}{end}", "{}", "application/json", headers=bearer)
        for end in ("/", "")
    )

    assert with_one.status_code == without.status_code
    assert without.status_code in {200, 400, 404}
    assert list(with_one.json()) == list(without.json())


@pytest.mark.parametrize("contract", ["drf_logout_v1", "drf_logout_plain"])
def test_a_route_is_named_without_a_slash_at_its_end(contract):
    for name in ("token", "logout", "logout_all", "reauthenticate", "sessions", "user"):
        assert not reverse(f"{contract}:{name}").endswith("/")
    assert not reverse(f"{contract}:session", args=["x"]).endswith("/")


def test_a_schema_lists_each_route_once():
    listed = EndpointEnumerator(patterns=urlpatterns).get_api_endpoints()

    paths = [path for path, *_ in listed]
    assert len(paths) > 20
    assert not [path for path in paths if path.endswith("/")]
