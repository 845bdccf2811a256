"""Programs that an earlier daemon has started: their end, their status, and signals to them.

Each is a child of a process that reaps it only when the test says so.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import signal
import struct
import time
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.kit.daemon import eventually
from tests.kit.late_reaper import EXITS, LateReaper, wait_for_end
from trio_supervisor.core.process.exit import Exit
from trio_supervisor.core.process.member import Member
from trio_supervisor.runtime.spawn import foreign_exit
from trio_supervisor.runtime.spawn.adopted_child import STATUS_PATIENCE, AdoptedChild
from trio_supervisor.runtime.spawn.child import ChildRegistry, RealChild
from trio_supervisor.runtime.spawn.members import member_of, members_of_group, read_stat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PR_SET_CHILD_SUBREAPER = 36
#: The bits of an exit and of the supported bits, and where these are, in ``struct pidfd_info``.
HAS_EXIT, HAS_SUPPORTED, SUPPORTED = 8, 32, 72


@pytest.fixture(autouse=True)
def _no_descriptor_is_left() -> Iterator[None]:
    before = set(os.listdir("/proc/self/fd"))
    yield
    assert set(os.listdir("/proc/self/fd")) <= before


@pytest.fixture
def reaper() -> Iterator[LateReaper]:
    with LateReaper() as reaper:
        yield reaper


@pytest.fixture
def _nothing_may_be_inspected(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a program of another user: /proc shows no exit status."""

    def refused(path: str) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "readlink", refused)


def adopted(program: Member, pidfd: int | None = None) -> AdoptedChild:
    return AdoptedChild(program, None, None, None, pidfd, ChildRegistry(60))


def no_pidfds(pid: int, flags: int = 0) -> int:
    raise OSError(errno.ENOSYS, "Function not implemented")


def kernel(monkeypatch: pytest.MonkeyPatch, change: Callable[[int, bytearray], None]) -> None:
    """Change what the kernel tells of a process; the change may raise OSError."""
    real = fcntl.ioctl

    def ioctl(fd: int, request: int, info: bytearray) -> int:
        real(fd, request, info)
        change(fd, info)
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)


def refusing(number: int) -> Callable[[int, bytearray], None]:
    def refuse(fd: int, info: bytearray) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


def without(bit: int) -> Callable[[int, bytearray], None]:
    def forget(fd: int, info: bytearray) -> None:
        [mask] = struct.unpack_from("=Q", info)
        struct.pack_into("=Q", info, 0, mask & ~bit)

    return forget


ENDS = [
    (EXITS.format(code=0), signal.SIGUSR1, Exit(0)),
    (EXITS.format(code=3), signal.SIGUSR1, Exit(3)),
    (EXITS.format(code=0), signal.SIGKILL, Exit(None, signal.SIGKILL)),
    (EXITS.format(code=0), 40, Exit(None, 40)),
]


@pytest.mark.behaviour("policies.md#exit-status-of-an-adopted-program")
@pytest.mark.parametrize(("code", "number", "ended"), ENDS)
@pytest.mark.parametrize("is_reaped", [False, True])
async def test_the_exit_is_known_before_and_after_it_is_reaped(
    reaper: LateReaper, code: str, number: int, ended: Exit, is_reaped: bool
) -> None:
    program = reaper.run(code)
    child = adopted(program)
    assert child.poll() is None
    reaper.end(program, number)
    if is_reaped:
        reaper.reap(program)
    assert child.poll() == ended
    assert await child.wait() == ended
    assert child.usage is None
    child.close()


@pytest.mark.behaviour("policies.md#exit-status-of-an-adopted-program")
@pytest.mark.parametrize("is_reaped", [False, True])
async def test_a_core_dump_is_told(reaper: LateReaper, is_reaped: bool, tmp_path: object) -> None:
    code = (
        f"import resource; os.chdir({str(tmp_path)!r});"
        "resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2);"
        "signal.sigwait([signal.SIGUSR1]); os.abort()"
    )
    if resource.getrlimit(resource.RLIMIT_CORE)[1] != resource.RLIM_INFINITY:
        pytest.skip("core dumps are limited here")
    program = reaper.run(code)
    child = adopted(program)
    reaper.end(program)
    if is_reaped:
        reaper.reap(program)
    ended = await child.wait()
    child.close()
    assert ended == Exit(None, signal.SIGABRT, core_dumped=True)


