"""A wrong or dangerous set-up, told at start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.db import router
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.module_loading import import_string

from accounts.conf import DEFAULTS, conf

# Any: Django passes what future versions may add.

INEXACT_CACHES = {
    "django.core.cache.backends.dummy.DummyCache": "counts nothing",
    "django.core.cache.backends.locmem.LocMemCache": "is one process's own: each counts for itself",
    "django.core.cache.backends.filebased.FileBasedCache": "loses counts of parallel requests",
    "django.core.cache.backends.db.DatabaseCache": "loses counts of parallel requests",
}
"""What is wrong with the caches of Django's that are unfit for a limit."""


@register(Tags.compatibility)
def check_settings(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check ``settings.ACCOUNTS``, and what this app cannot do without."""
    messages: list[CheckMessage] = []
    given = getattr(settings, "ACCOUNTS", {})
    if not isinstance(given, dict):
        messages.append(_told(Error, "E002", "ACCOUNTS is not a dict."))
        given = {}
    else:
        for name in DEFAULTS:
            try:
                getattr(conf, name.lower())
            except ValueError as error:
                messages.append(_told(Error, "E002", f"ACCOUNTS[{name!r}]: {error}."))
    hint = f"The settings are {', '.join(DEFAULTS)}."
    messages += [
        _told(Error, "E001", f"ACCOUNTS[{name!r}] is not a setting.", hint)
        for name in given
        if name not in DEFAULTS
    ]
    if not _has_blacklist():
        hint = "Add 'rest_framework_simplejwt.token_blacklist' to INSTALLED_APPS."
        messages.append(_told(Error, "E003", "SimpleJWT's token blacklist is not installed.", hint))
    return messages


@register(Tags.security)
def check_adoption(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check the places where a project that had SimpleJWT before still uses that alone."""
    messages: list[CheckMessage] = []
    if settings.SESSION_ENGINE != "accounts.sessions":
        what = "Browser logins are not kept as rows of accounts.Session."
        hint = "Set SESSION_ENGINE = 'accounts.sessions'."
        messages.append(_told(Warning, "W001", what, hint))
    classes = getattr(settings, "REST_FRAMEWORK", {}).get("DEFAULT_AUTHENTICATION_CLASSES", ())
    if any(str(name).startswith("rest_framework_simplejwt.") for name in classes):
        what = "SimpleJWT's own authentication accepts the access tokens of ended logins."
        hint = "Use 'accounts.authentication.JWTAuthentication' in its place."
        messages.append(_told(Warning, "W002", what, hint))
    if hint := _serializer_to_set("TOKEN_OBTAIN_SERIALIZER", "TokenObtainPairSerializer"):
        what = "SimpleJWT's own log-in tries passwords without limit, for tokens of no login."
        messages.append(_told(Warning, "W003", what, hint))
    if hint := _serializer_to_set("TOKEN_REFRESH_SERIALIZER", "TokenRefreshSerializer"):
        what = "A refresh by SimpleJWT's own serializer ends the login."
        messages.append(_told(Error, "E005", what, hint))
    for site in _unlimited_sites():
        what = f"Passwords are tried without limit at the admin site {site.name!r}."
        hint = (
            "Put 'accounts.apps.AdminConfig' in the place of 'django.contrib.admin' in "
            "INSTALLED_APPS, or let your site inherit from accounts.pages.admin.AdminSite."
        )
        messages.append(_told(Warning, "W008", what, hint))
    if not settings.USE_I18N:
        what = "Without translations every answer is in English, those of the contract v1 too."
        messages.append(_told(Warning, "W005", what, "Set USE_I18N = True."))
    return messages


@register(Tags.security)
def check_routers(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check that one database has it all, and that Django reads users where they are written."""
    messages: list[CheckMessage] = []
    users = get_user_model()
    listed = apps.get_app_config("token_blacklist").get_models() if _has_blacklist() else ()
    ours = apps.get_app_config("drf_logout").get_models()
    # Counters may be anywhere.
    models = {users, *listed, *(model for model in ours if model.__name__ != "Counter")}
    if len({router.db_for_write(model) for model in models}) > 1:
        what = "Users, their logins and SimpleJWT's tokens are written to several databases."
        hint = "Route them to one: a login ends in one statement, or in one transaction."
        messages.append(_told(Error, "E004", what, hint))
    if router.db_for_read(users) != router.db_for_write(users):
        what = "Users are read from another database than they are written to."
        hint = (
            "Let db_for_read() of your router return the primary database for the user model: "
            "by a replica that lags behind, Django takes an old password for the current one."
        )
        messages.append(_told(Warning, "W007", what, hint))
    return messages


@register(Tags.security, deploy=True)
def check_deployment(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check that the processes of a deployment count together, and that logins end at last."""
    messages: list[CheckMessage] = []
    alias = getattr(settings, "RATELIMIT_USE_CACHE", "default")
    if wrong := INEXACT_CACHES.get(settings.CACHES.get(alias, {}).get("BACKEND", "")):
        what = f"The cache {alias!r}, which counts for the rate limits, {wrong}."
        hint = (
            "Use Redis, Memcached or 'accounts.counters.DatabaseCounters', or run a single "
            "process with its local memory and silence this check."
        )
        messages.append(_told(Warning, "W004", what, hint))
    given = getattr(settings, "ACCOUNTS", {})
    if "ABSOLUTE_TIMEOUT" not in given and "IDLE_TIMEOUT" not in given:
        hint = "Set ABSOLUTE_TIMEOUT in ACCOUNTS, or **AAL1 of accounts.conf; None is an answer."
        messages.append(_told(Warning, "W006", "A login that is used goes on for ever.", hint))
    return messages


def _told(
    kind: type[Error | Warning], number: str, what: str, hint: str | None = None
) -> CheckMessage:
    return kind(what, hint=hint, id=f"drf_logout.{number}")


def _has_blacklist() -> bool:
    return apps.is_installed("rest_framework_simplejwt.token_blacklist")


def _serializer_to_set(setting: str, name: str) -> str:
    """Return what to do about a serializer of SimpleJWT's views; empty if it is one of ours."""
    ours = f"accounts.api.serializers.{name}"
    path = getattr(settings, "SIMPLE_JWT", {}).get(setting, "")
    if path and issubclass(import_string(path), import_string(ours)):
        return ""
    return f"Set SIMPLE_JWT[{setting!r}] to {ours!r} or a subclass."


def _unlimited_sites() -> Iterator[Any]:
    """Find the admin sites that are served, but for those of ours."""
    for view in _views(get_resolver().url_patterns if hasattr(settings, "ROOT_URLCONF") else ()):
        site = getattr(view, "__self__", None)
        is_login = hasattr(site, "login_form") and view.__name__ == "login"
        if is_login and not hasattr(site, "limits_guessing"):
            yield site


def _views(patterns: Iterable[URLPattern | URLResolver]) -> Iterator[Any]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _views(pattern.url_patterns)
        else:
            yield pattern.callback
