"""``python -m tests.wheel FILE``: install the wheel somewhere new, and log in and out of it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from tests.host import Host, log_in_and_out


def main(wheel: str) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        environment = Path(temporary, "venv")
        venv.create(environment, with_pip=True)
        python = str(environment / "bin" / "python")
        pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        subprocess.run([*pip, wheel], check=True)
        project = Path(temporary, "project")
        project.mkdir()
        host = Host(project, python)
        host.set_up()
        with host.served() as url:
            log_in_and_out(f"{url}/api/v1/auth", email="ana@example.com")
    sys.stdout.write(f"{Path(wheel).name}: logged in and out\n")


main(sys.argv[1])
