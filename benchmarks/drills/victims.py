"""Those whom attackers are after: their accounts, what they go on doing, what has to stand."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from benchmarks.drills import guesses, logins
from benchmarks.drills.client import FORM, NO_ANSWER, Answer, Client
from benchmarks.drills.logins import Login

PASSWORD: Final = "password123"  # nosec: of users that live as long as a drill
DEVICE: Final = "drf_logout_device"
SESSION: Final = "sessionid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user with a password, and the cookie of a device where they have logged in before."""

    pk: int
    username: str
    email: str
    encoded: str
    """The password's hash."""
    device: str

    def on_device(self, client: Client) -> Client:
        """Return a client on that device."""
        return type(client)(host=client.host, port=client.port, cookies={DEVICE: self.device})


def open_account(client: Client, *, window_ends: float) -> Account:
    """Create a user, and log in and out once.

    The windows in which guesses at this account are counted, by itself and by either name, end so
    many seconds from now, or a little later.
    """
    from django.contrib.auth import get_user_model  # noqa: PLC0415 - has been set up by now

    def ends(key: str) -> bool:
        return 0 <= guesses.seconds_left(key, time.time()) - window_ends <= 3

    pk = next(pk for pk in count(random.randrange(10**6, 10**9)) if ends(f"user:{pk}"))
    # With letters that Unicode has other forms of.
    names = (f"kiss{uuid.uuid4().hex}" for _ in count())
    username = next(name for name in names if ends(f"name:{name}"))
    email = next(name for name in names if ends(f"name:{name}@example.com")) + "@example.com"
    users: Any = get_user_model()  # Any: its manager's create_user() is Django's
    user = users.objects.create_user(
        pk=pk,
        username=username,
        email=email,
        password=PASSWORD,
        is_staff=True,
    )
    device = Client(host=client.host, port=client.port, cookies={})
    tokens = device.log_in(username, PASSWORD).body
    device.log_out("/api/v1/auth/logout", tokens["access_token"])
    return Account(
        pk=pk,
        username=username,
        email=user.email,
        encoded=user.password,
        device=(device.cookies or {})[DEVICE],
    )


def browse(client: Client, account: Account) -> dict[str, str]:
    """Log in by the page, on a device that is new; return the browser's cookies."""
    browser = Client(host=client.host, port=client.port, cookies={})
    browser.submit("/account/login", username=account.username, password=PASSWORD)
    return browser.cookies or {}


# Logins that have to stand


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Logins of a user: with tokens, and one by browser."""

    account: Account
    tokens: list[Login]
    browser: dict[str, str]

    def fallen(self, client: Client) -> Iterator[str]:
        """Name those that do not work any more; their tokens are used for that."""
        for login in self.tokens:
            if (client.user(login.access).status, client.refresh(login.refresh).status) != (
                *(200, 200),
            ):
                yield f"{login.sid}"
        browser = Client(host=client.host, port=client.port, cookies=dict(self.browser))
        if browser.call("GET", "/account/sessions").status != 200:
            yield f"the browser of {self.account.username}"


def stand(client: Client, account: Account) -> Standing:
    """Log a user in on some devices."""
    from django.contrib.auth import get_user_model  # noqa: PLC0415 - as above

    user = get_user_model()._default_manager.get(pk=account.pk)
    return Standing(
        account=account,
        tokens=[logins.log_in(user) for _ in range(3)],
        browser=browse(client, account),
    )


# What victims go on doing


@dataclass(slots=True)
class Tally:
    """How often a victim has tried, what has gone wrong, and what had no answer."""

    tries: int = 0
    no_answer: int = 0
    lost: list[str] = field(default_factory=list)

    def note(self, what: str, statuses: tuple[int, ...], expected: tuple[int, ...]) -> None:
        """Count a try."""
        self.tries += 1
        if NO_ANSWER in statuses:
            self.no_answer += 1
        elif statuses != expected:
            self.lost.append(f"{what}: {statuses}")


def _log_out(path: str, **body: str) -> Callable[[Client, Login], Answer]:
    return lambda client, login: client.log_out(path, login.access, **body)


WAYS_OUT: Final[dict[str, Callable[[Client, Login], Answer]]] = {
    "logout": _log_out("/api/v1/auth/logout"),
    "logout of refresh tokens": _log_out("/logout"),
    "logout with the refresh token": lambda client, login: client.log_out(
        "/api/v1/auth/logout", login.access, token=login.refresh
    ),
    "logout/all": _log_out("/logout/all"),
    "logout by id": lambda client, login: client.call(
        "DELETE", f"/sessions/{login.sid}", bearer=login.access
    ),
}


def leave(client: Client, account: Account, tally: Tally, pause: float) -> Iterator[None]:
    """Log in, log out and look whether that has ended the login; again in each way."""
    device = account.on_device(client)
    for name, way in WAYS_OUT.items():
        if (login := _enter(device, account, tally)) is not None:
            left = way(device, login).status
            expected = (204 if name == "logout by id" else 200, *DEAD)
            tally.note(name, (left, *_state(client, login)), expected)
        time.sleep(pause)
        yield
    first, second = _enter(device, account, tally), _enter(device, account, tally)
    if first is not None and second is not None:
        thrown_out = device.log_out("/logout", second.access, scope="others").status
        tally.note("logout of the others", (thrown_out, *_state(client, first)), (200, *DEAD))
        left = device.log_out("/logout", second.access).status
        tally.note("logout after that", (left, *_state(client, second)), (200, *DEAD))
    yield


DEAD: Final = (401, 400)
"""What an access token and a refresh token of an ended login are answered."""


def _state(client: Client, login: Login) -> tuple[int, int]:
    return client.user(login.access).status, client.refresh(login.refresh).status


def _enter(device: Client, account: Account, tally: Tally) -> Login | None:
    answer = device.log_in(account.username, PASSWORD)
    if answer.status == 200:
        return logins.answered(answer.body)
    tally.note("log-in before a logout", (answer.status,), (200,))
    return None


def come_back(client: Client, account: Account, tally: Tally, pause: float) -> Iterator[None]:
    """Log in with the right password, on the device that was there before, and out again."""
    for name in ({"username": account.username}, {"email": account.email.upper()}):
        device = account.on_device(client)
        answer = device.post("/token", grant_type="password", password=PASSWORD, **name)
        tally.note(f"log-in by {next(iter(name))}", (answer.status,), (200,))
        if answer.status == 200:
            device.log_out("/api/v1/auth/logout", answer.body["access_token"])
        time.sleep(pause)
        yield
    for page in ("/account/login", "/admin/login/"):
        device = account.on_device(client)
        status = device.submit(page, username=account.username, password=PASSWORD).status
        tally.note(f"log-in by {page}", (status,), (302,))
        device.call(
            "POST",
            "/account/logout",
            body={"csrfmiddlewaretoken": (device.cookies or {}).get("csrftoken", "")},
            kind=FORM,
        )
        time.sleep(pause)
        yield
