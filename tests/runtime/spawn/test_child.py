"""Real children: how they are made, what they see, how they end."""

from __future__ import annotations

import errno
import math
import os
import resource
import signal
import subprocess
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.kit.children import output, python, spec
from tests.kit.pipes import PATIENCE
from trio_supervisor.core.process.exit import Exit
from trio_supervisor.runtime.spawn import launcher as spawn
from trio_supervisor.runtime.spawn.child import Child, ChildRegistry, RealChild
from trio_supervisor.runtime.spawn.forking import Burst, SpawnError, fork_child
from trio_supervisor.runtime.spawn.launcher import ProcessLauncher

if TYPE_CHECKING:
    from trio_supervisor.runtime.spawn.spec import SpawnSpec


@pytest.mark.behaviour("process.md#description-of-an-exit", "process.md#reported-fields")
@pytest.mark.parametrize(
    ("code", "text", "status"),
    [
        ("import os; os._exit(0)", "exit status 0", 0),
        ("import os; os._exit(200)", "exit status 200", 200),
        ("import os; os.kill(os.getpid(), 9)", "terminated by SIGKILL", -1),
        ("import os; os.kill(os.getpid(), 40)", "terminated by signal 40", -1),
    ],
)
async def test_descriptions_of_exits(code: str, text: str, status: int) -> None:
    child = await ProcessLauncher()(python(code))
    _, _, ended = await output(child)
    assert (str(ended), ended.status) == (text, status)


@pytest.mark.behaviour("process.md#description-of-an-exit")
def test_other_cause_texts() -> None:
    assert (
        str(Exit(None, signal.SIGSEGV, core_dumped=True)) == "terminated by SIGSEGV (core dumped)"
    )
    assert str(Exit(None, signal.SIGPOLL)) == "terminated by SIGPOLL"
    assert str(Exit(None, signal.SIGABRT)) == "terminated by SIGABRT"
    assert str(Exit(None, signal.SIGCHLD)) == "terminated by SIGCHLD"


@pytest.mark.behaviour(
    "process.md#descriptors-of-a-child",
    "process.md#spawn-failures-before-the-child-exists",
    "process.md#process-group-and-signal-dispositions-of-a-child",
)
@pytest.mark.parametrize("close_fds", [True, False])
async def test_descriptors_and_identity(close_fds: bool) -> None:
    code = (
        "import os; print(sorted(int(n) for n in os.listdir('/proc/self/fd'))[:4],"
        " os.getpgid(0) == os.getpid(), os.getsid(0), [os.get_blocking(f) for f in (0, 1, 2)]);"
        " print([l.split()[1] for l in open('/proc/self/status') if l.startswith('SigBlk')])"
    )
    child = await ProcessLauncher(close_fds=close_fds)(python(code))
    out, _, _ = await output(child)
    # The listing itself is open as one more descriptor.
    assert out.decode() == (
        f"[0, 1, 2, 3] True {os.getsid(0)} [True, True, True]\n['0000000000000000']\n"
    )


@pytest.mark.behaviour("process.md#process-group-and-signal-dispositions-of-a-child")
async def test_sigpipe_and_sigxfsz_stay_ignored() -> None:
    child = await ProcessLauncher()(spec("/bin/sh", "-c", "grep SigIgn /proc/self/status"))
    out, _, _ = await output(child)
    ignored = int(out.split()[1], 16)
    expected = (1 << (signal.SIGPIPE - 1)) | (1 << (signal.SIGXFSZ - 1))
    assert ignored == expected


@pytest.mark.behaviour("process.md#process-group-and-signal-dispositions-of-a-child")
async def test_sigpipe_can_have_its_default_effect() -> None:
    script = "grep SigIgn /proc/self/status"
    child = await ProcessLauncher()(spec("/bin/sh", "-c", script, ignore_sigpipe=False))
    out, _, _ = await output(child)
    assert out == b"SigIgn:\t0000000000000000\n"


