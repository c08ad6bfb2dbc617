"""Nothing that logs anybody in is found at rest or in sight."""

from __future__ import annotations

import logging
from datetime import timedelta
from email.message import EmailMessage

import django
import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.urls import include, path
from django.utils.log import AdminEmailHandler
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken as PlainRefreshToken
from rest_framework_simplejwt.views import (
    TokenBlacklistView,
    TokenObtainPairView,
    TokenRefreshView,
)

from accounts.models import LogoutEvent, Session, TokenVersion
from accounts.tokens import AccessToken, RefreshToken
from tests.conftest import PASSWORD
from tests.http import PLAIN, V1, dump, table_away

ADMIN_PASSWORD = "a long password of the administrator"


class HostView(APIView):
    """A protected route of a host project."""

    def get(self, request):
        """Answer."""
        return Response({})


urlpatterns = [
    path("host", HostView.as_view()),
    path("stock/token/", TokenObtainPairView.as_view()),
    path("stock/token/refresh/", TokenRefreshView.as_view()),
    path("stock/token/blacklist/", TokenBlacklistView.as_view()),
    path("", include("authproject.urls")),
]


class Secrets(set):
    """What would log somebody in; every test adds to it what it was given."""

    def found_in(self, text):
        """Return what can be read in a text: a secret, or the signature that only it has."""
        return {
            secret
            for secret in self
            if secret in text or (secret.count(".") == 2 and secret.rpartition(".")[2] in text)
        }

    def keep(self, *clients):
        """Add what these clients have now."""
        for client in clients:
            self.update(
                getattr(client, name)
                for name in ("access", "refresh", "session_key")
                if getattr(client, name, "")
            )


@pytest.fixture
def admin(clients, db):
    get_user_model().objects.create_superuser("root", "root@example.com", ADMIN_PASSWORD)
    return clients.browser().log_in("root", ADMIN_PASSWORD)


@pytest.fixture
def secrets(clients, ana, stranger):
    """Live through a day of logins, refreshes, logouts and browser sessions."""
    secrets = Secrets({PASSWORD, "a wrong password"})
    for wire in (V1, PLAIN):
        phone, tablet = clients.phone(wire).log_in(), clients.phone(wire).log_in()
        strangers = clients.phone(wire).log_in("eve")
        browser, other = clients.browser(wire).log_in(), clients.browser(wire).log_in()
        anonymous = clients.browser(wire)
        anonymous.call("GET", "/admin/login/")
        devices = (phone, tablet, strangers, browser, other)
        secrets.keep(*devices)

        expired = AccessToken(phone.access)
        expired.set_exp(lifetime=-timedelta(minutes=1))
        secrets.add(str(expired))
        spent = phone.refresh
        for device in (phone, tablet, strangers):
            assert device.user().status_code == 200
            assert device.renew().status_code == 200
        assert phone.reauthenticate().status_code == 200
        secrets.keep(*devices)
        phone.reauthenticate("a wrong password")
        phone.token(grant_type="password", username="ana", password="a wrong password")
        phone.token(grant_type="refresh_token", refresh_token=spent)
        phone.call("POST", "logout", bearer=str(expired), json={"token": strangers.refresh})

        assert phone.log_out(token=tablet.refresh, scope="session").status_code == 200
        answer = browser.call("POST", "logout", bearer=phone.access, json={"scope": "session"})
        assert answer.status_code == 200
        for scope in ("others", "refresh_tokens", "global"):
            phone.log_in()
            secrets.keep(phone)
            assert phone.log_out(scope=scope).status_code == 200
        secrets.keep(phone.log_in(), browser.log_in())
    return secrets


def test_nothing_at_rest_holds_a_secret(secrets):
    """No row of any table, no session in what it encodes, and no model in its words."""
    tables = dump()

    for table in (
        "drf_logout_session",
        "drf_logout_logoutevent",
        "token_blacklist_outstandingtoken",
    ):
        assert tables[table]
    for table, rows in tables.items():
        assert not secrets.found_in("\n".join(rows)), table

    sessions = Session.objects.filter(kind=Session.Kind.BROWSER)
    assert sessions

    for session in sessions:
        assert not secrets.found_in(repr(session.get_decoded()))

    seen = set()
    for model in apps.get_models():
        for row in model._default_manager.all():
            seen.add(model)
            words = [str(row), repr(row), f"{row}", "%s" % row]  # noqa: UP031 - each way to print
            assert not secrets.found_in(" ".join(words)), model

    assert {Session, TokenVersion, LogoutEvent, OutstandingToken, BlacklistedToken} <= seen


def test_the_value_of_a_session_cookie_is_not_the_key_of_its_row(clients, ana):
    browser = clients.browser().log_in()

    assert browser.session_key
    assert not Session.objects.filter(pk=browser.session_key).exists()


def test_what_is_stored_as_a_session_key_opens_no_session(clients, ana):
    clients.browser().log_in()
    clients.phone().log_in()

    for session in Session.objects.all():
        for stored in (session.session_key, str(session.sid), session.sid.hex):
            thief = clients.browser()
            thief.http.cookies.set("sessionid", stored)
            assert not thief.is_in


def test_no_words_of_a_session_or_an_event_hold_the_key_of_a_row(clients, ana):
    browser, phone = clients.browser().log_in(), clients.phone().log_in()
    cookie = browser.session_key
    assert cookie
    stored = Session.objects.get(kind=Session.Kind.BROWSER).session_key
    browser.call("POST", "logout", bearer=phone.access)

    clients.browser().log_in()
    rows = [*LogoutEvent.objects.all(), *Session.objects.all()]
    assert len(rows) == 2
    words = " ".join(f"{row} {row!r}" for row in rows)
    assert stored not in words
    assert rows[1].session_key not in words
    assert cookie not in words


