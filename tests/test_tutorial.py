"""The tutorial of the documentation, done as it says."""

from __future__ import annotations

import json
import re
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import requests

from tests.documents import ROOT, code, commands
from tests.host import PATIENCE, Host

TUTORIAL = "docs/tutorial.md"
SERVER = "http://127.0.0.1:8000"
# What is another each time: ids, moments, and the tokens that the page cuts short.
VARYING = r'[0-9a-f]{8}-[-0-9a-f]{27}|\d{4}-\d\d-\d\dT[\d:]{8}Z|eyJ[^"]+'


class Shop(Host):
    """The project of the page."""

    name = "shop"

    def adopt(self, folder: Path) -> None:
        """Write the lines of the page into its files."""
        settings, urls = code(TUTORIAL, "python")
        with (folder / "shop" / "settings.py").open("a") as file:
            file.write(settings)
        (folder / "shop" / "urls.py").write_text(urls)


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Shop(tmp_path, sys.executable)


def curl(server: str, words: list[str], values: dict[str, str]) -> str:
    """Send what a line of the page sends."""
    words = [re.sub(r"\$([A-Z]+)", lambda name: values[name[1]], word) for word in words]
    [url] = [word for word in words if word.startswith("http")]
    given = [word for option, word in pairwise(words) if option == "-d"]
    headers = [word for option, word in pairwise(words) if option == "-H"]
    return requests.request(
        "POST" if given or "POST" in words else "GET",
        url.replace(SERVER, server),
        data=dict(pair.split("=") for pair in given),
        headers={"User-Agent": "curl/7.88.1", **dict(pair.split(": ") for pair in headers)},
        timeout=PATIENCE,
    ).text


def test_the_tutorial_answers_what_it_says(shop):
    told = commands(TUTORIAL)
    for words, answer in [(words, answer) for words, answer in told if "manage.py" in words]:
        before, arguments = words[: words.index("python")], words[words.index("manage.py") + 1 :]
        shop.environment |= dict(word.split("=") for word in before)
        if arguments != ["runserver"]:
            assert shop.manage(*arguments).strip() == answer, words
    values: dict[str, str] = {}
    calls = [(words, answer) for words, answer in told if words[0] == "curl"]
    assert len(calls) == 6
    with shop.served() as server:
        for words, answer in calls:
            body = curl(server, words, values)
            assert re.sub(VARYING, "…", body) == re.sub(VARYING, "…", answer), words
            if not values:
                tokens = json.loads(body)
                values = {"ACCESS": tokens["access_token"], "REFRESH": tokens["refresh_token"]}
