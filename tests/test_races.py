"""Races, on real threads and real connections: whoever comes first, what ended stays ended."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import combinations
from threading import Thread
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_login_failed
from django.db import connection, transaction
from django.test import Client
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.serializers import TokenRefreshSerializer
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken
from rest_framework_simplejwt.tokens import RefreshToken as StockRefreshToken

from accounts import services, tokens
from accounts.clients import ClientInfo
from accounts.exceptions import TokenRevoked
from accounts.models import LogoutEvent, Session, TokenVersion
from accounts.services import Cause, Scope
from accounts.services.transactions import retried
from tests.conftest import PASSWORD
from tests.database import wait_to_be_alone
from tests.host import PATIENCE

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.race,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("way"),
    # Step by step is how other databases do it, of which none is raced here.
    pytest.mark.parametrize(
        "way",
        ["in one statement", pytest.param("step by step", marks=pytest.mark.drill)],
        indirect=True,
    ),
]

CLIENT = ClientInfo()
SCOPES = ["refresh_tokens", "others", "session", "global"]
AFTER = math.inf
ROUNDS = int(os.environ.get("RACES", "7"))
"""Once through the delays of ``offset()``."""


@pytest.fixture(autouse=True)
def _no_limit_on_logouts(settings):
    settings.ACCOUNTS = {"LOGOUT_RATE": "1000000/1d", "PASSWORD_RATE": "10/1d"}


@pytest.fixture
def deadlocks(transactional_db):
    """Return a function that counts the deadlocks since the test began."""

    def count() -> int:
        wait_to_be_alone()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
            )
            return int(cursor.fetchone()[0])

    before = count()
    return lambda: count() - before


def race(*calls: Callable[[], Any], delays: Sequence[float] = ()) -> list[Any]:
    """Call all of these at once, each on a thread and a connection of its own."""
    barrier = threading.Barrier(len(calls), timeout=PATIENCE)
    over = threading.Event()

    def run(call: Callable[[], Any], delay: float) -> Any:
        try:
            connection.ensure_connection()
            barrier.wait()
            if delay == AFTER:
                assert over.wait(PATIENCE)
            else:
                time.sleep(delay)
            return call()
        finally:
            over.set()
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls, delays or [0.0] * len(calls)))


def offset(number: int) -> tuple[float, float]:
    """Return delays for two calls: first one ahead, then side by side, then the other ahead.

    In the first of the rounds and in the last, one is over before the other begins: so each is
    first in some of the races, however slow the machine is.
    """
    position = number % ROUNDS
    if position in {0, ROUNDS - 1}:
        return (0.0, AFTER) if position else (AFTER, 0.0)
    head_start = (position / (ROUNDS - 1) - 0.5) / 50
    return max(0.0, head_start), max(0.0, -head_start)


@cache
def handler() -> Any:
    """Return the application; to set it up costs more than to answer."""
    application = Client().handler
    application.load_middleware()
    return application


def client() -> Client:
    sender = Client(raise_request_exception=False)
    sender.handler = handler()
    return sender


def post(path: str, body: dict[str, str] | None = None, bearer: object = None) -> Any:
    return client().post(
        path,
        body or {},
        content_type="application/json",
        headers={"Authorization": f"Bearer {bearer}"} if bearer is not None else {},
    )


def logout(bearer: object, **body: str) -> Any:
    return post("/api/v1/auth/logout", body, bearer)


def refresh(token: object) -> Any:
    return post("/token", {"grant_type": "refresh_token", "refresh_token": str(token)})


def log_in(username: str, password: str = PASSWORD) -> Any:
    return post("/token", {"grant_type": "password", "username": username, "password": password})


def lives(access: object) -> bool:
    """Whether a bearer is let in."""
    response = client().get("/user", headers={"Authorization": f"Bearer {access}"})
    assert response.status_code in {200, 401}
    return response.status_code == 200


def stock_refreshes(token: object) -> bool:
    """Whether SimpleJWT's own code, which knows nothing of logins, takes a refresh token."""
    try:
        TokenRefreshSerializer().validate({"refresh": str(token)})
    except TokenError:
        return False
    return True


