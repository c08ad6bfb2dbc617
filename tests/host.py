"""A host project, started from Django's own template, that adopts the app by README.md's lines."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.documents import code

# Seconds. Whoever waits, waits for something to happen; after this long it never will.
PATIENCE = 300

USERS = """
from django.contrib.auth import get_user_model
users = get_user_model().objects
users.create_superuser({name!r}, {email}password="password123")
"""


def adoption_lines() -> tuple[str, str]:
    """Return the two blocks of Python of README.md's "Adopt it": settings and routes."""
    settings, urls = code("README.md", "python", "Adopt it")
    return settings, urls


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def first_answer(url: str) -> requests.Response:
    """Wait for a server to come up; return what it answers."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            return requests.get(url, timeout=PATIENCE)
        except requests.ConnectionError:
            time.sleep(0.05)
    raise AssertionError(f"nothing answers at {url}")


class Host:
    """One project in a folder of its own, run by the Python that is given."""

    name = "host"

    def __init__(self, folder: Path, python: str, **more: str) -> None:
        self.folder, self.python = folder, python
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DJANGO", "COV", "PYTEST")) and name != "DEBUG"
        }
        self._call("-m", "django", "startproject", self.name, str(folder))
        self.adopt(folder, **more)

    def adopt(self, folder: Path, *, settings: str = "", urls: str = "") -> None:
        """Write README.md's lines into its files, and more lines after them."""
        adopted_settings, adopted_urls = adoption_lines()
        with (folder / self.name / "settings.py").open("a") as file:
            file.write("\nLIMITED = {'django.contrib.admin': 'accounts.apps.AdminConfig'}\n")
            file.write("STOCK_APPS = [LIMITED.get(app, app) for app in INSTALLED_APPS]\n")
            # On SQLite, which startproject sets up, writers have to be told to wait.
            file.write("DATABASES['default']['OPTIONS'] = {'transaction_mode': 'IMMEDIATE'}\n")
            file.write(adopted_settings)
            file.write("INSTALLED_APPS = [*STOCK_APPS, 'rest_framework', *INSTALLED_APPS]\n")
            file.write("SECRET_KEY = 'a secret of the host that is long enough for HS256' * 2\n")
            file.write(settings)
        with (folder / self.name / "urls.py").open("a") as file:
            file.write("\nfrom django.urls import include\nstock_urls = urlpatterns\n")
            file.write(adopted_urls)
            file.write("urlpatterns = stock_urls + urlpatterns\n")
            file.write(urls)

    def manage(self, *arguments: str, stdin: str = "") -> str:
        """Run a command of manage.py; return what it says."""
        return self._call("manage.py", *arguments, stdin=stdin)

    def set_up(self, *, name: str = "ana", email: str = "'ana@example.com', ") -> None:
        """Migrate, and make a superuser."""
        self.manage("migrate", "--verbosity", "0")
        self.manage("shell", stdin=USERS.format(name=name, email=email))

    @contextmanager
    def served(self):
        """Serve; yield the base URL."""
        port = free_port()
        server = subprocess.Popen(
            [self.python, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            first_answer(f"{url}/admin/login/")
            yield url
        finally:
            server.terminate()
            server.wait(timeout=PATIENCE)

    def _call(self, *arguments: str, stdin: str = "") -> str:
        done = subprocess.run(
            [self.python, "-W", "error::DeprecationWarning:accounts", *arguments],
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


def log_in_and_out(url: str, **name: str) -> None:
    """One login and one logout over HTTP, and nothing left of the login."""
    tokens = requests.post(
        f"{url}/token",
        json={"grant_type": "password", "password": "password123", **name},
        timeout=PATIENCE,
    ).json()
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert requests.get(f"{url}/user", headers=bearer, timeout=PATIENCE).status_code == 200
    body = requests.post(f"{url}/logout", headers=bearer, timeout=PATIENCE).json()
    assert body == {"detail": "Logout successful"}
    assert requests.get(f"{url}/user", headers=bearer, timeout=PATIENCE).status_code == 401
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    answer = requests.post(f"{url}/token", json=refresh, timeout=PATIENCE)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_grant"
