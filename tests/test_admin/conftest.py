"""Fixtures of the admin's tests; each builds one thing."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission

from accounts.models import LogoutEvent
from tests.database import maintenance


@pytest.fixture
def record():
    """Put an event on record."""

    def create(**columns):
        columns = {
            "username": "ana",
            "initiator": "user",
            "reason": "logout",
            "scope": "session",
            "sessions_ended": 1,
            "tokens_revoked": 2,
        } | columns
        with maintenance():
            return LogoutEvent.objects.create(**columns)

    return create


@pytest.fixture
def staff_client(client):
    """A browser of someone who has every permission there is, short of being a superuser."""
    staff = get_user_model().objects.create_user("staff", is_staff=True)
    staff.user_permissions.set(Permission.objects.all())
    client.force_login(staff)
    return client


@pytest.fixture(params=["superuser", "staff"])
def browser(request):
    name = {"superuser": "admin_client", "staff": "staff_client"}[request.param]
    return request.getfixturevalue(name)


@pytest.fixture
def clerk(client):
    """A browser of someone who has just the permissions that are named."""

    def log_in(*codenames):
        staff = get_user_model().objects.create_user("clerk", is_staff=True)
        staff.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client.force_login(staff)
        return client

    return log_in
