"""Adoption: a stock project before, the lines of README.md or of a page, and what works after."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import uuid
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests

from tests.documents import ROOT, code
from tests.host import PATIENCE, USERS, Host, adoption_lines, log_in_and_out

DJ_REST_AUTH_PAGE = "docs/how-to/dj-rest-auth.md"
KNOX_PAGE = "docs/how-to/knox.md"
TOKENS_PAGE = "docs/how-to/token-authentication.md"
SESSIONS_PAGE = "docs/how-to/browser-sessions.md"

PASSWORD = "password123"

ME = """
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView


class MeView(APIView):
    permission_classes = [IsAuthenticated]

    def get(self, request):
        return Response({'username': request.user.get_username()})
"""

# What startproject leaves to a host, and what its tests need to be quick.
COMMON = """
DATABASES['default']['OPTIONS'] = {'transaction_mode': 'IMMEDIATE'}
PASSWORD_HASHERS = ['django.contrib.auth.hashers.MD5PasswordHasher']
"""


@dataclass(frozen=True)
class Before:
    """A project as people have it, beside what startproject makes."""

    apps: tuple[str, ...]
    settings: str
    files: dict[str, str]


SIMPLEJWT = Before(
    ("rest_framework",),
    """
REST_FRAMEWORK = {
    'DEFAULT_AUTHENTICATION_CLASSES': [
        'rest_framework_simplejwt.authentication.JWTAuthentication',
    ],
}
""",
    {
        "views.py": ME,
        "urls.py": """
from django.contrib import admin
from django.urls import include, path
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView
from shop.views import MeView

urlpatterns = [
    path('admin/', admin.site.urls),
    path('me/', MeView.as_view()),
    path('api/token/', TokenObtainPairView.as_view()),
    path('api/token/refresh/', TokenRefreshView.as_view()),
]
""",
    },
)

DJ_REST_AUTH = Before(
    ("rest_framework", "rest_framework.authtoken", "dj_rest_auth"),
    """
REST_FRAMEWORK = {
    'DEFAULT_AUTHENTICATION_CLASSES': [
        'dj_rest_auth.jwt_auth.JWTCookieAuthentication',
    ],
}
REST_AUTH = {
    'USE_JWT': True,
    'JWT_AUTH_COOKIE': 'access',
    'JWT_AUTH_REFRESH_COOKIE': 'refresh',
}
""",
    {
        "urls.py": """
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path('admin/', admin.site.urls),
    path('dj-rest-auth/', include('dj_rest_auth.urls')),
]
""",
    },
)

KNOX = Before(
    ("rest_framework", "knox", "shop"),
    """
REST_FRAMEWORK = {
    'DEFAULT_AUTHENTICATION_CLASSES': [
        'knox.auth.TokenAuthentication',
    ],
}
""",
    {
        "models.py": "from django.db import models\n",
        "views.py": ME
        + """

from knox.views import LoginView as KnoxLoginView
from rest_framework.authentication import BasicAuthentication


class LoginView(KnoxLoginView):
    authentication_classes = [BasicAuthentication]
""",
        "urls.py": """
from django.contrib import admin
from django.urls import include, path
from knox.views import LogoutAllView, LogoutView
from shop import views

urlpatterns = [
    path('admin/', admin.site.urls),
    path('me/', views.MeView.as_view()),
    path('login/', views.LoginView.as_view()),
    path('logout/', LogoutView.as_view()),
    path('logoutall/', LogoutAllView.as_view()),
]
""",
    },
)

TOKENS = Before(
    ("rest_framework", "rest_framework.authtoken", "shop"),
    """
REST_FRAMEWORK = {
    'DEFAULT_AUTHENTICATION_CLASSES': [
        'rest_framework.authentication.TokenAuthentication',
    ],
}
""",
    {
        "models.py": "from django.db import models\n",
        "views.py": ME,
        "urls.py": """
from django.contrib import admin
from django.urls import include, path
from rest_framework.authtoken.views import obtain_auth_token
from shop.views import MeView

urlpatterns = [
    path('admin/', admin.site.urls),
    path('me/', MeView.as_view()),
    path('login/', obtain_auth_token),
]
""",
    },
)

SESSIONS = Before(
    ("rest_framework",),
    """
