"""The forms: a password, and what to say where it is not accepted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from typing import Any, cast

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy
from rest_framework.exceptions import Throttled

from accounts import passwords
from accounts.models import User
from accounts.sessions import current_session


class LimitedMixin(forms.Form):
    """A form whose password is checked within the limits on guessing."""

    status = 200
    """Of the answer that shows the form."""
    retry_after: int | None = None
    """After so many seconds another attempt is allowed."""

    @contextmanager
    def within_limits(self) -> Iterator[None]:
        """Turn a limit that is in the way into an error of the form."""
        try:
            yield
        except Throttled as error:
            self.status, self.retry_after = 429, ceil(error.wait)  # type: ignore[attr-defined] # the stubs leave it out
            raise ValidationError(
                ngettext_lazy(
                    "Too many attempts. Try again in %(minutes)d minute.",
                    "Too many attempts. Try again in %(minutes)d minutes.",
                    "minutes",
                ),
                code="throttled",
                params={"minutes": ceil(self.retry_after / 60)},
            ) from error

    def confirm(self, request: HttpRequest, password: str) -> User | None:
        """Return who is logged in, read anew, if the password is theirs."""
        claimed, session = cast("User", request.user), current_session(request)
        with self.within_limits():
            return passwords.confirm(request, user=claimed, session=session, password=password)


def show_limit(form: LimitedMixin, response: HttpResponse) -> None:
    """Let the answer that shows the form tell of the limit that was in the way, if one was."""
    response.status_code = form.status
    if form.retry_after is not None:
        response.headers["Retry-After"] = str(form.retry_after)


class LoginForm(LimitedMixin, AuthenticationForm):
    """Django's form, within the limits on guessing."""

    def clean(self) -> dict[str, Any]:
        """Check the password."""
        username = self.cleaned_data.get("username")
        password = self.cleaned_data.get("password")
        if username and password:
            with self.within_limits():
                # The view gives it.
                request = cast("HttpRequest", self.request)
                user = passwords.log_in(request, username=username, password=password)
            if user is None:
                raise self.get_invalid_login_error()
            self.confirm_login_allowed(user)
            self.user_cache = user
        return self.cleaned_data


class PasswordForm(LimitedMixin):
    """The password of whoever is logged in, once more."""

    password = forms.CharField(
        label=_("Password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )

    user: User
    """Who it is, read anew; there once the form is valid."""

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    def clean_password(self) -> str:
        """Check the password."""
        password: str = self.cleaned_data["password"]
        user = self.confirm(self.request, password)
        if user is None:
            raise ValidationError(_("Wrong password."), code="wrong_password")
        self.user = user
        return password
