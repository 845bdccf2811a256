"""What the daemon changes about its own process."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest

from trio_supervisor.cli.privileges import raise_limits
from trio_supervisor.core.config.model import DaemonConfig, Severity

if TYPE_CHECKING:
    import pytest


@pytest.mark.behaviour("process.md#resource-limits")
def test_the_hard_limit_is_raised_where_that_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not every root may, so the kernel's part is played here."""
    limits = {resource.RLIMIT_NOFILE: (500, 600), resource.RLIMIT_NPROC: (100, 2000)}
    monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)
    monkeypatch.setattr(resource, "setrlimit", limits.__setitem__)
    messages = raise_limits(DaemonConfig(minfds=1024, minprocs=200))
    assert limits == {resource.RLIMIT_NOFILE: (1024, 1024), resource.RLIMIT_NPROC: (200, 2000)}
    assert [(message.severity, message.text) for message in messages] == [
        (Severity.INFO, "Increased RLIMIT_NOFILE limit to 1024"),
        (Severity.INFO, "Increased RLIMIT_NPROC limit to 200"),
    ]
