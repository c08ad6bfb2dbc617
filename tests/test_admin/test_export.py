"""The record as a file: everything that the list's filters leave, and nothing that runs."""

from __future__ import annotations

import csv
import io
import json
import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import example, given
from hypothesis import strategies as st

from accounts.admin import export
from accounts.models import LogoutEvent

pytestmark = pytest.mark.django_db

LIST = "/admin/drf_logout/logoutevent/"
CSV, JSON = f"{LIST}export/csv/", f"{LIST}export/jsonl/"
MOMENT = datetime(2026, 3, 1, 12, 30, 15, 42, tzinfo=UTC)


@pytest.fixture
def exported(admin_client):
    """Take the record away; read its rows from either kind of file."""

    def read(path=JSON, **query):
        answer = admin_client.get(path, query)
        assert answer.status_code == 200
        text = answer.getvalue().decode()
        if path == CSV:
            return list(csv.DictReader(io.StringIO(text, newline="")))
        return [json.loads(line) for line in text.splitlines()]

    return read


@pytest.fixture
def many(monkeypatch, record):
    """Seven events, three of them of one moment, read two at a time."""
    monkeypatch.setattr(export, "BATCH", 2)
    for number in range(7):
        moment = MOMENT - timedelta(seconds=0 if number < 3 else number)
        record(username=f"user{number}", occurred_at=moment)


# What is in the file


@pytest.mark.parametrize("path", [CSV, JSON])
def test_a_row_has_everything_that_is_on_record(exported, record, user, stranger, path):
    event = record(
        occurred_at=MOMENT,
        user=user,
        actor=stranger,
        actor_name="eve",
        initiator="admin",
        reason="administrative",
        session_id=uuid.UUID(int=7),
        token_jti="j-1",
        ip_address="192.0.2.7",
        user_agent='Phone, "new"\n/1',
        request_id="r-1",
    )

    (row,) = exported(path)

    expected = {
        "id": event.pk,
        "occurred_at": "2026-03-01T12:30:15.000042Z",
        "user_id": user.pk,
        "username": "ana",
        "actor_id": stranger.pk,
        "actor_name": "eve",
        "initiator": "admin",
        "reason": "administrative",
        "scope": "session",
        "session_id": "00000000-0000-0000-0000-000000000007",
        "token_jti": "j-1",
        "sessions_ended": 1,
        "tokens_revoked": 2,
        "ip_address": "192.0.2.7",
        "user_agent": 'Phone, "new"\n/1',
        "request_id": "r-1",
    }
    if path == CSV:
        expected = {column: str(value) for column, value in expected.items()}
    assert row == expected
    assert list(row) == list(expected)


def test_no_column_of_the_record_is_left_out(exported, record):
    record()

    (row,) = exported()

    assert set(row) == {field.attname for field in LogoutEvent._meta.concrete_fields}


def test_what_is_not_known_is_empty_in_csv_and_null_in_json(exported, record):
    record()

    columns = ("user_id", "actor_id", "session_id", "ip_address")
    assert {exported(CSV)[0][column] for column in columns} == {""}
    assert {exported(JSON)[0][column] for column in columns} == {None}


@pytest.mark.parametrize(
    "name",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        " =1",
        "\xa0=1",
        "\uff1d1",
        "\uff0b1",
        "\uff0d1",
        "\uff20SUM",
        "=cmd|' /C calc'!A0",
    ],
)
def test_a_spreadsheet_runs_nothing(exported, record, name):
    record(username=name, user_agent=name)

    (row,) = exported(CSV)

    assert row["username"] == row["user_agent"] == f"'{name}"
    assert exported(JSON)[0]["username"] == name


# What a spreadsheet runs, whatever it passes over before; and what OWASP lets no cell begin with.
FORMULA = re.compile('[\t\r\n]|[\\s"]*[=+\\-@\uff1d\uff0b\uff0d\uff20]')
HOSTILE = st.text(
    st.sampled_from("=+-@\uff1d\uff0b\uff0d\uff20,;\t\r\n\"' \xa0\u2028a1|")
    | st.characters(codec="utf-8")
)


@given(rows=st.lists(st.lists(HOSTILE, min_size=1, max_size=4), min_size=1, max_size=4))
@example(rows=[["a;=cmd|' /C calc'!A0"]])
@example(rows=[["a\t=1"]])
@example(rows=[["a\n=1"]])
@example(rows=[["a; =1"]])
@example(rows=[['a;"=1']])
@example(rows=[["a,;"], ["1"]])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_spreadsheet_runs_nothing_whatever_it_separates_cells_by(rows, separator):
    text = export.csv_lines(dict(enumerate(row)) for row in rows)

    read = csv.reader(io.StringIO(text, newline=""), delimiter=separator)

    assert not [cell for row in read for cell in row if FORMULA.match(cell)]


@given(value=HOSTILE)
def test_what_is_quoted_stays_readable(value):
    ((cell,),) = csv.reader(io.StringIO(export.csv_lines([{"name": value}]), newline=""))

    # Nothing went, and nothing but single quotes came.
    assert cell.replace("'", "") == value.replace("'", "")


@pytest.mark.parametrize(
    "agent",
    [
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/142.0.0.0 Safari/537.36",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 "
        "(KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
        "python-requests/2.32.5",
        "okhttp/4.12.0",
        "App/1.0 (a-b; c+d; e=f; g@h)",
    ],
)
def test_the_names_of_ordinary_devices_are_left_as_they_are(exported, record, agent):
    record(user_agent=agent)

    assert exported(CSV)[0]["user_agent"] == agent


