"""Beside code that knows SimpleJWT alone: what it mints logs in, and what it blacklists ends."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.db.models import F
from django.utils import timezone
from rest_framework.test import APIRequestFactory
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.serializers import TokenRefreshSerializer as SimpleJWTRefresh
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken as SimpleJWTRefreshToken
from rest_framework_simplejwt.utils import datetime_from_epoch
from rest_framework_simplejwt.views import TokenRefreshView, TokenVerifyView

from accounts import services
from accounts.models import LogoutEvent, Session, TokenVersion
from accounts.services import Cause, Scope

# Ends by a signal come with the commit.
pytestmark = pytest.mark.django_db(transaction=True)


def stock_view(view, **body):
    """Ask one of SimpleJWT's own views, with whatever serializer the settings give it."""
    return view.as_view()(APIRequestFactory().post("/", body, format="json"))


def refresh_by_stock_view(client, raw):
    return stock_view(TokenRefreshView, refresh=raw).status_code


def refresh_by_ours(client, raw):
    grant = {"grant_type": "refresh_token", "refresh_token": raw}
    return client.post("/token", grant, content_type="application/json").status_code


either_refresh = pytest.mark.parametrize("refresh", [refresh_by_stock_view, refresh_by_ours])


def unrecorded(user):
    """Mint as code does that keeps no list of what it minted."""
    token = SimpleJWTRefreshToken()
    token["sub"] = str(user.pk)
    return token


@pytest.fixture
def mint(user):
    """Mint a refresh token and its access token by SimpleJWT's own code, some seconds ago."""

    def make(minted=SimpleJWTRefreshToken.for_user, *, ago=0):
        refresh = minted(user)
        access = refresh.access_token
        for token in (refresh, access):
            token["iat"] -= ago
        return refresh, access

    return make


@pytest.fixture
def a_while_after(db):
    """Let what has ended all logins have done so two seconds ago."""

    def pass_by():
        TokenVersion.objects.update(version=F("version") - 2)

    return pass_by


# What it mints


def log_out_everywhere(client, phone, user):
    bearer = {"Authorization": f"Bearer {phone.access}"}
    answer = client.post("/logout/all", content_type="application/json", headers=bearer)
    assert answer.status_code == 200


def end_all(client, phone, user):
    services.end_all(user=user, cause=Cause())


def deactivate_for_a_while(client, phone, user):
    for is_active in (False, True):
        user.is_active = is_active
        user.save()


every_end_of_all = pytest.mark.parametrize(
    "end", [log_out_everywhere, end_all, deactivate_for_a_while]
)


@every_end_of_all
@either_refresh
def test_a_token_minted_after_all_logins_ended_logs_in(
    client, user, phone, is_in, mint, a_while_after, end, refresh
):
    end(client, phone, user)
    a_while_after()

    token, access = mint()

    assert is_in(access)
    assert stock_view(TokenVerifyView, token=str(token)).status_code == 200
    assert refresh(client, str(token)) == 200
    assert Session.objects.of(user).count() == 1


@every_end_of_all
@pytest.mark.parametrize("minted", [SimpleJWTRefreshToken.for_user, unrecorded])
def test_a_token_minted_before_all_logins_ended_is_refused_for_good(
    client, user, phone, is_in, mint, a_while_after, end, minted
):
    before, access = mint(minted, ago=10)
    end(client, phone, user)
    a_while_after()
    _, access_after = mint()

    assert is_in(access_after)
    assert not is_in(access)
    assert refresh_by_stock_view(client, str(before)) == 401
    assert refresh_by_ours(client, str(before)) == 400
    with pytest.raises(TokenError):
        SimpleJWTRefresh(data={"refresh": str(before)}).is_valid()
    assert not Session.objects.exists()


def test_a_token_is_not_minted_while_it_could_be_one_of_before(user, mint):
    services.end_all(user=user, cause=Cause())
    # As by a host whose clock runs ahead; else it is for the rest of the second.
    TokenVersion.objects.update(version=F("version") + 60)

    with pytest.raises(TokenError):
        mint()

    assert not OutstandingToken.objects.exists()


