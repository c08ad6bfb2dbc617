"""The record cannot be changed: PostgreSQL refuses it, and what was done behind its back is found.

``behind()`` does what somebody can do who has the whole database but not ``SECRET_KEY``.
"""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import (
    IntegrityError,
    OperationalError,
    connection,
    models,
    transaction,
)
from django.db.migrations.executor import MigrationExecutor
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import services
from accounts.exceptions import AppendOnly
from accounts.management import seals
from accounts.management.seals import Finding, Kind
from accounts.models import AuditSeal, LogoutEvent
from tests.database import maintenance
from tests.test_races import deadlocks, race  # noqa: F401 - a fixture

HOUR = timedelta(hours=1)
ANY_ROW = "UPDATE drf_logout_logoutevent SET "
ANY_SEAL = "UPDATE drf_logout_auditseal SET "


def execute(sql, *params):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


def behind(sql, *params):
    """Run a statement that no trigger stands in the way of."""
    with transaction.atomic():
        if connection.vendor == "postgresql":
            execute("SET LOCAL session_replication_role = 'replica'")
        execute(sql, *params)
        if connection.vendor == "postgresql":
            execute("SET LOCAL session_replication_role = 'origin'")


def entry(**columns):
    return LogoutEvent(
        **{
            "username": "ana",
            "initiator": "admin",
            "reason": "administrative",
            "scope": "session",
            "session_id": uuid.uuid4(),
            "token_jti": "jti",
            "sessions_ended": 1,
            "tokens_revoked": 1,
            "ip_address": "2001:db8::1",
            "user_agent": "Phone/1 ñ",
            "request_id": "r-1",
            **columns,
        }
    )


def record(count, **columns):
    """Record so many events, and return the entries."""
    return LogoutEvent.objects.bulk_create(entry(**columns) for _ in range(count))


def put(count, **columns):
    """Insert so many entries that the guard would refuse, for their id or for their time."""
    with maintenance():
        return record(count, **columns)


def seal():
    """Seal what has no seal; return how many entries each seal covers."""
    return [made.entries for made in seals.seal(seals.entries())]


def findings():
    return [finding for page in seals.verify() for finding in page.findings]


def kinds():
    return [finding.kind for finding in findings()]


def checked():
    """Return how many entries were read, where nothing is wrong."""
    pages = list(seals.verify())
    assert [finding for page in pages for finding in page.findings] == []
    return sum(page.entries for page in pages)


def prune(size=1000):
    return sum(seals.prune(size=size))


@pytest.fixture
def _small(monkeypatch):
    """Let a seal cover three entries."""
    monkeypatch.setattr(seals, "SIZE", 3)


@pytest.fixture
def entries(user, stranger, _small):
    """Eight entries under three seals: 3, 3 and 2 of them."""
    made = record(8, user=user, actor=stranger, actor_name="eve")
    assert seal() == [3, 3, 2]
    return made


@pytest.fixture
def _another_database(monkeypatch):
    """Go the way that every database can."""
    monkeypatch.setattr(connection, "vendor", "another")


@pytest.fixture
def at_statement():
    """Do something just before the next statement, of this connection, that begins like this."""

    @contextmanager
    def before(beginning, call, *, skip=0):
        met = 0

        def meet(execute, sql, params, many, context):
            nonlocal met
            if sql.strip().startswith(beginning):
                met += 1
                if met == skip + 1:
                    call()
            return execute(sql, params, many, context)

        with connection.execute_wrapper(meet):
            yield
        assert met > skip

    return before


def elsewhere(call):
    """Call on a thread and a connection of its own; return what it returns."""

    def run():
        try:
            return call()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result(timeout=60)


class Open:
    """A transaction of another connection, which has run something and is not committed."""

    def __init__(self, call):
        self.ran, self.finish = threading.Event(), threading.Event()
        self.pool = ThreadPoolExecutor(1)
        self.running = self.pool.submit(self._run, call)

    def _run(self, call):
        try:
            with transaction.atomic():
                result = call()
                self.ran.set()
                assert self.finish.wait(60)
            return result
        finally:
            self.ran.set()
            connection.close()

    def __enter__(self):
        assert self.ran.wait(60)
        return self.commit

    def commit(self):
        self.finish.set()
        return self.running.result(timeout=60)

    def __exit__(self, *exception):
        self.commit()
        self.pool.shutdown()


# What PostgreSQL refuses


def maintained(sql):
    def run():
        with maintenance():
            execute(sql)

    return run


