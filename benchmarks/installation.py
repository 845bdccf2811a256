"""Packages of other supervisors, each installed on demand in a directory of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.probe import MeasurementError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Timeout in seconds for downloading and installing one small package with its dependencies.
_LIMIT = 300


def cached(name: str) -> Path:
    """Return the directory of this name in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "trio-supervisor" / name


def from_pypi(directory: Path, requirement: str, program: str) -> Path:
    """Install a package in a virtual environment if its program is missing; return its path.

    Raises MeasurementError if the directory has other contents or the installation fails.
    """
    found = directory.absolute() / "bin" / program
    if found.exists():
        return found
    if directory.exists() and any(directory.iterdir()) and not (directory / "pyvenv.cfg").exists():
        raise MeasurementError(f"{directory} has other contents: choose a new or empty directory")
    print(f"creating the virtual environment {directory}", file=sys.stderr, flush=True)
    venv.create(directory, with_pip=True)
    _install([str(directory / "bin" / "python"), "-m", "pip", "install", requirement], found)
    return found


def from_npm(directory: Path, requirement: str, program: str) -> Path:
    """Install a package of Node.js if its program is missing; return its path.

    Raises MeasurementError if the installation fails.
    """
    found = directory.absolute() / "node_modules" / ".bin" / program
    if not found.exists():
        print(f"installing {requirement} in {directory}", file=sys.stderr, flush=True)
        directory.mkdir(parents=True, exist_ok=True)
        _install(["npm", "install", "--prefix", str(directory), requirement], found)
    return found


def _install(command: Sequence[str], program: Path) -> None:
    text = " ".join(command)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False)
    except subprocess.TimeoutExpired as error:
        raise MeasurementError(f"took longer than {_LIMIT} s: {text}") from error
    if done.returncode != 0 or not program.exists():
        raise MeasurementError(f"failed: {text}\n{done.stderr}")
