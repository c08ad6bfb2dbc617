"""What attackers have tried: each test is a promise that did not hold once."""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from itertools import count as numbers

import pytest
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.test import Client, override_settings
from django.urls import include, path
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rest_framework.exceptions import Throttled
from rest_framework.test import APIRequestFactory
from rest_framework_simplejwt.tokens import AccessToken as SimpleJWTAccessToken
from rest_framework_simplejwt.views import TokenObtainPairView

from accounts import ratelimit, services
from accounts.conf import Rate
from accounts.models import LogoutEvent, Session, TokenVersion
from accounts.pages.admin import AdminSite
from accounts.passwords import DEVICE_COOKIE
from accounts.ratelimit import Attempts, Outage, count
from tests.http import PASSWORD

pytestmark = pytest.mark.django_db

GUESSES = 10
LOGOUTS = 20


urlpatterns = [
    path("stock/token", TokenObtainPairView.as_view()),
    path("", include("authproject.urls")),
]


@pytest.fixture(autouse=True)
def _windows_of_a_day(settings):
    """Let no window end during a test."""
    rates = {"LOGOUT_RATE": "20/1d", "PASSWORD_RATE": "10/1d", "ADDRESS_RATE": "100/1d"}
    settings.ACCOUNTS = {**settings.ACCOUNTS, **rates}


@pytest.fixture
def grant():
    """Ask for tokens with a password, from a client of its own unless one is given."""

    def ask(password="wrong", by=None, *, headers=None, **name):
        body = {"grant_type": "password", "password": password, **(name or {"username": "ana"})}
        kind = "application/json"
        return (by or Client()).post("/token", body, content_type=kind, headers=headers or {})

    return ask


@pytest.fixture
def staff(user):
    user.is_staff = user.is_superuser = True
    user.save()
    return user


def log_out(token, scope=None, path="/logout", **more):
    body = {**({"scope": scope} if scope else {}), **more}
    return Client().post(
        path, body, content_type="application/json", headers={"Authorization": f"Bearer {token}"}
    )


def delete(token, sid):
    return Client().delete(f"/sessions/{sid}", headers={"Authorization": f"Bearer {token}"})


# Every way to try a password counts in one place


def try_at_token(password):
    body = {"grant_type": "password", "username": "ana", "password": password}
    return Client().post("/token", body, content_type="application/json")


def try_at_the_page(password):
    return Client().post("/account/login", {"username": "ana", "password": password})


def try_at_the_admin(password):
    return Client().post("/admin/login/", {"username": "ana", "password": password})


def try_at_simplejwts_view(password):
    body = {"username": "ana", "password": password}
    return Client().post("/stock/token", body, content_type="application/json")


WAYS = [try_at_token, try_at_the_page, try_at_the_admin, try_at_simplejwts_view]


@pytest.mark.urls(__name__)
@pytest.mark.usefixtures("staff")
@pytest.mark.parametrize("attempt", WAYS)
def test_a_password_is_tried_ten_times_whichever_way_is_taken(attempt):
    for number in range(GUESSES):
        assert WAYS[number % len(WAYS)]("wrong").status_code in {200, 400, 401}

    answer = attempt(PASSWORD)

    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 86_400


@pytest.mark.urls(__name__)
@pytest.mark.usefixtures("staff")
@pytest.mark.parametrize(("attempt", "status"), list(zip(WAYS, [200, 302, 302, 200], strict=True)))
def test_what_succeeds_does_not_count_whichever_way_is_taken(attempt, status):
    assert [attempt(PASSWORD).status_code for _ in range(GUESSES + 5)] == [status] * 15


def test_an_administrators_password_is_tried_ten_times_by_who_took_over_the_login(staff):
    browser = Client()
    browser.force_login(staff)
    new = {"new_password1": "a-new-One-1", "new_password2": "a-new-One-1"}

    answers = [
        browser.post("/admin/password_change/", {"old_password": "wrong", **new})
        for _ in range(GUESSES + 1)
    ]
    last = browser.post("/admin/password_change/", {"old_password": PASSWORD, **new})

    assert [answer.status_code for answer in answers] == [200] * GUESSES + [429]
    assert last.status_code == 429
    assert 1 <= int(last.headers["Retry-After"]) <= 86_400
    staff.refresh_from_db()
    assert staff.check_password(PASSWORD)


