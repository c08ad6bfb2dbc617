"""What can be done to a login, and what is left of it."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models.signals import post_delete
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken as SimpleJWTRefreshToken

from accounts import blacklist, services, tokens
from accounts import logins as logins_of
from accounts.clients import ClientInfo
from accounts.exceptions import TokenReused, TokenRevoked
from accounts.models import LogoutEvent, Session, TokenVersion
from accounts.services import Cause, Initiator, LogoutResult, Reason, Scope
from accounts.services.endings import end_outdated
from accounts.services.transactions import _finish_request, after_request, retried
from accounts.sessions import SessionStore, hash_key
from accounts.signals import login_ended

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("way")]

BLACKLISTING = (
    'INSERT INTO "token_blacklist_blacklistedtoken"',
    'INSERT OR IGNORE INTO "token_blacklist_blacklistedtoken"',
    "WITH ended ",
    "WITH rotated AS (",
)
ROTATION = ('UPDATE "drf_logout_session"', "WITH rotated AS (")


class Undone(Exception):
    """What a database driver raises; ``sqlstate`` says why."""

    def __init__(self, sqlstate):
        self.sqlstate = sqlstate


@pytest.fixture
def plain(user):
    """The refresh token of a log-in by plain SimpleJWT."""
    return tokens.decode_refresh(str(SimpleJWTRefreshToken.for_user(user)))


@pytest.fixture
def browser_key(client, user):
    client.force_login(user)
    return client.cookies["sessionid"].value


@pytest.fixture
def log_out(user, device):
    def run(*presented, scope=Scope.SESSION, **arguments):
        named = presented[1] if len(presented) > 1 else None
        return services.log_out(
            proof=presented[0], named=named, scope=scope, client=device, **arguments
        )

    return run


@pytest.fixture
def announced():
    events = []

    def listen(event, **kwargs):
        events.append(event)

    login_ended.connect(listen)
    yield events
    login_ended.disconnect(listen)


def is_dead(token):
    """Whether a token is refused."""
    try:
        logins_of.find_login(token)
    except TokenRevoked:
        return True
    return False


def blacklisted():
    return set(BlacklistedToken.objects.values_list("token__jti", flat=True))


def everything():
    """Return all that a service may change."""
    return [
        list(model.objects.order_by("pk").values())
        for model in (Session, TokenVersion, LogoutEvent, OutstandingToken, BlacklistedToken)
    ]


def failing(*statements):
    """Make the database refuse the statements that begin like one of these."""

    def refuse(execute, sql, *args):
        if sql.startswith(statements):
            raise OperationalError("the disk is full")
        return execute(sql, *args)

    return connection.execute_wrapper(refuse)


# Logging in


def test_a_log_in_is_one_row_and_two_tokens(user, device):
    pair = services.log_in(user=user, client=device)

    session = Session.objects.get()
    assert session.user == user
    assert session.kind == Session.Kind.TOKEN
    assert session.sid == pair.access.sid == pair.refresh.sid
    assert session.refresh_jti == pair.refresh.jti
    assert session.auth_hash == user.get_session_auth_hash()
    assert session.expire_date == pair.refresh.expires_at
    assert session.authenticated_at == session.last_seen_at
    assert (session.ip_address, session.user_agent) == ("192.0.2.7", "Phone/1")
    assert OutstandingToken.objects.get().jti == pair.refresh.jti
    assert logins_of.find_login(pair.access).session == session
    assert logins_of.find_login(pair.refresh).user == user


def test_two_log_ins_of_a_user_are_two_logins(phone, laptop):
    assert phone.refresh.sid != laptop.refresh.sid
    assert Session.objects.count() == 2


def test_a_log_in_counts_in_the_second_in_which_all_others_were_ended(user, device):
    TokenVersion.objects.raise_version(user)

    pair = services.log_in(user=user, client=device)

    assert not is_dead(pair.access)
    assert not is_dead(services.refresh(token=pair.refresh, client=device).access)


def test_a_host_may_mint_the_token_with_claims_of_its_own(user, device):
    def mint(user):
        token = tokens.RefreshToken.for_user(user)
        token["tenant"] = "acme"
        return token

    pair = services.log_in(user=user, client=device, mint=mint)

    assert pair.refresh["tenant"] == pair.access["tenant"] == "acme"
    assert pair.refresh.sid


def test_a_log_in_that_fails_leaves_nothing(user, device):
    before = everything()

    with failing('INSERT INTO "drf_logout_session"'), pytest.raises(OperationalError):
        services.log_in(user=user, client=device)

    assert everything() == before


# Refreshing


def test_a_refresh_goes_on_with_the_same_login(phone, device):
    before = Session.objects.get()
    Session.objects.update(last_seen_at=before.last_seen_at - timedelta(hours=1))

    pair = services.refresh(token=phone.refresh, client=device)

    session = Session.objects.get()
    assert pair.refresh.sid == pair.access.sid == before.sid
    assert session.refresh_jti == pair.refresh.jti != phone.refresh.jti
    assert session.previous_refresh_jti == phone.refresh.jti
    assert session.expire_date == pair.refresh.expires_at
    assert session.authenticated_at == before.authenticated_at
    assert session.last_seen_at == session.rotated_at > before.last_seen_at
    assert not is_dead(pair.access)
    assert not is_dead(pair.refresh)
    assert not is_dead(phone.access)


def test_a_refreshed_token_that_comes_again_at_once_has_the_very_same_successor(phone, device):
    first = services.refresh(token=phone.refresh, client=device)
    before = everything()

    again = services.refresh(token=phone.refresh, client=device)

    assert str(again.refresh) == str(first.refresh)
    assert again.access.jti != first.access.jti
    assert not is_dead(again.access)
    assert everything() == before


def test_the_same_successor_has_the_claims_that_the_host_added(user, device):
    def mint(user):
        token = tokens.RefreshToken.for_user(user)
        token["tenant"] = "acme"
        return token

    pair = services.log_in(user=user, client=device, mint=mint)
    first, again = (services.refresh(token=pair.refresh, client=device) for _ in range(2))

    assert str(again.refresh) == str(first.refresh)
    assert again.access["tenant"] == "acme"


def test_a_refreshed_token_that_comes_again_too_late_ends_the_login(
    user, phone, laptop, device, after_grace
):
    current = services.refresh(token=phone.refresh, client=device)
    after_grace()

    with pytest.raises(TokenReused):
        services.refresh(token=phone.refresh, client=device)

    assert is_dead(current.access)
    assert is_dead(current.refresh)
    assert not is_dead(laptop.access)
    assert blacklisted() == {phone.refresh.jti, current.refresh.jti}
    event = LogoutEvent.objects.get()
    assert (event.user, event.reason, event.initiator) == (user, "token_reused", "policy")
    assert (event.scope, event.session_id) == ("session", phone.refresh.sid)


def test_an_older_token_than_the_previous_one_ends_the_login_at_once(phone, device):
    second = services.refresh(token=phone.refresh, client=device)
    third = services.refresh(token=second.refresh, client=device)

    with pytest.raises(TokenReused):
        services.refresh(token=phone.refresh, client=device)

    assert is_dead(third.refresh)
    assert LogoutEvent.objects.get().reason == "token_reused"


def test_without_a_grace_a_refreshed_token_ends_the_login_at_once(settings, phone, device):
    settings.ACCOUNTS = {"REFRESH_GRACE": 0}
    current = services.refresh(token=phone.refresh, client=device)

    with pytest.raises(TokenReused):
        services.refresh(token=phone.refresh, client=device)

    assert is_dead(current.refresh)


def test_the_grace_brings_no_ended_login_back(phone, device, log_out):
    services.refresh(token=phone.refresh, client=device)
    log_out(phone.access)

    with pytest.raises(TokenRevoked) as caught:
        services.refresh(token=phone.refresh, client=device)

    assert not isinstance(caught.value, TokenReused)
    assert not Session.objects.exists()


def test_the_grace_does_not_refresh_a_login_that_may_not_be_refreshed(
    phone, laptop, device, log_out
):
    services.refresh(token=laptop.refresh, client=device)
    log_out(phone.access, scope=Scope.REFRESH_TOKENS)

    with pytest.raises(TokenRevoked):
        services.refresh(token=laptop.refresh, client=device)

    assert not is_dead(laptop.access)


def test_the_successor_can_be_refreshed_again(phone, device):
    second = services.refresh(token=phone.refresh, client=device)
    third = services.refresh(token=second.refresh, client=device)

    assert not is_dead(third.refresh)
    assert blacklisted() == {phone.refresh.jti, second.refresh.jti}


def test_an_ended_login_is_not_refreshed(phone, device, log_out):
    log_out(phone.access)
    before = everything()

    with pytest.raises(TokenRevoked):
        services.refresh(token=phone.refresh, client=device)

    assert everything() == before


def test_a_login_that_ends_during_its_refresh_stays_ended(phone, device, log_out):
    def log_out_meanwhile(execute, sql, *args):
        if sql.startswith(("SAVEPOINT", "WITH rotated")):
            Session.objects.all().delete()
        return execute(sql, *args)

    with connection.execute_wrapper(log_out_meanwhile), pytest.raises(TokenRevoked):
        services.refresh(token=phone.refresh, client=device)

    assert not BlacklistedToken.objects.exists()


def blacklist_before(*statements, jti):
    """Let other code blacklist a token just before one of these statements."""

    def blacklist_meanwhile(execute, sql, *args):
        if sql.startswith(statements):
            listed = BlacklistedToken(token=OutstandingToken.objects.get(jti=jti))
            BlacklistedToken.objects.bulk_create([listed], ignore_conflicts=True)
        return execute(sql, *args)

    return connection.execute_wrapper(blacklist_meanwhile)


def test_a_token_that_is_blacklisted_during_its_refresh_ends_the_login(phone, device):
    meanwhile = blacklist_before("SAVEPOINT", "WITH rotated", jti=phone.refresh.jti)

    with meanwhile, pytest.raises(TokenRevoked):
        services.refresh(token=phone.refresh, client=device)

    assert not Session.objects.exists()
    assert LogoutEvent.objects.get().reason == Reason.REVOKED


def test_a_plain_token_begins_a_login_of_ours(user, plain, device):
    pair = services.refresh(token=plain, client=device)

    session = Session.objects.get()
    assert session.sid == pair.refresh.sid == pair.access.sid
    assert session.user == user
    assert not is_dead(pair.access)
    assert not is_dead(pair.refresh)
    assert is_dead(plain)
    with pytest.raises(TokenRevoked):
        services.refresh(token=plain, client=device)
    assert Session.objects.count() == 1


def test_a_plain_token_is_worthless_once_the_version_is_raised(user, plain, device):
    TokenVersion.objects.raise_version(user)

    with pytest.raises(TokenRevoked):
        services.refresh(token=plain, client=device)

    assert not Session.objects.exists()


def test_a_version_that_is_raised_during_the_refresh_of_a_plain_token_counts(user, plain, device):
    def raise_meanwhile(execute, sql, *args):
        result = execute(sql, *args)
        if '"token_blacklist_blacklistedtoken"' in sql and sql.startswith("SELECT"):
            TokenVersion.objects.raise_version(user)
        return result

    with connection.execute_wrapper(raise_meanwhile), pytest.raises(TokenRevoked):
        services.refresh(token=plain, client=device)

    assert not Session.objects.exists()


def test_a_refresh_that_fails_leaves_the_token_as_good_as_before(phone, device):
    before = everything()

    with failing(*BLACKLISTING), pytest.raises(OperationalError):
        services.refresh(token=phone.refresh, client=device)

    assert everything() == before
    assert not is_dead(phone.refresh)


# Where SimpleJWT is told not to blacklist what was replaced


@pytest.fixture
def _replaced_is_forgotten(monkeypatch):
    monkeypatch.setattr(api_settings, "BLACKLIST_AFTER_ROTATION", False)


@pytest.mark.usefixtures("_replaced_is_forgotten")
def test_a_login_keeps_its_number_of_rows_however_often_it_is_refreshed(phone, device, log_out):
    pair = phone
    for _ in range(5):
        pair = services.refresh(token=pair.refresh, client=device)

    assert OutstandingToken.objects.get().jti == pair.refresh.jti
    assert not BlacklistedToken.objects.exists()
    assert Session.objects.count() == 1
    log_out(pair.access)
    assert blacklisted() == {pair.access.jti, pair.refresh.jti}


@pytest.mark.usefixtures("_replaced_is_forgotten")
def test_a_forgotten_token_is_refused_all_the_same(phone, device, after_grace):
    services.refresh(token=phone.refresh, client=device)
    after_grace()

    with pytest.raises(TokenReused):
        services.refresh(token=phone.refresh, client=device)

    assert not Session.objects.exists()


@pytest.mark.usefixtures("_replaced_is_forgotten")
def test_a_forgotten_token_of_which_there_was_no_row_leaves_one(phone, device):
    OutstandingToken.objects.all().delete()

    pair = services.refresh(token=phone.refresh, client=device)

    assert OutstandingToken.objects.get().jti == pair.refresh.jti


@pytest.mark.usefixtures("_replaced_is_forgotten")
@pytest.mark.parametrize("scope", [None, *Scope])
def test_a_plain_token_is_good_once_all_the_same(plain, device, log_out, scope):
    pair = services.refresh(token=plain, client=device)
    if scope is not None:
        log_out(pair.access, scope=scope)

    with pytest.raises(TokenRevoked):
        services.refresh(token=plain, client=device)

    assert plain.jti in blacklisted()


@pytest.mark.usefixtures("_replaced_is_forgotten")
def test_a_token_that_is_blacklisted_for_a_moment_ends_the_login(phone, device):
    # With the refresh that it stops it is undone.
    meanwhile = blacklist_before(*ROTATION, jti=phone.refresh.jti)

    with meanwhile, pytest.raises(TokenRevoked):
        services.refresh(token=phone.refresh, client=device)

    assert not Session.objects.exists()
    assert LogoutEvent.objects.get().reason == Reason.REVOKED


# Following SimpleJWT's own rotation


@pytest.mark.usefixtures("way")
def test_a_refresh_goes_on_where_simplejwts_row_of_the_token_is_gone(phone, device):
    OutstandingToken.objects.all().delete()

    successor = services.refresh(token=phone.refresh, client=device).refresh

    assert Session.objects.get().refresh_jti == successor.jti
    assert OutstandingToken.objects.filter(jti=successor.jti).exists()
    assert BlacklistedToken.objects.get().token.jti == phone.refresh.jti


# Re-authenticating


def test_a_re_authentication_marks_its_own_login(user, phone, laptop):
    services.reauthenticate(session=logins_of.find_login(phone.access).session, user=user)

    assert logins_of.find_login(phone.access).session.recently_reauthenticated
    assert not logins_of.find_login(laptop.access).session.recently_reauthenticated


def test_an_ended_login_is_not_re_authenticated(user, phone, log_out):
    login = logins_of.find_login(phone.access)
    log_out(phone.access)

    with pytest.raises(TokenRevoked):
        services.reauthenticate(session=login.session, user=user)


# Logging out, with tokens of ours


@pytest.mark.parametrize("presented", ["access", "refresh"])
def test_logging_out_ends_this_login_alone(phone, laptop, log_out, presented):
    result = log_out(getattr(phone, presented))

    assert is_dead(phone.access)
    assert is_dead(phone.refresh)
    assert not is_dead(laptop.access)
    assert not is_dead(laptop.refresh)
    assert result.sessions_ended == 1
    assert blacklisted() == {phone.refresh.jti, getattr(phone, presented).jti}
    assert result.tokens_revoked == len(blacklisted())


def test_logging_out_with_both_tokens_revokes_both(phone, log_out):
    result = log_out(phone.refresh, phone.access)

    assert blacklisted() == {phone.refresh.jti, phone.access.jti}
    assert (result.sessions_ended, result.tokens_revoked) == (1, 2)


def test_logging_out_of_the_others_leaves_this_one(phone, laptop, browser_key, log_out):
    result = log_out(phone.access, scope=Scope.OTHERS)

    assert not is_dead(phone.access)
    assert not is_dead(phone.refresh)
    assert is_dead(laptop.access)
    assert is_dead(laptop.refresh)
    assert not SessionStore().exists(browser_key)
    assert (result.sessions_ended, result.tokens_revoked) == (2, 1)


def test_logging_out_of_refresh_tokens_lets_other_devices_run_out(phone, laptop, log_out):
    result = log_out(phone.access, scope=Scope.REFRESH_TOKENS)

    assert is_dead(phone.access)
    assert is_dead(phone.refresh)
    assert is_dead(laptop.refresh)
    assert not is_dead(laptop.access)
    left = logins_of.find_login(laptop.access).session.expire_date - timezone.now()
    assert left <= timedelta(minutes=5)
    assert (result.sessions_ended, result.tokens_revoked) == (1, 3)


def test_a_device_that_runs_out_is_not_refreshed_and_can_log_out(phone, laptop, device, log_out):
    log_out(phone.access, scope=Scope.REFRESH_TOKENS)

    with pytest.raises(TokenRevoked) as caught:
        services.refresh(token=laptop.refresh, client=device)
    assert not isinstance(caught.value, TokenReused)

    assert log_out(laptop.access, scope=Scope.REFRESH_TOKENS).sessions_ended == 1
    assert is_dead(laptop.access)


def test_a_refresh_token_can_revoke_all_refresh_tokens(phone, laptop, log_out):
    result = log_out(phone.refresh, scope=Scope.REFRESH_TOKENS)

    assert (result.sessions_ended, result.tokens_revoked) == (1, 2)
    assert is_dead(phone.access)
    assert is_dead(laptop.refresh)


@pytest.mark.usefixtures("browser_key")
@pytest.mark.parametrize("presented", ["access", "refresh"])
def test_logging_out_everywhere_ends_everything_of_the_user(
    phone, laptop, plain, log_out, presented
):
    access = tokens.decode_access(str(plain.access_token))
    log_out(getattr(phone, presented), scope=Scope.GLOBAL)

    for token in (phone.access, phone.refresh, laptop.access, laptop.refresh, plain):
        assert is_dead(token)
    assert is_dead(access)
    assert not Session.objects.exists()
    assert TokenVersion.objects.get().version > plain.issued_at


def test_a_token_minted_before_logging_out_everywhere_stays_dead_for_all_time(
    user, phone, device, log_out
):
    log_out(phone.access, scope=Scope.GLOBAL)

    assert not is_dead(services.log_in(user=user, client=device).access)
    assert is_dead(phone.access)


@pytest.mark.parametrize("scope", Scope)
def test_nobody_elses_login_ends(phone, stranger, device, log_out, scope):
    theirs = services.log_in(user=stranger, client=device)
    key = SessionStore()
    key["_auth_user_id"] = str(stranger.pk)
    key.save()

    log_out(phone.access, scope=scope, session_key=key.session_key)

    assert not is_dead(theirs.access)
    assert not is_dead(theirs.refresh)
    assert SessionStore().exists(key.session_key)


@pytest.mark.parametrize("presented", ["access", "refresh"])
def test_a_user_who_may_not_log_in_may_log_out(phone, log_out, monkeypatch, presented):
    monkeypatch.setattr(api_settings, "USER_AUTHENTICATION_RULE", lambda user: False)

    assert log_out(getattr(phone, presented)).sessions_ended == 1


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("presented", ["access", "refresh"])
def test_a_login_of_an_old_password_ends_nothing_but_itself(
    user, phone, device, log_out, scope, presented
):
    get_user_model().objects.update(password="another")  # no signal is sent
    tablet = services.log_in(user=get_user_model().objects.get(pk=user.pk), client=device)

    log_out(getattr(phone, presented), scope=scope)

    assert is_dead(phone.access)
    assert not is_dead(tablet.access)
    assert not is_dead(services.refresh(token=tablet.refresh, client=device).access)


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("presented", ["access", "refresh"])
def test_a_token_that_names_the_login_of_another_user_ends_nothing(
    stranger, phone, device, log_out, scope, presented
):
    theirs = services.log_in(user=stranger, client=device)
    signed = getattr(phone, presented)
    signed["sid"] = str(theirs.access.sid)
    before = everything()

    assert log_out(signed, scope=scope).events == ()

    assert everything() == before
    assert not is_dead(theirs.access)


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("presented", ["access", "refresh"])
def test_logging_out_again_changes_nothing(phone, laptop, log_out, scope, presented):
    log_out(phone.access, scope=Scope.SESSION)
    before = everything()

    result = log_out(getattr(phone, presented), scope=scope)

    assert (result.sessions_ended, result.tokens_revoked, result.events) == (0, 0, ())
    assert everything() == before
    assert not is_dead(laptop.access)


@pytest.mark.parametrize("scope", [scope for scope in Scope if scope is not Scope.OTHERS])
def test_a_refresh_token_that_has_just_got_a_successor_names_its_login(
    phone, device, log_out, scope
):
    current = services.refresh(token=phone.refresh, client=device)

    assert log_out(phone.refresh, scope=scope).sessions_ended == 1

    assert is_dead(current.access)
    assert is_dead(current.refresh)


@pytest.mark.parametrize("scope", Scope)
def test_a_refresh_token_that_has_a_successor_ends_nothing(
    phone, laptop, device, log_out, scope, after_grace
):
    current = services.refresh(token=phone.refresh, client=device)
    after_grace()
    before = everything()

    assert log_out(laptop.access, phone.refresh, scope=scope).events == ()

    assert everything() == before
    assert not is_dead(current.refresh)


def test_an_access_token_from_before_a_refresh_ends_the_login(phone, device, log_out):
    current = services.refresh(token=phone.refresh, client=device)

    log_out(phone.access)

    assert is_dead(current.access)
    assert is_dead(current.refresh)
    assert blacklisted() == {phone.refresh.jti, phone.access.jti, current.refresh.jti}


def test_logging_out_of_the_others_revokes_tokens_that_have_no_login(phone, plain, log_out):
    result = log_out(phone.access, scope=Scope.OTHERS)

    assert (result.sessions_ended, result.tokens_revoked) == (0, 1)
    assert is_dead(plain)
    assert not is_dead(phone.refresh)


def test_logging_out_of_the_others_when_there_are_none_is_no_event(phone, log_out):
    result = log_out(phone.access, scope=Scope.OTHERS)

    assert result.events == ()
    assert not LogoutEvent.objects.exists()


@pytest.mark.parametrize("scope", [Scope.SESSION, Scope.REFRESH_TOKENS, Scope.GLOBAL])
def test_the_browser_session_that_came_along_ends_too(phone, browser_key, log_out, scope):
    result = log_out(phone.access, scope=scope, session_key=browser_key)

    assert result.sessions_ended == 2
    assert not SessionStore().exists(browser_key)


@pytest.mark.parametrize("scope", [Scope.SESSION, Scope.REFRESH_TOKENS])
def test_a_browser_session_that_did_not_come_along_stays(phone, browser_key, log_out, scope):
    log_out(phone.access, scope=scope)

    assert SessionStore().exists(browser_key)


# Logging out, with tokens of plain SimpleJWT


def test_a_plain_token_logs_itself_out(plain, phone, log_out):
    access = tokens.decode_access(str(plain.access_token))

    result = log_out(access)

    assert is_dead(access)
    assert not is_dead(phone.access)
    assert (result.sessions_ended, result.tokens_revoked) == (0, 1)
    assert result.events[0].session_id is None
    assert result.events[0].token_jti == access.jti


def test_a_pair_of_plain_tokens_logs_out(plain, log_out):
    access = tokens.decode_access(str(plain.access_token))

    assert log_out(plain, access).tokens_revoked == 2
    assert is_dead(access)
    assert is_dead(plain)


def test_a_plain_token_ends_the_browser_session_that_came_along(plain, browser_key, log_out):
    assert log_out(plain, session_key=browser_key).sessions_ended == 1
    assert not SessionStore().exists(browser_key)


def test_a_plain_token_revokes_all_refresh_tokens(plain, phone, log_out):
    result = log_out(plain, scope=Scope.REFRESH_TOKENS)

    assert is_dead(plain)
    assert is_dead(phone.refresh)
    assert not is_dead(phone.access)
    assert (result.sessions_ended, result.tokens_revoked) == (0, 2)


def test_a_plain_token_logs_out_everywhere(plain, phone, browser_key, log_out):
    result = log_out(plain, scope=Scope.GLOBAL)

    assert is_dead(plain)
    assert is_dead(phone.access)
    assert (result.sessions_ended, result.tokens_revoked) == (2, 2)


def test_a_plain_token_logs_out_the_others(plain, phone, browser_key, log_out):
    result = log_out(plain, scope=Scope.OTHERS)

    assert not is_dead(plain)
    assert is_dead(phone.access)
    assert (result.sessions_ended, result.tokens_revoked) == (2, 1)


@pytest.mark.parametrize("scope", Scope)
def test_a_plain_token_that_has_logged_out_ends_nothing(plain, phone, log_out, scope):
    log_out(plain)
    before = everything()

    result = log_out(plain, scope=scope)

    assert result.events == ()
    assert everything() == before
    assert not is_dead(phone.access)


# Browser logins


def test_a_browser_session_of_the_user_ends(user, phone, browser_key, device):
    sid = Session.objects.get(session_key=hash_key(browser_key)).sid

    result = services.end_browser_session(user=user, session_key=browser_key, client=device)

    assert not SessionStore().exists(browser_key)
    assert not is_dead(phone.access)
    assert (result.sessions_ended, result.tokens_revoked) == (1, 0)
    assert (result.events[0].scope, result.events[0].session_id, result.events[0].token_jti) == (
        "session",
        sid,
        "",
    )


def test_a_browser_session_of_a_stranger_stays(stranger, browser_key, device):
    result = services.end_browser_session(user=stranger, session_key=browser_key, client=device)

    assert result.events == ()
    assert SessionStore().exists(browser_key)


@pytest.mark.parametrize("key", ["", "unknown", "\ud800"])
def test_an_unknown_browser_session_is_no_event(user, device, key):
    result = services.end_browser_session(user=user, session_key=key, client=device)

    assert (result.sessions_ended, result.events) == (0, ())
    assert not LogoutEvent.objects.exists()


# The record


@pytest.mark.parametrize("scope", Scope)
def test_a_logout_is_on_record(user, phone, laptop, log_out, scope):
    result = log_out(phone.access, scope=scope)

    event = LogoutEvent.objects.get()
    assert event == result.events[0]
    assert (event.user, event.actor, event.username) == (user, None, "ana")
    assert (event.initiator, event.reason, event.scope) == ("user", "logout", scope)
    assert (event.session_id, event.token_jti) == (phone.access.sid, phone.access.jti)
    assert event.sessions_ended == result.sessions_ended
    assert event.tokens_revoked == result.tokens_revoked
    assert (event.ip_address, event.user_agent, event.request_id) == (
        "192.0.2.7",
        "Phone/1",
        "r-1",
    )
    assert abs(timezone.now() - event.occurred_at) < timedelta(seconds=10)


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize(
    "statements",
    [
        BLACKLISTING,
        ('INSERT INTO "drf_logout_logoutevent"', "WITH ended "),
        ('DELETE FROM "drf_logout_session"', "WITH ended "),
    ],
    ids=["blacklist", "record", "end"],
)
def test_a_logout_that_fails_leaves_the_login_whole(phone, laptop, log_out, scope, statements):
    before = everything()

    with failing(*statements), pytest.raises(OperationalError):
        log_out(phone.access, scope=scope)

    assert everything() == before
    assert not is_dead(phone.access)
    assert not is_dead(laptop.refresh)


def test_a_browser_logout_that_fails_leaves_the_session_whole(user, browser_key, device):
    with failing('INSERT INTO "drf_logout_logoutevent"'), pytest.raises(OperationalError):
        services.end_browser_session(user=user, session_key=browser_key, client=device)

    assert SessionStore().exists(browser_key)


def test_a_host_that_listens_to_deletions_hears_of_a_logout(phone, log_out):
    heard = []

    def listen(instance, **kwargs):
        heard.append(instance.sid)

    post_delete.connect(listen, sender=Session)
    try:
        log_out(phone.access)
    finally:
        post_delete.disconnect(listen, sender=Session)

    assert heard == [phone.access.sid]
    assert is_dead(phone.access)


# What is announced


@pytest.mark.usefixtures("laptop")
@pytest.mark.parametrize("scope", Scope)
def test_a_logout_is_announced_after_the_commit(
    phone, log_out, announced, django_capture_on_commit_callbacks, scope
):
    with django_capture_on_commit_callbacks(execute=True):
        event = log_out(phone.access, scope=scope).events[0]
        assert announced == []

    assert announced == [event]


@pytest.mark.django_db(transaction=True)
def test_a_logout_that_is_undone_is_not_announced(phone, log_out, announced):
    def fail_afterwards():
        with transaction.atomic():
            log_out(phone.access)
            raise Undone("")

    with pytest.raises(Undone):
        fail_afterwards()

    assert announced == []
    assert not is_dead(phone.access)
    assert not LogoutEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_receiver_that_fails_does_not_fail_the_logout(phone, log_out):
    def fail(**kwargs):
        raise RuntimeError

    login_ended.connect(fail)
    try:
        assert log_out(phone.access).events
    finally:
        login_ended.disconnect(fail)

    assert is_dead(phone.access)


@pytest.mark.parametrize("scope", Scope)
def test_a_logout_that_ends_nothing_is_not_announced(
    phone, log_out, announced, django_capture_on_commit_callbacks, scope
):
    log_out(phone.access)

    with django_capture_on_commit_callbacks(execute=True):
        log_out(phone.access, scope=scope)

    assert announced == []


# Lost races


@pytest.fixture
def service():
    """A service that is undone as often as there are errors, and then returns."""

    def build(*errors):
        left = list(errors)

        @retried
        def run():
            if left:
                raise left.pop(0)
            return "done"

        return run

    return build


def undone(sqlstate):
    error = OperationalError()
    error.__cause__ = Undone(sqlstate)
    return error


LOST = [IntegrityError(), undone("40001"), undone("40P01")]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", LOST, ids=["conflict", "serialization", "deadlock"])
def test_a_lost_race_is_run_once_more(service, error):
    assert service(error)() == "done"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", LOST, ids=["conflict", "serialization", "deadlock"])
def test_a_race_that_is_lost_twice_is_an_error(service, error):
    with pytest.raises(type(error)):
        service(error, error)()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", [OperationalError(), undone("57014"), undone("08006")])
def test_a_database_that_is_down_is_not_asked_again(service, error):
    with pytest.raises(OperationalError):
        service(error)()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", LOST, ids=["conflict", "serialization", "deadlock"])
def test_inside_of_a_callers_transaction_nothing_is_run_again(service, error):
    with pytest.raises(type(error)), transaction.atomic():
        service(error)()


@pytest.mark.django_db(transaction=True)
def test_two_first_log_ins_in_the_same_moment_are_both_logins(user, device):
    def make_the_row_first(execute, sql, *args):
        if sql.startswith('INSERT INTO "drf_logout_tokenversion"') and not raced:
            raced.append(True)
            execute(sql, *args)
        return execute(sql, *args)

    raced = []
    with connection.execute_wrapper(make_the_row_first):
        pair = services.log_in(user=user, client=device)

    assert raced
    assert not is_dead(pair.access)
    assert Session.objects.count() == OutstandingToken.objects.count() == 1


# Beside SimpleJWT's blacklist, and replicas


def test_a_plain_token_that_is_revoked_ends_nothing_beside_another(user, device):
    plain = tokens.decode_refresh(str(SimpleJWTRefreshToken.for_user(user)))
    access = tokens.decode_access(str(plain.access_token))
    blacklist.blacklist_jtis(plain.jti)

    result = services.log_out(proof=plain, named=access, scope=Scope.SESSION, client=device)

    assert result.events == ()
    assert not blacklist.is_blacklisted(access.jti)


class NoReplica:
    """A router to a replica that is not there: what reads it fails."""

    def db_for_read(self, model, **hints):
        return "replica" if model._meta.app_label in {"drf_logout", "token_blacklist"} else None


@pytest.mark.parametrize("scope", Scope)
def test_what_decides_is_read_from_the_primary_database(
    settings, user, device, phone, laptop, is_in, client, scope
):
    settings.DATABASE_ROUTERS = [f"{__name__}.NoReplica"]
    client.force_login(user)
    assert client.get("/admin/login/").status_code == 200

    assert is_in(phone.access)
    services.log_out(proof=phone.access, scope=scope, client=device)

    assert is_in(phone.access) == (scope == Scope.OTHERS)


# Ending logins by their rows


UNCHANGED = LogoutResult()


@pytest.fixture
def hers(stranger, device):
    """A login of a stranger."""
    return services.log_in(user=stranger, client=device)


@pytest.fixture
def by_administrator(admin_user):
    return Cause(reason=Reason.ADMINISTRATIVE, initiator=Initiator.ADMIN, actor=admin_user)


@pytest.mark.usefixtures("browser_key")
def test_logins_of_several_users_end_each_on_record_for_itself(
    user, stranger, phone, laptop, hers, admin_user, by_administrator
):
    ended = Session.objects.exclude(sid=laptop.refresh.sid)
    browser = Session.objects.get(kind=Session.Kind.BROWSER)

    result = services.end_sessions(sessions=ended, cause=by_administrator)

    assert (result.sessions_ended, result.tokens_revoked) == (3, 2)
    events = {event.session_id: event for event in LogoutEvent.objects.all()}
    assert set(result.events) == set(events.values())
    assert {sid: event.user for sid, event in events.items()} == {
        phone.refresh.sid: user,
        hers.refresh.sid: stranger,
        browser.sid: user,
    }
    for event in events.values():
        assert (event.scope, event.reason, event.initiator, event.actor, event.sessions_ended) == (
            "session",
            "administrative",
            "admin",
            admin_user,
            1,
        )
    assert events[browser.sid].tokens_revoked == 0
    assert is_dead(phone.access)
    assert is_dead(hers.access)
    assert not is_dead(laptop.access)
    assert blacklisted() == {phone.refresh.jti, hers.refresh.jti}


def test_an_end_that_no_device_asked_for_is_recorded_of_the_logins_own(phone, device):
    services.end_sessions(sessions=Session.objects.all(), cause=Cause())

    event = LogoutEvent.objects.get()
    assert (event.ip_address, event.user_agent) == (device.ip_address, device.user_agent)


def test_an_end_that_a_device_asked_for_is_recorded_of_that(phone):
    desk = ClientInfo(ip_address="203.0.113.9", user_agent="Desk/1", request_id="r-2")

    services.end_sessions(sessions=Session.objects.all(), cause=Cause(client=desk))

    event = LogoutEvent.objects.get()
    assert (event.ip_address, event.user_agent, event.request_id) == (
        "203.0.113.9",
        "Desk/1",
        "r-2",
    )


def test_sessions_of_nobody_are_no_logins_to_end():
    SessionStore().save(must_create=True)

    assert services.end_sessions(sessions=Session.objects.all(), cause=Cause()) == UNCHANGED
    assert Session.objects.count() == 1
    with pytest.raises(ValueError, match="anonymous"):
        services.end_others(keep=Session.objects.get(), cause=Cause())


def test_logins_that_have_ended_do_not_end_again(phone):
    services.end_sessions(sessions=Session.objects.all(), cause=Cause())

    assert services.end_sessions(sessions=Session.objects.all(), cause=Cause()) == UNCHANGED
    assert LogoutEvent.objects.count() == 1


def test_the_rows_of_a_list_with_their_users_can_be_ended(phone):
    shown = Session.objects.select_related("user").order_by("-last_seen_at")

    assert services.end_sessions(sessions=shown, cause=Cause()).sessions_ended == 1


@pytest.mark.usefixtures("browser_key", "plain")
def test_the_other_logins_of_a_login_end(user, phone, laptop, hers):
    keep = Session.objects.get(sid=phone.refresh.sid)

    result = services.end_others(keep=keep, cause=Cause())

    assert (result.sessions_ended, result.tokens_revoked) == (2, 2)
    event = LogoutEvent.objects.get()
    assert result.events == (event,)
    assert (event.user, event.scope, event.session_id) == (user, "others", keep.sid)
    assert list(Session.objects.of(user)) == [keep]
    assert not is_dead(phone.access)
    assert not is_dead(phone.refresh)
    assert is_dead(laptop.access)
    assert not is_dead(hers.access)
    assert services.end_others(keep=keep, cause=Cause()) == UNCHANGED
    assert LogoutEvent.objects.count() == 1


def test_a_login_that_has_ended_ends_no_others(phone, laptop):
    keep = Session.objects.get(sid=phone.refresh.sid)
    Session.objects.filter(pk=keep.pk).delete()

    assert services.end_others(keep=keep, cause=Cause()) == UNCHANGED
    assert not is_dead(laptop.access)


def test_everything_of_a_user_ends_and_nothing_of_another(
    user, admin_user, plain, phone, browser_key, hers, by_administrator
):
    result = services.end_all(user=user, cause=by_administrator)

    assert (result.sessions_ended, result.tokens_revoked) == (2, 2)
    event = LogoutEvent.objects.get()
    assert result.events == (event,)
    assert (event.user, event.actor, event.actor_name, event.scope, event.session_id) == (
        user,
        admin_user,
        "admin",
        "global",
        None,
    )
    assert all(is_dead(token) for token in (phone.access, phone.refresh, plain))
    assert not Session.objects.of(user).exists()
    assert not is_dead(hers.access)
    assert not is_dead(hers.refresh)


def test_a_user_who_ends_their_own_logins_is_no_actor(user, phone):
    services.end_all(user=user, cause=Cause(actor=user))

    event = LogoutEvent.objects.get()
    assert (event.actor, event.actor_name) == (None, "")


def deactivate(user):
    get_user_model().objects.filter(pk=user.pk).update(is_active=False)
    return services.user_deactivated(user=user)


ENDINGS = {
    "end_sessions": lambda keep: services.end_sessions(
        sessions=Session.objects.of(keep.user), cause=Cause()
    ),
    "end_others": lambda keep: services.end_others(keep=keep, cause=Cause()),
    "end_all": lambda keep: services.end_all(user=keep.user, cause=Cause()),
    "secure_account": lambda keep: services.secure_account(user=keep.user, cause=Cause()),
    "user_deactivated": lambda keep: deactivate(keep.user),
    "user_deleted": lambda keep: services.user_deleted(user=keep.user),
}


def add_logins(user, count):
    """Add logins of a user, each with a refresh token that SimpleJWT knows of."""
    now = timezone.now()
    sids = [uuid.uuid4() for _ in range(count)]
    Session.objects.bulk_create(
        Session(
            session_key=sid.hex,
            sid=sid,
            user=user,
            kind=Session.Kind.TOKEN,
            auth_hash=user.get_session_auth_hash(),
            authenticated_at=now,
            last_seen_at=now,
            expire_date=now + timedelta(days=1),
            refresh_jti=str(sid),
        )
        for sid in sids
    )
    OutstandingToken.objects.bulk_create(
        OutstandingToken(
            user=user,
            jti=str(sid),
            token="",
            created_at=now,
            expires_at=now + timedelta(days=1),
        )
        for sid in sids
    )


@pytest.mark.postgresql
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_thousand_logins_end_in_as_many_statements_as_two(user, stranger, phone, hers, ending):
    counts = []
    for owner, pair, logins in ((user, phone, 1), (stranger, hers, 1_000)):
        add_logins(owner, logins)
        keep = Session.objects.select_related("user").get(sid=pair.refresh.sid)
        TokenVersion.objects.get_or_create(user=owner)
        with CaptureQueriesContext(connection) as statements:
            result = ENDINGS[ending](keep)
        assert result.sessions_ended == logins + (ending != "end_others")
        counts.append(len(statements))

    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    "statement",
    [
        ('DELETE FROM "drf_logout_session"',),
        BLACKLISTING,
        ('INSERT INTO "drf_logout_logoutevent"', "WITH ended "),
    ],
    ids=["rows", "blacklist", "record"],
)
@pytest.mark.parametrize("ending", ENDINGS)
def test_an_ending_that_fails_ends_nothing(user, phone, laptop, ending, statement):
    keep = Session.objects.get(sid=phone.refresh.sid)
    before = everything()

    with failing(*statement), pytest.raises(OperationalError):
        ENDINGS[ending](keep)

    assert everything() == before


# Logins that turn out to have ended


def test_a_login_that_ran_out_ends_once_with_its_limit_as_the_reason(settings, phone):
    settings.ACCOUNTS = {"IDLE_TIMEOUT": 600}
    Session.objects.update(last_seen_at=timezone.now() - timedelta(minutes=20))
    session = Session.objects.get()

    first, second = (services.run_out(session=session) for _ in range(2))

    assert first.events == (LogoutEvent.objects.get(),)
    assert (first.events[0].reason, first.events[0].initiator) == ("idle_timeout", "policy")
    assert second == UNCHANGED
    assert is_dead(phone.refresh)


def test_a_login_that_was_used_meanwhile_has_not_run_out(settings, phone):
    settings.ACCOUNTS = {"IDLE_TIMEOUT": 600}
    Session.objects.update(last_seen_at=timezone.now() - timedelta(minutes=20))
    found = Session.objects.get()
    Session.objects.update(last_seen_at=timezone.now())

    assert services.run_out(session=found) == UNCHANGED
    assert services.run_out(session=Session.objects.get()) == UNCHANGED
    assert not is_dead(phone.access)


def test_a_login_with_an_old_password_that_proves_to_be_the_one_that_changed_it_stays(user, phone):
    found = Session.objects.get()
    user.set_password("another password")
    type(user).objects.filter(pk=user.pk).update(password=user.password)
    services.keep_session(session=found, user=user)
    found.user = user

    assert services.discard(session=found) == UNCHANGED
    assert not is_dead(phone.access)


def test_no_login_of_a_user_who_has_gone_is_out_of_date(user, stranger, hers):
    gone = type(user)(pk=user.pk + stranger.pk, username="gone")

    assert end_outdated(user=gone) == UNCHANGED


def test_a_login_of_another_is_not_kept(user, phone, hers):
    user.set_password("another password")
    services.keep_session(session=Session.objects.get(sid=hers.refresh.sid), user=user)
    user.save()

    assert not is_dead(hers.access)
    assert is_dead(phone.access)


# Room for another login


def test_the_oldest_login_makes_room(settings, user, phone, laptop, device, hers):
    settings.ACCOUNTS = {"MAX_SESSIONS": 2}

    third = services.log_in(user=user, client=device)

    assert is_dead(phone.access)
    event = LogoutEvent.objects.get()
    assert (event.reason, event.initiator, event.session_id) == (
        "max_sessions",
        "policy",
        phone.refresh.sid,
    )
    assert not any(is_dead(pair.access) for pair in (laptop, third, hers))


def test_a_login_that_has_run_out_takes_no_room(settings, user, phone, laptop, device):
    settings.ACCOUNTS = {"MAX_SESSIONS": 2}
    Session.objects.filter(sid=laptop.refresh.sid).update(expire_date=timezone.now())

    services.log_in(user=user, client=device)

    assert not is_dead(phone.access)
    assert not LogoutEvent.objects.exists()


# After the request


@pytest.fixture
def a_request():
    """A request that is being answered; call it for its end."""

    def finish():
        request_finished.send(sender=None)

    request_started.send(sender=None)
    return finish


def test_without_a_request_nothing_waits():
    calls = []

    after_request(lambda: calls.append("done"))

    assert calls == ["done"]


@pytest.mark.django_db(transaction=True)
def test_what_waits_for_the_end_of_a_request_is_called_once_and_in_order(a_request):
    calls = []
    after_request(lambda: calls.append("first"))
    after_request(lambda: after_request(lambda: calls.append("from within")))
    after_request(lambda: calls.append("last"))
    assert calls == []

    a_request()
    request_started.send(sender=None)
    a_request()

    assert calls == ["first", "from within", "last"]


@pytest.mark.django_db(transaction=True)
def test_what_fails_after_a_request_stops_nothing_else(a_request, caplog):
    calls = []
    after_request(lambda: calls[0])
    after_request(lambda: calls.append("done"))

    a_request()

    assert calls == ["done"]
    assert "Could not end logins after the request" in caplog.text
    assert "IndexError" in caplog.text


def test_a_request_that_was_never_finished_leaves_nothing_to_the_next(a_request):
    calls = []
    after_request(lambda: calls.append("of the first"))

    request_started.send(sender=None)
    a_request()

    assert calls == []


def test_a_request_that_is_finished_twice_is_finished(a_request):
    a_request()
    a_request()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_what_ends_after_a_request_leaves_no_connection_open(rf, user, phone):
    # In the order of production; Django's test clients change it.
    request_finished.disconnect(_finish_request)
    request_finished.connect(_finish_request)
    type(user).objects.filter(pk=user.pk).update(password="!")
    seen = []

    def serve():
        request = rf.get("/user", headers={"Authorization": f"Bearer {phone.access}"})
        answer = WSGIHandler()(request.environ, lambda status, headers: seen.append(status))
        answer.close()
        seen.append(connection.connection)
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()

    assert seen == ["401 Unauthorized", None]
    assert LogoutEvent.objects.get().reason == "password_changed"


def test_a_plain_token_has_no_login_that_a_password_could_end(user):
    services.keep_session(session=None, user=user)

    assert not Session.objects.exists()
