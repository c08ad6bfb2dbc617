"""The routes of the example project: its pages, and the endpoints under two contracts."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from accounts.api.urls import plain, v1
from authproject.views import FirstPage, SinglePage

urlpatterns: list[URLPattern | URLResolver] = [
    path("", FirstPage.as_view(), name="first"),
    path("spa/", SinglePage.as_view(), name="spa"),
    path("admin/", admin.site.urls),
    path("account/", include("accounts.pages.urls")),
    path("api/v1/auth/", include(v1)),
    path("api/auth/", include(plain, namespace="drf_logout_plain_api")),
    path("", include(plain)),
]

handler500 = "accounts.api.views.server_error"
