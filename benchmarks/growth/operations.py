"""``python -m benchmarks.growth.operations FIRST LAST``: what a request and the rest take.

Each line that comes in asks for so many rounds: of a request, a refresh and a logout, each of
another of the logins with the numbers from FIRST to LAST, chosen by chance. The answer is a line of
JSON, with what each took in milliseconds.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator
from typing import Any

import django

from benchmarks.growth import rows


def main(first: int, last: int) -> None:
    """Answer until nothing more is asked."""
    django.setup()
    chosen = _chosen(first, last)
    for line in sys.stdin:
        print(json.dumps(_measure(chosen, int(line))), flush=True)


def _chosen(first: int, last: int) -> Iterator[int]:
    """Yield each of these numbers at most once."""
    seen = set[int]()
    while len(seen) <= last - first:
        number = random.randint(first, last)
        if number not in seen:
            seen.add(number)
            yield number


def _measure(chosen: Iterator[int], rounds: int) -> dict[str, list[float]]:
    from django.test import Client  # noqa: PLC0415 - not before the set-up

    client = Client()
    took: dict[str, list[float]] = {}

    def timed(name: str, method: str, path: str, body: Any = None, access: Any = "") -> None:
        headers = {"Authorization": f"Bearer {access}"} if access else {}
        began = time.perf_counter()
        answer = client.generic(
            method, path, json.dumps(body or {}), "application/json", headers=headers
        )
        took.setdefault(name, []).append((time.perf_counter() - began) * 1000)
        if answer.status_code != 200:
            raise RuntimeError(f"{name}: {answer.status_code} {answer.content!r}")

    for _ in range(rounds):
        asking, refreshing, leaving = (_refresh_token(next(chosen)) for _ in range(3))
        grant = {"grant_type": "refresh_token", "refresh_token": str(refreshing)}
        timed("request", "GET", "/user", access=asking.access_token)
        timed("refresh", "POST", "/token", grant)
        timed("logout", "POST", "/logout", {"scope": "session"}, access=leaving.access_token)
    return took


def _refresh_token(number: int) -> Any:
    """Mint the refresh token of a filled row, as its log-in would have."""
    from accounts.tokens import RefreshToken, bind  # noqa: PLC0415 - not before the set-up

    token = RefreshToken()
    token["sub"] = str(rows.user_id(number))
    token["jti"] = rows.jti(number)
    bind(token, rows.sid(number))
    return token


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
