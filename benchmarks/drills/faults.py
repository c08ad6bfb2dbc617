"""What goes wrong while a drill runs, again and again."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psutil

from benchmarks.drills.project import Project

PAUSE = (0.0, 0.2)
"""Seconds from one fault to the next: some logouts go well in between."""


@contextmanager
def striking(project: Project) -> Iterator[Counter[str]]:
    """Let faults strike until the block ends, and PostgreSQL run after it; yield their counts."""
    counts: Counter[str] = Counter()
    done = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        strikes = pool.submit(_strike, project, counts, done)
        try:
            yield counts
        finally:
            done.set()
            strikes.result()


def _strike(project: Project, counts: Counter[str], done: threading.Event) -> None:
    faults = _faults(project)
    while True:
        for name in random.sample(list(faults), len(faults)):
            try:
                faults[name]()
            except (LookupError, psutil.NoSuchProcess):
                continue  # nobody to kill at the moment
            # After a moment in which nothing answers, or at once.
            done.wait(random.choice((0.0, 0.3)))
            project.postgresql.start()
            counts[name] += 1
            if done.wait(random.uniform(*PAUSE)):
                return


def _faults(project: Project) -> dict[str, Callable[[], None]]:
    return {
        "PostgreSQL killed -9": project.postgresql.kill,
        "a PostgreSQL backend killed -9": project.postgresql.kill_backend,
        "PostgreSQL shut down, immediate": project.postgresql.stop_immediately,
        "a gunicorn worker killed -9": project.webserver.kill_worker,
    }
