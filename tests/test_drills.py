"""The drills of benchmarks/drills: they find nothing here, and they would find it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
import pytest
from django.contrib.auth import get_user_model
from psycopg.errors import DeadlockDetected
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from accounts import blacklist as simplejwt_blacklist
from accounts import services
from accounts.models import LogoutEvent, Session
from accounts.services.record import record_each
from benchmarks.drills import attackers, guesses, kills, logins, pairs, races, traces
from benchmarks.drills.client import Answer, Client
from benchmarks.drills.kills import Case
from benchmarks.drills.postgresql import PostgreSQL
from benchmarks.drills.report import Report, Table
from benchmarks.drills.traces import Asked
from tests.host import PATIENCE

pytestmark = pytest.mark.postgresql

ROOT = Path(__file__).resolve().parent.parent
PATH = "/api/v1/auth/logout"


def command(drill: str, *options: str) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.drills.{drill}", *options]


@pytest.fixture
def client(live_server):
    """A client of the project, served by threads of this process."""
    return Client(host=live_server.thread.host, port=live_server.thread.port)


@pytest.fixture
def login(client):
    return next(logins.begin(1))


@pytest.fixture
def report():
    return Report(drill="races", machine="this one")


# Nothing is lost


@pytest.mark.drill
@pytest.mark.parametrize(
    ("drill", "options"),
    [
        ("kills", ["--logouts", "60", "--workers", "2"]),
        ("races", ["--races", "40", "--rounds", "5"]),
        ("pairs", ["--races", "1"]),
        ("attackers", ["--seconds", "5"]),
    ],
)
def test_a_short_drill_loses_nothing(drill, options, tmp_path):
    file = tmp_path / "numbers.json"

    done = subprocess.run(
        command(drill, *options, "--json", str(file)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Lost: 0" in done.stdout
    assert json.loads(file.read_text())["lost"] == []


@pytest.mark.drill
def test_a_drill_that_is_told_to_stop_leaves_nothing_running():
    with subprocess.Popen(command("kills"), cwd=ROOT, stdout=subprocess.DEVNULL) as drill:
        process = psutil.Process(drill.pid)
        begun = []
        deadline = time.monotonic() + PATIENCE
        while not any("gunicorn" in part for child in begun for part in child.cmdline()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
            begun = process.children()

        drill.terminate()

        assert drill.wait(PATIENCE) == 143
    assert len(begun) == 2
    assert psutil.wait_procs(begun, timeout=PATIENCE)[1] == []


# What it would find


def judged(login, client, statuses):
    return kills.judge(Case(login, "asks once", statuses), next(logins.examine([login], client)))


def test_an_acknowledged_logout_is_told_from_one_that_is_not_dead(client, login):
    status = client.log_out(PATH, login.access).status
    other = next(logins.begin(1))

    assert judged(login, client, [status]) == "acknowledged"
    assert judged(other, client, [status]) == "acknowledged, not dead"


def test_a_login_that_was_let_be_is_told_from_one_that_ended_by_itself(client, login):
    other = next(logins.begin(1))
    client.log_out(PATH, other.access)

    assert judged(login, client, []) == "whole"
    assert judged(other, client, []) == "ended by nobody"


@pytest.mark.parametrize("status", [0, 500])
def test_a_lost_answer_is_no_loss(status, client, login):
    client.log_out(PATH, login.access)

    assert judged(login, client, [status]) == "ended, answer lost"
    assert judged(next(logins.begin(1)), client, [status]) == "whole"


def test_an_answer_that_says_something_else_is_a_loss(client, login):
    client.log_out(PATH, login.access)

    assert judged(login, client, [401, 200]) == "wrong answer"


def record_again(login):
    event = LogoutEvent.objects.get(session_id=login.sid)
    event.pk = None
    event._state.adding = True
    event.save()


def forget_the_blacklist(login):
    BlacklistedToken.objects.filter(token__jti=login.refresh_jti).delete()


@pytest.mark.parametrize("spoil", [record_again, forget_the_blacklist])
def test_what_is_half_ended_is_a_loss(spoil, client, login):
    client.log_out(PATH, login.access)
    spoil(login)

    assert judged(login, client, [500]) == "half ended"
    assert judged(login, client, [200]) == "acknowledged, not dead"


def delete_the_row(login):
    Session.objects.filter(sid=login.sid).delete()


def blacklist(login):
    simplejwt_blacklist.blacklist_jtis(*OutstandingToken.objects.values_list("jti", flat=True))


def record(login):
    session = Session.objects.select_related("user").get(sid=login.sid)
    record_each([session], cause=services.Cause())


@pytest.mark.parametrize("spoil", [delete_the_row, blacklist, record])
def test_one_of_the_changes_of_a_logout_alone_is_a_loss(spoil, client, login):
    spoil(login)

    assert judged(login, client, [500]) == "half ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Liar(Client):
    """Told to log out, says that it has."""

    def log_out(self, path, bearer, **body):
        return Answer(200)


def test_a_login_that_survives_a_race_is_a_loss(client, report):
    races.race_logouts(Liar(host=client.host, port=client.port), 4, 1, report)

    assert len(report.lost) == 4
    assert all("refresh token 1" in loss for loss in report.lost)


def test_races_that_go_well_are_no_loss(client, report):
    races.race_logouts(client, 4, 2, report)
    races.race_refreshes(client, 2, 5, report)

    assert report.lost == []
    assert [row["races"] for row in report.tables[0].rows.values()] == [1, 1, 1, 1]


def test_parallel_refreshes_that_end_their_login_are_a_loss(client, report, settings):
    settings.ACCOUNTS = {"REFRESH_GRACE": 0}

    races.race_refreshes(client, 2, 5, report)

    assert len(report.lost) == 2


@pytest.fixture
def with_drill_urls(settings):
    settings.ROOT_URLCONF = "benchmarks.drills.urls"


@pytest.mark.usefixtures("with_drill_urls")
def test_pairs_that_go_well_are_no_loss(client, report):
    pairs.race_pairs(client, 2, 2, report, "log-in | password change")

    assert report.lost == []
    [row] = report.tables[0].rows.values()
    assert (row["races"], row["in an order"]) == (2, 2)


@pytest.mark.usefixtures("with_drill_urls")
def test_a_login_that_survives_a_pair_is_a_loss(client, report):
    pairs.race_pairs(Liar(host=client.host, port=client.port), 2, 1, report, "logout | log-in")

    assert len(report.lost) == 2
    assert report.tables[0].rows["logout | log-in"]["survivors"] == 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Eager(Client):
    """Ends more than it is told to."""

    def log_out(self, path, bearer, **body):
        return super(Eager, self).log_out("/api/v1/auth/logout/all", bearer)


@pytest.mark.usefixtures("with_drill_urls")
def test_a_login_that_nobody_asked_to_end_is_a_loss(client, report):
    pairs.race_pairs(Eager(host=client.host, port=client.port), 2, 1, report, "logout | logout")

    assert "in no order" in next(iter(report.tables[0].rows.values()))
    assert any("'laptop': 'dead'" in loss for loss in report.lost)


def raced(first, second, answers, **states):
    """Race by one device, as told."""
    race = pairs.Race(
        account=pairs.Account(username="ana", devices={"phone": None, "laptop": None}),
        operations=(pairs.OPERATIONS[first], pairs.OPERATIONS[second]),
        devices=("phone", "phone"),
        head_start=0,
    )
    return pairs.judge(race, pairs.Outcome(answers=answers, states=states, logins={}))


@pytest.mark.parametrize(
    ("answers", "phone", "fate"),
    [
        ((200, 401), "live", "in an order"),
        ((400, 200), "dead", "in an order"),
        ((200, 200), "dead", "in an order"),
        ((200, 200), "live", "overtaken"),
        ((400, 200), "live", "in no order"),
        ((200, 401), "dead", "in no order"),
        ((500, 200), "dead", "in no order"),
    ],
)
def test_a_refresh_beside_a_blacklisting_comes_before_it_or_after_it(answers, phone, fate):
    assert raced("refresh", "blacklist()", answers, phone=phone, laptop="live") == fate


def test_a_deadlock_is_counted_and_told(tmp_path):
    server = PostgreSQL(tmp_path)
    try:
        server.start(deadlock_timeout="10ms")
        assert server.deadlocks() == 0
        both = threading.Barrier(2)

        def lock(first, second):
            with psycopg.connect(server.address) as connection:
                connection.execute("SELECT pg_advisory_xact_lock(%s)", [first])
                both.wait(60)
                connection.execute("SELECT pg_advisory_xact_lock(%s)", [second])

        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(lock, 1, 2), pool.submit(lock, 2, 1)]

        assert [type(one.exception()) for one in asked].count(DeadlockDetected) == 1
        assert server.deadlocks() == 1
        [told] = server.deadlocks_in_log()
        assert told.count("pg_advisory_xact_lock") == 2
    finally:
        server.close()


# Attackers


@pytest.fixture
def attack(client, report, with_drill_urls, settings, security_log, caplog, tmp_path, monkeypatch):
    """Let attackers of these names go through a round; return the report."""
    monkeypatch.setenv("DRILL_GUESSES", str(tmp_path / "guesses"))
    settings.PASSWORD_HASHERS = ["benchmarks.drills.guesses.WatchedHasher"]

    def run(*names, by=client, prepare=lambda attack: None, **accounts):
        settings.ACCOUNTS = {**settings.ACCOUNTS, "TRUSTED_PROXIES": ["127.0.0.1"], **accounts}
        with traces.watching_ends():
            attack = attackers.Attack(by, window_ends=200, names=names)
            prepare(attack)
            attack.run(seconds=0, threads=1, pause=0)
            lines = [f"{r.levelname} {r.name} {r.getMessage()}" for r in caplog.records]
            lines += map(json.dumps, security_log())
            attack.examine(tmp_path / "guesses", lines, report)
        return report

    return run


def test_attackers_get_nothing(attack):
    report = attack(*attackers.NAMES[2:])

    assert report.lost == []
    tried, more = report.tables[:2]
    assert all(row[f"of {of}"] for row in tried.rows.values() for of in ("guesses", "log-ins"))
    assert [row["counted by"] for row in more.rows.values()] == [4, 1]


def test_whatever_attackers_get_is_a_loss(attack, client):
    def spoil(attack):
        [front] = attack.fronts
        get_user_model().objects.filter(pk=front.guessed.pk).update(is_active=False)
        Session.objects.filter(sid=front.targets[0].tokens[0].sid).delete()

    report = attack(
        "no credential",
        by=Liar(host=client.host, port=client.port),
        prepare=spoil,
        PASSWORD_RATE="30/5m",
    )

    kinds = {loss.split(": ")[1] for loss in report.lost}
    assert kinds == {"too many", "kept in", "kept out", "ended", "no trace"}


def test_guesses_are_counted_by_windows():
    key = "user:1"
    ends = guesses.seconds_left(key, 1_000_000.0) + 1_000_000
    within, after = [ends - 1.5] * 10, [ends + 0.5] * 10

    assert list(guesses.too_many([*within, *after], key=key, began=ends - 2)) == []
    assert list(guesses.too_many([ends - 1.2, *within], key=key, began=ends - 2)) == [ends - 1.2]
    assert list(guesses.too_many([*after, ends + 1], key=key, began=ends)) == [ends + 1]


def test_a_refused_request_without_a_line_is_a_loss():
    asked = [
        Asked(id=number, what="", status=400, is_refused=True, presented=token, by_django="")
        for number, token in (("1", ""), ("2", "of a told login"), ("3", ""))
    ]
    lines = [
        json.dumps({"event": "authn_login_fail", "request_id": "1"}),
        json.dumps({"event": "session_use_after_expire", "request_id": "0", "session": "s"}),
    ]

    missing, events = traces.untraced(asked, lines, {"of a told login": "s"})

    assert [one.id for one in missing] == ["3"]
    assert events == {"authn_login_fail": 1, "session_use_after_expire": 1}


def test_a_page_in_place_of_an_answer_is_its_status(client):
    assert client.post("/nowhere") == Answer(404)


# The report


def test_a_loss_fails_the_drill_and_is_told(report, tmp_path, capsys):
    report.tables.append(Table(title="Tried", rows={"this": {"times": 12_345}}))
    report.lost.append("the login")

    assert report.finish(tmp_path / "numbers.json") == 1

    said = capsys.readouterr()
    assert "12,345" in said.out
    assert "LOST: the login" in said.err
    assert json.loads((tmp_path / "numbers.json").read_text())["lost"] == ["the login"]
