"""Attackers against the served project, within its own limits: none gets what they are after.

``python -m benchmarks.drills.attackers``. Four of them at once, each with another thing in hand,
each after the same: to guess at a password more often than allowed, to keep a victim in, to keep a
victim out, to end somebody else's login, and to leave no trace. Meanwhile their victims log in and
out. A guess is counted where it is compared with the hash, not by its answer; an ended login where
PostgreSQL deletes its row.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.drills import attacks, guesses, logins, machine, traces, victims
from benchmarks.drills.attacks import Arms, Attacker
from benchmarks.drills.client import Client
from benchmarks.drills.project import running
from benchmarks.drills.report import Report, Table
from benchmarks.drills.traces import Asked
from benchmarks.drills.victims import DEVICE, PASSWORD, SESSION, Account, Standing, Tally

PREPARATION: Final = 10
"""Seconds, for everybody to log in first."""

NAMES: Final = ("no credential", "a dead token", "a live token", "an account of his own")


def main(arguments: list[str] | None = None) -> int:
    """Run the drill; return the exit status."""
    options = _parser().parse_args(arguments)
    limited = "benchmarks.drills.limited"
    with running(workers=options.workers, threads=4, settings=limited) as project:
        report = Report(drill="attackers", machine=machine.describe(project.postgresql.version()))
        folder = project.postgresql.data.parent
        with traces.watching_ends():
            # In the middle of it a window of each account ends.
            begin = time.time() + PREPARATION
            ends = PREPARATION + options.seconds / 2
            attack = Attack(project.client, window_ends=ends)
            time.sleep(max(0.0, begin - time.time()))
            attack.run(seconds=options.seconds, threads=options.threads, pause=0.5)
            log = (folder / "gunicorn.log").read_text(errors="backslashreplace")
            attack.examine(folder / "guesses.log", log.splitlines(), report)
    return report.finish(options.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("benchmarks.drills.attackers", description=__doc__)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--threads", type=int, default=2, help="of each attacker at each aim")
    parser.add_argument("--workers", type=int, default=4, help="processes of gunicorn")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    return parser


@dataclass(kw_only=True)
class Front:
    """One attacker, those whom he is after, and how it went."""

    name: str
    guessed: Account
    """Whose password is guessed at, and who logs in meanwhile."""
    kept: Account
    """Whose logouts are spent, and who logs out meanwhile."""
    targets: list[Standing]
    """Whose logins are to be ended, and stand."""
    guesser: Arms
    spender: Arms
    ender: Arms
    sids: dict[str, str]
    """Which login each of the attacker's tokens is of."""
    asked: list[Asked] = field(default_factory=list)
    attempts: Counter[str] = field(default_factory=Counter)
    """How often the attacker has tried, by aim."""
    leaving: Tally = field(default_factory=Tally)
    returning: Tally = field(default_factory=Tally)

    @property
    def users(self) -> set[int]:
        """Everybody who takes part."""
        accounts = {self.guessed.pk, self.kept.pk, *(one.account.pk for one in self.targets)}
        return accounts | {arms.own.pk for arms in (self.ender,) if arms.own}


