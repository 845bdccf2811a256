"""What each process at rest costs the daemon, in things that can be counted on any machine."""

from __future__ import annotations

import dataclasses
import gc
import os
import subprocess
import sys
import tracemalloc
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kit.config import load
from tests.kit.daemon import daemon, eventually
from tests.kit.fakes import Recorder, program
from tests.kit.machine import need_tracing
from tests.kit.pipes import PATIENCE
from tests.kit.running import running
from trio_supervisor.cli.daemon_run import MANY_PROCESSES
from trio_supervisor.core.config.model import (
    AUTO,
    ChannelConfig,
    Config,
    DaemonConfig,
    GroupConfig,
    GroupKind,
    PoolConfig,
)
from trio_supervisor.core.events import Tick5
from trio_supervisor.runtime.groups import operations
from trio_supervisor.runtime.groups.active_groups import ActiveGroups
from trio_supervisor.runtime.groups.group import Group
from trio_supervisor.runtime.logs.worker import DiskWorker
from trio_supervisor.runtime.spawn.launcher import ProcessLauncher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio.lowlevel import Task
    from trio.testing import MockClock

#: The task of the process, and one for each of stdout and stderr.
TASKS = 3
#: The one in which the tasks of the child run.
NURSERIES = 1
#: The pipes of stdin, stdout and stderr, the pidfd, and two logs.
DESCRIPTORS = 6
#: The event loop, the disk worker with its watchdog, and one thread that does something else.
THREADS = 4
PIPE_BYTES = 1024 * 1024
#: Modules of ours that a daemon loads before its first request. Raise this only for what each
#: daemon needs: what few use is loaded with the first configuration that asks for it.
MODULES = 209
#: What the daemon loads of the standard library beyond what trio and h11 do.
STANDARD = {
    *("binascii", "fnmatch", "glob", "grp", "pwd", "resource", "shlex", "struct", "termios", "zlib")
}
#: What an idle process takes in memory, in a group with others and without logs: blocks and bytes.
#: With Python 3.11 it is 116 and 12,600, of which trio takes the larger part.
BLOCKS = 127
BYTES = 13_400
#: The same of a process with two log files: 147 and 14,950.
BLOCKS_WITH_LOGS = 160
BYTES_WITH_LOGS = 15_900
#: Calls of functions that the event loop makes to start and to stop one of many programs, without
#: those of a real child and of its logs; with Python 3.11 it is 743 to 767 and 408 to 414: trio
#: runs tasks that become ready at the same time in one of two orders, by chance.
CALLS_OF_START = 800
CALLS_OF_STOP = 440
#: Calls of functions from the answer of a listener to its next event, both included; with Python
#: 3.11 it is 56.
CALLS_OF_EVENT = 59
#: Calls of functions that reading a program section takes: its lines, its two processes, and the
#: remarks; with Python 3.11 it is 1157. It was 2168 when an environment was split five times, and
#: the values of all options were compared that no section writes.
CALLS_OF_SECTION = 1215
SECTION = """
[program:p{number}]
command = /bin/sleep %(process_num)d%(numprocs)d
process_name = %(program_name)s_%(process_num)02d
numprocs = 2
environment = NAME="%(program_name)s",HERE="%(here)s",HOME2="%(ENV_HOME)s"
stdout_logfile = %(here)s/%(program_name)s.log
startsecs = 3
stopwaitsecs = 30
"""
#: Calls for a section with a command and nothing else; with Python 3.11 it is 384.
CALLS_OF_SHORT_SECTION = 405
SHORT_SECTION = """
[program:p{number}]
command = /bin/sleep 300
"""
#: System calls of the event loop's thread for one program from its start to its stop, two logs
#: included, without those that wait or manage memory; with Python 3.11 it is 26. Signals that it
#: receives count too.
SYSTEM_CALLS = 29
WAITS = {"futex", "epoll_wait", "rt_sigreturn", "restart_syscall"}
OF_MEMORY = {"brk", "madvise", "mmap", "munmap", "mprotect", "mremap"}


def family(task: Task) -> tuple[int, int]:
    """Return the number of tasks, the given one included, and of nurseries."""
    tasks, nurseries = 1, 0
    for nursery in task.child_nurseries:
        nurseries += 1
        for child in nursery.child_tasks:
            more_tasks, more_nurseries = family(child)
            tasks, nurseries = tasks + more_tasks, nurseries + more_nurseries
    return tasks, nurseries


