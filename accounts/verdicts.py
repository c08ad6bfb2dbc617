"""The verdict cache: what authentication found out about an access token, kept for seconds.

For very busy fleets, and off unless ``ACCOUNTS["VERDICT_CACHE"]`` names a cache that all processes
share. A request whose verdict is kept needs no statement of SQL. Only that is asked here: whatever
ends a login, refreshes or decides otherwise reads the database.

How it stays true
=================

Each user has a *stamp* in the cache, a random number. A verdict, one for each access token that is
in use, names the stamp that its user had, and counts only while the user has it still.

- Who finds no verdict that counts reads the stamp (or sets one, where there is none), then the
  database, and then keeps the verdict under that stamp.
- Who ends a login commits, then removes the user's stamp, and only then answers.

So an ending that commits after a reader looked removes the stamp that the reader had taken, which
never comes back: what the reader keeps is worthless from the moment the ending is acknowledged,
however late it is written. An ending that committed before is seen by the reader. The same holds
for what else changes a verdict or the rows in it: a user who is saved or deleted, a
re-authentication, a token that SimpleJWT's own code blacklists. Two endings of one login may
overlap: the second, which finds that there is nothing left to end, removes the stamp too before it
says so. A refresh changes nothing about the access tokens that are out, so it removes none.

Inside an open transaction nothing is read from here and nothing kept: what a transaction sees may
never be committed, or have been overtaken.

What bounds it
==============

Should a stamp stay (the cache is down just then, fails over or is put back to an older state, or
the process dies between its commit and its answer), or should a change pass unnoticed
(``QuerySet.update()`` and raw SQL send no signal; a user's ``USER_ID_FIELD`` is changed), then a
verdict counts for ``VERDICT_MAX_AGE`` after its reader took the stamp, at most: by clocks in step,
and for less than a second more where one is wrong, for then the cache ends it. Nor does it outlive
the limits of its login, or the minute for which ``last_seen_at`` is not written. A token's own
signature and ``exp`` are checked before anything here is asked.

Where the cache fails, or says what it cannot have been told, the database is read.

What is in it
=============

The rows of the login and its user, without the password's hash, by names that give away neither
the token nor the user. Django's caches pickle: who can write to this one can run code in every
process, so it takes the trust that Django's own cached sessions take.
"""

from __future__ import annotations

import hashlib
import logging
import math
import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.db import router, transaction
from django.db.models import Model
from rest_framework_simplejwt.settings import api_settings

from accounts.conf import TOUCH_INTERVAL, conf
from accounts.models import Session, User
from accounts.outage import Outage
from accounts.tokens import AccessToken, Login, LoginToken

logger: Final = logging.getLogger(__name__)

STAMP_LIFETIME: Final = 3_600
"""Seconds. When a stamp is gone its verdicts count no more, and the next reader sets another."""

_outage = Outage()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """What a model's instance is made of, as far as it was read."""

    model: type[Model]
    values: dict[str, Any]  # Any: as the host's columns are

    @classmethod
    def of(cls, instance: Model) -> _Row:
        """Take all but a password: to keep its hash in one more place helps nobody."""
        read = vars(instance)
        names = {field.attname for field in instance._meta.concrete_fields} - {"password"}
        return cls(model=type(instance), values={n: read[n] for n in names if n in read})

    def instance(self) -> Model:
        """Make it again; columns that the models have got meanwhile are read when asked for."""
        fields = self.model._meta.concrete_fields
        names = [field.attname for field in fields if field.attname in self.values]
        return self.model.from_db(_database(), names, [self.values[name] for name in names])


@dataclass(frozen=True, kw_only=True, slots=True)
class _Verdict:
    """That a login is alive, while its user has this stamp, until then (seconds of the epoch)."""

    stamp: int
    until: float
    user: _Row
    session: _Row | None

    def login(self, token: AccessToken) -> Login:
        """Return what was looked up."""
        user = cast("User", self.user.instance())
        session = None
        if self.session is not None:
            session = cast("Session", self.session.instance())
            session.user = user
        return Login(user=user, session=session, token=token)


