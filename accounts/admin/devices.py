"""Devices as the lists show them."""

from __future__ import annotations

from django.utils.text import Truncator

from accounts.pages.names import device_name


def shown(user_agent: str) -> str:
    """Return what a person calls the device, or else what it calls itself, as far as it fits."""
    return Truncator(device_name(user_agent) or user_agent).chars(40)
