"""The record cannot be changed: PostgreSQL refuses it, and what was done behind its back is found.

``behind()`` does what somebody can do who has the whole database but not ``SECRET_KEY``.
"""

from __future__ import annotations

import io
import json
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from accounts.services.verification import Finding, Kind
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import DatabaseError, IntegrityError, connection, models, transaction
from django.db.migrations.executor import MigrationExecutor
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import services
from accounts.clients import ClientInfo
from accounts.models import AuditChain, LogoutEvent, Session
from accounts.services import Cause, Reason, Scope, chains, pruning, verification
from tests.test_pruning import HOUR, ago, elsewhere, events, everything, sessions
from tests.test_races import deadlocks, race  # noqa: F401

ENTRIES = 5
ANY_ROW = "UPDATE drf_logout_logoutevent SET "


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


def record(count=ENTRIES, *, user):
    """Record the end of so many logins in one go, which is in one chain; return the entries."""
    first = LogoutEvent.objects.count()
    sessions(
        count,
        expire_date=ago(-HOUR),
        user=user,
        first=first,
        ip_address="2001:db8::1",
        user_agent="Phone/1 ñ",
    )
    cause = Cause(reason=Reason.ADMINISTRATIVE)
    return services.end_sessions(sessions=Session.objects.of(user), cause=cause).events


def findings(size=2):
    return [finding for page in verification.verify(size=size) for finding in page.findings]


def kinds():
    return {finding.kind for finding in findings()}


def checked():
    """Return how many entries were read, and how many have no proof, where nothing is wrong."""
    pages = list(verification.verify(size=2))
    assert [finding for page in pages for finding in page.findings] == []
    return sum(page.entries for page in pages), sum(page.unproved for page in pages)


@pytest.fixture
def entries(user):
    """Five entries of one chain."""
    return record(user=user)


@pytest.fixture
def chain(entries):
    return AuditChain.objects.get(pk=entries[0].chain)


@pytest.fixture
def _another_database(monkeypatch):
    """Go the way that every database can."""
    if connection.vendor == "postgresql":
        monkeypatch.setattr(connection, "vendor", "another")


# What PostgreSQL refuses


