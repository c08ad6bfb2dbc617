"""Schemathesis sends what the schema allows, and much that it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.urls import include, path

import authproject.urls
from accounts import services
from accounts.api.urls import drf
from accounts.clients import ClientInfo
from tests.conftest import PASSWORD
from tests.documents import ROOT
from tests.host import PATIENCE

pytestmark = [pytest.mark.drill, pytest.mark.urls(__name__)]

# The example project has no contract ``drf``.
urlpatterns = [*authproject.urls.urlpatterns, path("drf/", include(drf))]

CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance"]
CHECKS += ["response_schema_conformance", "response_headers_conformance"]


def test_each_answer_is_one_of_the_schema(live_server, user, settings, tmp_path):
    rates = dict.fromkeys(("LOGOUT_RATE", "PASSWORD_RATE", "ADDRESS_RATE"), "1000000/5m")
    settings.ACCOUNTS = {**settings.ACCOUNTS, **rates}
    expired = services.log_in(user=user, client=ClientInfo()).access
    expired.set_exp(lifetime=-timedelta(minutes=1))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{live_server.url}/docs/schema"),
            *("--checks", ",".join(CHECKS), "--continue-on-failure", "--no-color"),
            *("--seed", "1", "--max-examples", "5", "--generation-deterministic"),
        ],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.fuzzing",
            "API_URL": live_server.url,
            "PASSWORD": PASSWORD,
            "EXPIRED_TOKEN": str(expired),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
