"""The browser's rig tells what is wrong."""

from __future__ import annotations

import asyncio

import pytest
from django.contrib.auth import get_user_model

from tests import chromium


def show(page, body):
    page.set_content(f'<!doctype html><html lang="en"><title>Page</title><main>{body}</main>')


def test_browsers_share_nothing_and_tabs_share_their_browser(open_browser):
    laptop, phone = open_browser(), open_browser.phone()
    tab = laptop.context.new_page()
    for page in (laptop, tab, phone):
        page.goto("/admin/login/")
    laptop.evaluate("localStorage.setItem('here', 'yes')")
    # Each tab has a process of its own, and hears of it late.
    tab.wait_for_function("localStorage.getItem('here') === 'yes'")
    assert phone.evaluate("localStorage.getItem('here')") is None
    assert phone.evaluate("innerWidth") < 500 < laptop.evaluate("innerWidth")


def test_the_database_is_at_hand_beside_the_browser(open_browser, user):
    open_browser().goto("/admin/login/")
    assert get_user_model().objects.get() == user


def test_no_event_loop_is_left_to_the_other_tests():
    asyncio.run(asyncio.sleep(0))


@pytest.mark.parametrize(
    ("event", "script"),
    [
        ("console", "console.error('Broken')"),
        ("weberror", "throw new Error('Broken')"),
        ("weberror", "Promise.reject(new Error('Broken'))"),
    ],
)
def test_an_error_in_the_page_fails_the_test(open_browser, event, script):
    page = open_browser()
    page.goto("/admin/login/")
    with page.context.expect_event(event):
        page.add_script_tag(content=script)
    with pytest.raises(AssertionError, match="Broken"):
        open_browser.close()
    open_browser.expect_error("Broken")


def test_an_expected_error_has_to_happen(open_browser):
    open_browser().goto("/admin/login/")
    open_browser.expect_error("Broken")
    with pytest.raises(AssertionError, match="did not happen"):
        open_browser.close()
    page = open_browser()
    page.goto("/admin/login/")
    with page.expect_console_message():
        page.add_script_tag(content="console.error('Broken')")


def test_what_axe_finds_fails_the_test_unless_it_is_excused(open_browser, axe):
    page = open_browser()
    show(page, "<h1>Page</h1><label>Name <input></label>")
    axe(page, "labelled")
    show(page, "<h1>Page</h1><input>")
    with pytest.raises(AssertionError, match="Form elements must have labels"):
        axe(page, "without", excused={"label": "textarea"})
    axe(page, "excused", excused={"label": "input"})


def test_what_is_wider_than_a_phone_fails_the_test(open_browser, axe):
    page = open_browser()
    show(page, '<h1 style="width: 500px">Page</h1>')
    axe(page, "wide", looks=[("light", 600)])
    with pytest.raises(AssertionError):
        axe(page, "wide")


def test_pictures_are_taken_where_a_folder_is_named(open_browser, shoot, monkeypatch, tmp_path):
    page = open_browser()
    monkeypatch.delenv("SCREENSHOTS", raising=False)
    shoot(page, "nothing")
    monkeypatch.setenv("SCREENSHOTS", str(tmp_path))
    shoot(page, "something")
    assert [path.name for path in tmp_path.iterdir()] == ["something.png"]


@pytest.mark.parametrize(
    ("ci", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)]
)
def test_where_chromium_is_missing_a_test_skips_and_in_ci_fails(monkeypatch, tmp_path, ci, outcome):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="apt-get install chromium"):
        chromium.executable()
