"""Live logins in Django's admin: to see, and to end.

No page shows what a login is stored under, nor links to it: the primary key of a browser's is the
hash of its session key. ``sid`` names a login here.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth import get_user_model
from django.db.models import Model, Q, QuerySet
from django.forms import CheckboxInput
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts import services
from accounts.admin import devices
from accounts.admin.clock import to_the_minute
from accounts.admin.confirmation import by_administrator, confirmation, is_confirmed, report
from accounts.admin.paginator import BoundedPaginator
from accounts.admin.parameters import CheckedParameters
from accounts.admin.search import matching
from accounts.models import Session
from accounts.services import Reason
from accounts.sessions import current_session


class OwnerFilter(admin.SimpleListFilter):
    """The logins of one user, where a link led to them; it offers no others to choose from."""

    title = _("user")
    parameter_name = "user"

    def lookups(
        self,
        request: HttpRequest,
        model_admin: Any,  # Any: ModelAdmin is generic for the type checker alone
    ) -> list[tuple[str, str]]:
        """Return the user who is asked for."""
        if (key := self.value()) is None:
            return []
        if (user := get_user_model()._default_manager.filter(pk=key).first()) is None:
            raise IncorrectLookupParameters
        return [(key, user.get_username())]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Session]) -> QuerySet[Session]:
        """Keep the user's logins."""
        return queryset.filter(Q(user=self.value()))


@admin.register(Session)
class SessionAdmin(CheckedParameters, admin.ModelAdmin):  # type: ignore[type-arg] # not generic at run time
    """Who is logged in, where, since when and until when."""

    list_display = ("owner", "device", "last_seen", "logged_in", "ends", "ip_address", "kind")
    list_display_links = None
    list_filter = ("kind", OwnerFilter)
    list_select_related = ("user",)
    search_fields = ("user",)
    search_help_text = _(
        "The beginning of a username, a whole IP address or a whole session id. "
        "No more than 10,000 results are counted."
    )
    # Not by when it was last seen: each request writes that, so it has no index.
    sortable_by = ("logged_in",)
    ordering = ("-authenticated_at", "-sid")
    actions = ("end_selected",)
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    class Media:
        css = {"all": ["drf_logout/admin/lists.css"]}

    @admin.display(description=_("user"))
    def owner(self, session: Session) -> str:
        """Whose login it is."""
        return session.user.get_username() if session.user else ""

    @admin.display(description=_("device"))
    def device(self, session: Session) -> str:
        """What the login was made with."""
        return devices.shown(session.user_agent)

    @admin.display(description=_("logged in at"), ordering="authenticated_at")
    def logged_in(self, session: Session) -> str:
        """When it began."""
        return to_the_minute(session.authenticated_at)

    @admin.display(description=_("last seen at"))
    def last_seen(self, session: Session) -> str:
        """When it was last used, to a minute."""
        return to_the_minute(session.last_seen_at)

    @admin.display(description=_("ends at"))
    def ends(self, session: Session) -> str:
        """When it ends if it is not used until then."""
        return to_the_minute(session.expires_at)

    def action_checkbox(self, obj: Session) -> SafeString:
        """Name the login by its ``sid``, where Django's own would show the primary key."""
        label = _("Select this login for an action: %(login)s") % {"login": obj.sid}
        box = CheckboxInput({"class": "action-select", "aria-label": label}, lambda value: False)
        return box.render(ACTION_CHECKBOX_NAME, str(obj.sid))

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Find by their ``sid`` the logins that Django looks for by primary key."""
        if ACTION_CHECKBOX_NAME in request.POST:
            data = request.POST.copy()
            chosen = Session.objects.filter(sid__in=_uuids(data.getlist(ACTION_CHECKBOX_NAME)))
            # One that is nobody's stands for those that have ended meanwhile.
            data.setlist(ACTION_CHECKBOX_NAME, [login.pk for login in chosen] or [""])
            request.POST = data  # type: ignore[assignment] # as Django has it
        context = {"title": _("Live logins")}
        return super().changelist_view(request, context | (extra_context or {}))

    @admin.action(description=_("End selected logins"), permissions=["delete"])
    def end_selected(
        self, request: HttpRequest, queryset: QuerySet[Session]
    ) -> HttpResponse | None:
        """End logins, once that is confirmed."""
        if not queryset.exists():
            self.message_user(request, _("These logins have ended already."), messages.WARNING)
            return None
        if not is_confirmed(request):
            own = current_session(request)
            return confirmation(
                self,
                request,
                queryset,
                action="end_selected",
                key="sid",
                describe=self._describe,
                texts={
                    "title": _("End logins"),
                    "question": _("Are you sure you want to end these logins?"),
                    "meaning": _("Whoever uses them has to log in again."),
                    "warning": _("Your own login is among them.")
                    if own is not None and queryset.filter(pk=own.pk).exists()
                    else "",
                },
            )
        ended = services.end_sessions(
            # Without the joins of the list, whose rows are not to be locked.
            sessions=Session.objects.filter(pk__in=queryset.order_by().values("pk")),
            cause=by_administrator(request, Reason.ADMINISTRATIVE),
        ).sessions_ended
        report(
            self,
            request,
            ngettext("%(count)d login has ended.", "%(count)d logins have ended.", ended)
            % {"count": ended},
        )
        return None

    def _describe(self, session: Session) -> str:
        seen = _("last seen %(moment)s") % {"moment": self.last_seen(session)}
        parts = (self.owner(session), self.device(session), session.ip_address, seen)
        return " · ".join(filter(None, parts))

    def get_actions(
        self, request: HttpRequest, action_location: Any = None
    ) -> dict[str, Any]:  # Any: as Django has it, from 6.1 on with a location
        """Offer no deletion, which would pass the services by."""
        where = {"action_location": action_location} if action_location else {}
        actions = super().get_actions(request, **where)
        actions.pop("delete_selected", None)
        return actions

    def get_queryset(self, request: HttpRequest) -> QuerySet[Session]:
        """Return what is alive and has an owner."""
        return Session.objects.alive().filter(user__isnull=False)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Session], search_term: str
    ) -> tuple[QuerySet[Session], bool]:
        """Look a term up in the one column that it fits."""
        term = search_term.strip()
        username = f"user__{get_user_model().USERNAME_FIELD}"
        return (
            queryset.filter(matching(term, session="sid", username=username)) if term else queryset
        ), False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Refuse to be asked about columns that the list does not show, letter by letter."""
        return lookup in {"kind__exact", "user"}

    def get_urls(self) -> list[URLPattern]:
        """Leave the list alone: the pages of one login have its primary key in their address."""
        return [url for url in super().get_urls() if str(url.name).endswith("_changelist")]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: logins begin elsewhere."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse: a login is what it is."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Allow whom Django allows; and, of one login, whoever deletes the user that it goes with.

        No page deletes a single login. Django asks for one when it deletes what it belongs to.
        """
        return obj is not None or super().has_delete_permission(request)


def _uuids(texts: Iterable[str]) -> Iterator[uuid.UUID]:
    for text in texts:
        try:
            yield uuid.UUID(text)
        except ValueError:
            continue
