"""The system checks: each id is told when it should be, and only then."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.conf import global_settings
from django.contrib.admin import AdminSite
from django.core.checks import Tags, run_checks
from django.urls import clear_url_caches, include, path, reverse_lazy, set_script_prefix
from django.utils.module_loading import import_string
from rest_framework.authentication import SessionAuthentication
from rest_framework.decorators import action, api_view, authentication_classes
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet
from rest_framework_simplejwt.authentication import JWTAuthentication as SimpleJWTAuthentication
from rest_framework_simplejwt.authentication import JWTStatelessUserAuthentication
from rest_framework_simplejwt.serializers import TokenRefreshSerializer
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

from accounts.api.serializers import TokenObtainPairSerializer
from accounts.authentication import JWTAuthentication
from accounts.conf import AAL1, AAL2, AAL3
from accounts.pages.admin import AdminSite as LimitedAdminSite


class HostSerializer(TokenObtainPairSerializer):
    """A host's own, which adds to ours."""


@pytest.fixture
def told():
    def run(*, deploy=False):
        messages = run_checks(
            tags=[Tags.compatibility, Tags.security], include_deployment_checks=deploy
        )
        return [message for message in messages if message.id.startswith("drf_logout.")]

    return run


def ids(messages):
    return [message.id for message in messages]


def test_the_example_project_is_told_nothing(told):
    assert told() == []


def test_an_unknown_setting_is_an_error_that_names_the_known_ones(settings, told):
    settings.ACCOUNTS = {"LOGUOT_RATE": "20/5m"}

    [message] = told()
    assert message.id == "drf_logout.E001"
    assert "LOGUOT_RATE" in message.msg
    assert "LOGOUT_RATE" in message.hint


def test_a_host_without_settings_is_told_nothing(settings, told):
    del settings.ACCOUNTS

    assert told() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRUSTED_PROXIES", "10.0.0.0/8"),
        ("REAUTHENTICATION_MAX_AGE", "soon"),
        ("LOGOUT_RATE", "often"),
        ("PASSWORD_RATE", "often"),
        ("ADDRESS_RATE", "often"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_the_setting(settings, told, name, value):
    settings.ACCOUNTS = {name: value}

    [message] = told()
    assert message.id == "drf_logout.E002"
    assert name in message.msg


def test_every_wrong_value_is_told_at_once(settings, told):
    settings.ACCOUNTS = {"LOGOUT_RATE": "often", "TRUSTED_PROXIES": None, "OTHER": 1}

    assert sorted(ids(told())) == ["drf_logout.E001", "drf_logout.E002", "drf_logout.E002"]


def test_a_right_value_is_no_error(settings, told):
    settings.ACCOUNTS = {"LOGOUT_RATE": "5/m", "TRUSTED_PROXIES": ["unix"]}

    assert told() == []


def test_simplejwts_blacklist_has_to_be_installed(settings, told):
    settings.INSTALLED_APPS = ["accounts", "django.contrib.auth"]

    assert ids(told()) == ["drf_logout.E003"]


def test_another_session_engine_is_a_warning(settings, told):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.db"

    assert ids(told()) == ["drf_logout.W001"]


class OwnAuthentication(SimpleJWTAuthentication):
    """A host's own, of SimpleJWT's: a token from a cookie, say. dj-rest-auth has one, too."""


class Recipe(JWTAuthentication):
    """A host's own, of ours."""


class HostView(APIView):
    """Any view of the host."""


@api_view()
@authentication_classes([SimpleJWTAuthentication])
def by_function(request):
    """A view of the host that is a function."""


class ActionsView(ViewSet):
    """Views of the host, by a router."""

    @action(detail=False, authentication_classes=[SimpleJWTAuthentication])
    def report(self, request):
        """One of them."""


router = SimpleRouter()
router.register("actions", ActionsView, basename="actions")


@pytest.fixture
def routed(settings, monkeypatch):
    """Serve these routes."""

    def run(*patterns):
        monkeypatch.setitem(globals(), "urlpatterns", list(patterns))
        settings.ROOT_URLCONF = __name__
        clear_url_caches()

    yield run
    clear_url_caches()
    set_script_prefix("/")


@pytest.mark.parametrize("name", ["JWTAuthentication", "JWTStatelessUserAuthentication"])
def test_simplejwts_own_authentication_in_the_setting_is_a_warning(settings, told, name):
    settings.REST_FRAMEWORK = {
        "DEFAULT_AUTHENTICATION_CLASSES": [f"rest_framework_simplejwt.authentication.{name}"]
    }

    [message] = told()
    assert message.id == "drf_logout.W002"
    assert "DEFAULT_AUTHENTICATION_CLASSES" in message.msg


@pytest.mark.parametrize(
    "authentication",
    [SimpleJWTAuthentication, JWTStatelessUserAuthentication, OwnAuthentication],
)
def test_a_view_that_accepts_the_tokens_of_ended_logins_is_a_warning_that_names_it(
    routed, told, authentication
):
    view = HostView.as_view(authentication_classes=[authentication])
    routed(path("api/", include([path("a", view), path("b", view)])))

    [message] = told()
    assert message.id == "drf_logout.W002"
    assert f"{__name__}.HostView" in message.msg
    assert message.msg.count("HostView") == 1


def test_a_view_that_is_a_function_or_an_action_is_named_too(routed, told):
    routed(path("function", by_function), *router.urls)

    [message] = told()
    assert message.id == "drf_logout.W002"
    assert f"{__name__}.by_function" in message.msg
    assert f"{__name__}.ActionsView" in message.msg


@pytest.mark.parametrize("authentication", [JWTAuthentication, Recipe, SessionAuthentication])
def test_a_view_that_refuses_ended_logins_is_no_warning(routed, told, authentication):
    routed(path("", HostView.as_view(authentication_classes=[authentication])))

    assert told() == []


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.BasicAuthentication"]},
    ],
)
def test_authentication_that_is_not_simplejwts_is_no_warning(settings, told, value):
    settings.REST_FRAMEWORK = value

    assert told() == []


