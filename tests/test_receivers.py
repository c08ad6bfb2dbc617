"""What happens outside of the app: SimpleJWT's own code, and Django's log-in and logout."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import alogin, alogout, authenticate, login, logout
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.backends.db import SessionStore as DjangoSessionStore
from django.test import RequestFactory
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken as SimpleJWTRefreshToken

from accounts import logins, services, tokens
from accounts.exceptions import TokenRevoked
from accounts.models import LogoutEvent, Session
from accounts.services import Cause, Initiator, Reason, Scope
from accounts.sessions import SessionStore, hash_key

pytestmark = pytest.mark.django_db

BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture
def request_of(user):
    """A request of the user's, from a client with this session."""

    async def async_user():
        return user

    def build(session):
        request = RequestFactory().get(
            "/", REMOTE_ADDR="198.51.100.7", headers={"user-agent": "Firefox", "x-request-id": "r"}
        )
        request.user, request.auser = user, async_user
        if session is not None:
            request.session = session
        return request

    return build


@pytest.fixture
def browser(user, request_of):
    """A request of a logged-in browser."""
    request = request_of(SessionStore())
    login(request, user, BACKEND)
    request.session.save()
    return request


# No raw token at rest


def obtained(user):
    return SimpleJWTRefreshToken.for_user(user)


def outstood(user):
    token = SimpleJWTRefreshToken()
    token["sub"] = str(user.pk)
    token.outstand()
    return token


def blacklisted(user):
    token = SimpleJWTRefreshToken()
    token["sub"] = str(user.pk)
    token.blacklist()
    return token


def created(user):
    token = SimpleJWTRefreshToken()
    OutstandingToken.objects.create(
        user=user, jti=token["jti"], token=str(token), expires_at=token.current_time
    )
    return token


@pytest.mark.parametrize("keep", [obtained, outstood, blacklisted, created])
def test_no_raw_token_is_kept(user, keep):
    token = keep(user)

    row = OutstandingToken.objects.get(jti=token["jti"])
    assert row.token == ""
    assert str(token) not in str(OutstandingToken.objects.values())


def test_a_raw_token_that_is_saved_later_is_not_kept_either(user):
    token = obtained(user)
    row = OutstandingToken.objects.get()
    row.token = str(token)

    row.save()

    row.refresh_from_db()
    assert row.token == ""


# A rotation by SimpleJWT's own code


def rotate(refresh):
    """Do what SimpleJWT's own refresh view does."""
    refresh.blacklist()
    refresh.set_jti()
    refresh.set_exp()
    refresh.set_iat()
    refresh.outstand()
    return tokens.decode_refresh(str(refresh))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("scope", [None, *Scope])
def test_a_rotation_by_simplejwt_brings_no_login_past_its_end(phone, laptop, device, scope):
    in_flight = SimpleJWTRefreshToken(str(laptop.refresh))
    if scope is not None:
        presented = laptop if scope == Scope.SESSION else phone
        services.log_out(proof=presented.access, scope=scope, client=device)

    with pytest.raises(TokenError):
        rotate(in_flight)

    assert not OutstandingToken.objects.filter(jti=in_flight["jti"]).exists()
    with pytest.raises(TokenRevoked):
        logins.find_login(laptop.refresh)


def test_the_rotation_of_a_plain_token_needs_no_login(user):
    successor = rotate(obtained(user))

    assert logins.find_login(successor).user == user
    assert not Session.objects.exists()


# Django's own log-in


@pytest.mark.parametrize("log_in", [login, async_to_sync(alogin)])
def test_a_log_in_notes_whose_browser_it_is(user, request_of, log_in):
    request = request_of(SessionStore())

    log_in(request, user, BACKEND)
    request.session.save()

    session = Session.objects.of(user).get()
    assert (session.ip_address, session.user_agent) == ("198.51.100.7", "Firefox")


def test_a_log_in_without_a_request_or_a_session_of_ours_is_left_alone(user, request_of):
    for request in (None, request_of(None), request_of(DjangoSessionStore())):
        answers = user_logged_in.send_robust(sender=type(user), request=request, user=user)
        assert [error for _, error in answers if error] == []


