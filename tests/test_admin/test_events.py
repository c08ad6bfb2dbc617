"""The audit record in the admin: to browse, never to change."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.urls import reverse
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken as SimpleJWTRefreshToken

from accounts import services
from accounts.admin import BoundedPaginator
from accounts.models import LogoutEvent, Session
from accounts.services import Scope

pytestmark = pytest.mark.django_db

LIST = "/admin/drf_logout/logoutevent/"


@pytest.fixture
def found(admin_client):
    """List the usernames that the list shows."""

    def search(**query):
        answer = admin_client.get(LIST, query)
        assert answer.status_code == 200
        return [event.username for event in answer.context["cl"].result_list]

    return search


@pytest.fixture
def periods(admin_client):
    """List the links of the date hierarchy."""

    def read(**query):
        answer = admin_client.get(LIST, query)
        assert answer.status_code == 200
        _, _, block = answer.content.decode().partition('class="toplinks"')
        return re.findall(r"<a [^>]*>([^<]*)</a>", block.partition("</nav>")[0])

    return read


# Who may do what


def test_the_record_can_only_be_looked_at(browser, record):
    event = record()
    change = reverse("admin:drf_logout_logoutevent_change", args=[event.pk])
    data = {"username": "eve", "scope": "global", "reason": "logout", "initiator": "user"}

    assert browser.get(LIST).status_code == 200
    assert browser.get(change).status_code == 200
    for path in (f"{LIST}add/", reverse("admin:drf_logout_logoutevent_delete", args=[event.pk])):
        assert browser.get(path).status_code == 403
        assert browser.post(path, data | {"post": "yes"}).status_code == 403
    assert browser.post(change, data).status_code == 403

    assert LogoutEvent.objects.get().username == "ana"


def test_no_action_is_offered_and_none_is_taken(browser, record):
    event = record()
    answer = browser.get(LIST)
    assert answer.context["cl"].model_admin.get_actions(answer.wsgi_request) == {}

    browser.post(LIST, {"action": "delete_selected", "_selected_action": event.pk, "post": "yes"})

    assert LogoutEvent.objects.get() == event


def test_people_without_a_permission_see_nothing(client, user, record):
    record()
    user.is_staff = True
    user.save()
    client.force_login(user)

    assert client.get(LIST).status_code == 403


# The list


def test_the_list_shows_what_ended_when_why_and_by_whom(admin_client, user, phone, device):
    services.log_out(proof=phone.access, scope=Scope.SESSION, client=device)

    text = admin_client.get(LIST).content.decode()

    for shown in ("ana", "this login", "logged out", "192.0.2.7", "Phone"):
        assert shown in text
    for column in (
        "time",
        "username",
        "scope",
        "reason",
        "initiator",
        "logins",
        "tokens",
        "ip_address",
        "device",
    ):
        assert f"column-{column}" in text


def test_a_long_user_agent_is_cut_and_a_hostile_one_is_text(admin_client, record):
    record(user_agent="<script>" + "x" * 500)

    text = admin_client.get(LIST).content.decode()

    assert "&lt;script&gt;xxx" in text
    assert "x" * 60 not in text


def test_the_newest_event_comes_first(found, record):
    for name in ("older", "newer", "newest"):
        record(username=name)

    assert found() == ["newest", "newer", "older"]
    assert found(o="0") == ["older", "newer", "newest"]


def test_the_newest_event_of_a_period_comes_first(found, record):
    now = datetime(2026, 3, 1, tzinfo=UTC)
    for name, ago in (("older", 2), ("newest", 0), ("newer", 1)):
        record(username=name, occurred_at=now - timedelta(days=ago))

    assert found(occurred_at__year=2026) == ["newest", "newer", "older"]


@pytest.mark.parametrize(
    "query",
    [{"scope__exact": "global"}, {"initiator__exact": "admin"}],
)
def test_the_list_is_filtered(found, record, query):
    record(username="ana")
    record(username="eve", scope="global", initiator="admin")

    assert found(**query) == ["eve"]


def test_the_list_is_filtered_by_reason(found, record):
    record(username="ana")

    assert found(reason__exact="logout") == ["ana"]
    assert found(reason__exact="other") == []


@pytest.mark.parametrize(
    ("term", "names"),
    [
        ("ana", ["anabel", "ana"]),
        ("ANA", ["anabel", "ana"]),
        ("nabel", []),
        ("Eve", ["Eve"]),
        ("192.0.2.7", ["ana"]),
        ("192.0.2", []),
        ("2001:db8:0::7", ["anabel"]),
        ("2001:DB8::7", ["anabel"]),
        ("5f0c2b1e-6d0f-4c0e-9a52-5c1c1d3b7a11", ["Eve"]),
        ("5F0C2B1E6D0F4C0E9A525C1C1D3B7A11", ["Eve"]),
        ("  192.0.2.7 ", ["ana"]),
        ("   ", ["Eve", "anabel", "ana"]),
        ("", ["Eve", "anabel", "ana"]),
        ("%", []),
        ("'; --", []),
        ("fe80::7%eth0", []),
        ("\x00", ["Eve", "anabel", "ana"]),
        ("9" * 5000, []),
    ],
)
def test_the_list_is_searched(found, record, term, names):
    record(username="ana", ip_address="192.0.2.7")
    record(username="anabel", ip_address="2001:db8::7")
    record(username="Eve", session_id=uuid.UUID("5f0c2b1e-6d0f-4c0e-9a52-5c1c1d3b7a11"))

    assert found(q=term) == names


def test_whoever_acted_is_shown_and_found_by_name_when_they_are_gone(
    admin_client, found, record, user, stranger
):
    event = record(user=user, actor=stranger, actor_name="eve", initiator="admin")
    record(username="evelyn")
    stranger.delete()

    assert found(q="Eve") == ["evelyn", "ana"]
    assert found(q="eve", initiator__exact="admin") == ["ana"]
    for path in (LIST, reverse("admin:drf_logout_logoutevent_change", args=[event.pk])):
        assert "eve<" in admin_client.get(path).content.decode()


# Dates


def test_dates_lead_from_years_to_months_to_days(periods, record):
    for year, month, day in ((2025, 12, 31), (2026, 1, 1), (2026, 3, 30)):
        record(occurred_at=datetime(year, month, day, 12, tzinfo=UTC))

    assert periods() == ["2025", "2026"]
    assert periods(occurred_at__year=2026)[1:] == ["January 2026", "February 2026", "March 2026"]
    assert periods(occurred_at__year=2026, occurred_at__month=3)[1:] == ["March 30"]


def test_a_date_leaves_the_others_out(found, record):
    record(username="ana", occurred_at=datetime(2025, 12, 31, 12, tzinfo=UTC))
    record(username="eve", occurred_at=datetime(2026, 1, 1, 12, tzinfo=UTC))

    assert found(occurred_at__year=2026) == ["eve"]
    assert found(occurred_at__year=2025, occurred_at__month=12, occurred_at__day=31) == ["ana"]
    assert found(occurred_at__year=2024) == []


def test_a_record_of_nothing_has_no_dates(periods):
    assert periods() == []


def test_dates_are_those_of_the_hosts_time_zone(settings, periods, record):
    settings.TIME_ZONE = "Pacific/Auckland"
    record(occurred_at=datetime(2025, 12, 31, 12, tzinfo=UTC))
    record(occurred_at=datetime(2026, 2, 1, 12, tzinfo=UTC))

    assert periods()[1:] == ["January 2026", "February 2026"]


def test_the_list_works_for_a_host_without_time_zones(settings, found, record):
    record(occurred_at=datetime(2026, 1, 1, 12, tzinfo=UTC))
    settings.USE_TZ = False

    assert found() == ["ana"]


# Pages


def test_pages_are_counted_no_further_than_anybody_turns_them(monkeypatch, record):
    for _ in range(3):
        record()
    assert BoundedPaginator(LogoutEvent.objects.order_by("pk"), 2).count == 3

    monkeypatch.setattr(BoundedPaginator, "limit", 2)

    assert BoundedPaginator(LogoutEvent.objects.order_by("pk"), 2).count == 2


def test_the_last_page_within_the_bound_can_be_opened(monkeypatch, admin_client, record):
    monkeypatch.setattr(BoundedPaginator, "limit", 150)
    for _ in range(160):
        record()

    assert len(admin_client.get(LIST, {"p": 2}).context["cl"].result_list) == 50
    assert admin_client.get(LIST, {"p": 3}).status_code == 302


# One event


def test_an_event_shows_everything_that_is_on_record(admin_client, user, phone, device):
    event = services.log_out(proof=phone.access, scope=Scope.GLOBAL, client=device).events[0]

    text = admin_client.get(f"{LIST}{event.pk}/change/").content.decode()

    for shown in ("ana", str(phone.access.sid), phone.access.jti, "192.0.2.7", "Phone/1", "r-1"):
        assert shown in text
    assert str(phone.access) not in text


# Beside the record


def test_simplejwts_admin_shows_no_raw_token(admin_client, user):
    token = SimpleJWTRefreshToken.for_user(user)
    token.blacklist()
    outstanding, blacklisted = OutstandingToken.objects.get(), BlacklistedToken.objects.get()

    for path in (
        "/admin/token_blacklist/outstandingtoken/",
        f"/admin/token_blacklist/outstandingtoken/{outstanding.pk}/change/",
        "/admin/token_blacklist/blacklistedtoken/",
        f"/admin/token_blacklist/blacklistedtoken/{blacklisted.pk}/change/",
    ):
        answer = admin_client.get(path)
        assert answer.status_code == 200
        assert token["jti"] in answer.content.decode()
        assert str(token).rpartition(".")[2] not in answer.content.decode()


def test_a_deleted_user_stays_on_record_by_name(admin_client, user, phone, device):
    services.log_out(proof=phone.access, scope=Scope.SESSION, client=device)
    services.log_in(user=user, client=device)
    path = reverse("admin:auth_user_delete", args=[user.pk])
    assert admin_client.get(path).status_code == 200

    answer = admin_client.post(path, {"post": "yes"})

    assert answer.status_code == 302
    assert not get_user_model().objects.filter(pk=user.pk).exists()
    assert not Session.objects.filter(kind="token").exists()
    recorded = LogoutEvent.objects.order_by("id").values_list("user", "username", "reason")
    assert list(recorded) == [(user.pk, "ana", "logout"), (user.pk, "ana", "user_deleted")]
    assert "ana" in admin_client.get(LIST).content.decode()


def test_whoever_may_delete_users_may_delete_one_who_is_logged_in(client, user, phone):
    staff = get_user_model().objects.create_user("staff", is_staff=True)
    names = ["delete_user", "view_user"]
    staff.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(staff)
    path = reverse("admin:auth_user_delete", args=[user.pk])
    page = client.get(path).content.decode()
    assert str(phone.access.sid) in page
    assert Session.objects.get(kind="token").pk not in page

    client.post(path, {"post": "yes"})

    assert not get_user_model().objects.filter(pk=user.pk).exists()
    assert not Session.objects.filter(kind="token").exists()
