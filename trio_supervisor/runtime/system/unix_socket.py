"""Makes listening unix sockets in directories that may belong to another user.

Theory of operation
-------------------
A socket's file is made by ``bind``, which takes a path and follows links, and its owner and mode
are set afterwards. Whoever owns the directory could put a link in its place in between, and root
would change the owner of what the link leads to. So the socket is made in a directory of mode 0700
inside that directory: nobody else can change what is in there, wherever its owner may move it,
because everything in it is reached by its descriptor (``/proc/self/fd``: there is no ``bindat``).

The finished socket is linked to its name and then unlinked in the private directory. Unlike a
rename, a link never replaces a file that another program made since the name was found to be free.
A stale socket is moved into the private directory before it is removed: if it turns out to be
another one than the one that nobody answered at, it is put back.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from trio_supervisor.runtime.system.opening import entry, remove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_supervisor.runtime.system.opening import DirectoryEntry

#: Bytes of a path that clients can connect to (the kernel's ``sun_path``, without its NUL).
MAX_PATH = 107
#: Times that a stale socket is removed and another program is faster in making a new one.
MOST_TRIES = 8
#: Name of the socket in the private directory if its own does not fit behind ``/proc/self/fd``.
SHORT_NAME = "socket"
LONGEST_NAME = 64
STALE = "stale"
OWN_DESCRIPTORS = "/proc/self/fd"
#: ``link`` fails so on file systems without hard links, and in some containers.
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)


class UnixListener(socket.socket):
    """A listening unix socket, ``path`` the one of its file."""

    __slots__ = ("file", "path")

    def __init__(self, path: str) -> None:
        super().__init__(socket.AF_UNIX)
        self.path = path
        self.file: os.stat_result | None = None
        """None until there is one."""

    def has_file(self) -> bool:
        """Whether clients still reach this socket by its path."""
        try:
            # The number of our file is not given to another one while the socket is open.
            return self.file is not None and os.path.samestat(self.file, os.lstat(self.path))
        except OSError:
            return False

    def remove_file(self) -> None:
        """Remove the file, unless another one has its name. Raises OSError."""
        if self.has_file():
            with suppress(FileNotFoundError):
                remove(self.path)

    def become(self, other: UnixListener) -> None:
        """Take over another socket under our own descriptor, and close ours.

        Tasks that wait for this descriptor must be woken first.
        """
        os.dup2(other.fileno(), self.fileno(), inheritable=False)
        self.file = other.file
        other.close()


def listen(
    path: str,
    *,
    mode: int,
    owner: tuple[int, int] | None,
    backlog: int,
    holder: Callable[[str], str | None],
    on_stale: Callable[[], None] = lambda: None,
) -> UnixListener:
    """Make a socket with its owner and mode, which appears when it can be connected to.

    ``holder`` tells which program answers at a socket that is there; None if there is none.
    ``on_stale`` is called before such a socket is removed.
    Raises OSError; EADDRINUSE: another program holds it, and ``strerror`` says which; EEXIST: there
    is a file that is no socket. Nothing is left behind then.
    """
    length = len(os.fsencode(path))
    if length > MAX_PATH:
        raise OSError(
            errno.ENAMETOOLONG,
            f"its path is {length} bytes long, and clients can connect to at most {MAX_PATH}; "
            "choose a shorter one",
            path,
        )
    listener = UnixListener(path)
    try:
        with entry(path, follow=False) as found:
            _make(listener, found, mode, owner, backlog, holder, on_stale)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, error.strerror, path) from error
    except BaseException:
        listener.close()
        raise
    return listener


def _make(
    listener: UnixListener,
    wanted: DirectoryEntry,
    mode: int,
    owner: tuple[int, int] | None,
    backlog: int,
    holder: Callable[[str], str | None],
    on_stale: Callable[[], None],
) -> None:
    name = wanted.name if len(os.fsencode(wanted.name)) <= LONGEST_NAME else SHORT_NAME
    with _private_directory(wanted.directory, os.path.dirname(listener.path)) as (own, address):
        listener.bind(f"{address}/{name}")
        try:
            if owner is not None:
                os.chown(name, *owner, dir_fd=own, follow_symlinks=False)
            os.chmod(name, mode, dir_fd=own)
            listener.listen(backlog)
            listener.file = os.stat(name, dir_fd=own)
            for _ in range(MOST_TRIES):
                if _publish(own, name, wanted.directory, wanted.name):
                    return
                _make_room(own, wanted, listener.path, holder, on_stale)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=own)
    raise OSError(errno.EADDRINUSE, "other programs, which replace it again and again")


@contextmanager
def _private_directory(parent: int, path: str) -> Iterator[tuple[int, str]]:
    """A directory in ``parent``, whose path is ``path``, that only we can write.

    Its descriptor, and an address for ``bind``; it is removed afterwards. Raises OSError.
    """
    name = f".{os.getpid()}-{secrets.token_hex(4)}"
    os.mkdir(name, 0o700, dir_fd=parent)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(name, flags, dir_fd=parent)
        try:
            status = os.fstat(fd)
            if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise OSError(errno.EPERM, "somebody replaced our directory in that of the socket")
            yield fd, _by_descriptor(fd, os.path.join(path, name))
        finally:
            os.close(fd)
    finally:
        with suppress(OSError):  # its owner has moved it
            os.rmdir(name, dir_fd=parent)


def _publish(own: int, name: str, place: int, wanted: str) -> bool:
    """Give the socket its name; False if that is taken."""
    try:
        os.link(name, wanted, src_dir_fd=own, dst_dir_fd=place, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        with suppress(FileNotFoundError):
            os.stat(wanted, dir_fd=place, follow_symlinks=False)
            return False
        os.rename(name, wanted, src_dir_fd=own, dst_dir_fd=place)
    return True


def _make_room(
    own: int,
    taken: DirectoryEntry,
    path: str,
    holder: Callable[[str], str | None],
    on_stale: Callable[[], None],
) -> None:
    """Remove a socket that no program answers at. Raises OSError for everything else."""
    name, place = taken.name, taken.directory
    try:
        found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place)
    except FileNotFoundError:
        return
    try:
        status = os.fstat(found)
        if not stat.S_ISSOCK(status.st_mode):
            raise FileExistsError(errno.EEXIST, "a file that is not a socket is there")
        who = holder(_by_descriptor(found, path))
    finally:
        os.close(found)
    if who is not None:
        raise OSError(errno.EADDRINUSE, who)
    on_stale()
    with suppress(FileNotFoundError):  # another program has removed it
        os.rename(name, STALE, src_dir_fd=place, dst_dir_fd=own)
        if not _same(status, os.stat(STALE, dir_fd=own, follow_symlinks=False)):
            with suppress(FileExistsError):
                os.link(STALE, name, src_dir_fd=own, dst_dir_fd=place, follow_symlinks=False)
        os.unlink(STALE, dir_fd=own)


def _by_descriptor(fd: int, path: str) -> str:
    """An address of what is open; its path where there is no ``/proc`` (in a bare chroot)."""
    address = f"{OWN_DESCRIPTORS}/{fd}"
    return address if os.path.exists(address) else path


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether both are the same file; the number of one that was removed is given to others."""
    return os.path.samestat(one, other) and one.st_mtime_ns == other.st_mtime_ns
