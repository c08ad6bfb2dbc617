"""A wrong or dangerous set-up, told at start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.db import router
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
    """Check ``settings.ACCOUNTS``."""
    given = getattr(settings, "ACCOUNTS", {})
    if not isinstance(given, dict):
        return [Error("ACCOUNTS is not a dict.", id="drf_logout.E002")]
    errors: list[CheckMessage] = [
        Error(
            f"ACCOUNTS[{name!r}] is not a setting.",
            hint=f"The settings are {', '.join(DEFAULTS)}.",
            id="drf_logout.E001",
        )
        for name in given
        if name not in DEFAULTS
    ]
    for name in DEFAULTS:
        try:
            getattr(conf, name.lower())
        except ValueError as error:
            errors.append(Error(f"ACCOUNTS[{name!r}]: {error}.", id="drf_logout.E002"))
    return errors


@register(Tags.compatibility)
def check_installed_apps(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check what this app cannot do without."""
    if _has_blacklist():
        return []
    return [
        Error(
            "SimpleJWT's token blacklist is not installed.",
            hint="Add 'rest_framework_simplejwt.token_blacklist' to INSTALLED_APPS.",
            id="drf_logout.E003",
        )
    ]


@register(Tags.security)
def check_adoption(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check the places where a project that had SimpleJWT before still uses that alone."""
    warnings: list[CheckMessage] = []
    if settings.SESSION_ENGINE != "accounts.sessions":
        warnings.append(
            Warning(
                "Browser logins are not kept as rows of accounts.Session.",
                hint="Set SESSION_ENGINE = 'accounts.sessions'.",
                id="drf_logout.W001",
            )
        )
    classes = getattr(settings, "REST_FRAMEWORK", {}).get("DEFAULT_AUTHENTICATION_CLASSES", ())
    if any(str(name).startswith("rest_framework_simplejwt.") for name in classes):
        warnings.append(
            Warning(
                "SimpleJWT's own authentication accepts the access tokens of ended logins.",
                hint="Use 'accounts.authentication.JWTAuthentication' in its place.",
                id="drf_logout.W002",
            )
        )
    if not settings.USE_I18N:
        warnings.append(
            Warning(
                "Without translations every answer is in English, those of the contract v1 too.",
                hint="Set USE_I18N = True.",
                id="drf_logout.W005",
            )
        )
    return warnings


@register(Tags.security)
def check_serializers(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check that SimpleJWT's views begin and refresh logins of ours."""
    messages: list[CheckMessage] = []
    for setting, name, kind, number, what in (
        (
            *("TOKEN_OBTAIN_SERIALIZER", "TokenObtainPairSerializer", Warning, "W003"),
            "The tokens of SimpleJWT's own log-in belong to no login",
        ),
        (
            *("TOKEN_REFRESH_SERIALIZER", "TokenRefreshSerializer", Error, "E005"),
            "A refresh by SimpleJWT's own serializer ends the login",
        ),
    ):
        ours = f"accounts.api.serializers.{name}"
        path = getattr(settings, "SIMPLE_JWT", {}).get(setting, "")
        if not path or not issubclass(import_string(path), import_string(ours)):
            messages.append(
                kind(
                    f"{what}.",
                    hint=f"Set SIMPLE_JWT[{setting!r}] to {ours!r} or a subclass.",
                    id=f"drf_logout.{number}",
                )
            )
    return messages


@register(Tags.security, deploy=True)
def check_rate_limit_store(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check that the processes of a deployment count together."""
    alias = getattr(settings, "RATELIMIT_USE_CACHE", "default")
    wrong = INEXACT_CACHES.get(settings.CACHES.get(alias, {}).get("BACKEND", ""))
    if wrong is None:
        return []
    return [
        Warning(
            f"The cache {alias!r}, which counts for the rate limits, {wrong}.",
            hint=(
                "Use Redis, Memcached or 'accounts.counters.DatabaseCounters', or run a single "
                "process with its local memory and silence this check."
            ),
            id="drf_logout.W004",
        )
    ]


@register(Tags.security, deploy=True)
def check_timeouts(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check that a login ends by itself at last."""
    given = getattr(settings, "ACCOUNTS", {})
    if "ABSOLUTE_TIMEOUT" in given or "IDLE_TIMEOUT" in given:
        return []
    return [
        Warning(
            "A login that is used goes on for ever.",
            hint="Set ABSOLUTE_TIMEOUT in ACCOUNTS, or **AAL1 of accounts.conf; None is an answer.",
            id="drf_logout.W006",
        )
    ]


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
        messages.append(
            Error(
                "Users, their logins and SimpleJWT's tokens are written to several databases.",
                hint="Route them to one: a login ends in one statement, or in one transaction.",
                id="drf_logout.E004",
            )
        )
    if router.db_for_read(users) != router.db_for_write(users):
        messages.append(
            Warning(
                "Users are read from another database than they are written to.",
                hint=(
                    "Let db_for_read() of your router return the primary database for the user "
                    "model: by a replica that lags behind, Django takes an old password for the "
                    "current one."
                ),
                id="drf_logout.W007",
            )
        )
    return messages


def _has_blacklist() -> bool:
    return apps.is_installed("rest_framework_simplejwt.token_blacklist")
