"""Beside a replica that lags behind: a login that has ended is refused all the same.

The replica is a second alias, which every read is routed to that a router can route. It has what
the primary had when ``replicate()`` was called, and refuses to be written to.
"""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.core.checks import Tags, run_checks
from django.core.management import call_command
from django.db import connection, connections, router
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken
from rest_framework_simplejwt.tokens import RefreshToken as StockRefreshToken

from accounts import services
from accounts.authentication import JWTAuthentication
from accounts.clients import ClientInfo
from accounts.models import LogoutEvent, Session
from accounts.services import Cause, Scope
from tests.conftest import PASSWORD

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

CLIENT = ClientInfo()
NEW = "correct horse battery"


class ReadReplica:
    """The router of a host that reads from its replica whatever it can."""

    def db_for_read(self, model, **hints):
        return "replica"

    def db_for_write(self, model, **hints):
        return "default"

    def allow_relation(self, *objects, **hints):
        return True


class ReadReplicaButUsers(ReadReplica):
    """As docs/how-to/fleet.md has it: who a browser's user is decides, too."""

    def db_for_read(self, model, **hints):
        return "default" if issubclass(model, get_user_model()) else "replica"


@pytest.fixture
def replica(settings, transactional_db):
    """The connection to a replica, of tables in a schema of their own, which stays."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA IF NOT EXISTS replica")
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'CREATE TABLE IF NOT EXISTS replica."{table}" (LIKE public."{table}")')
            cursor.execute(f'DELETE FROM replica."{table}"')
    primary = connection.settings_dict
    options = {name: value for name, value in primary["OPTIONS"].items() if name != "pool"}
    options["options"] = "-c search_path=replica -c default_transaction_read_only=on"
    connections["replica"] = type(connections["default"])(
        {**primary, "OPTIONS": options}, alias="replica"
    )
    settings.DATABASE_ROUTERS = [f"{__name__}.ReadReplica"]
    yield connections["replica"]
    settings.DATABASE_ROUTERS = []
    connections["replica"].close()
    del connections["replica"]


@pytest.fixture
def replicate(replica):
    """Return a function that lets the replica have what the primary has now."""

    def copy():
        with connection.cursor() as cursor:
            for table in connection.introspection.table_names(cursor):
                cursor.execute(f'DELETE FROM replica."{table}"')
                cursor.execute(f'INSERT INTO replica."{table}" SELECT * FROM public."{table}"')

    return copy


@pytest.fixture
def ask(client):
    """Return a function that sends a request, and returns its answer's status."""

    def send(method, path, body=None, *, bearer=None):
        headers = {"Authorization": f"Bearer {bearer}"} if bearer is not None else {}
        answer = client.generic(method, path, body or "", "application/json", headers=headers)
        return answer.status_code

    return send


def refreshing(pair):
    return json.dumps({"grant_type": "refresh_token", "refresh_token": str(pair.refresh)})


@pytest.fixture
def browser(ana):
    """A browser in which the user, who may see everything, has logged in."""
    ana.is_superuser = True
    ana.save()
    browser = Client()
    browser.force_login(ana)
    return browser


PAGES = ["/account/sessions", "/admin/", "/admin/drf_logout/session/"]


def opens(browser):
    """Whether a browser is let in; by each page the same."""
    statuses = {browser.get(page).status_code for page in PAGES}
    assert statuses in ({200}, {302}), statuses
    return statuses == {200}


def on_primary_and_replica():
    return Session.objects.primary().count(), Session.objects.count()


def reads(replica, call):
    """Return the statements that a call sends to the replica."""
    with CaptureQueriesContext(replica) as captured:
        call()
    return [query["sql"] for query in captured]


# The setting


def test_the_replica_lags_behind_and_cannot_be_written_to(replicate, phone):
    assert router.db_for_read(Session) == "replica"
    assert on_primary_and_replica() == (1, 0)
    replicate()
    assert on_primary_and_replica() == (1, 1)

    Session.objects.all().delete()

    assert on_primary_and_replica() == (0, 1)


# By token


def by_scope(scope):
    def end(user, phone, laptop):
        named = laptop if scope == Scope.OTHERS else phone
        services.log_out(proof=named.access, scope=scope, client=CLIENT)

    return end


def by_row(user, phone, laptop):
    sessions = Session.objects.primary().filter(sid=phone.refresh.sid)
    services.end_sessions(sessions=sessions, cause=Cause())