def test_an_administrator_changes_their_password(staff):
    browser = Client()
    browser.force_login(staff)
    new = {"new_password1": "a-new-One-1", "new_password2": "a-new-One-1"}

    answer = browser.post("/admin/password_change/", {"old_password": PASSWORD, **new})

    assert answer.status_code == 302
    staff.refresh_from_db()
    assert staff.check_password("a-new-One-1")
    assert browser.get("/admin/").status_code == 200


@pytest.mark.urls(__name__)
@pytest.mark.usefixtures("staff")
@pytest.mark.parametrize("attempt", WAYS)
@pytest.mark.parametrize("spent_by", ["ana", "ana@example.com"], ids=["the name", "the account"])
def test_a_guess_that_a_limit_refuses_is_in_the_security_log_once(
    attempt, spent_by, grant, security_log
):
    for _ in range(GUESSES):
        grant(email=spent_by)
    before = len(security_log())

    attempt("wrong")

    [line] = security_log()[before:]
    # Of an account that has been guessed at, our endpoint says what it answers: a wrong password.
    assert line["event"] in {"excess_rate_limit_exceeded", "authn_login_fail"}
    assert line["result"] == "failure"


def test_a_refused_change_of_the_admins_password_is_in_the_security_log(staff, security_log):
    browser = Client()
    browser.force_login(staff)
    for _ in range(GUESSES + 1):
        browser.post("/admin/password_change/", {"old_password": "wrong"})

    line = security_log()[-1]
    assert (line["event"], line["user"]) == ("excess_rate_limit_exceeded", str(staff.pk))


def test_a_site_may_have_a_template_of_its_own_to_change_a_password(staff, monkeypatch):
    monkeypatch.setattr(AdminSite, "password_change_template", "drf_logout/not_found.html")
    browser = Client()
    browser.force_login(staff)

    answer = browser.get("/admin/password_change/")

    assert answer.template_name == ["drf_logout/not_found.html"]


def test_the_admin_is_for_staff(user):
    answer = try_at_the_admin(PASSWORD)

    assert answer.status_code == 200
    assert "staff" in answer.text


def test_the_page_that_logs_in_to_the_admin_is_shown_and_skipped(staff):
    assert Client().get("/admin/login/").status_code == 200
    browser = Client()
    browser.force_login(staff)
    assert browser.get("/admin/login/").status_code == 302
    assert browser.get("/admin/password_change/").status_code == 200


# One account, one count, however it is named


@pytest.mark.parametrize("last", [{"username": "ana"}, {"email": "ana@example.com"}])
def test_an_account_is_guessed_at_ten_times_however_it_is_named(user, grant, last):
    names = [
        {"username": "ana"},
        {"email": "ana"},
        {"email": "ana@example.com"},
        {"email": "ANA@EXAMPLE.COM"},
        {"email": "Ana@eXample.com"},
    ]
    for number in range(GUESSES):
        assert grant(**names[number % len(names)]).status_code == 400

    assert grant(PASSWORD, **last).status_code in {400, 429}


def test_a_name_in_another_unicode_form_has_no_count_of_its_own(user, grant):
    for name in ("ana", "\uff41na", "ANA", "a\uff2ea", "\u1d43na") * 2:
        assert grant(username=name).status_code == 400

    assert grant(PASSWORD).status_code == 429


# Who exists stays unknown


@pytest.mark.parametrize("between", [1, 5, 9])
def test_when_429_begins_does_not_tell_who_exists(user, grant, between):
    def answers(name, address):
        said = [grant(username=name).status_code for _ in range(between)]
        return said + [grant(email=address).status_code for _ in range(12)]

    assert answers("ana", "ana@example.com") == answers("bob", "bob@example.com")


def test_an_account_that_has_been_guessed_at_is_refused_as_by_a_wrong_password(user, grant):
    for number in range(GUESSES):
        grant(**({"username": "ana"} if number % 2 else {"email": "ana@example.com"}))

    refused = grant(PASSWORD)
    wrong = grant(username="nobody")

    assert (refused.status_code, refused.json()) == (wrong.status_code, wrong.json())


