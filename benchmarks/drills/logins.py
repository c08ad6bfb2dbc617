"""Logins to try things on, and what is left of them."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from benchmarks.drills.client import NO_ANSWER, Answer, Client

TRIES: Final = 100
"""So often a question is asked that the server fails to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A login of a user of its own, with its tokens as the user's device has them."""

    sid: uuid.UUID
    refresh_jti: str
    access: str
    expired_access: str
    refresh: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What the tables have of a login."""

    row: bool
    events: int
    blacklisted: bool
    """Whether SimpleJWT's blacklist has its refresh token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What is left of a login: in the tables, and by the statuses its tokens are answered with."""

    records: Records
    access: int
    refresh: int


RECORDS_OF_WHOLE = Records(row=True, events=0, blacklisted=False)
RECORDS_OF_ENDED = Records(row=False, events=1, blacklisted=True)
WHOLE = Remains(records=RECORDS_OF_WHOLE, access=200, refresh=200)
ENDED = Remains(records=RECORDS_OF_ENDED, access=401, refresh=400)
"""Nothing at all has happened to it; it is dead all over, and on record exactly once."""


def begin(count: int) -> Iterator[Login]:
    """Log in so many users, each once."""
    for _ in range(count):
        yield log_in(create_user())


def create_user(password: str | None = None) -> Any:  # Any: whatever model the project has
    """Create a user; without a password, one who cannot log in by one."""
    # These are ready only when Django has been set up.
    from django.contrib.auth import get_user_model  # noqa: PLC0415

    # Its manager's create_user() is Django's, not the protocol's.
    users: Any = get_user_model()
    return users.objects.create_user(username=uuid.uuid4().hex, password=password)


def log_in(user: Any) -> Login:  # Any: as above
    """Log a user in on one more device."""
    from accounts import services  # noqa: PLC0415 - as above
    from accounts.clients import ClientInfo  # noqa: PLC0415 - as above

    pair = services.log_in(user=user, client=ClientInfo())
    login = answered({"access_token": str(pair.access), "refresh_token": str(pair.refresh)})
    pair.access["exp"] = pair.access["iat"] - 1
    return replace(login, expired_access=str(pair.access))


def refreshed(login: Login, tokens: dict[str, str]) -> Login:
    """Return the login with the tokens that a refresh was answered with."""
    return replace(answered(tokens), expired_access=login.expired_access)


def answered(tokens: dict[str, str]) -> Login:
    """Return the login that the API has answered with."""
    from accounts.tokens import decode_refresh  # noqa: PLC0415 - as above

    access, refresh = tokens["access_token"], tokens["refresh_token"]
    token = decode_refresh(refresh)
    if token.sid is None:
        raise TypeError("a token of ours names its login")
    return Login(
        sid=token.sid, refresh_jti=token.jti, access=access, expired_access="", refresh=refresh
    )


def examine(logins: Sequence[Login], client: Client) -> Iterator[Remains]:
    """Look what is left of each login; its tokens are used for that."""
    for login, records in zip(logins, look_up(logins), strict=True):
        access = _verdict(partial(client.user, login.access))
        refresh = _verdict(partial(client.refresh, login.refresh))
        yield Remains(records=records, access=access, refresh=refresh)


def _verdict(ask: Callable[[], Answer]) -> int:
    """Ask until the answer is about the login; a server comes back with broken connections."""
    for _ in range(TRIES):
        status = ask().status
        if status not in {500, NO_ANSWER}:
            break
        time.sleep(0.1)
    return status


def look_up(logins: Sequence[Login]) -> list[Records]:
    """Look up what the tables have of each login."""
    from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken  # noqa: PLC0415

    from accounts.models import LogoutEvent, Session  # noqa: PLC0415

    rows = set(Session.objects.values_list("sid", flat=True))
    events = Counter(LogoutEvent.objects.values_list("session_id", flat=True))
    blacklisted = set(BlacklistedToken.objects.values_list("token__jti", flat=True))
    return [
        Records(
            row=login.sid in rows,
            events=events[login.sid],
            blacklisted=login.refresh_jti in blacklisted,
        )
        for login in logins
    ]