def survivors(access: list[object], refreshes: list[object]) -> list[str]:
    """Return what still works of tokens that should be dead."""
    alive = [f"access token {number}" for number, token in enumerate(access) if lives(token)]
    alive += [
        f"refresh token {number}, at SimpleJWT's own"
        for number, token in enumerate(refreshes)
        if stock_refreshes(token)
    ]
    alive += [
        f"refresh token {number}"
        for number, token in enumerate(refreshes)
        if refresh(token).status_code != 400
    ]
    return alive


def race_of_refresh_and_logout(
    number: int, pair: services.TokenPair, end: Callable[[], Any]
) -> tuple[int, list[str]]:
    """Return the status of the refresh, and what survived the acknowledged logout."""
    ended, refreshed = race(end, lambda: refresh(pair.refresh), delays=offset(number))
    assert ended.status_code == 200
    assert refreshed.status_code in {200, 400}, refreshed.content
    access, refreshes = [pair.access], [pair.refresh]
    if refreshed.status_code == 200:
        access.append(refreshed.json()["access_token"])
        refreshes.append(refreshed.json()["refresh_token"])
    return refreshed.status_code, survivors(access, refreshes)


def test_no_token_survives_a_race_of_refresh_against_logout(user):
    statuses, alive = set(), []

    for number in range(ROUNDS * 10):
        pair = services.log_in(user=user, client=CLIENT)
        status, survived = race_of_refresh_and_logout(
            number, pair, lambda pair=pair: logout(pair.access)
        )
        statuses.add(status)
        alive += survived

    assert not alive
    assert statuses == {200, 400}, "each was first in some of the races"
    assert not Session.objects.exists()
    assert LogoutEvent.objects.count() == ROUNDS * 10


@pytest.mark.parametrize("scope", ["refresh_tokens", "global"])
def test_no_token_survives_a_race_of_refresh_against_a_wider_logout(user, scope):
    alive = []

    for number in range(ROUNDS):
        pair = services.log_in(user=user, client=CLIENT)
        _, survived = race_of_refresh_and_logout(
            number, pair, lambda pair=pair: logout(pair.access, scope=scope)
        )
        alive += survived

    assert not alive
    assert not Session.objects.exists()
    assert LogoutEvent.objects.count() == ROUNDS


@pytest.mark.parametrize("scope", ["session", "refresh_tokens", "global"])
def test_no_token_survives_a_logout_that_names_the_refresh_token_in_flight(user, scope):
    """The bearer is alive and of this very login, so its 200 has to mean what it says."""
    alive = []

    for number in range(ROUNDS):
        pair = services.log_in(user=user, client=CLIENT)
        _, survived = race_of_refresh_and_logout(
            number,
            pair,
            lambda pair=pair: logout(pair.access, token=str(pair.refresh), scope=scope),
        )
        alive += survived

    assert not alive
    assert not Session.objects.exists()


def test_no_token_survives_a_refresh_against_the_logout_from_another_device(user):
    alive = []
    phone = services.log_in(user=user, client=CLIENT)

    for number in range(ROUNDS):
        pair = services.log_in(user=user, client=CLIENT)
        _, survived = race_of_refresh_and_logout(
            number, pair, lambda pair=pair: logout(phone.access, token=str(pair.access))
        )
        alive += survived

    assert not alive
    assert lives(phone.access)


@pytest.mark.parametrize("scope", ["refresh_tokens", "others"])
def test_no_refresh_token_survives_a_race_against_the_logout_of_another_device(user, scope):
    """Its access tokens live on for their five minutes in the one scope, not in the other."""
    alive = []

    for number in range(ROUNDS):
        phone, laptop = (services.log_in(user=user, client=CLIENT) for _ in range(2))
        ended, refreshed = race(
            lambda phone=phone: logout(phone.access, scope=scope),
            lambda laptop=laptop: refresh(laptop.refresh),
            delays=offset(number),
        )
        assert ended.status_code == 200
        minted = refreshed.json() if refreshed.status_code == 200 else {}
        refreshes = [laptop.refresh, *filter(None, [minted.get("refresh_token")])]
        access = [laptop.access, *filter(None, [minted.get("access_token")])]
        alive += survivors(access if scope == "others" else [phone.access], refreshes)
        if scope == "others":
            assert lives(phone.access)

    assert not alive


