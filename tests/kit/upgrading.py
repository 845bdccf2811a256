"""Upgrades of the real daemon, for end-to-end tests."""

from __future__ import annotations

import xmlrpc.client
from typing import TYPE_CHECKING, Any

from tests.kit.daemon import UnixTransport, eventually

if TYPE_CHECKING:
    from tests.kit.daemon import Daemon


def tsupervisor(daemon: Daemon) -> Any:
    """The methods that Supervisor does not have."""
    transport = UnixTransport(str(daemon.directory / "s.sock"))
    return xmlrpc.client.ServerProxy("http://localhost", transport=transport).tsupervisor


def upgraded(daemon: Daemon) -> int:
    """How often it was upgraded."""
    count = tsupervisor(daemon).getUpgrade()["upgrades"]
    assert isinstance(count, int)
    return count


def wait_until_decided(daemon: Daemon) -> None:
    """Return when no upgrade is under way."""
    eventually(lambda: not tsupervisor(daemon).getUpgrade()["under_way"], "the end of the upgrade")


def upgrade(daemon: Daemon) -> None:
    """Upgrade it, and return when the next program answers."""
    before = upgraded(daemon)
    tsupervisor(daemon).upgrade()
    wait_until_decided(daemon)
    assert upgraded(daemon) == before + 1, daemon.log[-3000:]


def refusal(daemon: Daemon) -> str:
    """What the daemon answers to an upgrade that it refuses."""
    try:
        answer = tsupervisor(daemon).upgrade()
    except xmlrpc.client.Fault as fault:
        return str(fault.faultString)
    raise AssertionError(f"not refused: {answer}")
