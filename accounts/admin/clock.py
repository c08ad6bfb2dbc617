"""Moments as the admin shows and exports them, for a host with time zones or without."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from django.conf import settings
from django.utils import timezone


def local(moment: datetime) -> datetime:
    """Return the moment in the current time zone."""
    return timezone.localtime(moment) if settings.USE_TZ else moment


def midnight(day: date) -> datetime:
    """Return the moment at which a day begins in the current time zone."""
    begins = datetime.combine(day, time.min)
    return timezone.make_aware(begins) if settings.USE_TZ else begins


def to_the_second(moment: datetime) -> str:
    """Write a moment, in the current time zone, as exactly as people order events."""
    return f"{local(moment):%Y-%m-%d %H:%M:%S}"


def to_the_minute(moment: datetime | None) -> str:
    """Write a moment, in the current time zone, as exactly as a login is seen."""
    return f"{local(moment):%Y-%m-%d %H:%M}" if moment else ""


def utc(moment: datetime) -> str:
    """Write a moment as ISO 8601 in UTC, with microseconds and ``Z``."""
    if timezone.is_naive(moment):
        moment = timezone.make_aware(moment, timezone.get_default_timezone())
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
