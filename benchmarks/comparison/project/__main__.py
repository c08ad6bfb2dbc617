"""``python -m benchmarks.comparison.project``: questions on standard input, answers on output."""

from __future__ import annotations

import os
import sys

import django


def main() -> None:
    """Keep standard output for the answers, whatever a library prints."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        django.setup()
        from benchmarks.comparison.project import worker  # noqa: PLC0415 - has been set up by now

        worker.serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
