"""How to work each subject: a module for each, which is a ``Driver``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from django.conf import settings as django_settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.urls import URLPattern, URLResolver
from django.utils.crypto import get_random_string


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """The tokens of a login; the authorization as its header has it."""

    authorization: str
    refresh: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A request."""

    method: str
    path: str
    body: str = ""
    authorization: str = ""
    content_type: str = "application/json"


class Driver(Protocol):
    """What a module of this package has. A call is None where the package has no such thing."""

    urlpatterns: Sequence[URLPattern | URLResolver]

    def seed(self, users: Sequence[User]) -> list[Login]:
        """Begin a login for each user, with the rows that the package itself would have made."""

    def refresh(self, login: Login) -> Call | None:
        """Return the refresh of a login."""

    def logout(self, login: Login) -> Call:
        """Return the end of one login."""

    def logout_all(self, login: Login) -> Call | None:
        """Return the end of all logins of a user."""


def driver() -> Driver:
    """Return the module that the settings name."""
    # Any: the setting is this project's own, which the type checker is not run with.
    settings: Any = django_settings
    module: Any = import_module(settings.COMPARISON_DRIVER)
    found: Driver = module
    return found


def post(path: str, login: Login | None, **body: Any) -> Call:  # Any: JSON
    """Return a call with a body of JSON."""
    authorization = login.authorization if login else ""
    return Call(method="POST", path=path, body=json.dumps(body), authorization=authorization)


def make_users(count: int) -> list[User]:
    """Make users who have never logged in."""
    password = make_password(None)
    return User.objects.bulk_create(
        User(username=get_random_string(20), password=password) for _ in range(count)
    )
