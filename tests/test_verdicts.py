"""The verdict cache, on a real Redis: it saves statements, and never lets an ended login in."""

from __future__ import annotations

import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
import requests
from django.contrib.auth import get_user_model
from django.core.cache.backends.redis import RedisCache
from django.core.checks import Tags, run_checks
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIRequestFactory
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken
from rest_framework_simplejwt.tokens import RefreshToken as StockRefreshToken

from accounts import services, tokens, verdicts
from accounts.authentication import FreshJWTAuthentication, InvalidToken, JWTAuthentication
from accounts.clients import ClientInfo
from accounts.conf import conf
from accounts.exceptions import TokenReused
from accounts.models import Session
from accounts.outage import Outage
from accounts.permissions import RecentlyAuthenticated
from accounts.services import Cause, Scope
from tests.conftest import PASSWORD
from tests.servers import workers
from tests.test_races import logout, race
from tests.test_statements import statements

# Outside of a test's own transaction, in which nothing is kept.
pytestmark = pytest.mark.django_db(transaction=True)

CLIENT = ClientInfo()
TIMEOUT = 0.5
REDIS = "django.core.cache.backends.redis.RedisCache"
FAULTS = ["gone", "silent", "nonsense", "loading", "read-only", "wrong type", "not a pickle"]
IN_TIME = 4.0  # seconds, on a busy machine


@pytest.fixture(autouse=True)
def _fresh_outage(monkeypatch):
    monkeypatch.setattr(verdicts, "_outage", Outage())


@pytest.fixture
def use_cache(settings):
    """Return a function that keeps verdicts at this address."""

    def use(url, *, max_age=60):
        settings.CACHES = {
            **settings.CACHES,
            "verdicts": {
                "BACKEND": REDIS,
                "LOCATION": url,
                "OPTIONS": {
                    "socket_connect_timeout": TIMEOUT,
                    "socket_timeout": TIMEOUT,
                    "retry": None,
                },
            },
        }
        settings.ACCOUNTS = {
            "VERDICT_CACHE": "verdicts",
            "VERDICT_MAX_AGE": max_age,
            "LOGOUT_RATE": "1000000/1d",
        }

    return use


@pytest.fixture
def kept(redis_server, use_cache):
    """The Redis that keeps verdicts: for longer than a test takes, so that age ends none."""
    use_cache(redis_server.url)
    with redis_server.client() as client:
        yield client


@pytest.fixture
def kept_for_a_second(redis_server, use_cache):
    use_cache(redis_server.url, max_age=1)
    with redis_server.client() as client:
        yield client


def request_with(access):
    return APIRequestFactory().get("/", headers={"Authorization": f"Bearer {access}"})


def authenticate(access):
    """Return the user and the token of a request with this access token."""
    return JWTAuthentication().authenticate(request_with(access))


def is_accepted(access):
    try:
        authenticate(access)
    except InvalidToken:
        return False
    return True


def cost(access):
    """Return how many statements it takes to authenticate."""
    return len(statements(lambda: authenticate(access)))


def is_kept(access):
    """Whether a verdict counts; asking makes it so, as each request does."""
    return cost(access) == 0


def lose_row(pair):
    """End a login without a word to the cache, as a process that dies after its commit does."""
    Session.objects.filter(sid=pair.refresh.sid).delete()


def after(moment, seconds):
    """Wait until so many seconds have passed since a moment of ``time.time()``."""
    threading.Event().wait(max(0.0, moment + seconds - time.time()))


# What it saves


def test_the_next_request_with_a_token_takes_no_statement(kept, phone):
    assert [cost(phone.access) for _ in range(3)] == [1, 0, 0]


def test_without_the_setting_each_request_takes_one(phone):
    assert [cost(phone.access) for _ in range(3)] == [1, 1, 1]


def test_over_http_a_protected_view_takes_none(kept, phone, is_in):
    assert is_in(phone.access)

    assert statements(lambda: is_in(phone.access)) == []


