"""What Schemathesis asks before each request: who sends it. Loaded by its command line."""

from __future__ import annotations

import os
from itertools import cycle

import requests
import schemathesis

URL, PASSWORD = os.environ["API_URL"], os.environ["PASSWORD"]


def live() -> str:
    """Log in: each request has a login of its own, for many a request ends one."""
    grant = {"grant_type": "password", "username": "ana", "password": PASSWORD}
    token: str = requests.post(f"{URL}/token", json=grant, timeout=60).json()["access_token"]
    return token


def ended() -> str:
    """Log in and out."""
    token = live()
    headers = {"Authorization": f"Bearer {token}"}
    requests.post(f"{URL}/logout", headers=headers, timeout=60).raise_for_status()
    return token


def expired() -> str:
    """Return the token that has been given to us."""
    return os.environ["EXPIRED_TOKEN"]


BEARERS = cycle([live, live, live, expired, live, ended, None])


@schemathesis.hook
def before_call(context, case, kwargs):
    """Send a bearer, and every other time end a login that there is."""
    bearer = next(BEARERS)
    if bearer is not None:
        case.headers["Authorization"] = f"Bearer {bearer()}"
    if "sid" in case.path_parameters and bearer is live:
        mine = requests.get(f"{URL}/sessions", headers=dict(case.headers), timeout=60).json()
        case.path_parameters["sid"] = mine["results"][-1]["id"]
