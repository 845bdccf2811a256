"""The real daemon in a process of its own, for end-to-end tests."""

from __future__ import annotations

import http.client
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: Seconds after which something that should have happened long ago is a failure.
PATIENCE = 30
#: Seconds between two looks at something outside this process that cannot be waited for: at first,
#: at most, and the part of what it has taken so far. Many looks take time from what is waited for.
LOOK, LONGEST_LOOK, LOOK_SHARE = 0.005, 0.05, 0.05
#: Seconds an idle daemon is watched, and the share of a processor that it may use. One that spins
#: gets many times that, however busy the machine is.
IDLE_TIME = 0.5
IDLE_SHARE = 0.02

_PORTS = (10_000 + number % 20_000 for number in itertools.count(os.getpid() * 101))

T = TypeVar("T")


def eventually(look: Callable[[], T], what: str = "the condition") -> T:
    """The first true value of ``look``, asked for until PATIENCE runs out."""
    begun = time.monotonic()
    while not (value := look()):
        taken = time.monotonic() - begun
        if taken > PATIENCE:
            raise AssertionError(f"{what} did not come true within {PATIENCE} s")
        time.sleep(min(max(LOOK, taken * LOOK_SHARE), LONGEST_LOOK))
    return value


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie, whoever is to reap it, does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def text_of(path: Path) -> str:
    """What another process has written to a file so far; empty while there is none."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def wait_until_gone(pid: int) -> None:
    eventually(lambda: not alive(pid), f"the end of {pid}")


def free_port() -> int:
    """A port that nobody uses.

    It is below those that the kernel gives to whoever asks for any, and each process that runs
    tests begins elsewhere, so that nobody gets it before the test's server has it.
    """
    while True:
        with suppress(OSError), socket.create_server(("127.0.0.1", next(_PORTS))) as server:
            port: int = server.getsockname()[1]
            return port


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


class UnixTransport(xmlrpc.client.Transport):
    """A connection for each call: nothing stays open between calls or at the end."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._unix = _UnixConnection(path)

    def request(self, *args: Any, **options: Any) -> Any:
        try:
            return super().request(*args, **options)
        finally:
            self._unix.close()

    def make_connection(self, host: object) -> http.client.HTTPConnection:
        self._unix = _UnixConnection(self._path)
        return self._unix


class Daemon:
    """A running ``tsupervisord -n``; ``directory`` holds its configuration, socket and logs."""

    def __init__(self, directory: Path, process: subprocess.Popen[bytes]) -> None:
        self.directory = directory
        self.process = process
        self.rpc = xmlrpc.client.ServerProxy(
            "http://localhost", transport=UnixTransport(str(directory / "s.sock"))
        ).supervisor

    @property
    def log(self) -> str:
        return (self.directory / "sup.log").read_text()

    @property
    def descriptors(self) -> int:
        """How many it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def check_idle(self) -> None:
        """Assert that it does next to nothing while nobody asks, once it has done what was asked.

        What spins uses all the processor time that it gets, for ever.
        """
        eventually(self._is_idle, "little use of the processor")

    def _is_idle(self) -> bool:
        before = self._processor_seconds()
        time.sleep(IDLE_TIME)  # the point is that nothing happens meanwhile
        after = self._processor_seconds()
        used = sum(seconds - before.get(thread, 0) for thread, seconds in after.items())
        return used < IDLE_TIME * IDLE_SHARE

    def _processor_seconds(self) -> dict[str, float]:
        """Used so far by each thread, by the kernel's nanoseconds."""
        used = {}
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                used[task.name] = int((task / "schedstat").read_text().split()[0]) / 1e9
        return used

    def times(self, text: str) -> list[float]:
        """Seconds since the epoch at which the activity log says this; resolution 1 ms."""
        pattern = re.compile(rf"^(\S+ \S+),(\d+) \w+ {re.escape(text)}", re.MULTILINE)
        return [
            time.mktime(time.strptime(stamp, "%Y-%m-%d %H:%M:%S")) + int(milliseconds) / 1000
            for stamp, milliseconds in pattern.findall(self.log)
        ]

    def fault(self, method: str, *arguments: object) -> int:
        """The fault code of a request that must fail."""
        try:
            answer = getattr(self.rpc, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            return fault.faultCode
        raise AssertionError(f"{method}{arguments} succeeded: {answer!r}")

    def info(self, name: str) -> dict[str, object]:
        info = self.rpc.getProcessInfo(name)
        assert isinstance(info, dict)
        return info

    def state(self, name: str) -> object:
        return self.info(name)["statename"]

    def states(self) -> dict[str, object]:
        infos = self.rpc.getAllProcessInfo()
        assert isinstance(infos, list)
        return {f"{info['group']}:{info['name']}": info["statename"] for info in infos}

    def pid(self, name: str) -> int:
        pid = self.info(name)["pid"]
        assert isinstance(pid, int)
        return pid

    def wait_for(self, name: str, state: str) -> None:
        eventually(lambda: self.state(name) == state, f"{name} being {state}")

    def wait_for_another_child(self, name: str, pid: int) -> None:
        eventually(lambda: self.pid(name) not in (0, pid), f"{name} having a new child")

    def wait_log(self, text: str) -> None:
        eventually(lambda: text in self.log, f"{text!r} in the activity log")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        """TERM, and the exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


COMMAND = [sys.executable, "-m", "trio_supervisor"]
#: Supervisor's daemon, which the extra ``test`` brings along.
REFERENCE = [str(Path(sys.executable).with_name("supervisord"))]


def run_to_end(
    *arguments: str, cwd: Path, within: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """What comes of a command line of the daemon that ends, or detaches."""
    return subprocess.run(
        [*within, *COMMAND, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
        check=False,
    )


#: Without servers; more options of the daemon may follow.
BARE = """\
[supervisord]
logfile=%(here)s/sup.log
pidfile=%(here)s/sup.pid
childlogdir=%(here)s
loglevel=debug
user={user}
"""
BASE = f"""\
{BARE}[unix_http_server]
file=%(here)s/s.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://%(here)s/s.sock
"""


def write_config(
    directory: Path, text: str, *, base: str = BASE, user: str | int | None = None
) -> Path:
    """The usual settings and ``text`` as ``c.conf``.

    ``user`` is whom the daemon becomes; None: it stays what it is.
    """
    path = directory / "c.conf"
    path.write_text(base.replace("{user}", str(os.getuid() if user is None else user)) + text)
    return path


@contextmanager
def daemon(
    directory: Path,
    text: str,
    *arguments: str,
    within: Sequence[str] = (),
    base: str = BASE,
    user: str | int | None = None,
    command: Sequence[str] = COMMAND,
) -> Iterator[Daemon]:
    """Run the daemon with this configuration until the end of the block; nothing is left then.

    ``within`` is a command that executes the daemon's ``command``, which is appended to it.
    """
    config = write_config(directory, text, base=base, user=user)
    with (directory / "stdout").open("wb") as out, (directory / "stderr").open("wb") as err:
        process = subprocess.Popen(
            [*within, *command, "-n", "-c", str(config), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=directory,
        )
    running = Daemon(directory, process)
    try:

        def answers() -> bool:
            if process.poll() is not None:
                raise AssertionError((directory / "stderr").read_text())
            return (directory / "sup.pid").exists()

        eventually(answers, "the daemon being ready")
        yield running
    finally:
        try:
            if process.poll() is None:
                running.stop()
        finally:  # a test that failed may have left it suspended
            if process.poll() is None:
                process.kill()
                process.wait()