def test_a_plain_simplejwt_token_is_kept_too(kept, user):
    plain = StockRefreshToken.for_user(user).access_token

    assert [cost(plain) for _ in range(2)] == [1, 0]


def test_each_token_of_a_login_has_a_verdict_of_its_own(kept, phone):
    refreshed = services.refresh(token=phone.refresh, client=CLIENT)

    assert [cost(refreshed.access), cost(phone.access)] == [1, 1]
    assert is_kept(refreshed.access)


def test_a_refresh_leaves_the_verdict_of_the_access_token_before_it(kept, phone):
    authenticate(phone.access)

    services.refresh(token=phone.refresh, client=CLIENT)

    assert is_kept(phone.access)


def test_the_end_of_all_logins_of_a_user_is_one_command(kept, user, phone, laptop):
    authenticate(phone.access)
    authenticate(laptop.access)
    kept.config_resetstat()

    services.end_all(user=user, cause=Cause())

    assert kept.info("commandstats")["cmdstat_del"]["calls"] == 1
    assert not is_accepted(phone.access)
    assert not is_accepted(laptop.access)


# What comes of it


def test_the_user_and_the_login_are_those_that_were_read(kept, phone):
    read_user, read_token = authenticate(phone.access)
    assert is_kept(phone.access)

    user, token = authenticate(phone.access)

    def values(row, *left_out):
        return {
            field.attname: getattr(row, field.attname)
            for field in row._meta.concrete_fields
            if field.attname not in left_out
        }

    assert type(user) is type(read_user)
    assert values(user) == values(read_user)
    assert values(token.session, "session_data") == values(read_token.session, "session_data")
    assert token.session.user is user
    assert (user._state.db, user._state.adding) == ("default", False)


def test_the_user_can_be_used_as_any_other(kept, phone):
    authenticate(phone.access)
    user, _ = authenticate(phone.access)

    assert user.check_password(PASSWORD)
    assert not user.has_perm("accounts.view_session")
    user.first_name = "Ana"
    user.save()
    assert get_user_model().objects.get(first_name="Ana").check_password(PASSWORD)


def test_what_one_request_does_to_its_user_no_other_sees(kept, phone):
    authenticate(phone.access)
    user, _ = authenticate(phone.access)
    user.is_superuser = True

    again, _ = authenticate(phone.access)

    assert not again.is_superuser


def test_a_change_of_the_user_is_seen_at_the_next_request(kept, user, phone):
    authenticate(phone.access)
    user.is_staff = True
    user.save(update_fields=["is_staff"])

    changed, _ = authenticate(phone.access)

    assert changed.is_staff


def test_a_re_authentication_is_seen_at_the_next_request(kept, phone, client):
    permission = RecentlyAuthenticated()

    def is_recent():
        request = request_with(phone.access)
        _, request.auth = authenticate(phone.access)
        return permission.has_permission(request, None)

    assert not is_recent()
    bearer = {"Authorization": f"Bearer {phone.access}"}
    answer = client.post(
        "/reauthenticate", {"password": PASSWORD}, content_type="application/json", headers=bearer
    )
    assert answer.status_code == 200

    assert is_recent()
    assert is_recent()


def test_a_token_without_its_raw_form_is_not_kept(kept, phone):
    token = tokens.decode_access(str(phone.access))
    token.token = None
    looked_up = []

    for _ in range(2):
        verdicts.find_login(token, look_up=lambda: looked_up.append(1))

    assert len(looked_up) == 2


def test_a_token_that_names_its_user_in_an_unusual_way_is_not_kept(kept, user):
    plain = StockRefreshToken.for_user(user).access_token
    plain[api_settings.USER_ID_CLAIM] = f"0{user.pk}"

    assert [cost(plain) for _ in range(2)] == [1, 1]


