"""Proving who one is by password, within the limits on guessing."""

from __future__ import annotations

from typing import Final

from django.contrib.auth import authenticate
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from accounts import services
from accounts.conf import conf
from accounts.logins import is_allowed
from accounts.models import User
from accounts.ratelimit import Attempts, address_key

NOT_A_NAME: Final = (ValueError, ValidationError)
"""What Django raises for text where the names of the host's users are numbers, or UUIDs."""


def log_in(
    request: HttpRequest, *, email: str = "", username: str = "", password: str
) -> User | None:
    """Return the user who has this name and password, and may log in.

    Raises DRF's ``Throttled`` after too many wrong passwords; where they cannot be counted, after a
    few of any.
    """
    name = username or email
    attempts = [_from_address(request), _at(request, f"name:{name.casefold()}")]
    try:
        known = services.find_user(email=email, username=username)
    except NOT_A_NAME:
        return None
    if known is not None:
        # However it is named: by username, by address, in whatever spelling finds it.
        attempts.append(_at(request, f"user:{known.pk}"))
    # A name that is nobody's is tried all the same, for a failure to take as long.
    return _check(request, attempts, known.get_username() if known else name, password)


def confirm(request: HttpRequest, *, user: User, password: str) -> User | None:
    """Return the user, read anew, if the password is theirs; raises as ``log_in()`` does."""
    attempts = [_from_address(request), _at(request, f"user:{user.pk}")]
    confirmed = _check(request, attempts, user.get_username(), password)
    return confirmed if confirmed == user else None


def _check(
    request: HttpRequest, attempts: list[Attempts], username: str, password: str
) -> User | None:
    """Check a password; what succeeds does not count against the limits."""
    try:
        user = authenticate(request, username=username, password=password)
    except NOT_A_NAME:
        return None
    if user is None or not is_allowed(user):
        return None
    for attempt in attempts:
        attempt.succeed()
    return user


def _from_address(request: HttpRequest) -> Attempts:
    return Attempts(request, name="address", key=address_key(request), rate=conf.address_rate)


def _at(request: HttpRequest, account: str) -> Attempts:
    return Attempts(request, name="password", key=account, rate=conf.password_rate)