async def test_a_running_process_has_three_tasks_and_one_nursery(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    group, x = recorder.process()
    async with running(group, recorder.host):
        task = task_of(group.run)
        before = family(task)
        assert before == (2, 1)  # of the group, with a process that waits for its start
        await x.start()
        await wait_all_tasks_blocked()
        tasks, nurseries = family(task)
    assert (tasks - 1, nurseries - 1) == (TASKS, NURSERIES)


async def test_a_task_for_stdin_exists_only_while_bytes_are_queued(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    group, x = recorder.process()
    async with running(group, recorder.host):
        task = task_of(group.run)
        await x.start()
        await wait_all_tasks_blocked()
        at_rest = family(task)[0]
        for _ in range(2):
            x.send_stdin(b"x" * PIPE_BYTES)
            assert x.stdin_pending
            await wait_all_tasks_blocked()
            assert family(task)[0] == at_rest + 1
            received = 0
            [child] = recorder.launcher.children
            while received < PIPE_BYTES:
                received += len(os.read(child.stdin_reader, PIPE_BYTES))
                await wait_all_tasks_blocked()
            assert not x.stdin_pending
            assert family(task)[0] == at_rest


def task_of(function: object) -> Task:
    """Return the task below the current one that runs this bound method."""
    pending = [trio.lowlevel.current_task()]
    while pending:
        task = pending.pop()
        frame = getattr(task.coro, "cr_frame", None)
        method = getattr(function, "__func__", None)
        if frame is not None and frame.f_code is getattr(method, "__code__", None):
            return task
        for nursery in task.child_nurseries:
            pending.extend(nursery.child_tasks)
    raise AssertionError(f"no task runs {function}")


def descriptors(proc: Path) -> int:
    """Count pipes, pidfds and logs; others come and go with clients and looks at /proc."""
    targets = []
    for fd in (proc / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed since the directory was read
            targets.append(os.readlink(fd))
    return sum(t.startswith("pipe:") or t.endswith(("[pidfd]", ".log")) for t in targets)


def test_descriptors_and_threads_of_a_daemon(tmp_path: Path) -> None:
    few, many = 2, 12
    counts = {}
    for number in (few, many):
        directory = tmp_path / str(number)
        directory.mkdir()
        programs = f"[program:x]\ncommand=/bin/sleep 1000\nstartsecs=0\nnumprocs={number}\n"
        programs += "process_name=%(process_num)s\n"
        with daemon(directory, programs) as running_daemon:
            for process in range(number):
                running_daemon.wait_for(f"x:{process}", "RUNNING")
            proc = Path(f"/proc/{running_daemon.process.pid}")
            counts[number] = descriptors(proc)
            assert len(os.listdir(proc / "task")) <= THREADS + 2 * (os.cpu_count() or 1)
    assert counts[many] - counts[few] == DESCRIPTORS * (many - few)


#: Bytes at whose multiples glibc puts the memory of the arenas of threads (HEAP_MAX_SIZE).
ARENA = 64 * 1024 * 1024


def arenas_of_threads(pid: int) -> list[str]:
    """Return the memory that the C library keeps for single threads."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    anonymous = [line for line in lines if len(line.split()) == 5 and " rw-p " in line]
    return [line for line in anonymous if int(line.partition("-")[0], 16) % ARENA == 0]


def test_the_threads_of_a_daemon_with_many_programs_share_their_memory(tmp_path: Path) -> None:
    programs = "[program:x]\ncommand=/bin/sleep 1000\nstartsecs=0\n"
    programs += f"numprocs={MANY_PROCESSES}\nprocess_name=%(process_num)s\n"
    with daemon(tmp_path, programs) as running_daemon:
        for process in range(MANY_PROCESSES):
            running_daemon.wait_for(f"x:{process}", "RUNNING")
        assert arenas_of_threads(running_daemon.process.pid) == []


async def memory_of(number: int, logs: str | None) -> tuple[int, int]:
    """Blocks and bytes that are in use with so many idle processes.

    ``logs`` is the directory of their logs; None: they have none.
    """
    recorder = Recorder()
    tracemalloc.start()
    try:
        group = recorder.group(*(program(str(n), **_logs(logs, n)) for n in range(number)))
        async with running(group, recorder.host):
            for process in group.processes.values():
                await process.start()
            await wait_all_tasks_blocked()
            gc.collect()
            found = tracemalloc.take_snapshot().statistics("filename")
    finally:
        tracemalloc.stop()
    of_ours = [statistic for statistic in found if "/tests/" not in str(statistic.traceback)]
    counts = (statistic.count for statistic in of_ours)
    return sum(counts), sum(statistic.size for statistic in of_ours)


def _logs(directory: str | None, number: int) -> dict[str, ChannelConfig]:
    if directory is None:
        return {}
    names = ("stdout", "stderr")
    return {name: ChannelConfig(os.path.join(directory, f"{name}-{number}")) for name in names}


@pytest.mark.parametrize(
    ("has_logs", "most_blocks", "most_bytes"),
    [(False, BLOCKS, BYTES), (True, BLOCKS_WITH_LOGS, BYTES_WITH_LOGS)],
)
def test_memory_that_a_process_takes(
    tmp_path: Path, has_logs: bool, most_blocks: int, most_bytes: int
) -> None:
    """In an interpreter of its own: other tests make the attributes of our objects take more."""
    script = """
import sys
import trio
from trio.testing import MockClock
from tests.runtime.test_footprint import memory_of
logs = sys.argv[1] or None
for number in 10, 60:
    print(*trio.run(memory_of, number, logs, clock=MockClock(autojump_threshold=0)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path) if has_logs else ""],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
        cwd=Path(__file__).parents[2],
    )
    few, many = (map(int, line.split()) for line in done.stdout.splitlines())
    blocks, size = ((more - less) / 50 for less, more in zip(few, many, strict=True))
    assert blocks <= most_blocks
    assert size <= most_bytes


class Calls:
    """Counts the calls of functions, of Python and of C, during the block.

    Not those of a collection of garbage, which other tests may have left.
    """

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Calls:
        gc.collect()
        gc.disable()
        sys.setprofile(self._note)
        return self

    def __exit__(self, *raised: object) -> None:
        sys.setprofile(None)
        gc.enable()

    def _note(self, frame: object, event: str, argument: object) -> None:
        self.count += event in ("call", "c_call")


async def test_calls_that_a_start_and_a_stop_take(autojump_clock: MockClock) -> None:
    starts, stops = {}, {}
    for number in (10, 60):
        recorder = Recorder()
        group = recorder.group(*(program(str(n), startsecs=0) for n in range(number)))
        async with running(group, recorder.host):
            with Calls() as started:
                await operations.start(group.processes.values())
            with Calls() as stopped:
                results = await operations.stop(group.processes.values())
        assert [result.error for result in results] == [None] * number
        starts[number], stops[number] = started.count, stopped.count
    assert (starts[60] - starts[10]) / 50 <= CALLS_OF_START
    assert (stops[60] - stops[10]) / 50 <= CALLS_OF_STOP


@pytest.mark.parametrize(
    ("section", "most"),
    [(SECTION, CALLS_OF_SECTION), (SHORT_SECTION, CALLS_OF_SHORT_SECTION)],
)
def test_calls_that_reading_a_section_takes(section: str, most: int) -> None:
    counts = {}
    for number in (0, 10, 60):  # the first time it takes more
        text = "".join(section.format(number=n) for n in range(number))
        with Calls() as calls:
            load(text)
        counts[number] = calls.count
    assert (counts[60] - counts[10]) / 50 <= most


async def test_calls_that_an_event_to_a_listener_takes(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    config = GroupConfig(
        name="p",
        kind=GroupKind.POOL,
        pool=PoolConfig(events=frozenset({"TICK_5"}), buffer_size=100),
        processes=(program("l", startsecs=0),),
    )
    group = Group(config, recorder.host)
    async with running(group, recorder.host):
        await group.processes["l"].start()
        listener = recorder.launcher.last
        for when in range(60):
            recorder.host.publish(Tick5(when))
        listener.write(b"READY\n")
        await wait_all_tasks_blocked()
        [watch] = recorder.host.poller._watches.values()
        counts = []
        for _ in range(50):
            listener.write(b"RESULT 2\nOKREADY\n")
            with Calls() as calls:
                watch.take()
            counts.append(calls.count)
        heard = os.read(listener.stdin_reader, PIPE_BYTES)
    assert heard.count(b"eventname:TICK_5") == 1 + len(counts)
    assert min(counts) <= CALLS_OF_EVENT


def system_calls(directory: Path, number: int) -> int:
    """Return how many the event loop's thread makes while so many programs start and stop."""
    directory.mkdir()
    programs = f"[program:x]\ncommand=/bin/sleep 1000\nstartsecs=0\nnumprocs={number}\n"
    programs += "process_name=%(process_num)s\n"
    trace = directory / "trace"
    within = ["strace", "-D", "-qq", "-o", str(trace)]
    with daemon(directory, programs, within=within) as running_daemon:
        eventually(lambda: running_daemon.log.count("entered RUNNING") == number, "all starts")
    eventually(lambda: "exit_group" in trace.read_text(), "the end of the trace")
    calls = [line.partition("(")[0] for line in trace.read_text().splitlines()]
    return sum(call not in WAITS | OF_MEMORY for call in calls)


def test_system_calls_that_a_start_and_a_stop_take(tmp_path: Path) -> None:
    need_tracing()
    few, many = (system_calls(tmp_path / str(number), number) for number in (2, 42))
    assert (many - few) / 40 <= SYSTEM_CALLS


async def test_one_task_waits_for_all_that_stop(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group = recorder.group(*(program(str(n)) for n in range(10)))
    async with running(group, recorder.host), trio.open_nursery() as nursery:
        await operations.start(group.processes.values())
        for child in recorder.launcher.children:
            child.on_signal = lambda child, number: None
        nursery.start_soon(operations.stop, group.processes.values())
        await wait_all_tasks_blocked()
        [waiting] = nursery.child_tasks
        assert family(waiting) == (1, 0)
        for child in recorder.launcher.children:
            child.die()


def test_modules_that_a_daemon_loads() -> None:
    script = """
import sys
from trio_supervisor.cli import postponed
postponed.import_dependencies()
of_trio = {*sys.modules}
import trio_supervisor.cli.daemon
loaded = {*sys.modules} - postponed.waiting.keys()
print(*(name for name in loaded if name not in of_trio or name.startswith("trio_supervisor")))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    loaded = done.stdout.split()
    ours = {name for name in loaded if name.partition(".")[0] == "trio_supervisor"}
    others = {name.partition(".")[0].lstrip("_") for name in {*loaded} - ours}
    assert len(ours) <= MODULES
    assert others <= STANDARD


def test_settings_of_the_allocator_load_no_more_than_they_need() -> None:
    """A daemon with many programs makes them, and ``ctypes`` would take 0.15 MiB more."""
    script = """
import sys
from trio_supervisor.runtime.system.malloc import share_arena
share_arena()
print(*(name for name in sys.modules if "ctypes" in name))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert done.stdout.split() == ["_ctypes"]


def test_no_dataclass_compiles_methods_before_they_are_used() -> None:
    """``dataclasses`` compiles six for each class, which was half of the time of our imports."""
    script = """
import builtins, dataclasses
compiled = []
create = dataclasses._create_fn
def counting(name, *arguments, **options):
    compiled.append(name)
    return create(name, *arguments, **options)
import h11, trio
dataclasses._create_fn = counting
import trio_supervisor.cli.daemon
print(len(compiled))
"""
    if not hasattr(dataclasses, "_create_fn"):
        pytest.skip("this Python compiles the methods of a class together")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert done.stdout.strip() == "0"


async def test_starts_and_ends_wait_for_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = []
    wait = DiskWorker.wait

    def counting(self: DiskWorker, done: Callable[[], bool], seconds: float) -> bool:
        waits.append(seconds)
        return wait(self, done, seconds)

    monkeypatch.setattr(DiskWorker, "wait", counting)
    recorder = Recorder()
    logs = {name: ChannelConfig(str(tmp_path / name)) for name in ("stdout", "stderr")}
    group, x = recorder.process(startsecs=0, **logs)
    async with running(group, recorder.host):
        await x.start()
        recorder.launcher.children[0].die(0)
        await x.wait_for("EXITED")
    assert waits == []
    assert {*os.listdir(tmp_path)} == logs.keys()


@contextmanager
def submitted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], None]]]:
    """The jobs that are given to threads meanwhile."""
    jobs = []
    submit = DiskWorker.submit

    def counting(self: DiskWorker, job: Callable[[], None], *, urgent: bool = True) -> None:
        jobs.append(job)
        submit(self, job, urgent=urgent)

    with monkeypatch.context() as patches:
        patches.setattr(DiskWorker, "submit", counting)
        yield jobs


async def test_one_job_opens_the_logs_of_a_child_and_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    logs = {name: ChannelConfig(str(tmp_path / name)) for name in ("stdout", "stderr")}
    with closing(ProcessLauncher()) as recorder.host.launch:
        group, x = recorder.process(startsecs=0, command="/bin/sleep 1000", **logs)
        async with running(group, recorder.host):
            with submitted(monkeypatch) as jobs:
                await x.start()
            assert len(jobs) == 1
            await x.stop()


async def test_one_job_makes_all_automatic_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(DaemonConfig(childlogdir=str(tmp_path)))
    automatic = ChannelConfig(AUTO)
    processes = [program(str(n), stdout=automatic, stderr=automatic) for n in range(10)]
    groups = tuple(GroupConfig(name=each.name, processes=(each,)) for each in processes)
    with submitted(monkeypatch) as jobs:
        active = ActiveGroups(Config(groups=groups), recorder.host)
    assert len(jobs) == 1
    paths = {channel.logfile for p in active.processes() for channel in (p.stdout, p.stderr)}
    assert set(os.listdir(tmp_path)) == {os.path.basename(path or "") for path in paths}
    assert len(paths) == 20
