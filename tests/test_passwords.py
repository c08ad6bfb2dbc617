"""Logging in by password: whose name it is."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model

from accounts.passwords import find_user
from tests.http import PASSWORD


@pytest.mark.django_db
@pytest.mark.parametrize("name", [{"username": "ana"}, {"email": "nobody@example.com"}])
def test_a_name_is_refused_that_is_no_number_where_names_are_numbers(client, monkeypatch, name):
    monkeypatch.setattr(get_user_model(), "USERNAME_FIELD", "id")

    grant = {"grant_type": "password", "password": PASSWORD, **name}
    answer = client.post("/token", grant, content_type="application/json")

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


# Who an e-mail address stands for


def test_an_email_address_is_its_one_users_whatever_its_case(user):
    assert find_user(email="Ana@Example.com") == user
    assert find_user(username="ana") == user


def test_a_name_of_nobody_is_nobodys(user):
    assert find_user(email="nobody@example.com") is None
    assert find_user(username="nobody") is None


def test_an_address_that_active_users_share_is_nobodys(user, stranger):
    stranger.email = user.email
    stranger.save()

    assert find_user(email=user.email) is None

    stranger.is_active = False
    stranger.save()

    assert find_user(email=user.email) == user


@pytest.mark.parametrize("field", ["username", "no_such_field"])
def test_a_user_model_without_an_address_of_its_own_is_searched_by_name(user, monkeypatch, field):
    monkeypatch.setattr(type(user), "EMAIL_FIELD", field)

    assert find_user(email="ana") == user


def test_a_letter_that_is_another_to_some_databases_makes_another_address(user):
    user.email = "iris@example.com"
    user.save()

    # Upper-cased, the dotless letter is the other one's capital.
    assert find_user(email="\u0131ris@example.com") is None
    assert find_user(email="IRIS@example.com") == user
