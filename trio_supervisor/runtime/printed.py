"""What code of others inside the daemon has printed: result handlers and rpcinterface plugins."""

from __future__ import annotations

import sys
from contextlib import suppress


def flush_printed() -> None:
    """Write it now. Python keeps it in a buffer, which is lost when the daemon is killed."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # closed, or its reader is gone
            stream.flush()
