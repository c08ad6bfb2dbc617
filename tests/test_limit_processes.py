"""The limit over HTTP, with four worker processes: exact, and no obstacle where its store fails."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import pytest
import requests
from django.contrib.auth import get_user_model
from django_ratelimit.core import _get_window

from accounts import services
from accounts.clients import ClientInfo
from accounts.models import Counter, Session
from tests.conftest import PASSWORD
from tests.host import PATIENCE
from tests.servers import workers

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

LIMIT, PERIOD = 20, 300


@pytest.fixture
def user(transactional_db):
    """Return a user whose window lasts for the test: it is offset by the key."""
    users = get_user_model().objects
    for number in range(100):
        user = users.create_user(f"ana{number}", password=PASSWORD)
        key = hashlib.sha256(f"user:{user.pk}".encode()).hexdigest()
        if _get_window(key, PERIOD) - time.time() > 120:
            return user
    raise AssertionError("no user has a window that lasts for two minutes")


@pytest.fixture
def bearers(user):
    """Make so many logins of the user, each with an access token."""

    def make(count):
        return [str(services.log_in(user=user, client=ClientInfo()).access) for _ in range(count)]

    return make


@pytest.fixture
def dead_bearers(bearers, user):
    """Make so many logins that have ended, which the limit is not to let through."""

    def make(count):
        made = bearers(count)
        services.end_all(user=user, cause=services.Cause())
        return made

    return make


@pytest.fixture(params=["redis", "postgresql"])
def store(request):
    """The environment of a deployment that counts in the one or in the other."""
    if request.param == "redis":
        # Its counts are the matter here: let no busy machine make it look as if it were down.
        patience = "?socket_timeout=30&socket_connect_timeout=30"
        return {"REDIS_URL": request.getfixturevalue("redis_server").url + patience}
    return {}


def log_out(url, bearer):
    return requests.post(
        f"{url}/logout", headers={"Authorization": f"Bearer {bearer}"}, timeout=PATIENCE
    )


def test_of_100_parallel_requests_of_a_user_who_has_left_exactly_20_pass(
    tmp_path, dead_bearers, store
):
    tokens = dead_bearers(100)

    with workers(tmp_path, **store) as served, ThreadPoolExecutor(100) as threads:
        answers = list(threads.map(lambda token: log_out(served.url, token), tokens))

    passed = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert (len(passed), len(refused)) == (LIMIT, 80)
    left = sorted(int(answer.headers["X-RateLimit-Remaining"]) for answer in passed)
    assert left == list(range(LIMIT))
    assert Counter.objects.exists() is (not store)
    assert len(served.pids) > 1


@pytest.mark.parametrize(
    "store", ["postgresql", pytest.param("redis", marks=pytest.mark.drill)], indirect=True
)
def test_twice_as_many_standing_logins_of_a_user_as_the_limit_may_all_leave_at_once(
    tmp_path, bearers, store
):
    tokens = bearers(2 * LIMIT)

    with workers(tmp_path, **store) as served, ThreadPoolExecutor(2 * LIMIT) as threads:
        answers = list(threads.map(lambda token: log_out(served.url, token), tokens))

    assert [answer.status_code for answer in answers] == [200] * 2 * LIMIT
    assert not Session.objects.exists()


def test_logouts_go_on_while_redis_is_killed_and_are_counted_when_it_is_back(
    tmp_path, dead_bearers, redis_server
):
    tokens = cycle(dead_bearers(LIMIT + 1 + 10))
    with workers(tmp_path, REDIS_URL=redis_server.url) as served:
        for _ in range(LIMIT):
            assert log_out(served.url, next(tokens)).status_code == 200
        assert log_out(served.url, next(tokens)).status_code == 429
        assert "is not enforced" not in served.log

        redis_server.kill()
        for _ in range(10):
            answer = log_out(served.url, next(tokens))
            assert answer.status_code == 200
            assert "RateLimit" not in answer.headers
        assert served.log.count("Rate limit logout is not enforced") == 10
        assert "Traceback" not in served.log

        redis_server.start()
        # Each process asks again a second after it has failed.
        deadline = time.monotonic() + PATIENCE
        counted = 0
        while counted < LIMIT and time.monotonic() < deadline:
            answer = log_out(served.url, next(tokens))
            counted += "RateLimit" in answer.headers
        assert counted == LIMIT
        assert "Traceback" not in served.log


def test_a_redis_that_is_silent_stands_in_the_way_of_no_logout(tmp_path, bearers, impostor):
    tokens = bearers(12)
    with workers(tmp_path, REDIS_URL=impostor().url) as served:
        # What is silent would be waited for without end.
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(lambda token: log_out(served.url, token), tokens))

        assert [answer.status_code for answer in answers] == [200] * 12
        assert served.log.count("Rate limit logout is not enforced") == 12
        assert "Traceback" not in served.log
    assert not Session.objects.exists()
