"""Supervisor in a virtual environment of its own, created on demand."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.installation import cached, from_pypi

VERSION = "4.3.0"

#: The environment variable that names the directory of the virtual environment.
VARIABLE = "BENCHMARKS_SUPERVISOR_VENV"


def default_directory() -> Path:
    """Return the directory in ``VARIABLE``, or the one in the user's cache."""
    if VARIABLE in os.environ:
        return Path(os.environ[VARIABLE])
    return cached(f"supervisor-{VERSION}")


def ensure(directory: Path) -> Path:
    """Create the virtual environment if it is missing; return the path of its ``supervisord``.

    Raises MeasurementError if the directory has other contents or the installation fails.
    """
    return from_pypi(directory, f"supervisor=={VERSION}", "supervisord")