def test_a_refresh_beside_the_logout_of_the_others_keeps_its_login(user):
    for number in range(ROUNDS):
        services.log_in(user=user, client=CLIENT)
        phone = services.log_in(user=user, client=CLIENT)

        ended, refreshed = race(
            lambda phone=phone: logout(phone.access, scope="others"),
            lambda phone=phone: refresh(phone.refresh),
            delays=offset(number),
        )

        assert (ended.status_code, refreshed.status_code) == (200, 200)
        assert lives(phone.access)
        assert lives(refreshed.json()["access_token"])
        assert refresh(refreshed.json()["refresh_token"]).status_code == 200
        assert Session.objects.count() == 1
        Session.objects.all().delete()


def test_a_rotation_by_simplejwt_in_flight_revives_no_refresh_token(user):
    phone, laptop = (services.log_in(user=user, client=CLIENT) for _ in range(2))
    in_flight = StockRefreshToken(str(laptop.refresh))  # SimpleJWT has checked its blacklist

    assert logout(phone.access, scope="refresh_tokens").status_code == 200
    for renew in (in_flight.set_jti, in_flight.set_exp, in_flight.set_iat):
        renew()
    with contextlib.suppress(TokenError):
        in_flight.outstand()

    assert not survivors([phone.access], [laptop.refresh, in_flight])


def test_parallel_refreshes_with_one_token_have_one_successor(user):
    for _ in range(10):
        pair = services.log_in(user=user, client=CLIENT)

        answers = race(*[lambda pair=pair: refresh(pair.refresh)] * 6)

        assert [answer.status_code for answer in answers] == [200] * 6
        (successor,) = {answer.json()["refresh_token"] for answer in answers}
        assert all(lives(answer.json()["access_token"]) for answer in answers)
        assert refresh(successor).status_code == 200
    assert not LogoutEvent.objects.exists()


def test_of_parallel_refreshes_with_one_plain_token_one_wins(user):
    for _ in range(10):
        plain = StockRefreshToken.for_user(user)
        logins = Session.objects.count()

        answers = race(*[lambda plain=plain: refresh(plain)] * 6)

        assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400, 400, 400]
        assert Session.objects.count() == logins + 1


@pytest.mark.parametrize("scope", ["session", "refresh_tokens", "global"])
@pytest.mark.parametrize("named", [True, False], ids=["names its token", "by bearer alone"])
def test_parallel_logouts_of_one_login_are_one_event(user, scope, named):
    for number in range(1, 6):
        pair = services.log_in(user=user, client=CLIENT)
        body = {"token": str(pair.refresh)} if named else {}

        answers = race(*[lambda pair=pair, body=body: logout(pair.access, scope=scope, **body)] * 6)

        assert [answer.status_code for answer in answers] == [200] * 6
        assert LogoutEvent.objects.count() == number
        assert not survivors([pair.access], [pair.refresh])


def test_parallel_logouts_with_one_plain_token_are_one_event(user):
    for number in range(1, 6):
        plain = StockRefreshToken.for_user(user)

        answers = race(*[lambda plain=plain: logout(plain.access_token)] * 1) + race(
            *[lambda access=plain.access_token: logout(access)] * 6
        )

        assert [answer.status_code for answer in answers] == [200] * 7
        assert LogoutEvent.objects.count() == 2 * number


def test_parallel_logouts_of_all_devices_all_succeed(user, deadlocks):
    for number in range(1, 11):
        pairs = [services.log_in(user=user, client=CLIENT) for _ in range(2)]

        answers = race(
            *[
                lambda pair=pair: post("/api/v1/auth/logout/all", bearer=pair.access)
                for pair in pairs
            ]
        )

        assert [answer.status_code for answer in answers] == [200, 200]
        assert not survivors([p.access for p in pairs], [p.refresh for p in pairs])
        assert LogoutEvent.objects.count() == number
    assert not deadlocks()