LOGIN_REDIRECT_URL = '/me/'
REST_FRAMEWORK = {
    'DEFAULT_AUTHENTICATION_CLASSES': [
        'rest_framework.authentication.SessionAuthentication',
    ],
}
""",
    {
        "views.py": ME,
        "urls.py": """
from django.contrib import admin
from django.contrib.auth.views import LoginView
from django.urls import include, path
from shop.views import MeView

urlpatterns = [
    path('admin/', admin.site.urls),
    path('me/', MeView.as_view()),
    path('accounts/login/', LoginView.as_view(template_name='admin/login.html')),
]
""",
    },
)


class Shop(Host):
    """A project as it is before."""

    name = "shop"

    def __init__(self, folder: Path, before: Before) -> None:
        self.before = before
        super().__init__(folder, sys.executable)

    def adopt(self, folder: Path) -> None:
        """Write what is there before."""
        settings = folder / "shop" / "settings.py"
        text, last = settings.read_text(), "    'django.contrib.staticfiles',\n"
        apps = "".join(f"    {app!r},\n" for app in self.before.apps)
        settings.write_text(text.replace(last, last + apps) + COMMON + self.before.settings)
        for name, content in self.before.files.items():
            (folder / "shop" / name).write_text(content.lstrip())

    def set_up(self) -> None:
        """Migrate, and make a superuser, in one process."""
        migrate = (
            "from django.core.management import call_command\ncall_command('migrate', verbosity=0)"
        )
        self.manage("shell", stdin=migrate + USERS.format(name="ana", email="'ana@example.com', "))

    def apply(self, diffs: list[str], commands: list[str]) -> int:
        """Do what a page says; return how many lines its diffs add or change.

        ``told`` is what the last command has said.
        """
        for diff in diffs:
            subprocess.run(
                ["git", "apply", "-"],
                input=diff,
                text=True,
                cwd=self.folder,
                env={**self.environment, "GIT_CEILING_DIRECTORIES": str(self.folder.parent)},
                check=True,
            )
        for command in "".join(commands).splitlines():
            self.told = self.manage(*command.removeprefix("python manage.py ").split())
        return len(re.findall(r"^\+(?!\+\+ ).*\S", "".join(diffs), re.MULTILINE))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return what is in the database."""
        with closing(sqlite3.connect(self.folder / "db.sqlite3")) as database:
            return database.execute(query).fetchall()

    def logins(self) -> list[tuple[Any, ...]]:
        """Return the kind, address and device of each login, the oldest first."""
        columns = "kind, ip_address, user_agent"
        where = "user_id IS NOT NULL ORDER BY authenticated_at"
        return self.rows(f"SELECT {columns} FROM drf_logout_session WHERE {where}")

    def record(self) -> list[tuple[Any, ...]]:
        """Return the reason, initiator, scope, address and device of each entry."""
        columns = "reason, initiator, scope, ip_address, user_agent"
        return self.rows(f"SELECT {columns} FROM drf_logout_logoutevent ORDER BY id")


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def shop(tmp_path):
    """Build a project as it is before, with a user."""

    def build(before: Before) -> Shop:
        host = Shop(tmp_path, before)
        host.set_up()
        return host

    return build


class Device:
    """A client with cookies, which its server may read or not, and a name of its own."""

    def __init__(self, name: str) -> None:
        self.name, self.server = name, ""
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.headers["User-Agent"] = name

    def get(self, path: str, token: str = "") -> int:
        """Return the status; ``token`` is the whole Authorization header."""
        headers = {"Authorization": token} if token else {}
        return self.http.get(self.server + path, headers=headers, timeout=PATIENCE).status_code

    def post(self, path: str, token: str = "", **body: object) -> requests.Response:
        """Send JSON."""
        headers = {"Authorization": token} if token else {}
        url = self.server + path
        return self.http.post(url, json=body, headers=headers, timeout=PATIENCE)

    def submit(self, path: str, **form: str) -> requests.Response:
        """Open a page, fill its form in and send it."""
        page = self.http.get(self.server + path, timeout=PATIENCE)
        form["csrfmiddlewaretoken"] = self.http.cookies["csrftoken"]
        return self.http.post(page.url, data=form, timeout=PATIENCE)


@pytest.fixture
def devices():
    """Return a phone and a laptop."""
    made = Device("Phone/1"), Device("Laptop/1")
    yield made
    for device in made:
        device.http.close()


def serve(url: str, *devices: Device) -> None:
    for device in devices:
        device.server = url


