"""What a drill tells: what was tried, and what was lost."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

SHOWN = 20
"""So many losses are printed; the JSON has all of them."""


@dataclass(kw_only=True)
class Table:
    """Counts by name, for each of the things that were tried."""

    title: str
    rows: dict[str, dict[str, int]]


@dataclass(kw_only=True)
class Report:
    """Tables of counts, and a line for each loss."""

    drill: str
    machine: str
    tables: list[Table] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    def finish(self, file: Path | None) -> int:
        """Print it, write it to a JSON file if one is named; return the exit status."""
        self.seconds = round(time.monotonic() - self.began, 1)
        print(f"{self.drill}: {self.machine}")
        for table in self.tables:
            _print(table)
        for loss in self.lost[:SHOWN]:
            print(f"LOST: {loss}", file=sys.stderr)
        print(f"\nLost: {len(self.lost)}, in {self.seconds:.0f} s")
        if file is not None:
            file.write_text(json.dumps(_content(self), indent=2) + "\n")
        return 1 if self.lost else 0


def _content(report: Report) -> dict[str, object]:
    content = asdict(report)
    del content["began"]
    return content


def _print(table: Table) -> None:
    columns = list(next(iter(table.rows.values())))
    lines = [[table.title, *columns]]
    lines += [[name, *(f"{row[c]:,}" for c in columns)] for name, row in table.rows.items()]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    print()
    for line in lines:
        print(_aligned(line, widths))


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = line
    cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
    return "  ".join([first.ljust(widths[0]), *cells])
