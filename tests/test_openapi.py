"""The schema that drf-spectacular makes: to the letter of the wire, and quiet in every host."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from django.core.management import call_command
from django.test import modify_settings, override_settings
from django.urls import include, path
from django.utils import translation
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema
from playwright.sync_api import expect
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.serializers import CharField
from rest_framework.views import APIView
from rest_framework_simplejwt.views import TokenObtainPairView

from accounts.api import urls
from accounts.api.contracts import DRF
from accounts.api.openapi import schema_of
from accounts.api.serializers import TokenObtainPairSerializer
from accounts.authentication import JWTAuthentication
from tests.conftest import PASSWORD
from tests.documents import DOCS, ROOT, code, commands
from tests.host import Host

V1, PLAIN, OWN = "/api/v1/auth", "/api/auth", "/drf"


def schema_with(*patterns):
    """Return the schema of routes, as the command makes it."""
    made = SchemaGenerator(patterns=list(patterns)).get_schema(public=True)
    validate_schema(made)
    return made


@pytest.fixture(scope="module")
def schema():
    # Whatever was spoken last, and whatever the example project sets.
    with translation.override("en"), override_settings(ACCOUNTS={}):
        return schema_with(
            path("api/v1/auth/", include(urls.v1)),
            path("api/auth/", include(urls.plain)),
            path("drf/", include(urls.drf)),
        )


def answers(operation):
    """Return what is answered: the examples of each status."""
    return {
        int(status): [
            example["value"]
            for example in answer.get("content", {})
            .get("application/json", {})
            .get("examples", {})
            .values()
        ]
        for status, answer in operation["responses"].items()
    }


def test_a_signed_answer_is_told_where_a_key_pair_signs(schema, deploy):
    def media_types(schema):
        operation = schema["paths"][f"{V1}/introspect"]["post"]
        return [*operation["responses"]["200"]["content"]]

    deploy()

    signed = schema_with(path("api/v1/auth/", include(urls.v1)))
    assert media_types(schema) == ["application/json"]
    assert media_types(signed) == ["application/json", "application/token-introspection+jwt"]


# The example project, and hosts


def test_the_example_project_has_a_schema_without_a_warning(tmp_path):
    file = tmp_path / "schema.yaml"
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(file))
    operations = yaml.safe_load(file.read_text())["paths"]
    # Each route once, though it answers with a slash at its end, too.
    routes = [re.sub("<(.+)>", r"{\1}", route) for route, _, _ in urls.ROUTES]
    mounts = ["/api/v1/auth/", "/api/auth/", "/"]
    assert set(operations) == {mount + route for mount in mounts for route in routes}
    names = [one["operationId"] for methods in operations.values() for one in methods.values()]
    assert len(names) == len(set(names)) == len(operations)


SIMPLEJWT = """
from rest_framework_simplejwt import views as stock
urlpatterns += [
    path("api/token/", stock.TokenObtainPairView.as_view()),
    path("api/token/refresh/", stock.TokenRefreshView.as_view()),
    path("api/token/verify/", stock.TokenVerifyView.as_view()),
    path("api/token/blacklist/", stock.TokenBlacklistView.as_view()),
]
"""


@pytest.fixture
def documented(tmp_path):
    """A host with SimpleJWT's own views that has done what the page says."""
    settings, sidecar, views = code("docs/how-to/openapi.md", "python", "Settings and routes")
    return Host(tmp_path, sys.executable, settings=settings + sidecar, urls=SIMPLEJWT + views)


def test_a_host_with_the_views_of_simplejwt_has_a_schema_without_a_warning(documented):
    documented.environment["PYTHONPATH"] = str(ROOT)
    [(words, _)] = commands("docs/how-to/openapi.md")
    documented.manage(*words[2:])
    host = yaml.safe_load((documented.folder / "schema.yaml").read_text())
    schemas = host["components"]["schemas"]
    assert "/api/v1/auth/sessions/{sid}" in host["paths"]
    assert set(schemas["TokenObtainPair"]["properties"]) == {
        "username", "password", "access", "refresh"
    }  # fmt: skip
    assert set(schemas["TokenRefresh"]["properties"]) == {"access", "refresh"}
    bearer = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    basic = {"type": "http", "scheme": "basic"}
    schemes = {"jwtAuth": bearer, "registeredClient": basic}
    assert host["components"]["securitySchemes"] == schemes
    assert host["paths"]["/api/v1/auth/logout"]["post"]["security"] == [{"jwtAuth": []}]


def test_a_host_without_drf_spectacular_does_not_load_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "accounts.api.openapi")
    with modify_settings(INSTALLED_APPS={"remove": ["drf_spectacular"]}):
        assert "accounts.api.openapi" not in sys.modules


