"""The measure of costs in benchmarks/costs, and its arithmetic."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks.costs import fleet
from tests.documents import ROOT


@pytest.mark.drill
@pytest.mark.postgresql
@pytest.mark.usefixtures("redis_server")  # it needs one of its own
def test_what_reads_writes_nothing_and_what_ends_a_login_is_flushed_once(tmp_path):
    file = tmp_path / "costs.json"
    command = [sys.executable, "-m", "benchmarks.costs", "--count", "20", "--seconds", "1"]

    done = subprocess.run(
        [*command, "--json", str(file)], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    costs = json.loads(file.read_text())["costs"]
    assert costs["request"]["wal_flushes"] == 0
    for name in ("refresh", "logout"):
        assert 1 <= costs[name]["wal_flushes"] < 1.2
        assert costs[name]["wal_bytes"] > 500


def test_what_a_fleet_needs_is_proportional_to_its_logouts():
    logout = {
        "web_cpu": 0.004,
        "postgresql_cpu": 0.001,
        "wal_flushes": 1.0,
        "wal_bytes": 2_000.0,
        "redis_commands": 2.0,
    }

    one, hundred, ten_thousand = fleet.needs(
        logout, row_bytes=500, primary={"1": 1_000.0, "16": 20_000.0}
    )

    assert (one["web_cores"], hundred["web_cores"], ten_thousand["web_cores"]) == (0.004, 0.4, 40)
    assert ten_thousand["postgresql_cores"] == 10
    assert ten_thousand["share_of_one_primarys_commits"] == 0.5
    assert ten_thousand["wal_megabytes_per_second"] == 20
    assert one["record_rows_per_day"] == 86_400
    assert hundred["record_gigabytes_per_day"] == 4.32
    assert hundred["redis_commands_per_second"] == 200
