"""Pruning: what has run out goes in batches, what is alive or in use stays."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.apps import apps
from django.db import connection, models, transaction
from django.db.models.signals import post_delete
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework_simplejwt.state import token_backend
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken

from accounts import services
from accounts.clients import ClientInfo
from accounts.management import heap, pruning
from accounts.models import LogoutEvent, Session
from tests.database import wait_for_a_lock
from tests.host import PATIENCE

HOUR = timedelta(hours=1)


def begin_anew():
    """Give the tables new files, without the pages that were filled by tests before.

    A batch looks at so many pages: with empty ones before them, rows could fall into two batches.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "TRUNCATE drf_logout_session, token_blacklist_outstandingtoken,"
                " token_blacklist_blacklistedtoken"
            )


@pytest.fixture(autouse=True)
def _new_files(db):
    begin_anew()


def ago(duration):
    return timezone.now() - duration


def sessions(count, *, expire_date, user=None, first=0, **columns):
    """Make rows of browsers' sessions."""
    return Session.objects.bulk_create(
        [
            Session(session_key=f"{number:064x}", expire_date=expire_date, user=user, **columns)
            for number in range(first, first + count)
        ],
        batch_size=500,
    )


def outstanding(count, *, expires_at, first=0):
    """Make SimpleJWT's rows, every second one blacklisted."""
    rows = OutstandingToken.objects.bulk_create(
        [
            OutstandingToken(jti=f"jti{number}", token="", expires_at=expires_at)
            for number in range(first, first + count)
        ],
        batch_size=500,
    )
    BlacklistedToken.objects.bulk_create(
        [BlacklistedToken(token=row) for row in rows[::2]], batch_size=500
    )
    return rows


def everything(prune, *, size=1000):
    """Prune batch after batch; return how many rows each of them removed."""
    removed, after = [], None
    while True:
        batch = prune(size=size, after=after)
        removed.append(batch.removed)
        if (after := batch.last) is None:
            return removed


@contextmanager
def elsewhere(statement):
    """Keep a transaction open on another connection, which has run a statement.

    Yields a function that commits it.
    """
    ran, finish = threading.Event(), threading.Event()

    def run():
        try:
            with transaction.atomic():
                statement()
                ran.set()
                assert finish.wait(30)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        assert ran.wait(30)

        def commit():
            finish.set()
            running.result()

        try:
            with connection.cursor() as cursor:
                # Whoever waits for that transaction fails.
                cursor.execute("SET lock_timeout = '1s'")
                yield commit
                cursor.execute("RESET lock_timeout")
        finally:
            commit()


@pytest.mark.django_db
def test_sessions_that_have_run_out_go_and_the_others_stay(user):
    sessions(2, expire_date=ago(HOUR))
    login, anonymous = (
        *sessions(1, expire_date=ago(-HOUR), user=user, first=2),
        *sessions(1, expire_date=ago(-HOUR), first=3),
    )
    assert everything(pruning.prune_sessions) == [2]
    assert set(Session.objects.all()) == {login, anonymous}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("setting", "column"),
    [("IDLE_TIMEOUT", "last_seen_at"), ("ABSOLUTE_TIMEOUT", "authenticated_at")],
)
def test_a_login_past_a_timeout_goes(user, settings, setting, column):
    settings.ACCOUNTS = {setting: HOUR}
    sessions(1, expire_date=ago(-HOUR), user=user, **{column: ago(2 * HOUR)})
    (used,) = sessions(1, expire_date=ago(-HOUR), user=user, first=1, **{column: timezone.now()})
    assert everything(pruning.prune_sessions) == [1]
    assert Session.objects.get() == used


@pytest.mark.django_db
def test_without_timeouts_a_login_stays_until_its_expiry(user):
    sessions(
        1,
        expire_date=ago(-HOUR),
        user=user,
        last_seen_at=ago(9 * HOUR),
        authenticated_at=ago(9 * HOUR),
    )
    assert everything(pruning.prune_sessions) == [0]
    assert Session.objects.count() == 1


@pytest.mark.django_db
def test_expired_tokens_go_with_their_place_on_the_blacklist():
    outstanding(4, expires_at=ago(HOUR))
    live = outstanding(4, expires_at=ago(-HOUR), first=4)
    assert everything(pruning.prune_tokens) == [4]
    assert set(OutstandingToken.objects.all()) == set(live)
    assert BlacklistedToken.objects.count() == 2


