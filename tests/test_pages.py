"""The pages, as a browser without JavaScript has them."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import include, path
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken
from rest_framework_simplejwt.tokens import RefreshToken as StockRefreshToken

from accounts import services
from accounts.clients import ClientInfo
from accounts.models import LogoutEvent, Session, hash_key
from accounts.pages import views
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db

SESSIONS = "/account/sessions"
LOGIN = "/account/login"
OTHERS = "/account/sessions/end-others"
ALL = "/account/sessions/end-all"
LOGOUT = "/account/logout"
REAUTHENTICATE = "/account/reauthenticate"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0"
SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.4 Safari/605.1.15"
)
STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

urlpatterns = [
    path("", include("authproject.urls")),
    path(
        "framed/login",
        views.LoginPage.as_view(content_security_policy={"frame-ancestors": ["https://a.example"]}),
    ),
    path("bare/login", views.LoginPage.as_view(content_security_policy={})),
]


class Browser(Client):
    """A browser that somebody may log in with."""

    def log_in(self, name="ana", password=PASSWORD, **data):
        return self.post(LOGIN, {"username": name, "password": password, **data})

    @property
    def key(self):
        return self.cookies["sessionid"].value

    @property
    def row(self):
        return Session.objects.get(session_key=hash_key(self.key))

    @property
    def is_in(self):
        return self.get(SESSIONS).status_code == 200


@pytest.fixture
def open_browser(user):
    """Make browsers that the user is logged in with."""

    def make(agent=FIREFOX, address="192.0.2.7", **options):
        browser = Browser(headers={"user-agent": agent}, REMOTE_ADDR=address, **options)
        assert browser.log_in().status_code == 302
        return browser

    return make


@pytest.fixture
def browser(open_browser):
    return open_browser()


@pytest.fixture
def other(browser, open_browser):
    """Another browser of the user, that logged in later."""
    return open_browser(SAFARI, "198.51.100.9")


def end_of(browser):
    return f"{SESSIONS}/{browser.row.sid}/end"


def text(response):
    """Return what a page says, without its markup."""
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def shown(response):
    """Return the devices of the list, with what each is said to be."""
    items = response.content.decode().replace("&nbsp;", " ").split('<li class="card device')[1:]
    return [
        " ".join(re.sub(r"<[^>]+>", " ", f"<{item}".split("</li>")[0]).split()) for item in items
    ]


# Logging in


def test_a_right_password_leads_to_the_devices(user):
    browser = Browser()
    response = browser.log_in()
    assert response.status_code == 302
    assert response.url == SESSIONS
    assert browser.is_in


@pytest.mark.standard("ASVS 7.2.4")
def test_a_login_gets_a_key_of_its_own(user):
    browser = Browser()
    anonymous = browser.session
    anonymous["basket"] = 3
    anonymous.save()
    before = browser.key
    browser.log_in()
    assert browser.key != before
    assert not Session.objects.filter(session_key=hash_key(before)).exists()


@pytest.mark.parametrize(
    ("wanted", "leads_to"),
    [
        ("/admin/", "/admin/"),
        ("https://evil.example/", SESSIONS),
        ("//evil.example/", SESSIONS),
        ("javascript:alert(1)", SESSIONS),
    ],
)
def test_next_is_followed_on_this_site_only(user, wanted, leads_to):
    assert Browser().log_in(next=wanted).url == leads_to


def test_next_survives_a_wrong_password(user):
    page = Browser().log_in(password="wrong", next="/admin/").content.decode()
    assert '<input type="hidden" name="next" value="/admin/">' in page


def test_who_is_logged_in_is_led_on(browser):
    assert browser.get(LOGIN).url == SESSIONS


@pytest.mark.parametrize(("name", "password"), [("ana", "wrong"), ("nobody", PASSWORD)])
def test_a_wrong_password_or_name_is_an_error_of_the_form(user, name, password):
    browser = Browser()
    response = browser.log_in(name, password)
    assert response.status_code == 200
    assert "Please enter a correct username and password" in text(response)
    assert not browser.is_in


def test_a_name_alone_is_no_attempt(user):
    response = Browser().log_in(password="")
    assert response.status_code == 200
    assert "This field is required." in text(response)


def test_too_many_wrong_passwords_are_told_when_to_try_again(user, settings, security_log):
    settings.ACCOUNTS = {"PASSWORD_RATE": "2/5m"}
    browser = Browser()
    browser.log_in(password="wrong")
    browser.log_in(password="wrong")
    response = browser.log_in()
    assert response.status_code == 429
    seconds = int(response.headers["Retry-After"])
    minutes = -(-seconds // 60)
    said = f"Too many attempts. Try again in {minutes} minute{'s' if minutes > 1 else ''}."
    assert said in text(response)
    assert not browser.is_in
    line = security_log()[-1]
    assert (line["event"], line["result"]) == ("excess_rate_limit_exceeded", "failure")


@pytest.fixture
def store_down(settings):
    def take_away():
        settings.CACHES = {
            "default": {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": "redis://127.0.0.1:1/0",
                "OPTIONS": {"socket_connect_timeout": 0.5, "retry": None},
            }
        }

    return take_away


def test_without_the_store_that_counts_few_log_in(user, store_down):
    store_down()
    responses = [Browser().log_in() for _ in range(3)]
    assert [response.status_code for response in responses] == [302, 302, 429]
    assert "Too many attempts. Try again in 1 minute." in text(responses[2])
    assert 1 <= int(responses[2].headers["Retry-After"]) <= 60


def test_a_host_that_asks_everywhere_to_log_in_has_a_login_page(user, settings):
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
    assert Browser().get(LOGIN).status_code == 200
    assert Browser().get(LOGOUT).url == LOGIN


# The list


@pytest.mark.parametrize(
    "page", [SESSIONS, f"{SESSIONS}/{UUID(int=4)}/end", OTHERS, ALL, REAUTHENTICATE]
)
def test_who_is_not_logged_in_is_asked_to(page):
    assert Browser().get(page).url == f"{LOGIN}?next={page}"


def test_the_root_of_the_pages_leads_to_the_devices_and_who_is_not_logged_in_to_log_in(browser):
    assert browser.get("/account/", follow=True).redirect_chain == [(SESSIONS, 302)]
    anonymous = Browser().get("/account/", follow=True)
    assert anonymous.redirect_chain[-1][0] == f"{LOGIN}?next={SESSIONS}"


@pytest.mark.standard("ASVS 7.5.2")
def test_a_person_sees_every_login_of_theirs_this_one_first(browser, other, user, stranger):
    services.log_in(user=user, client=ClientInfo(ip_address="203.0.113.5", user_agent="okhttp/4.1"))
    services.log_in(user=stranger, client=ClientInfo(user_agent="Strange/1"))
    devices = shown(browser.get(SESSIONS))
    assert len(devices) == 3
    assert "Firefox on Windows This device Browser 192.0.2.7 Active now" in devices[0]
    assert "okhttp App 203.0.113.5" in devices[1]
    assert "Safari on Mac Browser 198.51.100.9" in devices[2]
    assert "This device" not in devices[1] + devices[2]


def test_times_are_told_in_words_and_to_machines(browser, other):
    now = timezone.now()
    Session.objects.filter(pk=other.row.pk).update(
        last_seen_at=now - timedelta(hours=5, minutes=2),
        authenticated_at=now - timedelta(days=3, hours=1),
        expire_date=now + timedelta(days=8, minutes=1),
    )
    response = browser.get(SESSIONS)
    assert (
        "Last seen 5 hours ago Logged in 3 days ago Ends by itself in 1 week, 1 day"
        in shown(response)[1]
    )
    row = other.row
    for moment in (row.last_seen_at, row.authenticated_at, row.expires_at):
        assert f'<time datetime="{moment.isoformat()}">' in response.content.decode()


def test_a_login_without_clocks_is_shown_too(browser, user):
    Session.objects.create(
        session_key="imported",
        user=user,
        expire_date=timezone.now() + timedelta(days=1),
        auth_hash=user.get_session_auth_hash(),
    )
    assert "Unknown device Browser Active now Logged in just now" in " ".join(
        shown(browser.get(SESSIONS))
    )


def test_the_place_of_an_address_stands_beside_it(open_browser):
    browser = open_browser(address="10.0.0.7")
    assert "Browser 10.0.0.7 (local network)" in shown(browser.get(SESSIONS))[0]


def test_what_has_run_out_is_not_listed(browser, other):
    Session.objects.filter(pk=other.row.pk).update(expire_date=timezone.now())
    assert len(shown(browser.get(SESSIONS))) == 1


def test_a_page_has_twenty_logins(browser, user):
    for _ in range(21):
        services.log_in(user=user, client=ClientInfo())
    first = browser.get(SESSIONS)
    second = browser.get(f"{SESSIONS}?page=2")
    assert (len(shown(first)), len(shown(second))) == (20, 2)
    assert "Page 1 of 2" in text(first)
    assert 'href="?page=2"' in first.content.decode()
    assert 'href="?page=1"' in second.content.decode()
    assert "This device" not in text(second)
    assert browser.get(f"{SESSIONS}?page=3").status_code == 404


def test_the_number_of_statements_does_not_grow_with_the_logins(browser, user):
    def statements():
        with CaptureQueriesContext(connection) as captured:
            assert browser.get(SESSIONS).status_code == 200
        return len(captured)

    with_one = statements()
    for _ in range(30):
        services.log_in(user=user, client=ClientInfo())
    # The session, its user, how many, and a page of them.
    assert with_one == statements() == 4


def test_no_page_shows_a_key(browser, other):
    for page in (SESSIONS, OTHERS, ALL, end_of(other), LOGOUT):
        content = browser.get(page).content.decode()
        for secret in (browser.key, other.key, browser.row.pk, other.row.pk):
            assert secret not in content


# Ending one


@pytest.mark.standard("ASVS 7.5.2")
def test_one_login_is_ended_after_the_password(browser, other):
    third = browser.row.sid
    page = end_of(other)
    asked = browser.get(page)
    assert "Safari on Mac" in text(asked)
    assert 'type="password"' in asked.content.decode()
    assert other.is_in
    sid = other.row.sid
    response = browser.post(page, {"password": PASSWORD}, follow=True)
    assert response.redirect_chain == [(SESSIONS, 302)]
    assert "Safari on Mac is logged out." in text(response)
    assert len(shown(response)) == 1
    assert not other.is_in
    event = LogoutEvent.objects.get()
    assert (event.session_id, event.scope, event.reason) == (sid, "session", "logout")
    assert (event.initiator, event.actor) == ("user", None)
    assert (event.ip_address, event.user_agent) == ("192.0.2.7", FIREFOX)
    assert browser.row.sid == third


@pytest.mark.standard("ASVS 7.2.4")
@pytest.mark.parametrize("page", [OTHERS, REAUTHENTICATE])
def test_a_right_password_gives_the_login_a_new_key_and_ends_the_old_one(browser, other, page):
    before, sid = browser.key, browser.row.sid
    browser.post(page, {"password": PASSWORD})
    assert browser.key != before
    assert browser.row.sid == sid
    assert browser.row.recently_reauthenticated
    assert browser.is_in
    thief = Browser()
    thief.cookies["sessionid"] = before
    assert not thief.is_in


@pytest.mark.parametrize("name", ["one", "others", "all"])
@pytest.mark.parametrize(
    ("password", "error"), [("", "This field is required."), ("wrong", "Wrong password.")]
)
def test_without_the_password_nothing_ends(browser, other, name, password, error):
    key = browser.key
    page = {"one": end_of(other), "others": OTHERS, "all": ALL}[name]
    response = browser.post(page, {"password": password})
    assert response.status_code == 200
    assert error in text(response)
    assert other.is_in
    assert browser.is_in
    assert browser.key == key
    assert not browser.row.recently_reauthenticated
    assert not LogoutEvent.objects.exists()


def test_the_password_of_somebody_else_ends_nothing(browser, other, stranger):
    stranger.set_password("another-password")
    stranger.save()
    response = browser.post(OTHERS, {"password": "another-password"})
    assert "Wrong password." in text(response)
    assert other.is_in


def test_guesses_are_limited(browser, other, settings):
    settings.ACCOUNTS = {"PASSWORD_RATE": "2/5m"}
    for _ in range(2):
        assert browser.post(OTHERS, {"password": "wrong"}).status_code == 200
    response = browser.post(OTHERS, {"password": PASSWORD})
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) >= 1
    assert "Too many attempts." in text(response)
    assert other.is_in


def test_without_the_store_that_counts_few_passwords_are_tried_but_one_can_leave(
    browser, other, store_down
):
    store_down()
    for _ in range(2):
        assert browser.post(OTHERS, {"password": "wrong"}).status_code == 200
    assert browser.post(OTHERS, {"password": PASSWORD}).status_code == 429
    assert other.is_in
    assert browser.post(LOGOUT).status_code == 302
    assert not browser.is_in


def test_who_has_just_proved_who_they_are_is_not_asked_again(browser, other):
    browser.post(REAUTHENTICATE, {"password": PASSWORD})
    page = end_of(other)
    assert 'type="password"' not in browser.get(page).content.decode()
    assert browser.post(page).url == SESSIONS
    assert not other.is_in


def test_a_host_can_do_without_the_password(browser, other, settings):
    settings.ACCOUNTS = {"REAUTHENTICATE_TO_END_OTHERS": False}
    assert 'type="password"' not in browser.get(OTHERS).content.decode()
    browser.post(OTHERS)
    assert not other.is_in


def test_this_login_is_ended_without_a_password_and_leads_to_the_login_page(browser, other):
    page, sid = end_of(browser), browser.row.sid
    assert 'type="password"' not in browser.get(page).content.decode()
    response = browser.post(page, follow=True)
    assert response.redirect_chain == [(LOGIN, 302)]
    assert "You have logged out." in text(response)
    assert not browser.is_in
    assert other.is_in
    assert LogoutEvent.objects.get().session_id == sid


@pytest.fixture(params=["unknown", "foreign", "run out"])
def absent(request, browser, other, stranger):
    """The id of a login that is not one of the user's."""
    if request.param == "unknown":
        return uuid4()
    if request.param == "foreign":
        return services.log_in(user=stranger, client=ClientInfo()).refresh.sid
    Session.objects.filter(pk=other.row.pk).update(expire_date=timezone.now())
    return other.row.sid


