"""What attackers leave behind: the record of the logins that ended, and the security log."""

from __future__ import annotations

import json
import re
import uuid
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

_WATCH: Final = """
CREATE TABLE drill_ended (sid uuid, user_id bigint);
CREATE FUNCTION drill_watch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO drill_ended VALUES (OLD.sid, OLD.user_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER drill_watch AFTER DELETE ON drf_logout_session
FOR EACH ROW WHEN (OLD.user_id IS NOT NULL) EXECUTE FUNCTION drill_watch();
"""
_UNWATCH: Final = """
DROP TRIGGER drill_watch ON drf_logout_session;
DROP FUNCTION drill_watch();
DROP TABLE drill_ended;
"""

DJANGO: Final = {
    "forms": re.compile("django.security.csrf Forbidden"),
    "user": re.compile("django.request Unauthorized: /user$"),
    "sessions": re.compile("django.request Unauthorized: /sessions$"),
}
"""What Django alone tells of, in lines without an id: forms of other sites, and reads with tokens
that are not genuine, which log nobody in and end nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request of an attacker's."""

    id: str
    what: str
    status: int
    is_refused: bool
    presented: str
    """The token that it came with."""
    by_django: str
    """What Django's line of its refusal is, by ``DJANGO``; empty for a request that we log."""


@contextmanager
def watching_ends() -> Iterator[None]:
    """Let PostgreSQL itself note each login whose row goes."""
    _run(_WATCH)
    try:
        yield
    finally:
        _run(_UNWATCH)


def _run(statements: str) -> None:
    from django.db import connection  # noqa: PLC0415 - has been set up by now

    with connection.cursor() as cursor:
        cursor.execute(statements)


def ended() -> dict[int, Counter[uuid.UUID]]:
    """Return the logins of each user whose rows have gone."""
    from django.db import connection  # noqa: PLC0415 - as above

    gone: dict[int, Counter[uuid.UUID]] = defaultdict(Counter)
    with connection.cursor() as cursor:
        cursor.execute("SELECT user_id, sid FROM drill_ended")
        for user_id, sid in cursor.fetchall():
            gone[user_id][sid] += 1
    return gone


def unrecorded(user_id: int, gone: Collection[uuid.UUID]) -> Iterator[str]:
    """Tell what the record has too little or too much of, for one user."""
    from accounts.models import LogoutEvent  # noqa: PLC0415 - as above

    events = list(LogoutEvent.objects.filter(user_id=user_id))
    on_record = sum(event.sessions_ended for event in events)
    if on_record != len(gone):
        yield f"user {user_id}: {len(gone)} logins ended, {on_record} on record"
    of_one = Counter(
        event.session_id
        for event in events
        if event.scope == LogoutEvent.Scope.SESSION and event.sessions_ended
    )
    for sid, times in of_one.items():
        if times > 1 or sid not in gone:
            yield f"user {user_id}: login {sid} ended, and {times} times on record"


def untraced(
    asked: Iterable[Asked], lines: Iterable[str], sids: Mapping[str, str]
) -> tuple[list[Asked], Counter[str]]:
    """Return the refused requests that the log says nothing of, and its lines by event.

    The use of an ended login is told once by each process: ``sids`` say which login a token is of.
    """
    ids, told, events = set(), set(), Counter[str]()
    for line in lines:
        events.update(f"by Django: {name}" for name, said in DJANGO.items() if said.search(line))
        if not line.startswith("{"):
            continue
        entry = json.loads(line)
        events[entry["event"]] += 1
        ids.add(entry["request_id"])
        if entry["event"] == "session_use_after_expire":
            told.add(entry["session"])
    missing = [
        one
        for one in asked
        if one.is_refused and one.id not in ids and sids.get(one.presented) not in told
    ]
    # Of those without an id, as many as there are lines.
    for name in DJANGO:
        known = [one for one in missing if one.by_django == name]
        spared = set(known[: events[f"by Django: {name}"]])
        missing = [one for one in missing if one not in spared]
    return missing, events