def test_nothing_is_kept_of_what_a_transaction_sees(kept, phone):
    with transaction.atomic():
        assert [cost(phone.access) for _ in range(2)] == [1, 1]

    assert kept.dbsize() == 0


def test_nothing_that_is_kept_counts_in_a_transaction(kept, phone):
    assert [cost(phone.access) for _ in range(2)] == [1, 0]

    with transaction.atomic():
        assert cost(phone.access) == 1


# The minute of last_seen_at


def test_use_is_noted_once_a_minute(kept, phone):
    Session.objects.update(last_seen_at=timezone.now() - timedelta(seconds=59))
    began = time.time()
    assert [cost(phone.access) for _ in range(2)] == [1, 0]
    after(began, 1.1)

    assert cost(phone.access) == 2
    noted = Session.objects.get().last_seen_at
    assert timezone.now() - noted < timedelta(seconds=30)
    assert [cost(phone.access) for _ in range(3)] == [0, 0, 0]
    assert Session.objects.get().last_seen_at == noted


def test_a_login_whose_use_was_never_noted_is_kept(kept, phone):
    Session.objects.update(last_seen_at=None)

    assert [cost(phone.access) for _ in range(2)] == [1, 0]


# The end of a login


def by_log_out(scope):
    def end(user, phone, laptop):
        named = laptop if scope == Scope.OTHERS else phone
        services.log_out(user=user, presented=[named.access], scope=scope, client=CLIENT)

    return end


def by_http(path):
    def end(user, phone, laptop):
        assert logout(phone.access).status_code == 200

    return end


def by_deletion_from_the_list(user, phone, laptop):
    answer = Client().delete(
        f"/sessions/{phone.refresh.sid}", headers={"Authorization": f"Bearer {laptop.access}"}
    )
    assert answer.status_code == 204


def by_end_sessions(user, phone, laptop):
    services.end_sessions(
        sessions=Session.objects.filter(sid=phone.refresh.sid),
        cause=Cause(),
    )


def by_end_others(user, phone, laptop):
    services.end_others(keep=Session.objects.get(sid=laptop.refresh.sid), cause=Cause())


def by_command(user, phone, laptop):
    call_command("end_sessions", "--user", "ana", "--json", verbosity=0)


def by_new_password(user, phone, laptop):
    user.set_password("correct horse battery")
    user.save()


def by_disabled_password(user, phone, laptop):
    user.set_unusable_password()
    user.save(update_fields=["password"])


def by_deactivation(user, phone, laptop):
    user.is_active = False
    user.save()


def by_deletion_of_the_user(user, phone, laptop):
    user.delete()


def by_deletion_of_users(user, phone, laptop):
    get_user_model().objects.filter(pk=user.pk).delete()


def by_one_login_more(user, phone, laptop):
    services.log_in(user=user, client=CLIENT)


def by_reuse(user, phone, laptop):
    services.refresh(token=phone.refresh, client=CLIENT)
    Session.objects.update(rotated_at=timezone.now() - timedelta(minutes=5))
    with pytest.raises(TokenReused):
        services.refresh(token=phone.refresh, client=CLIENT)


def by_simplejwts_blacklist(user, phone, laptop):
    StockRefreshToken(str(phone.refresh)).blacklist()


ENDINGS = {
    **{f"logged out, {scope}": by_log_out(scope) for scope in Scope},
    "POST logout": by_http("/logout"),
    "POST logout/all": by_http("/logout/all"),
    "DELETE sessions": by_deletion_from_the_list,
    "end_sessions": by_end_sessions,
    "end_others": by_end_others,
    "end_all": lambda user, phone, laptop: services.end_all(user=user, cause=Cause()),
    "secured": lambda user, phone, laptop: services.secure_account(user=user, cause=Cause()),
    "the command": by_command,
    "a new password": by_new_password,
    "no password": by_disabled_password,
    "deactivated": by_deactivation,
    "deleted": by_deletion_of_the_user,
    "deleted by queryset": by_deletion_of_users,
    "too many logins": by_one_login_more,
    "a refresh token reused": by_reuse,
    "SimpleJWT's blacklist": by_simplejwts_blacklist,
}


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
def test_a_login_that_ends_is_refused_at_once_and_no_other_user_is_touched(
    kept, user, phone, laptop, stranger, settings, end
):
    hers = services.log_in(user=stranger, client=CLIENT)
    for pair in (phone, hers):
        authenticate(pair.access)
        assert is_kept(pair.access)
    if end is by_one_login_more:
        settings.ACCOUNTS = {**settings.ACCOUNTS, "MAX_SESSIONS": 2}

    end(user, phone, laptop)

    assert not is_accepted(phone.access)
    assert is_kept(hers.access)


