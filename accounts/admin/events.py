"""The audit record in Django's admin: to browse, never to change.

Every page is one of a few indexed queries, however long the record has grown.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import Max, Min, Q, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts.admin import devices
from accounts.admin.chart import draw
from accounts.admin.clock import local, midnight, to_the_second
from accounts.admin.export import FORMATS, export
from accounts.admin.paginator import BoundedPaginator
from accounts.admin.parameters import CheckedParameters
from accounts.admin.search import matching
from accounts.models import LogoutEvent, LogoutEventQuerySet


class BrowsedPeriod(LogoutEventQuerySet):
    """A period of the record, as the date hierarchy asks for it."""

    def datetimes(  # type: ignore[override] # a list serves the one caller, the template tag
        self, field_name: str, kind: str, order: str = "ASC", tzinfo: Any = None
    ) -> list[datetime]:
        """Return every period between the first and the last event, busy or not.

        Django's own looks at each row of the table to leave the empty ones out.
        """
        bounds = self.aggregate(first=Min(field_name), last=Max(field_name))
        if bounds["first"] is None:
            return []
        first, last = (local(bounds[end]).date() for end in ("first", "last"))
        days = (first + timedelta(days=n) for n in range((last - first).days + 1))
        return [midnight(start) for start in sorted({_start(day, kind) for day in days})]


class BrowsedRecord(BrowsedPeriod):
    """The record without a period, whose index on time would not be of use."""

    def aggregate(
        self,
        *args: Any,
        **kwargs: Any,  # Any: Django's own signature
    ) -> dict[str, Any]:
        """Return the time of the first event and of the last, which is all that is asked for."""
        times = self.order_by("id").values_list("occurred_at", flat=True)
        return {"first": times.first(), "last": times.last()}


def _start(day: date, kind: str) -> date:
    match kind:
        case "year":
            return day.replace(month=1, day=1)
        case "month":
            return day.replace(day=1)
        case _:
            return day


@admin.register(LogoutEvent)
class LogoutEventAdmin(CheckedParameters, admin.ModelAdmin):  # type: ignore[type-arg] # not generic at run time
    """What ended, when, why and by whom."""

    list_display = (
        "time",
        "username",
        "scope",
        "reason",
        "initiator",
        "actor_name",
        "logins",
        "tokens",
        "ip_address",
        "device",
    )
    list_filter = ("scope", "reason", "initiator")
    date_hierarchy = "occurred_at"
    search_fields = ("username",)
    search_help_text = _(
        "The beginning of a username, a whole IP address or a whole session id. "
        "No more than 10,000 results are counted."
    )
    sortable_by = ("time",)
    ordering = ("-id",)
    actions = None
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    class Media:
        css = {"all": ["drf_logout/admin/lists.css"]}

    @admin.display(description=_("time"), ordering="id")
    def time(self, event: LogoutEvent) -> str:
        """The time to the second: what happened first matters."""
        return to_the_second(event.occurred_at)

    @admin.display(description=_("logins"))
    def logins(self, event: LogoutEvent) -> int:
        """How many logins ended."""
        return event.sessions_ended

    @admin.display(description=_("tokens"))
    def tokens(self, event: LogoutEvent) -> int:
        """How many tokens were revoked."""
        return event.tokens_revoked

    @admin.display(description=_("device"))
    def device(self, event: LogoutEvent) -> str:
        """What asked for it."""
        return devices.shown(event.user_agent)

    def get_queryset(self, request: HttpRequest) -> QuerySet[LogoutEvent]:
        """Return the record."""
        browsed = BrowsedPeriod if self._names_period(request) else BrowsedRecord
        return browsed(self.model).order_by(*self.get_ordering(request))

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Return the order: the newest first.

        That is the order of the keys. But in that order all that is newer than a period would be
        read too: the events of a period are few enough to be sorted.
        """
        return ("-occurred_at", "-id") if self._names_period(request) else self.ordering

    def _names_period(self, request: HttpRequest) -> bool:
        return any(name.startswith(self.date_hierarchy) for name in request.GET)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[LogoutEvent], search_term: str
    ) -> tuple[QuerySet[LogoutEvent], bool]:
        """Look a term up in the one indexed column that it fits, or in both of names."""
        term = search_term.strip()
        if not term:
            return queryset, False
        acted_on = matching(term, session="session_id", username="username")
        acted = matching(term, session="session_id", username="actor_name")
        # Not empty: so PostgreSQL knows that an index without empty names will do.
        return queryset.filter(acted_on | acted & Q(actor_name__gt="")), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show what happened lately above the list."""
        # The template draws it, and so only where there is a page to draw it on.
        context = {"draw_chart": lambda: draw(LogoutEvent.objects.all())}
        return super().changelist_view(request, context | (extra_context or {}))

    def get_urls(self) -> list[URLPattern]:
        """Add the files that the list can be taken away as."""
        return [
            path(
                f"export/{ending}/",
                self.admin_site.admin_view(partial(self.export_view, ending=ending)),
                name=f"drf_logout_logoutevent_export_{ending}",
            )
            for ending in FORMATS
        ] + super().get_urls()

    @method_decorator(require_safe)
    def export_view(self, request: HttpRequest, *, ending: str) -> StreamingHttpResponse:
        """Answer with a file of what the list shows, with all of its pages."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            events = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters as error:
            raise BadRequest("These filters are not the list's.") from error
        return export(request, events=events, ending=ending)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: events are recorded, never entered."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Refuse: what is on record stays as it was recorded."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Refuse: what is on record stays."""
        return False
