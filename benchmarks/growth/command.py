"""``python -m benchmarks.growth.command NAME …``: run a command of Django, and what it took.

In a process of its own, whose memory is that of the command alone.
"""

from __future__ import annotations

import io
import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import django
from django.core.management import call_command
from django.db import connection


def main(*arguments: str) -> None:
    """Print one JSON object: seconds, statements, the longest of these, the peak of memory."""
    django.setup()
    longest, statements = 0.0, 0

    def note(execute: Callable[..., Any], *call: Any) -> Any:
        nonlocal longest, statements
        began = time.perf_counter()
        try:
            return execute(*call)
        finally:
            statements += 1
            longest = max(longest, time.perf_counter() - began)

    began, out = time.perf_counter(), io.StringIO()
    with connection.execute_wrapper(note):
        call_command(*arguments, stdout=out)
    print(
        json.dumps(
            {
                "seconds": round(time.perf_counter() - began, 2),
                "statements": statements,
                "longest_statement_ms": round(longest * 1000),
                "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
