"""The session engine: Django's database sessions, as rows that know their owner.

Set ``SESSION_ENGINE = "accounts.sessions"``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.exceptions import SessionInterrupted
from django.http import HttpRequest
from django.utils import timezone

from accounts import services
from accounts.clients import ClientInfo
from accounts.models import Session, SessionQuerySet, hash_key

BATCH: Final = 1000
"""How many logins are ended at a time, where many have run out."""


def current_session(request: HttpRequest) -> Session | None:
    """Return the login that a request's cookie stands for; None if it stands for none of ours."""
    store = getattr(request, "session", None)
    return store.login if isinstance(store, SessionStore) else None


def _end_of(session: Session) -> Callable[[], object] | None:
    """Return how a login that was found to be over is ended; None if it is alive."""
    if session.run_out_by is not None:
        return partial(services.run_out, session=session)
    if session.user is not None and not session.user.is_active:
        # Django would show nobody, until the user is active again.
        return partial(services.user_deactivated, user=session.user)
    return None


class SessionStore(DatabaseStore):
    """One browser login, or one anonymous browser session."""

    logged_in: ClientInfo | None = None
    """The client that has just logged in; a receiver of ``user_logged_in`` says so."""

    ended = False
    """Whether the login that is about to be flushed has ended; a receiver says so."""

    _row: Session | None = None

    @classmethod
    def get_model_class(cls) -> type[Session]:
        """Return the model of this app."""
        return Session

    @property
    def login(self) -> Session | None:
        """The row, if it is that of somebody's login."""
        self._get_session()  # type: ignore[attr-defined] # the stubs leave it out
        return self._row if self._is_login() else None

    def _get_session_from_db(self) -> Session | None:
        row = self._rows(self.session_key).select_related("user").first()
        if row is not None and (end := _end_of(row)) is not None:
            services.after_request(end)
            row = None
        if row is not None:
            row.touch()
        return self._take_row(row)

    async def _aget_session_from_db(self) -> Session | None:
        row = await self._rows(self.session_key).select_related("user").afirst()
        if row is not None and (end := _end_of(row)) is not None:
            await sync_to_async(services.after_request)(end)
            row = None
        if row is not None:
            await row.atouch()
        return self._take_row(row)

    def _take_row(self, row: Session | None) -> Session | None:
        self._row = row
        if row is None:
            self._session_key = None
        return row

    def exists(self, session_key: str) -> bool:
        return self._rows(session_key).exists()

    async def aexists(self, session_key: str) -> bool:
        return await self._rows(session_key).aexists()

    def delete(self, session_key: str | None = None) -> None:
        if (key := session_key or self.session_key) is None:
            return
        row = self._row
        if self.ended:
            self.ended = False
            return  # Another statement could fail, and the answer would be an error.
        if row is None or row.session_key != hash_key(key):
            row = self._rows(key).first()
        if row is not None and row.user_id is not None:
            services.discard(session=row)
        else:
            self._rows(key).delete()

    async def adelete(self, session_key: str | None = None) -> None:
        await sync_to_async(self.delete)(session_key)

    @classmethod
    def clear_expired(cls) -> None:
        """Remove what has run out, as ``prune_accounts`` does: the end of a login is on record."""
        run_out = Session.objects.run_out()
        run_out.filter(user=None).delete()
        logins = run_out.filter(user__isnull=False).values_list("pk", flat=True)
        while keys := list(logins[:BATCH]):
            services.end_sessions(sessions=run_out.filter(pk__in=keys), cause=None)

    @classmethod
    async def aclear_expired(cls) -> None:
        """See ``clear_expired()``."""
        await sync_to_async(cls.clear_expired)()

    def cycle_key(self) -> None:
        """Give the session a new key; a login stays the same login, with the same ``sid``."""
        self._get_session()  # type: ignore[attr-defined] # the stubs leave it out
        if not self._is_login():
            super().cycle_key()
            return
        key = self._get_new_session_key()  # type: ignore[attr-defined] # as above
        # In place, where Django makes a new row: one that a logout beside us would not find.
        self._take(key, self._rows(self.session_key).update(session_key=hash_key(key)))

    async def acycle_key(self) -> None:
        """See ``cycle_key()``."""
        await self._aget_session()  # type: ignore[attr-defined] # as above
        if not self._is_login():
            await super().acycle_key()
            return
        key = await self._aget_new_session_key()  # type: ignore[attr-defined] # as above
        self._take(key, await self._rows(self.session_key).aupdate(session_key=hash_key(key)))

    def _is_login(self) -> bool:
        """Whether the key, which a flush has taken away, is still that of somebody's login."""
        row = self._row
        return self.session_key is not None and row is not None and row.user_id is not None

    def _take(self, key: str, rows: int) -> None:
        if self._row is None or not rows:
            raise SessionInterrupted("The login ended before the request completed.")
        self._row.session_key = hash_key(key)
        self._session_key = key
        self.modified = True

    def create_model_instance(self, data: Mapping[str, Any]) -> Session:
        key = self._get_or_create_session_key()  # type: ignore[attr-defined] # as above
        return self._fill(data, key, self.get_expiry_date())

    async def acreate_model_instance(self, data: Mapping[str, Any]) -> Session:
        key = await self._aget_or_create_session_key()  # type: ignore[attr-defined] # as above
        return self._fill(data, key, await self.aget_expiry_date())

    def _fill(self, data: Mapping[str, Any], session_key: str, expire_date: datetime) -> Session:
        stored_key = hash_key(session_key)
        row = self._row
        if row is None or row.session_key != stored_key:
            row = Session(session_key=stored_key)
        user_id = None
        if SESSION_KEY in data:
            user_id = get_user_model()._meta.pk.to_python(data[SESSION_KEY])
        if user_id is not None and (user_id != row.user_id or self.logged_in):
            client = self.logged_in or ClientInfo()
            row.begins_login = True
            row.authenticated_at = row.last_seen_at = timezone.now()
            row.ip_address, row.user_agent = client.ip_address, client.user_agent
            self.logged_in = None
        row.user_id = user_id
        row.auth_hash = data.get(HASH_SESSION_KEY) or ""
        row.session_data = self.encode(dict(data))
        row.expire_date = expire_date
        self._row = row
        return row

    def _rows(self, session_key: str | None) -> SessionQuerySet:
        """Return the row of this key, if it is a browser's: no cookie reaches a token login."""
        return Session.objects.primary().browser(session_key or "")
