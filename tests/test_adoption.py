"""Adoption: stock projects that take the app by README.md's lines."""

from __future__ import annotations

import sys

import pytest
import requests

from tests.documents import ROOT, code
from tests.host import PATIENCE, Host, log_in_and_out

STOCK_VIEWS = """
from rest_framework_simplejwt import views
urlpatterns += [
    path("stock/obtain", views.TokenObtainPairView.as_view()),
    path("stock/refresh", views.TokenRefreshView.as_view()),
    path("stock/verify", views.TokenVerifyView.as_view()),
    path("stock/blacklist", views.TokenBlacklistView.as_view()),
]
"""

PERSON = """
import uuid
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models

class PersonManager(BaseUserManager):
    def create_superuser(self, email, password):
        person = self.model(email=email, is_staff=True, is_superuser=True)
        person.set_password(password)
        person.save()
        return person

class Person(AbstractBaseUser, PermissionsMixin):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    email = models.EmailField(unique=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    objects = PersonManager()
    USERNAME_FIELD = "email"
"""


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture(scope="module")
def stock_url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stock")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        host = Host(folder, sys.executable, urls=STOCK_VIEWS)
        host.set_up()
        with host.served() as url:
            yield url


def post(url: str, body: dict[str, str], token: str = "") -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.post(url, json=body, headers=headers, timeout=PATIENCE)


def obtain(url: str) -> dict[str, str]:
    answer = post(f"{url}/stock/obtain", {"username": "ana", "password": "password123"})
    assert answer.status_code == 200
    return answer.json()


def test_the_adopting_project_has_nothing_to_be_warned_of(tmp_path):
    host = Host(tmp_path, sys.executable)
    [text] = code("docs/how-to/simplejwt.md", "sh", "Adopt from SimpleJWT")
    said = [host.manage(*line.split()[2:]) for line in text.splitlines()]
    assert said[-1].strip() == "System check identified no issues (0 silenced)."
    assert "No changes" in host.manage("makemigrations", "--check", "drf_logout")


def test_a_login_through_simplejwts_view_logs_out(stock_url):
    tokens = obtain(stock_url)
    api = f"{stock_url}/api/v1/auth"
    bearer = {"Authorization": f"Bearer {tokens['access']}"}
    assert requests.get(f"{api}/user", headers=bearer, timeout=PATIENCE).status_code == 200
    assert post(f"{api}/logout", {}, tokens["access"]).status_code == 200
    assert requests.get(f"{api}/user", headers=bearer, timeout=PATIENCE).status_code == 401


def test_simplejwts_views_refuse_what_we_ended(stock_url):
    tokens = obtain(stock_url)
    rotated = post(f"{stock_url}/stock/refresh", {"refresh": tokens["refresh"]}).json()
    assert post(f"{stock_url}/api/v1/auth/logout", {}, rotated["access"]).status_code == 200
    for token in (tokens["refresh"], rotated["refresh"]):
        answer = post(f"{stock_url}/stock/refresh", {"refresh": token})
        assert answer.status_code == 401
    verify = f"{stock_url}/stock/verify"
    assert post(verify, {"token": rotated["access"]}).status_code == 400
    assert post(verify, {"token": rotated["refresh"]}).status_code == 400


def test_what_simplejwts_view_blacklists_is_dead_for_us(stock_url):
    tokens = obtain(stock_url)
    blacklist = post(f"{stock_url}/stock/blacklist", {"refresh": tokens["refresh"]})
    assert blacklist.status_code == 200
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh"]}
    answer = post(f"{stock_url}/api/v1/auth/token", refresh)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    bearer = {"Authorization": f"Bearer {tokens['access']}"}
    answer = requests.get(f"{stock_url}/api/v1/auth/user", headers=bearer, timeout=PATIENCE)
    assert answer.status_code == 401


def test_a_user_with_a_uuid_and_an_email_for_a_name_logs_in_and_out(tmp_path):
    people = tmp_path / "people"
    people.mkdir()
    (people / "__init__.py").touch()
    (people / "models.py").write_text(PERSON)
    settings = (
        "INSTALLED_APPS.append('people')\n"
        "AUTH_USER_MODEL = 'people.Person'\n"
        "DEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'\n"
    )
    host = Host(tmp_path, sys.executable, settings=settings)
    host.manage("makemigrations", "people")
    host.set_up(name="ana@example.com", email="")
    with host.served() as url:
        log_in_and_out(f"{url}/api/v1/auth", email="ana@example.com")
        log_in_and_out(f"{url}/api/v1/auth", username="ana@example.com")