def said(page: str) -> int:
    """Return how many lines a page says it takes."""
    return int(re.search(r"(\d+) lines", (ROOT / page).read_text())[1])


LOGOUT = ("logout", "user", "session", "127.0.0.1")
EVERYWHERE = ("logout", "user", "global", "127.0.0.1")


# SimpleJWT, by README.md's lines


def test_adoption_from_simplejwt_takes_as_many_lines_as_its_page_says():
    settings, urls = adoption_lines()
    lines = [line.partition("#")[0].strip() for line in (settings + urls).splitlines()]
    brackets = r"\w+ = [\[{]|[\]}],?|"
    taken = [line for line in lines if not re.fullmatch(brackets, line)]
    optional = [line for line in taken if "pages" in line]
    assert len(optional) == 3
    assert len(taken) - len(optional) == said("docs/how-to/simplejwt.md") <= 12


def test_tokens_of_before_become_logins_in_a_project_that_had_simplejwt(shop, devices):
    phone, laptop = devices
    host = shop(SIMPLEJWT)
    with host.served() as url:
        serve(url, *devices)
        old = phone.post("/api/token/", username="ana", password=PASSWORD).json()
        other = laptop.post("/api/token/", username="ana", password=PASSWORD).json()
    settings, urls = adoption_lines()
    for name, lines in (("settings", settings), ("urls", urls)):
        list_name = "INSTALLED_APPS" if name == "settings" else "urlpatterns"
        with (host.folder / "shop" / f"{name}.py").open("a") as file:
            file.write(f"\nBEFORE = {list_name}\n")
            file.write(lines.replace(f"{list_name} = [", f"{list_name} = [*BEFORE,"))
    host.manage("migrate", "--verbosity", "0")
    with host.served() as url:
        serve(url, *devices)
        assert phone.get("/me/", f"Bearer {old['access']}") == 200
        assert laptop.post("/api/v1/auth/logout", f"Bearer {other['access']}").status_code == 200
        assert laptop.get("/me/", f"Bearer {other['access']}") == 401
        new = phone.post("/api/token/refresh/", refresh=old["refresh"]).json()
        assert host.logins() == [("token", "127.0.0.1", "Phone/1")]
        assert phone.post("/api/v1/auth/logout/all", f"Bearer {new['access']}").status_code == 200
        assert phone.get("/me/", f"Bearer {new['access']}") == 401
        assert phone.get("/me/", f"Bearer {old['access']}") == 401
    assert host.record() == [(*LOGOUT, "Laptop/1"), (*EVERYWHERE, "Phone/1")]


# dj-rest-auth

API = "/dj-rest-auth"


def dj_log_in(device: Device) -> str:
    """Log in; return the access token as a header, beside the cookies that are kept."""
    answer = device.post(f"{API}/login/", username="ana", password=PASSWORD)
    assert answer.status_code == 200
    assert {"access", "refresh"} <= set(device.http.cookies.keys())
    return f"Bearer {answer.json()['access']}"


def test_dj_rest_auth_is_adopted_as_its_page_says(shop, devices):
    phone, laptop = devices
    host = shop(DJ_REST_AUTH)
    with host.served() as url:
        serve(url, *devices)
        old, stale = dj_log_in(phone), dj_log_in(laptop)
    assert (
        host.apply(code(DJ_REST_AUTH_PAGE, "diff"), code(DJ_REST_AUTH_PAGE, "sh"))
        == said(DJ_REST_AUTH_PAGE)
        <= 20
    )
    assert "no issues" in host.told
    with host.served() as url:
        serve(url, *devices)
        # What is out there stays good, in cookie and header, and logs out.
        assert phone.get(f"{API}/user/") == phone.get(f"{API}/user/", old) == 200
        assert laptop.post(f"{API}/logout/", stale).status_code == 200
        assert laptop.get(f"{API}/user/", stale) == laptop.get(f"{API}/user/") == 401
        # By the cookie, a refresh makes a login of it.
        first = phone.http.cookies["refresh"]
        refreshed = phone.post(f"{API}/token/refresh/").json()
        assert phone.http.cookies["refresh"] != first
        assert host.logins() == [("token", "127.0.0.1", "Phone/1")]
        # A new log-in, and a logout by the cookies alone.
        new = dj_log_in(laptop)
        assert host.logins()[1:] == [("token", "127.0.0.1", "Laptop/1")]
        kept = laptop.http.cookies["refresh"]
        assert laptop.post(f"{API}/logout/").status_code == 200
        assert laptop.get(f"{API}/user/", new) == laptop.get(f"{API}/user/") == 401
        assert laptop.post(f"{API}/token/refresh/", refresh=kept).status_code == 401
        # A new password ends the other login, and not the one that set it.
        new = dj_log_in(laptop)
        password = dict.fromkeys(["new_password1", "new_password2"], "another-1234")
        assert phone.post(f"{API}/password/change/", **password).status_code == 200
        assert laptop.get(f"{API}/user/", new) == 401
        assert phone.get(f"{API}/user/") == 200
        bearer = f"Bearer {refreshed['access']}"
        assert phone.post("/auth/logout/all", bearer).status_code == 200
        assert phone.get(f"{API}/user/") == phone.get(f"{API}/user/", bearer) == 401
        assert phone.get(f"{API}/user/", old) == 401
    assert host.logins() == []
    *ended, last = host.record()
    assert ended[:2] == [(*LOGOUT, "Laptop/1")] * 2
    assert ("password_changed", "policy", "session", "127.0.0.1", "Laptop/1") in ended
    assert last == (*EVERYWHERE, "Phone/1")


