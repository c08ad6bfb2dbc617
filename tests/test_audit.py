"""The security log: one line of JSON that nothing can break out of."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from accounts import audit
from accounts.clients import ClientInfo


@pytest.fixture
def log():
    def write(event=audit.Event.SESSION_LOGOUT, **changes):
        arguments = {
            "action": "logout",
            "target": "session",
            "success": True,
            "reason": "logout",
            "status": 200,
            "client": ClientInfo(
                ip_address="192.0.2.7", user_agent="Phone/1", request_id="request-1"
            ),
            "user_id": "7",
            "session_id": "5f0c",
        }
        audit.log(event, **(arguments | changes))

    return write


def test_a_line_says_what_when_where_and_who(log, security_log):
    log()

    [line] = security_log()
    when = datetime.fromisoformat(line.pop("datetime"))
    assert when.utcoffset() == timedelta(0)
    assert abs(timezone.now() - when) < timedelta(seconds=10)
    assert line == {
        "event": "session_logout",
        "level": "INFO",
        "action": "logout",
        "object": "session",
        "result": "success",
        "reason": "logout",
        "status": 200,
        "user": "7",
        "session": "5f0c",
        "source_ip": "192.0.2.7",
        "user_agent": "Phone/1",
        "request_id": "request-1",
    }


def test_a_failure_says_so(log, security_log):
    log(success=False, status=401, user_id=None, session_id=None)

    [line] = security_log()
    assert line["result"] == "failure"
    assert line["status"] == 401
    assert line["user"] is None
    assert line["session"] is None


@pytest.mark.parametrize(
    ("event", "name", "level"),
    [
        (audit.Event.LOGIN_SUCCESS, "authn_login_success", "INFO"),
        (audit.Event.LOGIN_FAIL, "authn_login_fail", "WARNING"),
        (audit.Event.NOT_ALLOWED, "authz_fail", "WARNING"),
        (audit.Event.TOKEN_CREATED, "authn_token_created", "INFO"),
        (audit.Event.TOKEN_REVOKED, "authn_token_revoked", "INFO"),
        (audit.Event.TOKEN_REUSE, "authn_token_reuse", "CRITICAL"),
        (audit.Event.SESSION_LOGOUT, "session_logout", "INFO"),
        (audit.Event.SESSION_EXPIRED, "session_expired", "INFO"),
        (audit.Event.SESSION_USE_AFTER_EXPIRE, "session_use_after_expire", "CRITICAL"),
        (audit.Event.RECORD_SEALED, "sensitive_create", "INFO"),
        (audit.Event.RATE_LIMIT_EXCEEDED, "excess_rate_limit_exceeded", "WARNING"),
    ],
)
def test_an_event_has_its_owasp_name_and_level(log, security_log, event, name, level):
    log(event)

    [line] = security_log()
    assert (line["event"], line["level"]) == (name, level)


def test_what_was_told_is_remembered_in_a_bounded_space(log, security_log, monkeypatch):
    monkeypatch.setattr(audit, "MAX_TOLD", 2)

    for login in ("a", "a", "b", "b", "c", "a"):
        log(audit.Event.SESSION_USE_AFTER_EXPIRE, session_id=login)

    assert [line["session"] for line in security_log()] == ["a", "b", "c", "a"]


def test_a_line_is_logged_at_the_level_it_names(log, security_log, caplog):
    for event in audit.Event:
        log(event)

    levels = [line["level"] for line in security_log()]
    assert levels == [record.levelname for record in caplog.records]
    assert len(levels) == len(audit.Event)


@pytest.mark.parametrize(
    "hostile",
    ['a"}\r\n{"event": "forged', "\x1b[2J", "\u2028next", "\x00", "Ñ", "%s %(name)s {message}"],
)
def test_no_value_can_begin_a_line_of_its_own(log, security_log, caplog, hostile):
    log(
        target=hostile,
        reason=hostile,
        user_id=hostile,
        client=ClientInfo(user_agent=hostile, request_id=hostile),
    )

    [line] = security_log()
    assert line["user_agent"] == line["object"] == line["request_id"] == hostile
    text = caplog.records[-1].getMessage()
    assert text.isascii()
    assert text.isprintable()
    assert text == json.dumps(line)