@pytest.mark.django_db
def test_a_token_within_the_leeway_stays_on_the_blacklist(user, client, monkeypatch):
    token = RefreshToken.for_user(user)
    token.set_exp(lifetime=-timedelta(seconds=30))
    token.blacklist()
    assert OutstandingToken.objects.filter(expires_at__gt=timezone.now()).update(
        expires_at=ago(timedelta(seconds=30))
    )
    monkeypatch.setattr(token_backend, "leeway", 60)
    assert everything(pruning.prune_tokens) == [0]
    answer = client.post(
        "/token",
        {"grant_type": "refresh_token", "refresh_token": str(token)},
        content_type="application/json",
    )
    assert answer.json()["error"] == "invalid_grant"

    monkeypatch.setattr(token_backend, "leeway", 20)
    assert everything(pruning.prune_tokens) == [1]


@pytest.fixture(params=["as they lie", "by key"])
def whichever_way(request):
    if request.param == "by key":
        request.getfixturevalue("by_key")


@pytest.mark.django_db
def test_a_login_that_ran_out_unused_is_on_record_once_for_what_ended_it(
    user, settings, whichever_way
):
    settings.ACCOUNTS = {"IDLE_TIMEOUT": HOUR, "ABSOLUTE_TIMEOUT": 9 * HOUR}
    now, later = timezone.now(), ago(-HOUR)
    expired, idle, old = (
        *sessions(1, user=user, expire_date=ago(HOUR), user_agent="Phone/1"),
        *sessions(1, user=user, expire_date=later, last_seen_at=ago(2 * HOUR), first=1),
        *sessions(
            *(1,),
            user=user,
            expire_date=later,
            authenticated_at=ago(9 * HOUR),
            last_seen_at=now,
            first=2,
        ),
    )
    sessions(3, expire_date=ago(HOUR), first=3)
    for _ in range(2):
        everything(pruning.prune_sessions)
    assert {
        (event.session_id, event.reason, event.sessions_ended)
        for event in LogoutEvent.objects.all()
    } == {
        (expired.sid, "expired", 1),
        (idle.sid, "idle_timeout", 1),
        (old.sid, "absolute_timeout", 1),
    }
    assert LogoutEvent.objects.count() == 3
    event = LogoutEvent.objects.get(session_id=expired.sid)
    assert (event.user, event.initiator, event.user_agent) == (user, "policy", "Phone/1")
    assert not Session.objects.exists()


@pytest.mark.django_db
def test_pruning_logs_nobody_out_and_anonymous_sessions_are_no_logins(phone, is_in):
    sessions(1, expire_date=ago(HOUR))
    outstanding(1, expires_at=ago(HOUR))
    everything(pruning.prune_sessions)
    everything(pruning.prune_tokens)
    assert not LogoutEvent.objects.exists()
    assert is_in(phone.access)


@pytest.mark.django_db
def test_logins_go_in_batches_no_larger_than_was_asked_for(user, whichever_way):
    sessions(5, expire_date=ago(HOUR), user=user)
    removed = everything(pruning.prune_sessions, size=2)
    assert [number for number in removed if number] == [2, 2, 1]
    assert LogoutEvent.objects.count() == 5


@pytest.mark.django_db
def test_a_batch_of_logins_takes_no_more_statements_where_there_are_more(user, whichever_way):
    sessions(300, expire_date=ago(HOUR), user=user)

    def statements(size):
        with CaptureQueriesContext(connection) as captured:
            assert pruning.prune_sessions(size=size).removed == size
        return len(captured)

    if connection.vendor == "postgresql":
        assert statements(10) == statements(200) <= 15
    else:  # SQLite takes so many values in one statement.
        assert statements(10) == statements(10)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_login_that_two_find_to_be_over_is_on_record_once(user):
    rows = sessions(200, expire_date=ago(HOUR), user=user)
    begin = threading.Barrier(2, timeout=PATIENCE)

    def find():
        try:
            begin.wait()
            for row in rows:
                services.run_out(session=row)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(find)
        begin.wait()
        everything(pruning.prune_sessions, size=3)
        found.result()
    assert LogoutEvent.objects.count() == 200
    assert set(LogoutEvent.objects.values_list("session_id", flat=True)) == {r.sid for r in rows}


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("prune", [pruning.prune_sessions, pruning.prune_tokens])
def test_a_batch_is_one_statement(prune):
    sessions(300, expire_date=ago(HOUR))
    outstanding(300, expires_at=ago(HOUR))
    after = None
    for removed in (200, 100):
        with CaptureQueriesContext(connection) as captured:
            batch = prune(size=200, after=after)
        after = batch.last
        assert batch.removed == removed
        assert len([query for query in captured if query["sql"].startswith("WITH")]) == 1
        # With begin and commit; and of sessions, with the look for logins among them.
        assert len(captured) <= 8
        # Nothing is sent that grows with the rows.
        assert max(len(query["sql"]) for query in captured) < 1500
    assert after is None


