"""The host's users, as this app needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.base_user import AbstractBaseUser

if TYPE_CHECKING:
    # What the type checker takes the host's AUTH_USER_MODEL for.
    from django.contrib.auth.models import User
else:
    User = AbstractBaseUser


def password_hashes(user: User) -> list[str]:
    """Return the hashes that a login of this user may carry: a changed password ends it.

    With ``SECRET_KEY`` and with each of ``SECRET_KEY_FALLBACKS``, as Django's own sessions do.
    """
    return [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
