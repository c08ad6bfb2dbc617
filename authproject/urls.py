"""The routes of the example project: the same endpoints under both contracts."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from accounts.api.urls import plain, v1

urlpatterns = [
    path("admin/", admin.site.urls),
    path("account/", include("accounts.pages.urls")),
    path("api/v1/auth/", include(v1)),
    path("api/auth/", include(plain, namespace="drf_logout_plain_api")),
    path("", include(plain)),
]

handler500 = "accounts.api.views.server_error"
