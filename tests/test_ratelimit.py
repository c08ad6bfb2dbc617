"""The rate limit: its count, its headers to the letter, and a store that is down."""

from __future__ import annotations

import itertools
import time
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.cache.backends.locmem import LocMemCache
from django.http import Http404
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from accounts import ratelimit
from accounts.conf import Rate
from accounts.ratelimit import (
    Attempts,
    StoreUnavailable,
    Usage,
    address_key,
    count,
    rate_limit,
    user_key,
)

RATE = Rate(limit=2, seconds=300)

DOWN = {
    "BACKEND": "django.core.cache.backends.redis.RedisCache",
    "LOCATION": "redis://127.0.0.1:1/0",
    "OPTIONS": {"socket_connect_timeout": 0.5, "retry": None},
}


class RefusingCache(LocMemCache):
    """A cache that cannot count, and does not say why."""

    def add(self, *args, **kwargs):
        return False

    def incr(self, *args, **kwargs):
        raise ValueError


class HeaderUser(BaseAuthentication):
    """Take the user from a header, for the test's convenience."""

    def authenticate(self, request):
        if pk := request.headers.get("User-Id"):
            user = AnonymousUser()
            user.pk, user.__class__ = (
                pk,
                type("Known", (AnonymousUser,), {"is_authenticated": True}),
            )
            return user, None
        return None


class HostView(APIView):
    """A view of a host project."""

    authentication_classes = [HeaderUser]
    permission_classes = []

    @rate_limit("host", rate=lambda: RATE)
    def get(self, request, error=None):
        if error:
            raise error
        return Response({"ok": True}, headers={"X-Host": "1"})

    @rate_limit("host", rate=lambda: RATE)
    def post(self, request):
        return Response(status=201)

    @rate_limit("other", rate=lambda: RATE, key=lambda view, request: request.headers["Tenant"])
    def put(self, request):
        return Response()


@pytest.fixture
def ask():
    """Call the host's view; header names as keyword arguments."""
    factory, view = APIRequestFactory(), HostView.as_view()

    def run(method="get", *, address="192.0.2.1", error=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        request = getattr(factory, method)("/", headers=headers, REMOTE_ADDR=address)
        return view(request, **({"error": error} if error else {}))

    return run


@pytest.fixture
def request_from():
    def build(address="192.0.2.1"):
        return Request(APIRequestFactory().get("/", REMOTE_ADDR=address))

    return build


@pytest.fixture(params=["down", "refusing"])
def broken_store(request, settings):
    """A store that nobody answers for, or one that answers without counting."""
    settings.CACHES = {
        "default": {
            "down": DOWN,
            "refusing": {"BACKEND": f"{__name__}.RefusingCache"},
        }[request.param]
    }


# What a limit says


@pytest.mark.parametrize(
    ("used", "reset", "headers"),
    [
        (
            1,
            300,
            {
                "RateLimit-Policy": '"logout";q=20;w=300',
                "RateLimit": '"logout";r=19;t=300',
                "X-RateLimit-Limit": "20",
                "X-RateLimit-Remaining": "19",
                "X-RateLimit-Reset": "300",
            },
        ),
        (
            20,
            7,
            {
                "RateLimit-Policy": '"logout";q=20;w=300',
                "RateLimit": '"logout";r=0;t=7',
                "X-RateLimit-Limit": "20",
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": "7",
            },
        ),
        (
            21,
            120,
            {
                "RateLimit-Policy": '"logout";q=20;w=300',
                "RateLimit": '"logout";r=0;t=120',
                "X-RateLimit-Limit": "20",
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": "120",
            },
        ),
    ],
)
def test_the_headers_are_the_drafts(used, reset, headers):
    usage = Usage(name="logout", rate=Rate(20, 300), count=used, reset=reset, ends=[0])

    assert usage.headers == headers
    assert usage.exceeded is (used > 20)


# The decorator, on a view of the host's


def test_every_answer_says_how_much_is_left(ask):
    first, second, third = ask(), ask(), ask()

    assert [answer.status_code for answer in (first, second, third)] == [200, 200, 429]
    assert first.data == {"ok": True}
    assert first.headers["X-Host"] == "1"
    for answer, remaining in ((first, 1), (second, 0), (third, 0)):
        seconds = int(answer.headers["X-RateLimit-Reset"])
        assert 0 <= seconds <= 300
        assert answer.headers["RateLimit-Policy"] == '"host";q=2;w=300'
        assert answer.headers["RateLimit"] == f'"host";r={remaining};t={seconds}'
        assert answer.headers["X-RateLimit-Limit"] == "2"
        assert answer.headers["X-RateLimit-Remaining"] == str(remaining)
    assert "Retry-After" not in second.headers
    assert int(third.headers["Retry-After"]) >= max(1, int(third.headers["X-RateLimit-Reset"]))
    assert "throttled" in third.data["detail"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (exceptions.ValidationError({"field": ["wrong"]}), 400),
        (exceptions.PermissionDenied(), 403),
        (Http404(), 404),
        (exceptions.NotAuthenticated(), 403),
    ],
)
def test_an_error_of_the_handler_is_djangos_answer_with_the_headers(ask, error, status):
    answer = ask(error=error)

    assert answer.status_code == status
    assert answer.headers["X-RateLimit-Remaining"] == "1"


