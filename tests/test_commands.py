"""The commands, as an administrator, cron and a program call them."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import UserManager
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.db.models.signals import pre_delete
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken

from accounts.management import seals
from accounts.management.commands import verify_audit
from accounts.management.interruption import Interruption
from accounts.models import LogoutEvent, Session
from accounts.signals import login_ended
from tests.database import wait_for_a_lock, wait_to_be_alone
from tests.documents import ROOT
from tests.host import PATIENCE
from tests.test_pruning import HOUR, ago, begin_anew, outstanding, sessions
from tests.test_seals import ANY_ROW, Open, behind, checked, put, record, seal


def run(*arguments, **options):
    """Call a command; return its stdout."""
    out = io.StringIO()
    call_command(*arguments, stdout=out, **options)
    return out.getvalue()


def run_json(*arguments, **options):
    """Call a command that answers with exactly one JSON object."""
    return json.loads(run(*arguments, "--json", **options))


@pytest.fixture
def people(db):
    """Five users with two logins each, by browser and by token, and one who is logged out."""
    model = get_user_model()
    users = model.objects.bulk_create(
        model(username=f"user{number}", email=f"User{number}@example.com") for number in range(6)
    )
    for number, user in enumerate(users[:5]):
        sessions(2, expire_date=ago(-HOUR), user=user, first=2 * number)
        RefreshToken.for_user(user)
    return users


def owners():
    """Return the names of the users who have a login."""
    return sorted(set(Session.objects.values_list("user__username", flat=True)))


# prune_accounts


@pytest.fixture
def litter(transactional_db, settings):
    """2,500 sessions and tokens that have run out, and some events past their retention."""
    settings.ACCOUNTS = {"AUDIT_RETENTION": HOUR}
    begin_anew()
    sessions(2_500, expire_date=ago(HOUR))
    outstanding(2_500, expires_at=ago(HOUR))
    put(7, occurred_at=ago(2 * HOUR))


def left():
    """Return how many sessions, tokens and events there are."""
    return [model.objects.count() for model in (Session, OutstandingToken, LogoutEvent)]


def test_pruning_says_in_a_sentence_what_it_removed(litter):
    assert run("prune_accounts") == "Removed 2500 sessions, 2500 tokens and 7 logout events.\n"
    assert left() == [0, 0, 0]
    assert run("prune_accounts") == "Removed 0 sessions, 0 tokens and 0 logout events.\n"


def test_pruning_tells_a_program_in_one_json_object(litter):
    removed = {"sessions": 2_500, "tokens": 2_500, "events": 7}
    assert run_json("prune_accounts") == {"dry_run": False, "complete": True, **removed}
    assert left() == [0, 0, 0]


def test_a_dry_run_of_pruning_says_what_it_would_remove_and_removes_nothing(litter):
    assert (
        run("prune_accounts", "--dry-run")
        == "Would remove 2500 sessions, 2500 tokens and 7 logout events.\n"
    )
    counts = {"sessions": 2_500, "tokens": 2_500, "events": 7}
    assert run_json("prune_accounts", "--dry-run") == {"dry_run": True, "complete": True, **counts}
    assert left() == [2_500, 2_500, 7]


@pytest.mark.django_db
@pytest.mark.parametrize("command", [["prune_accounts"], ["end_sessions", "--all"]])
def test_a_batch_of_no_rows_is_refused(command):
    with pytest.raises(CommandError, match="--batch-size has to be 1 or more"):
        run(*command, "--batch-size", "0")


def test_pruning_that_fails_says_how_far_it_came_and_is_continued_by_the_next_run(litter):
    deletions = []

    def fail(execute, sql, params, many, context):
        if "DELETE FROM" in sql:
            deletions.append(sql)
        if len(deletions) == 3:
            raise DatabaseError("out of order")
        return execute(sql, params, many, context)

    out = io.StringIO()
    with (
        connection.execute_wrapper(fail),
        pytest.raises(CommandError, match="left is for the next run: out of order") as error,
    ):
        call_command("prune_accounts", "--json", "--batch-size", "1000", stdout=out)
    assert error.value.returncode == 1
    assert json.loads(out.getvalue()) == {
        "dry_run": False,
        "complete": False,
        "sessions": 2_000,
        "tokens": 0,
        "events": 0,
    }
    assert run_json("prune_accounts")["sessions"] == 500
    assert left() == [0, 0, 0]


def test_pruning_seals_the_record_first_and_what_is_old_apart(litter):
    (kept,) = record(1)
    assert run_json("prune_accounts")["events"] == 7
    assert LogoutEvent.objects.get() == kept
    assert run_json("verify_audit")["unsealed"] == 0
    assert checked() == 1


# seal_audit


@pytest.fixture
def entries(transactional_db, monkeypatch):
    """Five entries, of which a seal covers two at a time."""
    monkeypatch.setattr(seals, "SIZE", 2)
    return record(5)


def test_sealing_says_how_many_entries_it_has_sealed(entries):
    assert run("seal_audit") == "Sealed 5 entries.\n"
    record(1)
    assert run("seal_audit") == "Sealed 1 entry.\n"
    assert run("seal_audit") == "Sealed 0 entries.\n"
    assert checked() == 6


def test_sealing_tells_a_program_in_one_json_object(entries):
    assert run_json("seal_audit") == {"complete": True, "seals": 3, "entries": 5}
    assert run_json("seal_audit") == {"complete": True, "seals": 0, "entries": 0}


@pytest.mark.postgresql
def test_sealing_that_waits_in_vain_says_so_and_is_continued_by_the_next_run(entries, monkeypatch):
    monkeypatch.setattr(seals, "PAUSES", 1)
    out = io.StringIO()
    with Open(lambda: record(1)):
        record(1)
        with pytest.raises(CommandError, match="is for the next run: a transaction") as error:
            call_command("seal_audit", "--json", stdout=out)
    assert error.value.returncode == 1
    assert json.loads(out.getvalue()) == {"complete": False, "seals": 0, "entries": 0}
    assert run_json("seal_audit")["entries"] == 7


def interrupt(beginning):
    """Press Ctrl-C at the first statement that begins like this."""
    pressed = []

    def press(execute, sql, params, many, context):
        if sql.startswith(beginning) and not pressed:
            pressed.append(sql)
            signal.raise_signal(signal.SIGINT)
        return execute(sql, params, many, context)

    return connection.execute_wrapper(press)


def test_ctrl_c_between_two_seals_ends_sealing_in_a_clean_state(entries):
    out = io.StringIO()
    with (
        interrupt('INSERT INTO "drf_logout_auditseal"'),
        pytest.raises(CommandError, match="Stopped; what is left") as error,
    ):
        call_command("seal_audit", "--json", stdout=out)
    assert error.value.returncode == 130
    assert json.loads(out.getvalue()) == {"complete": False, "seals": 1, "entries": 2}
    assert run_json("seal_audit")["entries"] == 3
    assert checked() == 5


# verify_audit


@pytest.fixture
def sealed(entries):
    """The five entries, under three seals."""
    assert seal() == [2, 2, 1]
    return entries


def verify(*arguments, status=1):
    """Return what the command says, which fails, and why."""
    out = io.StringIO()
    with pytest.raises(CommandError) as error:
        call_command("verify_audit", *arguments, stdout=out)
    assert error.value.returncode == status
    return out.getvalue(), str(error.value)


def test_verifying_says_how_much_it_read(sealed):
    assert run("verify_audit") == "Read 5 entries.\n"
    record(1)
    assert run("verify_audit") == "Read 5 entries. 1 has no seal yet.\n"
    record(1)
    assert run("verify_audit") == "Read 5 entries. 2 have no seal yet.\n"


def test_verifying_tells_a_program_in_one_json_object(sealed):
    assert run_json("verify_audit") == {
        "complete": True,
        "entries": 5,
        "unsealed": 0,
        "seals": 3,
        "pruned": 0,
        "found": 0,
        "findings": [],
    }


def test_verifying_counts_what_was_pruned(litter):
    run("prune_accounts")
    answer = run_json("verify_audit")
    assert (answer["entries"], answer["seals"], answer["pruned"]) == (0, 2, 1)


def test_verifying_lists_what_it_found_and_fails(sealed):
    first, second, third, fourth, fifth = sealed
    behind(f"{ANY_ROW} username = 'eve' WHERE id = %s", first.pk)
    behind("DELETE FROM drf_logout_auditseal WHERE number = 3")
    put(1, id=-7)
    behind(f"{ANY_ROW} occurred_at = %s WHERE id = %s", ago(2 * HOUR), fifth.pk)
    text, error = verify()
    assert text.splitlines() == [
        "Ids -7 to -7: entries were inserted after their seal was made.",
        f"Ids 1 to {second.pk} (seal 1): an entry was changed.",
        f"Seal 2 (ids {third.pk} to {fourth.pk}): it, or one before or after it, was changed or "
        "removed, or is of another SECRET_KEY.",
        f"Ids {fifth.pk} to {fifth.pk}: entries older than an hour have no seal. "
        "Is seal_audit running?",
        "Read 2 entries. 1 has no seal yet.",
    ]
    assert error == "The record does not fit its seals: 4 findings."
    answer = json.loads(verify("--json")[0])
    assert (answer["complete"], answer["found"]) == (True, 4)
    assert answer["findings"][1] == {"kind": "changed", "seal": 1, "first": 1, "last": second.pk}


def test_verifying_says_what_is_missing(sealed):
    behind("DELETE FROM drf_logout_auditseal WHERE number = 2")
    behind("DELETE FROM drf_logout_logoutevent WHERE id = %s", sealed[4].pk)
    text, error = verify()
    assert text.splitlines() == [
        f"Seal 3 (ids {sealed[1].pk + 1} to {sealed[4].pk}): it, or one before or after it, was "
        "changed or removed, or is of another SECRET_KEY.",
        f"Ids {sealed[3].pk + 1} to {sealed[4].pk} (seal 3): entries were removed.",
        "Read 2 entries.",
    ]
    assert error == "The record does not fit its seals: 2 findings."


def test_verifying_lists_the_first_findings_and_counts_all(sealed, monkeypatch):
    monkeypatch.setattr(verify_audit, "SHOWN", 2)
    behind(f"{ANY_ROW} username = 'eve'")
    text, error = verify()
    assert text.splitlines()[2:] == ["And 1 more.", "Read 5 entries."]
    assert error == "The record does not fit its seals: 3 findings."
    assert len(json.loads(verify("--json")[0])["findings"]) == 2


def test_verifying_that_is_stopped_says_so(sealed):
    with interrupt("SELECT"):
        answer, error = verify("--json", status=130)
    assert json.loads(answer)["complete"] is False
    assert error == "Stopped; the rest was not read."


def test_verifying_that_fails_says_so(sealed):
    def fail(execute, sql, params, many, context):
        if "ORDER BY" in sql and "logoutevent" in sql:
            raise DatabaseError("out of order")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail):
        answer, error = verify("--json")
    assert json.loads(answer)["complete"] is False
    assert error == "Stopped by an error; the rest was not read: out of order"


# end_sessions


@pytest.mark.parametrize(
    ("option", "name"),
    [("--username", "user0"), ("--email", "USER0@EXAMPLE.COM"), ("--user-id", "{pk}")],
)
def test_every_login_of_a_named_user_ends_on_record(people, option, name):
    user = people[0]
    token = OutstandingToken.objects.get(user=user)
    answer = run("end_sessions", option, name.format(pk=user.pk))
    assert answer == "Users logged out: 1. Logins ended: 2. Refresh tokens revoked: 1.\n"
    assert owners() == ["user1", "user2", "user3", "user4"]
    assert BlacklistedToken.objects.get().token == token
    event = LogoutEvent.objects.get()
    assert (event.user, event.actor, event.scope) == (user, None, "global")
    assert (event.initiator, event.reason) == ("admin", "administrative")


def test_a_phone_is_refused_once_its_user_was_logged_out(phone, is_in):
    assert is_in(phone.access)
    run("end_sessions", "--username", "ana")
    assert not is_in(phone.access)


@pytest.mark.django_db(transaction=True)
def test_the_security_log_has_a_line_for_each_user(people, security_log):
    run("end_sessions", "--username", "user0", "user1", "--reason", "compromised")
    lines = [(line["event"], line["reason"], line["user"]) for line in security_log()]
    assert lines == [("session_logout", "compromised", str(user.pk)) for user in people[:2]]


def test_several_users_are_named_and_one_who_is_named_twice_ends_once(people):
    answer = run_json(
        *("end_sessions", "--username", "user0", "user1", "--username", "user0", "user2")
    )
    assert answer == {
        "dry_run": False,
        "complete": True,
        "reason": "administrative",
        "users": 3,
        "sessions_ended": 6,
        "tokens_revoked": 3,
        "users_failed": 0,
    }
    assert owners() == ["user3", "user4"]


def test_python_code_names_users_and_the_reason_too(people):
    run("end_sessions", username=["user0"], reason="compromised")
    assert LogoutEvent.objects.get().reason == "compromised"


@pytest.mark.parametrize("option", ["--username", "--email", "--user-id"])
@pytest.mark.parametrize("name", ["nobody", "", "0", "9" * 30, "9" * 5_000, "\udcff"])
def test_one_unknown_name_and_nobody_is_logged_out(people, option, name):
    get_user_model().objects.filter(pk=people[1].pk).update(username="", email="")
    known = {"--username": "user0", "--email": "user0@example.com", "--user-id": str(people[0].pk)}
    with pytest.raises(CommandError, match="There is no user"):
        run("end_sessions", option, known[option], name)
    assert len(owners()) == 5
    assert not LogoutEvent.objects.exists()


def test_python_code_that_names_nobody_ends_nothing(people):
    with pytest.raises(CommandError):
        run("end_sessions", username=[])
    assert len(owners()) == 5


@pytest.mark.parametrize(
    ("option", "name"), [("--user-id", "{pk}"), ("--email", "user0@example.com")]
)
def test_a_username_that_is_the_key_or_address_of_another_user_protects_nobody(
    people, option, name
):
    victim, attacker = people[:2]
    attacker.username = name.format(pk=victim.pk)
    attacker.save()

    run("end_sessions", option, attacker.username)
    assert LogoutEvent.objects.get().user == victim

    run("end_sessions", "--username", attacker.username)
    assert LogoutEvent.objects.latest("pk").user == attacker


def test_an_address_of_two_users_is_refused(people):
    people[1].email = "user0@example.com"
    people[1].save()
    with pytest.raises(
        CommandError, match=rf"more than one user: 'user0' \({people[0].pk}\), .* Use --user-id\."
    ):
        run("end_sessions", "--email", "user0@example.com")
    assert not LogoutEvent.objects.exists()


def test_a_username_cannot_play_with_the_terminal(people):
    people[1].username, people[1].email = "\x1b[2J", "user0@example.com"
    people[1].save()
    with pytest.raises(CommandError) as error:
        run("end_sessions", "--email", "user0@example.com")
    assert "\x1b" not in str(error.value)


def test_users_whom_the_hosts_manager_hides_are_logged_out_too(people, monkeypatch):
    shown = UserManager.get_queryset
    monkeypatch.setattr(
        UserManager, "get_queryset", lambda self: shown(self).exclude(username__startswith="user")
    )
    assert run_json("end_sessions", "--username", "user0")["sessions_ended"] == 2
    assert run_json("end_sessions", "--all")["sessions_ended"] == 8


def test_users_without_addresses_are_found_by_name(people, monkeypatch):
    monkeypatch.setattr(get_user_model(), "EMAIL_FIELD", "address")
    assert run_json("end_sessions", "--username", "user0")["users"] == 1
    with pytest.raises(CommandError, match="There is no user"):
        run("end_sessions", "--email", "user0@example.com")


def test_users_named_by_a_number_are_found_by_it(people, monkeypatch):
    monkeypatch.setattr(get_user_model(), "USERNAME_FIELD", "id")
    assert run_json("end_sessions", "--username", str(people[0].pk))["users"] == 1
    with pytest.raises(CommandError, match="There is no user"):
        run("end_sessions", "--username", "user1")


@pytest.mark.django_db
def test_a_reason_that_is_not_an_administrators_is_refused(people):
    with pytest.raises(CommandError, match="Choose from: administrative, compromised"):
        run("end_sessions", "--username", "user0", "--reason", "password_changed")
    assert not LogoutEvent.objects.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--all", "--username", "ana"],
        ["--username", "ana", "--user-id", "1"],
        ["--username", "ana", "--email", "ana@example.com"],
        ["--user", "ana"],
    ],
)
def test_whose_logins_end_is_said_in_one_way(arguments):
    with pytest.raises(CommandError, match="--user"):
        run("end_sessions", *arguments)


def test_all_users_are_logged_out_a_batch_at_a_time(people):
    answer = run_json("end_sessions", "--all", "--batch-size", "2")
    assert (answer["users"], answer["sessions_ended"], answer["tokens_revoked"]) == (5, 10, 5)
    assert not Session.objects.exists()
    assert BlacklistedToken.objects.count() == 5
    assert set(LogoutEvent.objects.values_list("username", flat=True)) == {
        f"user{number}" for number in range(5)
    }
    # Nobody has anything left to end.
    assert run_json("end_sessions", "--all")["users"] == 0


def test_all_includes_who_has_a_token_alone_and_leaves_out_who_has_only_what_ran_out(
    stranger, user
):
    RefreshToken.for_user(stranger)
    sessions(1, expire_date=ago(HOUR), user=user)
    OutstandingToken.objects.create(user=user, jti="old", token="", expires_at=ago(HOUR))
    sessions(1, expire_date=ago(-HOUR), first=1)
    assert run_json("end_sessions", "--all")["users"] == 1
    assert LogoutEvent.objects.get().user == stranger


@pytest.mark.parametrize(
    ("whose", "counts"), [(["--all"], (5, 10, 5)), (["--username", "user0", "user5"], (2, 2, 1))]
)
def test_a_dry_run_says_what_would_end_and_ends_nothing(people, whose, counts):
    assert run(
        "end_sessions", *whose, "--dry-run"
    ) == "Users to log out: {}. Logins to end: {}. Refresh tokens to revoke: {}.\n".format(*counts)
    answer = run_json("end_sessions", *whose, "--dry-run")
    assert answer["dry_run"]
    assert (answer["users"], answer["sessions_ended"], answer["tokens_revoked"]) == counts
    assert len(owners()) == 5
    assert not LogoutEvent.objects.exists()


@pytest.fixture
def obstacle(people):
    """A receiver of the host that keeps the logins of one user from ending."""

    def refuse(instance, **kwargs):
        if instance.user == people[1]:
            raise RuntimeError("not this one")

    pre_delete.connect(refuse, sender=Session)
    yield
    pre_delete.disconnect(refuse, sender=Session)


def test_a_user_who_fails_is_told_and_the_others_are_logged_out(people, obstacle):
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(CommandError, match=r"The logins of 1 user did not end\.") as error:
        call_command("end_sessions", "--all", "--json", stdout=out, stderr=err)
    assert error.value.returncode == 1
    told = f"The logins of 'user1' ({people[1].pk}) did not end: not this one\n"
    assert err.getvalue() == told
    answer = json.loads(out.getvalue())
    assert (answer["complete"], answer["users"], answer["users_failed"]) == (True, 4, 1)
    # Whole, as before: no half of it happened.
    assert owners() == ["user1"]
    assert Session.objects.count() == 2
    assert not BlacklistedToken.objects.filter(token__user=people[1]).exists()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_connection_that_breaks_is_one_failure_and_the_next_user_gets_another(people):
    def break_off(instance, **kwargs):
        if instance.user == people[1]:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    pre_delete.connect(break_off, sender=Session)
    err = io.StringIO()
    try:
        with pytest.raises(CommandError, match=r"The logins of 1 user did not end\."):
            run("end_sessions", "--all", stderr=err)
    finally:
        pre_delete.disconnect(break_off, sender=Session)
    assert "The logins of 'user1'" in err.getvalue()
    assert owners() == ["user1"]


@pytest.mark.django_db(transaction=True)
def test_a_user_who_goes_during_the_run_is_no_failure(people):
    def delete_next(**kwargs):
        get_user_model().objects.filter(pk=people[1].pk).delete()

    login_ended.connect(delete_next)
    try:
        answer = run_json("end_sessions", "--all")
    finally:
        login_ended.disconnect(delete_next)
    assert (answer["complete"], answer["users"], answer["users_failed"]) == (True, 4, 0)


def test_a_database_that_fails_stops_the_run_which_says_how_far_it_came(people):
    ended = []

    def fail(execute, sql, params, many, context):
        if len(ended) == 2 and sql.startswith("SELECT"):
            raise DatabaseError("out of order")
        if sql.startswith("INSERT") and "logoutevent" in sql:
            ended.append(sql)
        return execute(sql, params, many, context)

    out = io.StringIO()
    with (
        connection.execute_wrapper(fail),
        pytest.raises(CommandError, match="left is for the next run: out of order"),
    ):
        call_command("end_sessions", "--all", "--json", stdout=out)
    answer = json.loads(out.getvalue())
    assert (answer["complete"], answer["users"]) == (False, 2)
    assert run_json("end_sessions", "--all")["users"] == 3


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self):
        return True


@pytest.mark.parametrize("answer", ["no\n", "y\n", "\n", ""])
def test_all_asks_on_a_terminal_and_ends_nothing_without_a_yes(people, monkeypatch, answer):
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(CommandError, match="Nothing was ended"):
        call_command("end_sessions", "--all", stdout=out, stderr=err)
    assert "This logs out 5 users, on every device." in err.getvalue()
    assert not out.getvalue()
    assert len(owners()) == 5


class Interrupted(Terminal):
    """Somebody who presses Ctrl-C."""

    def flush(self):
        signal.raise_signal(signal.SIGINT)

    def readline(self, *args):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("stream", ["stderr", "stdin"])
def test_ctrl_c_is_a_no_from_the_moment_the_question_is_shown(people, monkeypatch, stream):
    streams = {"stdin": Terminal("yes\n"), "stderr": io.StringIO(), stream: Interrupted()}
    monkeypatch.setattr(sys, "stdin", streams["stdin"])
    with pytest.raises((CommandError, KeyboardInterrupt), match="Nothing was ended"):
        call_command("end_sessions", "--all", stderr=streams["stderr"])
    assert len(owners()) == 5


@pytest.mark.parametrize(
    ("arguments", "shows"),
    [
        (["prune_accounts"], "rows"),
        (["end_sessions", "--all"], "users"),
        (["seal_audit"], "rows"),
        (["verify_audit"], "rows"),
    ],
)
def test_a_person_sees_how_much_there_is_and_how_far_it_came(people, monkeypatch, arguments, shows):
    outstanding(5, expires_at=ago(HOUR))
    record(5)
    if arguments == ["verify_audit"]:
        seal()
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    run(*arguments)
    assert "100%" in screen.getvalue()
    assert "5/5" in screen.getvalue()
    assert shows in screen.getvalue()


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [(["--all"], "yes\n"), (["--all", "--no-input"], ""), (["--username", "user0"], "")],
)
def test_a_yes_or_no_input_or_users_by_name_go_on(people, monkeypatch, arguments, answer):
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert run_json("end_sessions", *arguments, stderr=io.StringIO())["users"] >= 1
    assert LogoutEvent.objects.exists()


# Ctrl-C


def test_the_first_ctrl_c_waits_and_the_second_does_not():
    before = signal.getsignal(signal.SIGINT)
    with Interruption() as interruption:
        signal.raise_signal(signal.SIGINT)
        assert interruption.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgresql
def test_a_command_works_on_a_thread_which_no_signal_reaches(litter):
    answers = []

    def call():
        try:
            answers.append(run_json("prune_accounts"))
        finally:
            connection.close()

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert answers[0]["complete"]


def test_ctrl_c_between_two_batches_ends_pruning_in_a_clean_state(litter):
    def press(execute, sql, params, many, context):
        if "DELETE FROM" in sql:
            signal.raise_signal(signal.SIGINT)
        return execute(sql, params, many, context)

    out = io.StringIO()
    with connection.execute_wrapper(press), pytest.raises(CommandError) as error:
        call_command("prune_accounts", "--batch-size", "1000", stdout=out)
    assert error.value.returncode == 130
    assert out.getvalue() == "Removed 1000 sessions, 0 tokens and 0 logout events.\n"
    assert left() == [1_500, 2_500, 7]


def test_ctrl_c_between_two_users_ends_the_run_in_a_clean_state(people):
    def end(execute, sql, params, many, context):
        if sql.startswith("DELETE"):
            signal.raise_signal(signal.SIGTERM)
        return execute(sql, params, many, context)

    with (
        connection.execute_wrapper(end),
        pytest.raises(CommandError, match="Stopped; what is left") as error,
    ):
        run("end_sessions", "--all")
    assert error.value.returncode == 130
    assert owners() == ["user1", "user2", "user3", "user4"]
    assert LogoutEvent.objects.count() == 1


# As processes, beside the test on its database


@pytest.fixture
def manage(transactional_db, tmp_path):
    """Return a function that starts ``manage.py`` on the test's own database."""
    (tmp_path / "beside_settings.py").write_text(
        "from tests.settings import *\n"
        f"DATABASES['default']['NAME'] = {connection.settings_dict['NAME']!r}\n"
        "ACCOUNTS = {'AUDIT_RETENTION': 3600}\n"
    )
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST"))
    }
    environment |= {
        "DJANGO_SETTINGS_MODULE": "beside_settings",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
    }
    started = []

    def start(*arguments, **streams):
        streams = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            **streams,
        }
        process = subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=environment,
            text=True,
            **streams,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def terminal():
    """A terminal: a person's end, that of a process, and a function that returns what it shows."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    shown = b""

    def show(until=""):
        nonlocal shown
        while select.select([ours], [], [], 0 if until.encode() in shown else PATIENCE)[0]:
            shown += os.read(ours, 1024)
        return shown.decode()

    yield ours, theirs, show
    os.close(theirs)
    os.close(ours)


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 130, marks=pytest.mark.drill),
        (signal.SIGKILL, -9),
    ],
)
def test_pruning_that_is_stopped_in_the_middle_loses_nothing(litter, manage, number, status):
    with transaction.atomic(), connection.cursor() as cursor:
        # It passes over rows that are locked, and waits for the table of the tokens.
        list(Session.objects.select_for_update()[:2_400])
        cursor.execute("LOCK TABLE token_blacklist_outstandingtoken IN SHARE MODE")
        pruning = manage("prune_accounts", "--batch-size", "1", "--json")
        wait_for_a_lock()
        pruning.send_signal(number)
    out, err = pruning.communicate(timeout=PATIENCE)
    assert pruning.returncode == status
    wait_to_be_alone()
    assert Session.objects.count() == 2_400
    tokens = OutstandingToken.objects.count()
    assert 2_400 < tokens <= 2_500
    if number != signal.SIGKILL:
        answer = json.loads(out)
        assert not answer["complete"]
        assert (answer["sessions"], answer["tokens"]) == (100, 2_500 - tokens)
        assert err == "CommandError: Stopped; what is left is for the next run.\n"
    rest = run_json("prune_accounts")
    assert (rest["sessions"], rest["tokens"]) == (2_400, tokens)
    assert left() == [0, 0, 0]


@pytest.fixture
def crowd(transactional_db):
    """300 users with two logins each."""
    model = get_user_model()
    users = model.objects.bulk_create(model(username=f"user{number}") for number in range(300))
    now = timezone.now()
    for number, user in enumerate(users):
        sessions(2, expire_date=now + timedelta(days=1), user=user, first=2 * number)


@pytest.mark.postgresql
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_run_that_is_stopped_in_the_middle_is_continued(crowd, manage, number, status):
    with transaction.atomic():
        # It waits at the logins of one user.
        list(Session.objects.filter(user__username="user150").select_for_update())
        ending = manage("end_sessions", "--all", "--json")
        wait_for_a_lock()
        ending.send_signal(number)
    out, _ = ending.communicate(timeout=PATIENCE)
    assert ending.returncode == status
    wait_to_be_alone()
    ended = LogoutEvent.objects.count()
    assert 0 < ended < 300
    # Each user is logged out on record, or as before.
    assert Session.objects.count() == 600 - 2 * ended
    if number == signal.SIGINT:
        answer = json.loads(out)
        assert (answer["complete"], answer["users"]) == (False, ended)
    assert run_json("end_sessions", "--all")["users"] == 300 - ended
    assert LogoutEvent.objects.count() == 300


@pytest.mark.postgresql
def test_a_terminal_shows_a_bar_and_stdout_stays_one_json_object(litter, manage, terminal):
    _, theirs, show = terminal
    pruning = manage("prune_accounts", "--json", stderr=theirs)
    out, _ = pruning.communicate(timeout=PATIENCE)
    assert pruning.returncode == 0
    assert json.loads(out)["complete"]
    shown = show()
    assert "100%" in shown
    assert "5007/5007" in shown


def sealed_alone(shown):
    """Whether this is what the security log says of seals, and nothing else."""
    return {json.loads(line)["action"] for line in shown.splitlines()} == {"seal"}


@pytest.mark.postgresql
def test_a_terminal_stays_empty_but_for_the_log_with_verbosity_0(litter, manage, terminal):
    _, theirs, show = terminal
    pruning = manage("prune_accounts", "--verbosity", "0", stderr=theirs)
    out, _ = pruning.communicate(timeout=PATIENCE)
    assert pruning.returncode == 0
    assert out == "Removed 2500 sessions, 2500 tokens and 7 logout events.\n"
    assert sealed_alone(show())


@pytest.mark.postgresql
def test_what_is_no_terminal_gets_no_bar(litter, manage):
    pruning = manage("prune_accounts")
    out, err = pruning.communicate(timeout=PATIENCE)
    assert pruning.returncode == 0
    assert sealed_alone(err)
    assert out == "Removed 2500 sessions, 2500 tokens and 7 logout events.\n"


@pytest.mark.postgresql
def test_a_person_at_a_terminal_is_asked_and_a_pipe_is_not(crowd, manage, terminal):
    ours, theirs, show = terminal
    asking = manage("end_sessions", "--all", "--json", stdin=theirs, stderr=theirs)
    question = "Type 'yes' to go on: "
    assert question in show(until=question)
    assert Session.objects.count() == 600
    os.write(ours, b"no\n")
    out, _ = asking.communicate(timeout=PATIENCE)
    assert (asking.returncode, out) == (1, "")
    assert "Nothing was ended." in show()
    assert Session.objects.count() == 600

    ending = manage("end_sessions", "--all", "--json", stdin=subprocess.PIPE)
    out, err = ending.communicate(timeout=PATIENCE)
    assert ending.returncode == 0
    assert json.loads(out)["users"] == 300
    # The security log's lines, and nothing else.
    assert {json.loads(line)["reason"] for line in err.splitlines()} == {"administrative"}


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--username", "nobody"], 1, 'There is no user "nobody". Nothing was ended.'),
        ([], 2, "one of the arguments --user-id --username --email --all is required"),
        (["--all", "--username", "user1"], 2, "not allowed with argument"),
        (["--all", "--reason", "boredom"], 1, "Choose from: administrative, compromised."),
    ],
)
def test_a_mistake_has_an_exit_status_and_ends_nothing(crowd, manage, arguments, status, says):
    ending = manage("end_sessions", *arguments)
    out, err = ending.communicate(timeout=PATIENCE)
    assert (ending.returncode, out) == (status, "")
    assert says in err
    assert Session.objects.count() == 600


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        ("prune_accounts", ["dry_run", "complete", "sessions", "tokens", "events"]),
        ("seal_audit", ["complete", "seals", "entries"]),
        (
            "verify_audit",
            ["complete", "entries", "unsealed", "seals", "pruned", "found", "findings"],
        ),
        (
            "end_sessions",
            [
                *("dry_run", "complete", "reason"),
                *("users", "sessions_ended", "tokens_revoked", "users_failed"),
            ],
        ),
    ],
)
@pytest.mark.django_db
def test_the_help_names_each_key_of_the_json(command, keys, capsys):
    whose = ["--all"] if command == "end_sessions" else []
    assert list(run_json(command, *whose)) == keys
    with pytest.raises(SystemExit):
        call_command(command, "--help")
    text = " ".join(capsys.readouterr().out.split())
    described = text.split("The keys of --json:")[1].split("Exit status")[0]
    for key in keys:
        assert key in described
