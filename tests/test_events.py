"""What happens to an account ends its logins, whichever way a host lets it happen."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth import get_user_model, update_session_auth_hash
from django.contrib.auth.hashers import make_password
from django.contrib.auth.management.commands import changepassword
from django.contrib.auth.views import PasswordResetConfirmView
from django.core import mail
from django.core.handlers.asgi import ASGIHandler
from django.core.management import call_command
from django.db import OperationalError, connection, models, transaction
from django.db.models.signals import post_save, pre_delete
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext, isolate_apps
from django.urls import include, path
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken as StockRefreshToken

from accounts import blacklist, logins, receivers, services, tokens
from accounts.clients import ClientInfo
from accounts.exceptions import TokenRevoked
from accounts.models import LogoutEvent, Session, TokenVersion, hash_key
from accounts.services import Cause, Initiator, Reason
from accounts.sessions import SessionStore
from accounts.signals import login_ended

from .http import PASSWORD
from .test_races import log_in as http_log_in
from .test_races import offset, race, refresh
from .test_services import failing

User = get_user_model()

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

NEW = "correct horse battery"
TWICE = {"new_password1": NEW, "new_password2": NEW}


# The host


def whoami(request):
    return HttpResponse(request.user.get_username())


def change_password(request):
    """A page of the host's own, by the book."""
    request.user.set_password(NEW)
    request.user.save()
    update_session_auth_hash(request, request.user)
    return HttpResponse()


def fail_to_change_password(request):
    request.user.set_password(NEW)
    request.user.save()
    raise OperationalError("the disk is full")


class ChangePassword(APIView):
    """An endpoint of the host's own, by docs/how-to/simplejwt.md."""

    def post(self, request):
        request.user.set_password(NEW)
        request.user.save()
        services.keep_session(session=request.auth.session, user=request.user)
        return Response()


urlpatterns = [
    path("whoami", whoami),
    path("change", change_password),
    path("fail", fail_to_change_password),
    path("api/change", ChangePassword.as_view()),
    path(
        "reset/<uidb64>/<token>/",
        PasswordResetConfirmView.as_view(post_reset_login=True, success_url="/whoami"),
    ),
    path("accounts/", include("django.contrib.auth.urls")),
    path("", include("authproject.urls")),
]


@dataclass
class Browser:
    """A browser that logs in by a page of the host."""

    http: Client

    def log_in(self, user, password=PASSWORD):
        answer = self.post("/accounts/login/", username=user.get_username(), password=password)
        assert answer.status_code == 302
        return self

    def post(self, url, **data):
        return self.http.post(url, data)

    @property
    def stored_key(self):
        return hash_key(self.http.cookies["sessionid"].value)

    @property
    def sid(self):
        return Session.objects.get(session_key=self.stored_key).sid

    @property
    def is_in(self):
        return self.http.get("/whoami").content != b""


@pytest.fixture
def new_browser():
    return lambda: Browser(Client(raise_request_exception=False))


@pytest.fixture
def browser(ana, new_browser):
    """The browser in which something is done, of a user who may enter the admin."""
    ana.is_superuser = True
    ana.save()
    return new_browser().log_in(ana)


@pytest.fixture
def tablet(user, new_browser):
    """Another browser of the user."""
    return new_browser().log_in(user)


@pytest.fixture
def admin(admin_user, new_browser):
    """A browser of an administrator."""
    return new_browser().log_in(admin_user, "password")


@pytest.fixture
def plain(user):
    """A refresh token of plain SimpleJWT, which no login of ours knows."""
    return tokens.decode_refresh(str(StockRefreshToken.for_user(user)))


@pytest.fixture
def announced():
    """The events that were announced, with whether their transaction was over by then."""
    events = []

    def listen(event, **kwargs):
        events.append((event.pk, connection.in_atomic_block))

    login_ended.connect(listen)
    yield events
    login_ended.disconnect(listen)


@pytest.fixture
def atomic_requests(monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)


@pytest.fixture(params=["each statement for itself", "ATOMIC_REQUESTS"])
def transactions(request):
    if request.param == "ATOMIC_REQUESTS":
        request.getfixturevalue("atomic_requests")


def is_dead(token):
    try:
        logins.find_login(token)
    except TokenRevoked:
        return True
    return False


