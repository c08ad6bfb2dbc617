"""The pages that show a person their logins, and end them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final, cast

from django import forms
from django.db.models import Case, Value, When
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.generic import FormView, ListView

from accounts import audit, services
from accounts.clients import ClientInfo
from accounts.conf import conf
from accounts.models import SessionQuerySet, User
from accounts.pages.devices import Device
from accounts.pages.forms import PasswordForm
from accounts.pages.notices import leave_notice
from accounts.pages.views.base import MemberMixin, PasswordMixin, leave

SESSIONS: Final = "drf_logout_pages:sessions"
NAMED: Final = 10
"""So many logins are named where several are about to end."""


class SessionsPage(MemberMixin, ListView):  # type: ignore[type-arg] # not generic at run time
    """The logins of a user: this one first, then the newest."""

    template_name = "drf_logout/sessions.html"
    paginate_by = 20

    def get_queryset(self) -> SessionQuerySet:
        """Return the live logins."""
        this_first = Case(When(sid=self.session.sid, then=Value(0)), default=Value(1))
        return self.live_logins().order_by(this_first, "-authenticated_at", "-sid")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Put the logins of this page into words."""
        context = super().get_context_data(**kwargs)
        context["devices"] = [self.device(session) for session in context["object_list"]]
        return context


class EndPage(PasswordMixin, MemberMixin, FormView, ABC):  # type: ignore[type-arg] # not generic at run time
    """Say what is about to end, ask for the password where that is set, and end it."""

    @abstractmethod
    def logins(self) -> SessionQuerySet:
        """Return what ends."""

    @abstractmethod
    def end(self, cause: services.Cause) -> HttpResponse:
        """End it, and say so."""

    @cached_property
    def asks_password(self) -> bool:
        """Whether the person has to prove first that it is still them (ASVS 7.5.2)."""
        return (
            "pages" in conf.reauthenticate_to_end_others
            and not self.session.recently_reauthenticated
            and self.logins().exclude(sid=self.session.sid).exists()
        )

    def get_form_class(self) -> type[forms.Form]:
        """Return a form that asks for the password, or for nothing."""
        return PasswordForm if self.asks_password else forms.Form

    def get_form_kwargs(self) -> dict[str, Any]:
        """Add whose password it is."""
        kwargs = super().get_form_kwargs()
        return {**kwargs, "request": self.request} if self.asks_password else kwargs

    def form_valid(self, form: forms.Form) -> HttpResponse:
        """End what was named."""
        if isinstance(form, PasswordForm):
            self.reauthenticate(form)
        return self.end(services.Cause(client=ClientInfo.from_request(self.request)))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Name what ends."""
        logins = self.logins()
        count = logins.count()
        devices = [self.device(session) for session in logins.order_by("-authenticated_at")[:NAMED]]
        return super().get_context_data(
            devices=devices, count=count, more=count - len(devices), **kwargs
        )


class EndSessionPage(EndPage):
    """End one login."""

    template_name = "drf_logout/end_session.html"

    @cached_property
    def named(self) -> Device:
        """The login. One that has ended, or is somebody else's, is not found."""
        login = self.live_logins().filter(sid=self.kwargs["sid"]).first()
        if login is None:
            raise Http404
        return self.device(login)

    def logins(self) -> SessionQuerySet:
        """Return the one."""
        return self.live_logins().filter(sid=self.named.session.sid)

    def end(self, cause: services.Cause) -> HttpResponse:
        """End it; this one as Django's own ``logout()`` does."""
        if self.named.is_current:
            return leave(self.request, _("You have logged out."))
        if not services.end_sessions(sessions=self.logins(), cause=cause).events:
            raise Http404
        self.log(
            audit.Event.SESSION_LOGOUT, action="end_session", session_id=self.named.session.sid
        )
        leave_notice(self.request, _("%(device)s is logged out.") % {"device": self.named.name})
        return redirect(SESSIONS)


class EndOthersPage(EndPage):
    """End all logins but this one."""

    template_name = "drf_logout/end_others.html"

    def logins(self) -> SessionQuerySet:
        """Return the others."""
        return self.live_logins().exclude(sid=self.session.sid)

    def end(self, cause: services.Cause) -> HttpResponse:
        """End them."""
        result = services.end_others(keep=self.session, cause=cause)
        self.log(audit.Event.SESSION_LOGOUT, action="end_others", session_id=self.session.sid)
        text = ngettext(
            "%(count)d other device is logged out.",
            "%(count)d other devices are logged out.",
            result.sessions_ended,
        )
        leave_notice(self.request, text % {"count": result.sessions_ended})
        return redirect(SESSIONS)


class EndAllPage(EndPage):
    """End every login, this one too."""

    template_name = "drf_logout/end_all.html"

    def logins(self) -> SessionQuerySet:
        """Return all of them."""
        return self.live_logins()

    def end(self, cause: services.Cause) -> HttpResponse:
        """End them, and log out here."""
        services.end_all(user=cast("User", self.request.user), cause=cause)
        self.log(audit.Event.SESSION_LOGOUT, action="end_all", session_id=self.session.sid)
        return leave(self.request, _("You have logged out on all devices."))