@pytest.mark.behaviour("policies.md#exit-status-of-an-adopted-program")
@pytest.mark.parametrize(("is_reaped", "pidfds"), [(False, True), (True, True), (False, False)])
async def test_the_code_of_a_program_whose_first_thread_has_ended(
    reaper: LateReaper, monkeypatch: pytest.MonkeyPatch, is_reaped: bool, pidfds: bool
) -> None:
    """It is no zombie while another thread runs, and that one decides on the code."""
    code = (
        "import ctypes, threading\n"
        "def other():\n"
        "    signal.sigwait([signal.SIGUSR1]); os._exit(3)\n"
        "threading.Thread(target=other).start()\n"
        "signal.sigwait([signal.SIGUSR2]); ctypes.CDLL(None).pthread_exit(None)\n"
    )
    program = reaper.run(code)
    with monkeypatch.context() as patch:
        if not pidfds:
            patch.setattr(os, "pidfd_open", no_pidfds)
        child = adopted(program)
    os.kill(program.pid, signal.SIGUSR2)
    eventually(lambda: member_of(program.pid) is None)
    assert child.poll() is None
    reaper.end(program)
    if is_reaped:
        reaper.reap(program)
    assert await child.wait() == Exit(3)
    child.close()


async def test_the_end_wakes_a_wait(reaper: LateReaper) -> None:
    program = reaper.run(EXITS.format(code=7))
    child = adopted(program)
    ends: list[Exit] = []

    async def wait() -> None:
        ends.append(await child.wait())

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            assert ends == []
            os.kill(program.pid, signal.SIGUSR1)
    assert ends == [Exit(7)]
    child.close()


@pytest.mark.behaviour("policies.md#exit-status-of-an-adopted-program")
@pytest.mark.usefixtures("_nothing_may_be_inspected")
async def test_a_status_that_only_the_reaped_program_has_is_waited_for(
    reaper: LateReaper,
) -> None:
    """Meanwhile other tasks go on, and the program counts as ended."""
    program = reaper.run(EXITS.format(code=3))
    child = adopted(program)
    reaper.end(program)
    why = f"pid {reaper.pid} has not reaped it"
    assert child.poll() == Exit(None, unknown=why)
    with pytest.raises(ProcessLookupError):
        child.send_signal(signal.SIGTERM)
    ends: list[Exit] = []

    async def wait() -> None:
        ends.append(await child.wait())

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            assert ends == []
            reaper.reap(program)
    assert ends == [Exit(3)] == [child.poll()]
    child.close()


@pytest.mark.behaviour("policies.md#exit-status-of-an-adopted-program")
@pytest.mark.usefixtures("_nothing_may_be_inspected")
async def test_a_status_is_waited_for_no_longer_than_its_time(
    reaper: LateReaper, autojump_clock: trio.testing.MockClock
) -> None:
    program = reaper.run()
    child = adopted(program)
    reaper.end(program)
    began = trio.current_time()
    with trio.move_on_after(STATUS_PATIENCE / 2) as first:
        await child.wait()
    assert first.cancelled_caught
    ended = await child.wait()  # a wait that was cancelled does not begin anew
    assert STATUS_PATIENCE <= trio.current_time() - began < STATUS_PATIENCE + 0.2
    assert str(ended) == f"exit status unknown: pid {reaper.pid} has not reaped it"
    reaper.reap(program)
    assert child.poll() == ended == await child.wait()  # what was told is not changed
    child.close()


@pytest.mark.behaviour("policies.md#exit-status-of-an-adopted-program")
@pytest.mark.usefixtures("_nothing_may_be_inspected")
@pytest.mark.parametrize("is_reaped", [False, True])
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (refusing(errno.ENOTTY), "this kernel does not keep it (Linux 6.15 does)"),
        (refusing(errno.EINVAL), "this kernel does not keep it (Linux 6.15 does)"),
        (refusing(errno.EPERM), "PIDFD_GET_INFO is refused: Operation not permitted"),
    ],
)
async def test_an_older_kernel_tells_nothing(
    reaper: LateReaper,
    monkeypatch: pytest.MonkeyPatch,
    is_reaped: bool,
    change: Callable[[int, bytearray], None],
    why: str,
) -> None:
    """Nothing is waited for that cannot come."""
    kernel(monkeypatch, change)
    program = reaper.run(EXITS.format(code=3))
    child = adopted(program)
    reaper.end(program)
    if is_reaped:
        reaper.reap(program)
    assert child.poll() == await child.wait() == Exit(None, unknown=why)
    child.close()