@pytest.mark.parametrize(
    "scopes",
    [
        *([scope] * 6 for scope in SCOPES),
        ["others", "global"] * 3,
        *(
            pytest.param([*pair] * 3, marks=pytest.mark.drill)
            for pair in combinations(SCOPES, 2)
            if pair != ("others", "global")
        ),
    ],
    ids=lambda scopes: "-".join(dict.fromkeys(scopes)),
)
def test_parallel_logouts_of_several_devices_never_fail(user, deadlocks, scopes):
    for _ in range(3):
        pairs = [services.log_in(user=user, client=CLIENT) for _ in scopes]

        answers = race(
            *[
                lambda pair=pair, scope=scope: logout(pair.access, scope=scope)
                for pair, scope in zip(pairs, scopes, strict=True)
            ]
        )

        assert [answer.status_code for answer in answers] == [200] * len(scopes)
        for pair, scope in zip(pairs, scopes, strict=True):
            if scope != "others":
                assert not survivors([pair.access], [pair.refresh])
        if set(scopes) == {"others"}:
            # Who came first is the one who is left; the rest were ended before they could ask.
            assert sum(lives(pair.access) for pair in pairs) == 1
        Session.objects.all().delete()
    assert not deadlocks(), "each costs a client a second, and two in a row are a 500"


def test_parallel_logouts_and_refreshes_of_several_devices_never_fail(user):
    for _ in range(4):
        pairs = [services.log_in(user=user, client=CLIENT) for _ in range(6)]

        answers = race(
            *[lambda pair=pair: logout(pair.access, scope="refresh_tokens") for pair in pairs[:2]],
            *[lambda pair=pair: refresh(pair.refresh) for pair in pairs],
        )

        assert [answer.status_code for answer in answers[:2]] == [200, 200]
        assert {answer.status_code for answer in answers[2:]} <= {200, 400}
        minted = [a.json()["refresh_token"] for a in answers[2:] if a.status_code == 200]
        assert not survivors(
            [pair.access for pair in pairs[:2]], [*(pair.refresh for pair in pairs), *minted]
        )


def test_a_login_beside_the_logout_of_all_devices_is_ended_or_alive_as_a_whole(user):
    ended = set()

    for number in range(ROUNDS):
        phone = services.log_in(user=user, client=CLIENT)

        _, pair = race(
            lambda phone=phone: services.log_out(
                proof=phone.access, scope=Scope.GLOBAL, client=CLIENT
            ),
            lambda: services.log_in(user=user, client=CLIENT),
            delays=offset(number),
        )

        stands = Session.objects.filter(sid=pair.refresh.sid).exists()
        ended.add(not stands)
        assert lives(pair.access) == stands
        assert refresh(pair.refresh).status_code == (200 if stands else 400)
        assert not lives(phone.access)

    assert ended == {True, False}, "each was first in some of the races"


def test_a_plain_refresh_beside_the_logout_of_all_devices_leaves_nothing_half_alive(user):
    for number in range(ROUNDS):
        phone = services.log_in(user=user, client=CLIENT)
        # As if the last round had been a while ago.
        TokenVersion.objects.update(version=0)
        plain = StockRefreshToken.for_user(user)
        token = tokens.decode_refresh(str(plain))

        def rotate(token: tokens.RefreshToken = token) -> services.TokenPair | None:
            try:
                return services.refresh(token=token, client=CLIENT)
            except TokenRevoked:
                return None

        _, pair = race(
            lambda phone=phone: services.log_out(
                proof=phone.access, scope=Scope.GLOBAL, client=CLIENT
            ),
            rotate,
            delays=offset(number),
        )

        assert not Session.objects.exists()
        if pair is not None:
            assert not survivors([pair.access], [pair.refresh])


