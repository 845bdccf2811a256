"""The fork server: whose children it makes, what they inherit, and what happens without it."""

from __future__ import annotations

import errno
import os
import pwd
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import trio

import trio_supervisor
from tests.kit.children import output, spec
from tests.kit.fakes import log_lines, program
from tests.kit.root import needs_root
from trio_supervisor.core.config.model import Config, GroupConfig
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.embedding.block import open_supervisor
from trio_supervisor.runtime.spawn import fork_client, fork_server, steps
from trio_supervisor.runtime.spawn import forking as spawn
from trio_supervisor.runtime.spawn.child import Child
from trio_supervisor.runtime.spawn.fork_client import ForkServer, ForkServerSlot
from trio_supervisor.runtime.spawn.forking import SpawnError
from trio_supervisor.runtime.spawn.launcher import ProcessLauncher
from trio_supervisor.runtime.spawn.spec import SpawnSpec

pytestmark = needs_root

NOBODY = pwd.getpwnam("nobody")
#: The deadline of what happens at once unless something is broken, in seconds.
SOON = 60


def as_nobody(script: str, **options: object) -> SpawnSpec:
    return spec("/bin/sh", "-c", script, uid=NOBODY.pw_uid, **options)


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def launcher(lines: list[str]) -> Iterator[ProcessLauncher]:
    with closing(ProcessLauncher(log=log_lines(lines))) as launcher:
        yield launcher


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> list[ForkServer]:
    """All fork servers that the launchers of the test have started."""
    started: list[ForkServer] = []

    class Recorded(ForkServer):
        def __init__(self) -> None:
            super().__init__()
            started.append(self)

    monkeypatch.setattr(fork_client, "ForkServer", Recorded)
    return started


@pytest.fixture
def helpers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The pids of all exec helpers that were started for one child."""
    pids: list[int] = []
    start = spawn._start_exec_helper

    def record(standard: spawn.Standard) -> object:
        pid, control = start(standard)
        pids.append(pid)
        return pid, control

    monkeypatch.setattr(spawn, "_start_exec_helper", record)
    return pids


def our_children() -> set[int]:
    children: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # the thread has ended since the directory was read
            children.update(int(pid) for pid in (task / "children").read_text().split())
    return children


def our_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def wait_for_zombie(pid: int) -> None:
    """Without reaping it."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


async def test_its_children_are_ours_and_in_our_session(
    launcher: ProcessLauncher, servers: list[ForkServer], helpers: list[int]
) -> None:
    child = await launcher(as_nobody("cut -d' ' -f4,5,6 /proc/$$/stat; exit 7"))
    assert (len(servers), helpers) == (1, [])
    assert launcher.owns(child.pid)
    out, _, ended = await output(child)
    assert [int(word) for word in out.split()] == [os.getpid(), child.pid, os.getsid(0)]
    assert ended.code == 7


async def test_it_holds_no_descriptor_of_ours_and_is_named_in_the_process_list(
    launcher: ProcessLauncher, servers: list[ForkServer]
) -> None:
    read, write = os.pipe()
    os.set_inheritable(read, True)
    try:
        await output(await launcher(as_nobody("true")))
    finally:
        os.close(read)
        os.close(write)
    [server] = servers
    proc = Path(f"/proc/{server.pid}")
    descriptors = {os.readlink(path).split(":")[0] for path in (proc / "fd").iterdir()}
    assert descriptors == {"/dev/null", "socket"}
    assert len(list((proc / "fd").iterdir())) == 4
    assert b"trio_supervisor/runtime/spawn/fork_server.py" in (proc / "cmdline").read_bytes()
    assert (os.getpgid(server.pid), os.getsid(server.pid)) == (server.pid, os.getsid(0))


