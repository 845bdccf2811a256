"""All that a storm does to a daemon, its programs, its clients and its disk, as a table."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Lock

from benchmarks.storm.daemon import ANSWER_LIMIT, Daemon
from benchmarks.storm.fleet import POOR_USER, Fleet, Program


@dataclass
class Scene:
    """What a disturbance acts on."""

    daemon: Daemon
    fleet: Fleet
    chance: random.Random
    over: Event
    """Set at the end of the storm: whoever holds something away gives it back."""

    def program(self) -> Program:
        return self.chance.choice(self.fleet.programs)

    def name(self) -> str:
        return self.program().name

    def hold(self, seconds: float) -> None:
        """Keep up a disturbance for a while."""
        self.over.wait(seconds)


@dataclass(frozen=True)
class Disturbance:
    what: str
    weight: int
    act: Callable[[Scene], object]
    alone: bool = False
    """Not beside another one of these."""
    possible: Callable[[Scene], bool] = lambda scene: True


#: Held by the disturbances that must not overlap.
ALONE = Lock()


def _kill(scene: Scene) -> None:
    scene.daemon.signal_child(
        scene.name(), scene.chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
    )


def _wish(number: int) -> Callable[[Scene], object]:
    return lambda scene: scene.daemon.signal_child(scene.name(), number)


def _suspend(scene: Scene) -> None:
    name = scene.name()
    if scene.daemon.signal_child(name, signal.SIGSTOP):
        scene.hold(scene.chance.uniform(0, 2))
        scene.daemon.signal_child(name, signal.SIGCONT)


def _kill_listener(scene: Scene) -> None:
    number = scene.chance.randrange(3)
    scene.daemon.signal_child(f"troublemaker:troublemaker_{number}", signal.SIGKILL)


def _request(*methods: str) -> Callable[[Scene], object]:
    def act(scene: Scene) -> None:
        wait = scene.chance.random() < 0.3
        scene.daemon.call(scene.chance.choice(methods), scene.name(), wait)

    return act


def _restart(scene: Scene) -> None:
    path = f"/api/v1/processes/{scene.name()}/restart"
    body = '{"wait": false}'
    with suppress(OSError), scene.daemon.connect() as connection:
        connection.sendall(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        answer = connection.recv(200)
        scene.daemon.count(int(answer.split()[1]) if answer else 0)


def _stop_and_start(scene: Scene) -> None:
    name = scene.name()
    scene.daemon.call("supervisor.stopProcess", name, True)
    scene.daemon.call("supervisor.startProcess", name, False)


def _signal_request(scene: Scene) -> None:
    name = scene.chance.choice(["HUP", "USR1", "WINCH", "CONT"])
    scene.daemon.call("supervisor.signalProcess", scene.name(), name)


def _look(scene: Scene) -> None:
    name = scene.name()
    call = scene.daemon.call
    match scene.chance.randrange(7):
        case 0:
            call("supervisor.tailProcessStdoutLog", name, 0, scene.chance.randrange(100_000))
        case 1:
            call("supervisor.readProcessStdoutLog", name, -scene.chance.randrange(1, 5000), 0)
        case 2:
            call("tsupervisor.why", name)
        case 3:
            call("tsupervisor.getHistory", [name], 3600.0, "", 100)
        case 4:
            call("supervisor.readLog", -2000, 0)
        case 5:
            call("supervisor.getAllConfigInfo")
        case 6:
            call("supervisor.getAllProcessInfo")


def _hang_up(scene: Scene) -> None:
    """A client that follows a log or asks for a page, and goes away at some moment."""
    path = scene.chance.choice(
        [f"/logtail/{scene.name()}", "/", "/metrics", "/api/v1/events", "/api/v1/processes"]
    )
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with suppress(OSError), scene.daemon.connect() as connection:
        connection.sendall(request[: scene.chance.randrange(1, 2 * len(request))])
        connection.settimeout(0.5)
        for _ in range(scene.chance.randrange(4)):
            connection.recv(scene.chance.choice([1, 100, 65536]))
        if scene.chance.random() < 0.3:
            linger = socket.SO_LINGER
            connection.setsockopt(socket.SOL_SOCKET, linger, b"\1\0\0\0\0\0\0\0")


def _send_stdin(scene: Scene) -> None:
    scene.daemon.call("supervisor.sendProcessStdin", scene.name(), "x" * 5000)


def _reread(scene: Scene) -> None:
    scene.daemon.call("supervisor.reloadConfig")


def _change(scene: Scene) -> None:
    """A program whose section changes, and changes back at the next time."""
    program = scene.program()
    if program.kind.name in ("db", "app", "web", "job", "after"):
        return
    scene.fleet.write_section(program, f"; {scene.chance.random()}\npriority = 500\n")
    scene.daemon.call("supervisor.reloadConfig")
    for call in ("stopProcessGroup", "removeProcessGroup", "addProcessGroup"):
        scene.daemon.call(f"supervisor.{call}", program.name)
    scene.fleet.write_section(program)


def _move_log(scene: Scene) -> None:
    program = scene.program()
    if program.log.parent.name == "logs" and program.log.exists():
        moved = scene.fleet.directory / "moved" / f"{program.log.name}.{time.monotonic_ns()}"
        with suppress(FileNotFoundError):
            program.log.rename(moved)
        scene.daemon.process.send_signal(signal.SIGUSR2)


def _delete_log(scene: Scene) -> None:
    """The name goes; what is in the file is kept under another one, to look for its lines."""
    program = scene.program()
    if program.log.parent.name == "logs":
        kept = scene.fleet.directory / "moved" / f"{program.log.name}.{time.monotonic_ns()}"
        with suppress(FileNotFoundError):
            os.link(program.log, kept)
            if program.log.exists() and program.log.samefile(kept):
                program.log.unlink()
            else:
                kept.unlink()


def _reopen(scene: Scene) -> None:
    scene.daemon.process.send_signal(signal.SIGUSR2)


def _fill_disk(scene: Scene) -> None:
    filler = scene.fleet.directory / "disk" / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(65536)):
            pass
    scene.hold(scene.chance.uniform(0.5, 3))
    filler.unlink(missing_ok=True)


def _read_only_disk(scene: Scene) -> None:
    """Files that are open stay writable on a read-only mount, so the directory is replaced."""
    disk = scene.fleet.directory / "disk"
    with suppress(OSError):
        for path in disk.glob("*.log.*"):
            path.unlink()
        for path in disk.glob("*.log"):
            moved = path.with_name(path.name + ".dir")
            path.rename(moved)
            path.mkdir()
        scene.daemon.process.send_signal(signal.SIGUSR2)
        scene.hold(scene.chance.uniform(0.5, 2))
    for path in disk.glob("*.log"):
        if path.is_dir():
            shutil.rmtree(path)
    for path in disk.glob("*.dir"):
        path.unlink(missing_ok=True)
    scene.daemon.process.send_signal(signal.SIGUSR2)


def _exhaust_descriptors(scene: Scene) -> None:
    taken = len(os.listdir(f"/proc/{scene.daemon.pid}/fd"))
    with scene.daemon.limit(resource.RLIMIT_NOFILE, taken + scene.chance.randrange(-5, 12)):
        scene.hold(scene.chance.uniform(0.2, 2))


def _exhaust_process_slots(scene: Scene) -> None:
    with scene.daemon.limit(resource.RLIMIT_NPROC, scene.chance.randrange(1, 3)):
        for _ in range(5):
            name = scene.chance.choice(
                [program.name for program in scene.fleet.programs if "user =" in program.section]
            )
            scene.daemon.signal_child(name, signal.SIGKILL)
            scene.hold(0.3)


def _set_clock(scene: Scene) -> None:
    scene.daemon.clock.shift(scene.chance.choice([-86400, -3600, -1, 1, 60, 3600, 864000]))
    scene.hold(scene.chance.uniform(0.1, 3))
    scene.daemon.clock.shift(0)


def _upgrade(scene: Scene) -> None:
    """The daemon executes its program again, in place; whoever asks meanwhile waits."""
    with suppress(OSError):
        scene.daemon.call("tsupervisor.upgrade")
    # Not beside what takes descriptors away: the next program opens all logs, and no more.
    deadline = time.monotonic() + ANSWER_LIMIT
    while time.monotonic() < deadline:
        with suppress(OSError):
            scene.daemon.call("supervisor.getState")
            return
        time.sleep(0.1)


def _suspend_daemon(scene: Scene) -> None:
    scene.daemon.process.send_signal(signal.SIGSTOP)
    scene.hold(scene.chance.uniform(0, 1))
    scene.daemon.process.send_signal(signal.SIGCONT)


def _has_disk(scene: Scene) -> bool:
    return scene.fleet.disk


def _has_clock(scene: Scene) -> bool:
    return bool(scene.daemon.clock)


def _has_poor(scene: Scene) -> bool:
    return any(str(POOR_USER) in program.section for program in scene.fleet.programs)


DISTURBANCES = (
    Disturbance("kill a child", 60, _kill),
    Disturbance("suspend a child", 10, _suspend),
    Disturbance("let a child flood", 12, _wish(signal.SIGUSR1)),
    Disturbance("let a child close its output", 6, _wish(signal.SIGUSR2)),
    Disturbance("let a child fork", 15, _wish(signal.SIGHUP)),
    Disturbance("let a child fall ill", 10, _wish(signal.SIGWINCH)),
    Disturbance("let a child exit", 15, _wish(signal.SIGPROF)),
    Disturbance("kill a listener", 4, _kill_listener),
    Disturbance("start or stop", 50, _request("supervisor.startProcess", "supervisor.stopProcess")),
    Disturbance("start", 40, _request("supervisor.startProcess")),
    Disturbance("restart", 20, _restart),
    Disturbance("stop and start", 20, _stop_and_start),
    Disturbance("signal", 15, _signal_request),
    Disturbance("look", 50, _look),
    Disturbance("hang up", 30, _hang_up),
    Disturbance("send to stdin", 10, _send_stdin),
    Disturbance("reread", 3, _reread),
    Disturbance("change a program", 3, _change, alone=True),
    Disturbance("move a log", 10, _move_log),
    Disturbance("delete a log", 6, _delete_log),
    Disturbance("reopen all logs", 4, _reopen),
    Disturbance("fill the disk", 4, _fill_disk, alone=True, possible=_has_disk),
    Disturbance("take the logs away", 3, _read_only_disk, alone=True, possible=_has_disk),
    Disturbance("exhaust descriptors", 6, _exhaust_descriptors, alone=True),
    Disturbance("exhaust process slots", 3, _exhaust_process_slots, alone=True, possible=_has_poor),
    Disturbance("set the clock", 5, _set_clock, alone=True, possible=_has_clock),
    Disturbance("upgrade", 3, _upgrade, alone=True),
    Disturbance("suspend the daemon", 4, _suspend_daemon, alone=True),
)
