"""Refreshes against the logout of the same login, and many refreshes at once with one token.

``python -m benchmarks.drills.races``. Whoever comes first: of a login whose logout was acknowledged
no token works, nor one that the racing refresh was answered with. Of many refreshes with one
token each is answered with the same successor, which works.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.drills import logins, machine
from benchmarks.drills.client import Answer, Client
from benchmarks.drills.logins import RECORDS_OF_ENDED, Login, Records
from benchmarks.drills.project import running
from benchmarks.drills.report import Report, Table

OFFSETS = 21
"""Head starts from ten milliseconds of the one to ten of the other."""


def main(arguments: list[str] | None = None) -> int:
    """Run the drill; return the exit status."""
    options = _parser().parse_args(arguments)
    with running(workers=options.workers, threads=options.threads) as project:
        report = Report(drill="races", machine=machine.describe(project.postgresql.version()))
        race_logouts(project.client, options.races, options.parallel, report)
        race_refreshes(project.client, options.rounds, options.refreshes, report)
    return report.finish(options.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("benchmarks.drills.races", description=__doc__)
    parser.add_argument("--races", type=int, default=10_000, help="of a refresh and a logout")
    parser.add_argument("--parallel", type=int, default=4, help="races at a time")
    parser.add_argument("--rounds", type=int, default=2_000, help="of refreshes with one token")
    parser.add_argument("--refreshes", type=int, default=20, help="in each round")
    parser.add_argument("--workers", type=int, default=4, help="processes of gunicorn")
    parser.add_argument("--threads", type=int, default=5, help="of each of these")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    return parser


# A refresh against the logout of the same login


def _bearer_alone(client: Client, login: Login) -> Answer:
    return client.log_out("/api/v1/auth/logout", login.access)


def _bearer_and_refresh_token(client: Client, login: Login) -> Answer:
    return client.log_out("/api/v1/auth/logout", login.access, token=login.refresh)


def _expired_bearer_and_refresh_token(client: Client, login: Login) -> Answer:
    return client.log_out("/api/v1/auth/logout", login.expired_access, token=login.refresh)


def _logout_all(client: Client, login: Login) -> Answer:
    return client.log_out("/api/v1/auth/logout/all", login.access)


VARIANTS: dict[str, Callable[[Client, Login], Answer]] = {
    "bearer alone": _bearer_alone,
    "bearer and refresh token": _bearer_and_refresh_token,
    "expired bearer and refresh token": _expired_bearer_and_refresh_token,
    "logout/all": _logout_all,
}


def race_logouts(client: Client, count: int, parallel: int, report: Report) -> None:
    """Race so many times, the variants in turn."""
    names = [list(VARIANTS)[number % len(VARIANTS)] for number in range(count)]
    rows = {name: Counter[str]() for name in VARIANTS}
    begun = list(logins.begin(count))
    with ThreadPoolExecutor(parallel) as pool:
        races = pool.map(partial(_race, client), names, begun, range(count))
        raced = list(races)
    records = logins.look_up([race.login for race in raced])
    for name, race, found in zip(names, raced, records, strict=True):
        rows[name].update(_counts(race, found))
        if not race.sound or found != RECORDS_OF_ENDED:
            report.lost.append(f"{name}: {race.summary}, {found}")
    report.tables.append(_table("A refresh against the logout", rows, RACE_COLUMNS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """How both were answered, the login as it was in the end, and its tokens that work."""

    login: Login
    ended: int
    refreshed: int
    survivors: list[str]

    @property
    def sound(self) -> bool:
        """Whether all went as it should."""
        return self.ended == 200 and self.refreshed in {200, 400} and not self.survivors

    @property
    def summary(self) -> str:
        """What to say of it."""
        answers = f"logout {self.ended}, refresh {self.refreshed}"
        return f"{self.login.sid} {answers}, survivors {self.survivors}"


RACE_COLUMNS = ("races", "refresh won", "logout won", "survivors", "half", "500", "other")


def _race(client: Client, name: str, login: Login, number: int) -> Race:
    head_start = (number // len(VARIANTS) % OFFSETS - OFFSETS // 2) / 1_000
    ended, refreshed = at_once(
        [
            partial(delayed, head_start, partial(VARIANTS[name], client, login)),
            partial(delayed, -head_start, partial(client.refresh, login.refresh)),
        ]
    )
    generations = [login]
    if refreshed.status == 200:
        generations.append(logins.refreshed(login, refreshed.body))
    return Race(
        login=generations[-1],
        ended=ended.status,
        refreshed=refreshed.status,
        survivors=list(_survivors(client, generations)),
    )


def delayed(seconds: float, call: Callable[[], Answer]) -> Answer:
    time.sleep(max(0.0, seconds))
    return call()


def _survivors(client: Client, generations: Sequence[Login]) -> Iterator[str]:
    """Name the tokens of a login that work: the newest first, for an old one may end it."""
    for number, login in reversed(list(enumerate(generations))):
        if client.user(login.access).status != 401:
            yield f"access token {number}"
        if client.refresh(login.refresh).status != 400:
            yield f"refresh token {number}"


def _counts(race: Race, records: Records) -> dict[str, int]:
    return {
        "races": 1,
        "refresh won": race.refreshed == 200,
        "logout won": race.refreshed == 400,
        "survivors": len(race.survivors),
        "half": records != RECORDS_OF_ENDED,
        "500": [race.ended, race.refreshed].count(500),
        "other": race.ended not in {200, 500} or race.refreshed not in {200, 400, 500},
    }


# Many refreshes at once with one token


ROUND_COLUMNS = ("rounds", "answers", "one successor", "it works", "500", "other")


def race_refreshes(client: Client, rounds: int, refreshes: int, report: Report) -> None:
    """Refresh so many times in parallel, each round with a login of its own."""
    counts = Counter[str]()
    for login in logins.begin(rounds):
        answers = at_once([partial(client.refresh, login.refresh)] * refreshes)
        statuses = Counter(answer.status for answer in answers)
        successors = {answer.body.get("refresh_token") for answer in answers}
        forked = statuses != {200: refreshes} or len(successors) != 1
        works = _works(client, answers[-1])
        counts.update(
            {
                "rounds": 1,
                "answers": len(answers),
                "one successor": not forked,
                "it works": works,
                "500": statuses[500],
                "other": sum(n for status, n in statuses.items() if status not in {200, 500}),
            }
        )
        if forked or not works:
            report.lost.append(
                f"{login.sid}: {dict(statuses)}, {len(successors)} successors, works: {works}"
            )
    title = f"{refreshes} refreshes with one token"
    report.tables.append(_table(title, {"at once": counts}, ROUND_COLUMNS))


def _works(client: Client, answer: Answer) -> bool:
    """Whether the tokens of an answer keep their login going."""
    if answer.status != 200:
        return False
    access = client.user(answer.body["access_token"]).status
    return access == 200 and client.refresh(answer.body["refresh_token"]).status == 200


def at_once(calls: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """Call all of these, each on a thread of its own."""
    barrier = threading.Barrier(len(calls), timeout=60)

    def run(call: Callable[[], Answer]) -> Answer:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def _table(title: str, rows: dict[str, Counter[str]], columns: Sequence[str]) -> Table:
    return Table(
        title=title, rows={name: {c: row[c] for c in columns} for name, row in rows.items()}
    )


if __name__ == "__main__":
    sys.exit(main())