ATTEMPTS = {
    "SQL update": lambda: execute(f"{ANY_ROW} username = 'eve'"),
    "SQL update that changes nothing": lambda: execute(f"{ANY_ROW} username = username"),
    "SQL update to no user": lambda: execute(f"{ANY_ROW} user_id = NULL"),
    "SQL update to no actor": lambda: execute(f"{ANY_ROW} actor_id = NULL"),
    "SQL update in maintenance": maintained(f"{ANY_ROW} username = 'eve'"),
    "SQL delete": lambda: execute("DELETE FROM drf_logout_logoutevent"),
    "SQL upsert in maintenance": maintained(
        "INSERT INTO drf_logout_logoutevent SELECT * FROM drf_logout_logoutevent "
        "ON CONFLICT (id) DO UPDATE SET username = 'eve'"
    ),
    "queryset update": lambda: models.QuerySet.update(LogoutEvent.objects.all(), username="eve"),
    "queryset delete": lambda: models.QuerySet.delete(LogoutEvent.objects.all()),
    "raw delete": lambda: LogoutEvent.objects.all()._raw_delete("default"),
    "model delete": lambda: models.Model.delete(LogoutEvent.objects.first()),
    "model save": lambda: models.Model.save(LogoutEvent.objects.first()),
    "raw save": lambda: LogoutEvent.objects.first().save_base(raw=True),
}


@pytest.mark.standard("ASVS 16.4.2")
@pytest.mark.postgresql
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_the_database_refuses_to_change_an_entry(entries, attempt):
    before = list(LogoutEvent.objects.order_by("pk").values())
    refusal = r"The audit record is append-only: .* is refused"
    with pytest.raises(IntegrityError, match=refusal), transaction.atomic():
        ATTEMPTS[attempt]()
    assert list(LogoutEvent.objects.order_by("pk").values()) == before


EDITS = {
    "id": -7,
    "occurred_at": "2026-01-31 10:30:00+00:00",
    "user_id": "actor_id",
    "username": "eve",
    "actor_id": "user_id",
    "actor_name": "x",
    "initiator": "system",
    "reason": "logout",
    "scope": "global",
    "session_id": "0" * 32,
    "token_jti": "x",
    "sessions_ended": 2,
    "tokens_revoked": 0,
    "ip_address": "2001:db8::2",
    "user_agent": "Phone/1 n",
    "request_id": "x",
}
COLUMNS = [column.attname for column in LogoutEvent._meta.concrete_fields]


def edit(column, where):
    """Return a statement that edits a column, and its parameters."""
    if column in {"user_id", "actor_id"}:
        return f"{ANY_ROW} {column} = {EDITS[column]} WHERE id = %s", where
    return f"{ANY_ROW} {column} = %s WHERE id = %s", EDITS[column], where


@pytest.mark.postgresql
@pytest.mark.parametrize("column", COLUMNS)
def test_the_database_refuses_to_change_any_column(entries, column):
    with pytest.raises(IntegrityError, match="UPDATE of entry"), transaction.atomic():
        execute(*edit(column, entries[0].pk))


@pytest.mark.postgresql
def test_the_refusal_says_what_to_do_instead(entries):
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        execute("DELETE FROM drf_logout_logoutevent WHERE id = %s", entries[0].pk)
    message = str(refused.value)
    assert f"DELETE of entry {entries[0].pk} in drf_logout_logoutevent is refused" in message
    assert "prune_accounts" in message


# Each in place of the id that comes next.
FORGED = {
    "zero": {"id": lambda last: 0},
    "a negative id": {"id": lambda last: -1},
    "an id that was passed over": {"id": lambda last: last - 1},
    "an id that comes later": {"id": lambda last: last + 100},
    "a time long ago": {"occurred_at": lambda last: timezone.now() - HOUR},
    "a time to come": {"occurred_at": lambda last: timezone.now() + 2 * HOUR},
}


@pytest.mark.standard("ASVS 16.4.2")
@pytest.mark.postgresql
@pytest.mark.parametrize("forged", FORGED)
def test_the_database_refuses_an_entry_that_is_not_of_now(entries, forged):
    with transaction.atomic():
        record(1)
        transaction.set_rollback(True)
    (last,) = record(1)
    columns = {name: make(last.pk) for name, make in FORGED[forged].items()}
    refusal = r"takes what happens now: INSERT of entry -?\d+ of .* is refused(.|\n)*maintenance"
    with pytest.raises(IntegrityError, match=refusal), transaction.atomic():
        record(1, **columns)
    assert LogoutEvent.objects.count() == 9
    put(1, **columns)
    assert LogoutEvent.objects.count() == 10


