"""Live logins in the admin: to see, and to end."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone

from accounts import services
from accounts.admin import BoundedPaginator
from accounts.clients import ClientInfo
from accounts.models import LogoutEvent, Session

pytestmark = pytest.mark.django_db

LIST = "/admin/drf_logout/session/"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def root(admin_user):
    """The administrator, in a browser of their own."""
    browser = Client(headers={"User-Agent": "Admin/1"}, REMOTE_ADDR="192.0.2.99")
    browser.force_login(admin_user)
    return browser


@pytest.fixture
def shown(root):
    """List the owners that the list shows, but for the administrator."""

    def search(**query):
        answer = root.get(LIST, query)
        assert answer.status_code == 200
        names = [login.user.username for login in answer.context["cl"].result_list]
        return [name for name in names if name != "admin"]

    return search


@pytest.fixture
def logins(user, stranger):
    """Log several people in; the later, the longer ago it was seen."""

    def create(count=1, *, owner=user, **columns):
        now = timezone.now()
        return Session.objects.bulk_create(
            Session(
                **{
                    "session_key": uuid.uuid4().hex * 2,
                    "user": owner,
                    "kind": "token",
                    "auth_hash": owner.get_session_auth_hash(),
                    "authenticated_at": now,
                    "last_seen_at": now - timedelta(seconds=number),
                    "expire_date": now + timedelta(days=14),
                    "refresh_jti": f"jti-{uuid.uuid4().hex}",
                    **columns,
                }
            )
            for number in range(count)
        )

    return create


def sids(page):
    return re.findall(r'name="_selected_action" value="([^"]*)"', page)


def says(answer):
    return [str(message) for message in get_messages(answer.wsgi_request)]


def choose(browser, *chosen, path=LIST, **data):
    """Choose the action on the list, as the form does."""
    data = {"action": "end_selected", "index": "0", "select_across": "0", **data}
    return browser.post(path, {**data, "_selected_action": [str(one) for one in chosen]})


def confirm(browser, page, path=LIST):
    """Answer the confirmation page with the form that it has."""
    form = page.content.decode().partition('<form method="post">')[2].partition("</form>")[0]
    fields = re.findall(r'name="([^"]*)" value="([^"]*)"', form)
    data = {name: [v for n, v in fields if n == name] for name, _ in fields}
    return browser.post(path, data)


# The list


def test_the_list_shows_whose_login_it_is_where_and_until_when(settings, root, user):
    settings.ACCOUNTS = {**settings.ACCOUNTS, "IDLE_TIMEOUT": timedelta(hours=1)}
    services.log_in(user=user, client=ClientInfo(ip_address="192.0.2.7", user_agent=FIREFOX))
    login = Session.objects.get(user=user)

    text = root.get(LIST).content.decode()

    assert "Live logins" in text
    for expected in ("ana", "token", "Firefox on Linux", "192.0.2.7"):
        assert expected in text
    ends = login.last_seen_at + timedelta(hours=1)
    for moment in (login.authenticated_at, login.last_seen_at, ends):
        assert f"{timezone.localtime(moment):%Y-%m-%d %H:%M}" in text


def test_a_login_by_browser_is_shown_beside_one_by_token(shown, root, user, phone):
    browser = Client()
    browser.force_login(user)

    assert shown() == ["ana", "ana"]
    assert shown(kind__exact="browser") == ["ana"]
    assert shown(kind__exact="token") == ["ana"]


def test_a_device_that_nobody_knows_is_shown_as_it_calls_itself(root, logins):
    logins(user_agent="(<script>" + "x" * 500)

    text = root.get(LIST).content.decode()

    assert "(&lt;script&gt;xxx" in text
    assert "x" * 60 not in text


def test_what_is_no_live_login_is_not_shown(settings, shown, client, logins, stranger):
    settings.ACCOUNTS = {
        **settings.ACCOUNTS,
        "IDLE_TIMEOUT": timedelta(hours=1),
        "ABSOLUTE_TIMEOUT": timedelta(hours=9),
    }
    now = timezone.now()
    client.session.save()  # of somebody who has not logged in
    assert Session.objects.filter(user=None).exists()
    logins(expire_date=now)
    logins(last_seen_at=now - timedelta(hours=2))
    logins(authenticated_at=now - timedelta(hours=10))
    logins(owner=stranger)

    assert shown() == ["eve"]


def test_the_newest_login_comes_first(shown, logins, stranger):
    now = timezone.now()
    logins(last_seen_at=now, authenticated_at=now - timedelta(minutes=2))
    logins(owner=stranger, authenticated_at=now - timedelta(minutes=1))

    assert shown() == ["eve", "ana"]
    assert shown(o="4") == ["ana", "eve"]


def test_the_list_offers_to_be_ordered_by_the_log_in_alone(root, logins):
    logins()
    heads = re.findall(r'<th scope="col" class="([^"]*)"', root.get(LIST).content.decode())

    assert [head for head in heads if "sortable" in head] == [
        "sortable column-logged_in sorted descending"
    ]


@pytest.mark.parametrize(
    ("term", "names"),
    [
        ("ana", ["ana"]),
        ("AN", ["ana"]),
        ("na", []),
        ("192.0.2.7", ["ana"]),
        ("192.0.2", []),
        ("2001:DB8:0::7", ["eve"]),
        ("5f0c2b1e-6d0f-4c0e-9a52-5c1c1d3b7a11", ["eve"]),
        (" eve ", ["eve"]),
        ("  ", ["eve", "ana"]),
        ("%", []),
    ],
)
def test_the_list_is_searched(shown, logins, stranger, term, names):
    logins(ip_address="192.0.2.7")
    logins(
        owner=stranger,
        ip_address="2001:db8::7",
        sid=uuid.UUID("5f0c2b1e-6d0f-4c0e-9a52-5c1c1d3b7a11"),
        last_seen_at=timezone.now() - timedelta(minutes=1),
    )

    assert shown(q=term) == names


def test_a_link_leads_to_the_logins_of_one_user(root, shown, logins, user, stranger):
    logins()
    logins(owner=stranger)

    assert shown(user=user.pk) == ["ana"]
    page = root.get(LIST, {"user": user.pk}).content.decode()
    assert "By user" in page
    assert "By user" not in root.get(LIST).content.decode()


@pytest.mark.parametrize("key", ["0", "x", "", "9" * 30, "9" * 5000])
def test_a_user_who_is_not_there_is_told_apart_from_everybody(root, logins, key):
    logins()

    answer = root.get(LIST, {"user": key})

    assert answer.status_code == 302
    assert answer.headers["Location"].endswith("?e=1")


def test_pages_are_counted_no_further_than_anybody_turns_them(monkeypatch, root, logins):
    monkeypatch.setattr(BoundedPaginator, "limit", 150)
    logins(160)

    assert len(root.get(LIST, {"p": 2}).context["cl"].result_list) == 50
    assert root.get(LIST, {"p": 3}).status_code == 302


def test_the_list_works_for_a_host_without_time_zones(settings, root, logins):
    logins()
    settings.USE_TZ = False

    assert "ana" in root.get(LIST).content.decode()


# Secrets


def test_nothing_that_a_login_is_stored_under_is_in_sight(root, user, stranger, logins):
    browser = Client()
    browser.force_login(user)
    services.log_in(user=user, client=ClientInfo())
    chosen = Session.objects.exclude(user__username="admin")
    secrets = {
        value
        for login in Session.objects.all()
        for value in (
            login.session_key,
            login.session_data,
            login.auth_hash,
            login.refresh_jti,
            login.user.password,
        )
        if value
    } | {browser.session.session_key}
    assert len(secrets) > 8

    listed = root.get(LIST).content.decode()
    asked = choose(root, *chosen.values_list("sid", flat=True))
    deletion = root.get(f"/admin/auth/user/{user.pk}/delete/").content.decode()

    assert set(sids(listed)) >= {str(login.sid) for login in chosen}
    for page in (listed, asked.content.decode(), deletion):
        assert [secret for secret in secrets if secret in page] == []


@pytest.mark.parametrize("page", ["change", "delete", "history"])
def test_a_login_has_no_page_of_its_own(root, logins, page):
    (login,) = logins()

    for key in (login.pk, login.sid):
        answer = root.get(f"{LIST}{key}/{page}/")
        assert answer.status_code == 404
        assert root.post(f"{LIST}{key}/{page}/", {"post": "yes"}).status_code == 404
    assert root.get(f"{LIST}add/").status_code == 404
    assert Session.objects.filter(pk=login.pk).exists()


@pytest.mark.parametrize(
    "lookup",
    [
        "session_key__startswith",
        "pk__startswith",
        "session_data__contains",
        "auth_hash__startswith",
        "refresh_jti__gt",
        "user__password__startswith",
    ],
)
def test_no_column_is_guessed_letter_by_letter(root, logins, lookup):
    logins(session_key="a" * 64)

    assert root.get(LIST, {lookup: "a"}).status_code == 400


def test_django_deletes_no_login_past_the_services(root, logins):
    (login,) = logins()

    choose(root, login.sid, action="delete_selected", post="yes")

    assert Session.objects.filter(pk=login.pk).exists()


# Ending logins


def test_chosen_logins_end_once_that_is_confirmed(root, admin_user, is_in, phone, laptop, stranger):
    tablet = services.log_in(user=stranger, client=ClientInfo(user_agent=FIREFOX))
    page = choose(root, phone.access.sid, tablet.access.sid)
    text = page.content.decode()
    assert "Are you sure you want to end these logins?" in text
    assert "ana · Phone · 192.0.2.7 · last seen 20" in text
    assert "eve · Firefox on Linux" in text
    assert "Your own login" not in text
    assert is_in(phone.access)

    answer = confirm(root, page)

    assert answer.status_code == 302
    assert says(answer) == ["2 logins have ended."]
    assert not is_in(phone.access)
    assert not is_in(tablet.access)
    assert is_in(laptop.access)
    assert root.get(LIST).status_code == 200
    for event in LogoutEvent.objects.all():
        assert (
            event.user in {phone.access.user, stranger} if hasattr(phone.access, "user") else True
        )
        assert event.actor == admin_user
        assert (event.initiator, event.reason, event.scope) == (
            "admin",
            "administrative",
            "session",
        )
        assert (event.ip_address, event.user_agent) == ("192.0.2.99", "Admin/1")
    recorded = LogoutEvent.objects.values_list("username", "session_id")
    assert set(recorded) == {("ana", phone.access.sid), ("eve", tablet.access.sid)}


def test_all_logins_end_across_the_pages_and_beyond_what_is_counted(
    monkeypatch, root, user, logins
):
    monkeypatch.setattr(BoundedPaginator, "limit", 120)
    logins(150)
    path = f"{LIST}?kind__exact=token"
    first = sids(root.get(path).content.decode())
    page = choose(root, *first, path=path, select_across="1")
    assert "and 50 more" in page.content.decode()
    assert len(sids(page.content.decode())) == 1

    answer = confirm(root, page, path=path)

    assert says(answer) == ["150 logins have ended."]
    assert LogoutEvent.objects.filter(user=user).count() == 150
    assert [login.user.username for login in Session.objects.all()] == ["admin"]


def test_all_means_those_that_the_filters_leave(root, logins, user, stranger):
    logins(2)
    logins(owner=stranger)
    path = f"{LIST}?user={user.pk}"
    page = choose(root, *sids(root.get(path).content.decode()), path=path, select_across="1")
    Session.objects.filter(user=user).first().delete()  # one that the form may name

    answer = confirm(root, page, path=path)

    assert says(answer) == ["1 login has ended."]
    assert {login.user.username for login in Session.objects.all()} == {"admin", "eve"}


def test_a_login_that_ends_by_itself_meanwhile_is_no_error(root, phone):
    page = choose(root, phone.access.sid)
    Session.objects.filter(sid=phone.access.sid).delete()

    answer = confirm(root, page)

    assert says(answer) == ["These logins have ended already."]
    assert not LogoutEvent.objects.filter(initiator="admin").exists()


@pytest.mark.parametrize("chosen", ["", "x", "\x00", "9" * 5000, "' OR 1=1"])
def test_what_is_no_id_of_a_login_ends_nothing(root, phone, chosen):
    answer = choose(root, chosen, post="yes")

    assert answer.status_code == 302
    assert Session.objects.filter(sid=phone.access.sid).exists()


def test_the_primary_key_is_no_way_to_name_a_login(root, user):
    Client().force_login(user)
    login = Session.objects.get(user=user)

    choose(root, login.pk, post="yes")

    assert Session.objects.filter(pk=login.pk).exists()


def test_nothing_chosen_ends_nothing(root, phone):
    answer = choose(root)

    assert answer.status_code == 302
    assert Session.objects.filter(sid=phone.access.sid).exists()


@pytest.mark.parametrize("save_every_request", [False, True])
def test_administrators_may_end_their_own_login_too(settings, root, admin_user, save_every_request):
    settings.SESSION_SAVE_EVERY_REQUEST = save_every_request
    own = Session.objects.get(user=admin_user)
    page = choose(root, own.sid)
    assert "Your own login is among them." in page.content.decode()

    answer = confirm(root, page)

    assert answer.status_code == 302
    assert not Session.objects.filter(user=admin_user).exists()
    assert root.get(LIST).status_code == 302
    event = LogoutEvent.objects.get()
    assert (event.reason, event.initiator) == ("administrative", "admin")


# Who may


@pytest.mark.parametrize("data", [{}, {"post": "yes"}])
def test_whoever_may_only_look_ends_nothing(clerk, phone, data):
    browser = clerk("view_session")
    page = browser.get(LIST).content.decode()
    assert "ana" in page
    assert sids(page) == []

    choose(browser, phone.access.sid, **data)

    assert Session.objects.filter(sid=phone.access.sid).exists()


def test_whoever_may_delete_sessions_may_end_them(clerk, is_in, phone):
    browser = clerk("view_session", "delete_session")
    page = choose(browser, phone.access.sid)

    confirm(browser, page)

    event = LogoutEvent.objects.get()
    assert event.actor == get_user_model().objects.get(username="clerk")


def test_others_see_nothing(clerk, phone):
    browser = clerk("view_logoutevent", "delete_session")

    assert browser.get(LIST).status_code == 403
    assert choose(browser, phone.access.sid, post="yes").status_code == 403
    assert Session.objects.filter(sid=phone.access.sid).exists()


def test_a_form_of_another_site_ends_nothing(admin_user, phone):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(admin_user)

    assert choose(browser, phone.access.sid, post="yes").status_code == 403
    assert Session.objects.filter(sid=phone.access.sid).exists()
