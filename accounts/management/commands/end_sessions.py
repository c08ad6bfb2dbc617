"""``manage.py end_sessions``: end every login of some users, or of all."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts import services
from accounts.management import batches, users
from accounts.management.interruption import Interruption
from accounts.models import User
from accounts.services import Cause, Initiator, Reason

_ENDED: Final = gettext_lazy(
    "Users logged out: %(users)d. Logins ended: %(sessions_ended)d. "
    "Refresh tokens revoked: %(tokens_revoked)d."
)
_WOULD_END: Final = gettext_lazy(
    "Users to log out: %(users)d. Logins to end: %(sessions_ended)d. "
    "Refresh tokens to revoke: %(tokens_revoked)d."
)

_BY: Final = {
    "user_id": users.by_key,
    "username": users.by_username,
    "email": users.by_email,
}

REASONS: Final = (Reason.ADMINISTRATIVE, Reason.COMPROMISED)


@dataclass(kw_only=True, slots=True)
class _Count:
    """How far a run came; the keys of ``--json``."""

    users: int = 0
    sessions_ended: int = 0
    tokens_revoked: int = 0
    users_failed: int = 0


class Command(BaseCommand):
    """End the logins user by user, each in a transaction of its own."""

    help = (
        "Ends every login of some users, or of all, and revokes their tokens; each user is on "
        "record, with the reason. With --all, a run that was stopped is continued by running it "
        "again. The keys of --json: dry_run and complete (true or false), reason; users, "
        "sessions_ended and tokens_revoked (what ended, or in a dry run would), users_failed. "
        "Exit status: 0, 1 if it failed for any user, 130 if Ctrl-C or SIGTERM stopped it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take whose logins end, and why."""
        whose = parser.add_mutually_exclusive_group(required=True)
        # Not one option for all: anybody may choose the key of another user as a username.
        for option, metavar, what in (
            ("--user-id", "ID", "primary keys"),
            ("--username", "NAME", "usernames"),
            ("--email", "ADDRESS", "e-mail addresses, in upper or lower case"),
        ):
            whose.add_argument(
                option,
                nargs="+",
                action="extend",
                metavar=metavar,
                help=f"Whose logins end, by {what}.",
            )
        whose.add_argument("--all", action="store_true", help="End the logins of all users.")
        parser.add_argument(
            "--reason",
            default=Reason.ADMINISTRATIVE.value,
            help="Why, for the record: administrative (the default) or compromised. The password "
            "stays as it is in either case.",
        )
        parser.add_argument(
            "--no-input",
            "--noinput",
            action="store_false",
            dest="interactive",
            help="Ask nothing. Without it --all asks first, on a terminal.",
        )
        batches.add_arguments(parser, size=1000)

    def handle(
        self,
        *,
        user_id: list[str] | None,
        username: list[str] | None,
        email: list[str] | None,
        reason: str,
        batch_size: int,
        dry_run: bool,
        as_json: bool,
        interactive: bool,
        verbosity: int,
        **options: Any,  # Django's own
    ) -> None:
        """End the logins, and say how far that came, however it ended."""
        batches.check_size(batch_size)
        cause = Cause(reason=_reason(reason), initiator=Initiator.ADMIN)
        # All of them are looked up before the first one's logins end.
        named = _named(user_id=user_id, username=username, email=email)
        people = users.having_logins() if named is None else named
        if dry_run:
            self._say(_would_end(people), reason, as_json=as_json, dry_run=True)
            return
        if named is None and interactive and sys.stdin.isatty():
            self._confirm(people)
        count, failure = _Count(), None
        with (
            Interruption() as interruption,
            batches.progress_bar(people.count, verbosity=verbosity, unit="users") as bar,
        ):
            try:
                for person in _each(people, batch_size, interruption):
                    # A log may go to the same terminal: its lines are to stand above the bar.
                    with bar.external_write_mode():
                        self._end(person, cause, count)
                    bar.update()
            except DatabaseError as error:
                failure = error
        complete = failure is None and not interruption.requested
        self._say(count, reason, as_json=as_json, complete=complete)
        _exit(count, failure, interruption)

    def _end(self, person: User, cause: Cause, count: _Count) -> None:
        try:
            result = services.end_all(user=person, cause=cause)
        except Exception as error:  # noqa: BLE001 - a receiver of the host may raise anything
            count.users_failed += 1
            message = _("The logins of %(user)s (%(key)s) did not end: %(error)s")
            whose = {"user": repr(person.get_username()), "key": person.pk}
            self.stderr.write(message % {**whose, "error": error})
        else:
            count.users += 1
            count.sessions_ended += result.sessions_ended
            count.tokens_revoked += result.tokens_revoked

    def _confirm(self, people: QuerySet[User]) -> None:
        number = people.count()
        question = ngettext(
            "This logs out %d user, on every device. Type 'yes' to go on: ",
            "This logs out %d users, on every device. Type 'yes' to go on: ",
            number,
        )
        # Whoever has read the question may interrupt it. On stderr: stdout may be somebody's JSON.
        try:
            self.stderr.write(question % number, self.style.WARNING, ending="")
            self.stderr.flush()
            answer = input()
        except (EOFError, KeyboardInterrupt):
            answer = ""
        if answer != "yes":
            raise CommandError(_("Nothing was ended."))

    def _say(
        self,
        count: _Count,
        reason: str,
        *,
        as_json: bool,
        dry_run: bool = False,
        complete: bool = True,
    ) -> None:
        if as_json:
            state = {"dry_run": dry_run, "complete": complete, "reason": reason}
            self.stdout.write(json.dumps(state | asdict(count)))
        else:
            sentence = _WOULD_END if dry_run else _ENDED
            self.stdout.write(sentence % asdict(count))


def _reason(code: str) -> Reason:
    if code not in REASONS:
        raise CommandError(
            _('There is no reason "%(reason)s". Choose from: %(choices)s.')
            % {"reason": code, "choices": ", ".join(REASONS)}
        )
    return Reason(code)


def _named(**names: list[str] | None) -> QuerySet[User] | None:
    """Return the users of the one option that there is; None if there is none."""
    return next((_BY[by](texts) for by, texts in names.items() if texts is not None), None)


def _each(people: QuerySet[User], size: int, interruption: Interruption) -> Iterator[User]:
    for key in users.keys(people, size=size):
        if interruption.requested:
            return
        # Read in their turn: in a long run some are gone by then, or have logged out.
        if (person := people.filter(pk=key).first()) is not None:
            yield person


def _would_end(people: QuerySet[User]) -> _Count:
    whose = {"user__in": people.order_by().values("pk")}
    return _Count(
        users=people.count(),
        sessions_ended=users.live_sessions().filter(**whose).count(),
        tokens_revoked=users.live_tokens().filter(**whose).count(),
    )


def _exit(count: _Count, failure: DatabaseError | None, interruption: Interruption) -> None:
    batches.check_end(failure, interruption)
    if count.users_failed:
        message = ngettext(
            "The logins of %d user did not end.",
            "The logins of %d users did not end.",
            count.users_failed,
        )
        raise CommandError(message % count.users_failed)
