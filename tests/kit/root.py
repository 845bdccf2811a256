"""Tests that only root can run: they run where the tests are root, and say so where not."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

needs_root = pytest.mark.skipif(
    os.getuid() != 0, reason="changes users or namespaces, which only root may; run as root"
)

#: A user without rights that exists everywhere.
NOBODY = "nobody"


@contextmanager
def directory_of(user: str) -> Iterator[Path]:
    """An empty directory that belongs to a user; pytest's are closed to all but root."""
    path = Path(tempfile.mkdtemp(prefix="trio-supervisor-test-"))
    entry = pwd.getpwnam(user)
    os.chown(path, entry.pw_uid, entry.pw_gid)
    try:
        yield path
    finally:
        shutil.rmtree(path)
