"""Several processes of one program, and another number of them while it runs."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_supervisor import (
    BadName,
    CauseKind,
    ConfigError,
    Group,
    NoFile,
    RequestError,
    ShuttingDown,
    State,
    Supervisor,
    What,
    open_supervisor,
)

if TYPE_CHECKING:
    from pathlib import Path

SLEEP = ["/bin/sleep", "3600"]
#: Does not react to its stop signal, and is killed after ``stopwaitsecs``.
DEAF = ["/bin/sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.1; done"]


def states(group: Group) -> dict[str, State]:
    return {process.name: process.state for process in group}


def up(*numbers: int, name: str = "w") -> dict[str, State]:
    return {f"{name}_{number:02d}": State.RUNNING for number in numbers}


async def test_processes_with_numbers_form_a_group() -> None:
    async with open_supervisor() as supervisor:
        group = supervisor.add_programs(
            "w",
            lambda number: ["/bin/echo", f"process {number}", "100%"],
            3,
            each=lambda number: {"environment": {"N": str(number)}, "priority": 10 - number},
            autostart=False,
            startsecs=0,
        )
        assert isinstance(group, Group)
        assert [p.full_name for p in group] == ["w:w_02", "w:w_01", "w:w_00"]
        with supervisor.output("w") as lines:
            await supervisor.start(group, wait=False)
            assert {(await anext(lines)).text for _ in group} == {
                f"process {number} 100%" for number in range(3)
            }
        assert group.processes["w_01"].config.environment == {"N": "1"}
        assert [p.name for p in supervisor.add_programs("one", SLEEP, 1)] == ["one_00"]


async def test_the_number_goes_up_and_down() -> None:
    async with open_supervisor(stop_within=5) as supervisor:
        group = supervisor.add_programs("w", SLEEP, 2, startsecs=0)
        results = await group.scale(4)
        assert {(r.process.name, r.error) for r in results} == {("w_02", None), ("w_03", None)}
        await group.processes["w_00"].wait_for(State.RUNNING)
        await group.processes["w_01"].wait_for(State.RUNNING)
        assert states(group) == up(0, 1, 2, 3)
        kept = [group.processes[name].pid for name in ("w_00", "w_01")]
        results = await supervisor.scale("w", 2)
        assert {r.process.name for r in results} == {"w_02", "w_03"}
        assert all(r.process.state is State.STOPPED and r.process.removed for r in results)
        assert [process.pid for process in group] == kept
        assert await group.scale(2) == []
        await group.scale(0)
        assert states(group) == {}
        await group.scale(1)
        assert states(group) == up(0)
        assert [p.full_name for p in supervisor.processes()] == ["w:w_00"]


async def test_new_processes_are_started_and_old_ones_left_alone() -> None:
    async with open_supervisor() as supervisor:
        group = supervisor.add_programs("w", SLEEP, 1, autostart=False, startsecs=0)
        await group.scale(2)
        assert states(group) == {"w_00": State.STOPPED, "w_01": State.RUNNING}


async def test_the_output_of_a_group_has_processes_that_are_added() -> None:
    async with open_supervisor() as supervisor:
        group = supervisor.add_programs("w", ["/bin/echo", "one"], 0, startsecs=0)
        with supervisor.output("w") as lines:
            supervisor.add_program("other", ["/bin/echo", "two"], startsecs=0)
            await group.scale(2)
            assert [(await anext(lines)).text for _ in range(2)] == ["one", "one"]


async def test_the_last_of_several_calls_wins() -> None:
    async with open_supervisor(stop_within=5) as supervisor:
        group = supervisor.add_programs("w", SLEEP, 3, startsecs=0)
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for count in (6, 1, 8, 0, 4):
                    nursery.start_soon(group.scale, count)
                    await wait_all_tasks_blocked()
        assert sorted(states(group)) == sorted(up(0, 1, 2, 3))
        for process in group:
            await process.wait_for("RUNNING")


async def test_a_process_on_its_way_out_is_kept_if_it_is_wanted_again() -> None:
    async with open_supervisor() as supervisor:
        group = supervisor.add_programs("w", DEAF, 1, startsecs=0, stopwaitsecs=3600)
        process = group.processes["w_00"]
        with process.output() as output:
            await anext(output.lines())  # it is deaf from now on
        async with trio.open_nursery() as nursery:
            nursery.start_soon(group.scale, 0)
            await process.wait_for("STOPPING")
            first = process.pid
            nursery.start_soon(group.scale, 1)
            await wait_all_tasks_blocked()
            process.signal("KILL")
        assert group.processes == {"w_00": process}
        assert process.state is State.RUNNING
        assert process.pid != first
        process.signal("KILL")


async def test_a_cancelled_call_is_carried_out() -> None:
    async with open_supervisor() as supervisor:
        group = supervisor.add_programs("w", SLEEP, 2, startsecs=0)
        last = group.processes["w_01"]
        await last.wait_for("RUNNING")
        with trio.CancelScope() as scope:
            scope.cancel()
            await group.scale(1)
        assert scope.cancelled_caught
        await last.ended()
        await wait_all_tasks_blocked()
        assert list(group.processes) == ["w_00"]


async def test_what_somebody_starts_meanwhile_is_stopped_again_and_removed() -> None:
    async with open_supervisor() as supervisor:
        group = supervisor.add_programs("w", DEAF, 1, startsecs=0, stopwaitsecs=0.5)
        process = group.processes["w_00"]
        with process.output() as output:
            await anext(output.lines())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(group.scale, 0)
            await process.wait_for("STOPPING")
            with pytest.raises(RequestError):
                await process.start()
        assert group.processes == {}
        assert (process.pid, process.removed) == (0, True)


async def test_what_cannot_be_started_is_told() -> None:
    async with open_supervisor() as supervisor:
        group = supervisor.add_programs("w", "/nonexistent/w", 0)
        [result] = await group.scale(1)
        assert isinstance(result.error, NoFile)
        assert result.process is group.processes["w_00"]


async def test_removing_the_group_ends_the_call() -> None:
    async with open_supervisor() as supervisor:
        group = supervisor.add_programs("w", SLEEP, 0, startsecs=3600)
        results = []

        async def scale() -> None:
            results.extend(await group.scale(2))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(scale)
            await wait_all_tasks_blocked()
            await supervisor.remove("w")
        assert [type(result.error).__name__ for result in results] == ["AbnormalTermination"] * 2
        with pytest.raises(BadName):
            await group.scale(1)


async def test_a_shutdown_ends_the_call() -> None:
    async with open_supervisor() as supervisor:
        group = supervisor.add_programs("w", SLEEP, 0, startsecs=3600)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(group.scale, 2)
            await wait_all_tasks_blocked()
            supervisor.request_shutdown()
        with pytest.raises(ShuttingDown):
            await group.scale(3)


async def test_tasks_are_scaled_too() -> None:
    running = 0

    async def work(step: int, *, task_status: trio.TaskStatus[None]) -> None:
        nonlocal running
        running += step
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            running -= step

    async with open_supervisor() as supervisor:
        group = supervisor.add_tasks("t", work, 10, numprocs=2, autostart=False)
        assert running == 0
        await supervisor.start(group)
        assert running == 20
        await group.scale(5)
        assert running == 50
        await group.scale(1)
        assert running == 10


async def test_mistakes_are_told_when_it_is_added() -> None:
    async with open_supervisor() as supervisor:
        add = supervisor.add_programs
        with pytest.raises(ConfigError, match="w: numprocs must be a number from 0 to 32768, not"):
            add("w", SLEEP, -1)
        with pytest.raises(ConfigError, match="not True"):
            add("w", SLEEP, True)
        with pytest.raises(ConfigError, match="there is no option cwd"):
            add("w", SLEEP, 0, cwd="/")  # type: ignore[call-arg]  # the mistake
        with pytest.raises(ConfigError, match="there is no option numprocs") as error:
            supervisor.add_program("w", SLEEP, numprocs=2)  # type: ignore[call-arg]  # the mistake
        assert error.value.diagnostic.hint == "add_programs and add_tasks add several processes"
        with pytest.raises(ConfigError, match="the command is a function"):
            supervisor.add_program("w", lambda number: SLEEP)  # type: ignore[arg-type]  # the mistake
        nothing: Any = lambda number: None  # noqa: E731  # the mistake
        with pytest.raises(ConfigError, match=r"each\(0\) must give a dict of options, not None"):
            add("w", SLEEP, 2, each=nothing)
        with pytest.raises(ConfigError, match="there is no option numprocs"):
            await supervisor.run_job(SLEEP, numprocs=2)  # type: ignore[call-arg]  # the mistake
        assert supervisor.groups == {}


async def test_mistakes_of_a_call_are_told() -> None:
    async with open_supervisor() as supervisor:
        group = supervisor.add_programs("w", SLEEP, 0)
        supervisor.add_program("one", SLEEP)
        with pytest.raises(ValueError, match="-1 processes: give a number from 0 to 32768"):
            await group.scale(-1)
        with pytest.raises(TypeError, match="the number of processes is an integer, not '2'"):
            await group.scale("2")  # type: ignore[arg-type]  # the mistake
        with pytest.raises(BadName, match="nosuch"):
            await supervisor.scale("nosuch", 2)
        with pytest.raises(BadName, match="w:x"):
            await supervisor.scale("w:x", 2)
        with pytest.raises(ConfigError, match="one cannot be scaled: it has processes without num"):
            await supervisor.scale("one", 2)


async def test_the_journal_has_the_number() -> None:
    async with open_supervisor() as supervisor:
        group = supervisor.add_programs("w", SLEEP, 1, startsecs=0)
        await group.scale(2)
        [entry] = [e for e in await supervisor.history() if e.new == "scaled"]
        assert entry.what is What.CONFIGURATION
        assert dict(entry.evidence) == {"group": "w", "processes": "1 to 2"}
        assert entry.cause.kind is CauseKind.CONFIGURATION
        assert entry.cause.who == "python"
        why = await supervisor.why("w:w_01")
        assert why.chain[-1].number == entry.number


async def test_a_log_with_names_has_that_of_the_program(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with open_supervisor() as supervisor:
        group = supervisor.add_programs(
            *("w", ["/bin/echo", "hello"], 0),
            startsecs=0,
            stdout_logfile=log,
            log_format="json",
        )
        await group.scale(1)
        await group.processes["w_00"].wait()
    line = json.loads(log.read_text())
    assert (line["program"], line["group"], line["process"]) == ("w", "w", "w_00")


CONFIGURATION = """
[supervisord]
[program:w]
command = /bin/sleep {seconds}
process_name = %(program_name)s_%(process_num)d
numprocs = 1
startsecs = 0
[program:one]
command = /bin/sleep 3600
[program:a]
command = /bin/sleep 3600
process_name = %(program_name)s_%(process_num)d
startsecs = 0
[program:b]
command = /bin/sleep 3600
[group:g]
programs = a, b
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "supervisord.conf"
    write(path, seconds=3600)
    return path


