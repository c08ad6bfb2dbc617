"""Every statement may fail, and every commit: an error is answered, and nothing has changed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import DatabaseError, OperationalError, close_old_connections, connection
from django.db.models import F
from django.http import HttpResponse
from django.test import Client
from rest_framework_simplejwt.tokens import RefreshToken as StockRefreshToken

from accounts import services
from accounts.clients import ClientInfo
from accounts.conf import AAL2
from accounts.models import Session
from accounts.services import Cause
from tests.http import PASSWORD, PLAIN, V1, Wire, dump

pytestmark = pytest.mark.django_db(transaction=True)

CLIENT = ClientInfo(ip_address="192.0.2.7", user_agent="Phone/1", request_id="r-1")
NEW_PASSWORD = "an entirely other passphrase"


@pytest.fixture(autouse=True)
def _fresh_connection(transactional_db):
    yield
    connection.close()


@pytest.fixture(autouse=True)
def _limits(settings):
    rate = "1000000/1d"
    rates = {"LOGOUT_RATE": rate, "PASSWORD_RATE": rate, "ADDRESS_RATE": rate}
    settings.ACCOUNTS = {**AAL2, **rates, "MAX_SESSIONS": 4}


# The faults


class Fault:
    """Lets one statement or commit fail: the one with this number."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.failed = ""

    def statement(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        """Run a statement, or fail; see ``execute_wrapper()``."""
        if self._is_next(sql):
            return execute(self.in_place_of_a_statement, None, False, context)
        return execute(sql, params, many, context)

    def commit(self, commit: Callable[[], None]) -> None:
        """Commit, or fail."""
        if self._is_next("COMMIT"):
            self.fail_commit()
        commit()

    def _is_next(self, sql: str) -> bool:
        self.number -= 1
        if self.number == 0:
            self.failed = sql
        return self.number == 0


class Refused(Fault):
    """The database refuses, and goes on working."""

    in_place_of_a_statement = "SELECT no_such_column"

    def fail_commit(self) -> None:
        # What PostgreSQL does where a deferred constraint does not hold.
        connection.connection.rollback()
        raise OperationalError


class Cut(Fault):
    """The connection is lost."""

    in_place_of_a_statement = "SELECT pg_terminate_backend(pg_backend_pid())"

    def fail_commit(self) -> None:
        with pytest.raises(OperationalError), connection.wrap_database_errors:
            connection.connection.execute(self.in_place_of_a_statement)


@contextmanager
def happening(fault: Fault) -> Iterator[None]:
    """Let a fault happen on this thread's connection."""
    commit = connection._commit
    connection._commit = lambda: fault.commit(commit)
    try:
        with connection.execute_wrapper(fault.statement):
            yield
    finally:
        del connection._commit


FAULTS = [Refused, pytest.param(Cut, marks=[pytest.mark.postgresql, pytest.mark.drill])]


# The operations


@dataclass
class World:
    """A user with three logins, and what they can send."""

    wire: Wire
    user: Any
    phone: Any
    tablet: Any
    browser: Client
    session_key: str
    http: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    @property
    def browser_row(self) -> Any:
        return Session.objects.filter(user=self.user, kind="browser")

    def row(self, pair: Any) -> Any:
        return Session.objects.filter(sid=pair.access.sid)

    def call(
        self, method: str, path: str, bearer: object = None, client: Any = None, **body: object
    ) -> Callable[[], HttpResponse]:
        """Return a request of the contract, to be sent as often as one likes."""
        return lambda: (client or self.http).generic(
            method,
            self.wire.base + path,
            json.dumps(body) if body else "",
            "application/json",
            headers={"Authorization": f"Bearer {bearer}"} if bearer else {},
        )

    def refresh(self, token: object) -> Callable[[], HttpResponse]:
        return self.call("POST", "token", grant_type="refresh_token", refresh_token=str(token))

    def log_out(self, bearer: object, client: Any = None, **body: object) -> Any:
        return self.call("POST", "logout", bearer, client, **body)

    def page(self, path: str, **form: str) -> Callable[[], HttpResponse]:
        if form:
            return lambda: self.browser.post(path, form)
        return lambda: self.browser.get(path)


names = itertools.count()


def begin(wire: Wire) -> World:
    name = f"user{next(names)}"
    user = get_user_model().objects.create_user(
        username=name, email=f"{name}@example.com", password=PASSWORD, is_staff=True
    )
    browser = Client(raise_request_exception=False)
    browser.force_login(user)
    phone, tablet = (services.log_in(user=user, client=CLIENT) for _ in range(2))
    return World(
        wire=wire,
        user=user,
        phone=phone,
        tablet=tablet,
        browser=browser,
        session_key=browser.cookies["sessionid"].value,
    )


@dataclass(frozen=True)
class Operation:
    """How to prepare a request of a world, and what it is answered where nothing fails.

    ``beside`` is a part of the statements whose failure is logged and fails nothing.
    """

    prepare: Callable[[World], Callable[[], HttpResponse]]
    status: int = 200
    beside: str = ""


def password_grant(world: World, **name: str) -> Callable[[], HttpResponse]:
    return world.call("POST", "token", grant_type="password", password=PASSWORD, **name)


def first_log_in(world: World) -> Callable[[], HttpResponse]:
    name = f"{world.user.username}b"
    get_user_model().objects.create_user(username=name, password=PASSWORD)
    return password_grant(world, username=name)


def retried_refresh(world: World) -> Callable[[], HttpResponse]:
    services.refresh(token=world.phone.refresh, client=CLIENT)
    return world.refresh(world.phone.refresh)


def reused_refresh(world: World) -> Callable[[], HttpResponse]:
    services.refresh(token=world.phone.refresh, client=CLIENT)
    world.row(world.phone).update(rotated_at=F("rotated_at") - timedelta(minutes=1))
    return world.refresh(world.phone.refresh)


def run_out(rows: Any) -> None:
    rows.update(last_seen_at=F("last_seen_at") - timedelta(hours=2))


def run_out_bearer(world: World) -> Callable[[], HttpResponse]:
    run_out(world.row(world.phone))
    return world.call("GET", "user", world.phone.access)


def run_out_refresh(world: World) -> Callable[[], HttpResponse]:
    run_out(world.row(world.phone))
    return world.refresh(world.phone.refresh)


def outdated_bearer(world: World) -> Callable[[], HttpResponse]:
    world.row(world.phone).update(auth_hash="another")
    return world.call("GET", "user", world.phone.access)


def inactive_bearer(world: World) -> Callable[[], HttpResponse]:
    get_user_model().objects.filter(pk=world.user.pk).update(is_active=False)
    return world.call("GET", "user", world.phone.access)


def unseen_bearer(world: World) -> Callable[[], HttpResponse]:
    world.row(world.phone).update(last_seen_at=F("last_seen_at") - timedelta(minutes=2))
    return world.call("GET", "user", world.phone.access)


def second_log_out(world: World) -> Callable[[], HttpResponse]:
    act = world.log_out(world.phone.access)
    act()
    return act


def full_log_in(world: World) -> Callable[[], HttpResponse]:
    services.log_in(user=world.user, client=CLIENT)
    return password_grant(world, username=world.user.username)


def admin_log_in(world: World) -> Callable[[], HttpResponse]:
    world.browser.cookies.clear()
    return world.page(
        "/admin/login/", username=world.user.username, password=PASSWORD, next="/admin/"
    )


def change_password(world: World) -> Callable[[], HttpResponse]:
    return world.page(
        "/admin/password_change/",
        old_password=PASSWORD,
        new_password1=NEW_PASSWORD,
        new_password2=NEW_PASSWORD,
    )


def run_out_page(world: World) -> Callable[[], HttpResponse]:
    run_out(world.browser_row)
    return world.page("/admin/")


OPERATIONS = {
    "a log-in by name": Operation(
        lambda w: password_grant(w, username=w.user.username), beside='SET "last_login"'
    ),
    "a log-in by address": Operation(
        lambda w: password_grant(w, email=w.user.email), beside='SET "last_login"'
    ),
    "a first log-in": Operation(first_log_in, beside='SET "last_login"'),
    "a log-in in place of the oldest": Operation(full_log_in, beside='SET "last_login"'),
    "a refresh": Operation(lambda w: w.refresh(w.phone.refresh)),
    "a refresh whose answer was lost": Operation(retried_refresh),
    "a refresh with a reused token": Operation(reused_refresh, 400),
    "a refresh of a login that has run out": Operation(run_out_refresh, 400),
    "a refresh of a plain token": Operation(
        lambda w: w.refresh(StockRefreshToken.for_user(w.user))
    ),
    **{
        f"a logout of {scope}": Operation(
            lambda w, scope=scope: w.log_out(w.phone.access, scope=scope)
        )
        for scope in ("session", "others", "refresh_tokens", "global")
    },
    **{
        f"a logout of {scope} with a cookie": Operation(
            lambda w, scope=scope: w.log_out(w.phone.access, w.browser, scope=scope)
        )
        for scope in ("session", "others", "refresh_tokens", "global")
    },
    "a logout that names a refresh token": Operation(
        lambda w: w.log_out(w.phone.access, token=str(w.tablet.refresh))
    ),
    "a logout with a plain token": Operation(
        lambda w: w.log_out(StockRefreshToken.for_user(w.user).access_token)
    ),
    "a second logout": Operation(second_log_out),
    "logout/all": Operation(lambda w: w.call("POST", "logout/all", w.phone.access)),
    "logout/all with a cookie": Operation(
        lambda w: w.call("POST", "logout/all", w.phone.access, w.browser)
    ),
    "the end of another login": Operation(
        lambda w: w.call("DELETE", f"sessions/{w.tablet.access.sid}", w.phone.access), 204
    ),
    "the end of a browser's login": Operation(
        lambda w: w.call("DELETE", f"sessions/{w.browser_row.get().sid}", w.phone.access), 204
    ),
    "the end of this login": Operation(
        lambda w: w.call("DELETE", f"sessions/{w.phone.access.sid}", w.phone.access), 204
    ),
    "the list": Operation(lambda w: w.call("GET", "sessions", w.phone.access)),
    "an authenticated request": Operation(lambda w: w.call("GET", "user", w.phone.access)),
    "a request after a minute": Operation(unseen_bearer),
    "a re-authentication": Operation(
        lambda w: w.call("POST", "reauthenticate", w.phone.access, password=PASSWORD)
    ),
    "a request of a login that has run out": Operation(run_out_bearer, 401),
    "a request of a login with an old password": Operation(outdated_bearer, 401),
    "a request of a user who was deactivated": Operation(inactive_bearer, 401),
}

PAGES = {
    "a log-in": Operation(admin_log_in, 302),
    "a log-out": Operation(lambda w: w.page("/admin/logout/", confirm="yes"), 302),
    "a change of the password": Operation(change_password, 302),
    "a login that has run out": Operation(run_out_page, 302),
}

SERVICES = {
    "end_all": lambda w: services.end_all(user=w.user, cause=Cause()),
    "end_others": lambda w: services.end_others(keep=w.row(w.phone).get(), cause=Cause()),
    "end_sessions": lambda w: services.end_sessions(
        sessions=Session.objects.filter(user=w.user), cause=Cause()
    ),
    "secure_account": lambda w: services.secure_account(user=w.user, cause=Cause()),
}

USUAL = [
    *("a log-in by name", "a refresh", "a logout of session", "a logout of others"),
    *("logout/all", "the list"),
]
"""Of lost connections and undone transactions the suite has these; the drill has all."""


def _marks(name: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.postgresql, *([] if name in USUAL else [pytest.mark.drill])]


@dataclass
class Failure:
    """What became of a request with a fault, and what there was before."""

    world: World
    act: Callable[[], HttpResponse]
    failed: str
    answer: HttpResponse
    before: dict[str, list[str]]


def failures(
    operation: Operation, kind: Callable[[int], Fault], wire: Wire = V1
) -> Iterator[Failure]:
    """Let an operation fail at its first statement, then at its second one, and so on.

    Each time in a new world, until there is nothing left to fail: then it succeeds.
    """
    for number in itertools.count(1):
        world = begin(wire)
        act = operation.prepare(world)
        before = dump()
        with happening(fault := kind(number)):
            answer = act()
        close_old_connections()  # as a server does before each request
        if not fault.failed:
            assert answer.status_code == operation.status
            assert number > 1
            return
        yield Failure(world, act, fault.failed, answer, before)


@pytest.mark.parametrize(
    ("name", "wire", "kind"),
    [
        *((name, V1, Refused) for name in OPERATIONS),
        ("logout/all", PLAIN, Refused),
        *(pytest.param(name, V1, Cut, marks=_marks(name)) for name in OPERATIONS),
    ],
)
def test_a_fault_is_an_error_that_changes_nothing(name, wire, kind):
    operation = OPERATIONS[name]

    for failure in failures(operation, kind, wire):
        if operation.beside and operation.beside in failure.failed:
            assert failure.answer.status_code == operation.status, failure.failed
            continue
        assert failure.answer.status_code == 500, failure.failed
        assert failure.answer.json() == wire.error(500, "failure")
        assert dump() == failure.before, failure.failed
        assert failure.act().status_code == operation.status, failure.failed


@pytest.mark.parametrize("name", ["a log-in by name", "a refresh", "a logout of session"])
def test_atomic_requests_make_no_difference(name, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)

    test_a_fault_is_an_error_that_changes_nothing(name, V1, Refused)


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_fails_changes_nothing(name, kind):
    errors = []

    def prepare(world: World) -> Callable[[], HttpResponse]:
        def call() -> HttpResponse:
            try:
                SERVICES[name](world)
            except DatabaseError as error:
                errors.append(error)
                return HttpResponse(status=500)
            return HttpResponse()

        return call

    # What secure_account() leaves to be tidied up of the old password has ended with the rest.
    for failure in failures(Operation(prepare), kind):
        if failure.answer.status_code == 500:
            assert dump() == failure.before, failure.failed
            assert failure.act().status_code == 200, failure.failed
        else:
            assert name == "secure_account"
            assert not Session.objects.filter(user=failure.world.user).exists()
    assert errors


# Pages: Django saves what is its own statement by statement, and the session after the view.


def without_last_login(tables: dict[str, list[str]], user: Any) -> dict[str, list[str]]:
    """Leave out what Django notes by itself: when a user has logged in, and anonymous sessions."""
    own = [row for row in tables[Session._meta.db_table] if row.endswith(f", {user.pk})")]
    return {**tables, Session._meta.db_table: own, get_user_model()._meta.db_table: []}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_browser_whose_log_in_fails_is_not_logged_in(kind):
    for failure in failures(PAGES["a log-in"], kind):
        user = failure.world.user
        # 400 where the engine could not save: Django takes it for a session that has ended.
        assert failure.answer.status_code in {400, 500}, failure.failed
        assert without_last_login(dump(), user) == without_last_login(failure.before, user)
        assert failure.world.page("/admin/")().status_code == 302
        assert failure.act().status_code == 302
        assert failure.world.page("/admin/")().status_code == 200


@pytest.mark.parametrize("atomic", [False, True], ids=["", "atomic requests"])
@pytest.mark.parametrize("kind", FAULTS)
def test_a_browser_whose_log_out_fails_is_still_logged_in(kind, atomic, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", atomic)

    for failure in failures(PAGES["a log-out"], kind):
        assert failure.answer.status_code == 500, failure.failed
        assert dump() == failure.before, failure.failed
        # Django's middleware deletes the cookie of an emptied session with an error, too.
        failure.world.browser.cookies["sessionid"] = failure.world.session_key
        assert failure.world.page("/admin/")().status_code == 200
        assert failure.act().status_code == 302
        assert failure.world.page("/admin/")().status_code == 302


@pytest.mark.parametrize("kind", FAULTS)
def test_a_browser_whose_login_has_run_out_is_refused_though_that_is_not_recorded(kind):
    for failure in failures(PAGES["a login that has run out"], kind):
        assert failure.answer.status_code in {302, 500}, failure.failed
        assert dump() == failure.before, failure.failed
        # The answer has taken the cookie away; a client that kept it is refused again.
        failure.world.browser.cookies["sessionid"] = failure.world.session_key
        assert failure.act().status_code == 302
        assert not failure.world.browser_row.exists()


@pytest.mark.parametrize("atomic", [False, True], ids=["", "atomic requests"])
@pytest.mark.parametrize("kind", FAULTS)
def test_no_fault_lets_another_login_outlive_a_change_of_the_password(kind, atomic, monkeypatch):
    """Either the password is the old one, and nothing has changed, or the others are refused."""
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", atomic)
    outcomes = set()

    for failure in failures(PAGES["a change of the password"], kind):
        changed = (
            not get_user_model().objects.get(pk=failure.world.user.pk).check_password(PASSWORD)
        )
        outcomes.add(changed)
        if not changed:
            assert failure.answer.status_code == 500, failure.failed
            assert dump() == failure.before, failure.failed
        for pair in (failure.world.phone, failure.world.tablet):
            status = failure.world.call("GET", "user", pair.access)().status_code
            assert status == (401 if changed else 200), failure.failed
            status = failure.world.refresh(pair.refresh)().status_code
            assert status == (400 if changed else 200), failure.failed
    assert outcomes == {True, False}


# What PostgreSQL does by itself


def raising(sqlstate: str, times: int) -> type[Fault]:
    """Return a fault of a transaction that PostgreSQL undoes, once or twice in a row."""

    class Undone(Fault):
        in_place_of_a_statement = (
            f"DO $$ BEGIN RAISE EXCEPTION 'undone' USING ERRCODE = '{sqlstate}'; END $$"
        )
        left = times

        def _is_next(self, sql: str) -> bool:
            if self.failed:
                # The same one when it is run again; a savepoint has another number then.
                again = sql.partition("_x")[0] == self.failed.partition("_x")[0]
                again = again and ("SAVEPOINT" not in sql or sql != self.failed)
                self.left -= again
                return again and self.left > 0
            # What reads, outside of a transaction, is in nobody's way.
            writes = connection.in_atomic_block or sql.startswith("WITH ")
            return writes and super()._is_next(sql)

        def fail_commit(self) -> None:
            with connection.wrap_database_errors:
                connection.connection.execute(self.in_place_of_a_statement)

    return Undone


WRITES = [
    "a log-in by name",
    "a first log-in",
    "a log-in in place of the oldest",
    "a refresh",
    "a refresh of a plain token",
    "a refresh with a reused token",
    "a logout of session",
    "a logout of others",
    "a logout of refresh_tokens",
    "a logout of global",
    "the end of another login",
    "a request of a login that has run out",
    "a request of a user who was deactivated",
]


@pytest.mark.parametrize(
    ("sqlstate", "name"),
    [
        *(pytest.param("40001", name, marks=_marks(name)) for name in WRITES),
        pytest.param("40P01", "a logout of global", marks=pytest.mark.postgresql),
    ],
)
def test_a_transaction_that_was_undone_is_run_once_more(name, sqlstate):
    operation = OPERATIONS[name]

    for failure in failures(operation, raising(sqlstate, times=1)):
        assert failure.answer.status_code == operation.status, failure.failed
        assert dump() != failure.before


@pytest.mark.parametrize("name", [pytest.param(name, marks=_marks(name)) for name in WRITES])
def test_a_transaction_that_was_undone_twice_is_an_error_that_changes_nothing(name):
    operation = OPERATIONS[name]
    # A refresh that has to end the login runs a service within a service.
    times = 4 if name == "a refresh with a reused token" else 2

    for failure in failures(operation, raising("40P01", times)):
        assert failure.answer.status_code == 500, failure.failed
        assert dump() == failure.before, failure.failed
        assert failure.act().status_code == operation.status


@pytest.fixture
def _refused_commits():
    """Let PostgreSQL refuse each commit that has changed a login."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'refused'; END $$;"
            " CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE OR DELETE"
            " ON drf_logout_session DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION refuse() CASCADE")


@pytest.mark.postgresql
@pytest.mark.parametrize("name", [name for name in WRITES if "deactivated" not in name])
def test_a_refused_commit_is_an_error_that_changes_nothing(request, name):
    act = OPERATIONS[name].prepare(begin(V1))
    before = dump()
    request.getfixturevalue("_refused_commits")

    answer = act()

    assert answer.status_code == 500
    assert answer.json() == V1.error(500, "failure")
    assert dump() == before


@pytest.fixture
def other():
    """Another connection to the same database."""
    copy = connection.copy()
    yield copy
    copy.close()


@pytest.mark.postgresql
@pytest.mark.parametrize("setting", ["statement_timeout", "lock_timeout"])
@pytest.mark.parametrize(
    "name", ["a refresh", "a logout of session", "a logout of global", "the end of this login"]
)
def test_who_waits_too_long_for_a_lock_gets_an_error_that_changes_nothing(name, setting, other):
    operation = OPERATIONS[name]
    act = operation.prepare(world := begin(V1))
    before = dump()
    with connection.cursor() as cursor:
        cursor.execute(f"SET {setting} = '100ms'")

    with hold(other, world.row(world.phone)):
        answer = act()

    assert answer.status_code == 500
    assert answer.json() == V1.error(500, "failure")
    assert dump() == before
    assert act().status_code == operation.status


@contextmanager
def hold(other: Any, rows: Any) -> Iterator[None]:
    """Keep rows locked, from another connection."""
    other.set_autocommit(False)
    with other.cursor() as cursor:
        cursor.execute(
            "SELECT FROM drf_logout_session WHERE session_key = %s FOR UPDATE", [rows.get().pk]
        )
    yield
    other.rollback()
