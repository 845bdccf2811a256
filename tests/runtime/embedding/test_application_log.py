"""Records of the application's logging, and what a task leaves behind."""

from __future__ import annotations

import errno
import logging
import os
from typing import TYPE_CHECKING

import pytest
import trio

from trio_supervisor import Autorestart, State, open_supervisor
from trio_supervisor.runtime.logs.logfile import LogFile

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock


async def test_records_tell_which_program_they_are_about(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("of the application")
    logger.setLevel(logging.DEBUG)
    async with open_supervisor(logger=logger) as supervisor:
        cat = supervisor.add_program("cat", "/bin/cat", startsecs=0)
        await cat.wait_for(State.RUNNING)
        pid = cat.pid
        await cat.stop()
    facts = {
        record.getMessage().partition(":")[0]: (
            *(vars(record)[name] for name in ("name", "levelname", "program", "pid", "state")),
        )
        for record in caplog.records
    }
    assert facts["spawned"] == ("of the application", "INFO", "cat", pid, "STARTING")
    assert facts["success"] == ("of the application", "INFO", "cat", pid, "RUNNING")
    assert facts["stopped"] == ("of the application", "INFO", "cat", pid, "STOPPED")
    about = {vars(record)["program"] for record in caplog.records}
    assert about == {"cat"}
    assert {f"killing cat (pid {pid}) with signal SIGTERM", "waiting for cat to stop"} <= {
        record.getMessage() for record in caplog.records
    }


async def test_the_record_about_a_log_tells_which_program_writes_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(fd: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    defaults = LogFile.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "write", no_space)
    async with open_supervisor() as supervisor:
        log = str(tmp_path / "log")
        echo = supervisor.add_program("echo", "/bin/echo", startsecs=0, stdout_logfile=log)
        await echo.wait_for(State.EXITED)
    about = {
        record.getMessage(): vars(record)["program"]
        for record in caplog.records
        if f"log {log}" in record.getMessage()
    }
    why = os.strerror(errno.ENOSPC)
    assert about == {
        f"cannot write log {log}: {why}; output is dropped until it works": "echo",
        f"log {log} is closed; 1 bytes were dropped": "echo",
    }


async def test_the_exception_of_a_task_is_kept_and_logged(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    results = iter([LookupError("no bread"), "toast"])

    async def bake(*, task_status: trio.TaskStatus[str]) -> object:
        task_status.started("warm")
        await trio.sleep(5)
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    async with open_supervisor() as supervisor:
        task = supervisor.add_task("oven", bake, autorestart=Autorestart.UNEXPECTED)
        await task.wait_for("RUNNING")
        assert task.started_value == "warm"
        await task.wait_for("EXITED")
        assert isinstance(task.exception, LookupError)
        assert task.result is None
        assert (await task.wait()).code == 0
        last: tuple[object, object] = task.exception, task.result
        assert last == (None, "toast")
        program = supervisor.add_program("true", "/bin/true", autostart=False)
        assert (program.exception, program.result, program.started_value) == (None, None, None)
    (record,) = (record for record in caplog.records if record.exc_info)
    assert record.getMessage() == "task 'oven' has failed: LookupError: no bread"
    assert vars(record)["program"] == "oven"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)


async def test_a_log_of_a_program_that_cannot_be_written_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_supervisor() as supervisor:
        echo = supervisor.add_program(
            "echo", "/bin/echo hello", startsecs=0, autorestart=False, stdout_logfile="/dev/full"
        )
        await echo.wait()
    warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert any("/dev/full" in text for text in warnings), warnings


async def test_a_log_function_or_a_logger() -> None:
    with pytest.raises(TypeError, match="give log or logger, not both"):
        async with open_supervisor(log=print, logger=logging.getLogger()):
            pass


async def test_the_output_of_programs_may_go_to_a_logger(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    script = "echo out; echo err >&2; printf rest"
    async with open_supervisor(output_logger=logging.getLogger("programs")) as supervisor:
        shell = supervisor.add_program(
            "shell", ["/bin/sh", "-c", script], startsecs=0.01, stopwaitsecs=0.5, autorestart=False
        )
        await shell.wait_for("EXITED", "FATAL", "BACKOFF")
    seen = {
        (record.getMessage(), vars(record)["program"], vars(record)["channel"])
        for record in caplog.records
        if record.name == "programs"
    }
    assert seen >= {
        ("out", "shell", "stdout"),
        ("err", "shell", "stderr"),
        ("rest", "shell", "stdout"),
    }
