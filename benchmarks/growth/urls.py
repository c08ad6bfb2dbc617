"""The project's addresses, and two views that are the floor of what a request can take."""

from __future__ import annotations

from django.db import connection, transaction
from django.urls import include, path
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.request import Request
from rest_framework.response import Response


@api_view(["GET"])
@authentication_classes([])
@permission_classes([])
def read_floor(request: Request) -> Response:
    """Check nothing."""
    return Response({})


@api_view(["POST"])
@authentication_classes([])
@permission_classes([])
def write_floor(request: Request) -> Response:
    """Insert one row, and commit it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("INSERT INTO floor (written_at) VALUES (now())")
    return Response({})


urlpatterns = [
    path("floor/read", read_floor),
    path("floor/write", write_floor),
    path("", include("authproject.urls")),
]
