"""The number of SQL statements of each operation: small, and the same for any number of rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken as StockRefreshToken

from accounts import services
from accounts.clients import ClientInfo
from accounts.models import LogoutEvent, Session
from tests.conftest import PASSWORD
from tests.database import maintenance

# Outside of a test's own transaction, as in a served project.
pytestmark = pytest.mark.django_db(transaction=True)

CONTROL = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")
MANY = 10_000


def pinned(number: int, *, elsewhere: int) -> int:
    """Return the number of statements on PostgreSQL; elsewhere it takes one for each step."""
    return number if connection.vendor == "postgresql" else elsewhere


ONE_BY_ONE = {"session": 6, "refresh_tokens": 6, "others": 5, "global": 6}
"""Of a logout where each step is a statement."""


def statements(call: Callable[[], Any]) -> list[str]:
    """Return the SQL that a call runs; what only opens or closes a transaction left out."""
    with CaptureQueriesContext(connection) as captured:
        call()
    return [
        query["sql"] for query in captured if not query["sql"].lstrip().upper().startswith(CONTROL)
    ]


@pytest.fixture(autouse=True)
def _any_number_of_logins(settings):
    """To have no more than so many takes one statement more to begin one."""
    settings.ACCOUNTS = {k: v for k, v in settings.ACCOUNTS.items() if k != "MAX_SESSIONS"}


@pytest.fixture
def login(user):
    return services.log_in(user=user, client=ClientInfo())


@pytest.fixture
def other_login(user, login):
    return services.log_in(user=user, client=ClientInfo())


@pytest.fixture
def client():
    return Client(raise_request_exception=False)


@pytest.fixture
def send(client):
    """Return a function that sends a request, checks its status, and returns its statements."""

    def count(
        method: str,
        path: str,
        body: dict[str, str] | None = None,
        *,
        bearer: object = None,
        status: int = 200,
    ) -> list[str]:
        answers = []
        headers = {"Authorization": f"Bearer {bearer}"} if bearer is not None else {}
        sql = statements(
            lambda: answers.append(
                client.generic(
                    method,
                    path,
                    json.dumps(body or {}),
                    "application/json",
                    headers=headers,
                )
            )
        )
        assert answers[0].status_code == status, answers[0].content
        return sql

    return count


# Made by the database, which takes a tenth of the time.
CROWD = (
    "INSERT INTO drf_logout_session (session_key, session_data, expire_date, sid, user_id, kind,"
    " auth_hash, authenticated_at, last_seen_at, user_agent, refresh_jti, previous_refresh_jti)"
    " SELECT 'jti' || n, '', %(expires)s, gen_random_uuid(), %(user)s, 'token', %(hash)s, %(now)s,"
    " %(now)s, '', 'jti' || n, '' FROM generate_series(1, %(last)s) AS n",
    "INSERT INTO token_blacklist_outstandingtoken (user_id, jti, token, created_at, expires_at)"
    " SELECT %(user)s, 'jti' || n, '', %(now)s, %(expires)s"
    " FROM generate_series(1, %(last)s) AS n",
)


@pytest.fixture
def crowd(user):
    """10,000 more live logins of the user, each with an outstanding token."""
    now = timezone.now()
    values = {
        "expires": now + timedelta(days=14),
        "now": now,
        "user": user.pk,
        "hash": user.get_session_auth_hash(),
        "last": MANY,
    }
    with connection.cursor() as cursor:
        for sql in CROWD if connection.vendor == "postgresql" else ():
            cursor.execute(sql, values)
    if connection.vendor == "postgresql":
        return
    session = {"user": user, "kind": "token", "auth_hash": values["hash"]}
    clocks = {"authenticated_at": now, "last_seen_at": now, "expire_date": values["expires"]}
    outstanding = {"user": user, "created_at": now, "expires_at": values["expires"]}
    ids = [f"jti{number}" for number in range(1, MANY + 1)]
    Session.objects.bulk_create(
        Session(session_key=jti, refresh_jti=jti, **session, **clocks) for jti in ids
    )
    OutstandingToken.objects.bulk_create(OutstandingToken(jti=jti, **outstanding) for jti in ids)


def test_an_authenticated_request_is_1(login, send):
    assert len(send("GET", "/user", bearer=login.access)) == 1


def test_an_authenticated_request_is_1_among_10_000_logins(login, crowd, send):
    assert len(send("GET", "/user", bearer=login.access)) == 1


def test_an_authenticated_request_with_a_plain_token_is_1(user, send):
    plain = StockRefreshToken.for_user(user).access_token

    assert len(send("GET", "/user", bearer=plain)) == 1


def test_an_authenticated_request_of_a_login_unseen_for_a_minute_is_1_more(login, send):
    Session.objects.update(last_seen_at=timezone.now() - timedelta(minutes=2))

    assert len(send("GET", "/user", bearer=login.access)) == 2
    assert len(send("GET", "/user", bearer=login.access)) == 1


@pytest.mark.postgresql
@pytest.mark.parametrize(("scope", "number"), [("session", 1), ("refresh_tokens", 3)])
@pytest.mark.parametrize("named", ["", "own refresh"])
def test_the_usual_logout_is_1_and_with_all_refresh_tokens_3(login, send, scope, number, named):
    body = {"scope": scope} | ({"token": str(login.refresh)} if named else {})

    assert len(send("POST", "/logout", body, bearer=login.access)) == number
    assert LogoutEvent.objects.count() == 1


@pytest.mark.parametrize("scope", ONE_BY_ONE)
def test_logout_of_another_login_is_at_most_7(login, other_login, send, scope):
    body = {"scope": scope, "token": str(other_login.refresh)}

    assert len(send("POST", "/logout", body, bearer=login.access)) == ONE_BY_ONE[scope]
    assert LogoutEvent.objects.count() == 1


@pytest.mark.parametrize("scope", ["session", "refresh_tokens", "others", "global"])
def test_logout_is_the_same_among_10_000_logins(login, crowd, send, scope):
    sql = send("POST", "/logout", {"scope": scope}, bearer=login.access)

    fast = {"session": 1, "refresh_tokens": 3}.get(scope, ONE_BY_ONE[scope])
    assert len(sql) == pinned(fast, elsewhere=ONE_BY_ONE[scope])

    left = {"session": MANY, "refresh_tokens": MANY, "others": 1, "global": 0}[scope]
    blacklisted = {"session": 2, "refresh_tokens": MANY + 2, "others": MANY, "global": MANY + 2}
    assert Session.objects.count() == left
    assert BlacklistedToken.objects.count() == blacklisted[scope]


@pytest.mark.parametrize("scope", ["session", "refresh_tokens", "others"])
def test_logout_with_a_plain_token_is_at_most_7(user, other_login, send, scope):
    plain = StockRefreshToken.for_user(user)
    body = {"scope": scope, "token": str(plain)}

    assert len(send("POST", "/logout", body, bearer=plain.access_token)) <= pinned(7, elsewhere=9)
    assert LogoutEvent.objects.count() == 1


def test_the_browser_session_that_came_along_is_1_more_than_step_by_step(login, user, client, send):
    client.force_login(user)

    assert len(send("POST", "/logout", {"scope": "session"}, bearer=login.access)) == 7
    assert not Session.objects.exists()


@pytest.mark.parametrize("logins", [1, MANY])
def test_logout_from_all_devices_is_6(request, login, send, logins):
    if logins > 1:
        request.getfixturevalue("crowd")

    assert len(send("POST", "/logout/all", bearer=login.access)) == ONE_BY_ONE["global"]
    assert not Session.objects.exists()
    outstanding = OutstandingToken.objects.count()
    assert BlacklistedToken.objects.count() == outstanding
    assert outstanding >= logins


def test_logout_from_all_devices_of_a_user_without_a_version_is_at_most_10(user, send):
    plain = StockRefreshToken.for_user(user).access_token

    assert len(send("POST", "/logout/all", bearer=plain)) <= 10


def test_logout_from_all_devices_with_a_plain_token_is_8(user, login, send):
    plain = StockRefreshToken.for_user(user).access_token

    assert len(send("POST", "/logout/all", bearer=plain)) == 8


@pytest.mark.parametrize("path", ["/logout", "/logout/all"])
def test_a_second_logout_is_at_most_2(login, send, path):
    send("POST", path, bearer=login.access)

    assert len(send("POST", path, bearer=login.access)) <= 2


def test_a_refresh_is_2(login, send):
    body = {"grant_type": "refresh_token", "refresh_token": str(login.refresh)}

    assert len(send("POST", "/token", body)) == pinned(2, elsewhere=4)


def test_a_refresh_is_2_among_10_000_logins(login, crowd, send):
    body = {"grant_type": "refresh_token", "refresh_token": str(login.refresh)}

    assert len(send("POST", "/token", body)) == pinned(2, elsewhere=4)


def test_the_refresh_of_a_plain_token_is_5(login, user, send):
    body = {"grant_type": "refresh_token", "refresh_token": str(StockRefreshToken.for_user(user))}

    assert len(send("POST", "/token", body)) == 5


def test_a_refresh_whose_answer_was_lost_is_2(login, send):
    body = {"grant_type": "refresh_token", "refresh_token": str(login.refresh)}
    send("POST", "/token", body)

    assert len(send("POST", "/token", body)) == 2


def test_a_refused_refresh_is_1(login, send):
    body = {"grant_type": "refresh_token", "refresh_token": str(login.refresh)}
    send("POST", "/logout", bearer=login.access)

    assert len(send("POST", "/token", body, status=400)) == 1


@pytest.mark.parametrize("logins", [1, 2, 1_000])
def test_the_list_of_logins_is_2(user, login, send, logins):
    now = timezone.now()
    Session.objects.bulk_create(
        Session(
            session_key=f"{number:064}",
            user=user,
            kind=Session.Kind.BROWSER if number % 2 else Session.Kind.TOKEN,
            auth_hash=user.get_session_auth_hash(),
            authenticated_at=now,
            last_seen_at=now,
            expire_date=now + timedelta(days=1),
        )
        for number in range(logins - 1)
    )

    assert len(send("GET", "/sessions", bearer=login.access)) == 2


def test_the_list_of_10_000_logins_is_2(login, crowd, send):
    assert len(send("GET", "/sessions", bearer=login.access)) == 2


@pytest.mark.parametrize("kind", ["own", "token", "browser"])
def test_ending_one_login_is_6(user, login, other_login, client, send, kind):
    client.force_login(user)
    sids = {
        "own": login.access.sid,
        "token": other_login.access.sid,
        "browser": Session.objects.get(kind="browser").sid,
    }

    assert len(send("DELETE", f"/sessions/{sids[kind]}", bearer=login.access, status=204)) == 6
    assert Session.objects.count() == 2


def test_ending_one_login_is_6_among_10_000(login, other_login, crowd, send):
    path = f"/sessions/{other_login.access.sid}"

    assert len(send("DELETE", path, bearer=login.access, status=204)) == 6
    assert Session.objects.count() == MANY + 1


def test_ending_a_login_that_is_not_there_is_2(login, send):
    path = "/sessions/00000000-0000-0000-0000-000000000000"

    assert len(send("DELETE", path, bearer=login.access, status=404)) == 2
    assert len(send("DELETE", "/sessions/x", bearer=login.access, status=404)) == 1


LIMITS = {"IDLE_TIMEOUT": 3_600, "ABSOLUTE_TIMEOUT": 86_400, "MAX_SESSIONS": 20_000}


def test_limits_cost_no_statement(login, client, user, send, settings):
    settings.ACCOUNTS = LIMITS
    body = {"grant_type": "refresh_token", "refresh_token": str(login.refresh)}
    client.force_login(user)

    assert len(send("GET", "/user", bearer=login.access)) == 1
    assert len(send("POST", "/token", body)) == pinned(2, elsewhere=4)
    assert len(statements(lambda: client.get("/admin/password_change/"))) == 2


@pytest.mark.parametrize("logins", [1, MANY])
def test_a_maximum_of_logins_is_1_more_where_nothing_has_to_end(
    request, login, send, settings, logins
):
    settings.ACCOUNTS = LIMITS
    if logins > 1:
        request.getfixturevalue("crowd")
    body = {"grant_type": "password", "password": PASSWORD, "username": "ana"}

    assert len(beyond_the_user(send("POST", "/token", body))) == 5
    assert not LogoutEvent.objects.exists()


@pytest.mark.parametrize("surplus", [1, 100])
def test_a_maximum_of_logins_is_6_more_however_many_end(user, login, send, settings, surplus):
    for _ in range(surplus):
        services.log_in(user=user, client=ClientInfo())
    settings.ACCOUNTS = {"MAX_SESSIONS": 1}
    body = {"grant_type": "password", "password": PASSWORD, "username": "ana"}

    sql = send("POST", "/token", body)

    # One to look, five to end and record; of them one finds the user again.
    # SQLite inserts no more than so many at once.
    assert len(beyond_the_user(sql)) == pinned(9, elsewhere=9 + (surplus > 50))
    assert Session.objects.count() == 1
    assert LogoutEvent.objects.count() == surplus + 1


def beyond_the_user(sql: list[str]) -> list[str]:
    """Leave out what finds the user."""
    known = [query for query in sql if not query.startswith('SELECT "auth_user"')]
    assert len(known) < len(sql)
    return known


@pytest.mark.parametrize("name", [{"username": "ana"}, {"email": "ana@example.com"}])
def test_a_login_is_4_after_the_user_is_known_and_the_first_one_5(user, send, name):
    body = {"grant_type": "password", "password": PASSWORD, **name}

    first, second, third = (send("POST", "/token", body) for _ in range(3))

    assert [len(beyond_the_user(sql)) for sql in (first, second, third)] == [5, 4, 4]


def test_a_login_is_4_among_10_000_logins(login, crowd, send):
    body = {"grant_type": "password", "password": PASSWORD, "username": "ana"}

    assert len(beyond_the_user(send("POST", "/token", body))) == 4


@pytest.fixture
def _limit_for_a_day(settings):
    """No window that ends during the test."""
    settings.ACCOUNTS = {"LOGOUT_RATE": "20/1d"}


@pytest.mark.usefixtures("_limit_for_a_day")
def test_a_request_over_the_limit_is_1_which_asks_if_the_login_stands(login, send):
    for _ in range(20):
        send("POST", "/logout", bearer=login.access)

    for path in ("/logout", "/logout/all"):
        assert len(send("POST", path, bearer=login.access, status=429)) == 1


@pytest.mark.usefixtures("_limit_for_a_day")
def test_an_anonymous_request_over_the_limit_is_0(db, send):
    for _ in range(20):
        send("POST", "/logout", status=401)

    assert send("POST", "/logout/all", status=429) == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/user"), ("POST", "/logout"), ("POST", "/logout/all"), ("POST", "/reauthenticate")],
)
def test_a_request_without_a_genuine_bearer_is_0(login, send, method, path):
    forged = f"{str(login.access)[:-4]}AAAA"
    expired = jwt.encode(
        {**login.access.payload, "exp": 1}, django_settings.SIMPLE_JWT["SIGNING_KEY"], "HS256"
    )
    body = {"password": PASSWORD}

    assert send(method, path, body, status=401) == []
    for bearer in ("x", forged, expired, login.refresh):
        assert send(method, path, body, bearer=bearer, status=401) == []


def test_a_login_out_of_shape_is_0(user, send):
    assert send("POST", "/token", {"grant_type": "password", "username": "ana"}, status=400) == []
    body = {"grant_type": "refresh_token", "refresh_token": "x"}
    assert send("POST", "/token", body, status=400) == []


def test_the_admin_list_is_the_same_for_1_event_and_for_1_000(user, admin_client):
    now = timezone.now()

    def page() -> list[str]:
        return statements(lambda: admin_client.get("/admin/drf_logout/logoutevent/"))

    def record(count: int) -> None:
        with maintenance():
            LogoutEvent.objects.bulk_create(
                LogoutEvent(
                    occurred_at=now - timedelta(hours=number),
                    user=user,
                    username=user.get_username(),
                    actor=user,
                    initiator=LogoutEvent.Initiator.USER,
                    reason=LogoutEvent.Reason.LOGOUT,
                    scope=LogoutEvent.Scope.SESSION,
                    sessions_ended=1,
                    tokens_revoked=2,
                )
                for number in range(count)
            )

    record(1)
    one = page()
    record(999)
    thousand = page()

    assert len(one) == len(thousand) == 9, "\n".join(one)
    chart, *others = sorted(
        (sql for sql in thousand if "COUNT(" in sql), key=lambda sql: "GROUP BY" not in sql
    )
    assert "GROUP BY" in chart
    assert '"occurred_at" >=' in chart, "of a range of the index"
    assert others
    assert all("LIMIT 10000" in sql for sql in others), "it counts no further than a few pages"


@pytest.mark.parametrize("filters", ["", "?user={user.pk}", "?q=an"])
def test_the_admins_logins_are_the_same_for_1_login_and_for_1_000(
    user, login, admin_client, filters
):
    path = "/admin/drf_logout/session/" + filters.format(user=user)

    def page() -> list[str]:
        return statements(lambda: admin_client.get(path))

    one = page()
    now = timezone.now()
    Session.objects.bulk_create(
        Session(
            session_key=f"{number:064}",
            user=user,
            kind=Session.Kind.TOKEN,
            authenticated_at=now,
            last_seen_at=now,
            expire_date=now + timedelta(days=14),
        )
        for number in range(999)
    )
    thousand = page()

    assert len(one) == len(thousand) == (5 if "user" in filters else 4), "\n".join(one)


@pytest.mark.parametrize(
    ("step", "number"),
    [
        pytest.param({}, 8, id="ask"),
        # Other databases take so many rows by several statements.
        pytest.param({"post": "yes"}, 11, id="end", marks=pytest.mark.postgresql),
    ],
)
def test_ending_all_logins_in_the_admin_is_the_same_for_1_and_for_10_000(
    request, login, admin_client, step, number
):
    data = {"action": "end_selected", "_selected_action": str(login.access.sid)}

    def act(count: int) -> list[str]:
        across = {"select_across": "1"}
        path = "/admin/drf_logout/session/?kind__exact=token"
        sql = statements(lambda: admin_client.post(path, data | across | step))
        assert Session.objects.filter(kind="token").count() == (0 if step else count)
        return sql

    one = act(1)
    request.getfixturevalue("crowd")
    many = act(MANY + (not step))

    # Django 6.1 inserts a few thousand at a time where the server binds parameters.
    batches = sum(text.startswith('INSERT INTO "drf_logout_logoutevent"') for text in many)
    assert len(one) == len(many) - max(batches - 1, 0) == number, "\n".join(one)