# Tokens of others, beside ours while they last


def ours(device: Device) -> tuple[str, str]:
    """Log in by our API; return the access token as a header, and the refresh token."""
    grant = {"grant_type": "password", "username": "ana", "password": PASSWORD}
    tokens = device.post("/auth/token", **grant).json()
    return f"Bearer {tokens['access_token']}", tokens["refresh_token"]


def lives_beside_ours(host: Shop, phone: Device, laptop: Device, old: str) -> None:
    """Log in, refresh, log out and log out everywhere, while a device has a token of before."""
    assert phone.get("/me/", old) == 200
    bearer, refresh = ours(laptop)
    assert host.logins() == [("token", "127.0.0.1", "Laptop/1")]
    grant = {"grant_type": "refresh_token", "refresh_token": refresh}
    assert laptop.post("/auth/token", **grant).status_code == 200
    assert laptop.post("/auth/logout", bearer).status_code == 200
    assert laptop.get("/me/", bearer) == 401
    assert laptop.post("/auth/token", **grant).status_code == 400
    assert phone.get("/me/", old) == 200
    bearer, _ = ours(laptop)
    assert laptop.post("/auth/logout/all", bearer).status_code == 200
    assert laptop.get("/me/", bearer) == phone.get("/me/", old) == 401
    assert host.record() == [(*LOGOUT, "Laptop/1"), (*EVERYWHERE, "Laptop/1")]


def test_knox_is_adopted_as_its_page_says(shop, devices):
    phone, laptop = devices
    host = shop(KNOX)
    with host.served() as url:
        serve(url, *devices)
        phone.http.auth = ("ana", PASSWORD)
        old, other = (f"Token {phone.post('/login/').json()['token']}" for _ in range(2))
        phone.http.auth = None
    assert host.apply(code(KNOX_PAGE, "diff"), code(KNOX_PAGE, "sh")) == said(KNOX_PAGE) <= 10
    assert set(re.findall(r"drf_logout\.\w+", host.told)) == {"drf_logout.W008"}
    with host.served() as url:
        serve(url, *devices)
        assert phone.post("/login/").status_code == 404
        assert laptop.post("/logout/", other).status_code == 204
        assert laptop.get("/me/", other) == 401
        lives_beside_ours(host, phone, laptop, old)


def test_static_tokens_are_adopted_as_their_page_says(shop, devices):
    phone, laptop = devices
    host = shop(TOKENS)
    with host.served() as url:
        serve(url, *devices)
        old = f"Token {phone.post('/login/', username='ana', password=PASSWORD).json()['token']}"
    assert host.apply(code(TOKENS_PAGE, "diff"), code(TOKENS_PAGE, "sh")) == said(TOKENS_PAGE)
    assert "no issues" in host.told
    with host.served() as url:
        serve(url, *devices)
        lives_beside_ours(host, phone, laptop, old)
    # The same token as bearer, by the class of the page.
    [lines] = code(TOKENS_PAGE, "python")
    (host.folder / "shop" / "authentication.py").write_text(lines)
    with (host.folder / "shop" / "settings.py").open("a") as file:
        ours_alone = "['accounts.authentication.JWTAuthentication']"
        classes = f"['shop.authentication.StaticBearer', *{ours_alone}]"
        file.write(f"REST_FRAMEWORK['DEFAULT_AUTHENTICATION_CLASSES'] = {classes}\n")
    key = host.manage("drf_create_token", "ana").split()[2]
    with host.served() as url:
        serve(url, *devices)
        bearer, _ = ours(laptop)
        assert phone.get("/me/", f"Bearer {key}") == laptop.get("/me/", bearer) == 200
        assert phone.get("/me/", f"Bearer {key}0") == phone.get("/me/", "Bearer a.b.c") == 401


