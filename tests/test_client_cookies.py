"""client.js with the refresh token in a cookie, in real Chromium, over HTTPS and over HTTP."""

from __future__ import annotations

import json
import re
import ssl
from contextlib import nullcontext
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import requests
import trustme
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.servers.basehttp import ThreadedWSGIServer
from django.http import HttpResponse
from django.test.testcases import LiveServerThread, QuietWSGIRequestHandler
from django.urls import include, path

from accounts.models import LogoutEvent, Session
from accounts.tokens import AccessToken, RefreshToken
from tests.documents import code
from tests.host import PATIENCE
from tests.http import PASSWORD

DOCUMENT = "docs/how-to/cookies.md"
API = "/api/v1/auth/"
USER = f"{API}user"

PAGE = """<!doctype html><title>App</title><script type="module" src="/app.js"></script>"""
APP = """
import { Client } from "/static/drf_logout/client.js";
const options = JSON.parse(decodeURIComponent(location.hash.slice(1)) || "{}");
globalThis.events = [];
globalThis.client = new Client({ tokens: "cookie", ...options });
client.addEventListener("login", () => events.push("login"));
client.addEventListener("logout", ({ detail }) => events.push(detail.reason));
globalThis.got = (input) => client.fetch(input).then((response) => response.status);
"""
FOREIGN = "<!doctype html><title>Foreign</title><p>Foreign</p>"


def _page(request):
    answer = HttpResponse(PAGE)
    answer.headers["Content-Security-Policy"] = (
        "default-src 'none'; script-src 'self'; connect-src 'self' https://*.example.test:*"
    )
    return answer


urlpatterns = [
    path("app", _page),
    path("app.js", lambda request: HttpResponse(APP, content_type="text/javascript")),
    path("foreign", lambda request: HttpResponse(FOREIGN)),
    path("", include("authproject.urls")),
]


# The servers


class Handler(QuietWSGIRequestHandler):
    # Browsers open connections that they never use, and leave some open for the next request.
    timeout = 5


class Server(ThreadedWSGIServer):
    """Django's live server, which hangs up on a browser that says nothing."""

    def __init__(self, address, handler, **options):
        super().__init__(address, Handler, **options)

    def handle_error(self, request, client_address):
        """Say nothing of a connection that ends."""


class SecureServer(Server):
    """The same over TLS."""

    context: ssl.SSLContext

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        # Hands are shaken in the thread of the request.
        self.socket = self.context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )

    def setup_environ(self):
        super().setup_environ()
        self.base_environ["HTTPS"] = "on"


class PlainThread(LiveServerThread):
    daemon = True
    server_class = Server


