"""What the mixin adds to the host's user admin."""

from __future__ import annotations

import re

import pytest
from django.contrib import admin
from django.contrib.auth import admin as auth_admin
from django.contrib.auth import get_user_model
from django.contrib.auth.tokens import default_token_generator
from django.contrib.messages import get_messages
from django.test import Client, RequestFactory

from accounts import services
from accounts.admin import EndLoginsMixin
from accounts.clients import ClientInfo
from accounts.models import LogoutEvent, Session
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db

LIST = "/admin/auth/user/"
ACTIONS = ["log_out_everywhere", "secure_accounts"]


@pytest.fixture
def root(admin_user):
    """The administrator, in a browser of their own."""
    browser = Client(headers={"User-Agent": "Admin/1"}, REMOTE_ADDR="192.0.2.99")
    browser.force_login(admin_user)
    return browser


@pytest.fixture
def host():
    """A host's user admin, with what the host has set, on a site of its own."""

    def build(**attributes):
        model_admin = type("HostAdmin", (EndLoginsMixin, auth_admin.UserAdmin), attributes)
        return model_admin(get_user_model(), admin.AdminSite("other"))

    return build


@pytest.fixture
def request_of_root(admin_user):
    request = RequestFactory().get(LIST)
    request.user = admin_user
    return request


def choose(browser, action, *users, **data):
    data = {"action": action, "index": "0", "select_across": "0", **data}
    return browser.post(LIST, {**data, "_selected_action": [user.pk for user in users]})


def confirm(browser, page):
    form = page.content.decode().partition('<form method="post">')[2].partition("</form>")[0]
    fields = re.findall(r'name="([^"]*)" value="([^"]*)"', form)
    return browser.post(LIST, {name: [v for n, v in fields if n == name] for name, _ in fields})


def says(answer):
    return [str(message) for message in get_messages(answer.wsgi_request)]


def test_users_are_logged_out_everywhere_once_that_is_confirmed(
    root, admin_user, is_in, user, stranger, phone, laptop
):
    tablet = services.log_in(user=stranger, client=ClientInfo())
    browser = Client()
    browser.force_login(user)
    page = choose(root, "log_out_everywhere", user)
    assert "Are you sure you want to log these users out everywhere?" in page.content.decode()
    assert "among them" not in page.content.decode()
    assert is_in(phone.access)

    answer = confirm(root, page)

    assert says(answer) == ["1 user is logged out everywhere."]
    assert not is_in(phone.access)
    assert not is_in(laptop.access)
    assert not Session.objects.filter(user=user).exists()
    assert is_in(tablet.access)
    event = LogoutEvent.objects.get()
    assert (event.user, event.actor) == (user, admin_user)
    assert (event.initiator, event.reason, event.scope) == ("admin", "administrative", "global")
    assert (event.ip_address, event.user_agent) == ("192.0.2.99", "Admin/1")
    assert event.sessions_ended == 3
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


def test_an_account_is_secured_once_that_is_confirmed(root, admin_user, is_in, user, phone):
    page = choose(root, "secure_accounts", user)
    text = page.content.decode()
    assert "password becomes worthless" in text
    assert "need to reset their password" in text
    assert is_in(phone.access)
    user.refresh_from_db()
    assert user.check_password(PASSWORD)

    answer = confirm(root, page)

    assert says(answer) == ["1 account is secured. Its user needs a new password."]
    assert not is_in(phone.access)
    user.refresh_from_db()
    assert not user.check_password(PASSWORD)
    assert user.has_usable_password(), "so that Django's password reset is for this user too"
    assert default_token_generator.check_token(user, default_token_generator.make_token(user))
    event = LogoutEvent.objects.get(reason="compromised")
    assert (event.user, event.actor, event.initiator) == (user, admin_user, "admin")


@pytest.mark.parametrize("action", ACTIONS)
def test_several_users_are_one_event_each(root, user, stranger, phone, action):
    answer = confirm(root, choose(root, action, user, stranger))

    assert says(answer)[0].startswith("2 ")
    reason = {"log_out_everywhere": "administrative", "secure_accounts": "compromised"}[action]
    users = LogoutEvent.objects.filter(reason=reason).values_list("user", flat=True)
    assert sorted(users) == sorted([user.pk, stranger.pk])


def test_all_users_are_chosen_across_the_pages(root, admin_user):
    get_user_model().objects.bulk_create(
        get_user_model()(username=f"user{number:03}") for number in range(120)
    )
    page = choose(root, "log_out_everywhere", admin_user, select_across="1")
    text = page.content.decode()
    assert "and 21 more" in text
    assert "You are among them" in text

    answer = confirm(root, page)

    assert says(answer) == ["121 users are logged out everywhere."]
    assert LogoutEvent.objects.count() == 121


