"""Opens, renames and removes files in directories that may belong to another user.

Theory of operation
-------------------
The daemon is often root, and the directory of a log or a socket often belongs to the user of a
program. That user can replace our file by a symbolic link, a FIFO or another file, at any
moment. So a path is never checked first and then used again by name:

* The path is walked one component at a time, each relative to the open directory before it.
* A link is followed if root or the daemon's own user made it. A link of another user is followed
  only to what that user could replace without us: a file or directory that the user owns, one in a
  directory that the user owns, or a device that everybody may write (``/dev/null``). Releases that
  are switched by a link (``current/log``) go on working; no link leads root to ``/etc/shadow``.
* The last component is opened with ``O_NOFOLLOW``. If it is swapped for a link after the walk, that
  fails, and the walk begins again.
* Most paths have no link. So every component is opened with ``O_NOFOLLOW`` first, and only if that
  fails the path is walked with a look at each link.
* Opening never waits: with ``O_NONBLOCK`` a FIFO without a peer fails. ``fstat`` tells whether the
  open file is a regular one.

Links in ``/proc`` are made by the kernel and followed by the kernel: their text is not a path.
A hard link cannot be told from the file itself; ``fs.protected_hardlinks`` keeps users from making
hard links to files that they may not write.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from trio_supervisor.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Links that are followed in one path; as many as the kernel follows.
MOST_LINKS = 40
#: Walks of one path, if its file is replaced during each.
MOST_TRIES = 16
ROOT = 0
#: Refers to a file or directory without opening it, which would have effects on devices and FIFOs.
_REFER = os.O_PATH | os.O_CLOEXEC
_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """The last component of a path: a name in an open directory."""

    directory: int
    name: str
    status: os.stat_result | None
    """None if the directory has no file of that name."""
    in_proc: bool = False
    """True for a link in ``/proc``, which the kernel follows; ``status`` is that of its target."""

    def rename(self, old: str, new: str) -> None:
        """Rename a file, or a link itself, within the directory. Raises OSError."""
        os.replace(old, new, src_dir_fd=self.directory, dst_dir_fd=self.directory)


def explanation(error: OSError) -> str | None:
    """Return the reason for which this module refused a file; None if the kernel refused it."""
    known = error.errno is not None and error.strerror == os.strerror(error.errno)
    return None if known else error.strerror


def open_file(path: str, flags: int, mode: int = 0o666, *, follow: bool = True) -> int:
    """Open a file without waiting, and without following links that cannot be trusted.

    ``follow`` tells whether a link at the end of the path is followed.
    Raises OSError; ELOOP means that there is a link that is not followed.
    """
    with suppress(OSError):  # a link, or what the walk will tell
        return _open_without_links(path, flags, mode)
    for _ in range(MOST_TRIES):
        with entry(path, follow=follow) as found:
            if not follow and found.status is not None and stat.S_ISLNK(found.status.st_mode):
                raise OSError(errno.ELOOP, "it is a link, which is not followed", path)
            try:
                fd = _open(found, flags, mode)
            except OSError as error:
                if error.errno == errno.ELOOP:  # replaced by a link since the walk
                    continue
                raise OSError(error.errno, error.strerror, path) from None
            if found.status is None or os.path.samestat(found.status, os.fstat(fd)):
                return fd
            os.close(fd)  # replaced by another file
    raise OSError(errno.ELOOP, "it is replaced again and again", path)


def open_regular(path: str, *, follow: bool = True) -> int:
    """Open a regular file for reading.

    ``follow`` tells whether a link at the end of the path is followed. Raises OSError; ESPIPE for
    any other kind of file: opening a FIFO would make us its reader, and reading a terminal blocks,
    as does reading some files in ``/proc`` (``/proc/kmsg``).
    """
    with entry(path, follow=follow) as found:
        if found.status is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        _check_regular(found.status, path)
        try:
            fd = _open(found, os.O_RDONLY)
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from None
    try:
        _check_regular(os.fstat(fd), path)  # it may have been replaced since the walk
    except OSError:
        os.close(fd)
        raise
    return fd


def make_directories(path: str, mode: int = 0o777) -> None:
    """Make a directory and those above it that are missing; the umask is taken off the mode.

    Raises OSError.
    """
    try:
        with entry(path) as found:
            if found.status is None:
                with suppress(FileExistsError):
                    os.mkdir(found.name, mode, dir_fd=found.directory)
    except FileNotFoundError:
        above = os.path.dirname(path.rstrip("/"))
        if not above:
            raise
        make_directories(above, mode)
        make_directories(path, mode)


def remove(path: str) -> None:
    """Remove a file; a link is removed itself. Raises OSError."""
    with entry(path, follow=False) as found:
        os.unlink(found.name, dir_fd=found.directory)


@contextmanager
def entry(path: str, *, follow: bool = True) -> Iterator[DirectoryEntry]:
    """Walk a path to its last component.

    ``follow`` tells whether a link there is followed. Raises OSError, also if the path does not end
    in a name (``/`` or ``..``).
    """
    walk = _Walk(path)
    try:
        yield walk.to_end(follow=follow)
    finally:
        os.close(walk.here)


@contextmanager
def directory(path: str) -> Iterator[int]:
    """Open a directory, for ``dir_fd`` and for listing. Raises OSError."""
    walk = _Walk(f"{path}/.")
    try:
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=walk.to_directory())
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(walk.here)
    try:
        yield fd
    finally:
        os.close(fd)


def _open(found: DirectoryEntry, flags: int, mode: int = 0) -> int:
    flags |= _OPEN
    if found.in_proc:
        flags &= ~os.O_NOFOLLOW
    return os.open(found.name, flags, mode, dir_fd=found.directory)


def _open_without_links(path: str, flags: int, mode: int) -> int:
    """Open a file if no component of its path is a link. Raises OSError."""
    *directories, name = path.split("/")
    if name in ("", ".", ".."):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    here = os.open("/" if path.startswith("/") else ".", _REFER | os.O_DIRECTORY)
    try:
        for step in directories:
            if step not in ("", "."):
                there = os.open(step, _REFER | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=here)
                os.close(here)
                here = there
        return os.open(name, flags | _OPEN, mode, dir_fd=here)
    finally:
        os.close(here)


class _Walk:
    """A walk along one path. ``here`` is the directory reached, which the caller closes."""

    def __init__(self, path: str) -> None:
        if not path:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        self._path = path
        self._pending: list[str | int] = [*_components(path)]
        """Remaining components of the path, in reverse order. A number comes after the components
        of a link's target: the user who owns the link."""
        self._links = 0
        # We may have no right to the working directory; an absolute path does not need it.
        self.here = os.open("/" if path.startswith("/") else ".", _REFER | os.O_DIRECTORY)

    def to_end(self, *, follow: bool) -> DirectoryEntry:
        """Raises OSError."""
        try:
            while (step := self._next()) is not None:
                if not any(isinstance(item, str) for item in self._pending):
                    found = self._last(step, follow)
                    if found is not None:
                        return found
                else:
                    self._enter(step)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._path) from None
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), self._path)

    def to_directory(self) -> int:
        """Raises OSError."""
        while (step := self._next()) is not None:
            self._enter(step)
        return self.here

    def _next(self) -> str | None:
        """Return the next component, after a check of links that end before it."""
        while self._pending:
            step = self._pending.pop()
            if isinstance(step, str):
                return step
            self._check(step, os.fstat(self.here), os.stat("..", dir_fd=self.here))
        return None

    def _last(self, name: str, follow: bool) -> DirectoryEntry | None:
        """Return the last component; None if it is a link, whose target is walked next."""
        try:
            place = os.open(name, _REFER | os.O_NOFOLLOW, dir_fd=self.here)
        except FileNotFoundError:
            return self._found(DirectoryEntry(self.here, name, None))
        try:
            status = os.fstat(place)
            if not follow or not stat.S_ISLNK(status.st_mode):
                return self._found(DirectoryEntry(self.here, name, status))
            if status.st_dev == _device_of_proc():
                status = os.stat(name, dir_fd=self.here)
                return self._found(DirectoryEntry(self.here, name, status, in_proc=True))
            self._follow(place, status)
            return None
        finally:
            os.close(place)

    def _found(self, found: DirectoryEntry) -> DirectoryEntry:
        for item in self._pending:
            if isinstance(item, int):
                self._check(item, found.status, os.fstat(self.here))
        return found

    def _enter(self, name: str) -> None:
        try:
            place = os.open(name, _REFER | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=self.here)
        except NotADirectoryError:  # a link, if the path can be walked at all
            place = os.open(name, _REFER | os.O_NOFOLLOW, dir_fd=self.here)
            status = os.fstat(place)
            if stat.S_ISLNK(status.st_mode):
                if status.st_dev != _device_of_proc():
                    try:
                        self._follow(place, status)
                    finally:
                        os.close(place)
                    return
                os.close(place)
                place = os.open(name, _REFER, dir_fd=self.here)
        os.close(self.here)
        self.here = place

    def _follow(self, link: int, status: os.stat_result) -> None:
        self._links += 1
        if self._links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self._path)
        if status.st_uid not in (ROOT, os.geteuid()):
            self._pending.append(status.st_uid)
        target = os.readlink("", dir_fd=link)
        if target.startswith("/"):
            root = os.open("/", _REFER | os.O_DIRECTORY)
            os.close(self.here)
            self.here = root
        self._pending.extend(_components(target))

    def _check(self, user: int, status: os.stat_result | None, parent: os.stat_result) -> None:
        """Check that a link of this user may lead to this file. Raises OSError."""
        if parent.st_uid == user:
            return
        if status is not None:
            mode = status.st_mode
            if status.st_uid == user or (stat.S_ISCHR(mode) and mode & stat.S_IWOTH):
                return
        raise OSError(
            errno.ELOOP,
            f"a link of {_name(user)} leads to a file of another user; make root the owner of the "
            "link (chown -h), or write the path of the file",
            self._path,
        )


def _components(path: str) -> Iterator[str]:
    """The components of a path, the last one first."""
    return (part for part in reversed(path.split("/")) if part not in ("", "."))


def _check_regular(status: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_dev == _device_of_proc():
        raise OSError(errno.ESPIPE, "it is not a regular file", path)


def _device_of_proc() -> int | None:
    with suppress(OSError):
        return os.stat("/proc").st_dev
    return None


def _name(user: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(user).pw_name
    return f"user {user}"
