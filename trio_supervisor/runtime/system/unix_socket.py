"""Creates listening unix sockets in directories that may belong to another user.

Theory of operation
-------------------
The file of a socket is created by ``bind``, which takes a path and follows links, and its owner and
mode are set afterwards. In between, the owner of the directory could replace the file by a link,
and root would change the owner of the target of the link. So the socket is created in a directory
of mode 0700 inside that directory. No other user can change the content of the private directory,
even after moving it, because everything in it is reached by its descriptor (``/proc/self/fd``:
there is no ``bindat``).

The finished socket is linked to its name and then unlinked in the private directory. Unlike a
rename, a link never replaces a file that another program made since the name was found to be free.
A stale socket is moved into the private directory before it is removed: if it turns out to be
another socket than the one that no program answered at, it is put back.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from trio_supervisor.runtime.system.opening import entry, remove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_supervisor.runtime.system.opening import DirectoryEntry

#: Bytes of a path that clients can connect to (the kernel's ``sun_path``, without its NUL).
MAX_PATH = 107
#: Attempts to take the path after a stale socket was removed, while other programs take it first.
MOST_TRIES = 8
#: Name of the socket in the private directory if its own is too long behind ``/proc/self/fd``.
SHORT_NAME = "socket"
LONGEST_NAME = 64
STALE = "stale"
OWN_DESCRIPTORS = "/proc/self/fd"
#: pid, uid and gid, as SO_PEERCRED returns them (unix(7)).
_CREDENTIALS = "=iII"
#: Errors of ``link`` on file systems without hard links, and in some containers.
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)


class UnixListener(socket.socket):
    """A listening unix socket with a file at ``path``."""

    __slots__ = ("file", "path")

    def __init__(self, path: str, descriptor: int | None = None) -> None:
        """``descriptor`` is that of a socket which listens already."""
        super().__init__(socket.AF_UNIX, fileno=descriptor)
        self.path = path
        self.file: os.stat_result | None = None
        """Status of the file; None until it exists."""

    def has_file(self) -> bool:
        """Whether the path still leads to this socket."""
        try:
            # The inode number is not used for another file while the socket is open.
            return self.file is not None and os.path.samestat(self.file, os.lstat(self.path))
        except OSError:
            return False

    def remove_file(self) -> None:
        """Remove the file, unless another file is at its path. Raises OSError."""
        if self.has_file():
            with suppress(FileNotFoundError):
                remove(self.path)

    def become(self, other: UnixListener) -> None:
        """Replace our socket by another one, under the same descriptor.

        The caller must wake tasks that wait for this descriptor first.
        """
        os.dup2(other.fileno(), self.fileno(), inheritable=False)
        self.file = other.file
        other.close()


def peer_credentials(sock: socket.socket) -> tuple[int, int, int]:
    """Return pid, uid and gid of the process at the other end when the connection was made.

    The pid is 0 if that process runs outside this container. Raises OSError.
    """
    size = struct.calcsize(_CREDENTIALS)
    pid, uid, gid = struct.unpack(
        _CREDENTIALS, sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    )
    return pid, uid, gid


def listen(
    path: str,
    *,
    mode: int,
    owner: tuple[int, int] | None,
    backlog: int,
    holder: Callable[[str], str | None],
    on_stale: Callable[[], None] = lambda: None,
) -> UnixListener:
    """Create a socket with its owner and mode. Its file appears when clients can connect to it.

    ``holder`` returns a description of the program that answers at an existing socket; None means
    that there is none, so that the socket is stale. ``on_stale`` is called before a stale socket is
    removed. Raises OSError, and leaves nothing behind: EADDRINUSE if another program has the
    socket, which ``strerror`` describes; EEXIST if the file is no socket.
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
    """Create a directory that only we can write in ``parent``, whose path is ``path``.

    Yields its descriptor and an address for ``bind``, and removes it afterwards. Raises OSError.
    """
    name = f".{os.getpid()}-{os.urandom(4).hex()}"
    os.mkdir(name, 0o700, dir_fd=parent)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(name, flags, dir_fd=parent)
        try:
            status = os.fstat(fd)
            if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise OSError(
                    errno.EPERM, "another program replaced our directory beside the socket"
                )
            yield fd, _by_descriptor(fd, os.path.join(path, name))
        finally:
            os.close(fd)
    finally:
        with suppress(OSError):  # the owner of the parent has moved it
            os.rmdir(name, dir_fd=parent)


def _publish(own: int, name: str, place: int, wanted: str) -> bool:
    """Give the socket its name; False if another file has it."""
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
    """Remove a stale socket. Raises OSError if there is any other file."""
    name, place = taken.name, taken.directory
    try:
        found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place)
    except FileNotFoundError:
        return
    try:
        status = os.fstat(found)
        if not stat.S_ISSOCK(status.st_mode):
            raise FileExistsError(errno.EEXIST, "a file that is not a socket is there")
        program = holder(_by_descriptor(found, path))
    finally:
        os.close(found)
    if program is not None:
        raise OSError(errno.EADDRINUSE, program)
    on_stale()
    with suppress(FileNotFoundError):  # another program has removed it
        os.rename(name, STALE, src_dir_fd=place, dst_dir_fd=own)
        if not _same(status, os.stat(STALE, dir_fd=own, follow_symlinks=False)):
            with suppress(FileExistsError):
                os.link(STALE, name, src_dir_fd=own, dst_dir_fd=place, follow_symlinks=False)
        os.unlink(STALE, dir_fd=own)


def _by_descriptor(fd: int, path: str) -> str:
    """Return an address of an open file; its path if there is no ``/proc`` (in a bare chroot)."""
    address = f"{OWN_DESCRIPTORS}/{fd}"
    return address if os.path.exists(address) else path


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether both are the same file. Inode numbers of removed files are used again."""
    return os.path.samestat(one, other) and one.st_mtime_ns == other.st_mtime_ns
