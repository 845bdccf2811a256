"""Run as a script between fork and exec: becomes another user, unblocks signals, then executes the
program.

``subprocess`` enters the working directory before it changes the user; here the order is that of
P-056, so that the directory is entered with the user's own rights (P-060). It is told what to do,
and tells what failed, over an inherited socket that the exec closes. Imports only what every
interpreter has loaded anyway: it runs once for each spawn.
"""

from __future__ import annotations

import marshal
import os
import sys

#: Exit code when the program could not be executed (P-074).
NOT_SPAWNED = 127


def main(control: int) -> None:
    os.set_inheritable(control, False)
    with open(control, "rb", closefd=False) as orders:
        identity, signals, directory, umask, executable, argv, environment = marshal.load(orders)
    unblock, restore = signals
    if unblock or restore:  # before the rights to read this module are given up
        import signal

        if unblock:
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if restore:  # what every interpreter ignores
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    stage = "groups"
    try:
        if identity is not None:
            uid, gid, groups = identity
            os.setgroups(groups)
            stage = "group"
            os.setgid(gid)
            stage = "user"
            os.setuid(uid)
        stage = "directory"
        if directory is not None:
            os.chdir(directory)
        if umask is not None:
            os.umask(umask)
        stage = "exec"
        os.execve(executable, argv, environment)
    except OSError as error:
        os.write(control, marshal.dumps((stage, error.errno)))
    os._exit(NOT_SPAWNED)


if __name__ == "__main__":
    main(int(sys.argv[1]))