def stock_takes(token):
    """Whether SimpleJWT alone, which knows nothing of logins, takes a refresh token."""
    try:
        StockRefreshToken(str(token))
    except TokenError:
        return False
    return True


def asked_for_token(password):
    return Client().post(
        "/token",
        {"grant_type": "password", "username": "ana", "password": password},
        content_type="application/json",
    )


def refreshed(pair):
    return Client().post(
        "/token",
        {"grant_type": "refresh_token", "refresh_token": str(pair.refresh)},
        content_type="application/json",
    )


def asked(pair):
    return Client().get("/user", headers={"Authorization": f"Bearer {pair.access}"})


def roll_back(happen, *args):
    """Let something happen in a transaction that is undone."""
    with transaction.atomic():
        happen(*args)
        transaction.set_rollback(True)


def recorded():
    """What is on record of the end of each single login: its reasons, by ``sid``."""
    found = {}
    for event in LogoutEvent.objects.exclude(session_id=None):
        found.setdefault(event.session_id, []).append((event.reason, event.initiator))
    return found


BY_A_NEW_PASSWORD = [("password_changed", "policy")]


# A changed password: by each way of Django's


def by_page(user, browser):
    assert browser.post("/accounts/password_change/", old_password=PASSWORD, **TWICE).url == (
        "/accounts/password_change/done/"
    )


def by_page_of_the_host(user, browser):
    assert browser.post("/change").status_code == 200


def by_admins_page_for_oneself(user, browser):
    assert browser.post("/admin/password_change/", old_password=PASSWORD, **TWICE).url == (
        "/admin/password_change/done/"
    )


def by_form_for_users(user, browser):
    url = f"/admin/auth/user/{user.pk}/password/"
    assert browser.post(url, usable_password="true", password1=NEW, password2=NEW).status_code == (
        302
    )


@pytest.mark.usefixtures("transactions")
@pytest.mark.parametrize(
    "change", [by_page, by_page_of_the_host, by_admins_page_for_oneself, by_form_for_users]
)
def test_a_password_changed_in_a_browser_leaves_that_browser_alone_in(
    user, browser, tablet, phone, plain, announced, change
):
    sid, key = browser.sid, browser.stored_key
    others = {tablet.sid, phone.refresh.sid}

    change(user, browser)

    # Before anybody asks again.
    assert Session.objects.get().sid == sid
    assert browser.stored_key != key
    assert recorded() == dict.fromkeys(others, BY_A_NEW_PASSWORD)
    assert not stock_takes(plain)
    assert sorted(announced) == [(pk, False) for pk in sorted(_events_of(user))]

    assert browser.is_in
    assert not tablet.is_in
    assert is_dead(phone.access)
    assert is_dead(phone.refresh)
    assert asked_for_token(PASSWORD).status_code == 400
    assert asked_for_token(NEW).status_code == 200
    assert recorded() == dict.fromkeys(others, BY_A_NEW_PASSWORD)


@pytest.mark.usefixtures("transactions")
def test_behind_asgi_the_browser_that_changed_the_password_stays_in_too(user, tablet, phone):
    sid, cookie = tablet.sid, f"sessionid={tablet.http.cookies['sessionid'].value}"
    body = f"old_password={PASSWORD}&new_password1={NEW}&new_password2={NEW}".encode()
    csrf = b"a" * 32

    async def change():
        served = ApplicationCommunicator(
            ASGIHandler(),
            {
                "type": "http",
                "method": "POST",
                "path": "/accounts/password_change/",
                "query_string": b"",
                "headers": [
                    (b"host", b"testserver"),
                    (b"content-type", b"application/x-www-form-urlencoded"),
                    (b"content-length", str(len(body)).encode()),
                    (b"cookie", cookie.encode() + b"; csrftoken=" + csrf),
                    (b"x-csrftoken", csrf),
                ],
            },
        )
        await served.send_input({"type": "http.request", "body": body})
        answer = await served.receive_output(10)
        await served.receive_output(10)
        await served.wait(10)
        return answer["status"]

    assert async_to_sync(change)() == 302
    assert Session.objects.get().sid == sid
    assert recorded() == {phone.refresh.sid: BY_A_NEW_PASSWORD}


def _events_of(user):
    return LogoutEvent.objects.filter(user=user).values_list("pk", flat=True)


def in_a_shell(user):
    user.set_password(NEW)
    user.save()


def in_a_shell_that_names_the_field(user):
    user.set_password(NEW)
    user.save(update_fields=["password"])


