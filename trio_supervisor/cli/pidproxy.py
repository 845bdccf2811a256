"""``tpidproxy PIDFILE COMMAND [ARG ...]``: forward signals to a daemon that writes PIDFILE.

The program runs COMMAND, which starts the daemon, and sends each signal that it gets to the pid in
the file. It exits when the command does, or, after a signal that asks the daemon to end, when the
daemon does. It uses only the standard library.
"""

from __future__ import annotations

import os
import select
import signal
import sys

from trio_supervisor.cli.recorded_pid import recorded_pid

ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
"""After one of these the daemon is expected to end, and the proxy ends with it."""
PASSED_ON = ENDING | {signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}

#: Seconds between two looks at a daemon that is awaited without a pidfd.
LOOK_INTERVAL = 0.2
#: Exit statuses; shells use 127 for a command that cannot be started.
BAD_USAGE = 1
TARGET_GONE = 1
CANNOT_START = 127
#: Added to the number of the signal that ended the command, as shells do.
SIGNALLED = 128


def main(argv: list[str] | None = None) -> int:
    """Run the command line (program name first) and return the exit status."""
    argv = sys.argv if argv is None else argv
    if len(argv) < 3:
        _say(f"usage: {os.path.basename(argv[0])} PIDFILE COMMAND [ARG ...]")
        return BAD_USAGE
    pidfile, command = argv[1], argv[2:]
    with _SignalPipe() as signals:
        try:
            # No PATH search: a bare name is taken from the working directory.
            child = os.posix_spawn(command[0], command, os.environ)
        except OSError as error:
            _say(f"Can't start {command[0]}: {error.strerror}")
            return CANNOT_START
        return _Proxy(pidfile, child, signals).run()


def _say(text: str) -> None:
    print(text, flush=True)


class _SignalPipe:
    """A pipe that delivers forwarded signals and SIGCHLD as bytes, for one poll to wait on."""

    def __enter__(self) -> _SignalPipe:
        self._fd, self._write_fd = os.pipe()
        os.set_blocking(self._fd, False)
        os.set_blocking(self._write_fd, False)
        self._previous_fd = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        self._previous = {
            number: signal.signal(number, _noted) for number in {*PASSED_ON, signal.SIGCHLD}
        }
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_fd)
        os.close(self._fd)
        os.close(self._write_fd)

    def fileno(self) -> int:
        return self._fd

    def read(self) -> bytes:
        """Return the numbers of the signals that were received, in order."""
        try:
            return os.read(self._fd, select.PIPE_BUF)
        except BlockingIOError:
            return b""


def _noted(number: int, frame: object) -> None:
    """Do nothing: the wakeup descriptor has delivered the signal."""


class _Proxy:
    def __init__(self, pidfile: str, child: int, signals: _SignalPipe) -> None:
        self._pidfile = pidfile
        self._child = child
        self._signals = signals
        self._awaited: int | None = None
        """The pid of the daemon whose end is awaited; None means that no end is awaited."""
        self._pidfd: int | None = None
        """Its pidfd; None means that the kernel or a sandbox refuses one."""

    def run(self) -> int:
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        try:
            while True:
                for number in self._signals.read():
                    status = self._reaped() if number == signal.SIGCHLD else self._pass_on(number)
                    if status is not None:
                        return status
                if self._pidfd is not None:
                    poll.register(self._pidfd, select.POLLIN)
                looks = self._awaited is not None and self._pidfd is None
                ready = poll.poll(LOOK_INTERVAL * 1000 if looks else None)
                if any(fd == self._pidfd for fd, _ in ready):
                    return 0
                if self._awaited is not None and looks and not _exists(self._awaited):
                    return 0
        finally:
            if self._pidfd is not None:
                os.close(self._pidfd)

    def _reaped(self) -> int | None:
        """Return the exit status if the command has ended and the daemon's end is not awaited."""
        pid, wait_status = os.waitpid(self._child, os.WNOHANG)
        if pid == 0 or self._awaited is not None:
            return None
        code = os.waitstatus_to_exitcode(wait_status)
        return code if code >= 0 else SIGNALLED - code

    def _pass_on(self, number: int) -> int | None:
        """Send the signal to the pid in the file; return the exit status if that cannot be done."""
        pid = self._read_pid()
        if pid is None:
            _say(f"Can't read child pidfile {self._pidfile}!")
            return None
        pidfd = _open_pidfd(pid)
        kept = False
        try:
            _send(pid, pidfd, number)
            if number in ENDING and self._awaited is None:
                self._awaited, self._pidfd = pid, pidfd
                kept = True
        except OSError as error:
            _say(f"Can't signal pid {pid} of {self._pidfile}: {error.strerror}")
            return TARGET_GONE
        finally:
            if pidfd is not None and not kept:
                os.close(pidfd)
        return None

    def _read_pid(self) -> int | None:
        try:
            return recorded_pid(self._pidfile)
        except (OSError, ValueError):
            return None


def _open_pidfd(pid: int) -> int | None:
    """Open a pidfd; None means that it is refused, or that there is no such process."""
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):  # an interpreter may have been built without it
        return None


def _send(pid: int, pidfd: int | None, number: int) -> None:
    """Signal through the pidfd, so that only the awaited process is signalled. Raises OSError."""
    if pidfd is not None:
        try:
            signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            raise
        except OSError:  # a sandbox refuses it, or the process is not ours: kill tells which
            pass
        else:
            return
    os.kill(pid, number)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    sys.exit(main())
