"""The first page of the example project: what runs here, and the panel to try it."""

from __future__ import annotations

import json

import pytest
from django.http import HttpResponse
from django.urls import include, path
from playwright.sync_api import expect

from accounts.models import LogoutEvent, Session
from authproject.management.commands import demo
from tests.chromium import LOOKS, OTHER_LOOKS
from tests.conftest import PASSWORD

STEPS = ["Log in", "Ask who I am", "Log out", "Ask once more"]

urlpatterns = [
    path("docs/", lambda request: HttpResponse(), name="docs"),
    path("", include("authproject.urls")),
]


def test_the_first_page_leads_to_the_pages_and_the_record(client, db):
    page = client.get("/")
    assert page.headers["Content-Security-Policy"].startswith(
        "default-src 'none'; script-src 'self'"
    )
    for place in ("/account/sessions", "/admin/drf_logout/logoutevent/"):
        assert f'href="{place}"' in page.content.decode()


@pytest.mark.urls(__name__)
def test_the_first_page_leads_to_the_documentation_of_the_api(client, db):
    assert 'href="/docs/"' in client.get("/").content.decode()


def test_a_password_is_told_with_debug_alone(client, db, settings):
    told = []
    for settings.DEBUG in (True, False):
        page = client.get("/").content.decode()
        told.append([word in page for word in (demo.EMAIL, demo.PASSWORD, "in the terminal")])
    assert told == [[True] * 3, [False] * 3]


@pytest.mark.parametrize(
    ("language", "title"),
    [
        ("es", "Qué funciona aquí"),
        ("en", "What runs here"),
        ("de", "Was hier läuft"),
        ("fr", "Ce qui tourne ici"),
        ("it", "Che cosa trovi qui"),
        ("pt", "O que está aqui a funcionar"),
    ],
)
def test_the_first_page_speaks_the_language_of_the_browser(client, db, language, title):
    page = client.get("/", headers={"Accept-Language": language})
    assert f"<h1>{title}</h1>" in page.content.decode()


# The panel


def press(page, step):
    """Send a request of the panel; return it as it is shown, the status and the answer."""
    card = page.locator(".steps li").nth(STEPS.index(step))
    card.get_by_role("button", name=step).click()
    shown = card.locator(".exchange")
    expect(shown).to_be_visible()
    expect(card.get_by_role("button")).not_to_have_attribute("aria-busy", "true")
    request, answer = shown.locator("code").all_text_contents()
    return request, shown.locator(".badge").text_content(), answer


def fill(page, password=PASSWORD):
    page.get_by_label("Username").fill("ana")
    page.get_by_label("Password").fill(password)


@pytest.fixture
def panel(open_browser, user):
    page = open_browser()
    page.goto("/")
    fill(page)
    return page


def test_the_panel_shows_a_login_from_its_beginning_to_its_refusal(open_browser, panel):
    open_browser.expect_error("401")
    sent = []
    panel.on("request", lambda request: sent.append(request))  # noqa: PLW0108 - Playwright marks it

    request, status, answer = press(panel, "Log in")
    assert request.splitlines()[:3] == [
        "POST /api/v1/auth/token",
        "Accept-Language: en",
        "Content-Type: application/json",
    ]
    body = {"grant_type": "password", "username": "ana", "password": "…"}
    assert json.loads(request.split("\n\n")[1]) == body
    assert status == "200 OK"
    assert json.loads(answer)["token_type"] == "Bearer"

    request, status, answer = press(panel, "Ask who I am")
    bearer = sent[-1].headers["authorization"]
    cut = f"Authorization: {bearer[:15]}…{bearer[-4:]}"
    assert request.splitlines() == ["GET /api/v1/auth/user", "Accept-Language: en", cut]
    assert (status, json.loads(answer)["username"]) == ("200 OK", "ana")

    request, status, answer = press(panel, "Log out")
    assert json.loads(request.split("\n\n")[1]) == {"scope": "session"}
    assert (status, json.loads(answer)["message"]) == ("200 OK", "Logout successful")
    assert LogoutEvent.objects.get().username == "ana"

    request, status, answer = press(panel, "Ask once more")
    assert cut in request
    assert status == "401 Unauthorized"
    assert json.loads(answer)["message"] == "Token has been invalidated"
    assert panel.get_by_role("status").text_content() == status
    assert bearer.split()[1] not in panel.content()


def test_a_step_waits_for_the_one_before(open_browser, panel):
    open_browser.expect_error("400")
    fill(panel, "wrong")
    _, status, answer = press(panel, "Log in")
    assert (status, json.loads(answer)["error"]) == ("400 Bad Request", "invalid_grant")
    for step in STEPS[1:]:
        expect(panel.get_by_role("button", name=step)).to_be_disabled()

    fill(panel)
    press(panel, "Log in")
    expect(panel.get_by_role("button", name="Log out")).to_be_disabled()
    press(panel, "Ask who I am")
    press(panel, "Log out")
    press(panel, "Log in")
    expect(panel.locator(".exchange")).to_have_count(1)
    expect(panel.get_by_role("button", name="Ask once more")).to_be_disabled()


def test_the_panel_is_a_device_beside_the_browsers_own_login(panel, client, user, live_server):
    client.force_login(user)
    cookie = {"name": "sessionid", "value": client.cookies["sessionid"].value}
    panel.context.add_cookies([{**cookie, "url": live_server.url}])
    for step in STEPS[:3]:
        press(panel, step)
    assert [login.kind for login in Session.objects.all()] == ["browser"]


def test_a_server_that_is_not_reached_is_told(open_browser, panel):
    open_browser.expect_error("ERR_CONNECTION_REFUSED")
    panel.route("**/token", lambda route: route.abort("connectionrefused"))
    request, _, answer = press(panel, "Log in")
    assert request.startswith("POST /api/v1/auth/token")
    assert answer == "The server was not reached."


@pytest.mark.parametrize(
    ("locale", "looks"),
    [
        ("es-ES", LOOKS),
        *(
            pytest.param(locale, OTHER_LOOKS, marks=pytest.mark.drill)
            for locale in ("de-DE", "en-US", "fr-FR", "it-IT", "pt-PT")
        ),
    ],
)
def test_the_first_page_is_for_everybody(open_browser, user, axe, locale, looks):
    page = open_browser(locale=locale)
    page.goto("/")
    axe(page, f"first-{locale}", looks)

    buttons = page.locator(".steps button")
    page.locator("#username").fill("ana")
    open_browser.expect_error("400")
    page.locator("#password").fill("wrong")
    buttons.first.click()
    expect(page.locator(".exchange")).to_have_count(1)
    axe(page, f"first-wrong-{locale}", looks)
    open_browser.expect_error("401")
    page.locator("#password").fill(PASSWORD)
    for button in buttons.all():
        button.click()  # once the one before has its answer
    expect(page.locator(".exchange")).to_have_count(4)
    axe(page, f"first-tried-{locale}", looks)
