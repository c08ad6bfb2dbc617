"""A login ends by itself: unused, past its time, or one too many; for browser and token alike."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from unittest.mock import Mock

import pytest
from django.core.exceptions import PermissionDenied
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import include, path
from django.utils import timezone
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken
from rest_framework_simplejwt.tokens import RefreshToken as SimpleJWTRefreshToken

from accounts import services
from accounts.clients import ClientInfo
from accounts.conf import AAL3
from accounts.models import LogoutEvent, Session, hash_key
from accounts.services import transactions
from accounts.services.record import UNCHANGED
from accounts.signals import login_ended
from accounts.tokens import AccessToken, RefreshToken
from tests import asgi
from tests.database import wait_for_a_lock
from tests.http import PASSWORD, PLAIN, V1
from tests.test_races import race

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
COOKIE = "sessionid"


class HostView(APIView):
    """A host's own endpoint, as protected as ours."""

    def get(self, request):
        return Response({})


def members_only(request):
    """Answer as a page of a host does: a refusal that undoes its transaction."""
    if not request.user.is_authenticated:
        raise PermissionDenied
    return HttpResponse()


urlpatterns = [
    path("host", HostView.as_view()),
    path("members", members_only),
    path("", include("authproject.urls")),
]


def ago(**duration):
    return timezone.now() - timedelta(**duration)


# How to make a login run out, and the reason that goes on record.
RUN_OUT = {
    "idle_timeout": lambda: {"last_seen_at": ago(minutes=15)},
    "absolute_timeout": lambda: {"authenticated_at": ago(hours=12)},
    "expired": lambda: {"expire_date": timezone.now()},
}


@pytest.fixture
def _limits(settings):
    settings.ACCOUNTS = AAL3


@pytest.fixture
def send():
    """Send a request with a bearer and no cookies."""

    def run(method, path, bearer=None, body=None):
        return Client().generic(
            method,
            path,
            body or "",
            content_type="application/json",
            headers={"Authorization": f"Bearer {bearer}"} if bearer else {},
        )

    return run


@pytest.fixture
def renew(send):
    def run(refresh):
        body = f'{{"grant_type": "refresh_token", "refresh_token": "{refresh}"}}'
        return send("POST", "/token", body=body)

    return run


@pytest.fixture
def log_in():
    """Log in by password, as a phone of this name."""

    def run(agent="Phone/1"):
        return Client().post(
            "/token",
            {"grant_type": "password", "username": "ana", "password": PASSWORD},
            content_type="application/json",
            headers={"User-Agent": agent},
        )

    return run


@pytest.fixture
def browse(ana):
    """Open a browser of this name and log in through the admin's page."""

    def run(agent=FIREFOX):
        browser = Client(headers={"User-Agent": agent}, REMOTE_ADDR="198.51.100.9")
        submit(browser)
        return browser

    return run


def submit(browser):
    credentials = {"username": "ana", "password": PASSWORD, "next": "/admin/"}
    assert browser.post("/admin/login/", credentials).status_code == 302


@pytest.fixture
def browser(browse):
    return browse()


def enters(browser):
    return browser.get("/admin/").status_code == 200


def row_of(browser):
    return Session.objects.get(session_key=hash_key(browser.cookies[COOKIE].value))


def agents():
    """Return the devices that are logged in, by name, the oldest first."""
    return list(
        Session.objects.order_by("authenticated_at", "sid").values_list("user_agent", flat=True)
    )


# Refused everywhere

ASK_WITH_A_TOKEN = {
    "a protected route": (lambda send, renew, pair: send("GET", "/user", pair.access), 401),
    "a host's route": (lambda send, renew, pair: send("GET", "/host", pair.access), 401),
    "the list": (lambda send, renew, pair: send("GET", "/sessions", pair.access), 401),
    "the end of one": (
        lambda send, renew, pair: send("DELETE", f"/sessions/{pair.access.sid}", pair.access),
        401,
    ),
    "reauthenticate": (
        lambda send, renew, pair: send(
            "POST", "/reauthenticate", pair.access, f'{{"password": "{PASSWORD}"}}'
        ),
        401,
    ),
    "refresh": (lambda send, renew, pair: renew(pair.refresh), 400),
    "logout": (lambda send, renew, pair: send("POST", "/logout", pair.access), 200),
    "logout of all": (lambda send, renew, pair: send("POST", "/logout/all", pair.access), 200),
}


