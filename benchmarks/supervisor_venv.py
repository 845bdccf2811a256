"""Supervisor in a virtual environment of its own, created on demand."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.probe import MeasurementError

VERSION = "4.3.0"

#: The environment variable that names the directory of the virtual environment.
VARIABLE = "BENCHMARKS_SUPERVISOR_VENV"

#: Timeout in seconds for downloading and installing one small pure Python package.
_INSTALL_LIMIT = 300


def default_directory() -> Path:
    """Return the directory in ``VARIABLE``, or the one in the user's cache."""
    if VARIABLE in os.environ:
        return Path(os.environ[VARIABLE])
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "trio-supervisor" / f"supervisor-{VERSION}"


def ensure(directory: Path) -> Path:
    """Create the virtual environment if it is missing; return the path of its ``supervisord``.

    Raises MeasurementError if the directory has other contents or the installation fails.
    """
    daemon = directory.absolute() / "bin" / "supervisord"
    if daemon.exists():
        return daemon
    if directory.exists() and any(directory.iterdir()) and not (directory / "pyvenv.cfg").exists():
        raise MeasurementError(f"{directory} has other contents: choose a new or empty directory")
    print(f"creating the virtual environment {directory}", file=sys.stderr, flush=True)
    venv.create(directory, with_pip=True)
    install = [str(directory / "bin" / "python"), "-m", "pip", "install", f"supervisor=={VERSION}"]
    try:
        done = subprocess.run(
            install, capture_output=True, text=True, timeout=_INSTALL_LIMIT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise MeasurementError(
            f"pip took longer than {_INSTALL_LIMIT} s: {' '.join(install)}"
        ) from error
    if done.returncode != 0 or not daemon.exists():
        raise MeasurementError(f"could not install Supervisor {VERSION}:\n{done.stderr}")
    return daemon