def test_what_is_no_login_of_theirs_is_not_found(browser, absent):
    page = f"{SESSIONS}/{absent}/end"
    for response in (browser.get(page), browser.post(page, {"password": PASSWORD})):
        assert response.status_code == 404
        assert "There is no such device, or it has logged out already." in text(response)
        assert response.headers["Content-Security-Policy"] == STRICT
    assert Session.objects.filter(sid=absent).exists() or not LogoutEvent.objects.exists()


class EndsOthersFirst(ModelBackend):
    """Tells whether a password is right after somebody else has ended other logins."""

    def authenticate(self, request, **credentials):
        user = super().authenticate(request, **credentials)
        Session.objects.of(user).exclude(pk=request.session.login.pk).delete()
        return user


class EndsItFirst(ModelBackend):
    """Tells whether a password is right after somebody else has ended the login that asks."""

    def authenticate(self, request, **credentials):
        user = super().authenticate(request, **credentials)
        Session.objects.filter(pk=request.session.login.pk).delete()
        return user


def test_a_login_that_ends_meanwhile_is_not_found(browser, other, settings):
    page = end_of(other)
    settings.AUTHENTICATION_BACKENDS = [
        f"{__name__}.EndsOthersFirst",
        *settings.AUTHENTICATION_BACKENDS,
    ]
    assert browser.post(page, {"password": PASSWORD}).status_code == 404
    assert not LogoutEvent.objects.exists()


