"""The requirements of the security standards, each shown by a test that names it."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
import socket
import time
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import jwt
import pytest
from django.contrib.auth import get_user_model, update_session_auth_hash
from django.db import IntegrityError, connection, connections
from django.test import Client
from django.urls import include, path, re_path
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from accounts import services
from accounts.conf import AAL1, AAL2, AAL3
from accounts.exceptions import AppendOnly
from accounts.models import LogoutEvent, Session
from accounts.services import Cause, Initiator, Reason
from accounts.sessions import SessionStore, current_session
from accounts.tokens import AccessToken, RefreshToken
from tests.conftest import PASSWORD
from tests.host import PATIENCE
from tests.http import PLAIN, V1, dump, table_away

SCOPES = ["session", "others", "refresh_tokens", "global"]


class EchoView(APIView):
    """A protected route whose path is whatever a client likes."""

    def get(self, request, anything):
        """Answer."""
        return Response({})


urlpatterns = [
    re_path(r"(?s)^echo/(?P<anything>.*)$", EchoView.as_view()),
    path("", include("authproject.urls")),
]


BOTH = pytest.mark.parametrize("wire", [V1, PLAIN], ids=["v1", "plain"])


@pytest.fixture
def wire():
    """A contract: the same views answer under each, so ``BOTH`` is for what they word each."""
    return V1


@pytest.fixture
def phone(clients, ana, wire):
    return clients.phone(wire).log_in()


@pytest.fixture
def limiter(monkeypatch):
    """Stop the clock of the rate limit."""
    clock = SimpleNamespace(now=1_800_000_000)
    monkeypatch.setattr("django_ratelimit.core.time", SimpleNamespace(time=lambda: clock.now))
    return clock


class Lines(logging.Handler):
    """Keeps the security log as it is read: each record one line of JSON."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)

    @property
    def entries(self):
        return [json.loads(record.getMessage()) for record in self.records]

    def named(self, event):
        """Return the entries of an event, each with the level that it was logged at."""
        return [
            (record.levelname, entry)
            for record, entry in zip(self.records, self.entries, strict=True)
            if entry["event"] == event
        ]


@pytest.fixture
def log():
    handler = Lines()
    logger = logging.getLogger("accounts.audit")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture
def everything_logged():
    """Keep what any logger says, at any level, as a formatter would write it."""
    lines = []

    class Keep(logging.Handler):
        def emit(self, record):
            lines.append(f"{self.format(record)} {record.__dict__!r}")

    handler = Keep()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    known = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
    levels = [(logger, logger.level) for logger in (logging.root, *known)]
    attached = [logging.root, *(logger for logger in known if not logger.propagate)]
    for logger, _ in levels:
        logger.setLevel(logging.DEBUG)
    for logger in attached:
        logger.addHandler(handler)
    yield lines
    for logger in attached:
        logger.removeHandler(handler)
    for logger, level in levels:
        logger.setLevel(level)


def expired(token_class, raw):
    token = token_class(raw)
    token.set_exp(lifetime=-timedelta(minutes=1))
    return str(token)


def foreign(raw):
    """Return the same claims signed by somebody else."""
    return jwt.encode(jwt.decode(raw, options={"verify_signature": False}), "k" * 64, "HS256")


def refresh(phone, token):
    return phone.token(grant_type="refresh_token", refresh_token=token)


# Termination


@pytest.mark.standard("ASVS 7.4.1")
@pytest.mark.parametrize("path", ["logout", "logout/all"])
def test_after_logout_access_token_refresh_token_and_browser_session_are_refused(
    clients, phone, path
):
    browser = clients.browser(phone.wire).log_in()
    session_key = browser.session_key
    assert phone.is_in
    assert browser.is_in

    assert browser.call("POST", path, bearer=phone.access).status_code == 200

    thief = clients.browser(phone.wire)
    thief.http.cookies.set("sessionid", session_key)
    assert not thief.is_in
    assert phone.user().status_code == 401
    assert refresh(phone, phone.refresh).json()["error"] == "invalid_grant"


@pytest.mark.standard("ASVS 7.2.1")
def test_the_server_refuses_a_client_that_keeps_everything_it_had(clients, phone):
    browser = clients.browser(phone.wire).log_in()
    kept = {"access": phone.access, "refresh": phone.refresh, "cookie": browser.session_key}
    browser.call("POST", "logout", bearer=phone.access)

    # By themselves the tokens are as genuine as before: nothing but the server's data refuses them.
    assert AccessToken(kept["access"]).sid
    assert RefreshToken(kept["refresh"]).sid
    other = clients.phone(phone.wire)
    assert other.call("GET", "user", bearer=kept["access"]).status_code == 401
    assert refresh(other, kept["refresh"]).status_code == 400
    answer = other.call("GET", "/admin/", headers={"Cookie": f"sessionid={kept['cookie']}"})
    assert answer.status_code == 302


def traces_of(raw):
    """Return a token, its signature, and its hashes, as a table may hold them."""
    yield raw
    yield raw.rpartition(".")[2]
    for name in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha3_256", "blake2b"):
        digest = hashlib.new(name, raw.encode(), usedforsecurity=False).digest()
        yield digest.hex()
        yield base64.b64encode(digest).decode().rstrip("=")
        yield base64.urlsafe_b64encode(digest).decode().rstrip("=")


def everyone(clients, wire):
    """Return the clients of a user with two phones and a browser, all logged in."""
    return [
        clients.phone(wire).log_in(),
        clients.phone(wire).log_in(),
        clients.browser(wire).log_in(),
    ]


def deactivate(user):
    user.is_active = False
    user.save()


def delete(user):
    user.delete()


@pytest.mark.standard("ASVS 7.4.2")
@pytest.mark.parametrize("how", [deactivate, delete])
def test_disabling_or_deleting_an_account_ends_all_its_logins(clients, ana, wire, how):
    *phones, browser = everyone(clients, wire)
    assert all(client.is_in for client in (*phones, browser))

    how(ana)

    assert not any(client.is_in for client in (*phones, browser))
    assert [refresh(phone, phone.refresh).status_code for phone in phones] == [400, 400]
    assert not Session.objects.exclude(user=None).exists()


@pytest.mark.standard("ASVS 7.4.2")
def test_an_account_that_is_enabled_again_has_none_of_its_logins_back(clients, ana, wire):
    *phones, browser = everyone(clients, wire)
    deactivate(ana)

    ana.is_active = True
    ana.save()

    assert not any(client.is_in for client in (*phones, browser))
    assert [refresh(phone, phone.refresh).status_code for phone in phones] == [400, 400]
    assert clients.phone(wire).log_in().is_in


NEW_PASSWORD = "a-new-password-9"


