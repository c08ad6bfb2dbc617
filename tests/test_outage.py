"""Redis gone, silent or wrong: logging out works in time, and few passwords can be guessed."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import SimpleNamespace

import pytest
from rest_framework.test import APIRequestFactory

from accounts.conf import Rate
from accounts.ratelimit import MINUTE, RETRY_INTERVAL, Budget, Outage, StoreUnavailable, count
from tests.conftest import PASSWORD

RATE = Rate(limit=10, seconds=300)
TIMEOUT = 0.5
FAULTS = ["gone", "silent", "nonsense", "loading", "read-only", "wrong type"]


@pytest.fixture
def use_redis(settings):
    def use(url):
        settings.CACHES = {
            "default": {
                "BACKEND": "accounts.counters.RedisCounters",
                "LOCATION": url,
                # As in the example project.
                "OPTIONS": {
                    "socket_connect_timeout": TIMEOUT,
                    "socket_timeout": TIMEOUT,
                    "retry": None,
                },
            }
        }

    return use


@pytest.fixture(params=FAULTS)
def fault(request, use_redis, impostor):
    """Count in a Redis that fails; a function where it fails only once there are counts."""
    match request.param:
        case "gone":
            use_redis("redis://127.0.0.1:1/0")
        case "silent":
            use_redis(impostor().url)
        case "nonsense":
            use_redis(impostor(b"\x1b[31mnonsense\r\n\x00\xff").url)
        case "loading":
            use_redis(impostor(b"-LOADING Redis is loading the dataset in memory\r\n").url)
        case "read-only":
            redis = request.getfixturevalue("redis_server")
            use_redis(redis.url)
            with redis.client() as client:
                client.replicaof("127.0.0.1", "1")
        case "wrong type":
            redis = request.getfixturevalue("redis_server")
            use_redis(redis.url)

            def spoil():
                with redis.client() as client:
                    for key in client.keys("*"):
                        client.delete(key)
                        client.rpush(key, "not a count")

            return spoil
    return lambda: None


@pytest.fixture
def clock(monkeypatch):
    """Move the clock of the outage by so many seconds."""
    begun, passed = 1_000.0, [0.0]
    now = SimpleNamespace(monotonic=lambda: begun + passed[0], time=time.time)
    monkeypatch.setattr("accounts.ratelimit.time", now)

    def move(seconds):
        passed[0] += seconds

    return move


@pytest.fixture
def post(client):
    """Send JSON; return the answer."""

    def send(path, body=None, *, bearer=None):
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return client.post(path, body or {}, content_type="application/json", headers=headers)

    return send


def guess(password, username="ana"):
    return {"grant_type": "password", "username": username, "password": password}


def count_one():
    return count(APIRequestFactory().get("/"), name="limit", key="key", rate=RATE)


# Over HTTP


def test_a_logout_succeeds_and_the_log_says_that_it_was_not_counted(
    fault, post, phone, laptop, is_in, caplog
):
    assert post("/logout", bearer=phone.access).status_code == 200
    fault()
    caplog.clear()

    answer = post("/logout", bearer=laptop.access)

    assert answer.status_code == 200
    assert answer.json()["message"] == "Logout successful"
    assert not is_in(laptop.access)
    [record] = [record for record in caplog.records if record.name == "accounts.ratelimit"]
    assert "Rate limit logout is not enforced: its store is unavailable: " in record.getMessage()
    assert record.getMessage().isprintable()
    assert record.exc_info is None


def test_passwords_fail_closed_after_a_short_budget(fault, post, user):
    post("/token", guess("wrong", username="eve"))
    fault()

    answers = [post("/token", guess("wrong")) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [400, 400, 429, 429]
    assert answers[0].json()["error"] == "invalid_grant"
    refused = answers[-1]
    assert refused.json() == {"code": 429, "msg": "Too many requests"}
    assert 1 <= int(refused.headers["Retry-After"]) <= MINUTE
    assert post("/token", guess(PASSWORD)).status_code == 429
    assert post("/token", guess("wrong", username="eve")).status_code == 400


def test_passwords_fail_open_where_the_host_says_so(fault, post, user, settings, caplog):
    settings.ACCOUNTS = {"PASSWORD_FAIL_OPEN": True}
    post("/token", guess("wrong"))
    fault()
    caplog.clear()

    statuses = [post("/token", guess("wrong")).status_code for _ in range(15)]

    assert statuses == [400] * 15
    assert post("/token", guess(PASSWORD)).status_code == 200
    assert "Rate limit password is not enforced" in caplog.text


def test_no_request_waits_for_more_than_one_time_out_and_the_next_for_none(
    use_redis, impostor, post, phone, clock
):
    silent = impostor()
    use_redis(silent.url)

    post("/token", guess(PASSWORD))
    clock(RETRY_INTERVAL / 2)
    post("/logout", bearer=phone.access)

    assert len(silent.accepted) == 1  # one of the six counts that a log-in takes


def test_a_store_that_answers_late_counts_all_the_same(use_redis, slow_redis, post, phone, caplog):
    use_redis(slow_redis(0.1).url)

    for left in (19, 18):
        answer = post("/logout", bearer=phone.access)
        assert answer.headers["X-RateLimit-Remaining"] == str(left)
    assert "store" not in caplog.text


def test_a_store_that_is_back_counts_again(use_redis, redis_server, post, phone, clock):
    use_redis(redis_server.url)
    assert "RateLimit" in post("/logout", bearer=phone.access).headers
    redis_server.kill()
    assert "RateLimit" not in post("/logout", bearer=phone.access).headers
    redis_server.start()
    assert "RateLimit" not in post("/logout", bearer=phone.access).headers

    clock(RETRY_INTERVAL)

    for left in (19, 18):
        answer = post("/logout", bearer=phone.access)
        assert answer.headers["X-RateLimit-Remaining"] == str(left)


# The outage


def test_one_request_a_second_asks_a_store_that_is_down(use_redis, impostor, clock):
    silent = impostor()
    use_redis(silent.url)
    with pytest.raises(StoreUnavailable, match="Timeout"):
        count_one()
    asked = len(silent.accepted)
    clock(RETRY_INTERVAL)

    def refused(_):
        try:
            count_one()
        except StoreUnavailable as error:
            return str(error)

    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(refused, range(20)))

    assert answers.count("it failed less than a second ago") == 19
    assert len(silent.accepted) == asked + 1


def test_an_outage_begins_with_a_failure_and_ends_with_an_answer(clock):
    outage = Outage()
    assert not outage.lasts()
    outage.begin()
    assert outage.lasts()
    outage.end()
    assert not outage.lasts()


# The budget


@pytest.mark.parametrize(
    ("rate", "budget"),
    [
        (Rate(10, 300), 2),
        (Rate(100, 300), 20),
        (Rate(5, 60), 5),
        (Rate(3, 86_400), 1),
        (Rate(4, 1), 4),
    ],
)
def test_the_budget_is_a_minutes_share_of_the_rate(rate, budget, clock):
    local = Budget()
    for _ in range(2):
        assert [local.spend("key", rate) for _ in range(budget)] == [None] * budget
        assert local.spend("key", rate) == MINUTE
        clock(MINUTE - 1.5)
        assert local.spend("key", rate) == 2
        clock(1.5)


def test_the_budget_is_of_a_bounded_size_and_then_refuses_what_is_new(monkeypatch, clock):
    monkeypatch.setattr("accounts.ratelimit.MAX_KEYS", 3)
    local = Budget()
    for key in "abc":
        assert local.spend(key, RATE) is None

    assert local.spend("d", RATE) == MINUTE
    assert local.spend("a", RATE) is None
    clock(MINUTE)
    assert local.spend("d", RATE) is None


def test_the_budget_is_exact_for_parallel_threads():
    local, barrier, rate = Budget(), Barrier(20), Rate(1_000, 60)

    def spend(_):
        barrier.wait()
        return sum(local.spend("key", rate) is None for _ in range(100))

    with ThreadPoolExecutor(20) as threads:
        assert sum(threads.map(spend, range(20))) == 1_000
