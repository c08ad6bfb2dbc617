"""What a project that had SimpleJWT before still does by that alone, told at start."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.utils.module_loading import import_string
from rest_framework.settings import api_settings

from accounts.checks import told, view_class, views

# Any: Django passes what future versions may add, and a view may be anything that is called.

SERIALIZERS = {
    "LOGIN_SERIALIZER": "LoginSerializer",
    "JWT_TOKEN_CLAIMS_SERIALIZER": "TokenClaimsSerializer",
}
"""What dj-rest-auth logs in by."""


@register(Tags.security)
def check_views(**kwargs: Any) -> Iterator[CheckMessage]:
    """Check the views that are served, the host's and other apps'."""
    if accepting := ", ".join(dict.fromkeys(_accepting_ended_logins())):
        what = f"The access tokens of ended logins are accepted by {accepting}."
        hint = "Use 'accounts.authentication.JWTAuthentication', or a class that inherits from it."
        yield told(Warning, "W002", what, hint)
    if hint := _serializer_to_set("TOKEN_OBTAIN_SERIALIZER", "TokenObtainPairSerializer"):
        what = "SimpleJWT's own log-in tries passwords without limit, for tokens of no login."
        yield told(Warning, "W003", what, hint)
    if hint := _serializer_to_set("TOKEN_REFRESH_SERIALIZER", "TokenRefreshSerializer"):
        what = "A refresh by SimpleJWT's own serializer ends the login."
        yield told(Error, "E005", what, hint)
    if unset := ", ".join(_settings_of_dj_rest_auth()):
        what = "dj-rest-auth's own log-in tries passwords without limit, for tokens of no login."
        hint = f"Set {unset} of REST_AUTH to the classes of accounts.api.dj_rest_auth.serializers."
        yield told(Warning, "W003", what, hint)


def _accepting_ended_logins() -> Iterator[str]:
    """Find where a class of SimpleJWT's, or of others' on top of it, authenticates."""
    setting = "REST_FRAMEWORK['DEFAULT_AUTHENTICATION_CLASSES']"
    places: list[tuple[str, Any]] = [(setting, api_settings.DEFAULT_AUTHENTICATION_CLASSES)]
    places += [(_name(view), _option(view, "authentication_classes")) for view in views()]
    name = "authentication.JWTAuthentication"
    for place, classes in places:
        for used in classes or ():
            if _is_none_of_ours(used, f"rest_framework_simplejwt.{name}", f"accounts.{name}"):
                yield place


def _serializer_to_set(setting: str, name: str) -> str:
    """Return what to do about the views that use a serializer of SimpleJWT's; empty if none do."""
    theirs, ours = (
        f"rest_framework_simplejwt.serializers.{name}",
        f"accounts.api.serializers.{name}",
    )
    found = []
    for view in views():
        # The second is what SimpleJWT has read from the setting.
        used = _option(view, "serializer_class") or _option(view, "_serializer_class") or ours
        if _is_none_of_ours(import_string(used) if isinstance(used, str) else used, theirs, ours):
            found.append(_name(view))
    place = f"SIMPLE_JWT[{setting!r}], or the serializer_class of {', '.join(found)},"
    return f"Set {place} to {ours!r} or a subclass." if found else ""


def _settings_of_dj_rest_auth() -> Iterator[str]:
    """Find the settings of dj-rest-auth's that name no class of ours, where it is served."""
    given = getattr(settings, "REST_AUTH", None) or {}
    if given.get("USE_JWT") and any(_name(view).startswith("dj_rest_auth.") for view in views()):
        for setting, name in SERIALIZERS.items():
            ours = import_string(f"accounts.api.dj_rest_auth.serializers.{name}")
            if not issubclass(import_string(given.get(setting, "builtins.object")), ours):
                yield setting


def _is_none_of_ours(used: Any, theirs: str, ours: str) -> bool:
    """Whether a view uses a class that is SimpleJWT's and none of ours."""
    # DRF calls them: they need not be classes.
    known = inspect.isclass(used) and issubclass(used, import_string(theirs))
    return known and not issubclass(used, import_string(ours))


def _name(view: Any) -> str:
    cls = view_class(view)
    return f"{cls.__module__}.{cls.__name__}"


def _option(view: Any, name: str) -> Any:
    return getattr(view, "initkwargs", {}).get(name, getattr(view_class(view), name, None))