def test_an_unexpected_error_of_the_handler_is_the_hosts_own_affair(ask):
    with pytest.raises(ZeroDivisionError):
        ask(error=ZeroDivisionError())


def test_handlers_of_one_name_share_their_count(ask):
    ask("get")
    ask("post")

    assert ask("get").status_code == 429
    assert ask("post").status_code == 429


def test_handlers_of_another_name_count_for_themselves(ask):
    ask("get")
    ask("get")

    assert ask("put", tenant="acme").status_code == 200


def test_each_user_has_a_count_wherever_they_are(ask):
    for address in ("192.0.2.1", "192.0.2.2"):
        assert ask(address=address, user_id="7").status_code == 200

    assert ask(address="192.0.2.3", user_id="7").status_code == 429
    assert ask(address="192.0.2.1", user_id="8").status_code == 200
    assert ask(address="192.0.2.1").status_code == 200


def test_a_request_of_nobody_counts_for_its_address(ask):
    ask(address="192.0.2.1")
    ask(address="192.0.2.1")

    assert ask(address="192.0.2.1").status_code == 429
    assert ask(address="192.0.2.2").status_code == 200


def test_a_host_may_count_by_what_it_likes(ask):
    for _ in range(2):
        assert ask("put", tenant="acme").status_code == 200

    assert ask("put", tenant="acme").status_code == 429
    assert ask("put", tenant="other").status_code == 200


@pytest.mark.usefixtures("broken_store")
def test_a_store_that_is_down_stands_in_nobodys_way_and_the_log_says_so(ask, caplog):
    answers = [ask() for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert not [name for name in answers[0].headers if "RateLimit" in name]
    records = [record for record in caplog.records if record.name == "accounts.ratelimit"]
    assert len(records) == 3
    for record in records:
        assert record.levelname == "ERROR"
        assert "Rate limit host is not enforced" in record.getMessage()
        assert record.exc_info is None


def test_a_host_may_switch_the_limits_off(settings, ask, request_from):
    settings.RATELIMIT_ENABLE = False

    for _ in range(5):
        answer = ask()
        assert answer.status_code == 200
        Attempts(request_from(), name="password", key="k", rate=RATE)
    assert "RateLimit" not in answer.headers


def test_a_host_may_count_in_another_cache(settings, ask):
    settings.CACHES = {
        "default": {"BACKEND": f"{__name__}.RefusingCache"},
        "limits": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "other"},
    }
    settings.RATELIMIT_USE_CACHE = "limits"

    assert ask(user_id="another-cache").headers["X-RateLimit-Remaining"] == "1"


# Keys


@pytest.mark.parametrize(
    ("one", "another", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("", "", True),
        ("", "192.0.2.1", False),
    ],
)
def test_an_ipv6_network_of_a_subscriber_is_one_client(request_from, one, another, same):
    assert (address_key(request_from(one)) == address_key(request_from(another))) is same


def test_a_request_without_any_user_counts_for_its_address(request_from):
    request = request_from()
    request.user = None

    assert user_key(HostView(), request) == "address:192.0.2.1"


# Attempts


