"""The SELECT of a login, which the ORM writes once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, connections
from django.db.backends.sqlite3.base import DatabaseWrapper

from accounts import logins, services
from accounts.clients import ClientInfo
from accounts.models import Session


@pytest.fixture
def sqlite(phone, user, tmp_path):
    """Another database with the same login in it, where values are prepared and converted."""
    other = {**connection.settings_dict, "NAME": tmp_path / "other.sqlite3", "OPTIONS": {}}
    connections["other"] = DatabaseWrapper(other, alias="other")
    row = Session.objects.get()
    with connections["other"].schema_editor() as editor:
        editor.create_model(get_user_model())
        editor.create_model(Session)
    for instance in (user, row):
        instance.save_base(using="other", force_insert=True)
    yield "other"
    connections["other"].close()
    del connections["other"]


def test_a_login_is_read_with_its_user_on_any_database(sqlite, phone, user):
    [found] = logins._select(sqlite).get(phone.access.sid)

    kept = Session.objects.using(sqlite).select_related("user").get()
    assert found == kept
    for row, same in ((found, kept), (found.user, kept.user)):
        assert row._state.db == sqlite
        for field in row._meta.concrete_fields:
            if field.attname not in row.get_deferred_fields():
                assert getattr(row, field.attname) == getattr(same, field.attname)


@pytest.mark.django_db
def test_a_login_that_is_not_there_is_none(phone):
    sid = phone.access.sid
    Session.objects.all().delete()

    assert logins._select("default").get(sid) == [None]


@pytest.mark.django_db
def test_the_data_of_a_session_is_read_when_it_is_asked_for(phone):
    [found] = logins._select("default").get(phone.access.sid)

    assert found.get_deferred_fields() == {"session_data"}
    assert found.session_data == ""


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_each_thread_asks_on_a_connection_of_its_own(user):
    pair = services.log_in(user=user, client=ClientInfo())

    def ask(_):
        try:
            return logins.find_login(pair.access).user.get_username()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(ask, range(40))) == {"ana"}
