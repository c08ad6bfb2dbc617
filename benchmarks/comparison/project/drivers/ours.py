"""drf-logout, of this checkout."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Sequence
from functools import cache
from typing import Final
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.urls import include, path
from django.utils import timezone
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from accounts import tokens
from accounts.api.urls import v1
from accounts.models import Client, Session, TokenVersion
from benchmarks.comparison.project.drivers import Call, Login, post

AUTH: Final = "/api/v1/auth"
BATCH: Final = 2_000

urlpatterns = [path("api/v1/auth/", include(v1))]


def seed(users: Sequence[User]) -> list[Login]:
    """Begin logins as ``accounts.services.log_in()`` does, many at once."""
    TokenVersion.objects.bulk_create(
        [TokenVersion(user=user) for user in dict.fromkeys(users)], ignore_conflicts=True
    )
    made = [_begin(user) for user in users]
    Session.objects.bulk_create([session for session, _, _ in made], batch_size=BATCH)
    OutstandingToken.objects.bulk_create([row for _, row, _ in made], batch_size=BATCH)
    return [login for _, _, login in made]


def _begin(user: User) -> tuple[Session, OutstandingToken, Login]:
    now = timezone.now()
    sid = uuid.uuid4()
    token = tokens.RefreshToken()
    token[api_settings.USER_ID_CLAIM] = str(user.pk)
    tokens.bind(token, sid)
    session = Session(
        session_key=sid.hex,
        sid=sid,
        user=user,
        kind=Session.Kind.TOKEN,
        auth_hash=user.get_session_auth_hash(),
        authenticated_at=now,
        last_seen_at=now,
        refresh_jti=token.jti,
        ip_address="127.0.0.1",
    )
    tokens.limit(token, session.absolute_end)
    session.expire_date = token.expires_at
    outstanding = OutstandingToken(
        user=user, jti=token.jti, token="", created_at=now, expires_at=token.expires_at
    )
    login = Login(authorization=f"Bearer {token.access_token}", refresh=str(token))
    return session, outstanding, login


def refresh(login: Login) -> Call:
    """Return a refresh."""
    return post(f"{AUTH}/token", None, grant_type="refresh_token", refresh_token=login.refresh)


def logout(login: Login) -> Call:
    """Return the end of this login."""
    return post(f"{AUTH}/logout", login, scope="session")


def logout_all(login: Login) -> Call:
    """Return the end of all logins."""
    return post(f"{AUTH}/logout/all", login)


def introspect(authorization: str) -> Call:
    """Return a registered client's question about a bearer."""
    return Call(
        method="POST",
        path=f"{AUTH}/introspect",
        body=urlencode({"token": authorization.removeprefix("Bearer ")}),
        authorization=_client(),
        content_type="application/x-www-form-urlencoded",
    )


@cache
def _client() -> str:
    """Register a client of this process; return how it authenticates."""
    client = Client(client_id=uuid.uuid4().hex)
    pair = f"{client.client_id}:{client.renew_secret()}"
    client.save()
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