# What it blacklists


def ended():
    """What is on record of one login that other code has ended."""
    event = LogoutEvent.objects.get()
    assert (event.reason, event.initiator, event.scope) == ("revoked", "system", "session")
    assert event.sessions_ended == 1
    return event.session_id


def test_a_refresh_token_that_it_blacklists_ends_its_login(user, phone, laptop, is_in):
    SimpleJWTRefreshToken(str(phone.refresh)).blacklist()

    assert not is_in(phone.access)
    assert is_in(laptop.access)
    assert ended() == phone.refresh.sid


def recipe(access, **columns):
    """Blacklist an access token, as hosts do whose logout is to end it at once."""
    row, _ = OutstandingToken.objects.get_or_create(
        jti=access["jti"],
        defaults={
            "token": str(access),
            "created_at": timezone.now(),
            "expires_at": datetime_from_epoch(access["exp"]),
            **columns,
        },
    )
    BlacklistedToken.objects.get_or_create(token=row)


def in_one_go(access, user):
    recipe(access, user=user)


def without_the_user(access, user):
    recipe(access)


def recorded_before(access, user):
    row = OutstandingToken.objects.create(
        user=user,
        jti=access["jti"],
        token=str(access),
        expires_at=datetime_from_epoch(access["exp"]),
    )
    row.save()
    recipe(access)


@pytest.mark.parametrize(
    "blacklist",
    [
        in_one_go,
        without_the_user,
        recorded_before,
    ],
)
def test_an_access_token_that_it_blacklists_ends_its_login(
    client, user, phone, laptop, is_in, blacklist
):
    blacklist(phone.access, user)

    assert not is_in(phone.access)
    assert refresh_by_ours(client, str(phone.refresh)) == 400
    assert is_in(laptop.access)
    assert ended() == phone.refresh.sid


@either_refresh
def test_tokens_that_it_blacklists_in_bulk_end_their_logins_with_the_next_refresh(
    client, user, phone, is_in, refresh
):
    BlacklistedToken.objects.bulk_create(
        BlacklistedToken(token=token) for token in OutstandingToken.objects.filter(user=user)
    )
    assert is_in(phone.access)

    assert refresh(client, str(phone.refresh)) in {400, 401}

    assert not is_in(phone.access)
    assert ended() == phone.refresh.sid


def test_a_plain_token_that_it_blacklists_is_refused_and_ends_no_login(client, phone, is_in, mint):
    token, access = mint()
    token.blacklist()

    assert refresh_by_stock_view(client, str(token)) == 401
    assert refresh_by_ours(client, str(token)) == 400
    assert is_in(phone.access)
    assert not LogoutEvent.objects.exists()
    assert is_in(access)  # as SimpleJWT has it: until it expires


@pytest.mark.parametrize("scope", [Scope.SESSION, Scope.REFRESH_TOKENS, Scope.GLOBAL])
def test_what_it_blacklists_after_a_logout_is_not_recorded_again(phone, device, scope):
    services.log_out(proof=phone.access, scope=scope, client=device)

    with pytest.raises(TokenError):
        SimpleJWTRefreshToken(str(phone.refresh)).blacklist()
    recipe(phone.access, user=get_user_model().objects.get())

    assert LogoutEvent.objects.count() == 1


def test_over_the_limit_a_plain_token_ends_itself_and_no_other(client, mint, is_in, settings):
    settings.ACCOUNTS = {"LOGOUT_RATE": "1/1d"}
    (_, one), (_, other) = mint(), mint()

    def log_out(**body):
        bearer = {"Authorization": f"Bearer {one}"}
        body = {"scope": "session", **body}
        return client.post("/logout", body, content_type="application/json", headers=bearer)

    assert log_out(scope="none").status_code == 400
    assert log_out(token=str(other)).status_code == 429
    assert log_out().status_code == 200
    assert (is_in(one), is_in(other)) == (False, True)