@pytest.mark.postgresql
def test_an_entry_of_now_costs_no_call_of_a_function(user):
    columns = [column for column in COLUMNS if column != "id"]
    made = entry(user=user)
    with connection.cursor() as cursor:
        cursor.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) INSERT INTO drf_logout_logoutevent"
            f" ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})",
            [getattr(made, column) for column in columns],
        )
        ((((plan,),),),) = [cursor.fetchall()]
    assert plan["Triggers"] == []
    assert LogoutEvent.objects.count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_an_id_that_this_connection_was_not_given_is_refused_in_as_many_words():
    (last,) = record(1)

    def forge():
        with pytest.raises(IntegrityError, match="INSERT of entry"):
            record(1, id=last.pk + 1)
        return True

    assert elsewhere(forge)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_the_entry_of_somebody_who_was_overtaken_is_let_in():
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('drf_logout_logoutevent_id_seq')")
        (drawn,) = cursor.fetchone()
    elsewhere(lambda: record(1))
    record(1, id=drawn)
    assert LogoutEvent.objects.count() == 2


@pytest.mark.postgresql
@pytest.mark.django_db
@pytest.mark.parametrize("off", [-HOUR / 2, HOUR / 2])
def test_a_server_whose_clock_is_off_can_log_people_out(off):
    record(1, occurred_at=timezone.now() + off)
    assert LogoutEvent.objects.count() == 1


@pytest.fixture
def _may_insert(db):
    """Be a role that may insert entries and read them, and nothing else."""
    role = f"{connection.settings_dict['NAME']}_inserts"
    execute(f"CREATE ROLE {role}")
    execute(f"GRANT SELECT, INSERT ON drf_logout_logoutevent TO {role}")
    execute(f"SET LOCAL ROLE {role}")
    yield
    execute("RESET ROLE")


@pytest.mark.postgresql
@pytest.mark.usefixtures("_may_insert")
def test_a_role_without_a_right_to_the_sequence_can_log_people_out():
    (made,) = record(1)
    with pytest.raises(IntegrityError, match="INSERT of entry"), transaction.atomic():
        record(1, id=made.pk + 1)
    record(1)


@pytest.fixture
def migrate():
    """Migrate this app to one of its migrations, and back to the last one afterwards."""

    def run(name):
        MigrationExecutor(connection).migrate([("drf_logout", name)])

    yield run
    executor = MigrationExecutor(connection)
    executor.migrate(
        [node for node in executor.loader.graph.leaf_nodes() if node[0] == "drf_logout"]
    )


@pytest.mark.django_db(transaction=True)
def test_the_guard_can_be_taken_back(migrate):
    record(1)
    migrate("0001_initial")
    execute("DELETE FROM drf_logout_logoutevent")
    assert not LogoutEvent.objects.exists()
    record(1, id=-1)


# What is sealed


@pytest.mark.django_db
def test_an_empty_record_needs_no_seal():
    assert seal() == []
    assert checked() == 0


def test_a_record_that_nobody_touched_fits_its_seals(entries):
    assert checked() == 8
    assert seal() == []
    record(1)
    assert seal() == [1]
    assert checked() == 9


@pytest.mark.usefixtures("_another_database")
def test_a_database_with_one_writer_and_without_a_guard_is_asked_for_neither(entries):
    record(1)
    with CaptureQueriesContext(connection) as captured:
        assert seal() == [1]
        seals._allow_deletion("on")
    asked = [query["sql"] for query in captured]
    assert not [sql for sql in asked if "pg_locks" in sql or "set_config" in sql]
    assert checked() == 9


def test_what_the_services_record_fits_its_seal(user, phone, laptop):
    services.end_all(user=user, cause=services.Cause())
    assert seal() == [1]
    assert checked() == 1


def test_each_seal_says_what_it_covers(entries):
    first, second, third = AuditSeal.objects.order_by("number")
    assert [first.number, second.number, third.number] == [1, 2, 3]
    assert (first.after, first.last, second.after) == (0, entries[2].pk, entries[2].pk)
    assert (third.last, third.entries) == (entries[7].pk, 2)
    assert second.latest == entries[5].occurred_at
    assert str(third) == "3"


