"""Tests that only root can run: they run where the tests are root, and say so where not."""

from __future__ import annotations

import os

import pytest

needs_root = pytest.mark.skipif(
    os.getuid() != 0, reason="changes users or namespaces, which only root may; run as root"
)
