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


@pytest.fixture
def migrate():
    """Migrate this app to one of its migrations, and back to the last one afterwards."""

    def run(name):
        MigrationExecutor(connection).migrate([("drf_logout", name)])

    yield run
    executor = MigrationExecutor(connection)
    executor.migrate(
        [node for node in executor.loader.graph.leaf_nodes() if node[0] == "drf_logout"]
    )


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
    migrate("0002_postgresql")

    assert not OutstandingToken.objects.exists()
