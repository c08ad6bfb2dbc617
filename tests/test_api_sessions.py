"""The list of a user's logins and the end of one of them, through HTTP."""

from __future__ import annotations

import uuid
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from itertools import chain
from urllib.parse import quote

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.serializers import TokenRefreshSerializer
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken
from rest_framework_simplejwt.tokens import RefreshToken as SimpleJWTRefreshToken

from accounts import services
from accounts.clients import ClientInfo
from accounts.models import LogoutEvent, Session, hash_key
from accounts.signals import login_ended
from accounts.tokens import AccessToken
from tests.http import PLAIN, V1
from tests.test_races import race

pytestmark = pytest.mark.django_db

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
NOT_FOUND = {"es": "No encontrado", "en": "Not found"}
REAUTHENTICATE = {
    "es": "Se requiere una autenticación reciente",
    "en": "Recent authentication required",
}


@pytest.fixture(params=[V1, PLAIN], ids=["v1", "plain"])
def wire(request):
    """A contract, where its words or its routes are the claim."""
    return request.param


@pytest.fixture
def call():
    """Send a request without cookies."""

    def send(method, path, bearer=None, body=None, **headers):
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        return Client(raise_request_exception=False).generic(
            method,
            path,
            b"" if body is None else body,
            content_type="application/json",
            headers=headers,
        )

    return send


@pytest.fixture
def logins(call, phone):
    """Return the first page of the list, as the phone sees it."""

    def ask(**headers):
        answer = call("GET", "/sessions", phone.access, **headers)
        assert answer.status_code == 200
        return answer.json()["results"]

    return ask


@pytest.fixture
def web(ana):
    """A browser in which the user has logged in through the admin's page."""
    browser = Client(headers={"User-Agent": FIREFOX}, REMOTE_ADDR="198.51.100.9")
    credentials = {"username": "ana", "password": "password123", "next": "/admin/"}
    assert browser.post("/admin/login/", credentials).status_code == 302
    return browser


def sid_of(client):
    """Return the public id of a browser's login."""
    return Session.objects.get(session_key=hash_key(client.cookies["sessionid"].value)).sid


def enters(client):
    """Whether the admin opens to a browser's cookie."""
    return client.get("/admin/").status_code == 200


def refreshes(call, refresh):
    """Whether the token endpoint accepts a refresh token."""
    body = f'{{"grant_type": "refresh_token", "refresh_token": "{refresh}"}}'
    return call("POST", "/token", body=body).status_code == 200


def crowd(user, count):
    """Make many more logins of a user, older by a second each; return their ids, newest first."""
    now = timezone.now()
    rows = Session.objects.bulk_create(
        Session(
            session_key=f"{number:064}",
            user=user,
            kind=Session.Kind.TOKEN,
            auth_hash=user.get_session_auth_hash(),
            authenticated_at=now - timedelta(seconds=number + 1),
            last_seen_at=now,
            expire_date=now + timedelta(days=1),
        )
        for number in range(count)
    )
    return [str(row.sid) for row in rows]


def pages(call, bearer, link, direction="next"):
    """Follow the links of the list; yield the ids of each page."""
    while link:
        page = call("GET", link, bearer).json()
        yield [login["id"] for login in page["results"]]
        link = page[direction]


# The list


def test_a_login_is_listed_with_exactly_these_keys(call, phone, wire):
    answer = call("GET", f"{wire.base}sessions", phone.access)

    assert answer.status_code == 200
    assert answer.json().keys() == {"next", "previous", "results"}
    row = Session.objects.get()
    whole_seconds = {
        name: moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for name, moment in (
            ("created_at", row.authenticated_at),
            ("last_seen_at", row.last_seen_at),
            ("expires_at", row.expire_date),
        )
    }
    assert answer.json() == {
        "next": None,
        "previous": None,
        "results": [
            {
                "id": str(phone.access.sid),
                "kind": "token",
                "current": True,
                **whole_seconds,
                "ip_address": "192.0.2.7",
                "user_agent": "Phone/1",
                "device": "Phone",
            }
        ],
    }