@pytest.mark.usefixtures("_limits")
@pytest.mark.parametrize("reason", RUN_OUT)
@pytest.mark.parametrize("where", ASK_WITH_A_TOKEN)
def test_a_token_login_that_has_run_out_is_refused_and_recorded_once(
    send, renew, user, phone, laptop, is_in, reason, where
):
    Session.objects.filter(sid=phone.access.sid).update(**RUN_OUT[reason]())
    ask, status = ASK_WITH_A_TOKEN[where]

    assert [ask(send, renew, phone).status_code for _ in range(3)] == [status] * 3

    event = LogoutEvent.objects.get()
    assert (event.reason, event.initiator, event.scope) == (reason, "policy", "session")
    assert (event.session_id, event.user, event.actor) == (phone.access.sid, user, None)
    assert (event.ip_address, event.user_agent) == ("192.0.2.7", "Phone/1")
    assert (event.sessions_ended, event.tokens_revoked) == (1, 1)
    assert BlacklistedToken.objects.filter(token__jti=phone.refresh.jti).exists()
    assert is_in(laptop.access)


@pytest.mark.usefixtures("_limits")
@pytest.mark.parametrize("reason", RUN_OUT)
@pytest.mark.parametrize("wire", [V1, PLAIN], ids=["v1", "plain"])
def test_the_contract_says_that_a_run_out_login_has_ended(send, phone, wire, reason):
    Session.objects.update(**RUN_OUT[reason]())

    refused = send("GET", f"{wire.base}user", phone.access)
    left = send("POST", f"{wire.base}logout", phone.access)

    assert (refused.status_code, refused.json()) == (401, wire.error(401, "revoked"))
    assert (left.status_code, left.json()) == (200, wire.success("logged_out"))


@pytest.mark.usefixtures("_limits")
@pytest.mark.parametrize("reason", RUN_OUT)
def test_a_browser_login_that_has_run_out_is_refused_and_recorded_once(browser, ana, reason):
    row = row_of(browser)
    Session.objects.update(**RUN_OUT[reason]())

    assert [enters(browser) for _ in range(3)] == [False] * 3

    event = LogoutEvent.objects.get()
    assert (event.reason, event.initiator, event.scope) == (reason, "policy", "session")
    assert (event.session_id, event.user, event.actor) == (row.sid, ana, None)
    assert (event.ip_address, event.user_agent) == ("198.51.100.9", FIREFOX)
    assert (event.sessions_ended, event.tokens_revoked) == (1, 0)
    assert not Session.objects.filter(user=ana).exists()


@pytest.mark.usefixtures("_limits")
def test_a_login_that_has_run_out_ends_no_other(send, phone, laptop, is_in):
    Session.objects.filter(sid=phone.access.sid).update(**RUN_OUT["idle_timeout"]())
    body = f'{{"token": "{laptop.refresh}", "scope": "session"}}'

    assert send("POST", "/logout", phone.access, body).status_code == 200

    assert is_in(laptop.access)


@pytest.mark.usefixtures("_limits")
def test_a_login_that_has_run_out_is_not_logged_out_by_another(send, phone, laptop, is_in):
    Session.objects.filter(sid=phone.access.sid).update(**RUN_OUT["idle_timeout"]())
    body = f'{{"token": "{phone.refresh}", "scope": "session"}}'

    assert send("POST", "/logout", laptop.access, body).status_code == 200

    assert not LogoutEvent.objects.filter(reason="logout").exists()
    assert is_in(laptop.access)
    assert not is_in(phone.access)


@pytest.mark.usefixtures("_limits")
def test_the_limit_that_was_passed_first_is_the_reason(is_in, phone):
    Session.objects.update(
        expire_date=ago(hours=1), last_seen_at=ago(hours=3), authenticated_at=ago(hours=13)
    )

    is_in(phone.access)

    assert LogoutEvent.objects.get().reason == "idle_timeout"