@pytest.mark.standard("ASVS 7.4.3")
def test_after_a_change_of_the_password_the_other_logins_end_and_this_one_stays(clients, ana, wire):
    *phones, other = everyone(clients, wire)
    browser = clients.browser(wire).log_in()
    form = browser.call("GET", "/admin/password_change/").text
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)[1]

    answer = browser.call(
        "POST",
        "/admin/password_change/",
        data={
            "csrfmiddlewaretoken": token,
            "old_password": PASSWORD,
            "new_password1": NEW_PASSWORD,
            "new_password2": NEW_PASSWORD,
        },
    )

    assert answer.status_code == 302
    assert browser.is_in
    assert not any(client.is_in for client in (*phones, other))
    assert [refresh(phone, phone.refresh).status_code for phone in phones] == [400, 400]
    assert set(LogoutEvent.objects.values_list("reason", flat=True)) == {"password_changed"}


@pytest.mark.standard("ASVS 7.4.3")
def test_after_a_reset_of_the_password_every_login_ends(clients, ana, wire):
    *phones, browser = everyone(clients, wire)

    ana.set_password(NEW_PASSWORD)
    ana.save()

    assert not any(client.is_in for client in (*phones, browser))
    assert [refresh(phone, phone.refresh).status_code for phone in phones] == [400, 400]
    assert clients.phone(wire).log_in(password=NEW_PASSWORD).is_in


@pytest.fixture
def administrator(db):
    return get_user_model().objects.create_superuser("root", password=PASSWORD)


@pytest.mark.standard("ASVS 7.4.5")
def test_an_administrator_can_end_the_logins_of_one_user(clients, ana, stranger, administrator):
    *phones, browser = everyone(clients, PLAIN)
    eve = clients.phone(PLAIN).log_in("eve")
    cause = Cause(reason=Reason.ADMINISTRATIVE, initiator=Initiator.ADMIN, actor=administrator)

    services.end_all(user=ana, cause=cause)

    assert not any(client.is_in for client in (*phones, browser))
    assert eve.is_in
    event = LogoutEvent.objects.get()
    assert (event.initiator, event.actor, event.user) == ("admin", administrator, ana)


@pytest.mark.standard("ASVS 7.4.5")
def test_an_administrator_can_end_the_logins_of_everyone(clients, ana, stranger, administrator):
    *phones, browser = everyone(clients, PLAIN)
    eve = clients.phone(PLAIN).log_in("eve")
    cause = Cause(reason=Reason.ADMINISTRATIVE, initiator=Initiator.ADMIN, actor=administrator)

    services.end_sessions(sessions=Session.objects.all(), cause=cause)

    assert not any(client.is_in for client in (*phones, browser, eve))
    assert set(LogoutEvent.objects.values_list("actor", flat=True)) == {administrator.pk}


@pytest.mark.standard("ASVS 7.5.2")
def test_a_user_can_list_and_end_any_of_their_logins_after_re_authenticating(
    clients, ana, wire, settings
):
    settings.ACCOUNTS = {"REAUTHENTICATE_TO_END_OTHERS": True}
    phone, other, browser = everyone(clients, wire)
    listed = phone.call("GET", "sessions", bearer=phone.access).json()["results"]
    ids = [login["id"] for login in listed if not login["current"]]
    assert len(ids) == 2

    def end(sid):
        return phone.call("DELETE", f"sessions/{sid}", bearer=phone.access).status_code

    assert [end(sid) for sid in ids] == [403, 403]
    assert other.is_in
    assert browser.is_in

    assert phone.reauthenticate().status_code == 200

    assert [end(sid) for sid in ids] == [204, 204]
    assert not other.is_in
    assert not browser.is_in
    assert phone.is_in


@pytest.mark.standard("ASVS 7.2.4")
def test_a_log_in_issues_new_tokens_and_a_refresh_ends_the_old_one(clients, ana, wire, after_grace):
    phone = clients.phone(wire).log_in()
    first = {phone.access, phone.refresh}
    spent = phone.refresh
    phone.renew()
    second = {phone.access, phone.refresh}
    assert not first & second
    assert phone.is_in
    after_grace()
    assert refresh(phone, spent).status_code == 400

    phone.log_in()

    assert not {phone.access, phone.refresh} & (first | second)


@pytest.mark.standard("ASVS 7.2.4")
def test_a_log_in_replaces_the_key_that_the_browser_had_before(clients, ana, stranger):
    stranger.is_staff = True
    stranger.save()
    browser, thief = clients.browser(PLAIN).log_in(), clients.browser(PLAIN)
    old_key = browser.session_key

    browser.log_in("eve")

    assert browser.session_key != old_key
    thief.http.cookies.set("sessionid", old_key)
    assert not thief.is_in
    assert browser.is_in


@pytest.mark.standard("ASVS 7.2.4")
def test_a_re_authenticated_browser_has_a_new_key_and_the_old_one_ends(client, ana, rf):
    client.force_login(ana)
    old_key = client.cookies["sessionid"].value
    request = rf.get("/")
    request.session = SessionStore(old_key)
    request.user = ana

    services.reauthenticate(session=current_session(request), user=ana)
    update_session_auth_hash(request, ana)
    request.session.save()

    assert request.session.session_key != old_key
    assert client.get("/admin/").status_code == 302
    client.cookies["sessionid"] = request.session.session_key
    assert client.get("/admin/").status_code == 200
    assert Session.objects.get().recently_reauthenticated


PRESETS = {"AAL1": AAL1, "AAL2": AAL2, "AAL3": AAL3}


def still_in(phone, browser, **clocks):
    """Set the clocks of all logins, and ask who is in: by phone, by browser, by refreshing."""
    Session.objects.exclude(user=None).update(**clocks)
    return phone.is_in, browser.is_in, phone.renew().status_code == 200


def recorded(number):
    """Return the reasons of so many events, of which a browser's is written after the answer."""
    deadline = time.monotonic() + PATIENCE
    while LogoutEvent.objects.count() < number and time.monotonic() < deadline:
        time.sleep(0.01)
    return list(LogoutEvent.objects.values_list("reason", "initiator"))


@pytest.mark.standard("ASVS 7.3.1", "NIST SP 800-63B-4")
@pytest.mark.parametrize(("preset", "minutes"), [("AAL2", 60), ("AAL3", 15)])
def test_a_login_ends_when_it_goes_unused(clients, ana, wire, settings, preset, minutes):
    settings.ACCOUNTS = PRESETS[preset]
    now = datetime.now(UTC)
    phone, browser = clients.phone(wire).log_in(), clients.browser(wire).log_in()

    used = still_in(phone, browser, last_seen_at=now - timedelta(minutes=minutes - 1))
    unused = still_in(phone, browser, last_seen_at=now - timedelta(minutes=minutes))

    assert used == (True, True, True)
    assert unused == (False, False, False)
    assert recorded(2) == [("idle_timeout", "policy")] * 2