def test_the_list_is_never_cached_and_says_its_language(call, phone, wire):
    answer = call("GET", f"{wire.base}sessions", phone.access)

    assert answer["Cache-Control"] == "no-store"
    assert answer["Content-Language"] == wire.language
    assert "Accept-Language" in answer["Vary"]


def test_browser_and_token_logins_are_listed_alike(logins, phone, web):
    browser, mobile = logins()

    assert browser.keys() == mobile.keys()
    assert (browser["id"], browser["kind"]) == (str(sid_of(web)), "browser")
    assert (browser["ip_address"], browser["user_agent"]) == ("198.51.100.9", FIREFOX)
    assert browser["device"] == "Firefox on Windows"
    assert (mobile["id"], mobile["kind"]) == (str(phone.access.sid), "token")


def test_a_device_is_named_in_the_language_of_the_client(logins, web):
    named = [logins(**{"Accept-Language": language})[0]["device"] for language in ("en", "es")]

    assert all("Firefox" in name and "Windows" in name for name in named)
    assert named[0] == "Firefox on Windows"


def test_a_forced_log_in_is_listed_too(logins, client, user):
    client.force_login(user)

    assert [login["kind"] for login in logins()] == ["browser", "token"]
    assert logins()[0]["device"] == ""


def test_exactly_the_login_that_asks_is_the_current_one(call, phone, laptop, web):
    for pair in (phone, laptop):
        listed = call("GET", "/sessions", pair.access).json()["results"]
        assert [one["id"] for one in listed if one["current"]] == [str(pair.access.sid)]
        assert len(listed) == 3


def test_the_current_login_is_that_of_the_bearer_though_a_cookie_came_along(web, phone):
    answer = web.get("/sessions", headers={"Authorization": f"Bearer {phone.access}"})

    assert [one["kind"] for one in answer.json()["results"] if one["current"]] == ["token"]


def test_a_refreshed_login_is_the_same_one(call, phone, device):
    pair = services.refresh(token=phone.refresh, client=device)

    [login] = call("GET", "/sessions", pair.access).json()["results"]

    assert (login["id"], login["current"]) == (str(phone.access.sid), True)


def test_a_bearer_of_plain_simplejwt_sees_the_list_and_is_not_in_it(call, phone, user):
    plain = SimpleJWTRefreshToken.for_user(user).access_token

    [login] = call("GET", "/sessions", plain).json()["results"]

    assert (login["id"], login["current"]) == (str(phone.access.sid), False)


def test_the_list_says_when_a_login_was_last_seen(logins, phone):
    before = timezone.now()
    Session.objects.update(last_seen_at=before - timedelta(hours=1))

    seen = datetime.fromisoformat(logins()[0]["last_seen_at"])

    assert abs(seen - before) < timedelta(seconds=30)


@pytest.mark.parametrize(
    ("limit", "after"),
    [
        ({}, timedelta(days=14)),
        ({"IDLE_TIMEOUT": 3600}, timedelta(hours=1)),
        ({"ABSOLUTE_TIMEOUT": 1800}, timedelta(minutes=30)),
        ({"IDLE_TIMEOUT": 3600, "ABSOLUTE_TIMEOUT": 1800}, timedelta(minutes=30)),
    ],
)
def test_the_list_says_when_a_login_ends(settings, logins, client, user, limit, after):
    settings.ACCOUNTS = limit
    client.force_login(user)

    for login in logins():
        ends = datetime.fromisoformat(login["expires_at"])
        assert abs(ends - timezone.now() - after) < timedelta(seconds=30)


# Whom it leaves out


def run_out(row):
    row.expire_date = timezone.now()


def outdate(row):
    row.auth_hash = "of the password before"


def make_anonymous(row):
    row.user, row.kind, row.authenticated_at, row.last_seen_at = None, "browser", None, None


def give_away(row):
    row.user_id = row.user_id + 1


DEAD = [run_out, outdate, make_anonymous]


@pytest.mark.parametrize("how", DEAD)
def test_a_login_that_would_be_refused_is_not_listed(logins, phone, laptop, how):
    row = Session.objects.get(sid=laptop.access.sid)
    how(row)
    row.save()

    assert [login["id"] for login in logins()] == [str(phone.access.sid)]


