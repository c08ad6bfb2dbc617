"""The session engine, both halves of it: hashed keys, owners, and the end of a login."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import (
    aget_user,
    alogin,
    aupdate_session_auth_hash,
    get_user,
    login,
    logout,
    update_session_auth_hash,
)
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.backends.db import SessionStore as DjangoSessionStore
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.utils import timezone

from accounts import services
from accounts.models import LogoutEvent, Session
from accounts.sessions import SessionStore, current_session, hash_key

from .conftest import PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["sync", "async"])
def call(request):
    """Call a method of a store, or its async twin."""

    def run(store, method, *args):
        if request.param == "async":
            return async_to_sync(getattr(store, f"a{method}"))(*args)
        return getattr(store, method)(*args)

    return run


@pytest.fixture(params=["sync", "async"])
def browser(request, client):
    """A browser, logged in and out by Django's own test client, or by its async twins."""

    class Browser:
        def __getattr__(self, method):
            if request.param == "async":
                return async_to_sync(getattr(client, f"a{method}"))
            return getattr(client, method)

        @property
        def key(self):
            return client.cookies["sessionid"].value

    return Browser()


@pytest.fixture
def key(client, user):
    """The key of a browser login of the user, as its cookie has it."""
    client.force_login(user)
    return client.cookies["sessionid"].value


def row(key):
    return Session.objects.get(session_key=hash_key(key))


def basket(call, store):
    call(store, "update", {"basket": 3})
    call(store, "save")
    return store.session_key


# Keys


def test_an_anonymous_session_is_a_row_of_nobody(call):
    key = basket(call, SessionStore())

    assert call(SessionStore(key), "get", "basket") == 3
    stored = row(key)
    assert stored.user is None
    assert stored.kind == Session.Kind.BROWSER
    assert stored.authenticated_at is stored.last_seen_at is stored.ip_address is None
    assert stored.get_decoded() == {"basket": 3}


def test_the_key_of_the_cookie_is_nowhere_in_the_row(call):
    key = basket(call, SessionStore())

    [values] = Session.objects.values()
    assert values["session_key"] == hash_key(key)
    assert key not in str(values)


def test_what_is_stored_opens_no_session(call):
    key = basket(call, SessionStore())

    assert call(SessionStore(hash_key(key)), "get", "basket") is None


@pytest.mark.parametrize("key", ["x" * 32, "\x00" * 8, "\ud800" * 8, "ñ" * 8, "x" * 5000])
def test_an_unknown_key_is_an_empty_session_that_gets_another_key(call, key):
    store = SessionStore(key)

    assert call(store, "get", "basket") is None
    assert store.session_key is None
    assert not call(store, "exists", key)
    call(store, "save")
    assert store.session_key != key


def test_a_session_exists_until_it_is_deleted(call):
    store = SessionStore()
    key = basket(call, store)
    assert call(SessionStore(), "exists", key)

    call(store, "delete")

    assert not call(SessionStore(), "exists", key)
    assert call(SessionStore(key), "get", "basket") is None


def test_deleting_by_key_leaves_other_sessions_alone(call):
    store, other = SessionStore(), SessionStore()
    key, other_key = basket(call, store), basket(call, other)

    call(SessionStore(), "delete", key)

    assert not call(store, "exists", key)
    assert call(store, "exists", other_key)


def test_a_session_without_a_key_has_nothing_to_delete(call):
    basket(call, SessionStore())

    call(SessionStore(), "delete")

    assert Session.objects.count() == 1


def test_a_changed_session_is_saved(call):
    key = basket(call, SessionStore())
    store = SessionStore(key)
    call(store, "update", {"basket": 4})
    call(store, "save")

    assert call(SessionStore(key), "get", "basket") == 4
    assert Session.objects.count() == 1


def test_a_login_that_is_cleared_unread_is_nobodys(call, key, user):
    store = SessionStore(key)
    store.clear()
    call(store, "update", {"basket": 5})
    call(store, "save")

    assert row(key).get_decoded() == {"basket": 5}
    assert not Session.objects.of(user).exists()


def test_flush_ends_the_session_and_the_next_one_is_new(call):
    store = SessionStore()
    key = basket(call, store)
    sid = row(key).sid

    call(store, "flush")
    assert store.session_key is None
    assert not Session.objects.exists()

    other_key = basket(call, store)
    assert other_key != key
    assert row(other_key).sid != sid


# Expiry


def test_an_expired_session_is_refused(call):
    key = basket(call, SessionStore())
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))

    store = SessionStore(key)
    assert call(store, "get", "basket") is None
    assert store.session_key is None


def test_a_session_expires_when_it_was_told_to(call):
    store = SessionStore()
    call(store, "set_expiry", 60)
    key = basket(call, store)

    left = row(key).expire_date - timezone.now()
    assert timedelta(seconds=50) < left <= timedelta(seconds=60)