class SecureThread(PlainThread):
    server_class = SecureServer


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Who signs certificates, and the file that says so to clients."""
    authority = trustme.CA()
    file = tmp_path_factory.mktemp("tls") / "authority.pem"
    authority.cert_pem.write_to_path(file)
    SecureServer.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "*.example.test", "evil.test").configure_cert(
        SecureServer.context
    )
    return file


@pytest.fixture
def serve(live_server, authority):
    """Return a function that serves the project by one more port, and says which."""
    threads = []

    def start(kind):
        threads.append(kind("127.0.0.1", StaticFilesHandler))
        threads[-1].start()
        threads[-1].is_ready.wait()
        assert threads[-1].error is None
        return threads[-1].port

    yield start
    for thread in threads:
        thread.terminate()


@pytest.fixture(autouse=True)
def _pages(settings):
    settings.ROOT_URLCONF = __name__
    settings.ALLOWED_HOSTS = ["*"]


@pytest.fixture
def here(serve):
    """The project over HTTP, on this machine."""
    return f"http://127.0.0.1:{serve(PlainThread)}"


@pytest.fixture
def there(serve):
    """The project over HTTPS, by a name."""
    return f"https://app.example.test:{serve(SecureThread)}"


@pytest.fixture(params=["here", "there"])
def origin(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def ask(authority):
    """Send a request as the application, with another cookie or another token than it has."""

    def send(origin, endpoint, body, *, cookie=None, access=None):
        url = re.sub(r"//[^:]+:", "//127.0.0.1:", origin) + API + endpoint
        headers = {"X-Refresh-Cookie": "1"}
        if cookie is not None:
            headers["Cookie"] = f"{cookie['name']}={cookie['value']}"
        if access is not None:
            headers["Authorization"] = f"Bearer {access}"
        return requests.post(url, json=body, headers=headers, verify=authority, timeout=PATIENCE)

    return send


# The browser


class Browser:
    """A browser with the application in its tabs."""

    def __init__(self, open_browser, origin, **options):
        self.page = open_browser(base_url=origin, ignore_https_errors=True)
        self.context, self.origin = self.page.context, origin
        self.options = options
        self.asked = []
        self.context.on("request", lambda request: self.asked.append(request))  # noqa: PLW0108

    @property
    def address(self):
        return f"{self.origin}/app#{json.dumps(self.options)}"

    def open(self, page=None):
        """Load the application in a tab, and wait until it knows who is logged in."""
        page = page or self.page
        page.goto("about:blank")
        page.goto(self.address)
        self.wait(page)
        return page

    def wait(self, page):
        page.wait_for_function("() => globalThis.client")
        return page.evaluate("client.ready")

    def another(self):
        return self.open(self.context.new_page())

    def log_in(self, username="ana"):
        self.open()
        credentials = {"username": username, "password": PASSWORD}
        self.page.evaluate("(c) => client.logIn(c)", credentials)
        return self

    @property
    def cookie(self):
        """The refresh token's cookie; None if there is none."""
        found = [c for c in self.context.cookies() if c["name"].endswith("refresh_token")]
        assert len(found) < 2
        return found[0] if found else None

    @property
    def sid(self):
        return str(RefreshToken(self.cookie["value"]).sid)

    def count(self, endpoint):
        return sum(
            request.url.endswith(API + endpoint) and request.method == "POST"
            for request in self.asked
        )

    def access_tokens(self):
        """Every access token that was sent."""
        sent = {request.all_headers().get("authorization", "") for request in self.asked}
        return {header.removeprefix("Bearer ") for header in sent if header}


@pytest.fixture
def browser(open_browser, origin, user):
    open_browser.expect_error("status of 400")  # nobody is logged in when a page opens
    return Browser(open_browser, origin).log_in()


@pytest.fixture
def local(open_browser, here, user):
    """A browser whose application is on this machine."""
    open_browser.expect_error("status of 400")
    return Browser(open_browser, here).log_in()


def begin(page, script):
    """Run a line of JavaScript, whose result is waited for in ``result``."""
    page.evaluate(f"() => void (globalThis.begun = {script})")


def result(page):
    return page.evaluate("begun")


def heard(page, event):
    page.wait_for_function("(e) => events.includes(e)", arg=event)
    return page.evaluate("events")


