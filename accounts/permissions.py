"""Permissions that a login has to earn."""

from __future__ import annotations

from django.utils.translation import pgettext_lazy
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.sessions import current_session
from accounts.tokens import AccessToken


class RecentlyAuthenticated(BasePermission):
    """Allow a login, by token or by browser, that has been re-authenticated lately; others get 403.

    Lately means within ``ACCOUNTS["REAUTHENTICATION_MAX_AGE"]`` of a ``POST reauthenticate``.
    """

    message = pgettext_lazy("drf_logout", "Recent authentication required")
    code = "reauthentication_required"

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether the request's own login carries the mark."""
        if isinstance(request.auth, AccessToken):
            session = request.auth.session
        else:
            session = current_session(request._request)
            if session is not None and session.user_id != getattr(request.user, "pk", None):
                session = None
        return session is not None and session.recently_reauthenticated