def test_only_the_newest_seal_knows_its_nonce(entries):
    lengths = [
        len(nonce) for nonce in AuditSeal.objects.order_by("pk").values_list("nonce", flat=True)
    ]
    assert lengths == [64, 64, 32]


@pytest.mark.django_db(transaction=True)
def test_each_seal_is_a_line_of_the_security_log(security_log):
    record(2)
    seal()
    made = AuditSeal.objects.get()
    (line,) = security_log()
    assert (line["event"], line["action"], line["reason"]) == (
        "sensitive_create",
        "seal",
        "recorded",
    )
    assert line["object"] == f"audit_seal/1/{made.digest}"


@pytest.mark.django_db
def test_a_clock_that_is_ahead_keeps_no_entry_for_ever():
    put(1, occurred_at=timezone.now() + 1000 * HOUR)
    seal()
    assert AuditSeal.objects.get().latest <= timezone.now()
    assert checked() == 1


def test_times_without_a_zone_are_sealed_too(entries, settings):
    settings.USE_TZ = False
    record(1, occurred_at=timezone.now())
    assert seal() == [1]
    assert checked() == 9


# What is found


def test_every_column_has_an_edit():
    assert list(EDITS) == COLUMNS


@pytest.mark.parametrize("place", range(8))
@pytest.mark.parametrize("column", COLUMNS)
def test_an_edited_column_is_found(entries, column, place):
    behind(*edit(column, entries[place].pk))
    number = place // 3 + 1
    first, last = AuditSeal.objects.values_list("after", "last").get(number=number)
    where = (number, first + 1, last)
    if column == "id":
        assert findings() == [
            Finding(Kind.INSERTED, None, -7, -7),
            Finding(Kind.REMOVED, *where),
        ]
    else:
        assert findings() == [Finding(Kind.CHANGED, *where)]


def test_two_entries_that_change_places_are_found(entries):
    one, other = entries[3].pk, entries[5].pk
    for old, new in ((one, -1), (other, one), (-1, other)):
        behind(f"{ANY_ROW} id = %s WHERE id = %s", new, old)
    assert kinds() == [Kind.CHANGED]


def test_an_address_that_is_none_is_found(entries):
    if connection.vendor == "postgresql":
        pytest.skip("PostgreSQL knows what an address is")
    behind(f"{ANY_ROW} ip_address = 'x'")
    assert kinds() == [Kind.CHANGED] * 3


@pytest.mark.parametrize(
    ("places", "numbers"),
    [
        ([0], [1]),
        ([4], [2]),
        ([7], [3]),
        ([2, 3], [1, 2]),
        (range(3, 6), [2]),
        (range(8), [1, 2, 3]),
    ],
)
def test_removed_entries_are_found(entries, places, numbers):
    for place in places:
        behind("DELETE FROM drf_logout_logoutevent WHERE id = %s", entries[place].pk)
    assert [(found.kind, found.seal) for found in findings()] == [
        (Kind.REMOVED, number) for number in numbers
    ]


@pytest.mark.django_db
@pytest.mark.parametrize("count", [1, 100])
def test_entries_inserted_into_a_range_are_found(count):
    (first,) = record(1)
    last = first.pk + count + 1
    put(1, id=last)
    assert seal() == [2]
    for free in range(first.pk + 1, last):
        put(1, id=free)
    assert findings() == [Finding(Kind.INSERTED, 1, 1, last)]


@pytest.mark.parametrize("sealed", [[2], []])
@pytest.mark.parametrize("key", [0, -1, -(2**63)])
@pytest.mark.django_db
def test_an_entry_with_an_id_that_is_never_given_out_is_found(key, sealed):
    """Whether it was inserted before the others were sealed or after."""
    record(2)
    if sealed:
        assert seal() == sealed
    put(1, id=key)
    inserted = [Finding(Kind.INSERTED, None, key, key)]
    assert findings() == inserted
    assert seal() == ([] if sealed else [2])
    assert findings() == inserted
    record(1)
    assert seal() == [1]
    assert findings() == inserted


@pytest.mark.usefixtures("_old")
@pytest.mark.parametrize("key", [0, -1])
def test_an_entry_with_an_id_that_is_never_given_out_is_not_pruned_away(key):
    put(1, id=key)
    assert prune() == 8
    assert findings() == [Finding(Kind.INSERTED, None, key, key)]