@pytest.mark.parametrize("how", [run_out, outdate])
def test_a_browser_login_that_would_be_refused_is_not_listed(logins, client, user, how):
    client.force_login(user)
    row = Session.objects.get(kind="browser")
    how(row)
    row.save()

    assert [login["kind"] for login in logins()] == ["token"]


def test_nobody_elses_login_is_listed(logins, phone, stranger, device, client):
    services.log_in(user=stranger, client=device)
    client.force_login(stranger)

    assert [login["id"] for login in logins()] == [str(phone.access.sid)]


def test_an_anonymous_browser_is_not_listed(logins, phone, client):
    store = client.session
    store["basket"] = 3
    store.save()

    assert Session.objects.count() == 2
    assert [login["id"] for login in logins()] == [str(phone.access.sid)]


def test_the_list_holds_no_secret(call, phone, web):
    row = Session.objects.get(kind="browser")
    key = web.cookies["sessionid"].value
    token = Session.objects.get(kind="token")

    body = call("GET", "/sessions", phone.access).content.decode()

    hidden = [key, row.session_key, row.session_data, row.auth_hash, token.refresh_jti]
    hidden += [phone.access.jti, phone.refresh.jti, str(phone.access), str(phone.refresh)]
    for secret in hidden:
        assert secret
        assert secret not in body
    # A token's row is kept under its id without dashes.
    assert token.session_key not in body


# Its pages


def test_the_list_comes_in_pages_of_fifty_both_ways(call, phone, user):
    everything = [str(phone.access.sid), *crowd(user, 124)]

    first = call("GET", "/sessions", phone.access).json()
    forth = list(pages(call, phone.access, "/sessions"))
    assert first["previous"] is None
    assert [len(page) for page in forth] == [50, 50, 25]
    assert list(chain.from_iterable(forth)) == everything

    link = first["next"]
    while (last := call("GET", link, phone.access).json())["next"]:
        link = last["next"]
    back = list(pages(call, phone.access, link, "previous"))
    assert list(chain.from_iterable(reversed(back))) == everything


def test_just_fifty_logins_are_one_page(call, phone, user):
    crowd(user, 49)

    page = call("GET", "/sessions", phone.access).json()

    assert len(page["results"]) == 50
    assert page["next"] is None


def test_logins_of_the_same_moment_are_each_listed_once(call, phone, user):
    crowd(user, 124)
    Session.objects.update(authenticated_at=timezone.now())

    seen = list(chain.from_iterable(pages(call, phone.access, "/sessions")))

    assert len(seen) == len(set(seen)) == 125


@pytest.mark.parametrize("ended", [[0], [48], [49], [50], [51], [10, 20, 30, 49, 50], [99]])
def test_what_begins_or_ends_between_pages_loses_and_doubles_nothing(
    call, phone, user, device, settings, ended
):
    settings.ACCOUNTS = {"MAX_SESSIONS": None}
    everything = [str(phone.access.sid), *crowd(user, 124)]
    first = call("GET", "/sessions", phone.access).json()
    gone = {everything[number] for number in ended} - {str(phone.access.sid)}

    services.log_in(user=user, client=device)
    Session.objects.filter(sid__in=gone).delete()

    rest = list(chain.from_iterable(pages(call, phone.access, first["next"])))
    assert rest == [sid for sid in everything[50:] if sid not in gone]


def test_a_page_before_that_has_become_empty_is_empty(call, phone, user):
    everything = crowd(user, 60)
    first = call("GET", "/sessions", phone.access).json()
    second = call("GET", first["next"], phone.access).json()
    Session.objects.filter(sid__in=everything[:49]).delete()
    Session.objects.filter(sid=phone.access.sid).update(authenticated_at=timezone.now())

    seen = list(chain.from_iterable(pages(call, phone.access, second["previous"], "previous")))

    assert seen == [str(phone.access.sid)]


POSITIONS = [
    "abc",
    "2026-13-01",
    "2026-01-01",
    "2026-01-01T00:00:00",
    "0001-01-01T00:00+23:59",
    "\x00",
    "1",
]
CURSORS = [
    *("x", "é", "a" * 5_001, "bz0tMQ==", "bz14", "cj14", "bz0=", "8J+Yig=="),
    *(b64encode(f"p={quote(position)}".encode()).decode() for position in POSITIONS),
]


