"""Unix sockets in directories of other users, and beside other programs."""

from __future__ import annotations

import errno
import itertools
import os
import pwd
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.root import NOBODY, directory_of, needs_root
from trio_supervisor.runtime.system import unix_socket
from trio_supervisor.runtime.system.unix_socket import MAX_PATH, UnixListener, listen


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.sock"


def nobody_answers(path: str) -> str | None:
    return None


def made(
    path: Path,
    *,
    owner: tuple[int, int] | None = None,
    holder: Callable[[str], str | None] = nobody_answers,
) -> UnixListener:
    return listen(str(path), mode=0o640, owner=owner, backlog=5, holder=holder)


def stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def test_owner_mode_and_nothing_else(path: Path) -> None:
    with made(path, owner=(os.getuid(), os.getgid())) as listener:
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        assert os.listdir(path.parent) == [path.name]
        assert connects(path)
        assert not os.get_inheritable(listener.fileno())


@pytest.mark.parametrize("length", [MAX_PATH, MAX_PATH + 1])
def test_the_length_that_clients_can_connect_to(tmp_path: Path, length: int) -> None:
    path = tmp_path / ("x" * (length - len(str(tmp_path)) - 1))
    if length == MAX_PATH:
        with made(path):
            assert connects(path)
    else:
        with pytest.raises(OSError, match="is 108 bytes long, and clients can connect to at most"):
            made(path)


@needs_root
def test_the_owner_of_the_directory_swaps_in_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each step that changes an owner or a mode, everything in the directory is replaced."""
    nobody = pwd.getpwnam(NOBODY)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    victim.chmod(0o600)

    with directory_of(NOBODY) as directory:
        path, numbers = directory / "f.sock", itertools.count()

        def swap() -> None:
            for entry in list(directory.iterdir()):
                entry.rename(directory / f"moved{next(numbers)}")
                entry.symlink_to(victim)
            if not os.path.lexists(path):
                path.symlink_to(victim)

        for name in ("chown", "chmod", "link"):
            real = getattr(os, name)

            def late(
                *arguments: object, real: Callable[..., None] = real, **options: object
            ) -> None:
                swap()
                real(*arguments, **options)

            monkeypatch.setattr(os, name, late)
        with pytest.raises(OSError, match="a file that is not a socket is there"):
            made(path, owner=(nobody.pw_uid, nobody.pw_gid))
    assert (victim.stat().st_uid, stat.S_IMODE(victim.stat().st_mode)) == (0, 0o600)


@needs_root
def test_a_directory_behind_a_link_of_another_user(tmp_path: Path) -> None:
    nobody = pwd.getpwnam(NOBODY)
    with directory_of(NOBODY) as directory:
        link = directory / "run"
        link.symlink_to(tmp_path)
        os.chown(link, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
        with pytest.raises(OSError, match="a link of nobody"):
            made(link / "s.sock")
    assert os.listdir(tmp_path) == []


def test_a_stale_socket_is_replaced(path: Path) -> None:
    stale(path)
    with made(path):
        assert connects(path)
        assert os.listdir(path.parent) == [path.name]


def test_another_program_is_faster(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes its socket between our look at a free name and ours."""
    real = unix_socket._publish
    others = []

    def late(*arguments: int) -> bool:
        monkeypatch.setattr(unix_socket, "_publish", real)
        others.append(made(path))
        return real(*arguments)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(unix_socket, "_publish", late)
    with pytest.raises(OSError, match="process 5") as failed:
        made(path, holder=lambda path: "process 5")
    assert failed.value.errno == errno.EADDRINUSE
    [other] = others
    with other:
        assert other.has_file()
        assert connects(path)
    assert os.listdir(path.parent) == [path.name]


def test_another_program_replaces_a_stale_socket_first(path: Path) -> None:
    """Nobody answered at the stale one; what is there by the time we remove it is put back."""
    stale(path)
    others: list[UnixListener] = []

    def look(found: str) -> str | None:
        if others:
            return "process 5"
        path.unlink()
        others.append(made(path))
        return None

    with pytest.raises(OSError, match="process 5"):
        made(path, holder=look)
    [other] = others
    with other:
        assert other.has_file()
        assert connects(path)
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("none")])
def test_what_is_no_socket_is_kept(path: Path, make: Callable[[Path], None]) -> None:
    make(path)
    with pytest.raises(FileExistsError):
        made(path)
    assert os.listdir(path.parent) == [path.name]


def test_a_file_system_without_hard_links(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    stale(path)
    with made(path):
        assert connects(path)
        with pytest.raises(OSError, match="process 5"):
            made(path, holder=lambda path: "process 5")
        assert os.listdir(path.parent) == [path.name]


def test_without_proc(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unix_socket, "OWN_DESCRIPTORS", "/nonexistent")
    stale(path)
    with made(path):
        assert connects(path)


def test_only_its_own_file_is_removed(path: Path) -> None:
    with made(path) as first:
        path.unlink()
        assert not first.has_file()
        first.remove_file()
        with made(path) as second:
            first.remove_file()
            assert second.has_file()
            second.remove_file()
            assert os.listdir(path.parent) == []


@pytest.fixture
def moved(path: Path) -> Iterator[UnixListener]:
    """A socket whose file another one has by now."""
    with made(path) as listener:
        path.unlink()
        listener.become(made(path))
        yield listener


def test_another_socket_under_the_same_descriptor(path: Path, moved: UnixListener) -> None:
    assert moved.has_file()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        moved.accept()[0].close()
    moved.remove_file()
    assert os.listdir(path.parent) == []
