"""Bars of the ratios, as SVG that follows the reader's light or dark theme.

Each file stands for itself: a title and a description for who cannot see it, the fonts of the
system, no script.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.comparison.figures import Spread
from benchmarks.comparison.results import DEFAULT, EXAMPLE, Results
from benchmarks.comparison.subjects import OURS

WIDTH: Final = 760
LEFT: Final = 238
RIGHT: Final = 60
TOP: Final = 74
BAR: Final = 15
GAP: Final = 3
BETWEEN: Final = 17
BOTTOM: Final = 28
LEGEND: Final = 26

STYLE: Final = """
    svg { color-scheme: light dark; }
    text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial,
      sans-serif; font-size: 14px; fill: #1f2328; }
    .title { font-size: 17px; font-weight: 600; }
    .note, .tick { font-size: 12px; fill: #59636e; }
    .value { font-size: 13px; font-variant-numeric: tabular-nums; }
    .ours-name, .ours-value { font-weight: 600; }
    .back { fill: #ffffff; }
    .grid { stroke: #d9dee3; stroke-width: 1; }
    .floor { stroke: #59636e; stroke-width: 1; stroke-dasharray: 3 3; }
    .spread { stroke: #1f2328; stroke-width: 1.25; stroke-opacity: 0.65; fill: none; }
    .peer.first { fill: #b3bcc6; }
    .peer.second { fill: #838f9c; }
    .ours.first { fill: #86b7f2; }
    .ours.second { fill: #1f6feb; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .note, .tick { fill: #9198a1; }
      .back { fill: #0d1117; }
      .grid { stroke: #2b323b; }
      .floor { stroke: #9198a1; }
      .spread { stroke: #e6edf3; }
      .peer.first { fill: #454e59; }
      .peer.second { fill: #69747f; }
      .ours.first { fill: #1d4f94; }
      .ours.second { fill: #4493f8; }
    }"""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One bar for each subject that has it."""

    legend: str
    values: Mapping[str, Spread]
    shade: str
    """``first`` is the paler one, ``second`` the stronger."""


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Bars by subject. ``names`` are the titles of the subjects, in their order."""

    title: str
    note: str
    names: Mapping[str, str]
    series: Sequence[Series]
    digits: int


def write(results: Results, folder: Path) -> list[Path]:
    """Write a file for each plot that there are numbers for; return them."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, plot in plots(results).items():
        file = folder / f"{name}.svg"
        file.write_text(draw(plot))
        written.append(file)
    return written


def plots(results: Results) -> dict[str, Plot]:
    """Return what is drawn, by the name of its file."""
    fewer = "Less is better. Whiskers: the middle half of the rounds."
    titles = {
        "request": ("An authenticated request, as a multiple of one that checks nothing", fewer),
        "refresh": ("A refresh, as a multiple of one committed INSERT", fewer),
        "logout": ("A logout, as a multiple of one committed INSERT", fewer),
    }
    names = {name: found.title for name, found in results.subjects.items()}
    drawn = {
        name: Plot(
            title=title,
            note=note,
            names=names,
            series=_by_connection(results, name),
            digits=1,
        )
        for name, (title, note) in titles.items()
    }
    drawn["throughput"] = Plot(
        title="Logouts per second, as a share of one-insert requests per second",
        note="More is better. gunicorn with two processes; the example project's connection.",
        names=names,
        series=[_throughput(results)],
        digits=2,
    )
    return {name: plot for name, plot in drawn.items() if any(s.values for s in plot.series)}


def _by_connection(results: Results, operation: str) -> list[Series]:
    legends = {DEFAULT: "Django's default connection", EXAMPLE: "the example project's connection"}
    shades = {DEFAULT: "first", EXAMPLE: "second"}
    return [
        Series(
            legend=legend,
            shade=shades[connection],
            values={
                name: figures[operation].ratio
                for name, found in results.subjects.items()
                if operation in (figures := found.operations.get(connection, {}))
            },
        )
        for connection, legend in legends.items()
    ]


def _throughput(results: Results) -> Series:
    values = {
        name: found.throughput.ratio
        for name, found in results.subjects.items()
        if found.throughput is not None
    }
    return Series(legend="", values=values, shade="second")


def draw(plot: Plot) -> str:
    """Return the SVG of a plot."""
    names = [name for name in plot.names if any(name in s.values for s in plot.series)]
    rows = [
        (name, [(series, series.values[name]) for series in plot.series if name in series.values])
        for name in names
    ]
    bottom = TOP + sum(_height(len(bars)) for _, bars in rows)
    largest = max(value.upper for _, bars in rows for _, value in bars)
    step = _step(largest)
    # The axis ends with a line of the grid, right of everything.
    end = step * (int(largest / step) + 1)
    scale = (WIDTH - LEFT - RIGHT) / end
    legend = [*_legend(plot, bottom)] if len(plot.series) > 1 else []
    height = bottom + BOTTOM + (LEGEND if legend else 0)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-labelledby="title description">',
        f'  <title id="title">{escape(plot.title)}</title>',
        f'  <desc id="description">{escape(_described(plot, names))}</desc>',
        f"  <style>{STYLE}\n  </style>",
        f'  <rect class="back" width="{WIDTH}" height="{height}" rx="6"/>',
        f'  <text class="title" x="20" y="31">{escape(plot.title)}</text>',
        f'  <text class="note" x="20" y="52">{escape(plot.note)}</text>',
        *_grid(end, step, scale, bottom),
        *_bars(plot, rows, scale),
        *legend,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _height(bars: int) -> int:
    return bars * BAR + (bars - 1) * GAP + BETWEEN


def _step(largest: float) -> float:
    """Return a round distance between the lines of the grid: about five of them."""
    return next(
        step
        for power in range(-3, 9)
        for step in (10.0**power, 2 * 10.0**power, 5 * 10.0**power)
        if largest / step < 6
    )


def _grid(end: float, step: float, scale: float, bottom: int) -> Iterator[str]:
    for number in range(round(end / step) + 1):
        x = LEFT + number * step * scale
        yield f'  <line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{bottom - 6}"/>'
        yield (
            f'  <text class="tick" x="{x:.1f}" y="{bottom + 10}" text-anchor="middle">'
            f"{number * step:g}</text>"
        )
    x = LEFT + scale
    if end > 1:
        yield f'  <line class="floor" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{bottom - 6}"/>'


def _bars(
    plot: Plot, rows: Sequence[tuple[str, Sequence[tuple[Series, Spread]]]], scale: float
) -> Iterator[str]:
    y = TOP
    for name, bars in rows:
        whose = "ours" if name == OURS.name else "peer"
        middle = y + (_height(len(bars)) - BETWEEN) / 2 + 5
        yield (
            f'  <text class="{whose}-name" x="{LEFT - 12}" y="{middle:.1f}" text-anchor="end">'
            f"{escape(plot.names[name])}</text>"
        )
        for series, value in bars:
            yield from _bar(plot, f"{whose} {series.shade}", value, y, scale)
            y += BAR + GAP
        y += BETWEEN - GAP


def _bar(plot: Plot, style: str, value: Spread, y: int, scale: float) -> Iterator[str]:
    width, lower, upper = (v * scale for v in (value.median, value.lower, value.upper))
    middle = y + BAR / 2
    yield (
        f'  <rect class="{style}" x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2"/>'
    )
    yield (
        f'  <path class="spread" d="M{LEFT + lower:.1f} {middle}H{LEFT + upper:.1f}'
        f'M{LEFT + lower:.1f} {middle - 3}v6M{LEFT + upper:.1f} {middle - 3}v6"/>'
    )
    x = LEFT + max(width, upper) + 7
    whose = style.partition(" ")[0]
    yield (
        f'  <text class="value {whose}-value" x="{x:.1f}" y="{middle + 5}">'
        f"{value.median:.{plot.digits}f}</text>"
    )


def _legend(plot: Plot, bottom: int) -> Iterator[str]:
    x, y = LEFT, bottom + BOTTOM + 4
    for series in plot.series:
        yield (
            f'  <rect class="peer {series.shade}" x="{x}" y="{y - 10}" '
            'width="12" height="12" rx="2"/>'
        )
        yield f'  <text class="note" x="{x + 18}" y="{y}">{escape(series.legend)}</text>'
        # The width of the text is not known here: about so much for each character.
        x += 42 + round(len(series.legend) * 6.3)


def _described(plot: Plot, names: Sequence[str]) -> str:
    parts = []
    for series in plot.series:
        values = [
            f"{plot.names[name]} {series.values[name].median:.{plot.digits}f}"
            for name in names
            if name in series.values
        ]
        if values:
            legend = f"With {series.legend}: " if series.legend else ""
            parts.append(f"{legend}{', '.join(values)}.")
    return " ".join([plot.note, *parts])
