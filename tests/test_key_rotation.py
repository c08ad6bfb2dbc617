"""New keys log nobody out, and a key that is gone proves nothing."""

from __future__ import annotations

import jwt
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.checks import run_checks
from django.db import connection
from django.test import Client
from rest_framework_simplejwt.state import token_backend

from accounts import services
from accounts.api.serializers import TokenRefreshSerializer
from accounts.clients import ClientInfo
from accounts.models import LogoutEvent, Session
from accounts.tokens import decode_access, decode_refresh
from tests.documents import code, run
from tests.http import PASSWORD

OLD = token_backend.signing_key
NEW = "the new key of the tokens, which is long enough for HS256"
OTHER = "a key of somebody else, which is long enough for HS256 too"


@pytest.fixture
def sign_with(monkeypatch, settings):
    """Deploy with this signing key and these fallbacks."""

    def deploy(key, *fallbacks):
        token_backend.__dict__.pop("prepared_signing_key", None)
        monkeypatch.setattr(token_backend, "signing_key", key)
        settings.ACCOUNTS = {"SIGNING_KEY_FALLBACKS": list(fallbacks)}

    yield deploy
    token_backend.__dict__.pop("prepared_signing_key", None)


@pytest.fixture
def call(client):
    def send(path, bearer=None, **body):
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return client.post(path, body, content_type="application/json", headers=headers)

    return send


@pytest.fixture
def refresh(call):
    def send(token):
        return call("/token", grant_type="refresh_token", refresh_token=str(token))

    return send


@pytest.fixture
def raw(phone):
    """The phone's tokens as it has them: signed with the key of their time."""
    return str(phone.access), str(phone.refresh)


def signed_by(token, key):
    try:
        jwt.decode(token, key, algorithms=["HS256"])
    except jwt.InvalidSignatureError:
        return False
    return True


# The key of the tokens


def test_a_new_key_logs_nobody_out(sign_with, is_in, refresh, raw):
    access, token = raw
    sign_with(NEW, OLD)

    assert is_in(access)
    answer = refresh(token)
    assert answer.status_code == 200
    assert is_in(answer.json()["access_token"])
    assert is_in(access)
    assert not LogoutEvent.objects.exists()


def test_the_second_step_of_the_page_logs_nobody_out(sign_with, is_in, raw):
    [step] = code("docs/how-to/keys.md", "python", "Change the keys")
    deployed = run(step, SIMPLE_JWT={}, ACCOUNTS={}, OLD_KEY=OLD, NEW_KEY=NEW)

    sign_with(deployed.SIMPLE_JWT["SIGNING_KEY"], *deployed.ACCOUNTS["SIGNING_KEY_FALLBACKS"])

    assert is_in(raw[0])


def test_each_process_accepts_what_another_one_signs_with_the_next_key(sign_with, user, device):
    sign_with(NEW, OLD)
    ahead = services.log_in(user=user, client=device)
    raw = str(ahead.access), str(ahead.refresh)

    sign_with(OLD, NEW)

    assert decode_access(raw[0]).sid == decode_refresh(raw[1]).sid == ahead.access.sid


def test_what_is_signed_is_signed_with_the_new_key(sign_with, refresh, raw):
    sign_with(NEW, OLD)

    answer = refresh(raw[1]).json()

    assert signed_by(answer["access_token"], NEW)
    assert signed_by(answer["refresh_token"], NEW)
    assert not signed_by(answer["refresh_token"], OLD)


def test_a_login_that_was_refreshed_outlives_the_old_key(sign_with, is_in, refresh, raw):
    sign_with(NEW, OLD)
    tokens = refresh(raw[1]).json()

    sign_with(NEW)

    assert is_in(tokens["access_token"])
    assert refresh(tokens["refresh_token"]).status_code == 200


def test_a_key_that_is_gone_proves_nothing(sign_with, is_in, call, refresh, raw):
    access, token = raw
    sign_with(NEW)

    assert not is_in(access)
    assert refresh(token).json()["error"] == "invalid_grant"
    assert call("/logout", access).status_code == 401
    assert Session.objects.count() == 1


def test_an_answer_that_was_lost_is_given_again_under_the_new_key(sign_with, refresh, raw):
    first = refresh(raw[1]).json()["refresh_token"]
    sign_with(NEW, OLD)

    again = refresh(raw[1]).json()["refresh_token"]

    assert decode_refresh(again).payload == decode_refresh(first).payload


@pytest.mark.parametrize("scope", ["session", "others", "refresh_tokens", "global"])
def test_a_token_of_the_old_key_logs_out(sign_with, call, is_in, raw, scope):
    access, token = raw
    sign_with(NEW, OLD)

    assert call("/logout", access, scope=scope, token=token).status_code == 200
    assert is_in(access) == (scope == "others")


def test_what_has_ended_stays_ended_under_a_new_key(sign_with, call, is_in, refresh, raw):
    access, token = raw
    assert call("/logout", access).status_code == 200

    sign_with(NEW, OLD)

    assert not is_in(access)
    assert refresh(token).status_code == 400
    assert call("/logout", access).status_code == 200
    assert LogoutEvent.objects.count() == 1