def test_an_entry_without_a_seal_is_found_after_an_hour(entries, later):
    made = record(2)
    assert findings() == []
    later(HOUR)
    assert findings() == [Finding(Kind.UNSEALED, None, made[0].pk, made[1].pk)]
    seal()
    assert findings() == []


# Whose entry it is


def test_users_can_be_deleted_and_their_entries_fit_still(entries, user, stranger):
    stranger.delete()
    get_user_model().objects.filter(pk=user.pk).delete()
    said = set(LogoutEvent.objects.values_list("user", "username", "actor", "actor_name"))
    assert said == {(entries[0].user_id, "ana", entries[0].actor_id, "eve")}
    assert checked() == 8


@pytest.mark.parametrize("deleted", [True, False])
@pytest.mark.parametrize("column", ["user_id", "actor_id"])
def test_an_entry_that_names_a_user_no_more_is_found(entries, user, stranger, column, deleted):
    if deleted:
        stranger.delete()
        user.delete()
    behind(f"{ANY_ROW} {column} = NULL WHERE id = %s", entries[4].pk)
    assert kinds() == [Kind.CHANGED]


@pytest.mark.parametrize("column", ["user_id", "actor_id"])
def test_an_entry_that_named_nobody_and_names_a_user_is_found(user, column):
    record(1)
    seal()
    behind(f"{ANY_ROW} {column} = %s", user.pk)
    assert kinds() == [Kind.CHANGED]


# Seals that somebody changes


SEAL_EDITS = {
    "number": "number + 100",
    "oldest": "oldest + 1",
    "after": "after - 1",
    "last": "last + 1",
    "entries": "entries - 2",
    "latest": "'2026-01-31 10:30:00+00:00'",
    "contents": "digest",
    "previous": "digest",
    "nonce": "digest",
    "digest": "contents",
}


def test_every_column_of_a_seal_has_an_edit():
    assert list(SEAL_EDITS) == [column.attname for column in AuditSeal._meta.concrete_fields]


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("column", SEAL_EDITS)
def test_an_edited_seal_is_found(entries, column, number):
    behind(f"{ANY_SEAL} {column} = {SEAL_EDITS[column]} WHERE number = %s", number)
    assert Kind.SEAL in kinds()


def test_entries_that_were_removed_with_what_their_seal_says_of_them_are_found(entries):
    behind("DELETE FROM drf_logout_logoutevent WHERE id = %s", entries[4].pk)
    behind(f"{ANY_SEAL} entries = 2 WHERE number = 2")
    assert Kind.SEAL in kinds()


@pytest.mark.parametrize("with_entries", [True, False])
@pytest.mark.parametrize("numbers", [[1], [2], [1, 2], [3], [2, 3]])
def test_a_removed_seal_is_found(entries, numbers, with_entries):
    cut(numbers, with_entries=with_entries)
    assert Kind.SEAL in kinds()


def cut(numbers, *, with_entries=True):
    for made in AuditSeal.objects.filter(pk__in=numbers):
        if with_entries:
            where = "WHERE id > %s AND id <= %s"
            behind(f"DELETE FROM drf_logout_logoutevent {where}", made.after, made.last)
    behind(f"DELETE FROM drf_logout_auditseal WHERE number IN ({', '.join(map(str, numbers))})")


def test_a_removed_seal_is_told_by_the_next_one_with_the_ids_of_both(entries):
    cut([2])
    assert findings() == [Finding(Kind.SEAL, 3, entries[2].pk + 1, entries[7].pk)]


@pytest.mark.parametrize("oldest", [2, 3, 4, 10**6])
def test_the_oldest_seals_cut_off_as_if_they_were_pruned_are_found(entries, oldest):
    cut([number for number in (1, 2, 3) if number < oldest][:2])
    behind(f"{ANY_SEAL} oldest = %s", oldest)
    assert Kind.SEAL in kinds()


NONCES = ["nonce", "previous", "'x'", "''"]


@pytest.mark.parametrize("nonce", NONCES)
@pytest.mark.parametrize("left", [1, 2])
def test_the_newest_seals_cut_off_with_their_entries_are_found(entries, left, nonce):
    cut(range(left + 1, 4))
    behind(f"{ANY_SEAL} nonce = {nonce} WHERE number = %s", left)
    assert kinds() == [Kind.SEAL]