def test_expired_sessions_are_cleared_and_live_ones_kept(call, phone, laptop):
    dead, live = basket(call, SessionStore()), basket(call, SessionStore())
    past = timezone.now() - timedelta(seconds=1)
    Session.objects.filter(session_key=hash_key(dead)).update(expire_date=past)
    Session.objects.filter(sid=phone.refresh.sid).update(expire_date=past)

    call(SessionStore, "clear_expired")

    assert not call(SessionStore(), "exists", dead)
    assert call(SessionStore(), "exists", live)
    assert Session.objects.filter(kind="token").get().sid == laptop.refresh.sid
    # A login that nobody used any more ends on record; an anonymous session is none.
    event = LogoutEvent.objects.get()
    assert (event.session_id, event.reason) == (phone.refresh.sid, "expired")


def test_more_expired_sessions_than_go_at_once_are_cleared(user, device, monkeypatch):
    monkeypatch.setattr("accounts.sessions.BATCH", 2)
    for _ in range(5):
        services.log_in(user=user, client=device)
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))

    SessionStore.clear_expired()

    assert not Session.objects.exists()
    assert LogoutEvent.objects.count() == 5


def test_djangos_clearsessions_command_clears_them(key, phone):
    Session.objects.filter(sid=phone.refresh.sid).update(
        expire_date=timezone.now() - timedelta(seconds=1)
    )

    call_command("clearsessions")

    assert Session.objects.get() == row(key)
    assert LogoutEvent.objects.get().session_id == phone.refresh.sid


# Owners


def test_a_browser_login_is_a_row_of_its_user(browser, user):
    assert browser.login(username="ana", password=PASSWORD)

    stored = row(browser.key)
    assert stored.user == user
    assert stored.kind == Session.Kind.BROWSER
    assert stored.auth_hash == user.get_session_auth_hash()
    assert stored.authenticated_at == stored.last_seen_at
    assert abs(timezone.now() - stored.authenticated_at) < timedelta(seconds=10)
    assert stored.refresh_jti == ""


def test_a_forced_login_is_one_too(browser, user):
    browser.force_login(user)

    assert row(browser.key).user == user


def test_a_logged_in_browser_is_known_again(client, key, user):
    request = HttpRequest()
    request.session = SessionStore(key)
    assert get_user(request) == user

    request.session = SessionStore(key)
    assert async_to_sync(aget_user)(request) == user
    assert client.get("/admin/").status_code == 302  # no member of the staff


def test_logging_out_takes_the_row_away(browser, user):
    browser.force_login(user)
    key = browser.key

    browser.logout()

    assert not Session.objects.exists()
    request = HttpRequest()
    request.session = SessionStore(key)
    assert get_user(request).is_anonymous


def test_logging_in_gives_an_anonymous_session_a_new_key_and_keeps_its_data(client, user):
    session = client.session
    session["basket"] = 3
    session.save()
    client.cookies["sessionid"] = anonymous = session.session_key
    sid = row(anonymous).sid

    client.force_login(user)

    key = client.cookies["sessionid"].value
    assert key != anonymous
    assert not SessionStore().exists(anonymous)
    assert SessionStore(key)["basket"] == 3
    assert row(key).sid != sid


def test_another_user_of_the_same_browser_gets_a_login_of_their_own(client, user, stranger):
    client.force_login(user)
    first = row(client.cookies["sessionid"].value)

    client.force_login(stranger)

    second = row(client.cookies["sessionid"].value)
    assert second.user == stranger
    assert second.sid != first.sid
    assert not Session.objects.of(user).exists()


def test_the_address_and_the_user_agent_of_the_log_in_are_kept(client, admin_user):
    device = {"REMOTE_ADDR": "198.51.100.7", "headers": {"user-agent": "Firefox"}}
    client.post("/admin/login/", {"username": "admin", "password": "password"}, **device)
    key = client.cookies["sessionid"].value
    assert (row(key).ip_address, row(key).user_agent) == ("198.51.100.7", "Firefox")

    client.get("/admin/", REMOTE_ADDR="203.0.113.1", headers={"user-agent": "Other"})

    assert row(key).user == admin_user
    assert (row(key).ip_address, row(key).user_agent) == ("198.51.100.7", "Firefox")


def test_no_cookie_reaches_a_token_login(call, phone):
    secret = "k" * 32
    Session.objects.filter(sid=phone.refresh.sid).update(session_key=hash_key(secret))

    for key in (secret, phone.refresh.sid.hex, str(phone.refresh.sid), phone.refresh.jti):
        store = SessionStore(key)
        assert call(store, "get", "_auth_user_id") is None
        assert not call(store, "exists", key)
        call(store, "delete", key)

    assert Session.objects.filter(sid=phone.refresh.sid).exists()