# Strangers keep nobody out


def test_a_device_that_was_the_users_before_is_not_kept_out_by_strangers(user, grant):
    device = Client()
    assert grant(PASSWORD, device).status_code == 200
    for _ in range(GUESSES + 5):
        grant()
    assert grant(PASSWORD).status_code == 429

    assert grant(PASSWORD, device).status_code == 200
    assert device.post("/account/login", {"username": "ana", "password": PASSWORD}).url
    assert [grant(by=device).status_code for _ in range(GUESSES + 1)] == [400] * GUESSES + [429]


@pytest.mark.parametrize("way", ["/account/login", "/admin/login/"])
def test_a_browser_is_remembered_wherever_it_has_logged_in(staff, grant, way):
    browser = Client()
    browser.post(way, {"username": "ana", "password": PASSWORD})
    cookie = browser.cookies[DEVICE_COOKIE]
    for _ in range(GUESSES):
        grant()

    assert grant(PASSWORD, browser).status_code == 200
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
    assert cookie.value.partition("-")[0] == browser.cookies[DEVICE_COOKIE].value.partition("-")[0]


def test_a_device_of_somebody_else_is_a_stranger(user, stranger, grant):
    device = Client()
    grant(PASSWORD, device, username="eve")

    for _ in range(GUESSES):
        assert grant(by=device).status_code == 400
    assert grant(PASSWORD, device).status_code == 429
    assert grant(PASSWORD, device, username="eve").status_code == 200


def test_a_device_is_a_stranger_once_the_password_has_changed(user, grant):
    device = Client()
    grant(PASSWORD, device)
    user.set_password("a-new-One-1")
    user.save()
    for _ in range(GUESSES):
        grant()

    assert grant("a-new-One-1", device).status_code == 429


@pytest.mark.parametrize("value", ["", "x", "x:y:z", "\xff", "-", "a" * 5_000])
def test_a_cookie_that_is_not_ours_makes_a_stranger(user, grant, value):
    for _ in range(GUESSES):
        grant()
    device = Client()
    device.cookies[DEVICE_COOKIE] = value

    assert grant(PASSWORD, device).status_code == 429


def test_who_is_logged_in_may_confirm_who_they_are_whatever_strangers_tried(user, phone, grant):
    for _ in range(GUESSES + 5):
        grant()

    answer = Client().post(
        "/reauthenticate",
        {"password": PASSWORD},
        content_type="application/json",
        headers={"Authorization": f"Bearer {phone.access}"},
    )

    assert answer.status_code == 200


def test_another_login_of_the_user_does_not_keep_this_one_from_confirming(user, phone, laptop):
    def confirm(token, password):
        return (
            Client()
            .post(
                "/reauthenticate",
                {"password": password},
                content_type="application/json",
                headers={"Authorization": f"Bearer {token}"},
            )
            .status_code
        )

    stolen = [confirm(laptop.access, "wrong") for _ in range(GUESSES + 1)]

    assert stolen == [400] * GUESSES + [429]
    assert confirm(phone.access, PASSWORD) == 200


# A page of another site cannot try passwords


FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_the_token_endpoint_takes_no_form_of_another_site(user, grant, headers):
    body = f"grant_type=password&username=ana&password={PASSWORD}"
    kind = "application/x-www-form-urlencoded"

    answer = Client().post("/token", body, content_type=kind, headers=headers)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("headers", FOREIGN)
def test_simplejwts_view_takes_no_form_of_another_site(user, headers, security_log):
    body = {"username": "ana", "password": PASSWORD}

    assert Client().post("/stock/token", body, headers=headers).status_code == 403
    [line] = security_log()
    assert (line["event"], line["reason"]) == ("authn_login_fail", "foreign_form")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://testserver"},
        {"Origin": "https://app.example.com", "Sec-Fetch-Site": "same-site"},
        {"Origin": "https://a.example.org"},
    ],
)
@override_settings(CSRF_TRUSTED_ORIGINS=["https://app.example.com", "https://*.example.org"])
def test_a_form_of_this_site_or_of_no_browser_is_taken(user, headers):
    body = f"grant_type=password&username=ana&password={PASSWORD}"
    kind = "application/x-www-form-urlencoded"

    answer = Client().post("/token", body, content_type=kind, headers=headers)

    assert answer.status_code == 200