@pytest.mark.usefixtures("_limits")
def test_a_login_is_accepted_until_its_limit(is_in, phone, browser):
    Session.objects.update(last_seen_at=ago(minutes=14), authenticated_at=ago(hours=11, minutes=59))

    assert is_in(phone.access)
    assert enters(browser)
    assert not LogoutEvent.objects.exists()


@pytest.mark.usefixtures("_limits")
def test_use_keeps_a_login_from_running_out_unused(is_in, phone, browser):
    for _ in range(3):
        Session.objects.update(last_seen_at=ago(minutes=14))
        assert is_in(phone.access)
        assert enters(browser)

    for row in Session.objects.all():
        assert timezone.now() - row.last_seen_at < timedelta(seconds=30)


@pytest.mark.usefixtures("_limits")
def test_use_does_not_put_off_the_absolute_end(is_in, renew, phone, browser, settings):
    settings.SESSION_SAVE_EVERY_REQUEST = True
    began = ago(hours=11, minutes=59)
    Session.objects.update(authenticated_at=began, last_seen_at=ago(minutes=5))

    assert is_in(phone.access)
    assert renew(phone.refresh).status_code == 200
    assert enters(browser)

    assert set(Session.objects.values_list("authenticated_at", flat=True)) == {began}


def test_without_limits_a_login_ends_with_its_cookie_or_refresh_token_alone(
    is_in, phone, browser, settings
):
    settings.ACCOUNTS = {}
    Session.objects.update(last_seen_at=ago(days=365), authenticated_at=ago(days=365))

    assert is_in(phone.access)
    assert enters(browser)


@pytest.mark.usefixtures("_limits")
def test_an_anonymous_browser_that_runs_out_is_on_no_record(client):
    store = client.session
    store["basket"] = 3
    store.save()
    client.cookies[COOKIE] = store.session_key
    Session.objects.update(expire_date=timezone.now())

    client.get("/members")

    assert not LogoutEvent.objects.exists()


# What clients are told


def exp(raw):
    return datetime.fromtimestamp(raw.payload["exp"], UTC)


@pytest.mark.usefixtures("user")
def test_a_refresh_token_expires_no_later_than_its_login(log_in, renew, settings):
    settings.ACCOUNTS = {"ABSOLUTE_TIMEOUT": 3_600}
    tokens = log_in().json()
    end = Session.objects.get().authenticated_at + timedelta(hours=1)

    for _ in range(3):
        refresh, access = RefreshToken(tokens["refresh_token"]), AccessToken(tokens["access_token"])
        assert end - timedelta(seconds=1) < exp(refresh) <= end
        assert exp(access) <= exp(refresh)
        assert Session.objects.get().expire_date <= end
        tokens = renew(tokens["refresh_token"]).json()


@pytest.mark.usefixtures("user")
def test_expires_in_says_how_little_is_left(log_in, renew, settings):
    settings.ACCOUNTS = {"ABSOLUTE_TIMEOUT": 3_600}
    first = log_in().json()
    assert first["expires_in"] == 300
    Session.objects.update(authenticated_at=ago(minutes=58))
    end = Session.objects.get().authenticated_at + timedelta(hours=1)

    tokens = renew(first["refresh_token"]).json()

    assert 110 <= tokens["expires_in"] <= 120
    assert exp(AccessToken(tokens["access_token"])) <= end
    assert exp(RefreshToken(tokens["refresh_token"])) <= end


def test_the_first_tokens_of_a_short_login_end_with_it(log_in, user, settings):
    settings.ACCOUNTS = {"ABSOLUTE_TIMEOUT": 120}

    tokens = log_in().json()

    assert 115 <= tokens["expires_in"] <= 120
    end = Session.objects.get().authenticated_at + timedelta(minutes=2)
    assert exp(RefreshToken(tokens["refresh_token"])) <= end


