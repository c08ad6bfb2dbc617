"""The pages for tasks: what each says to write is written, and does what the page says."""

from __future__ import annotations

import json
import logging
import logging.config
import re
import subprocess
from contextlib import contextmanager

import pytest
import requests
from django.core.cache import caches
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import include, path
from rest_framework.test import APIRequestFactory

from accounts.api import urls, views
from accounts.clients import ClientInfo
from accounts.models import LogoutEvent, Session
from accounts.tokens import decode_access
from tests.documents import DOCS, code, commands, run
from tests.host import PATIENCE, first_answer, free_port
from tests.http import PASSWORD, curl
from tests.servers import needed

pytestmark = pytest.mark.django_db


@pytest.fixture
def mount(settings):
    """Serve the routes of a block."""

    def serve(text, **names):
        settings.ROOT_URLCONF = run(text, path=path, include=include, **names)

    return serve


def post(url, **body):
    return Client().post(url, body, content_type="application/json")


def log_in(url="/token"):
    answer = post(url, grant_type="password", username="ana", password=PASSWORD)
    assert answer.status_code == 200
    return answer.json()


# Mount one endpoint alone


def test_one_endpoint_works_beside_the_hosts_own_views(mount, user):
    [text] = code("docs/how-to/one-endpoint.md", "python")
    mount(text)
    tokens = post("/api/token/", username="ana", password=PASSWORD).json()

    [(words, answer)] = commands("docs/how-to/one-endpoint.md")

    assert curl(words, ACCESS=tokens["access"]).json() == json.loads(answer)
    assert post("/api/token/refresh/", refresh=tokens["refresh"]).status_code == 401
    assert LogoutEvent.objects.get().scope == "session"


def test_the_page_of_one_endpoint_has_each_of_them(mount):
    page = (DOCS / "how-to" / "one-endpoint.md").read_text()
    named = dict(re.findall(r"^\| `(\w+View)` \| `[A-Z]+ ([^`]+)`", page, flags=re.MULTILINE))
    assert named == {view.__name__: route for route, view, _ in urls.ROUTES}
    assert all(hasattr(views, name) for name in named)


# Write a contract of your own


@pytest.fixture
def own(mount):
    [text] = code("docs/how-to/contract.md", "python")
    mount(text)


def test_a_contract_of_the_hosts_own_speaks_as_it_says(own, phone, laptop):
    logout, refused = commands("docs/how-to/contract.md")
    for words, answer in (logout, refused):
        assert curl(words, ACCESS=str(phone.access)).json() == json.loads(answer)
    assert not Session.objects.exists()  # the laptop's, too


def test_the_hosts_words_come_before_ours(phone, settings, tmp_path):
    folder = tmp_path / "en" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    head = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\n'
    (folder / "django.po").write_text(head + code("docs/how-to/contract.md", "po")[0])
    msgfmt = needed("msgfmt", "gettext")
    subprocess.run([msgfmt, "-o", folder / "django.mo", folder / "django.po"], check=True)
    settings.LOCALE_PATHS = [tmp_path]

    words = ["curl", "-X", "POST", "/api/auth/logout", "-H", "Authorization: Bearer $ACCESS"]
    answer = curl(words, ACCESS=str(phone.access))

    assert answer.json()["message"] == "See you soon"


# Other clients


def test_a_client_that_is_no_browser_keeps_its_login(user, live_server):
    [text] = code("docs/how-to/browser.md", "python", "Other clients")
    kept = []
    login = run(text).Login(f"{live_server.url}/api/v1/auth", kept.append)

    login.log_in("ana@example.com", PASSWORD)
    first = login.access_token
    assert login.request("GET", f"{login.api}/user").json()["username"] == "ana"
    login.good_until = 0.0
    assert login.request("GET", f"{login.api}/user").status_code == 200
    assert login.access_token != first
    assert kept[-1] == login.refresh_token != kept[0]

    login.log_out()
    assert not Session.objects.exists()
    assert kept[-1] is None


def test_a_client_that_is_no_browser_learns_that_its_login_has_ended(user, live_server):
    [text] = code("docs/how-to/browser.md", "python", "Other clients")
    kept = []
    login = run(text).Login(f"{live_server.url}/api/v1/auth", kept.append)
    login.log_in("ana@example.com", PASSWORD)
    Session.objects.all().delete()
    assert login.request("GET", f"{login.api}/user").status_code == 401

    login.good_until = 0.0
    with pytest.raises(requests.HTTPError):
        login.request("GET", f"{login.api}/user")

    assert kept[-1] is None


# Adopt from SimpleJWT


def test_code_that_mints_tokens_begins_a_login(user):
    [text] = code("docs/how-to/simplejwt.md", "python", "Code that mints tokens")
    request = APIRequestFactory().get("/")

    answer = run(text, user=user, request=request).answer

    assert decode_access(answer["access"]).sid == Session.objects.get().sid
    assert (
        post("/token", grant_type="refresh_token", refresh_token=answer["refresh"]).status_code
        == 200
    )


# Serve the pages for people


def test_the_pages_are_served_where_the_page_says(mount, settings, client, user):
    routes, names = code("docs/how-to/pages.md", "python")
    mount(routes)
    set_up = run(names)
    settings.LOGIN_URL = set_up.LOGIN_URL
    settings.LOGIN_REDIRECT_URL = set_up.LOGIN_REDIRECT_URL

    assert client.get("/account/sessions").headers["Location"].startswith("/account/login")
    form = {"username": "ana", "password": PASSWORD}
    assert client.post("/account/login", form).headers["Location"] == "/account/sessions"


# Deploy behind a proxy