@pytest.mark.behaviour("process.md#process-group-and-signal-dispositions-of-a-child")
async def test_what_the_embedding_program_blocks_is_not_blocked_in_children(
    tmp_path: Path,
) -> None:
    """Not for a moment is it unblocked in that program."""
    script = "grep SigBlk /proc/self/status; pwd; umask; ls /proc/self/fd"
    description = spec("/bin/sh", "-c", script, directory=str(tmp_path), umask=0o027)
    masks: list[set[int | signal.Signals]] = []

    def in_a_thread_that_blocks_signals() -> Child:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
        try:
            return fork_child(description, ChildRegistry(0.1), Burst(0)).executed()
        finally:
            masks.append(signal.pthread_sigmask(signal.SIG_SETMASK, before))

    child = await trio.to_thread.run_sync(in_a_thread_that_blocks_signals)
    out, err, ended = await output(child)
    assert masks == [{signal.SIGTERM, signal.SIGUSR1}]
    assert (out.decode().split(), err, ended) == (
        ["SigBlk:", "0000000000000000", str(tmp_path), "0027", "0", "1", "2", "3"],
        b"",
        Exit(0),
    )


@pytest.mark.behaviour("process.md#descriptors-of-a-child")
async def test_redirect_stderr_shares_one_pipe() -> None:
    child = await ProcessLauncher()(
        python(
            "import os; os.write(1, b'a'); os.write(2, b'b'); os.write(1, b'c')",
            redirect_stderr=True,
        )
    )
    assert child.stderr is None
    out, _, _ = await output(child)
    assert out == b"abc"


@pytest.mark.behaviour("process.md#identity-directory-and-umask-of-a-child")
async def test_directory_and_umask(tmp_path: Path) -> None:
    child = await ProcessLauncher()(
        python("import os; print(os.getcwd(), os.umask(0))", directory=str(tmp_path), umask=0o077)
    )
    out, _, _ = await output(child)
    assert out.decode() == f"{tmp_path} {0o077}\n"


@pytest.mark.behaviour("process.md#spawn-failures-between-fork-and-exec")
async def test_a_missing_directory_fails_the_spawn(tmp_path: Path) -> None:
    missing = f"{tmp_path}/none"
    with pytest.raises(SpawnError) as caught:
        await ProcessLauncher()(python("pass", directory=missing))
    assert str(caught.value) == f"couldn't chdir to {missing}: ENOENT"
    assert caught.value.stderr_note == (
        f"supervisor: couldn't chdir to {missing}: ENOENT\n"
        "supervisor: child process was not spawned\n"
    )


@pytest.mark.behaviour("process.md#spawn-failures-between-fork-and-exec")
@pytest.mark.parametrize(
    ("content", "name"), [("#!/nonexistent/interpreter\n", "ENOENT"), ("just text\n", "ENOEXEC")]
)
async def test_failures_of_exec(tmp_path: Path, content: str, name: str) -> None:
    script = tmp_path / "script"
    script.write_text(content)
    script.chmod(0o755)
    with pytest.raises(SpawnError, match=f"couldn't exec {script}: {name}"):
        await ProcessLauncher()(spec(str(script)))


@pytest.mark.behaviour("process.md#spawn-failures-before-the-child-exists")
async def test_failures_leak_no_descriptors(tmp_path: Path) -> None:
    launcher = ProcessLauncher()
    with pytest.raises(SpawnError):
        await launcher(python("pass", directory=f"{tmp_path}/none"))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with pytest.raises(SpawnError):
            await launcher(python("pass", directory=f"{tmp_path}/none"))
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.behaviour("process.md#spawn-failures-before-the-child-exists")
async def test_any_other_failure_of_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(SpawnError, match="unknown error during fork for 'x': ENOMEM"):
        await ProcessLauncher()(python("pass"))
    assert len(os.listdir("/proc/self/fd")) == before


