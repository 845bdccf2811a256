"""The reference: Supervisor in a virtual environment of its own, made on demand."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.probe import MeasurementError

VERSION = "4.3.0"

#: The environment variable that names the directory of the virtual environment.
VARIABLE = "TRIO_SUPERVISOR_REFERENCE"

#: Seconds for downloading and installing one small pure Python package on a slow line.
_INSTALL_LIMIT = 300


def default_directory() -> Path:
    if VARIABLE in os.environ:
        return Path(os.environ[VARIABLE])
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "trio-supervisor" / f"reference-{VERSION}"


def ensure(directory: Path) -> Path:
    """Make the virtual environment unless it is there; returns the ``supervisord`` in it."""
    daemon = directory.absolute() / "bin" / "supervisord"
    if daemon.exists():
        return daemon
    if directory.exists() and any(directory.iterdir()) and not (directory / "pyvenv.cfg").exists():
        raise MeasurementError(f"{directory} has other contents: name a directory of its own")
    print(f"making the reference environment {directory}", file=sys.stderr, flush=True)
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
        raise MeasurementError(f"could not install supervisor {VERSION}:\n{done.stderr}")
    return daemon