# Browser sessions


def test_browser_sessions_are_adopted_as_their_page_says(shop, devices):
    phone, laptop = devices
    host = shop(SESSIONS)
    with host.served() as url:
        serve(url, *devices)
        phone.submit("/accounts/login/", username="ana", password=PASSWORD)
        assert phone.get("/me/") == 200
    assert host.apply(code(SESSIONS_PAGE, "diff"), code(SESSIONS_PAGE, "sh")) == said(SESSIONS_PAGE)
    assert "no issues" in host.told
    with host.served() as url:
        serve(url, *devices)
        # Those of before begin anew.
        assert phone.get("/me/") == 403
        for device in devices:
            device.submit("/account/login", username="ana", password=PASSWORD)
            assert device.get("/me/") == 200
        assert host.logins() == [
            ("browser", "127.0.0.1", "Phone/1"),
            ("browser", "127.0.0.1", "Laptop/1"),
        ]
        laptop.submit("/account/logout")
        assert laptop.get("/me/") == 403
        assert phone.get("/me/") == 200
        laptop.submit("/account/login", username="ana", password=PASSWORD)
        laptop.submit("/account/sessions/end-all", password=PASSWORD)
        assert laptop.get("/me/") == phone.get("/me/") == 403
    assert host.record() == [(*LOGOUT, "Laptop/1"), (*EVERYWHERE, "Laptop/1")]


# SimpleJWT's own views, beside ours

STOCK_VIEWS = """
from rest_framework_simplejwt import views
urlpatterns += [
    path("stock/obtain", views.TokenObtainPairView.as_view()),
    path("stock/refresh", views.TokenRefreshView.as_view()),
    path("stock/verify", views.TokenVerifyView.as_view()),
    path("stock/blacklist", views.TokenBlacklistView.as_view()),
]
"""


@pytest.fixture(scope="module")
def stock_url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stock")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        serializer, setting = code("docs/how-to/claims.md", "python")
        host = Host(
            folder, sys.executable, urls=STOCK_VIEWS, settings=setting.replace("shop", "host")
        )
        (folder / "host" / "tokens.py").write_text(serializer)
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


def claims(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


def test_claims_of_the_hosts_own_are_in_each_token(stock_url):
    stock, url = obtain(stock_url), f"{stock_url}/api/v1/auth/token"
    grant = {"grant_type": "password", "username": "ana", "password": PASSWORD}
    ours = post(url, grant).json()
    grant = {"grant_type": "refresh_token", "refresh_token": ours["refresh_token"]}
    for token in (*stock.values(), ours["access_token"], post(url, grant).json()["access_token"]):
        assert claims(token)["email"] == "ana@example.com"
        assert claims(token)["sid"]


def test_the_user_model_of_the_page_logs_in_and_out(tmp_path):
    model, setting = code("docs/how-to/user-model.md", "python")
    people = tmp_path / "people"
    people.mkdir()
    (people / "__init__.py").touch()
    (people / "models.py").write_text(model)
    settings = f"INSTALLED_APPS.append('people')\n{setting}"
    host = Host(tmp_path, sys.executable, settings=settings)
    host.manage("makemigrations", "people")
    host.set_up(name="ana@example.com", email="")
    with host.served() as url:
        api = f"{url}/api/v1/auth"
        log_in_and_out(api, email="ana@example.com")
        log_in_and_out(api, username="ana@example.com")
        grant = {"grant_type": "password", "email": "ana@example.com", "password": PASSWORD}
        bearer = post(f"{api}/token", grant).json()["access_token"]
        headers = {"Authorization": f"Bearer {bearer}"}
        user = requests.get(f"{api}/user", headers=headers, timeout=PATIENCE).json()
    assert claims(bearer)["user_id"] == user["id"] == str(uuid.UUID(user["id"]))
