"""A supervisor inside an application: real children, a frozen virtual clock."""

from __future__ import annotations

import ctypes
import locale
import logging
import os
import resource
import signal
import warnings
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit.fakes import log_lines
from tests.kit.puppet import Theatre
from trio_supervisor import Config, NotRunning, State, open_supervisor
from trio_supervisor.core.config.model import (
    ChannelConfig,
    DaemonConfig,
    GroupConfig,
    ProcessConfig,
)


def config(theatre: Theatre, **options: object) -> Config:
    quiet = ChannelConfig(logfile=None)
    values: dict[str, object] = {"stdout": quiet, "stderr": quiet, **options}
    process = ProcessConfig("x", theatre.command, **values)  # type: ignore[arg-type]  # test data
    return Config(groups=(GroupConfig("x", (process,)),))


@pytest.mark.behaviour(
    "process.md#running-after-startsecs",
    "process.md#retries-and-fatal",
    "process.md#sigkill-after-stopwaitsecs",
)
async def test_startsecs_backoff_and_kill_under_a_virtual_clock(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    """With a real child that does as it is told."""
    theatre = Theatre(tmp_path)
    async with open_supervisor(config(theatre, startsecs=30, stopwaitsecs=60)) as supervisor:
        x = supervisor.process("x")
        puppet = await theatre.next()
        assert (x.state, x.pid) == (State.STARTING, puppet.pid)
        mock_clock.jump(29)
        await wait_all_tasks_blocked()
        assert x.state is State.STARTING
        await puppet.exit(0)
        await x.wait_for(State.BACKOFF)
        mock_clock.jump(1)
        second = await theatre.next()
        assert second.pid != puppet.pid
        mock_clock.jump(30)
        await x.wait_for(State.RUNNING)
        await second.do(f"ignore {int(signal.SIGTERM)}")
        await x.stop(wait=False)
        mock_clock.jump(59)
        await wait_all_tasks_blocked()
        assert x.pid == second.pid
        mock_clock.jump(1)
        await x.wait_for(State.STOPPED)
        assert x.exit_status == -1
    await theatre.aclose()


@pytest.mark.behaviour(
    "process.md#sending-text-to-a-child",
    "process.md#output-is-logged-as-it-arrives",
    "process.md#pipes-that-close-early-or-stay-open",
)
async def test_output_reaches_the_log_and_text_the_childs_stdin(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    theatre = Theatre(tmp_path)
    log = tmp_path / "out.log"
    async with open_supervisor(
        config(theatre, startsecs=0, stdout=ChannelConfig(logfile=str(log)))
    ) as supervisor:
        x = supervisor.process("x")
        puppet = await theatre.next()
        x.send_stdin("héllo\n".encode())
        assert await puppet.do("read 100") == repr("héllo\n".encode())
        await puppet.do("write b'first '")
        await puppet.do("write b'last'")
        await puppet.exit(0)
        await x.wait_for(State.EXITED)
        assert log.read_bytes() == b"first last"
    await theatre.aclose()


@pytest.mark.parametrize("how", ["end of the block", "exception", "cancellation"])
async def test_leaving_the_block_stops_everything(tmp_path: Path, how: str) -> None:
    theatre = Theatre(tmp_path)
    pid = 0
    try:
        with trio.CancelScope() as scope:
            async with open_supervisor(config(theatre, startsecs=0)) as supervisor:
                pid = (await theatre.next()).pid
                await supervisor.process("x").wait_for(State.RUNNING)
                if how == "exception":
                    raise LookupError(how)
                if how == "cancellation":
                    scope.cancel()
                    await trio.sleep_forever()
    except* LookupError:
        assert how == "exception"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    await theatre.aclose()


PR_GET_CHILD_SUBREAPER = 37  # linux/prctl.h


def is_subreaper() -> bool:
    answer = ctypes.c_int()
    assert ctypes.CDLL(None).prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0) == 0
    return bool(answer)


def globals_of_the_process() -> dict[str, object]:
    """All that a daemon changes about itself."""
    umask = os.umask(0)
    os.umask(umask)
    names = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    return {
        "umask": umask,
        "directory": os.getcwd(),
        "handlers": [
            signal.getsignal(number)
            for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
        ],
        "blocked signals": signal.pthread_sigmask(signal.SIG_BLOCK, []),
        "limits": [resource.getrlimit(getattr(resource, name)) for name in names],
        "environment": dict(os.environ),
        "ids": (os.getresuid(), os.getresgid(), os.getgroups(), os.getpgrp(), os.getsid(0)),
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "standard descriptors": [os.fstat(fd) for fd in range(3)],
        "log handlers": (logging.root.handlers[:], logging.root.level),
        "warning filters": warnings.filters[:],
        "locale": locale.setlocale(locale.LC_ALL),
        "subreaper": is_subreaper(),
    }


#: What a daemon would do all this for.
DAEMON = """\
[supervisord]
umask=077
directory=/
minfds=2048
minprocs=300
environment=OURS="no"
logfile=%(here)s/sup.log
pidfile=%(here)s/sup.pid
childlogdir=%(here)s
[unix_http_server]
file=%(here)s/s.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[program:x]
command={command}
startsecs=0
stdout_logfile=NONE
stderr_logfile=NONE
"""


@pytest.mark.parametrize("form", ["values", "file"])
async def test_nothing_of_the_application_is_touched(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, form: str
) -> None:
    """Whatever the configuration says of a daemon: only its command line makes one."""
    caplog.set_level(logging.INFO, "trio_supervisor")
    theatre = Theatre(tmp_path)
    path = tmp_path / "c.conf"
    path.write_text(DAEMON.replace("{command}", theatre.command))
    files = os.listdir(tmp_path)
    before = globals_of_the_process()
    async with open_supervisor(
        path if form == "file" else config(theatre, startsecs=0)
    ) as supervisor:
        puppet = await theatre.next()
        await supervisor.process("x").wait_for(State.RUNNING)
        assert globals_of_the_process() == before
        assert os.listdir(tmp_path) == files
        seen = await puppet.do("eval (os.getcwd(), os.environ.get('OURS'), os.umask(0))")
        own_environment = "no" if form == "file" else None
        assert seen == repr((os.getcwd(), own_environment, before["umask"]))
    assert globals_of_the_process() == before
    assert any(message.startswith("spawned: 'x'") for message in caplog.messages)
    await theatre.aclose()


async def test_two_supervisors_in_one_program(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    theatres = [Theatre(tmp_path / name) for name in "ab"]
    async with (
        open_supervisor(config(theatres[0], startsecs=0)) as one,
        open_supervisor(config(theatres[1], startsecs=0)) as other,
    ):
        for theatre in theatres:
            await theatre.next()
        await one.process("x").wait_for(State.RUNNING)
        await other.process("x").wait_for(State.RUNNING)
        await one.process("x").stop()
        assert other.process("x").state is State.RUNNING
    for theatre in theatres:
        await theatre.aclose()


async def test_remarks_about_the_file_are_logged_once(tmp_path: Path) -> None:
    path = tmp_path / "c.conf"
    path.write_text("[supervisord]\n[include]\nfiles=none.conf\n")
    lines: list[str] = []
    async with open_supervisor(path, log=log_lines(lines)) as supervisor:
        await supervisor.reread()
        await supervisor.reread()
    expected = f'WARN No file matches via include "{tmp_path}/none.conf"'
    assert lines.count(expected) == 1


@pytest.mark.behaviour("process.md#autostart")
async def test_a_stop_or_removal_also_calls_off_the_first_start() -> None:
    async with open_supervisor() as supervisor:
        removed, stopped, among, other = [
            supervisor.add_program(name, ["/bin/sleep", "3600"], startsecs=0)
            for name in ("removed", "stopped", "among", "other")
        ]
        with pytest.raises(NotRunning):
            stopped.request_stop()  # all before the task that starts them has run
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervisor.remove, "removed")
            assert await supervisor.stop([among]) == []
        await other.wait_for("RUNNING")
        await wait_all_tasks_blocked()
        assert [p.state for p in (removed, stopped, among)] == [State.STOPPED] * 3
        await stopped.start()


@pytest.mark.behaviour("policies.md#where-programs-get-cgroups")
async def test_a_cgroup_is_nothing_for_an_embedding_program() -> None:
    lines: list[str] = []
    loaded = Config(daemon=DaemonConfig(cgroup="auto"))
    async with open_supervisor(loaded, log=log_lines(lines)) as supervisor:
        supervisor.add_program("x", "sleep 1000", kill_mode="cgroup", cpu_max=0.5)
    assert lines[0] == "WARN cgroup has no effect in an embedding program: it stays in its own"
    first, second = [line for line in lines if line.startswith("WARN x: ")]
    assert "works like tree" in first
    assert "cpu_max has no effect" in second
