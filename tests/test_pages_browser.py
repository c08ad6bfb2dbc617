"""The pages in real Chromium: laptop, phone, dialogs, and the same without JavaScript.

Whatever a page logs as an error, of its content security policy too, fails the test.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.urls import resolve
from playwright.sync_api import expect

from accounts import services
from accounts.clients import ClientInfo
from accounts.models import LogoutEvent, Session
from accounts.pages.urls import urlpatterns
from tests.chromium import LOOKS, OTHER_LOOKS, PATIENCE
from tests.conftest import PASSWORD
from tests.http import table_away

SESSIONS = "/account/sessions"
OTHERS = "/account/sessions/end-others"
ALL = "/account/sessions/end-all"
LOGOUT = "/account/logout"


def log_in(page):
    page.goto(SESSIONS)
    page.get_by_label("Username").fill("ana")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(devices(page).first).to_be_visible()
    return page


@pytest.fixture
def enter(live_server, user):
    """Let a browser have a login that began in it, without the page for it."""

    def let(page):
        agent = page.evaluate("navigator.userAgent")
        client = Client(headers={"User-Agent": agent})
        client.post("/account/login", {"username": "ana", "password": PASSWORD})
        key = client.cookies["sessionid"].value
        page.context.add_cookies([{"name": "sessionid", "value": key, "url": live_server.url}])
        page.goto(SESSIONS)
        return page

    return let


@pytest.fixture
def laptop(open_browser, enter):
    return enter(open_browser(user_agent="Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0"))


@pytest.fixture
def mobile(open_browser, enter, laptop):
    """A phone of the same user."""
    return enter(open_browser.phone())


@pytest.fixture
def tablet(open_browser, enter, laptop):
    """A third device of the same user."""
    return enter(open_browser(viewport={"width": 820, "height": 1180}))


def is_in(page):
    page.goto(SESSIONS)
    return devices(page).count() > 0


def devices(page):
    return page.locator("li.device")


def dialog(page):
    return page.get_by_role("dialog")


def confirm(page, password=None):
    """Answer the question of a dialog."""
    if password is not None:
        dialog(page).get_by_label("Password").fill(password)
    dialog(page).locator("[type=submit]").click()


def hold(page, path):
    """Hold requests back; return what lets the first of them through."""
    held = []
    page.route(f"**{path}", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks it

    def release():
        for _ in range(PATIENCE // 10):
            if held:
                return held[0].continue_()
            page.wait_for_timeout(10)
        raise AssertionError("no such request")

    return release


# Ending logins in dialogs


def test_a_phone_is_logged_out_from_the_laptop(laptop, mobile, tablet):
    laptop.reload()
    expect(devices(laptop)).to_have_count(3)
    expect(devices(laptop).first).to_contain_text("This device")
    devices(laptop).filter(has_text="Pixel 7").get_by_role("link").click()
    expect(dialog(laptop)).to_have_accessible_name("Log out this device?")
    expect(dialog(laptop)).to_contain_text("Chrome Mobile on Pixel 7")
    confirm(laptop, PASSWORD)
    expect(laptop.get_by_role("status")).to_have_text("Chrome Mobile on Pixel 7 is logged out.")
    expect(devices(laptop)).to_have_count(2)
    assert not is_in(mobile)
    assert is_in(tablet)
    assert is_in(laptop)


def test_the_others_are_logged_out_from_the_phone(laptop, mobile, tablet):
    mobile.goto(SESSIONS)
    mobile.get_by_role("link", name="Log out all other devices").click()
    expect(dialog(mobile)).to_contain_text("This logs out 2 devices")
    confirm(mobile, PASSWORD)
    expect(mobile.get_by_role("status")).to_have_text("2 other devices are logged out.")
    assert is_in(mobile)
    assert not is_in(laptop)
    assert not is_in(tablet)


def test_everything_is_logged_out(laptop, mobile):
    laptop.reload()
    laptop.get_by_role("link", name="Log out everywhere").click()
    confirm(laptop, PASSWORD)
    expect(laptop.get_by_role("status")).to_have_text("You have logged out on all devices.")
    assert laptop.url.endswith("/account/login")
    assert not is_in(laptop)
    assert not is_in(mobile)


def test_this_device_is_logged_out_without_a_password(laptop, mobile):
    laptop.reload()
    devices(laptop).first.get_by_role("link").click()
    expect(dialog(laptop)).to_have_accessible_name("Log out on this device?")
    confirm(laptop)
    expect(laptop.get_by_role("status")).to_have_text("You have logged out.")
    assert not is_in(laptop)
    assert is_in(mobile)


def test_the_password_is_asked_once(laptop, mobile, tablet):
    laptop.reload()
    devices(laptop).nth(1).get_by_role("link").click()
    confirm(laptop, PASSWORD)
    expect(laptop.get_by_role("status")).to_be_visible()
    devices(laptop).nth(1).get_by_role("link").click()
    expect(dialog(laptop).get_by_label("Password")).to_have_count(0)
    confirm(laptop)
    expect(devices(laptop)).to_have_count(1)


# The dialogs themselves


def test_escape_and_cancel_close_a_dialog_and_give_the_focus_back(laptop, mobile):
    laptop.reload()
    link = laptop.get_by_role("link", name="Log out all other devices")
    for close in (
        lambda: laptop.keyboard.press("Escape"),
        lambda: dialog(laptop).get_by_role("link", name="Cancel").click(),
    ):
        link.press("Enter")
        expect(dialog(laptop).get_by_label("Password")).to_be_focused()
        close()
        expect(dialog(laptop)).to_have_count(0)
        expect(link).to_be_focused()
    assert is_in(mobile)
    assert laptop.url.endswith(SESSIONS)


def test_a_wrong_password_is_told_in_the_dialog(laptop, mobile):
    laptop.reload()
    laptop.get_by_role("link", name="Log out all other devices").click()
    confirm(laptop, "wrong")
    expect(dialog(laptop).get_by_role("alert").filter(visible=True)).to_have_text("Wrong password.")
    field = dialog(laptop).get_by_label("Password")
    expect(field).to_be_focused()
    expect(field).to_have_accessible_description("Wrong password.")
    assert not LogoutEvent.objects.exists()
    confirm(laptop, PASSWORD)
    expect(laptop.get_by_role("status")).to_have_text("1 other device is logged out.")


def test_too_many_guesses_are_told_in_the_dialog(open_browser, laptop, mobile, settings):
    settings.ACCOUNTS = {"PASSWORD_RATE": "1/5m"}
    open_browser.expect_error("429")
    laptop.reload()
    laptop.get_by_role("link", name="Log out all other devices").click()
    for said in ("Wrong password.", "Too many attempts."):
        confirm(laptop, "wrong")
        expect(dialog(laptop).get_by_role("alert").filter(visible=True)).to_contain_text(said)


def test_a_button_is_busy_from_the_click_to_the_answer_and_no_longer(laptop, mobile):
    laptop.reload()
    laptop.get_by_role("link", name="Log out all other devices").click()
    button = dialog(laptop).locator("[type=submit]")
    expect(button).to_be_enabled()
    release = hold(laptop, OTHERS)
    confirm(laptop, "wrong")
    expect(button).to_be_disabled()
    expect(button).to_have_attribute("aria-busy", "true")
    release()
    expect(dialog(laptop).get_by_role("alert").filter(visible=True)).to_have_text("Wrong password.")
    expect(button).to_be_enabled()
    expect(button).not_to_have_attribute("aria-busy", "true")


def test_a_button_of_a_page_is_busy_too(laptop):
    laptop.goto(LOGOUT)
    button = laptop.get_by_role("button", name="Log out")
    expect(button).to_be_enabled()
    # Playwright looks at no page that is about to be left; the page notes it by itself.
    laptop.evaluate(
        """addEventListener("submit", ({target}) => {
            const button = target.querySelector("[type=submit]");
            sessionStorage.setItem("seen", `${button.disabled} ${button.ariaBusy}`);
        })"""
    )
    button.click()
    expect(laptop.get_by_role("status")).to_have_text("You have logged out.")
    assert laptop.evaluate("sessionStorage.getItem('seen')") == "true true"


@pytest.mark.parametrize("failure", ["unreachable", "broken"])
def test_a_server_that_fails_during_a_logout_is_told_and_asked_again(open_browser, laptop, failure):
    open_browser.expect_error("ERR_CONNECTION_REFUSED" if failure == "unreachable" else "500")
    laptop.get_by_role("banner").get_by_role("link", name="Log out").click()
    expect(dialog(laptop)).to_be_visible()
    if failure == "unreachable":
        laptop.route(f"**{LOGOUT}", lambda route: route.abort("connectionrefused"))
    else:
        laptop.route(f"**{LOGOUT}", lambda route: route.fulfill(status=500, body="broken"))
    confirm(laptop)
    said = dialog(laptop).get_by_role("alert").filter(visible=True)
    expect(said).to_contain_text("it is not certain that this worked")
    assert Session.objects.count() == 1
    laptop.unroute_all()
    confirm(laptop)
    expect(laptop.get_by_role("status")).to_have_text("You have logged out.")


def test_a_database_that_is_down_logs_nobody_out(open_browser, laptop):
    open_browser.expect_error("500")
    laptop.get_by_role("banner").get_by_role("link", name="Log out").click()
    expect(dialog(laptop)).to_be_visible()
    with table_away("drf_logout_logoutevent"):
        confirm(laptop)
        said = dialog(laptop).get_by_role("alert").filter(visible=True)
        expect(said).to_contain_text("it is not certain that this worked")
    assert is_in(laptop)


def test_where_there_is_no_question_the_dialog_gives_way_to_the_page(open_browser, laptop, mobile):
    open_browser.expect_error("404")
    laptop.reload()
    Session.objects.filter(user_agent__contains="Pixel").delete()
    devices(laptop).nth(1).get_by_role("link").click()
    expect(laptop.get_by_role("heading", level=1)).to_have_text("Not found")


def test_a_tab_that_is_left_behind_is_led_to_the_login_page(laptop):
    tab = laptop.context.new_page()
    tab.goto(LOGOUT)
    tab.get_by_role("button", name="Log out").click()
    expect(tab.get_by_role("status")).to_have_text("You have logged out.")
    laptop.get_by_role("link", name="Log out everywhere").click()
    expect(laptop.get_by_role("heading", level=1)).to_have_text("Log in")


# Without JavaScript


@pytest.fixture
def plain(open_browser, laptop):
    """A browser of the user with JavaScript off."""
    return log_in(open_browser(java_script_enabled=False))


def test_one_is_ended_without_javascript(plain, laptop):
    devices(plain).nth(1).get_by_role("link").click()
    expect(plain.get_by_role("heading")).to_have_text("Log out this device?")
    plain.get_by_label("Password").fill("wrong")
    plain.get_by_role("button", name="Log out").click()
    expect(plain.get_by_role("alert").filter(visible=True)).to_have_text("Wrong password.")
    plain.get_by_label("Password").fill(PASSWORD)
    plain.get_by_role("button", name="Log out").click()
    expect(plain.get_by_role("status")).to_contain_text("is logged out.")
    assert not is_in(laptop)


@pytest.mark.parametrize(
    ("link", "answer", "said"),
    [
        ("Log out all other devices", "Log out the others", "1 other device is logged out."),
        ("Log out everywhere", "Log out everywhere", "You have logged out on all devices."),
    ],
)
def test_several_are_ended_without_javascript(plain, laptop, link, answer, said):
    plain.get_by_role("link", name=link).click()
    plain.get_by_label("Password").fill(PASSWORD)
    plain.get_by_role("button", name=answer).click()
    expect(plain.get_by_role("status")).to_have_text(said)
    assert not is_in(laptop)


def test_one_logs_out_without_javascript(plain, laptop):
    plain.get_by_role("banner").get_by_role("link", name="Log out").click()
    plain.get_by_role("button", name="Log out").click()
    expect(plain.get_by_role("status")).to_have_text("You have logged out.")
    assert is_in(laptop)


# For everybody


# German has the longest words.
everybody = pytest.mark.parametrize(
    ("locale", "looks"),
    [
        ("es-ES", LOOKS),
        pytest.param("de-DE", OTHER_LOOKS, marks=pytest.mark.drill),
        pytest.param("en-US", OTHER_LOOKS, marks=pytest.mark.drill),
    ],
)


@everybody
def test_the_login_page_is_for_everybody(open_browser, user, axe, settings, locale, looks):
    settings.ACCOUNTS = {"PASSWORD_RATE": "1/5m"}
    page = open_browser(locale=locale)
    page.goto("/account/login")
    axe(page, f"pages-login-{locale}", looks)
    open_browser.expect_error("429")
    for status in (200, 429):
        page.locator("[name=username]").fill("ana")
        page.locator("[name=password]").fill("wrong")
        with page.expect_response(lambda response: response.request.method == "POST") as answer:
            page.locator("[type=submit]").click()
        assert answer.value.status == status
        expect(page.locator(".error")).to_be_visible()
        axe(page, f"pages-login-{status}-{locale}", looks)


@everybody
def test_every_page_is_for_everybody(open_browser, enter, laptop, user, axe, locale, looks):
    page = enter(open_browser(locale=locale))
    visited = set()

    def check(name, path=None):
        if path:
            page.goto(path)
        visited.add(resolve(urlsplit(page.url).path).url_name)
        axe(page, f"pages-{name}-{locale}", looks)

    def submit(password=None, within="form"):
        if password:
            page.locator(f"{within} [type=password]").fill(password)
        page.locator(f"{within} [type=submit]").click()
        if password == "wrong":
            expect(page.locator(f"{within} .field .error")).to_be_visible()

    check("sessions")
    this, other = (row.get_by_role("link").get_attribute("href") for row in devices(page).all())
    page.locator(f"main a[href='{OTHERS}']").click()
    expect(page.locator("dialog")).to_be_visible()
    check("dialog")
    submit("wrong", within="dialog")
    check("dialog-error")

    check("logout", LOGOUT)
    check("end-this", this)
    for name, path in {
        "end-others": OTHERS,
        "end-all": ALL,
        "end-session": other,
        "reauthenticate": "/account/reauthenticate",
    }.items():
        check(name, path)
        submit("wrong")
        check(f"{name}-error")
    submit(PASSWORD)
    page.wait_for_url(re.compile(f"{SESSIONS}$"))
    page.goto(other)
    submit()
    expect(page.get_by_role("status")).to_be_visible()
    check("ended")
    check("end-others-none", OTHERS)
    open_browser.expect_error("404")
    check("not-found", other)

    for _ in range(21):
        services.log_in(user=user, client=ClientInfo(user_agent="Phone/1"))
    check("sessions-many", SESSIONS)
    check("sessions-more", f"{SESSIONS}?page=2")
    check("end-all-many", ALL)
    submit()
    expect(page.get_by_role("status")).to_be_visible()
    check("logged-out")
    assert visited == {route.name for route in urlpatterns} - {None}, "no page is left out"


def test_everything_is_reached_by_keyboard(laptop, mobile):
    laptop.reload()
    reached = []
    for _ in range(8):
        laptop.keyboard.press("Tab")
        reached.append(laptop.evaluate("document.activeElement.textContent.trim()"))
    assert [name.split()[:2] for name in reached[:5]] == [["Log", "out"]] * 5
    assert reached[3:5] == ["Log out all other devices", "Log out everywhere"]


def test_a_login_that_ends_with_the_browser_leaves_no_cookie_behind(open_browser, user, settings):
    settings.SESSION_EXPIRE_AT_BROWSER_CLOSE = True
    page = log_in(open_browser())
    cookie = next(c for c in page.context.cookies() if c["name"] == "sessionid")
    assert cookie["expires"] == -1  # only as long as the browser is open
    assert cookie["httpOnly"]
    assert not is_in(open_browser())


def test_static_files_of_another_origin_are_allowed(open_browser, user, settings, live_server):
    other = live_server.url.replace("localhost", "127.0.0.1")
    settings.STATIC_URL = f"{other}/static/"
    page = open_browser()

    def from_elsewhere(route):
        route.fulfill(
            body="h1 { color: rgb(1, 2, 3) }", content_type="text/css"
        ) if route.request.url.endswith(".css") else route.fulfill(
            body="", content_type="text/javascript"
        )

    page.route(f"{other}/static/**", from_elsewhere)
    page.goto("/account/login")
    color = page.get_by_role("heading").evaluate("heading => getComputedStyle(heading).color")
    assert color == "rgb(1, 2, 3)"
