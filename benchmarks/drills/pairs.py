"""Each way to begin, keep or end a login against each other, and against itself.

``python -m benchmarks.drills.pairs``. A user has two devices. Two operations run at once, both by
the same device or each by one of its own. What comes of it has to be what comes of the two one
after the other, in one order or in the other: the answers, which of the logins is alive, and what
is on record. PostgreSQL has to report no deadlock, also none of those that a service tries again.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Final

from benchmarks.drills import logins, machine
from benchmarks.drills.client import Answer, Client
from benchmarks.drills.logins import Login
from benchmarks.drills.project import running
from benchmarks.drills.races import OFFSETS, at_once, delayed
from benchmarks.drills.report import Report, Table

PASSWORD: Final = "password123"  # nosec: of users that live as long as a race
LIVE, CLOSED, DEAD = "live", "closed", "dead"
"""A login: all of it works; only its access token, until that expires; nothing."""


def main(arguments: list[str] | None = None) -> int:
    """Run the drill; return the exit status."""
    options = _parser().parse_args(arguments)
    with running(workers=options.workers, threads=options.threads) as project:
        from django.db import connections  # noqa: PLC0415 - has been set up by now

        report = Report(drill="pairs", machine=machine.describe(project.postgresql.version()))
        race_pairs(project.client, options.races, options.parallel, report, options.only)
        # Now every connection reports.
        project.webserver.close()
        connections.close_all()
        deadlocks = project.postgresql.deadlocks()
        report.tables.append(Table(title="PostgreSQL", rows={"deadlocks": {"times": deadlocks}}))
        if deadlocks:
            report.lost.append(f"{deadlocks} deadlocks")
            report.lost += project.postgresql.deadlocks_in_log()
    return report.finish(options.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("benchmarks.drills.pairs", description=__doc__)
    parser.add_argument("--races", type=int, default=200, help="of each pair")
    parser.add_argument("--only", help="the pairs that have this in their name")
    parser.add_argument("--parallel", type=int, default=4, help="races at a time")
    parser.add_argument("--workers", type=int, default=4, help="processes of gunicorn")
    parser.add_argument("--threads", type=int, default=5, help="of each of these")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    return parser


# What each operation does


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user, and their logins by the names of the devices."""

    username: str
    devices: dict[str, Login]


@dataclass(slots=True)
class World:
    """What becomes of a user's logins if one operation follows the other."""

    states: dict[str, str]
    refreshed: set[str] = field(default_factory=set)
    password_changed: bool = False

    def end(self, *devices: str) -> None:
        """End these logins."""
        self.states.update(dict.fromkeys(devices, DEAD))

    def others(self, device: str) -> list[str]:
        """Return the devices beside this one."""
        return [other for other in self.states if other != device]


@dataclass(frozen=True, slots=True)
class Operation:
    """How a device asks for it, and what it does to a world: it returns the answers allowed.

    ``follow`` is also told the name of the device that a log-in adds.
    """

    ask: Callable[[Client, Account, Login], Answer]
    follow: Callable[[World, str, str], set[int]]


def _logging_out(path: str, **body: str) -> Callable[[Client, Account, Login], Answer]:
    return lambda client, account, login: client.log_out(path, login.access, **body)


def _ends(
    which: Callable[[World, str], Iterable[str]],
) -> Callable[[World, str, str], set[int]]:
    """Return what a logout does: nothing at all if the login that asks is dead."""

    def follow(world: World, device: str, new: str) -> set[int]:
        if world.states[device] != DEAD:
            world.end(*which(world, device))
        return {200}

    return follow


def _close_others(world: World, device: str, new: str) -> set[int]:
    if world.states[device] != DEAD:
        world.end(device)
        for other in world.others(device):
            if world.states[other] == LIVE:
                world.states[other] = CLOSED
    return {200}


def _refresh(world: World, device: str, new: str) -> set[int]:
    if world.states[device] != LIVE:
        return {400}
    world.refreshed.add(device)
    return {200}


def _log_in(world: World, device: str, new: str) -> set[int]:
    if world.password_changed:
        return {400}
    world.states[new] = LIVE
    return {200}


def _change_password(world: World, device: str, new: str) -> set[int]:
    world.end(*world.states)
    world.password_changed = True
    return {200}


def _blacklist(world: World, device: str, new: str) -> set[int]:
    if world.states[device] == DEAD:
        # Its code asks, then inserts: twice the same in the same moment is answered with 200.
        return {200, 401}
    if world.states[device] == CLOSED or device in world.refreshed:
        return {401}
    world.end(device)
    return {200}


OPERATIONS: Final = {
    "logout": Operation(_logging_out("/api/v1/auth/logout"), _ends(lambda world, device: [device])),
    "logout of the others": Operation(
        _logging_out("/api/v1/auth/logout", scope="others"), _ends(World.others)
    ),
    "logout of refresh tokens": Operation(_logging_out("/logout"), _close_others),
    "logout/all": Operation(
        _logging_out("/api/v1/auth/logout/all"), _ends(lambda world, device: world.states)
    ),
    "refresh": Operation(lambda client, account, login: client.refresh(login.refresh), _refresh),
    "log-in": Operation(
        lambda client, account, login: client.log_in(account.username, PASSWORD), _log_in
    ),
    "password change": Operation(
        lambda client, account, login: client.post(
            "/drill/password", username=account.username, password="another password"
        ),
        _change_password,
    ),
    "blacklist()": Operation(
        lambda client, account, login: client.post("/drill/blacklist", refresh=login.refresh),
        _blacklist,
    ),
    "TokenBlacklistView": Operation(
        lambda client, account, login: client.post("/drill/blacklist-view", refresh=login.refresh),
        _blacklist,
    ),
}

