"""What a host's users do with the app, whatever they are: run in the host's own process."""

from __future__ import annotations

import logging

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.html import escape
from rest_framework_simplejwt.tokens import RefreshToken as SimpleJWTRefreshToken

from accounts.models import LogoutEvent, Session, TokenVersion

API = "/api/v1/auth"
PASSWORD = "password123"
SCOPES = ("session", "others", "refresh_tokens", "global")


class Phone:
    """A client of the API, logged in."""

    def __init__(self, user, **tokens):
        self._client = Client(SERVER_NAME="localhost", headers={"user-agent": "Phone/1"})
        self.access, self.refresh = tokens.get("access"), tokens.get("refresh")
        if not tokens:
            self._take(grant_type="password", username=str(user.get_username()), password=PASSWORD)

    def _take(self, **grant):
        answer = self._client.post(f"{API}/token", grant, content_type="application/json")
        assert answer.status_code == 200, answer.content
        self.access, self.refresh = (
            answer.json()[f"{kind}_token"] for kind in ("access", "refresh")
        )

    def rotate(self):
        self._take(grant_type="refresh_token", refresh_token=self.refresh)

    def ask(self, method, path, **body):
        return getattr(self._client, method)(
            f"{API}/{path}",
            body or None,
            content_type="application/json",
            headers={"authorization": f"Bearer {self.access}"},
        )

    @property
    def is_in(self):
        status = self.ask("get", "user").status_code
        assert status in {200, 401}
        return status == 200


def log_in_and_out(user):
    """Log in by the API, and out by each scope; each end is on record, in the user's name."""
    for scope in SCOPES:
        phone, laptop = Phone(user), Phone(user)
        phone.rotate()
        shown = phone.ask("get", "user").json()
        assert shown["id"] in {user.pk, str(user.pk)}, shown

        with CaptureQueriesContext(connection) as queries:
            answer = phone.ask("post", "logout", scope=scope)

        if scope in {"session", "refresh_tokens"}:
            # All of it, beside Django's own reading and counting.
            [statement] = [sql["sql"] for sql in queries if "INSERT" in sql["sql"]]
            assert "DELETE" in statement, statement
        assert (answer.status_code, list(answer.json())) == (200, ["detail"]), (
            scope,
            answer.content,
        )
        assert phone.is_in == (scope == "others"), scope
        assert laptop.is_in == (scope in {"session", "refresh_tokens"}), scope
        event = LogoutEvent.objects.latest("pk")
        assert (event.user, event.username) == (user, str(user.get_username())[:254])
        assert (event.scope, event.reason, event.sessions_ended) == (
            scope,
            "logout",
            2 if scope == "global" else 1,
        )
        assert phone.ask("post", "logout/all").status_code in {200, 401}
        if laptop.is_in:
            listed = laptop.ask("get", "sessions").json()["results"]
            assert [login["current"] for login in listed] == [True], listed
            assert laptop.ask("delete", f"sessions/{listed[0]['id']}").status_code in {200, 204}
        assert not laptop.is_in
        Session.objects.all().delete()


def be_refused():
    """Try names that are nobody's."""
    client = Client(SERVER_NAME="localhost")
    for name in ({"username": "nobody"}, {"email": "nobody@example.com"}, {"username": "7"}):
        grant = {"grant_type": "password", "password": PASSWORD, **name}
        answer = client.post(f"{API}/token", grant, content_type="application/json")
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    form = {"username": "nobody", "password": PASSWORD}
    assert client.post("/account/login", form).status_code == 200


def browse(user):
    """Log in by the page, and out."""
    browser = Client(SERVER_NAME="localhost")
    form = {"username": str(user.get_username()), "password": PASSWORD}
    assert browser.post("/account/login", form).status_code == 302
    assert browser.get("/account/sessions").status_code == 200
    assert browser.post("/account/logout").status_code in {200, 302}
    assert not Session.objects.of(user).exists()
    event = LogoutEvent.objects.latest("pk")
    assert (event.user, event.username) == (user, str(user.get_username())[:254])


def administer(admin, user):
    """Find the user's login and its end in Django's admin, and end it there."""
    browser = Client(SERVER_NAME="localhost")
    browser.force_login(admin)
    name, phone = str(user.get_username()), Phone(user)
    for path in ("session", "logoutevent"):
        page = browser.get(f"/admin/drf_logout/{path}/", {"q": name[:3]})
        assert page.status_code == 200
        assert escape(name[:200]) in page.content.decode()
    logins = browser.get("/admin/drf_logout/session/", {"user": user.pk})
    assert logins.status_code == 200
    assert logins.context_data["cl"].result_count == 1
    people = f"/admin/{user._meta.app_label}/{user._meta.model_name}/"
    assert browser.get(f"{people}{user.pk}/change/").status_code == 200
    action = {"action": "log_out_everywhere", "_selected_action": user.pk}
    assert browser.post(people, action).status_code == 200
    answer = browser.post(people, {**action, "confirmed": "yes", "post": "yes"})
    assert answer.status_code == 302, answer.content
    assert not phone.is_in
    assert LogoutEvent.objects.latest("pk").actor == admin


def command(user, names):
    """End the user's logins by commands, whatever they are named by."""
    for option, name in names.items():
        phone = Phone(user)
        call_command("end_sessions", option, name)
        assert not phone.is_in, name
        assert LogoutEvent.objects.latest("pk").user == user
    phone = Phone(user)
    call_command("end_sessions", "--all", "--no-input")
    assert not phone.is_in
    call_command("prune_accounts")


def mint(user):
    """Take a token that plain SimpleJWT has minted, and log it out."""
    for scope in SCOPES:
        # As if all had ended a while ago.
        TokenVersion.objects.filter(user=user).update(version=F("version") - 2)
        stock = SimpleJWTRefreshToken.for_user(user)
        phone = Phone(user, access=str(stock.access_token), refresh=str(stock))
        assert phone.is_in
        assert phone.ask("post", "logout", scope=scope).status_code == 200
        assert phone.is_in == (scope == "others"), scope


def leave(user):
    """Lose what a deactivated user has, and keep the name of one who is deleted on record."""
    everyone = get_user_model()._base_manager
    name = str(user.get_username())
    phone = Phone(user)
    user.is_active = False
    user.save()
    assert not phone.is_in
    assert not Session.objects.of(user).exists()
    user.is_active = True
    user.save()
    phone = Phone(user)
    everyone.get(pk=user.pk).delete()
    assert not phone.is_in
    event = LogoutEvent.objects.latest("pk")
    assert (event.user, event.username, event.reason) == (None, name[:254], "user_deleted")


def live(*, admin, user, names):
    """Do all of it."""
    logging.disable()
    log_in_and_out(user)
    be_refused()
    browse(user)
    administer(admin, user)
    command(user, names)
    mint(user)
    leave(user)
