"""Paths in directories of other users: no link of theirs leads to what is not theirs."""

from __future__ import annotations

import errno
import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.root import NOBODY, directory_of, needs_root
from trio_supervisor.runtime.system import opening
from trio_supervisor.runtime.system.opening import (
    directory,
    make_directories,
    open_file,
    open_regular,
    remove,
)

APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT
SECRET = "precious"


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A directory that belongs to a user without rights."""
    with directory_of(NOBODY) as path:
        yield path


@pytest.fixture
def ours() -> Iterator[Path]:
    """A directory that belongs to root, which holds a file of that name."""
    with directory_of("root") as path:
        (path / "file").write_text(SECRET)
        yield path


def link(target: object, path: Path, owner: str = NOBODY) -> str:
    path.symlink_to(str(target))
    entry = pwd.getpwnam(owner)
    os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)
    return str(path)


def opened(path: str, flags: int = APPEND) -> str:
    """The file that is really open then."""
    fd = open_file(path, flags)
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def refused(action: Callable[[], object]) -> str:
    """Why a link is not followed."""
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="a link of nobody leads to a file of another user") as error:
        action()
    assert error.value.errno == errno.ELOOP
    assert len(os.listdir("/proc/self/fd")) == before
    return str(error.value)


@needs_root
def test_a_link_of_another_user_to_a_file_of_root(theirs: Path, ours: Path) -> None:
    path = link(ours / "file", theirs / "log")
    assert path in refused(lambda: open_file(path, APPEND))
    refused(lambda: open_regular(path))


@needs_root
def test_a_link_of_another_user_to_a_directory_of_root(theirs: Path, ours: Path) -> None:
    link(ours, theirs / "logs")
    for name in ("file", "new"):
        refused(lambda name=name: open_file(f"{theirs}/logs/{name}", APPEND))  # type: ignore[misc]  # a default binds the loop's name
    refused(lambda: remove(f"{theirs}/logs/file"))
    refused(lambda: directory(f"{theirs}/logs").__enter__())
    assert os.listdir(ours) == ["file"]


@needs_root
def test_a_link_of_another_user_that_does_not_lead_there_directly(theirs: Path, ours: Path) -> None:
    link(ours / "file", theirs / "b")
    for number, target in enumerate(
        ("b", f"../../../../{ours}/file", f"/proc/self/root/{ours}/file", "/proc/kmsg")
    ):
        path = link(target, theirs / f"a{number}")
        refused(lambda path=path: open_regular(path))  # type: ignore[misc]  # a default binds the loop's name


@needs_root
def test_a_link_of_root_is_followed(theirs: Path, ours: Path) -> None:
    path = link(ours / "file", theirs / "log", "root")
    assert opened(path) == str(ours / "file")


@needs_root
def test_a_link_of_a_user_to_what_is_that_users(theirs: Path) -> None:
    """As releases are switched (``current``), and as output is thrown away."""
    nobody = pwd.getpwnam(NOBODY)
    (theirs / "releases").mkdir()
    os.chown(theirs / "releases", nobody.pw_uid, nobody.pw_gid)
    link("releases", theirs / "current")
    assert opened(f"{theirs}/current/log") == str(theirs / "releases" / "log")
    assert opened(f"{theirs}/current/log") == str(theirs / "releases" / "log")  # now it is root's
    assert opened(link("x.log", theirs / "y.log")) == str(theirs / "x.log")
    assert opened(link("/dev/null", theirs / "null")) == "/dev/null"


def test_a_path_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("new", "./new", f"{tmp_path}//new", f"{tmp_path}/./../{tmp_path.name}/new"):
        assert opened(path) == str(tmp_path / "new")
    with directory(".") as fd:
        assert os.listdir(fd) == ["new"]
    remove("new")
    assert os.listdir() == []


@needs_root
def test_a_working_directory_that_is_closed_to_us(theirs: Path, ours: Path) -> None:
    """A daemon that was started in ``/root`` and has become another user opens its logs."""
    ours.chmod(0o700)
    child = os.fork()
    if not child:
        try:
            os.chdir(ours)
            os.setuid(pwd.getpwnam(NOBODY).pw_uid)
            open_file(f"{theirs}/log", APPEND)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("", errno.ENOENT),
        ("/", errno.EISDIR),
        ("missing/x", errno.ENOENT),
        ("file/x", errno.ENOTDIR),
        ("loop", errno.ELOOP),
        (".", errno.EISDIR),
    ],
)
def test_what_cannot_be_opened(
    path: str, error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("loop").symlink_to("loop")
    with pytest.raises(OSError, match=os.strerror(error)) as failed:
        open_file(path, APPEND)
    assert failed.value.filename == path


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "fifo")
    os.mkfifo(path)
    with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):
        open_file(path, APPEND)
    with pytest.raises(OSError, match="it is not a regular file"):
        open_regular(path)


@pytest.mark.parametrize("target", ["/proc/kmsg", "/proc/self/mem", "/dev/tty", "/dev/zero"])
def test_only_regular_files_are_read(target: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.symlink_to(target)
    with pytest.raises(OSError, match="it is not a regular file"):
        open_regular(str(path))


def test_links_of_the_kernel_are_followed_by_the_kernel() -> None:
    read, write = os.pipe()
    assert opened(f"/proc/self/fd/{write}", os.O_WRONLY).startswith("pipe:[")
    os.close(read)
    os.close(write)


def swap_after_the_walk(
    monkeypatch: pytest.MonkeyPatch, path: Path, swap: Callable[[], None], times: int
) -> None:
    """Do this between the walk along the path and the opening of what it found."""
    real, left = os.open, [times]

    def open_late(name: str, flags: int, mode: int = 0o777, **options: int) -> int:
        if name == path.name and not flags & os.O_PATH and left[0]:
            left[0] -= 1
            swap()
        return real(name, flags, mode, **options)

    monkeypatch.setattr(os, "open", open_late)


def through_a_link(directory: Path) -> Path:
    """The same directory by way of a link, so that the path has to be walked."""
    way = directory / "way"
    way.symlink_to(directory)
    return way


@pytest.mark.parametrize("kind", ["link", "file"])
@pytest.mark.parametrize("walked", [False, True])
def test_a_file_that_is_swapped_after_it_was_found(
    kind: str, walked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other, victim = tmp_path / "log", tmp_path / "other", tmp_path / "victim"
    path.touch()
    other.touch()
    victim.write_text(SECRET)
    if kind == "link":
        other.unlink()
        other.symlink_to(victim)

    def swap() -> None:
        other.replace(path)

    swap_after_the_walk(monkeypatch, path, swap, 1)
    # It is looked at again: in a test the link is the daemon's own, and is followed then.
    way = through_a_link(tmp_path) if walked else tmp_path
    assert opened(str(way / "log")) == str(victim if kind == "link" else path)


def test_a_file_that_is_swapped_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    path.touch()

    def swap() -> None:
        other = tmp_path / "other"
        other.touch()
        other.replace(path)

    swap_after_the_walk(monkeypatch, path, swap, opening.MOST_TRIES)
    with pytest.raises(OSError, match="replaced again and again"):
        open_file(str(through_a_link(tmp_path) / "log"), APPEND)


def test_missing_directories_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c"
    make_directories(f"{path}/")
    make_directories(str(path))
    assert path.is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        make_directories(str(tmp_path / "file" / "x"))