def look(page):
    """Let a tab be looked at again."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))")


EVERY_STORE = """async () => {
    const caches_ = globalThis.caches ? await caches.keys() : [];
    return [localStorage.length, sessionStorage.length, document.cookie,
        (await indexedDB.databases()).length, caches_.length];
}"""
EMPTY = [0, 0, "", 0, 0]


# A login from its begin to its end


def test_a_login_by_cookie_outlives_a_reload_in_ten_tabs_at_once_and_ends_everywhere(
    open_browser, browser, origin, ask
):
    page, secure = browser.page, origin.startswith("https")
    first = browser.cookie
    assert {name: first[name] for name in ("httpOnly", "secure", "sameSite", "path")} == {
        "httpOnly": True,
        "secure": secure,
        "sameSite": "Strict",
        "path": API,
    }
    assert first["name"].startswith("__Secure-") is secure
    assert page.evaluate("[client.isLoggedIn, events]") == [True, ["login"]]
    assert page.evaluate(EVERY_STORE) == EMPTY

    browser.open()
    assert page.evaluate("[client.isLoggedIn, events]") == [True, ["login"]]
    assert page.evaluate(f"got('{USER}')") == 200
    assert browser.sid == str(Session.objects.get().sid)

    page.goto("about:blank")
    browser.asked.clear()
    tabs = [page, *(browser.context.new_page() for _ in range(9))]
    for tab in tabs:
        tab.evaluate("(url) => void setTimeout(() => { location = url; })", browser.address)
    assert [browser.wait(tab) for tab in tabs] == [True] * 10
    assert [tab.evaluate(f"got('{USER}')") for tab in tabs] == [200] * 10
    assert browser.count("token") == 1
    assert len(browser.access_tokens()) == 1

    last, accesses = browser.cookie, browser.access_tokens()
    assert page.evaluate("client.logoutAll()")["confirmed"]
    for tab in tabs:
        assert heard(tab, "logout") == ["login", "logout"]
        assert tab.evaluate("client.isLoggedIn") is False
        assert tab.evaluate(EVERY_STORE) == EMPTY
    assert browser.cookie is None
    assert not Session.objects.exists()
    for cookie in (first, last):
        refused = ask(origin, "token", {"grant_type": "refresh_token"}, cookie=cookie)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    for access in accesses:
        assert ask(origin, "reauthenticate", {}, access=access).status_code == 401
    browser.open()
    assert page.evaluate("client.isLoggedIn") is False


# Pages of other origins

ATTACKS = {
    "form": """async ([url, body]) => {
        const form = document.createElement("form");
        Object.assign(form, { method: "POST", action: url, target: "sink" });
        for (const [name, value] of Object.entries(body)) {
            const input = document.createElement("input");
            Object.assign(input, { name, value });
            form.append(input);
        }
        const sink = document.createElement("iframe");
        sink.name = "sink";
        const loaded = new Promise((resolve) => { sink.onload = resolve; });
        document.body.append(sink, form);
        form.submit();
        await loaded;
    }""",
    "fetch that asks nobody": """([url, body]) => fetch(url, { method: "POST", mode: "no-cors",
        credentials: "include", headers: { "X-Refresh-Cookie": "1" },
        body: new URLSearchParams(body) }).then(() => {}, () => {})""",
    "fetch of JSON": """([url, body]) => fetch(url, { method: "POST", credentials: "include",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body) }).then(() => {}, () => {})""",
    "fetch with the header": """([url, body]) => fetch(url, { method: "POST",
        credentials: "include", headers: { "X-Refresh-Cookie": "1" },
        body: new URLSearchParams(body) }).then(() => {}, () => {})""",
    "beacon": """([url, body]) => {
        navigator.sendBeacon(url, new Blob([JSON.stringify(body)], { type: "application/json" }));
        navigator.sendBeacon(url, new URLSearchParams(body));
    }""",
    "image": """([url, body]) => new Promise((resolve) => {
        const image = new Image();
        image.onload = image.onerror = resolve;
        image.src = `${url}?${new URLSearchParams(body)}`;
    })""",
    "navigation": "([url, body]) => { location = `${url}?${new URLSearchParams(body)}`; }",
    "form in the page's place": """([url, body]) => {
        const form = document.createElement("form");
        Object.assign(form, { method: "POST", action: url });
        for (const [name, value] of Object.entries(body)) {
            const input = document.createElement("input");
            Object.assign(input, { name, value });
            form.append(input);
        }
        document.body.append(form);
        form.submit();
    }""",
}
LEAVING = {"navigation", "form in the page's place"}
AIMS = {
    "token": {"grant_type": "refresh_token"},
    "logout": {"scope": "global"},
    "logout/all": {},
}


@pytest.mark.parametrize("where", ["another port", "another site"])
def test_a_page_of_another_origin_can_neither_refresh_nor_log_out(
    open_browser, origin, serve, settings, user, where
):
    open_browser.expect_error("")  # each attack is one, for the browser or for the server
    # As bad as it gets: browsers send such a cookie along with whatever comes from anywhere.
    secure = origin.startswith("https")
    settings.SESSION_COOKIE_SECURE = secure
    settings.ACCOUNTS = {"REFRESH_COOKIE": {"SAMESITE": "None"} if secure else {"SAMESITE": "Lax"}}
    browser = Browser(open_browser, origin).log_in()
    before, events = browser.cookie, browser.page.evaluate("events")
    server = urlsplit(origin)
    name, port = server.hostname, server.port
    if where == "another port":
        port = serve(SecureThread if secure else PlainThread)
    else:
        name = "evil.test"
    foreign_origin = f"{server.scheme}://{name}:{port}"
    foreign = browser.context.new_page()
    arrived = []
    foreign.on("request", lambda request: arrived.append(request.url))
    for attack, script in ATTACKS.items():
        for endpoint, body in AIMS.items():
            foreign.goto(f"{foreign_origin}/foreign")
            leaving = foreign.expect_navigation() if attack in LEAVING else nullcontext()
            with leaving:
                foreign.evaluate(script, [origin + API + endpoint, body])
            foreign.goto("about:blank")
            assert browser.cookie == before, (attack, endpoint)
    assert len({url.partition("?")[0] for url in arrived if API in url}) == 3
    assert browser.page.evaluate(f"got('{USER}')") == 200
    assert browser.page.evaluate("events") == events
    assert not LogoutEvent.objects.exists()
    assert Session.objects.get().rotated_at is None


# A script in the page

EVERYTHING = """async (seconds) => {
    const texts = new Set(), seen = new Set(), heard = [];
    const channel = new BroadcastChannel("drf_logout");
    channel.onmessage = ({ data }) => heard.push(data);
    channel.postMessage({ asked: true });
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    channel.close();
    const open = [globalThis, heard, document.documentElement.outerHTML, document.cookie,
        { ...localStorage }, { ...sessionStorage }, history.state, name, location.href,
        performance.getEntries().map((entry) => entry.toJSON()),
        await indexedDB.databases(), globalThis.caches && await caches.keys(),
        globalThis.cookieStore && await cookieStore.getAll(),
        navigator.locks && await navigator.locks.query()];
    const visit = (value) => {
        if (typeof value === "string") texts.add(value);
        if (value === null || !["object", "function"].includes(typeof value)) return;
        if (seen.has(value)) return;
        seen.add(value);
        if (value instanceof Promise) value.then((each) => open.push(each), () => {});
        if (value instanceof Map) open.push([...value]);
        if (value instanceof Set) open.push([...value]);
        if (typeof value === "function") open.push(Function.prototype.toString.call(value));
        open.push(Object.getPrototypeOf(value));
        for (const key of Reflect.ownKeys(value)) {
            texts.add(String(key));
            try { open.push(value[key]); } catch {}
            try {
                const { get } = Object.getOwnPropertyDescriptor(value, key);
                if (get) open.push(get);
            } catch {}
        }
    };
    for (let turns = 0; turns < 10; turns++) {
        while (open.length > 0) visit(open.pop());
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return [[...texts].join("\\n"), seen.size];
}"""
TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]{20,}")


def test_a_script_in_the_page_finds_no_refresh_token_and_after_a_logout_no_live_token(
    open_browser, local, here, ask
):
    page, other = local.page, local.another()
    refresh = local.cookie["value"]

    found, objects = page.evaluate(EVERYTHING, 1)

    assert objects > 1_000
    assert refresh not in found
    assert refresh.split(".")[2] not in found
    # What another tab tells is an access token, which the script could ask the server for, too.
    [access] = set(TOKEN.findall(found))
    assert AccessToken(access).sid == RefreshToken(refresh).sid

    assert other.evaluate("client.logout()")["confirmed"]
    heard(page, "logout")
    found, _ = page.evaluate(EVERYTHING, 1)

    assert TOKEN.findall(found) == []
    assert ask(here, "reauthenticate", {}, access=access).status_code == 401


# Several tabs, and several logins


def test_what_the_server_has_ended_is_noticed_by_a_request_or_a_look(open_browser, local):
    open_browser.expect_error("status of 401")
    page, other = local.page, local.another()
    Session.objects.all().delete()
    look(other)
    assert heard(other, "revoked") == ["login", "revoked"]
    assert heard(page, "revoked") == ["login", "revoked"]
    assert local.cookie is None

    local.log_in()
    Session.objects.all().delete()
    assert page.evaluate(f"got('{USER}')") == 401
    assert page.evaluate("[client.isLoggedIn, events]") == [False, ["login", "revoked"]]


def test_whoever_logs_in_by_cookie_ends_the_login_before_in_every_tab(
    open_browser, local, stranger
):
    page, other = local.page, local.another()
    before = local.sid
    # As after a change of the clock: the server refuses a token that the page takes for good.
    tell(page, {"access": expired(page_access(local))})
    credentials = {"username": "eve", "password": PASSWORD}
    other.evaluate("(c) => client.logIn(c)", credentials)
    page.wait_for_function("() => events.length === 3")
    assert page.evaluate("events") == other.evaluate("events") == ["login", "logout", "login"]
    assert Session.objects.get().user == stranger
    assert local.sid == str(Session.objects.get().sid) != before
    for each in (page, other):
        assert each.evaluate(f"client.fetch('{USER}').then((r) => r.json())")["username"] == "eve"

    wrong = {"username": "eve", "password": "wrong"}
    assert page.evaluate("(c) => client.logIn(c).catch(({ code }) => code)", wrong) == (
        "invalid_grant"
    )
    assert page.evaluate("client.isLoggedIn")

    open_browser.expect_error("status of 401")
    # A login that this page was not told of: the cookie is that of another client.
    quiet = Browser.__new__(Browser)
    quiet.__dict__ = {**local.__dict__, "options": {"name": "quiet"}}
    third = quiet.open(local.context.new_page())
    third.evaluate("(c) => client.logIn(c)", {"username": "ana", "password": PASSWORD})
    assert page.evaluate("client.logout().then(({ confirmed }) => confirmed)") is False
    assert third.evaluate(f"got('{USER}')") == 200


def test_a_logout_by_cookie_needs_no_access_token(open_browser, local, clients):
    page = local.page
    # As after a change of the clock: the server refuses a token that the page takes for good.
    tell(page, {"access": expired(page_access(local))})
    phone = clients.phone().log_in()
    assert page.evaluate("client.logout()") == {"confirmed": True, "status": 200, "error": None}
    assert local.cookie is None
    assert [str(session.sid) for session in Session.objects.all()] == [
        str(AccessToken(phone.access).sid)
    ]
    assert page.evaluate("client.logout()") == {"confirmed": True, "status": 0, "error": None}


def expired(access):
    token = AccessToken(access)
    token.set_exp(lifetime=-timedelta(minutes=1))
    return str(token)


def page_access(browser):
    """The access token that the page has, as a script in it hears."""
    return browser.page.evaluate(
        """() => new Promise((resolve) => {
            const channel = new BroadcastChannel("drf_logout");
            channel.onmessage = ({ data }) => data.tokens && resolve(data.tokens.access);
            channel.postMessage({ asked: true });
        })"""
    )


def tell(page, changes):
    """Let the page have other tokens of its login."""
    page.evaluate(
        """(changes) => new Promise((resolve) => {
            const channel = new BroadcastChannel("drf_logout");
            channel.onmessage = ({ data: { tokens } }) => {
                if (!tokens) return;
                channel.onmessage = ({ data }) => {
                    if (data.tokens?.access !== changed.access) {
                        channel.postMessage({ asked: true });
                        return;
                    }
                    channel.close();
                    resolve();
                };
                const changed = { ...tokens, expiresAt: tokens.expiresAt + 1, ...changes };
                channel.postMessage({ tokens: changed });
                channel.postMessage({ asked: true });
            };
            channel.postMessage({ asked: true });
        })""",
        changes,
    )


def test_a_logout_that_the_server_does_not_hear_is_over_in_open_pages_and_there_later(
    open_browser, local
):
    open_browser.expect_error("ERR_FAILED")
    page, other = local.page, local.another()
    local.context.route("**/logout", lambda route: route.abort())
    told = page.evaluate("client.logout()")
    assert (told["confirmed"], told["status"]) == (False, 0)
    assert heard(other, "logout") == ["login", "logout"]
    local.context.unroute("**/logout")
    assert Session.objects.exists()

    # A page that opens finds the login alive, and hears from the one that knows better.
    third = local.context.new_page()
    with page.expect_response("**/logout") as told:
        third.goto(local.address)
    assert told.value.status == 200
    third.wait_for_function("() => globalThis.events?.includes('logout')")
    assert not third.evaluate("client.isLoggedIn")
    assert not Session.objects.exists()
    assert local.cookie is None
    assert page.evaluate("events") == ["login", "logout"]

    local.log_in()
    local.context.route("**/logout", lambda route: route.abort())
    page.evaluate("client.logout()")
    local.context.unroute("**/logout")
    # Or it is called again: without an access token, by the cookie.
    assert page.evaluate("client.logout()") == {"confirmed": True, "status": 200, "error": None}
    assert not Session.objects.exists()


def test_a_logout_without_a_network_is_told_when_the_network_is_back(open_browser, local):
    open_browser.expect_error("ERR_INTERNET_DISCONNECTED")
    local.context.set_offline(True)
    assert not local.page.evaluate("client.logout()")["confirmed"]
    assert Session.objects.exists()
    with local.page.expect_response("**/logout"):
        local.context.set_offline(False)
    assert not Session.objects.exists()
    assert local.cookie is None


def test_a_page_that_opens_without_a_network_finds_out_later(open_browser, local):
    open_browser.expect_error("ERR_FAILED|ERR_INTERNET_DISCONNECTED")
    page = local.page
    local.context.route("**/token", lambda route: route.abort())
    local.open()
    assert page.evaluate("client.isLoggedIn") is False
    failed = "client.fetch('/api/v1/auth/user').catch(({ name, status }) => [name, status])"
    assert page.evaluate(failed) == ["AuthError", 0]
    local.context.unroute("**/token")
    look(page)
    assert heard(page, "login") == ["login"]
    assert page.evaluate(f"got('{USER}')") == 200

    local.context.route("**/token", lambda route: route.abort())
    local.open()
    # Whoever is logged in by the cookie, is not any more.
    assert page.evaluate("client.logout()")["confirmed"]
    assert not Session.objects.exists()


def test_without_activity_in_any_tab_a_login_by_cookie_ends(open_browser, here, user):
    open_browser.expect_error("status of 400")
    browser = Browser(open_browser, here, idleTimeout=60_000)
    browser.page.clock.install()
    browser.log_in()
    other = browser.another()
    for step in range(3):
        browser.page.clock.run_for(50_000)
        other.mouse.move(step, 5)
        browser.page.wait_for_timeout(100)
    assert browser.page.evaluate("client.isLoggedIn")
    with browser.context.expect_event("response", lambda got: got.url.endswith("logout")):
        browser.page.clock.run_for(61_000)
    for each in (browser.page, other):
        assert heard(each, "idle")[-1] == "idle"
    assert not Session.objects.exists()


@pytest.mark.parametrize("scope", ["logout", "logoutAll"])
def test_a_refresh_by_cookie_in_flight_beside_a_logout_is_ended_too(
    open_browser, local, ask, here, scope
):
    page, other = local.page, local.another()
    tell(other, {"renewAt": 0})
    held = []
    local.context.route("**/token", lambda route: held.append(route))  # noqa: PLW0108
    begin(other, "client.fetch('/api/v1/auth/user').catch(({ status }) => status)")
    while not held:
        other.wait_for_timeout(10)
    answer = held[0].fetch()
    leaving = page if scope == "logout" else other
    begin(page, "null")
    leaving.evaluate(f"() => void (globalThis.leaving = client.{scope}())")
    if leaving is page:
        assert page.evaluate("leaving")["confirmed"]
        heard(other, "logout")
        with other.expect_response("**/logout"):
            held[0].fulfill(response=answer)
    else:
        held[0].fulfill(response=answer)
        assert other.evaluate("leaving")["confirmed"]
    assert result(other) == 401
    assert not Session.objects.exists()
    for each in (page, other):
        assert each.evaluate("client.isLoggedIn") is False
    access = answer.json()["access_token"]
    assert ask(here, "reauthenticate", {}, access=access).status_code == 401


def test_a_cookie_and_a_storage_do_not_go_together(open_browser, here):
    open_browser.expect_error("status of 400")
    page = Browser(open_browser, here).open()
    for options in (
        "{ tokens: 'cookie', storage: localStorage }",
        "{ tokens: 'cookie', storage: null }",
        "{ tokens: 'memory' }",
    ):
        made = f"(client.constructor, new client.constructor({options}))"
        assert page.evaluate(f"() => {{ try {{ {made}; }} catch (e) {{ return e.name; }} }}") == (
            "TypeError"
        )


# The page of the documentation


@pytest.fixture
def subdomains(serve, settings):
    """The project as the page sets it up for two subdomains; the port that serves them."""
    made = {"INSTALLED_APPS": [*settings.INSTALLED_APPS], "MIDDLEWARE": settings.MIDDLEWARE}
    [lines] = code(DOCUMENT, "python", "An application and its API on two subdomains")
    exec(lines, made)
    settings.ACCOUNTS = {"REFRESH_COOKIE": {}}
    for name in made.keys() - {"__builtins__", "default_headers"}:
        setattr(settings, name, made[name])
    port = serve(SecureThread)
    settings.CORS_ALLOWED_ORIGINS = [
        origin.replace("example.com", f"example.test:{port}")
        for origin in made["CORS_ALLOWED_ORIGINS"]
    ]
    return port


def test_an_application_on_one_subdomain_has_its_api_on_another(open_browser, subdomains, user):
    open_browser.expect_error("status of 400")
    open_browser.expect_error("CORS policy|ERR_FAILED|X-Frame-Options|status of 4")
    app, api = (f"https://{name}.example.test:{subdomains}" for name in ("app", "api"))
    browser = Browser(open_browser, app, base=f"{api}{API}").log_in()
    page = browser.page
    assert (browser.cookie["domain"], browser.cookie["sameSite"]) == ("api.example.test", "Strict")
    browser.open()
    assert page.evaluate("client.isLoggedIn")
    assert page.evaluate(f"got('{api}{USER}')") == 200
    assert page.evaluate("client.logoutOthers()")["confirmed"]

    # A page of another subdomain is of the same site: its requests bring the cookie.
    foreign, before = browser.context.new_page(), browser.cookie
    foreign.goto(f"https://other.example.test:{subdomains}/foreign")
    for endpoint, body in AIMS.items():
        for attack in ("fetch with the header", "fetch of JSON", "form"):
            foreign.evaluate(ATTACKS[attack], [f"{api}{API}{endpoint}", body])
    assert browser.cookie == before
    assert not LogoutEvent.objects.exists()

    assert page.evaluate("client.logout()")["confirmed"]
    assert browser.cookie is None
    assert not Session.objects.exists()


def test_the_example_of_a_login_by_cookie_runs(open_browser, here, user):
    open_browser.expect_error("status of 400")
    browser = Browser(open_browser, here)
    said = []
    browser.page.on("console", lambda message: said.append(message.text))
    browser.page.goto(f"{here}/foreign")
    example, _ = code(DOCUMENT, "js")
    browser.page.add_script_tag(content=example, type="module")
    browser.page.wait_for_event("console", lambda message: message.text == "Hello, ana")
    assert browser.sid == str(Session.objects.get().sid)
