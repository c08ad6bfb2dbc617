"""What a host adds to its user admin, in one line: ending all logins of a user."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.options import IS_POPUP_VAR
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts import services
from accounts.admin.confirmation import by_administrator, confirmation, is_confirmed, report
from accounts.admin.parameters import CheckedParameters
from accounts.models import Session, User
from accounts.services import Cause, LogoutResult, Reason


class EndLoginsMixin(CheckedParameters):
    """For a host's user admin: ``class UserAdmin(EndLoginsMixin, auth_admin.UserAdmin)``.

    Two actions, for whoever may change the users that are chosen, and a link from a user's page to
    their live logins.
    """

    def get_actions(
        self, request: HttpRequest, action_location: Any = None
    ) -> dict[str, Any]:  # Any: as Django has it, from 6.1 on with a location
        """Offer them beside the host's own, whatever it sets ``actions`` to."""
        where = {"action_location": action_location} if action_location else {}
        actions = super().get_actions(request, **where)
        if IS_POPUP_VAR in request.GET or not self.has_change_permission(request):
            return actions
        ours = ("log_out_everywhere", "secure_accounts")
        offered = {name: self.get_action(name, **where) for name in ours}
        return actions | {name: action for name, action in offered.items() if action}

    @admin.action(description=_("Log out everywhere"))
    def log_out_everywhere(
        self, request: HttpRequest, queryset: QuerySet[User]
    ) -> HttpResponse | None:
        """End every login of these users, once that is confirmed."""
        self._require_change_permission(request, queryset)
        if not is_confirmed(request):
            return self._ask(
                request,
                queryset,
                action="log_out_everywhere",
                texts={
                    "title": _("Log out everywhere"),
                    "question": _("Are you sure you want to log these users out everywhere?"),
                    "meaning": _("Every login of theirs ends, on all of their devices."),
                },
            )
        done = _each(queryset, services.end_all, by_administrator(request, Reason.ADMINISTRATIVE))
        report(
            self,
            request,
            ngettext(
                "%(count)d user is logged out everywhere.",
                "%(count)d users are logged out everywhere.",
                done,
            )
            % {"count": done},
        )
        return None

    @admin.action(description=_("It was not them: secure the account"))
    def secure_accounts(
        self, request: HttpRequest, queryset: QuerySet[User]
    ) -> HttpResponse | None:
        """Shut whoever else got in out of these accounts, once that is confirmed."""
        self._require_change_permission(request, queryset)
        if not is_confirmed(request):
            return self._ask(
                request,
                queryset,
                action="secure_accounts",
                texts={
                    "title": _("Secure accounts"),
                    "question": _(
                        "Are you sure you want to secure these accounts, "
                        "which somebody else got into?"
                    ),
                    "meaning": _(
                        "Every login of theirs ends, on all of their devices, and their password "
                        "becomes worthless. To log in again they need to reset their password, "
                        "or you set a new one."
                    ),
                },
            )
        done = _each(
            queryset, services.secure_account, by_administrator(request, Reason.COMPROMISED)
        )
        report(
            self,
            request,
            ngettext(
                "%(count)d account is secured. Its user needs a new password.",
                "%(count)d accounts are secured. Their users need a new password.",
                done,
            )
            % {"count": done},
        )
        return None

    def _require_change_permission(self, request: HttpRequest, users: Iterable[User]) -> None:
        # Of each, for a host may let some administrators change some users only.
        if not all(self.has_change_permission(request, user) for user in users):
            raise PermissionDenied

    def _ask(
        self,
        request: HttpRequest,
        queryset: QuerySet[User],
        *,
        action: str,
        texts: Mapping[str, str | Promise],
    ) -> HttpResponse:
        own = queryset.filter(pk__in=[request.user.pk]).exists()
        warning = _("You are among them: your own login ends too.") if own else ""
        return confirmation(
            self,
            request,
            queryset,
            action=action,
            key="pk",
            describe=str,
            texts={**texts, "warning": warning},
        )

    @admin.display(description=_("live logins"))
    def live_logins(self, user: User) -> str:
        """Link to the list of the user's live logins."""
        count = Session.objects.alive().of(user).count()
        list_of_all = reverse(f"{self.admin_site.name}:drf_logout_session_changelist")
        return format_html(
            '<a href="{}?{}">{}</a>',
            list_of_all,
            urlencode({"user": user.pk}),
            ngettext("%(count)d login", "%(count)d logins", count) % {"count": count},
        )

    def get_readonly_fields(
        self, request: HttpRequest, obj: User | None = None
    ) -> Any:  # Any: as Django has it
        """Let the link to the live logins be shown, to whoever may follow it."""
        fields = super().get_readonly_fields(request, obj)
        shown = obj is not None and self._shows_logins(request)
        return [*fields, "live_logins"] if shown else fields

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:  # Any: as above
        """Show the link at the end of a user's page."""
        fieldsets = super().get_fieldsets(request, obj)
        if "live_logins" in flatten_fieldsets(fieldsets) or "live_logins" not in (
            self.get_readonly_fields(request, obj)
        ):
            return fieldsets
        return [*fieldsets, (_("Logins"), {"fields": ["live_logins"]})]

    def _shows_logins(self, request: HttpRequest) -> bool:
        site = self.admin_site
        return site.is_registered(Session) and site.get_model_admin(Session).has_view_permission(
            request
        )


def _each(users: QuerySet[User], service: Callable[..., LogoutResult], cause: Cause) -> int:
    for user in users:
        service(user=user, cause=cause)
    return len(users)