@pytest.mark.parametrize("put_back", [True, False])
@pytest.mark.parametrize("nonce", NONCES)
@pytest.mark.parametrize("left", [1, 2])
def test_the_next_seal_does_not_hide_what_was_cut_off_before_it(entries, left, nonce, put_back):
    before = AuditSeal.objects.get(pk=left).nonce
    cut(range(left + 1, 4))
    behind(f"{ANY_SEAL} nonce = {nonce} WHERE number = %s", left)
    record(1)
    assert seal() == [1]
    if put_back:
        behind(f"{ANY_SEAL} nonce = %s WHERE number = %s", before, left)
    assert Kind.SEAL in kinds()


@pytest.mark.parametrize("column", ["oldest", "last", "entries", "latest"])
def test_the_next_seal_does_not_hide_what_it_found_in_the_one_before(entries, column):
    before = AuditSeal.objects.values_list(column, flat=True).get(pk=3)
    behind(f"{ANY_SEAL} {column} = {SEAL_EDITS[column]} WHERE number = 3")
    record(2)
    seal()
    behind(f"{ANY_SEAL} {column} = %s WHERE number = 3", before)
    assert Kind.SEAL in kinds()


def test_a_seal_of_number_nothing_hides_nothing(entries):
    cut([1, 2], with_entries=False)
    behind(f"{ANY_SEAL} number = 0, oldest = 1, after = 0, last = 1000000000")
    assert kinds() == [Kind.SEAL]


# Keys


def test_a_new_secret_key_needs_the_old_one_among_the_fallbacks(entries, settings):
    old, settings.SECRET_KEY = settings.SECRET_KEY, "new" * 20
    settings.SECRET_KEY_FALLBACKS = [old]
    record(1)
    seal()
    assert checked() == 9

    settings.SECRET_KEY_FALLBACKS = []
    assert [(found.kind, found.seal) for found in findings()] == [
        (Kind.SEAL, number) for number in (1, 2, 3)
    ]


# Pruning


@pytest.fixture
def later(monkeypatch):
    """Let so much time pass, as the clock of Django goes."""
    passed = timedelta()
    now = timezone.now

    def wait(duration):
        nonlocal passed
        passed += duration

    monkeypatch.setattr(timezone, "now", lambda: now() + passed)
    return wait


@pytest.fixture
def _old(entries, settings, later):
    """The eight entries are past their retention."""
    settings.ACCOUNTS = {"AUDIT_RETENTION": HOUR}
    later(2 * HOUR)


@pytest.mark.usefixtures("_old")
@pytest.mark.parametrize(("size", "batches"), [(1, [3, 3, 2]), (5, [3, 5]), (6, [6, 2]), (99, [8])])
def test_old_entries_go_with_their_seals_as_many_at_a_time_as_fit(size, batches):
    assert list(seals.prune(size=size)) == batches
    assert not LogoutEvent.objects.exists()
    assert checked() == 0
    assert set(AuditSeal.objects.values_list("entries", flat=True)) == {0}
    assert prune() == 0


@pytest.mark.usefixtures("_old")
def test_what_was_pruned_is_not_taken_for_removed():
    kept = put(4, occurred_at=timezone.now())
    seal()
    assert prune(size=1) == 8
    assert set(LogoutEvent.objects.all()) == set(kept)
    assert checked() == 4
    record(1)
    assert seal() == [1]
    assert checked() == 5


def test_a_seal_stays_as_long_as_one_of_its_entries_is_not_old(entries, settings, later):
    settings.ACCOUNTS = {"AUDIT_RETENTION": HOUR}
    behind(f"{ANY_ROW} occurred_at = %s", timezone.now() - 3 * HOUR)
    assert prune() == 0
    later(2 * HOUR)
    assert prune() == 8


@pytest.mark.parametrize("retention", [{}, {"AUDIT_RETENTION": None}])
def test_entries_stay_for_ever_where_no_retention_is_set(entries, settings, later, retention):
    settings.ACCOUNTS = retention
    later(10_000 * HOUR)
    assert prune() == 0
    assert checked() == 8


@pytest.mark.usefixtures("_old")
def test_the_record_stays_append_only_for_everybody_else():
    with pytest.raises(AppendOnly):
        seals.old_entries().delete()


@pytest.mark.usefixtures("_old")
def test_seals_of_nothing_go_with_the_next_ones(later):
    for _ in range(3):
        assert prune() in {8, 0, 1}
        later(2 * HOUR)
        put(1, occurred_at=timezone.now() - 3 * HOUR)
        seal()
    assert prune(size=1) == 1
    assert checked() == 0
    assert AuditSeal.objects.count() == 1