ATTEMPTS = {
    "SQL update": lambda: execute(f"{ANY_ROW} username = 'eve'"),
    "SQL update that changes nothing": lambda: execute(f"{ANY_ROW} username = username"),
    "SQL update to another user": lambda: execute(f"{ANY_ROW} user_id = user_id + 1"),
    "SQL update to another actor": lambda: execute(f"{ANY_ROW} actor_id = user_id"),
    "SQL update beside the user": lambda: execute(f"{ANY_ROW} user_id = NULL, reason = 'logout'"),
    "SQL update of the proof": lambda: execute(f"{ANY_ROW} digest = ''"),
    "SQL delete": lambda: execute("DELETE FROM drf_logout_logoutevent"),
    "SQL upsert": lambda: execute(
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


@pytest.mark.asvs(43)
@pytest.mark.postgresql
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_the_database_refuses_to_change_an_entry(entries, attempt):
    before = list(LogoutEvent.objects.order_by("pk").values())
    refusal = r"The audit record is append-only: .* is refused"
    with pytest.raises(IntegrityError, match=refusal), transaction.atomic():
        ATTEMPTS[attempt]()
    assert list(LogoutEvent.objects.order_by("pk").values()) == before


@pytest.mark.postgresql
@pytest.mark.parametrize("column", [field.attname for field in LogoutEvent._meta.concrete_fields])
def test_the_database_refuses_to_change_any_column(entries, column):
    with pytest.raises(IntegrityError, match="UPDATE of entry"), transaction.atomic():
        execute(
            f"{ANY_ROW} {column} = d.{column} FROM (SELECT 7 AS id, now() AS occurred_at, "
            "7 AS user_id, 'eve' AS username, 7 AS actor_id, 'admin' AS initiator, 'x' AS reason, "
            "'global' AS scope, gen_random_uuid() AS session_id, 'x' AS token_jti, "
            "7 AS sessions_ended, 7 AS tokens_revoked, '192.0.2.9'::inet AS ip_address, "
            "'x' AS user_agent, 'x' AS request_id, 7 AS chain, 7 AS number, 'x' AS seal, "
            "'x' AS digest) AS d"
        )


@pytest.mark.postgresql
def test_the_refusal_says_what_to_do_instead(entries):
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        execute("DELETE FROM drf_logout_logoutevent WHERE id = %s", entries[0].pk)
    message = str(refused.value)
    assert f"DELETE of entry {entries[0].pk} in drf_logout_logoutevent is refused" in message
    assert "prune_accounts" in message


@pytest.mark.django_db
def test_users_can_be_deleted_and_their_entries_stay_proved(user, stranger):
    cause = Cause(reason=Reason.ADMINISTRATIVE, actor=stranger)
    sessions(2, expire_date=ago(-HOUR), user=user)
    services.end_sessions(sessions=Session.objects.of(user), cause=cause)
    stranger.delete()
    get_user_model().objects.filter(pk=user.pk).delete()
    assert set(LogoutEvent.objects.values_list("user", "actor", "username")) == {
        (None, None, "ana")
    }
    assert checked() == (2, 0)


@pytest.mark.postgresql
def test_a_transaction_that_has_pruned_is_refused_to_delete_more(entries, settings):
    settings.ACCOUNTS = {"AUDIT_RETENTION": HOUR}
    behind(f"{ANY_ROW} occurred_at = %s WHERE id = %s", ago(2 * HOUR), entries[0].pk)
    assert sum(everything(pruning.prune_events)) == 1
    for after in (None, "0"):
        pruning.prune_events(size=1, after=after)
        with pytest.raises(IntegrityError, match="DELETE"), transaction.atomic():
            execute("DELETE FROM drf_logout_logoutevent")


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_the_leave_to_prune_ends_with_its_transaction(user):
    record(user=user)
    with transaction.atomic():
        pruning._allow_deletion()
    with pytest.raises(IntegrityError, match="DELETE"):
        execute("DELETE FROM drf_logout_logoutevent")


@pytest.fixture
def migrate():
    """Migrate this app to one of its migrations, and back to the last one afterwards."""

    def run(name):
        MigrationExecutor(connection).migrate([("accounts", name)])

    yield run
    executor = MigrationExecutor(connection)
    executor.migrate([node for node in executor.loader.graph.leaf_nodes() if node[0] == "accounts"])


@pytest.mark.django_db(transaction=True)
def test_the_guard_can_be_taken_back(user, migrate):
    record(user=user)
    migrate("0005_proofs")
    execute("DELETE FROM drf_logout_logoutevent")
    assert not LogoutEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_entries_from_before_the_proofs_are_counted_and_are_no_finding(user, migrate):
    migrate("0004_counter")
    insert = (
        "INSERT INTO drf_logout_logoutevent (occurred_at, username, initiator, reason, scope, "
        "token_jti, sessions_ended, tokens_revoked, user_agent, request_id) "
        "VALUES (%s, 'ana', 'user', 'logout', 'session', '', 1, 1, '', '')"
    )
    for _ in range(3):
        execute(insert, timezone.now())
    migrate("0006_guard")
    call_command("migrate", verbosity=0)
    record(user=user)
    assert checked() == (ENTRIES + 3, 3)

    # As a process of the old release does, until the last one is gone.
    execute(insert, timezone.now())
    late = LogoutEvent.objects.latest("pk")
    assert findings() == [Finding(kind=Kind.UNPROVED, event=late.pk)]
    assert verification.accept_unproved() == 4
    assert checked() == (ENTRIES + 4, 4)
    execute(insert, timezone.now())
    assert kinds() == {Kind.UNPROVED}


# What is found


@pytest.mark.parametrize("way", ["", "_another_database"])
def test_a_record_that_nobody_touched_fits_its_proof(request, user, stranger, client, way):
    if way:
        request.getfixturevalue(way)
    record(user=user)
    for who in (user, stranger):
        for scope in Scope:
            pair = services.log_in(user=who, client=ClientInfo())
            services.log_out(
                user=who,
                presented=[pair.access],
                scope=scope,
                client=ClientInfo(ip_address="192.0.2.7"),
            )
    recorded = LogoutEvent.objects.count()
    assert recorded > ENTRIES + 4
    assert checked() == (recorded, 0)
    assert verification.total() == verification.Total(recorded=recorded, pruned=0)


EDITS = {
    "occurred_at": "2026-01-31 10:30:00+00:00",
    "username": "eve",
    "initiator": "system",
    "reason": "logout",
    "scope": "global",
    "session_id": "0" * 32,
    "token_jti": "x",
    "sessions_ended": 2,
    "tokens_revoked": 1,
    "ip_address": "2001:db8::2",
    "user_agent": "Phone/1 n",
    "request_id": "x",
    "chain": 99,
    "number": 99,
    "seal": "0" * 64,
    "digest": "0" * 64,
}


def test_every_column_is_covered_but_those_that_may_change():
    columns = {field.attname for field in LogoutEvent._meta.concrete_fields}
    assert columns - EDITS.keys() == {"id", "user_id", "actor_id"}


@pytest.mark.parametrize("place", [0, 2, 4])
@pytest.mark.parametrize("column", EDITS)
def test_an_edited_column_is_found(entries, column, place):
    entry = entries[place]
    behind(f"{ANY_ROW} {column} = %s WHERE id = %s", EDITS[column], entry.pk)
    found = findings()
    if column in {"chain", "number"}:
        removed = Finding(
            kind=Kind.REMOVED, chain=entry.chain, first=entry.number, last=entry.number
        )
        assert removed in found
    elif column == "seal" and place == 4:
        assert {finding.kind for finding in found} == {Kind.CHANGED, Kind.CHAIN_CHANGED}
    else:
        assert {finding.kind for finding in found} == {Kind.CHANGED}
        assert entry.pk in {finding.event for finding in found}
        assert len(found) == 1 + (column == "seal")


def test_an_address_that_is_none_is_found(entries):
    if connection.vendor == "postgresql":
        pytest.skip("PostgreSQL knows what an address is")
    behind(f"{ANY_ROW} ip_address = 'x'")
    assert len(findings()) == ENTRIES


@pytest.mark.parametrize("column", ["chain", "number", "chain = NULL, number"])
def test_an_entry_whose_place_was_taken_away_is_found(entries, column):
    entry = entries[1]
    behind(f"{ANY_ROW} {column} = NULL, digest = '', seal = '' WHERE id = %s", entry.pk)
    assert findings() == [
        Finding(kind=Kind.UNPROVED, event=entry.pk),
        Finding(kind=Kind.REMOVED, chain=entry.chain, first=2, last=2),
    ]


@pytest.mark.parametrize(("first", "last"), [(1, 1), (3, 3), (2, 4), (5, 5), (3, 5), (1, 5)])
def test_removed_entries_are_found(entries, chain, first, last):
    behind("DELETE FROM drf_logout_logoutevent WHERE number BETWEEN %s AND %s", first, last)
    assert findings() == [Finding(kind=Kind.REMOVED, chain=chain.pk, first=first, last=last)]


def test_a_removed_day_is_found(user):
    for _ in range(3):
        record(user=user)
    behind("DELETE FROM drf_logout_logoutevent WHERE occurred_at > %s", ago(24 * HOUR))
    found = findings()
    assert {finding.kind for finding in found} == {Kind.REMOVED}
    assert sum(finding.last - finding.first + 1 for finding in found) == 3 * ENTRIES


def test_a_swapped_order_is_found(entries):
    behind(f"{ANY_ROW} number = 6 - number WHERE number IN (2, 4)")
    assert {finding.event for finding in findings()} >= {entries[1].pk, entries[3].pk}
    assert kinds() == {Kind.CHANGED}


def copy(entry, **changes):
    """Insert a copy of an entry, with some columns changed."""
    row = LogoutEvent.objects.filter(pk=entry.pk).values().get() | {"id": None} | changes
    return LogoutEvent.objects.bulk_create([LogoutEvent(**row)])[0]


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ({}, Kind.INSERTED),
        ({"number": 5}, Kind.INSERTED),
        ({"number": 6}, Kind.INSERTED),
        ({"number": 0}, Kind.INSERTED),
        ({"chain": None, "number": None}, Kind.UNPROVED),
        ({"chain": 99}, Kind.CHAIN_REMOVED),
    ],
)
def test_an_inserted_entry_is_found(entries, place, kind):
    copied = copy(entries[2], **place)
    (found,) = findings(size=1)
    assert found.kind == kind
    assert found.event in {copied.pk, None}


