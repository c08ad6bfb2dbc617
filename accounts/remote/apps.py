"""How Django sets the app up, which has nothing but checks."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import Tags, register

from accounts.remote import checks


class RemoteConfig(AppConfig):
    """Tokens of another service."""

    name = "accounts.remote"
    label = "drf_logout_remote"

    def ready(self) -> None:
        """Register the checks: who does not have the app may have other plans."""
        register(checks.check_settings, Tags.compatibility)
        register(checks.check_deployment, Tags.security, deploy=True)