@pytest.mark.standard("ASVS 7.3.2", "ASVS 10.4.8", "NIST SP 800-63B-4")
@pytest.mark.parametrize(("preset", "hours"), [("AAL1", 30 * 24), ("AAL2", 24), ("AAL3", 12)])
def test_a_login_ends_at_its_absolute_limit_whatever_is_done_with_it(
    clients, ana, wire, settings, preset, hours
):
    settings.ACCOUNTS = PRESETS[preset]
    phone, browser = clients.phone(wire).log_in(), clients.browser(wire).log_in()
    began = datetime.now(UTC) - timedelta(hours=hours) + timedelta(minutes=2)

    before = still_in(phone, browser, authenticated_at=began)
    rotated = RefreshToken(phone.refresh)
    after = still_in(phone, browser, authenticated_at=began - timedelta(minutes=2))

    assert before == (True, True, True)
    assert rotated.expires_at <= began + timedelta(hours=hours)
    assert after == (False, False, False)
    assert recorded(2) == [("absolute_timeout", "policy")] * 2


@pytest.mark.standard("ASVS 7.1.2")
def test_at_the_maximum_of_logins_the_oldest_ends(clients, ana, wire, settings):
    settings.ACCOUNTS = {"MAX_SESSIONS": 2}
    browser, phone = clients.browser(wire).log_in(), clients.phone(wire).log_in()
    assert browser.is_in
    assert phone.is_in

    third = clients.phone(wire).log_in()

    assert (browser.is_in, phone.is_in, third.is_in) == (False, True, True)
    assert LogoutEvent.objects.get().reason == "max_sessions"


@pytest.mark.standard("ASVS 7.1.2")
def test_the_maximum_of_logins_and_what_happens_at_it_are_documented():
    page = (Path(__file__).parent.parent / "docs" / "reference" / "settings.md").read_text()

    [line] = [line for line in page.splitlines() if line.startswith("| `MAX_SESSIONS`")]

    assert "ends the oldest" in line


@pytest.mark.standard("OWASP JWT Cheat Sheet")
def test_the_denylist_knows_tokens_by_their_jti_and_by_nothing_else(phone):
    phone.renew()
    raw_tokens = [phone.access, phone.refresh]

    phone.log_out(scope="session")

    denied = set(BlacklistedToken.objects.values_list("token__jti", flat=True))
    assert {AccessToken(phone.access).jti, RefreshToken(phone.refresh).jti} <= denied
    assert set(OutstandingToken.objects.values_list("token", flat=True)) == {""}
    rows = "\n".join(row.lower() for table in dump().values() for row in table)
    for raw in raw_tokens:
        for trace in traces_of(raw):
            assert trace.lower() not in rows


WRITTEN = [
    "drf_logout_session",
    "token_blacklist_outstandingtoken",
    "token_blacklist_blacklistedtoken",
    "drf_logout_logoutevent",
]


@pytest.mark.standard("ASVS 16.5.3")
@pytest.mark.parametrize("table", [*WRITTEN, "drf_logout_tokenversion"])
def test_with_a_table_out_of_reach_nobody_is_told_that_they_are_logged_out(clients, phone, table):
    tablet = clients.phone(phone.wire).log_in()
    before = dump()

    with table_away(table):
        answers = [phone.log_out(scope="global")]
        if table in WRITTEN:
            answers += [phone.log_out(scope=scope) for scope in SCOPES]
            answers.append(phone.log_out(token=tablet.refresh))

    for answer in answers:
        assert (answer.status_code, answer.json()) == (500, phone.wire.error(500, "failure"))
    assert dump() == before
    for device in (phone, tablet):
        assert device.is_in
        assert device.renew().status_code == 200
        assert device.is_in


@pytest.mark.standard("ASVS 16.5.3")
@pytest.mark.parametrize("table", ["drf_logout_session", "auth_user"])
def test_with_a_table_out_of_reach_no_token_is_let_through(clients, phone, table):
    dead = clients.phone(phone.wire).log_in()
    dead.log_out(scope="session")

    with table_away(table):
        answers = [client.user() for client in (phone, dead)]
        answers += [refresh(client, client.refresh) for client in (phone, dead)]

    for answer in answers:
        assert answer.status_code == 500
        assert answer.json() == phone.wire.error(500, "failure")
    assert phone.is_in
    assert not dead.is_in
    assert refresh(dead, dead.refresh).status_code == 400
    assert phone.renew().status_code == 200


@contextmanager
def refusing(table, event, timing):
    """Make PostgreSQL refuse a kind of write, when it is made or at the end of the transaction."""
    timings = {
        "at once": f"TRIGGER refuse BEFORE {event} ON {table}",
        "at commit": f"CONSTRAINT TRIGGER refuse AFTER {event} ON {table}"
        " DEFERRABLE INITIALLY DEFERRED",
    }
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$"
        )
        cursor.execute(f"CREATE {timings[timing]} FOR EACH ROW EXECUTE FUNCTION refuse()")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse CASCADE")


@pytest.mark.standard("ASVS 16.5.3")
@pytest.mark.postgresql
@pytest.mark.parametrize("timing", ["at once", "at commit"])
@pytest.mark.parametrize(
    ("table", "event"),
    [
        ("drf_logout_session", "DELETE"),
        ("token_blacklist_outstandingtoken", "INSERT"),
        ("token_blacklist_blacklistedtoken", "INSERT"),
        ("drf_logout_logoutevent", "INSERT"),
    ],
)
def test_a_logout_that_cannot_be_written_is_none(clients, ana, table, event, timing):
    phone = clients.phone(PLAIN).log_in()
    browser = clients.browser(PLAIN).log_in()
    before = dump()

    with refusing(table, event, timing):
        answers = [
            browser.call("POST", "logout", bearer=phone.access, json={"scope": scope})
            for scope in ("session", "refresh_tokens", "global")
        ]

    for answer in answers:
        assert (answer.status_code, answer.json()) == (500, PLAIN.error(500, "failure"))
        assert "Set-Cookie" not in answer.headers
    assert dump() == before
    assert phone.is_in
    assert browser.is_in
    assert phone.renew().status_code == 200


@pytest.mark.standard("ASVS 16.5.3")
@pytest.mark.postgresql
def test_with_no_database_at_all_nobody_is_logged_out_and_nobody_let_in(
    clients, phone, monkeypatch
):
    dead = clients.phone(phone.wire).log_in()
    dead.log_out(scope="session")
    with monkeypatch.context() as patch:
        patch.setitem(connections.settings["default"], "NAME", "no_such_database")
        answers = [
            phone.log_out(),
            phone.log_out("logout/all"),
            phone.user(),
            dead.user(),
            refresh(phone, phone.refresh),
        ]

    for answer in answers:
        assert (answer.status_code, answer.json()) == (500, phone.wire.error(500, "failure"))
    assert phone.is_in
    assert not dead.is_in
    assert phone.renew().status_code == 200


# The revocation endpoint


@pytest.mark.standard("RFC 7009 §2.1")
def test_logging_out_by_refresh_token_kills_the_access_tokens_of_the_login(clients, phone):
    tablet = clients.phone(phone.wire).log_in()
    access_tokens = [phone.access]
    for _ in range(2):
        phone.renew()
        access_tokens.append(phone.access)

    tablet.log_out(token=phone.refresh, scope="session")

    for access in access_tokens:
        assert phone.call("GET", "user", bearer=access).status_code == 401
    assert tablet.is_in