def test_a_broken_cursor_is_not_found(call, phone, wire):
    for cursor in CURSORS:
        answer = call("GET", f"{wire.base}sessions?cursor={quote(cursor)}", phone.access)

        assert answer.status_code == 404, cursor
        assert wire.is_error(404, answer.json())
        assert NOT_FOUND[wire.language] in answer.json().values()


def test_a_cursor_shows_nobody_elses_logins(call, phone, user, stranger, device):
    crowd(user, 60)
    link = call("GET", "/sessions", phone.access).json()["next"]
    eve = services.log_in(user=stranger, client=device)

    assert call("GET", link, eve.access).json()["results"] == []


# Who may ask


def expired(pair):
    token = AccessToken(str(pair.access))
    token.set_exp(lifetime=-timedelta(minutes=1))
    return token


def revoked(pair):
    Session.objects.all().delete()
    return pair.access


REFUSED = {
    "no bearer": (lambda _: None, "not_valid"),
    "no token": (lambda _: "x", "not_valid"),
    "a tampered one": (lambda pair: f"{str(pair.access)[:-4]}AAAA", "not_valid"),
    "a refresh token": (lambda pair: pair.refresh, "not_valid"),
    "an expired one": (expired, "expired"),
    "a revoked one": (revoked, "revoked"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_without_a_live_bearer_there_is_no_answer(call, phone, wire, case):
    bearer, text = REFUSED[case]
    path = f"{wire.base}sessions"

    for language in (None, "es", "en"):
        headers = {"Accept-Language": language} if language else {}
        for answer in (
            call("GET", path, bearer(phone), **headers),
            call("DELETE", f"{path}/{phone.access.sid}", bearer(phone), **headers),
        ):
            assert answer.status_code == 401
            assert answer.json() == wire.error(401, text, language)
            expected = "Bearer" if case == "no bearer" else 'Bearer error="invalid_token"'
            assert answer["WWW-Authenticate"] == expected
    assert not LogoutEvent.objects.exists()


def test_a_browsers_cookie_is_no_bearer(web):
    assert web.get("/sessions").status_code == 401
    assert web.delete(f"/sessions/{sid_of(web)}").status_code == 401
    assert enters(web)


def test_another_method_is_refused_in_the_contracts_shape(call, phone, wire):
    for method, path in (
        *(("POST", "sessions"), ("DELETE", "sessions")),
        *(("GET", "sessions/x"), ("POST", "sessions/x")),
    ):
        answer = call(method, wire.base + path, phone.access)

        assert answer.status_code == 405, (method, path)
        assert wire.is_error(405, answer.json())


# The end of one


def test_ending_a_token_login_kills_all_of_it_at_once(call, phone, laptop, is_in):
    answer = call("DELETE", f"/sessions/{laptop.access.sid}", phone.access)

    assert (answer.status_code, answer.content) == (204, b"")
    assert not is_in(laptop.access)
    assert not refreshes(call, laptop.refresh)
    with pytest.raises(TokenError):
        TokenRefreshSerializer().validate({"refresh": str(laptop.refresh)})
    assert BlacklistedToken.objects.filter(token__jti=laptop.refresh.jti).exists()
    assert is_in(phone.access)
    assert refreshes(call, phone.refresh)


def test_ending_a_browsers_login_refuses_its_cookie_at_once(call, phone, web, is_in):
    answer = call("DELETE", f"/sessions/{sid_of(web)}", phone.access)

    assert (answer.status_code, answer.content) == (204, b"")
    assert not enters(web)
    assert is_in(phone.access)


@pytest.mark.parametrize("kind", ["browser", "token"])
def test_the_end_is_recorded_with_the_device_that_asked(call, phone, laptop, web, ana, kind):
    sid = sid_of(web) if kind == "browser" else laptop.access.sid

    call(
        "DELETE",
        f"/sessions/{sid}",
        phone.access,
        **{"User-Agent": "Phone/2", "X-Request-ID": "r-9"},
    )

    event = LogoutEvent.objects.get()
    assert (event.scope, event.session_id) == ("session", sid)
    assert (event.initiator, event.reason, event.actor) == ("user", "logout", None)
    assert (event.user, event.username) == (ana, "ana")
    assert (event.sessions_ended, event.tokens_revoked) == (1, int(kind == "token"))
    assert (event.ip_address, event.user_agent) == ("127.0.0.1", "Phone/2")
    assert event.request_id == "r-9"


@pytest.mark.django_db(transaction=True)
def test_the_end_is_announced(call, phone, laptop):
    heard = []

    def hear(event, **kwargs):
        heard.append(event.session_id)

    login_ended.connect(hear)
    try:
        call("DELETE", f"/sessions/{laptop.access.sid}", phone.access)
    finally:
        login_ended.disconnect(hear)

    assert heard == [laptop.access.sid]


def test_the_end_is_logged(call, phone, laptop, user, security_log):
    call("DELETE", f"/sessions/{laptop.access.sid}", phone.access)
    call("DELETE", f"/sessions/{laptop.access.sid}", phone.access)

    done, missed = security_log()
    assert (done["event"], done["result"], done["status"]) == ("session_logout", "success", 204)
    assert (done["user"], done["session"]) == (str(user.pk), str(laptop.access.sid))
    assert (missed["result"], missed["status"]) == ("failure", 404)


def test_the_current_login_can_be_ended(call, phone, laptop, is_in, wire):
    path = f"{wire.base}sessions/{phone.access.sid}"

    assert call("DELETE", path, phone.access).status_code == 204
    assert call("DELETE", path, phone.access).json() == wire.error(401, "revoked")
    assert not is_in(phone.access)
    assert not refreshes(call, phone.refresh)
    assert is_in(laptop.access)
    assert LogoutEvent.objects.count() == 1


def test_a_bearer_of_plain_simplejwt_can_end_a_login(call, phone, user, is_in):
    plain = SimpleJWTRefreshToken.for_user(user).access_token

    assert call("DELETE", f"/sessions/{phone.access.sid}", plain).status_code == 204
    assert not is_in(phone.access)


def test_what_has_ended_is_not_found(call, phone, laptop):
    path = f"/sessions/{laptop.access.sid}"

    statuses = [call("DELETE", path, phone.access).status_code for _ in range(3)]

    assert statuses == [204, 404, 404]
    assert LogoutEvent.objects.count() == 1


def test_a_strangers_login_is_not_found_as_an_unknown_one_is(
    call, phone, stranger, device, is_in, wire
):
    eve = services.log_in(user=stranger, client=device)

    answers = [
        call("DELETE", f"{wire.base}sessions/{sid}", phone.access)
        for sid in (eve.access.sid, uuid.uuid4())
    ]

    for answer in answers:
        assert answer.status_code == 404
        assert answer.json() == answers[0].json()
        assert wire.is_error(404, answer.json())
        assert NOT_FOUND[wire.language] in answer.json().values()
    assert is_in(eve.access)
    assert not LogoutEvent.objects.exists()


@pytest.mark.parametrize("how", [*DEAD, give_away])
def test_a_login_that_is_not_listed_cannot_be_ended(call, phone, laptop, stranger, how):
    row = Session.objects.get(sid=laptop.access.sid)
    how(row)
    row.save()

    assert call("DELETE", f"/sessions/{row.sid}", phone.access).status_code == 404
    assert not LogoutEvent.objects.exists()


ODD = [
    "x",
    "0",
    "-1",
    "1e9",
    "null",
    "a" * 32 + "g",
    "9" * 5_000,
    "é",
    "\U0001f4f1",
    "\x00",
    "%",
    "..",
    "'; DROP TABLE drf_logout_session; --",
    "f" * 32,
    "g" * 32,
    "+" + "0" * 31,
    "\u0661" * 32,
    "00000000-0000-0000-0000-000000000000",
]


def test_an_id_that_is_none_is_not_found(call, phone, wire):
    for odd in ODD:
        answer = call("DELETE", f"{wire.base}sessions/{quote(odd, safe='')}", phone.access)

        assert answer.status_code == 404, odd
        assert wire.is_error(404, answer.json())
    assert Session.objects.count() == 1


@pytest.mark.parametrize(
    "spelling", ["{}", "urn:uuid:{}", "{{{}}}", "upper", "hex"], ids=lambda value: value
)
def test_another_spelling_of_an_id_is_the_same_login_or_none(call, phone, laptop, is_in, spelling):
    sid = laptop.access.sid
    spelt = {"upper": str(sid).upper(), "hex": sid.hex}.get(spelling) or spelling.format(sid)

    answer = call("DELETE", f"/sessions/{quote(spelt)}", phone.access)

    assert answer.status_code in {204, 404}
    assert is_in(laptop.access) is (answer.status_code == 404)
    assert is_in(phone.access)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["browser", "token"])
def test_of_two_that_end_the_same_login_at_once_one_does(call, phone, laptop, web, kind):
    for _ in range(3):
        pair = services.log_in(user=Session.objects.first().user, client=ClientInfo())
        target = pair.access.sid
        if kind == "browser":
            web.force_login(Session.objects.first().user)
            target = sid_of(web)
        before = LogoutEvent.objects.count()

        answers = race(
            *(
                lambda bearer=bearer, target=target: call("DELETE", f"/sessions/{target}", bearer)
                for bearer in (phone.access, laptop.access)
            )
        )

        assert sorted(answer.status_code for answer in answers) == [204, 404]
        assert LogoutEvent.objects.count() == before + 1


# Re-authentication


@pytest.fixture
def _strict(settings):
    settings.ACCOUNTS = {"REAUTHENTICATE_TO_END_OTHERS": True}


@pytest.fixture
def prove(call):
    def run(pair):
        answer = call("POST", "/reauthenticate", pair.access, '{"password": "password123"}')
        assert answer.status_code == 200

    return run


def logout(scope=None, token=None):
    """Describe a POST of logout."""

    def describe(laptop, web):
        members = [f'"scope": "{scope}"'] if scope else []
        if token:
            members.append(f'"token": "{getattr(laptop, token)}"')
        return "POST", "logout", f"{{{', '.join(members)}}}"

    return describe


ENDS_OTHERS = {
    "one token login": lambda laptop, web: ("DELETE", f"sessions/{laptop.access.sid}", None),
    "one browser login": lambda laptop, web: ("DELETE", f"sessions/{sid_of(web)}", None),
    "the others": logout("others"),
    "all refresh tokens": logout("refresh_tokens"),
    "everything": logout("global"),
    "everything, by its own route": lambda laptop, web: ("POST", "logout/all", None),
    "one, by its access token": logout("session", "access"),
    "one, by its refresh token": logout("session", "refresh"),
    "all but one, by its refresh token": logout("others", "refresh"),
}


@pytest.mark.usefixtures("_strict")
@pytest.mark.parametrize("case", ENDS_OTHERS)
def test_ending_others_takes_a_recent_re_authentication(
    call, phone, laptop, web, prove, settings, case
):
    settings.ACCOUNTS = {**settings.ACCOUNTS, "REAUTHENTICATION_MAX_AGE": 60}
    method, path, body = ENDS_OTHERS[case](laptop, web)

    assert call(method, f"/{path}", phone.access, body).status_code == 403
    prove(phone)
    worn_off = timezone.now() - timedelta(seconds=60)
    Session.objects.filter(sid=phone.access.sid).update(reauthenticated_at=worn_off)
    assert call(method, f"/{path}", phone.access, body).status_code == 403
    assert Session.objects.count() == 3
    assert not BlacklistedToken.objects.exists()
    assert not LogoutEvent.objects.exists()

    prove(phone)
    assert call(method, f"/{path}", phone.access, body).status_code in {200, 204}
    assert LogoutEvent.objects.count() == 1


@pytest.mark.usefixtures("_strict")
def test_ending_others_is_refused_in_the_language_of_the_client(call, phone, wire):
    for language in (None, "es", "en"):
        headers = {"Accept-Language": language} if language else {}
        for method, path in (("POST", "logout/all"), ("DELETE", f"sessions/{uuid.uuid4()}")):
            answer = call(method, wire.base + path, phone.access, **headers)
            assert answer.status_code == 403
            assert wire.is_error(403, answer.json())
            assert REAUTHENTICATE[language or wire.language] in answer.json().values()


@pytest.mark.usefixtures("_strict")
def test_the_re_authentication_of_another_login_counts_for_nothing(call, phone, laptop, prove):
    prove(laptop)

    assert call("DELETE", f"/sessions/{laptop.access.sid}", phone.access).status_code == 403


@pytest.mark.usefixtures("_strict")
def test_an_unknown_login_is_not_told_from_a_known_one_before(call, phone, laptop):
    statuses = [
        call("DELETE", f"/sessions/{sid}", phone.access).status_code
        for sid in (laptop.access.sid, uuid.uuid4())
    ]

    assert statuses == [403, 403]


@pytest.mark.usefixtures("_strict")
def test_a_bearer_of_plain_simplejwt_ends_no_login_then(call, phone, user, is_in):
    plain = SimpleJWTRefreshToken.for_user(user).access_token

    assert call("DELETE", f"/sessions/{phone.access.sid}", plain).status_code == 403
    assert is_in(phone.access)


ENDS_ITSELF = {
    "by its id": lambda phone: ("DELETE", f"sessions/{phone.access.sid}", None),
    "by its bearer": lambda phone: ("POST", "logout", '{"scope": "session"}'),
    "by its access token": lambda phone: logout("session", "access")(phone, None),
    "by its refresh token": lambda phone: logout("session", "refresh")(phone, None),
}


@pytest.mark.usefixtures("_strict")
@pytest.mark.parametrize("case", ENDS_ITSELF)
def test_ending_the_current_login_never_asks(call, phone, laptop, is_in, case):
    method, path, body = ENDS_ITSELF[case](phone)

    assert call(method, f"/{path}", phone.access, body).status_code in {200, 204}
    assert not is_in(phone.access)
    assert is_in(laptop.access)


@pytest.mark.usefixtures("_strict")
def test_ending_the_current_login_never_asks_where_the_bearer_has_expired(call, phone, is_in):
    body = f'{{"scope": "session", "token": "{phone.refresh}"}}'

    assert call("POST", "/logout", expired(phone), body).status_code == 200
    assert not is_in(phone.access)


@pytest.mark.parametrize("value", [None, False, "pages"])
def test_otherwise_the_api_never_asks(call, phone, laptop, web, settings, value):
    settings.ACCOUNTS = {} if value is None else {"REAUTHENTICATE_TO_END_OTHERS": value}

    assert call("DELETE", f"/sessions/{laptop.access.sid}", phone.access).status_code == 204
    assert call("POST", "/logout/all", phone.access).status_code == 200


def test_a_named_login_that_has_ended_is_a_200_where_the_api_asks(
    settings, call, user, device, phone
):
    settings.ACCOUNTS = {"REAUTHENTICATE_TO_END_OTHERS": True}
    ended = services.log_in(user=user, client=device)
    Session.objects.filter(sid=ended.access.sid).delete()

    answer = call("POST", "/logout", phone.access, f'{{"token": "{ended.refresh}"}}')

    assert answer.status_code == 200
    assert not LogoutEvent.objects.exists()


@pytest.mark.parametrize("revoked", [True, False])
def test_a_plain_token_that_is_revoked_is_a_200_where_the_api_asks(
    settings, call, user, phone, revoked
):
    settings.ACCOUNTS = {"REAUTHENTICATE_TO_END_OTHERS": True}
    plain = SimpleJWTRefreshToken.for_user(user)
    if revoked:
        plain.blacklist()

    answer = call("POST", "/logout", phone.access, f'{{"token": "{plain}"}}')

    assert answer.status_code == (200 if revoked else 403)
    assert not LogoutEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_user_deactivated_by_queryset_logs_out_and_the_next_use_ends_the_rest(
    call, user, phone, laptop
):
    type(user).objects.update(is_active=False)

    assert call("POST", "/logout", phone.access, '{"scope": "session"}').status_code == 200
    assert call("GET", "/user", laptop.access).status_code == 401

    assert not Session.objects.exists()
    assert LogoutEvent.objects.filter(reason="user_deactivated").exists()