async def test_it_survives_signals_from_a_terminal_and_gives_none_of_them_to_children(
    launcher: ProcessLauncher, servers: list[ForkServer], helpers: list[int]
) -> None:
    script = "grep -E 'Sig(Pnd|Blk|Ign)|ShdPnd' /proc/self/status"
    await output(await launcher(as_nobody("true")))
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP):
        os.kill(servers[0].pid, number)
    out, _, _ = await output(await launcher(as_nobody(script)))
    ignored = (1 << (signal.SIGPIPE - 1)) | (1 << (signal.SIGXFSZ - 1))
    assert [int(line.split()[1], 16) for line in out.splitlines()] == [0, 0, 0, ignored]
    assert (len(servers), helpers) == (1, [])


async def test_many_requests_at_once_get_a_child_each(
    launcher: ProcessLauncher, servers: list[ForkServer], helpers: list[int]
) -> None:
    codes: list[int | None] = []

    async def live(code: int) -> None:
        _, _, ended = await output(await launcher(as_nobody(f"exit {code}")))
        codes.append(ended.code)

    async with trio.open_nursery() as nursery:
        for code in range(60):
            nursery.start_soon(live, code)
    assert sorted(code or 0 for code in codes) == list(range(60))
    assert (len(servers), helpers) == (1, [])


async def test_orders_larger_than_a_socket_takes_at_once_arrive(launcher: ProcessLauncher) -> None:
    environment = {f"V{number}": "x" * 100_000 for number in range(10)}
    child = await launcher(
        spec("/usr/bin/env", uid=NOBODY.pw_uid, environment=environment, umask=0o22)
    )
    out, _, _ = await output(child)
    assert len(out) == sum(len(f"{name}={value}\n") for name, value in environment.items())


