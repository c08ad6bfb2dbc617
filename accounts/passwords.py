"""Proving who one is by password, within the limits on guessing.

Whatever tries a password comes through here. A stranger's attempts count by client address, by the
name that was tried and by the account that it names. The first two say when to wait; the last one
reads as a wrong password, for to say so would tell which names are an account's.

Who has logged in as this user before has a cookie that says so, and a count of its own in place of
these (OWASP: device cookies): what strangers try keeps nobody out of a device that was theirs.
"""

from __future__ import annotations

import secrets
import unicodedata
from datetime import timedelta
from typing import Final, NamedTuple

from django.conf import settings
from django.contrib.auth import authenticate, get_user_model
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponseBase
from django.utils.crypto import constant_time_compare, salted_hmac
from rest_framework.exceptions import Throttled

from accounts import audit
from accounts.conf import Rate, conf
from accounts.logins import is_allowed
from accounts.models import Session, User
from accounts.ratelimit import Attempts, address_key

NOT_A_NAME: Final = (ValueError, ValidationError)
"""What Django raises for text where the names of the host's users are numbers, or UUIDs."""

DEVICE_COOKIE: Final = "drf_logout_device"
DEVICE_MAX_AGE: Final = timedelta(days=365)


def find_user(*, email: str = "", username: str = "") -> User | None:
    """Find the one active user with this e-mail address, or who logs in with this username.

    The case of an address does not matter. One that is nobody's, or is shared, is tried as a
    username, as Django's backend would.
    """
    model = get_user_model()
    field = model.get_email_field_name()
    if email and field != model.USERNAME_FIELD and hasattr(model, field):
        matches = model._default_manager.filter(**{f"{field}__iexact": email})
        # What else is the same to the database is a matter of its language.
        users = [u for u in matches if u.is_active and _plain(getattr(u, field)) == _plain(email)]
        if len(users) == 1:
            return users[0]
    try:
        return model._default_manager.get_by_natural_key(username or email)
    except model.DoesNotExist:
        return None


def log_in(
    request: HttpRequest, *, email: str = "", username: str = "", password: str
) -> User | None:
    """Return the user who has this name and password, and may log in.

    Raises DRF's ``Throttled`` after too many wrong passwords; where they cannot be counted, after a
    few of any.
    """
    name, device = username or email, _device(request)
    attempts = [] if device else _of_stranger(request, name)
    try:
        known = find_user(email=email, username=username)
    except NOT_A_NAME:
        known = None
    if device and known is not None and constant_time_compare(device.owner, _owner(known)):
        attempts = [_attempt(request, "device", device.id)]
    else:
        attempts = attempts or _of_stranger(request, name)
        # Of the same cost where there is no account.
        account = f"user:{known.pk}" if known else f"nobody:{_plain(name)}"
        try:
            attempts.append(_attempt(request, "password", account))
        except Throttled:
            get_user_model()().set_password(password)  # takes as long as a wrong one
            return None
    # A name that is nobody's is tried all the same, for a failure to take as long.
    return _check(request, attempts, known.get_username() if known else name, password)


def confirm(
    request: HttpRequest, *, user: User, session: Session | None, password: str
) -> User | None:
    """Return the user, read anew, if the password is theirs; raises as ``log_in()`` does.

    It counts for the login that asks, ``session``, which no stranger has.
    """
    key = f"user:{user.pk}" if session is None else f"login:{session.sid}"
    attempts = [_attempt(request, "confirmation", key)]
    confirmed = _check(request, attempts, user.get_username(), password)
    return confirmed if confirmed == user else None


class Device(NamedTuple):
    """What a device's cookie says: which it is, and who has logged in there."""

    id: str
    owner: str


def remember_device(request: HttpRequest, response: HttpResponseBase, user: User) -> None:
    """Let a device that has just logged in keep a count of its own, until the password changes."""
    known, owner = _device(request), _owner(user)
    device = known if known and known.owner == owner else Device(secrets.token_hex(16), owner)
    response.set_signed_cookie(
        DEVICE_COOKIE,
        "-".join(device),
        salt=__name__,
        max_age=DEVICE_MAX_AGE,
        path=settings.SESSION_COOKIE_PATH,
        domain=settings.SESSION_COOKIE_DOMAIN,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Strict",
    )


def _device(request: HttpRequest) -> Device | None:
    """Return what the cookie of a device says; None if it is not of ours."""
    value = request.get_signed_cookie(
        DEVICE_COOKIE, default=None, salt=__name__, max_age=DEVICE_MAX_AGE
    )
    return Device(*value.split("-")) if value else None


def _owner(user: User) -> str:
    said = f"{user.pk}:{user.get_session_auth_hash()}"
    return salted_hmac(__name__, said, algorithm="sha256").hexdigest()


def _plain(name: str) -> str:
    """Return a name in the one spelling that all of its forms have."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


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


def _of_stranger(request: HttpRequest, name: str) -> list[Attempts]:
    address = _attempt(request, "address", address_key(request), conf.address_rate)
    return [address, _attempt(request, "password", f"name:{_plain(name)}")]


def _attempt(request: HttpRequest, name: str, key: str, rate: Rate | None = None) -> Attempts:
    try:
        return Attempts(request, name=name, key=key, rate=rate or conf.password_rate)
    except Throttled:
        event = audit.Event.RATE_LIMIT_EXCEEDED
        audit.log_refusal(request, event, action="password", reason="throttled")
        raise
