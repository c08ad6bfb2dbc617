"""The refresh token in a cookie: who gets it, who may use it, and when it is gone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import include, path
from rest_framework.decorators import api_view, authentication_classes
from rest_framework.response import Response

from accounts.api.cookies import HEADER
from accounts.api.urls import drf
from accounts.models import LogoutEvent, Session
from accounts.tokens import AccessToken, RefreshToken
from tests.documents import code, run

from .conftest import PASSWORD

pytestmark = pytest.mark.django_db

API = "/api/v1/auth/"
NAME = "refresh_token"
GRANT = {"grant_type": "password", "username": "ana", "password": PASSWORD}
REFUSED = {"error": "invalid_grant", "error_description": "The refresh token is not valid"}

urlpatterns = [path("a;b é/auth/", include(drf))]


class Page:
    """A page of the application, in a browser that keeps its cookies."""

    def __init__(self, base: str = API, *, secure: bool = False) -> None:
        self.base, self.secure = base, secure
        self.browser = Client()
        self.access = ""

    def post(self, path, body=None, *, asks=True, bearer=None, **headers):
        headers |= {HEADER: "1"} if asks else {}
        headers |= {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return self.browser.post(
            self.base + path,
            body or {},
            content_type="application/json",
            secure=self.secure,
            headers=headers,
        )

    def log_in(self, username="ana"):
        answer = self.post("token", GRANT | {"username": username})
        self.access = answer.json()["access_token"]
        return answer

    def refresh(self, **kwargs):
        return self.post("token", {"grant_type": "refresh_token"}, **kwargs)

    @property
    def cookie(self):
        """What the browser has; empty once it is deleted."""
        morsel = self.browser.cookies.get(NAME)
        return morsel.value if morsel else ""

    @cookie.setter
    def cookie(self, value):
        self.browser.cookies[NAME] = value


@pytest.fixture
def page(user):
    page = Page()
    page.log_in()
    return page


def stands(page):
    return (
        page.browser.get(
            f"{API}user", headers={"Authorization": f"Bearer {page.access}"}
        ).status_code
        == 200
    )


def attributes(answer, name=NAME):
    morsel = answer.cookies[name]
    keys = ("path", "domain", "samesite", "secure", "httponly", "max-age")
    return {key: morsel[key] for key in keys if morsel[key] != ""}


# What is set


def test_a_log_in_sets_the_refresh_token_where_no_script_reads_it(user):
    page = Page()

    answer = page.log_in()

    assert sorted(answer.json()) == ["access_token", "expires_in", "token_type"]
    assert RefreshToken(page.cookie).sid == AccessToken(page.access).sid
    assert attributes(answer) == {
        "path": API,
        "samesite": "Strict",
        "httponly": True,
        "max-age": 14 * 24 * 3600,
    }


def test_over_https_no_other_scheme_and_no_script_sets_the_cookie(user):
    answer = Page(secure=True).log_in()

    assert NAME not in answer.cookies
    assert attributes(answer, f"__Secure-{NAME}")["secure"] is True


@pytest.mark.parametrize(
    ("base", "where"),
    [("/", "/"), ("/api/auth/", "/api/auth/"), ("/a;b é/auth/", "/a%3Bb%20%C3%A9/auth/")],
)
def test_the_cookie_goes_to_the_api_alone_wherever_it_is_mounted(user, settings, base, where):
    if where.startswith("/a%"):
        settings.ROOT_URLCONF = __name__
    page = Page(base)

    set_by = [page.log_in(), page.refresh(), page.post("logout/all", bearer=page.access)]

    assert [answer.cookies[NAME]["path"] for answer in set_by] == [where] * 3


def test_name_site_and_domain_are_the_hosts(user, settings):
    settings.SESSION_COOKIE_SECURE = True
    settings.ACCOUNTS = {
        "REFRESH_COOKIE": {"NAME": "rt", "SAMESITE": "None", "DOMAIN": "example.com"}
    }

    answer = Page().log_in()

    assert attributes(answer, "__Secure-rt") | {"max-age": 0} == {
        "path": API,
        "domain": "example.com",
        "samesite": "None",
        "secure": True,
        "httponly": True,
        "max-age": 0,
    }


@pytest.mark.parametrize(
    ("block", "site"),
    [
        (code("docs/how-to/cookies.md", "python", "Keep refresh tokens in cookies"), "Strict"),
        (code("docs/how-to/cookies.md", "python", "Another domain"), "None"),
    ],
    ids=["the same site", "another"],
)
def test_the_settings_of_the_page_set_the_cookie_of_the_site(user, settings, block, site):
    [lines] = block
    for name, value in vars(run(lines)).items():
        if name.isupper():
            setattr(settings, name, value)

    answer = Page(secure=True).log_in()

    assert attributes(answer, f"__Secure-{NAME}")["samesite"] == site


def test_a_refresh_token_in_the_body_moves_into_the_cookie(phone):
    page = Page()

    answer = page.post(
        "token", {"grant_type": "refresh_token", "refresh_token": str(phone.refresh)}
    )

    assert "refresh_token" not in answer.json()
    assert RefreshToken(page.cookie).sid == phone.refresh.sid


# What it is good for


def test_a_refresh_rotates_the_cookie(page, after_grace):
    first = page.cookie

    answer = page.refresh()

    assert answer.status_code == 200
    assert RefreshToken(page.cookie).sid == RefreshToken(first).sid
    after_grace()
    page.cookie = first
    assert page.refresh().json() == REFUSED
    assert page.cookie == ""
    assert not Session.objects.exists()  # as for any reuse


@pytest.mark.parametrize("bearer", ["live", "expired", "absent"])
@pytest.mark.parametrize("path", ["logout", "logout/all"])
def test_a_logout_ends_the_login_of_the_cookie(page, user, bearer, path):
    raw = {"live": page.access, "expired": expired(page.access), "absent": None}[bearer]

    answer = page.post(path, bearer=raw)

    assert answer.status_code == 200
    assert page.cookie == ""
    assert not stands(page)
    assert LogoutEvent.objects.get().user == user


def expired(access):
    token = AccessToken(access)
    token.set_exp(lifetime=-timedelta(minutes=1))
    return str(token)


def test_a_logout_of_what_has_ended_is_a_success_and_deletes_the_cookie(page):
    page.post("logout", bearer=page.access, asks=False)

    answer = page.post("logout")

    assert answer.status_code == 200
    assert page.cookie == ""
    assert LogoutEvent.objects.count() == 1


def test_who_logs_out_the_others_stays(page, phone):
    answer = page.post("logout", {"scope": "others"})

    assert answer.status_code == 200
    assert NAME not in answer.cookies
    assert page.refresh().status_code == 200
    assert [str(sid) for sid in Session.objects.values_list("sid", flat=True)] == [
        RefreshToken(page.cookie)["sid"]
    ]


def test_a_token_in_the_body_leaves_the_cookie_alone(page, phone):
    answer = page.post("logout", {"token": str(phone.refresh)}, bearer=page.access)

    assert answer.status_code == 200
    assert NAME not in answer.cookies
    assert stands(page)


def test_the_limit_is_that_of_the_user_whose_cookie_it_is(page, settings):
    settings.ACCOUNTS = {"REFRESH_COOKIE": {}, "LOGOUT_RATE": "1/1d"}
    Page().post("logout", bearer=page.access)

    left = page.post("logout", {"scope": "others"}).headers["X-RateLimit-Remaining"]

    assert left == "0"


# Who may not use it


def test_without_the_header_the_cookie_is_not_read(page):
    answers = [page.refresh(asks=False), page.post("logout", asks=False)]

    assert [answer.status_code for answer in answers] == [400, 401]
    assert answers[0].json()["error"] == "invalid_request"
    assert not any(NAME in answer.cookies for answer in answers)
    assert stands(page)


def test_over_https_a_cookie_that_anybody_could_have_set_is_not_read(page):
    page.secure = True

    assert page.refresh().json() == REFUSED


HOSTILE = {
    "huge": lambda eve, own: "x" * 20_000,
    "not ASCII": lambda eve, own: "\\303\\251".join((own[:20], own[20:])),
    "an access token": lambda eve, own: eve.access,
    "doubled": lambda eve, own: f"{own}; {NAME}={own}",
    "doubled, the other one somebody else's": lambda eve, own: f"{own}; {NAME}={eve.cookie}",
}


@pytest.fixture
def eve(stranger):
    eve = Page()
    eve.log_in("eve")
    return eve


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_cookie_is_refused_and_ends_nothing(page, eve, case):
    header = f"{NAME}={HOSTILE[case](eve, page.cookie)}"
    page.browser.cookies.clear()

    refreshed = page.refresh(Cookie=header)
    left = page.post("logout", Cookie=header)

    assert (refreshed.status_code, refreshed.json()) == (400, REFUSED)
    message = "Token no proporcionado o inválido"
    assert (left.status_code, left.json()) == (401, {"success": False, "message": message})
    # Which of two is ours is not ours to say.
    assert (NAME in left.cookies) is not case.startswith("doubled")
    assert (stands(page), stands(eve)) == (True, True)
    assert not LogoutEvent.objects.exists()


def test_a_cookie_of_another_user_than_the_bearers_ends_nothing(page, eve):
    page.cookie = eve.cookie

    answer = page.post("logout", bearer=page.access)

    assert answer.status_code == 401
    assert NAME not in answer.cookies
    assert (stands(page), stands(eve)) == (True, True)


def test_an_expired_cookie_is_refused_and_deleted(page):
    token = RefreshToken(page.cookie)
    token.set_exp(lifetime=-timedelta(minutes=1))
    page.cookie = str(token)
    assert page.refresh().json() == REFUSED
    page.cookie = str(token)

    answer = page.post("logout")

    assert answer.status_code == 403
    assert answer.cookies[NAME]["max-age"] == 0


def test_a_user_who_is_inactive_for_now_keeps_the_cookie(page, user, django_user_model):
    django_user_model.objects.update(is_active=False)

    answer = page.refresh()

    assert answer.json() == REFUSED
    assert NAME not in answer.cookies


def test_a_page_that_opens_without_a_login_is_told_so_and_nobody_is_alarmed(db, security_log):
    answer = Page().refresh()

    assert (answer.status_code, answer.json()) == (400, REFUSED)
    [line] = security_log()
    assert (line["event"], line["level"], line["reason"]) == (
        "session_expired",
        "INFO",
        "token_expired",
    )


# Where the host sets none


def test_a_host_without_the_cookie_says_so_before_a_login_begins(user, settings):
    settings.ACCOUNTS = {}

    answer = Page().post("token", GRANT)

    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"
    assert not Session.objects.exists()


def test_a_host_that_has_given_up_the_cookie_does_not_read_it(page, settings):
    settings.ACCOUNTS = {}

    assert page.post("logout").status_code == 401
    assert page.post("logout", bearer=page.access).status_code == 200


# What it costs


@pytest.mark.parametrize("what", ["log in", "refresh", "log out"])
def test_a_cookie_takes_no_statement_more_than_a_token_in_a_body(page, user, what):
    def body(asks):
        with CaptureQueriesContext(connection) as queries:
            if what == "log in":
                answer = page.post("token", GRANT, asks=asks)
            elif what == "refresh":
                token = {} if asks else {"refresh_token": page.cookie}
                answer = page.post("token", {"grant_type": "refresh_token", **token}, asks=asks)
            else:
                token = {} if asks else {"token": page.cookie}
                answer = page.post("logout", token, asks=asks, bearer=page.access)
        assert answer.status_code == 200
        return len(queries)

    with_body = body(asks=False)
    page.log_in()
    assert body(asks=True) == with_body


# The access token in a cookie, as the documentation has it


@pytest.fixture
def cookie_view(rf):
    """A view of a host that takes the documented class."""
    made: dict[str, object] = {}
    [lines] = code("docs/how-to/cookies.md", "python", "An access token in a cookie, too")
    exec(lines, made)

    @api_view(["GET", "POST"])
    @authentication_classes([made["CookieAuthentication"]])
    def view(request):
        return Response({"name": request.user.username})

    def ask(method="get", **headers):
        request = getattr(rf, method)("/", headers=headers)
        request._dont_enforce_csrf_checks = False
        return view(request)

    return ask


def test_an_access_token_in_a_cookie_is_that_of_a_live_login_and_changes_nothing_without_csrf(
    page, cookie_view
):
    cookie, token = f"access={page.access}", "t" * 32
    proof = {"Cookie": f"{cookie}; csrftoken={token}", "X-CSRFToken": token}

    assert cookie_view(Cookie=cookie).data == {"name": "ana"}
    assert cookie_view("post", Cookie=cookie).status_code == 403
    assert cookie_view("post", **proof).status_code == 200
    bearer = {"Cookie": cookie, "Authorization": f"Bearer {page.access}"}
    assert cookie_view("post", **bearer).status_code == 200
    assert cookie_view().status_code == 401

    page.post("logout", bearer=page.access)
    refused = cookie_view("post", **proof)
    assert (refused.status_code, refused["WWW-Authenticate"]) == (
        401,
        'Bearer error="invalid_token"',
    )
