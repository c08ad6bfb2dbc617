"""A wrong or dangerous set-up, told at start."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from django import urls
from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.db import router
from django.shortcuts import resolve_url

from accounts.conf import DEFAULTS, conf

# Any: Django passes what future versions may add.

INEXACT_CACHES = {
    "django.core.cache.backends.dummy.DummyCache": "counts nothing",
    "django.core.cache.backends.locmem.LocMemCache": "is one process's own: each counts for itself",
    "django.core.cache.backends.filebased.FileBasedCache": "loses counts of parallel requests",
    "django.core.cache.backends.db.DatabaseCache": "loses counts of parallel requests",
}
"""What is wrong with the caches of Django's that are unfit for a limit."""

SQLITE_MODES = {"IMMEDIATE", "EXCLUSIVE"}
"""The transactions of SQLite that wait for each other."""


@register(Tags.compatibility)
def check_settings(**kwargs: Any) -> Iterator[CheckMessage]:
    """Check ``settings.ACCOUNTS``, and what this app cannot do without."""
    given = getattr(settings, "ACCOUNTS", {})
    if not isinstance(given, dict):
        yield told(Error, "E002", "ACCOUNTS is not a dict.")
        given = {}
    else:
        for name in DEFAULTS:
            try:
                getattr(conf, name.lower())
            except ValueError as error:
                yield told(Error, "E002", f"ACCOUNTS[{name!r}]: {error}.")
    hint = f"The settings are {', '.join(DEFAULTS)}."
    for name in given:
        if name not in DEFAULTS:
            yield told(Error, "E001", f"ACCOUNTS[{name!r}] is not a setting.", hint)
    if not _has_blacklist():
        hint = "Add 'rest_framework_simplejwt.token_blacklist' to INSTALLED_APPS."
        yield told(Error, "E003", "SimpleJWT's token blacklist is not installed.", hint)


@register(Tags.security)
def check_adoption(**kwargs: Any) -> Iterator[CheckMessage]:
    """Check the places where a project that had SimpleJWT before still uses that alone."""
    if settings.SESSION_ENGINE != "accounts.sessions":
        what = "Browser logins are not kept as rows of accounts.Session."
        hint = "Set SESSION_ENGINE = 'accounts.sessions'."
        yield told(Warning, "W001", what, hint)
    for site in _unlimited_sites():
        what = f"Passwords are tried without limit at the admin site {site.name!r}."
        hint = (
            "Put 'accounts.apps.AdminConfig' in the place of 'django.contrib.admin' in "
            "INSTALLED_APPS, or let your site inherit from accounts.pages.admin.AdminSite."
        )
        yield told(Warning, "W008", what, hint)
    pages = any(view_class(view).__module__.startswith("accounts.pages.") for view in views())
    for name in filter(_leads_nowhere, ("LOGIN_URL", "LOGIN_REDIRECT_URL") if pages else ()):
        what = f"{name} = {str(getattr(settings, name))!r} is no route, and the pages lead there."
        hint = (
            "Set LOGIN_URL = 'drf_logout_pages:login' and LOGIN_REDIRECT_URL = "
            "'drf_logout_pages:sessions', or silence this check where another server answers."
        )
        yield told(Warning, "W009", what, hint)
    if not settings.USE_I18N:
        what = "Without translations every answer is in English, those of the contract v1 too."
        yield told(Warning, "W005", what, "Set USE_I18N = True.")


@register(Tags.security)
def check_routers(**kwargs: Any) -> Iterator[CheckMessage]:
    """Check that one database has it all, is read where it is written, and lets writers wait."""
    users = get_user_model()
    listed = apps.get_app_config("token_blacklist").get_models() if _has_blacklist() else ()
    ours = apps.get_app_config("drf_logout").get_models()
    # Counters may be anywhere.
    models = {users, *listed, *(model for model in ours if model.__name__ != "Counter")}
    if len({router.db_for_write(model) for model in models}) > 1:
        what = "Users, their logins and SimpleJWT's tokens are written to several databases."
        hint = "Route them to one: a login ends in one statement, or in one transaction."
        yield told(Error, "E004", what, hint)
    if router.db_for_read(users) != router.db_for_write(users):
        what = "Users are read from another database than they are written to."
        hint = (
            "Let db_for_read() of your router return the primary database for the user model: "
            "by a replica that lags behind, Django takes an old password for the current one."
        )
        yield told(Warning, "W007", what, hint)
    database = settings.DATABASES.get(router.db_for_write(users), {})
    mode = str(database.get("OPTIONS", {}).get("transaction_mode")).upper()
    if re.search("sqlite|spatialite", database.get("ENGINE", "")) and mode not in SQLITE_MODES:
        what = "SQLite fails with 'database is locked' where two requests write at once."
        hint = "Set OPTIONS = {'transaction_mode': 'IMMEDIATE'} of the database."
        yield told(Warning, "W010", what, hint)


@register(Tags.security, deploy=True)
def check_deployment(**kwargs: Any) -> Iterator[CheckMessage]:
    """Check that the processes of a deployment count together, and that logins end at last."""
    alias = getattr(settings, "RATELIMIT_USE_CACHE", "default")
    if wrong := INEXACT_CACHES.get(settings.CACHES.get(alias, {}).get("BACKEND", "")):
        what = f"The cache {alias!r}, which counts for the rate limits, {wrong}."
        hint = (
            "Use Redis, Memcached or 'accounts.counters.DatabaseCounters', or run a single "
            "process with its local memory and silence this check."
        )
        yield told(Warning, "W004", what, hint)
    given = getattr(settings, "ACCOUNTS", {})
    if "ABSOLUTE_TIMEOUT" not in given and "IDLE_TIMEOUT" not in given:
        hint = "Set ABSOLUTE_TIMEOUT in ACCOUNTS, or **AAL1 of accounts.conf; None is an answer."
        yield told(Warning, "W006", "A login that is used goes on for ever.", hint)


def told(
    kind: type[Error | Warning], number: str, what: str, hint: str | None = None
) -> CheckMessage:
    """Return a message of this app."""
    return kind(what, hint=hint, id=f"drf_logout.{number}")


def _has_blacklist() -> bool:
    return apps.is_installed("rest_framework_simplejwt.token_blacklist")


def _unlimited_sites() -> Iterator[Any]:
    """Find the admin sites that are served, but for those of ours."""
    for view in views():
        site = getattr(view, "__self__", None)
        is_login = hasattr(site, "login_form") and view.__name__ == "login"
        if is_login and not hasattr(site, "limits_guessing"):
            yield site


def _leads_nowhere(name: str) -> bool:
    """Whether Django would lead a browser by this setting to a page that it does not serve."""
    try:
        url = urlsplit(resolve_url(str(getattr(settings, name))))
    except urls.NoReverseMatch:
        return True
    path = "/" + url.path.removeprefix(urls.get_script_prefix())
    return not url.netloc and not (urls.is_valid_path(path) or urls.is_valid_path(f"{path}/"))


def views() -> Iterator[Any]:
    """Return every view of the URLconf."""
    return _routed(urls.get_resolver().url_patterns if hasattr(settings, "ROOT_URLCONF") else ())


def view_class(view: Any) -> type:
    """Return the class of a view of DRF's or Django's; of any other, one that has nothing."""
    cls: type = getattr(view, "cls", getattr(view, "view_class", object))
    return cls


def _routed(patterns: Iterable[urls.URLPattern | urls.URLResolver]) -> Iterator[Any]:
    for pattern in patterns:
        if isinstance(pattern, urls.URLResolver):
            yield from _routed(pattern.url_patterns)
        else:
            yield pattern.callback
