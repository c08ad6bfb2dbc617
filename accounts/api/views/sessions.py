"""The endpoints that show a user their logins, and end one of them."""

from __future__ import annotations

import uuid
from datetime import UTC
from typing import Any, cast

from django.conf import settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import audit, services
from accounts.api.contracts import timestamp
from accounts.api.views.base import ContractView, login_token
from accounts.api.views.logout import is_within_alone
from accounts.conf import conf
from accounts.logins import live_logins
from accounts.models import Session, User
from accounts.pages.names import device_name
from accounts.ratelimit import rate_limit
from accounts.services import Cause


class NewestFirst(CursorPagination):
    """Pages of fifty logins, newest first; one that begins meanwhile shifts none of them."""

    page_size = 50
    ordering = ("-authenticated_at", "-sid")

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Return where the page begins. Raises ``NotFound`` for a cursor that is not ours."""
        cursor = super().decode_cursor(request)
        if cursor is not None and cursor.position is not None:
            try:
                moment = parse_datetime(str(cursor.position))
                if moment is None or timezone.is_aware(moment) != settings.USE_TZ:
                    raise NotFound
                moment.astimezone(UTC)
            except (ValueError, OverflowError) as error:
                raise NotFound from error
        return cursor


class SessionsView(ContractView):
    """``GET sessions``: the user's live logins, by browser and by token."""

    def get(self, request: Request) -> Response:
        """Return one page of them."""
        current = login_token(request).sid
        logins = live_logins(cast("User", request.user)).defer("session_data")
        paginator = NewestFirst()
        page: list[Session] = paginator.paginate_queryset(logins, request, self) or []
        return paginator.get_paginated_response([shown(session, current) for session in page])


class SessionView(ContractView):
    """``DELETE sessions/<id>``: end one login of the user."""

    http_method_names = ["delete"]

    sid: uuid.UUID | None = None
    user_id: str | None = None

    def rate_key(self, request: Request) -> str:
        """Return the user as a key, as it is one at ``logout``."""
        return f"user:{login_token(request).user_id}"

    def may_leave(self, request: Request) -> bool:
        """Whether a login ends itself, as at ``logout``."""
        token = login_token(request)
        return self.kwargs["sid"] == str(token.sid) or is_within_alone(request, token)

    @rate_limit("logout", rate=lambda: conf.logout_rate, key=rate_key, unless=may_leave)
    def delete(self, request: Request, sid: str) -> Response:
        """End it. An id that is unknown, or somebody else's, is not found."""
        token = login_token(request)
        self.user_id = token.user_id
        try:
            self.sid = uuid.UUID(sid)
        except ValueError as error:
            raise NotFound from error
        if self.sid != token.sid:
            services.require_recent_authentication(token.session)
        result = services.end_sessions(
            sessions=live_logins(cast("User", request.user)).filter(sid=self.sid),
            cause=Cause(client=self.client),
        )
        if not result.events:
            raise NotFound
        self.reason = "logout"
        return Response(status=204)

    def log_answer(self, status: int) -> None:
        """Log which login ended, and who asked."""
        self.log(
            audit.Event.SESSION_LOGOUT,
            action="end_session",
            status=status,
            user_id=self.user_id,
            session_id=self.sid,
        )


def shown(session: Session, current: uuid.UUID | None) -> dict[str, Any]:  # Any: JSON
    """Return a login as it is written."""
    return {
        "id": str(session.sid),
        "kind": session.kind,
        "current": session.sid == current,
        "created_at": timestamp(session.authenticated_at),  # type: ignore[arg-type] # a login has both
        "last_seen_at": timestamp(session.last_seen_at),  # type: ignore[arg-type] # as above
        "expires_at": timestamp(session.expires_at),
        "ip_address": session.ip_address,
        "user_agent": session.user_agent,
        "device": device_name(session.user_agent),
    }
