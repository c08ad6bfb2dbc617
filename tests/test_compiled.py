"""Querysets whose SQL is made once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection, connections
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.test.utils import CaptureQueriesContext

from accounts.compiled import CompiledQuery

NAMED = CompiledQuery(
    lambda *, name: (
        Permission.objects.filter(codename=name, content_type__model="permission")
        .select_related("content_type")
        .defer("name")
    )
)


@pytest.fixture
def sqlite(db, tmp_path):
    """Another database, where values have to be prepared, with the same row in it."""
    other = {**connection.settings_dict, "NAME": tmp_path / "other.sqlite3", "OPTIONS": {}}
    connections["sqlite"] = DatabaseWrapper(other, alias="sqlite")
    with connections["sqlite"].schema_editor() as editor:
        editor.create_model(ContentType)
        editor.create_model(Permission)
    kind = ContentType.objects.using("sqlite").create(app_label="auth", model="permission")
    Permission.objects.using("sqlite").create(codename="add_permission", content_type=kind)
    yield "sqlite"
    connections["sqlite"].close()
    del connections["sqlite"]


@pytest.fixture(params=["default", "sqlite"])
def using(request, db):
    return request.param if request.param == "default" else request.getfixturevalue("sqlite")


def test_a_row_is_found_by_the_values_with_the_rows_that_it_joins_to(using):
    with CaptureQueriesContext(connections[using]) as captured:
        found = NAMED.get(using=using, name="add_permission")
        missing = NAMED.get(using=using, name="x' OR '1'='1")

        assert found is not None
        assert (found.codename, found.content_type.model) == ("add_permission", "permission")
    assert missing is None
    assert len(captured) == 2


def test_what_was_left_out_is_read_when_it_is_asked_for(using):
    found = NAMED.get(using=using, name="add_permission")

    assert found is not None
    assert found.get_deferred_fields() == {"name"}
    assert found.name == Permission.objects.using(using).get(pk=found.pk).name


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_each_thread_asks_on_a_connection_of_its_own():
    def ask(_):
        try:
            found = NAMED.get(using="default", name="add_permission")
            return found is not None and found.content_type.model
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(ask, range(40))) == {"permission"}
