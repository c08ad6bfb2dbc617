"""The command's options, and what is done with its results."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Final

from benchmarks.comparison import plot, table
from benchmarks.comparison.environments import NotInstalled
from benchmarks.comparison.results import Plan
from benchmarks.comparison.run import run
from benchmarks.comparison.subjects import SUBJECTS
from benchmarks.comparison.throughput import Unanswered
from benchmarks.comparison.workers import WorkerFailed

REPETITIONS: Final = {"ours": 3, "knox": 3}


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison; return the exit status, which no figure changes."""
    options = _parser().parse_args(arguments)
    # Who asks it to stop means its servers too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        results = run(_plan(options))
    except (NotInstalled, TimeoutError, Unanswered, WorkerFailed) as error:
        print(f"The comparison could not run. {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    if options.json:
        options.json.write_text(json.dumps(asdict(results), indent=2) + "\n")
    if options.svg:
        plot.write(results, options.svg)
    print(table.render(results))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("benchmarks.comparison", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--batch", type=int, default=15, help="operations of each kind in a round")
    parser.add_argument("--quick", action="store_true", help="a minute for a look, not for numbers")
    names = [subject.name for subject in SUBJECTS]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--json", type=Path, help="a file for everything")
    parser.add_argument("--svg", type=Path, help="a folder for the plots")
    return parser


def _plan(options: argparse.Namespace) -> Plan:
    subjects = [subject for subject in SUBJECTS if subject.name in options.only]
    if options.quick:
        return Plan(
            subjects=subjects,
            rounds=min(options.rounds, 3),
            batch=min(options.batch, 5),
            crowd_every=3,
            logins=200,
            repetitions=dict.fromkeys(REPETITIONS, 1),
            slices=1,
            slice_seconds=0.5,
        )
    return Plan(
        subjects=subjects,
        rounds=options.rounds,
        batch=options.batch,
        crowd_every=4,
        logins=10_000,
        repetitions=REPETITIONS,
        slices=6,
        slice_seconds=2.0,
    )


if __name__ == "__main__":
    sys.exit(main())