# The token endpoint and bearer errors


def revoke(phone):
    phone.log_out()
    return phone.refresh


UNUSABLE = {
    "expired": lambda phone: expired(RefreshToken, phone.refresh),
    "revoked": revoke,
    "foreign": lambda phone: foreign(phone.refresh),
}


@pytest.mark.standard("RFC 6749 §5.2")
@pytest.mark.parametrize("case", UNUSABLE)
def test_an_expired_revoked_or_foreign_refresh_token_is_an_invalid_grant(phone, case):
    answer = refresh(phone, UNUSABLE[case](phone))

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert answer.json().keys() == {"error", "error_description"}


COMPLETE = {
    "password": {"grant_type": "password", "username": "ana", "password": PASSWORD},
    "refresh_token": {"grant_type": "refresh_token", "refresh_token": "x"},
}


@pytest.mark.standard("RFC 6749 §5.2")
@pytest.mark.parametrize("grant", COMPLETE)
def test_a_missing_parameter_is_an_invalid_request(clients, ana, wire, grant):
    for missing in COMPLETE[grant]:
        fields = {name: value for name, value in COMPLETE[grant].items() if name != missing}

        for kwargs in ({"json": fields}, {"data": fields}):
            answer = clients.phone(wire).call("POST", "token", **kwargs)

            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), missing


@pytest.mark.standard("RFC 6749 §5.2")
@pytest.mark.parametrize("grant", COMPLETE)
def test_a_repeated_parameter_is_an_invalid_request(clients, ana, wire, grant):
    for repeated in COMPLETE[grant].items():
        fields = [*COMPLETE[grant].items(), repeated]
        members = ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in fields)

        form = clients.phone(wire).call("POST", "token", data=fields)
        as_json = clients.phone(wire).call(
            "POST",
            "token",
            data=f"{{{members}}}",
            headers={"Content-Type": "application/json"},
        )

        for answer in (form, as_json):
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.standard("RFC 6749 §5.2")
def test_an_unknown_grant_is_an_unsupported_grant_type(clients, ana, wire):
    for grant in ("authorization_code", "implicit", "Password", " password"):
        answer = clients.phone(wire).token(grant_type=grant, username="ana", password=PASSWORD)

        assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")


@pytest.mark.standard("RFC 6749 §5.1")
def test_token_answers_are_never_stored(phone, after_grace):
    answers = [
        phone.token(grant_type="password", username="ana", password=PASSWORD),
        refresh(phone, phone.refresh),
        after_grace() or refresh(phone, phone.refresh),
        phone.token(),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 400, 400]
    for answer in answers:
        assert "no-store" in re.split(r",\s*", answer.headers["Cache-Control"])


@pytest.mark.standard("RFC 9700 §4.14.2", "ASVS 10.4.5")
def test_a_replayed_refresh_token_ends_the_whole_login(phone, after_grace):
    spent = phone.refresh
    phone.renew()
    after_grace()

    answer = refresh(phone, spent)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert not phone.is_in
    assert phone.renew().status_code == 400
    assert LogoutEvent.objects.get().reason == "token_reused"


@pytest.mark.standard("RFC 9700 §4.14.2")
def test_a_refresh_token_that_goes_unused_expires(settings, phone):
    settings.ACCOUNTS = PRESETS["AAL2"]
    Session.objects.update(last_seen_at=datetime.now(UTC) - timedelta(hours=1))

    answer = phone.renew()

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert LogoutEvent.objects.get().reason == "idle_timeout"


@BOTH
@pytest.mark.standard("RFC 6750 §3.1")
def test_without_credentials_the_challenge_names_no_error(phone):
    for route in ("GET user", "POST logout", "POST logout/all", "POST reauthenticate"):
        for headers in ({}, {"Authorization": "Basic YW5hOng="}):
            answer = phone.call(*route.split(), headers=headers)

            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.standard("RFC 6750 §3.1")
@pytest.mark.parametrize(("method", "path"), [("GET", "user"), ("POST", "reauthenticate")])
def test_a_revoked_token_is_challenged_as_an_invalid_token(phone, method, path):
    phone.log_out()

    answer = phone.call(method, path, bearer=phone.access)

    assert answer.status_code == 401
    assert re.fullmatch(
        r'Bearer( .*)?\berror="invalid_token".*', answer.headers["WWW-Authenticate"]
    )


# Errors and rate limits


@BOTH
@pytest.mark.standard("ASVS 16.5.1")
@pytest.mark.parametrize("table", WRITTEN)
def test_an_internal_error_tells_nothing_but_that_it_happened(phone, table):
    with table_away(table):
        answers = [phone.log_out(), phone.log_out("logout/all", token=phone.refresh)]
        if table == "drf_logout_session":
            answers += [phone.user(), refresh(phone, phone.refresh), phone.reauthenticate()]

    for answer in answers:
        assert (answer.status_code, answer.json()) == (500, phone.wire.error(500, "failure"))
        told = f"{answer.text} {answer.headers}"
        for secret in ("Traceback", "SELECT", "relation", table, phone.access, phone.refresh):
            assert secret not in told


@BOTH
@pytest.mark.standard("ASVS 16.5.1")
def test_no_error_repeats_what_was_sent(phone):
    sent = "canary<script>"
    answers = [
        phone.log_out(token=sent),
        phone.log_out(scope=sent),
        phone.call("POST", "logout", bearer=sent),
        phone.call("GET", "user", bearer=sent),
        phone.call("GET", "user", bearer=phone.access[:-2]),
        phone.call(
            "POST",
            "logout",
            bearer=phone.access,
            data=sent,
            headers={"Content-Type": "application/json"},
        ),
        phone.call(
            "POST", "logout", bearer=phone.access, data=sent, headers={"Content-Type": sent}
        ),
        phone.token(grant_type=sent),
        phone.token(grant_type="password", username=sent, password=sent),
        phone.token(grant_type="refresh_token", refresh_token=sent),
        phone.reauthenticate(sent),
    ]

    for answer in answers:
        assert answer.status_code in {400, 401, 415}
        told = f"{answer.text} {answer.headers}"
        assert "canary" not in told
        assert phone.access[:-2] not in told


def policy_of(answer):
    return re.fullmatch(
        r'"([\x20-\x21\x23-\x7e]+)";q=(\d+);w=(\d+)', answer.headers["RateLimit-Policy"]
    )


def limit_of(answer):
    return re.fullmatch(r'"([\x20-\x21\x23-\x7e]+)";r=(\d+);t=(\d+)', answer.headers["RateLimit"])


@pytest.mark.standard("RateLimit headers §3")
def test_the_policy_is_a_string_with_a_quota_and_a_window(phone):
    for answer in (phone.log_out(), phone.log_out("logout/all"), phone.call("POST", "logout")):
        policy = policy_of(answer)

        assert policy is not None
        assert (policy[1], int(policy[2]), int(policy[3])) == ("logout", 20, 300)