@pytest.mark.usefixtures("_old")
def test_entries_put_back_after_they_were_pruned_are_found(entries):
    rows, made = list(LogoutEvent.objects.values()), list(AuditSeal.objects.values())
    prune()
    with maintenance():
        LogoutEvent.objects.bulk_create(LogoutEvent(**row) for row in rows)
    inserted = [Finding(Kind.INSERTED, None, entries[0].pk, entries[7].pk)]
    assert findings() == inserted
    AuditSeal.objects.bulk_create(AuditSeal(**row) for row in made)
    assert findings() == inserted


@pytest.mark.usefixtures("_old")
@pytest.mark.parametrize("number", [1, 2])
def test_what_a_removed_seal_proves_is_not_pruned_away(number):
    cut([number])
    assert kinds() == [Kind.SEAL]
    assert prune(size=1) == 3 * (number - 1)
    assert kinds() == [Kind.SEAL]


@pytest.mark.usefixtures("_old")
def test_what_an_edited_seal_proves_is_not_pruned_away(entries):
    behind(f"{ANY_SEAL} latest = '2026-01-31 10:30:00+00:00' WHERE number = 1")
    found = findings()
    assert prune() == 0
    assert findings() == found
    assert found[0].kind == Kind.SEAL


@pytest.mark.usefixtures("_old")
def test_what_shows_that_entries_are_missing_is_not_pruned_away(entries):
    behind("DELETE FROM drf_logout_logoutevent WHERE id = %s", entries[4].pk)
    assert prune(size=1) == 3
    assert kinds() == [Kind.REMOVED]


@pytest.fixture
def note(transactional_db):
    """A host's own model, whose rows point at entries."""

    class Note(models.Model):
        event = models.ForeignKey(LogoutEvent, models.SET_NULL, null=True)

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


def test_rows_of_the_host_that_point_at_an_entry_do_as_it_has_said(note, settings, later):
    settings.ACCOUNTS = {"AUDIT_RETENTION": HOUR}
    (entry,) = record(1)
    kept = note.objects.create(event=entry)
    seal()
    later(2 * HOUR)
    assert prune() == 1
    assert note.objects.get() == kept
    assert note.objects.get().event is None


@pytest.mark.postgresql
@pytest.mark.usefixtures("_old")
def test_a_transaction_that_has_pruned_is_refused_to_delete_more():
    with transaction.atomic():
        assert next(seals.prune(size=1)) == 3
        with pytest.raises(IntegrityError, match="DELETE"), transaction.atomic():
            execute("DELETE FROM drf_logout_logoutevent")


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_the_leave_to_prune_ends_with_its_transaction():
    record(1)
    with transaction.atomic():
        seals._allow_deletion("on")
    with pytest.raises(IntegrityError, match="DELETE"):
        execute("DELETE FROM drf_logout_logoutevent")


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_old")
@pytest.mark.parametrize(("held", "pruned"), [(0, 0), (4, 3)])
def test_pruning_stops_before_what_somebody_holds(entries, held, pruned):
    def hold():
        get_user_model().objects.select_for_update().get(pk=entries[held].user_id)
        LogoutEvent.objects.select_for_update().get(pk=entries[held].pk)

    with Open(hold):
        assert prune(size=1) == pruned
    assert checked() == 8 - pruned
    assert prune(size=1) == 8 - pruned
    assert checked() == 0


# Side by side


CONCURRENT = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


def concurrent(test):
    for mark in CONCURRENT:
        test = mark(test)
    return test


@concurrent
def test_a_seal_waits_for_a_writer_with_a_lower_id_and_nobody_waits_for_the_seal(at_statement):
    with Open(lambda: record(1)) as commit:
        (high,) = record(1)

        def go_on():
            (late,) = elsewhere(lambda: record(1))
            (low,) = commit()
            assert low.pk < high.pk < late.pk

        with at_statement("SELECT 1 FROM pg_locks", go_on, skip=1):
            assert seal() == [2]
    assert AuditSeal.objects.get().last == high.pk
    assert checked() == 2
    assert seal() == [1]
    assert checked() == 3


@concurrent
def test_a_seal_waits_for_nobody_who_began_after_it(at_statement, monkeypatch):
    monkeypatch.setattr(seals, "PAUSES", 2)
    with ExitStack() as others:
        commit = others.enter_context(Open(lambda: record(1)))
        record(1)

        def go_on():
            others.enter_context(Open(lambda: record(1)))
            commit()

        with at_statement("SELECT 1 FROM pg_locks", go_on, skip=1):
            assert seal() == [2]
    assert checked() == 2