def test_the_first_logins_of_a_user_all_succeed(transactional_db):
    for number in range(6):
        user = get_user_model().objects.create_user(username=f"new{number}", password=PASSWORD)

        answers = race(*[lambda user=user: log_in(user.username)] * 6)

        assert [answer.status_code for answer in answers] == [200] * 6
        assert all(lives(answer.json()["access_token"]) for answer in answers)
        assert Session.objects.of(user).count() == 6
        assert TokenVersion.objects.get(user=user).version == 0


def test_a_first_login_beside_a_first_logout_of_all_devices_succeeds(transactional_db):
    """A user whom plain SimpleJWT logged in has no ``TokenVersion`` yet."""
    for number in range(10):
        user = get_user_model().objects.create_user(username=f"new{number}", password=PASSWORD)
        plain = StockRefreshToken.for_user(user).access_token

        answers = race(
            lambda user=user: log_in(user.username),
            *[lambda plain=plain: post("/logout/all", bearer=plain)] * 2,
            lambda user=user: log_in(user.username),
        )

        assert [answer.status_code for answer in answers] == [200] * 4
        assert not lives(plain)
        assert TokenVersion.objects.get(user=user).version > plain["iat"]


def test_a_reauthentication_revives_no_login(user):
    for number in range(ROUNDS):
        pair = services.log_in(user=user, client=CLIENT)

        ended, proved = race(
            lambda pair=pair: logout(pair.access),
            lambda pair=pair: post("/reauthenticate", {"password": PASSWORD}, pair.access),
            delays=offset(number),
        )

        assert ended.status_code == 200
        assert proved.status_code in {200, 401}
        assert not survivors([pair.access], [pair.refresh])
        assert not Session.objects.exists()


def test_a_browser_request_in_flight_revives_no_browser_login(user, admin_user):
    """The session engine writes whole rows back at the end of a request."""
    for number in range(10):
        browser = client()
        browser.force_login(admin_user)
        cookie = browser.cookies["sessionid"].value
        pair = services.log_in(user=admin_user, client=CLIENT)

        def write(browser: Client = browser) -> int:
            session = browser.session
            session["cart"] = "full"
            try:
                session.save()
            except Exception as error:  # noqa: BLE001 - Django's own, that the row has gone
                return type(error).__name__
            return "saved"

        ended, _ = race(
            lambda pair=pair: logout(pair.access, scope="global"), write, delays=offset(number)
        )

        assert ended.status_code == 200
        # A request that came too late for the login may begin an anonymous session: nobody's.
        assert not Session.objects.exclude(user=None).exists()
        response = Client(headers={"Cookie": f"sessionid={cookie}"}).get("/admin/")
        assert response.status_code == 302


@pytest.mark.parametrize(
    "names",
    [
        [{"username": "ana"}],
        [{"email": "ana@example.com"}],
        [{"email": "ana@example.com"}, {"email": "ANA@example.com"}, {"email": "Ana@Example.Com"}],
        [{"username": "ana"}, {"email": "ana@example.com"}],
    ],
    ids=["by name", "by address", "by address in any case", "by name and by address"],
)
def test_of_parallel_guesses_at_one_account_ten_are_evaluated(user, names):
    def guess(number: int) -> Any:
        body = {"grant_type": "password", "password": f"wrong{number}"}
        return post("/token", {**body, **names[number % len(names)]})

    evaluated = []

    def note(**kwargs: Any) -> None:
        evaluated.append(kwargs)

    user_login_failed.connect(note)
    answers = race(*[lambda number=number: guess(number) for number in range(30)])
    user_login_failed.disconnect(note)

    assert {answer.status_code for answer in answers} == {400, 429}
    assert len(evaluated) == 10


@pytest.mark.parametrize(
    "name",
    [{"username": "ivi"}, {"email": "ivi@example.com"}, {"email": "\u0131v\u0131@example.com"}],
    ids=["by name", "by address", "by address with dotless i, which PostgreSQL takes for i"],
)
@pytest.mark.parametrize("guessed", ["username", "email"])
def test_ten_wrong_passwords_close_each_way_into_an_account(transactional_db, name, guessed):
    get_user_model().objects.create_user("ivi", email="ivi@example.com", password=PASSWORD)
    wrong = {guessed: "ivi" if guessed == "username" else "ivi@example.com", "password": "wrong"}
    for _ in range(10):
        assert post("/token", {"grant_type": "password", **wrong}).status_code == 400

    answer = post("/token", {"grant_type": "password", "password": PASSWORD, **name})

    assert answer.status_code != 200


