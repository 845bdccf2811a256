"""Logs with names of our choice: made with their group, removed at the next start (P-220)."""

from __future__ import annotations

import os
import re
import tempfile
from typing import TYPE_CHECKING

from trio_supervisor.core.config import Severity

if TYPE_CHECKING:
    from collections.abc import Callable


def create_auto_log(directory: str, *, process: str, channel: str, identifier: str) -> str:
    """Make an empty log of mode 0600 and return its path. Raises OSError."""
    prefix = _file_name(f"{process}-{channel}---{identifier}-")
    fd, path = tempfile.mkstemp(prefix=prefix, suffix=".log", dir=directory)
    os.close(fd)
    return path


def remove_auto_logs(
    directory: str, identifier: str, *, report: Callable[[Severity, str], None]
) -> None:
    """Remove what earlier starts left (P-222, P-223); trouble costs a WARN line each."""
    pattern = re.compile(
        rf".+---{re.escape(_file_name(identifier))}-[^ ]+\.log(?:\.\d+)?", re.DOTALL
    )
    try:
        names = [name for name in os.listdir(directory) if pattern.fullmatch(name)]
    except OSError:
        report(Severity.WARN, "Could not clear childlog dir")
        return
    for name in names:
        path = os.path.join(directory, name)
        try:
            os.remove(path)
        except OSError:
            report(Severity.WARN, f"Failed to clean up '{path}'")


def _file_name(text: str) -> str:
    return text.replace("/", "_")  # Q47