def test_a_plain_token_that_is_refreshed_begins_a_login_with_limits(user, renew, settings):
    settings.ACCOUNTS = {"ABSOLUTE_TIMEOUT": 3_600}

    tokens = renew(SimpleJWTRefreshToken.for_user(user)).json()

    row = Session.objects.get()
    end = row.authenticated_at + timedelta(hours=1)
    assert exp(RefreshToken(tokens["refresh_token"])) <= end
    assert row.expires_at <= end


@pytest.mark.parametrize("seen", [0, 10])
def test_the_list_says_the_end_that_comes_first(send, phone, browser, settings, seen):
    settings.ACCOUNTS = AAL3
    began = ago(hours=11, minutes=50)
    Session.objects.filter(kind="browser").update(
        last_seen_at=ago(minutes=seen), authenticated_at=began
    )

    listed = send("GET", "/sessions", phone.access).json()["results"]

    [login] = [login for login in listed if login["kind"] == "browser"]
    left = datetime.fromisoformat(login["expires_at"]) - timezone.now()
    assert abs(left - timedelta(minutes=10 if seen == 0 else 5)) < timedelta(seconds=30)


# Put on record, once


@pytest.mark.usefixtures("_limits")
@pytest.mark.parametrize("reason", RUN_OUT)
@pytest.mark.django_db(transaction=True)
def test_an_expiry_is_announced_once(is_in, phone, browser, reason):
    heard = []

    def hear(event, **kwargs):
        heard.append((event.reason, event.session_id))

    Session.objects.update(**RUN_OUT[reason]())
    expected = {(reason, row.sid) for row in Session.objects.all()}
    login_ended.connect(hear)
    try:
        for _ in range(2):
            assert not is_in(phone.access)
            assert not enters(browser)
    finally:
        login_ended.disconnect(hear)

    assert len(heard) == 2
    assert set(heard) == expected


@pytest.mark.usefixtures("_limits")
@pytest.mark.parametrize("kind", ["browser", "token"])
@pytest.mark.django_db(transaction=True)
def test_the_first_notice_is_logged_as_session_expired(is_in, phone, browser, security_log, kind):
    sid = str(phone.access.sid if kind == "token" else row_of(browser).sid)
    Session.objects.update(**RUN_OUT["idle_timeout"]())
    before = len(security_log())

    assert not (is_in(phone.access) if kind == "token" else enters(browser))

    lines = security_log()[before:]
    assert lines
    assert {line["event"] for line in lines} == {"session_expired"}
    assert {line["level"] for line in lines} == {"INFO"}
    assert {line["session"] for line in lines} == {sid}
    assert "idle_timeout" in {line["reason"] for line in lines}


@pytest.mark.usefixtures("_limits")
@pytest.mark.postgresql
@pytest.mark.parametrize("kind", ["browser", "token"])
@pytest.mark.parametrize("reason", RUN_OUT)
@pytest.mark.django_db(transaction=True)
def test_an_expiry_that_eight_requests_notice_at_once_is_recorded_once(
    user, phone, browser, reason, kind
):
    sid = phone.access.sid if kind == "token" else row_of(browser).sid
    Session.objects.update(**RUN_OUT[reason]())

    def notice():
        if kind == "token":
            bearer = {"Authorization": f"Bearer {phone.access}"}
            return Client().get("/user", headers=bearer).status_code
        other = Client()
        other.cookies[COOKIE] = browser.cookies[COOKIE].value
        return other.get("/admin/").status_code

    statuses = race(*[notice] * 8)

    assert set(statuses) == {401 if kind == "token" else 302}
    event = LogoutEvent.objects.get()
    assert (event.session_id, event.reason) == (sid, reason)


@pytest.mark.usefixtures("_limits")
@pytest.mark.parametrize("kind", ["browser", "token"])
@pytest.mark.parametrize("reason", RUN_OUT)
@pytest.mark.django_db(transaction=True)
def test_under_atomic_requests_the_record_survives_the_refusal(
    monkeypatch, send, phone, browser, reason, kind
):
    sid = phone.access.sid if kind == "token" else row_of(browser).sid
    Session.objects.update(**RUN_OUT[reason]())
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)

    if kind == "token":
        assert send("GET", "/host", phone.access).status_code == 401
    else:
        assert browser.get("/members").status_code == 403

    event = LogoutEvent.objects.get()
    assert (event.session_id, event.reason) == (sid, reason)
    assert not Session.objects.filter(sid=sid).exists()


