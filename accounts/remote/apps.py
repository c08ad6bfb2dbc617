"""How Django sets the app up, which has nothing but checks."""

from __future__ import annotations

from django.apps import AppConfig


class RemoteConfig(AppConfig):
    """Tokens of another service."""

    name = "accounts.remote"
    label = "drf_logout_remote"

    def ready(self) -> None:
        """Register the checks."""
        from accounts.remote import checks  # noqa: F401, PLC0415 - whoever has the app has them
