"""A program of the storm: writes numbered lines, records what it has written, and misbehaves.

Run by path with a bare interpreter (``python -I -S``), so it imports the standard library only.

A run's record is a file that is mapped into memory, so what is in it survives SIGKILL: its pid, the
number of the last line of which the writing has begun, and that of the last one written. What it
does at a signal: USR1 floods, USR2 closes its output, HUP forks into a new session, WINCH makes its
checks fail for a while, PROF ends it with status 7.
"""

import argparse
import contextlib
import mmap
import os
import random
import signal
import socket
import struct
import sys
import time

#: pid, line begun, line written, whether the output was closed, the errno of a failed write.
RECORD = struct.Struct("=qqqqq")
#: Lines of a flood, and of one write of it.
FLOOD_LINES = 40_000
BLOCK_LINES = 1_500
#: Longest life in seconds of what a program has forked.
FORK_LIFE = 20
#: Probability in each second that a program ends by itself.
MORTALITY = 0.01
#: Seconds for which a program fails its checks after WINCH.
ILLNESS = 3.0
END_CODES = (0, 1, 7, 78)


class Record:
    """The file of this run."""

    def __init__(self, directory: str) -> None:
        os.makedirs(directory, exist_ok=True)
        self.run = len(os.listdir(directory))
        while True:
            try:
                path = os.path.join(directory, str(self.run))
                file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            except FileExistsError:
                self.run += 1
            else:
                break
        os.ftruncate(file, RECORD.size)
        self._map = mmap.mmap(file, RECORD.size)
        os.close(file)
        self.begun = self.written = self.closed = self.errno = 0
        self.store()

    def store(self) -> None:
        RECORD.pack_into(
            self._map, 0, os.getpid(), self.begun, self.written, self.closed, self.errno
        )


class Actor:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.record = Record(os.path.join(options.directory, "records", options.name))
        self.chance = random.Random(f"{options.name} {self.record.run}")
        self.sick_until = 0.0
        self.wishes: list[int] = []

    def line(self, number: int) -> bytes:
        padding = "x" * (number * 7 % 61)
        return f"<{self.options.name} {self.record.run} {number} {padding}>\n".encode()

    def write(self, count: int) -> None:
        """Write the next lines; once the output is closed there are none."""
        record = self.record
        if record.closed:
            return
        first = record.begun + 1
        data = b"".join(map(self.line, range(first, first + count)))
        record.begun += count
        record.store()
        try:
            while data:
                data = data[os.write(1, data) :]
        except OSError as error:
            record.errno = error.errno or -1
            record.closed = 1
        else:
            record.written = record.begun
        record.store()

    def announce(self) -> None:
        match self.options.announce.split(":"):
            case ["log"]:
                os.write(2, b"ready now\n")
            case ["fd"]:
                os.write(3, b"\n")
            case ["notify"]:
                self.notify(b"READY=1\nSTATUS=run %d" % self.record.run)
            case ["unix", path]:
                server = socket.socket(socket.AF_UNIX)
                if os.path.exists(path):
                    os.unlink(path)
                server.bind(path)
                server.listen()
                self.server = server

    def notify(self, message: bytes) -> None:
        path = os.environ.get("NOTIFY_SOCKET")
        if path:
            sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            with sender, contextlib.suppress(OSError):  # the next message tells
                sender.sendto(message, path)

    def wish(self, number: int, frame: object) -> None:
        self.wishes.append(number)

    def fulfil(self, number: int) -> None:
        match number:
            case signal.SIGUSR1:
                for _ in range(0, FLOOD_LINES, BLOCK_LINES):
                    self.write(BLOCK_LINES)
            case signal.SIGUSR2:
                self.record.closed = 1
                self.record.store()
                os.close(1)
                os.open("/dev/null", os.O_WRONLY)
            case signal.SIGHUP:
                self.fork()
            case signal.SIGWINCH:
                self.sick_until = time.monotonic() + ILLNESS
            case signal.SIGPROF:
                sys.exit(7)

    def fork(self) -> None:
        """A grandchild that has left the session and ignores TERM."""
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                signal.alarm(FORK_LIFE)
                signal.pause()
            os._exit(0)
        os.wait()

    def calm(self) -> bool:
        return os.path.exists(os.path.join(self.options.directory, "calm"))

    def run(self) -> None:
        options = self.options
        for number in (
            signal.SIGUSR1,
            signal.SIGUSR2,
            signal.SIGHUP,
            signal.SIGWINCH,
            signal.SIGPROF,
        ):
            signal.signal(number, self.wish)
        if options.deaf:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.write(1)
        if options.job:
            self.write(self.chance.randrange(500))
            sys.exit(0)
        self.announce()
        period = 1 / options.rate
        while True:
            self.write(1)
            os.set_blocking(0, False)
            sick = time.monotonic() < self.sick_until
            if options.health and not sick:
                with open(options.health, "w") as file:
                    file.write(str(os.getpid()))
            elif options.health and os.path.exists(options.health):
                os.unlink(options.health)
            if options.announce == "notify" and not sick:
                self.notify(b"WATCHDOG=1")
            if self.chance.random() < MORTALITY * period and not self.calm():
                sys.exit(self.chance.choice(END_CODES))
            time.sleep(period)
            while self.wishes:
                self.fulfil(self.wishes.pop(0))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("name")
    parser.add_argument("--rate", type=float, default=4, help="lines a second")
    parser.add_argument("--announce", default="")
    parser.add_argument("--health", default="", help="file that exists while it is well")
    parser.add_argument("--deaf", action="store_true", help="ignore TERM")
    parser.add_argument("--job", action="store_true", help="write some lines and exit")
    return parser.parse_args()


if __name__ == "__main__":
    Actor(parse()).run()