def somewhere(request):
    """Any page of the host."""


PAGES = path("account/", include("accounts.pages.urls"))


@pytest.mark.parametrize("name", ["LOGIN_URL", "LOGIN_REDIRECT_URL"])
@pytest.mark.parametrize("value", ["/accounts/nowhere/", "nowhere", "app:nowhere"])
def test_a_setting_that_leads_nowhere_from_the_pages_is_a_warning(settings, told, name, value):
    setattr(settings, name, value)

    [message] = told()
    assert message.id == "drf_logout.W009"
    assert f"{name} = '{value}'" in message.msg


def test_djangos_own_defaults_lead_nowhere(settings, told):
    settings.LOGIN_URL = global_settings.LOGIN_URL
    settings.LOGIN_REDIRECT_URL = global_settings.LOGIN_REDIRECT_URL

    assert ids(told()) == ["drf_logout.W009", "drf_logout.W009"]


@pytest.mark.parametrize(
    "value",
    [
        "/account/login",
        "/account/login?from=host#form",
        "drf_logout_pages:login",
        reverse_lazy("drf_logout_pages:login"),
        "https://login.example.com/",
        "//login.example.com/",
        "/admin",
    ],
)
def test_a_setting_that_leads_somewhere_is_no_warning(settings, routed, told, value):
    routed(path("prefix/", include(([PAGES], "host"))), PAGES, path("admin/", somewhere))
    settings.LOGIN_URL = value

    assert told() == []


def test_a_host_that_is_mounted_below_a_prefix_names_it(settings, routed, told):
    routed(PAGES)
    settings.LOGIN_URL = "/below/account/login"
    settings.LOGIN_REDIRECT_URL = "drf_logout_pages:sessions"
    set_script_prefix("/below/")

    assert told() == []


def test_without_the_pages_the_settings_are_the_hosts_affair(settings, routed, told):
    routed(path("", HostView.as_view()))
    settings.LOGIN_URL = "/nowhere"

    assert told() == []


SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}


