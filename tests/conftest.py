"""Fixtures; each builds one thing."""

from __future__ import annotations

import json
import logging
import signal
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.core.servers.basehttp import WSGIRequestHandler
from django.db.models import F
from django.utils import translation
from hypothesis import HealthCheck, settings

from accounts import audit, ratelimit, services
from accounts.clients import ClientInfo, _warn_of_proxy
from accounts.conf import Conf, conf
from accounts.models import Session
from accounts.ratelimit import Budget, Outage
from accounts.services import statements, transactions
from tests.http import OVER_COOKIE, PASSWORD, Clients

settings.register_profile(
    "default",
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
# What CI looks for beyond: pytest -m "drill or hypothesis" --hypothesis-profile=drill
settings.register_profile("drill", settings.get_profile("default"), max_examples=200)
settings.load_profile("default")

# A shell lets what it starts in the background of a script ignore Ctrl-C, and so would the
# processes that tests start, and stop by it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A body would wait 40 ms for the client to acknowledge the headers.
WSGIRequestHandler.disable_nagle_algorithm = True

if OVER_COOKIE:
    vars(Conf)["refresh_cookie"]._default = {}

pytest_plugins = ["tests.chromium", "tests.database", "tests.pairs", "tests.servers"]


@pytest.fixture(autouse=True)
def _fresh_memory(monkeypatch):
    cache.clear()
    monkeypatch.setattr(ratelimit, "_outage", Outage())
    monkeypatch.setattr(ratelimit, "_budget", Budget())
    monkeypatch.setattr(audit, "_told", set())
    _warn_of_proxy.cache_clear()
    # A server closes an answer in pieces; a test that does not read it leaves the request open.
    monkeypatch.setattr(transactions._request, "calls", None, raising=False)


@pytest.fixture(autouse=True)
def _no_language():
    """Speak the default: Django's test client leaves the language of its last answer behind."""
    translation.deactivate()


@pytest.fixture
def user(db):
    return get_user_model().objects.create_user(
        username="ana", email="ana@example.com", password=PASSWORD
    )


@pytest.fixture
def stranger(db):
    return get_user_model().objects.create_user(
        username="eve", email="eve@example.com", password=PASSWORD
    )


@pytest.fixture
def device():
    return ClientInfo(ip_address="192.0.2.7", user_agent="Phone/1", request_id="r-1")


@pytest.fixture
def phone(user, device):
    """A token login of the user."""
    return services.log_in(user=user, client=device)


@pytest.fixture
def laptop(user, device):
    """Another token login of the user."""
    return services.log_in(user=user, client=device)


@pytest.fixture
def after_grace(db):
    """Let the grace of every rotation until now be over."""

    def wait():
        Session.objects.filter(rotated_at__isnull=False).update(
            rotated_at=F("rotated_at") - conf.refresh_grace - timedelta(seconds=1)
        )

    return wait


@pytest.fixture(params=["in one statement", "step by step"])
def way(request, monkeypatch):
    """Both ways to end and to refresh a login; only PostgreSQL has the first one."""
    if request.param == "step by step":
        monkeypatch.setattr(statements, "are_possible", lambda: False)


@pytest.fixture
def is_in(client):
    """Ask the protected route, as a client with this access token does."""

    def ask(access):
        answer = client.get("/user", headers={"Authorization": f"Bearer {access}"})
        assert answer.status_code in {200, 401}
        return answer.status_code == 200

    return ask


@pytest.fixture
def security_log(caplog):
    """Read the lines of the security log, which its handler keeps from the root logger."""
    logger = logging.getLogger("accounts.audit")
    logger.addHandler(caplog.handler)
    yield lambda: [json.loads(r.getMessage()) for r in caplog.records if r.name == logger.name]
    logger.removeHandler(caplog.handler)


@pytest.fixture
def clients(live_server):
    """Phones and browsers that talk to the served project."""
    clients = Clients(live_server.url)
    yield clients
    clients.close()


@pytest.fixture
def ana(user):
    """The user, who may enter the admin."""
    user.is_staff = True
    user.save()
    return user
