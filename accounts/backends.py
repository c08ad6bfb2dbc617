"""Logging in by e-mail address, for user models whose username is something else."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from accounts.models import User


class EmailBackend(ModelBackend):
    """Authenticate ``email`` and ``password``.

    Beside Django's ``ModelBackend`` in ``AUTHENTICATION_BACKENDS``, which takes usernames. Case
    does not matter. An address that several active users share logs in none of them.
    """

    def authenticate(  # type: ignore[override] # Django matches credentials by the signature
        self, request: HttpRequest | None, email: str | None = None, password: str | None = None
    ) -> User | None:
        """Return the one active user with this address and password."""
        if email is None or password is None:
            return None
        model = get_user_model()
        matches = model._default_manager.filter(
            **{f"{model.get_email_field_name()}__iexact": email}
        )
        users = [user for user in matches[:3] if self.user_can_authenticate(user)]
        if len(users) == 1 and users[0].check_password(password):
            return users[0]
        if len(users) != 1:
            # As long as for a user who exists, so that time does not tell who does.
            model().set_password(password)
        return None