def by_others(user, phone, laptop):
    keep = Session.objects.primary().get(sid=laptop.refresh.sid)
    services.end_others(keep=keep, cause=Cause())


def by_command(user, phone, laptop):
    call_command("end_sessions", "--username", "ana", verbosity=0)


def by_password(user, phone, laptop):
    user.set_password(NEW)
    user.save()


def by_queryset(**columns):
    def end(user, phone, laptop):
        get_user_model().objects.filter(pk=user.pk).update(**columns)

    return end


def by_deletion(user, phone, laptop):
    user.delete()


def by_blacklist(user, phone, laptop):
    StockRefreshToken(str(phone.refresh)).blacklist()


def by_time(user, phone, laptop):
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))


ENDINGS = {
    **{f"logged out, {scope}": by_scope(scope) for scope in Scope},
    "its row ended": by_row,
    "the others ended": by_others,
    "the command": by_command,
    "a new password": by_password,
    "a new password by queryset": by_queryset(password="other"),
    "deactivated by queryset": by_queryset(is_active=False),
    "deleted": by_deletion,
    "SimpleJWT's blacklist": by_blacklist,
    "run out": by_time,
}


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
def test_a_login_that_has_ended_is_refused_everywhere_though_the_replica_has_it(
    replicate, user, phone, laptop, ask, end
):
    replicate()
    assert ask("GET", "/user", bearer=phone.access) == 200

    end(user, phone, laptop)

    assert Session.objects.filter(sid=phone.refresh.sid).exists(), "it is on the replica"
    password = json.dumps({"password": PASSWORD})
    assert ask("GET", "/user", bearer=phone.access) == 401
    assert ask("POST", "/token", refreshing(phone)) == 400
    assert ask("GET", "/sessions", bearer=phone.access) == 401
    assert ask("DELETE", f"/sessions/{laptop.refresh.sid}", bearer=phone.access) == 401
    assert ask("POST", "/reauthenticate", password, bearer=phone.access) == 401
    recorded = LogoutEvent.objects.using("default").count()
    assert ask("POST", "/logout", bearer=phone.access) == 200
    assert ask("POST", "/logout/all", bearer=phone.access) == 200
    assert LogoutEvent.objects.using("default").count() == recorded, "it had ended already"


def test_a_plain_token_that_has_been_revoked_is_refused(replicate, user, ask):
    plain = StockRefreshToken.for_user(user).access_token
    replicate()
    assert ask("GET", "/user", bearer=plain) == 200

    assert ask("POST", "/logout", bearer=plain) == 200

    assert not BlacklistedToken.objects.exists(), "the replica has not heard"
    assert ask("GET", "/user", bearer=plain) == 401


def test_a_login_that_has_ended_is_not_in_the_list(replicate, user, phone, laptop, client):
    replicate()
    by_row(user, phone, laptop)

    answer = client.get("/sessions", headers={"Authorization": f"Bearer {laptop.access}"})

    assert [login["id"] for login in answer.json()["results"]] == [str(laptop.refresh.sid)]


def test_a_login_begins_and_is_used_and_ends_before_the_replica_has_heard(replicate, user, ask):
    replicate()
    pair = services.log_in(user=user, client=CLIENT)
    body = refreshing(pair)

    assert ask("GET", "/user", bearer=pair.access) == 200
    assert ask("POST", "/token", body) == 200
    assert ask("POST", "/logout", bearer=pair.access) == 200
    assert ask("GET", "/user", bearer=pair.access) == 401
    assert ask("POST", "/token", body) == 400


def test_no_hot_path_reads_the_replica(replica, replicate, phone, laptop, ask):
    replicate()
    body = refreshing(phone)

    def use():
        assert ask("GET", "/user", bearer=phone.access) == 200
        assert ask("GET", "/sessions", bearer=phone.access) == 200
        assert ask("POST", "/token", body) == 200
        assert ask("POST", "/token", body) == 200, "once more, within the grace"
        assert ask("DELETE", f"/sessions/{laptop.refresh.sid}", bearer=phone.access) == 204
        assert ask("POST", "/logout", bearer=phone.access) == 200
        assert ask("POST", "/logout", bearer=phone.access) == 200

    assert reads(replica, use) == []


