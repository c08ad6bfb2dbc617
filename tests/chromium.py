"""Real Chromium: pages of the served project, and what is true of each page of ours.

A pytest plugin; whatever opens a browser is marked ``chromium``.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.db import connections
from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Page,
    WebError,
    expect,
    sync_playwright,
)

from tests.http import OVER_COOKIE

# What a page is to show, it shows sooner or later; what it has not shown by then it never will.
PATIENCE = 120_000  # milliseconds
expect.set_options(timeout=PATIENCE)

# Each colour and each width: a laptop's and a phone's.
LOOKS = (("light", 1100), ("dark", 390))
OTHER_LOOKS = (("dark", 1100), ("light", 390))
# For the rule on locked orientation alone, axe loads what a style sheet imports from elsewhere.
NO_PRELOAD = {"preload": False}
# Django's admin fades from one colour to the other.
SETTLE = """for (const change of document.getAnimations())
    if (change instanceof CSSTransition) change.finish()"""
# Where nobody is logged in by a cookie, a page that opens is told so.
ALLOWED = ["/token: .*status of 400"] if OVER_COOKIE else []


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if "_chromium" in item.fixturenames:
            item.add_marker("chromium")


class Browsers:
    """Opens browsers that share nothing, and takes note of the errors in their pages."""

    def __init__(self, playwright: Any, browser: Any, base_url: str) -> None:
        self._playwright = playwright
        self._browser = browser
        self._base_url = base_url
        self._contexts: list[BrowserContext] = []
        self._errors: list[str] = []
        self._expected: list[str] = []

    def __call__(self, **options: Any) -> Page:
        """Return a page of a new browser; ``page.context.new_page()`` is another tab of it.

        Options are those of Playwright's ``new_context``. Addresses are relative to the server.
        """
        options = {"base_url": self._base_url, "locale": "en-US", **options}
        context = self._browser.new_context(**options)
        context.set_default_timeout(PATIENCE)
        context.on("console", self._note_message)
        context.on("weberror", self._note_exception)
        self._contexts.append(context)
        return context.new_page()

    def phone(self, **options: Any) -> Page:
        """Return a page of a new phone."""
        return self(**{**self._playwright.devices["Pixel 7"], **options})

    def expect_error(self, pattern: str) -> None:
        """Let the pages have errors that match a regular expression, one at least.

        An answer of 400 or above is an error too: ``Failed to load resource: …status of 401``.
        """
        self._expected.append(pattern)

    def close(self) -> None:
        """Close the browsers, and fail for errors nobody expected."""
        for context in self._contexts:
            for page in context.pages:
                page.evaluate("0")  # what its errors are is told before the answer to this
            context.close()
        allowed = [*self._expected, *ALLOWED]
        unexpected = [e for e in self._errors if not any(re.search(p, e) for p in allowed)]
        assert not unexpected, "Errors in the browser:\n" + "\n".join(unexpected)
        missed = [p for p in self._expected if not any(re.search(p, e) for e in self._errors)]
        assert not missed, f"Expected errors that did not happen: {missed}"

    def _note_message(self, message: ConsoleMessage) -> None:
        url = message.location["url"]
        # Browsers look for a favicon by themselves.
        if message.type == "error" and not url.endswith("/favicon.ico"):
            self._errors.append(f"{url}: {message.text}")

    def _note_exception(self, error: WebError) -> None:
        self._errors.append(f"{error.page and error.page.url}: {error.error.stack}")


def executable() -> str:
    """Return where Chromium is; without it the test is skipped, and fails in CI."""
    # The first is the same without windows, and takes a third of the time.
    if path := shutil.which("chromium-headless-shell") or shutil.which("chromium"):
        return path
    message = "Chromium is missing: apt-get install chromium-headless-shell"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def _chromium():
    """Start Chromium once for each process of the tests."""
    path = executable()
    # Playwright leaves Chromium's sandbox off: it works neither for root nor in most containers.
    with sync_playwright() as playwright:
        loop = asyncio.get_running_loop()
        # Sites of other names are served here, too.
        names = "--host-resolver-rules=MAP *.test 127.0.0.1"
        browser = playwright.chromium.launch(executable_path=path, args=[names])
        asyncio._set_running_loop(None)
        yield playwright, browser, loop
        with _running(loop):
            browser.close()
        asyncio._set_running_loop(loop)


@contextmanager
def _running(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Show the event loop of Playwright to its calls, and hide it from every other test.

    Its synchronous API leaves a loop running in this thread between calls, where ``asyncio.run``
    and Django's guard would meet it.
    """
    asyncio._set_running_loop(loop)
    try:
        yield
    finally:
        asyncio._set_running_loop(None)


@pytest.fixture
def open_browser(_chromium, live_server, clients, monkeypatch):
    """Open browsers on the served project: a laptop, another one, ``open_browser.phone()``."""
    playwright, browser, loop = _chromium
    # A test asks the database itself, in the thread where Playwright's loop runs. Nothing else is
    # done in that thread, so the queries that Django warns of block nobody.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    with _running(loop):
        browsers = Browsers(playwright, browser, live_server.url)
        yield browsers
        try:
            browsers.close()
        finally:
            # Beside a loop Django has connections of its own, which nobody else closes.
            connections.close_all()
            clients.close()
            _wait_for_the_server()


def _wait_for_the_server() -> None:
    """Wait until what was asked is answered: the database is emptied next, for the next test."""
    deadline = time.monotonic() + PATIENCE / 1000
    for thread in threading.enumerate():
        if "process_request_thread" in thread.name:
            thread.join(max(deadline - time.monotonic(), 0))
            assert not thread.is_alive(), "A request has no answer, or a connection no end"


@pytest.fixture
def axe(shoot):
    """Assert that a page is for everybody: axe-core finds nothing, and nothing is too wide.

    In each of the looks, a colour scheme and a width; a picture of each has the name. What axe
    finds is excused where its rule and the element are: a selector by the name of the rule.
    """

    def check(
        page: Page,
        name: str,
        looks: Sequence[tuple[Any, int]] = LOOKS,
        excused: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        for scheme, width in looks:
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 844})
            page.evaluate(SETTLE)
            found = [
                f"{violation['help']} ({violation['id']})\n    {node['html']}"
                for violation in Axe().run(page, options=NO_PRELOAD).response["violations"]
                for node in violation["nodes"]
                if violation["id"] not in excused
                or not page.locator(node["target"][0]).evaluate(
                    "(element, selector) => element.matches(selector)", excused[violation["id"]]
                )
            ]
            assert not found, f"axe on {page.url}, {scheme}, {width}:\n" + "\n".join(found)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, page.url
            shoot(page, f"{name}-{scheme}-{width}")

    return check


@pytest.fixture
def shoot():
    """Keep a picture of a page in the folder that SCREENSHOTS names, if it names one."""

    def take(page: Page, name: str) -> None:
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(path=Path(folder, f"{name}.png"), full_page=True)

    return take
