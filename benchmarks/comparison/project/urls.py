"""The floors, the view behind authentication, and the subject's own routes."""

from __future__ import annotations

from django.conf import settings
from django.urls import path
from django.utils.module_loading import import_string

from benchmarks.comparison.project import views

urlpatterns = [
    path("floor/read", views.ReadFloor.as_view()),
    path("floor/write", views.WriteFloor.as_view()),
    path("authenticated", views.Authenticated.as_view()),
    *import_string(f"{settings.COMPARISON_DRIVER}.urlpatterns"),
]