def in_a_transaction(user):
    with transaction.atomic():
        in_a_shell(user)
        assert LogoutEvent.objects.exclude(session_id=None).count() == 0


def by_command(user, monkeypatch):
    monkeypatch.setattr(changepassword.getpass, "getpass", lambda prompt: NEW)
    call_command("changepassword", user.get_username(), verbosity=0)


def by_administrator(user, admin):
    by_form_for_users(user, admin)


def by_reset(user, browser, confirm="/accounts/reset/"):
    mail.outbox.clear()
    browser.post("/accounts/password_reset/", email=user.email)
    link = re.search(r"/accounts/reset/(\S+)", mail.outbox[0].body)[1]
    form = browser.http.get(confirm + link)
    assert browser.post(form.url, **TWICE).status_code == 302


@pytest.fixture(
    params=[
        in_a_shell,
        in_a_shell_that_names_the_field,
        in_a_transaction,
        by_command,
        by_administrator,
        by_reset,
        "by_reset_with_log_in",
    ],
    ids=lambda way: getattr(way, "__name__", way),
)
def change_from_elsewhere(request, user, monkeypatch, new_browser):
    """Change the password by something that is no login of the user."""
    match request.param:
        case way if way is by_command:
            return partial(by_command, user, monkeypatch)
        case way if way is by_administrator:
            return partial(by_administrator, user, request.getfixturevalue("admin"))
        case way if way is by_reset:
            return partial(by_reset, user, new_browser())
        case "by_reset_with_log_in":
            return partial(by_reset, user, new_browser(), "/reset/")
        case way:
            return partial(way, user)


@pytest.mark.filterwarnings("ignore::UserWarning")  # changepassword's own, about no terminal
def test_a_password_changed_from_elsewhere_ends_every_login(
    user, stranger, tablet, phone, laptop, plain, device, announced, change_from_elsewhere
):
    ended = {tablet.sid, phone.refresh.sid, laptop.refresh.sid}
    hers = services.log_in(user=stranger, client=device)

    change_from_elsewhere()

    assert recorded() == dict.fromkeys(ended, BY_A_NEW_PASSWORD)
    assert not Session.objects.filter(sid__in=ended).exists()
    assert not stock_takes(phone.refresh)
    assert not stock_takes(plain)
    assert sorted(announced) == [(pk, False) for pk in sorted(_events_of(user))]
    assert not tablet.is_in
    assert is_dead(phone.access)
    assert is_dead(laptop.refresh)
    assert recorded() == dict.fromkeys(ended, BY_A_NEW_PASSWORD)
    assert not is_dead(hers.access)


@pytest.mark.parametrize("log_in", ["/accounts/reset/", "/reset/"])
def test_a_reset_in_a_browser_that_is_in_logs_it_in_only_where_the_host_says_so(
    user, tablet, phone, log_in
):
    sid = tablet.sid

    by_reset(user, tablet, log_in)

    assert recorded() == dict.fromkeys({sid, phone.refresh.sid}, BY_A_NEW_PASSWORD)
    assert tablet.is_in == (log_in == "/reset/")
    assert Session.objects.of(user).count() == (log_in == "/reset/")


def test_an_administrator_who_sets_the_password_of_another_stays_in(admin, user, phone):
    by_administrator(user, admin)

    assert admin.is_in
    assert is_dead(phone.access)


@pytest.mark.usefixtures("transactions")
def test_a_login_by_token_can_keep_itself_when_it_changes_the_password(
    client, user, tablet, phone, laptop, device
):
    others = {tablet.sid, laptop.refresh.sid}

    answer = client.post("/api/change", headers={"Authorization": f"Bearer {phone.access}"})

    assert answer.status_code == 200
    assert recorded() == dict.fromkeys(others, BY_A_NEW_PASSWORD)
    assert Session.objects.get().sid == phone.refresh.sid
    assert not is_dead(phone.access)
    assert not is_dead(services.refresh(token=phone.refresh, client=device).access)
    assert is_dead(laptop.access)


# A password that is not changed after all


def test_a_change_that_is_rolled_back_ends_nothing(user, tablet, phone, plain, announced):
    roll_back(in_a_shell, user)

    assert not LogoutEvent.objects.exists()
    assert announced == []
    assert tablet.is_in
    assert not is_dead(phone.access)
    assert stock_takes(plain)