@pytest.mark.standard("RateLimit headers §4")
@pytest.mark.usefixtures("limiter")
def test_the_limit_is_a_string_with_what_remains_and_for_how_long(phone):
    answers = [phone.log_out() for _ in range(22)]

    for number, answer in enumerate(answers, start=1):
        limit = limit_of(answer)
        assert limit is not None
        assert limit[1] == policy_of(answer)[1]
        assert int(limit[2]) == max(0, 20 - number)
        assert 0 <= int(limit[3]) <= 300


@pytest.mark.standard("RateLimit headers §4")
def test_the_time_that_remains_runs_down(phone, limiter):
    limiter.now += int(limit_of(phone.log_out())[3]) + 1  # into the next window
    first = int(limit_of(phone.log_out())[3])
    limiter.now += 100

    assert int(limit_of(phone.log_out())[3]) == first - 100


@pytest.mark.standard("RateLimit headers §6.1")
def test_the_headers_of_the_limit_say_nothing_of_whom_they_count(phone, ana):
    known = phone.log_out()
    unknown = phone.call("POST", "logout")

    for answer in (known, unknown):
        # Two parameters each, and so no partition key at all.
        assert policy_of(answer) is not None
        assert limit_of(answer) is not None
        headers = {k: v for k, v in answer.headers.items() if "ratelimit" in k.lower()}
        assert headers.keys() == {
            "RateLimit-Policy",
            "RateLimit",
            "X-RateLimit-Limit",
            "X-RateLimit-Remaining",
            "X-RateLimit-Reset",
        }
        for value in headers.values():
            assert not re.search(r"ana|127\.0\.0\.1|pk=", value)


@pytest.mark.standard("RateLimit headers §6", "RFC 6585 §4")
@pytest.mark.usefixtures("limiter")
def test_too_many_requests_says_when_to_come_back_and_is_never_stored(phone):
    for _ in range(20):
        phone.log_out()

    for answer in (phone.log_out(), phone.log_out("logout/all")):
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) >= max(1, int(limit_of(answer)[3]))
        assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.usefixtures("limiter")
def test_older_clients_read_the_same_from_the_older_headers(phone):
    for answer in [phone.log_out() for _ in range(21)]:
        policy, limit = policy_of(answer), limit_of(answer)

        assert answer.headers["X-RateLimit-Limit"] == policy[2]
        assert answer.headers["X-RateLimit-Remaining"] == limit[2]
        assert answer.headers["X-RateLimit-Reset"] == limit[3]


# Browser


CLEARED = {"CLEAR_SITE_DATA": ("cache", "cookies", "storage", "*")}
HEADER = '"cache", "cookies", "storage", "*"'


def log_out(phone, path="logout", *, secure=True, **body):
    """Log a phone out through Django's own client, which can do as if over HTTPS."""
    return Client(raise_request_exception=False).post(
        phone.wire.base + path,
        body,
        content_type="application/json",
        headers={"Authorization": f"Bearer {phone.access}"},
        secure=secure,
    )


@pytest.mark.standard("ASVS 14.3.1")
@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("logout", None),
        ("logout", "session"),
        ("logout", "refresh_tokens"),
        ("logout", "global"),
        ("logout/all", None),
    ],
)
def test_a_logout_over_https_tells_the_browser_what_to_clear(phone, settings, path, scope):
    settings.ACCOUNTS = CLEARED

    answer = log_out(phone, path, **({"scope": scope} if scope else {}))

    assert answer.status_code == 200
    assert answer["Clear-Site-Data"] == HEADER


@pytest.mark.standard("ASVS 14.3.1")
@pytest.mark.parametrize("named", ["access", "refresh"])
def test_a_logout_that_names_its_own_login_tells_it_too(phone, settings, named):
    settings.ACCOUNTS = CLEARED

    answer = log_out(phone, token=getattr(phone, named), scope="session")

    assert answer["Clear-Site-Data"] == HEADER


@pytest.mark.standard("ASVS 14.3.1")
@pytest.mark.parametrize("path", ["logout", "logout/all"])
def test_nothing_is_told_to_be_cleared_unless_a_host_says_so(phone, path):
    answer = log_out(phone, path)

    assert answer.status_code == 200
    assert "Clear-Site-Data" not in answer


@pytest.mark.standard("ASVS 14.3.1")
@pytest.mark.parametrize("path", ["logout", "logout/all"])
def test_nothing_is_told_to_be_cleared_without_https(phone, settings, path):
    settings.ACCOUNTS = CLEARED

    answer = log_out(phone, path, secure=False)

    assert answer.status_code == 200
    assert "Clear-Site-Data" not in answer


@pytest.mark.standard("ASVS 14.3.1")
def test_nothing_is_told_to_be_cleared_where_this_login_goes_on(clients, phone, settings):
    settings.ACCOUNTS = CLEARED
    other = clients.phone(phone.wire).log_in()

    answers = [
        log_out(phone, token=other.refresh, scope="session"),
        log_out(phone, scope="others"),
        log_out(phone, scope="unknown"),
        log_out(phone, token="x"),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 400, 401]
    for answer in answers:
        assert "Clear-Site-Data" not in answer
    assert phone.is_in


@pytest.mark.standard("ASVS 14.3.1")
@pytest.mark.parametrize("path", ["logout", "logout/all"])
def test_a_failing_logout_tells_nothing_to_be_cleared(phone, settings, path):
    settings.ACCOUNTS = CLEARED
    with table_away("drf_logout_session"):
        answer = log_out(phone, path)

    assert answer.status_code == 500
    assert "Clear-Site-Data" not in answer


@pytest.mark.standard("ASVS 14.3.2")
@pytest.mark.usefixtures("limiter")
def test_logout_answers_are_never_stored(phone):
    answers = [
        phone.call("POST", "logout"),
        phone.call("POST", "logout", bearer=expired(AccessToken, phone.access)),
        phone.call("GET", "logout"),
        phone.log_out(scope="nothing"),
        phone.log_out(),
        phone.log_out(),
        phone.log_out("logout/all"),
        *(phone.log_out() for _ in range(20)),
    ]

    expired_status = phone.wire.expired_status
    assert [answer.status_code for answer in answers[:7]] == [
        401,
        expired_status,
        405,
        400,
        200,
        200,
        200,
    ]
    assert answers[-1].status_code == 429
    for answer in answers:
        assert "no-store" in re.split(r",\s*", answer.headers["Cache-Control"])


@pytest.mark.standard("ASVS 14.2.1")
def test_a_token_or_password_in_a_url_is_worth_nothing(phone):
    login = {"grant_type": "password", "username": "ana", "password": PASSWORD}
    renewal = {"grant_type": "refresh_token", "refresh_token": phone.refresh}
    for name in ("access_token", "token", "bearer", "Authorization"):
        query = {name: phone.access}
        assert phone.call("GET", "user", params=query).status_code == 401
        assert phone.call("POST", "logout", params=query).status_code == 401
        assert phone.call("POST", "logout/all", params=query).status_code == 401

    for query in (login, renewal):
        assert phone.call("POST", "token", params=query).status_code == 400
        assert phone.call("GET", "token", params=query).status_code == 405

    assert phone.is_in