def write(path: Path, seconds: int) -> None:
    path.write_text(CONFIGURATION.replace("{seconds}", str(seconds)))


async def scaled_by_update(supervisor: Supervisor) -> list[str]:
    assert [result.error for result in await supervisor.update()] in ([], [None])
    return [process.name for process in supervisor.group("w")]


@pytest.mark.behaviour("configuration.md#a-changed-number-of-processes")
async def test_an_update_keeps_the_number_until_the_section_changes(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    async with open_supervisor(file, stop_within=5) as supervisor:
        await supervisor.process("w:w_0").wait_for("RUNNING")
        await supervisor.scale("w", 3)
        pids = [process.pid for process in supervisor.group("w")]
        assert await scaled_by_update(supervisor) == ["w_0", "w_1", "w_2"]
        assert [process.pid for process in supervisor.group("w")] == pids
        write(file, seconds=3601)
        assert await scaled_by_update(supervisor) == ["w_0"]


@pytest.mark.behaviour("configuration.md#a-changed-number-of-processes")
async def test_programs_of_a_file_are_scaled_by_name(file: Path) -> None:
    async with open_supervisor(file, stop_within=5) as supervisor:
        group = supervisor.group("g")
        await supervisor.scale("g:a", 3)
        assert [process.name for process in group] == ["a_0", "b", "a_1", "a_2"]
        await supervisor.scale("g:a", 0)
        assert [process.name for process in group] == ["b"]
        with pytest.raises(ConfigError, match="g has programs a, b"):
            await supervisor.scale("g", 2)
        with pytest.raises(ConfigError, match="process_num"):
            await supervisor.scale("one", 2)
        await supervisor.scale("one", 0)
        assert list(supervisor.group("one")) == []
        [result] = await supervisor.scale("one", 1)
        assert result.error is None


@pytest.mark.behaviour("configuration.md#a-changed-number-of-processes")
async def test_an_update_leaves_groups_from_python_alone(file: Path) -> None:
    async with open_supervisor(file, stop_within=5) as supervisor:
        group = supervisor.add_programs("p", SLEEP, 1, startsecs=0)
        await group.scale(2)
        assert await supervisor.update() == []
        assert sorted(states(group)) == ["p_00", "p_01"]


async def test_dependencies_of_processes_that_are_added_hold() -> None:
    async with open_supervisor(stop_within=5) as supervisor:
        db = supervisor.add_program("db", SLEEP, autostart=False, startsecs=0)
        group = supervisor.add_programs("w", SLEEP, 0, startsecs=0, depends_on="db")
        await group.scale(1)
        assert db.state is State.RUNNING
        assert states(group) == up(0)


async def test_a_shutdown_while_processes_are_removed() -> None:
    async with trio.open_nursery() as nursery, open_supervisor() as supervisor:
        group = supervisor.add_programs(
            "w", DEAF, 3, startsecs=0, stopwaitsecs=0.5, autostart=False
        )
        with supervisor.output("w") as lines:
            await supervisor.start(group)
            for _ in group:
                await anext(lines)  # it is deaf from now on
        nursery.start_soon(group.scale, 0)
        await wait_all_tasks_blocked()
    assert list(group) == []
