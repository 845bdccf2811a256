"""What is left when a supervisor has failed is stopped, and nobody else is hit."""

from __future__ import annotations

import os
import signal
import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from trio_supervisor.core.config.stopping import NO_STOPPING
from trio_supervisor.runtime.process.emergency_stop import end_survivors

if TYPE_CHECKING:
    from trio_supervisor.runtime.process.process import Process


def process_of(pid: int) -> Process:
    policy = {"stopsignal": signal.SIGTERM, "stopwaitsecs": 60, "stopasgroup": True}
    config = SimpleNamespace(**policy, killasgroup=True, stopping=NO_STOPPING)
    return cast("Process", SimpleNamespace(pid=pid, config=config))


def no_pidfds(pid: int, flags: int = 0) -> int:
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.behaviour("process.md#exit-codes-of-the-daemon")
def test_survivors_are_stopped_in_patience_also_without_pidfds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """None is killed that heeds its stop signal, also if it was paused."""
    monkeypatch.setattr(os, "pidfd_open", no_pidfds)
    command = ["/bin/sh", "-c", "trap 'echo stopped; exit' TERM; echo ready; kill -STOP $$"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, process_group=0) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        end_survivors([process_of(child.pid)], 60)
        assert child.stdout.read() == b"stopped\n"


@pytest.mark.behaviour("process.md#signalling-a-child-that-has-just-exited")
def test_what_is_reaped_already_is_not_signalled(monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.Popen(["/bin/true"])
    done.wait()
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "killpg", lambda pid, number: sent.append((pid, number)))
    end_survivors([process_of(done.pid)], 0)
    assert sent == []
