"""Guesses at passwords: which of them were evaluated, and how many are allowed."""

from __future__ import annotations

import hashlib
import os
import time
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from django.contrib.auth.hashers import MD5PasswordHasher

MARK: Final = "Guess"
"""How each password begins that an attacker tries; it goes on with who is to count it."""

LIMIT: Final = 10
WINDOW: Final = 300
"""So many guesses in so many seconds; windows of a fixed length, offset by who counts."""


class WatchedHasher(MD5PasswordHasher):
    """Fast, and notes each guess that is compared with a hash, in the file ``DRILL_GUESSES``."""

    def verify(self, password: str, encoded: str) -> bool:
        """Note the guess, then compare."""
        if password.startswith(MARK):
            # One short write to the end of the file: processes do not write over each other.
            with Path(os.environ["DRILL_GUESSES"]).open("a") as file:
                file.write(f"{time.time()} {encoded} {password}\n")
        return super().verify(password, encoded)


def guess(counted_by: str, number: int) -> str:
    """Return a password that is wrong, and says which key of a limit it is to count for."""
    return f"{MARK}|{counted_by}|{number}"


def evaluated(file: Path, encoded: str) -> dict[str, list[float]]:
    """Return when guesses were compared with this hash, by who was to count them."""
    moments = defaultdict(list)
    for line in file.read_text().splitlines() if file.exists() else ():
        moment, known, password = line.split(" ", 2)
        if known == encoded:
            moments[password.split("|")[1]].append(float(moment))
    return dict(moments)


def too_many(moments: Iterable[float], *, key: str, began: float) -> Iterator[float]:
    """Yield the moments of guesses beyond what the windows until then allow.

    Each is counted before it is evaluated. Of a guess that began in the last second of a window
    this makes no excess, be it evaluated in the next one.
    """
    first = _window(began, key)
    for number, moment in enumerate(sorted(moments), start=1):
        windows = (_window(moment, key) - first) // WINDOW + 1
        if number > LIMIT * windows:
            yield moment


def seconds_left(key: str, now: float) -> int:
    """Return after how many seconds the next window of a key begins."""
    return _window(now, key) + 1 - int(now)


def _window(moment: float, key: str) -> int:
    """Return the last second of a window, as django-ratelimit has it."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    second = int(moment)
    return second + (zlib.crc32(digest.encode()) - second) % WINDOW
