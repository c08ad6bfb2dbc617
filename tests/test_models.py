"""The rows: what they refuse, and what they say of themselves."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.exceptions import AppendOnly
from accounts.models import LogoutEvent, Session, TokenVersion, password_hashes

pytestmark = pytest.mark.django_db


@pytest.fixture
def session(phone):
    return Session.objects.get(sid=phone.refresh.sid)


@pytest.fixture
def event(user):
    return LogoutEvent.objects.create(
        user=user,
        actor=user,
        username="ana",
        initiator="user",
        reason="logout",
        scope="session",
        sessions_ended=1,
        tokens_revoked=2,
    )


def test_a_session_shows_no_more_than_its_public_id(session):
    assert str(session) == str(session.sid)


def test_a_token_login_has_an_owner(session):
    session.user = None

    with pytest.raises(IntegrityError), transaction.atomic():
        session.save()


def test_two_logins_never_share_an_id(session, user):
    other = Session(session_key="k", sid=session.sid, user=user, expire_date=timezone.now())

    with pytest.raises(IntegrityError), transaction.atomic():
        other.save()


def test_a_stranger_sees_no_login_of_the_user(session, user, stranger):
    assert list(Session.objects.of(user)) == [session]
    assert not Session.objects.of(stranger).exists()


def test_a_login_that_has_run_out_is_not_alive(session):
    assert list(Session.objects.alive()) == [session]

    Session.objects.update(expire_date=timezone.now())

    assert not Session.objects.alive().exists()


def test_a_deleted_user_has_no_login_left(session, user):
    user.delete()

    assert not Session.objects.exists()
    assert not TokenVersion.objects.exists()


@pytest.mark.parametrize(
    ("ago", "recent"),
    [
        (None, False),
        (timedelta(0), True),
        (timedelta(minutes=9), True),
        (timedelta(minutes=10), False),
    ],
)
def test_a_re_authentication_counts_for_ten_minutes(session, ago, recent):
    session.reauthenticated_at = None if ago is None else timezone.now() - ago

    assert session.recently_reauthenticated is recent


def test_a_host_may_set_how_long_a_re_authentication_counts(settings, session):
    settings.ACCOUNTS = {"REAUTHENTICATION_MAX_AGE": 60}
    session.reauthenticated_at = timezone.now() - timedelta(seconds=61)

    assert not session.recently_reauthenticated


def test_a_login_knows_a_changed_password(session, user):
    assert session.auth_hash in password_hashes(user)

    user.set_password("another password")

    assert session.auth_hash not in password_hashes(user)


def test_a_rotated_secret_key_is_no_changed_password(settings, session, user):
    settings.SECRET_KEY_FALLBACKS = ["older", settings.SECRET_KEY]
    settings.SECRET_KEY = "a new key"
    assert session.auth_hash in password_hashes(user)

    settings.SECRET_KEY_FALLBACKS = ["older"]
    assert session.auth_hash not in password_hashes(user)


@pytest.mark.parametrize("save", [Session.save, async_to_sync(Session.asave)])
def test_the_engines_update_leaves_a_re_authentication_alone(session, save):
    marked = timezone.now()
    Session.objects.update(reauthenticated_at=marked)
    session.session_data = "changed"

    save(session, force_update=True)

    session.refresh_from_db()
    assert session.reauthenticated_at == marked
    assert session.session_data == "changed"


def test_an_update_that_names_its_fields_is_taken_at_its_word(session):
    session.reauthenticated_at = timezone.now()
    session.session_data = "changed"

    session.save(force_update=True, update_fields=["reauthenticated_at"])

    stored = Session.objects.get()
    assert stored.reauthenticated_at == session.reauthenticated_at
    assert stored.session_data == ""


def test_the_version_of_a_user_begins_with_zero(user):
    with transaction.atomic():
        assert TokenVersion.objects.lock(user.pk).version == 0
        assert TokenVersion.objects.lock(user.pk).version == 0

    assert str(TokenVersion.objects.get(user=user)) == "0"


def test_the_version_is_raised_to_the_next_second_and_of_this_user_alone(user, stranger):
    TokenVersion.objects.lock(stranger.pk)
    before = time.time()

    TokenVersion.objects.raise_version(user)
    assert before < TokenVersion.objects.get(user=user).version <= time.time() + 1


def test_the_version_never_falls_where_a_clock_is_behind(user, stranger):
    TokenVersion.objects.create(user=user, version=2**33)

    TokenVersion.objects.raise_version(user)
    assert TokenVersion.objects.get(user=user).version == 2**33


def test_the_version_of_another_user_stays(user, stranger):
    TokenVersion.objects.lock(stranger.pk)

    TokenVersion.objects.raise_version(user)

    assert TokenVersion.objects.get(user=stranger).version == 0


def test_an_event_says_who_and_when(event):
    event.occurred_at = event.occurred_at.replace(
        year=2026, month=1, day=31, hour=10, minute=30, second=5
    )

    assert str(event) == "ana 2026-01-31 10:30:05"


@pytest.mark.parametrize(
    "attempt",
    [
        lambda event: event.save(),
        lambda event: event.save(update_fields=["username"]),
        lambda event: async_to_sync(event.asave)(),
        lambda event: event.delete(),
        lambda event: async_to_sync(event.adelete)(),
        lambda event: LogoutEvent.objects.update(username="eve"),
        lambda event: LogoutEvent.objects.filter(pk=event.pk).delete(),
        lambda event: LogoutEvent.objects.bulk_update([event], ["username"]),
        lambda event: LogoutEvent.objects.update_or_create(
            pk=event.pk, defaults={"username": "eve"}
        ),
        lambda event: LogoutEvent.objects.bulk_create(
            [event],
            update_conflicts=True,
            update_fields=["username"],
            unique_fields=["id"],
        ),
    ],
    ids=[
        "save",
        "save-fields",
        "asave",
        "delete",
        "adelete",
        "update",
        "query-delete",
        "bulk-update",
        "update-or-create",
        "bulk-create",
    ],
)
def test_what_is_on_record_stays(event, attempt):
    event.username = "eve"

    with pytest.raises(AppendOnly), transaction.atomic():
        attempt(event)

    assert LogoutEvent.objects.get().username == "ana"


def test_events_can_be_recorded_together(user):
    events = [
        LogoutEvent(user=user, username=name, sessions_ended=1, tokens_revoked=0)
        for name in ("ana", "ana.old")
    ]

    LogoutEvent.objects.bulk_create(events)

    assert set(LogoutEvent.objects.values_list("username", flat=True)) == {"ana", "ana.old"}


@pytest.mark.usefixtures("event")
def test_the_record_outlives_the_account_with_its_name_and_its_key(user):
    before = LogoutEvent.objects.values().get()

    user.delete()

    assert LogoutEvent.objects.values().get() == before
    assert (before["user_id"], before["username"]) == (before["actor_id"], "ana")


READ = {
    "get": lambda events: events.get(),
    "select_related": lambda events: events.select_related("user", "actor").get(),
    "prefetch_related": lambda events: events.prefetch_related("user", "actor").get(),
    "only": lambda events: events.only("username").get(),
}


@pytest.mark.usefixtures("event")
@pytest.mark.parametrize("how", READ)
def test_an_entry_leads_to_its_accounts_and_to_none_once_they_are_deleted(user, how):
    kept = READ[how](LogoutEvent.objects)
    assert (kept.user, kept.actor) == (user, user)

    user.delete()

    kept = READ[how](LogoutEvent.objects)
    assert (kept.user, kept.actor) == (None, None)
    assert kept.user_id is not None
    kept.refresh_from_db()
    assert kept.user is None


@pytest.mark.usefixtures("event")
def test_entries_are_found_by_an_account_and_by_what_it_is(user):
    assert LogoutEvent.objects.filter(user=user, user__username="ana").exists()
    key = user.pk

    user.delete()

    assert LogoutEvent.objects.filter(user=key).exists()
    assert not LogoutEvent.objects.filter(user__username="ana").exists()


@pytest.mark.usefixtures("event")
def test_the_record_outlives_accounts_that_are_deleted_together(user, stranger):
    get_user_model().objects.filter(pk__in=[user.pk, stranger.pk]).delete()

    assert LogoutEvent.objects.get().username == "ana"
