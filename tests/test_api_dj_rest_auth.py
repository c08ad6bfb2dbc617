"""The classes for hosts with dj-rest-auth; test_adoption.py has the page in a project."""

from __future__ import annotations

import pytest
from dj_rest_auth.app_settings import api_settings
from dj_rest_auth.utils import jwt_encode
from dj_rest_auth.views import LoginView as DjLoginView
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import include, path
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.settings import api_settings as simplejwt_settings

from accounts import passwords
from accounts.api.dj_rest_auth.authentication import JWTCookieAuthentication
from accounts.conf import conf
from accounts.models import LogoutEvent, Session
from accounts.tokens import decode_access
from tests.http import PASSWORD

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class HostView(APIView):
    """A protected view of the host."""

    authentication_classes = [JWTCookieAuthentication]
    permission_classes = [IsAuthenticated]

    def get(self, request):
        return Response()


class LoginView(DjLoginView):
    """In a host, whose own setting names our class."""

    authentication_classes = [JWTCookieAuthentication]


urlpatterns = [
    path("host", HostView.as_view()),
    path("public", HostView.as_view(permission_classes=())),
    path("login/", LoginView.as_view()),
    path("", include("accounts.api.dj_rest_auth.urls")),
]


@pytest.fixture
def browser():
    """A client whose cookies are dj-rest-auth's."""
    return Client(enforce_csrf_checks=True, headers={"User-Agent": "Firefox/1"})


def post(client, url, bearer=None, **body):
    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
    return client.post(url, body, content_type="application/json", headers=headers)


def log_in(client, password=PASSWORD, **name):
    return post(client, "/login/", **(name or {"username": "ana"}), password=password)


def is_in(client, bearer=None):
    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
    answer = client.get("/host", headers=headers)
    assert answer.status_code in {200, 401}
    return answer.status_code == 200


def cookies(client):
    return {name for name, cookie in client.cookies.items() if cookie.value}


# Logging in


@pytest.mark.parametrize("name", [{"username": "ana"}, {"email": "Ana@Example.com"}])
def test_a_log_in_begins_a_login_with_its_device_and_address(user, browser, name):
    answer = log_in(browser, **name)

    assert answer.status_code == 200
    assert is_in(browser)
    assert is_in(Client(), answer.json()["access"])
    row = Session.objects.get()
    assert (row.user, row.ip_address, row.user_agent) == (user, "127.0.0.1", "Firefox/1")


@pytest.mark.parametrize("with_session", [False, True])
def test_a_log_in_is_told_once_and_kept_as_the_users_last(
    user,
    browser,
    security_log,
    monkeypatch,
    django_capture_on_commit_callbacks,
    with_session,
):
    monkeypatch.setattr(api_settings, "SESSION_LOGIN", with_session)

    with django_capture_on_commit_callbacks(execute=True):
        log_in(browser)

    user.refresh_from_db()
    assert user.last_login is not None
    [line] = security_log()
    assert (line["event"], line["user"]) == ("authn_login_success", str(user.pk))
    assert (line["source_ip"], line["user_agent"]) == ("127.0.0.1", "Firefox/1")


def test_a_log_in_of_a_view_of_the_hosts_own_is_one_of_ours(user):
    access, _ = jwt_encode(user)

    assert is_in(Client(), access)
    assert Session.objects.get().user == user


def test_passwords_are_tried_within_the_limits_whether_there_is_such_a_user_or_not(user, browser):
    count = conf.password_rate.limit

    for name in ({"username": "ana"}, {"email": "nobody@example.com"}):
        tried = [log_in(browser, "wrong", **name).status_code for _ in range(count + 1)]
        assert tried == [400] * count + [429]


def test_a_form_of_another_site_logs_nobody_in(user, browser):
    body, headers = {"username": "ana", "password": PASSWORD}, {"Sec-Fetch-Site": "cross-site"}

    assert browser.post("/login/", body, headers=headers).status_code == 403
    assert cookies(browser) == set()


def test_a_log_in_has_the_claims_of_the_host(user, browser, monkeypatch):
    path = "tests.test_serializers.HostSerializer"
    monkeypatch.setattr(simplejwt_settings, "TOKEN_OBTAIN_SERIALIZER", path)

    assert decode_access(log_in(browser).json()["access"])["tenant"] == "acme"


def test_a_user_who_goes_while_they_log_in_is_refused(user, browser, monkeypatch):
    log_in_by_password = passwords.log_in

    def goes(*args, **kwargs):
        found = log_in_by_password(*args, **kwargs)
        get_user_model().objects.filter(pk=user.pk).update(is_active=False)
        return found

    monkeypatch.setattr(passwords, "log_in", goes)

    assert log_in(browser).status_code == 401


def test_the_cookie_of_an_ended_login_keeps_nobody_from_logging_in(user, browser):
    log_in(browser)
    Session.objects.all().delete()

    assert not is_in(browser)
    assert browser.get("/public").status_code == 200
    assert log_in(browser).status_code == 200
    assert is_in(browser)


def test_the_bearer_of_an_ended_login_is_refused_though_the_cookie_is_good(user, browser, phone):
    log_in(browser)
    Session.objects.filter(sid=phone.access.sid).delete()

    assert not is_in(browser, phone.access)


