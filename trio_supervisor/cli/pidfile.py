"""The daemon's pidfile: written after detaching, removed only if it is still ours."""

from __future__ import annotations

import os
from pathlib import Path


class Pidfile:
    """``path`` holds our pid and a newline from ``write`` to ``remove`` (P-318 to P-320)."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._written = False

    def write(self) -> None:
        """Raises OSError; the daemon goes on without a pidfile then (P-319)."""
        self._path.write_text(f"{os.getpid()}\n")
        self._written = True

    def remove(self) -> None:
        """Another daemon may have taken the file over meanwhile (Q-66)."""
        if not self._written:
            return
        self._written = False
        try:
            if self._path.read_text() == f"{os.getpid()}\n":
                self._path.unlink()
        except (OSError, ValueError):
            return  # gone, or not ours any more
