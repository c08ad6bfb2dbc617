"""``python3 -m tests``: the whole suite, on a machine that has Python and nothing else."""

from __future__ import annotations

import sys

from authproject import environment

environment.run("dev", "-m", "pytest", "-n", "auto", *sys.argv[1:])