@pytest.mark.postgresql  # on SQLite a test's connections share one file in memory
@pytest.mark.usefixtures("_limits")
@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize(
    ("kind", "path", "refused"),
    [("token", "/user", 401), ("token", "/host", 401), ("browser", "/admin/", 302)],
)
@pytest.mark.django_db(transaction=True)
def test_under_asgi_an_expiry_is_recorded_once(
    phone, browser, monkeypatch, kind, path, refused, atomic
):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", atomic)
    sid = phone.access.sid if kind == "token" else row_of(browser).sid
    Session.objects.update(**RUN_OUT["idle_timeout"]())
    headers = {"Authorization": f"Bearer {phone.access}"}
    if kind == "browser":
        headers = {"Cookie": f"{COOKIE}={browser.cookies[COOKIE].value}"}

    for _ in range(2):
        assert asgi.status_of("GET", path, headers=headers) == refused

    event = LogoutEvent.objects.get()
    assert (event.session_id, event.reason) == (sid, "idle_timeout")


# Beside use


@pytest.mark.usefixtures("_limits")
def test_a_login_that_was_used_meanwhile_is_not_ended(phone, is_in):
    Session.objects.update(**RUN_OUT["idle_timeout"]())
    stale = Session.objects.get()
    Session.objects.update(last_seen_at=timezone.now())

    assert services.run_out(session=stale) == UNCHANGED

    assert is_in(phone.access)
    assert not LogoutEvent.objects.exists()


def test_a_login_that_has_not_run_out_is_not_ended(phone, is_in):
    assert services.run_out(session=Session.objects.get()) == UNCHANGED

    assert is_in(phone.access)


@pytest.mark.usefixtures("_limits")
@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_login_that_is_used_in_the_very_same_moment_is_not_ended(phone, is_in):
    Session.objects.update(last_seen_at=ago(minutes=14, seconds=59.9))
    user_of_it = Session.objects.get()
    Session.objects.update(**RUN_OUT["idle_timeout"]())
    stale = Session.objects.get()
    started = threading.Event()

    def end():
        started.set()
        try:
            return services.run_out(session=stale)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            user_of_it.touch()
            result = pool.submit(end)
            assert started.wait(10)
            wait_for_a_lock()
        assert result.result(timeout=30) == UNCHANGED

    assert is_in(phone.access)
    assert not LogoutEvent.objects.exists()


@pytest.mark.usefixtures("_limits")
@pytest.mark.parametrize("kind", ["browser", "token"])
def test_use_is_noted_at_most_once_a_minute(is_in, phone, browser, kind):
    def use():
        assert is_in(phone.access) if kind == "token" else enters(browser)
        return Session.objects.get(kind=kind).last_seen_at

    recently, long_ago = ago(seconds=50), ago(seconds=61)
    Session.objects.update(last_seen_at=recently)
    assert use() == recently

    Session.objects.update(last_seen_at=long_ago)
    noted = use()
    assert noted > recently
    assert use() == noted


# The end of the browser


@pytest.mark.parametrize("reason", RUN_OUT)
def test_a_login_until_the_browser_closes_has_its_limits_all_the_same(browse, settings, reason):
    settings.ACCOUNTS = AAL3
    settings.SESSION_EXPIRE_AT_BROWSER_CLOSE = True
    browser = browse()
    cookie = browser.cookies[COOKIE]
    assert cookie["expires"] == ""
    assert cookie["max-age"] == ""
    assert enters(browser)

    Session.objects.update(**RUN_OUT[reason]())

    assert not enters(browser)
    assert LogoutEvent.objects.get().reason == reason


def test_otherwise_the_cookie_outlives_the_browser(browser):
    assert browser.cookies[COOKIE]["expires"]