@pytest.mark.usefixtures("atomic_requests")
def test_a_request_that_fails_to_change_the_password_ends_nothing(
    user, browser, tablet, phone, plain, announced
):
    assert browser.post("/fail").status_code == 500

    assert not LogoutEvent.objects.exists()
    assert announced == []
    assert browser.is_in
    assert tablet.is_in
    assert not is_dead(phone.access)
    assert stock_takes(plain)


def test_a_new_password_that_is_not_saved_ends_nothing(user, tablet, phone, plain):
    user.set_password(NEW)
    user.save(update_fields=["last_name"])

    assert not LogoutEvent.objects.exists()
    assert tablet.is_in
    assert not is_dead(phone.access)
    assert stock_takes(plain)


def test_a_user_who_is_saved_with_the_password_that_they_have_stays_in(user, tablet, phone):
    user.first_name = "Ana"
    user.save()
    User.objects.get(pk=user.pk).save()

    assert not LogoutEvent.objects.exists()
    assert tablet.is_in
    assert not is_dead(phone.access)


def test_a_fixture_that_is_loaded_is_no_event(user, phone, tmp_path):
    file = tmp_path / "users.json"
    call_command("dumpdata", "auth.user", output=str(file), verbosity=0)

    call_command("loaddata", str(file), verbosity=0)

    assert not LogoutEvent.objects.exists()
    assert not is_dead(phone.access)


# A password that no code of Django's saw change


def by_queryset(user):
    User.objects.filter(pk=user.pk).update(password="!nobody knows")


def by_hand(user):
    user.password = make_password("nobody knows")
    user.save()


@pytest.mark.parametrize("change", [by_queryset, by_hand])
@pytest.mark.usefixtures("transactions")
def test_a_change_that_was_not_seen_is_on_record_at_the_next_request(
    user, tablet, phone, laptop, announced, change
):
    of_the_tablet, of_the_phone = tablet.sid, phone.refresh.sid
    change(user)
    assert recorded() == {}

    assert asked(phone).status_code == 401
    assert not tablet.is_in

    found = recorded()
    assert found[of_the_tablet] == found[of_the_phone] == BY_A_NEW_PASSWORD
    assert not Session.objects.filter(sid__in=[of_the_tablet, of_the_phone]).exists()
    assert sorted(announced) == [(pk, False) for pk in sorted(_events_of(user))]
    assert is_dead(laptop.access)
    assert not tablet.is_in
    asked(phone)
    assert all(reasons == BY_A_NEW_PASSWORD for reasons in recorded().values())


def test_a_refresh_after_a_change_that_was_not_seen_is_refused_and_on_record(user, phone):
    by_queryset(user)

    assert refreshed(phone).status_code == 400
    assert recorded() == {phone.refresh.sid: BY_A_NEW_PASSWORD}


# A renewed hash is no new password


@pytest.fixture
def new_hasher(settings):
    """Let the next log-in renew the hash of the password."""

    def renew():
        settings.PASSWORD_HASHERS = [
            "django.contrib.auth.hashers.PBKDF2SHA1PasswordHasher",
            "django.contrib.auth.hashers.MD5PasswordHasher",
        ]

    return renew


def was_renewed(user):
    return User.objects.get(pk=user.pk).password.startswith("pbkdf2_sha1")


def test_a_log_in_by_token_that_renews_the_hash_is_in(client, user, new_hasher):
    new_hasher()

    access = asked_for_token(PASSWORD).json()["access_token"]

    assert was_renewed(user)
    assert client.get("/user", headers={"Authorization": f"Bearer {access}"}).status_code == 200
    assert not LogoutEvent.objects.exists()


def test_a_log_in_by_page_that_renews_the_hash_is_in(user, new_browser, new_hasher):
    new_hasher()

    browser = new_browser().log_in(user)

    assert was_renewed(user)
    assert browser.is_in
    assert not LogoutEvent.objects.exists()


def test_a_re_authentication_that_renews_the_hash_does_not_end_its_own_login(
    client, user, phone, new_hasher
):
    new_hasher()

    answer = client.post(
        "/reauthenticate",
        {"password": PASSWORD},
        content_type="application/json",
        headers={"Authorization": f"Bearer {phone.access}"},
    )

    assert answer.status_code == 200
    assert was_renewed(user)
    assert not is_dead(phone.access)
    assert not LogoutEvent.objects.exists()