@pytest.mark.parametrize("options", [{}, {"transaction_mode": "DEFERRED"}])
def test_sqlite_that_gives_up_where_two_write_at_once_is_a_warning(
    settings, monkeypatch, told, options
):
    monkeypatch.setitem(settings.DATABASES, "default", {**SQLITE, "OPTIONS": options})

    [message] = told()
    assert message.id == "drf_logout.W010"
    assert "IMMEDIATE" in message.hint


@pytest.mark.parametrize("mode", ["IMMEDIATE", "immediate", "EXCLUSIVE"])
def test_sqlite_that_waits_to_write_is_no_warning(settings, monkeypatch, told, mode):
    database = {**SQLITE, "OPTIONS": {"transaction_mode": mode}}
    monkeypatch.setitem(settings.DATABASES, "default", database)

    assert told() == []


def test_another_database_of_the_hosts_may_be_any_sqlite(settings, monkeypatch, told):
    monkeypatch.setitem(settings.DATABASES, "other", SQLITE)

    assert told() == []


class ObtainView(TokenObtainPairView):
    """As without the setting, which SimpleJWT reads once."""

    _serializer_class = "rest_framework_simplejwt.serializers.TokenObtainPairSerializer"


class OwnView(TokenObtainPairView):
    """A view of the host, with a subclass of ours."""

    serializer_class = HostSerializer


def test_simplejwts_own_serializers_are_told_where_they_are_served(routed, told):
    refresh = TokenRefreshView.as_view(serializer_class=TokenRefreshSerializer)
    routed(path("obtain", ObtainView.as_view()), path("refresh", refresh))

    obtain, refresh = told()
    assert (obtain.id, refresh.id) == ("drf_logout.W003", "drf_logout.E005")
    assert "TOKEN_OBTAIN_SERIALIZER" in obtain.hint
    assert f"{__name__}.ObtainView" in obtain.hint
    assert "TOKEN_REFRESH_SERIALIZER" in refresh.hint


def test_a_host_without_simplejwts_views_need_not_set_its_serializers(settings, routed, told):
    del settings.SIMPLE_JWT
    routed(path("", HostView.as_view()))

    assert told() == []


def test_our_serializers_and_their_subclasses_are_no_warning(routed, told):
    routed(path("own", OwnView.as_view()), path("refresh", TokenRefreshView.as_view()))

    assert told() == []


def test_dj_rest_auth_by_itself_is_told_of_each_place_that_has_to_be_ours(settings, routed, told):
    urls = import_module("dj_rest_auth.urls")
    cookie = import_string("dj_rest_auth.jwt_auth.JWTCookieAuthentication")
    settings.REST_AUTH = {"USE_JWT": True}
    routed(path("", include(urls)), path("host", HostView.as_view(authentication_classes=[cookie])))

    accepting, refresh, log_in = told()
    assert accepting.id == "drf_logout.W002"
    assert f"{__name__}.HostView" in accepting.msg
    assert refresh.id == "drf_logout.E005"
    assert "RefreshViewWithCookieSupport" in refresh.hint
    assert log_in.id == "drf_logout.W003"
    assert "LOGIN_SERIALIZER, JWT_TOKEN_CLAIMS_SERIALIZER" in log_in.hint


def test_dj_rest_auth_by_our_classes_is_no_warning(routed, told):
    routed(path("", include("accounts.api.dj_rest_auth.urls")))

    assert told() == []


@pytest.mark.parametrize(
    "backend",
    [
        "django.core.cache.backends.locmem.LocMemCache",
        "django.core.cache.backends.dummy.DummyCache",
        "django.core.cache.backends.db.DatabaseCache",
        "django.core.cache.backends.filebased.FileBasedCache",
    ],
)
def test_a_deployment_whose_processes_do_not_count_together_is_a_warning(settings, told, backend):
    settings.CACHES = {"default": {"BACKEND": backend}}

    assert "drf_logout.W004" in ids(told(deploy=True))
    assert told() == []