def test_a_user_whom_a_fixture_deactivates_is_refused_at_once(kept, phone, tmp_path):
    authenticate(phone.access)
    assert is_kept(phone.access)
    file = tmp_path / "users.json"
    call_command("dumpdata", "auth.user", output=str(file))
    file.write_text(file.read_text().replace('"is_active": true', '"is_active": false'))

    call_command("loaddata", str(file), verbosity=0)

    assert not is_accepted(phone.access)


def test_a_plain_token_is_refused_at_once_when_it_is_blacklisted(kept, user):
    plain = StockRefreshToken.for_user(user)
    access = plain.access_token
    authenticate(access)
    assert is_kept(access)

    services.log_out(
        user=user,
        presented=[tokens.decode_access(str(access)), tokens.decode_refresh(str(plain))],
        scope=Scope.SESSION,
        client=CLIENT,
    )

    assert not is_accepted(access)


def test_a_token_of_nobody_that_simplejwt_blacklists_harms_nothing(kept, user):
    plain = StockRefreshToken.for_user(user)
    get_user_model().objects.filter(pk=user.pk).delete()

    plain.blacklist()

    assert BlacklistedToken.objects.count() == 1


def test_what_ends_in_a_transaction_ends_at_its_commit(kept, user, phone):
    authenticate(phone.access)

    with transaction.atomic():
        services.end_all(user=user, cause=Cause())
        with ThreadPoolExecutor(1) as other:
            assert other.submit(elsewhere, partial(is_kept, phone.access)).result()

    assert not is_accepted(phone.access)


def test_what_is_rolled_back_ends_nothing(kept, user, phone):
    authenticate(phone.access)

    with transaction.atomic():
        services.end_all(user=user, cause=Cause())
        transaction.set_rollback(True)

    assert is_kept(phone.access)


def elsewhere(call):
    """Call on this thread, with a connection to the database of its own."""
    try:
        return call()
    finally:
        connection.close()


# Inactivity takes longer than the minute for which a verdict counts at most.
@pytest.mark.parametrize(
    ("accounts", "row"),
    [
        ({}, {"expire_date": timedelta(seconds=1)}),
        ({"ABSOLUTE_TIMEOUT": 90}, {"authenticated_at": timedelta(seconds=-89)}),
    ],
)
def test_a_verdict_does_not_outlive_the_limits_of_its_login(kept, phone, settings, accounts, row):
    settings.ACCOUNTS = {**settings.ACCOUNTS, **accounts}
    began = time.time()
    now = timezone.now()
    Session.objects.update(**{name: now + delta for name, delta in row.items()})
    assert is_accepted(phone.access)
    assert is_kept(phone.access)
    after(began, 1.1)

    assert not is_accepted(phone.access)


def test_a_verdict_is_of_no_use_to_a_token_that_has_expired(kept, phone):
    token = phone.access
    token["exp"] = int(time.time()) + 2
    assert [cost(token) for _ in range(2)] == [1, 0]
    after(token["exp"], 0.1)

    assert not is_accepted(token)


# Beside each other


