"""How Django sets the app up."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    """Logins and their end."""

    name = "accounts"
    label = "drf_logout"
    verbose_name = _("Logins")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks and connect the receivers."""
        # Models are not loaded yet when this module is imported.
        from accounts import checks, receivers  # noqa: F401, PLC0415

        receivers.connect_users()