@pytest.mark.standard("ASVS 14.2.1")
def test_a_token_in_the_url_of_a_logout_names_no_login(clients, phone):
    tablet = clients.phone(phone.wire).log_in()

    phone.call(
        "POST",
        "logout",
        bearer=phone.access,
        params={"token": tablet.refresh},
        json={"scope": "session"},
    )

    assert not phone.is_in
    assert tablet.is_in


@BOTH
@pytest.mark.standard("ASVS 14.2.1")
def test_no_answer_puts_a_token_into_a_url(phone):
    answers = [phone.user(), phone.reauthenticate(), phone.renew(), phone.log_out()]

    for answer in answers:
        assert answer.status_code == 200
        assert not {"Location", "Link", "Refresh", "Content-Location"} & set(answer.headers)


# Logging

KEYS = {
    "datetime",
    "event",
    "level",
    "action",
    "object",
    "result",
    "reason",
    "status",
    "user",
    "session",
    "source_ip",
    "user_agent",
    "request_id",
}


def assert_when_and_where(entry, since):
    when = datetime.fromisoformat(entry["datetime"])
    assert when.utcoffset() == timedelta(0)
    assert since - timedelta(seconds=1) <= when <= datetime.now(UTC)
    assert entry["source_ip"] == "127.0.0.1"
    assert entry["user_agent"] == "Phone/1.0"


@pytest.fixture
def named_phone(clients, ana):
    phone = clients.phone(PLAIN)
    phone.http.headers["User-Agent"] = "Phone/1.0"
    return phone


@pytest.mark.standard("ASVS 16.2.1", "ASVS 16.2.2", "ASVS 16.3.1")
def test_success_is_logged_with_when_where_who_and_what(named_phone, ana, log):
    since = datetime.now(UTC)
    named_phone.log_in()
    sid = str(AccessToken(named_phone.access).sid)
    named_phone.renew()
    named_phone.reauthenticate()
    named_phone.log_out()

    assert [(e["action"], e["event"]) for e in log.entries] == [
        ("token", "authn_login_success"),
        ("token", "authn_token_created"),
        ("reauthenticate", "authn_login_success"),
        ("logout", "session_logout"),
        ("logout", "authn_token_revoked"),
    ]
    for entry in log.entries:
        assert_when_and_where(entry, since)
        assert (entry["result"], entry["status"]) == ("success", 200)
        assert (entry["user"], entry["session"]) == (str(ana.pk), sid)


@pytest.mark.standard("ASVS 16.2.1", "ASVS 16.2.2", "ASVS 16.3.1")
def test_failure_is_logged_with_when_where_who_and_what(named_phone, ana, log):
    named_phone.log_in()
    access = named_phone.access
    sid = str(AccessToken(access).sid)
    log.records.clear()
    since = datetime.now(UTC)

    named_phone.reauthenticate("wrong")
    named_phone.log_out(token="undefined")
    named_phone.token(grant_type="password", username="ana", password="wrong")
    named_phone.call("POST", "logout")
    named_phone.log_out()
    log.records[:] = [r for r in log.records if json.loads(r.getMessage())["result"] == "failure"]
    named_phone.user()

    entries = log.entries
    assert [(e["action"], e["event"], e["status"]) for e in entries] == [
        ("reauthenticate", "authn_login_fail", 400),
        ("logout", "session_logout", 401),
        ("token", "authn_login_fail", 400),
        ("logout", "session_logout", 401),
        ("authenticate", "session_use_after_expire", 401),
    ]
    for entry in entries:
        assert_when_and_where(entry, since)
        assert entry["result"] == "failure"
        assert entry["reason"]
    # Whoever has proved who they are is named; whoever has not is told by address and device.
    assert [entry["user"] for entry in entries] == [
        str(ana.pk),
        str(ana.pk),
        None,
        None,
        str(ana.pk),
    ]
    assert entries[0]["session"] == entries[-1]["session"] == sid


FAILING = {
    "log in": lambda phone: phone.token(**COMPLETE["password"]),
    "refresh": lambda phone: refresh(phone, phone.refresh),
    "log out": lambda phone: phone.log_out(),
    "reauthenticate": lambda phone: phone.reauthenticate(),
}


@pytest.mark.standard("ASVS 16.2.1", "ASVS 16.2.2", "ASVS 16.3.1")
@pytest.mark.parametrize("what", FAILING)
def test_a_failure_of_the_storage_is_logged_as_a_failure(phone, log, what):
    log.records.clear()

    with table_away("drf_logout_session"):
        answer = FAILING[what](phone)

    assert answer.status_code == 500
    [entry] = log.entries
    assert (entry["result"], entry["status"], entry["reason"]) == ("failure", 500, "error")


@pytest.mark.standard("ASVS 16.2.1", "ASVS 16.2.2", "ASVS 16.3.1")
def test_a_browsers_log_in_is_logged(clients, ana, log):
    clients.browser().log_in()

    [(level, entry)] = log.named("authn_login_success")
    assert level == "INFO"
    assert (entry["user"], entry["result"]) == (str(ana.pk), "success")
    assert entry["source_ip"] == "127.0.0.1"


@pytest.mark.standard("ASVS 16.2.1", "ASVS 16.2.2", "ASVS 16.3.1")
def test_a_browsers_failed_log_in_is_logged(clients, ana, log):
    answer = clients.browser().submit_log_in("ana", "wrong")
    assert answer.status_code == 200

    [(level, entry)] = log.named("authn_login_fail")
    assert level == "WARNING"
    assert entry["result"] == "failure"
    assert entry["source_ip"] == "127.0.0.1"


@pytest.mark.standard("ASVS 16.2.1", "ASVS 16.2.2", "ASVS 16.3.1", "OWASP Logging Vocabulary")
def test_a_browsers_logout_is_logged(clients, ana, log):
    browser = clients.browser().log_in()
    token = re.search(
        r'name="csrfmiddlewaretoken" value="(\w+)"', browser.call("GET", "/admin/").text
    )[1]
    browser.call("POST", "/admin/logout/", data={"csrfmiddlewaretoken": token})

    assert not browser.is_in
    [(level, entry)] = log.named("session_logout")
    assert (level, entry["result"], entry["user"]) == ("INFO", "success", str(ana.pk))