@pytest.mark.parametrize("page", [OTHERS, ALL, REAUTHENTICATE])
def test_who_is_logged_out_meanwhile_has_to_log_in_and_ends_nothing(browser, other, settings, page):
    settings.AUTHENTICATION_BACKENDS = [
        f"{__name__}.EndsItFirst",
        *settings.AUTHENTICATION_BACKENDS,
    ]
    assert browser.post(page, {"password": PASSWORD}).url == f"{LOGIN}?next={page}"
    assert other.is_in


# Ending others, and all


def test_the_others_end_and_this_one_stays(browser, other, phone, is_in):
    asked = text(browser.get(OTHERS))
    assert "This logs out 2 devices, which have to log in again." in asked
    assert "Safari on Mac" in asked
    assert "Firefox on Windows" not in asked
    response = browser.post(OTHERS, {"password": PASSWORD}, follow=True)
    assert response.redirect_chain == [(SESSIONS, 302)]
    assert "2 other devices are logged out." in text(response)
    assert not other.is_in
    assert not is_in(phone.access)
    assert browser.is_in
    event = LogoutEvent.objects.get()
    assert (event.scope, event.session_id) == ("others", browser.row.sid)
    assert event.ip_address == "192.0.2.7"


def test_where_there_are_no_others_there_is_nothing_to_ask(browser):
    assert OTHERS not in browser.get(SESSIONS).content.decode()
    response = browser.get(OTHERS)
    assert "No other device is logged in." in text(response)
    assert "<form" not in response.content.decode()


