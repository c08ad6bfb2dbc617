"""Each block of code of README.md and the pages that can run is run by a test."""

from __future__ import annotations

import re
import tomllib

from tests.documents import PAGES, ROOT, blocks, read_by_tests

# What no program here reads: an answer, a table of cron.
PROSE = {""}
# By page, language and heading: where it is run instead, or why it is not.
NOT_RUN_HERE = {
    ("README.md", "sh", "Run it"): "test_authproject.py serves the demo, in the environment it has",
    ("README.md", "sh", "Test it"): ".ci/run runs this very line",
    ("README.md", "sh", "Adopt it"): "tests/wheel.py installs the package from its wheel",
    (".github/CONTRIBUTING.md", "sh", "Contributing"): ".ci/run runs both, on a copy",
    ("docs/how-to/browser.md", "js", "React"): "test_spa.py runs the two files that it includes",
    ("docs/how-to/openapi.md", "sh", "Describe the API with OpenAPI"): "a package from its index",
    ("docs/how-to/pages.md", "sh", "Name the place of an address"): "a package from its index",
    ("docs/how-to/proxy.md", "sh", "The example project"): "authproject/environment.py installs"
    " by the first line, test_authproject.py serves by the second",
    ("docs/how-to/services.md", "yaml", "Envoy"): "no Envoy here",
    ("docs/how-to/services.md", "yaml", "Kong"): "no Kong here",
    ("docs/how-to/services.md", "yaml", "Spring Security"): "no Spring here",
    ("docs/explanation/performance.md", "sh", "Beside others"): "ten minutes; test_comparison.py"
    " has a quick one",
}


def test_each_block_of_code_is_run_by_a_test():
    everything = {block for page in PAGES for block in blocks(page)}
    runnable = {block for block in everything if block.language not in PROSE}
    left = {(b.page, b.language, b.section) for b in runnable - set(read_by_tests())}
    assert left == set(NOT_RUN_HERE)


def test_what_is_installed_is_an_extra_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = "\n".join(page.read_text() for page in PAGES)
    installed = re.findall(r"pip install \"?(\w[\w-]+)(?:\[([\w,]+)\])?", text)
    assert {name for name, _ in installed} == {project["name"]}
    named = {extra for _, extras in installed for extra in extras.split(",") if extra}
    assert named <= project["optional-dependencies"].keys()
