"""SimpleJWT with the recipe of ``project.recipe``."""

from __future__ import annotations

from django.urls import path
from rest_framework_simplejwt.views import TokenRefreshView

from benchmarks.comparison.project.drivers import Call, Login, post, simplejwt
from benchmarks.comparison.project.recipe.views import LogoutAllView, LogoutView

urlpatterns = [
    path("token/refresh", TokenRefreshView.as_view()),
    path("logout", LogoutView.as_view()),
    path("logout/all", LogoutAllView.as_view()),
]

seed = simplejwt.seed
refresh = simplejwt.refresh


def logout(login: Login) -> Call:
    """Return the end of both tokens."""
    return post("/logout", login, refresh=login.refresh)


def logout_all(login: Login) -> Call:
    """Return the end of all tokens."""
    return post("/logout/all", login)