def test_no_more_than_ten_are_named(browser, user):
    for _ in range(12):
        services.log_in(user=user, client=ClientInfo(user_agent="okhttp/4.1"))
    asked = text(browser.get(OTHERS))
    assert asked.count("okhttp") == 10
    assert "and 2 more" in asked


def test_everything_ends(browser, other, phone, is_in):
    assert "This logs out 3 devices, this one too." in text(browser.get(ALL))
    response = browser.post(ALL, {"password": PASSWORD}, follow=True)
    assert response.redirect_chain == [(LOGIN, 302)]
    assert "You have logged out on all devices." in text(response)
    assert not browser.is_in
    assert not other.is_in
    assert not is_in(phone.access)
    assert LogoutEvent.objects.get().scope == "global"


def test_who_is_logged_in_nowhere_else_ends_everything_without_a_password(browser):
    assert "the only one that is logged in" in text(browser.get(ALL))
    assert browser.post(ALL).url == LOGIN
    assert not browser.is_in


@pytest.mark.parametrize(
    ("page", "action"), [("one", "end_session"), (OTHERS, "end_others"), (ALL, "end_all")]
)
def test_the_security_log_has_each_of_them(browser, other, security_log, page, action):
    sid = other.row.sid if page == "one" else browser.row.sid
    browser.post(end_of(other) if page == "one" else page, {"password": PASSWORD})
    proved, ended = security_log()[-2:]
    assert (proved["event"], proved["action"]) == ("authn_login_success", "reauthenticate")
    assert (ended["event"], ended["action"]) == ("session_logout", action)
    assert (ended["result"], ended["session"]) == ("success", str(sid))
    assert ended["user"]


