"""Permissions that a login has to earn."""

from __future__ import annotations

from django.utils.translation import pgettext_lazy
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.tokens import AccessToken


class RecentlyAuthenticated(BasePermission):
    """Allow a token login that has been re-authenticated lately; refuse others with 403.

    Lately means within ``ACCOUNTS["REAUTHENTICATION_MAX_AGE"]`` of a ``POST reauthenticate``.
    """

    message = pgettext_lazy("accounts", "Recent authentication required")
    code = "reauthentication_required"

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether the request's own login carries the mark."""
        session = request.auth.session if isinstance(request.auth, AccessToken) else None
        return session is not None and session.recently_reauthenticated
