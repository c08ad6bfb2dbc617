"""The routes, for each contract.

Include ``drf`` by ``path("api/v1/auth/", include("accounts.api.urls"))``; or ``v1``, ``plain``, or
the ``routes()`` of a contract of your own.

Include ``well_known`` at the root of the site, ``path("", include(accounts.api.urls.well_known))``,
for other services to find the public keys and the endpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.urls import URLPattern, path

from accounts.api import views
from accounts.api.contracts import DRF, PLAIN, V1, Contract
from accounts.api.views.well_known import jwks, metadata

# What is asked most comes first, for a route is sought from above.
ROUTES: Final[Sequence[tuple[str, type[views.ContractView], str]]] = (
    ("introspect", views.IntrospectView, "introspect"),
    ("token", views.TokenView, "token"),
    ("logout", views.LogoutView, "logout"),
    ("logout/all", views.LogoutAllView, "logout_all"),
    ("reauthenticate", views.ReauthenticateView, "reauthenticate"),
    ("sessions", views.SessionsView, "sessions"),
    ("sessions/<sid>", views.SessionView, "session"),
    ("user", views.UserView, "user"),
    ("revoke", views.RevokeView, "revoke"),
)


def routes(contract: Contract, app_name: str = "drf_logout") -> tuple[list[URLPattern], str]:
    """Return what ``include()`` takes; ``reverse("drf_logout:logout")`` finds a route of it.

    With a slash at its end a route answers the same. ``reverse()`` takes the last of a name: the
    one without; and a schema lists no other.
    """
    patterns = []
    for route, view, name in ROUTES:
        slashed = path(f"{route}/", view.as_view(contract=contract, schema=None), name=name)
        patterns += [slashed, path(route, view.as_view(contract=contract), name=name)]
    return patterns, app_name


drf: Final = routes(DRF)
v1: Final = routes(V1, "drf_logout_v1")
plain: Final = routes(PLAIN, "drf_logout_plain")

well_known: Final = (
    [
        path(".well-known/jwks.json", jwks, name="jwks"),
        path(".well-known/oauth-authorization-server", metadata, name="metadata"),
    ],
    "drf_logout_well_known",
)

# ``include("accounts.api.urls")`` is ``include(drf)``.
urlpatterns, app_name = drf