# Logging out


def test_a_question_ends_nothing(browser):
    assert "Log out?" in text(browser.get(LOGOUT))
    assert browser.is_in


def test_logging_out_ends_this_login_alone(browser, other):
    sid = browser.row.sid
    response = browser.post(LOGOUT, follow=True)
    assert response.redirect_chain == [(LOGIN, 302)]
    assert "You have logged out." in text(response)
    assert not browser.is_in
    assert other.is_in
    assert LogoutEvent.objects.get().session_id == sid


def test_logging_out_twice_is_a_success_that_changes_nothing(browser):
    browser.post(LOGOUT)
    assert browser.post(LOGOUT).url == LOGIN
    assert browser.get(LOGOUT).url == LOGIN
    assert LogoutEvent.objects.count() == 1


def test_a_host_says_where_a_logout_leads(browser, settings):
    settings.LOGOUT_REDIRECT_URL = None
    settings.LOGIN_URL = "/admin/login/"
    assert browser.post(LOGOUT).url == "/admin/login/"


@pytest.mark.standard("ASVS 14.3.1")
@pytest.mark.parametrize("page", [LOGOUT, ALL, "this one"])
def test_a_logout_over_https_clears_what_the_host_has_set(browser, settings, page):
    settings.ACCOUNTS = {"CLEAR_SITE_DATA": ["cookies", "storage"]}
    response = browser.post(end_of(browser) if page == "this one" else page, secure=True)
    assert response.status_code == 302
    assert response.headers["Clear-Site-Data"] == '"cookies", "storage"'


