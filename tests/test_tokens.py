"""The tokens: what they say, what is refused, and SimpleJWT's tables."""

from __future__ import annotations

import uuid
from datetime import timedelta

import jwt
import pytest
from django.conf import settings as django_settings
from django.utils import timezone
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import AccessToken as SimpleJWTAccessToken
from rest_framework_simplejwt.tokens import RefreshToken as SimpleJWTRefreshToken
from rest_framework_simplejwt.tokens import SlidingToken

from accounts import blacklist, logins, tokens
from accounts.exceptions import TokenExpired, TokenInvalid
from accounts.models import Session
from accounts.tokens import AccessToken, RefreshToken

KEY = django_settings.SIMPLE_JWT["SIGNING_KEY"]
DECODERS = [
    tokens.decode,
    tokens.decode_access,
    tokens.decode_refresh,
    tokens.decode_expired_access,
]


def claims(**changes):
    now = timezone.now()
    return {
        "token_type": "access",
        "exp": now + timedelta(days=1),
        "iat": now,
        "jti": uuid.uuid4().hex,
        "sub": "7",
        "sid": str(uuid.uuid4()),
        "ver": 0,
    } | changes


def signed(payload, key=KEY, algorithm="HS256"):
    return jwt.encode(payload, key, algorithm)


def sliding_token():
    token = SlidingToken()
    token.set_exp(lifetime=timedelta(days=1))  # a run of all tests takes its time
    return str(token)


@pytest.fixture
def refresh():
    token = RefreshToken()
    token["sub"] = "7"
    return token


@pytest.fixture
def past(refresh):
    """Make a token that has expired."""

    def expire(token):
        token.set_exp(lifetime=-timedelta(seconds=1))
        return str(token)

    return expire


# What a token says


def test_the_claims_of_a_login_travel_with_its_tokens(refresh):
    sid = uuid.uuid4()
    tokens.bind(refresh, sid)
    refresh["tenant"] = "acme"

    for token in (
        tokens.decode_refresh(str(refresh)),
        tokens.decode_access(str(refresh.access_token)),
        tokens.decode_refresh(str(tokens.rotate(refresh))),
    ):
        assert (token.sid, token.user_id) == (sid, "7")
        assert token["tenant"] == "acme"


def test_a_token_of_plain_simplejwt_has_no_login():
    token = SimpleJWTAccessToken()
    token["sub"] = "7"

    ours = tokens.decode_access(str(token))
    assert (ours.sid, ours.issued_at, ours.user_id) == (None, token["iat"], "7")
    assert ours.session is None


def test_a_token_says_when_it_expires(refresh):
    left = refresh.expires_at - timezone.now()

    assert timedelta(days=13, hours=23) < left <= timedelta(days=14)


def test_a_successor_has_an_id_and_an_expiry_of_its_own(refresh):
    refresh.set_exp(lifetime=timedelta(minutes=1))

    successor = tokens.rotate(refresh)

    assert successor.jti != refresh.jti
    assert successor.expires_at > refresh.expires_at
    assert successor["token_type"] == "refresh"


def test_a_password_hash_is_there_where_simplejwt_puts_one(monkeypatch, user):
    assert RefreshToken.for_user(user).password_hash is None

    monkeypatch.setattr(api_settings, "CHECK_REVOKE_TOKEN", True)

    assert RefreshToken.for_user(user).access_token.password_hash


# What is refused


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize(
    "raw",
    [
        "",
        " ",
        "a.b.c",
        "e30.e30.",
        "ñ" * 10,
        "\ud800",
        "\x00",
        "x" * 20_000,
        "." * 16_000,
        signed(claims(), key="another key, that is as long as ours has to be"),
        signed(claims(token_type="refresh"), key="another key, as long as ours has to be"),
        signed(claims(), algorithm="HS512"),
        signed(claims(), key="", algorithm="none"),
        signed(claims()) + "x",
        sliding_token(),
    ],
    ids=lambda raw: raw[:12].encode("unicode_escape").decode(),
)
def test_what_is_not_a_token_of_ours_is_invalid(decode, raw):
    with pytest.raises(TokenInvalid):
        decode(raw)


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize("token_type", ["access", "refresh"])
@pytest.mark.parametrize(
    "strange",
    [
        {"sid": "no uuid"},
        {"sid": 7},
        {"sid": ["a"]},
        {"sid": {"a": 1}},
        {"iat": "soon"},
        {"iat": []},
        {"exp": "soon"},
    ],
    ids=str,
)
def test_a_claim_of_a_strange_shape_is_invalid(decode, token_type, strange):
    with pytest.raises(TokenInvalid):
        decode(signed(claims(token_type=token_type) | strange))


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize("token_type", ["access", "refresh"])
@pytest.mark.parametrize("missing", ["sub", "jti", "exp", "token_type"])
def test_a_token_without_a_claim_that_it_needs_is_invalid(decode, token_type, missing):
    payload = claims(token_type=token_type)
    del payload[missing]

    with pytest.raises(TokenInvalid):
        decode(signed(payload))


