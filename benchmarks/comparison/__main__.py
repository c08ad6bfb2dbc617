"""``python3 -m benchmarks.comparison``, on a machine that has Python and nothing else."""

from __future__ import annotations

import sys

from authproject import environment

environment.run("demo", "-m", "benchmarks.comparison.command", *sys.argv[1:])
