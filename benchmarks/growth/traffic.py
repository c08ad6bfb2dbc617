"""``python -m benchmarks.growth.traffic``: people log in, ask, refresh and log out.

Until a signal ends it; then it prints one JSON object with what each took.
"""

from __future__ import annotations

import json
import signal
import statistics
import time
from collections import defaultdict
from typing import Any

import django


def main() -> None:
    """Go round and round."""
    django.setup()
    from django.contrib.auth import get_user_model  # noqa: PLC0415 - not before the set-up
    from django.test import Client  # noqa: PLC0415 - as above

    get_user_model().objects.create_user("ana", password="ana-s password")
    client, took, stopping = Client(), defaultdict[str, list[float]](list), []
    signal.signal(signal.SIGTERM, lambda *arguments: stopping.append(True))

    def timed(
        name: str, method: str, path: str, body: Any = None, access: str = ""
    ) -> Any:  # Any: the test client's answer
        headers = {"Authorization": f"Bearer {access}"} if access else {}
        began = time.perf_counter()
        answer = client.generic(
            method, path, json.dumps(body or {}), "application/json", headers=headers
        )
        took[name].append((time.perf_counter() - began) * 1000)
        if answer.status_code != 200:
            raise RuntimeError(f"{name}: {answer.status_code} {answer.content!r}")
        return answer

    def round_trip() -> None:
        pair = json.loads(timed("log in", "POST", "/token", password).content)
        timed("request", "GET", "/user", access=pair["access_token"])
        refresh = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}
        pair = json.loads(timed("refresh", "POST", "/token", refresh).content)
        token = {"token": pair["refresh_token"]}
        timed("logout", "POST", "/logout", token, access=pair["access_token"])

    password = {"grant_type": "password", "username": "ana", "password": "ana-s password"}
    round_trip()
    # The first one also loads what it needs.
    took.clear()
    print("ready", flush=True)
    while not stopping:
        round_trip()
        time.sleep(0.01)
    print(
        json.dumps(
            {
                name: {
                    "count": len(times),
                    "p50_ms": round(statistics.median(times), 1),
                    "longest_ms": round(max(times), 1),
                }
                for name, times in took.items()
            }
        )
    )


if __name__ == "__main__":
    main()
