"""The benchmarks of benchmarks/growth: they run, and what they measure is there."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.documents import ROOT

pytestmark = pytest.mark.postgresql


@pytest.fixture
def figures(tmp_path):
    """Run a benchmark; return what it writes."""

    def run(module, *options):
        file = tmp_path / "figures.json"
        subprocess.run(
            [sys.executable, "-m", module, *options, "--json", str(file)], cwd=ROOT, check=True
        )
        return json.loads(file.read_text())

    return run


@pytest.mark.drill
def test_growth_is_measured_at_each_size(figures):
    sizes = ("--sizes", "200,400", "--small", "100", "--rounds", "10")

    found = figures("benchmarks.growth", *sizes)["sizes"]

    assert list(found) == ["200", "400"]
    for measured in found.values():
        assert set(measured["times_as_long"]) == {"request", "refresh", "logout"}
        assert set(measured["bytes"]) == {"login", "its outstanding token", "entry of the record"}


@pytest.mark.drill
def test_pruning_is_measured_beside_simplejwts_and_beside_traffic(figures):
    found = figures("benchmarks.growth.pruning", "--rows", "2000")

    assert found["ours"]["tokens"]["statements"] < found["simplejwt"]["statements"]
    assert min(operation["count"] for operation in found["traffic"].values()) > 0