# A user who may not log in any more


def deactivated_in_a_shell(user, admin):
    user.is_active = False
    user.save()


def deactivated_by_name_of_the_field(user, admin):
    user.is_active = False
    user.save(update_fields=["is_active"])


def deactivated_in_the_admin(user, admin):
    url = f"/admin/auth/user/{user.pk}/change/"
    form = admin.http.get(url).context["adminform"].form
    data = {name: value for name, value in form.initial.items() if value and name != "is_active"}
    joined = data.pop("date_joined")
    data |= {"date_joined_0": joined.date().isoformat(), "date_joined_1": "00:00:00"}
    data.pop("last_login", None)
    answer = admin.http.post(url, data)
    assert answer.status_code == 302, answer.context["errors"]


DEACTIVATIONS = [
    deactivated_in_a_shell,
    deactivated_by_name_of_the_field,
    deactivated_in_the_admin,
]


@pytest.mark.usefixtures("transactions")
@pytest.mark.parametrize("deactivate", DEACTIVATIONS)
def test_a_deactivated_user_is_out_everywhere_and_stays_out(
    user, admin, tablet, phone, plain, announced, deactivate
):
    deactivate(user, admin)

    assert not User.objects.get(pk=user.pk).is_active
    event = LogoutEvent.objects.get()
    assert (event.user, event.reason, event.initiator, event.scope) == (
        user,
        "user_deactivated",
        "policy",
        "global",
    )
    assert (event.sessions_ended, event.tokens_revoked) == (2, 2)
    assert announced == [(event.pk, False)]
    assert not Session.objects.of(user).exists()
    assert not stock_takes(plain)

    user.refresh_from_db()
    user.is_active = True
    user.save()

    assert not tablet.is_in
    assert is_dead(phone.access)
    assert is_dead(phone.refresh)
    assert is_dead(plain)
    assert LogoutEvent.objects.count() == 1
    assert admin.is_in


def test_no_token_of_plain_simplejwt_comes_back_with_its_user(user, plain):
    access = tokens.decode_access(str(plain.access_token))
    assert not is_dead(access)
    deactivated_in_a_shell(user, None)

    user.is_active = True
    user.save()

    assert is_dead(access)
    assert is_dead(plain)


def test_a_user_without_logins_is_deactivated_without_an_event(user):
    deactivated_in_a_shell(user, None)

    assert not LogoutEvent.objects.exists()


def test_a_deactivated_user_who_is_saved_again_is_on_record_once(user, phone):
    deactivated_in_a_shell(user, None)
    user.first_name = "Ana"
    user.save()
    user.save()

    assert LogoutEvent.objects.count() == 1


def test_a_deactivation_that_is_not_saved_ends_nothing(user, phone):
    user.is_active = False
    user.save(update_fields=["last_name"])

    assert not is_dead(phone.access)


def test_a_deactivation_that_is_rolled_back_ends_nothing(user, tablet, phone, announced):
    roll_back(deactivated_in_a_shell, user, None)

    assert not LogoutEvent.objects.exists()
    assert announced == []
    assert tablet.is_in
    assert not is_dead(phone.access)


@pytest.mark.usefixtures("transactions")
def test_a_deactivation_that_was_not_seen_ends_everything_at_the_next_request(
    user, tablet, phone, announced
):
    User.objects.filter(pk=user.pk).update(is_active=False)

    for _ in range(2):
        assert asked(phone).status_code == 401

    event = LogoutEvent.objects.get()
    assert (event.reason, event.sessions_ended) == ("user_deactivated", 2)
    assert announced == [(event.pk, False)]
    User.objects.filter(pk=user.pk).update(is_active=True)
    assert not tablet.is_in
    assert is_dead(phone.access)


# A user who goes


def deleted_in_a_shell(user, admin):
    User.objects.get(pk=user.pk).delete()


def deleted_by_queryset(user, admin):
    User.objects.filter(pk=user.pk).delete()


def deleted_in_the_admin(user, admin):
    answer = admin.post(f"/admin/auth/user/{user.pk}/delete/", post="yes")
    assert answer.status_code == 302


def deleted_by_the_admins_action(user, admin):
    answer = admin.post(
        "/admin/auth/user/",
        action="delete_selected",
        _selected_action=str(user.pk),
        post="yes",
    )
    assert answer.status_code == 302


