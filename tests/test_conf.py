"""The settings: each one's default, what it may be set to, and what it refuses."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_network

import pytest

from accounts.conf import AAL1, AAL2, AAL3, DEFAULTS, Rate, conf

EXPECTED_DEFAULTS = {
    "IDLE_TIMEOUT": None,
    "ABSOLUTE_TIMEOUT": None,
    "MAX_SESSIONS": None,
    "REFRESH_GRACE": timedelta(seconds=10),
    "SIGNING_KEY_FALLBACKS": (),
    "REFRESH_COOKIE": None,
    "REAUTHENTICATE_TO_END_OTHERS": {"pages"},
    "TRUSTED_PROXIES": frozenset(),
    "CLEAR_SITE_DATA": (),
    "AUDIT_RETENTION": None,
    "REAUTHENTICATION_MAX_AGE": timedelta(minutes=10),
    "LOGOUT_RATE": Rate(limit=20, seconds=300),
    "PASSWORD_RATE": Rate(limit=10, seconds=300),
    "ADDRESS_RATE": Rate(limit=100, seconds=300),
    "PASSWORD_FAIL_OPEN": False,
}


def read(name):
    return getattr(conf, name.lower())


def test_these_are_all_the_settings():
    assert set(DEFAULTS) == set(EXPECTED_DEFAULTS)


@pytest.mark.parametrize(("name", "default"), EXPECTED_DEFAULTS.items())
def test_a_host_without_settings_has_the_defaults(settings, name, default):
    del settings.ACCOUNTS

    assert read(name) == default


@pytest.mark.parametrize(("name", "default"), EXPECTED_DEFAULTS.items())
def test_a_setting_that_is_left_out_has_its_default(settings, name, default):
    settings.ACCOUNTS = {}

    assert read(name) == default


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("TRUSTED_PROXIES", [], frozenset()),
        (
            "TRUSTED_PROXIES",
            ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"],
            {ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"), ip_network("192.0.2.1/32")},
        ),
        ("TRUSTED_PROXIES", ("unix",), {"unix"}),
        ("TRUSTED_PROXIES", {"127.0.0.1"}, {ip_network("127.0.0.1/32")}),
        ("REAUTHENTICATION_MAX_AGE", timedelta(hours=1), timedelta(hours=1)),
        ("REAUTHENTICATION_MAX_AGE", 90, timedelta(seconds=90)),
        *[
            (name, value, expected)
            for name in ("IDLE_TIMEOUT", "ABSOLUTE_TIMEOUT", "AUDIT_RETENTION")
            for value, expected in (
                (None, None),
                (900, timedelta(minutes=15)),
                (timedelta(days=30), timedelta(days=30)),
            )
        ],
        ("REFRESH_GRACE", 0, timedelta(0)),
        ("REFRESH_GRACE", 30, timedelta(seconds=30)),
        ("MAX_SESSIONS", 1, 1),
        ("MAX_SESSIONS", None, None),
        ("REAUTHENTICATE_TO_END_OTHERS", True, {"pages", "api"}),
        ("REAUTHENTICATE_TO_END_OTHERS", "pages", {"pages"}),
        ("REAUTHENTICATE_TO_END_OTHERS", False, set()),
        ("PASSWORD_FAIL_OPEN", True, True),
        ("REFRESH_COOKIE", {}, ("refresh_token", "Strict", None)),
        (
            "REFRESH_COOKIE",
            {"NAME": "rt", "DOMAIN": "example.com"},
            ("rt", "Strict", "example.com"),
        ),
        ("CLEAR_SITE_DATA", ["cookies", "storage"], ("cookies", "storage")),
        ("CLEAR_SITE_DATA", ("*",), ("*",)),
        *[
            (name, value, rate)
            for name in ("LOGOUT_RATE", "PASSWORD_RATE", "ADDRESS_RATE")
            for value, rate in (
                ("3/s", (3, 1)),
                ("3/m", (3, 60)),
                ("10/2h", (10, 7200)),
                ("1000/7d", (1000, 604_800)),
            )
        ],
    ],
)
def test_a_setting_is_what_it_was_set_to(settings, name, value, expected):
    settings.ACCOUNTS = {name: value}

    assert read(name) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRUSTED_PROXIES", "10.0.0.0/8"),
        ("TRUSTED_PROXIES", None),
        ("TRUSTED_PROXIES", 1),
        ("TRUSTED_PROXIES", ["proxy.example.com"]),
        ("TRUSTED_PROXIES", ["10.0.0.1/8"]),
        ("TRUSTED_PROXIES", [None]),
        ("TRUSTED_PROXIES", [["10.0.0.0/8"]]),
        *[
            (name, value)
            for name in (
                "IDLE_TIMEOUT",
                "ABSOLUTE_TIMEOUT",
                "AUDIT_RETENTION",
                "REAUTHENTICATION_MAX_AGE",
            )
            for value in (0, -1, timedelta(0), True, "900", 15.5, 10**20, timedelta(days=36_501))
        ],
        # Use is noted once a minute.
        ("IDLE_TIMEOUT", 60),
        ("REFRESH_GRACE", -1),
        ("REFRESH_GRACE", False),
        ("REFRESH_GRACE", None),
        ("MAX_SESSIONS", 0),
        ("MAX_SESSIONS", True),
        ("MAX_SESSIONS", "3"),
        ("REAUTHENTICATE_TO_END_OTHERS", None),
        ("REAUTHENTICATE_TO_END_OTHERS", "api"),
        ("REAUTHENTICATE_TO_END_OTHERS", ["pages"]),
        ("CLEAR_SITE_DATA", "cookies"),
        ("CLEAR_SITE_DATA", ["cookie"]),
        ("CLEAR_SITE_DATA", [["cookies"]]),
        ("CLEAR_SITE_DATA", None),
        ("REAUTHENTICATION_MAX_AGE", None),
        *[
            (name, value)
            for name in ("LOGOUT_RATE", "PASSWORD_RATE", "ADDRESS_RATE")
            for value in ("", "20", "0/m", "20/0m", "-1/m", "20/5", "20/5w", "20/5m ", "x/m", None)
        ],
        ("PASSWORD_FAIL_OPEN", None),
        ("REFRESH_COOKIE", True),
        ("REFRESH_COOKIE", "refresh_token"),
        ("REFRESH_COOKIE", {"PATH": "/"}),
        ("REFRESH_COOKIE", {1: 2}),
        # What browsers refuse.
        *[
            ("REFRESH_COOKIE", {"NAME": name})
            for name in ("", None, "a b", "a=b", "é", "__Host-a", "__secure-a")
        ],
        *[("REFRESH_COOKIE", {"SAMESITE": value}) for value in ("strict", None, "None")],
        *[
            ("REFRESH_COOKIE", {"DOMAIN": domain})
            for domain in (1, "localhost", ".example.com", "127.0.0.1", "example.com:443", "a b.c")
        ],
        ("PASSWORD_FAIL_OPEN", "no"),
        ("LOGOUT_RATE", 20),
        ("LOGOUT_RATE", (20, 300)),
    ],
)
def test_a_wrong_value_is_a_value_error(settings, name, value):
    settings.ACCOUNTS = {name: value}

    with pytest.raises(ValueError, match=r"."):
        read(name)


def test_a_setting_is_read_when_asked(settings):
    settings.ACCOUNTS = {"LOGOUT_RATE": "1/m"}
    assert conf.logout_rate == (1, 60)

    settings.ACCOUNTS = {"LOGOUT_RATE": "2/m"}
    assert conf.logout_rate == (2, 60)


@pytest.mark.parametrize(
    ("preset", "idle", "absolute"),
    [
        (AAL1, None, timedelta(days=30)),
        (AAL2, timedelta(hours=1), timedelta(hours=24)),
        (AAL3, timedelta(minutes=15), timedelta(hours=12)),
    ],
)
def test_the_presets_are_the_limits_of_nist_sp_800_63b_4(settings, preset, idle, absolute):
    settings.ACCOUNTS = {**preset}

    assert (conf.idle_timeout, conf.absolute_timeout) == (idle, absolute)