@pytest.mark.parametrize("way", ["Popen", "fork server", "exec helper"])
async def test_a_nul_byte_is_a_spawn_error(
    launcher: ProcessLauncher, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "exec helper":
        monkeypatch.setattr(ForkServerSlot, "renew", lambda slot: None)
    uid = None if way == "Popen" else NOBODY.pw_uid
    with pytest.raises(SpawnError) as caught:
        await launcher(spec("/bin/echo", "a\0b", uid=uid))
    assert str(caught.value) == "unknown error during fork for 'x': embedded null byte"
    assert caught.value.stderr_note is None


@pytest.mark.parametrize("way", ["Popen", "fork server"])
@pytest.mark.parametrize("option", ["directory", "environment"])
async def test_text_that_is_no_file_name_is_a_spawn_error(
    launcher: ProcessLauncher, way: str, option: str
) -> None:
    """Half a surrogate pair, which a definition in Python may have."""
    uid = None if way == "Popen" else NOBODY.pw_uid
    odd = "/\ud800"
    value = {"A": odd} if option == "environment" else odd
    before = our_descriptors()
    with pytest.raises(SpawnError, match=r"unknown error during fork for 'x': .*surrogates"):
        await launcher(spec("/bin/true", uid=uid, **{option: value}))
    assert our_descriptors() == before + (way != "Popen")  # the server's socket


@pytest.mark.behaviour("process.md#no-child-is-lost-after-the-fork")
async def test_a_child_is_owned_from_its_fork_on(
    launcher: ProcessLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the reaper of orphans leaves it alone, should it end before its exec."""
    owned: list[bool] = []
    instruct = spawn._instruct

    def check(*arguments: object) -> None:
        owned.append(
            our_children() - before <= {pid for pid in our_children() if launcher.owns(pid)}
        )
        instruct(*arguments)  # type: ignore[arg-type]  # they are handed on

    before = our_children()
    monkeypatch.setattr(spawn, "_instruct", check)
    with pytest.raises(SpawnError):
        await launcher(as_nobody("true", directory="/none"))
    assert owned == [True]
    await output(await launcher(as_nobody("true")))
    assert owned == [True, True]


async def test_children_inherit_what_we_have_changed_since_it_was_started(
    launcher: ProcessLauncher,
    servers: list[ForkServer],
    helpers: list[int],
    tmp_path: Path,
    lines: list[str],
) -> None:
    """The working directory and the umask of a program that embeds a supervisor, for example."""
    here, umask = os.getcwd(), os.umask(0o22)
    script = "readlink /proc/$$/cwd; umask"
    try:
        before, _, _ = await output(await launcher(as_nobody(script)))
        await output(await launcher(as_nobody("true")))
        assert len(servers) == 1
        os.chdir("/")
        os.umask(0o27)
        after, _, _ = await output(await launcher(as_nobody(script)))
    finally:
        os.chdir(here)
        os.umask(umask)
    assert (before.decode().split(), after.decode().split()) == ([here, "0022"], ["/", "0027"])
    assert (len(servers), helpers, lines) == (2, [], [])


async def test_signals_that_we_ignore_are_ignored_in_children(launcher: ProcessLauncher) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        out, _, _ = await output(await launcher(as_nobody("grep SigIgn /proc/self/status")))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert int(out.split()[1], 16) & (1 << (signal.SIGHUP - 1))


async def test_one_that_was_killed_is_replaced(
    launcher: ProcessLauncher, servers: list[ForkServer], helpers: list[int], lines: list[str]
) -> None:
    await output(await launcher(as_nobody("true")))
    os.kill(servers[0].pid, signal.SIGKILL)
    wait_for_zombie(servers[0].pid)
    assert launcher.owns(servers[0].pid)
    _, _, ended = await output(await launcher(as_nobody("exit 3")))
    assert (ended.code, len(servers), helpers) == (3, 2, [])
    assert lines == [
        "WARN the fork server has ended; it is started again when it is needed. Without it each "
        "program that runs as another user needs more time to start"
    ]
    assert servers[0].pid not in our_children()


async def test_the_death_of_one_is_noticed_with_sigchld(
    launcher: ProcessLauncher, servers: list[ForkServer]
) -> None:
    await output(await launcher(as_nobody("true")))
    os.kill(servers[0].pid, signal.SIGKILL)
    wait_for_zombie(servers[0].pid)
    launcher.child_ended()
    assert servers[0].pid not in our_children()


def stop(server: ForkServer) -> None:
    """Pause the server, so that it takes requests and answers none."""
    os.kill(server.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, server.pid, os.WSTOPPED)


def is_stopped(server: ForkServer) -> bool:
    return Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def kill_later(server: ForkServer) -> None:
    """Let the server die with a request in its queue."""
    stop(server)
    fork = server._answer

    def answer(control: object) -> int:
        os.kill(server.pid, signal.SIGKILL)
        return fork(control)  # type: ignore[arg-type]  # it is handed on

    server._answer = answer  # type: ignore[method-assign]  # a double


@pytest.mark.behaviour("process.md#no-child-is-lost-after-the-fork")
@pytest.mark.parametrize(
    ("harm", "why"), [(stop, "has not answered for 0.2 s"), (kill_later, "has ended")]
)
async def test_a_request_that_it_does_not_answer_is_done_by_the_exec_helper(
    launcher: ProcessLauncher,
    servers: list[ForkServer],
    helpers: list[int],
    lines: list[str],
    monkeypatch: pytest.MonkeyPatch,
    harm: Callable[[ForkServer], None],
    why: str,
) -> None:
    await output(await launcher(as_nobody("true")))
    before = our_descriptors()
    if harm is stop:
        monkeypatch.setattr(fork_client, "ANSWER_TIMEOUT", 0.2)
    harm(servers[0])
    child = await launcher(as_nobody("id -un; exit 3"))
    out, err, ended = await output(child)
    assert (out, err, ended.code) == (b"nobody\n", b"", 3)
    assert helpers == [child.pid]
    assert lines == [
        f"WARN the fork server {why}; it is started again when it is needed. Without it each "
        "program that runs as another user needs more time to start"
    ]
    monkeypatch.undo()
    assert our_descriptors() < before  # the request socket is closed
    assert servers[0].pid not in our_children()


#: Children of a burst.
COUNT = 30


class BurstOfChildren:
    """Children that are asked for at once; each writes its number."""

    def __init__(self, launcher: ProcessLauncher) -> None:
        self.written: dict[int, bytes] = {}
        self.errors: dict[int, str] = {}
        self.pids: dict[int, int] = {}
        self._launcher = launcher

    async def live(self, specs: list[SpawnSpec]) -> None:
        """Make them and wait for their ends."""
        async with trio.open_nursery() as nursery:
            with self._launcher._worker.batch():  # the thread begins when all have been asked for
                for number, each in enumerate(specs):
                    nursery.start_soon(self._live_one, number, self._launcher(each))

    async def _live_one(self, number: int, making: Awaitable[Child]) -> None:
        try:
            child = await making
        except SpawnError as error:
            self.errors[number] = str(error)
        else:
            self.pids[number] = child.pid
            self.written[number], _, ended = await output(child)
            assert ended.code == 0

    @property
    def are_in_order(self) -> bool:
        """Whether they were forked in the order in which they were asked for."""
        pids = [pid for _, pid in sorted(self.pids.items())]
        return sum(later < earlier for earlier, later in pairwise(pids)) <= 1  # pids begin anew


def echoes(*, mixed: bool = False) -> list[SpawnSpec]:
    """Children of ``nobody`` that write their numbers; ``mixed``: every third is root's."""
    return [
        spec("/bin/sh", "-c", f"echo {number}")
        if mixed and number % 3 == 0
        else as_nobody(f"echo {number}")
        for number in range(COUNT)
    ]


def numbers(*without: int) -> dict[int, bytes]:
    return {number: b"%d\n" % number for number in range(COUNT) if number not in without}


@pytest.mark.behaviour("process.md#start-order")
@pytest.mark.parametrize("mixed", [False, True])
async def test_the_children_of_a_burst_are_forked_in_the_order_of_the_calls(
    launcher: ProcessLauncher, servers: list[ForkServer], helpers: list[int], mixed: bool
) -> None:
    burst = BurstOfChildren(launcher)
    await burst.live(echoes(mixed=mixed))
    assert (burst.written, burst.errors) == (numbers(), {})
    assert burst.are_in_order
    assert (len(servers), helpers) == (1, [])


async def test_a_step_that_fails_in_a_burst_is_the_error_of_its_child(
    launcher: ProcessLauncher, servers: list[ForkServer], helpers: list[int]
) -> None:
    before = our_children()
    specs = echoes(mixed=True)
    specs[7] = as_nobody("true", directory="/none")
    specs[8] = spec("/no/program", uid=NOBODY.pw_uid)
    specs[9] = spec("/bin/true", directory="/none")
    specs[20] = spec("/bin/echo", "a\0b", uid=NOBODY.pw_uid)
    burst = BurstOfChildren(launcher)
    await burst.live(specs)
    assert burst.written == numbers(7, 8, 9, 20)
    assert burst.errors == {
        7: "couldn't chdir to /none: ENOENT",
        8: "couldn't exec /no/program: ENOENT",
        9: "couldn't chdir to /none: ENOENT",
        20: "unknown error during fork for 'x': embedded null byte",
    }
    assert our_children() == before | {servers[0].pid}
    assert helpers == []


@pytest.mark.behaviour("process.md#no-child-is-lost-after-the-fork")
@pytest.mark.parametrize("when", ["before the request", "before the answer", "after the answer"])
async def test_a_server_that_is_killed_in_a_burst_loses_no_child_and_makes_none_twice(
    launcher: ProcessLauncher,
    servers: list[ForkServer],
    helpers: list[int],
    lines: list[str],
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    before = our_children()
    calls = iter(range(10 * COUNT))
    fork, request = ForkServer.fork, ForkServer._request

    def kill(server: ForkServer) -> None:
        os.kill(server.pid, signal.SIGKILL)
        wait_for_zombie(server.pid)

    def forks(server: ForkServer, standard: spawn.Standard) -> tuple[int, socket.socket]:
        is_last = next(calls) == COUNT // 2
        if is_last and when == "before the request":
            kill(server)
        if is_last and when == "before the answer":
            stop(server)
        made = fork(server, standard)
        if is_last and when == "after the answer":
            kill(server)
        return made

    def requests(server: ForkServer, descriptors: list[int]) -> None:
        request(server, descriptors)
        if is_stopped(server):
            kill(server)

    monkeypatch.setattr(ForkServer, "fork", forks)
    monkeypatch.setattr(ForkServer, "_request", requests)
    burst = BurstOfChildren(launcher)
    await burst.live(echoes())
    assert (burst.written, burst.errors) == (numbers(), {})
    assert burst.are_in_order
    # Only the child whose request failed took another way.
    assert len(servers) == 2
    assert len(helpers) <= 1
    assert [line.startswith("WARN the fork server") for line in lines] == [True]
    assert our_children() == before | {servers[1].pid}


async def test_a_burst_looks_once_at_what_its_children_inherit(
    launcher: ProcessLauncher, servers: list[ForkServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    await output(await launcher(as_nobody("true")))
    looks: list[object] = []
    surroundings, getpwuid = fork_client._surroundings, pwd.getpwuid

    def look(thread: int) -> tuple[object, ...]:
        looks.append("surroundings")
        return surroundings(thread)

    def look_up(uid: int) -> pwd.struct_passwd:
        looks.append(uid)
        return getpwuid(uid)

    monkeypatch.setattr(fork_client, "_surroundings", look)
    monkeypatch.setattr(pwd, "getpwuid", look_up)
    for _ in range(2):
        await BurstOfChildren(launcher).live(echoes())
        assert looks == ["surroundings", NOBODY.pw_uid]
        looks.clear()


@pytest.mark.parametrize("change", ["umask", "nice", "group"])
async def test_a_child_has_what_held_when_it_was_asked_for_or_later(
    launcher: ProcessLauncher, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Although the look for an earlier child of the same burst is older."""
    looked, go_on = threading.Event(), threading.Event()
    instruct = spawn._instruct

    def hold(*arguments: object) -> None:
        looked.set()
        assert go_on.wait(SOON)
        instruct(*arguments)  # type: ignore[arg-type]  # they are handed on

    script = "umask; cut -d' ' -f19 /proc/$$/stat; id -g"
    umask, nice = os.umask(0o22), os.getpriority(os.PRIO_PROCESS, 0)
    try:
        monkeypatch.setattr(spawn, "_instruct", hold)
        first = launcher(as_nobody(script))
        await trio.to_thread.run_sync(looked.wait, SOON)
        if change == "umask":
            os.umask(0o27)
        elif change == "nice":
            os.setpriority(os.PRIO_PROCESS, 0, nice + 3)
        else:
            values = list(NOBODY)
            values[3] = 4321
            monkeypatch.setattr(pwd, "getpwuid", lambda uid: pwd.struct_passwd(values))
        second = launcher(as_nobody(script))
        go_on.set()
        await output(await first)
        out, _, _ = await output(await second)
    finally:
        os.umask(umask)
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    wanted = {"umask": "0022", "nice": nice, "group": NOBODY.pw_gid}
    wanted[change] = {"umask": "0027", "nice": nice + 3, "group": 4321}[change]
    assert out.decode().split() == [str(value) for value in wanted.values()]


CANNOT_START = "raise SystemExit(1)"
CANNOT_CLONE = """
import sys
sys.path.append({package!r})
from trio_supervisor.runtime.spawn import fork_server
fork_server.CLONE.clear()
fork_server.serve(int(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("script", "why"),
    [(CANNOT_START, "(has ended|takes no requests.*)"), (CANNOT_CLONE, "cannot fork.*")],
)
async def test_one_that_never_works_is_not_tried_again(
    launcher: ProcessLauncher,
    servers: list[ForkServer],
    helpers: list[int],
    lines: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    script: str,
    why: str,
) -> None:
    """A sandbox that refuses the clone, an unknown machine, a file that cannot be read."""
    file = tmp_path / "fork_server.py"
    file.write_text(script.format(package=str(Path(trio_supervisor.__file__).parent.parent)))
    monkeypatch.setattr(fork_server, "__file__", str(file))
    before = our_descriptors(), our_children()
    pids = []
    for _ in range(3):
        child = await launcher(as_nobody("id -un"))
        out, _, _ = await output(child)
        assert out == b"nobody\n"
        pids.append(child.pid)
    assert (len(servers), helpers) == (1, pids)
    [line] = lines
    assert line.startswith("WARN the fork server ")
    assert line.endswith(
        "; it is not used any more. Without it each program that runs as another user needs more "
        "time to start"
    )
    assert (our_descriptors(), our_children()) == before


async def test_a_full_process_table_is_the_childs_error_not_the_servers(
    launcher: ProcessLauncher,
    servers: list[ForkServer],
    helpers: list[int],
    lines: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await output(await launcher(as_nobody("true")))
    monkeypatch.setattr(servers[0], "_answer", lambda control: -errno.EAGAIN)
    with pytest.raises(SpawnError, match="Too many processes in process table to spawn 'x'"):
        await launcher(as_nobody("true"))
    assert (helpers, lines) == ([], [])


async def test_it_is_not_started_for_children_that_need_no_step_of_its_own(
    launcher: ProcessLauncher, servers: list[ForkServer], tmp_path: Path
) -> None:
    child = await launcher(spec("/bin/true", directory=str(tmp_path), umask=0o27))
    await output(child)
    assert servers == []


async def test_closing_ends_it_and_leaves_the_children(
    launcher: ProcessLauncher, servers: list[ForkServer]
) -> None:
    before = our_descriptors(), our_children()
    child = await launcher(spec("/bin/cat", uid=NOBODY.pw_uid))
    launcher.close()
    launcher.close()
    assert our_children() == before[1] | {child.pid}
    assert child.poll() is None
    assert child.stdin is not None
    os.close(child.stdin)
    child.stdin = None
    _, _, ended = await output(child)
    assert ended.code == 0
    assert (our_descriptors(), our_children()) == before


async def test_an_embedded_supervisor_leaves_none_behind(servers: list[ForkServer]) -> None:
    before = our_descriptors(), our_children()
    programs = [
        program(name, command="sleep 1000", uid=NOBODY.pw_uid, startsecs=0) for name in ("a", "b")
    ]
    groups = tuple(GroupConfig(name=each.name, processes=(each,)) for each in programs)
    async with open_supervisor(Config(groups=groups)) as supervisor:
        for process in supervisor.processes():
            await process.wait_for(State.RUNNING)
    assert len(servers) == 1
    assert (our_descriptors(), our_children()) == before


DAEMON = """
import os, pwd, signal, trio
from tests.kit.children import spec
from trio_supervisor.runtime.spawn.launcher import ProcessLauncher

async def main():
    launcher = ProcessLauncher()
    child = await launcher(spec("/bin/sleep", "1000", uid=pwd.getpwnam("nobody").pw_uid))
    print(child.pid, launcher._fork_server.server.pid, flush=True)
    await trio.sleep_forever()

trio.run(main)
"""


def test_it_ends_with_the_daemon_however_that_dies() -> None:
    daemon = subprocess.Popen([sys.executable, "-c", DAEMON], stdout=subprocess.PIPE)
    assert daemon.stdout is not None
    child, server = map(int, daemon.stdout.readline().split())
    pidfds = [os.pidfd_open(child), os.pidfd_open(server)]
    try:
        daemon.kill()
        daemon.wait()
        daemon.stdout.close()
        readable, _, _ = select.select([pidfds[1]], [], [], SOON)
        assert readable == [pidfds[1]]
        signal.pidfd_send_signal(pidfds[0], signal.SIGKILL)  # it has lived on
    finally:
        for fd in pidfds:
            os.close(fd)


def test_every_step_has_words_for_its_failure() -> None:
    identity = (5, 6, [7])
    arguments = {
        "process group": True,
        "session": True,
        "cgroup": b"/none/cgroup.procs",
        "oom_score_adj": 5,
        "nice": 5,
        "limits": [("nofile", 5, 6)],
        "die_with_supervisor": 5,
        "no_new_privs": True,
        "descriptor": 3,
        "signals": True,
        "umask": 0o22,
        "directory": b"/none",
        "groups": identity,
        "group": identity,
        "user": identity,
        "exec": (b"/bin/x", [b"x"], {}),
    }
    assert list(arguments.keys() ^ {step.name for step in steps.STEPS}) == []
    assert arguments.keys() > spawn.POPEN_STEPS
    orders = steps.ordered(arguments)
    texts = [steps.explain(orders, name, OSError(errno.EPERM, "No")) for name, _ in orders]
    assert texts == [
        "couldn't setpgid: EPERM",
        "couldn't setsid: EPERM",
        "couldn't enter cgroup /none: EPERM",
        "couldn't set oom_score_adj: EPERM",
        "couldn't set nice: EPERM",
        "couldn't set No: EPERM",  # that step gives the name of the limit in place of a text
        "couldn't setuid to 5: Could not set groups of effective user",
        "couldn't setuid to 5: Could not set group id of effective user",
        "couldn't setuid to 5: No",
        "couldn't set die_with_supervisor: EPERM",
        "couldn't chdir to /none: EPERM",
        "couldn't set umask: EPERM",
        "couldn't set no_new_privs: EPERM",
        "couldn't pass descriptor 3: EPERM",
        "couldn't set signals: EPERM",
        "couldn't exec x: EPERM",
    ]


@pytest.mark.behaviour("policies.md#ready-by-a-descriptor")
@pytest.mark.parametrize("way", ["fork server", "exec helper"])
@pytest.mark.parametrize("number", [3, 4, 5, 9, 500])
async def test_a_descriptor_is_passed_under_its_number(
    launcher: ProcessLauncher, way: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the only one that the program inherits beside stdin, stdout and stderr."""
    if way == "exec helper":
        monkeypatch.setattr(ForkServerSlot, "renew", lambda slot: None)
    script = f"echo ready >&{number}; ls /proc/$$/fd; exec {number}>&-; read x"
    child_spec = spec("/bin/bash", "-c", script)
    read, write = os.pipe()
    try:
        child = await launcher(
            replace(
                child_spec,
                steps={**child_spec.steps, "descriptor": number},
                descriptor=write,
            )
        )
    finally:
        os.close(write)
    assert await trio.to_thread.run_sync(os.read, read, 100) == b"ready\n"
    assert await trio.to_thread.run_sync(os.read, read, 100) == b""  # closed there and here
    os.close(read)
    assert child.stdin is not None
    os.write(child.stdin, b"x\n")
    out, _, _ = await output(child)
    assert set(map(int, out.split())) - {255} == {0, 1, 2, number}


async def test_a_descriptor_beyond_the_limit_is_a_spawn_error(launcher: ProcessLauncher) -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    child_spec = spec("/bin/true")
    with pytest.raises(SpawnError, match=f"couldn't pass descriptor {soft}: EBADF"):
        await launcher(
            replace(child_spec, steps={**child_spec.steps, "descriptor": soft}, descriptor=0)
        )