@pytest.fixture
def by_key(monkeypatch):
    """Prune as elsewhere than on PostgreSQL."""
    monkeypatch.setattr(connection, "vendor", "another")


@pytest.mark.django_db
def test_by_key_the_same_rows_go(by_key):
    sessions(3, expire_date=ago(HOUR))
    live = sessions(1, expire_date=ago(-HOUR), first=3)
    outstanding(3, expires_at=ago(HOUR))
    assert everything(pruning.prune_sessions) == [3]
    assert everything(pruning.prune_tokens) == [3]
    assert list(Session.objects.all()) == live
    assert not BlacklistedToken.objects.exists()


@pytest.mark.django_db
def test_by_key_a_batch_is_never_so_large_that_a_statement_has_too_many_parameters(
    by_key, monkeypatch
):
    monkeypatch.setattr(pruning, "KEYS", 2)
    sessions(5, expire_date=ago(HOUR))
    assert everything(pruning.prune_sessions, size=1_000_000) == [2, 2, 1]


@pytest.mark.django_db
def test_by_key_a_batch_takes_no_more_statements_where_there_are_more_rows(by_key):
    outstanding(300, expires_at=ago(HOUR))

    def statements():
        with CaptureQueriesContext(connection) as captured:
            assert pruning.prune_tokens(size=100).removed == 100
        return len(captured)

    assert statements() == statements() <= 10


@pytest.mark.django_db
def test_a_run_that_was_stopped_is_continued_by_the_next():
    sessions(5, expire_date=ago(HOUR))
    assert pruning.prune_sessions(size=2).removed == 2
    assert everything(pruning.prune_sessions, size=2) == [2, 1]


@pytest.mark.django_db
def test_a_batch_of_tokens_takes_so_many_rows_and_leaves_the_live_ones_among_them():
    outstanding(3, expires_at=ago(HOUR))
    outstanding(3, expires_at=ago(-HOUR), first=3)
    outstanding(3, expires_at=ago(HOUR), first=6)
    batches = [2, 2, 2, 0] if connection.vendor == "postgresql" else [2, 1, 0, 2, 1]
    assert everything(pruning.prune_tokens, size=2) == batches
    assert OutstandingToken.objects.filter(expires_at__gt=timezone.now()).count() == 3


@pytest.mark.postgresql
@pytest.mark.django_db
def test_a_batch_reads_so_many_pages_and_the_next_one_those_behind_them(monkeypatch):
    monkeypatch.setattr(heap, "PAGES", 2)
    kept = sessions(100, expire_date=ago(-HOUR))
    sessions(100, expire_date=ago(HOUR), first=100)
    removed = everything(pruning.prune_sessions)
    assert len(removed) > 2
    assert removed[0] == 0
    assert sum(removed) == 100
    assert set(Session.objects.all()) == set(kept)


@pytest.mark.postgresql
@pytest.mark.django_db
@pytest.mark.parametrize("prune", [pruning.prune_sessions, pruning.prune_tokens])
def test_a_receiver_of_the_host_makes_no_row_be_read(prune):
    sessions(3, expire_date=ago(HOUR))
    outstanding(3, expires_at=ago(HOUR))
    with CaptureQueriesContext(connection) as alone:
        prune(size=2)

    def on_delete(**kwargs):
        raise AssertionError("a row was read for this")

    post_delete.connect(on_delete)
    try:
        with CaptureQueriesContext(connection) as listened_to:
            assert prune(size=2).removed
    finally:
        post_delete.disconnect(on_delete)
    assert len(listened_to) == len(alone)


@pytest.fixture
def note(request, transactional_db):
    """A host's own model, whose rows point at those of the model that a test names."""

    class Note(models.Model):
        about = models.ForeignKey(request.param, models.CASCADE)

        class Meta:
            app_label = "drf_logout"

        def __str__(self):
            return "a note"

    with connection.schema_editor() as editor:
        editor.create_model(Note)
    yield Note
    with connection.schema_editor() as editor:
        editor.delete_model(Note)
    del apps.all_models["drf_logout"]["note"]
    apps.clear_cache()