def test_json_of_another_site_is_a_matter_of_cors(user, grant):
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://app.example.com"}

    assert grant(PASSWORD, headers=headers).status_code == 200


# Others keep nobody in


@pytest.fixture
def spent(user, device):
    """Let somebody with a dead token of the user spend the logouts of the next minutes."""
    dead = services.log_in(user=user, client=device).access
    log_out(dead)
    for _ in range(LOGOUTS):
        last = log_out(dead)
    assert last.status_code == 429


@pytest.mark.usefixtures("spent")
@pytest.mark.parametrize("scope", ["session", "refresh_tokens", "global", "others"])
def test_the_first_logout_of_a_standing_login_is_never_refused(phone, laptop, is_in, scope):
    answer = log_out(phone.access, scope)

    assert answer.status_code == 200
    assert answer.headers["RateLimit"].startswith('"logout";r=0;')
    assert "Retry-After" not in answer.headers
    assert is_in(phone.access) is (scope == "others")
    assert is_in(laptop.access) is (scope in {"session", "refresh_tokens"})


@pytest.mark.usefixtures("spent")
def test_a_login_throws_the_others_out_as_often_as_the_limit_says(phone):
    statuses = [log_out(phone.access, "others").status_code for _ in range(LOGOUTS + 1)]

    assert statuses == [200] * LOGOUTS + [429]
    assert log_out(phone.access).status_code == 200


@pytest.mark.usefixtures("spent")
def test_a_plain_token_may_leave_and_is_of_no_login_that_has_a_limit_of_its_own(user):
    TokenVersion.objects.all().delete()
    plain = SimpleJWTAccessToken.for_user(user)

    assert log_out(plain, "others").status_code == 429
    assert log_out(plain).status_code == 200


@pytest.mark.usefixtures("spent")
def test_a_second_logout_is_within_the_limit(phone):
    assert log_out(phone.access).status_code == 200
    assert log_out(phone.access).status_code == 429


@pytest.mark.usefixtures("spent")
def test_an_unknown_scope_is_no_way_past_the_limit(phone):
    assert log_out(phone.access, "none").status_code == 429


@pytest.mark.usefixtures("spent")
def test_a_login_ends_itself_by_its_id_whatever_others_have_spent(phone, is_in):
    assert delete(phone.access, phone.access.sid).status_code == 204
    assert not is_in(phone.access)


@pytest.mark.usefixtures("spent")
def test_a_login_ends_another_by_its_id_within_its_own_limit(phone, laptop, is_in):
    assert delete(phone.access, laptop.access.sid).status_code == 204
    again = [delete(phone.access, laptop.access.sid).status_code for _ in range(LOGOUTS)]

    assert again == [404] * (LOGOUTS - 1) + [429]


# What grows


def test_ending_ones_own_login_by_its_id_counts_as_a_logout(phone, laptop):
    delete(phone.access, phone.access.sid)

    assert log_out(laptop.access).headers["X-RateLimit-Remaining"] == str(LOGOUTS - 2)


def test_150_log_ins_of_one_user_leave_no_more_than_the_example_projects_limit(
    user, grant, settings
):
    for _ in range(150):
        assert grant(PASSWORD).status_code == 200

    assert Session.objects.count() == settings.ACCOUNTS["MAX_SESSIONS"] == 50
    assert LogoutEvent.objects.count() == 100


def test_the_use_of_an_ended_login_is_an_alarm_once(phone, laptop, is_in, security_log):
    for ended in (phone, laptop):
        log_out(ended.access)
        for _ in range(5):
            assert not is_in(ended.access)

    alarms = [line["session"] for line in security_log() if line["level"] == "CRITICAL"]
    assert alarms == [str(phone.access.sid), str(laptop.access.sid)]


# The limiter at every moment of its windows


class Clock:
    """A clock that ticks, as it is told, each time it is read."""

    def __init__(self, start, ticks):
        self.now, self.ticks = start, iter(ticks)

    def time(self):
        self.now += next(self.ticks, 0)
        return self.now

    def monotonic(self):
        return self.now