async def test_an_abandoned_child_lives_on() -> None:
    """Closing means letting go, not killing."""
    child = await ProcessLauncher()(spec("/bin/cat"))
    child.close()
    os.kill(child.pid, 0)  # it is there
    assert child.stdin is not None
    os.close(child.stdin)  # its end of input: it ends by itself
    assert child.stdout is not None
    os.close(child.stdout)
    assert child.stderr is not None
    os.close(child.stderr)
    _, status = await trio.to_thread.run_sync(os.waitpid, child.pid, 0)
    assert status == 0


@pytest.mark.behaviour("process.md#reaping")
async def test_many_simultaneous_exits_are_all_recorded() -> None:
    launcher = ProcessLauncher()
    statuses: list[int] = []

    async def live(code: int) -> None:
        child = await launcher(python(f"import os; os._exit({code})"))
        _, _, ended = await output(child)
        statuses.append(ended.status)

    async with trio.open_nursery() as nursery:
        for code in range(100):
            nursery.start_soon(live, code)
    assert sorted(statuses) == list(range(100))


def refuse_pidfds(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(pid: int, flags: int = 0) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pidfd_open", refuse)


@pytest.mark.behaviour("process.md#no-child-is-lost-after-the-fork")
@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.EMFILE])
async def test_a_child_without_a_pidfd_is_watched_all_the_same(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse_pidfds(monkeypatch, number)
    launcher = ProcessLauncher(0.01)
    child = await launcher(spec("/bin/cat"))
    assert launcher.owns(child.pid)
    child.send_signal(signal.SIGTERM)
    _, _, ended = await output(child)
    assert str(ended) == "terminated by SIGTERM"
    assert not launcher.owns(child.pid)


@pytest.mark.behaviour("process.md#no-child-is-lost-after-the-fork")
async def test_an_interpreter_without_pidfd_open_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    child = await ProcessLauncher(0.01)(spec("/bin/true"))
    _, _, ended = await output(child)
    assert ended == Exit(0)


@pytest.mark.behaviour("process.md#no-child-is-lost-after-the-fork")
async def test_sigchld_wakes_those_who_wait_without_a_pidfd(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refuse_pidfds(monkeypatch, errno.ENOSYS)
    launcher = ProcessLauncher(poll_interval=math.inf)
    with trio.open_signal_receiver(signal.SIGCHLD) as quits:
        child = await launcher(spec("/bin/cat"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child.wait)
            await trio.testing.wait_all_tasks_blocked()
            assert launcher.needs_child_signals()
            child.send_group_signal(signal.SIGTERM)
            await anext(quits)
            launcher.child_ended()
        assert not launcher.needs_child_signals()
        await output(child)


@pytest.mark.behaviour("process.md#no-child-is-lost-after-the-fork")
async def test_a_failure_after_the_fork_kills_and_reaps(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    def fail(self: object, pid: int, *arguments: object) -> None:
        started.append(pid)
        raise MemoryError

    monkeypatch.setattr(RealChild, "__init__", fail)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(MemoryError):
        await ProcessLauncher()(spec("/bin/cat"))
    assert len(started) == 1
    with pytest.raises(ChildProcessError):
        await trio.to_thread.run_sync(os.waitpid, started[0], 0)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.behaviour("process.md#an-exit-is-recorded-promptly")
async def test_a_child_that_somebody_else_has_reaped_has_ended_with_unknown_status() -> None:
    launcher = ProcessLauncher()
    child = await launcher(spec("/bin/true"))
    await trio.to_thread.run_sync(os.waitpid, child.pid, 0)
    _, _, ended = await output(child)
    assert (str(ended), ended.status, ended.expected((0,))) == ("exit status unknown", -1, False)
    assert not launcher.owns(child.pid)


async def test_where_the_kernel_reaps_because_sigchld_is_ignored_ends_are_noticed() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        child = await ProcessLauncher()(spec("/bin/true"))
        _, _, ended = await output(child)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert str(ended) == "exit status unknown"


@pytest.mark.behaviour("process.md#signalling-a-child-that-has-just-exited")
@pytest.mark.parametrize("how", ["killed", "reaped by somebody else"])
async def test_nothing_is_signalled_after_the_reaping(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Neither the pid nor the group: both may belong to a stranger."""
    child = await ProcessLauncher()(spec("/bin/true"))
    if how == "killed":
        await child.wait()
    else:
        await trio.to_thread.run_sync(os.waitpid, child.pid, 0)
    sent: list[tuple[int, int]] = []
    for call in ("kill", "killpg"):
        monkeypatch.setattr(os, call, lambda pid, number: sent.append((pid, number)))
    for send in (child.send_signal, child.send_group_signal):
        with pytest.raises(ProcessLookupError):
            send(signal.SIGTERM)
    assert sent == []
    await output(child)


@pytest.mark.behaviour("process.md#the-stop-signal")
@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS])
async def test_a_child_is_signalled_where_signals_by_pidfd_are_refused(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(pidfd: int, number_of_signal: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    child = await ProcessLauncher()(spec("/bin/cat"))
    child.send_signal(signal.SIGTERM)
    _, _, ended = await output(child)
    assert str(ended) == "terminated by SIGTERM"


async def test_a_dead_child_that_is_not_reaped_takes_signals_without_an_error() -> None:
    child = await ProcessLauncher()(spec("/bin/true"))
    await trio.to_thread.run_sync(os.waitid, os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    child.send_signal(signal.SIGTERM)
    _, _, ended = await output(child)
    assert ended == Exit(0)
    with pytest.raises(ProcessLookupError):
        child.send_signal(signal.SIGTERM)


@pytest.mark.behaviour("process.md#the-stop-signal")
async def test_a_child_in_another_process_group_is_still_signalled(tmp_path: Path) -> None:
    code = (
        "import os, time; child = os.fork() or time.sleep(60); os.setpgid(child, child);"
        " os.setpgid(0, child); print(child, flush=True); time.sleep(60)"
    )
    child = await ProcessLauncher()(python(code))
    assert child.stdout is not None
    await trio.lowlevel.wait_readable(child.stdout)
    helper = int(os.read(child.stdout, 100))
    child.send_group_signal(signal.SIGTERM)
    assert str(await child.wait()) == "terminated by SIGTERM"
    os.kill(helper, signal.SIGKILL)
    await output(child)


def core_files() -> bool:
    """Whether the kernel writes core dumps to files."""
    return not Path("/proc/sys/kernel/core_pattern").read_text().startswith("|")


HUNGRY = """
import time
block = bytearray({size})
for position in range(0, len(block), 4096):
    block[position] = 1
while time.process_time() < 0.1:
    pass
"""


@pytest.mark.behaviour("process.md#the-last-exit-is-kept-until-the-next-one")
async def test_what_a_child_has_used() -> None:
    """A peak that the daemon itself may have caused is not shown as the child's."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    size = own + 32 * 1024**2
    child = await ProcessLauncher()(python(HUNGRY.format(size=size)))
    assert child.usage is None
    _, _, ended = await output(child)
    assert ended == Exit(0)
    assert child.usage is not None
    assert 0.1 <= child.usage.cpu_seconds < 60
    assert size < child.usage.peak_memory < size + own
    small = await ProcessLauncher()(spec("/bin/true"))
    await output(small)
    assert small.usage is not None
    assert small.usage.peak_memory == 0


@pytest.mark.behaviour("process.md#description-of-an-exit")
@pytest.mark.skipif(not core_files(), reason="core dumps go to a program of this machine")
async def test_a_core_dump_is_noticed(tmp_path: Path) -> None:
    script = "ulimit -c unlimited && kill -SEGV $$"
    child = await ProcessLauncher()(spec("/bin/sh", "-c", script, directory=str(tmp_path)))
    _, err, ended = await output(child)
    if err:
        pytest.skip("core dumps are limited here")
    assert ended == Exit(None, signal.SIGSEGV, core_dumped=True)


class Workshop:
    """Makes labels in place of children.

    Those in ``held`` are forked, or executed with ``at_exec``, only when they are let go.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *held: str, at_exec: bool = False) -> None:
        self.launcher = ProcessLauncher()
        self.made: list[str] = []
        self.told: list[str] = []
        self.held = {label: threading.Event() for label in held}
        self._at_exec = at_exec
        monkeypatch.setattr(spawn, "fork_child", self._fork)

    def _fork(self, wanted: SpawnSpec, *others: object, close_fds: bool) -> Workpiece:
        if not self._at_exec:
            self.wait_for(wanted.label)
        self.made.append(wanted.label)
        return Workpiece(self, wanted.label, waits_for_exec=self._at_exec)

    def wait_for(self, label: str) -> None:
        if label in self.held:
            assert self.held[label].wait(PATIENCE)

    def begin(self, label: str, nursery: trio.Nursery) -> None:
        making = self.launcher(replace(spec("/bin/true"), label=label))

        async def tell() -> None:
            await making
            self.told.append(label)

        nursery.start_soon(tell)

    def let_go(self, label: str) -> None:
        self.held[label].set()


@dataclass
class Workpiece:
    """In place of a child that is forked."""

    workshop: Workshop
    label: str
    waits_for_exec: bool

    def executed(self) -> str:
        if self.waits_for_exec:
            self.workshop.wait_for(self.label)
        return self.label


@pytest.mark.behaviour("process.md#start-order", "process.md#autostart")
@pytest.mark.parametrize("at_exec", [False, True])
async def test_children_are_made_and_known_in_the_order_of_the_calls(
    monkeypatch: pytest.MonkeyPatch, at_exec: bool
) -> None:
    labels = [str(number) for number in range(40)]
    monkeypatch.setattr(spawn, "STUCK_AFTER", PATIENCE)  # whatever else the machine does
    workshop = Workshop(monkeypatch, "0", at_exec=at_exec)
    async with trio.open_nursery() as nursery:
        for label in labels:
            workshop.begin(label, nursery)
        assert len(workshop.made) <= (spawn.AT_ONCE + 1 if at_exec else 0)
        workshop.let_go("0")
    assert workshop.made == workshop.told == labels


async def test_no_more_children_than_allowed_are_between_fork_and_exec(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each takes a descriptor."""
    monkeypatch.setattr(spawn, "STUCK_AFTER", PATIENCE)
    labels = [str(number) for number in range(40)]
    workshop = Workshop(monkeypatch, *labels, at_exec=True)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(PATIENCE):
            with workshop.launcher._worker.batch():
                for label in labels:
                    workshop.begin(label, nursery)
            for number, label in enumerate(labels):
                most = min(number + spawn.AT_ONCE + 1, len(labels))
                while len(workshop.made) < most:
                    await trio.lowlevel.checkpoint()
                assert workshop.made == labels[:most]
                workshop.let_go(label)
    assert workshop.told == labels


@pytest.mark.parametrize("at_exec", [False, True])
async def test_a_child_that_is_not_made_for_long_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, at_exec: bool
) -> None:
    workshop = Workshop(monkeypatch, "slow", at_exec=at_exec)
    others = [str(number) for number in range(2 * spawn.AT_ONCE)]
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            for label in ("slow", *others):
                workshop.begin(label, nursery)
            while len(workshop.told) < len(others):
                await trio.lowlevel.checkpoint()
            assert workshop.told == others
            workshop.let_go("slow")
    assert workshop.told == [*others, "slow"]


async def test_a_child_is_made_and_known_although_its_task_is_cancelled() -> None:
    launcher = ProcessLauncher()
    with trio.CancelScope() as scope:
        scope.cancel()
        child = await launcher(spec("/bin/cat"))
    assert launcher.owns(child.pid)
    child.send_signal(signal.SIGKILL)
    assert (await child.wait()).signal == signal.SIGKILL
    child.close()
