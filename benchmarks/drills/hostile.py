"""Generated bad requests: none fails, changes anything or leaves a secret or a forged line behind.

``python -m benchmarks.drills.hostile``. The requests come from a seed, so that a run can be
repeated. Every one of them is bad in one way at least; what it is bad in is drawn at random, and
the rest of it is as good as a client's, so that it gets as far as it can.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import re
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg
from psycopg import sql

from benchmarks.drills import logins, machine
from benchmarks.drills.logins import Login
from benchmarks.drills.project import Project, running
from benchmarks.drills.report import Report, Table

HOST: Final = "127.0.0.1"
TIMEOUT: Final = 60
"""Seconds to wait for an answer."""

MARK: Final = "Hush5ecret"
"""In every password and every made-up token, so that the log can be searched for them."""

GROWTH: Final = 1.10
"""A worker may not be bigger by more at the end than it was after a tenth of the requests."""

CHANGES: Final = {200, 201, 202, 204}
"""Statuses that no request but one that reads may have."""

BASES: Final = ("/api/v1/auth/", "/api/auth/", "/")
POSTS: Final = ("token", "logout", "logout/all", "reauthenticate")
READS: Final = ("user", "sessions")
SHAPES: Final = ({"success", "message"}, {"code", "msg"}, {"error", "error_description"})

TEXTS: Final = (
    *("", " ", "\x00", "\x1b[2J\x1b]0;x\x07", "a\r\nb", "a\n{}\n", "\u2028\u2029\x85", "\u202egnp"),
    *("%s%n%x", "${jndi:ldap://x/y}", "{{7*7}}", "' OR 1=1 --", "../../etc/passwd", "<script>"),
    *("9" * 5_000, "a" * 20_000, "ñ" * 2_000, "😀" * 500, "null", "-1", "1e999", "NaN"),
)
VALUES: Final[tuple[object, ...]] = (
    None,
    True,
    0,
    -1,
    1.5,
    10**400,
    [],
    ["a"],
    {},
    {"a": {"b": []}},
    *TEXTS,
)
BODIES: Final = (
    *(
        b"\x01",
        b"{",
        b"[]",
        b"null",
        b"5",
        b'"x"',
        b"{}{}",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b"NaN",
    ),
    *(b'{"token":"\xff"}', b'{"token":"a","token":"b"}', b"[" * 90_000, b'{"a":' * 50_000),
    *(b'{"token":"\\ud800"}', b'{"token":' + b"9" * 5_000 + b"}", b"9" * 5_000, b"a=b&a=c"),
)
TYPES: Final = (
    *("text/plain", "application/xml", "multipart/form-data; boundary=x", "", "json", "*/*"),
    *("application/json; charset=utf-16", "a" * 5_000, "application/x-www-form-urlencoded"),
)
METHODS: Final = ("PUT", "PATCH", "OPTIONS", "TRACE", "DELETE", "GETT", "__INIT__")
HEADERS: Final = (
    *("User-Agent", "X-Request-ID", "X-Forwarded-For", "Accept", "Accept-Language", "Cookie"),
    *("Referer", "Origin", "If-Modified-Since", "X-HTTP-Method-Override", "Forwarded", "Range"),
)
HEADER_VALUES: Final = (
    *(b"", b"\xff\xfe", b"a" * 7_000, b"\x85\xe2\x80\xa8", b"*", b"es;q=x", b"xx," * 2_000),
    *(b"sessionid=" + b"a" * 32, b"sessionid=\xff", b"1.2.3.4, 5.6.7.8", b"::1%" + b"a" * 99),
    *(b"null", b"'", b"%0d%0aSet-Cookie: a=b", b'{"event": "authn_login_success"}', b"=;=;="),
)


@dataclass(frozen=True, slots=True)
class Bad:
    """A request, what is bad in it, and whether it is one that may be answered with 200."""

    kind: str
    content: bytes
    reads: bool = False
    is_ours: bool = True
    """Whether one of our endpoints answers, and so in one of the contracts."""


class Generator:
    """Draws bad requests; the same ones for the same seed and logins."""

    def __init__(self, seed: int, mine: Login, foreign: Login) -> None:
        self.draw = random.Random(seed)
        self.mine, self.foreign = mine, foreign
        self.kinds: tuple[Callable[[], Bad], ...] = (
            *(self.forged_bearer, self.forged_bearer, self.no_bearer, self.bad_body),
            *(self.bad_field, self.bad_field, self.bad_grant, self.bad_grant, self.forged_refresh),
            *(self.bad_cursor, self.bad_id, self.bad_method, self.bad_type, self.bad_path),
            *(self.broken, self.expired),
        )

    def __iter__(self) -> Iterator[Bad]:
        while True:
            yield self.draw.choice(self.kinds)()

    def forged_bearer(self) -> Bad:
        method, endpoint = self._endpoint()
        body = {"scope": "global"} if endpoint == "logout" else {}
        return self._bad("forged bearer", method, endpoint, body, self._forged(self.mine.access))

    def expired(self) -> Bad:
        method, endpoint = self._endpoint()
        return self._bad("expired bearer", method, endpoint, {}, self.mine.expired_access)

    def no_bearer(self) -> Bad:
        method, endpoint = self._endpoint()
        return self._bad("no bearer", method, endpoint, {"token": self.mine.refresh})

    def bad_body(self) -> Bad:
        endpoint = self.draw.choice(POSTS)
        body = self.draw.choice(BODIES)
        if self.draw.random() < 0.3:
            body = b"\x01" + self.draw.randbytes(self.draw.randrange(300))
        return self._bad("bad body", "POST", endpoint, body, self.mine.access)

    def bad_field(self) -> Bad:
        endpoint, field = self.draw.choice(
            (
                *(("logout", "token"), ("logout", "scope"), ("logout/all", "token")),
                *(("logout/all", "scope"), ("reauthenticate", "password")),
            )
        )
        value = self.draw.choice(VALUES)
        if field == "token" and self.draw.random() < 0.7:
            value = self.draw.choice(
                (self._forged(self.mine.refresh), self.foreign.refresh, self.foreign.access)
            )
        elif field == "password" and isinstance(value, str):
            value = MARK + value
        return self._bad("bad field", "POST", endpoint, {field: value}, self.mine.access)

    def bad_grant(self) -> Bad:
        body: dict[str, object] = {
            "grant_type": self.draw.choice(("password", "password", "refresh_token", "implicit")),
            self.draw.choice(("username", "email", "user")): self.draw.choice(VALUES),
            "password": self.draw.choice((MARK, MARK + self._text(), *VALUES)),
        }
        return self._bad("bad grant", "POST", "token", body)

    def forged_refresh(self) -> Bad:
        raw = self.draw.choice((self._forged(self.mine.refresh), self.mine.access, self._value()))
        body = {"grant_type": "refresh_token", "refresh_token": raw}
        return self._bad("forged refresh token", "POST", "token", body)

    def bad_cursor(self) -> Bad:
        position = f"p={self._text()[:200]}&o={self.draw.choice(('0', '-1', '9' * 30, 'x'))}&r=1"
        cursor = self.draw.choice(
            (base64.b64encode(position.encode(errors="replace")).decode(), self._text()[:300])
        )
        path = "sessions?cursor=" + "".join(f"%{byte:02X}" for byte in cursor.encode())[:6_000]
        return self._bad("bad cursor", "GET", path, b"", self.mine.access, reads=True)

    def bad_id(self) -> Bad:
        sid = self.draw.choice(
            (str(self.foreign.sid), self._quoted(), f"{self.draw.getrandbits(128):032x}", "%00")
        )
        is_ours = "%2F" not in sid and sid != ""
        return self._bad(
            "bad id", "DELETE", f"sessions/{sid}", b"", self.mine.access, is_ours=is_ours
        )

    def bad_method(self) -> Bad:
        endpoint = self.draw.choice((*POSTS, *READS))
        return self._bad("bad method", self.draw.choice(METHODS), endpoint, {}, self.mine.access)

    def bad_type(self) -> Bad:
        endpoint = self.draw.choice(POSTS[:1] + POSTS[3:])
        body = json.dumps({"grant_type": "implicit", "password": None}).encode()
        return self._bad(
            "bad type", "POST", endpoint, body, self.mine.access, type_=self.draw.choice(TYPES)
        )

    def bad_path(self) -> Bad:
        return self._bad(
            "bad path", "GET", f"nowhere/{self._quoted()}", b"", self.mine.access, is_ours=False
        )

    def broken(self) -> Bad:
        """Return what is no request at all, or one that ends too early."""
        path = (self._base() + "logout").encode()
        content = self.draw.choice(
            (
                b"POST %s HTTP/1.1\r\nContent-Length: 99\r\n\r\n{}" % path,
                b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n" % path,
                b"POST %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n" % path,
                b"POST %s HTTP/9.9\r\n\r\n" % path,
                b"GET %s?%s HTTP/1.1\r\n\r\n" % (path, b"a" * 9_000),
                b"POST %s HTTP/1.1\r\nA\x00B: c\r\n\r\n" % path,
                b"POST %s HTTP/1.1\r\n%s\r\n" % (path, b"A: b\r\n" * 200),
                self.draw.randbytes(self.draw.randrange(1, 400)) + b"\r\n\r\n",
            )
        )
        return Bad("broken HTTP", content, is_ours=False)

    def _endpoint(self) -> tuple[str, str]:
        endpoint = self.draw.choice((*POSTS[1:], *READS))
        return ("GET" if endpoint in READS else "POST"), endpoint

    def _base(self) -> str:
        return self.draw.choice(BASES)

    def _value(self) -> object:
        return self.draw.choice(VALUES)

    def _text(self) -> str:
        return self.draw.choice(TEXTS) + "".join(
            chr(self.draw.choice((self.draw.randrange(0xD7FF), self.draw.randrange(256))))
            for _ in range(self.draw.randrange(20))
        )

    def _quoted(self) -> str:
        return "".join(f"%{byte:02X}" for byte in self._text().encode()[:500])

    def _forged(self, genuine: str) -> str:
        """Return a token that is not genuine, be it by one character of its signature."""
        header, payload, signature = genuine.split(".")
        at = self.draw.randrange(len(payload))
        other = "A" if payload[at] != "A" else "B"
        none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
        return self.draw.choice(
            (
                f"{header}.{payload[:at]}{other}{payload[at + 1 :]}.{signature}",
                f"{header}.{payload}.{'AB'[signature[0] == 'A']}{signature[1:]}",
                f"{header}.{payload}.{MARK}",
                f"{none}.{payload}.",
                f"{none}.{payload}.{signature}",
                f"{header}.{payload}",
                f"{header}.{MARK}.{signature}",
                f"{MARK}.{MARK}.{MARK}",
                MARK * 300,
                genuine[: self.draw.randrange(1, len(genuine) - 8)],
            )
        )

    def _bad(
        self,
        kind: str,
        method: str,
        path: str,
        body: object,
        bearer: str = "",
        *,
        type_: str = "application/json",
        reads: bool = False,
        is_ours: bool = True,
    ) -> Bad:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"{method} {self._base()}{path} HTTP/1.1".encode(), b"Host: 127.0.0.1"]
        lines += [b"Connection: close", b"Content-Length: %d" % len(content)]
        lines += [b"Content-Type: " + type_.encode()] * bool(type_)
        lines += [b"Authorization: Bearer " + bearer.encode()] * bool(bearer)
        for name in self.draw.sample(HEADERS, self.draw.choice((0, 1, 1, 3))):
            lines.append(name.encode() + b": " + self.draw.choice(HEADER_VALUES))
        return Bad(kind, b"\r\n".join([*lines, b"", content]), reads, is_ours)


def main(arguments: list[str] | None = None) -> int:
    """Run the drill; return the exit status."""
    options = _parser().parse_args(arguments)
    with running(workers=options.workers, threads=1) as project:
        report = Report(drill="hostile", machine=machine.describe(project.postgresql.version()))
        mine, foreign = logins.begin(2)
        attack(project, Generator(options.seed, mine, foreign), options, report)
        read_log(project, (mine, foreign), report)
    return report.finish(options.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("benchmarks.drills.hostile", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="requests")
    parser.add_argument("--seed", type=int, default=1, help="what they are drawn by")
    parser.add_argument("--parallel", type=int, default=4, help="requests at a time")
    parser.add_argument("--workers", type=int, default=2, help="processes of gunicorn")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    return parser


def attack(
    project: Project, generator: Generator, options: argparse.Namespace, report: Report
) -> None:
    """Send all of the requests, and look at the answers, the tables and the workers."""
    before = tables(project)
    sizes = {"at the start": memory()}
    requests = islice(iter(generator), options.count)
    tenth = max(1, options.count // 10)
    counts: dict[str, Counter[str]] = {}
    with ThreadPoolExecutor(options.parallel) as pool:
        for part in range(10):
            size = tenth if part < 9 else options.count - 9 * tenth
            batch = list(islice(requests, max(0, size)))
            for bad, (status, wrong) in zip(
                batch, pool.map(lambda bad: send(project.client.port, bad), batch), strict=True
            ):
                counts.setdefault(bad.kind, Counter())[str(status)] += 1
                if wrong:
                    report.lost.append(f"{bad.kind}: {wrong}: {bad.content[:300]!r}")
            if part in {0, 9}:
                sizes["after a tenth" if part == 0 else "at the end"] = memory()
            print(f"{(part + 1) * 10} %", file=sys.stderr, flush=True)
    statuses = sorted({status for counter in counts.values() for status in counter})
    rows = {kind: {s: counts[kind][s] for s in statuses} for kind in sorted(counts)}
    rows["all"] = {s: sum(row[s] for row in rows.values()) for s in statuses}
    report.tables.append(Table(title="Answers", rows=rows))
    _compare_memory(sizes, report)
    after = tables(project)
    report.tables.append(
        Table(
            title="Tables",
            rows={n: {"rows": len(r), "changed": r != after[n]} for n, r in before.items()},
        )
    )
    report.lost += [f"{name} has changed" for name in before if before[name] != after[name]]


def _compare_memory(sizes: dict[str, dict[int, int]], report: Report) -> None:
    rows = {
        f"worker {number}": {when: size.get(pid, 0) // 1024 for when, size in sizes.items()}
        for number, pid in enumerate(sizes["at the start"], start=1)
    }
    report.tables.append(Table(title="Memory in KiB", rows=rows))
    for name, row in rows.items():
        if not row["at the end"]:
            report.lost.append(f"{name} has died")
        elif row["at the end"] > row["after a tenth"] * GROWTH:
            report.lost.append(f"{name} has grown: {row}")


def send(port: int, bad: Bad) -> tuple[int, str]:
    """Send a request; return the status, 0 if there was none, and what is wrong with it."""
    answer = b""
    try:
        with socket.create_connection((HOST, port), timeout=TIMEOUT) as connection:
            connection.sendall(bad.content)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65_536):
                answer += part
    except TimeoutError:
        return 0, "no answer in time"
    except OSError:
        pass  # Refused before it was read; whatever came until then is the answer.
    head, _, body = answer.partition(b"\r\n\r\n")
    line = head.split(b" ", 2)
    if len(line) < 3 or not line[1].isdigit():
        return 0, "" if bad.kind == "broken HTTP" else "no answer"
    status = int(line[1])
    if status >= 500:
        return status, "an error of the server"
    if status in CHANGES and not bad.reads:
        return status, "a success"
    if bad.is_ours and status >= 400:
        return status, _wrong_shape(head, body)
    return status, ""


def _wrong_shape(head: bytes, body: bytes) -> str:
    if b"application/json" not in head:
        # A request that gunicorn itself refuses never gets to the project.
        return "" if b"gunicorn" in head and b"Content-Language" not in head else "not JSON"
    try:
        return "" if set(json.loads(body)) in SHAPES else "another shape"
    except ValueError:
        # The answer to HEAD has no body.
        return "broken JSON" if body else ""


def memory() -> dict[int, int]:
    """Return the resident size of each worker, in bytes."""
    masters = [p for p in psutil.Process().children() if "gunicorn" in " ".join(p.cmdline())]
    workers = [worker for master in masters for worker in master.children()]
    return {worker.pid: worker.memory_info().rss for worker in workers}


def tables(project: Project) -> dict[str, list[str]]:
    """Return every row of every table, as text.

    Without ``last_seen_at``, for some of the requests come with a bearer that is alive, and without
    the counters, which count these requests too.
    """
    with psycopg.connect(project.postgresql.address) as connection:
        names = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            " AND tablename <> 'drf_logout_counter' ORDER BY 1"
        ).fetchall()
        return {name: _rows(connection, name) for (name,) in names}


def _rows(connection: psycopg.Connection[Any], table: str) -> list[str]:
    query = sql.SQL("SELECT (to_jsonb(t) - 'last_seen_at')::text FROM {} t ORDER BY 1")
    return [row for (row,) in connection.execute(query.format(sql.Identifier(table))).fetchall()]


LINE: Final = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+ .*"  # the project's
    r"|\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[\d+\] \[[A-Z]+\] .*"  # gunicorn's
)


def read_log(project: Project, known: tuple[Login, ...], report: Report) -> None:
    """Look for secrets, and for lines that nobody has written."""
    secrets = {MARK}
    for login in known:
        for raw in (login.access, login.refresh, login.expired_access):
            secrets.update(raw.split(".")[1:])
    lines = (project.postgresql.data.parent / "gunicorn.log").read_bytes().split(b"\n")
    found: Counter[str] = Counter({"security": 0, "text": 0})
    for raw_line in filter(None, lines):
        line = raw_line.decode(errors="backslashreplace")
        if any(secret in line for secret in secrets):
            report.lost.append(f"a secret in the log: {line[:300]}")
        # Of a request that it refuses, gunicorn repeats the letters.
        if not line.isprintable() or not (line.isascii() or line.startswith("[")):
            report.lost.append(f"a line that is not plain: {line[:300]!r}")
        found[_kind(line)] += 1
        if _kind(line) == "forged or broken":
            report.lost.append(f"a line of nobody's: {line[:300]!r}")
    report.tables.append(
        Table(title="Lines of the log", rows={kind: {"lines": n} for kind, n in found.items()})
    )


def _kind(line: str) -> str:
    if LINE.fullmatch(line):
        return "text"
    try:
        entry = json.loads(line)
    except ValueError:
        return "forged or broken"
    return "security" if {"datetime", "event", "request_id"} <= set(entry) else "forged or broken"


if __name__ == "__main__":
    sys.exit(main())
