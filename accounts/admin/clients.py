"""Registered clients in Django's admin: who may introspect, who may revoke, and new secrets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _

from accounts.admin.parameters import CheckedParameters
from accounts.models import Client


@admin.register(Client)
class ClientAdmin(CheckedParameters, admin.ModelAdmin):  # type: ignore[type-arg] # not generic at run time
    """Who asks about tokens. A secret is on the page that answers its making, and nowhere else."""

    list_display = (
        "client_id",
        "may_introspect",
        "may_revoke",
        "is_active",
        "last_used_at",
        "created_at",
    )
    list_filter = ("is_active",)
    search_fields = ("client_id",)
    ordering = ("client_id",)
    fields = ("client_id", "may_introspect", "may_revoke", "is_active")
    actions = ("renew_secrets",)

    def get_readonly_fields(self, request: HttpRequest, obj: Client | None = None) -> list[str]:
        """Keep a client's id, which its service knows, as it was registered."""
        return [] if obj is None else ["client_id"]

    def save_model(
        self,
        request: HttpRequest,
        obj: Client,
        form: ModelForm[Client],
        change: bool,
    ) -> None:
        """Give a new client its secret."""
        if not change:
            obj.raw_secret = obj.renew_secret()  # type: ignore[attr-defined] # for the answer alone
        super().save_model(request, obj, form, change)

    def response_add(
        self, request: HttpRequest, obj: Client, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the secret, in place of leading anywhere."""
        return self._shown(request, [(obj, obj.raw_secret)])  # type: ignore[attr-defined] # as above

    @admin.action(
        description=_("Make new secrets for the selected clients"), permissions=["change"]
    )
    def renew_secrets(self, request: HttpRequest, queryset: QuerySet[Client]) -> HttpResponse:
        """Give each of these a new secret beside the one that it has, and show them."""
        made = []
        for client in queryset:
            made.append((client, client.renew_secret()))
            client.save(update_fields=["secret", "previous_secret"])
            self.log_change(request, client, [{"changed": {"fields": ["secret"]}}])
        return self._shown(request, made)

    def _shown(self, request: HttpRequest, made: Iterable[tuple[Client, str]]) -> TemplateResponse:
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": _("The secret, shown this once"),
            "opts": self.opts,
            "made": made,
        }
        return TemplateResponse(request, "drf_logout/admin/secrets.html", context)
