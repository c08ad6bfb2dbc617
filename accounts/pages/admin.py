"""An admin site whose passwords are tried within the limits on guessing.

For INSTALLED_APPS, in place of ``django.contrib.admin``: ``"accounts.apps.AdminConfig"``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts import passwords
from accounts.models import User
from accounts.pages.forms import LimitedMixin, LoginForm, show_limit


class AdminLoginForm(LoginForm, AdminAuthenticationForm):
    """The admin's form: for staff."""


class PasswordChangeForm(LimitedMixin, AdminPasswordChangeForm):
    """The admin's form for one's own password."""

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    def clean_old_password(self) -> str:
        """Check the password."""
        password: str = self.cleaned_data["old_password"]
        if self.confirm(self.request, password) is None:
            raise ValidationError(
                self.error_messages["password_incorrect"], code="password_incorrect"
            )
        return password


class PasswordChangePage(PasswordChangeView):
    """The admin's page for one's own password."""

    form_class = PasswordChangeForm

    def get_form_kwargs(self) -> dict[str, Any]:
        """Add which login asks."""
        return {**super().get_form_kwargs(), "request": self.request}

    def form_invalid(self, form: Any) -> HttpResponse:
        """Show what is wrong, and when to try again."""
        response = super().form_invalid(form)
        show_limit(form, response)
        return response


class AdminSite(admin.AdminSite):
    """Django's, within the limits."""

    login_form = AdminLoginForm
    limits_guessing = True
    """What a system check asks for."""

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Log in, and remember the device; or show what is wrong, and when to try again."""
        response = super().login(request, extra_context)
        if isinstance(response, TemplateResponse):
            form = (response.context_data or {})["form"]
            show_limit(form, response)
        elif request.method == "POST":
            passwords.remember_device(request, response, cast("User", request.user))
        return response

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Change one's own password."""
        request.current_app = self.name
        page: Callable[[HttpRequest], Any] = PasswordChangePage.as_view(
            template_name=self.password_change_template or PasswordChangePage.template_name,
            success_url=reverse("admin:password_change_done", current_app=self.name),
            extra_context={**self.each_context(request), **(extra_context or {})},
        )
        response: TemplateResponse = page(request)
        return response
