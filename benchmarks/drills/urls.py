"""The example project's endpoints, and what stock code and hosts do beside them."""

from __future__ import annotations

from typing import Any, cast

from django.contrib.auth import get_user_model
from django.db import transaction
from django.urls import URLPattern, URLResolver, path
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import RefreshToken
from rest_framework_simplejwt.views import TokenBlacklistView, TokenObtainPairView

import authproject.urls

handler500 = authproject.urls.handler500


@api_view(["POST"])
@authentication_classes([])
@permission_classes([AllowAny])
def blacklist(request: Request) -> Response:
    """Blacklist a refresh token as a host's own code does, in a transaction of its own."""
    try:
        with transaction.atomic():
            token: Any = _data(request)["refresh"]  # Any: its annotation is of another type
            RefreshToken(token).blacklist()
    except TokenError:
        return Response({}, status=401)
    return Response({})


@api_view(["POST"])
@authentication_classes([])
@permission_classes([AllowAny])
def change_password(request: Request) -> Response:
    """Change a password as Django's own view does."""
    data = _data(request)
    user = get_user_model()._default_manager.get_by_natural_key(data["username"])
    user.set_password(data["password"])
    user.save()
    return Response({})


def _data(request: Request) -> dict[str, str]:
    return cast("dict[str, str]", request.data)


urlpatterns: list[URLPattern | URLResolver] = [
    *authproject.urls.urlpatterns,
    path("drill/obtain-view", TokenObtainPairView.as_view()),
    path("drill/blacklist-view", TokenBlacklistView.as_view()),
    path("drill/blacklist", blacklist),
    path("drill/password", change_password),
]
