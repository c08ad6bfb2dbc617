"""Logging in by password: the names."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model

from tests.http import PASSWORD


@pytest.mark.django_db
@pytest.mark.parametrize("name", [{"username": "ana"}, {"email": "nobody@example.com"}])
def test_a_name_is_refused_that_is_no_number_where_names_are_numbers(client, monkeypatch, name):
    monkeypatch.setattr(get_user_model(), "USERNAME_FIELD", "id")

    grant = {"grant_type": "password", "password": PASSWORD, **name}
    answer = client.post("/token", grant, content_type="application/json")

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