class Attack:
    """All attackers at once."""

    def __init__(self, client: Client, *, window_ends: float, names: Sequence[str] = NAMES) -> None:
        """Let those take part who have these names; ``window_ends`` is in seconds from now."""
        self.client = client
        self._ends = time.time() + window_ends
        self.fronts = [self._front(name) for name in names]
        self._began = 0.0

    def run(self, *, seconds: float, threads: int, pause: float) -> None:
        """Let everybody try until the time is over, each of them one round at least."""
        self._began = time.time()
        deadline = time.monotonic() + seconds
        with ThreadPoolExecutor(len(self.fronts) * (3 * threads + 2)) as pool:
            asked: list[tuple[Front, str, Future[int]]] = []
            for front in self.fronts:
                attacker = Attacker(host=self.client.host, port=self.client.port, asked=front.asked)
                for aim, begin in _aims(front, attacker).items():
                    asked += [
                        (front, aim, pool.submit(_repeat, begin, deadline)) for _ in range(threads)
                    ]
                for begin in self._victims(front, pause):
                    asked.append((front, "victim", pool.submit(_repeat, begin, deadline)))
            try:
                for front, aim, future in asked:
                    front.attempts[aim] += future.result()
            except BaseException:  # who interrupts the drill does not want to wait for its end
                pool.shutdown(cancel_futures=True)
                raise
        for front in self.fronts:
            _end_own(front, Attacker(host=self.client.host, port=self.client.port, asked=[]))

    def examine(self, file: Path, lines: Iterable[str], report: Report) -> None:
        """Look at what the attackers have got, and what they have left."""
        lines = list(lines)
        rows: dict[str, dict[str, int]] = {}
        more: dict[str, dict[str, int]] = {}
        for front in self.fronts:
            evaluated = guesses.evaluated(file, front.guessed.encoded)
            lost = {
                "too many": list(_excess(front, evaluated, self._began)),
                "kept in": front.leaving.lost,
                "kept out": front.returning.lost,
                "ended": list(self._fallen(front)),
            }
            gone = traces.ended()
            missing, events = traces.untraced(front.asked, lines, front.sids)
            lost["no trace"] = [f"no line for {one.what}" for one in missing]
            for user in front.users:
                lost["no trace"] += traces.unrecorded(user, gone.get(user, ()))
            ended = sum(gone[user].total() for user in front.users if user in gone)
            refused = sum(one.is_refused for one in front.asked)
            tries = (
                ("too many", "guesses", front.attempts["guess"]),
                ("kept in", "logouts", front.leaving.tries),
                ("kept out", "log-ins", front.returning.tries),
                ("ended", "attempts", front.attempts["end"]),
                ("no trace", "traces", refused + ended),
            )
            rows[front.name] = {}
            for what, of, number in tries:
                rows[front.name] |= {what: len(lost[what]), f"of {of}": number}
            more[front.name] = {
                "evaluated": sum(map(len, evaluated.values())),
                "counted by": len(evaluated),
                "logouts spent": front.attempts["spend"],
                "refused": refused,
                "logins ended": ended,
                "victims unanswered": front.leaving.no_answer + front.returning.no_answer,
                "unanswered": sum(not one.status for one in front.asked),
            }
            report.lost += [f"{front.name}: {what}: {one}" for what in lost for one in lost[what]]
        report.tables += [
            Table(title="Attacker with", rows=rows),
            Table(title="And", rows=more),
            Table(
                title="Lines of the log", rows={n: {"lines": c} for n, c in sorted(events.items())}
            ),
        ]

    def _front(self, name: str) -> Front:
        client, arm = self.client, partial(_arms, self.client, name)
        guessed, kept, target, bystander = (self._account() for _ in range(4))
        own = self._account() if name == NAMES[3] else None
        sids: dict[str, str] = {}
        standing = [victims.stand(client, account) for account in (target, bystander)]
        front = Front(
            name=name,
            guessed=guessed,
            kept=kept,
            targets=standing,
            guesser=arm(guessed, own, sids),
            spender=arm(kept, own, sids),
            ender=arm(target, own, sids),
            sids=sids,
        )
        if name == NAMES[2]:
            del front.targets[0]  # which he may end
        return front

    def _account(self) -> Account:
        return victims.open_account(self.client, window_ends=self._ends - time.time())

    def _victims(self, front: Front, pause: float) -> Iterator[Callable[[], Iterator[None]]]:
        def leave() -> Iterator[None]:
            if front.spender.counted_by:
                # Stolen anew, since the victim ends all logins again and again.
                _steal(self.client, front.kept, front.spender)
            return victims.leave(self.client, front.kept, front.leaving, pause)

        yield leave
        yield partial(victims.come_back, self.client, front.guessed, front.returning, pause)

    def _fallen(self, front: Front) -> Iterator[str]:
        for standing in front.targets:
            yield from standing.fallen(self.client)