@pytest.mark.parametrize("save_every_request", [False, True])
@pytest.mark.parametrize("action", ACTIONS)
def test_administrators_may_choose_themselves(
    settings, root, admin_user, action, save_every_request
):
    settings.SESSION_SAVE_EVERY_REQUEST = save_every_request
    page = choose(root, action, admin_user)
    assert "You are among them: your own login ends too." in page.content.decode()

    answer = confirm(root, page)

    assert answer.status_code == 302
    assert root.get(LIST).status_code == 302
    assert not Session.objects.filter(user=admin_user).exists()


# Who may


@pytest.mark.parametrize("action", ACTIONS)
def test_whoever_may_only_look_at_users_does_neither(clerk, user, phone, action):
    browser = clerk("view_user")
    assert action not in browser.get(LIST).content.decode()

    choose(browser, action, user, post="yes")

    assert not LogoutEvent.objects.exists()
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


@pytest.mark.parametrize("action", ACTIONS)
def test_whoever_may_change_users_does_both(clerk, user, phone, action):
    browser = clerk("view_user", "change_user")

    confirm(browser, choose(browser, action, user))

    actor = get_user_model().objects.get(username="clerk")
    assert LogoutEvent.objects.filter(user=user, actor=actor).exists()


@pytest.mark.parametrize("data", [{}, {"post": "yes"}])
@pytest.mark.parametrize("action", ACTIONS)
def test_a_host_may_let_some_users_be_changed_only(
    monkeypatch, root, user, stranger, phone, action, data
):
    user_admin = admin.site.get_model_admin(get_user_model())
    monkeypatch.setattr(
        user_admin, "has_change_permission", lambda request, obj=None: obj != stranger
    )

    assert choose(root, action, user, stranger, **data).status_code == 403
    assert not LogoutEvent.objects.exists()
    assert choose(root, action, user, **data).status_code in {200, 302}


@pytest.mark.parametrize("actions", [(), None, ["export"]])
def test_the_hosts_own_actions_take_nothing_away(host, request_of_root, actions):
    attributes = {"actions": actions, "export": lambda self, request, queryset: None}

    offered = host(**attributes).get_actions(request_of_root)

    assert set(offered) >= {*ACTIONS, *(actions or ())}


def test_a_popup_offers_no_action(host, request_of_root):
    request_of_root.GET = {"_popup": "1"}

    assert host().get_actions(request_of_root) == {}


# From a user to their logins


def test_a_users_page_leads_to_their_live_logins(root, user, phone, laptop):
    page = root.get(f"{LIST}{user.pk}/change/").content.decode()
    link, text = re.search(r'<a href="([^"]*/session/\?[^"]*)">([^<]*)</a>', page).groups()

    assert text == "2 logins"
    assert {login.user for login in root.get(link).context["cl"].result_list} == {user}


def test_a_users_page_leads_there_for_whoever_may_see_logins_only(clerk, user, phone):
    browser = clerk("view_user", "change_user")

    page = browser.get(f"{LIST}{user.pk}/change/").content.decode()

    assert "/session/" not in page
    assert "live_logins" not in page


def test_a_user_who_is_yet_to_be_has_no_logins(root):
    page = root.get(f"{LIST}add/").content.decode()

    assert "live_logins" not in page


def test_a_users_page_is_saved_as_before(root, user):
    page = root.get(f"{LIST}{user.pk}/change/")
    data = {
        name: value
        for name, value in page.context["adminform"].form.initial.items()
        if value and name not in {"password", "last_login", "date_joined"}
    }
    joined = {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}

    answer = root.post(f"{LIST}{user.pk}/change/", {**data, **joined, "first_name": "Ana"})

    assert answer.status_code == 302
    user.refresh_from_db()
    assert user.first_name == "Ana"


def test_a_host_may_place_the_link_itself(host, request_of_root, user, monkeypatch):
    fieldsets = ((None, {"fields": ("username", "live_logins")}),)
    model_admin = host(fieldsets=fieldsets)
    model_admin.admin_site = admin.site

    assert model_admin.get_fieldsets(request_of_root, user) == fieldsets


def test_a_site_without_the_list_of_logins_has_no_link_to_it(host, request_of_root, user):
    fieldsets = host().get_fieldsets(request_of_root, user)

    assert fieldsets == auth_admin.UserAdmin.fieldsets