def test_an_inserted_entry_that_the_row_of_the_chain_vouches_for_is_found(entries, chain):
    copy(entries[4], number=6)
    behind("UPDATE drf_logout_auditchain SET entries = 6 WHERE number = %s", chain.pk)
    assert kinds() == {Kind.CHANGED}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("entries = entries + 1", Kind.REMOVED),
        ("entries = entries - 1", Kind.INSERTED),
        ("entries = 0", Kind.INSERTED),
        ("nonce = 'x'", Kind.CHAIN_CHANGED),
        ("pruned = 1", Kind.CHAIN_CHANGED),
        ("pruned = 6", Kind.CHAIN_CHANGED),
        ("pruned_seal = 'x'", Kind.CHAIN_CHANGED),
        ("unproved_until = 1000000", Kind.CHAIN_CHANGED),
        ("mark = 'x'", Kind.CHAIN_CHANGED),
    ],
)
def test_a_changed_chain_is_found(chain, change, kind):
    behind(f"UPDATE drf_logout_auditchain SET {change} WHERE number = %s", chain.pk)
    assert kind in kinds()


def test_a_chain_is_called_by_its_number(chain):
    assert str(chain) == str(chain.number)


def test_a_removed_chain_is_found(chain):
    behind("DELETE FROM drf_logout_auditchain WHERE number = %s", chain.pk)
    assert findings() == [Finding(kind=Kind.CHAIN_REMOVED, chain=chain.pk)]


