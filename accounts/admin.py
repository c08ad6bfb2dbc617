"""The audit record in Django's admin: to browse, never to change.

Every page is one of a few indexed queries, however long the record has grown.
"""

from __future__ import annotations

import uuid
from datetime import date, datetime, time, timedelta
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Max, Min, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _

from accounts.models import LogoutEvent, LogoutEventQuerySet


class BoundedPaginator(Paginator):  # type: ignore[type-arg] # not generic at run time
    """Count no further than anybody turns pages; filters and dates lead to the rest."""

    limit = 10_000

    @cached_property
    def count(self) -> int:
        """The number of rows, or ``limit`` if there are more."""
        events: QuerySet[LogoutEvent] = self.object_list  # type: ignore[assignment] # as Django has it
        return events[: self.limit].count()


class BrowsedEvents(LogoutEventQuerySet):
    """The record as the date hierarchy asks for it."""

    def datetimes(  # type: ignore[override] # a list serves the one caller, the template tag
        self, field_name: str, kind: str, order: str = "ASC", tzinfo: Any = None
    ) -> list[datetime]:
        """Return every period between the first and the last event, busy or not.

        Django's own looks at each row of the table to leave the empty ones out.
        """
        bounds = self.aggregate(first=Min(field_name), last=Max(field_name))
        if bounds["first"] is None:
            return []
        first, last = (_local(bounds[end]).date() for end in ("first", "last"))
        days = (first + timedelta(days=n) for n in range((last - first).days + 1))
        starts = sorted({_start(day, kind) for day in days})
        moments = (datetime.combine(start, time.min) for start in starts)
        return [timezone.make_aware(moment) if settings.USE_TZ else moment for moment in moments]


def _local(moment: datetime) -> datetime:
    return timezone.localtime(moment) if settings.USE_TZ else moment


def _start(day: date, kind: str) -> date:
    match kind:
        case "year":
            return day.replace(month=1, day=1)
        case "month":
            return day.replace(day=1)
        case _:
            return day


@admin.register(LogoutEvent)
class LogoutEventAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # not generic at run time
    """What ended, when, why and by whom."""

    list_display = (
        "time",
        "username",
        "scope",
        "reason",
        "initiator",
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
    ordering = ("-occurred_at", "-id")
    actions = None
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    @admin.display(description=_("time"), ordering="occurred_at")
    def time(self, event: LogoutEvent) -> str:
        """The time to the second: what happened first matters."""
        return f"{_local(event.occurred_at):%Y-%m-%d %H:%M:%S}"

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
        """The user agent, as far as it fits."""
        return Truncator(event.user_agent).chars(40)

    def get_queryset(self, request: HttpRequest) -> QuerySet[LogoutEvent]:
        """Return the record, newest first."""
        return BrowsedEvents(self.model).order_by(*self.ordering)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[LogoutEvent], search_term: str
    ) -> tuple[QuerySet[LogoutEvent], bool]:
        """Look a term up in the one indexed column that it fits."""
        term = search_term.strip()
        return queryset.filter(_matching(term)) if term else queryset, False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: events are recorded, never entered."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Refuse: what is on record stays as it was recorded."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Refuse: what is on record stays."""
        return False


def _matching(term: str) -> Q:
    try:
        return Q(session_id=uuid.UUID(term))
    except ValueError:
        pass
    try:
        return Q(ip_address=str(ip_address(term)))
    except ValueError:
        return Q(username__startswith=term) | Q(username__startswith=term.lower())
