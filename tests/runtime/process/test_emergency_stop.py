"""What is left when a supervisor has failed is stopped, and nobody else is hit."""

from __future__ import annotations

import os
import signal
import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from tests.kit.late_reaper import LateReaper
from trio_supervisor.core.config.stopping import NO_STOPPING
from trio_supervisor.core.process.member import Adoption, Member
from trio_supervisor.runtime.process.emergency_stop import end_survivors
from trio_supervisor.runtime.spawn.members import member_of

if TYPE_CHECKING:
    from trio_supervisor.runtime.process.process import Process


def process_of(pid: int, adoption: Adoption | None = None) -> Process:
    policy = {"stopsignal": signal.SIGTERM, "stopwaitsecs": 60, "stopasgroup": True}
    config = SimpleNamespace(**policy, killasgroup=True, stopping=NO_STOPPING)
    record = SimpleNamespace(adoption=adoption)
    return cast("Process", SimpleNamespace(pid=pid, config=config, record=record))


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


@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_program_of_an_earlier_daemon_is_stopped_too(is_stopped: bool) -> None:
    """And the process that has its pid when it was reaped is not."""
    with LateReaper() as reaper:
        program = reaper.run("signal.pause()")
        if is_stopped:
            os.kill(program.pid, signal.SIGSTOP)
        daemon = Member(1, 1)
        stranger = process_of(program.pid, Adoption(program.started - 1, daemon))
        end_survivors([stranger], 0)
        assert member_of(program.pid) == program
        before = set(os.listdir("/proc/self/fd"))
        end_survivors([process_of(program.pid, Adoption(program.started, daemon))], 60)
        assert member_of(program.pid) is None
        assert set(os.listdir("/proc/self/fd")) <= before