def test_a_chain_that_was_removed_with_its_entries_is_found_after_more_logouts(user, chain):
    behind("DELETE FROM drf_logout_auditchain WHERE number = %s", chain.pk)
    behind("DELETE FROM drf_logout_logoutevent")
    for _ in range(20):
        record(1, user=user)
    call_command("migrate", verbosity=0)
    assert findings() == [Finding(kind=Kind.CHAIN_REMOVED, chain=chain.pk)]


@pytest.mark.parametrize("nonce", ["nonce", "'x'"])
@pytest.mark.parametrize("left", [0, 1, 4])
def test_the_newest_entries_removed_and_the_chain_turned_back_is_found(chain, left, nonce):
    behind("DELETE FROM drf_logout_logoutevent WHERE number > %s", left)
    behind(
        f"UPDATE drf_logout_auditchain SET entries = %s, nonce = {nonce} WHERE number = %s",
        left,
        chain.pk,
    )
    assert findings() == [Finding(kind=Kind.CHAIN_CHANGED, chain=chain.pk)]


@pytest.mark.parametrize("left", [0, 1, 4])
def test_a_logout_does_not_hide_what_was_removed_before_it(user, chain, left):
    behind("DELETE FROM drf_logout_logoutevent WHERE number > %s", left)
    behind(
        "UPDATE drf_logout_auditchain SET entries = %s, nonce = 'x' WHERE number = %s",
        left,
        chain.pk,
    )
    while AuditChain.objects.get(pk=chain.pk).entries == left:
        record(1, user=user)
    found = findings()
    assert [(finding.kind, finding.chain, finding.first) for finding in found] == [
        (Kind.CHANGED, chain.pk, left + 1)
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_the_size_of_a_page_changes_nothing_of_what_is_found(entries, size):
    expected = findings(size=1000)
    assert expected == []
    behind("DELETE FROM drf_logout_logoutevent WHERE number = 2")
    behind(f"{ANY_ROW} username = 'eve' WHERE number = 4")
    assert [finding.kind for finding in findings(size)] == [Kind.REMOVED, Kind.CHANGED]


# Keys


def test_a_new_secret_key_needs_the_old_one_among_the_fallbacks(user, entries, settings):
    old, settings.SECRET_KEY = settings.SECRET_KEY, "new" * 20
    settings.SECRET_KEY_FALLBACKS = [old]
    record(user=user)
    assert checked() == (2 * ENTRIES, 0)

    settings.SECRET_KEY_FALLBACKS = []
    assert kinds() == {Kind.CHANGED, Kind.CHAIN_CHANGED}


# Pruning


@pytest.fixture
def _old_entries(entries, settings, monkeypatch):
    """Five entries that were recorded more than an hour ago, as the clock of pruning goes."""
    settings.ACCOUNTS = {"AUDIT_RETENTION": HOUR}
    last = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: last + HOUR)


@pytest.mark.usefixtures("_old_entries")
@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_what_was_pruned_is_not_taken_for_removed(user, size):
    kept = record(user=user)
    events(2, occurred_at=ago(2 * HOUR))
    assert sum(everything(pruning.prune_events, size=size)) == ENTRIES + 2
    assert set(LogoutEvent.objects.all()) == set(kept)
    assert checked() == (ENTRIES, 0)
    assert verification.total() == verification.Total(recorded=2 * ENTRIES, pruned=ENTRIES)
    record(user=user)
    assert checked() == (2 * ENTRIES, 0)


@pytest.mark.usefixtures("_old_entries")
def test_a_chain_that_another_run_has_pruned_meanwhile_is_passed_over(chain):
    everything(pruning.prune_events)
    batch = pruning.prune_events(size=1, after=str(chain.pk))
    assert batch == pruning.Batch(removed=0, last=None)