def test_a_view_of_a_host_has_the_scheme_of_a_subclass_of_ours():
    class FromCookie(JWTAuthentication):
        pass

    class Mine(APIView):
        authentication_classes = [FromCookie]
        serializer_class = TokenObtainPairSerializer

        def get(self, request):
            return Response()

    made = schema_with(path("mine", Mine.as_view()), path("yours", Mine.as_view()))
    assert made["paths"]["/mine"]["get"]["security"] == [{"jwtAuth": []}]


def test_what_a_subclass_of_the_serializer_adds_is_there_too():
    class WithCode(TokenObtainPairSerializer):
        code = CharField()

    class View(TokenObtainPairView):
        _serializer_class = ""
        serializer_class = WithCode
        permission_classes = [AllowAny]

    made = schema_with(path("token", View.as_view()))
    fields = made["components"]["schemas"]["WithCode"]
    assert set(fields["properties"]) == {"username", "password", "access", "refresh", "code"}
    assert set(fields["required"]) == set(fields["properties"])


# The wire

PAGE = (DOCS / "reference" / "http-api.md").read_text()


def documented_answers(section):
    """Return each status and body that a section of the HTTP API has, by contract."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    for row in re.findall(r"^\|(.+)\|$", text, flags=re.MULTILINE):
        case, *cells = row.split(" | ")
        if "other method" in case or "REAUTHENTICATE" in case:
            continue
        for mount, cell in zip((V1, PLAIN), cells, strict=False):
            if told := re.search(r"(\d{3}) `(\{.+\})`", cell):
                body = told[2].replace('"timestamp": …', '"timestamp": "2026-01-31T10:30:00Z"')
                yield mount, int(told[1]), json.loads(body)


@pytest.mark.parametrize("section", ["POST logout", "POST reauthenticate"])
def test_each_documented_answer_is_an_example(schema, section):
    route = section.removeprefix("POST ")
    told = list(documented_answers(section))
    assert len(told) > 5
    for mount, status, body in told:
        assert body in answers(schema["paths"][f"{mount}/{route}"]["post"])[status]


def test_each_documented_error_of_the_token_endpoint_is_an_example(schema):
    text = PAGE.split("\n## POST token\n")[1].split("\n## ")[0]
    told = [json.loads(body) for body in re.findall(r"400 `(\{.+?\})`", text)]
    assert len(told) == 6
    for mount in (V1, PLAIN, OWN):
        known = answers(schema["paths"][f"{mount}/token"]["post"])[400]
        assert sorted(map(str, known)) == sorted(map(str, told))


def test_each_documented_code_of_drf_is_an_example(schema):
    table = PAGE.split("| code | status | when |\n")[1].split("\n\n")[0]
    told = {
        (int(status), code)
        for codes, statuses in re.findall(r"^\| (`.+?`) \| ([\d, ]+) \|", table, flags=re.MULTILINE)
        for number, code in enumerate(re.findall(r"`(\w+)`", codes))
        for status in [statuses.split(", ")[min(number, statuses.count(","))]]
    }
    with override_settings(ACCOUNTS={"REAUTHENTICATE_TO_END_OTHERS": True}):
        known = {
            (status, body["code"])
            for methods in schema_with(path("drf/", include(urls.drf)))["paths"].values()
            for operation in methods.values()
            for status, bodies in answers(operation).items()
            for body in bodies
            if "code" in body
        }
    # A method that a route does not have is no operation.
    assert known == told - {(405, "method_not_allowed")}


def test_examples_are_in_both_languages_and_in_the_hosts_own_where_the_contract_has_none(schema):
    ended = {
        mount: answers(schema["paths"][f"{mount}/logout/all"]["post"])[200]
        for mount in (V1, PLAIN, OWN)
    }
    spanish, english = "Sesión cerrada en todos los dispositivos", "Logged out from all devices"
    assert [body["message"] for body in ended[V1]] == [spanish, english]
    assert [body["message"] for body in ended[PLAIN]] == [english, spanish]
    assert ended[OWN] == [{"detail": english}]


def test_headers_are_those_of_the_wire(schema):
    logout = schema["paths"][f"{V1}/logout"]["post"]["responses"]
    every = {"Cache-Control", "Content-Language", "Vary", "RateLimit-Policy", "RateLimit"}
    every |= {f"X-RateLimit-{name}" for name in ("Limit", "Remaining", "Reset")}
    assert set(logout["200"]["headers"]) == every
    assert set(logout["401"]["headers"]) == {*every, "WWW-Authenticate"}
    assert set(logout["429"]["headers"]) == {*every, "Retry-After"}
    assert (
        logout["200"]["headers"]["RateLimit-Policy"]["schema"]["example"] == '"logout";q=20;w=300'
    )


@override_settings(
    ACCOUNTS={"REAUTHENTICATE_TO_END_OTHERS": True, "CLEAR_SITE_DATA": ["cache", "storage"]}
)
def test_what_a_setting_adds_is_there():
    paths = schema_with(path("drf/", include(urls.drf)))["paths"]
    logout = paths["/drf/logout"]["post"]
    assert answers(logout)[403] == [
        {"detail": "Recent authentication required", "code": "reauthentication_required"}
    ]
    assert 403 in answers(paths["/drf/sessions/{sid}"]["delete"])
    cleared = logout["responses"]["200"]["headers"]["Clear-Site-Data"]
    assert cleared["schema"]["example"] == '"cache", "storage"'


@override_settings(ACCOUNTS={"REFRESH_COOKIE": {}})
def test_the_refresh_token_may_be_in_a_cookie():
    paths = schema_with(path("drf/", include(urls.drf)))["paths"]
    token, logout = (paths[f"/drf/{route}"]["post"] for route in ("token", "logout"))
    for operation in (token, logout):
        assert "X-Refresh-Cookie" in [one["name"] for one in operation["parameters"]]
        assert (
            "refresh_token="
            in operation["responses"]["200"]["headers"]["Set-Cookie"]["schema"]["example"]
        )
    tokens = token["responses"]["200"]["content"]["application/json"]["schema"]
    assert tokens["required"] == ["access_token", "token_type", "expires_in"]
    assert logout["security"] == [{"jwtAuth": []}, {}]
    kept = "Refresh tokens are not kept in cookies here"
    assert kept not in [body["error_description"] for body in answers(token)[400]]


def test_a_contract_of_a_hosts_own_is_described():
    own = replace(
        DRF, error=lambda status, message, code: {"errors": [str(message)], "of": {"code": code}}
    )
    made = schema_with(path("", include(urls.routes(own))))
    refused = made["paths"]["/user"]["get"]["responses"]["401"]["content"]["application/json"]
    assert refused["schema"]["properties"] == {
        "errors": {},
        "of": {
            "type": "object",
            "properties": {"code": {"type": "string"}},
            "required": ["code"],
            "additionalProperties": False,
        },
    }


def test_a_key_that_some_bodies_lack_is_not_required():
    assert schema_of([{"a": 1, "b": True}, {"a": 2, "b": False, "c": None}]) == {
        "type": "object",
        "properties": {
            "a": {"type": "integer"},
            "b": {"type": "boolean"},
            "c": {"nullable": True},
        },
        "required": ["a", "b"],
        "additionalProperties": False,
    }


# Swagger UI


def operation(page, name):
    return page.locator(f"[id$='-{name}']")


def send(page, name, body=None):
    """Try an operation out; return what is answered."""
    box = operation(page, name)
    box.locator(".opblock-summary-control").click()
    box.get_by_role("button", name="Try it out").click()
    if body is not None:
        box.locator("textarea").fill(json.dumps(body))
    with page.expect_response(lambda answer: "/docs/" not in answer.url) as answered:
        box.get_by_role("button", name="Execute").click()
    shown = box.locator(".live-responses-table .response-col_status").last
    expect(shown).to_contain_text(str(answered.value.status))
    return answered.value.status, answered.value.json()


def test_a_login_is_tried_out_from_token_to_logout(open_browser, user, shoot):
    page = open_browser(viewport={"width": 1200, "height": 1400})
    page.goto("/docs/")
    grant = {"grant_type": "password", "username": "ana", "password": PASSWORD}
    status, tokens = send(page, "api_v1_auth_token", grant)
    assert status == 200
    page.get_by_role("button", name="Authorize").click()
    dialog = page.locator(".dialog-ux")
    dialog.get_by_label("auth-bearer-value").fill(tokens["access_token"])
    dialog.get_by_role("button", name="Apply credentials").first.click()
    dialog.get_by_role("button", name="Close").first.click()
    ended = {"success": True, "message": "Sesión cerrada exitosamente"}
    assert send(page, "api_v1_auth_logout", {}) == (200, ended)
    shoot(page, "docs")
    open_browser.expect_error("status of 401")
    revoked = {"success": False, "message": "El token ha sido invalidado"}
    assert send(page, "api_v1_auth_user") == (401, revoked)


# Of Swagger UI's own markup: pale badges and summaries; headings that leave a level out; buttons in
# the header of an operation, which is a button itself; a title outside of its landmark.
SWAGGERS_OWN = {"color-contrast", "heading-order", "nested-interactive", "region"}


def test_the_page_around_swagger_ui_is_accessible(open_browser):
    page = open_browser()
    page.goto("/docs/")
    expect(page.locator(".opblock").first).to_be_visible()
    found = {violation["id"] for violation in Axe().run(page).response["violations"]}
    assert found <= SWAGGERS_OWN


def test_no_script_and_no_style_is_from_elsewhere(client):
    answer = client.get("/docs/")
    policy = answer.headers["Content-Security-Policy"]
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'"} <= set(
        policy.split("; ")
    )
    loaded = re.findall(r'(?:src|href)="([^"]+)"', answer.content.decode())
    assert len(loaded) == 5
    assert all(re.match(r"/(static|docs)/", url) for url in loaded)


def test_no_page_of_another_site_runs_the_script_with_the_csrf_token(client):
    answer = client.get("/docs/?script=")
    assert str(answer.context["csrf_token"]) in answer.content.decode()
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
