"""Counters in the database: what a cache promises of them, exactly, and their transactions.

And those in Redis, by a client that is kept.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from threading import Barrier
from types import SimpleNamespace

import pytest
from django.core.cache import caches
from django.db import DatabaseError, OperationalError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from accounts import counters as module
from accounts.counters import RedisCounters
from accounts.models import Counter
from tests.database import wait_for_a_lock
from tests.host import PATIENCE

THREADS = 20


@pytest.fixture
def counters(settings, db):
    settings.CACHES = {
        **settings.CACHES,
        "counters": {"BACKEND": "accounts.counters.DatabaseCounters"},
    }
    return caches["counters"]


@pytest.fixture
def clock(monkeypatch):
    """Move the clock of the counters by so many seconds."""
    begun, passed = time.time(), [0.0]
    now = SimpleNamespace(time=lambda: begun + passed[0])
    monkeypatch.setattr("accounts.counters.time", now)
    # Django's own, which makes a moment of a number of seconds.
    monkeypatch.setattr("django.core.cache.backends.base.time", now)

    def move(seconds):
        passed[0] += seconds

    return move


@pytest.fixture
def isolate(monkeypatch):
    """Let the statements of new connections run at another isolation, as a host's role may."""

    def at(level):
        options = f"-c default_transaction_isolation={level.replace(' ', chr(92) + ' ')}"
        monkeypatch.setitem(connection.settings_dict["OPTIONS"], "options", options)

    return at


@pytest.fixture
def in_parallel():
    """Call in so many threads at once, each with a connection of its own."""

    def run(call):
        barrier = Barrier(THREADS)

        def one(number):
            try:
                barrier.wait()
                return call()
            finally:
                connections.close_all()

        with ThreadPoolExecutor(THREADS) as threads:
            return list(threads.map(one, range(THREADS)))

    return run


def test_a_count_begins_once_and_goes_up(counters):
    assert counters.add("k", 1, 60) is True
    assert counters.add("k", 1, 60) is False
    assert counters.incr("k") == 2
    assert counters.incr("k", 5) == 7
    assert counters.decr("k", 3) == 4
    assert counters.get("k") == 4
    assert counters.get_many(["k", "other"]) == {"k": 4}
    assert "k" in counters


def test_what_is_not_there_is_the_default_and_cannot_go_up(counters):
    assert counters.get("k") is None
    assert counters.get("k", 0) == 0
    with pytest.raises(ValueError, match="'k'"):
        counters.incr("k")


def test_a_count_that_is_forgotten_begins_anew(counters):
    counters.add("k", 3, 60)
    counters.add("other", 1, 60)

    assert counters.delete("k") is True
    assert counters.delete("k") is False
    assert counters.add("k", 1, 60) is True
    counters.clear()
    assert counters.get_many(["k", "other"]) == {}


def test_keys_and_versions_are_apart(counters):
    for version in (1, 2):
        assert counters.add("k", version, 60, version=version)

    assert counters.incr("k", version=2) == 3
    assert counters.get("k", version=1) == 1


def test_a_count_ends_with_its_time(counters, clock):
    counters.add("k", 7, 60)
    clock(59)
    assert counters.incr("k") == 8
    clock(2)

    assert counters.get("k") is None
    with pytest.raises(ValueError, match="not found"):
        counters.incr("k")
    assert counters.add("k", 1, 60) is True
    assert counters.get("k") == 1


def test_a_count_without_a_time_lasts(counters, clock):
    counters.add("k", 1, None)
    clock(10**9)

    assert counters.add("k", 1, None) is False
    assert counters.incr("k") == 2


def test_expired_counts_go_with_new_ones_a_few_at_a_time(counters, clock):
    for number in range(12):
        counters.add(f"old{number}", 1, 60)
    counters.add("lasting", 1, None)
    clock(61)

    counters.add("new", 1, 60)
    assert Counter.objects.count() == 12 + 1 + 1 - module.PRUNED

    counters.add("new2", 1, 60)
    assert sorted(Counter.objects.values_list("key", flat=True)) == [
        ":1:lasting",
        ":1:new",
        ":1:new2",
    ]


@pytest.mark.django_db(transaction=True)
def test_each_step_is_one_statement(counters):
    counters.add("k", 1, 60)

    for step in (
        lambda: counters.add("k", 1, 60),
        lambda: counters.incr("k"),
        lambda: counters.get("k"),
    ):
        with CaptureQueriesContext(connection) as statements:
            step()
        assert len(statements) == 1


def test_nothing_readable_is_kept_of_whom_a_limit_counts(counters, settings):
    from rest_framework.test import APIRequestFactory

    from accounts.conf import Rate
    from accounts.ratelimit import count

    settings.RATELIMIT_USE_CACHE = "counters"
    request = APIRequestFactory().get("/")

    assert count(request, name="n", key="name:ana@example.com", rate=Rate(2, 300)).count == 1
    assert count(request, name="n", key="name:ana@example.com", rate=Rate(2, 300)).count == 2

    [counter] = Counter.objects.all()
    assert str(counter) == f"{counter.key}: 2"
    assert len(counter.key) == len(":1:rl:") + 64
    assert "ana" not in counter.key


