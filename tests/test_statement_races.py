"""What a single statement cannot see: what commits while it waits for a lock."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import DataError, connection, transaction
from django.db.models import QuerySet
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from accounts import services
from accounts.clients import ClientInfo
from accounts.models import AuditChain, LogoutEvent, Session
from accounts.services import Scope, verification

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("way"),
]

CLIENT = ClientInfo()


@pytest.fixture
def aside():
    """Return a function that calls on a thread with a connection of its own."""
    with ThreadPoolExecutor(1) as pool:

        def call(service, **arguments):
            def run():
                try:
                    return service(**arguments)
                finally:
                    connection.close()

            return pool.submit(run)

        yield call


def wait_for_a_lock() -> None:
    """Return when another connection waits for what this transaction holds."""
    deadline = time.monotonic() + 30
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
            time.sleep(0.01)
    raise TimeoutError


def findings() -> list[verification.Finding]:
    return [finding for page in verification.verify(size=100) for finding in page.findings]


@pytest.fixture(params=["known to stand", "named"])
def known(request, phone):
    """The row of the login that is to end, where a request has just found it."""
    return Session.objects.get() if request.param == "known to stand" else None


@pytest.mark.parametrize("scope", [Scope.SESSION, Scope.REFRESH_TOKENS, Scope.GLOBAL])
def test_what_a_refresh_beside_a_logout_has_recorded_is_blacklisted_too(
    user, phone, known, aside, scope
):
    with transaction.atomic():
        successor = services.refresh(token=phone.refresh, client=CLIENT).refresh
        logout = aside(
            services.log_out,
            user=user,
            presented=[phone.access],
            session=known,
            scope=scope,
            client=CLIENT,
        )
        wait_for_a_lock()
    result = logout.result(30)

    assert result.sessions_ended == 1
    assert not Session.objects.exists()
    assert set(BlacklistedToken.objects.values_list("token__jti", flat=True)) == {
        phone.access.jti,
        phone.refresh.jti,
        successor.jti,
    }
    assert result.tokens_revoked == 2
    assert findings() == []


def test_what_a_refresh_of_another_device_has_recorded_is_blacklisted_too(
    user, phone, laptop, aside
):
    with transaction.atomic():
        successor = services.refresh(token=laptop.refresh, client=CLIENT).refresh
        logout = aside(
            services.log_out,
            user=user,
            presented=[phone.access],
            scope=Scope.REFRESH_TOKENS,
            client=CLIENT,
        )
        wait_for_a_lock()
    logout.result(30)

    assert BlacklistedToken.objects.filter(token__jti=successor.jti).exists()
    assert Session.objects.get().sid == laptop.refresh.sid


@pytest.mark.parametrize("scope", [Scope.SESSION, Scope.REFRESH_TOKENS, Scope.GLOBAL])
def test_a_logout_that_another_was_ahead_of_changes_nothing(
    user, phone, known, laptop, aside, scope
):
    with transaction.atomic():
        first = services.log_out(proof=phone.access, scope=Scope.SESSION, client=CLIENT)
        logout = aside(
            services.log_out,
            user=user,
            presented=[phone.access],
            session=known,
            scope=scope,
            client=CLIENT,
        )
        wait_for_a_lock()
    second = logout.result(30)

    # Of all the logins of the user, one was left to end.
    assert second.sessions_ended == (scope is Scope.GLOBAL)
    assert LogoutEvent.objects.count() == len(first.events) + len(second.events)
    assert findings() == []


def test_a_logout_that_finds_no_free_chain_waits_for_one(user, phone, known, aside):
    with transaction.atomic():
        list(AuditChain.objects.select_for_update())
        logout = aside(
            services.log_out,
            user=user,
            presented=[phone.access],
            session=known,
            scope=Scope.SESSION,
            client=CLIENT,
        )
        wait_for_a_lock()
        assert not logout.done()

    assert logout.result(30).events == (LogoutEvent.objects.get(),)


def test_a_chain_that_somebody_has_removed_keeps_nobody_in(user, phone, known):
    QuerySet.delete(AuditChain.objects.exclude(pk=5))

    result = services.log_out(proof=phone.access, session=known, scope=Scope.SESSION, client=CLIENT)

    assert result.events[0].chain == 5
    assert not Session.objects.exists()


@pytest.mark.parametrize("presented", ["access", "access and refresh"])
@pytest.mark.parametrize("recorded", [True, False])
def test_a_login_that_is_known_to_stand_ends_as_any(user, phone, known, presented, recorded):
    if not recorded:
        OutstandingToken.objects.all().delete()
    both = [phone.access, phone.refresh][: 1 + ("refresh" in presented)]

    result = services.log_out(
        user=user, presented=both, session=known, scope=Scope.SESSION, client=CLIENT
    )

    event = LogoutEvent.objects.get()
    assert result.events == (event,)
    assert not result.events[0]._state.adding
    assert result.tokens_revoked == event.tokens_revoked == BlacklistedToken.objects.count()
    assert event.tokens_revoked == (2 if recorded else len(both))
    assert (event.user, event.session_id, event.token_jti) == (
        user,
        phone.access.sid,
        phone.access.jti,
    )
    assert findings() == []


def test_what_is_too_long_to_be_recorded_is_refused_and_the_login_stays(user, phone, known):
    client = ClientInfo(user_agent="x" * 600)

    with pytest.raises(DataError):
        services.log_out(proof=phone.access, session=known, scope=Scope.SESSION, client=client)

    assert Session.objects.exists()
    assert not BlacklistedToken.objects.exists()
    assert findings() == []
