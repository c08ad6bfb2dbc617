"""What is planned, and what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.comparison.figures import Figure, Spread
from benchmarks.comparison.subjects import Subject
from benchmarks.comparison.throughput import Throughput

OPERATIONS: Final = ("request", "refresh", "logout", "introspect")
"""An introspection's floor is an authenticated request; ours alone has one."""
CROWD: Final = "crowd"
"""A request of a user with many logins, whose floor is that of a user with one."""

DEFAULT: Final = "default"
EXAMPLE: Final = "example"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured."""

    subjects: Sequence[Subject]
    rounds: int
    batch: int
    crowd_every: int
    """Rounds of it are rarer: where the time grows with the logins it takes long."""
    logins: int
    repetitions: Mapping[str, int]
    """How often a user logs out of all logins, by subject; others once."""
    slices: int
    slice_seconds: float


@dataclass(kw_only=True)
class Everywhere:
    """The end of all logins of a user."""

    seconds: Spread
    statements: int


@dataclass(kw_only=True)
class Found:
    """What was measured of one subject, by connection settings where these make a difference."""

    title: str
    about: str
    packages: list[str]
    after_logout: dict[str, int] = field(default_factory=dict)
    """The statuses that its access token and its refresh token get."""
    operations: dict[str, dict[str, Figure]] = field(default_factory=dict)
    everywhere: dict[str, Everywhere] = field(default_factory=dict)
    throughput: Throughput | None = None


@dataclass(kw_only=True)
class Results:
    """Everything."""

    date: str
    seconds: float
    plan: Plan
    machine: dict[str, Any]  # Any: JSON, as below
    conditions: dict[str, Any]
    subjects: dict[str, Found]
