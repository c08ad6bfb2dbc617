"""The first page of the example project, and the page of its single-page application."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.generic import TemplateView

from accounts.pages.views.base import PageMixin
from authproject.management.commands import demo


class FirstPage(PageMixin, TemplateView):
    """What runs here, and a panel to try the API."""

    template_name = "authproject/first.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add whom to log in as: with DEBUG alone, for a deployment has no such user."""
        user = {"name": demo.EMAIL, "password": demo.PASSWORD} if settings.DEBUG else None
        return super().get_context_data(demo=user, **kwargs)


class SinglePage(PageMixin, TemplateView):
    """The application of ``examples/spa``, as Vite has built it; or else how to build it."""

    template_name = "authproject/spa.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Answer with the one page; what it loads is among the static files."""
        page = settings.SPA_DIR / "index.html"
        if page.is_file():
            return HttpResponse(page.read_bytes())
        return super().get(request, *args, **kwargs)