@pytest.mark.parametrize("note", [Session, OutstandingToken, BlacklistedToken], indirect=True)
def test_rows_of_the_host_go_as_it_has_said(note):
    target = note._meta.get_field("about").related_model
    sessions(1, expire_date=ago(HOUR))
    outstanding(1, expires_at=ago(HOUR))
    note.objects.create(about=target.objects.get())
    sessions(1, expire_date=ago(-HOUR), first=1)
    outstanding(1, expires_at=ago(-HOUR), first=1)
    kept = note.objects.create(about=target.objects.latest("pk"))
    assert everything(pruning.prune_sessions) == [1]
    assert everything(pruning.prune_tokens) == [1]
    assert note.objects.get() == kept


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_login_that_is_used_in_the_same_moment_stays():
    kept, _ = sessions(2, expire_date=ago(HOUR))

    def use():
        assert Session.objects.filter(pk=kept.pk).update(expire_date=ago(-HOUR))

    with elsewhere(use):
        # It still looks as if it had run out, and nobody waits for the request that holds it.
        assert everything(pruning.prune_sessions) == [1]
    assert everything(pruning.prune_sessions) == [0]
    assert Session.objects.get() == kept


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_login_that_is_used_between_a_batch_s_look_and_its_lock_stays(monkeypatch):
    """The statement reads what was committed before it began: that the login has run out."""
    kept, _ = sessions(2, expire_date=ago(HOUR))
    taken = threading.Event()
    look = pruning.expired_sessions().extra(where=["pg_advisory_xact_lock(1) IS NOT NULL"])
    monkeypatch.setattr(pruning, "expired_sessions", lambda: look)

    def use():
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(1)")
                Session.objects.filter(pk=kept.pk).update(expire_date=ago(-HOUR))
                taken.set()
                wait_for_a_lock()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        used = pool.submit(use)
        assert taken.wait(60)
        assert everything(pruning.prune_sessions) == [1]
        used.result()
    assert Session.objects.get() == kept


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", [None, "by_key"])
def test_a_row_that_somebody_holds_is_left_for_the_next_run(request, way):
    if way:
        request.getfixturevalue(way)
    session, _ = sessions(2, expire_date=ago(HOUR))
    token, _ = outstanding(2, expires_at=ago(HOUR))

    def hold():
        for row in (session, token):
            type(row).objects.select_for_update().get(pk=row.pk)

    with elsewhere(hold):
        assert everything(pruning.prune_sessions) == [1]
        assert everything(pruning.prune_tokens) == [1]
    assert BlacklistedToken.objects.get().token == token
    assert everything(pruning.prune_sessions) == [1]
    assert everything(pruning.prune_tokens) == [1]
    assert not BlacklistedToken.objects.exists()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_by_key_a_token_let_go_in_the_middle_of_a_batch_keeps_its_place_on_the_blacklist(by_key):
    token, _ = outstanding(2, expires_at=ago(HOUR))

    def hold():
        OutstandingToken.objects.select_for_update().get(pk=token.pk)

    with elsewhere(hold) as commit:

        def commit_after(execute, sql, params, many, context):
            result = execute(sql, params, many, context)
            if "SKIP LOCKED" in sql:
                commit()
            return result

        with connection.execute_wrapper(commit_after):
            assert everything(pruning.prune_tokens) == [1]
    assert BlacklistedToken.objects.get().token == token
    assert everything(pruning.prune_tokens) == [1]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_use_that_succeeded_is_never_undone_by_a_batch_beside_it():
    """Whichever comes first: a use that found the row has kept it."""
    rows = sessions(200, expire_date=ago(HOUR))
    begin = threading.Barrier(2, timeout=PATIENCE)

    def use():
        try:
            begin.wait()
            later = ago(-HOUR)
            return {
                row.pk
                for row in rows
                if Session.objects.filter(pk=row.pk).update(expire_date=later)
            }
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        used = pool.submit(use)
        begin.wait()
        everything(pruning.prune_sessions, size=3)
        used = used.result()
    assert set(Session.objects.values_list("pk", flat=True)) == used


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_two_runs_beside_each_other_remove_each_row_once():
    outstanding(500, expires_at=ago(HOUR))
    begin = threading.Barrier(2, timeout=PATIENCE)

    def run():
        try:
            begin.wait()
            return sum(everything(pruning.prune_tokens, size=10))
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        counts = [run.result() for run in [pool.submit(run), pool.submit(run)]]
    left = sum(everything(pruning.prune_tokens))
    assert sum(counts) + left == 500
    assert not OutstandingToken.objects.exists()
    assert not BlacklistedToken.objects.exists()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_logins_begin_are_refreshed_and_end_beside_pruning(user):
    """Real services beside real batches: neither makes the other fail."""
    sessions(300, expire_date=ago(HOUR), user=user)
    outstanding(300, expires_at=ago(HOUR))
    done = threading.Event()

    def live():
        try:
            while not done.is_set():
                pair = services.log_in(user=user, client=ClientInfo())
                services.refresh(token=pair.refresh, client=ClientInfo())
                services.end_all(user=user, cause=services.Cause())
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        living = pool.submit(live)
        try:
            for prune in (pruning.prune_sessions, pruning.prune_tokens):
                everything(prune, size=5)
        finally:
            done.set()
        living.result()
    assert not OutstandingToken.objects.filter(expires_at__lt=timezone.now()).exists()
