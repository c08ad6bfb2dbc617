"""What every page has in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django.conf import settings
from django.contrib.auth import logout, update_session_auth_hash
from django.contrib.auth.mixins import AccessMixin
from django.contrib.auth.views import redirect_to_login
from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.generic.base import ContextMixin
from django.views.generic.edit import FormMixin

from accounts import audit, logins, services
from accounts.clients import ClientInfo, clear_site_data
from accounts.exceptions import TokenRevoked
from accounts.models import Session, SessionQuerySet, User
from accounts.pages import policy
from accounts.pages.devices import Device
from accounts.pages.forms import PasswordForm, show_limit
from accounts.pages.notices import leave_notice, take_notices
from accounts.sessions import SessionStore, current_session


@method_decorator([csrf_protect, never_cache], name="dispatch")
class PageMixin(ContextMixin, View):
    """A page of ours: never cached, under a strict policy, outside of ATOMIC_REQUESTS."""

    content_security_policy: policy.Directives = policy.STRICT
    """What ``policy.header()`` makes the header of; empty to send none."""

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., HttpResponseBase]:
        """Return the view function."""
        view = super().as_view(**initkwargs)
        return transaction.non_atomic_requests(using=services.database())(view)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer with the headers of a private page. Raises ``ImproperlyConfigured``."""
        if not isinstance(getattr(request, "session", None), SessionStore):
            raise ImproperlyConfigured(
                "accounts.pages needs SESSION_ENGINE = 'accounts.sessions' and Django's "
                "SessionMiddleware: it shows and ends the browser logins that are kept there."
            )
        # Django's reports of errors show no password.
        request.sensitive_post_parameters = "__ALL__"  # type: ignore[attr-defined] # as Django does
        response = self.answer(request, *args, **kwargs)
        response.headers["Referrer-Policy"] = "same-origin"
        if self.content_security_policy:
            value = policy.header(self.content_security_policy)
            response.headers["Content-Security-Policy"] = value
        return response

    def answer(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Do what the view does."""
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add what there is to say."""
        return super().get_context_data(notices=take_notices(self.request), **kwargs)

    def log(
        self, event: audit.Event, *, action: str, status: int = 302, session_id: object = None
    ) -> None:
        """Write a line of the security log, about what Django's signals do not tell of."""
        audit.log(
            event,
            action=action,
            target="session",
            success=status < 400,
            reason="password" if action in {"password", "reauthenticate"} else "logout",
            status=status,
            client=ClientInfo.from_request(self.request),
            user_id=self.request.user.pk,
            session_id=session_id,
        )


class PasswordMixin(PageMixin, FormMixin):  # type: ignore[type-arg] # not generic at run time
    """A page that asks for a password."""

    def form_invalid(self, form: Any) -> HttpResponse:
        """Show what is wrong, and when to try again."""
        response = super().form_invalid(form)
        show_limit(form, response)
        return response


class MemberMixin(PageMixin, AccessMixin):
    """A page for somebody whose browser is logged in."""

    session: Session

    def answer(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Find the login that the request came with, or ask to log in."""
        session = current_session(request) if request.user.is_authenticated else None
        if session is None:
            return self.handle_no_permission()
        self.session = session
        try:
            return super().answer(request, *args, **kwargs)
        except Http404:
            return render(request, "drf_logout/not_found.html", {"view": self}, status=404)
        except (TokenRevoked, SessionInterrupted):
            # The login ended while the request ran.
            request.session.flush()
            return redirect_to_login(request.get_full_path())

    def reauthenticate(self, form: PasswordForm) -> None:
        """Note that the password was right just now, and give the login a new key (ASVS 7.2.4)."""
        services.reauthenticate(session=self.session, user=form.user)
        update_session_auth_hash(self.request, form.user)
        self.log(audit.Event.LOGIN_SUCCESS, action="reauthenticate", session_id=self.session.sid)

    def live_logins(self) -> SessionQuerySet:
        """Return the user's logins that would be accepted now."""
        return logins.live_logins(cast("User", self.request.user)).defer("session_data")

    def device(self, session: Session) -> Device:
        """Return a login in words."""
        return Device(session=session, is_current=session.sid == self.session.sid)


def after_logout() -> str:
    """Return where a logout leads, as ``redirect()`` takes it."""
    return settings.LOGOUT_REDIRECT_URL or settings.LOGIN_URL


def leave(request: HttpRequest, text: str) -> HttpResponse:
    """Log out here as Django does; a receiver of its signal puts that on record."""
    logout(request)
    leave_notice(request, text)
    response = redirect(after_logout())
    if header := clear_site_data(request):
        response.headers["Clear-Site-Data"] = header
    return response
