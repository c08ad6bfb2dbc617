"""Each way to begin, keep or end a login against each other, and against itself.

``python -m benchmarks.drills.pairs``. A user has two devices. Two operations run at once, both by
the same device or each by one of its own. What comes of it has to be what comes of the two one
after the other, in one order or in the other: the answers, which of the logins is alive, and what
is on record. "Overtaken" is no loss: see ``judge()``. PostgreSQL has to report no deadlock, also
none of those that a service tries again.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
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
    replaced: set[str] = field(default_factory=set)
    password_changed: bool = False

    def end(self, *devices: str) -> None:
        """End these logins."""
        self.states.update(dict.fromkeys(devices, DEAD))

    def others(self, device: str) -> list[str]:
        """Return the devices beside this one."""
        return [other for other in self.states if other != device]


@dataclass(frozen=True, slots=True)
class Operation:
    """How a device asks for it, and what it does to a world when it is answered so.

    ``follow`` is also told the name of the device that a log-in adds. It returns whether that is
    an answer to expect.
    """

    ask: Callable[[Client, Account, Login], Answer]
    follow: Callable[[World, str, str, int], bool]


def _logging_out(path: str, **body: str) -> Callable[[Client, Account, Login], Answer]:
    return lambda client, account, login: client.log_out(path, login.access, **body)


def _ends(
    which: Callable[[World, str], Iterable[str]],
) -> Callable[[World, str, str, int], bool]:
    """Return what a logout does: nothing at all if the login that asks is dead."""

    def follow(world: World, device: str, new: str, status: int) -> bool:
        if world.states[device] != DEAD:
            world.end(*which(world, device))
        return status == 200

    return follow


def _close_others(world: World, device: str, new: str, status: int) -> bool:
    if world.states[device] != DEAD:
        world.end(device)
        for other in world.others(device):
            if world.states[other] == LIVE:
                world.states[other] = CLOSED
    return status == 200


def _refresh(world: World, device: str, new: str, status: int) -> bool:
    if world.states[device] != LIVE:
        return status == 400
    world.replaced.add(device)
    return status == 200


def _log_in(world: World, device: str, new: str, status: int) -> bool:
    if world.password_changed:
        return status == 400
    world.states[new] = LIVE
    return status == 200


def _change_password(world: World, device: str, new: str, status: int) -> bool:
    world.end(*world.states)
    world.password_changed = True
    return status == 200


def _blacklist(world: World, device: str, new: str, status: int) -> bool:
    if status == 401:
        return world.states[device] != LIVE or device in world.replaced
    world.end(device)
    return status == 200


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


COLUMNS: Final = ("races", "in an order", "overtaken", "survivors", "in no order", "half", "5xx")


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
            fate = judge(race, outcome)
            row.update(
                {
                    "races": 1,
                    fate: 1,
                    "survivors": fate == "in no order" and _survivors(race, outcome),
                    "half": not is_whole,
                    "5xx": sum(status >= 500 for status in outcome.answers),
                }
            )
            if fate == "in no order" or not is_whole:
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

    def orders(self, answers: Sequence[int]) -> Iterator[tuple[dict[str, str], bool]]:
        """Yield what one after the other leaves, and whether that is how they are answered."""
        for order in ((0, 1), (1, 0)):
            world = World(dict.fromkeys(self.account.devices, LIVE))
            fits = [
                self.operations[n].follow(world, self.devices[n], _new(n), answers[n])
                for n in order
            ]
            yield world.states, all(fits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How both were answered, and what has become of the logins."""

    answers: tuple[int, int]
    states: dict[str, str]
    logins: dict[str, Login] = field(repr=False)


def judge(race: Race, outcome: Outcome) -> str:
    """Return the fate of a race: one of the columns."""
    if (outcome.states, True) in race.orders(outcome.answers):
        return "in an order"
    # SimpleJWT's own code asks whether a token is blacklisted, then blacklists it. Where a refresh
    # or a logout has done so in between, it finds that done, says 200 for 401, and sends no signal.
    refused = [
        401 if operation.follow is _blacklist and answer == 200 else answer
        for operation, answer in zip(race.operations, outcome.answers, strict=True)
    ]
    return "overtaken" if (outcome.states, True) in race.orders(refused) else "in no order"


def _survivors(race: Race, outcome: Outcome) -> int:
    """Count the logins that work, and would be dead in either order."""
    orders = [states for states, _ in race.orders(outcome.answers)]
    return sum(
        state != DEAD and all(states.get(device, DEAD) == DEAD for states in orders)
        for device, state in outcome.states.items()
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
