"""The page between choosing to end logins and ending them, as Django's own deletion has one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Model, QuerySet
from django.forms import BooleanField
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.functional import Promise

from accounts.models import Session
from accounts.sessions import current_session

SHOWN = 100
"""How many rows are listed, where all of several pages are chosen."""


def is_confirmed(request: HttpRequest) -> bool:
    """Whether this comes from the page itself."""
    return "post" in request.POST


def is_across(request: HttpRequest) -> bool:
    """Whether all that the filters leave is chosen, beyond the page that was shown."""
    return bool(BooleanField(required=False).to_python(request.POST.get("select_across")))


def confirmation(
    model_admin: admin.ModelAdmin[Any],  # Any: of the host's users, or of logins
    request: HttpRequest,
    queryset: QuerySet[Any],  # as above
    *,
    action: str,
    key: str,
    title: str | Promise,
    question: str | Promise,
    warning: str | Promise,
) -> TemplateResponse:
    """Ask whether the action shall be taken on these rows.

    ``key`` is the attribute that the form names a row by.
    """
    count = queryset.count()
    chosen: Sequence[Model] = queryset[:SHOWN] if is_across(request) else queryset
    context = {
        **model_admin.admin_site.each_context(request),
        "title": title,
        "question": question,
        "warning": warning,
        "opts": model_admin.opts,
        "rows": chosen,
        "more": count - len(chosen),
        "keys": [getattr(row, key) for row in (chosen[:1] if is_across(request) else chosen)],
        "is_across": is_across(request),
        "action": action,
        "action_checkbox_name": ACTION_CHECKBOX_NAME,
        "media": model_admin.media,
    }
    return TemplateResponse(request, "accounts/admin/confirmation.html", context)
