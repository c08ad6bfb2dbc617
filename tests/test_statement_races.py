"""What a single statement cannot see: what commits while it waits for a lock."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import DataError, connection, transaction
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken

from accounts import services
from accounts.clients import ClientInfo
from accounts.models import LogoutEvent, Session
from accounts.services import Scope
from tests.database import wait_for_a_lock

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


@pytest.mark.parametrize("scope", [Scope.SESSION, Scope.REFRESH_TOKENS, Scope.GLOBAL])
def test_what_a_refresh_beside_a_logout_has_recorded_is_blacklisted_too(phone, aside, scope):
    with transaction.atomic():
        successor = services.refresh(token=phone.refresh, client=CLIENT).refresh
        logout = aside(services.log_out, proof=phone.access, scope=scope, client=CLIENT)
        wait_for_a_lock()
    result = logout.result()

    assert result.sessions_ended == 1
    assert not Session.objects.exists()
    assert set(BlacklistedToken.objects.values_list("token__jti", flat=True)) == {
        phone.access.jti,
        phone.refresh.jti,
        successor.jti,
    }
    assert result.tokens_revoked == 2


def test_what_a_refresh_of_another_device_has_recorded_is_blacklisted_too(phone, laptop, aside):
    scope = Scope.REFRESH_TOKENS
    with transaction.atomic():
        successor = services.refresh(token=laptop.refresh, client=CLIENT).refresh
        logout = aside(services.log_out, proof=phone.access, scope=scope, client=CLIENT)
        wait_for_a_lock()
    logout.result()

    assert BlacklistedToken.objects.filter(token__jti=successor.jti).exists()
    assert Session.objects.get().sid == laptop.refresh.sid


@pytest.mark.parametrize("scope", [Scope.SESSION, Scope.REFRESH_TOKENS, Scope.GLOBAL])
def test_a_logout_that_another_was_ahead_of_changes_nothing(phone, laptop, aside, scope):
    with transaction.atomic():
        services.log_out(proof=phone.access, scope=Scope.SESSION, client=CLIENT)
        logout = aside(services.log_out, proof=phone.access, scope=scope, client=CLIENT)
        wait_for_a_lock()
    second = logout.result()

    # Of all the logins of the user, one was left to end.
    assert second.sessions_ended == (scope is Scope.GLOBAL)
    assert LogoutEvent.objects.count() == 1 + len(second.events)


def test_the_logout_that_a_statement_records_is_told_as_it_is(user, phone):
    result = services.log_out(
        proof=phone.access, named=phone.refresh, scope=Scope.SESSION, client=CLIENT
    )

    [event] = result.events
    assert not event._state.adding
    assert event == LogoutEvent.objects.get()
    assert (event.user, event.username) == (user, "ana")
    said = {field.attname: getattr(event, field.attname) for field in event._meta.concrete_fields}
    assert said == LogoutEvent.objects.values().get()


def test_what_is_too_long_to_be_recorded_is_refused_and_the_login_stays(phone):
    client = ClientInfo(user_agent="x" * 600)

    with pytest.raises(DataError):
        services.log_out(proof=phone.access, scope=Scope.SESSION, client=client)

    assert Session.objects.exists()
    assert not BlacklistedToken.objects.exists()
