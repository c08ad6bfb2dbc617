"""Run SimpleJWT's own suite without the app and with it, and tell what the app changes.

Only what ``CHANGED`` names may fail that passes without it, and each of these has to.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
from importlib.metadata import version
from pathlib import Path
from typing import Final

PACKAGE: Final = f"djangorestframework-simplejwt=={version('djangorestframework-simplejwt')}"
REQUIREMENTS: Final = ["cryptography", "freezegun", "pytest", "pytest-django", "python-jose"]
"""What the suite imports, or is run by."""

NO_RAW_TOKEN: Final = "it looks for a raw token in the table, where none is kept"
REVOKED_AT_ONCE: Final = (
    "who is deleted or deactivated has no tokens left: it is refused as revoked, "
    "before its user is looked for"
)
_REFRESH: Final = "tests/test_serializers.py::TestTokenRefreshSerializer::test_"
_LIST: Final = "tests/test_token_blacklist.py::TestTokenBlacklist::test_"
_ROW: Final = f"{_LIST}outstanding_token_and_blacklisted_token_"
CHANGED: Final = {
    f"{_REFRESH}it_should_raise_error_for_deleted_users": REVOKED_AT_ONCE,
    f"{_REFRESH}it_should_raise_error_for_inactive_users": REVOKED_AT_ONCE,
    f"{_LIST}refresh_tokens_are_added_to_outstanding_list": NO_RAW_TOKEN,
    f"{_LIST}sliding_tokens_are_added_to_outstanding_list": NO_RAW_TOKEN,
    f"{_ROW}created_at": NO_RAW_TOKEN,
    f"{_ROW}created_at_with_modified_user_id_field": NO_RAW_TOKEN,
    f"{_ROW}user": NO_RAW_TOKEN,
    f"{_ROW}user_with_modifed_user_id_field": NO_RAW_TOKEN,
}
"""The tests that say what the app is there to change, and why."""


def main(wheel: str) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        suite = _suite(folder)
        python = _environment(folder / "venv", wheel)
        server = _server()
        without = _run(python, suite, server, apps="")
        beside = _run(python, suite, server, apps="accounts")
    changed = {test for test, passed in without.items() if passed and not beside.get(test)}
    changed |= {test for test, passed in beside.items() if not passed and test not in without}
    for test in sorted(changed | CHANGED.keys()):
        if test not in CHANGED:
            _say(f"FAILS beside the app alone: {test}")
        elif test not in changed:
            _say(f"PASSES, and is said not to: {test}")
        else:
            _say(f"changed: {test}: {CHANGED[test]}")
    _say(
        f"{len(beside)} tests, {sum(beside.values())} pass; without the app {sum(without.values())}"
    )
    if not any(without.values()) or changed != CHANGED.keys():
        sys.exit(1)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _suite(folder: Path) -> Path:
    """Fetch the suite, which the wheel that is installed has not."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    source = ["--no-binary", ":all:", "--no-deps", "--dest", str(folder)]
    subprocess.run([*pip, "download", *source, PACKAGE], check=True)
    [archive] = folder.glob("*.tar.gz")
    suite = folder / "suite"
    with tarfile.open(archive) as packed:
        # The package itself is installed, as in a project.
        top = packed.getnames()[0].partition("/")[0]
        wanted = [file for file in packed if file.name.startswith(f"{top}/tests/")]
        packed.extractall(suite, wanted, filter="data")
    return suite / top


def _environment(folder: Path, wheel: str) -> str:
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    subprocess.run([*pip, f"{wheel}[postgresql]", PACKAGE, *REQUIREMENTS], check=True)
    return python


def _server() -> dict[str, str]:
    """Start the PostgreSQL of our own tests; return where it is, as libpq is told."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    # It reads the settings.
    from django.db import connection

    connection.ensure_connection()
    where = connection.settings_dict
    names = ("HOST", "PORT", "USER", "PASSWORD")
    return {f"PG{name}": str(where[name]) for name in names if where[name]}


def _run(python: str, suite: Path, server: dict[str, str], apps: str) -> dict[str, bool]:
    """Run the suite with these apps besides; return which tests pass."""
    results = suite / "results.json"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parent),
        "BESIDE_APPS": apps,
        "BESIDE_RESULTS": str(results),
        **server,
    }
    command = [python, "-m", "pytest", "-p", "beside", "--quiet", "--rootdir", ".", "tests"]
    done = subprocess.run(
        command, cwd=suite, env=environment, capture_output=True, text=True, check=False
    )
    if not results.exists():
        sys.exit(done.stdout + done.stderr)
    outcome: dict[str, bool] = json.loads(results.read_text())
    results.unlink()
    return outcome


main(sys.argv[1])
