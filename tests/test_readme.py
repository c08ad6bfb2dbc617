"""README.md says what is so."""

from __future__ import annotations

import re
from pkgutil import resolve_name

import pytest
from django.urls import reverse

from accounts import conf
from tests.host import ROOT

README = (ROOT / "README.md").read_text()


def section(heading: str) -> str:
    return README.split(f"## {heading}\n")[1].split("\n## ")[0]


def test_each_setting_is_documented_and_each_documented_one_exists():
    documented = re.findall(r"^\| `([A-Z_]+)` \|", section("Settings"), flags=re.MULTILINE)
    assert documented == list(conf.DEFAULTS)


@pytest.mark.parametrize("name", ["LOGOUT_RATE", "PASSWORD_RATE", "ADDRESS_RATE"])
def test_the_documented_rates_are_the_defaults(name):
    assert f'| `{name}` | `"{conf.DEFAULTS[name]}"` |' in section("Settings")


@pytest.mark.parametrize("contract", ["drf_logout_v1", "drf_logout_plain"])
def test_each_endpoint_is_documented(contract):
    from accounts.api import urls

    documented = set(re.findall(r"^\| `[A-Z]+ (\S+)` \|", section("Endpoints"), flags=re.MULTILINE))
    routes, _ = urls.v1
    assert documented == {str(route.pattern).removesuffix("/") for route in routes}
    for route in routes:
        assert reverse(f"{contract}:{route.name}", args=["x"] * route.pattern.regex.groups)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`accounts\.([\w.]+)", README))))
def test_each_name_that_is_mentioned_can_be_imported(name):
    if name == "Session":  # a model, by its label
        name = "models.Session"
    assert resolve_name(f"accounts.{name.rstrip('.')}")
