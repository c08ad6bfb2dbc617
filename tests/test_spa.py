"""The application of examples/spa, as Vite builds it, in real Chromium."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess

import pytest
from playwright.sync_api import expect

from accounts import services
from accounts.models import LogoutEvent, Session
from tests.documents import ROOT
from tests.http import PASSWORD

SPA = ROOT / "examples" / "spa"
STATIC = ROOT / "accounts" / "static" / "drf_logout"
BUILD = ("npm ci", "npm run build")
MINUTE = 60_000
NOT_FOUND_OUT = "status of 400"  # a page opens without a cookie, and the server says so

# All that a script of the page can read.
READ = """async () => JSON.stringify([
    { ...localStorage }, { ...sessionStorage }, document.cookie,
    await indexedDB.databases(), await caches.keys(),
])"""
LOOK_AGAIN = "document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))"


def _is_current(page):
    """Whether the application is built, of what its sources are now."""
    parts = [*SPA.glob("*.*"), *(SPA / "src").iterdir(), *(SPA / "public").iterdir()]
    sources = [*parts, STATIC / "client.js", STATIC / "pages.css"]
    return page.exists() and page.stat().st_mtime > max(path.stat().st_mtime for path in sources)


@pytest.fixture(scope="session")
def built():
    """The folder of the built application: built once here, where npm is. CI has built it."""
    (ROOT / ".data").mkdir(exist_ok=True)
    with (ROOT / ".data" / "spa.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_current(SPA / "dist" / "index.html"):
            message = f"In examples/spa: {' && '.join(BUILD)}"
            if os.environ.get("CI"):
                pytest.fail(message)
            if not shutil.which("npm"):
                pytest.skip(message)
            for command in BUILD:
                subprocess.run(command.split(), cwd=SPA, check=True)
    return SPA / "dist"


@pytest.fixture
def open_app(built, open_browser, user, settings):
    """Open the application in a new browser."""
    settings.STATICFILES_DIRS = [("spa", built)]
    settings.SPA_DIR = built
    open_browser.expect_error(NOT_FOUND_OUT)

    def open_(*, clock=False, path="/spa/", **options):
        page = open_browser(**options)
        if clock:
            page.clock.install()
        page.goto(path)
        expect(page.locator("#username")).to_be_visible()
        return page

    return open_


@pytest.fixture
def app(open_app):
    """The application, with somebody logged in."""
    return log_in(open_app())


def log_in(page, password=PASSWORD):
    page.locator("#username").fill("ana")
    page.locator("#password").fill(password)
    page.keyboard.press("Enter")
    if password == PASSWORD:
        expect(page.locator(".who .button")).to_be_visible()
    return page


def another_tab(page):
    tab = page.context.new_page()
    tab.goto("/spa/")
    return tab


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def test_a_person_sees_who_and_where_they_are_and_logs_out_everywhere(app, user, device):
    services.log_in(user=user, client=device)
    app.reload()
    expect(app.get_by_role("heading", name="Hello, ana")).to_be_visible()

    app.get_by_role("link", name="Your devices").click()
    expect(app.get_by_role("heading", name="Your devices", level=1)).to_be_focused()
    button(app, "Log out Phone").click()
    expect(app.get_by_text("Phone is logged out.")).to_be_visible()
    expect(app.locator(".device")).to_have_count(1)
    assert [session.user_agent != "Phone/1" for session in Session.objects.all()] == [True]

    services.log_in(user=user, client=device)
    app.reload()
    button(app, "Log out all other devices").click()
    expect(app.get_by_text("All other devices are logged out.")).to_be_visible()
    assert Session.objects.count() == 1

    button(app, "Log out everywhere").click()
    button(app.get_by_role("dialog"), "Log out everywhere").click()
    expect(app.get_by_text("You have logged out.")).to_be_visible()
    assert not Session.objects.exists()
    app.reload()
    expect(app.locator("#username")).to_be_visible()


def test_no_storage_holds_a_token(app):
    another_tab(app)
    button(app, "Español").click()
    assert app.evaluate(READ) == '[{"spa:language":"es"},{},"",[],[]]'
    cookies = app.context.cookies()
    assert "refresh_token" in [cookie["name"] for cookie in cookies]
    assert all(cookie["httpOnly"] for cookie in cookies)


def test_one_tab_logs_all_of_them_in_and_out(open_app):
    page = open_app()
    other = another_tab(page)
    expect(other.locator("#username")).to_be_visible()
    log_in(page)
    expect(other.get_by_role("heading", name="Hello, ana")).to_be_visible()
    button(other, "Log out").click()
    expect(page.locator("#username")).to_be_visible()
    expect(other.get_by_text("You have logged out.")).to_be_visible()
    assert not Session.objects.exists()


def test_nothing_of_one_user_is_shown_to_the_next(app, stranger):
    other = another_tab(app)
    other.evaluate(
        """async (credentials) => {
            const { Client } = await import("/static/drf_logout/client.js");
            await new Client({ tokens: "cookie" }).logIn(credentials);
        }""",
        {"username": "eve", "password": PASSWORD},
    )
    expect(app.get_by_role("heading", name="Hello, eve")).to_be_visible()
    expect(app.get_by_text("ana@example.com")).to_have_count(0)


def test_a_login_that_the_server_has_ended_is_told_when_the_tab_is_looked_at(open_browser, app):
    open_browser.expect_error("status of 401")
    Session.objects.all().delete()
    app.evaluate(LOOK_AGAIN)
    dialog = app.get_by_role("dialog", name="You were logged out")
    expect(dialog).to_contain_text("ended on the server")
    expect(button(dialog, "Log in")).to_be_focused()
    app.keyboard.press("Escape")
    expect(app.locator("#username")).to_be_focused()


def test_who_does_nothing_is_warned_and_stays_or_is_logged_out(open_app):
    page = log_in(open_app(clock=True))
    page.clock.run_for(14 * MINUTE - 5_000)
    expect(page.get_by_role("alertdialog")).to_have_count(0)
    page.clock.run_for(6_000)
    warning = page.get_by_role("alertdialog", name="Are you still there?")
    expect(warning).to_have_accessible_description("You will be logged out in 59 s.")
    expect(button(warning, "Stay")).to_be_focused()
    page.mouse.move(10, 10)
    page.clock.run_for(30_000)
    expect(page.get_by_role("timer")).to_have_text("You will be logged out in 29 s.")
    # What is read aloud, not every second.
    expect(warning.get_by_role("status")).to_have_text("You will be logged out in 30 s.")
    page.keyboard.press("Enter")
    expect(warning).to_have_count(0)

    page.clock.run_for(14 * MINUTE + 1_000)
    expect(warning).to_be_visible()
    with page.expect_response("**/logout"):
        page.clock.run_for(MINUTE)
    ended = page.get_by_role("dialog", name="You were logged out")
    expect(ended).to_contain_text("Nothing was done here for a while")
    expect(warning).to_have_count(0)
    assert LogoutEvent.objects.count() == 1


def test_a_visitor_can_ask_for_an_earlier_warning(open_app):
    page = log_in(open_app(clock=True, path="/spa/?idle=20"))
    page.clock.run_for(11_000)
    expect(page.get_by_role("timer")).to_be_visible()


def test_who_logs_out_offline_is_told_and_so_is_the_server_later(open_browser, app):
    open_browser.expect_error("ERR_INTERNET_DISCONNECTED")
    other = another_tab(app)
    expect(other.get_by_role("heading", name="Hello, ana")).to_be_visible()
    app.context.set_offline(True)
    expect(app.get_by_text("You are offline.")).to_be_visible()
    button(app, "Log out").click()
    expect(app.get_by_text("the server could not be told")).to_be_visible()
    expect(other.locator("#username")).to_be_visible()
    assert Session.objects.exists()

    app.context.set_offline(False)
    expect(app.get_by_text("You have logged out.")).to_be_visible()
    assert not Session.objects.exists()


def test_the_language_is_that_of_the_browser_until_another_is_chosen(open_app):
    page = open_app(locale="es-ES")
    expect(page.get_by_role("heading", name="Iniciar sesión")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "es"
    button(page, "English").click()
    page.reload()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert page.title() == "Log in · drf-logout"


def test_the_application_is_for_everybody(open_browser, open_app, axe):
    page = open_app(clock=True, locale="es-ES")
    axe(page, "spa-log-in")
    log_in(page, "wrong")
    expect(page.locator("#error")).to_be_visible()
    axe(page, "spa-wrong")
    log_in(page)
    expect(page.locator("h1")).to_be_focused()
    axe(page, "spa-account")
    page.locator("nav a").last.click()
    expect(page.locator(".device")).to_have_count(1)
    axe(page, "spa-devices")
    page.locator(".several .danger").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    axe(page, "spa-everywhere")
    page.keyboard.press("Escape")
    page.clock.run_for(15 * MINUTE - 10_000)
    expect(page.get_by_role("alertdialog")).to_be_visible()
    axe(page, "spa-warning")
    page.clock.run_for(11_000)
    expect(page.get_by_role("dialog")).to_be_visible()
    axe(page, "spa-ended")
    page.keyboard.press("Enter")
    log_in(page)
    open_browser.expect_error("ERR_INTERNET_DISCONNECTED")
    page.context.set_offline(True)
    page.locator(".who .button").click()
    expect(page.locator(".error")).to_be_visible()
    axe(page, "spa-offline")
    page.context.set_offline(False)


def test_a_policy_lets_the_application_load_nothing_from_elsewhere(client, db):
    policy = client.get("/spa/").headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy


def test_where_it_is_not_built_the_page_says_how(client, db, settings, tmp_path):
    settings.SPA_DIR = tmp_path
    page = client.get("/spa/").content.decode()
    assert " &amp;&amp; ".join(("cd examples/spa", *BUILD)) in page


def test_the_lock_file_names_no_registry():
    assert '"resolved"' not in (SPA / "package-lock.json").read_text()
