"""Whatever the admin's pages are asked, the answer is never an error of ours."""

from __future__ import annotations

import itertools

import pytest
from django.contrib.admin import ModelAdmin, site
from django.core.exceptions import BadRequest
from django.db import ProgrammingError, connection
from django.test import RequestFactory

from accounts.admin.parameters import CheckedParameters
from accounts.models import Session

# Outside of a test's own transaction, as in a served project: what the database refuses ends that.
pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

LISTS = {
    "events": "/admin/drf_logout/logoutevent/",
    "sessions": "/admin/drf_logout/session/",
    "users": "/admin/auth/user/",
}
EXPORT = f"{LISTS['events']}export/csv/"

VALUES = ["", "x", "%00", "%ff", "(", "9" * 20, "9999-12-31"]
LOOKUPS = ["", "__in", "__range", "__regex", "__year"]
COLUMNS = {
    "events": ["id", "occurred_at", "user", "username", "reason", "session_id", "ip_address"],
    "sessions": ["user", "kind", "kind__exact", "sid"],
    "users": ["id", "username", "last_login", "is_staff__exact", "groups"],
}
NAMES = [
    *("p", "o", "q", "e", "all", "_facets", "_popup", "_to_field", "_changelist_filters"),
    *("nonsense", "user__password__startswith", "%00", "%ff", "pk", "__", "occurred_at__"),
]
PERIODS = [
    *("year=0", "year=9999", "year=10000", "year=99999999999", "year=x", "month=13", "month=0"),
    *("year=2025&{}month=13", "year=2025&{}month=2&{}day=30", "year=9999&{}month=12&{}day=31"),
    *("year=2025&{}month=&{}day=", "year=1&{}month=1&{}day=1", "day=32", "year=2025&{}day=32"),
    *("year=2025&{}year=x", "year=x&{}year=2025", "year=2025&{}month=%00", "hour=x", "date=x"),
    *("year=2025&{}month=9&{}month=99", "year=2025&{}month=1&{}day=" + "9" * 5000),
]


@pytest.fixture
def asked(admin_client, user, phone, record):
    """Ask for a path as an administrator; return whatever was answered with an error of ours."""
    admin_client.raise_request_exception = False
    record(user=user, ip_address="192.0.2.7", user_agent="Phone/1")

    def ask(paths, **data):
        method = admin_client.post if data else admin_client.get
        failed = []
        for path in paths:
            answer = method(path, **data)
            if answer.status_code < 500 and answer.streaming:
                answer.getvalue()
            if answer.status_code >= 500:
                failed.append(path)
        return failed

    return ask


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_asked_for_any_value_of_any_column(asked, name):
    questions = itertools.product(COLUMNS[name], LOOKUPS, VALUES)

    assert not asked(f"{LISTS[name]}?{column}{lookup}={v}" for column, lookup, v in questions)


@pytest.mark.parametrize("path", [*LISTS.values(), EXPORT])
def test_a_list_is_asked_for_any_page_and_order(asked, path):
    assert not asked(f"{path}?{name}={value}" for name, value in itertools.product(NAMES, VALUES))


@pytest.mark.parametrize("path", [LISTS["events"], EXPORT])
def test_the_record_is_asked_for_any_period_and_column(asked, path):
    periods = [f"occurred_at__{period.format(*['occurred_at__'] * 2)}" for period in PERIODS]
    others = [f"{column}=%00" for column in COLUMNS["events"]]

    assert not asked(f"{path}?{question}" for question in (*periods, *others, "q=%00&p=x&e=1"))


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("events", "delete_selected"),
        ("sessions", "end_selected"),
        ("users", "log_out_everywhere"),
        ("users", "secure_accounts"),
        ("users", "\0"),
    ],
)
def test_an_action_is_asked_for_on_anything(asked, name, action):
    keys = ["\0", "x", "", "9" * 20, "9" * 5000, ["1", "\0"]]
    forms = [
        {"index": "x", "select_across": "0"},
        {"index": "9" * 5000, "select_across": "nonsense"},
        {"select_across": "\0", "post": "\0"},
    ]
    for key, form in itertools.product(keys, forms):
        data = {"action": action, "_selected_action": key, **form}
        assert not asked([LISTS[name]], data=data), data


@pytest.mark.parametrize("name", LISTS)
def test_a_page_is_asked_for_of_anything(asked, name):
    keys = [*VALUES, "9" * 5000, "_00", "%2F", "0"]
    pages = ["{}/", "{}/change/", "{}/delete/", "{}/history/", "{}/password/"]

    assert not asked(
        f"{LISTS[name]}{page.format(key)}?_to_field=%00"
        for key, page in itertools.product(keys, pages)
    )
    assert not asked(
        f"{LISTS[name]}{page.format(key)}" for key, page in itertools.product(keys, pages)
    )


def test_a_key_that_no_database_takes_is_refused_whatever_the_type_of_a_models_keys(db):
    class Rows(CheckedParameters, ModelAdmin):
        """A list of rows whose key is text."""

    request = RequestFactory().post("/", {"_selected_action": "\0"})
    with pytest.raises(BadRequest):
        Rows(Session, site).response_action(request, Session.objects.all())


def test_what_cannot_be_asked_is_answered_as_django_does(admin_client, phone):
    answer = admin_client.get(LISTS["events"], {"ip_address": "x"})
    assert answer.headers["Location"].endswith("?e=1")

    data = {"action": "log_out_everywhere", "index": "0", "_selected_action": "\0"}
    assert admin_client.post(LISTS["users"], data).status_code == 400
    assert Session.objects.filter(sid=phone.access.sid).exists()


def test_a_database_that_is_broken_is_no_fault_of_who_asks(admin_client):
    def fail(execute, sql, params, many, context):
        if 'FROM "drf_logout_logoutevent"' in sql:
            raise ProgrammingError("no such table")
        return execute(sql, params, many, context)

    for path in (LISTS["events"], f"{LISTS['events']}?e=1"):
        with connection.execute_wrapper(fail), pytest.raises(ProgrammingError, match="no such"):
            admin_client.get(path)