@pytest.mark.usefixtures("transactions")
@pytest.mark.parametrize(
    "delete",
    [deleted_in_a_shell, deleted_by_queryset, deleted_in_the_admin, deleted_by_the_admins_action],
)
def test_a_deleted_user_is_out_everywhere_and_stays_on_record_by_name(
    user, admin, tablet, phone, plain, announced, delete
):
    key = user.pk
    delete(user, admin)

    assert not User.objects.filter(pk=key).exists()
    event = LogoutEvent.objects.get(reason=Reason.USER_DELETED)
    assert (event.user, event.user_id, event.username) == (None, key, "ana")
    assert event.initiator == "policy"
    assert event.sessions_ended == 2
    assert announced == [(event.pk, False)]
    assert not Session.objects.filter(user=key).exists()
    assert not TokenVersion.objects.filter(user=key).exists()
    assert not stock_takes(plain)
    assert not stock_takes(phone.refresh)
    assert not tablet.is_in
    assert asked(phone).status_code == 401
    assert refreshed(phone).status_code == 400


@pytest.mark.django_db(transaction=True)
def test_whoever_hears_of_a_deleted_user_is_given_the_key_and_no_user(user, phone):
    heard, key = [], user.pk

    def listen(event, **kwargs):
        heard.append((event.user, event.user_id))

    login_ended.connect(listen)
    user.delete()
    login_ended.disconnect(listen)

    assert heard == [(None, key)]


def test_users_who_are_deleted_together_are_each_on_record(user, stranger, phone, device):
    services.log_in(user=stranger, client=device)

    User.objects.filter(pk__in=[user.pk, stranger.pk]).delete()

    assert sorted(LogoutEvent.objects.values_list("username", "reason")) == [
        ("ana", "user_deleted"),
        ("eve", "user_deleted"),
    ]


def test_a_user_without_logins_is_deleted_without_an_event(user):
    assert not TokenVersion.objects.exists()

    user.delete()

    assert not LogoutEvent.objects.exists()


def test_a_user_who_never_had_a_login_of_ours_is_deleted(user, plain):
    assert not TokenVersion.objects.exists()

    user.delete()

    event = LogoutEvent.objects.get()
    assert (event.username, event.sessions_ended, event.tokens_revoked) == ("ana", 0, 1)
    assert not stock_takes(plain)


def test_a_deletion_that_is_rolled_back_ends_nothing(user, tablet, phone, announced):
    roll_back(deleted_in_a_shell, user, None)

    assert not LogoutEvent.objects.exists()
    assert announced == []
    assert tablet.is_in
    assert not is_dead(phone.access)
    assert stock_takes(phone.refresh)


# Other models of the same users


@pytest.fixture
def kinds_of_users(transactional_db, monkeypatch):
    """A proxy of the user model and a child with a table of its own."""
    with isolate_apps("accounts") as registry:

        class Boss(User):
            class Meta:
                app_label = "drf_logout"
                proxy = True

        class Employee(User):
            number = models.IntegerField(default=1)

            class Meta:
                app_label = "drf_logout"

    with monkeypatch.context() as patch:
        patch.setattr(receivers, "apps", registry)
        receivers.connect_users()
    with connection.schema_editor() as editor:
        editor.create_model(Employee)
    yield {"proxy": Boss, "child": Employee}
    with connection.schema_editor() as editor:
        editor.delete_model(Employee)
    for model in (Boss, Employee):
        post_save.disconnect(receivers.on_user_saved, sender=model)
        pre_delete.disconnect(receivers.on_user_deleted, sender=model)


@pytest.fixture(params=["proxy", "child"])
def employee(request, user, kinds_of_users):
    """The user, as an object of a model of the host's own."""
    model = kinds_of_users[request.param]
    if request.param == "child":
        child = model(user_ptr=user)
        child.save_base(raw=True)
    return model.objects.get(pk=user.pk)


def test_a_new_password_of_another_model_of_the_user_ends_the_logins(employee, phone):
    employee.set_password(NEW)
    employee.save()

    assert recorded() == {phone.refresh.sid: BY_A_NEW_PASSWORD}


def test_a_deactivation_of_another_model_of_the_user_ends_the_logins(employee, phone):
    employee.is_active = False
    employee.save()

    assert LogoutEvent.objects.get().reason == "user_deactivated"
    assert is_dead(phone.access)


