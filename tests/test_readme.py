"""README.md and the pages of docs/ say what is so."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pkgutil import resolve_name

import pytest
from django.contrib.auth import get_user_model
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import translation

from accounts import authentication, checks, conf
from accounts.api import contracts
from accounts.models import LogoutEvent, Session
from accounts.permissions import RecentlyAuthenticated
from tests.documents import DOCS, PAGES, ROOT, commands
from tests.http import PASSWORD, curl

README = (ROOT / "README.md").read_text()
EVERYTHING = "\n".join(path.read_text() for path in PAGES)


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text()


def test_the_readme_is_a_door():
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_file_that_is_linked_to_exists(path):
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target


def test_each_setting_is_documented_and_each_documented_one_exists():
    table = page("reference/settings").split("| setting | default | |\n")[1].split("\n\n")[0]
    assert re.findall(r"^\| `([A-Z_]+)` \|", table, flags=re.MULTILINE) == list(conf.DEFAULTS)


@pytest.mark.parametrize("name", ["LOGOUT_RATE", "PASSWORD_RATE", "ADDRESS_RATE"])
def test_the_documented_rates_are_the_defaults(name):
    assert f'| `{name}` | `"{conf.DEFAULTS[name]}"` |' in page("reference/settings")


@pytest.mark.parametrize("contract", ["drf_logout_v1", "drf_logout_plain"])
def test_each_endpoint_is_documented(contract):
    from accounts.api import urls

    text = page("reference/http-api")
    documented = set(re.findall(r"^\| `[A-Z]+ (\S+)` \|", text, flags=re.MULTILINE))
    routes, _ = urls.v1
    assert documented == {str(route.pattern).removesuffix("/") for route in routes}
    for route in routes:
        assert reverse(f"{contract}:{route.name}", args=["x"] * route.pattern.regex.groups)


def test_each_documented_message_is_one_of_the_api():
    said = [text for text in vars(contracts).values() if isinstance(text, contracts.Text)]
    said += [*contracts.ERRORS.values(), RecentlyAuthenticated.message]
    said += [authentication.EXPIRED, authentication.REVOKED]
    known = set()
    for language in contracts.LANGUAGES:
        with translation.override(language):
            known |= set(map(str, said))
    documented = re.findall(r'"(?:message|msg)": "([^"]+)"', page("reference/http-api"))
    assert documented
    assert set(documented) <= known


def test_each_check_is_documented_with_its_message():
    files = ("accounts/checks.py", "accounts/api/checks.py", "accounts/management/keys.py")
    source = "".join((ROOT / file).read_text() for file in files)
    text = page("reference/checks")
    documented = set(re.findall(r"^\| `drf_logout\.([EW]\d{3})` \|", text, flags=re.MULTILINE))
    assert documented == set(re.findall(r'(?:"|drf_logout\.)([EW]\d{3})"', source))
    told = re.findall(r'(?:what = |"[EW]\d{3}", )"([^"{]+)"', source)
    assert len(told) > 5
    for message in told:
        assert f"| {message} |" in text
    for wrong in checks.INEXACT_CACHES.values():
        assert wrong.partition(" ")[2].partition(":")[0] in text


def test_each_reason_is_documented():
    text = page("reference/services").split("| reason | |\n")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE) == LogoutEvent.Reason.values


def test_each_command_is_documented():
    commands = (ROOT / "accounts" / "management" / "commands").glob("[a-z]*.py")
    documented = re.findall(r"^## (\w+)$", page("reference/commands"), flags=re.MULTILINE)
    assert sorted(documented) == sorted(path.stem for path in commands)


NAMES = re.findall(r"`accounts\.([\w.]+)|^::: accounts\.([\w.]+)", EVERYTHING, flags=re.MULTILINE)


@pytest.mark.parametrize("name", sorted({either or other for either, other in NAMES}))
def test_each_name_that_is_mentioned_can_be_imported(name):
    if name == "Session":  # a model, by its label
        name = "models.Session"
    assert resolve_name(f"accounts.{name.rstrip('.')}")


# The table of standards


def requirements() -> list[tuple[set[str], set[str]]]:
    """Return each row: the sections that it is about, and the tests that show it."""
    rows = re.findall(
        r"^\| ([^|]+) \|.*\| ([^|]+) \|$", page("explanation/standards"), re.MULTILINE
    )
    return [
        (set(sections.split(", ")), set(re.findall(r"`(\w+)`", tests)))
        for sections, tests in rows
        if "`" in tests
    ]


def standards_of_the_tests() -> dict[str, set[str]]:
    """Return each test that says which sections of standards it shows."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "tests").glob("test_*.py")):
        if "pytest.mark.standard(" in path.read_text():
            for name, test in vars(import_module(f"tests.{path.stem}")).items():
                for mark in getattr(test, "pytestmark", []):
                    if mark.name == "standard":
                        found.setdefault(name, set()).update(mark.args)
    return found


def test_each_row_of_the_standards_names_tests_that_name_it_too():
    tests = standards_of_the_tests()
    rows = requirements()
    for sections, shown_by in rows:
        assert shown_by
        for name in shown_by:
            assert sections <= tests.get(name, set()), name
    assert set.union(*tests.values()) == set.union(*(sections for sections, _ in rows))


# "Log out": each request and the answer beside it.


def ask_for_tokens(**body: str) -> HttpResponse:
    return Client().post("/api/auth/token", body, content_type="application/json")


def log_in() -> dict[str, str]:
    return ask_for_tokens(grant_type="password", username="ana", password=PASSWORD).json()


def can_refresh(tokens: dict[str, str]) -> bool:
    answer = ask_for_tokens(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    return answer.status_code == 200


TOLD = commands("README.md", "Log out")
LOGOUTS = [call for call in TOLD if re.search("/(logout|sessions)", " ".join(call[0]))]


@pytest.mark.parametrize(
    ("example", "left"),
    list(zip(LOGOUTS, ["other, third", "this, third", "this, third", "this", "", ""], strict=True)),
    ids=["session", "token", "sid", "others", "refresh_tokens", "global"],
)
def test_a_logout_of_the_readme_answers_and_ends_what_it_says(user, example, left):
    command, answer = example
    logins = {name: log_in() for name in ("this", "other", "third")}
    rows = dict(zip(logins, Session.objects.order_by("authenticated_at"), strict=True))
    values = {
        "API": "/api/auth",
        "TOKEN": logins["this"]["access_token"],
        "OTHER": logins["other"]["refresh_token"],
        "SID": str(rows["other"].sid),
    }
    got = curl(command, **values)
    if answer:
        assert got.status_code == 200
        assert got.json() | {"timestamp": ""} == json.loads(answer) | {"timestamp": ""}
    else:
        assert (got.status_code, got.content) == (204, b"")
    assert ", ".join(filter(lambda name: can_refresh(logins[name]), logins)) == left


def test_the_login_of_the_readme_logs_in_and_is_refused_after_its_logout(db):
    get_user_model().objects.create_user("test", "test@example.com", "password123")
    values = {"API": "/api/auth"}
    said = []
    for command, answer in TOLD[1:4]:
        got = curl(command, **values).json()
        values.setdefault("TOKEN", got.get("access_token", ""))
        varying = {"access_token", "refresh_token", "timestamp"} & got.keys()
        said.append(got | dict.fromkeys(varying, "…"))
        assert said[-1] == json.loads(answer) | dict.fromkeys(varying, "…")
    assert len(said) == 3
