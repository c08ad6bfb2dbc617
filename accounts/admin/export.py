"""The record as a file: written while it is read, in memory that does not grow with it."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db.models import Q, QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone

from accounts.admin.clock import local, utc
from accounts.models import LogoutEvent

BATCH: Final = 1_000
"""How many events are in memory at once."""

Row = dict[str, Any]  # Any: each column has a type of its own

COLUMNS: Final = (
    "id",
    "occurred_at",
    "user_id",
    "username",
    "actor_id",
    "actor_name",
    "initiator",
    "reason",
    "scope",
    "session_id",
    "token_jti",
    "sessions_ended",
    "tokens_revoked",
    "ip_address",
    "user_agent",
    "request_id",
)

# What a spreadsheet takes for the beginning of a formula (OWASP, "CSV Injection"): also in a wide
# form, which counts as the plain one in some locales, and behind what is passed over.
_OPERATORS: Final = (
    "=+\\-@\u207a-\u207c\u208a-\u208c\u2212\ufb29\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20"
)
_PASSED_OVER: Final = '\\s"\\x00-\\x20\\x7f-\\x9f\\xad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff'
# Where a cell begins: a spreadsheet may have another separator than the file, and a quotation mark
# behind that one quotes.
_CELL: Final = "(?:\\A|(?<=[,;\\t\\n\\v\\f\\r\\x1c-\\x1e\\x85\u2028\u2029]))"
# At the end of the value, it is the quotation mark after it that would begin a cell.
_FORMULA: Final = re.compile(
    f'{_CELL}(?:(?=[{_PASSED_OVER}]*[{_OPERATORS}]|"*[\\t\\r\\n])|(?<!\\A)(?=[{_PASSED_OVER}]*\\Z))'
)


def csv_lines(rows: Iterable[Row]) -> str:
    """Write rows as CSV (RFC 4180); a single quote is before what a spreadsheet would run.

    Whether that separates cells by a comma, as the file does, by a semicolon or by a tab.
    """
    text = io.StringIO()
    csv.writer(text).writerows([_inert(value) for value in row.values()] for row in rows)
    return text.getvalue()


def json_lines(rows: Iterable[Row]) -> str:
    """Write rows as JSON, one on each line."""
    return "".join(f"{json.dumps(row, separators=(',', ':'), default=str)}\n" for row in rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """One kind of file."""

    content_type: str
    header: str
    write: Callable[[Iterable[Row]], str]


FORMATS: Final = {
    "csv": Format(
        content_type="text/csv; charset=utf-8; header=present",
        header=f"{','.join(COLUMNS)}\r\n",
        write=csv_lines,
    ),
    "jsonl": Format(content_type="application/x-ndjson", header="", write=json_lines),
}
"""The formats, by the ending of the file's name."""


def export(
    request: HttpRequest, *, events: QuerySet[LogoutEvent], ending: str
) -> StreamingHttpResponse:
    """Answer with a file of the events, in the order of their keys, one way or the other."""
    lines = _lines(FORMATS[ending], events)
    today = local(timezone.now()).date()
    return StreamingHttpResponse(
        # Django would read a plain iterator to its end before it sends anything under ASGI.
        _asynchronous(lines) if isinstance(request, ASGIRequest) else lines,
        headers={
            "Content-Type": FORMATS[ending].content_type,
            "Content-Disposition": f'attachment; filename="logout-events-{today}.{ending}"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
    )


def _lines(form: Format, events: QuerySet[LogoutEvent]) -> Iterator[str]:
    if form.header:
        yield form.header
    for batch in _batches(events):
        yield form.write(map(_row, batch))


async def _asynchronous(lines: Iterator[str]) -> AsyncIterator[str]:
    read = sync_to_async(lambda: next(lines, ""))
    while text := await read():
        yield text


def _batches(events: QuerySet[LogoutEvent]) -> Iterator[list[LogoutEvent]]:
    """Read the events piece by piece, each piece from where the last one ended.

    One long SELECT would be read into memory whole by the clients of some databases, and of
    PostgreSQL behind a transaction pooler; elsewhere its cursor would be open as long as somebody
    downloads slowly.
    """
    oldest_first = events.query.order_by[:1] == ("id",)
    events = events.order_by("id" if oldest_first else "-id")
    further = Q()
    while batch := list(events.filter(further)[:BATCH]):
        yield batch
        further = Q(**{"id__gt" if oldest_first else "id__lt": batch[-1].pk})


def _row(event: LogoutEvent) -> Row:
    return {
        column: utc(event.occurred_at) if column == "occurred_at" else getattr(event, column)
        for column in COLUMNS
    }


def _inert(value: object) -> object:
    return value if value is None or isinstance(value, int) else _FORMULA.sub("'", str(value))
