"""The environment that the two commands of README.md run in.

Standard library only: it makes what everything else needs. It also has to be readable for a
Python that is too old, to say so.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"


def run(group: str, *arguments: str) -> None:
    """Replace this process by one in the environment, made first where it is missing.

    ``group`` is the dependency group of pyproject.toml to have there.
    """
    if sys.version_info < (3, 11):
        version = ".".join(map(str, sys.version_info[:3]))
        sys.exit(f"This needs Python 3.11 or newer, not {version}: call it with another python3.")
    try:
        _make(group)
    except OSError as error:
        sys.exit(f"Cannot write to {ROOT} ({error}). Clone the project to a folder of your own.")
    except subprocess.CalledProcessError as error:
        sys.exit(f"Could not install what the project needs: {' '.join(map(str, error.cmd))}")
    os.chdir(ROOT)
    os.execv(PYTHON, [str(PYTHON), *arguments])


def _make(group: str) -> None:
    """Install the group, unless the same has been installed already."""
    wanted = hashlib.sha256(sys.version.encode())
    for name in ("pyproject.toml", "requirements.txt"):
        wanted.update((ROOT / name).read_bytes())
    stamps = {name: VENV / f".{name}" for name in ("demo", "dev")}
    current = {name for name, stamp in stamps.items() if _reads(stamp, wanted.hexdigest())}
    if group in current or "dev" in current:  # which has everything that demo has
        return
    print("Making the environment in .venv; this takes a minute.", flush=True)
    # What runs from it now, for the other command, goes on running.
    venv.create(VENV, clear=not current, with_pip=True)
    # Dependency groups are newer than the pip that Python 3.11 brings.
    _pip("--upgrade", "pip>=25.1")
    _pip("--require-hashes", "-r", "requirements.txt")
    _pip("--group", group)
    stamps[group].write_text(wanted.hexdigest())


def _reads(stamp: Path, wanted: str) -> bool:
    return stamp.exists() and stamp.read_text() == wanted


def _pip(*arguments: str) -> None:
    command = [
        str(PYTHON),
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "install",
        *arguments,
    ]
    subprocess.run(command, cwd=ROOT, check=True)