def test_a_user_whose_id_is_taken_out_of_the_session_no_longer_owns_it(call, key, user):
    store = SessionStore(key)
    call(store, "pop", "_auth_user_id")
    call(store, "save")

    assert row(key).user is None
    assert not Session.objects.of(user).exists()


# A new key


def test_a_new_key_is_the_same_login(call, key, user):
    Session.objects.update(
        authenticated_at=timezone.now() - timedelta(days=1),
        ip_address="192.0.2.9",
        user_agent="Browser",
    )
    before = row(key)
    store = SessionStore(key)

    call(store, "cycle_key")
    call(store, "save")

    assert store.session_key != key
    assert not call(store, "exists", key)
    after = row(store.session_key)
    for column in ("sid", "user", "authenticated_at", "ip_address", "user_agent", "auth_hash"):
        assert getattr(after, column) == getattr(before, column)
    assert Session.objects.of(user).count() == 1


def test_a_new_key_without_a_session_before_is_an_empty_session(call):
    store = SessionStore()
    call(store, "cycle_key")
    call(store, "save")

    assert call(SessionStore(), "exists", store.session_key)


def test_an_anonymous_session_with_a_new_key_keeps_its_data(call):
    store = SessionStore()
    key = basket(call, store)

    call(store, "cycle_key")
    call(store, "save")

    assert store.session_key != key
    assert call(SessionStore(store.session_key), "get", "basket") == 3


def test_a_login_with_a_new_key_is_still_seen(call, key):
    store = SessionStore(key)
    call(store, "cycle_key")
    call(store, "save")
    long_ago = timezone.now() - timedelta(hours=1)
    Session.objects.update(last_seen_at=long_ago)

    call(SessionStore(store.session_key), "get", "anything")

    assert row(store.session_key).last_seen_at > long_ago


def test_a_password_change_that_keeps_this_browser_in_keeps_its_sid(key, user):
    sid = row(key).sid
    request = RequestFactory().get("/")
    request.user, request.session = user, SessionStore(key)
    user.set_password("another password")
    user.save()

    update_session_auth_hash(request, user)
    request.session.save()

    stored = row(request.session.session_key)
    assert stored.sid == sid
    assert stored.auth_hash == user.get_session_auth_hash()


# A login that ends while a request is under way


def test_an_ended_session_is_not_written_back(call, key, user):
    store = SessionStore(key)
    call(store, "update", {"basket": 3})
    Session.objects.of(user).delete()

    with pytest.raises(UpdateError):
        call(store, "save")

    assert not Session.objects.exists()


def test_an_ended_session_is_not_written_back_under_a_new_key(call, key, user):
    store = SessionStore(key)
    call(store, "update", {"basket": 3})
    Session.objects.of(user).delete()

    with suppress(UpdateError, SessionInterrupted):
        call(store, "cycle_key")
        call(store, "save")

    assert not Session.objects.of(user).exists()


def test_the_request_of_an_ended_session_is_interrupted(key, user):
    def view(request):
        request.session["basket"] = 3
        Session.objects.of(user).delete()
        return HttpResponse()

    request = RequestFactory().get("/")
    request.COOKIES["sessionid"] = key

    with pytest.raises(SessionInterrupted):
        SessionMiddleware(view)(request)

    assert not Session.objects.exists()


def test_a_re_authentication_meanwhile_is_not_undone(call, key):
    store = SessionStore(key)
    call(store, "update", {"basket": 3})
    marked = timezone.now()
    Session.objects.update(reauthenticated_at=marked)

    call(store, "save")

    assert row(key).reauthenticated_at == marked
    assert row(key).get_decoded()["basket"] == 3


# Last seen


def test_a_login_is_seen_at_most_once_a_minute(call, key, django_assert_num_queries):
    almost = timezone.now() - timedelta(seconds=50)
    Session.objects.update(last_seen_at=almost)
    with django_assert_num_queries(1):
        call(SessionStore(key), "load")
    assert row(key).last_seen_at == almost

    Session.objects.update(last_seen_at=timezone.now() - timedelta(seconds=61))
    with django_assert_num_queries(2):
        call(SessionStore(key), "load")
    assert timezone.now() - row(key).last_seen_at < timedelta(seconds=10)


def test_an_anonymous_session_is_never_seen(call, django_assert_num_queries):
    key = basket(call, SessionStore())

    with django_assert_num_queries(1):
        call(SessionStore(key), "load")

    assert row(key).last_seen_at is None


def test_a_browser_that_logs_out_and_in_again_in_one_request_is_in(rf, user, stranger):
    request = rf.get("/")
    request.session = SessionStore()
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    request.session.save()

    logout(request)
    login(request, stranger, backend="django.contrib.auth.backends.ModelBackend")
    request.session.save()

    assert Session.objects.get(user=stranger)
    assert not Session.objects.filter(user=user).exists()


