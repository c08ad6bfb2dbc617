"""The chart above the audit record: the last 14 days at a glance."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.admin import chart
from accounts.models import LogoutEvent

pytestmark = pytest.mark.django_db

LIST = "/admin/drf_logout/logoutevent/"


@pytest.fixture
def noon(monkeypatch):
    """Make it noon of 21 November 2026, in UTC."""
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    monkeypatch.setattr(timezone, "now", lambda: now)
    return now


@pytest.fixture
def drawn(admin_client):
    """Read the figure off the page; None if there is none."""

    def read(language="en", **query):
        answer = admin_client.get(LIST, query, headers={"Accept-Language": language})
        figure = re.search(r"<figure.*?</figure>", answer.content.decode(), re.DOTALL)
        return ElementTree.fromstring(figure[0]) if figure else None

    return read


def titles(figure):
    return [element.text for element in figure.iter("title")]


def legend(figure):
    return [" ".join("".join(item.itertext()).split()) for item in figure.iter("li")]


def test_a_bar_shows_how_much_of_a_day_each_reason_was(noon, drawn, record):
    for reason, count in (("logout", 2), ("compromised", 1)):
        for _ in range(count):
            record(occurred_at=noon, reason=reason)
    record(occurred_at=noon - timedelta(days=13))

    figure = drawn()

    assert titles(figure) == [
        "Nov. 8, 2026: logged out, 1",
        "Nov. 21, 2026: logged out, 2",
        "Nov. 21, 2026: account compromised, 1",
    ]
    assert legend(figure) == ["Logged out 3", "Account compromised 1"]
    first, bottom, top = (
        (float(bar.get("y")), float(bar.get("height"))) for bar in figure.findall("svg/rect")
    )
    assert bottom[1] == pytest.approx(2 * top[1], abs=0.02)
    assert first[1] == pytest.approx(top[1], abs=0.02)
    assert sum(top) == pytest.approx(bottom[0], abs=0.02), "one stands on the other"
    assert sum(bottom) == sum(first), "both stand on the ground"


def test_it_can_be_read_without_being_seen(noon, drawn, record):
    record(occurred_at=noon)
    record(occurred_at=noon - timedelta(days=1), reason="expired")
    record(occurred_at=noon - timedelta(days=1))

    drawing = drawn().find("svg")

    assert drawing.get("role") == "img"
    assert drawing.get("aria-label") == "Events per day by reason, last 14 days"
    description = drawing.find("desc")
    assert drawing.get("aria-describedby") == description.get("id")
    assert description.text == (
        "Nov. 20, 2026: logged out 1, expired 1; Nov. 21, 2026: logged out 1"
    )


def test_it_has_a_place_for_every_day(noon, drawn, record):
    record(occurred_at=noon)

    figure = drawn()

    days = [text.text for text in figure.iter("text") if text.get("class").endswith("day")]
    assert days == [str(day) for day in range(8, 22)]
    assert "Nov. 8, 2026 \N{EN DASH} Nov. 21, 2026" in "".join(figure.find("figcaption").itertext())


def test_nothing_is_drawn_when_there_was_nothing(noon, drawn, record):
    assert drawn() is None

    record(occurred_at=noon - timedelta(days=14))
    record(occurred_at=noon + timedelta(days=1))

    assert drawn() is None


def test_it_is_of_the_whole_record_whatever_the_filter(noon, drawn, record):
    record(occurred_at=noon, username="ana")

    assert legend(drawn(q="nobody", scope__exact="global")) == ["Logged out 1"]


def test_days_are_those_of_the_current_time_zone(noon, settings, drawn, record):
    settings.TIME_ZONE = "Pacific/Auckland"  # where it is the 22nd already
    record(occurred_at=datetime(2026, 11, 21, 10, 59, tzinfo=UTC))
    record(occurred_at=datetime(2026, 11, 21, 11, 0, tzinfo=UTC))
    record(occurred_at=datetime(2026, 11, 8, 10, 59, tzinfo=UTC))

    assert titles(drawn()) == ["Nov. 21, 2026: logged out, 1", "Nov. 22, 2026: logged out, 1"]


def test_it_works_for_a_host_without_time_zones(settings, drawn, record):
    record()
    settings.USE_TZ = False

    assert legend(drawn()) == ["Logged out 1"]


def test_it_speaks_the_readers_language(noon, drawn, record):
    record(occurred_at=noon)

    figure = drawn(language="es")

    assert legend(figure) == ["Cierre de sesión 1"]
    assert titles(figure) == ["21 de noviembre de 2026: cierre de sesión, 1"]


@pytest.mark.parametrize("language", ["en", "es"])
def test_coordinates_are_numbers_whatever_the_language(noon, drawn, record, language):
    for _ in range(3):
        record(occurred_at=noon)

    for bar in drawn(language=language).findall("svg/rect"):
        for name in ("x", "y", "width", "height"):
            assert re.fullmatch(r"\d+\.\d+%?", bar.get(name))


def test_a_reason_that_is_not_known_any_more_is_drawn_too(noon, drawn, record):
    record(occurred_at=noon, reason="of <old>")

    figure = drawn()

    assert legend(figure) == ["Of <old> 1"]
    assert figure.find("svg/rect").get("class") == "drf-logout-chart-unknown"


def test_every_reason_has_a_colour(client):
    style = b"".join(client.get("/static/drf_logout/admin/lists.css").streaming_content).decode()

    for reason in [*LogoutEvent.Reason.values, "unknown"]:
        assert f".drf-logout-chart-{reason} {{ fill: #" in style


def test_the_page_loads_the_style_and_the_chart_needs_no_script(noon, admin_client, record):
    record(occurred_at=noon)

    page = admin_client.get(LIST).content.decode()
    figure = re.search(r"<figure.*?</figure>", page, re.DOTALL)[0]

    assert '<link href="/static/drf_logout/admin/lists.css"' in page
    assert "script" not in figure
    assert not re.search(r"\s(style|on\w+)=", figure)


@pytest.mark.parametrize(
    ("largest", "top"),
    [(1, 1), (2, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 20), (61, 80), (100, 100), (2001, 4000)],
)
def test_the_scale_ends_with_a_round_number(drawn, largest, top):
    LogoutEvent.objects.bulk_create(
        LogoutEvent(username="ana", reason="logout", sessions_ended=1, tokens_revoked=1)
        for _ in range(largest)
    )

    numbers = [text.text for text in drawn().iter("text") if text.get("class").endswith("number")]

    assert numbers == ([str(top // 2)] if top > 1 else []) + [str(top)]


def test_it_is_one_statement_over_a_range_of_the_index(noon, record):
    record(occurred_at=noon)

    with CaptureQueriesContext(connection) as captured:
        chart.draw(LogoutEvent.objects.all())

    (statement,) = (query["sql"] for query in captured)
    assert re.search(r'WHERE \("[^)]*"occurred_at" >= .* AND [^)]*"occurred_at" < ', statement)
    assert "GROUP BY" in statement