def test_attempts_that_fail_are_counted(request_from):
    request = request_from()
    for _ in range(2):
        Attempts(request, name="password", key="ana", rate=RATE)

    with pytest.raises(exceptions.Throttled) as caught:
        Attempts(request, name="password", key="ana", rate=RATE)

    assert 1 <= caught.value.wait <= 300
    Attempts(request, name="password", key="eve", rate=RATE)
    Attempts(request, name="address", key="ana", rate=RATE)


@pytest.mark.parametrize(
    "offsets", [(0, 0), (0, 1), (-1, 0)], ids=["", "the clock ticks", "the clock has ticked"]
)
def test_an_attempt_that_succeeds_does_not_count(request_from, monkeypatch, offsets):
    ahead = itertools.cycle(offsets)
    clock = SimpleNamespace(time=lambda: time.time() + next(ahead), monotonic=time.monotonic)
    monkeypatch.setattr(ratelimit, "time", clock)
    request = request_from()
    for _ in range(5):
        Attempts(request, name="password", key="ana", rate=RATE).succeed()
    for _ in range(2):
        Attempts(request, name="password", key="ana", rate=RATE)

    with pytest.raises(exceptions.Throttled):
        Attempts(request, name="password", key="ana", rate=RATE)


def test_a_clock_that_leaps_ahead_leaves_no_window_for_each_second(request_from, monkeypatch):
    ahead = itertools.cycle((0, 10**6))
    clock = SimpleNamespace(time=lambda: time.time() + next(ahead), monotonic=time.monotonic)
    monkeypatch.setattr(ratelimit, "time", clock)

    assert len(count(request_from(), name="password", key="ana", rate=RATE).ends) == 60


def test_attempts_under_way_count_until_they_have_succeeded(request_from):
    request = request_from()
    first, second = (Attempts(request, name="password", key="ana", rate=RATE) for _ in range(2))
    with pytest.raises(exceptions.Throttled):
        Attempts(request, name="password", key="ana", rate=RATE)

    first.succeed()
    second.succeed()

    Attempts(request, name="password", key="ana", rate=RATE)


@pytest.mark.usefixtures("broken_store")
def test_without_its_store_nothing_is_counted(request_from):
    for reason in ("refused|refuses", "it failed less than a second ago"):
        with pytest.raises(StoreUnavailable, match=reason):
            count(request_from(), name="password", key="ana", rate=RATE)


@pytest.mark.usefixtures("broken_store")
def test_without_its_store_a_few_attempts_are_made_that_this_process_counts(request_from, caplog):
    rate = Rate(limit=10, seconds=300)
    for _ in range(2):
        Attempts(request_from(), name="password", key="ana", rate=rate).succeed()
    with pytest.raises(exceptions.Throttled) as caught:
        Attempts(request_from(), name="password", key="ana", rate=rate)

    assert 1 <= caught.value.wait <= 60
    Attempts(request_from(), name="password", key="eve", rate=rate)
    Attempts(request_from(), name="address", key="ana", rate=rate)
    assert caplog.text.count("Rate limit password is each process's own") == 4


@pytest.mark.usefixtures("broken_store")
def test_a_host_may_let_attempts_go_uncounted(request_from, settings, caplog):
    settings.ACCOUNTS = {"PASSWORD_FAIL_OPEN": True}

    for _ in range(100):
        Attempts(request_from(), name="password", key="ana", rate=RATE)

    assert caplog.text.count("Rate limit password is not enforced") == 100


def test_a_success_that_cannot_be_noted_is_one_all_the_same(request_from, settings, caplog):
    attempt = Attempts(request_from(), name="password", key="ana", rate=RATE)
    settings.CACHES = {"default": DOWN}

    attempt.succeed()

    assert "An attempt counts as failed" in caplog.text


def test_the_success_of_an_attempt_that_was_not_counted_allows_no_other(request_from, settings):
    working = settings.CACHES
    settings.CACHES = {"default": {"BACKEND": f"{__name__}.RefusingCache"}}
    attempt = Attempts(request_from(), name="password", key="ana", rate=RATE)
    settings.CACHES = working
    ratelimit._outage.end()

    attempt.succeed()

    for _ in range(2):
        Attempts(request_from(), name="password", key="ana", rate=RATE)
    with pytest.raises(exceptions.Throttled):
        Attempts(request_from(), name="password", key="ana", rate=RATE)
