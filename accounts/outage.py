"""While the store that counts is down: what a process remembers by itself meanwhile."""

from __future__ import annotations

import math
import time
from threading import Lock
from typing import Final

from accounts.conf import Rate

RETRY_INTERVAL: Final = 1.0
"""Seconds after a failure in which the store is not asked again."""

MINUTE: Final = 60

MAX_KEYS: Final = 10_000


class Outage:
    """Whether the store is down: then one request a second asks it, and no other waits for it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._retry_at: float | None = None

    def lasts(self) -> bool:
        """Whether the caller should not ask the store."""
        with self._lock:
            if self._retry_at is None:
                return False
            now = time.monotonic()
            if now < self._retry_at:
                return True
            # The caller tries; others need not wait with it for what may time out.
            self._retry_at = now + RETRY_INTERVAL
            return False

    def begin(self) -> None:
        """Note that the store has failed."""
        with self._lock:
            self._retry_at = time.monotonic() + RETRY_INTERVAL

    def end(self) -> None:
        """Note that the store has answered."""
        with self._lock:
            self._retry_at = None


class Budget:
    """A few attempts for each key and minute, counted by this process alone."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._spent: dict[int, int] = {}
        self._ends = 0.0

    def spend(self, key: str, rate: Rate) -> int | None:
        """Count an attempt; return the seconds to wait (≥ 1) if it may not be made.

        The budget is a minute's share of the rate, at least one. Where there are too many keys to
        remember, a new one may not be tried before the next minute.
        """
        budget = max(1, min(rate.limit, rate.limit * MINUTE // rate.seconds))
        digest = hash(key)  # of a size that whoever chooses the name cannot choose
        with self._lock:
            now = time.monotonic()
            if now >= self._ends:
                self._spent.clear()
                self._ends = now + MINUTE
            spent = self._spent.get(digest, 0)
            if spent >= budget or (not spent and len(self._spent) >= MAX_KEYS):
                return math.ceil(self._ends - now)
            self._spent[digest] = spent + 1
        return None
