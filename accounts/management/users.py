"""Which users a command is about."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from accounts import blacklist
from accounts.models import Session, User
from accounts.services import database


def having_logins() -> QuerySet[User]:
    """Return the users who have something to end: a login, or a live token without one."""
    return _everyone().filter(
        Exists(live_sessions().filter(user=OuterRef("pk")))
        | Exists(live_tokens().filter(user=OuterRef("pk")))
    )


def live_sessions() -> QuerySet[Session]:
    """Return the logins that have not run out."""
    return Session.objects.using(database()).alive().filter(user__isnull=False)


def live_tokens() -> QuerySet[Any]:  # Any: the rows are SimpleJWT's
    """Return the tokens that SimpleJWT would still take."""
    return blacklist.live().filter(user__isnull=False)


def keys(users: QuerySet[User], *, size: int) -> Iterator[Any]:  # Any: as the host's key is
    """Yield the users' keys, a page at a time: users change while somebody works through them."""
    page = list(users.order_by("pk").values_list("pk", flat=True)[:size])
    while page:
        yield from page
        rest = users.filter(pk__gt=page[-1])
        page = list(rest.order_by("pk").values_list("pk", flat=True)[:size])


def named(names: Iterable[str]) -> QuerySet[User]:
    """Return the users with these usernames, e-mail addresses or keys: one for each name.

    Raises ``CommandError`` if there is none, or if it is the username of one and the key or the
    address of another: anybody may choose a username (which is shown so that it cannot
    play with the terminal).
    """
    return _everyone().filter(pk__in=[_named(name) for name in names])


def _everyone() -> QuerySet[User]:
    """Return all users: those too whom the host's own manager hides."""
    return get_user_model()._base_manager.using(database())  # noqa: SLF001 - as documented


def _named(name: str) -> Any:  # Any: as the host's key is
    try:
        found = list(_everyone().filter(_is_named(name)).order_by("pk")[:3])
    except ValueError:  # not a text that the database can hold
        found = []
    if not found:
        raise CommandError(_('There is no user "%s". Nothing was ended.') % name)
    if len(found) > 1:
        users = ", ".join(f"{user.get_username()!r} ({user.pk})" for user in found)
        raise CommandError(
            _('"%(name)s" is more than one user: %(users)s. Nothing was ended.')
            % {"name": name, "users": users}
        )
    return found[0].pk


def _is_named(name: str) -> Q:
    model = get_user_model()
    email = model.get_email_field_name()
    condition = Q(**{f"{email}__iexact": name}) if hasattr(model, email) else Q(pk__in=())
    for field in model._meta.concrete_fields:
        if field.primary_key or field.name == model.USERNAME_FIELD:
            # Neither has to be text.
            with contextlib.suppress(ValidationError):
                condition |= Q(**{field.name: field.to_python(name)})
    return condition
