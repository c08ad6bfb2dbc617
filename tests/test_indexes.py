"""Where a table has many rows: each query finds its own by an index, and updates touch none."""

from __future__ import annotations

import json
import random
import uuid
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.db.models import Index
from django.urls import reverse
from django.utils import timezone

from accounts import services
from accounts.clients import ClientInfo
from accounts.counters import DatabaseCounters
from accounts.management import pruning, seals
from accounts.models import LogoutEvent, Session
from accounts.models.indexes import TimeIndex
from accounts.services import Cause, Scope
from accounts.tokens import decode_refresh
from tests.database import maintenance
from tests.http import PASSWORD

ROWS = 20_000
# First new files: what earlier tests have left of the old ones would be in each plan.
FILL = """
TRUNCATE drf_logout_session, drf_logout_logoutevent, token_blacklist_outstandingtoken,
    token_blacklist_blacklistedtoken;

INSERT INTO auth_user (id, username, password, email, first_name, last_name,
    is_superuser, is_staff, is_active, date_joined)
SELECT 1000000 + n, 'user' || n, 'x', '', '', '', false, false, true, now()
FROM generate_series(1, {rows}) AS n;

INSERT INTO drf_logout_session (session_key, session_data, expire_date, sid, user_id, kind,
    auth_hash, authenticated_at, last_seen_at, ip_address, user_agent,
    refresh_jti, previous_refresh_jti)
SELECT md5(n::text), '', now() + interval '14 days', md5(n::text)::uuid, 1000000 + n, 'token', 'x',
    now() - n * interval '1 minute', now(), '10.0.0.0'::inet + n, 'Phone/1', md5('jti' || n), ''
FROM generate_series(1, {rows}) AS n;

INSERT INTO drf_logout_logoutevent (occurred_at, user_id, username, actor_name, initiator,
    reason, scope, session_id, token_jti, sessions_ended, tokens_revoked, ip_address, user_agent,
    request_id)
SELECT now() - ({rows} - n) * interval '10 minutes', 1000000 + n, 'user' || n,
    CASE WHEN n % 10 = 0 THEN 'clerk' || n ELSE '' END, 'user', 'logout', 'session',
    md5(n::text)::uuid, '', 1, 1, '10.0.0.0'::inet + n, 'Phone/1', ''
FROM generate_series(1, {rows}) AS n;

INSERT INTO token_blacklist_outstandingtoken (user_id, jti, token, created_at, expires_at)
SELECT 1000000 + n, md5('jti' || n), '', now(), now() + interval '14 days'
FROM generate_series(1, {rows}) AS n;

INSERT INTO token_blacklist_blacklistedtoken (token_id, blacklisted_at)
SELECT id, now() FROM token_blacklist_outstandingtoken WHERE id % 2 = 0;

ANALYZE auth_user, drf_logout_session, drf_logout_logoutevent, token_blacklist_outstandingtoken,
    token_blacklist_blacklistedtoken;
"""
GROWING = {
    "drf_logout_session",
    "drf_logout_logoutevent",
    "token_blacklist_outstandingtoken",
    "token_blacklist_blacklistedtoken",
}
"""The tables that grow with the number of logins."""

EVENTS = "/admin/drf_logout/logoutevent/"
LOGINS = "/admin/drf_logout/session/"


@pytest.fixture
def crowd(ana):
    """Twenty thousand logins of others, and as many entries of the record."""
    with maintenance(), connection.cursor() as cursor:
        cursor.execute(FILL.format(rows=ROWS))


@pytest.fixture
def read_whole(crowd):
    """Run something, and return which of the growing tables any of its queries read as a whole."""

    def run(call):
        ran = []

        def note(execute, sql, params, many, context):
            ran.append((sql, params))
            return execute(sql, params, many, context)

        with connection.execute_wrapper(note):
            call()
        plans = []
        with connection.cursor() as cursor:
            for sql, params in ran:
                if sql.startswith(("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")):
                    cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
                    plans.append((sql, cursor.fetchone()[0][0]["Plan"]))
        assert plans
        return {sql: found for sql, plan in plans if (found := GROWING & _read_whole(plan))}

    return run


