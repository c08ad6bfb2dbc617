"""What other services are made of, none of it ours: they let in, and out when a login has ended."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import StringIO

import pytest
import requests
from django.core.management import call_command
from django.urls import path

from accounts import services
from tests.documents import ROOT, code, commands, run
from tests.host import PATIENCE, Host, first_answer, free_port
from tests.pairs import private
from tests.servers import WORKERS, workers

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

PAGE = "docs/how-to/services.md"
API = "/api/v1/auth"
ISSUER = "https://auth.example.com"


@pytest.fixture(scope="module")
def issuer(django_db_setup, django_db_blocker, tmp_path_factory):
    """The example project in four processes, which sign with a key pair."""
    environment = {
        "JWT_ALGORITHM": "ES256",
        "JWT_SIGNING_KEY": private().replace("\n", "\\n"),
        "JWT_ISSUER": ISSUER,
    }
    with workers(tmp_path_factory.mktemp("issuer"), **environment) as served:
        yield served


@pytest.fixture
def secret(transactional_db):
    output = StringIO()
    call_command("create_client", "orders", "--may-revoke", stdout=output)
    return output.getvalue().partition("client_secret=")[2].strip()


@pytest.fixture
def log_in(issuer, deploy, user, device):
    """Begin a login of the issuer's; return its access token."""
    deploy("ES256", issuer=ISSUER)
    return lambda: str(services.log_in(user=user, client=device).access)


@pytest.fixture
def access(log_in):
    """The access token of a login."""
    return log_in()


def bearer(access):
    return {"Authorization": f"Bearer {access}"}


def log_out(issuer, access):
    answer = requests.post(f"{issuer.url}{API}/logout", headers=bearer(access), timeout=PATIENCE)
    assert answer.status_code == 200


def status(url, access):
    return requests.get(url, headers=bearer(access), timeout=PATIENCE).status_code


def test_authlib_introspects_and_revokes_by_the_lines_of_the_page(
    issuer, log_in, transactional_db, capsys
):
    [(words, shown)] = commands("docs/how-to/services.md", "Register the service")
    call_command(*words[2:], may_revoke=True)
    printed = capsys.readouterr().out.strip()
    assert re.fullmatch(re.escape(shown).replace("…", ".+"), printed)
    [lines] = code("docs/how-to/services.md", "python", "Ask, and revoke")
    access = log_in()
    secret = printed.rpartition("=")[2]

    block = run(lines.replace(ISSUER, issuer.url), client_secret=secret, access=access)

    with block.session as session:  # which has asked and revoked by now
        introspect = f"{issuer.url}{API}/introspect"
        assert session.introspect_token(introspect, token=access).json() == {"active": False}
        assert session.introspect_token(introspect, token=log_in()).json()["username"] == "ana"
    assert status(f"{issuer.url}/user", access) == 401


def test_the_view_of_the_page_for_envoy_answers_any_method(phone, settings, client):
    [lines] = code("docs/how-to/services.md", "python", "Envoy")
    settings.ROOT_URLCONF = run(lines, path=path)
    for method in ("GET", "DELETE"):
        answer = client.generic(method, "/check/orders/1", headers=bearer(phone.access))
        assert (answer.status_code, answer["X-User"]) == (200, str(phone.refresh.user_id))
        assert client.generic(method, "/check/orders/1").status_code == 401


# Other services


class Service(Host):
    """Another Django project, without our tables."""

    name = "orders"
    settings = ""
    view = ""

    def adopt(self, folder):
        """Write the settings, and one view that is protected."""
        with (folder / "orders" / "settings.py").open("a") as file:
            file.write(self.settings)
        (folder / "orders" / "urls.py").write_text(VIEW + self.view)


VIEW = """
from django.contrib import admin
from django.http import JsonResponse
from django.urls import path
from rest_framework.decorators import api_view
from rest_framework.response import Response

@api_view(["GET"])
def orders(request):
    return Response({"for": request.user.get_username()})

urlpatterns = [path("admin/", admin.site.urls), path("orders", orders)]
"""