def test_what_a_slow_reader_keeps_of_a_login_that_ends_meanwhile_is_worthless(kept, user, phone):
    token = tokens.decode_access(str(phone.access))

    def look_up():
        login = services.find_login(token=token)
        with ThreadPoolExecutor(1) as other:
            end = partial(services.end_all, user=user, cause=Cause())
            other.submit(elsewhere, end).result()
        return login

    assert verdicts.find_login(token, look_up=look_up).user == user
    assert len(kept.keys("*token*")) == 1

    assert not is_accepted(phone.access)


def test_a_reader_takes_the_stamp_that_another_has_just_set(kept, phone, laptop, monkeypatch):
    set_first = RedisCache.add

    def add(self, key, value, **kwargs):
        set_first(self, key, value + 1, **kwargs)
        return set_first(self, key, value, **kwargs)

    monkeypatch.setattr(RedisCache, "add", add)

    assert [cost(phone.access) for _ in range(2)] == [1, 0]


def test_a_logout_that_finds_its_login_ended_already_is_true_at_once(kept, phone):
    """Another process has committed the end, and not yet removed the stamp."""
    authenticate(phone.access)
    lose_row(phone)
    assert is_accepted(phone.access)

    assert logout(phone.access).status_code == 200

    assert not is_accepted(phone.access)


def test_a_service_that_finds_a_login_ended_already_is_true_at_once(kept, user, phone):
    authenticate(phone.access)
    lose_row(phone)

    services.log_out(user=user, presented=[phone.access], scope=Scope.SESSION, client=CLIENT)

    assert not is_accepted(phone.access)


def test_a_logout_of_the_others_that_finds_them_ended_already_is_true_at_once(
    kept, user, phone, laptop
):
    authenticate(phone.access)
    tokens.blacklist_jtis(phone.refresh.jti)
    lose_row(phone)

    services.log_out(user=user, presented=[laptop.access], scope=Scope.OTHERS, client=CLIENT)

    assert not is_accepted(phone.access)
    assert is_accepted(laptop.access)


def test_a_plain_token_that_was_revoked_beside_a_logout_is_refused_at_once(kept, user):
    plain = StockRefreshToken.for_user(user).access_token
    authenticate(plain)
    token = tokens.decode_access(str(plain))
    tokens.blacklist(user, [token])
    assert is_accepted(plain)

    services.log_out(user=user, presented=[token], scope=Scope.GLOBAL, client=CLIENT)

    assert not is_accepted(plain)


@pytest.mark.postgresql
def test_no_request_is_accepted_after_an_acknowledged_logout(kept, user):
    """Requests on two threads hammer each of 100 logins while two others log it out."""
    late, hits = [], 0

    for number in range(100):
        pair = services.log_in(user=user, client=CLIENT)
        ended = threading.Event()
        accepted = []

        def hammer(access=pair.access, ended=ended, accepted=accepted):
            while True:
                was_over = ended.is_set()
                began = time.perf_counter()
                if is_accepted(access):
                    accepted.append(began)
                if was_over:
                    return

        def end(access=pair.access, ended=ended, number=number):
            time.sleep((number % 5) / 1_000)
            assert logout(access).status_code == 200
            acknowledged = time.perf_counter()
            ended.set()
            return acknowledged

        *_, first, second = race(hammer, hammer, end, end)
        late += [began for began in accepted if began > min(first, second)]
        hits += len(accepted)

    assert not late
    assert hits > 200
    assert kept.info("stats")["keyspace_hits"] > 200


@pytest.mark.postgresql
def test_what_one_process_ends_all_processes_refuse_at_once(tmp_path, redis_server, user):
    environment = {"DJANGO_SETTINGS_MODULE": "tests.fleet", "REDIS_URL": redis_server.url}
    with workers(tmp_path, **environment) as fleet:
        for _ in range(10):
            pair = services.log_in(user=user, client=CLIENT)
            bearer = {"Authorization": f"Bearer {pair.access}"}

            def ask(_, bearer=bearer):
                return requests.get(f"{fleet.url}/user", headers=bearer, timeout=30).status_code

            with ThreadPoolExecutor(8) as threads:
                assert set(threads.map(ask, range(24))) == {200}
                answer = requests.post(f"{fleet.url}/logout", headers=bearer, timeout=30)
                assert answer.status_code == 200
                assert set(threads.map(ask, range(24))) == {401}
        assert len(fleet.pids) > 1
        assert "verdict" not in fleet.log
    with redis_server.client() as client:
        assert client.info("stats")["keyspace_hits"] > 100


