"""SimpleJWT's rows by their age."""

from __future__ import annotations

from django.db.models import QuerySet
from rest_framework_simplejwt.state import token_backend
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.utils import aware_utcnow


def recorded() -> QuerySet[OutstandingToken]:
    """Return every recorded token."""
    return OutstandingToken.objects.order_by()


def live() -> QuerySet[OutstandingToken]:
    """Return the recorded tokens that neither have run out nor are blacklisted."""
    return recorded().filter(expires_at__gt=aware_utcnow(), blacklistedtoken__isnull=True)


def expired() -> QuerySet[OutstandingToken]:
    """Return the recorded tokens that no clock takes any more.

    ``LEEWAY`` is how long after its ``exp`` a token is still taken: until then its place on the
    blacklist is needed.
    """
    return recorded().filter(expires_at__lt=aware_utcnow() - token_backend.get_leeway())


def blacklistings() -> QuerySet[BlacklistedToken]:
    """Return the rows that blacklist a recorded token."""
    return BlacklistedToken.objects.all()