def drive_everything(clients):
    """Make every kind of request, good and bad; return all that must not be read anywhere."""
    secrets = {PASSWORD, "a wrong password"}
    for wire in (V1, PLAIN):
        phone, browser = clients.phone(wire).log_in(), clients.browser(wire).log_in()
        secrets |= {phone.access, phone.refresh, browser.session_key}
        secrets.add(expired(AccessToken, phone.access))
        phone.user()
        phone.reauthenticate()
        phone.reauthenticate("a wrong password")
        phone.token(grant_type="password", username="ana", password="a wrong password")
        phone.call("POST", "token", data={"grant_type": "password", "password": PASSWORD})
        clients.browser(wire).submit_log_in("ana", "a wrong password")
        spent = phone.refresh
        phone.renew()
        secrets |= {phone.access, phone.refresh}
        refresh(phone, spent)
        phone.call("POST", "logout", bearer=expired(AccessToken, phone.access))
        phone.call("POST", "logout", bearer=foreign(phone.access))
        phone.log_out(token=foreign(phone.refresh))
        phone.log_out(token=phone.refresh, scope="everything")
        browser.call("POST", "logout", bearer=phone.access, json={"token": phone.refresh})
        phone.user()
        refresh(phone, phone.refresh)
        phone.log_out("logout/all")
        browser.log_in()
        secrets.add(browser.session_key)
    assert "" not in secrets
    return secrets


def fail_everything(clients):
    """Make requests while the data is out of reach; return all that must not be read."""
    secrets = {PASSWORD}
    for wire in (V1, PLAIN):
        phone, browser = clients.phone(wire).log_in(), clients.browser(wire).log_in()
        secrets |= {phone.access, phone.refresh, browser.session_key}
        with table_away("drf_logout_session"):
            phone.log_out(token=phone.refresh)
            phone.user()
            phone.reauthenticate()
            refresh(phone, phone.refresh)
            phone.token(grant_type="password", username="ana", password=PASSWORD)
            phone.call("POST", "token", data=COMPLETE["password"])
            browser.call("GET", "/admin/")
    assert "" not in secrets
    return secrets


def assert_unreadable(secrets, text):
    for secret in secrets:
        assert secret not in text
        if secret.count(".") == 2:
            assert secret.rpartition(".")[2] not in text


@pytest.mark.standard("ASVS 16.2.5")
def test_no_log_at_any_level_holds_a_token_a_password_or_a_session_key(
    clients, ana, everything_logged
):
    secrets = drive_everything(clients)

    text = "\n".join(everything_logged)
    assert "session_use_after_expire" in text
    assert "Bad Request" in text
    assert_unreadable(secrets, text)


@pytest.mark.standard("ASVS 16.2.5")
def test_no_logged_sql_statement_holds_a_token_a_password_or_a_session_key(
    clients, ana, everything_logged, settings
):
    # Django then logs every statement with its parameters.
    settings.DEBUG = True
    secrets = drive_everything(clients)

    text = "\n".join(line for line in everything_logged if "django.db.backends" in line)
    for statement in ("SELECT", "INSERT", "UPDATE", "DELETE"):
        assert statement in text
    assert_unreadable(secrets, text)


@pytest.mark.standard("ASVS 16.2.5")
def test_no_log_of_a_failure_holds_a_token_a_password_or_a_session_key(
    clients, ana, everything_logged
):
    secrets = fail_everything(clients)

    text = "\n".join(everything_logged)
    assert "Internal Server Error" in text
    assert "Traceback" in text
    assert_unreadable(secrets, text)


def send_raw(server, head):
    """Send the bytes of a request as they are, which no HTTP library would; return the answer."""
    host, port = server.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection_:
        connection_.sendall(head)
        answer = b""
        while chunk := connection_.recv(65_536):
            answer += chunk
    return answer


FORGED = '{"event": "authn_login_success", "user": "admin"}'


@pytest.mark.standard("ASVS 16.4.1")
def test_line_breaks_in_a_user_agent_forge_no_entry(clients, phone, log, everything_logged):
    phone.log_out()
    log.records.clear()
    everything_logged.clear()

    head = (
        f"GET {phone.wire.base}user HTTP/1.0",
        f"Authorization: Bearer {phone.access}",
        f"User-Agent: a\r\n {FORGED}\r\n\t{FORGED}",
        f"X-Request-ID: b\r\n {FORGED}",
    )
    answer = send_raw(phone.server, "\r\n".join((*head, "", "")).encode())

    assert b" 401 " in answer.partition(b"\r\n")[0]
    [record] = log.records
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", record.getMessage())
    entry = json.loads(record.getMessage())
    assert entry["event"] == "session_use_after_expire"
    assert FORGED in entry["user_agent"]
    assert not re.search(r"[\r\n]", entry["user_agent"])
    assert not re.search(r"[\r\n]", entry["request_id"])
    assert FORGED not in entry["request_id"]


@pytest.mark.standard("ASVS 16.4.1")
@pytest.mark.parametrize("line_break", ["\r\n", "\n", "\r", "\x85", "\u2028", "\x1b[2K"])
def test_control_characters_in_a_user_agent_forge_no_entry(clients, ana, log, line_break):
    phone = clients.phone()
    phone.log_in()
    head = f"POST {phone.wire.base}logout HTTP/1.0\r\nAuthorization: Bearer {phone.access}\r\n"
    agent = f"User-Agent: x{line_break} {FORGED}\r\n\r\n"
    log.records.clear()

    send_raw(phone.server, head.encode() + agent.encode())

    assert log.records
    for record in log.records:
        message = record.getMessage()
        assert message.isascii()
        assert message.isprintable()
        assert json.loads(message).keys() == KEYS
    assert {e["event"] for e in log.entries} <= {"session_logout", "authn_token_revoked"}
    for event in LogoutEvent.objects.all():
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", event.user_agent)


@pytest.mark.standard("ASVS 16.4.1")
@pytest.mark.urls("tests.test_conformance")
@pytest.mark.parametrize("line_break", ["%0d%0a", "%0a", "%C2%85", "%E2%80%A8", "%1b%5b2K", "%00"])
def test_line_breaks_in_a_path_forge_no_entry(phone, log, everything_logged, line_break):
    phone.log_out()
    log.records.clear()
    everything_logged.clear()

    answer = phone.call("GET", f"/echo/x{line_break}FORGED", bearer=phone.access)

    assert answer.status_code == 401
    [record] = log.records
    message = record.getMessage()
    assert message.isascii()
    assert message.isprintable()
    assert json.loads(message)["event"] == "session_use_after_expire"
    for line in "\n".join(everything_logged).splitlines():
        assert not line.startswith("FORGED")


@pytest.fixture
def event(clients, ana):
    clients.phone(PLAIN).log_in().log_out()
    return LogoutEvent.objects.get()


def save(event):
    event.username = "eve"
    event.save()


def save_some_fields(event):
    event.username = "eve"
    event.save(update_fields=["username"])


def save_over(event):
    LogoutEvent(
        pk=event.pk,
        username="eve",
        scope=event.scope,
        sessions_ended=0,
        tokens_revoked=0,
    ).save()


def upsert(event):
    event.username = "eve"
    LogoutEvent.objects.bulk_create(
        [event], update_conflicts=True, unique_fields=["id"], update_fields=["username"]
    )


def bulk_update(event):
    event.username = "eve"
    LogoutEvent.objects.bulk_update([event], ["username"])


