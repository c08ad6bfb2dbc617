"""The view behind each subject's authentication, and the floors: what costs no less."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from benchmarks.comparison.project.models import Entry

# Any: the type checker is run with settings of another project, where the model has no manager.
entries: Any = Entry


class Authenticated(APIView):
    """Says who asks, once the subject's authentication knows."""

    permission_classes: Any = (IsAuthenticated,)

    def get(self, request: Request) -> Response:
        """Answer."""
        return Response({"username": request.user.get_username()})


class ReadFloor(APIView):
    """Checks nothing."""

    authentication_classes: Any = ()
    permission_classes: Any = ()

    def get(self, request: Request) -> Response:
        """Answer."""
        return Response({"username": "whoever this may be"})


class WriteFloor(APIView):
    """Checks nothing, and commits one INSERT."""

    authentication_classes: Any = ()
    permission_classes: Any = ()

    def post(self, request: Request) -> Response:
        """Answer after the commit."""
        entries.objects.create(text="somebody was here")
        return Response({"success": True})
