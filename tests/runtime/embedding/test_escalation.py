"""Essential processes, remote shutdowns and signals end the block of a supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import trio

from trio_supervisor import Process, ProcessFailed, ShuttingDown, State, open_supervisor
from trio_supervisor.core.process.cause import Cause, CauseKind
from trio_supervisor.runtime.requester import requested_by

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock

FAILING = "echo starting >&2; echo no disk >&2; exit 3"


async def test_the_block_is_left_when_an_essential_program_has_ended() -> None:
    stopped: list[Process] = []
    lines: list[str] = []

    async def use() -> None:
        async with open_supervisor(log=lambda severity, text: lines.append(text)) as supervisor:
            stopped.append(supervisor.add_program("cat", "/bin/cat", startsecs=0))
            await stopped[0].wait_for("RUNNING")
            supervisor.add_program(
                "db", ["/bin/sh", "-c", FAILING], startsecs=0, autorestart=False, essential=True
            )
            await trio.sleep_forever()

    with pytest.raises(ProcessFailed) as caught:
        await use()
    error = caught.value
    assert (error.process, error.exit and error.exit.code, error.code) == ("db", 3, 3)
    assert error.tail.splitlines() == ["starting", "no disk"]
    assert str(error).startswith("db: ended by itself: exit status 3 (not expected); last output:")
    assert stopped[0].state is State.STOPPED
    assert any(line.startswith("stopping everything: essential db: ended") for line in lines)


async def test_one_that_cannot_be_started_is_fatal(autojump_clock: MockClock) -> None:
    async def fail() -> None:
        raise LookupError("no name")

    async def use() -> None:
        async with open_supervisor() as supervisor:
            supervisor.add_task("t", fail, startretries=1, essential=True)
            await trio.sleep_forever()

    with pytest.raises(ProcessFailed, match="t: gave up starting it: Exited too quickly") as caught:
        await use()
    assert caught.value.code == 1
    assert "LookupError: no name" in caught.value.tail
    assert isinstance(caught.value.__cause__, LookupError)


@pytest.mark.parametrize(("command", "code"), [("/no/such/file", 127), ("/etc/passwd", 126)])
async def test_the_exit_code_tells_why_there_was_no_child(command: str, code: int) -> None:
    async def use() -> None:
        async with open_supervisor() as supervisor:
            supervisor.add_program("x", command, startretries=0, essential=True)
            await trio.sleep_forever()

    with pytest.raises(ProcessFailed) as caught:
        await use()
    assert (caught.value.exit, caught.value.code) == (None, code)


async def test_neither_a_stop_nor_a_restart_nor_an_end_is_a_failure() -> None:
    async with open_supervisor() as supervisor:
        cat = supervisor.add_program("cat", "/bin/cat", startsecs=0, essential=True)
        await cat.wait_for("RUNNING")
        cat.signal(signal.SIGKILL)  # is restarted
        await cat.wait_for("EXITED")
        await cat.wait_for("RUNNING")
        await cat.restart()
        await cat.stop()
        other = supervisor.add_program("other", "/bin/cat", startsecs=0, essential=True)
        await other.wait_for("RUNNING")
        await supervisor.remove("other")
        await trio.testing.wait_all_tasks_blocked()
    assert supervisor.failure is None


async def test_an_exception_of_the_block_goes_first() -> None:
    async def use() -> None:
        async with open_supervisor() as supervisor:
            true = supervisor.add_program(
                "x", "/bin/true", startsecs=0, autorestart=False, essential=True
            )
            with trio.CancelScope(shield=True):
                await true.wait()
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine") as caught:
        await use()
    assert caught.value.__notes__ == [
        "meanwhile an essential process ended: x: ended by itself: exit status 0"
    ]


REMOTE = Cause(CauseKind.REQUEST, "ann from 10.0.0.7")


async def test_a_remote_shutdown_ends_the_block_after_everything_has_stopped() -> None:
    async with open_supervisor() as supervisor:
        cat = supervisor.add_program("cat", "/bin/cat", startsecs=0)
        await cat.wait_for("RUNNING")
        with requested_by(REMOTE):
            supervisor.request_shutdown()
        await trio.sleep_forever()
    assert cat.state is State.STOPPED
    with trio.fail_after(5):
        await supervisor.ended()


async def test_a_program_may_decide_what_a_remote_shutdown_means() -> None:
    asked = trio.Event()
    async with open_supervisor(on_shutdown=asked.set) as supervisor:
        with requested_by(REMOTE):
            supervisor.request_shutdown()
        await asked.wait()
        await supervisor.ended()
        with pytest.raises(ShuttingDown):
            supervisor.add_program("x", "/bin/true")
        await trio.lowlevel.checkpoint()


async def test_an_own_shutdown_leaves_the_block_alone() -> None:
    async with open_supervisor() as supervisor:
        await supervisor.shutdown()
        await supervisor.ended()
        await trio.lowlevel.checkpoint()
        done = True
    assert done


async def test_the_first_signal_stops_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGUSR2)
    async with open_supervisor() as supervisor:
        supervisor.stop_on(signal.SIGUSR2)
        cat = supervisor.add_program("cat", "/bin/cat", startsecs=0)
        await cat.wait_for("RUNNING")
        os.kill(os.getpid(), signal.SIGUSR2)
        await trio.sleep_forever()
    assert cat.state is State.STOPPED
    assert signal.getsignal(signal.SIGUSR2) is before
    with pytest.raises(RuntimeError, match="does not run"):
        supervisor.stop_on(signal.SIGUSR2)


SCRIPT = """
import signal, trio
from trio_supervisor import open_supervisor
DEAF = "trap '' TERM; echo ready; while :; do sleep 1; done"

async def main():
    async with open_supervisor() as supervisor:
        supervisor.stop_on(signal.SIGINT, signal.SIGTERM)
        deaf = supervisor.add_program(
            "deaf", ["/bin/sh", "-c", DEAF], startsecs=0, stopwaitsecs=3600, autostart=False)
        with deaf.output() as output:
            await deaf.start()
            await anext(output)
        print(deaf.pid, flush=True)
        async with supervisor.events("PROCESS_STATE_STOPPING") as events:
            with trio.CancelScope(shield=True):
                await anext(events)
                print("stopping", flush=True)
    print("left in order", deaf.state, flush=True)

trio.run(main)
"""


def test_the_second_signal_kills(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        pid = int(program.stdout.readline())
        program.send_signal(signal.SIGTERM)
        assert program.stdout.readline() == "stopping\n"
        program.send_signal(signal.SIGINT)
        assert program.stdout.readline() == "left in order STOPPED\n"
        assert program.wait(60) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
