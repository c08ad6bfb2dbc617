"""Hosts of other shapes: users that are not Django's, and names that are ours too."""

from __future__ import annotations

import subprocess
import sys

import pytest
from django.db import connection

from tests.documents import ROOT, blocks, code, commands, run
from tests.host import Host, log_in_and_out

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db]

MODELS = """
import uuid
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models

class Manager(BaseUserManager):
    def create(self, password="password123", **fields):
        user = self.model(**fields)
        user.set_password(password)
        user.save()
        return user
"""

ADMIN = """
from django.contrib import admin
from django.contrib.auth import get_user_model
from accounts.admin import EndLoginsMixin

@admin.register(get_user_model())
class Admin(EndLoginsMixin, admin.ModelAdmin):
    pass
"""

SETTINGS = """
INSTALLED_APPS.append("people")
AUTH_USER_MODEL = "people.{user}"
"""

LIVE = """
from django.contrib.auth import get_user_model
from django.core.management import call_command
from tests import shapes

call_command("makemigrations", verbosity=0)
call_command("migrate", verbosity=0)
User = get_user_model()
admin = User.objects.create({admin}, is_staff=True, is_superuser=True)
user = User.objects.create({user})
shapes.live(admin=admin, user=user, names={names})
"""


@pytest.fixture
def host(tmp_path, monkeypatch, worker_id):
    """Build a host with a database on the PostgreSQL of our own tests."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    connection.ensure_connection()
    name = f"host_{worker_id}"
    with connection._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {name}")
    places = {key: connection.settings_dict[key] for key in ("HOST", "PORT", "USER", "PASSWORD")}
    database = {"ENGINE": "django.db.backends.postgresql", "NAME": name, **places}

    def build(settings, urls="", **files):
        for path, text in files.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return Host(
            tmp_path,
            sys.executable,
            urls=urls,
            settings=f"DATABASES = {{'default': {database}}}\n"
            "DEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'\n"
            "PASSWORD_HASHERS = ['django.contrib.auth.hashers.MD5PasswordHasher']\n" + settings,
        )

    yield build
    with connection._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def people(host):
    """Build a host whose users are of this model, and let them live with the app."""

    def build(user, model, *, live, settings=""):
        files = {
            "people/__init__.py": "",
            "people/models.py": MODELS + model,
            "people/admin.py": ADMIN,
            "people/migrations/__init__.py": "",
        }
        adopted = host(SETTINGS.format(user=user) + settings, **files)
        adopted.manage("shell", "--verbosity", "0", "--command", live)

    return build


EMPLOYEE = """
class ActiveOnly(Manager):
    def get_queryset(self):
        return super().get_queryset().filter(is_active=True)

class Employee(AbstractBaseUser, PermissionsMixin):
    number = models.IntegerField(unique=True)
    email = models.EmailField(blank=True)
    shift = models.JSONField(default=dict)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    objects = ActiveOnly()
    USERNAME_FIELD = "number"

    def __str__(self):
        return f"Employee {self.number}"
"""


def test_users_named_by_a_number_whose_manager_hides_the_inactive(people):
    people(
        "Employee",
        EMPLOYEE,
        live=LIVE.format(
            admin="number=1, shift={}",
            user="number=2048, email='ana@example.com', shift={'days': [1, 2]}",
            names="{'--username': '2048', '--email': 'ana@example.com', '--user-id': str(user.pk)}",
        ),
    )


MEMBER = """
class Person(models.Model):
    key = models.UUIDField(primary_key=True, default=uuid.uuid4, db_column="Person's {key}")
    handle = models.CharField(max_length=300, unique=True, db_column="select")

class Member(Person, AbstractBaseUser, PermissionsMixin):
    person = models.OneToOneField(
        Person, models.CASCADE, parent_link=True, primary_key=True, db_column="of {user}"
    )
    likes = models.JSONField(default=list)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    objects = Manager()
    USERNAME_FIELD = "handle"
