"""dj-rest-auth, with SimpleJWT's tokens and its own views."""

from __future__ import annotations

from dj_rest_auth.jwt_auth import get_refresh_view
from dj_rest_auth.views import LogoutView
from django.urls import path

from benchmarks.comparison.project.drivers import Call, Login, post, simplejwt

urlpatterns = [
    path("token/refresh", get_refresh_view().as_view()),
    path("logout", LogoutView.as_view()),
]

seed = simplejwt.seed
refresh = simplejwt.refresh
logout_all = simplejwt.logout_all


def logout(login: Login) -> Call:
    """Return the end of the refresh token, as somebody who is logged in."""
    return post("/logout", login, refresh=login.refresh)
