"""The peers' environments: each package at a pinned version, on the same Django as ours."""

from __future__ import annotations

import subprocess
import sys
import venv
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from benchmarks.comparison.subjects import Subject

ROOT: Final = Path(__file__).resolve().parent.parent.parent
FOLDER: Final = ROOT / ".data" / "benchmarks"

EVERYBODY: Final = (
    "Django",
    "asgiref",
    "sqlparse",
    "djangorestframework",
    "gunicorn",
    "psycopg",
    "psycopg-binary",
    "psycopg-pool",
)
"""What everybody runs on, at the same versions."""


class NotInstalled(Exception):
    """pip could not install a peer: see what it said. Without a network, use ``--only ours``."""


def python_of(subject: Subject) -> Path:
    """Return the Python of a subject's environment, made first where it is missing or outdated.

    Raises ``NotInstalled``.
    """
    if not subject.environment:
        return Path(sys.executable)
    folder = FOLDER / subject.environment
    python = folder / "bin" / "python"
    requirements = requirements_of(subject)
    stamp = folder / ".requirements"
    wanted = "\n".join([sys.version, *requirements])
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"Installing {subject.title} into {folder.relative_to(ROOT)}", file=sys.stderr)
    venv.create(folder, clear=True, with_pip=True)
    options = ["--quiet", "--disable-pip-version-check"]
    command = [str(python), "-m", "pip", "install", *options, *requirements]
    try:
        subprocess.run(command, check=True)
    except subprocess.CalledProcessError as error:
        raise NotInstalled(subject.title) from error
    stamp.write_text(wanted)
    return python


def requirements_of(subject: Subject) -> list[str]:
    """Return what the environment of a subject has, with the versions."""
    shared = [f"{name}=={found}" for name in EVERYBODY if (found := _version(name))]
    same = [f"{name}=={version(name)}" for name in subject.same]
    return [*shared, *same, *subject.packages]


def versions() -> dict[str, str]:
    """Return the versions of what ours runs on."""
    names = (*EVERYBODY, "djangorestframework-simplejwt", "PyJWT", "django-ratelimit", "redis")
    return {name: found for name in names if (found := _version(name))}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