# What bounds it


def restore_stamps(client):
    """Return a function that puts the stamps back, as a Redis that fails over to its past does."""
    before = {key: client.get(key) for key in client.keys("*accounts.verdict.user.*")}
    assert before
    return lambda: client.mset(before)


def test_should_a_stamp_stay_a_verdict_dies_of_age(kept_for_a_second, phone):
    began = time.time()
    authenticate(phone.access)
    lose = restore_stamps(kept_for_a_second)
    assert logout(phone.access).status_code == 200
    lose()
    assert is_accepted(phone.access)
    after(began, 1.05)

    assert not is_accepted(phone.access)


@pytest.mark.parametrize(
    "change",
    [
        lambda user, pair: get_user_model().objects.filter(pk=user.pk).update(is_active=False),
        lambda user, pair: get_user_model().objects.filter(pk=user.pk).update(password="other"),
        lambda user, pair: lose_row(pair),
    ],
    ids=["deactivated", "a new password", "the row deleted"],
)
def test_a_change_without_a_signal_counts_after_that_age(kept_for_a_second, user, phone, change):
    began = time.time()
    authenticate(phone.access)
    change(user, phone)
    assert is_accepted(phone.access)
    after(began, 1.05)

    assert not is_accepted(phone.access)


def test_a_stamp_and_its_verdicts_that_come_back_are_too_old(kept_for_a_second, phone):
    """Put back without their time to live, as from a copy."""
    began = time.time()
    authenticate(phone.access)
    copy = {key: kept_for_a_second.get(key) for key in kept_for_a_second.keys("*")}
    assert logout(phone.access).status_code == 200
    after(began, 1.05)
    kept_for_a_second.mset(copy)

    assert not is_accepted(phone.access)


@pytest.mark.parametrize("ahead", [10.0, -10.0])
def test_a_verdict_by_a_clock_that_is_wrong_does_not_count(
    kept_for_a_second, phone, monkeypatch, ahead
):
    now = time.time
    with monkeypatch.context() as wrong:
        wrong.setattr(time, "time", lambda: now() + ahead)
        authenticate(phone.access)

    assert cost(phone.access) == 1


def test_what_is_kept_does_not_stay(kept, phone):
    authenticate(phone.access)

    assert {0 < kept.ttl(key) <= verdicts.STAMP_LIFETIME for key in kept.keys("*")} == {True}
    [verdict] = kept.keys("*accounts.verdict.token.*")
    assert kept.ttl(verdict) <= 60


def test_the_endpoints_that_decide_do_not_ask_it(kept, phone, client, is_in):
    authenticate(phone.access)
    lose_row(phone)
    bearer = {"Authorization": f"Bearer {phone.access}"}
    body = {"password": PASSWORD}

    def ask(method, path, data=None):
        assert is_in(phone.access)
        restore = restore_stamps(kept)
        answer = getattr(client, method)(
            path, data, content_type="application/json", headers=bearer
        )
        restore()
        return answer.status_code

    assert ask("get", "/sessions") == 401
    assert ask("delete", f"/sessions/{phone.refresh.sid}") == 401
    assert ask("post", "/reauthenticate", body) == 401
    refresh = {"grant_type": "refresh_token", "refresh_token": str(phone.refresh)}
    assert ask("post", "/token", refresh) == 400
    assert ask("post", "/logout") == 200
    with pytest.raises(InvalidToken):
        FreshJWTAuthentication().authenticate(request_with(phone.access))
    with pytest.raises(InvalidToken):
        JWTAuthentication().get_user(tokens.decode_access(str(phone.access)))


