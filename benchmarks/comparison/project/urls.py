"""The floors, the view behind authentication, and the subject's own routes."""

from __future__ import annotations

from django.urls import path

from benchmarks.comparison.project import views
from benchmarks.comparison.project.drivers import driver

urlpatterns = [
    path("floor/read", views.ReadFloor.as_view()),
    path("floor/write", views.WriteFloor.as_view()),
    path("authenticated", views.Authenticated.as_view()),
    *driver().urlpatterns,
]
