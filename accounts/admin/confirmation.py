"""From choosing to end logins to having ended them, as Django's own deletion does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.forms import BooleanField
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.functional import Promise

from accounts.clients import ClientInfo
from accounts.models import Session
from accounts.services import Cause, Initiator, Reason
from accounts.sessions import current_session

SHOWN = 100
"""How many rows are listed where those of all pages are chosen."""


def is_confirmed(request: HttpRequest) -> bool:
    """Whether the page has been answered."""
    return "post" in request.POST


def confirmation(
    model_admin: admin.ModelAdmin[Any],  # Any: of logins, or of the host's users
    request: HttpRequest,
    queryset: QuerySet[Any],  # Any: as above
    *,
    action: str,
    key: str,
    describe: Callable[[Any], str],  # Any: as above
    texts: Mapping[str, str | Promise],
) -> TemplateResponse:
    """Ask whether to take an action on these rows.

    ``key`` is the attribute that the form names a row by. ``texts`` are the ``title``, the
    ``question``, what it means (``meaning``) and a ``warning`` (empty where there is none).
    """
    is_across = BooleanField(required=False).to_python(request.POST.get("select_across"))
    rows = list(queryset[:SHOWN] if is_across else queryset)
    context = {
        **model_admin.admin_site.each_context(request),
        **texts,
        "opts": model_admin.opts,
        "rows": [describe(row) for row in rows],
        "more": queryset.count() - len(rows) if is_across else 0,
        # The form of all pages names one row, for Django wants one.
        "keys": [getattr(row, key) for row in (rows[:1] if is_across else rows)],
        "is_across": is_across,
        "action": action,
        "action_checkbox_name": ACTION_CHECKBOX_NAME,
        "media": model_admin.media,
    }
    return TemplateResponse(request, "drf_logout/admin/confirmation.html", context)


def by_administrator(request: HttpRequest, reason: Reason) -> Cause:
    """Return the cause of what an administrator ends."""
    return Cause(
        reason=reason,
        initiator=Initiator.ADMIN,
        actor=request.user,  # type: ignore[arg-type] # whoever is in the admin has logged in
        client=ClientInfo.from_request(request),
    )


def report(model_admin: admin.ModelAdmin[Any], request: HttpRequest, message: str) -> None:
    """Tell what was done, and leave the admin if the administrator's own login has ended."""
    model_admin.message_user(request, message, messages.SUCCESS)
    own = current_session(request)
    if own is not None and not Session.objects.primary().filter(pk=own.pk).exists():
        # Saved at the end of the request, it would be found missing, and the answer be an error.
        request.session.flush()
