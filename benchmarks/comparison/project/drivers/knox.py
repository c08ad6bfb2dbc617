"""django-rest-knox: opaque tokens, a row each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.contrib.auth.models import User
from django.urls import path
from django.utils import timezone
from knox.models import AuthToken, get_digest_token
from knox.settings import CONSTANTS, knox_settings
from knox.views import LogoutAllView, LogoutView

from benchmarks.comparison.project.drivers import Call, Login, post

BATCH: Final = 2_000

urlpatterns = [
    path("logout", LogoutView.as_view()),
    path("logout/all", LogoutAllView.as_view()),
]


def seed(users: Sequence[User]) -> list[Login]:
    """Begin logins as ``AuthToken.objects.create()`` does, many at once."""
    made = [(user, *get_digest_token()) for user in users]
    expiry = timezone.now() + knox_settings.TOKEN_TTL
    AuthToken.objects.bulk_create(
        [
            AuthToken(
                digest=digest,
                token_key=token[: CONSTANTS.TOKEN_KEY_LENGTH],
                user=user,
                expiry=expiry,
            )
            for user, digest, token in made
        ],
        batch_size=BATCH,
    )
    return [Login(authorization=f"Token {token}") for _, _, token in made]


def refresh(login: Login) -> None:
    """Return nothing: there is none."""


def logout(login: Login) -> Call:
    """Return the end of this login."""
    return post("/logout", login)


def logout_all(login: Login) -> Call:
    """Return the end of all logins."""
    return post("/logout/all", login)