@concurrent
@pytest.mark.parametrize("reading", [lambda: None, lambda: list(LogoutEvent.objects.all())])
def test_a_seal_waits_for_nobody_who_only_reads(reading, monkeypatch):
    monkeypatch.setattr(seals, "PAUSES", 1)
    record(1)
    with Open(reading):
        assert seal() == [1]


@concurrent
def test_a_writer_that_does_not_end_is_told_and_its_entry_is_for_the_next_run(monkeypatch):
    monkeypatch.setattr(seals, "PAUSES", 2)
    with Open(lambda: record(1)):
        record(1)
        with pytest.raises(OperationalError, match="does not end"):
            seal()
    assert findings() == []
    assert seal() == [2]


@concurrent
def test_an_entry_that_never_was_committed_leaves_a_gap_that_is_no_finding():
    record(1)
    with transaction.atomic():
        record(1)
        transaction.set_rollback(True)
    record(1)
    assert seal() == [2]
    assert checked() == 2


@concurrent
def test_of_two_that_seal_at_once_one_quits(at_statement):
    record(2)
    with at_statement('INSERT INTO "drf_logout_auditseal"', lambda: elsewhere(seal)):
        assert seal() == []
    assert checked() == 2
    assert AuditSeal.objects.count() == 1


@concurrent
@pytest.mark.usefixtures("_small")
def test_many_that_seal_at_once_seal_everything_once():
    record(20)
    made = race(*[seal] * 6)
    assert sum(map(sum, made)) <= 20
    seal()
    assert checked() == 20
    assert sum(AuditSeal.objects.values_list("entries", flat=True)) == 20


@concurrent
@pytest.mark.usefixtures("_old")
def test_pruning_goes_on_after_a_seal_that_is_made_beside_it(at_statement):
    def seal_too():
        put(1, occurred_at=timezone.now())
        assert seal() == [1]

    with at_statement('INSERT INTO "drf_logout_auditseal"', lambda: elsewhere(seal_too)):
        assert prune() == 8
    assert checked() == 1


@concurrent
@pytest.mark.usefixtures("_old")
def test_two_that_prune_at_once_leave_each_entry_removed_once():
    pruned = race(*[partial(prune, 1)] * 4)
    assert sum(pruned) + prune() == 8
    assert checked() == 0


@pytest.mark.usefixtures("_old")
@pytest.mark.parametrize("then", ["seal", "prune", "seal, prune", "delete users"])
def test_what_is_done_while_somebody_reads_is_no_finding(then, at_statement, user, stranger):
    """At whichever statement of the reader it is done."""

    def act():
        put(4, occurred_at=timezone.now())
        if "seal" in then:
            seal()
        if "prune" in then:
            prune(size=1)
        if "users" in then:
            get_user_model().objects.filter(pk__in=[user.pk, stranger.pk]).delete()

    with CaptureQueriesContext(connection) as captured:
        assert findings() == []
    for number in range(len(captured)):
        with transaction.atomic():
            with at_statement("SELECT", act, skip=number):
                assert findings() == []
            transaction.set_rollback(True)


def test_late_entries_that_are_sealed_while_somebody_reads_are_no_finding(
    entries, later, at_statement
):
    record(2)
    later(2 * HOUR)
    with CaptureQueriesContext(connection) as captured:
        assert kinds() == [Kind.UNSEALED]
    for number in range(len(captured)):
        with transaction.atomic():
            with at_statement("SELECT", seal, skip=number):
                assert findings() == []
            transaction.set_rollback(True)


@concurrent
@pytest.mark.usefixtures("_small")
def test_logouts_seals_pruning_and_reading_side_by_side(request, settings):
    count_deadlocks = request.getfixturevalue("deadlocks")
    settings.ACCOUNTS = {"AUDIT_RETENTION": HOUR / 4}
    old = timezone.now() - HOUR / 2

    def log_out():
        for number in range(15):
            record(1, occurred_at=old if number % 2 else timezone.now())

    def read():
        for _ in range(5):
            assert findings() == []

    def seal_and_prune():
        for _ in range(5):
            seal()
            prune(size=5)

    race(read, read, *[log_out] * 4, *[seal_and_prune] * 2)
    seal()
    assert checked() == LogoutEvent.objects.count()
    assert count_deadlocks() == 0