@pytest.mark.standard("ASVS 14.3.1")
@pytest.mark.parametrize(("kinds", "secure"), [([], True), (["cookies"], False)])
def test_nothing_is_cleared_where_it_is_not_set_or_not_over_https(browser, settings, kinds, secure):
    settings.ACCOUNTS = {"CLEAR_SITE_DATA": kinds}
    assert "Clear-Site-Data" not in browser.post(LOGOUT, secure=secure).headers


@pytest.mark.standard("ASVS 14.3.1")
def test_ending_another_login_clears_nothing_here(browser, other, settings):
    settings.ACCOUNTS = {"CLEAR_SITE_DATA": ["cookies"]}
    response = browser.post(OTHERS, {"password": PASSWORD}, secure=True)
    assert response.url == SESSIONS
    assert "Clear-Site-Data" not in response.headers


# Re-authenticating


@pytest.mark.parametrize(
    ("wanted", "leads_to"), [("/admin/", "/admin/"), ("//evil.example", SESSIONS), ("", SESSIONS)]
)
def test_a_re_authentication_goes_on_to_next_on_this_site(browser, wanted, leads_to):
    page = browser.get(REAUTHENTICATE, {"next": wanted}).content.decode()
    assert ('name="next" value="/admin/"' in page) == (wanted == "/admin/")
    assert "evil" not in page
    response = browser.post(REAUTHENTICATE, {"password": PASSWORD, "next": wanted})
    assert response.url == leads_to


def test_a_wrong_password_re_authenticates_nobody(browser):
    key = browser.key
    assert "Wrong password." in text(browser.post(REAUTHENTICATE, {"password": "wrong"}))
    assert browser.key == key
    assert not browser.row.recently_reauthenticated


def test_a_login_outlives_the_renewal_of_its_passwords_hash(browser, settings):
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.ScryptPasswordHasher",
        *settings.PASSWORD_HASHERS,
    ]
    browser.post(REAUTHENTICATE, {"password": PASSWORD})
    assert browser.is_in
    assert len(shown(browser.get(SESSIONS))) == 1


# What every page has


@pytest.mark.parametrize("page", [SESSIONS, "one", OTHERS, ALL, LOGOUT, REAUTHENTICATE])
def test_every_page_is_private_strict_and_without_inline_script(browser, other, page):
    check_page(browser.get(end_of(other) if page == "one" else page))


def test_so_is_the_login_page():
    check_page(Browser().get(LOGIN))


def check_page(response):
    assert response.status_code == 200
    assert {"no-store", "private", "no-cache"} <= set(response.headers["Cache-Control"].split(", "))
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert response.headers["Content-Security-Policy"] == STRICT
    page = response.content.decode()
    assert re.search(r'<html lang="en" dir="ltr">', page)
    assert re.search(r"<title>[A-Z][^<]+</title>", page)
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=)|javascript:", page)
    # Django's reports of errors leave everything out that was sent.
    assert response.wsgi_request.sensitive_post_parameters == "__ALL__"


@pytest.mark.parametrize("page", [LOGIN, "one", OTHERS, ALL, LOGOUT, REAUTHENTICATE])
def test_no_form_can_be_sent_from_elsewhere(browser, other, page, settings):
    # Of the pages' own accord: the host may have no CSRF middleware.
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "Csrf" not in name]
    forged = Browser(enforce_csrf_checks=True)
    if page != LOGIN:
        forged.cookies["sessionid"] = browser.key
    page = end_of(other) if page == "one" else page
    response = forged.post(page, {"username": "ana", "password": PASSWORD})
    assert response.status_code == 403
    assert browser.is_in
    assert other.is_in