def test_a_repr_of_a_token_or_a_pair_of_tokens_holds_no_raw_token(clients, ana):
    phone = clients.phone().log_in()

    for token in (AccessToken(phone.access), RefreshToken(phone.refresh)):
        assert phone.access.rpartition(".")[2] not in repr(token)
        assert phone.refresh.rpartition(".")[2] not in repr(token)


def test_no_page_of_the_admin_holds_a_secret_or_the_key_of_a_session(admin, secrets):
    secrets.add(ADMIN_PASSWORD)
    secrets.keep(admin)
    keys = {session.session_key for session in Session.objects.filter(kind="browser")}
    assert keys
    pages = ["/admin/", "/admin/auth/user/", "/admin/drf_logout/session/"]
    for model in (LogoutEvent, OutstandingToken, BlacklistedToken):
        base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        rows = list(model._default_manager.values_list("pk", flat=True)[:2])
        assert rows
        pages += [base, f"{base}?q=ana"]
        pages += [f"{base}{pk}/{view}/" for pk in rows for view in ("change", "history")]

    for page in pages:
        answer = admin.call("GET", page)

        assert answer.status_code == 200, page
        assert not secrets.found_in(answer.text), page
        assert not any(key in answer.text for key in keys), page


# SimpleJWT's own ways


@pytest.mark.parametrize(
    "act",
    [
        lambda token: None,
        lambda token: token.outstand(),
        lambda token: token.blacklist(),
    ],
    ids=["for_user", "outstand", "blacklist"],
)
def test_simplejwts_own_token_leaves_nothing_raw_behind(user, act):
    token = PlainRefreshToken.for_user(user)
    act(token)

    row = OutstandingToken.objects.get(jti=token["jti"])
    assert row.token == ""
    assert row.user == user
    secrets = Secrets({str(token), str(token.access_token)})
    assert not secrets.found_in(str(dump()))


def test_a_token_that_simplejwt_has_never_seen_is_blacklisted_without_its_raw_text(user):
    token = PlainRefreshToken()
    token["sub"] = str(user.pk)

    token.blacklist()

    assert BlacklistedToken.objects.get().token.token == ""
    assert not Secrets({str(token)}).found_in(str(dump()))


def test_a_raw_token_that_is_written_into_the_row_by_hand_is_not_kept(user):
    token = PlainRefreshToken.for_user(user)
    row = OutstandingToken.objects.get(jti=token["jti"])

    row.token = str(token)
    row.save()

    assert OutstandingToken.objects.get().token == ""


@pytest.mark.urls("tests.test_secrets")
def test_simplejwts_own_views_leave_nothing_raw_behind(clients, ana):
    client = clients.phone(PLAIN)

    def post(name, **body):
        return client.call("POST", f"/stock/{name}", json=body)

    first = post("token/", username="ana", password=PASSWORD).json()
    second = post("token/refresh/", refresh=first["refresh"]).json()
    assert client.call("GET", "user", bearer=second["access"]).status_code == 200
    assert post("token/blacklist/", refresh=second["refresh"]).status_code == 200
    assert client.call("GET", "user", bearer=second["access"]).status_code == 401

    secrets = Secrets({PASSWORD, *first.values(), *second.values()})
    assert len(secrets) == 5
    assert set(OutstandingToken.objects.values_list("token", flat=True)) == {""}
    for table, rows in dump().items():
        assert not secrets.found_in("\n".join(rows)), table


# Reports of errors

FAILING = {
    "log in by form": lambda phone: phone.call(
        "POST",
        "token",
        data={"grant_type": "password", "username": "ana", "password": PASSWORD},
    ),
    "log in by JSON": lambda phone: phone.token(
        grant_type="password", username="ana", password=PASSWORD
    ),
    "refresh by form": lambda phone: phone.call(
        "POST",
        "token",
        data={"grant_type": "refresh_token", "refresh_token": phone.refresh},
    ),
    "refresh by JSON": lambda phone: phone.token(
        grant_type="refresh_token", refresh_token=phone.refresh
    ),
    "log out": lambda phone: phone.log_out(),
    "log out by token": lambda phone: phone.log_out(token=phone.refresh),
    "who am I": lambda phone: phone.user(),
    "reauthenticate": lambda phone: phone.reauthenticate(),
    "a view of the host": lambda phone: phone.call("GET", "/host", bearer=phone.access),
    "look at the admin": lambda phone: phone.browser.call("GET", "/admin/"),
}


@pytest.fixture
def reports(settings, mailoutbox):
    """Send the administrators a report of every error, with all that Django puts into one."""
    root = "root@example.com"
    settings.ADMINS = [("Root", root) if django.VERSION < (6,) else root]
    handler = AdminEmailHandler(include_html=True)
    handler.setLevel(logging.ERROR)
    logger = logging.getLogger("django.request")
    logger.addHandler(handler)
    yield mailoutbox
    logger.removeHandler(handler)


def text_of(mail):
    message: EmailMessage = mail.message()
    return "\n".join(
        part.get_payload(decode=True).decode()
        for part in message.walk()
        if part.get_content_maintype() == "text"
    )


@pytest.mark.urls("tests.test_secrets")
@pytest.mark.parametrize("what", FAILING)
def test_a_report_of_an_error_holds_no_secret(clients, ana, reports, what):
    phone = clients.phone(PLAIN).log_in()
    phone.browser = clients.browser(PLAIN).log_in()
    secrets = Secrets({PASSWORD})
    secrets.keep(phone, phone.browser)

    with table_away("drf_logout_session"):
        assert FAILING[what](phone).status_code == 500

    assert reports
    for mail in reports:
        text = text_of(mail)
        assert "Traceback" in text
        assert not secrets.found_in(text)