def test_the_user_of_a_request_can_be_used(replica, replicate, user, phone, rf):
    replicate()
    get_user_model().objects.filter(pk=user.pk).update(first_name="Ana", is_staff=True)

    request = rf.get("/", headers={"Authorization": f"Bearer {phone.access}"})
    known, token = JWTAuthentication().authenticate(request)

    assert (known.first_name, known.is_staff) == ("Ana", True)
    assert known._state.db == token.session._state.db == "default"
    assert reads(replica, lambda: known.check_password(PASSWORD)) == []
    known.last_name = "Lima"
    known.save()
    assert get_user_model().objects.using("default").get().last_name == "Lima"
    assert token.session.user == known


# By cookie


def ended_by_page(user, browser, phone):
    bearer = {"Authorization": f"Bearer {phone.access}"}
    answer = Client().post("/logout/all", content_type="application/json", headers=bearer)
    assert answer.status_code == 200


def ended_by_row(user, browser, phone):
    services.end_sessions(
        sessions=Session.objects.primary().filter(kind=Session.Kind.BROWSER), cause=Cause()
    )


def ended_by_time(user, browser, phone):
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))


def ended_by_deactivation(user, browser, phone):
    get_user_model().objects.filter(pk=user.pk).update(is_active=False)


def ended_by_password(user, browser, phone):
    user.set_password(NEW)
    user.save()


BROWSER_ENDINGS = [ended_by_page, ended_by_row, ended_by_time, ended_by_deactivation]


@pytest.mark.parametrize("end", [*BROWSER_ENDINGS, ended_by_password])
def test_a_browser_whose_login_has_ended_is_not_let_in(replicate, ana, browser, phone, end):
    replicate()
    assert opens(browser)

    end(ana, browser, phone)

    assert not opens(browser)


def test_a_browser_whose_password_was_changed_unseen_is_not_let_in(
    replicate, settings, ana, browser
):
    """Django itself compares the passwords, of the user that it reads."""
    settings.DATABASE_ROUTERS = [f"{__name__}.ReadReplicaButUsers"]
    replicate()
    get_user_model().objects.filter(pk=ana.pk).update(password="other")

    assert not opens(browser)


def test_an_administrator_cannot_end_again_what_the_replica_still_shows(
    replicate, ana, user, phone, admin_client
):
    replicate()
    by_row(user, phone, None)
    recorded = LogoutEvent.objects.using("default").count()
    choice = {"_selected_action": str(phone.refresh.sid), "action": "end_selected"}

    page = admin_client.post("/admin/drf_logout/session/", choice)
    assert page.status_code in {200, 302}
    admin_client.post("/admin/drf_logout/session/", {**choice, "confirmed": "yes"})

    assert LogoutEvent.objects.using("default").count() == recorded


def test_a_login_of_a_user_whom_the_replica_does_not_know_yet_ends(user, phone, browser, replica):
    assert not get_user_model().objects.exists()

    ended = services.end_sessions(sessions=Session.objects.primary(), cause=Cause())

    assert ended.sessions_ended == 2
    assert {event.username for event in ended.events} == {"ana"}


# Passwords


def log_in_by_password(client, password):
    body = {"grant_type": "password", "username": "ana", "password": password}
    return client.post("/token", body, content_type="application/json")


def test_an_old_password_that_the_replica_takes_begins_a_login_that_is_refused(
    replicate, user, ask, client
):
    replicate()
    by_password(user, None, None)

    answer = log_in_by_password(client, PASSWORD)

    assert answer.status_code == 200
    assert ask("GET", "/user", bearer=answer.json()["access_token"]) == 401


def test_with_users_read_from_the_primary_it_is_wrong(replicate, settings, user, client):
    settings.DATABASE_ROUTERS = [f"{__name__}.ReadReplicaButUsers"]
    replicate()
    by_password(user, None, None)

    assert log_in_by_password(client, PASSWORD).status_code == 400
    assert log_in_by_password(client, NEW).status_code == 200


@pytest.mark.parametrize(
    ("users", "told"), [("ReadReplica", ["drf_logout.W007"]), ("ReadReplicaButUsers", [])]
)
def test_users_that_are_read_from_a_replica_are_told(settings, users, told):
    settings.DATABASE_ROUTERS = [f"{__name__}.{users}"]

    assert [message.id for message in run_checks(tags=[Tags.security])] == told
