"""``tpidproxy PIDFILE COMMAND [ARG ...]``: stands in front of a daemon that writes PIDFILE.

A program of its own (standard library only): passes signals on to the pid in the file and ends
when the command ends, or when the daemon does after a signal to end (P-345 to P-350, D-34).
"""

from __future__ import annotations

import os
import select
import signal
import sys

from trio_supervisor.cli.recorded_pid import recorded_pid

ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
"""After one of these the daemon is expected to end, and we with it."""
PASSED_ON = ENDING | {signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}

#: Exit statuses; 127 is what shells say of a command they cannot start.
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
    """Turns the signals that matter into bytes on a pipe, so that one poll waits for all."""

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
        """The numbers of the signals that have come, in order."""
        try:
            return os.read(self._fd, select.PIPE_BUF)
        except BlockingIOError:
            return b""


def _noted(number: int, frame: object) -> None:
    """The wakeup descriptor has it already."""


class _Proxy:
    def __init__(self, pidfile: str, child: int, signals: _SignalPipe) -> None:
        self._pidfile = pidfile
        self._child = child
        self._signals = signals
        self._target = -1
        """pidfd of the daemon whose end is awaited."""

    def run(self) -> int:
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        try:
            while True:
                for number in self._signals.read():
                    status = self._reaped() if number == signal.SIGCHLD else self._pass_on(number)
                    if status is not None:
                        return status
                if self._target >= 0:
                    poll.register(self._target, select.POLLIN)
                if any(fd == self._target for fd, _ in poll.poll()):
                    return 0
        finally:
            if self._target >= 0:
                os.close(self._target)

    def _reaped(self) -> int | None:
        """The exit status if the command has ended and nothing else is awaited."""
        pid, wait_status = os.waitpid(self._child, os.WNOHANG)
        if pid == 0 or self._target >= 0:
            return None
        code = os.waitstatus_to_exitcode(wait_status)
        return code if code >= 0 else SIGNALLED - code

    def _pass_on(self, number: int) -> int | None:
        """Send the signal to the pid now in the file; the exit status if there is no such pid."""
        pid = self._read_pid()
        if pid is None:
            _say(f"Can't read child pidfile {self._pidfile}!")
            return None
        try:
            # Through a pidfd, so that the one awaited is the one signalled.
            target = os.pidfd_open(pid)
            signal.pidfd_send_signal(target, number)
        except OSError as error:
            _say(f"Can't signal pid {pid} of {self._pidfile}: {error.strerror}")
            return TARGET_GONE
        if number in ENDING and self._target < 0:
            self._target = target
        else:
            os.close(target)
        return None

    def _read_pid(self) -> int | None:
        try:
            return recorded_pid(self._pidfile)
        except (OSError, ValueError):
            return None


if __name__ == "__main__":
    sys.exit(main())
