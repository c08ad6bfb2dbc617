"""The routes, for each contract.

Include ``drf``: ``path("api/v1/auth/", include(accounts.api.urls.drf))``; or ``v1``, ``plain``, or
the ``routes()`` of a contract of your own.
"""

from __future__ import annotations

from typing import Final

from django.urls import URLPattern, path

from accounts.api import views
from accounts.api.contracts import DRF, PLAIN, V1, Contract


def routes(contract: Contract, app_name: str = "drf_logout") -> tuple[list[URLPattern], str]:
    """Return what ``include()`` takes; ``reverse("drf_logout:logout")`` finds a route of it."""
    patterns = [
        path("token", views.TokenView.as_view(contract=contract), name="token"),
        path("logout", views.LogoutView.as_view(contract=contract), name="logout"),
        path("logout/all", views.LogoutAllView.as_view(contract=contract), name="logout_all"),
        path(
            "reauthenticate",
            views.ReauthenticateView.as_view(contract=contract),
            name="reauthenticate",
        ),
        path("sessions", views.SessionsView.as_view(contract=contract), name="sessions"),
        path("sessions/<sid>", views.SessionView.as_view(contract=contract), name="session"),
        path("user", views.UserView.as_view(contract=contract), name="user"),
    ]
    return patterns, app_name


drf: Final = routes(DRF)
v1: Final = routes(V1, "drf_logout_v1")
plain: Final = routes(PLAIN, "drf_logout_plain")