# Redis gone, silent or wrong


@pytest.fixture(params=FAULTS)
def fault(request, use_cache, impostor):
    """Keep verdicts in a Redis that fails; a function where it fails once there are some."""

    def spoiled(spoil):
        redis = request.getfixturevalue("redis_server")
        use_cache(redis.url)

        def now():
            with redis.client() as client:
                spoil(client)

        return now

    match request.param:
        case "gone":
            use_cache("redis://127.0.0.1:1/0")
        case "silent":
            use_cache(impostor().url)
        case "nonsense":
            use_cache(impostor(b"\x1b[31mnonsense\r\n\x00\xff").url)
        case "loading":
            use_cache(impostor(b"-LOADING Redis is loading the dataset in memory\r\n").url)
        case "read-only":
            return spoiled(lambda client: client.replicaof("127.0.0.1", "1"))
        case "wrong type":
            return spoiled(partial(_replace, lambda client, key: client.rpush(key, "no verdict")))
        case "not a pickle":
            return spoiled(partial(_replace, lambda client, key: client.set(key, b"no verdict")))
    return lambda: None


def _replace(put, client):
    for key in client.keys("*"):
        client.delete(key)
        put(client, key)


def test_where_redis_fails_the_database_decides(fault, user, phone, laptop, caplog):
    authenticate(laptop.access)
    fault()
    services.end_sessions(sessions=Session.objects.filter(sid=laptop.refresh.sid), cause=Cause())
    caplog.clear()
    began = time.perf_counter()

    assert is_accepted(phone.access)
    assert logout(phone.access).status_code == 200
    assert not is_accepted(phone.access)

    assert time.perf_counter() - began < IN_TIME
    for record in caplog.records:
        assert record.getMessage().isprintable()


def test_a_redis_that_can_be_read_only_changes_nothing(kept, phone, laptop):
    authenticate(laptop.access)
    kept.replicaof("127.0.0.1", "1")

    assert [cost(phone.access) for _ in range(2)] == [1, 1]
    assert is_accepted(laptop.access)


def test_while_redis_is_down_it_is_asked_once_a_second_and_the_log_says_so(
    use_cache, impostor, phone, caplog
):
    silent = impostor()
    use_cache(silent.url)

    for _ in range(20):
        assert is_accepted(phone.access)

    asked = [record for record in caplog.records if record.name == "accounts.verdicts"]
    assert 1 <= len(asked) < 20
    assert asked[0].levelname == "WARNING"
    assert "the database is read in its place: TimeoutError" in asked[0].getMessage()


def test_an_ending_that_redis_does_not_hear_of_is_acknowledged_and_logged(
    redis_server, use_cache, phone, caplog
):
    use_cache(redis_server.url)
    authenticate(phone.access)
    redis_server.kill()

    assert logout(phone.access).status_code == 200

    [error] = [
        record
        for record in caplog.records
        if record.name == "accounts.verdicts" and record.levelname == "ERROR"
    ]
    assert "of 1 users" in error.getMessage()
    assert "for up to 60 seconds" in error.getMessage()
    assert not is_accepted(phone.access)


def test_verdicts_are_kept_again_when_redis_is_back(redis_server, use_cache, phone, laptop):
    use_cache(redis_server.url)
    authenticate(phone.access)
    redis_server.kill()
    assert [cost(phone.access) for _ in range(2)] == [1, 1]
    assert logout(laptop.access).status_code == 200
    redis_server.start()
    deadline = time.monotonic() + 30
    while not is_kept(phone.access):
        assert time.monotonic() < deadline
        time.sleep(0.1)

    assert not is_accepted(laptop.access)