# Logging in again in the same browser


def test_logging_in_again_starts_the_clocks_again(browser, ana):
    Session.objects.update(authenticated_at=ago(days=3), last_seen_at=ago(seconds=30))
    before = timezone.now()

    submit(browser)

    assert enters(browser)
    row = Session.objects.get(user=ana)
    assert row.authenticated_at >= before
    assert row.last_seen_at >= before


def test_logging_in_gives_an_anonymous_browser_a_new_key(client, ana):
    store = client.session
    store["basket"] = 3
    store.save()
    old_key = store.session_key
    client.cookies[COOKIE] = old_key

    submit(client)

    assert client.cookies[COOKIE].value != old_key
    thief = Client()
    thief.cookies[COOKIE] = old_key
    assert not enters(thief)


# Too many at a time


@pytest.fixture
def at_most(settings):
    def run(count):
        settings.ACCOUNTS = {"MAX_SESSIONS": count}

    run(2)
    return run


@pytest.mark.django_db(transaction=True)
def test_the_oldest_login_ends_recorded_and_announced(log_in, renew, at_most, user):
    heard = []

    def hear(event, **kwargs):
        heard.append(event.session_id)

    first = log_in("Phone/1").json()
    oldest = Session.objects.get()
    log_in("Phone/2")
    login_ended.connect(hear)
    try:
        log_in("Phone/3")
    finally:
        login_ended.disconnect(hear)

    assert agents() == ["Phone/2", "Phone/3"]
    event = LogoutEvent.objects.get()
    assert (event.reason, event.initiator, event.scope) == ("max_sessions", "policy", "session")
    assert (event.session_id, event.user, event.actor) == (oldest.sid, user, None)
    assert (event.ip_address, event.user_agent) == ("127.0.0.1", "Phone/1")
    assert (event.sessions_ended, event.tokens_revoked) == (1, 1)
    assert heard == [oldest.sid]
    assert renew(first["refresh_token"]).status_code == 400
    assert BlacklistedToken.objects.filter(token__jti=oldest.refresh_jti).exists()


def test_browser_and_token_logins_count_together(log_in, browse, at_most):
    browser = browse("Laptop/1")
    log_in("Phone/1")
    assert enters(browser)

    log_in("Phone/2")
    assert agents() == ["Phone/1", "Phone/2"]
    assert not enters(browser)

    browse("Laptop/2")
    assert agents() == ["Phone/2", "Laptop/2"]
    assert list(LogoutEvent.objects.order_by("id").values_list("user_agent", "reason")) == [
        ("Laptop/1", "max_sessions"),
        ("Phone/1", "max_sessions"),
    ]


def test_a_forced_log_in_counts_too(client, user, log_in, at_most):
    log_in("Phone/1")
    log_in("Phone/2")

    client.force_login(user)

    assert agents() == ["Phone/2", ""]


def test_the_only_login_can_be_the_last_one(log_in, at_most, user):
    at_most(1)

    for number in range(3):
        log_in(f"Phone/{number}")

    assert agents() == ["Phone/2"]
    assert LogoutEvent.objects.count() == 2


def test_other_people_have_logins_of_their_own(log_in, at_most, user, stranger, device):
    services.log_in(user=stranger, client=device)
    log_in()
    log_in()

    assert Session.objects.filter(user=stranger).exists()
    assert not LogoutEvent.objects.exists()


def test_a_refresh_is_no_new_login(log_in, renew, at_most, user):
    tokens = log_in("Phone/1").json()
    log_in("Phone/2")

    assert renew(tokens["refresh_token"]).status_code == 200
    assert agents() == ["Phone/1", "Phone/2"]


def test_the_refresh_of_a_plain_token_is_a_new_login(log_in, renew, at_most, user):
    log_in("Phone/1")
    log_in("Phone/2")

    assert renew(SimpleJWTRefreshToken.for_user(user)).status_code == 200

    assert agents() == ["Phone/2", ""]