"""


def test_users_of_two_tables_with_a_uuid_and_odd_columns(people):
    people(
        "Member",
        MEMBER,
        settings="SIMPLE_JWT['USER_ID_FIELD'] = 'key'\n",
        live=LIVE.format(
            admin="handle='root'",
            user="handle='Ánä %s {0} \\' ' + 'ñ' * 280, likes=['tea', None]",
            names="{'--username': user.handle, '--user-id': str(user.pk)}",
        ),
    )


STOCK = """
class User(AbstractBaseUser, PermissionsMixin):
    username = models.CharField(max_length=150, unique=True)
    email = models.EmailField(unique=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    objects = Manager()
    USERNAME_FIELD = "username"
"""


def test_tokens_that_name_the_user_by_address(people):
    people(
        "User",
        STOCK,
        settings="SIMPLE_JWT['USER_ID_FIELD'] = 'email'\nSIMPLE_JWT['USER_ID_CLAIM'] = 'mail'\n",
        live=LIVE.format(
            admin="username='root', email='root@example.com'",
            user="username='ana', email='Ana+%s@example.com'",
            names="{'--email': 'ana+%s@example.com', '--user-id': str(user.pk)}",
        ),
    )


SHOP_APP = """
from django.apps import AppConfig

class AccountsConfig(AppConfig):
    name = "shop.accounts"
"""

SHOP_MODELS = """
from django.conf import settings
from django.db import models

class Session(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    basket = models.JSONField(default=list)

class LogoutEvent(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
"""

SHOP_ADMIN = """
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from accounts.admin import EndLoginsMixin
from shop.accounts.models import LogoutEvent, Session

admin.site.register([LogoutEvent, Session])
admin.site.unregister(get_user_model())

@admin.register(get_user_model())
class Users(EndLoginsMixin, UserAdmin):
    pass
"""

SHOP_URLS = """
from django.urls import path
from django.views.generic import TemplateView

app_name = "accounts"
urlpatterns = [
    path(name, TemplateView.as_view(template_name=f"accounts/{name}.html"), name=name)
    for name in ("login", "sessions", "logout")
]
"""

SHOP_SETTINGS = """
INSTALLED_APPS.insert(0, "shop.accounts")
TEMPLATES[0]["DIRS"] = [BASE_DIR / "templates"]
STATICFILES_DIRS = [BASE_DIR / "static"]
LOGIN_URL = "accounts:login"
"""

SHOP_LIVE = """
from django.contrib.auth import get_user_model
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from tests import shapes

call_command("makemigrations", "accounts", verbosity=0)
call_command("migrate", verbosity=0)
call_command("makemigrations", check=True, dry_run=True, verbosity=0)
call_command("check", fail_level="WARNING")
tables = set(connection.introspection.table_names())
assert {"accounts_session", "accounts_logoutevent"} <= tables
assert {"drf_logout_session", "drf_logout_logoutevent"} <= tables

users = get_user_model().objects
admin = users.create_superuser("root", password=shapes.PASSWORD)
user = users.create_user("ana", "ana@example.com", shapes.PASSWORD)
browser = Client(SERVER_NAME="localhost")
assert browser.get("/account/sessions").headers["location"].startswith("/shop/login")
assert b"drf_logout/pages.css" in browser.get("/account/login").content
browser.force_login(user)
for name in ("login", "sessions", "logout"):
    assert reverse(f"accounts:{name}") == f"/shop/{name}"
    assert browser.get(f"/shop/{name}").content == b"the shop"
    if name != "login":
        page = browser.get(reverse(f"drf_logout_pages:{name}")).content
        assert b"drf_logout/pages.css" in page and b"the shop" not in page
assert "drf_logout" in finders.find("drf_logout/client.js")
assert finders.find("accounts/client.js").endswith("static/accounts/client.js")

browser.post("/account/logout")
shapes.live(admin=admin, user=user, names={"--username": "ana"})
browser.force_login(admin)
for model in ("session", "logoutevent"):
    for label in ("accounts", "drf_logout"):
        assert browser.get(f"/admin/{label}/{model}/").status_code == 200
"""


def test_an_app_of_the_host_that_is_called_accounts_keeps_its_names_and_leaves_us_ours(host):
    page = "{% block content %}the shop{% endblock %}"
    names = ("base", "login", "sessions", "logout")
    adopted = host(
        SHOP_SETTINGS,
        urls='urlpatterns.insert(0, path("shop/", include("shop.accounts.urls")))\n',
        **{
            "shop/__init__.py": "",
            "shop/accounts/__init__.py": "",
            "shop/accounts/apps.py": SHOP_APP,
            "shop/accounts/models.py": SHOP_MODELS,
            "shop/accounts/admin.py": SHOP_ADMIN,
            "shop/accounts/urls.py": SHOP_URLS,
            "shop/accounts/migrations/__init__.py": "",
            # One of the app's, one of the project's.
            **{f"shop/accounts/templates/accounts/{name}.html": page for name in names[1:]},
            **{f"templates/accounts/{name}.html": page for name in names},
            "static/accounts/client.js": "",
        },
    )
    adopted.manage("shell", "--verbosity", "0", "--command", SHOP_LIVE)


OWN = "docs/how-to/accounts-app.md"
OWN_FILES = {
    "accounts/__init__.py": "",
    "accounts/apps.py": """
from django.apps import AppConfig

class AccountsConfig(AppConfig):
    name = "accounts"
""",
    "accounts/models.py": """
from django.contrib.auth.models import AbstractUser

class User(AbstractUser):
    pass
""",
    "accounts/admin.py": """
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin

from accounts.models import User

admin.site.register(User, UserAdmin)
""",
    "accounts/migrations/__init__.py": "",
}


class Shop(Host):
    """A project with a package \"accounts\" of its own beside manage.py."""

    name = "shop"

    def adopt(self, folder, **more):
        """Adopt once the package is out of the way."""
        if more:
            super().adopt(folder, **more)
            return
        for path, text in OWN_FILES.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        with (folder / "shop" / "settings.py").open("a") as file:
            file.write(
                "\nINSTALLED_APPS.insert(0, 'accounts')\nAUTH_USER_MODEL = 'accounts.User'\n"
            )


def test_a_package_that_is_called_accounts_moves_and_keeps_its_data(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    shop = Shop(tmp_path, sys.executable)
    shop.manage("makemigrations", "accounts")
    shop.set_up()
    urls, settings = (tmp_path / "shop" / f"{name}.py" for name in ("urls", "settings"))

    # Before: ours cannot be imported, as the page says.
    [error] = [block.text for block in blocks(OWN) if block.text.startswith("ModuleNotFound")]
    stock = urls.read_text()
    urls.write_text(stock + "from accounts.api.urls import drf\n")
    with pytest.raises(AssertionError, match=error.strip()):
        shop.manage("check")
    urls.write_text(stock)

    # The page's lines.
    [move] = code(OWN, "sh")
    subprocess.run(["bash", "-ec", move], cwd=tmp_path, check=True)
    config, installed = code(OWN, "python")
    apps = "from django.apps import AppConfig\n\n\n" + config
    (tmp_path / "shop" / "accounts" / "apps.py").write_text(apps)
    before = settings.read_text().replace("INSTALLED_APPS.insert(0, 'accounts')", "")
    [own, _] = run(installed).INSTALLED_APPS
    settings.write_text(before + f"INSTALLED_APPS.insert(0, {own!r})\n")
    [(words, answer)] = commands(OWN)
    assert shop.manage(*words[2:]).strip() == answer

    # Then adopt: it is the same user as before.
    shop.adopt(tmp_path, settings="\n")
    shop.manage("migrate", "--verbosity", "0")
    assert "no issues" in shop.manage("check", "--fail-level", "WARNING")
    with shop.served() as url:
        log_in_and_out(f"{url}/api/v1/auth", username="ana")
