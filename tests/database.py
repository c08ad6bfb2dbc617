"""The databases of the tests: migrated once for a run, and emptied of what a test left.

A pytest plugin. On PostgreSQL each process of a run has a copy of one template.
"""

from __future__ import annotations

import fcntl
import time
from contextlib import contextmanager

import pytest
from django.db import connection, connections, transaction
from django.test import TransactionTestCase
from pytest_django.plugin import blocking_manager_key

from tests.host import PATIENCE

# What migrating has put there, and no test takes away.
LASTING = {"auth_permission", "django_content_type", "django_migrations"}


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    request, django_db_modify_db_settings_parallel_suffix, django_db_blocker, tmp_path_factory
):
    """Let each process of a run copy one database: whichever comes first makes that."""
    if not hasattr(request.config, "workerinput") or connection.vendor != "postgresql":
        return
    test = connection.settings_dict["TEST"]
    own, template = test["NAME"], f"{test['NAME'].rpartition('_')[0]}_template"
    made = tmp_path_factory.getbasetemp().parent / "template"
    with made.with_suffix(".lock").open("w") as lock, django_db_blocker.unblock():
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            name, test["NAME"] = connection.settings_dict["NAME"], template
            connection.creation.create_test_db(verbosity=0, autoclobber=True)
            connection.close()
            test["NAME"], connection.settings_dict["NAME"] = own, name
            made.touch()
    test["TEMPLATE"] = template


def pytest_sessionfinish(session):
    """Remove the template, when no process needs it any more."""
    distributed = session.config.pluginmanager.hasplugin("dsession")
    if distributed and connection.vendor == "postgresql":
        allowed = session.config.stash[blocking_manager_key].unblock()
        with allowed, connection.creation._nodb_cursor() as cursor:
            name = connection.ops.quote_name(f"{connection.creation._get_test_db_name()}_template")
            cursor.execute(f"DROP DATABASE IF EXISTS {name}")


@pytest.fixture(scope="session", autouse=True)
def _quick_flush():
    """Delete the few rows there are: Django truncates all tables, and fills two of them anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", _empty)
        yield


@contextmanager
def maintenance():
    """Let PostgreSQL take entries of any time and with any id, as from who restores a backup."""
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL drf_logout.maintenance = 'on'")
        yield
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL drf_logout.maintenance = 'off'")


def wait_for_a_lock() -> None:
    """Return when another connection waits for what this transaction of PostgreSQL's holds."""
    # Not pg_stat_activity, which a transaction sees as it was at first. Other processes of the
    # tests have locks in the same server.
    _wait_until(
        "EXISTS (SELECT FROM pg_locks"
        " WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
    )


def wait_to_be_alone() -> None:
    """Return when no other connection to this database of PostgreSQL is left.

    That of a process which was killed may still commit. And it reports as it closes.
    """
    _wait_until(
        "NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
        " AND backend_type = 'client backend' AND pid <> pg_backend_pid())"
    )


def _wait_until(condition: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {condition}")
            if cursor.fetchone()[0]:
                return
        time.sleep(0.01)
    raise AssertionError(f"it never came true: {condition}")


def _empty(case: TransactionTestCase) -> None:
    for alias in case._databases_names(include_mirrors=False):
        tables = connections[alias].introspection.django_table_names(only_existing=True)
        # References are checked at the end of the transaction.
        with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
            if connections[alias].vendor == "postgresql":
                cursor.execute("SET LOCAL drf_logout.maintenance = 'on'")
            for table in {*tables} - LASTING:
                cursor.execute(f"DELETE FROM {connections[alias].ops.quote_name(table)}")