def test_static_files_on_another_host_are_in_the_policy(settings):
    settings.STATIC_URL = "https://cdn.example.com/static/"
    response = Browser().get(LOGIN)
    assert 'href="https://cdn.example.com/static/drf_logout/pages.css"' in response.content.decode()
    assert response.headers["Content-Security-Policy"] == STRICT.replace(
        "script-src 'self'; style-src 'self'; img-src 'self'",
        "script-src 'self' https://cdn.example.com; style-src 'self' https://cdn.example.com; "
        "img-src 'self' https://cdn.example.com",
    )


def test_a_host_without_a_scheme_is_in_the_policy(settings):
    settings.STATIC_URL = "//cdn.example.com/"
    policy = Browser().get(LOGIN).headers["Content-Security-Policy"]
    assert "script-src 'self' cdn.example.com;" in policy


def test_where_a_form_leads_to_is_in_the_policy(settings):
    settings.LOGIN_REDIRECT_URL = settings.LOGOUT_REDIRECT_URL = "https://app.example.com/home"
    policy = Browser().get(LOGIN).headers["Content-Security-Policy"]
    assert "form-action 'self' https://app.example.com;" in policy


def test_a_host_changes_the_policy_by_as_view(settings):
    settings.ROOT_URLCONF = __name__
    response = Browser().get("/framed/login")
    assert response.headers["Content-Security-Policy"] == "frame-ancestors https://a.example"
    assert "Content-Security-Policy" not in Browser().get("/bare/login").headers


def test_another_session_engine_is_told(settings):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.db"
    with pytest.raises(ImproperlyConfigured, match="needs SESSION_ENGINE"):
        Browser().get(LOGIN)


def test_without_djangos_messages_a_page_says_what_happened_all_the_same(browser, other, settings):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "messages" not in name]
    same = Browser()
    same.cookies = browser.cookies
    response = same.post(OTHERS, {"password": PASSWORD}, follow=True)
    assert "1 other device is logged out." in text(response)
    assert "is logged out." not in text(same.get(SESSIONS))
    assert "You have logged out." in text(same.post(LOGOUT, follow=True))


def test_a_host_overrides_a_template_as_django_hosts_do(settings, tmp_path):
    (tmp_path / "drf_logout").mkdir()
    (tmp_path / "drf_logout" / "base.html").write_text(
        "<title>{% block title %}{% endblock %}</title><p>Host</p>{% block content %}{% endblock %}"
    )
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    page = Browser().get(LOGIN).content.decode()
    assert page.startswith("<title>Log in</title><p>Host</p>")
    assert 'name="password"' in page


def test_the_pages_need_no_context_processor(browser, other, settings):
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "OPTIONS": {}}]
    assert "ana" in text(browser.get(SESSIONS))
    page = end_of(other)
    assert f'action="{page}"' in browser.get(page).content.decode()
    assert browser.get(f"{SESSIONS}/{uuid4()}/end").status_code == 404


def test_the_pages_are_in_spanish_too(browser, other, settings):
    browser.cookies["django_language"] = "es"
    said = text(browser.get(SESSIONS))
    assert "Sus dispositivos" in said
    assert "Este dispositivo" in said
    assert '<html lang="es"' in browser.get(OTHERS).content.decode()
    assert "Contraseña incorrecta." in text(browser.post(OTHERS, {"password": "no"}))
    done = browser.post(OTHERS, {"password": PASSWORD}, follow=True)
    assert "Se cerró la sesión en 1 dispositivo más." in text(done)


def test_who_is_logged_in_by_other_means_has_no_devices(settings, user):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.everybody_is_ana"]
    assert Browser().get(SESSIONS).status_code == 403


def everybody_is_ana(get_response):
    """A host's middleware that lets people in without a session."""

    def middleware(request):
        from django.contrib.auth import get_user_model

        request.user = get_user_model().objects.get(username="ana")
        return get_response(request)

    return middleware


def test_plain_tokens_end_everywhere_too(browser, user):
    plain = StockRefreshToken.for_user(user)
    browser.post(ALL)

    assert BlacklistedToken.objects.filter(token__jti=plain["jti"]).exists()