def test_a_deletion_of_another_model_of_the_user_ends_the_logins(employee, phone):
    employee.delete()

    event = LogoutEvent.objects.get()
    assert (event.user, event.username, event.reason) == (None, "ana", "user_deleted")
    assert not User.objects.filter(username="ana").exists()
    assert not stock_takes(phone.refresh)


# "It was not me"


@pytest.fixture
def compromised(admin_user):
    return Cause(reason=Reason.COMPROMISED, initiator=Initiator.ADMIN, actor=admin_user)


def test_a_secured_account_is_closed_to_everybody_with_the_old_password(
    user, ana, tablet, phone, plain, announced, new_browser, admin_user, compromised
):
    result = services.secure_account(user=user, cause=compromised)

    event = LogoutEvent.objects.get()
    assert result.events == (event,)
    assert (event.user, event.actor, event.reason, event.initiator, event.scope) == (
        user,
        admin_user,
        "compromised",
        "admin",
        "global",
    )
    assert (event.sessions_ended, event.tokens_revoked) == (2, 2)
    assert announced == [(event.pk, False)]
    assert not tablet.is_in
    assert is_dead(phone.access)
    assert is_dead(plain)
    assert not stock_takes(plain)
    assert asked_for_token(PASSWORD).status_code == 400
    page = new_browser().post("/admin/login/", username="ana", password=PASSWORD)
    assert page.status_code == 200
    assert page.context["form"].errors


def test_the_user_of_a_secured_account_comes_back_by_djangos_password_reset(
    user, new_browser, compromised
):
    services.secure_account(user=user, cause=compromised)

    by_reset(user, new_browser())

    assert asked_for_token(NEW).status_code == 200


def test_a_link_for_a_new_password_from_before_is_worthless_afterwards(
    user, new_browser, compromised
):
    """Whoever got into the account may have asked for one."""
    browser = new_browser()
    browser.post("/accounts/password_reset/", email=user.email)
    link = re.search(r"/accounts/reset/\S+", mail.outbox[0].body)[0]

    services.secure_account(user=user, cause=compromised)

    assert browser.http.get(link).context["validlink"] is False


def test_a_user_who_has_no_password_gets_none(user, phone, compromised):
    user.set_unusable_password()
    user.save()
    before = user.password

    services.secure_account(user=user, cause=compromised)

    user.refresh_from_db()
    assert user.password == before
    assert not user.has_usable_password()
    assert is_dead(phone.access)


@pytest.mark.parametrize(
    "statement",
    [
        'UPDATE "drf_logout_tokenversion"',
        'DELETE FROM "drf_logout_session"',
        'INSERT INTO "drf_logout_logoutevent"',
        'UPDATE "auth_user"',
    ],
)
def test_an_account_is_secured_as_a_whole_or_not_at_all(
    user, tablet, phone, plain, announced, compromised, statement
):
    def refuse(execute, sql, *args):
        if sql.startswith(statement):
            raise OperationalError("the disk is full")
        return execute(sql, *args)

    with pytest.raises(OperationalError), connection.execute_wrapper(refuse):
        services.secure_account(user=user, cause=compromised)

    assert not LogoutEvent.objects.exists()
    assert not BlacklistedToken.objects.exists()
    assert announced == []
    assert tablet.is_in
    assert not is_dead(phone.access)
    assert stock_takes(plain)
    assert asked_for_token(PASSWORD).status_code == 200


# Receivers of the host


@pytest.mark.parametrize(
    "happen",
    [
        in_a_shell,
        partial(deactivated_in_a_shell, admin=None),
        partial(deleted_in_a_shell, admin=None),
        lambda user: services.secure_account(user=user, cause=Cause()),
    ],
    ids=["password", "deactivated", "deleted", "secured"],
)
def test_a_receiver_that_raises_harms_nothing(user, phone, laptop, happen):
    heard = []

    def fail(event, **kwargs):
        heard.append(event.reason)
        raise RuntimeError

    login_ended.connect(fail)
    try:
        happen(user)
    finally:
        login_ended.disconnect(fail)

    assert len(heard) == LogoutEvent.objects.count() > 0
    assert is_dead(phone.access)
    assert is_dead(laptop.access)
    assert not OutstandingToken.objects.filter(blacklistedtoken=None).exists()


# At the edges


