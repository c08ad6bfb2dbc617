"""From samples to figures."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """A median, and the quartiles that half of the values lie between."""

    median: float
    lower: float
    upper: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of some values, at least one."""
        return cls(
            median=statistics.median(values),
            lower=percentile(values, 25),
            upper=percentile(values, 75),
            count=len(values),
        )


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that so many percent of them do not exceed, between neighbours in part."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


@dataclass(kw_only=True, slots=True)
class Rounds:
    """The samples of one operation of one worker, with the floor's of the same rounds: seconds."""

    samples: list[float] = field(default_factory=list)
    floors: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    """One for each round: of the two medians."""

    def add(self, samples: Sequence[float], floors: Sequence[float]) -> None:
        """Add a round."""
        self.samples += samples
        self.floors += floors
        self.ratios.append(statistics.median(samples) / statistics.median(floors))


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """What is told of an operation; times in milliseconds."""

    ratio: Spread
    p50: float
    p99: float
    floor_p50: float
    samples: int
    statements: int
    control: int
    """Statements that open and close transactions, apart from the others."""


def figure(rounds: Rounds, *, statements: int, control: int) -> Figure:
    """Sum up."""
    return Figure(
        ratio=Spread.of(rounds.ratios),
        p50=percentile(rounds.samples, 50) * 1000,
        p99=percentile(rounds.samples, 99) * 1000,
        floor_p50=percentile(rounds.floors, 50) * 1000,
        samples=len(rounds.samples),
        statements=statements,
        control=control,
    )
