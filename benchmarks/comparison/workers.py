"""The subjects' processes, from the side of who asks them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.comparison.environments import ROOT
from benchmarks.comparison.subjects import Subject

STOP_TIMEOUT: Final = 30
"""Seconds."""


class WorkerFailed(Exception):
    """A worker ended before its answer: what it said last."""


class Worker:
    """One subject, with the connection settings of its environment variables."""

    def __init__(
        self, subject: Subject, connection: str, *, python: Path, env: Mapping[str, str], log: Path
    ) -> None:
        """Begin it."""
        self.subject = subject
        self.connection = connection
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [str(python), "-m", "benchmarks.comparison.project"],
                cwd=ROOT,
                env={**os.environ, **env},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def ask(self, question: str, **arguments: object) -> dict[str, Any]:  # Any: JSON
        """Ask, and wait for the answer. Raises ``WorkerFailed``."""
        questions, answers = self._process.stdin, self._process.stdout
        if questions is None or answers is None:
            raise TypeError("it has been begun with pipes")
        try:
            questions.write(json.dumps({"ask": question, **arguments}) + "\n")
            questions.flush()
            line = answers.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerFailed(f"{self.subject.title}, {question}: {self._log.read_text()[-3000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """Let it end."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
