"""The routes of the pages: ``path("account/", include("accounts.pages.urls"))``."""

from __future__ import annotations

from django.urls import path
from django.views.generic import RedirectView

from accounts.pages import views

app_name = "drf_logout_pages"
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="drf_logout_pages:sessions")),
    path("login", views.LoginPage.as_view(), name="login"),
    path("logout", views.LogoutPage.as_view(), name="logout"),
    path("reauthenticate", views.ReauthenticatePage.as_view(), name="reauthenticate"),
    path("sessions", views.SessionsPage.as_view(), name="sessions"),
    path("sessions/end-others", views.EndOthersPage.as_view(), name="end_others"),
    path("sessions/end-all", views.EndAllPage.as_view(), name="end_all"),
    path("sessions/<uuid:sid>/end", views.EndSessionPage.as_view(), name="end_session"),
]
