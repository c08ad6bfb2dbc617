"""The pages of reference: their requests get the answers, and their lines do what they say."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from io import StringIO
from itertools import pairwise

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.checks import run_checks
from django.core.management import call_command
from django.test import Client
from django.urls import include, path

from accounts import services
from accounts.clients import ClientInfo
from accounts.conf import conf
from accounts.models import Session
from accounts.signals import login_ended
from tests.documents import blocks, code, commands, run

pytestmark = pytest.mark.django_db

HTTP_API = "docs/reference/http-api.md"
# What is another each time.
VARYING = {
    "access_token",
    "refresh_token",
    "timestamp",
    "created_at",
    "last_seen_at",
    "expires_at",
    "jti",
    "exp",
    "iat",
    "sid",
    "keys",
}


# HTTP API


@pytest.fixture
def ana():
    return get_user_model().objects.create_user("ana", "ana@example.com", "password123", pk=1)


@pytest.fixture
def login(ana):
    """The login of the page, with the id that it has there."""
    device = ClientInfo(ip_address="127.0.0.1", user_agent="python-requests/2.34.2")
    return services.log_in(user=ana, client=device)


def messages():
    """Return each request of the page with the answer below it."""
    shown = blocks(HTTP_API, "http")
    for before, after in pairwise(shown):
        if after.text.startswith("HTTP/") and not before.text.startswith("HTTP/"):
            yield pytest.param(before.text, after.text, id=before.text.splitlines()[0])


def parsed(message):
    """Return the first line of a message, its headers, and its body."""
    head, _, body = message.strip().partition("\n\n")
    first, *headers = head.splitlines()
    return first, dict(header.split(": ", 1) for header in headers), body


def in_general(body):
    """Leave out of a body what is another each time."""
    return json.loads(
        body, object_hook=lambda found: found | dict.fromkeys(VARYING & found.keys(), "…")
    )


def basic(*arguments):
    """Register a client, and return how it authenticates."""
    output = StringIO()
    call_command("create_client", *arguments, stdout=output)
    client_id, secret = (line.partition("=")[2] for line in output.getvalue().splitlines())
    return f"Basic {b64encode(f'{client_id}:{secret}'.encode()).decode()}"


def attributes(cookie):
    """Return what a cookie says of itself, beside its value and the date of its end."""
    _, *said = cookie.split("; ")
    return {text for text in said if not text.startswith("expires=")}


@pytest.mark.parametrize(("request_", "answer"), list(messages()))
def test_a_request_of_the_page_gets_the_answer_of_the_page(login, request_, answer, settings):
    settings.ACCOUNTS = {"REFRESH_COOKIE": {}}
    first, headers, sent = parsed(request_)
    method, address = first.split()
    sid = str(Session.objects.get().sid)
    shown = re.sub(r"[0-9a-f]{8}-[-0-9a-f]{27}", sid, address)
    if "Authorization" in headers:
        headers["Authorization"] = headers["Authorization"].replace("eyJhb…", str(login.access))

    if headers.get("Authorization", "").startswith("Basic"):
        headers["Authorization"] = basic("orders", "--may-revoke")
    sent = sent.replace("eyJhb…", str(login.refresh if "refresh" in sent else login.access))
    kind = headers.pop("Content-Type", "")
    got = Client().generic(method, shown, sent, kind, secure=True, headers=headers)

    first, headers, body = parsed(re.sub(r"[0-9a-f]{8}-[-0-9a-f]{27}", sid, answer))
    assert first == f"HTTP/1.1 {got.status_code} {got.reason_phrase}"
    if cookie := headers.pop("Set-Cookie", ""):
        name, _ = cookie.split("=", 1)
        assert attributes(got.cookies[name].output(header="")) == attributes(cookie)
    for name, value in headers.items():
        shown = re.escape(re.sub("t=[0-9]+", "t=…", value)).replace("…", ".+")
        assert re.fullmatch(shown, got[name])
    assert bool(body) == bool(got.content)
    if body:
        assert in_general(got.content) == in_general(body)


def test_the_headers_of_the_limit_are_those_of_the_page(login):
    [text] = code(HTTP_API, "http", "Rate limit")
    answer = Client().generic(
        "POST", "/logout", headers={"Authorization": f"Bearer {login.access}"}
    )
    for line in text.splitlines():
        name, value = line.split(": ", 1)
        pattern = re.escape(value).replace("t=300", r"t=\d+")
        assert re.fullmatch(r"\d+" if name.endswith("Reset") else pattern, answer[name])


def test_the_routes_of_the_page_are_served(settings, login):
    *mounts, well_known = code(HTTP_API, "python")
    settings.ROOT_URLCONF = run(well_known, path=path, include=include)
    assert Client().get("/.well-known/jwks.json").json() == {"keys": []}  # it signs by HMAC
    for text, prefix in zip(mounts, ("/api/v1/auth", "/auth"), strict=True):
        settings.ROOT_URLCONF = run(text, path=path, include=include)
        pair = services.log_in(user=get_user_model().objects.get(), client=ClientInfo())
        bearer = {"Authorization": f"Bearer {pair.access}"}
        answer = Client().generic("POST", f"{prefix}/logout", headers=bearer)
        assert answer.json() == {"detail": "Logout successful"}
    assert not Session.objects.exists()  # the second one's scope is global


# Commands


@pytest.mark.django_db(transaction=True)
def test_a_command_says_what_the_page_says(ana, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # a key is written there
    for _ in range(2):
        services.log_in(user=ana, client=ClientInfo())
    said = {}
    for words, answer in commands("docs/reference/commands.md"):
        call_command(*words[words.index("manage.py") + 1 :])
        said[" ".join(words[2:])] = (capsys.readouterr().out.strip(), answer)
    assert len(said) == 7
    for command, (got, shown) in said.items():
        if command.startswith("create_"):
            assert re.match(re.escape(shown).replace("…", ".+"), got)
            continue
        counted = command.startswith("end_sessions")
        hide = "$^" if counted else r"\d+"
        assert re.sub(hide, "N", got) == re.sub(hide, "N", shown)


# Services and signals


@pytest.mark.django_db(transaction=True)
def test_the_mail_of_the_page_is_sent_when_a_token_comes_back(login, after_grace):
    mails = []
    [text] = code("docs/reference/services.md", "python", "The signal")
    receiver = run(text, mail=lambda *mail: mails.append(mail)).tell_the_user
    try:
        services.refresh(token=login.refresh, client=ClientInfo())
        after_grace()
        grant = {"grant_type": "refresh_token", "refresh_token": str(login.refresh)}
        assert Client().post("/token", grant, "application/json").status_code == 400
    finally:
        login_ended.disconnect(receiver)
    assert [person.get_username() for person, _ in mails] == ["ana"]


def test_the_limit_of_the_page_limits_a_view_of_the_host(settings, login):
    [text] = code("docs/reference/services.md", "python", "In your views")
    routes = "urlpatterns = [path('export', View.as_view())]"
    settings.ROOT_URLCONF = run(routes, path=path, View=run(text).ExportView)
    bearer = {"Authorization": f"Bearer {login.access}"}

    answer = Client().get("/export", headers=bearer)

    assert (answer.status_code, answer.json()) == (200, {"orders": []})
    assert answer["RateLimit-Policy"] == '"export";q=20;w=300'


# Settings


def test_the_settings_of_the_page_are_right(settings):
    [text] = code("docs/reference/settings.md", "python")
    settings.ACCOUNTS = run(text).ACCOUNTS
    assert conf.max_sessions == 5
    assert conf.idle_timeout.total_seconds() == 3600
    assert run_checks() == []


# Admin


def test_the_user_admin_of_the_page_ends_logins(admin_user, rf):
    [text] = code("docs/reference/admin.md", "python")
    users = run(text, __name__="shop.admin").UserAdmin(get_user_model(), admin.site)
    request = rf.get("/")
    request.user = admin_user
    assert {"log_out_everywhere", "secure_accounts"} <= users.get_actions(request).keys()