# Django's own logout


@pytest.mark.parametrize("log_out", [logout, async_to_sync(alogout)])
def test_a_logout_by_django_is_on_record(
    user, browser, security_log, log_out, django_capture_on_commit_callbacks
):
    sid = Session.objects.get().sid

    with django_capture_on_commit_callbacks(execute=True):
        log_out(browser)

    assert not Session.objects.exists()
    event = LogoutEvent.objects.get()
    assert (event.user, event.scope, event.reason, event.initiator) == (
        user,
        "session",
        "logout",
        "user",
    )
    assert (event.session_id, event.sessions_ended, event.tokens_revoked) == (sid, 1, 0)
    assert (event.ip_address, event.user_agent, event.request_id) == (
        "198.51.100.7",
        "Firefox",
        "r",
    )
    [line] = security_log()
    assert (line["event"], line["result"], line["user"]) == (
        "session_logout",
        "success",
        str(user.pk),
    )
    assert (line["session"], line["status"]) == (str(sid), None)


def test_a_logout_by_django_leaves_the_phone_in(is_in, browser, phone):
    logout(browser)

    assert is_in(phone.access)


def test_a_logout_of_a_session_that_has_ended_is_not_recorded_again(browser, security_log):
    Session.objects.all().delete()

    logout(browser)

    assert not LogoutEvent.objects.exists()
    assert security_log() == []


def test_a_logout_of_nobody_is_not_recorded(request_of, security_log):
    request = request_of(SessionStore())
    request.user = AnonymousUser()
    request.session["basket"] = 3
    request.session.save()

    logout(request)

    assert not LogoutEvent.objects.exists()
    assert security_log() == []


def test_a_logout_of_one_user_leaves_the_session_of_another_to_them(browser, stranger):
    key = browser.session.session_key

    user_logged_out.send(sender=type(stranger), request=browser, user=stranger)

    assert SessionStore().exists(key)
    assert Session.objects.get().session_key == hash_key(key)
    assert not LogoutEvent.objects.exists()


def test_a_logout_without_a_request_or_a_session_of_ours_is_left_alone(user, request_of):
    for request in (
        None,
        request_of(None),
        request_of(SessionStore()),
        request_of(DjangoSessionStore("k" * 32)),
    ):
        user_logged_out.send(sender=type(user), request=request, user=user)

    assert not LogoutEvent.objects.exists()
    assert not BlacklistedToken.objects.exists()


# The security log


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("reason", "name"),
    [
        (Reason.EXPIRED, "session_expired"),
        (Reason.IDLE_TIMEOUT, "session_expired"),
        (Reason.ABSOLUTE_TIMEOUT, "session_expired"),
        (Reason.MAX_SESSIONS, "session_logout"),
        (Reason.PASSWORD_CHANGED, "session_logout"),
    ],
)
def test_a_login_that_a_rule_ends_is_in_the_log(user, phone, security_log, reason, name):
    cause = Cause(reason=reason, initiator=Initiator.POLICY)
    services.end_sessions(sessions=Session.objects.all(), cause=cause)

    [line] = security_log()
    assert (line["event"], line["action"], line["reason"], line["result"]) == (
        name,
        "end_session",
        reason,
        "success",
    )
    assert (line["user"], line["session"]) == (str(user.pk), str(phone.refresh.sid))
    assert (line["source_ip"], line["user_agent"]) == ("192.0.2.7", "Phone/1")


@pytest.mark.django_db(transaction=True)
def test_the_end_of_a_deleted_users_logins_is_in_the_log_with_their_id(user, phone, security_log):
    key = user.pk
    user.delete()

    [line] = security_log()
    assert (line["event"], line["reason"]) == ("session_logout", "user_deleted")
    assert (line["user"], line["session"]) == (str(key), None)


@pytest.mark.django_db(transaction=True)
def test_what_a_user_asked_for_is_logged_by_who_was_asked(phone, security_log):
    services.end_sessions(sessions=Session.objects.all(), cause=Cause())

    assert security_log() == []


def test_a_failure_that_no_request_came_with_is_not_logged(db, security_log):
    assert authenticate(None, username="ana", password="wrong") is None

    assert security_log() == []
