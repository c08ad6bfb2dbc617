"""The machine that was measured on, and what else it did."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import psutil


def describe(folder: Path) -> dict[str, Any]:  # Any: JSON
    """Return what the numbers depend on; ``folder`` is where the database is."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "file_system": _file_system(folder),
        "python": platform.python_version(),
    }


def load() -> float:
    """Return how many processes wanted to run in the last minute, on average."""
    return round(os.getloadavg()[0], 2)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _file_system(folder: Path) -> str:
    holding = [
        disk
        for disk in psutil.disk_partitions(all=True)
        if folder.resolve().is_relative_to(disk.mountpoint)
    ]
    return max(holding, key=lambda disk: len(disk.mountpoint)).fstype if holding else "unknown"