CHANGES = {
    "save": save,
    "save of some fields": save_some_fields,
    "save of another under the same key": save_over,
    "delete": lambda event: event.delete(),
    "update": lambda event: LogoutEvent.objects.update(username="eve"),
    "filtered update": lambda event: LogoutEvent.objects.filter(pk=event.pk).update(username="eve"),
    "delete of all": lambda event: LogoutEvent.objects.all().delete(),
    "update or create": lambda event: LogoutEvent.objects.update_or_create(
        pk=event.pk, defaults={"username": "eve"}
    ),
    "bulk update": bulk_update,
    "bulk create over it": upsert,
}


@pytest.mark.standard("ASVS 16.4.2")
@pytest.mark.parametrize("how", CHANGES)
def test_an_entry_of_the_record_cannot_be_changed_or_deleted(event, how):
    before = LogoutEvent.objects.values().get()

    with pytest.raises((AppendOnly, IntegrityError)):
        CHANGES[how](event)

    assert LogoutEvent.objects.values().get() == before


@pytest.mark.standard("ASVS 16.4.2")
def test_an_entry_of_the_record_outlives_its_user(event, ana):
    before, key = LogoutEvent.objects.values().get(), ana.pk

    ana.delete()

    assert LogoutEvent.objects.values().get() == before
    assert (before["user_id"], before["username"]) == (key, "ana")


@pytest.mark.standard("OWASP Logging Vocabulary")
def test_a_logout_is_logged_as_session_logout_and_token_revoked(phone, log):
    phone.log_out()

    for event in ("session_logout", "authn_token_revoked"):
        [(level, entry)] = log.named(event)
        assert (level, entry["level"], entry["result"]) == ("INFO", "INFO", "success")


@pytest.mark.standard("OWASP Logging Vocabulary")
def test_a_logout_that_revokes_nothing_is_not_logged_as_a_revocation(phone, log):
    phone.log_out()
    log.records.clear()

    phone.log_out()

    assert log.named("authn_token_revoked") == []
    [(level, entry)] = log.named("session_logout")
    assert (level, entry["result"], entry["status"]) == ("INFO", "success", 200)


EXPIRED = {
    "a bearer at logout": lambda phone: phone.call(
        "POST", "logout", bearer=expired(AccessToken, phone.access)
    ),
    "a bearer at logout of all": lambda phone: phone.call(
        "POST", "logout/all", bearer=expired(AccessToken, phone.access)
    ),
    "a token at logout": lambda phone: phone.log_out(token=expired(RefreshToken, phone.refresh)),
    "a refresh": lambda phone: refresh(phone, expired(RefreshToken, phone.refresh)),
}


@pytest.mark.standard("OWASP Logging Vocabulary")
@pytest.mark.parametrize("case", EXPIRED)
def test_an_expired_login_is_logged_as_session_expired(phone, log, case):
    log.records.clear()

    assert EXPIRED[case](phone).status_code >= 400

    [(level, entry)] = log.named("session_expired")
    assert (level, entry["level"], entry["result"]) == ("INFO", "INFO", "failure")
    assert len(log.records) == 1


@pytest.mark.standard("OWASP Logging Vocabulary")
def test_a_rotated_refresh_token_that_comes_back_is_logged_as_token_reuse(
    phone, ana, log, after_grace
):
    spent = phone.refresh
    phone.renew()
    after_grace()
    log.records.clear()

    refresh(phone, spent)

    [(level, entry)] = log.named("authn_token_reuse")
    assert (level, entry["level"], entry["result"]) == ("CRITICAL", "CRITICAL", "failure")
    assert entry["user"] == str(ana.pk)
    assert entry["session"] == str(RefreshToken(spent).sid)
    [(level, entry)] = log.named("session_logout")
    assert (level, entry["reason"]) == ("INFO", "token_reused")
    assert len(log.records) == 2


AFTER_THE_END = {
    "its access token": lambda phone: phone.user(),
    "its refresh token": lambda phone: refresh(phone, phone.refresh),
    "its access token for reauthentication": lambda phone: phone.reauthenticate(),
}


@pytest.mark.standard("OWASP Logging Vocabulary")
@pytest.mark.parametrize("case", AFTER_THE_END)
def test_use_of_an_ended_login_is_logged_as_session_use_after_expire(phone, ana, log, case):
    phone.log_out()
    log.records.clear()

    assert AFTER_THE_END[case](phone).status_code in {400, 401}

    [(level, entry)] = log.named("session_use_after_expire")
    assert (level, entry["level"], entry["result"]) == ("CRITICAL", "CRITICAL", "failure")
    assert entry["user"] == str(ana.pk)
    assert entry["session"] == str(AccessToken(phone.access).sid)


@pytest.mark.standard("OWASP Logging Vocabulary")
def test_a_refused_flood_is_logged_as_such(phone, limiter, log):
    for _ in range(21):
        phone.log_out()

    [(_, entry)] = log.named("excess_rate_limit_exceeded")
    assert (entry["action"], entry["result"], entry["status"]) == ("logout", "failure", 429)


@pytest.mark.standard("OWASP Logging Cheat Sheet")
def test_an_entry_says_what_was_done_to_what_how_it_ended_and_why(clients, ana, log):
    statuses = set()
    ids = []

    def numbered(call, *args, **kwargs):
        request_id = uuid.uuid4().hex
        phone.http.headers["X-Request-ID"] = request_id
        seen = len(log.records)
        status = call(*args, **kwargs).status_code
        statuses.add(status)
        assert len(log.records) > seen
        for entry in log.entries[seen:]:
            assert entry.keys() == KEYS
            assert entry["status"] == status
            assert entry["request_id"] == request_id
            assert entry["result"] == ("success" if status == 200 else "failure")
            for key in ("action", "object", "reason"):
                assert isinstance(entry[key], str)
                assert entry[key]
        ids.append(request_id)

    phone = clients.phone(V1).log_in()
    numbered(phone.token, grant_type="password", username="ana", password=PASSWORD)
    numbered(phone.token, grant_type="password", username="ana", password="wrong")
    numbered(phone.token, grant_type="unknown")
    numbered(phone.token)
    numbered(phone.renew)
    numbered(phone.reauthenticate)
    numbered(phone.reauthenticate, "wrong")
    numbered(phone.log_out, scope="unknown")
    numbered(phone.log_out, token="undefined")
    numbered(phone.call, "POST", "logout")
    numbered(phone.call, "GET", "logout")
    numbered(phone.call, "POST", "logout", bearer=expired(AccessToken, phone.access))
    with table_away("drf_logout_session"):
        numbered(phone.log_out)
    numbered(phone.log_out)
    numbered(phone.log_out)
    numbered(phone.user)

    assert statuses == {200, 400, 401, 403, 405, 500}
    assert LogoutEvent.objects.get().request_id in ids


@pytest.mark.standard("OWASP Logging Cheat Sheet")
def test_a_request_without_an_id_gets_one(phone, log):
    phone.log_out()
    phone.log_out()

    first, second = {entry["request_id"] for entry in log.entries[-3:]}
    assert len(first) == len(second) == 32
