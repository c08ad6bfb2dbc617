"""Logging out puts the access token on the blacklist, beside the refresh token."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken
from rest_framework_simplejwt.utils import datetime_from_epoch


class LogoutView(APIView):
    """Puts both tokens on the blacklist."""

    permission_classes: Any = (IsAuthenticated,)

    def post(self, request: Request) -> Response:
        """Log out."""
        body: Any = request.data  # Any: JSON
        RefreshToken(body["refresh"]).blacklist()
        _blacklist_access(request)
        return Response(status=205)


class LogoutAllView(APIView):
    """Puts every token of the user that is known on the blacklist, one by one."""

    permission_classes: Any = (IsAuthenticated,)

    def post(self, request: Request) -> Response:
        """Log out everywhere."""
        user: Any = request.user  # Any: it is nobody anonymous
        for token in OutstandingToken.objects.filter(user=user):
            BlacklistedToken.objects.get_or_create(token=token)
        return Response(status=205)


def _blacklist_access(request: Request) -> None:
    access: Any = request.auth  # Any: DRF declares no type for it
    outstanding, _ = OutstandingToken.objects.get_or_create(
        jti=access[api_settings.JTI_CLAIM],
        defaults={
            "user_id": request.user.pk,
            "token": str(access),
            "created_at": access.current_time,
            "expires_at": datetime_from_epoch(access["exp"]),
        },
    )
    BlacklistedToken.objects.get_or_create(token=outstanding)
