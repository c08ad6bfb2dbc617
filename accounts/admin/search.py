"""What is typed into the search box of a list."""

from __future__ import annotations

import uuid
from ipaddress import ip_address

from django.db.models import Q


def matching(term: str, *, session: str, username: str) -> Q:
    """Look a term up in the one column that it fits; the names are those of two columns."""
    try:
        return Q(**{session: uuid.UUID(term)})
    except ValueError:
        pass
    try:
        return Q(ip_address=str(ip_address(term)))
    except ValueError:
        beginning = f"{username}__startswith"
        return Q(**{beginning: term}) | Q(**{beginning: term.lower()})
