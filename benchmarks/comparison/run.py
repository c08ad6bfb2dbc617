"""One run: every subject in processes of its own, asked in turn, round by round."""

from __future__ import annotations

import json
import os
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.comparison import machine, servers, throughput
from benchmarks.comparison.environments import python_of, requirements_of, versions
from benchmarks.comparison.figures import Rounds, Spread, figure
from benchmarks.comparison.results import (
    CROWD,
    DEFAULT,
    EXAMPLE,
    OPERATIONS,
    Everywhere,
    Found,
    Plan,
    Results,
)
from benchmarks.comparison.subjects import OURS, Subject
from benchmarks.comparison.workers import Worker
from benchmarks.drills.postgresql import PostgreSQL

ON_DISK: Final = "/var/tmp"

WITHOUT_EXAMPLE: Final = {
    "CONN_MAX_AGE": None,
    "OPTIONS": {"prepare_threshold": 1, "server_side_binding": True},
}
"""Where the example project has no connection options of its own."""


def run(plan: Plan) -> Results:
    """Measure.

    Raises ``NotInstalled``, ``WorkerFailed``, ``Unanswered``, or what a server raises that does not
    start.
    """
    begun = time.monotonic()
    date = datetime.now(UTC).isoformat(timespec="seconds")
    load = machine.load()
    python = {subject.name: python_of(subject) for subject in plan.subjects}
    with _bench() as bench:
        workers = bench.begin(plan.subjects, python)
        found = _measure(plan, workers)
        served = [worker for worker in workers if worker.connection == EXAMPLE]
        if plan.slices:
            _tell("Throughput")
            rates = throughput.measure(
                served,
                python=python,
                env={worker.subject.name: bench.env(worker.subject, EXAMPLE) for worker in served},
                folder=bench.folder,
                slices=plan.slices,
                seconds=plan.slice_seconds,
            )
            for name, rate in rates.items():
                found[name].throughput = rate
        return Results(
            date=date,
            seconds=round(time.monotonic() - begun, 1),
            plan=plan,
            machine={**machine.describe(bench.folder), "load_before": load},
            conditions=bench.conditions(),
            subjects=found,
        )


class _Bench:
    """The servers, and the processes on them."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self.folder = folder
        self._postgresql = PostgreSQL(folder)
        stack.callback(self._postgresql.close)
        self._postgresql.start()
        self._redis = stack.enter_context(servers.redis(folder))
        self._secrets = {
            "SECRET_KEY": secrets.token_urlsafe(50),
            "JWT_SIGNING_KEY": secrets.token_urlsafe(50),
        }
        self._connections = {DEFAULT: {}, EXAMPLE: _example_connection(self._secrets)}

    def begin(self, subjects: Sequence[Subject], python: Mapping[str, Path]) -> list[Worker]:
        """Begin a worker for each subject and each of the connection settings."""
        workers = []
        for subject in subjects:
            servers.create_database(self._postgresql, subject.name)
            for connection in self._connections:
                worker = Worker(
                    subject,
                    connection,
                    python=python[subject.name],
                    env=self.env(subject, connection),
                    log=self.folder / f"{subject.name}.log",
                )
                self._stack.callback(worker.close)
                if connection == DEFAULT:
                    worker.ask("prepare")
                workers.append(worker)
        return workers

    def env(self, subject: Subject, connection: str) -> dict[str, str]:
        """Return what the settings of a subject read."""
        redis = {"REDIS_URL": self._redis} if self._redis else {}
        return {
            **self._secrets,
            **redis,
            "ALLOWED_HOSTS": servers.HOST,
            "DJANGO_SETTINGS_MODULE": f"benchmarks.comparison.project.settings.{subject.name}",
            "COMPARISON_HOST": str(self._postgresql.data),
            "COMPARISON_DATABASE": subject.name,
            "COMPARISON_CONNECTION": json.dumps(self._connections[connection]),
        }

    def conditions(self) -> dict[str, Any]:
        """Return what was on."""
        return {
            "postgresql": self._postgresql.version(),
            "limit_store": "Redis" if self._redis else "the counters in the database",
            "connections": self._connections,
            "versions": versions(),
        }


@contextmanager
def _bench() -> Iterator[_Bench]:
    # What this shell is set up for has no say.
    for name in ("DEBUG", "DATABASE_URL", "REDIS_URL", "TRUSTED_PROXIES"):
        os.environ.pop(name, None)
    with ExitStack() as stack:
        # Of the two temporary folders this is the one that is on a disk.
        parent = ON_DISK if os.access(ON_DISK, os.W_OK) else None
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=parent))
        yield _Bench(stack, Path(folder))


def _example_connection(keys: Mapping[str, str]) -> dict[str, Any]:
    """Return the connection settings of the example project, as it is deployed."""
    os.environ.update(keys)
    os.environ["DATABASE_URL"] = "postgres://nobody@localhost/nothing"
    from authproject.settings import DATABASES  # noqa: PLC0415 - reads what has been set above

    del os.environ["DATABASE_URL"]
    database = DATABASES["default"]
    if not database.get("OPTIONS"):
        return {**WITHOUT_EXAMPLE}
    names = ("OPTIONS", "CONN_MAX_AGE", "CONN_HEALTH_CHECKS", "DISABLE_SERVER_SIDE_CURSORS")
    return {name: database[name] for name in names if name in database}


def _measure(plan: Plan, workers: Sequence[Worker]) -> dict[str, Found]:
    found = {
        subject.name: Found(
            title=subject.title,
            about=subject.about,
            packages=requirements_of(subject) if subject is not OURS else [],
        )
        for subject in plan.subjects
    }
    _tell(f"Seeding {plan.logins:,} logins for each")
    for worker in workers:
        found[worker.subject.name].after_logout = worker.ask("look")
        worker.ask("seed", logins=plan.logins)
    rounds: dict[tuple[Worker, str], Rounds] = {}
    _tell(f"{plan.rounds} rounds")
    for number in range(plan.rounds):
        crowd = [CROWD] * (number % plan.crowd_every == 0)
        for worker in random.sample(workers, len(workers)):
            for operation in random.sample([*OPERATIONS, *crowd], len(OPERATIONS) + len(crowd)):
                answer = worker.ask("measure", operation=operation, batch=plan.batch)
                if answer:
                    rounds.setdefault((worker, operation), Rounds()).add(**answer)
    for (worker, operation), measured in rounds.items():
        counted = worker.ask("count", operation=operation)
        figures = found[worker.subject.name].operations.setdefault(worker.connection, {})
        figures[operation] = figure(measured, **counted)
    _tell(f"Logging out of {plan.logins:,} logins")
    for worker, everywhere in _log_out_everywhere(plan, workers).items():
        found[worker.subject.name].everywhere[worker.connection] = everywhere
    return found


def _log_out_everywhere(plan: Plan, workers: Sequence[Worker]) -> dict[Worker, Everywhere]:
    answers: dict[Worker, list[dict[str, Any]]] = {}
    for number in range(max(plan.repetitions.values())):
        for worker in random.sample(workers, len(workers)):
            if number < plan.repetitions.get(worker.subject.name, 1):
                answer = worker.ask("log_out_everywhere", logins=plan.logins)
                answers.setdefault(worker, []).extend([answer] if answer else [])
    return {
        worker: Everywhere(
            seconds=Spread.of([answer["seconds"] for answer in timed]),
            statements=timed[0]["statements"],
        )
        for worker, timed in answers.items()
        if timed
    }


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
