"""SimpleJWT, as it comes: a logout blacklists the refresh token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.contrib.auth.models import User
from django.urls import path
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken
from rest_framework_simplejwt.utils import datetime_from_epoch
from rest_framework_simplejwt.views import TokenBlacklistView, TokenRefreshView

from benchmarks.comparison.project.drivers import Call, Login, post

BATCH: Final = 2_000

urlpatterns = [
    path("token/refresh", TokenRefreshView.as_view()),
    path("logout", TokenBlacklistView.as_view()),
]


def seed(users: Sequence[User]) -> list[Login]:
    """Begin logins as ``RefreshToken.for_user()`` does, many at once."""
    made = [_begin(user) for user in users]
    OutstandingToken.objects.bulk_create([row for row, _ in made], batch_size=BATCH)
    return [login for _, login in made]


def _begin(user: User) -> tuple[OutstandingToken, Login]:
    token = RefreshToken()
    token[api_settings.USER_ID_CLAIM] = str(user.pk)
    outstanding = OutstandingToken(
        user=user,
        jti=token[api_settings.JTI_CLAIM],
        token=str(token),
        created_at=token.current_time,
        expires_at=datetime_from_epoch(token["exp"]),
    )
    return outstanding, Login(authorization=f"Bearer {token.access_token}", refresh=str(token))


def refresh(login: Login) -> Call:
    """Return a refresh."""
    return post("/token/refresh", None, refresh=login.refresh)


def logout(login: Login) -> Call:
    """Return the end of the refresh token; the view asks for nothing else."""
    return post("/logout", None, refresh=login.refresh)


def logout_all(login: Login) -> None:
    """Return nothing: there is none."""
