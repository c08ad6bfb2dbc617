"""The results to read: in a terminal, or pasted into Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.comparison.results import DEFAULT, EXAMPLE, Results
from benchmarks.comparison.summary import CONNECTIONS, DASH, rows, spread


def render(results: Results) -> str:
    """Return everything."""
    blocks = ["\n".join(_conditions(results)), _summary(results)]
    for connection, name in CONNECTIONS.items():
        blocks.append(f"In detail, {name}; times in ms:\n\n{_detail(results, connection)}")
    if any(found.throughput for found in results.subjects.values()):
        blocks.append(f"Requests per second under gunicorn:\n\n{_rates(results)}")
    return "\n\n".join(blocks)


def _conditions(results: Results) -> Iterator[str]:
    machine, conditions, plan = results.machine, results.conditions, results.plan
    yield f"{results.date}, {results.seconds:.0f} s"
    yield (
        f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gib']} GiB, "
        f"{machine['system']}, {machine['file_system']}; load before {machine['load_before']}"
    )
    versions = conditions["versions"]
    yield (
        f"Python {machine['python']}, Django {versions['Django']}, "
        f"psycopg {versions['psycopg']}, PostgreSQL {conditions['postgresql']}"
    )
    yield f"Our rate limit counts in {conditions['limit_store']}"
    yield f"The example project's connection: {conditions['connections'][EXAMPLE]}"
    yield f"Django's default connection: {conditions['connections'][DEFAULT] or 'no options'}"
    yield (
        f"{plan.rounds} rounds of {plan.batch} of each operation; a ratio is the median of the "
        "rounds' (their quartiles)"
    )
    for found in results.subjects.values():
        alive = [kind for kind, status in found.after_logout.items() if status < 400]
        left = f"; after a logout its {' and '.join(alive)} token still works" if alive else ""
        yield f"{found.title}: {found.about}{left}"


def _summary(results: Results) -> str:
    names = list(results.subjects)
    titles = [results.subjects[name].title for name in names]
    lines = [["", *titles, "ours must reach", ""]]
    for row in rows(results):
        cells = [row.cells.get(name, DASH) for name in names]
        lines.append([row.title, *cells, row.target, row.verdict])
    return _table(lines)


def _detail(results: Results, connection: str) -> str:
    lines = [["", "", "statements", "+ BEGIN, COMMIT…", "p50", "p99", "floor p50", "ratio"]]
    for found in results.subjects.values():
        for operation, figure in sorted(found.operations.get(connection, {}).items()):
            lines.append(
                [
                    found.title,
                    operation,
                    str(figure.statements),
                    str(figure.control),
                    f"{figure.p50:.2f}",
                    f"{figure.p99:.2f}",
                    f"{figure.floor_p50:.2f}",
                    spread(figure.ratio, 2),
                ]
            )
    return _table(lines)


def _rates(results: Results) -> str:
    lines = [["", "one-insert view", "logout", "ratio"]]
    for found in results.subjects.values():
        if (rate := found.throughput) is not None:
            cells = [spread(rate.floor, 0), spread(rate.logouts, 0), spread(rate.ratio, 2)]
            lines.append([found.title, *cells])
    return _table(lines)


def _table(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    head, *body = [
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |"
        for line in lines
    ]
    return "\n".join([head, f"|{'|'.join('-' * (width + 2) for width in widths)}|", *body])
