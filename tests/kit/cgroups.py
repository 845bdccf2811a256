"""Cgroups of version 2 for tests, where this machine lets us make them."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What makes a test of cgroups run.
HINT = "run as root on a machine with cgroup version 2"


@contextmanager
def new_cgroup(*controllers: str) -> Iterator[Path]:
    """A new cgroup whose members may be limited by these controllers; removed in the end.

    The test is skipped, with the reason, where there can be none.
    """
    root = _root()
    missing = set(controllers) - set((root / "cgroup.controllers").read_text().split())
    if missing:
        why = "they may belong to version 1 (systemd.unified_cgroup_hierarchy=1)"
        pytest.skip(f"{root} has no controller {', '.join(sorted(missing))}: {why}")
    made = root / f"trio-supervisor-test-{os.getpid()}"
    try:
        for name in controllers:
            (root / "cgroup.subtree_control").write_text(f"+{name}")
        made.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made in {root} ({error.strerror}): {HINT}")
    try:
        yield made
    finally:
        for processes in made.rglob("cgroup.procs"):
            for pid in processes.read_text().split():
                with suppress(OSError):
                    os.kill(int(pid), 9)
        eventually(lambda: _removed(made), "the end of what is in the cgroup")


def _root() -> Path:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, options, *_ = line.split()
        if kind == "cgroup2" and "rw" in options.split(","):
            return Path(point)
    pytest.skip(f"no cgroup of version 2 is mounted: {HINT}")


def _removed(cgroup: Path) -> bool:
    for directory, _, _ in os.walk(cgroup, topdown=False):
        with suppress(OSError):
            os.rmdir(directory)
    return not cgroup.exists()
