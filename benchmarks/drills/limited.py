"""The settings of the drills, with the limits of the example project, behind a proxy."""

from __future__ import annotations

from authproject.settings import ACCOUNTS as EXAMPLE
from benchmarks.drills.settings import *  # noqa: F403

# Attackers have many addresses; the drill is the proxy that tells which.
ACCOUNTS = {**EXAMPLE, "TRUSTED_PROXIES": ["127.0.0.1"]}
PASSWORD_HASHERS = ["benchmarks.drills.guesses.WatchedHasher"]