@pytest.mark.behaviour("policies.md#exit-status-of-an-adopted-program")
async def test_an_older_kernel_tells_nothing_of_what_was_reaped(
    reaper: LateReaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux 6.13 has the request without the exit."""
    kernel(monkeypatch, without(HAS_EXIT))
    program = reaper.run(EXITS.format(code=3))
    child = adopted(program)
    reaper.end(program)
    reaper.reap(program)
    ended = await child.wait()
    assert ended == Exit(None, unknown="this kernel does not keep it (Linux 6.15 does)")
    assert (ended.status, ended.expected((0, 3))) == (-1, False)
    child.close()


@pytest.mark.behaviour("policies.md#exit-status-of-an-adopted-program")
async def test_the_zombie_tells_an_older_kernel_s_daemon(
    reaper: LateReaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel(monkeypatch, refusing(errno.ENOTTY))
    program = reaper.run(EXITS.format(code=3))
    child = adopted(program)
    reaper.end(program)
    assert await child.wait() == Exit(3)
    child.close()


@pytest.mark.usefixtures("_nothing_may_be_inspected")
@pytest.mark.parametrize("supports", [False, True])
async def test_the_kernel_says_which_bits_it_supports(
    reaper: LateReaper, monkeypatch: pytest.MonkeyPatch, supports: bool
) -> None:
    """One that supports no exit is asked once; else there may be one later."""

    def tell(fd: int, info: bytearray) -> None:
        [mask] = struct.unpack_from("=Q", info)
        struct.pack_into("=Q", info, 0, mask | HAS_SUPPORTED)
        struct.pack_into("=Q", info, SUPPORTED, HAS_EXIT if supports else 0)

    kernel(monkeypatch, tell)
    program = reaper.run()
    child = adopted(program)
    reaper.end(program)
    why = f"pid {reaper.pid} has not reaped it" if supports else foreign_exit.NOT_KEPT
    assert foreign_exit.foreign_exit(program, child.pidfd) == (
        Exit(None, unknown=why),
        not supports,
    )
    child.poll()
    child.close()


@pytest.mark.behaviour("policies.md#exit-status-of-an-adopted-program")
@pytest.mark.parametrize("is_reaped", [False, True])
async def test_a_program_that_has_ended_before_it_is_taken_over(
    reaper: LateReaper, is_reaped: bool
) -> None:
    """The descriptor comes from a process that has opened it before."""
    program = reaper.run(EXITS.format(code=3))
    pidfd = os.pidfd_open(program.pid)
    reaper.end(program)
    if is_reaped:
        reaper.reap(program)
    child = adopted(program, pidfd)
    assert await child.wait() == Exit(3)
    child.close()


@pytest.mark.behaviour("policies.md#exit-status-of-an-adopted-program")
async def test_a_program_that_was_reaped_before_anybody_had_a_descriptor(
    reaper: LateReaper,
) -> None:
    program = reaper.run()
    reaper.end(program)
    reaper.reap(program)
    child = adopted(program)
    assert child.pidfd is None
    assert str(await child.wait()) == (
        "exit status unknown: it was reaped, and there was no pidfd of it"
    )
    child.close()


@pytest.mark.behaviour("policies.md#signals-to-an-adopted-program")
async def test_a_stranger_with_the_pid_is_never_signalled(
    reaper: LateReaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = reaper.run()
    program = Member(stranger.pid, stranger.started - 1)
    child = adopted(program)
    assert child.pidfd is None
    for held in (False, True):
        child.hold(held=held)
        for send in (child.send_signal, child.send_group_signal):
            with pytest.raises(ProcessLookupError):
                send(signal.SIGKILL)
        with pytest.raises(ProcessLookupError):
            child.resume(group=True)
    child.hold(held=False)
    assert not child.would_end_by(signal.SIGTERM)
    assert await child.wait() == Exit(None, unknown=foreign_exit.NO_PIDFD)
    assert await child.left_in_group() == set()
    child.close()
    assert member_of(stranger.pid) == stranger


@pytest.mark.behaviour("policies.md#signals-to-an-adopted-program")
async def test_a_stranger_with_the_pid_of_a_reaped_program_is_not_signalled(
    reaper: LateReaper,
) -> None:
    """Another process has its pid and leads a group of that number, but the pidfd knows better."""
    program, stranger = reaper.run(EXITS.format(code=3)), reaper.run()
    pidfd = os.pidfd_open(program.pid)
    reaper.end(program)
    reaper.reap(program)
    child = AdoptedChild(stranger, None, None, None, pidfd, ChildRegistry(60))
    child.hold()
    for send in (child.send_signal, child.send_group_signal):
        with pytest.raises(ProcessLookupError):
            send(signal.SIGKILL)
    child.hold(held=False)
    assert await child.wait() == Exit(3)
    child.close()
    assert member_of(stranger.pid) == stranger


#: Starts a process in its group that ignores SIGTERM, unless the group is left.
FORKS = (
    "read, write = os.pipe()\n"
    "if not os.fork():\n"
    "    {before}\n"
    "    os.write(write, b'x')\n"
    "    signal.pause()\n"
    "os.read(read, 1)\n"
    "signal.pause()\n"
)


@pytest.mark.behaviour("policies.md#signals-to-an-adopted-program")
@pytest.mark.parametrize("old", [False, True])
async def test_signals_to_the_program_and_to_its_group(
    reaper: LateReaper, monkeypatch: pytest.MonkeyPatch, old: bool
) -> None:
    """Also by a kernel before 6.9, whose pidfds do not stand for groups."""
    if old:
        real = signal.pidfd_send_signal

        def send(fd: int, number: int, info: None = None, flags: int = 0) -> None:
            if flags:
                raise OSError(errno.EINVAL, "Invalid argument")
            real(fd, number)

        monkeypatch.setattr(signal, "pidfd_send_signal", send)
    program = reaper.run(FORKS.format(before="pass"))
    child = adopted(program)
    [other] = others_of(program)
    assert child.would_end_by(signal.SIGTERM)
    assert not child.would_end_by(signal.SIGCHLD)
    child.send_signal(signal.SIGTERM)
    assert await child.wait() == Exit(None, signal.SIGTERM)
    assert await child.left_in_group() == {other}
    reaper.reap(program)
    assert await child.left_in_group() == {other}
    child.close()
    os.kill(other.pid, signal.SIGKILL)

    program = reaper.run(FORKS.format(before="pass"))
    child = adopted(program)
    [other] = others_of(program)
    pidfd = os.pidfd_open(other.pid)
    child.send_group_signal(signal.SIGKILL)
    wait_for_end(pidfd)
    os.close(pidfd)
    assert await child.wait() == Exit(None, signal.SIGKILL)
    assert await child.left_in_group() == set()
    child.close()


def others_of(program: Member) -> set[Member]:
    """The others of its group; there will be one."""
    eventually(lambda: len(members_of_group(program.pid)) == 2)
    return {*members_of_group(program.pid)} - {program}


@pytest.mark.behaviour("policies.md#signals-to-an-adopted-program")
async def test_a_program_that_has_left_its_group_is_signalled_alone(reaper: LateReaper) -> None:
    program = reaper.run("os.setpgid(0, os.getpgid(os.getppid()))\n" + EXITS.format(code=3))
    child = adopted(program)
    eventually(lambda: os.getpgid(program.pid) != program.pid)
    child.send_group_signal(signal.SIGUSR1)
    assert await child.wait() == Exit(3)
    child.close()


async def test_a_paused_program_goes_on(reaper: LateReaper) -> None:
    program = reaper.run(EXITS.format(code=3))
    child = adopted(program)
    child.send_signal(signal.SIGSTOP)
    child.send_signal(signal.SIGUSR1)
    child.resume(group=True)
    assert await child.wait() == Exit(3)
    child.close()


@pytest.mark.behaviour("policies.md#signals-to-an-adopted-program")
async def test_without_pidfds_the_program_is_looked_at(
    reaper: LateReaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "pidfd_open", no_pidfds)
        program = reaper.run(EXITS.format(code=3))
        child = adopted(program)
    assert child.pidfd is None
    assert child.poll() is None
    child.send_signal(signal.SIGCONT)
    child.send_group_signal(signal.SIGUSR1)
    with trio.fail_after(20):
        assert await child.wait() == Exit(3)
    reaper.reap(program)
    with pytest.raises(ProcessLookupError):
        child.send_signal(signal.SIGKILL)
    child.close()


async def test_without_a_free_descriptor_a_program_has_not_ended(
    reaper: LateReaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be read then; so it is not signalled either."""
    program = reaper.run()
    with monkeypatch.context() as patch:
        patch.setattr(os, "pidfd_open", no_pidfds)
        child = adopted(program)
        real = os.open

        def exhausted(path: str, *arguments: int, **named: int) -> int:
            if str(path).startswith("/proc"):
                raise OSError(errno.EMFILE, "Too many open files")
            return real(path, *arguments, **named)

        patch.setattr(os, "open", exhausted)
        assert child.poll() is None
        with pytest.raises(OSError, match="cannot be read"):
            child.send_signal(signal.SIGKILL)
    assert child.poll() is None
    child.close()
    assert member_of(program.pid) == program


def subreaper(value: int) -> None:
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, value, 0, 0, 0) == 0


