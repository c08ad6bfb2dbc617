"""One process of one subject: measures what it is asked for, line by line.

Each question is a line of JSON, and so is each answer.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TextIO

from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from benchmarks.comparison.project.drivers import Call, Login, driver, make_users

WARM: Final = 2
"""So many of each batch are not counted: the process has been idle while others were measured."""

BATCH_SECONDS: Final = 0.5
"""A batch that takes longer ends early, after one that counts."""

OTHERS: Final = 1_000
LEFT: Final = 300

CONTROL: Final = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


class Refused(Exception):
    """A call was not answered as it has to be: the driver and the package do not fit together."""


class Worker:
    """The subject, with a client that goes through the whole of the middleware."""

    def __init__(self) -> None:
        """Find the driver that the settings name."""
        self._driver = driver()
        self._client = Client(raise_request_exception=True)
        self._floors = {
            "read": Call(method="GET", path="/floor/read"),
            "write": Call(method="POST", path="/floor/write", body="{}"),
        }
        self._one: Call | None = None
        self._many: Call | None = None

    def prepare(self) -> dict[str, Any]:  # Any: JSON, here and below
        """Make the tables."""
        call_command("migrate", run_syncdb=True, verbosity=0)
        return {}

    def seed(self, logins: int) -> dict[str, Any]:
        """Begin so many logins of one user, and a past: others who are in, and who have left."""
        self._many = self._crowd(logins)
        self._driver.seed(make_users(OTHERS))
        for call in self._calls("logout", LEFT):
            self._send(call)
        # PostgreSQL plans for tables as it knows them: not empty ones.
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
        return {}

    def look(self) -> dict[str, Any]:
        """Return the statuses that the tokens of a login get after its logout.

        Raises ``Refused`` if they are alive as before: what is measured would be no logout.
        """
        login = self._driver.seed(make_users(1))[0]
        request, refresh = self._request(login), self._driver.refresh(login)
        self._send(request)
        self._send(self._driver.logout(login))
        statuses = {"access": self._answer(request).status_code}
        if refresh is not None:
            statuses["refresh"] = self._answer(refresh).status_code
        if max(statuses.values()) < 400:
            raise Refused(f"after a logout: {statuses}")
        return statuses

    def measure(self, operation: str, batch: int) -> dict[str, Any]:
        """Time a batch of an operation, and as many of its floor: seconds."""
        calls = self._calls(operation, WARM + batch)
        if not calls:
            return {}
        floor = self._floor(operation)
        rows = {"samples": calls, "floors": [floor] * len(calls)}
        # Neither is always the first.
        return {name: self._row(rows[name]) for name in random.sample(sorted(rows), len(rows))}

    def _row(self, calls: Sequence[Call]) -> list[float]:
        """Time calls, one after the other."""
        samples: list[float] = []
        begun = time.perf_counter()
        for number, call in enumerate(calls):
            seconds = self._time(call)
            if number >= WARM:
                samples.append(seconds)
            if samples and time.perf_counter() - begun > BATCH_SECONDS:
                break
        return samples

    def count(self, operation: str) -> dict[str, Any]:
        """Count the statements of one operation; apart, those that open or close transactions."""
        calls = self._calls(operation, 2)
        if not calls:
            return {}
        self._send(calls[0])
        return self._counted(lambda: self._send(calls[1]))

    def log_out_everywhere(self, logins: int) -> dict[str, Any]:
        """Time the end of so many logins of one user."""
        login = self._driver.seed(make_users(1) * logins)[0]
        call = self._driver.logout_all(login)
        if call is None:
            return {}
        self._time(self._floors["write"])
        statements = 0

        # Django's own log of queries takes its time, and ends with the 9,000th.
        def count(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
            nonlocal statements
            statements += not _is_control(sql)
            return execute(sql, *arguments)

        with connection.execute_wrapper(count):
            seconds = self._time(call)
        return {"statements": statements, "seconds": seconds}

    def requests(self, operation: str, count: int) -> dict[str, Any]:
        """Return requests of an operation for somebody else to send."""
        calls = self._calls(operation, count) if count else []
        floor = self._floor(operation)
        return {"floor": _plain(floor), "calls": [_plain(call) for call in calls]}

    def _calls(self, operation: str, count: int) -> Sequence[Call]:
        match operation:
            case "request":
                return [self._request_of_one()] * count
            case "crowd":
                return [self._many] * count if self._many else []
            case "introspect":
                # Ours alone has it.
                ask = getattr(self._driver, "introspect", None)
                return [ask(self._request_of_one().authorization)] * count if ask else []
            case "refresh":
                begin = self._driver.refresh
            case "logout":
                begin = self._driver.logout
            case _:
                raise ValueError(operation)
        logins = self._driver.seed(make_users(count))
        return [call for login in logins if (call := begin(login)) is not None]

    def _floor(self, operation: str) -> Call:
        match operation:
            case "request":
                return self._floors["read"]
            case "crowd" | "introspect":
                return self._request_of_one()
            case _:
                return self._floors["write"]

    def _request_of_one(self) -> Call:
        if self._one is None:
            self._one = self._crowd(1)
        return self._one

    def _crowd(self, logins: int) -> Call:
        return self._request(self._driver.seed(make_users(1) * logins)[0])

    @staticmethod
    def _request(login: Login) -> Call:
        return Call(method="GET", path="/authenticated", authorization=login.authorization)

    def _time(self, call: Call) -> float:
        begun = time.perf_counter()
        response = self._answer(call)
        seconds = time.perf_counter() - begun
        self._check(call, response)
        return seconds

    def _send(self, call: Call) -> None:
        self._check(call, self._answer(call))

    def _answer(self, call: Call) -> Any:  # Any: the test client's response has no type of its own
        headers = {"authorization": call.authorization} if call.authorization else {}
        return self._client.generic(
            call.method, call.path, call.body, call.content_type, headers=headers
        )

    @staticmethod
    def _check(call: Call, response: Any) -> None:
        if not 200 <= response.status_code < 300:
            raise Refused(f"{call.path}: {response.status_code} {response.content[:500]!r}")

    @staticmethod
    def _counted(act: Callable[[], object]) -> dict[str, Any]:
        with CaptureQueriesContext(connection) as captured:
            act()
        control = sum(_is_control(query["sql"] or "") for query in captured)
        return {"statements": len(captured) - control, "control": control}


def _is_control(sql: str) -> bool:
    return sql.lstrip().upper().startswith(CONTROL)


def _plain(call: Call) -> dict[str, str]:
    return {
        "method": call.method,
        "path": call.path,
        "body": call.body,
        "authorization": call.authorization,
    }


def serve(questions: TextIO, answers: TextIO) -> None:
    """Answer until there are no more questions."""
    worker = Worker()
    for line in questions:
        question = json.loads(line)
        answer = getattr(worker, question.pop("ask"))(**question)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
