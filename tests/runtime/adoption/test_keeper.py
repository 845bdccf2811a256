"""The process that holds descriptors for the next daemon."""

from __future__ import annotations

import _socket
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import PATIENCE, alive, eventually
from trio_supervisor.runtime.adoption import keeper as module
from trio_supervisor.runtime.adoption import keeper_process
from trio_supervisor.runtime.adoption.keeper import (
    Keeper,
    KeeperBusy,
    KeeperFailed,
    KeeperHung,
    connect,
    keeper_path,
    start,
)
from trio_supervisor.runtime.adoption.keeper_process import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534


@pytest.fixture
def pidfile(tmp_path: Path) -> Iterator[str]:
    path = str(tmp_path / "sup.pid")
    yield path
    for pid in keepers(path):
        with suppress(ProcessLookupError):  # one that was told to end has done so by now
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that other users may enter; those of pytest they may not."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def keepers(pidfile: str) -> list[int]:
    marker = os.fsencode(keeper_path(pidfile))
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdecimal() and alive(int(entry.name)) and marker in _command(entry)
    ]


def _command(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""


def again(keeper: Keeper, pidfile: str) -> Keeper:
    """The connection of the next daemon."""
    keeper.close()
    return connect(pidfile)


def take(keeper: Keeper) -> dict[str, str]:
    taken = keeper.take()
    for held in taken.values():
        held.close()
    return {key: held.note for key, held in taken.items()}


def test_the_next_daemon_gets_what_the_last_one_has_put(pidfile: str) -> None:
    keeper = start(pidfile)
    read, write = os.pipe()
    os.write(write, b"text")
    keeper.put("a", "first", [write, write])
    keeper.put("a", "note", [read])
    keeper.put("b\0c", "", [write])
    keeper.put("d", "", [write])
    keeper.drop("d")
    os.close(read)
    os.close(write)
    keeper = again(keeper, pidfile)
    taken = keeper.take()
    assert {key: held.note for key, held in taken.items()} == {"a": "note", "b\0c": ""}
    [read] = taken["a"].descriptors
    assert os.read(read, 10) == b"text"
    assert not os.get_inheritable(read)
    for held in taken.values():
        held.close()
    keeper.begin()
    keeper.put("e", "", [0])
    assert take(keeper).keys() == {"a", "b\0c", "e"}
    keeper.commit()
    assert take(keeper).keys() == {"e"}
    keeper.end()
    eventually(lambda: not keepers(pidfile), "its end")
    assert not Path(keeper_path(pidfile)).exists()


def test_a_killed_daemon_has_put_all_that_it_has_sent(pidfile: str) -> None:
    """Also what the keeper has not received yet, because it is suspended."""
    keeper = start(pidfile)
    [pid] = keepers(pidfile)
    os.kill(pid, signal.SIGSTOP)
    keeper._send("take")  # an answer that nobody reads resets the connection
    for number in range(20):
        keeper.put(str(number), "", [0])
    keeper.close()
    os.kill(pid, signal.SIGCONT)
    keeper = connect(pidfile)
    assert len(take(keeper)) == 20
    keeper.end()


def test_a_full_queue_is_noticed_and_waits_for_nobody(pidfile: str) -> None:
    keeper = start(pidfile)
    [pid] = keepers(pidfile)
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    while not keeper.is_behind:
        keeper.put("a", "", [0])
    assert time.monotonic() - began < PATIENCE
    os.kill(pid, signal.SIGCONT)
    eventually(lambda: _puts(keeper), "room")
    assert "b" in take(keeper)
    keeper.end()


def _puts(keeper: Keeper) -> bool:
    keeper.is_behind = False
    keeper.put("b", "", [0])
    return not keeper.is_behind


def test_it_survives_the_signals_of_a_terminal_and_tells_its_name(pidfile: str) -> None:
    keeper = start(pidfile)
    [pid] = keepers(pidfile)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        os.kill(pid, number)
    keeper.put("a", "", [0])
    assert take(keeper) == {"a": ""}
    assert Path(f"/proc/{pid}/comm").read_text() == "tsuperv-keeper\n"
    assert os.getsid(pid) != os.getsid(0)
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert str(pid) not in children
    keeper.end()


def test_one_daemon_at_a_time(pidfile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_TIME", 0.0)
    keeper = start(pidfile)
    with pytest.raises(KeeperBusy) as raised:
        connect(pidfile)
    assert raised.value.pid == os.getpid()
    keeper.end_and_wait()
    with pytest.raises(KeeperFailed):
        connect(pidfile)


#: Listens like a keeper, under the name that it is given.
DEAF = """\
import signal, socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind(sys.argv[1])
listener.listen()
open("/proc/self/comm", "w").write(sys.argv[2])
print("ready", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("name", [keeper_process.NAME, "another"])
def test_a_keeper_that_does_not_answer_is_killed(
    pidfile: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It would keep addresses, and the pipes of programs; another process is left alone."""
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    command = [sys.executable, "-c", DEAF, keeper_path(pidfile), name]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as deaf:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        try:
            with pytest.raises(KeeperHung, match=f"pid {deaf.pid}.* has not answered") as raised:
                connect(pidfile)
            is_killed = name == keeper_process.NAME
            assert ("was killed" in str(raised.value)) is is_killed
            assert (deaf.poll() is not None) is is_killed
        finally:
            deaf.kill()


def test_a_suspended_keeper_is_told_to_go_on(pidfile: str) -> None:
    keeper = start(pidfile)
    [pid] = keepers(pidfile)
    keeper.put("a", "", [0])
    keeper.close()
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: "State:\tT" in Path(f"/proc/{pid}/status").read_text(), "its suspension")
    keeper = connect(pidfile)
    assert keeper.trouble == f"the keeper (pid {pid}) was suspended, and was sent SIGCONT to go on"
    assert take(keeper) == {"a": ""}
    keeper.end()


def test_another_file_is_left_alone(pidfile: str) -> None:
    Path(keeper_path(pidfile)).write_text("text")
    with pytest.raises(KeeperFailed, match="not a socket"):
        start(pidfile)
    assert Path(keeper_path(pidfile)).read_text() == "text"


def test_a_stale_socket_is_replaced(pidfile: str) -> None:
    keeper = start(pidfile)
    os.kill(keepers(pidfile)[0], signal.SIGKILL)
    keeper.close()
    with pytest.raises(KeeperFailed):
        connect(pidfile)
    start(pidfile).end_and_wait()


def test_a_path_that_is_too_long_for_a_socket(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 120)
    directory.mkdir()
    keeper = start(str(directory / "sup.pid"))
    keeper.end_and_wait()
    eventually(lambda: not list(directory.iterdir()), "its file being removed")


STRANGER = """\
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
client.settimeout(30)
try:
    client.connect(sys.argv[1])
    print("answer", client.recv(100))
except PermissionError:
    print("refused")
"""


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become another user")
def test_another_user_is_refused(open_directory: Path) -> None:
    pidfile = str(open_directory / "sup.pid")
    keeper = start(pidfile)
    path = Path(keeper_path(pidfile))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def stranger() -> str:
        command = [sys.executable, "-c", STRANGER, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.strip()

    assert stranger() == "refused"
    path.chmod(0o666)
    keeper.close()
    assert stranger() == "answer b''"
    connect(pidfile).end_and_wait()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become another user")
def test_a_keeper_of_another_user_is_refused(pidfile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(keeper_path(pidfile))
    listener.listen()
    monkeypatch.setattr(module, "peer_credentials", lambda sock: (1, NOBODY, NOBODY))
    with pytest.raises(KeeperFailed, match="belongs to another user"):
        connect(pidfile)
    listener.close()


def test_it_notes_when_a_process_ends_while_there_is_no_daemon(pidfile: str) -> None:
    """Of one that had ended before nobody knows when: the daemon may have been suspended."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(keeper_path(pidfile))
    listener.listen()
    children = {name: subprocess.Popen(["sleep", "1000"]) for name in ("before", "later", "lives")}
    pidfds = {name: os.pidfd_open(child.pid) for name, child in children.items()}
    store = Store(_socket.socket(fileno=os.dup(listener.fileno())))
    thread = threading.Thread(target=store.run)
    thread.start()
    keeper = connect(pidfile)
    for name, pidfd in pidfds.items():
        keeper.put(name, "", [pidfd])
    children["before"].kill()
    children["before"].wait()
    keeper.close()
    eventually(lambda: store._watched, "the end of the connection")
    began = time.monotonic()
    children["later"].kill()
    children["later"].wait()
    eventually(lambda: store._ended, "its note")
    ended = time.monotonic()
    keeper = connect(pidfile)
    taken = take(keeper)
    assert taken.keys() == {*children, "ended\0later"}
    assert began <= float(taken["ended\0later"]) <= ended
    keeper.put("later", "", [pidfds["lives"]])
    assert take(keeper).keys() == children.keys()
    keeper.end()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert store._connection is not None
    store._connection.close()
    children["lives"].kill()
    children["lives"].wait()
    store.close()
    store._listener.close()
    for pidfd in pidfds.values():
        os.close(pidfd)
    listener.close()


def test_without_a_daemon_it_ends_when_nothing_lives_that_it_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(keeper_path(str(tmp_path / "sup.pid")))
    listener.listen()
    child = subprocess.Popen(["sleep", "1000"])
    pidfd = os.pidfd_open(child.pid)
    store = Store(_socket.socket(fileno=os.dup(listener.fileno())))
    thread = threading.Thread(target=store.run, daemon=True)
    thread.start()
    keeper = connect(str(tmp_path / "sup.pid"))
    monkeypatch.setattr(keeper_process, "IDLE", 0.05)  # earlier it might end before this comes
    keeper.put("a", "", [pidfd])
    keeper.close()
    keeper = connect(str(tmp_path / "sup.pid"))
    assert take(keeper) == {"a": ""}
    keeper.close()
    thread.join(0.5)  # ten times as long as it waits
    assert thread.is_alive()
    child.kill()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    child.wait()
    store.close()
    store._listener.close()
    os.close(pidfd)
    listener.close()
