"""The fork server: a small interpreter that forks children for the daemon.

Run as a script, ``python -I -S fork_server.py FD``; the daemon's side, and the reasons, are in
``fork_client.py``. FD is a SEQPACKET socket. Each message on it asks for one child and brings four
descriptors: a control socket, and what becomes the child's stdin, stdout and stderr. The child
writes its pid to the control socket, then waits there for its orders (``steps.py``); if it cannot
be made, the server writes a negative error number instead. The server ends when the socket is
closed at the other end, as it is when the daemon dies, however it dies.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # see steps.py
import _socket
import array
import ctypes
import errno
import gc
import os
import sys

if __name__ == "__main__":  # isolated: only the standard library is on the path
    sys.path.append(__file__.removesuffix("/trio_supervisor/runtime/spawn/fork_server.py"))

from trio_supervisor.runtime.spawn import steps

TYPE_CHECKING = False  # typing's flag without importing typing, which is slow
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CLONE_PARENT = 0x8000
#: The number of clone(2), by machine and bits of a pointer, where its first argument is the flags.
CLONE = {
    ("x86_64", 64): 56,
    ("aarch64", 64): 220,
    ("riscv64", 64): 220,
    ("loongarch64", 64): 220,
    ("ppc64le", 64): 120,
    ("i686", 32): 120,
    ("armv7l", 32): 120,
}
#: Control socket, stdin, stdout and stderr.
DESCRIPTORS = 4
#: Bytes of a pid or a negative error number on the control socket.
NUMBER_SIZE = 4


def serve(fd: int) -> None:
    """Answer requests until the other end of the socket is closed."""
    os.set_inheritable(fd, False)
    # All is said, so that it need not be asked for with getsockopt, which a sandbox may refuse.
    requests = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fd)
    # A terminal, or its end, signals the whole session. The server must survive that as long as the
    # daemon does. Blocked signals need no handlers, so children find what the daemon left to them
    # when the step "signals" unblocks all.
    _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
    gc.disable()  # a collection writes to all memory, which each fork has shared with a child
    clone = _clone()
    while True:
        message, ancillary, _, _ = requests.recvmsg(
            1, _socket.CMSG_SPACE(DESCRIPTORS * steps.DESCRIPTOR_SIZE), steps.MSG_CMSG_CLOEXEC
        )
        if not message:
            return
        descriptors = array.array("i")
        for _, _, data in ancillary:
            descriptors.frombytes(data)
        if len(descriptors) == DESCRIPTORS:  # fewer: no descriptor was left here
            answer = clone()
            if answer == 0:
                requests.close()  # else the daemon could not tell that the server has died
                _become_child(descriptors)
            if answer < 0:
                _refuse(descriptors[0], answer)
        for descriptor in descriptors:
            os.close(descriptor)


def _clone() -> Callable[[], int]:
    """Return a function that forks: 0 in the child, else the pid or a negative error number.

    The C library has no call for a fork whose child belongs to our own parent.
    """
    number = CLONE.get((os.uname().machine, ctypes.sizeof(ctypes.c_void_p) * 8))
    if number is None:
        return lambda: -errno.ENOSYS
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    arguments = [ctypes.c_long(n) for n in (number, CLONE_PARENT | _signal.SIGCHLD, 0, 0, 0, 0)]

    def clone() -> int:
        answer: int = syscall(*arguments)
        return answer if answer >= 0 else -ctypes.get_errno()

    return clone


def _become_child(descriptors: Sequence[int]) -> None:
    """Continue as the child: send its pid, then wait for orders. Does not return.

    The child sends the pid itself, not the server: then no child exists that waits for orders and
    that the daemon does not know, whenever the server is killed.
    """
    try:
        control, *standard = descriptors
        for target, descriptor in enumerate(standard):
            os.dup2(descriptor, target)
        os.write(control, _number(os.getpid()))
        steps.carry_out(control)
    finally:
        os._exit(steps.NOT_SPAWNED)


def _refuse(control: int, answer: int) -> None:
    try:  # noqa: SIM105 - contextlib would be one more module to fork
        os.write(control, _number(answer))
    except OSError:  # the daemon does not wait for it any more
        pass


def _number(value: int) -> bytes:
    return value.to_bytes(NUMBER_SIZE, sys.byteorder, signed=True)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
