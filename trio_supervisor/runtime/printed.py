"""Flush what plugins print: result handlers and rpcinterface plugins that run in the daemon."""

from __future__ import annotations

import sys
from contextlib import suppress


def flush_printed() -> None:
    """Flush stdout and stderr. Buffered text would be lost if the daemon were killed."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # closed, or its reader is gone
            stream.flush()
