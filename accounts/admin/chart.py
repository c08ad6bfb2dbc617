"""What happened lately: events per day by reason, drawn as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from django.db.models import Count
from django.db.models.functions import TruncDate
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from accounts.admin.clock import local, midnight
from accounts.models import LogoutEvent, LogoutEventQuerySet

DAYS: Final = 14

# In the user units of an SVG without a viewBox, which are pixels: across, the drawing stretches by
# percentages, and what is written in it keeps its size on a phone.
TOP: Final = 14
HEIGHT: Final = 112
AXIS: Final = 8.0
"""Per cent of the width that the numbers beside the bars take."""
BAR: Final = 0.7
"""The part of a day's width that its bar takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """The events of one reason on one day."""

    series: str
    title: str
    y: str
    height: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Day:
    """One day: its segments, from the bottom up."""

    label: str
    middle: str
    x: str
    segments: Sequence[Segment]


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One entry of the legend."""

    series: str
    label: str
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line across, and the number that it stands for."""

    y: str
    value: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """Everything that the template draws, in its order."""

    title: str
    period: str
    description: str
    axis: str
    bar_width: str
    days: Sequence[Day]
    legend: Sequence[Entry]
    lines: Sequence[Line]


def draw(events: LogoutEventQuerySet) -> Chart | None:
    """Draw the last 14 days in the current time zone, today included; None if nothing happened."""
    today = local(timezone.now()).date()
    days = [today - timedelta(days=ago) for ago in reversed(range(DAYS))]
    rows = (
        events.filter(
            occurred_at__gte=midnight(days[0]), occurred_at__lt=midnight(today + timedelta(days=1))
        )
        .order_by()
        .annotate(day=TruncDate("occurred_at"))
        .values_list("day", "reason")
        .annotate(Count("id"))
    )
    counts = {(day, reason): count for day, reason, count in rows}
    return _chart(days, counts) if counts else None


def _chart(days: Sequence[date], counts: Mapping[tuple[date, str], int]) -> Chart:
    totals = {
        reason: sum(counts.get((day, reason), 0) for day in days)
        for reason in _in_order({reason for _day, reason in counts})
    }
    scale = _scale(max(sum(counts.get((day, r), 0) for r in totals) for day in days))
    width = (100 - AXIS) / len(days)
    return Chart(
        title=_("Events per day by reason, last %(days)s days") % {"days": len(days)},
        period=f"{_written(days[0])} – {_written(days[-1])}",  # noqa: RUF001 - from … to
        description="; ".join(
            f"{_written(day)}: "
            + ", ".join(f"{_label(r)} {counts[day, r]}" for r in totals if (day, r) in counts)
            for day in days
            if any((day, r) in counts for r in totals)
        ),
        axis=_percent(AXIS),
        bar_width=_percent(width * BAR),
        days=[
            Day(
                label=str(day.day),
                middle=_percent(AXIS + width * (number + 0.5)),
                x=_percent(AXIS + width * (number + (1 - BAR) / 2)),
                segments=_segments(day, totals, counts, scale),
            )
            for number, day in enumerate(days)
        ],
        legend=[
            Entry(series=_series(r), label=capfirst(_label(r)), total=total)
            for r, total in totals.items()
        ],
        lines=[
            Line(y=_pixels(_height_of(value, scale)), value=value)
            for value in ((scale,) if scale % 2 else (scale // 2, scale))
        ],
    )


def _segments(
    day: date, reasons: Mapping[str, int], counts: Mapping[tuple[date, str], int], scale: int
) -> list[Segment]:
    segments = []
    below = 0
    for reason in reasons:
        count = counts.get((day, reason), 0)
        if not count:
            continue
        bottom, top = _height_of(below, scale), _height_of(below + count, scale)
        segments.append(
            Segment(
                series=_series(reason),
                title=f"{_written(day)}: {_label(reason)}, {count}",
                y=_pixels(top),
                height=_pixels(bottom - top),
            )
        )
        below += count
    return segments


def _scale(largest: int) -> int:
    """Return the number at the top of the drawing: round, and not below the largest."""
    magnitude = 1
    while True:
        for step in (1, 2, 4, 6, 8):
            if step * magnitude >= largest:
                return step * magnitude
        magnitude *= 10


def _height_of(count: int, scale: int) -> float:
    return TOP + HEIGHT * (1 - count / scale)


def _in_order(reasons: set[str]) -> list[str]:
    """The reasons as the model lists them, so that each has its place in the bars of every day."""
    known = [reason for reason in LogoutEvent.Reason.values if reason in reasons]
    return [*known, *sorted(reasons.difference(known))]


def _label(reason: str) -> str:
    return str(dict(LogoutEvent.Reason.choices).get(reason, reason))


def _series(reason: str) -> str:
    """Return what the style sheet knows the reason by; those that it does not know look alike."""
    return reason if reason in LogoutEvent.Reason else "unknown"


def _written(day: date) -> str:
    return date_format(day, "DATE_FORMAT")


# Coordinates are written here: a template writes numbers as the reader's language does.


def _percent(value: float) -> str:
    return f"{value:.3f}%"


def _pixels(value: float) -> str:
    return f"{value:.2f}"