def test_of_parallel_guesses_at_a_reauthentication_ten_are_evaluated(user):
    pair = services.log_in(user=user, client=CLIENT)

    answers = race(
        *[
            lambda number=number: post(
                "/reauthenticate", {"password": f"wrong{number}"}, pair.access
            )
            for number in range(30)
        ]
    )

    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {400, 429}
    assert statuses.count(400) == 10


def test_the_right_password_never_counts(user):
    for _ in range(15):
        assert log_in("ana").status_code == 200
    for _ in range(10):
        assert log_in("ana", "wrong").status_code == 400

    assert log_in("ana", "wrong").status_code == 429


def test_parallel_logouts_blacklist_each_token_once(user):
    for number in range(1, 11):
        plain = [StockRefreshToken.for_user(user) for _ in range(20)]

        answers = race(
            *[
                lambda token=token: post("/logout", {"token": str(token)}, token.access_token)
                for token in plain[:4]
            ]
        )

        assert [answer.status_code for answer in answers] == [200] * 4
        assert not any(stock_refreshes(token) for token in plain)
        assert BlacklistedToken.objects.filter(token__jti=plain[0]["jti"]).count() == 1
        assert LogoutEvent.objects.count() >= number


def test_a_plain_refresh_in_flight_does_not_outlive_the_end_of_all_refresh_tokens(user):
    phone = services.log_in(user=user, client=CLIENT)
    plain = tokens.decode_refresh(str(StockRefreshToken.for_user(user)))
    answers = []

    def end() -> None:
        answers.append(logout(phone.access, scope="refresh_tokens").status_code)
        connection.close()

    with transaction.atomic():
        pair = services.refresh(token=plain, client=CLIENT)
        thread = Thread(target=end)
        thread.start()
        thread.join(timeout=0.5)
        assert thread.is_alive(), "it waits for its turn"
    thread.join()

    assert answers == [200]
    assert refresh(pair.refresh).status_code == 400


# What happens to an account, beside what its logins do


NEW_PASSWORD = "correct horse battery"


def set_password(user: Any) -> None:
    user = get_user_model().objects.get(pk=user.pk)
    user.set_password(NEW_PASSWORD)
    user.save()


def deactivate(user: Any) -> None:
    user = get_user_model().objects.get(pk=user.pk)
    user.is_active = False
    user.save()


def delete(user: Any) -> None:
    get_user_model().objects.get(pk=user.pk).delete()


@pytest.mark.parametrize("happen", [set_password, deactivate, delete])
def test_no_token_survives_a_race_of_refresh_against_what_happens_to_its_user(
    transactional_db, happen
):
    statuses, alive = set(), []
    for number in range(ROUNDS * 2):
        user = get_user_model().objects.create_user(f"user{number}", password=PASSWORD)
        pair = services.log_in(user=user, client=CLIENT)

        _, refreshed = race(
            lambda user=user: happen(user),
            lambda pair=pair: refresh(pair.refresh),
            delays=offset(number),
        )

        assert refreshed.status_code in {200, 400}, refreshed.content
        statuses.add(refreshed.status_code)
        minted = refreshed.json() if refreshed.status_code == 200 else {}
        alive += survivors(
            [pair.access, *filter(None, [minted.get("access_token")])],
            [pair.refresh, *filter(None, [minted.get("refresh_token")])],
        )
        [event] = LogoutEvent.objects.filter(username=user.username)
        assert event.sessions_ended == 1
        assert not Session.objects.filter(sid=pair.refresh.sid).exists()

    assert not alive
    assert statuses == {200, 400}, "each was first in some of the races"


