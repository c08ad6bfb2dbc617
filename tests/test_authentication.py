"""From a bearer token to a live login: what keeps it alive, and everything that kills it."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.urls import path
from django.utils import timezone, translation
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import AccessToken as SimpleJWTAccessToken
from rest_framework_simplejwt.tokens import RefreshToken as SimpleJWTRefreshToken

from accounts import blacklist, logins, services, tokens
from accounts.authentication import InvalidToken, JWTAuthentication
from accounts.exceptions import TokenReused, TokenRevoked
from accounts.models import Session, TokenVersion
from accounts.permissions import RecentlyAuthenticated
from accounts.services import Cause

pytestmark = pytest.mark.django_db


class HostView(APIView):
    """A protected view of a host project."""

    def get(self, request):
        return Response({"user": request.user.get_username()})


urlpatterns = [path("host", HostView.as_view())]


@pytest.fixture
def session(phone):
    return Session.objects.get(sid=phone.refresh.sid)


@pytest.fixture
def plain(user):
    """The refresh token of a log-in by plain SimpleJWT."""
    return SimpleJWTRefreshToken.for_user(user)


@pytest.fixture
def authenticate():
    def run(header):
        request = APIRequestFactory().get("/", HTTP_AUTHORIZATION=header)
        return JWTAuthentication().authenticate(request)

    return run


# Alive


def test_a_live_login_is_its_user_its_token_and_its_row(authenticate, user, phone, session):
    found, token = authenticate(f"Bearer {phone.access}")

    assert found == user
    assert token.jti == phone.access.jti
    assert token.session == session


def test_a_token_of_plain_simplejwt_is_its_user_without_a_row(authenticate, user, plain):
    found, token = authenticate(f"Bearer {plain.access_token}")

    assert found == user
    assert token.session is None


def test_a_refreshed_login_accepts_its_older_access_token_too(is_in, phone):
    Session.objects.update(refresh_jti=uuid.uuid4().hex)

    assert is_in(phone.access)


def test_the_login_of_a_user_who_has_another_version_row_is_alive(is_in, phone, stranger):
    TokenVersion.objects.raise_version(stranger)

    assert is_in(phone.access)


def test_a_rotated_secret_key_keeps_the_login_alive(settings, is_in, phone):
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a new key"
    assert is_in(phone.access)

    settings.SECRET_KEY_FALLBACKS = []
    assert not is_in(phone.access)


# Dead


def row_gone(user, phone):
    Session.objects.filter(sid=phone.refresh.sid).delete()


def row_expired(user, phone):
    Session.objects.update(expire_date=timezone.now())


def user_inactive(user, phone):
    get_user_model().objects.update(is_active=False)


def user_deleted(user, phone):
    user.delete()


def password_changed(user, phone):
    user.set_password("another password")
    user.save()


def password_reset_by_query(user, phone):
    get_user_model().objects.update(password="!")


def version_raised(user, phone):
    TokenVersion.objects.raise_version(user)


def row_of_another_user(user, phone):
    stranger = get_user_model().objects.create_user("mallory", password="password123")
    Session.objects.update(user=stranger, auth_hash=stranger.get_session_auth_hash())


def row_of_a_browser(user, phone):
    Session.objects.update(kind=Session.Kind.BROWSER)


def row_of_nobody(user, phone):
    Session.objects.update(kind=Session.Kind.BROWSER, user=None)


ENDS = [
    row_gone,
    row_expired,
    user_inactive,
    user_deleted,
    password_changed,
    password_reset_by_query,
    row_of_another_user,
    row_of_a_browser,
    row_of_nobody,
]


@pytest.mark.parametrize("end", ENDS)
def test_the_access_token_of_an_ended_login_is_refused(client, is_in, user, phone, end):
    assert is_in(phone.access)

    end(user, phone)

    answer = client.get("/user", headers={"Authorization": f"Bearer {phone.access}"})
    assert answer.status_code == 401
    assert answer.json() == {"code": 401, "msg": "Token has been invalidated"}
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("end", ENDS)
def test_the_refresh_token_of_an_ended_login_is_revoked(user, phone, end):
    assert logins.find_login(phone.refresh).user == user

    end(user, phone)

    with pytest.raises(TokenRevoked) as caught:
        logins.find_login(phone.refresh)
    assert not isinstance(caught.value, TokenReused)


def test_a_login_that_ends_leaves_the_other_device_in(is_in, user, phone, laptop):
    row_gone(user, phone)

    assert not is_in(phone.access)
    assert is_in(laptop.access)


def test_a_replaced_refresh_token_is_reused(phone):
    Session.objects.update(refresh_jti="newer")

    with pytest.raises(TokenReused):
        logins.find_login(phone.refresh)


def test_a_refresh_token_of_a_login_without_one_is_revoked(phone):
    Session.objects.update(refresh_jti="")

    with pytest.raises(TokenRevoked) as caught:
        logins.find_login(phone.refresh)
    assert not isinstance(caught.value, TokenReused)


@pytest.mark.parametrize("end", [user_inactive, user_deleted, version_raised])
def test_the_tokens_of_plain_simplejwt_die_with_their_user(is_in, user, phone, plain, end):
    assert is_in(plain.access_token)

    end(user, phone)

    assert not is_in(plain.access_token)


def test_a_blacklisted_token_of_plain_simplejwt_is_refused(is_in, user, plain):
    token = tokens.decode_access(str(plain.access_token))
    blacklist.record(user, token)
    blacklist.blacklist_jtis(token.jti)

    assert not is_in(token)
    assert is_in(plain.access_token)


@pytest.mark.parametrize(
    "user_id", ["", "0", "no number", "9" * 100, "\x00", f"{uuid.UUID(int=1)}"]
)
def test_a_token_of_an_unknown_user_is_refused(is_in, user, user_id):
    token = SimpleJWTAccessToken()
    token["sub"] = user_id

    assert not is_in(token)


def test_a_changed_password_kills_plain_tokens_where_the_host_checks(monkeypatch, is_in, user):
    monkeypatch.setattr(api_settings, "CHECK_REVOKE_TOKEN", True)
    token = SimpleJWTRefreshToken.for_user(user).access_token
    assert is_in(token)

    user.set_password("another password")
    user.save()

    assert not is_in(token)


def test_a_plain_token_without_the_claim_is_refused_where_the_host_checks(
    monkeypatch, is_in, plain
):
    monkeypatch.setattr(api_settings, "CHECK_REVOKE_TOKEN", True)

    assert not is_in(plain.access_token)


def test_a_changed_password_leaves_plain_tokens_alone_where_the_host_does_not_check(
    is_in, user, plain
):
    user.set_password("another password")
    user.save()

    assert is_in(plain.access_token)


# The header


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "Token a.b.c", "\xff"])
def test_a_request_without_a_bearer_is_nobodys(authenticate, header):
    assert authenticate(header) is None


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "  Bearer  "])
def test_the_case_of_the_scheme_does_not_matter(authenticate, user, phone, scheme):
    assert authenticate(f"{scheme} {phone.access} ")[0] == user


@pytest.mark.parametrize("header", ["Bearer a b", "Bearer a.b.c", "Bearer \xff", "Bearer a\tb"])
def test_a_bearer_that_is_no_token_is_refused(client, header):
    answer = client.get("/user", headers={"Authorization": header})

    assert answer.status_code == 401
    assert answer.json() == {"code": 401, "msg": "Token not provided or invalid"}
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_no_bearer_is_refused_without_an_error_code(client):
    answer = client.get("/user")

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_an_expired_token_is_refused_as_expired(client, phone):
    phone.access.set_exp(lifetime=-timedelta(seconds=1))

    answer = client.get("/user", headers={"Authorization": f"Bearer {phone.access}"})

    assert answer.json() == {"code": 401, "msg": "Token has expired"}


def test_a_refresh_token_is_no_bearer(is_in, phone):
    assert not is_in(phone.refresh)


@pytest.mark.urls(__name__)
def test_a_view_of_the_host_answers_as_simplejwt_does(client, phone):
    accepted = client.get("/host", headers={"Authorization": f"Bearer {phone.access}"})
    assert accepted.json() == {"user": "ana"}
    Session.objects.all().delete()

    refused = client.get("/host", headers={"Authorization": f"Bearer {phone.access}"})

    assert refused.status_code == 401
    assert refused.json() == {"detail": "Token has been invalidated", "code": "token_not_valid"}
    assert refused.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_a_refusal_speaks_the_language_of_the_request():
    with translation.override("es"):
        assert InvalidToken(TokenRevoked()).message == "El token ha sido invalidado"


# Use


def test_a_login_is_seen_at_most_once_a_minute(is_in, phone, session):
    almost = timezone.now() - timedelta(seconds=50)
    Session.objects.update(last_seen_at=almost)
    assert is_in(phone.access)
    session.refresh_from_db()
    assert session.last_seen_at == almost

    Session.objects.update(last_seen_at=timezone.now() - timedelta(seconds=61))
    assert is_in(phone.access)
    session.refresh_from_db()
    assert timezone.now() - session.last_seen_at < timedelta(seconds=10)


@pytest.fixture(params=["ours", "plain"])
def access(request, user, device):
    """An access token of a log-in by us, or by plain SimpleJWT."""
    if request.param == "plain":
        return tokens.decode_access(str(SimpleJWTRefreshToken.for_user(user).access_token))
    return services.log_in(user=user, client=device).access


def test_the_use_of_an_ended_login_is_in_the_security_log(client, security_log, user, access):
    services.end_all(user=user, cause=Cause())

    client.get("/user", headers={"Authorization": f"Bearer {access}", "User-Agent": "Phone/1"})

    line = security_log()[-1]
    assert (line["event"], line["level"]) == ("session_use_after_expire", "CRITICAL")
    assert (line["action"], line["object"], line["result"]) == ("authenticate", "/user", "failure")
    assert (line["reason"], line["status"], line["user"]) == ("token_revoked", 401, str(user.pk))
    assert line["session"] == (str(access.sid) if access.sid else None)
    assert line["user_agent"] == "Phone/1"
    assert str(access) not in str(line)


def test_code_without_a_request_meets_no_ended_login(phone):
    authentication = JWTAuthentication()
    token = authentication.get_validated_token(str(phone.access).encode())
    assert authentication.get_user(token).get_username() == "ana"

    Session.objects.all().delete()

    with pytest.raises(InvalidToken):
        authentication.get_user(token)


@pytest.mark.parametrize("kind", [str, lambda token: str(token).encode()], ids=["str", "bytes"])
def test_a_raw_token_is_text_or_bytes_as_simplejwts_is(phone, kind):
    token = JWTAuthentication().get_validated_token(kind(phone.access))

    assert token.jti == phone.access.jti


@pytest.mark.parametrize("raw", ["\xff", b"\xff", "a.b.c", "", b""])
def test_a_raw_token_that_is_none_is_refused(raw):
    with pytest.raises(InvalidToken):
        JWTAuthentication().get_validated_token(raw)


# A JWT from a cookie: the recipes that are written for SimpleJWT


class WholeRecipe(JWTAuthentication):
    """Overrides all of it."""

    def authenticate(self, request):
        if (raw_token := request.COOKIES.get("access")) is None:
            return None
        validated_token = self.get_validated_token(raw_token)
        return self.get_user(validated_token), validated_token


class HeaderRecipe(JWTAuthentication):
    """Overrides where the header is read."""

    def get_header(self, request):
        cookie = request.COOKIES.get("access")
        return super().get_header(request) or (cookie and f"Bearer {cookie}".encode())


class RawTokenRecipe(JWTAuthentication):
    """Overrides how the header is read: a scheme of two words."""

    def get_raw_token(self, header):
        return header.removeprefix(b"Cookie of ")


def recipe(authentication):
    class View(HostView):
        authentication_classes = [authentication]
        permission_classes = [RecentlyAuthenticated]

    return View.as_view()


RECIPES = ["whole", "header", "raw"]
urlpatterns += [
    path("whole", recipe(WholeRecipe)),
    path("header", recipe(HeaderRecipe)),
    path("raw", recipe(RawTokenRecipe)),
]


@pytest.fixture
def by_cookie(client, session):
    """Ask a view that wants a re-authenticated login, with a token in a cookie."""
    session.reauthenticated_at = timezone.now()
    session.save()

    def ask(name, access):
        if name == "raw":
            return client.get("/raw", headers={"Authorization": f"Cookie of {access}"})
        client.cookies["access"] = str(access)
        return client.get(f"/{name}")

    return ask


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_for_simplejwt_knows_the_user_and_the_login(by_cookie, phone, name):
    answer = by_cookie(name, phone.access)

    assert (answer.status_code, answer.json()) == (200, {"user": "ana"})


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("name", RECIPES)
def test_the_use_by_a_recipe_keeps_a_login_going(by_cookie, phone, session, name):
    Session.objects.update(last_seen_at=timezone.now() - timedelta(seconds=61))

    by_cookie(name, phone.access)

    session.refresh_from_db()
    assert timezone.now() - session.last_seen_at < timedelta(seconds=10)


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_refuses_an_ended_login(by_cookie, phone, name):
    Session.objects.all().delete()

    answer = by_cookie(name, phone.access)

    assert answer.status_code == 401
    assert answer.json() == {"detail": "Token has been invalidated", "code": "token_not_valid"}


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("name", ["header", "raw"])
def test_the_use_of_an_ended_login_by_a_recipe_is_in_the_security_log(
    by_cookie, security_log, phone, name
):
    Session.objects.all().delete()

    answer = by_cookie(name, phone.access)

    assert security_log()[-1]["event"] == "session_use_after_expire"
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
