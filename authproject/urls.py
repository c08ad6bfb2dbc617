"""The routes of the example project: its pages, and the endpoints under two contracts."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularAPIView

from accounts.api.urls import plain, v1, well_known
from authproject.docs import SwaggerView
from authproject.views import FirstPage, SinglePage

urlpatterns: list[URLPattern | URLResolver] = [
    path("", FirstPage.as_view(), name="first"),
    path("spa/", SinglePage.as_view(), name="spa"),
    path("admin/", admin.site.urls),
    path("account/", include("accounts.pages.urls")),
    path("docs/", SwaggerView.as_view(url_name="schema"), name="docs"),
    path("docs/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/v1/auth/", include(v1)),
    path("api/auth/", include(plain, namespace="drf_logout_plain_api")),
    path("", include(plain)),
    path("", include(well_known)),
]

handler500 = "accounts.api.views.server_error"