def _read_whole(plan):
    found = {plan["Relation Name"]} if plan["Node Type"] == "Seq Scan" else set()
    return found.union(*(_read_whole(part) for part in plan.get("Plans", ())))


def post(client, path, body, **headers):
    answer = client.post(path, json.dumps(body), "application/json", headers=headers)
    assert answer.status_code == 200, answer.content
    return answer


@pytest.mark.postgresql
@pytest.mark.django_db
def test_a_request_a_refresh_and_a_logout_read_no_table_as_a_whole(read_whole, client, ana, device):
    for number, scope in enumerate(Scope, start=1):
        first, _ = (services.log_in(user=ana, client=device) for _ in range(2))

        def live(first=first, scope=scope):
            answer = client.get("/user", headers={"Authorization": f"Bearer {first.access}"})
            assert answer.status_code == 200
            pair = services.refresh(token=first.refresh, client=device)
            body = {"scope": scope, "token": str(pair.refresh)}
            post(client, "/logout", body, Authorization=f"Bearer {pair.access}")

        assert read_whole(live) == {}, scope
        assert LogoutEvent.objects.filter(username="ana").count() == number


@pytest.mark.postgresql
@pytest.mark.django_db
def test_logging_in_reads_no_table_as_a_whole(read_whole, client, settings):
    settings.ACCOUNTS = settings.ACCOUNTS | {"MAX_SESSIONS": 1}
    body = {"grant_type": "password", "username": "ana", "password": PASSWORD}

    assert read_whole(lambda: [post(client, "/token", body) for _ in range(2)]) == {}
    assert Session.objects.filter(user__username="ana").count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db
def test_a_browsers_login_reads_no_table_as_a_whole(read_whole, client, ana):
    def browse():
        client.force_login(ana)
        assert client.get(reverse("drf_logout_pages:sessions")).status_code == 200
        client.logout()

    assert read_whole(browse) == {}


@pytest.mark.postgresql
@pytest.mark.django_db
def test_what_ends_a_users_logins_reads_no_table_as_a_whole(read_whole, ana, phone, laptop):
    keep = Session.objects.get(sid=phone.access.sid)

    for name, end in {
        "all": lambda: services.end_all(user=ana, cause=Cause()),
        "others": lambda: services.end_others(keep=keep, cause=Cause()),
        "a password": lambda: services.password_changed(user=ana),
        "a service": lambda: services.user_deleted(user=ana),
        "a deletion": lambda: get_user_model().objects.get(pk=ana.pk).delete(),
    }.items():
        with transaction.atomic():
            assert read_whole(end) == {}, name
            transaction.set_rollback(True)


PAGES = [
    (LOGINS, {}),
    (LOGINS, {"o": "4"}),
    (LOGINS, {"q": "user1234"}),
    (LOGINS, {"q": "10.0.4.210"}),
    (LOGINS, {"q": str(uuid.UUID(int=7))}),
    (LOGINS, {"user": "1000007"}),
    (EVENTS, {}),
    (EVENTS, {"o": "0"}),
    (EVENTS, {"q": "user1234"}),
    (EVENTS, {"q": "clerk1230"}),
    (EVENTS, {"q": "10.0.4.210"}),
    (EVENTS, {"q": str(uuid.UUID(int=7))}),
    (EVENTS, {"scope__exact": "session"}),
    (EVENTS, {"occurred_at__year": "today", "occurred_at__month": "today"}),
    (EVENTS + "export/csv/", {}),
    (EVENTS + "export/csv/", {"occurred_at__year": "today", "occurred_at__month": "today"}),
]