@pytest.mark.behaviour("policies.md#exit-status-of-an-adopted-program")
@pytest.mark.parametrize("with_pidfd", [False, True])
async def test_a_program_that_has_become_our_child_is_reaped(
    reaper: LateReaper, monkeypatch: pytest.MonkeyPatch, with_pidfd: bool
) -> None:
    """Its status and its usage are those of any child."""
    subreaper(1)
    try:
        program = reaper.run(EXITS.format(code=3))
        registry = ChildRegistry(60)
        if not with_pidfd:
            monkeypatch.setattr(os, "pidfd_open", no_pidfds)
        child = AdoptedChild(program, None, None, None, None, registry)
        reaper.die()
        assert registry.owns(program.pid)
        os.kill(program.pid, signal.SIGUSR1)
        with trio.fail_after(20):
            assert await child.wait() == Exit(3)
        assert child.usage is not None
        assert not registry.owns(program.pid)
        assert read_stat(program.pid) is None
        child.close()
    finally:
        subreaper(0)


@pytest.fixture
def own() -> Iterator[int]:
    """The pid of a child of this process."""
    pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


async def test_a_child_of_ours_keeps_its_pid_in_the_registry(own: int) -> None:
    """Whichever is made first: the program was reaped elsewhere, and its pid is a child's now."""
    registry = ChildRegistry(60)
    gone = Member(own, 1)
    for first in (False, True):
        real = None if first else RealChild(own, None, None, None, registry)
        child = AdoptedChild(gone, None, None, None, None, registry)
        real = real or RealChild(own, None, None, None, registry)
        await child.wait()
        child.close()
        assert registry.owns(own)
        real.close()
        assert not registry.owns(own)


async def test_a_held_program_is_left_to_the_next_one(reaper: LateReaper) -> None:
    """Its end is not noticed, and its descriptor stays open."""
    program = reaper.run(EXITS.format(code=3))
    child = adopted(program)
    child.hold()
    reaper.end(program)
    reaper.reap(program)
    assert child.poll() is None
    child.close()
    again = adopted(program, child.pidfd)
    assert await again.wait() == Exit(3)
    again.close()


async def test_a_wait_of_a_held_program_does_not_spin(
    reaper: LateReaper, autojump_clock: trio.testing.MockClock
) -> None:
    program = reaper.run(EXITS.format(code=3))
    child = adopted(program)
    child.hold()
    reaper.end(program)
    began = time.perf_counter()
    with trio.move_on_after(60):
        await child.wait()
    assert time.perf_counter() - began < 5
    child.hold(held=False)
    assert await child.wait() == Exit(3)
    child.close()
