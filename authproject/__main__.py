"""``python3 -m authproject``: the demo, on a machine that has Python and nothing else."""

from __future__ import annotations

import os
import sys

from authproject import environment

os.environ.setdefault("DEBUG", "1")
environment.run("demo", "manage.py", "demo", *sys.argv[1:])
