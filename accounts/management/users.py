"""Which users a command is about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldError, ValidationError
from django.core.management.base import CommandError
from django.db.models import Exists, OuterRef, QuerySet
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


def by_key(texts: Iterable[str]) -> QuerySet[User]:
    """Return the users with these primary keys. Raises ``CommandError`` if there is none of one."""
    return _found("pk", texts)


def by_username(texts: Iterable[str]) -> QuerySet[User]:
    """Return the users with these usernames. Raises ``CommandError`` if there is none of one."""
    return _found(get_user_model().USERNAME_FIELD, texts)


def by_email(texts: Iterable[str]) -> QuerySet[User]:
    """Return the users with these e-mail addresses, in upper or lower case.

    Raises ``CommandError`` if there is none of one, or more than one.
    """
    return _found(f"{get_user_model().get_email_field_name()}__iexact", texts)


def _everyone() -> QuerySet[User]:
    """Return all users: those too whom the host's own manager hides."""
    return get_user_model()._base_manager.using(database())  # noqa: SLF001 - as documented


def _found(lookup: str, texts: Iterable[str]) -> QuerySet[User]:
    return _everyone().filter(pk__in=[_one(lookup, text) for text in texts])


def _one(lookup: str, text: str) -> Any:  # Any: as the host's key is
    try:
        # An empty address is nobody's, for many may have none.
        found = list(_everyone().filter(**{lookup: text}).order_by("pk")[:3]) if text else []
    except (ValueError, ValidationError, FieldError):
        # Not such a field's, nor a text that the database can hold; or the host has no such field.
        found = []
    if not found:
        raise CommandError(_('There is no user "%s". Nothing was ended.') % text)
    if len(found) > 1:
        # Shown so that a username cannot play with the terminal.
        users = ", ".join(f"{user.get_username()!r} ({user.pk})" for user in found)
        raise CommandError(
            _('"%(name)s" is more than one user: %(users)s. Use --user-id. Nothing was ended.')
            % {"name": text, "users": users}
        )
    return found[0].pk