@pytest.mark.postgresql
@pytest.mark.django_db
def test_no_page_of_the_admin_reads_a_table_as_a_whole(read_whole, admin_client):
    today = {
        "occurred_at__year": f"{timezone.now():%Y}",
        "occurred_at__month": f"{timezone.now():%m}",
    }
    for path, query in PAGES:

        def look(path=path, query=query):
            known = {name: today.get(name, value) for name, value in query.items()}
            answer = admin_client.get(path, known)
            assert answer.status_code == 200
            if answer.streaming:
                next(iter(answer.streaming_content))
                next(iter(answer.streaming_content))

        assert read_whole(look) == {}, (path, query)


@pytest.mark.postgresql
@pytest.mark.django_db
def test_no_batch_of_pruning_reads_a_table_as_a_whole(read_whole, settings):
    settings.ACCOUNTS = {"AUDIT_RETENTION": timedelta(days=100)}

    def prune():
        for batch in (pruning.prune_sessions, pruning.prune_tokens):
            batch(size=100)

    assert read_whole(prune) == {}


@pytest.mark.postgresql
@pytest.mark.django_db
def test_the_record_is_never_read_as_a_whole(read_whole, settings):
    settings.ACCOUNTS = {"AUDIT_RETENTION": timedelta(days=50)}

    def seal_verify_and_prune():
        assert next(seals.seal(seals.entries())).entries == seals.SIZE
        assert seals.newest_seal().number == 1
        assert not [finding for page in seals.verify() for finding in page.findings if finding.seal]
        assert sum(seals.prune(size=100))

    assert read_whole(seal_verify_and_prune) == {}


@pytest.fixture
def updates(db):
    """Run something; return how many rows of a table it updated, and how many of them in place.

    In place (HOT) means that no index of the table was written.
    """

    def count(table):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = %s",
                [table],
            )
            return cursor.fetchone()

    def run(table, call):
        before = count(table)
        call()
        return tuple(now - then for now, then in zip(count(table), before, strict=True))

    return run


@pytest.mark.postgresql
def test_a_use_of_a_login_is_written_in_place(updates, phone, is_in):
    session = Session.objects.get()
    Session.objects.update(last_seen_at=session.last_seen_at - timedelta(minutes=2))

    assert updates("drf_logout_session", lambda: is_in(phone.access)) == (1, 1)


@pytest.mark.postgresql
def test_a_refresh_is_written_in_place(updates, phone):
    token = decode_refresh(str(phone.refresh))

    def refresh():
        services.refresh(token=token, client=ClientInfo())

    assert updates("drf_logout_session", refresh) == (1, 1)


@pytest.mark.postgresql
def test_a_count_is_written_in_place(updates):
    counters = DatabaseCounters("", {})
    key = f"window{random.random()}"
    counters.add(key, 1, timeout=60)

    assert updates("drf_logout_counter", lambda: counters.incr(key)) == (1, 1)


@pytest.mark.postgresql
@pytest.mark.django_db
def test_no_column_that_a_request_or_a_refresh_writes_has_an_index():
    written = {
        "last_seen_at",
        "expire_date",
        "refresh_jti",
        "previous_refresh_jti",
        "rotated_at",
    }
    with connection.cursor() as cursor:
        known = connection.introspection.get_constraints(cursor, "drf_logout_session").values()

    assert not written.intersection(*(found["columns"] for found in known if found["index"]))


@pytest.mark.postgresql
@pytest.mark.django_db
def test_the_time_of_an_event_has_a_brin():
    with connection.cursor() as cursor:
        known = connection.introspection.get_constraints(cursor, "drf_logout_logoutevent")

    assert known["drf_logout_event_occurred_at"]["type"] == "brin"


@pytest.mark.django_db
def test_elsewhere_the_time_of_an_event_has_a_plain_index(monkeypatch):
    monkeypatch.setattr(connection, "vendor", "another")
    plain = Index(fields=["occurred_at"], name="same")
    ours = TimeIndex(fields=["occurred_at"], name="same")
    editor = connection.SchemaEditorClass(connection, collect_sql=True)
    assert str(ours.create_sql(LogoutEvent, editor)) == str(plain.create_sql(LogoutEvent, editor))