@pytest.mark.parametrize("separator", ["\t", "\r", "\n"])
def test_what_separates_cells_elsewhere_begins_none(exported, record, separator):
    record(username=f"{separator}=1")

    assert exported(CSV)[0]["username"] == f"'{separator}'=1"


@pytest.mark.parametrize("name", ["ana", "a=1", "ana@example.com", "José", "'quoted'", "1-2"])
def test_what_is_no_formula_is_left_as_it_is(exported, record, name):
    record(username=name)

    assert exported(CSV)[0]["username"] == exported(JSON)[0]["username"] == name


def test_a_json_line_is_one_line_for_every_reader(exported, record):
    record(user_agent="a\u2028b\x85c\nd")

    assert exported(JSON)[0]["user_agent"] == "a\u2028b\x85c\nd"


def test_an_empty_record_is_a_header_in_csv_and_nothing_in_json(admin_client):
    assert admin_client.get(CSV).getvalue().decode() == f"{','.join(export.COLUMNS)}\r\n"
    assert admin_client.get(JSON).getvalue() == b""


def test_moments_are_utc_for_a_host_without_time_zones_too(settings, exported, record):
    settings.USE_TZ = False
    settings.TIME_ZONE = "America/Bogota"  # five hours behind
    record(occurred_at=datetime(2026, 3, 1, 7, 30))  # noqa: DTZ001 - as such a host has it

    assert exported()[0]["occurred_at"] == "2026-03-01T12:30:00.000000Z"


# Which rows, and in what order


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, ["eve", "ana"]),
        ({"scope__exact": "global"}, ["eve"]),
        ({"reason__exact": "expired"}, []),
        ({"q": "an"}, ["ana"]),
        ({"occurred_at__year": 2025}, ["ana"]),
        ({"o": "0"}, ["ana", "eve"]),
        ({"o": "-0"}, ["eve", "ana"]),
        ({"o": "1"}, ["eve", "ana"]),
    ],
)
def test_the_file_has_what_the_list_shows(exported, record, query, names):
    record(username="ana", occurred_at=MOMENT - timedelta(days=365))
    record(username="eve", occurred_at=MOMENT, scope="global")

    assert [row["username"] for row in exported(**query)] == names


@pytest.mark.parametrize("query", [{}, {"o": "0"}, {"o": "-0"}])
def test_all_pages_are_in_the_file_once_and_in_the_lists_order(admin_client, exported, many, query):
    shown = [event.pk for event in admin_client.get(LIST, query).context["cl"].result_list]

    assert [row["id"] for row in exported(**query)] == shown
    assert len(shown) == 7


def test_the_links_above_the_list_keep_its_filters(admin_client, record):
    record(username="ana")
    record(username="eve", scope="global")
    page = admin_client.get(LIST, {"scope__exact": "global", "q": "e", "p": "1"}).content.decode()

    links = re.findall(r'<a href="([^"]*/export/[^"]*)">([^<]*)</a>', page)

    assert [text for _, text in links] == ["Export as CSV", "Export as JSON lines"]
    for link, _ in links:
        text = admin_client.get(link.replace("&amp;", "&")).getvalue().decode()
        assert "eve" in text
        assert "ana" not in text


@pytest.mark.parametrize("query", [{"occurred_at__year": "x"}, {"nonsense": "1"}])
def test_filters_that_are_not_the_lists_are_refused(admin_client, record, query):
    record()

    assert admin_client.get(JSON, query).status_code == 400


# The answer


@pytest.mark.parametrize(
    ("path", "content_type", "ending"),
    [
        (CSV, "text/csv; charset=utf-8; header=present", "csv"),
        (JSON, "application/x-ndjson", "jsonl"),
    ],
)
def test_the_answer_is_a_file_that_nobody_keeps(admin_client, path, content_type, ending):
    answer = admin_client.get(path)

    assert answer.streaming
    assert answer.headers["Content-Type"] == content_type
    name = re.fullmatch(
        r'attachment; filename="logout-events-(\d{4}-\d\d-\d\d)\.(\w+)"',
        answer.headers["Content-Disposition"],
    )
    assert datetime.fromisoformat(name[1])
    assert name[2] == ending
    assert "no-store" in answer.headers["Cache-Control"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_record_is_read_piece_by_piece(admin_client, many):
    answer = admin_client.get(CSV)
    pieces = iter(answer.streaming_content)

    with CaptureQueriesContext(connection) as captured:
        next(pieces), next(pieces)
        assert len(captured) == 1
        next(pieces)
    assert len(captured) == 2
    assert all("LIMIT 2" in query["sql"] for query in captured)
    assert len(b"".join(pieces).splitlines()) == 3


def test_whoever_may_see_the_record_may_take_it_away(clerk, record):
    record()
    browser = clerk("view_logoutevent")

    assert browser.get(CSV).status_code == 200


@pytest.mark.parametrize("path", [CSV, JSON])
def test_others_may_not(client, clerk, record, path):
    record()
    login = client.get(path)
    assert login.status_code == 302
    assert login.headers["Location"].startswith(reverse("admin:login"))

    assert clerk("view_user").get(path).status_code == 403


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_a_file_is_only_read(admin_client, method):
    assert getattr(admin_client, method)(CSV).status_code == 405
    assert admin_client.head(CSV).status_code == 200


def test_it_streams_under_asgi_too(async_client, many):
    staff = get_user_model().objects.create_superuser("root")

    async def download():
        await async_client.aforce_login(staff)
        answer = await async_client.get(JSON)
        assert answer.is_async
        return [piece async for piece in answer.streaming_content]

    pieces = async_to_sync(download)()

    assert [len(piece.splitlines()) for piece in pieces] == [2, 2, 2, 1]