PAIRS: Final = {
    f"{first} | {second}": (first, second)
    for first, second in combinations_with_replacement(OPERATIONS, 2)
}


# The races


COLUMNS: Final = ("races", "in an order", "survivors", "in no order", "half", "5xx")


def race_pairs(
    client: Client, count: int, parallel: int, report: Report, only: str | None = None
) -> None:
    """Race each pair so many times."""
    rows = {name: Counter[str]() for name in PAIRS if not only or only in name}
    for name, row in rows.items():
        races = [_begin(PAIRS[name], number) for number in range(count)]
        with ThreadPoolExecutor(parallel) as pool:
            outcomes = list(pool.map(partial(_race, client), races))
        left = _look_up(races, outcomes)
        for race, outcome, is_whole in zip(races, outcomes, left, strict=True):
            orders = race.orders()
            sound = is_whole and any(outcome.fits(*order) for order in orders)
            row.update(
                {
                    "races": 1,
                    "in an order": sound,
                    "survivors": outcome.survivors(*(states for states, _ in orders)),
                    "in no order": not any(outcome.fits(*order) for order in orders),
                    "half": not is_whole,
                    "5xx": sum(status >= 500 for status in outcome.answers),
                }
            )
            if not sound:
                report.lost.append(f"{name}, by {race.devices}: {outcome}, whole: {is_whole}")
    table = {name: {column: row[column] for column in COLUMNS} for name, row in rows.items()}
    report.tables.append(Table(title="At once", rows=table))


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """Two operations, the devices that ask for them, and by how much the first is ahead."""

    account: Account
    operations: tuple[Operation, Operation]
    devices: tuple[str, str]
    head_start: float

    def orders(self) -> list[tuple[dict[str, str], list[set[int]]]]:
        """Return the states and the answers of the one after the other, and the other way round."""
        orders = []
        for order in ((0, 1), (1, 0)):
            world = World(dict.fromkeys(self.account.devices, LIVE))
            answers = {n: self.operations[n].follow(world, self.devices[n], _new(n)) for n in order}
            orders.append((world.states, [answers[0], answers[1]]))
        return orders


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How both were answered, and what has become of the logins."""

    answers: tuple[int, int]
    states: dict[str, str]
    logins: dict[str, Login] = field(repr=False)

    def fits(self, states: Mapping[str, str], answers: Sequence[set[int]]) -> bool:
        """Whether it is this one."""
        answered = all(a in allowed for a, allowed in zip(self.answers, answers, strict=True))
        return answered and self.states == states

    def survivors(self, *orders: Mapping[str, str]) -> int:
        """Count the logins that work, and would be dead in any order."""
        return sum(
            state != DEAD and all(order.get(device, DEAD) == DEAD for order in orders)
            for device, state in self.states.items()
        )


def _new(number: int) -> str:
    return f"logged in by {number}"


def _begin(pair: tuple[str, str], number: int) -> Race:
    user = logins.create_user(PASSWORD)
    return Race(
        account=Account(
            username=user.get_username(),
            devices={device: logins.log_in(user) for device in ("phone", "laptop")},
        ),
        operations=(OPERATIONS[pair[0]], OPERATIONS[pair[1]]),
        devices=("phone", "phone" if number % 2 else "laptop"),
        head_start=(number // 2 % OFFSETS - OFFSETS // 2) / 1_000,
    )


def _race(client: Client, race: Race) -> Outcome:
    asked = [
        partial(operation.ask, client, race.account, race.account.devices[device])
        for operation, device in zip(race.operations, race.devices, strict=True)
    ]
    first, second = at_once(
        [partial(delayed, -race.head_start, asked[0]), partial(delayed, race.head_start, asked[1])]
    )
    generations = {device: [login] for device, login in race.account.devices.items()}
    names = {login.sid: device for device, login in race.account.devices.items()}
    for number, answer in enumerate((first, second)):
        if "refresh_token" in answer.body:
            login = logins.answered(answer.body)
            device = names.get(login.sid, _new(number))
            generations.setdefault(device, []).append(login)
    return Outcome(
        answers=(first.status, second.status),
        states={device: _state(client, known) for device, known in generations.items()},
        logins={device: known[-1] for device, known in generations.items()},
    )


def _state(client: Client, generations: Sequence[Login]) -> str:
    """Return what a login's tokens are answered: the newest first, for an old one may end it."""
    *old, newest = generations
    works = client.user(newest.access).status, client.refresh(newest.refresh).status
    if works == (200, 200):
        return LIVE
    if works == (200, 400):
        return CLOSED
    statuses = [*works]
    for login in old:
        statuses += client.user(login.access).status, client.refresh(login.refresh).status
    return DEAD if statuses == [401, 400] * len(generations) else f"answered {statuses}"


def _look_up(races: Sequence[Race], outcomes: Sequence[Outcome]) -> list[bool]:
    """Tell of each whether its ended logins are without a row, blacklisted and on record once."""
    from accounts.models import LogoutEvent  # noqa: PLC0415 - has been set up by now

    ended = Counter[str]()
    for username, count in LogoutEvent.objects.values_list("username", "sessions_ended"):
        ended[username] += count
    known = [login for outcome in outcomes for login in outcome.logins.values()]
    records = dict(zip(known, logins.look_up(known), strict=True))
    whole = []
    for race, outcome in zip(races, outcomes, strict=True):
        dead = [d for d, state in outcome.states.items() if state == DEAD]
        left = {device: records[login] for device, login in outcome.logins.items()}
        whole.append(
            ended[race.account.username] == len(dead)
            and all(left[device].blacklisted for device in dead)
            and all(found.row == (device not in dead) for device, found in left.items())
        )
    return whole


if __name__ == "__main__":
    sys.exit(main())