@pytest.mark.parametrize("value", ["a string", 1, None, {"until": 1}, b"bytes"])
@pytest.mark.parametrize("what", ["user", "token"])
def test_a_value_that_is_not_ours_is_no_verdict(kept, phone, laptop, value, what):
    authenticate(phone.access)
    for key in kept.keys(f"*accounts.verdict.{what}.*"):
        kept.set(key, pickle.dumps(value))
    lose_row(phone)

    assert not is_accepted(phone.access)
    assert is_accepted(laptop.access)


# Secrets


def test_redis_holds_no_token_no_password_hash_and_no_name_of_a_user_in_a_key(
    kept, user, phone, laptop
):
    for pair in (phone, laptop):
        authenticate(pair.access)
        assert is_kept(pair.access)

    assert len(kept.keys("*")) == 3
    for key in kept.keys("*"):
        content = key + (kept.get(key) or b"")
        for secret in (str(phone.access), str(phone.refresh), user.password):
            assert secret.encode() not in content
        assert user.get_username().encode() not in key


# Settings and checks


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VERDICT_CACHE", "no such alias"),
        ("VERDICT_CACHE", ["default"]),
        ("VERDICT_CACHE", True),
        ("VERDICT_MAX_AGE", None),
        ("VERDICT_MAX_AGE", 0),
        ("VERDICT_MAX_AGE", 61),
        ("VERDICT_MAX_AGE", timedelta(minutes=2)),
    ],
)
def test_a_wrong_value_is_told(settings, name, value):
    settings.ACCOUNTS = {name: value}

    with pytest.raises(ValueError, match=r"must"):
        getattr(conf, name.lower())
    assert "accounts.E002" in [message.id for message in run_checks()]


def test_a_setting_is_what_it_was_set_to(settings):
    settings.ACCOUNTS = {"VERDICT_CACHE": "default", "VERDICT_MAX_AGE": 60}

    assert (conf.verdict_cache, conf.verdict_max_age) == ("default", timedelta(minutes=1))


@pytest.fixture
def told(settings):
    """Return the ids of what the checks say of this cache of verdicts."""

    def check(**cache):
        settings.CACHES = {**settings.CACHES, "verdicts": cache}
        settings.ACCOUNTS = {"VERDICT_CACHE": "verdicts"}
        return [message.id for message in run_checks(tags=[Tags.security])]

    return check


@pytest.mark.parametrize(
    "cache",
    [
        {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
        {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": "/nowhere"},
        {"BACKEND": "django.core.cache.backends.db.DatabaseCache"},
        {"BACKEND": "accounts.counters.DatabaseCounters"},
        {"BACKEND": REDIS, "LOCATION": ["redis://primary", "redis://replica"]},
        {"BACKEND": REDIS, "LOCATION": "redis://primary,redis://replica"},
    ],
)
def test_a_cache_by_which_not_every_process_hears_of_an_end_is_an_error(told, cache):
    assert told(**cache) == ["accounts.E004"]


@pytest.mark.parametrize(
    "cache",
    [
        {"BACKEND": REDIS, "LOCATION": "redis://primary"},
        {"BACKEND": REDIS, "LOCATION": ["redis://primary"]},
        {"BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache", "LOCATION": ["a", "b"]},
    ],
)
def test_a_cache_that_all_processes_share_is_none(told, cache):
    assert told(**cache) == []


def test_settings_without_it_or_that_are_wrong_anyway_are_told_nothing_more(settings):
    for accounts in ({}, ["VERDICT_CACHE"], {"VERDICT_CACHE": 1}):
        settings.ACCOUNTS = accounts
        assert "accounts.E004" not in [message.id for message in run_checks()]


def test_requests_in_transactions_are_told_that_it_has_no_effect(told, settings):
    settings.DATABASES["default"]["ATOMIC_REQUESTS"] = True
    try:
        assert told(BACKEND=REDIS, LOCATION="redis://primary") == ["accounts.W007"]
    finally:
        settings.DATABASES["default"]["ATOMIC_REQUESTS"] = False
