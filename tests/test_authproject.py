"""The example project: its settings, its two commands and what they say when they cannot."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys

import pytest
import requests
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from authproject import environment
from authproject.embedded_postgresql.base import _runtime_dir
from tests.documents import ROOT
from tests.host import PATIENCE, first_answer, free_port

KEY = "k" * 50


def manage(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("missing", ["SECRET_KEY", "JWT_SIGNING_KEY"])
def test_without_debug_and_a_key_it_does_not_start_and_says_why(missing):
    keys = {name: KEY for name in ("SECRET_KEY", "JWT_SIGNING_KEY") if name != missing}
    done = manage("check", **keys)
    assert done.returncode != 0
    assert f"Set {missing} to a secret of 50 characters or more" in done.stderr


def test_a_short_key_does_not_start_even_with_debug_off():
    assert "50 characters" in manage("check", SECRET_KEY="short", JWT_SIGNING_KEY=KEY).stderr


def test_a_deployment_has_nothing_to_be_warned_of():
    done = manage(
        *("check", "--deploy", "--fail-level", "WARNING"),
        SECRET_KEY=KEY[::-1] + "a1b2c3d4e5",
        JWT_SIGNING_KEY=KEY,
        ALLOWED_HOSTS="example.com",
        REDIS_URL="redis://127.0.0.1/0",
        DATABASE_URL="sqlite://:memory:",
    )
    assert done.returncode == 0, done.stderr


def test_passwords_are_hashed_with_argon2():
    code = "from django.conf import settings; print(settings.PASSWORD_HASHERS[0])"
    assert "Argon2PasswordHasher" in manage("shell", "-v", "0", "-c", code, DEBUG="1").stdout


def test_the_project_runs_under_gunicorn():
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "authproject.wsgi"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "SECRET_KEY": KEY,
            "JWT_SIGNING_KEY": KEY,
            "ALLOWED_HOSTS": "127.0.0.1",
            "SECURE_SSL_REDIRECT": "0",
            "DATABASE_URL": "sqlite://:memory:",
        },
        stderr=subprocess.DEVNULL,
    )
    try:
        # No table is there: the storage is down, and the answer is still the contract's.
        answer = first_answer(f"http://127.0.0.1:{port}/api/auth/user")
        assert answer.json() == {"code": 401, "msg": "Token not provided or invalid"}
        style = requests.get(f"http://127.0.0.1:{port}/static/admin/css/base.css", timeout=PATIENCE)
        assert style.status_code == 200
    finally:
        server.terminate()
        assert server.wait(timeout=PATIENCE) == 0


def test_the_demo_serves_tells_what_to_paste_and_stops_cleanly(tmp_path):
    port = free_port()
    database = f"sqlite:///{tmp_path}/demo.sqlite3"
    for password in (r"admin, password \S{16}\n", "as printed the first time"):
        with (tmp_path / "said").open("w+") as said:
            server = subprocess.Popen(
                [sys.executable, "manage.py", "demo", str(port)],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "DEBUG": "1", "DATABASE_URL": database},
                stdout=said,
                stderr=subprocess.DEVNULL,
            )
            try:
                site = f"http://127.0.0.1:{port}"
                api = f"{site}/api/v1/auth"
                assert first_answer(f"{api}/user").status_code == 401
                body = {"email": "test@example.com", "password": "password123"}
                answer = requests.post(
                    f"{api}/token", json={"grant_type": "password", **body}, timeout=PATIENCE
                )
                assert answer.status_code == 200
                assert requests.get(site, timeout=PATIENCE).status_code == 200
            finally:
                server.send_signal(signal.SIGINT)
                assert server.wait(timeout=PATIENCE) == 0
            said.seek(0)
            text = said.read()
        assert re.search(password, text)
        told = [text.index(line) for line in (f" {site}/\n", f"{api}/token", f"{api}/logout")]
        assert told == sorted(told), "the first page comes first"


def test_a_port_that_is_taken_is_told_in_a_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=f"Port {port} cannot be used .* Another one: "):
            call_command("demo", str(port))


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A temporary directory; return it, and the folder in it that the embedded PostgreSQL uses."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / f"drf-logout-{os.geteuid()}"


def test_the_embedded_postgresql_has_a_folder_of_this_user_alone(temporary):
    for _ in range(2):
        assert _runtime_dir() == temporary
        assert temporary.stat().st_mode & 0o777 == 0o700
        assert (temporary / "python_PostgresServer").is_dir()


def of_another_user(folder, monkeypatch):
    folder.mkdir(0o755)
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
    else:  # Who cannot give a folder away is another user than the one whose folder it is.
        another = os.geteuid() + 1
        folder.rename(folder.with_name(f"drf-logout-{another}"))
        monkeypatch.setattr(os, "geteuid", lambda: another)


def that_others_write_to(folder, monkeypatch):
    folder.mkdir()
    folder.chmod(0o777)


def that_is_a_link(folder, monkeypatch):
    (folder.parent / "elsewhere").mkdir(0o755)
    folder.symlink_to(folder.parent / "elsewhere")


def that_is_a_file(folder, monkeypatch):
    folder.touch(0o644)


@pytest.mark.parametrize(
    "prepare", [of_another_user, that_others_write_to, that_is_a_link, that_is_a_file]
)
def test_a_folder_that_somebody_else_prepared_is_refused_and_left_alone(
    temporary, monkeypatch, prepare
):
    prepare(temporary, monkeypatch)

    def state():
        found = {path: path.lstat() for path in temporary.parent.rglob("*")}
        return {path: (stat.st_mode, stat.st_uid) for path, stat in found.items()}

    before = state()
    with pytest.raises(ImproperlyConfigured, match="Remove it, or set TMPDIR"):
        _runtime_dir()
    assert state() == before


def test_a_temporary_directory_that_cannot_be_used_is_told_in_a_sentence(temporary, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(temporary / "missing"))
    with pytest.raises(ImproperlyConfigured, match="cannot be used: "):
        _runtime_dir()


def test_no_command_starts_postgresql_in_a_folder_that_somebody_else_prepared(temporary):
    that_is_a_link(temporary, None)
    done = manage("showmigrations", DEBUG="1", TMPDIR=str(temporary.parent))
    assert done.returncode != 0
    assert "Remove it, or set TMPDIR to a folder of your own." in done.stderr


def test_a_python_that_is_too_old_is_told_in_a_sentence(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 13))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer, not 3\.10\.13"):
        environment.run("demo")


def test_a_folder_that_cannot_be_written_is_told_in_a_sentence(monkeypatch, tmp_path):
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "requirements.txt").touch()
    (tmp_path / "file").touch()
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "VENV", tmp_path / "file" / ".venv")
    with pytest.raises(SystemExit, match=r"Cannot write to .* a folder of your own"):
        environment.run("demo")


def test_an_installation_that_fails_is_told_in_a_sentence(monkeypatch, tmp_path):
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "requirements.txt").touch()
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(environment, "PYTHON", "/bin/false")
    monkeypatch.setattr(environment.venv, "create", lambda *args, **kwargs: None)
    with pytest.raises(SystemExit, match="Could not install"):
        environment.run("demo")


def test_the_readme_has_one_line_for_each_command():
    readme = (ROOT / "README.md").read_text()
    for heading, line in (("Run it", "python3 -m authproject"), ("Test it", "python3 -m tests")):
        section = readme.split(f"## {heading}\n")[1].split("\n## ")[0]
        assert re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL) == [f"{line}\n"]


@pytest.mark.parametrize(
    ("made", "asked", "made_again"),
    [
        ("dev", "demo", False),
        ("dev", "dev", False),
        ("demo", "demo", False),
        ("demo", "dev", True),
    ],
)
def test_an_environment_that_has_what_is_asked_for_is_left_alone(
    monkeypatch, tmp_path, made, asked, made_again
):
    calls = []
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "requirements.txt").touch()
    (tmp_path / ".venv").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(environment.venv, "create", lambda *_, clear, **__: calls.append(clear))
    monkeypatch.setattr(environment, "_pip", lambda *arguments: None)
    monkeypatch.setattr(environment.os, "execv", lambda *arguments: None)
    environment.run(made)

    environment.run(asked)

    # The first is made afresh; what runs from it is not taken away by the second.
    assert calls == [True, False] if made_again else [True]
