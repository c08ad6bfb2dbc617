"""How Django sets the app up."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.contrib.admin import apps as admin
from django.utils.translation import gettext_lazy as _


class AdminConfig(admin.AdminConfig):
    """Django's admin, its passwords tried within the limits on guessing."""

    default = False
    default_site = "accounts.pages.admin.AdminSite"


class AccountsConfig(AppConfig):
    """Logins and their end."""

    name = "accounts"
    label = "drf_logout"
    verbose_name = _("Logins")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks and what drf-spectacular is told; connect the receivers."""
        # Models are not loaded yet when this module is imported.
        from accounts import receivers  # noqa: PLC0415
        from accounts.api import checks  # noqa: F401, PLC0415
        from accounts.management import keys  # noqa: F401, PLC0415

        receivers.connect_users()
        if apps.is_installed("drf_spectacular"):
            # It asks those who extend it to register before a schema is made.
            from accounts.api import openapi  # noqa: F401, PLC0415
