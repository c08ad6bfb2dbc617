"""Key pairs: the command that makes one, the check of those that are set, the example project's."""

from __future__ import annotations

import os
import subprocess
import sys

import jwt
import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.utils import translation
from rest_framework_simplejwt import state
from rest_framework_simplejwt.backends import TokenBackend

from accounts.management import keys
from accounts.tokens import AccessToken, decode_access
from tests.documents import ROOT
from tests.pairs import EACH_ALGORITHM, private, public


def told():
    return {m.id for m in run_checks() if m.id in {"drf_logout.W011", "drf_logout.W012"}}


@pytest.fixture
def signing_by(monkeypatch):
    def run(*arguments, **more):
        monkeypatch.setattr(state, "token_backend", TokenBackend(*arguments, **more))

    return run


# The command


@EACH_ALGORITHM
def test_what_the_command_makes_signs_and_verifies_once_it_is_set(
    tmp_path, capsys, signing_by, algorithm
):
    file = tmp_path / "jwt.pem"

    call_command("create_key", str(file), algorithm=algorithm)

    said = capsys.readouterr()
    assert file.stat().st_mode & 0o777 == 0o600
    assert f'SIMPLE_JWT["ALGORITHM"] to "{algorithm}"' in said.out
    assert "PRIVATE" not in said.out
    assert said.err == ""
    signing_by(algorithm, file.read_text(), said.out[said.out.index("-----BEGIN") :])
    assert told() == set()
    token = AccessToken()
    token["sub"] = "7"
    assert decode_access(str(token)).user_id == "7"


def test_without_a_file_the_private_key_alone_goes_to_the_standard_output(capsys):
    call_command("create_key")

    said = capsys.readouterr()
    assert said.out.startswith("-----BEGIN PRIVATE KEY-----\n")
    assert said.out.endswith("-----END PRIVATE KEY-----\n")
    assert keys.public_key(said.out) in said.err


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_nothing_that_is_there_is_written_over(tmp_path, kind):
    file, other = tmp_path / "jwt.pem", tmp_path / "other"
    if kind == "file":
        file.write_text("the key of before")
    elif kind == "link":
        file.symlink_to(other)
    else:
        file.mkdir()

    with pytest.raises(CommandError, match=r"Cannot write to .*: File exists"):
        call_command("create_key", str(file))

    assert kind != "file" or file.read_text() == "the key of before"
    assert not other.exists()


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)

    with pytest.raises(CommandError, match=r"pip install 'drf-logout\[keys\]'"):
        call_command("create_key")


def test_the_command_speaks_the_language(tmp_path, capsys):
    with translation.override("es"):
        call_command("create_key", str(tmp_path / "jwt.pem"))

    assert "la clave privada" in capsys.readouterr().out


# The check


def test_a_pair_and_public_fallbacks_are_told_nothing(deploy):
    deploy("ES256", "old", "next")

    assert told() == set()


def test_a_private_key_among_the_fallbacks_is_told(deploy, settings):
    deploy()
    settings.ACCOUNTS = {"SIGNING_KEY_FALLBACKS": [private(name="next")]}

    assert told() == {"drf_logout.W011"}


@pytest.mark.parametrize(
    ("signing_key", "verifying_key"),
    [
        (private(), public(name="next")),
        (private(), ""),
        (private(), "a secret"),
        ("a secret", public()),
        (None, public()),
        (private("RS256"), public("RS256")),
    ],
)
def test_keys_that_are_no_pair_are_told(signing_by, signing_key, verifying_key):
    signing_by("ES256", signing_key, verifying_key)

    assert told() == {"drf_logout.W012"}


def test_a_fallback_that_is_no_key_of_the_algorithm_is_told(deploy, settings):
    deploy()
    settings.ACCOUNTS = {"SIGNING_KEY_FALLBACKS": ["a secret"]}

    assert told() == {"drf_logout.W012"}


def test_keys_from_elsewhere_are_not_asked_for(signing_by):
    signing_by("ES256", "a secret", jwk_url="http://127.0.0.1:1/jwks.json")

    assert told() == set()


def test_fallbacks_that_are_no_list_are_told_by_the_check_of_settings(deploy, settings):
    deploy()
    settings.ACCOUNTS = {"SIGNING_KEY_FALLBACKS": 5}

    assert told() == set()


# The example project


def project(code, **variables):
    """Run a line in the example project with this environment."""
    return subprocess.run(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", code],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DEBUG": "1", "DATABASE_URL": "sqlite://:memory:"}
        | variables,
        capture_output=True,
        text=True,
        check=False,
    )


SIGN = "from accounts.tokens import AccessToken; print(AccessToken())"


def test_the_example_project_takes_its_key_from_a_file(tmp_path):
    file = tmp_path / "jwt.pem"
    file.write_text(private("EdDSA"))

    done = project(
        SIGN,
        JWT_ALGORITHM="EdDSA",
        JWT_SIGNING_KEY_FILE=str(file),
        JWT_SIGNING_KEY_FALLBACKS=public("EdDSA", "next"),
    )

    assert done.returncode == 0, done.stderr
    assert jwt.decode(done.stdout.strip(), public("EdDSA"), algorithms=["EdDSA"])


def test_the_example_project_takes_its_key_from_one_line(tmp_path):
    code = f"{SIGN}; print(*AccessToken().token_backend.public_keys)"

    done = project(
        code,
        JWT_ALGORITHM="ES256",
        JWT_SIGNING_KEY=private().replace("\n", "\\n"),
        JWT_SIGNING_KEY_FALLBACKS=public(name="next").replace("\n", "\\n"),
    )

    assert done.returncode == 0, done.stderr
    token, kids = done.stdout.splitlines()
    assert jwt.decode(token, public(), algorithms=["ES256"])
    assert len(kids.split()) == 2


def test_the_example_project_says_that_a_secret_is_no_private_key():
    done = project(SIGN, JWT_ALGORITHM="ES256", JWT_SIGNING_KEY="k" * 50)

    assert "JWT_SIGNING_KEY is no private key" in done.stderr