@pytest.fixture
def clocked(monkeypatch):
    def use(clock):
        for module in ("accounts.ratelimit", "django_ratelimit.core"):
            monkeypatch.setattr(f"{module}.time", clock)
        monkeypatch.setattr(ratelimit, "_outage", Outage())
        caches["default"].clear()

    return use


START = 1_790_000_000
TICKS = st.lists(st.sampled_from([0, 0, 0, 0, 1, 1, 2, 7]), max_size=60)
RATE = Rate(limit=3, seconds=10)
OFTEN = hypothesis_settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(start=st.integers(START, START + 9), ticks=TICKS, key=st.text(max_size=5))
@example(start=START, ticks=[0, 0, 1] * 20, key="k")
@OFTEN
def test_no_tick_of_the_clock_switches_a_limit_off(clocked, start, ticks, key):
    key = key.encode(errors="replace").decode()
    clock = Clock(start, ticks)
    clocked(clock)
    request = APIRequestFactory().get("/")
    passed = []

    for _ in range(15):
        began = clock.now
        usage = count(request, name="n", key=key, rate=RATE)
        assert usage.reset >= 1
        if not usage.exceeded:
            passed.append((began, clock.now))

    assert most_in_a_window(passed, key) <= RATE.limit


@given(
    start=st.integers(START, START + 9),
    ticks=TICKS,
    ends=st.lists(st.tuples(st.booleans(), st.integers(0, 4)), max_size=20),
)
@OFTEN
def test_no_success_at_any_moment_allows_one_guess_more(clocked, start, ticks, ends):
    clock = Clock(start, ticks)
    clocked(clock)
    request = APIRequestFactory().get("/")
    failed, open_ones, number = [], [], numbers()

    for succeeds, wait in ends:
        began = clock.now
        try:
            attempt = Attempts(request, name="n", key="k", rate=RATE)
        except Throttled:
            continue
        # It ends later, beside others, and perhaps in another window.
        open_ones.append((next(number) + wait, attempt, succeeds))
        if not succeeds:
            failed.append((began, clock.now))
        for due, other, well in list(open_ones):
            if due <= len(open_ones):
                open_ones.remove((due, other, well))
                if well:
                    other.succeed()

    assert most_in_a_window(failed, "k") <= RATE.limit


def most_in_a_window(moments, key):
    """Return how many of these were counted in one window for sure: neither end is outside it."""
    spans = [(window_of(began, key), window_of(ended, key)) for began, ended in moments]
    windows = Counter(first for first, last in spans if first == last)
    return max(windows.values(), default=0)


def window_of(moment, key):
    """Return the last second of a window, which django-ratelimit offsets by the key."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    return moment + (zlib.crc32(digest.encode()) - moment) % RATE.seconds


class ForgetfulCache(LocMemCache):
    """A store that has let go of its counter when it is to be raised for the first time."""

    asked = False

    def add(self, *args, **kwargs):
        was, self.asked = self.asked, True
        return was and super().add(*args, **kwargs)


@pytest.mark.parametrize("name", ["\x00", "\ud800", "a" * 100_000, " ", "\n", "%00", "k\u0301"])
def test_no_name_makes_the_limiter_believe_in_an_outage(user, grant, name):
    grant(username=name)

    assert count(APIRequestFactory().get("/"), name="n", key=f"name:{name}", rate=RATE).count == 1


def test_a_counter_that_the_store_let_go_is_no_outage(settings):
    settings.CACHES = {"default": {"BACKEND": f"{__name__}.ForgetfulCache"}}

    usage = count(APIRequestFactory().get("/"), name="n", key="k", rate=RATE)

    assert usage.count == 1


@pytest.mark.usefixtures("user")
def test_a_hosts_fail_open_setting_of_the_library_switches_nothing_off(settings, grant):
    settings.RATELIMIT_FAIL_OPEN = True
    settings.CACHES = {"default": {"BACKEND": "tests.test_ratelimit.RefusingCache"}}

    # A minute's share of the rate, and at least one.
    assert [grant().status_code for _ in range(3)] == [400, 429, 429]
