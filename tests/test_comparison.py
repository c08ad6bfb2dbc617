"""The comparison of benchmarks/comparison: its report has every number. How fast is not tested."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks.comparison import machine, plot, summary, table
from benchmarks.comparison.figures import Figure, Rounds, Spread, figure, percentile
from benchmarks.comparison.plot import Plot, Series
from benchmarks.comparison.results import Everywhere, Found, Plan, Results
from benchmarks.comparison.subjects import SUBJECTS
from benchmarks.comparison.throughput import Throughput, raw

ROOT = Path(__file__).resolve().parent.parent
CONNECTIONS = ("default", "example")
SVG = "{http://www.w3.org/2000/svg}"


# The whole of it


@pytest.mark.drill
@pytest.mark.postgresql
def test_a_quick_run_of_ours_reports_every_number(tmp_path):
    file = tmp_path / "numbers.json"
    command = [sys.executable, "-m", "benchmarks.comparison.command", "--quick", "--only", "ours"]

    done = subprocess.run(
        [*command, "--json", str(file), "--svg", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "ours must reach" in done.stdout
    found = json.loads(file.read_text())
    ours = found["subjects"]["ours"]
    assert ours["after_logout"] == {"access": 401, "refresh": 400}
    for connection in CONNECTIONS:
        figures = ours["operations"][connection]
        assert figures.keys() == {"request", "refresh", "logout", "introspect", "crowd"}
        for measured in (*figures.values(), ours["everywhere"][connection]):
            assert all(number > 0 for number in numbers(measured) if number is not None)
            assert measured["statements"] >= 1
    assert all(number > 0 for number in numbers(ours["throughput"]))
    assert "synchronous_commit on" in found["conditions"]["postgresql"]
    assert {file.stem for file in tmp_path.glob("*.svg")} == {
        "request",
        "refresh",
        "logout",
        "throughput",
    }


def numbers(value):
    """Every number in there but the counts of statements, which may be 0."""
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield from numbers(inner)
        elif name not in {"statements", "control"}:
            yield inner


# From samples to figures


def test_a_percentile_lies_between_its_neighbours():
    assert percentile([4, 1, 3, 2], 50) == 2.5
    assert percentile([4, 1, 3, 2], 100) == 4
    assert percentile([7], 99) == 7


def test_a_ratio_is_the_median_of_the_rounds():
    rounds = Rounds()
    rounds.add([0.004, 0.004, 9.0], [0.001, 0.001])
    rounds.add([0.006], [0.002])
    rounds.add([0.009], [0.001])

    found = figure(rounds, statements=3, control=2)

    assert found.ratio == Spread(median=4.0, lower=3.5, upper=6.5, count=3)
    assert found.p50 == pytest.approx(6.0)
    assert found.floor_p50 == pytest.approx(1.0)
    assert (found.samples, found.statements, found.control) == (5, 3, 2)


@pytest.mark.parametrize(
    ("target", "value", "verdict"),
    [
        (summary.at_most(3.0), 3.0, "reached"),
        (summary.at_most(3.0), 3.3, "missed by 10%"),
        (summary.at_least(0.40), 0.40, "reached"),
        (summary.at_least(0.40), 0.30, "missed by 25%"),
    ],
)
def test_a_target_is_reached_or_missed_by_so_much(target, value, verdict):
    assert summary.judge(target, value) == verdict


# What is told


def spread(median):
    return Spread(median=median, lower=median * 0.9, upper=median * 1.1, count=9)


def measured(ratio):
    return Figure(
        ratio=spread(ratio), p50=2, p99=3, floor_p50=1, samples=9, statements=4, control=2
    )


@pytest.fixture
def results():
    """Of a run in which everything but the refresh of the last subject was measured."""
    subjects = {
        subject.name: Found(
            title=subject.title,
            about=subject.about,
            packages=[],
            operations={
                connection: {
                    name: measured(2.5) for name in ("request", "refresh", "logout", "crowd")
                }
                for connection in CONNECTIONS
            },
            everywhere={
                connection: Everywhere(seconds=spread(0.5), statements=7)
                for connection in CONNECTIONS
            },
            throughput=Throughput(ratio=spread(0.3), floor=spread(500), logouts=spread(150)),
        )
        for subject in SUBJECTS
    }
    for figures in subjects["knox"].operations.values():
        del figures["refresh"]
    plan = Plan(
        subjects=SUBJECTS,
        rounds=1,
        batch=1,
        crowd_every=1,
        logins=10_000,
        repetitions={},
        slices=1,
        slice_seconds=1,
    )
    return Results(
        date="2025-01-01",
        seconds=1,
        plan=plan,
        machine=machine.describe(Path(__file__)) | {"load_before": 0.5},
        conditions={
            "versions": {"Django": "5", "psycopg": "3"},
            "postgresql": "18",
            "limit_store": "Redis",
            "connections": dict.fromkeys(CONNECTIONS),
        },
        subjects=subjects,
    )


def test_the_table_has_a_column_for_each_and_a_dash_for_what_is_not_there(results):
    lines = table.render(results).splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    refresh = next(row for row in rows if row[0].startswith("refresh ÷ one-insert view"))

    titles = [subject.title for subject in SUBJECTS]
    assert rows[0] == ["", *titles, "ours must reach", ""]
    there = summary.spread(spread(2.5), 1)
    assert refresh[1:] == [there] * 4 + [summary.DASH, "≤ 3.0", "reached"]


def test_a_figure_that_is_not_reached_is_told_beside_the_target(results):
    rows = {row.title: row.verdict for row in summary.rows(results)}

    assert rows["throughput of logout ÷ of the one-insert view, gunicorn"] == "missed by 40%"
    assert (
        rows["logout of all, 10,000 logins, Django's default connection"]
        == "7 statements instead of 6"
    )


@pytest.mark.parametrize(("ours", "verdict"), [(2.5, "reached"), (3.0, "missed by 20%")])
def test_a_request_must_take_no_longer_than_one_that_checks_nothing(results, ours, verdict):
    results.subjects["ours"].operations["example"]["request"] = measured(ours)

    rows = {row.title: row.verdict for row in summary.rows(results)}

    title = "authenticated request ÷ no-auth view, the example project's connection"
    assert rows[title] == verdict


def test_what_a_peer_does_not_have_needs_no_statement(results):
    row = summary.rows(results)[-1]

    assert (row.cells["ours"], row.cells["knox"]) == ("4, 4, 4", f"4, {summary.DASH}, 4")
    assert row.verdict == "missed"


def test_the_plots_are_well_formed_and_say_in_words_what_they_show(results, tmp_path):
    for file in plot.write(results, tmp_path):
        root = ET.parse(file).getroot()
        words = {element.attrib["id"]: element.text for element in root if "id" in element.attrib}
        assert root.attrib["role"] == "img"
        assert root.attrib["aria-labelledby"].split() == ["title", "description"]
        assert words["title"]
        assert "drf-logout" in words["description"]


def test_a_bar_is_as_long_as_its_value_and_nothing_leaves_the_picture():
    names = {"ours": "a < b", "knox": "c"}
    values = {"ours": spread(2), "knox": spread(4)}
    series = [Series(legend="", values=values, shade="second")]

    root = ET.fromstring(plot.draw(Plot(title="&", note="", names=names, series=series, digits=1)))

    bars = {e.attrib["class"]: e.attrib for e in root.iter(f"{SVG}rect") if "y" in e.attrib}
    ours, peer = (float(bars[name]["width"]) for name in ("ours second", "peer second"))
    assert math.isclose(ours * 2, peer, rel_tol=0.01)
    assert all(
        float(element.attrib["x"]) < float(root.attrib["width"])
        for element in root.iter(f"{SVG}text")
    )
    assert "a < b" in [element.text for element in root.iter(f"{SVG}text")]


def test_a_request_is_sent_as_a_whole():
    call = {"method": "POST", "path": "/x", "body": '{"a": "ñ"}', "authorization": "Bearer t"}

    head, _, body = raw(call).partition(b"\r\n\r\n")

    assert head.startswith(b"POST /x HTTP/1.1\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert body.decode() == call["body"]
    assert b"Authorization: Bearer t" in head