# Refreshing


def test_a_refresh_rotates_by_the_cookie_alone(user, browser, after_grace):
    log_in(browser)
    first = browser.cookies["refresh"].value

    assert post(browser, "/token/refresh/").status_code == 200
    assert browser.cookies["refresh"].value != first
    assert is_in(browser)
    assert Session.objects.count() == 1
    after_grace()
    assert post(Client(), "/token/refresh/", refresh=first).status_code == 401


@pytest.mark.parametrize("body", [{}, {"refresh": 5}, {"refresh": "x"}])
def test_what_is_no_refresh_token_is_refused(browser, body):
    assert post(browser, "/token/refresh/", **body).status_code == 401


# Logging out


def test_a_logout_by_the_cookies_ends_the_login_and_deletes_them(user, browser, security_log):
    tokens = log_in(browser).json()
    refresh = browser.cookies["refresh"].value

    assert post(browser, "/logout/").status_code == 200
    assert cookies(browser) == set()
    assert not is_in(Client(), tokens["access"])
    assert post(Client(), "/token/refresh/", refresh=refresh).status_code == 401
    event = LogoutEvent.objects.get()
    assert (event.reason, event.initiator, event.user) == ("logout", "user", user)
    assert (event.ip_address, event.user_agent) == ("127.0.0.1", "Firefox/1")
    logouts = [line for line in security_log() if line["action"] == "logout"]
    assert [line["session"] for line in logouts] == [str(event.session_id)]


def test_a_logout_by_the_bearer_alone_ends_the_login(phone):
    assert post(Client(), "/logout/", bearer=phone.access).status_code == 200
    assert not Session.objects.exists()


def test_a_logout_by_the_refresh_token_in_the_body_ends_the_login_though_the_bearer_is_none(phone):
    answer = post(Client(), "/logout/", bearer="two words", refresh=str(phone.refresh))

    assert answer.status_code == 200
    assert not Session.objects.exists()


def test_a_logout_ends_the_login_of_each_token_that_came_along(phone, laptop):
    answer = post(Client(), "/logout/", bearer=phone.access, refresh=str(laptop.refresh))

    assert answer.status_code == 200
    assert not Session.objects.exists()


def test_a_logout_by_get_is_as_the_host_has_set_it(user, browser, settings):
    log_in(browser)

    assert browser.get("/logout/").status_code == 405
    assert is_in(browser)
    settings.ACCOUNT_LOGOUT_ON_GET = True
    assert browser.get("/logout/").status_code == 200
    assert not is_in(browser)


def test_logging_out_twice_is_a_success_that_changes_nothing(phone):
    for _ in range(2):
        assert post(Client(), "/logout/", bearer=phone.access).status_code == 200
    assert LogoutEvent.objects.count() == 1


@pytest.mark.parametrize("body", ["{}", "[]", '{"refresh": 5}'])
def test_a_logout_without_a_genuine_token_is_refused(browser, body):
    answer = browser.post("/logout/", body, content_type="application/json")

    assert answer.status_code == 401


def test_a_browser_session_of_dj_rest_auths_ends_too(user, browser, monkeypatch):
    monkeypatch.setattr(api_settings, "SESSION_LOGIN", True)
    log_in(browser)
    assert Session.objects.count() == 2

    assert post(browser, "/logout/").status_code == 200

    assert not Session.objects.exists()
    assert list(LogoutEvent.objects.values_list("reason", flat=True)) == ["logout"] * 2


# A cookie is sent by itself


def test_csrf_is_checked_where_dj_rest_auth_is_set_to(user, browser, monkeypatch):
    log_in(browser)
    monkeypatch.setattr(api_settings, "JWT_AUTH_COOKIE_USE_CSRF", True)

    assert browser.post("/host").status_code == 403
    assert post(browser, "/logout/").status_code == 403
    assert post(browser, "/logout/", bearer=browser.cookies["access"].value).status_code == 200


def test_a_client_without_cookies_needs_no_csrf_token(phone, monkeypatch):
    monkeypatch.setattr(api_settings, "JWT_AUTH_COOKIE_USE_CSRF", True)

    assert is_in(Client(enforce_csrf_checks=True), phone.access)


# A new password


def change(bearer, old=PASSWORD):
    new = dict.fromkeys(["new_password1", "new_password2"], "another-1234")
    return post(Client(), "/password/change/", bearer, old_password=old, **new).status_code


def test_a_new_password_ends_the_other_logins(phone, laptop, after_grace):
    assert change(phone.access) == 200

    assert is_in(Client(), phone.access)
    assert not is_in(Client(), laptop.access)
    [event] = LogoutEvent.objects.filter(sessions_ended=1)
    assert (event.reason, event.session_id) == ("password_changed", laptop.access.sid)


def test_a_new_password_ends_this_login_where_the_host_says_so(phone, monkeypatch):
    monkeypatch.setattr(api_settings, "LOGOUT_ON_PASSWORD_CHANGE", True)

    assert change(phone.access) == 200
    assert not is_in(Client(), phone.access)


def test_the_old_password_is_tried_within_the_limits(phone):
    count = conf.password_rate.limit

    assert [change(phone.access, "wrong") for _ in range(count + 1)] == [400] * count + [429]
