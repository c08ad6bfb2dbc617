"""The pages that log in and out, and where a person proves that it is still them."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, RedirectURLMixin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.generic import FormView, TemplateView

from accounts import passwords
from accounts.pages.forms import LoginForm, PasswordForm
from accounts.pages.views.base import MemberMixin, PageMixin, PasswordMixin, after_logout, leave


@method_decorator(login_not_required, name="dispatch")
class LoginPage(PasswordMixin, LoginView):
    """Log in."""

    authentication_form = LoginForm
    template_name = "drf_logout/login.html"
    redirect_authenticated_user = True

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Log in, and remember the device."""
        response = super().form_valid(form)
        passwords.remember_device(self.request, response, form.get_user())
        return response


@method_decorator(login_not_required, name="dispatch")
class LogoutPage(PageMixin, TemplateView):
    """End this login; for who has none, it has ended already."""

    template_name = "drf_logout/logout.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Ask."""
        if not request.user.is_authenticated:
            return redirect(after_logout())
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Log out."""
        return leave(request, _("You have logged out."))


class ReauthenticatePage(PasswordMixin, MemberMixin, RedirectURLMixin, FormView):  # type: ignore[type-arg] # not generic at run time
    """Prove that it is still you, and go on to ``next``."""

    form_class = PasswordForm
    template_name = "drf_logout/reauthenticate.html"
    next_page = "drf_logout_pages:sessions"

    def get_form_kwargs(self) -> dict[str, Any]:
        """Add whose password it is."""
        return {**super().get_form_kwargs(), "request": self.request}

    def form_valid(self, form: PasswordForm) -> HttpResponse:
        """Mark the login, and go on."""
        self.reauthenticate(form)
        return super().form_valid(form)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add where to go on."""
        return super().get_context_data(next=self.get_redirect_url(), **kwargs)
