"""The admin's pages in a real browser: they work, and nobody is left out."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from accounts import services
from accounts.clients import ClientInfo
from accounts.models import LogoutEvent, Session
from tests.chromium import LOOKS, OTHER_LOOKS

pytestmark = pytest.mark.django_db(transaction=True)

EVENTS, SESSIONS, USERS = (
    f"/admin/{name}/" for name in ("drf_logout/logoutevent", "drf_logout/session", "auth/user")
)

# What axe-core finds in what is Django's, with the elements that it finds it in.
DJANGOS = {
    # The label of the search field is a picture of a lens, with a text for who cannot see it.
    "label-title-only": "#searchbar",
    # Its style tells links of the path and "Show all" from the words beside them by colour alone.
    "link-in-text-block": ".breadcrumbs > a, #changelist-search a",
}
LOGIN = {"page-has-heading-one": "html"}  # it has the name of the site alone


@pytest.fixture
def enter(open_browser, live_server):
    """Let an administrator enter the admin."""
    root = get_user_model().objects.create_superuser("root", "root@example.com")

    def log_in(**options):
        page = open_browser(**options)
        client = Client()
        client.force_login(root)
        key = client.cookies["sessionid"].value
        page.context.add_cookies([{"name": "sessionid", "value": key, "url": live_server.url}])
        return page

    return log_in


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_the_chart_is_drawn(enter, record, width, theme):
    for reason in LogoutEvent.Reason.values:
        for _ in range(3):
            record(reason=reason)
    page = enter(viewport={"width": width, "height": 900}, color_scheme=theme)

    page.goto(EVENTS)

    chart = page.locator(".drf-logout-chart > svg")
    assert chart.evaluate("node => node.getBoundingClientRect().width") > 200
    bars = chart.locator("rect")
    assert bars.count() == len(LogoutEvent.Reason.values)
    colours = bars.evaluate_all("nodes => nodes.map(node => getComputedStyle(node).fill)")
    assert len(set(colours)) == len(colours), "each reason has a colour of its own"


def test_the_record_is_downloaded(enter, record):
    record(username="eve")
    page = enter()
    page.goto(EVENTS)

    with page.expect_download() as downloading:
        page.click("text=Export as CSV")

    download = downloading.value
    assert download.suggested_filename.startswith("logout-events-")
    assert "eve" in download.path().read_text()


def test_logins_are_chosen_and_ended(enter, user, settings):
    settings.ACCOUNTS = {**settings.ACCOUNTS, "MAX_SESSIONS": None}
    for _ in range(101):
        services.log_in(user=user, client=ClientInfo())
    page = enter()
    page.goto(f"{SESSIONS}?user={user.pk}")
    page.click("#action-toggle")
    page.click("text=Select all 101 sessions")
    page.select_option("select[name=action]", "end_selected")
    page.click("button[name=index]")

    page.click("#content input[type=submit]")

    page.wait_for_selector("text=101 logins have ended.")
    assert [login.user.username for login in Session.objects.all()] == ["root"]


@pytest.mark.parametrize("scripts", [True, False])
def test_taken_back_is_nothing_done(enter, user, phone, scripts):
    page = enter()
    if not scripts:
        page.route("**/cancel.js", lambda route: route.fulfill(body=""))
    page.goto(f"{SESSIONS}?user={user.pk}")
    page.click("#action-toggle")
    page.select_option("select[name=action]", "end_selected")
    page.click("button[name=index]")

    page.click("text=No, take me back")

    page.wait_for_selector("#changelist")
    assert Session.objects.filter(sid=phone.access.sid).exists()


@pytest.mark.parametrize("action", ["log_out_everywhere", "secure_accounts"])
def test_a_user_is_chosen_and_asked_about(enter, user, phone, action):
    page = enter()
    page.goto(f"{USERS}?q=ana")
    page.click("#action-toggle")
    page.select_option("select[name=action]", action)
    page.click("button[name=index]")

    page.click("#content input[type=submit]")

    page.wait_for_selector(".messagelist .success")
    assert not Session.objects.filter(user=user).exists()


@pytest.mark.parametrize(
    ("locale", "looks"),
    [("es-ES", LOOKS), pytest.param("de-DE", OTHER_LOOKS, marks=pytest.mark.drill)],
)
def test_every_page_is_for_everybody(open_browser, enter, axe, record, phone, locale, looks):
    for reason in LogoutEvent.Reason.values:
        event = record(reason=reason)
    stranger = open_browser(locale=locale)
    stranger.goto("/admin/login/")
    axe(stranger, f"admin-login-{locale}", looks, LOGIN)
    page = enter(locale=locale)
    for name, path in {
        "events": EVENTS,
        "events-none": f"{EVENTS}?q=nobody",
        "event": f"{EVENTS}{event.pk}/change/",
        "sessions": SESSIONS,
        "password": "/admin/password_change/",
    }.items():
        page.goto(path)
        axe(page, f"admin-{name}-{locale}", looks, DJANGOS)
    for path, action in (
        (SESSIONS, "end_selected"),
        (USERS, "log_out_everywhere"),
        (USERS, "secure_accounts"),
    ):
        page.set_viewport_size({"width": 1100, "height": 844})
        page.goto(path)
        page.click("#action-toggle")
        page.select_option("select[name=action]", action)
        page.click("button[name=index]")
        page.wait_for_selector(".delete-confirmation")
        axe(page, f"admin-{action}-{locale}", looks, DJANGOS)