def client_of(forwarded, peer):
    request = APIRequestFactory().get("/", REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded)
    return ClientInfo.from_request(request).ip_address


def test_behind_a_proxy_the_address_is_the_clients(settings):
    [text] = code("docs/how-to/proxy.md", "python", "The address of the client")
    settings.ACCOUNTS = run(text).ACCOUNTS

    assert client_of("198.51.100.1, 203.0.113.7", "10.0.3.4") == "203.0.113.7"


def test_behind_a_load_balancer_and_a_proxy_the_address_is_the_clients(settings):
    [text] = code("docs/how-to/proxy.md", "python", "A load balancer")
    settings.ACCOUNTS = run(text).ACCOUNTS

    assert client_of("203.0.113.7, 10.0.3.4", "127.0.0.1") == "203.0.113.7"


def test_several_processes_count_together(settings):
    database, redis = code("docs/how-to/proxy.md", "python", "Counts of several processes")
    set_up = run(database)
    settings.CACHES = set_up.CACHES
    counts = caches[set_up.RATELIMIT_USE_CACHE]
    assert counts.add("somebody", 1, 60)
    assert counts.incr("somebody") == 2

    settings.CACHES = run(redis).CACHES
    assert caches["default"]._options["socket_timeout"] == 0.5


@contextmanager
def connected(options):
    """Connect once more to the database, with these options."""
    other = connection.copy()
    other.settings_dict = {**connection.settings_dict, "OPTIONS": options}
    try:
        with other.cursor() as cursor:
            yield cursor
    finally:
        other.close()
        other.close_pool()


@pytest.mark.postgresql
def test_the_database_takes_the_options_for_speed():
    [text] = code("docs/how-to/proxy.md", "python", "The database")
    with connected(run(text, DATABASES={"default": {}}).DATABASES["default"]["OPTIONS"]) as cursor:
        cursor.execute("SELECT %s + 1", [1])
        assert cursor.fetchone() == (2,)


@pytest.fixture
def nginx(live_server, tmp_path):
    """Serve the live server by the page's lines."""
    program = needed("nginx", "nginx")
    [location] = code("docs/how-to/proxy.md", "nginx")
    port = free_port()
    location = location.replace("http://127.0.0.1:8000", live_server.url)
    temporary = "".join(
        f"{kind}_temp_path {tmp_path};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = tmp_path / "nginx.conf"
    file.write_text(
        f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}"
        f" http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{port}; {location} }} }}"
    )
    server = subprocess.Popen([program, "-c", file, "-e", tmp_path / "error.log"])
    url = f"http://localhost:{port}"
    first_answer(f"{url}/user")
    yield url
    server.terminate()
    assert server.wait(timeout=PATIENCE) == 0


def test_nginx_tells_the_address_of_the_client_and_the_id_of_the_request(nginx, phone, settings):
    settings.ACCOUNTS = {"TRUSTED_PROXIES": ["127.0.0.1"]}
    headers = {
        "Authorization": f"Bearer {phone.access}",
        "X-Forwarded-For": "203.0.113.7",  # as a balancer before it says
    }

    answer = requests.post(f"{nginx}/api/auth/logout", headers=headers, timeout=PATIENCE)

    assert answer.status_code == 200
    event = LogoutEvent.objects.get()
    assert event.ip_address == "203.0.113.7"
    assert re.fullmatch(r"[0-9a-f]{32}", event.request_id)


# Prune and seal


def in_general(said):
    """Leave the numbers out of what a command says."""
    return re.sub(r"\d+", "N", said)


def test_pruning_says_what_it_has_removed(phone, laptop, capsys):
    Session.objects.update(expire_date="2020-01-01T00:00Z")
    [(words, answer)] = commands("docs/how-to/prune-and-seal.md")

    call_command(words[-1])

    assert in_general(capsys.readouterr().out.strip()) == in_general(answer)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_postgresql_takes_what_it_needs():
    settle, rebuild = code("docs/how-to/prune-and-seal.md", "sql", "What PostgreSQL needs")
    with connection.cursor() as cursor:
        cursor.execute(f"BEGIN; {settle} ROLLBACK")
        cursor.execute(rebuild)


@pytest.mark.postgresql
def test_the_record_can_be_put_back_from_a_backup_or_with_a_frozen_clock():
    [text] = code("docs/how-to/prune-and-seal.md", "python", "Seal")
    with connected(run(text, DATABASES={"default": {}}).DATABASES["default"]["OPTIONS"]) as cursor:
        cursor.execute("SHOW drf_logout.maintenance")
        assert cursor.fetchone() == ("on",)


# Watch the log


def test_a_line_of_the_log_has_the_keys_that_the_page_shows(user, security_log):
    [text] = code("docs/how-to/log.md", "json")
    assert (
        post("/token", grant_type="password", username="ana", password=PASSWORD).status_code == 200
    )

    [line] = security_log()

    shown = json.loads(text)
    assert list(line) == list(shown)
    varying = ("datetime", "user", "session", "user_agent", "request_id")
    assert line | dict.fromkeys(varying) == shown | dict.fromkeys(varying)


@pytest.fixture
def audit_logger():
    """Restore what a configuration of the log changes."""
    logger = logging.getLogger("accounts.audit")
    before = (logger.handlers[:], logger.level, logger.propagate)
    yield logger
    logger.handlers[:], logger.level, logger.propagate = before


def test_the_documented_configuration_writes_lines_of_json(audit_logger, user, capsys):
    [text] = code("docs/how-to/log.md", "python")
    logging.config.dictConfig(run(text).LOGGING)

    log_in()

    [line] = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "authn_login_success"
