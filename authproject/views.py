"""The first page of the example project."""

from __future__ import annotations

from typing import Any

from django.conf import settings
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