@pytest.mark.parametrize(
    "cache",
    [
        {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1",
        },
        {"BACKEND": "accounts.counters.DatabaseCounters"},
    ],
)
def test_a_deployment_that_counts_in_one_place_is_no_warning(settings, told, cache):
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        "limits": cache,
    }
    settings.RATELIMIT_USE_CACHE = "limits"

    assert "drf_logout.W004" not in ids(told(deploy=True))


def test_settings_that_are_no_dict_are_told(told, settings):
    settings.ACCOUNTS = ["TRUSTED_PROXIES"]

    assert ids(told()) == ["drf_logout.E002"]


urlpatterns = [path("staff/", AdminSite(name="staff").urls)]


class OwnSite(LimitedAdminSite):
    """A host's own."""


@pytest.mark.urls(__name__)
def test_an_admin_where_passwords_are_tried_without_limit_is_a_warning(told):
    [message] = told()

    assert message.id == "drf_logout.W008"
    assert "'staff'" in message.msg


def test_an_admin_of_the_hosts_own_that_inherits_the_limits_is_no_warning(
    settings, told, monkeypatch
):
    own = [path("staff/", OwnSite(name="staff").urls)]
    monkeypatch.setitem(globals(), "urlpatterns", own)
    settings.ROOT_URLCONF = __name__

    assert told() == []


def test_a_host_without_urls_is_told_nothing(settings, told):
    del settings.ROOT_URLCONF

    assert told() == []


def test_a_host_without_translations_is_told(told, settings):
    settings.USE_I18N = False

    assert ids(told()) == ["drf_logout.W005"]


@pytest.mark.parametrize("accounts", [{}, {"MAX_SESSIONS": 5, "LOGOUT_RATE": "20/5m"}])
def test_a_deployment_whose_logins_go_on_for_ever_is_a_warning(settings, told, accounts):
    settings.ACCOUNTS = accounts

    [message] = [message for message in told(deploy=True) if message.id == "drf_logout.W006"]
    assert "ABSOLUTE_TIMEOUT" in message.hint
    assert told() == []


def test_a_deployment_without_any_settings_is_warned_of_it_too(settings, told):
    del settings.ACCOUNTS

    assert "drf_logout.W006" in ids(told(deploy=True))


@pytest.mark.parametrize(
    "accounts",
    [
        AAL1,
        AAL2,
        AAL3,
        {"ABSOLUTE_TIMEOUT": 3_600},
        {"IDLE_TIMEOUT": 3_600},
        {"ABSOLUTE_TIMEOUT": None},
        {"IDLE_TIMEOUT": None},
    ],
)
def test_a_deployment_that_has_decided_on_a_limit_is_not(settings, told, accounts):
    settings.ACCOUNTS = accounts

    assert "drf_logout.W006" not in ids(told(deploy=True))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IDLE_TIMEOUT", 60),
        ("IDLE_TIMEOUT", "1h"),
        ("ABSOLUTE_TIMEOUT", 0),
        ("ABSOLUTE_TIMEOUT", True),
        ("MAX_SESSIONS", 0),
        ("MAX_SESSIONS", "5"),
        ("REAUTHENTICATE_TO_END_OTHERS", "api"),
        ("CLEAR_SITE_DATA", "cookies"),
        ("CLEAR_SITE_DATA", ["cookie"]),
    ],
)
def test_a_wrong_limit_is_an_error_that_names_the_setting(settings, told, name, value):
    settings.ACCOUNTS = {name: value}

    [message] = told()
    assert message.id == "drf_logout.E002"
    assert name in message.msg


class LoginsApart:
    """Writes the logins to another database than the users."""

    def db_for_write(self, model, **hints):
        return "logins" if model._meta.label == "drf_logout.Session" else None


def test_logins_in_another_database_than_their_users_are_an_error(settings, told):
    settings.DATABASE_ROUTERS = [f"{__name__}.LoginsApart"]

    assert "drf_logout.E004" in ids(told())


def test_counters_may_be_anywhere(settings, told):
    settings.DATABASE_ROUTERS = [f"{__name__}.CountersApart"]

    assert told() == []


class CountersApart:
    """Writes the counters to another database than all else."""

    def db_for_write(self, model, **hints):
        return "counters" if model._meta.label == "drf_logout.Counter" else None