@pytest.mark.usefixtures("_old_entries")
def test_an_entry_put_back_after_it_was_pruned_is_found(entries):
    row = LogoutEvent.objects.filter(pk=entries[0].pk).values().get()
    everything(pruning.prune_events)
    LogoutEvent.objects.bulk_create([LogoutEvent(**row)])
    assert kinds() == {Kind.INSERTED}


@pytest.mark.usefixtures("_old_entries")
def test_the_oldest_entries_removed_as_if_they_were_pruned_is_found_after_pruning_too(entries):
    behind("DELETE FROM drf_logout_logoutevent WHERE number <= 2")
    behind(
        "UPDATE drf_logout_auditchain SET pruned = 2, pruned_seal = %s WHERE number = %s",
        entries[1].seal,
        entries[1].chain,
    )
    changed = [Finding(kind=Kind.CHAIN_CHANGED, chain=entries[1].chain)]
    assert findings() == changed
    assert sum(everything(pruning.prune_events)) == 3
    assert findings() == changed
    verification.accept_unproved()
    assert findings() == changed


@pytest.mark.usefixtures("_old_entries")
def test_what_is_recorded_and_pruned_while_somebody_reads_is_no_finding(user):
    pages = verification.verify(size=2)
    read = next(pages)
    while not read.entries:
        read = next(pages)
    assert sum(everything(pruning.prune_events)) == ENTRIES
    for _ in range(80):
        record(2, user=user)
    assert not [finding for page in pages for finding in page.findings]
    assert checked() == (160, 0)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("held", "pruned"), [(1, 0), (3, 2), (None, 0)])
def test_pruning_stops_before_what_somebody_holds(user, settings, monkeypatch, held, pruned):
    settings.ACCOUNTS = {"AUDIT_RETENTION": HOUR}
    later = timezone.now() + 2 * HOUR
    entries = record(user=user)
    monkeypatch.setattr(timezone, "now", lambda: later)

    def hold():
        if held is None:
            AuditChain.objects.select_for_update().get(pk=entries[0].chain)
        else:
            LogoutEvent.objects.select_for_update().get(number=held)

    with elsewhere(hold):
        assert sum(everything(pruning.prune_events)) == pruned
    assert checked() == (ENTRIES - pruned, 0)
    assert sum(everything(pruning.prune_events)) == ENTRIES - pruned
    assert checked() == (0, 0)


@pytest.mark.usefixtures("_old_entries", "_another_database")
def test_a_database_without_a_guard_is_asked_for_no_leave():
    with CaptureQueriesContext(connection) as captured:
        pruning._allow_deletion()
        pruning._forbid_deletion()
    assert not captured.captured_queries


# Side by side


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("users", [1, 8])
def test_logouts_side_by_side_leave_no_gap(request, users):
    count_deadlocks = request.getfixturevalue("deadlocks")
    model = get_user_model()
    people = [model.objects.create(username=f"user{number}") for number in range(users)]
    everyone = [people[number % users] for number in range(8)]
    logins = [
        [services.log_in(user=who, client=ClientInfo()) for _ in range(5)] for who in everyone
    ]

    def log_out(number):
        for pair in logins[number]:
            services.log_out(
                user=everyone[number],
                presented=[pair.access],
                scope=Scope.SESSION,
                client=ClientInfo(),
            )

    def read():
        for _ in range(5):
            assert findings() == []

    race(read, *(partial(log_out, number) for number in range(8)))
    assert checked() == (40, 0)
    assert count_deadlocks() == 0


def hold_chains(number):
    return lambda: list(AuditChain.objects.select_for_update().order_by("pk")[:number])


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_logout_waits_for_nobody_while_a_chain_is_free(user):
    with elsewhere(hold_chains(chains.CHAINS - 1)):
        (entry,) = record(1, user=user)
    assert entry.chain == chains.CHAINS - 1
    assert checked() == (1, 0)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_more_logouts_at_once_than_chains_take_turns(user):
    def log_out():
        try:
            return record(1, user=user)
        finally:
            connection.close()

    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as pool, elsewhere(hold_chains(chains.CHAINS)) as commit:
        ending = pool.submit(log_out)
        found = None
        while not ending.done() and found is None:
            with connection.cursor() as cursor:
                cursor.execute(waiting)
                found = cursor.fetchone()
        assert not ending.done()
        commit()
        assert len(ending.result()) == 1
    assert checked() == (1, 0)


