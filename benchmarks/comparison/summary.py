"""The measures, a row each: every subject's, and what ours must reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from benchmarks.comparison.figures import Spread
from benchmarks.comparison.results import CROWD, DEFAULT, EXAMPLE, Found, Results
from benchmarks.comparison.subjects import OURS

CONNECTIONS: Final = {
    DEFAULT: "Django's default connection",
    EXAMPLE: "the example project's connection",
}

DASH: Final = "\N{EN DASH}"


@dataclass(frozen=True, kw_only=True)
class Target:
    """What ours must reach."""

    text: str
    miss: Callable[[float], float]
    """By how much of it a value misses the target; 0 or less where it is reached."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A measure. ``cells`` and ``values`` are by subject, without those that have no such thing."""

    title: str
    cells: Mapping[str, str]
    values: Mapping[str, Spread] = field(default_factory=dict)
    target: str = ""
    verdict: str = ""


def at_most(limit: float) -> Target:
    """Require a small value."""
    return Target(text=f"≤ {limit:.1f}", miss=lambda value: value / limit - 1)


def at_least(limit: float) -> Target:
    """Require a large value."""
    return Target(text=f"≥ {limit:.2f}", miss=lambda value: 1 - value / limit)


PACE: Final = "simplejwt"
"""The peer that a request must be no slower than: it checks nothing of what ours does."""

TARGETS: Final = {
    ("refresh", DEFAULT): at_most(3.0),
    ("refresh", EXAMPLE): at_most(3.0),
    ("logout", DEFAULT): at_most(2.8),
    ("logout", EXAMPLE): at_most(2.2),
    ("introspect", DEFAULT): at_most(1.2),
    ("introspect", EXAMPLE): at_most(1.2),
    (CROWD, DEFAULT): at_most(1.1),
    (CROWD, EXAMPLE): at_most(1.1),
}
THROUGHPUT: Final = at_least(0.50)
STATEMENTS: Final = {"request": 1, "refresh": 2, "logout": 1}
STATEMENTS_OF_ALL: Final = 6


def rows(results: Results) -> list[Row]:
    """Return every measure."""
    many = f"{results.plan.logins:,}"
    titles = {
        "request": "authenticated request ÷ no-auth view",
        "refresh": "refresh ÷ one-insert view",
        "logout": "logout ÷ one-insert view",
        "introspect": "introspection ÷ authenticated request",
        CROWD: f"request of a user with {many} logins ÷ with 1",
    }
    ratios = [
        _ratio(results, f"{title}, {CONNECTIONS[connection]}", operation, connection)
        for operation, title in titles.items()
        for connection in CONNECTIONS
    ]
    everywhere = [_everywhere(results, many, connection) for connection in CONNECTIONS]
    others = (_throughput(results), _statements(results))
    return [row for row in (*ratios, *everywhere, *others) if row.cells]


def judge(target: Target, value: float) -> str:
    """Say whether a target is reached, or by how much it is not."""
    miss = target.miss(value)
    return "reached" if miss <= 0 else f"missed by {miss:.0%}"


def _ratio(results: Results, title: str, operation: str, connection: str) -> Row:
    values = {
        name: figures[operation].ratio
        for name, found in results.subjects.items()
        if operation in (figures := found.operations.get(connection, {}))
    }
    if operation == "request":
        return _row(title, values, _no_slower(values), 2)
    return _row(title, values, TARGETS[operation, connection], 1)


def _no_slower(values: Mapping[str, Spread]) -> Target | None:
    """Require what the peer that sets the pace takes, where it was measured."""
    if PACE not in values:
        return None
    return replace(at_most(values[PACE].median), text="no slower than SimpleJWT")


def _throughput(results: Results) -> Row:
    title = "throughput of logout ÷ of the one-insert view, gunicorn"
    values = {
        name: found.throughput.ratio
        for name, found in results.subjects.items()
        if found.throughput is not None
    }
    return _row(title, values, THROUGHPUT, 2)


def _statements(results: Results) -> Row:
    cells = {
        name: ", ".join(
            str(figures[operation].statements) if operation in figures else DASH
            for operation in STATEMENTS
        )
        for name, found in results.subjects.items()
        if (figures := found.operations.get(DEFAULT))
    }
    target = ", ".join(map(str, STATEMENTS.values()))
    ours = cells.get(OURS.name)
    return Row(
        title=f"SQL statements: {', '.join(STATEMENTS)}",
        cells=cells,
        target=target,
        verdict="" if ours is None else "reached" if ours == target else "missed",
    )


def _row(title: str, values: Mapping[str, Spread], target: Target | None, digits: int) -> Row:
    ours = values.get(OURS.name)
    return Row(
        title=title,
        cells={name: spread(value, digits) for name, value in values.items()},
        values=values,
        target=target.text if target else "",
        verdict=judge(target, ours.median) if target and ours else "",
    )


def spread(value: Spread, digits: int) -> str:
    """Return a median with its quartiles."""
    quartiles = DASH.join(f"{quartile:.{digits}f}" for quartile in (value.lower, value.upper))
    return f"{value.median:.{digits}f} ({quartiles})"


def _everywhere(results: Results, many: str, connection: str) -> Row:
    found: dict[str, Found] = {
        name: found for name, found in results.subjects.items() if connection in found.everywhere
    }
    cells = {}
    for name, subject in found.items():
        end = subject.everywhere[connection]
        cells[name] = f"{end.statements:,} statements, {end.seconds.median:.2f} s"
    return Row(
        title=f"logout of all, {many} logins, {CONNECTIONS[connection]}",
        cells=cells,
        values={name: subject.everywhere[connection].seconds for name, subject in found.items()},
        target=f"≤ {STATEMENTS_OF_ALL} statements, no slower than knox",
        verdict=_judge_everywhere(found, connection),
    )


def _judge_everywhere(found: Mapping[str, Found], connection: str) -> str:
    if OURS.name not in found:
        return ""
    ours = found[OURS.name].everywhere[connection]
    verdicts = []
    if ours.statements > STATEMENTS_OF_ALL:
        verdicts.append(f"{ours.statements} statements instead of {STATEMENTS_OF_ALL}")
    if "knox" in found:
        share = ours.seconds.median / found["knox"].everywhere[connection].seconds.median
        if share > 1:
            verdicts.append(f"{share - 1:.0%} slower than knox")
    return ", ".join(verdicts) or "reached"