def test_an_expired_token_of_the_old_key_has_expired(sign_with, call, phone, raw):
    phone.access["exp"] = 1
    expired = str(phone.access)
    sign_with(NEW, OLD)

    answer = call("/api/v1/auth/logout", expired)
    assert (answer.status_code, answer.json()["message"]) == (403, "El token ha expirado")
    assert call("/logout", expired, token=raw[1]).status_code == 200


@pytest.mark.parametrize(
    ("key", "algorithm"), [(OTHER, "HS256"), (OLD * 2, "HS512"), (NEW * 2, "HS512"), ("", "none")]
)
def test_no_other_key_and_no_other_algorithm_is_taken(sign_with, is_in, phone, key, algorithm):
    forged = jwt.encode(phone.access.payload, key, algorithm)

    for fallbacks in ([], [OLD], ["an older key, long enough for HS256 as well", OLD]):
        sign_with(NEW, *fallbacks)
        assert not is_in(forged)


@pytest.mark.parametrize("broken", ["", "a", "a.b.c", "." * 500, "e30.e30.", "[" * 5_000])
def test_what_is_no_token_is_refused_with_fallbacks_too(sign_with, is_in, refresh, user, broken):
    sign_with(NEW, OLD)

    assert not is_in(broken)
    assert refresh(broken).status_code == 400


def test_simplejwts_own_refresh_takes_the_old_key(sign_with, is_in, raw):
    sign_with(NEW, OLD)

    tokens = TokenRefreshSerializer().validate({"refresh": raw[1]})

    assert is_in(tokens["access"])


@pytest.mark.parametrize("value", ["a key", [""], [5], None, [None]])
def test_fallbacks_that_are_no_list_of_keys_are_told_at_start(settings, value):
    settings.ACCOUNTS = {"SIGNING_KEY_FALLBACKS": value}

    messages = [m for m in run_checks() if m.id == "drf_logout.E002"]
    assert len(messages) == 1
    assert "SIGNING_KEY_FALLBACKS" in messages[0].msg


# Django's SECRET_KEY


@pytest.fixture
def rotate_secret(settings):
    """Deploy with a new ``SECRET_KEY``; the old one is a fallback until it is called for."""
    old = settings.SECRET_KEY

    def deploy(*, fallback):
        settings.SECRET_KEY = "the new secret of the project, and a long one at that"
        settings.SECRET_KEY_FALLBACKS = [old] if fallback else []

    return deploy


@pytest.fixture
def browser(ana):
    browser = Client()
    browser.force_login(ana)
    return browser


def who(browser):
    user = browser.get("/admin/", follow=True).wsgi_request.user
    return None if isinstance(user, AnonymousUser) else user.get_username()


def test_a_new_secret_logs_no_browser_out(rotate_secret, browser):
    row = Session.objects.get()
    rotate_secret(fallback=True)
    assert who(browser) == "ana"

    rotate_secret(fallback=False)

    assert who(browser) == "ana"
    assert Session.objects.get().sid == row.sid
    assert not LogoutEvent.objects.exists()


def test_a_new_secret_logs_no_token_out_that_is_refreshed(rotate_secret, is_in, refresh, raw):
    rotate_secret(fallback=True)
    assert is_in(raw[0])
    tokens = refresh(raw[1]).json()

    rotate_secret(fallback=False)

    assert is_in(tokens["access_token"])
    assert refresh(tokens["refresh_token"]).status_code == 200
    assert not LogoutEvent.objects.exists()


def test_a_login_that_never_came_back_ends_with_the_old_secret(rotate_secret, is_in, browser, raw):
    rotate_secret(fallback=False)

    assert not is_in(raw[0])
    assert who(browser) is None


def test_a_changed_password_ends_the_logins_of_an_old_secret(
    rotate_secret, is_in, refresh, browser, raw, ana
):
    rotate_secret(fallback=True)
    user = get_user_model().objects.get(pk=ana.pk)
    user.set_password("an entirely other passphrase")
    user.save()

    assert not is_in(raw[0])
    assert refresh(raw[1]).status_code == 400
    assert who(browser) is None


def test_a_refresh_does_not_undo_what_a_password_change_beside_it_has_kept(
    rotate_secret, phone, user
):
    """The login changes the password itself, between the reading of its row and the refresh."""
    rotate_secret(fallback=True)

    refreshes = iter(["once"])

    def change_password_first(execute, sql, *args):
        if sql.startswith(("WITH rotated", 'UPDATE "drf_logout_session"')) and next(refreshes, ""):
            changed = get_user_model().objects.get(pk=user.pk)
            changed.set_password("an entirely other passphrase")
            changed.save()
            services.keep_session(session=Session.objects.get(), user=changed)
        return execute(sql, *args)

    with connection.execute_wrapper(change_password_first):
        services.refresh(token=phone.refresh, client=ClientInfo())

    changed = get_user_model().objects.get(pk=user.pk)
    assert Session.objects.get().auth_hash == changed.get_session_auth_hash()
    assert not changed.check_password(PASSWORD)