# Transactions


def test_in_a_transaction_a_count_is_part_of_it(counters):
    with transaction.atomic():
        assert counters.add("k", 1, 60) is True
        transaction.set_rollback(True)

    assert counters.get("k") is None


@pytest.mark.django_db(transaction=True)
def test_our_endpoints_count_for_good_where_a_host_has_atomic_requests(
    counters, settings, monkeypatch, client
):
    settings.RATELIMIT_USE_CACHE = "counters"
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    guess = {"grant_type": "password", "username": "nobody", "password": "wrong"}

    for _ in range(2):
        assert client.post("/token", guess, content_type="application/json").status_code == 400
        assert client.post("/logout").status_code == 401

    # The limits by address, by name and by account, and of the logouts: DRF undoes what goes with
    # an error.
    assert list(Counter.objects.values_list("value", flat=True)) == [2, 2, 2, 2]


@pytest.mark.postgresql
def test_in_a_transaction_a_failure_leaves_the_rest_of_it_whole(counters):
    with transaction.atomic():
        counters.add("k", 1, 60)
        with pytest.raises(DatabaseError):
            counters.incr("k", 2**63 - 1)
        assert counters.incr("k") == 2


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_another_failure_is_the_callers_to_know_at_once(counters, monkeypatch):
    def count():
        try:
            caches["counters"].incr("k")
        except OperationalError as error:
            return str(error)
        finally:
            connections.close_all()

    counters.add("k", 1, 60)
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "options", "-c lock_timeout=50ms")
    with ThreadPoolExecutor(1) as threads, transaction.atomic():
        counters.incr("k")
        assert "lock timeout" in threads.submit(count).result(timeout=PATIENCE)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
def test_parallel_counts_are_exact_at_any_isolation(counters, in_parallel, isolate, isolation):
    isolate(isolation)

    def count():
        cache = caches["counters"]
        return 1 if cache.add("k", 1, 60) else cache.incr("k")

    assert sorted(in_parallel(count)) == list(range(1, THREADS + 1))


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("tries", [1, 2])
def test_a_statement_that_the_database_undoes_is_run_again(counters, monkeypatch, isolate, tries):
    def count():
        try:
            return caches["counters"].incr("k")
        except OperationalError:
            return "undone"
        finally:
            connections.close_all()

    monkeypatch.setattr(module, "TRIES", tries)
    counters.add("k", 1, 60)
    isolate("repeatable read")
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            counters.incr("k")
            other = threads.submit(count)
            wait_for_a_lock()
        assert other.result(timeout=PATIENCE) == (3 if tries == 2 else "undone")


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_new_count_waits_for_no_expired_one_that_somebody_holds(counters, clock):
    counters.add("old", 1, 60)
    clock(61)
    with transaction.atomic():
        Counter.objects.select_for_update().get(key=":1:old")
        with ThreadPoolExecutor(1) as threads:

            def count():
                try:
                    return caches["counters"].add("new", 1, 60)
                finally:
                    connections.close_all()

            assert threads.submit(count).result(timeout=PATIENCE) is True
    assert Counter.objects.filter(key=":1:old").exists()


@pytest.mark.postgresql
def test_a_count_does_not_wait_for_the_disk(db):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relpersistence FROM pg_class WHERE relname = %s", [Counter._meta.db_table]
        )
        assert cursor.fetchone() == ("u",)


# In Redis


@pytest.fixture
def redis_counters(settings, redis_server):
    settings.CACHES = {
        "redis": {"BACKEND": "accounts.counters.RedisCounters", "LOCATION": redis_server.url}
    }
    return caches["redis"]


# A process of tests has threads; this child uses none of theirs.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_threads_and_forks_count_together_in_redis(redis_counters, in_parallel):
    assert redis_counters.add("k", 1, 60) is True
    process = get_context("fork").Process(target=redis_counters.incr, args=("k",))
    process.start()
    process.join()

    # The cache of another thread is another one; this one is shared all the same.
    in_parallel(lambda: redis_counters.incr("k"))

    assert process.exitcode == 0
    assert redis_counters.get("k") == 2 + THREADS


def test_redis_has_one_client_for_what_it_writes_and_one_for_each_replica(redis_server):
    alone = RedisCounters(redis_server.url, {})._cache
    assert alone.get_client("k") is alone.get_client("other", write=True)

    replicated = RedisCounters([redis_server.url, "redis://127.0.0.1:1"], {})._cache
    assert replicated.get_client("k") is replicated.get_client("other")
    assert replicated.get_client("k") is not replicated.get_client("k", write=True)


def test_redis_takes_the_options_that_djangos_cache_takes(redis_server):
    counters = RedisCounters(redis_server.url, {"OPTIONS": {"socket_timeout": 7}})

    pool = counters._cache.get_client().connection_pool

    assert pool.connection_kwargs["socket_timeout"] == 7
