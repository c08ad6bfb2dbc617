"""The host's user admin, which ends logins too."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth import admin as auth_admin
from django.contrib.auth.models import User

from accounts.admin import EndLoginsMixin

admin.site.unregister(User)


@admin.register(User)
class UserAdmin(EndLoginsMixin, auth_admin.UserAdmin):  # type: ignore[type-arg] # as Django has it
    """Django's own, and the two actions."""