@pytest.mark.parametrize("way", ["", "_another_database"])
def test_a_logout_goes_on_where_the_chains_are_gone(request, user, way):
    if way:
        request.getfixturevalue(way)
    AuditChain.objects.all().delete()
    record(user=user)
    assert checked() == (ENTRIES, 0)
    AuditChain.objects.exclude(entries=ENTRIES).delete()
    for _ in range(10):
        record(user=user)
    assert kinds() == {Kind.CHAIN_REMOVED}


def test_an_event_and_its_place_are_recorded_together_or_not_at_all(user, entries):
    def fail(execute, sql, params, many, context):
        if sql.startswith('INSERT INTO "drf_logout_logoutevent"'):
            raise DatabaseError("out of order")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail), pytest.raises(DatabaseError, match="out of order"):
        record(user=user)
    assert checked() == (ENTRIES, 0)


# The command


def run(*arguments, status=0):
    out = io.StringIO()
    if status:
        with pytest.raises(CommandError) as error:
            call_command("verify_audit", *arguments, stdout=out)
        assert error.value.returncode == status
        return out.getvalue(), str(error.value)
    call_command("verify_audit", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_says_how_much_it_read(entries):
    assert run() == "Read 5 entries.\n"
    assert json.loads(run("--json")) == {
        "complete": True,
        "accepted": 0,
        "entries": 5,
        "unproved": 0,
        "recorded": 5,
        "pruned": 0,
        "found": 0,
        "findings": [],
    }


def test_the_command_lists_what_it_found_and_fails(entries, chain):
    behind("DELETE FROM drf_logout_logoutevent WHERE number = 2")
    behind(f"{ANY_ROW} username = 'eve' WHERE number = 5")
    copied = copy(entries[3])
    text, error = run(status=1)
    assert text.splitlines() == [
        f"Chain {chain.pk}, numbers 2 to 2: removed. The next cannot be checked.",
        f"Chain {chain.pk}, number 4 (id {copied.pk}): inserted, for its place is not free.",
        f"Chain {chain.pk}, number 5 (id {entries[4].pk}): the entry, or its place, was changed.",
        "Read 5 entries.",
    ]
    assert error == "The record does not fit its proof: 3 findings."
    answer, _ = run("--json", status=1)
    answer = json.loads(answer)
    assert answer["found"] == 3
    assert answer["findings"][0] == {
        "kind": "removed",
        "chain": chain.pk,
        "first": 2,
        "last": 2,
        "event": None,
    }


def test_the_command_takes_entries_of_an_older_release_for_genuine_when_told_so(entries):
    events(2, occurred_at=timezone.now())
    text, _ = run(status=1)
    assert text.count("has no proof") == 2
    told = "Read 7 entries. 2 of them are from before there were proofs, and cannot be checked.\n"
    assert run("--accept-unproved") == told
    assert run() == told


def test_the_command_lists_a_thousand_findings_and_counts_all(db):
    events(1_003, occurred_at=timezone.now())
    text, error = run("--batch-size", "100", status=1)
    assert len(text.splitlines()) == 1_002
    assert "And 3 more." in text
    assert error == "The record does not fit its proof: 1003 findings."


def test_the_command_that_is_stopped_says_so(entries, monkeypatch):
    verify = verification.verify

    def stopped(*, size):
        for page in verify(size=size):
            signal.raise_signal(signal.SIGINT)
            yield page

    monkeypatch.setattr(verification, "verify", stopped)
    answer, error = run("--json", status=130)
    assert json.loads(answer)["complete"] is False
    assert error == "Stopped; the rest was not read."


def test_the_command_that_fails_says_so(entries):
    def fail(execute, sql, params, many, context):
        if "FOR UPDATE" in sql or "drf_logout_auditchain" in sql:
            raise DatabaseError("out of order")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail):
        answer, error = run("--json", status=1)
    assert json.loads(answer)["complete"] is False
    assert error == "Stopped by an error; the rest was not read: out of order"


def test_the_command_refuses_a_batch_of_no_rows(db):
    assert "--batch-size has to be 1 or more" in run("--batch-size", "0", status=1)[1]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_command_shows_how_far_it_is(entries, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    run()
    assert "5/5" in sys.stderr.getvalue()


def test_a_page_holds_no_more_entries_than_asked_for(user):
    record(20, user=user)
    events(20, occurred_at=timezone.now())
    sizes = [page.entries for page in verification.verify(size=7)]
    assert sorted(sizes, reverse=True)[:7] == [7, 7, 7, 7, 6, 6, 0]
