"""The migrations: complete, and what they do to rows that are there."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken as SimpleJWTRefreshToken

from accounts import services
from accounts.clients import ClientInfo
from accounts.models import LogoutEvent, Session
from accounts.services import Cause


@pytest.fixture
def migrate():
    """Migrate an app to one of its migrations, and everything to the last ones afterwards."""

    def run(name, app="drf_logout"):
        MigrationExecutor(connection).migrate([(app, name)])

    yield run
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


@pytest.mark.django_db
def test_no_migration_is_missing():
    call_command("makemigrations", "drf_logout", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db(transaction=True)
def test_raw_tokens_that_were_there_are_forgotten(migrate):
    migrate(None)
    user = get_user_model().objects.create_user("ana")
    raw = str(SimpleJWTRefreshToken())
    now = timezone.now()
    # No signal is sent for these, so they are as plain SimpleJWT has left them.
    OutstandingToken.objects.bulk_create(
        OutstandingToken(user=user, jti=jti, token=token, created_at=now, expires_at=now)
        for jti, token in (("one", raw), ("two", ""))
    )
    assert OutstandingToken.objects.get(jti="one").token == raw

    migrate("0001_initial")

    assert set(OutstandingToken.objects.values_list("token", flat=True)) == {""}
    assert set(OutstandingToken.objects.values_list("jti", "user", "created_at", "expires_at")) == {
        ("one", user.pk, now, now),
        ("two", user.pk, now, now),
    }


@pytest.mark.django_db(transaction=True)
def test_the_way_back_is_open(migrate):
    migrate(None)

    assert not [name for name in connection.introspection.table_names() if "drf_logout" in name]


@pytest.mark.django_db(transaction=True)
def test_who_takes_simplejwts_tables_back_keeps_the_logins_and_the_record(migrate):
    user = get_user_model().objects.create_user("ana")
    services.log_in(user=user, client=ClientInfo())
    services.end_all(user=user, cause=Cause())
    services.log_in(user=user, client=ClientInfo())
    # Its own way back needs an empty table.
    OutstandingToken.objects.all().delete()

    migrate(None, app="token_blacklist")

    assert (Session.objects.count(), LogoutEvent.objects.count()) == (1, 1)