# A session that is thrown away


BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture(params=["sync", "async"])
def log_in(request, rf):
    """Let a user log in, by Django's own code, in the browser with this session."""

    def run(store, user, **extra):
        asked = rf.get("/", **extra)
        asked.session = store
        if request.param == "async":
            async_to_sync(alogin)(asked, user, BACKEND)
            async_to_sync(store.asave)()
        else:
            login(asked, user, BACKEND)
            store.save()
        return store

    return run


def ends():
    return list(LogoutEvent.objects.values_list("session_id", "reason", "initiator"))


def test_a_login_that_another_user_of_the_browser_takes_the_place_of_is_on_record(
    key, user, stranger, log_in
):
    sid = row(key).sid

    store = log_in(SessionStore(key), stranger)

    assert ends() == [(sid, "discarded", "system")]
    assert Session.objects.get() == row(store.session_key)
    assert row(store.session_key).user == stranger


def test_the_same_user_who_logs_in_again_has_the_same_login_from_another_place(key, user, log_in):
    before = row(key)
    Session.objects.update(authenticated_at=before.authenticated_at - timedelta(hours=1))

    store = log_in(SessionStore(key), user, REMOTE_ADDR="203.0.113.9", HTTP_USER_AGENT="Other")

    after = row(store.session_key)
    assert after.sid == before.sid
    assert after.authenticated_at >= before.authenticated_at
    assert (after.ip_address, after.user_agent) == ("203.0.113.9", "Other")
    assert ends() == []


def test_a_login_with_an_old_password_gives_way_to_the_next_and_is_on_record(key, user, log_in):
    sid = row(key).sid
    user.password = "!another"
    type(user).objects.filter(pk=user.pk).update(password=user.password)

    store = log_in(SessionStore(key), user)

    assert ends() == [(sid, "password_changed", "policy")]
    assert row(store.session_key).sid != sid


def test_a_login_that_is_flushed_is_on_record(call, key, user):
    store = SessionStore(key)
    call(store, "load")
    sid = row(key).sid

    call(store, "flush")
    call(store, "flush")

    assert ends() == [(sid, "discarded", "system")]
    assert not Session.objects.exists()


def test_a_login_that_has_ended_is_not_on_record_again_when_it_is_flushed(call, key, user):
    store = SessionStore(key)
    call(store, "load")
    Session.objects.all().delete()

    call(store, "flush")

    assert ends() == []


def test_a_session_of_nobody_is_thrown_away_without_an_event(call):
    store = SessionStore(basket(call, SessionStore()))
    call(store, "load")

    call(store, "flush")

    assert ends() == []
    assert not Session.objects.exists()


def test_a_store_that_deletes_another_session_leaves_its_own_login_alone(call, key, user):
    other = basket(call, SessionStore())
    store = SessionStore(key)
    call(store, "load")

    call(store, "delete", other)

    assert row(key)
    assert ends() == []
    assert not Session.objects.filter(session_key=hash_key(other)).exists()


def test_a_browser_that_ran_out_is_out_and_on_record(call, settings, key, user):
    settings.ACCOUNTS = {"IDLE_TIMEOUT": 600}
    sid = row(key).sid
    Session.objects.update(last_seen_at=timezone.now() - timedelta(minutes=20))

    assert call(SessionStore(key), "load") == {}

    assert ends() == [(sid, "idle_timeout", "policy")]
    assert not Session.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_update_of_the_hash_by_the_async_twin_keeps_the_browser_in(key, user):
    sid = row(key).sid
    request = RequestFactory().get("/")
    request.user, request.session = user, SessionStore(key)

    async def auser():
        return user

    async def change():
        user.set_password("another password")
        await aupdate_session_auth_hash(request, user)
        await request.session.asave()

    request.auser = auser
    async_to_sync(change)()
    user.save()

    assert row(request.session.session_key).sid == sid
    assert ends() == []


# The login of a request


def test_the_login_of_a_request_is_its_browsers(rf, key, user):
    request = rf.get("/")
    request.session = SessionStore(key)

    assert current_session(request) == row(key)


def test_a_request_of_nobody_or_of_another_engine_has_no_login(rf, call, key, phone):
    request = rf.get("/")
    assert current_session(request) is None
    for store in (
        DjangoSessionStore(key),
        SessionStore(),
        SessionStore(basket(call, SessionStore())),
        SessionStore(services.find_login(token=phone.access).session.session_key),
    ):
        request.session = store
        assert current_session(request) is None


def test_a_request_that_has_logged_out_has_no_login(rf, key, user):
    request = rf.get("/")
    request.user, request.session = user, SessionStore(key)

    logout(request)

    assert current_session(request) is None