def _repeat(begin: Callable[[], Iterator[None]], deadline: float) -> int:
    """Go through rounds until the time is over; return the number of steps."""
    steps = 0
    while not steps or time.monotonic() < deadline:
        for _ in begin():
            steps += 1
            if steps > FIRST and time.monotonic() >= deadline:
                break
    return steps


FIRST: Final = 40
"""So many steps are gone even by who is slow."""


def _aims(front: Front, attacker: Attacker) -> dict[str, Callable[[], Iterator[None]]]:
    def end() -> Iterator[None]:
        others = []
        if (own := front.ender.own) is not None:
            device = own.on_device(attacks.as_client(attacker))
            others.append(device.log_in(own.username, PASSWORD).body["access_token"])
        return attacks.end_logins(attacker, front.targets, front.ender, others)

    return {
        "guess": lambda: attacks.guess_passwords(attacker, front.guessed, front.guesser),
        "spend": lambda: attacks.spend_logouts(attacker, front.kept, front.spender),
        "end": end,
    }


def _end_own(front: Front, attacker: Attacker) -> None:
    """Let an attacker end all of what he may, with the cookies of those whom he may not."""
    for bearer in front.ender.bearers:
        for standing in front.targets:
            attacker.with_cookies(standing.browser).log_out("/logout/all", bearer)


def _excess(front: Front, evaluated: dict[str, list[float]], began: float) -> Iterator[str]:
    arms = front.guesser
    known = {f"user:{front.guessed.pk}"}
    known |= {arms.counted_by, arms.browser_counted_by, arms.device_counted_by}
    for key, moments in evaluated.items():
        excess = moments if key not in known else guesses.too_many(moments, key=key, began=began)
        yield from (f"a guess for {key}, evaluated at {moment}" for moment in excess)


def _arms(
    client: Client, name: str, victim: Account, own: Account | None, sids: dict[str, str]
) -> Arms:
    """Return what an attacker of this name has of a victim."""
    from accounts.tokens import decode  # noqa: PLC0415 - has been set up by now

    arms = Arms(own=own)
    if name == NAMES[1]:
        dead = _log_in(client, victim)
        client.log_out("/api/v1/auth/logout", dead.access)
        arms.bearers, arms.refresh_tokens = [dead.access], [dead.refresh]
    elif name == NAMES[2]:
        _steal(client, victim, arms)
        _steal_browser(client, victim, arms)
    elif own is not None:
        login = _log_in(client, own)
        arms.bearers, arms.refresh_tokens = [login.access], [login.refresh]
    # Of his own he may end some, and use it then.
    for raw in (*arms.bearers, *arms.refresh_tokens):
        sids[raw] = str(decode(raw).sid)
    return arms


def _log_in(client: Client, account: Account) -> logins.Login:
    answer = account.on_device(client).log_in(account.username, PASSWORD)
    return logins.answered(answer.body)


def _steal(client: Client, victim: Account, arms: Arms) -> None:
    login = _log_in(client, victim)
    arms.bearers, arms.refresh_tokens = [login.access], [login.refresh]
    arms.counted_by = f"login:{login.sid}"


def _steal_browser(client: Client, victim: Account, arms: Arms) -> None:
    from accounts.models import Session, hash_key  # noqa: PLC0415 - has been set up by now

    arms.browser = victims.browse(client, victim)
    session = Session.objects.get(session_key=hash_key(arms.browser[SESSION]))
    arms.browser_counted_by = f"login:{session.sid}"
    arms.device_counted_by = arms.browser[DEVICE].strip('"').partition("-")[0]


if __name__ == "__main__":
    sys.exit(main())