DOT = """
INSTALLED_APPS += ["rest_framework", "oauth2_provider"]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "oauth2_provider.contrib.rest_framework.OAuth2Authentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}
"""


def service(folder, settings):
    """Start a project of these settings in a folder."""
    kind = type("Service", (Service,), {"settings": settings})
    made = kind(folder, sys.executable)
    made.manage("migrate", "--verbosity", "0")
    return made


def test_a_django_service_without_our_tables_lets_in_and_out(
    issuer, secret, access, tmp_path, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("CLIENT_SECRET", secret)
    [settings] = code(PAGE, "python", "A Django service")
    settings = settings.replace("https://auth.example.com/", f"{issuer.url}/")
    orders = service(tmp_path, "import os\nINSTALLED_APPS += ['rest_framework']\n" + settings)
    assert "no issues" in orders.manage("check")

    with orders.served() as url:
        assert requests.get(f"{url}/orders", timeout=PATIENCE).status_code == 401
        answer = requests.get(f"{url}/orders", headers=bearer(access), timeout=PATIENCE)
        assert answer.json() == {"for": "ana"}
        log_out(issuer, access)
        assert status(f"{url}/orders", access) == 401


def test_django_oauth_toolkit_lets_in_and_out(issuer, secret, access, tmp_path):
    [lines] = code("docs/how-to/services.md", "python", "django-oauth-toolkit")
    settings = f"client_secret = {secret!r}\n{DOT}{lines.replace(ISSUER, issuer.url)}"

    with service(tmp_path, settings).served() as url:
        assert status(f"{url}/orders", access) == 200
        log_out(issuer, access)
        deadline = time.monotonic() + PATIENCE
        while status(f"{url}/orders", access) != 401:  # it keeps a verdict for a second
            assert time.monotonic() < deadline
        assert status(f"{url}/orders", "garbage") == 401


# nginx

NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{backend};
        location / {{ return 200 "orders of $http_x_seen"; }}
    }}
    server {{
        listen 127.0.0.1:{port};
{ours}
    }}
}}
"""


@contextmanager
def nginx(folder, issuer):
    """Serve what the page says behind nginx; yield its URL."""
    if shutil.which("nginx") is None:
        message = "nginx is not installed: apt-get install nginx-light"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    port, backend = free_port(), free_port()
    [ours] = code(PAGE, "nginx")
    ours = ours.replace("https://auth.example.com", issuer.url)
    ours = ours.replace("http://orders.internal", f"http://127.0.0.1:{backend}")
    file = folder / "nginx.conf"
    file.write_text(NGINX.format(folder=folder, port=port, backend=backend, ours=ours))
    # As root its workers are another user's, who has to reach the folder.
    folder.chmod(0o755)
    command = ["nginx", "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(file)]
    server = subprocess.Popen(command)
    try:
        url = f"http://127.0.0.1:{port}"
        first_answer(url)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=PATIENCE)


def test_nginx_lets_in_and_out(issuer, access, tmp_path):
    with nginx(tmp_path, issuer) as url:
        assert requests.get(f"{url}/orders", timeout=PATIENCE).status_code == 401
        assert status(f"{url}/orders", access) == 200
        log_out(issuer, access)
        assert status(f"{url}/orders", access) == 401


# Every worker, at once


@pytest.mark.race
def test_after_an_acknowledged_logout_no_worker_says_that_a_token_is_active(issuer, secret, log_in):
    """Each round's logout is raced by introspections, and followed by one for each worker."""

    def introspect(token):
        answer = requests.post(
            f"{issuer.url}{API}/introspect",
            {"token": token},
            auth=("orders", secret),
            timeout=PATIENCE,
        )
        assert answer.status_code == 200
        return answer.json()["active"]

    alive = 0
    with ThreadPoolExecutor(2 * WORKERS) as threads:
        for _ in range(int(os.environ.get("RACES", "50"))):
            token = log_in()
            assert introspect(token)
            racing = threads.map(introspect, [token] * WORKERS)
            threads.submit(log_out, issuer, token).result()
            alive += sum(threads.map(introspect, [token] * WORKERS))
            assert len(list(racing)) == WORKERS

    assert alive == 0
