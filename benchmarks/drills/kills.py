"""A stream of logouts while PostgreSQL and gunicorn's workers are killed, again and again.

``python -m benchmarks.drills.kills``. Afterwards each acknowledged logout has to be dead and on
record exactly once, and every other login either whole or ended like that: no half states.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.drills import logins, machine
from benchmarks.drills.client import NO_ANSWER, Client
from benchmarks.drills.faults import striking
from benchmarks.drills.logins import ENDED, WHOLE, Login, Remains
from benchmarks.drills.project import Project, running
from benchmarks.drills.report import Report, Table

PATHS = ("/api/v1/auth/logout", "/logout", "/logout/all")
"""Of three scopes: this login, the refresh tokens, all logins."""

PATIENCE = 60
"""Seconds for which a client insists on an answer."""

PAUSE = 0.2
"""Seconds before a client goes on after a failure: an outage does not use up the stream."""


@dataclass
class Case:
    """One login: what its client did, and what it was answered."""

    login: Login
    name: str
    statuses: list[int] = field(default_factory=list)

    @property
    def acknowledged(self) -> bool:
        """Whether the client was told that it is logged out."""
        return 200 in self.statuses


def main(arguments: list[str] | None = None) -> int:
    """Run the drill; return the exit status."""
    options = _parser().parse_args(arguments)
    with running(workers=options.workers, threads=options.threads) as project:
        report = Report(drill="kills", machine=machine.describe(project.postgresql.version()))
        cases = _cases(options.logouts)
        counts = _storm(project, cases, options.clients)
        _examine(project, cases, report)
        report.tables.append(Table(title="Faults", rows={n: {"times": c} for n, c in counts}))
    return report.finish(options.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("benchmarks.drills.kills", description=__doc__)
    parser.add_argument("--logouts", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=12, help="that log out in parallel")
    parser.add_argument("--workers", type=int, default=3, help="processes of gunicorn")
    parser.add_argument("--threads", type=int, default=4, help="of each of these")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    return parser


def _cases(logouts: int) -> list[Case]:
    """Begin the logins: of every twelve, eleven log out and one is a bystander."""
    names = itertools.cycle(["asks once", "insists"])
    cases = []
    for number, login in enumerate(logins.begin(logouts + logouts // 11)):
        name = "bystander" if number % 12 == 11 else next(names)
        cases.append(Case(login, name))
    return cases


def _storm(project: Project, cases: Iterable[Case], clients: int) -> list[tuple[str, int]]:
    """Log out of everything but the bystanders while faults strike; return the faults' counts."""
    ways: dict[str, Callable[[Case, str], None]] = {
        "asks once": partial(_ask_once, project.client),
        "insists": partial(_insist, project.client),
    }
    with striking(project) as counts, ThreadPoolExecutor(clients) as pool:
        asked = [
            pool.submit(ways[case.name], case, PATHS[number % len(PATHS)])
            for number, case in enumerate(cases)
            if case.name in ways
        ]
        try:
            for future in asked:
                future.result()
        except BaseException:  # who interrupts the drill does not want to wait for its end
            pool.shutdown(cancel_futures=True)
            raise
    return sorted(counts.items())


def _ask_once(client: Client, case: Case, path: str) -> None:
    case.statuses.append(client.log_out(path, case.login.access).status)
    if not case.acknowledged:
        time.sleep(PAUSE)


def _insist(client: Client, case: Case, path: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not case.acknowledged and time.monotonic() < deadline:
        _ask_once(client, case, path)


def _examine(project: Project, cases: list[Case], report: Report) -> None:
    """Compare what is left of each login with what its client was told."""
    from django.db import connections  # noqa: PLC0415 - has been set up by now

    connections.close_all()  # to a server that has been killed
    fates: dict[str, Counter[str]] = {}
    remains = logins.examine([case.login for case in cases], project.client)
    for case, left in zip(cases, remains, strict=True):
        fate = judge(case, left)
        fates.setdefault(case.name, Counter()).update({"logins": 1, fate: 1})
        if fate in LOSSES:
            report.lost.append(f"{case.login.sid} {case.name} {case.statuses}: {fate}, {left}")
    report.tables += [
        Table(
            title="Logins", rows={n: {f: c[f] for f in COLUMNS} for n, c in sorted(fates.items())}
        ),
        Table(title="Answers", rows=_answers(cases)),
    ]


KEPT = ("acknowledged", "ended, answer lost", "whole")
LOSSES = ("acknowledged, not dead", "half ended", "ended by nobody", "wrong answer")
COLUMNS = ("logins", *KEPT, *LOSSES)


def judge(case: Case, left: Remains) -> str:
    """Return the fate of a login: one of ``KEPT`` or of ``LOSSES``."""
    if not {200, 500, NO_ANSWER}.issuperset(case.statuses):
        return "wrong answer"
    if case.acknowledged:
        return "acknowledged" if left == ENDED else "acknowledged, not dead"
    if left == WHOLE:
        return "whole"
    if left != ENDED:
        return "half ended"
    return "ended, answer lost" if case.statuses else "ended by nobody"


def _answers(cases: Iterable[Case]) -> dict[str, dict[str, int]]:
    statuses = Counter(status for case in cases for status in case.statuses)
    return {
        str(status) if status else "none": {"times": count}
        for status, count in sorted(statuses.items())
    }


if __name__ == "__main__":
    sys.exit(main())