@pytest.mark.parametrize("happen", [set_password, deactivate])
def test_a_log_in_beside_what_happens_to_its_user_is_refused_or_dead(transactional_db, happen):
    """Its password was right, and the user active, when it was asked."""
    statuses = set()
    for number in range(ROUNDS):
        user = get_user_model().objects.create_user(f"user{number}", password=PASSWORD)

        _, answer = race(
            lambda user=user: happen(user),
            lambda user=user: log_in(user.username),
            # A log-in takes longer than the head start that others need.
            delays=[delay * 5 for delay in offset(number)],
        )

        assert answer.status_code in {200, 400}, answer.content
        statuses.add(answer.status_code)
        if answer.status_code == 200:
            assert not lives(answer.json()["access_token"])
        # Ended with the others, or where it was found to be refused.
        assert not Session.objects.of(user).exists()
        assert LogoutEvent.objects.filter(user=user).count() == (answer.status_code == 200)

    assert statuses == {200, 400}, "each was first in some of the races"


def test_a_log_in_beside_the_end_of_all_logins_is_ended_or_begins_after_it(user, admin_user):
    """By token and by browser; whatever happens, each login is on record or alive."""
    standing = set()
    for number in range(ROUNDS):
        already = services.log_in(user=admin_user, client=CLIENT)
        browser = client()

        def log_in_by_browser(browser: Client = browser) -> bool:
            return browser.login(username=admin_user.username, password="password")

        ahead, behind = offset(number)
        result, pair, entered = race(
            lambda: services.end_all(user=admin_user, cause=Cause()),
            lambda: services.log_in(user=admin_user, client=CLIENT),
            log_in_by_browser,
            delays=[ahead, behind, behind],
        )

        assert entered
        assert not lives(already.access)
        by_browser = browser.get("/admin/").status_code == 200
        stand = [lives(pair.access), by_browser]
        standing.update(stand)
        assert result.sessions_ended + sum(stand) == 3
        assert Session.objects.of(admin_user).count() == sum(stand)
        Session.objects.all().delete()

    assert standing == {True, False}, "each was first in some of the races"


def test_logins_that_are_ended_from_two_sides_are_each_on_record_once(user, stranger):
    for number in range(ROUNDS):
        pairs = [services.log_in(user=owner, client=CLIENT) for owner in (user, stranger) * 4]
        sids = [pair.refresh.sid for pair in pairs]

        results = race(
            lambda sids=sids: services.end_sessions(
                sessions=Session.objects.filter(sid__in=sids[:6]), cause=Cause()
            ),
            lambda sids=sids: services.end_sessions(
                sessions=Session.objects.filter(sid__in=sids[2:]).order_by("-pk"), cause=Cause()
            ),
            lambda: services.end_all(user=user, cause=Cause()),
            delays=(*offset(number), 0.0),
        )

        assert sum(result.sessions_ended for result in results) == len(pairs)
        recorded = [event.session_id for result in results for event in result.events]
        single = [sid for sid in recorded if sid is not None]
        assert len(single) == len(set(single))
        assert not Session.objects.exists()
        assert not survivors([pair.access for pair in pairs], [pair.refresh for pair in pairs])


def test_a_service_that_the_database_undoes_for_a_deadlock_is_run_again(user, deadlocks):
    one, two = (services.log_in(user=user, client=CLIENT).refresh.sid for _ in range(2))
    both_have_one = threading.Barrier(2, timeout=PATIENCE)
    one_has_both = threading.Event()
    runs = []

    @retried
    def lock(first: Any, second: Any) -> str:
        runs.append(first)
        # The one that was undone could be back before the other has woken up.
        assert len(runs) <= 2 or one_has_both.wait(PATIENCE)
        with transaction.atomic():
            Session.objects.filter(sid=first).update(user_agent="locked")
            if len(runs) <= 2:
                both_have_one.wait()
            Session.objects.filter(sid=second).update(user_agent="locked")
        one_has_both.set()
        return "done"

    assert race(lambda: lock(one, two), lambda: lock(two, one)) == ["done", "done"]
    assert (deadlocks(), len(runs)) == (1, 3)