def test_a_browser_that_logs_in_again_ends_no_other(log_in, browser, at_most):
    log_in("Phone/1")

    for _ in range(3):
        submit(browser)

    assert sorted(agents()) == sorted(["Phone/1", FIREFOX])
    assert enters(browser)
    assert not LogoutEvent.objects.exists()


def test_a_login_that_has_run_out_takes_no_place(log_in, at_most, user):
    log_in("Phone/1")
    log_in("Phone/2")
    Session.objects.filter(user_agent="Phone/2").update(expire_date=timezone.now())

    log_in("Phone/3")

    assert "Phone/1" in agents()
    assert not LogoutEvent.objects.filter(user_agent="Phone/1").exists()


def test_a_lower_maximum_holds_from_the_next_log_in(log_in, at_most, is_in, user):
    at_most(5)
    access = [log_in(f"Phone/{number}").json()["access_token"] for number in range(5)]
    at_most(2)
    assert all(is_in(token) for token in access)

    log_in("Phone/5")

    assert agents() == ["Phone/4", "Phone/5"]
    assert LogoutEvent.objects.filter(reason="max_sessions").count() == 4


@pytest.mark.parametrize("limit", [None, 10])
def test_within_the_maximum_nothing_ends(log_in, settings, user, limit):
    settings.ACCOUNTS = {"MAX_SESSIONS": limit}

    for number in range(5):
        log_in(f"Phone/{number}")

    assert len(agents()) == 5
    assert not LogoutEvent.objects.exists()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("known", ["a user with logins", "a user's first"])
def test_parallel_log_ins_never_leave_more_than_the_maximum(settings, user, log_in, browse, known):
    settings.ACCOUNTS = {"MAX_SESSIONS": 3, "PASSWORD_RATE": "100/d"}
    begun = 0
    if known == "a user with logins":
        log_in()
        begun = 1

    for _ in range(3):
        answers = race(*[log_in] * 4, *[browse] * 4)

        assert [answer.status_code for answer in answers[:4]] == [200] * 4
        begun += 8
        assert Session.objects.filter(user=user).count() == 3
        assert LogoutEvent.objects.count() == begun - 3
        ended = LogoutEvent.objects.values_list("session_id", flat=True)
        assert len(set(ended)) == begun - 3
        kept = set(Session.objects.values_list("sid", flat=True))
        assert not kept & set(ended)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_parallel_log_ins_those_that_stay_work(settings, user, log_in, is_in):
    settings.ACCOUNTS = {"MAX_SESSIONS": 3, "PASSWORD_RATE": "100/d"}
    log_in()

    answers = race(*[log_in] * 8)

    assert sum(is_in(answer.json()["access_token"]) for answer in answers) == 3


def test_a_service_without_a_device_records_none(user, at_most, settings):
    at_most(1)
    services.log_in(user=user, client=ClientInfo())
    services.log_in(user=user, client=ClientInfo())

    event = LogoutEvent.objects.get()
    assert (event.ip_address, event.user_agent) == (None, "")


def test_logging_in_again_replaces_the_key(browser, ana):
    thief = Client()
    thief.cookies[COOKIE] = old_key = browser.cookies[COOKIE].value

    submit(browser)

    assert browser.cookies[COOKIE].value != old_key
    assert not enters(thief)
    assert enters(browser)


@pytest.mark.parametrize("has_run_out", [False, True])
@pytest.mark.django_db(transaction=True)
@pytest.mark.postgresql  # on SQLite a test's connections share one file in memory
def test_what_is_recorded_after_a_request_leaves_no_connection_open(
    phone, monkeypatch, has_run_out
):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    if has_run_out:
        Session.objects.update(expire_date=timezone.now())
    left_open = []
    # As on a server; Django's test client changes the order of who hears it.
    request_finished.disconnect(transactions._finish_request)
    request_finished.connect(transactions._finish_request)

    def serve():
        bearer = {"Authorization": f"Bearer {phone.access}"}
        answer = WSGIHandler()(RequestFactory().get("/host", headers=bearer).environ, Mock())
        answer.close()
        left_open.append(connection.connection is not None)
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()

    assert left_open == [False]
    assert LogoutEvent.objects.count() == int(has_run_out)