def test_a_browser_of_a_user_deactivated_by_queryset_is_not_in_again_later(user):
    browser = Client()
    browser.force_login(user)
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert browser.get("/whoami").content == b""

    User.objects.filter(pk=user.pk).update(is_active=True)

    assert browser.get("/whoami").content == b""
    assert LogoutEvent.objects.get().reason == "user_deactivated"


def test_a_disabled_password_ends_every_login(user, phone):
    user.set_unusable_password()
    user.save()

    assert [event.reason for event in LogoutEvent.objects.all()] == ["password_changed"]
    assert is_dead(phone.access)


@pytest.mark.postgresql
@pytest.mark.parametrize("beside", ["a log-in", "a refresh of a plain token"])
def test_a_user_who_is_deleted_leaves_no_login_that_begins_beside(beside):
    for number in range(21):
        person = User.objects.create_user(f"user{number}", password=PASSWORD)
        services.log_in(user=person, client=ClientInfo())
        plain = StockRefreshToken.for_user(person)

        def delete(pk=person.pk):
            User.objects.get(pk=pk).delete()
            return "deleted"

        def begin(name=person.username, plain=plain):
            answer = http_log_in(name) if beside == "a log-in" else refresh(plain)
            return answer.status_code

        deleted, status = race(delete, begin, delays=[delay / 2 for delay in offset(number)])

        assert deleted == "deleted"
        assert status in {200, 400}
        ended = LogoutEvent.objects.filter(username=person.username)
        assert sum(event.sessions_ended for event in ended) == 1 + (status == 200)


def test_what_a_new_password_revokes_is_on_record_or_not_revoked(user):
    plain = tokens.decode_refresh(str(StockRefreshToken.for_user(user)))
    user.set_password(NEW)

    with failing('INSERT INTO "drf_logout_logoutevent"'), pytest.raises(OperationalError):
        user.save()

    assert not blacklist.is_blacklisted(plain.jti)


def test_a_session_that_is_flushed_unread_is_on_record(user, client):
    client.force_login(user)

    SessionStore(client.cookies["sessionid"].value).flush()

    assert not Session.objects.exists()
    assert LogoutEvent.objects.get().reason == "discarded"


def test_a_username_too_long_for_the_record_is_cut(user, phone, monkeypatch):
    monkeypatch.setattr(User, "get_username", lambda self: "a" * 300)

    services.end_all(user=user, cause=Cause())

    assert LogoutEvent.objects.get().username == "a" * 254


@pytest.mark.postgresql  # SQLite saves no user who was made with time zones
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Bogota"])
def test_without_time_zones_a_new_password_revokes_a_plain_token(settings, user, zone):
    settings.USE_TZ, settings.TIME_ZONE = False, zone
    raw = StockRefreshToken.for_user(user)
    raw.set_exp(lifetime=timedelta(hours=4))
    OutstandingToken.objects.update(expires_at=raw.current_time + timedelta(hours=4))

    in_a_shell(user)

    assert blacklist.is_blacklisted(raw["jti"])


def test_a_version_is_raised_where_it_is_written(settings, user):
    settings.DATABASE_ROUTERS = ["tests.test_services.NoReplica"]

    TokenVersion.objects.raise_version(user)

    assert TokenVersion.objects.using("default").get(user=user).version


def test_a_user_who_was_reactivated_meanwhile_keeps_their_logins(user, phone):
    stale = User.objects.get(pk=user.pk)
    stale.is_active = False

    services.user_deactivated(user=stale)

    assert not is_dead(phone.access)


def test_nobody_logs_in_who_was_deactivated_or_deleted_meanwhile(user, stranger):
    inactive, gone = User.objects.get(pk=user.pk), User.objects.get(pk=stranger.pk)
    User.objects.filter(pk=user.pk).update(is_active=False)
    stranger.delete()

    for stale in (inactive, gone):
        with pytest.raises(TokenRevoked):
            services.log_in(user=stale, client=ClientInfo())

    assert not Session.objects.exists()


@pytest.mark.postgresql
def test_ending_the_rows_of_a_list_locks_no_users(user, phone):
    with CaptureQueriesContext(connection) as statements:
        services.end_sessions(sessions=Session.objects.select_related("user"), cause=Cause())

    locking = [query["sql"] for query in statements if "FOR UPDATE" in query["sql"]]
    assert locking
    assert not any("auth_user" in query for query in locking)
