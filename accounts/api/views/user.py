"""The example of a protected endpoint."""

from __future__ import annotations

from typing import cast

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.views.base import ContractView
from accounts.authentication import JWTAuthentication
from accounts.models import User


class UserView(ContractView):
    """``GET user``: who the bearer is."""

    authentication_classes = (JWTAuthentication,)

    def get(self, request: Request) -> Response:
        """Return the user."""
        user = cast("User", request.user)
        return Response(
            {
                "id": user.pk,
                "username": user.get_username(),
                "email": getattr(user, user.get_email_field_name(), ""),
            }
        )
