"""accounts/client.js in real Chromium, against the served project, under a strict CSP."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from datetime import timedelta

import pytest
from rest_framework_simplejwt.tokens import RefreshToken

from accounts import services
from accounts.api.contracts import DRF, PLAIN, V1
from accounts.models import LogoutEvent, Session
from accounts.tokens import AccessToken
from tests.chromium import PATIENCE
from tests.documents import ROOT, code
from tests.http import PASSWORD, table_away

CSP = "default-src 'none'; script-src 'self'; connect-src 'self'"
USER = "/api/v1/auth/user"
MINUTE = 60_000
HOUR = 60 * MINUTE

# What the tests know of the client's storage.
TOKENS, ACTIVE = "drf_logout", "drf_logout:active"


class Tab:
    """A tab of a browser, with a client in it."""

    def __init__(self, page, options="{}", csp=CSP):
        self.page = page
        self.options = options
        self.calls = []
        page.on("request", self._note)
        page.context.route(
            "**/app",
            lambda route: route.fulfill(
                content_type="text/html",
                headers={"Content-Security-Policy": csp},
                body="<!doctype html><title>App</title><p>App</p>",
            ),
        )
        self.open()

    def _note(self, request):
        self.calls.append(request)

    def open(self):
        """Load the page, as a person does who comes back."""
        self.page.goto("/app")
        self.page.evaluate(
            f"""async () => {{
                const {{ Client }} = await import("/static/drf_logout/client.js");
                globalThis.events = [];
                globalThis.client = new Client({self.options});
                client.addEventListener("login", () => events.push("login"));
                client.addEventListener("logout", (e) => events.push(e.detail.reason));
                globalThis.got = (input) => client.fetch(input).then((response) => response.status);
            }}"""
        )

    def another(self):
        """Open another tab of the same browser."""
        return Tab(self.page.context.new_page(), self.options)

    def log_in(self, username="ana"):
        self.page.evaluate("(c) => client.logIn(c)", {"username": username, "password": PASSWORD})
        return self

    def do(self, script, argument=None):
        """Run a line of JavaScript, and wait for its result."""
        return self.page.evaluate(script, argument)

    def begin(self, script):
        """Run a line of JavaScript, and wait for its result no sooner than in ``result``."""
        self.page.evaluate(f"() => void (globalThis.begun = {script})")

    @property
    def result(self):
        return self.page.evaluate("begun")

    @property
    def is_in(self):
        return self.do("client.isLoggedIn")

    @property
    def events(self):
        return self.do("events")

    @property
    def tokens(self):
        return json.loads(self.stored(TOKENS) or "null")

    @property
    def sid(self):
        return AccessToken(self.tokens["access"]).sid

    def stored(self, name):
        return self.page.evaluate(
            "(n) => localStorage.getItem(n) ?? sessionStorage.getItem(n)", name
        )

    def change(self, **values):
        """Change what is stored with the tokens; return once each tab has seen it.

        Each has a process of its own, which hears a moment later of what another one stores.
        """
        stored = json.dumps({**self.tokens, **values})
        self.page.evaluate("([n, v]) => localStorage.setItem(n, v)", [TOKENS, stored])
        for page in self.page.context.pages:
            page.wait_for_function(
                "([n, v]) => localStorage.getItem(n) === v", arg=[TOKENS, stored]
            )

    def outlive_access(self, **values):
        """Let the access token expire, with or without the client's knowing."""
        token = AccessToken(self.tokens["access"])
        token.set_exp(lifetime=-timedelta(minutes=1))
        self.change(access=str(token), **values)

    def count(self, path):
        """Return how many requests went to an endpoint."""
        return sum(call.url.endswith(f"/api/v1/auth/{path}") for call in self.calls)

    def hold(self, path):
        """Keep the requests to an endpoint waiting, and return them as they come."""
        held = []

        def keep(route):
            held.append(route)

        self.page.route(f"**/api/v1/auth/{path}", keep)
        return held

    def wait_for(self, held):
        """Wait until a request is being held."""
        for _ in range(PATIENCE // 10):
            if held:
                return held.pop()
            self.page.wait_for_timeout(10)
        raise AssertionError("no such request")

    def wait_for_change(self, name, before):
        """Wait until something else is stored, by whichever tab."""
        self.page.wait_for_function("([n, b]) => localStorage.getItem(n) !== b", arg=[name, before])

    def watch_writes(self):
        """Note from now on what this tab stores, for however short a time."""
        self.page.evaluate(
            """() => {
                globalThis.written = [];
                const set = Storage.prototype.setItem;
                Storage.prototype.setItem = function (name, value) {
                    written.push(name);
                    set.call(this, name, value);
                };
            }"""
        )

    @property
    def written(self):
        return self.do("written")

    def wait_for_event(self, event):
        self.page.wait_for_function("(e) => events.includes(e)", arg=event)


EXPIRED = {"renewAt": 0, "expiresAt": 0}
OVER = ["AuthError", 401]  # the login has ended, and nothing was sent


def trying(script):
    """Return JavaScript that results in the name and the status of an error."""
    return f"{script}.catch(({{ name, status }}) => [name, status])"


@pytest.fixture
def tab(open_browser, user):
    """A tab whose client has logged in."""
    return Tab(open_browser()).log_in()


@pytest.fixture
def idle_tab(open_browser, user):
    """A tab whose login ends after a minute of inactivity, on a clock of the test's."""
    page = open_browser()
    page.clock.install()
    return Tab(page, "{ idleTimeout: 60_000 }").log_in()


# Log in, and be let in


def test_a_client_logs_in_and_is_let_in(open_browser, user):
    tab = Tab(open_browser())
    assert not tab.is_in
    tab.log_in()
    assert tab.is_in
    assert tab.events == ["login"]
    assert tab.do(f"client.fetch('{USER}').then((r) => r.json())")["username"] == "ana"
    tab.open()
    assert tab.is_in
    assert tab.do(f"got('{USER}')") == 200


def test_an_email_address_logs_in_too(open_browser, user):
    tab = Tab(open_browser(), '{ base: "/api/auth" }')
    tab.page.evaluate("(c) => client.logIn(c)", {"email": user.email, "password": PASSWORD})
    assert tab.is_in


def test_a_wrong_password_is_told(open_browser, user):
    open_browser.expect_error("status of 400")
    tab = Tab(open_browser())
    error = tab.do(
        """client.logIn({ username: "ana", password: "wrong" })
           .catch(({ name, status, code, message }) => ({ name, status, code, message }))"""
    )
    assert error == {
        "name": "AuthError",
        "status": 400,
        "code": "invalid_grant",
        "message": "Wrong credentials",
    }
    assert not tab.is_in


@pytest.mark.parametrize("contract", [V1, PLAIN, DRF], ids=["v1", "plain", "drf"])
def test_what_a_contract_says_of_an_error_is_told(open_browser, contract):
    open_browser.expect_error("status of 429")
    tab = Tab(open_browser())
    body = contract.error(429, "Too many requests", "throttled")
    tab.page.route("**/token", lambda route: route.fulfill(status=429, json=body))

    message = tab.do(
        """client.logIn({ username: "ana", password: "x" }).catch(({ message }) => message)"""
    )

    assert message == "Too many requests"


def test_a_new_login_ends_the_one_before(tab):
    before = Session.objects.get().sid
    tab.log_in()
    assert Session.objects.get().sid != before
    assert tab.events == ["login", "logout", "login"]
    assert tab.do(f"got('{USER}')") == 200


def test_without_a_login_a_request_goes_out_without_a_token(open_browser, user):
    open_browser.expect_error("status of 401")
    tab = Tab(open_browser())
    assert tab.do(f"got('{USER}')") == 401
    assert "authorization" not in tab.calls[-1].all_headers()


def test_the_token_is_sent_to_no_other_origin_unless_the_host_names_it(open_browser, user):
    url, seen = "https://api.example.com", []

    def answer(route):
        seen.append(route.request.all_headers().get("authorization"))
        route.fulfill(status=204, headers={"Access-Control-Allow-Origin": "*"})

    page = open_browser()
    page.route(f"{url}/", answer)
    tab = Tab(page, csp=f"{CSP} {url}").log_in()
    assert tab.do(f"got('{url}/')") == 204
    tab.options = f"{{ origins: ['{url}'] }}"
    tab.open()
    assert tab.do(f"got('{url}/')") == 204
    assert seen == [None, f"Bearer {tab.tokens['access']}"]


def test_tokens_are_in_no_address_no_event_and_no_line_of_the_console(open_browser, user):
    open_browser.expect_error("status of 401")
    page = open_browser()
    console = []
    page.context.on("console", lambda message: console.append(message.text))
    tab = Tab(page).log_in()
    secrets = [tab.tokens["access"], tab.tokens["refresh"], PASSWORD]
    tab.begin("new BroadcastChannel('drf_logout')")
    tab.do("() => void (begun.onmessage = ({ data }) => events.push(data))")
    tab.outlive_access()
    assert tab.do(f"got('{USER}')") == 200
    secrets += [tab.tokens["access"], tab.tokens["refresh"]]
    tab.do("client.logout()")
    # login, logout, and what the channel said
    tab.page.wait_for_function("() => events.length === 3")
    said = json.dumps([tab.events, console, [call.url for call in tab.calls]])
    assert not [secret for secret in secrets if secret in said]


# Refresh


def test_parallel_requests_with_an_expired_token_make_one_refresh(open_browser, tab):
    open_browser.expect_error("status of 401")
    tab.outlive_access()
    assert tab.do(f"Promise.all(Array.from({{ length: 5 }}, () => got('{USER}')))") == [200] * 5
    assert tab.count("token") == 2  # the log-in was one of them


def test_a_token_is_refreshed_before_it_expires(tab):
    tab.outlive_access(**EXPIRED)
    assert tab.do(f"Promise.all(Array.from({{ length: 5 }}, () => got('{USER}')))") == [200] * 5
    assert tab.count("token") == 2
    assert tab.count("user") == 5


def test_a_request_is_repeated_with_its_body(open_browser, tab):
    open_browser.expect_error("status of 401")
    tab.outlive_access()
    status = tab.do(
        f"""client.fetch("/api/v1/auth/reauthenticate", {{
            method: "POST",
            headers: {{ "Content-Type": "application/json" }},
            body: JSON.stringify({{ password: "{PASSWORD}" }}),
        }}).then((response) => response.status)"""
    )
    assert status == 200
    assert Session.objects.get().reauthenticated_at is not None


def test_two_tabs_that_refresh_at_once_make_one_refresh_and_stay_in(tab):
    other = tab.another()
    tab.outlive_access(**EXPIRED)
    held = tab.hold("token")
    tab.begin(f"got('{USER}')")
    request = tab.wait_for(held)
    other.begin(f"got('{USER}')")
    other.page.wait_for_function("async () => (await navigator.locks.query()).pending.length === 1")
    request.continue_()
    assert (tab.result, other.result) == (200, 200)
    assert other.count("token") == 0
    assert tab.do(f"got('{USER}')") == other.do(f"got('{USER}')") == 200


def test_ten_tabs_that_refresh_at_once_make_one_refresh(tab):
    others = [tab.another() for _ in range(9)]
    tab.outlive_access(**EXPIRED)
    for each in [tab, *others]:
        each.begin(f"got('{USER}')")
    assert [each.result for each in [tab, *others]] == [200] * 10
    assert sum(each.count("token") for each in [tab, *others]) == 2


def test_outside_of_a_secure_context_there_is_still_one_refresh_in_a_tab(open_browser, user):
    page = open_browser()
    page.add_init_script("delete Navigator.prototype.locks")
    tab = Tab(page).log_in()
    tab.outlive_access(**EXPIRED)
    assert tab.do(f"Promise.all([got('{USER}'), got('{USER}')])") == [200, 200]
    assert tab.count("token") == 2


def test_a_refused_refresh_ends_the_login_in_every_tab(open_browser, tab):
    open_browser.expect_error("status of 40[01]")
    other = tab.another()
    Session.objects.all().delete()
    assert tab.do(f"got('{USER}')") == 401
    assert (tab.is_in, tab.tokens) == (False, None)
    assert tab.events == ["login", "revoked"]
    other.wait_for_event("revoked")
    assert not other.is_in


def test_a_refresh_without_a_network_ends_nothing(open_browser, tab):
    open_browser.expect_error("ERR_INTERNET_DISCONNECTED")
    tab.outlive_access(**EXPIRED)
    tab.page.context.set_offline(True)
    assert tab.do(f"got('{USER}').catch(({{ name, status }}) => [name, status])") == [
        "AuthError",
        0,
    ]
    assert tab.is_in
    tab.page.context.set_offline(False)
    assert tab.do(f"got('{USER}')") == 200
    assert tab.events == ["login"]


def test_a_refresh_that_the_server_fails_at_ends_nothing(open_browser, tab):
    open_browser.expect_error("status of 500")
    tab.outlive_access(**EXPIRED)
    with table_away("drf_logout_session"):
        assert tab.do(f"got('{USER}').catch(({{ status }}) => status)") == 500
    assert tab.is_in
    assert tab.do(f"got('{USER}')") == 200


def test_a_token_that_is_still_good_is_used_when_it_cannot_be_refreshed(open_browser, tab):
    open_browser.expect_error("ERR_FAILED")
    tab.change(renewAt=0)
    tab.page.route("**/token", lambda route: route.abort())
    assert tab.do(f"got('{USER}')") == 200


# Log out


@pytest.fixture
def phone(clients, user):
    return clients.phone().log_in()


def test_logout_ends_this_login_here_and_at_the_server(tab, phone):
    result = tab.do("client.logout()")
    assert result == {"confirmed": True, "status": 200, "error": None}
    assert (tab.is_in, tab.tokens, tab.stored(ACTIVE)) == (False, None, None)
    assert tab.events == ["login", "logout"]
    assert phone.is_in
    assert Session.objects.count() == 1


def test_logout_all_ends_every_login(tab, phone):
    assert tab.do("client.logoutAll()")["confirmed"]
    assert not tab.is_in
    assert not phone.is_in
    assert not Session.objects.exists()


def test_logout_others_keeps_this_login_alone(tab, phone):
    assert tab.do("client.logoutOthers()")["confirmed"]
    assert not phone.is_in
    assert tab.is_in
    assert tab.do(f"got('{USER}')") == 200
    assert tab.events == ["login"]


def test_a_logout_with_an_expired_access_token_is_confirmed(tab, phone):
    for scope, left in (("logoutOthers", 1), ("logout", 1), ("logoutAll", 0)):
        tab.log_in()
        phone.log_in()
        Session.objects.exclude(sid__in=[tab.sid, AccessToken(phone.access).sid]).delete()
        tab.outlive_access()
        assert tab.do(f"client.{scope}()")["confirmed"]
        assert phone.is_in == (scope == "logout")
        assert Session.objects.count() == left


def test_logging_out_twice_is_a_success(tab):
    tab.do("client.logout()")
    assert tab.do("client.logout()") == {"confirmed": True, "status": 0, "error": None}
    assert tab.events == ["login", "logout"]


def test_without_a_login_the_others_cannot_be_ended(open_browser, user):
    result = Tab(open_browser()).do("client.logoutOthers()")
    assert (result["confirmed"], result["status"]) == (False, 0)


def is_over_here_alone(tab, result, status):
    assert (result["confirmed"], result["status"]) == (False, status)
    assert (tab.is_in, tab.tokens) == (False, None)
    assert tab.events == ["login", "logout"]
    assert Session.objects.count() == 1
    return True


def test_a_logout_without_a_network_is_over_here_and_says_so(open_browser, tab):
    open_browser.expect_error("ERR_INTERNET_DISCONNECTED")
    tab.page.context.set_offline(True)
    result = tab.do("client.logout()")
    assert str(result["error"]).endswith("The server was not reached")
    assert is_over_here_alone(tab, result, 0)
    tab.page.context.set_offline(False)
    tab.open()
    assert not tab.is_in


def test_a_logout_that_the_server_fails_at_is_over_here_and_says_so(open_browser, tab):
    open_browser.expect_error("status of 500")
    with table_away("drf_logout_session"):
        result = tab.do("client.logoutAll()")
    assert is_over_here_alone(tab, result, 500)


def test_a_logout_over_the_rate_limit_is_over_here_and_says_so(open_browser, tab, phone, settings):
    open_browser.expect_error("status of 429")
    settings.ACCOUNTS = {"LOGOUT_RATE": "1/1d"}
    phone.log_out()
    phone.log_in()
    # What stands may always leave.
    Session.objects.filter(sid=tab.sid).delete()
    assert is_over_here_alone(tab, tab.do("client.logout()"), 429)


def test_a_logout_that_a_page_of_another_server_answers_is_not_confirmed(tab):
    tab.page.route("**/logout", lambda route: route.fulfill(body="<p>Buy our Wi-Fi"))
    assert is_over_here_alone(tab, tab.do("client.logout()"), 200)


def test_a_logout_at_a_silent_server_is_over_here_at_once_and_gives_up(open_browser, user):
    tab = Tab(open_browser()).log_in()
    tab.do(
        """() => {
            const timeout = AbortSignal.timeout.bind(AbortSignal);
            AbortSignal.timeout = (time) => { globalThis.patience = time; return timeout(300); };
        }"""
    )
    held = tab.hold("logout")
    tab.begin("client.logout()")
    assert (tab.is_in, tab.tokens) == (False, None)
    tab.wait_for(held)
    assert is_over_here_alone(tab, tab.result, 0)
    assert tab.do("patience") == 10_000


def test_others_that_could_not_be_ended_cost_this_login_nothing(open_browser, tab):
    open_browser.expect_error("ERR_INTERNET_DISCONNECTED")
    tab.page.context.set_offline(True)
    result = tab.do("client.logoutOthers()")
    assert (result["confirmed"], result["status"]) == (False, 0)
    assert tab.is_in


@pytest.mark.parametrize("scope", ["logout", "logoutAll"])
def test_a_refresh_in_flight_beside_a_logout_stores_nothing_and_is_ended_too(tab, phone, scope):
    tab.outlive_access(**EXPIRED)
    held = tab.hold("token")
    tab.begin(f"got('{USER}').catch(() => null)")
    request = tab.wait_for(held)
    answer = request.fetch()
    tab.watch_writes()
    tab.do(f"() => void (globalThis.leaving = client.{scope}())")
    assert (tab.is_in, tab.tokens) == (False, None)
    request.fulfill(response=answer)
    assert tab.do("leaving")["confirmed"]
    assert (tab.is_in, tab.tokens, tab.written) == (False, None, [])
    phone_login = Session.objects.filter(sid=AccessToken(phone.access).sid)
    assert list(Session.objects.all()) == list(phone_login)
    phone.access = answer.json()["access_token"]
    assert not phone.is_in


def test_a_refresh_in_flight_beside_a_logout_in_another_tab_stores_nothing(tab):
    other = tab.another()
    tab.outlive_access(**EXPIRED)
    held = other.hold("token")
    other.begin(trying(f"got('{USER}')"))
    request = other.wait_for(held)
    answer = request.fetch()
    other.watch_writes()
    tab.do("client.logout()")
    other.wait_for_event("logout")
    with other.page.expect_response("**/logout"):
        request.fulfill(response=answer)
    assert (other.result, other.written) == (OVER, [])
    for each in (tab, other):
        assert (each.is_in, each.tokens) == (False, None)
    assert not Session.objects.exists()


def test_tokens_that_another_tab_stores_too_late_are_cleared(tab):
    """Two processes share a storage that tells each of the other's changes a moment later."""
    other = tab.another()
    stored = tab.stored(TOKENS)
    tab.do("() => void navigator.locks.request('drf_logout', () => new Promise((r) => (free = r)))")
    tab.do("client.logout()")
    other.page.evaluate("([n, v]) => localStorage.setItem(n, v)", [TOKENS, stored])
    tab.do("free()")
    for each in (tab, other):
        each.page.wait_for_function("(name) => localStorage.getItem(name) === null", arg=TOKENS)


# Other tabs


def test_other_tabs_learn_that_somebody_logged_in_and_out(open_browser, user):
    tab = Tab(open_browser())
    other = tab.another()
    tab.log_in()
    other.wait_for_event("login")
    assert other.is_in
    assert other.do(f"got('{USER}')") == 200
    tab.do("client.logout()")
    other.wait_for_event("logout")
    assert not other.is_in
    assert other.events == ["login", "logout"]


def test_a_login_ends_for_a_tab_whose_storage_was_emptied(tab):
    other = tab.another()
    tab.do("localStorage.clear()")
    other.wait_for_event("cleared")
    assert not other.is_in


def test_clients_of_different_names_have_logins_of_their_own(tab):
    tab.options = '{ name: "second" }'
    tab.open()
    assert not tab.is_in
    tab.log_in()
    tab.do("client.logout()")
    tab.options = "{}"
    tab.open()
    assert tab.is_in


def test_a_login_in_the_session_storage_is_that_of_its_tab_and_ends_with_it(open_browser, user):
    tab = Tab(open_browser(), "{ storage: sessionStorage }").log_in()
    tab.open()
    assert tab.is_in
    assert tab.do("localStorage.length") == 0
    other = tab.another()
    assert not other.is_in
    other.log_in()
    other.do("client.logout()")
    assert tab.do(f"got('{USER}')") == 200
    tab.page.close()
    assert not other.another().is_in


# Another user


# A tab that learns of the others' doings by nothing but a look at the storage.
DEAF = """
globalThis.BroadcastChannel = class { postMessage() {} };
const listen = addEventListener;
globalThis.addEventListener = (event, ...rest) => event === "storage" || listen(event, ...rest);
const wait = setTimeout;
globalThis.setTimeout = (call, time) => (time > 1000 ? 0 : wait(call, time));
"""
NO_LOCKS = "delete Navigator.prototype.locks"


def is_of(tab, user):
    """Whether a tab is logged in as a user, whose one login is the only one there."""
    login = Session.objects.get()
    assert tab.sid == login.sid
    return tab.do(f"got('{USER}')") == 200 and login.user == user


@pytest.fixture
def two_tabs(open_browser, user, stranger):
    """Make a tab in which Ana has logged in, and another one where Eve may."""

    def make(script=""):
        page = open_browser()
        page.add_init_script(script)
        tab = Tab(page).log_in()
        return tab, tab.another()

    return make


@pytest.fixture
def two_tabs_without_locks(open_browser, user, stranger):
    """As outside of a secure context: nobody waits until another tab's refresh is over."""
    page = open_browser()
    page.context.add_init_script(NO_LOCKS)
    tab = Tab(page).log_in()
    return tab, tab.another()


def log_in_elsewhere(other, tab, username="eve"):
    """Log in in another tab, and return once this one can know."""
    before = tab.stored(TOKENS)
    other.log_in(username)
    tab.page.wait_for_function(
        "([n, b]) => ![b, null].includes(localStorage.getItem(n))", arg=[TOKENS, before]
    )


@pytest.mark.parametrize("script", ["", DEAF], ids=["told", "not told"])
@pytest.mark.parametrize("username", ["eve", "ana"])
def test_a_request_is_not_sent_again_for_whoever_logged_in_meanwhile(
    open_browser, two_tabs, script, username
):
    open_browser.expect_error("status of 401")
    tab, other = two_tabs(script)
    held = tab.hold("user")
    tab.begin(f"got('{USER}')")
    request = tab.wait_for(held)
    log_in_elsewhere(other, tab, username)
    request.continue_()
    assert tab.result == 401
    assert tab.count("user") == 1
    assert other.tokens["login"] == str(other.sid) == str(Session.objects.get().sid)
    assert other.is_in


def answer_once(tab, answer):
    """Answer the next log-in or refresh of a tab in the server's place."""
    tab.page.route("**/token", lambda route: route.fulfill(json=answer), times=1)


def plain_answer(user, lifetime=timedelta(minutes=5)):
    """What a log-in brings where tokens have no ``sid``."""
    refresh = RefreshToken.for_user(user)
    access = refresh.access_token
    access.set_exp(lifetime=lifetime)
    return {
        "access_token": str(access),
        "refresh_token": str(refresh),
        "token_type": "Bearer",
        "expires_in": 300,
    }


def test_without_a_sid_a_login_is_what_one_log_in_began(open_browser, two_tabs, user, stranger):
    open_browser.expect_error("status of 401")
    tab, other = two_tabs()
    stale = plain_answer(user, -timedelta(minutes=1))
    answer_once(tab, stale)
    answer_once(other, plain_answer(stranger))
    tab.log_in()
    held = tab.hold("user")
    tab.begin(f"got('{USER}')")
    request = tab.wait_for(held)
    log_in_elsewhere(other, tab)
    request.continue_()
    assert tab.result == 401
    assert tab.count("user") == 1
    assert other.do(f"got('{USER}')") == 200


def test_a_login_without_a_sid_goes_on_when_a_refresh_gives_it_one(open_browser, tab, user):
    open_browser.expect_error("status of 401")
    answer_once(tab, plain_answer(user, -timedelta(minutes=1)))
    tab.log_in()
    login = tab.tokens["login"]
    assert tab.do(f"got('{USER}')") == 200
    assert tab.sid == Session.objects.get().sid
    assert tab.tokens["login"] == login
    assert tab.events == ["login", "logout", "login"]


def test_a_request_is_sent_for_the_login_that_its_tab_knows_or_not_at_all(two_tabs):
    tab, other = two_tabs(DEAF)
    log_in_elsewhere(other, tab)
    assert tab.do(trying(f"got('{USER}')")) == OVER
    assert tab.do("client.logoutOthers()")["confirmed"]  # it knows of Eve by now
    assert tab.count("user") == 0
    assert tab.events == ["login", "logout", "login"]
    assert tab.do(f"got('{USER}')") == 200


def test_the_others_are_those_of_the_login_that_a_tab_knows(two_tabs, stranger, clients):
    tab, other = two_tabs(DEAF)
    phone = clients.phone().log_in(stranger.username)
    log_in_elsewhere(other, tab)
    result = tab.do("client.logoutOthers()")
    assert (result["confirmed"], result["status"]) == (False, 401)
    assert phone.is_in


def test_a_request_that_waits_for_a_refresh_is_not_sent_when_another_user_has_logged_in(
    two_tabs_without_locks, stranger
):
    tab, other = two_tabs_without_locks
    tab.outlive_access(**EXPIRED)
    held = tab.hold("token")
    tab.begin(trying(f"got('{USER}')"))
    request = tab.wait_for(held)
    answer = request.fetch()
    log_in_elsewhere(other, tab)
    tab.watch_writes()
    request.fulfill(response=answer)
    assert tab.result == OVER
    assert (tab.count("user"), tab.written) == (0, [])
    assert is_of(other, stranger)


def test_a_refusal_to_refresh_a_login_ends_no_other_and_lends_it_no_token(
    open_browser, two_tabs_without_locks, stranger
):
    open_browser.expect_error("status of 400")
    tab, other = two_tabs_without_locks
    tab.outlive_access(**EXPIRED)
    held = tab.hold("token")
    tab.begin(trying(f"got('{USER}')"))
    request = tab.wait_for(held)
    log_in_elsewhere(other, tab)
    request.continue_()
    assert tab.result == OVER
    assert tab.count("user") == 0
    assert is_of(other, stranger)
    assert tab.is_in


def test_each_login_of_a_tab_has_a_refresh_of_its_own(two_tabs_without_locks, stranger):
    tab, other = two_tabs_without_locks
    tab.outlive_access(**EXPIRED)
    held = tab.hold("token")
    tab.begin(trying(f"got('{USER}')"))
    request = tab.wait_for(held)
    answer = request.fetch()
    log_in_elsewhere(other, tab)
    tab.page.wait_for_function("() => events.length === 3")
    tab.outlive_access(**EXPIRED)
    tab.do(f"() => void (globalThis.second = got('{USER}'))")
    tab.wait_for(held).continue_()
    assert tab.do("second") == 200
    request.fulfill(response=answer)
    assert tab.result == OVER
    assert is_of(tab, stranger)


def test_a_refresh_that_brings_tokens_of_another_login_is_not_believed(
    open_browser, tab, stranger, device
):
    before = tab.tokens
    pair = services.log_in(user=stranger, client=device)
    answer = {
        "access_token": str(pair.access),
        "refresh_token": str(pair.refresh),
        "expires_in": 300,
    }
    tab.page.route("**/token", lambda route: route.fulfill(json=answer))
    tab.change(renewAt=0, expiresAt=0)
    assert tab.do(trying(f"got('{USER}')")) == ["AuthError", 0]
    assert tab.count("user") == 0
    assert tab.tokens == {**before, **EXPIRED}


def test_tokens_of_another_login_in_place_of_its_own_are_not_used(
    open_browser, tab, stranger, device
):
    open_browser.expect_error("status of 401")
    pair = services.log_in(user=stranger, client=device)
    Session.objects.filter(sid=tab.sid).delete()
    held = tab.hold("user")
    tab.begin(f"got('{USER}')")
    request = tab.wait_for(held)
    tab.change(access=str(pair.access), refresh=str(pair.refresh))
    request.continue_()
    assert tab.result == 401
    assert tab.count("user") == 1
    assert not tab.is_in


@pytest.mark.parametrize("scope", ["logout", "logoutAll"])
def test_a_logout_ends_the_login_that_its_tab_knows_and_no_other(two_tabs, stranger, scope):
    tab, other = two_tabs(DEAF)
    log_in_elsewhere(other, tab)
    result = tab.do(f"client.{scope}()")
    assert result == {"confirmed": True, "status": 0, "error": None}
    assert tab.events == ["login", "logout", "login"]
    assert is_of(other, stranger)
    assert is_of(tab, stranger)


@pytest.mark.parametrize("outcome", ["abort", "continue_"])
def test_what_comes_of_a_logout_is_nothing_to_the_next_login(
    open_browser, two_tabs, stranger, outcome
):
    tab, other = two_tabs()
    held = tab.hold("logout")
    tab.begin("client.logout()")
    request = tab.wait_for(held)
    log_in_elsewhere(other, tab)
    if outcome == "abort":
        open_browser.expect_error("ERR_FAILED")
        Session.objects.filter(user__username="ana").delete()
    getattr(request, outcome)()
    assert tab.result["confirmed"] == (outcome == "continue_")
    assert is_of(other, stranger)
    assert is_of(tab, stranger)


def test_whoever_logs_in_ends_the_login_that_is_there_by_then(two_tabs, user):
    tab, other = two_tabs()
    held = other.hold("token")
    other.begin("client.logIn({ username: 'eve', password: 'password123' })")
    request = other.wait_for(held)
    answer = request.fetch()
    log_in_elsewhere(tab, other, "ana")
    request.fulfill(response=answer)
    other.result  # noqa: B018 - wait for it
    assert Session.objects.get().sid == other.sid


def test_of_two_who_log_in_at_once_one_stays(two_tabs, stranger):
    _, other = two_tabs()
    third = other.another()
    held = other.hold("logout")
    other.begin("client.logIn({ username: 'ana', password: 'password123' })")
    request = other.wait_for(held)
    third.log_in("eve")
    request.continue_()
    other.result  # noqa: B018 - wait for it
    assert is_of(third, stranger)


def test_an_inactive_login_takes_no_other_with_it(idle_tab, stranger):
    other = idle_tab.another()
    idle_tab.page.clock.run_for(50_000)
    log_in_elsewhere(other, idle_tab)
    idle_tab.page.clock.run_for(15_000)
    assert (other.is_in, idle_tab.is_in) == (True, True)
    assert idle_tab.events == ["login", "logout", "login"]
    assert is_of(other, stranger)


def test_a_tab_that_hears_of_an_end_before_the_storage_shows_it_takes_no_other_with_it(two_tabs):
    """A tab hears by one way, and sees what is stored by another, which may be slower."""
    tab, other = two_tabs()
    tab.do(
        """(stored) => {
            const get = Storage.prototype.getItem;
            Storage.prototype.getItem = function (name) {
                return name === "drf_logout" ? stored : get.call(this, name);
            };
        }""",
        tab.stored(TOKENS),
    )
    other.log_in("eve")
    tab.wait_for_event("logout")
    assert not tab.is_in
    assert other.is_in


def test_a_copy_of_a_login_is_cleared_in_a_tab_that_hears_of_its_end(open_browser, user):
    page = open_browser()
    page.clock.install()
    tab = Tab(page, "{ storage: sessionStorage }").log_in()
    other = tab.another()
    other.do("(stored) => sessionStorage.setItem('drf_logout', stored)", tab.stored(TOKENS))
    assert other.is_in
    tab.do("client.logout()")
    other.page.wait_for_function("() => !client.isLoggedIn")
    page.clock.run_for(11_000)
    other.page.wait_for_function("() => sessionStorage.getItem('drf_logout') === null")


# A storage in any state


NO_LOGINS = [
    "",
    "{",
    "null",
    "true",
    "5",
    '"text"',
    "[]",
    "[[1]]",
    "{}",
    '{"login": 5, "access": 5, "refresh": 5, "renewAt": 0, "expiresAt": 0, "endsAt": 1e15}',
    '{"login": "~", "access": 5, "refresh": {}, "renewAt": 0, "expiresAt": 0, "endsAt": 1e15}',
    '{"login": "a", "access": "b", "refresh": "c", "renewAt": 0, "expiresAt": 0, "endsAt": 1e15}',
    "[" * 100_000,
    "x" * 4_000_000,
]
MEET = """async (storage) => {
    const { Client } = await import("/static/drf_logout/client.js");
    const met = new Client({ name: "met", idleTimeout: 1, ...storage });
    const heard = [];
    for (const event of ["login", "logout"]) met.addEventListener(event, () => heard.push(event));
    await new Promise((resolve) => setTimeout(resolve));
    dispatchEvent(new Event("pageshow"));
    const results = [await met.logout(), await met.logoutAll(), await met.logoutOthers()];
    return [met.isLoggedIn, heard, results.map(({ confirmed }) => confirmed)];
}"""
MET = [False, [], [True, True, False]]


def test_what_is_no_login_in_the_storage_is_none_and_in_nobodys_way(open_browser, user):
    tab = Tab(open_browser())
    for stored in NO_LOGINS:
        tab.page.evaluate("(s) => localStorage.setItem('met', s)", stored)
        assert tab.do(MEET) == MET, stored[:99]
        assert tab.stored("met") is None  # nobody knows whose tokens may be in it
    tab.page.evaluate("(s) => localStorage.setItem('drf_logout', s)", NO_LOGINS[0])
    assert tab.log_in().do(f"got('{USER}')") == 200


@pytest.mark.parametrize("changes", [{"access": None}, {"renewAt": "0"}, {"endsAt": None}])
def test_a_login_whose_tokens_were_spoilt_is_over(tab, changes):
    tab.change(**changes)
    result = tab.do("client.logout()")
    assert (result["confirmed"], tab.is_in, tab.tokens) == (True, False, None)
    assert tab.events == ["login", "logout"]


@pytest.mark.parametrize("active", [None, "", "yesterday", "{}"])
def test_a_login_of_whose_activity_nothing_is_known_is_inactive(idle_tab, active):
    idle_tab.page.evaluate("([n, v]) => localStorage.setItem(n, v)", [ACTIVE, active or ""])
    if active is None:
        idle_tab.page.evaluate("(n) => localStorage.removeItem(n)", ACTIVE)
    assert not idle_tab.is_in
    idle_tab.page.clock.run_for(11_000)
    idle_tab.wait_for_event("idle")


# What browsers do where cookies are blocked, and what they may do where a disk is full.
BLOCKED = """
const deny = () => { throw new DOMException("Access is denied", "SecurityError"); };
Object.defineProperty(globalThis, "localStorage", { get: deny });
globalThis.BroadcastChannel = deny;
navigator.locks.request = async () => deny();
"""
BROKEN_STORAGES = [
    "null",
    "{}",
    "{ getItem: () => 5, removeItem() {} }",
    "{ getItem: async () => null, removeItem() {} }",
    """{
        getItem() { throw new Error("get"); },
        setItem() { throw new Error("set"); },
        removeItem() { throw new Error("remove"); },
    }""",
]


def test_a_storage_that_does_not_work_is_in_nobodys_way(open_browser, user):
    tab = Tab(open_browser())
    for storage in BROKEN_STORAGES:
        tab.do(f"globalThis.broken = {{ storage: {storage} }}")
        assert tab.do(f"({MEET})(broken)") == MET, storage


def test_where_a_browser_blocks_everything_nobody_is_logged_in_and_all_is_told(open_browser, user):
    page = open_browser()
    page.add_init_script(BLOCKED)
    tab = Tab(page)
    assert tab.do(MEET) == MET
    login = "client.logIn({ username: 'ana', password: 'password123' })"
    assert tab.do(trying(login)) == ["AuthError", 0]
    assert not Session.objects.exists()  # a login that nobody can use does not stay
    assert (tab.is_in, tab.events) == (False, [])


@pytest.mark.parametrize(
    "missing", [NO_LOCKS, "delete globalThis.BroadcastChannel", "delete AbortSignal.timeout"]
)
def test_a_browser_that_lacks_something_logs_in_and_out(open_browser, user, missing):
    page = open_browser()
    page.context.add_init_script(missing)
    tab = Tab(page)
    other = tab.another()
    tab.log_in()
    other.wait_for_event("login")
    assert other.do("client.logout()")["confirmed"]
    tab.page.wait_for_function("() => events.length === 2")
    assert not tab.is_in
    assert not Session.objects.exists()


def test_a_login_that_the_storage_keeps_is_over_in_its_tab_all_the_same(open_browser, tab):
    open_browser.expect_error("ERR_FAILED")
    tab.do("() => { Storage.prototype.removeItem = () => { throw new Error('remove'); }; }")
    tab.page.route("**/logout", lambda route: route.abort())
    result = tab.do("client.logout()")
    assert (result["confirmed"], result["status"]) == (False, 0)
    tab.do("dispatchEvent(new Event('pageshow'))")
    assert (tab.is_in, tab.events) == (False, ["login", "logout"])


def test_activity_that_cannot_be_stored_is_no_error(idle_tab):
    idle_tab.do("() => { Storage.prototype.setItem = () => { throw new Error('full'); }; }")
    idle_tab.page.mouse.move(5, 5)
    idle_tab.page.clock.run_for(MINUTE + 1_000)
    idle_tab.wait_for_event("idle")


def test_a_refresh_that_cannot_be_stored_says_so(tab):
    tab.change(**EXPIRED)
    tab.do("() => { Storage.prototype.setItem = () => { throw new Error('full'); }; }")
    assert tab.do(trying(f"got('{USER}')")) == ["AuthError", 0]
    assert tab.do("client.logout()")["confirmed"]
    assert (tab.is_in, tab.tokens) == (False, None)
    assert not Session.objects.exists()


@pytest.mark.parametrize("answer", ["null", "[]", "{}", '{"refresh_token": "a.b.c"}', "5", '"x"'])
def test_an_answer_without_tokens_ends_nothing(tab, answer):
    before = tab.tokens
    tab.change(**EXPIRED)
    tab.page.route(
        "**/token", lambda route: route.fulfill(body=answer, content_type="application/json")
    )
    assert tab.do(trying(f"got('{USER}')"))[0] == "AuthError"
    assert tab.is_in
    assert tab.tokens == {**before, **EXPIRED}


# Inactivity and expiry


def test_inactivity_ends_the_login_here_and_at_the_server(idle_tab):
    with idle_tab.page.expect_response("**/logout"):
        idle_tab.page.clock.run_for(MINUTE - 5_000)
        assert idle_tab.is_in
        idle_tab.page.clock.run_for(6_000)
        idle_tab.wait_for_event("idle")
    assert (idle_tab.is_in, idle_tab.tokens) == (False, None)
    assert not Session.objects.exists()
    assert LogoutEvent.objects.count() == 1


def test_activity_keeps_the_login(idle_tab):
    page = idle_tab.page
    for act in (
        lambda: page.mouse.move(5, 5),
        lambda: page.keyboard.press("a"),
        lambda: page.mouse.wheel(0, 9),
    ):
        page.clock.run_for(50_000)
        before = idle_tab.stored(ACTIVE)
        act()
        idle_tab.wait_for_change(ACTIVE, before)
    assert idle_tab.is_in
    assert idle_tab.events == ["login"]


def test_requests_are_no_activity(idle_tab):
    idle_tab.page.clock.run_for(50_000)
    assert idle_tab.do(f"got('{USER}')") == 200
    idle_tab.page.clock.run_for(11_000)
    idle_tab.wait_for_event("idle")


def test_activity_in_another_tab_keeps_the_login(idle_tab):
    other = idle_tab.another()
    for step in range(3):
        idle_tab.page.clock.run_for(50_000)
        before = idle_tab.stored(ACTIVE)
        other.page.mouse.move(step, 5)
        idle_tab.wait_for_change(ACTIVE, before)
    assert idle_tab.is_in
    idle_tab.page.clock.run_for(MINUTE - 1_000)  # and the last second as it comes
    for each in (idle_tab, other):
        each.wait_for_event("idle")
        assert each.events[-1] == "idle"


def test_a_laptop_that_slept_past_the_timeout_logs_out_when_it_wakes(idle_tab):
    idle_tab.page.clock.fast_forward(HOUR)  # as in a sleep, each timer fires once, and late
    idle_tab.wait_for_event("idle")
    assert not idle_tab.is_in


@pytest.mark.parametrize("first", ["the mouse", "a request", "a look"])
def test_after_a_sleep_the_first_sign_of_life_comes_too_late(idle_tab, first):
    page = idle_tab.page
    now = idle_tab.do("Date.now()") / 1000
    page.clock.pause_at(now + 2)  # no timer fires any more
    page.clock.set_system_time(now + HOUR / 1000)
    if first == "the mouse":
        page.mouse.move(5, 5)
        idle_tab.wait_for_event("idle")
    elif first == "a request":
        assert idle_tab.do(trying(f"got('{USER}')")) == OVER
        assert idle_tab.events == ["login", "idle"]
    assert not idle_tab.is_in


def test_a_person_who_comes_back_to_a_closed_page_too_late_is_logged_out(idle_tab):
    idle_tab.page.goto("about:blank")
    idle_tab.page.clock.fast_forward(HOUR)
    with idle_tab.page.expect_response("**/logout"):
        idle_tab.open()
    assert idle_tab.events == ["idle"]
    assert not Session.objects.exists()


def test_without_a_timeout_inactivity_ends_nothing(open_browser, user):
    page = open_browser()
    page.clock.install()
    tab = Tab(page).log_in()
    page.clock.fast_forward(24 * HOUR)
    assert tab.is_in
    assert tab.do(f"got('{USER}')") == 200


def test_a_login_ends_when_its_refresh_token_expires(open_browser, user):
    page = open_browser()
    page.clock.install()
    tab = Tab(page).log_in()
    page.clock.fast_forward(14 * 24 * HOUR - MINUTE)
    assert tab.is_in
    page.clock.run_for(MINUTE + 1_000)
    tab.wait_for_event("expired")
    assert (tab.is_in, tab.tokens) == (False, None)


# The page of the documentation


def serve(page, path, body, content_type="text/javascript"):
    page.route(f"**{path}", lambda route: route.fulfill(body=body, content_type=content_type))


def test_the_example_runs(open_browser, user):
    page = open_browser()
    said = []
    page.on("console", lambda message: said.append(message.text))
    tab = Tab(page)
    [example] = code("docs/how-to/browser.md", "js", "Use client.js, React or another client")
    serve(page, "/example.js", example)
    tab.do("import('/example.js')")
    assert said == ["Hello, ana", "Logged out: logout"]
    assert not Session.objects.exists()
    assert not tab.is_in


@pytest.fixture(scope="session")
def react():
    """React's own builds for browsers, which no package of Python's but Dash brings along.

    They are taken out of its wheel: npm has them for bundlers only, from version 19 on.
    """
    version, folder = "3.0.4", ROOT / ".data" / "react"
    [*wheels] = folder.glob(f"dash-{version}-*.whl")
    if not wheels:
        pip = [sys.executable, "-m", "pip", "--quiet", "download", "--no-deps", "--dest", folder]
        subprocess.run([*pip, f"dash=={version}"], check=True)
        wheels = list(folder.glob(f"dash-{version}-*.whl"))
    with zipfile.ZipFile(wheels[0]) as wheel:
        names = ["react@18.3.1.min.js", "react-dom@18.3.1.min.js"]
        return "\n".join(wheel.read(f"dash/deps/{name}").decode() for name in names)


APP = """
import { useLogin } from "/use-login.js";
const { createElement: e } = React;
function App() {
    const { isLoggedIn, reason, confirmed, logIn, logout } = useLogin();
    const ana = { username: "ana", password: "password123" };
    return isLoggedIn
        ? e("button", { onClick: logout }, "Log out")
        : e("button", { onClick: () => logIn(ana) }, "Log in", e("output", {},
            `${reason} ${confirmed ? "" : "here, but the server could not be told"}`));
}
ReactDOM.createRoot(document.querySelector("main")).render(e(App));
"""
APP_PAGE = """<!doctype html><title>App</title><main></main><script src="/react.js"></script>
<script type="importmap">{"imports": {"react": "/react-module.js"}}</script>
<script type="module" src="/react-app.js"></script>"""


def test_the_react_hook_follows_the_login(open_browser, user, react):
    open_browser.expect_error("ERR_INTERNET_DISCONNECTED")
    page = open_browser()
    pages = [page, page.context.new_page()]
    [hook] = code("docs/how-to/browser.md", "js", "React")
    for each in pages:
        serve(each, "/react-page", APP_PAGE, "text/html")
        serve(each, "/react.js", react)
        serve(each, "/react-module.js", "export const { useSyncExternalStore } = React;")
        serve(each, "/react-app.js", APP)
        serve(each, "/use-login.js", hook)
        each.goto("/react-page")
    page.get_by_role("button", name="Log in").click()
    for each in pages:
        each.get_by_role("button", name="Log out").wait_for()
    page.context.set_offline(True)
    page.get_by_role("button", name="Log out").click()
    page.get_by_text("logout here, but the server could not be told").wait_for()
    pages[1].get_by_text("logout").wait_for()
    page.context.set_offline(False)
    page.get_by_role("button", name="Log in").click()
    for each in pages:
        each.get_by_role("button", name="Log out").wait_for()