def find_login(token: AccessToken, *, look_up: Callable[[], Login]) -> Login:
    """Return the live login of a verified token: from the cache, else what ``look_up()`` returns.

    Raises what ``look_up()`` raises; a refusal is not kept.
    """
    alias, raw = conf.verdict_cache, cast("str | None", token.token)
    if alias is None or raw is None or _in_transaction() or _outage.lasts():
        return look_up()
    began = time.time()
    stamp_name, name = _stamp_name(token.user_id), _name("token", raw)
    try:
        stamp, verdict = _read(caches[alias], stamp_name, name)
    except Exception as error:  # noqa: BLE001 - each cache has errors of its own
        _fail(error)
        return look_up()
    _outage.end()
    # One from further ahead was written by a clock that is wrong, or under another setting.
    if verdict and verdict.stamp == stamp and 0 < verdict.until - began <= _max_age():
        return verdict.login(token)
    login = look_up()
    # Of a user whom a token names in an unusual way another stamp would be removed.
    if stamp is not None and _user_id(login.user) == token.user_id:
        try:
            _keep(caches[alias], name, stamp, login, began=began)
        except Exception as error:  # noqa: BLE001 - as above
            _fail(error)
    return login


def forget(*users: User) -> None:
    """Let no verdict about these users count any more, from the commit on.

    To be called after the change: where no transaction is open, it takes effect at once.
    """
    if (alias := conf.verdict_cache) is not None and users:
        names = {_stamp_name(_user_id(user)) for user in users}
        transaction.on_commit(partial(_remove_stamps, alias, names), using=_database())


def forget_user_of(token: LoginToken) -> None:
    """Let no verdict about the user of a token that was refused count any more, at once.

    Who ended the login may be about to do so.
    """
    if (alias := conf.verdict_cache) is not None:
        _remove_stamps(alias, [_stamp_name(token.user_id)])


def _read(cache: BaseCache, stamp_name: str, name: str) -> tuple[int | None, _Verdict | None]:
    """Return the user's stamp, which is set if there is none, and the verdict, if there is one."""
    found = cache.get_many([stamp_name, name])
    stamp, verdict = found.get(stamp_name), found.get(name)
    if stamp is None:
        stamp = secrets.randbits(63)
        if not cache.add(stamp_name, stamp, timeout=STAMP_LIFETIME):
            stamp = cache.get(stamp_name)  # somebody else was first
    return (
        stamp if isinstance(stamp, int) else None,
        verdict if isinstance(verdict, _Verdict) else None,
    )


def _keep(cache: BaseCache, name: str, stamp: int, login: Login, *, began: float) -> None:
    until = began + _max_age()
    session = login.session
    if session is not None:
        until = min(until, session.expires_at.timestamp())
        if session.last_seen_at is not None:
            until = min(until, (session.last_seen_at + TOUCH_INTERVAL).timestamp())
    verdict = _Verdict(
        stamp=stamp,
        until=until,
        user=_Row.of(login.user),
        session=None if session is None else _Row.of(session),
    )
    # Some caches count whole seconds; readers see to the rest.
    cache.set(name, verdict, timeout=math.ceil(until - time.time()))


def _remove_stamps(alias: str, names: Collection[str]) -> None:
    """Tried even while an outage lasts here: others may be able to read what this ends."""
    try:
        caches[alias].delete_many(names)
    except Exception as error:  # noqa: BLE001 - as above
        _fail(error)
        logger.error(
            "Logins of %d users that have changed or ended may be accepted as they were for up to"
            " %g seconds: the verdict cache could not be told",
            len(names),
            _max_age(),
        )


def _fail(error: Exception) -> None:
    _outage.begin()
    # As repr() has it: what a server answers reaches no log as it is.
    reason = f"{type(error).__name__}: {str(error)[:200]!r}"
    logger.warning("The verdict cache fails; the database is read in its place: %s", reason)


def _user_id(user: User) -> str:
    """Return what the tokens of a user name them by."""
    return str(getattr(user, api_settings.USER_ID_FIELD))


def _stamp_name(user_id: str) -> str:
    return _name("user", user_id)


def _name(kind: str, value: str) -> str:
    return f"accounts.verdict.{kind}.{hashlib.sha256(value.encode()).hexdigest()}"


def _max_age() -> float:
    return conf.verdict_max_age.total_seconds()


def _in_transaction() -> bool:
    return bool(transaction.get_connection(_database()).in_atomic_block)


def _database() -> str:
    return router.db_for_write(Session)
