"""The most usual logout, of one login by its own token, as one statement without a transaction.

On PostgreSQL. A statement is atomic by itself: this one spares the ways to the database for BEGIN,
the entry of the record, and COMMIT. All that the entry says has to be known beforehand, so its
place in a chain is looked up, and nothing is done if somebody else has taken it meanwhile; and
there is a digest for each number of tokens that may turn out to be revoked. Where nothing was done,
a transaction does it, which waits where it has to; see ``logout``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

from django.db import connections

from accounts.models import LogoutEvent, Session, User
from accounts.services import chains
from accounts.services.postgresql import key_of
from accounts.services.transactions import database
from accounts.tokens import LoginToken
from accounts.tokens.postgresql import blacklisting


def is_possible() -> bool:
    """Whether the statement would commit by itself: no transaction is open."""
    return connections[database()].get_autocommit()


def end(
    *, user: User, session: Session, presented: Sequence[LoginToken], event: LogoutEvent
) -> bool:
    """End a login that its own token has just shown to stand; record it as this event.

    False if nothing was done: the login, or the chain, is not as it was a moment ago.
    """
    claim = chains.look_up()
    if claim.place is None:
        return False
    jtis = {session.refresh_jti, *(token.jti for token in presented)}
    digests = []
    for event.tokens_revoked in range(len(jtis) + 1):
        chains.prove([event], claim=claim)
        digests.append(event.digest)
    listing = blacklisting(
        key_of(user), presented, which="jti = ANY(%(jtis)s)", after="EXISTS (SELECT FROM ended)"
    )
    connection = connections[database()]
    params = {
        **{
            field.name: field.get_db_prep_save(getattr(event, field.attname), connection)
            for field in _SAID
        },
        **listing.params,
        "jtis": list(jtis),
        "digests": digests,
        "found": claim.place.found,
        "nonce": claim.nonce,
        "login": session.pk,
        "refresh_jti": session.refresh_jti,
    }
    with connection.cursor() as cursor:
        cursor.execute(_end(database()).format(blacklisting=listing.sql), params)
        row = cursor.fetchone()
    if row is None:
        return False
    event.pk, event.tokens_revoked = row
    event.digest = digests[event.tokens_revoked]
    event._state.adding, event._state.db = False, database()
    return True


_COUNTED: Final = {
    "tokens_revoked": "(SELECT count(*) FROM listed)",
    "digest": "(%(digests)s::text[])[1 + (SELECT count(*) FROM listed)]",
}

_SAID: Final = [
    field
    for field in LogoutEvent._meta.concrete_fields
    if not field.primary_key and field.name not in _COUNTED
]


@cache
def _end(alias: str) -> str:
    # Without its length, for what is too long has to be refused: a cast would cut it.
    types = {field: str(field.db_type(connections[alias])).partition("(")[0] for field in _SAID}
    said = {str(f.column): f"%({f.name})s::{kind}" for f, kind in types.items()} | _COUNTED
    return f"""WITH taken AS MATERIALIZED (
    SELECT FROM accounts_auditchain WHERE number = %(chain)s AND nonce = %(found)s
    FOR UPDATE SKIP LOCKED
),
ended AS (
    DELETE FROM accounts_session
    WHERE session_key = %(login)s AND refresh_jti = %(refresh_jti)s AND EXISTS (SELECT FROM taken)
    RETURNING sid
),
{{blacklisting}},
placed AS (
    UPDATE accounts_auditchain SET entries = entries + 1, nonce = %(nonce)s
    WHERE number = %(chain)s AND EXISTS (SELECT FROM ended)
)
INSERT INTO accounts_logoutevent ({", ".join(said)})
SELECT {", ".join(said.values())} FROM ended
RETURNING id, tokens_revoked
"""  # noqa: S608 - names of columns and of parameters
