"""The routes, for each contract.

Include ``v1`` or ``plain``: ``path("api/v1/auth/", include(accounts.api.urls.v1))``.
"""

from __future__ import annotations

from typing import Final

from django.urls import URLPattern, path

from accounts.api import views
from accounts.api.contracts import PLAIN, V1, Contract


def _routes(contract: Contract) -> list[URLPattern]:
    return [
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


v1: Final = (_routes(V1), "drf_logout_v1")
plain: Final = (_routes(PLAIN), "drf_logout_plain")
