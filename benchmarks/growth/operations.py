"""``python -m benchmarks.growth.operations FIRST LAST ROUNDS``: what a request and the rest take.

A request, a refresh and a logout, each of another of the logins that there are, chosen by chance,
and all of them in turn with the floors.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from typing import Any

import django

from benchmarks.growth import rows

WARM_UP = 20
"""Rounds that do not count."""


def main(first: int, last: int, rounds: int) -> None:
    """Print one JSON object: the medians, in milliseconds, and these by those of the floors.

    Only the logins with these numbers are as they were filled.
    """
    django.setup()
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

    chosen = iter(random.sample(range(first, last + 1), 3 * (rounds + WARM_UP)))
    for number in range(rounds + WARM_UP):
        if number == WARM_UP:
            took.clear()
        asking, refreshing, leaving = (_refresh_token(next(chosen)) for _ in range(3))
        grant = {"grant_type": "refresh_token", "refresh_token": str(refreshing)}
        timed("read floor", "GET", "/floor/read")
        timed("request", "GET", "/user", access=asking.access_token)
        timed("write floor", "POST", "/floor/write")
        timed("refresh", "POST", "/token", grant)
        timed("logout", "POST", "/logout", {"scope": "session"}, access=leaving.access_token)
    medians = {name: statistics.median(times) for name, times in took.items()}
    print(
        json.dumps(
            {
                "ms": {name: round(median, 2) for name, median in medians.items()},
                "to_floor": {
                    "request": round(medians["request"] / medians["read floor"], 2),
                    "refresh": round(medians["refresh"] / medians["write floor"], 2),
                    "logout": round(medians["logout"] / medians["write floor"], 2),
                },
            }
        )
    )


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