def test_a_token_of_the_wrong_type_is_invalid(refresh):
    with pytest.raises(TokenInvalid):
        tokens.decode_access(str(refresh))
    with pytest.raises(TokenInvalid):
        tokens.decode_expired_access(str(refresh))
    with pytest.raises(TokenInvalid):
        tokens.decode_refresh(str(refresh.access_token))


def test_a_token_of_either_type_is_told_by_its_type(refresh):
    assert isinstance(tokens.decode(str(refresh)), RefreshToken)
    assert isinstance(tokens.decode(str(refresh.access_token)), AccessToken)


def test_an_expired_token_is_told_apart(refresh, past):
    access = refresh.access_token
    for decode, raw in (
        (tokens.decode_access, past(access)),
        (tokens.decode_refresh, past(refresh)),
        (tokens.decode, past(access)),
        (tokens.decode, past(refresh)),
    ):
        with pytest.raises(TokenExpired):
            decode(raw)


@pytest.mark.parametrize("ago", [timedelta(seconds=1), timedelta(days=3650)])
def test_an_expired_access_token_still_says_whose_it_was(refresh, ago):
    access = refresh.access_token
    access.set_exp(lifetime=-ago)

    assert tokens.decode_expired_access(str(access)).user_id == "7"
    with pytest.raises(TokenExpired):
        tokens.decode_access(str(access))


# SimpleJWT's tables


@pytest.fixture
def blacklisted(db):
    return lambda: set(BlacklistedToken.objects.values_list("token__jti", flat=True))


def test_recorded_tokens_have_a_row_without_the_token(user):
    refresh = RefreshToken()
    blacklist.record(user, refresh, refresh.access_token)
    blacklist.record(user, refresh)

    rows = OutstandingToken.objects.filter(user=user)
    assert rows.count() == 2
    assert {row.token for row in rows} == {""}
    assert rows.get(jti=refresh.jti).expires_at == refresh.expires_at


def test_a_token_is_blacklisted_once(user, blacklisted):
    refresh, other = RefreshToken(), RefreshToken()
    blacklist.record(user, refresh, other)
    assert not blacklist.is_blacklisted(refresh.jti)

    assert blacklist.blacklist_jtis(refresh.jti) == 1
    assert blacklist.blacklist_jtis(refresh.jti) == 0

    assert blacklist.is_blacklisted(refresh.jti)
    assert blacklisted() == {refresh.jti}
    assert abs(timezone.now() - BlacklistedToken.objects.get().blacklisted_at) < timedelta(
        seconds=10
    )


def test_a_token_that_was_never_recorded_is_not_blacklisted(user, blacklisted):
    assert blacklist.blacklist_jtis("unknown") == 0
    assert blacklisted() == set()


def test_a_token_that_has_expired_is_passed_over_among_all_of_a_user(user, blacklisted):
    expired = RefreshToken()
    expired.set_exp(lifetime=-timedelta(seconds=1))
    blacklist.record(user, expired)

    assert blacklist.blacklist_all(user) == 0
    assert blacklisted() == set()


def test_all_tokens_of_a_user_are_blacklisted_but_the_one_to_keep(user, stranger, blacklisted):
    first, second, kept, foreign = (RefreshToken() for _ in range(4))
    blacklist.record(user, first, second, kept)
    blacklist.record(stranger, foreign)

    assert blacklist.blacklist_all(user, keep=[kept.jti]) == 2
    assert blacklisted() == {first.jti, second.jti}

    assert blacklist.blacklist_all(user) == 1
    assert blacklisted() == {first.jti, second.jti, kept.jti}


# The login that a token names


def test_a_token_names_its_own_login(user, phone, laptop):
    for token in (phone.access, phone.refresh):
        assert logins.named_login(token, user).get().sid == phone.refresh.sid
    assert logins.named_login(laptop.access, user).get().sid == laptop.refresh.sid


def test_a_token_of_plain_simplejwt_names_no_login(user, phone):
    plain = tokens.decode_refresh(str(SimpleJWTRefreshToken.for_user(user)))

    assert not logins.named_login(plain, user).exists()


def test_a_refresh_token_that_has_had_a_successor_for_a_while_names_no_login(
    user, phone, after_grace
):
    Session.objects.update(
        refresh_jti="newer", previous_refresh_jti=phone.refresh.jti, rotated_at=timezone.now()
    )
    assert logins.named_login(phone.refresh, user).exists()

    after_grace()

    assert not logins.named_login(phone.refresh, user).exists()
    assert logins.named_login(phone.access, user).exists()
