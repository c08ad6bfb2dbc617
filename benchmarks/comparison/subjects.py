"""Who is measured, and how each is set up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A way to log out: a settings module and a driver of the worker project bear its name."""

    name: str
    title: str
    about: str
    environment: str = ""
    """The folder of its environment; ours has none but the project's own."""
    packages: tuple[str, ...] = ()
    """What is installed there beside what everybody has, at these versions."""
    same: tuple[str, ...] = ()
    """What is installed there at the version that ours has."""


OURS: Final = Subject(
    name="ours",
    title="drf-logout",
    about="the example project's settings, with a LOGOUT_RATE that counts and never refuses",
)

SUBJECTS: Final = (
    OURS,
    Subject(
        name="simplejwt",
        title="SimpleJWT",
        about="rotation and blacklist on; to log out is its TokenBlacklistView",
        environment="simplejwt",
        same=("djangorestframework-simplejwt", "PyJWT"),
    ),
    Subject(
        name="recipe",
        title="SimpleJWT + access blacklist",
        about="the recipe: access tokens are blacklisted as well, and each request asks the list",
        environment="simplejwt",
        same=("djangorestframework-simplejwt", "PyJWT"),
    ),
    Subject(
        name="dj_rest_auth",
        title="dj-rest-auth",
        about="with JWTs in the header, rotation and blacklist on; its own views",
        environment="dj-rest-auth",
        packages=("dj-rest-auth==7.2.0",),
        same=("djangorestframework-simplejwt", "PyJWT"),
    ),
    Subject(
        name="knox",
        title="django-rest-knox",
        about="as it comes: opaque tokens, no refresh; its LogoutView and LogoutAllView",
        environment="django-rest-knox",
        packages=("django-rest-knox==5.1.0",),
    ),
)
