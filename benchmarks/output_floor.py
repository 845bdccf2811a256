"""``python -m benchmarks.output_floor``: what floods and listeners cost without a daemon.

The writers of ``flood`` are read and logged, and the byte-wise listener of ``listener-unbuffered``
is sent its events, by loops of plain system calls that do nothing else: no states, no rotation, no
numbers. The loop for floods is also run in C if there is a compiler. No daemon that reads and
writes can need less; files are open for appending, so the kernel refuses to splice.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from fcntl import F_SETPIPE_SZ, fcntl
from functools import partial
from pathlib import Path

import trio

from benchmarks.scenarios import writers
from benchmarks.scenarios.listener import listener_script
from trio_supervisor.runtime.logs.logfile import OPEN_FLAGS
from trio_supervisor.runtime.system.malloc import fix_thresholds

Loop = Callable[[int, dict[int, int]], None]
Deliver = Callable[[int, int], None]

BLOCK = 8 * 1024
#: Number of writers, and bytes of each.
FLOODS = ((1, 512_000_000), (50, 20_000_000))
#: Sizes of a pipe and of a read.
SIZES = (128 * 1024, 512 * 1024)
EVENTS = 10_000
READY = b"READY\n"
EVENT = (
    b"ver:3.0 server:supervisor serial:1 pool:listener poolserial:1 "
    b"eventname:REMOTE_COMMUNICATION len:12\ntype:t\nevent"
)

C_LOOP = r"""
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv) {  /* SIZE, then a pipe and a file for each writer */
    long size = atol(argv[1]); int n = (argc - 2) / 2, left = n;
    char *buffer = malloc(size); struct pollfd *pipes = calloc(n, sizeof *pipes);
    for (int i = 0; i < n; i++) { pipes[i].fd = atoi(argv[2 + 2 * i]); pipes[i].events = POLLIN; }
    while (left && poll(pipes, n, -1) > 0)
        for (int i = 0; i < n; i++) if (pipes[i].fd >= 0 && pipes[i].revents) {
            long count = read(pipes[i].fd, buffer, size);
            if (count > 0) { if (write(atoi(argv[3 + 2 * i]), buffer, count) != count) return 1; }
            else if (count == 0 || errno != EAGAIN) { pipes[i].fd = -1; left--; }
        }
    return left;
}
"""


def python_loop(size: int, logs: dict[int, int]) -> None:
    """Do the same as ``C_LOOP``: write from each pipe to its log."""
    fix_thresholds()
    epoll = select.epoll()
    for pipe in logs:
        epoll.register(pipe, select.EPOLLIN)
    while logs:
        for pipe, _ in epoll.poll():
            with suppress(BlockingIOError):
                if data := os.read(pipe, size):
                    os.write(logs[pipe], data)
                else:
                    epoll.unregister(pipe)
                    del logs[pipe]


def c_loop(program: str, size: int, logs: dict[int, int]) -> None:
    """Become the program of ``C_LOOP``."""
    numbers = [str(number) for pair in logs.items() for number in pair]
    os.execv(program, [program, str(size), *numbers])


def flood(loop: Loop, count: int, amount: int, size: int) -> str:
    """Log the output of some writers with a loop; return its processor time and rate."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        writers.programs([str(n) for n in range(count)], directory, amount=amount, block=BLOCK)
        command = [
            sys.executable,
            "-S",
            "-E",
            str(directory / "writer.py"),
            str(amount),
            str(BLOCK),
        ]
        logs: dict[int, int] = {}
        children = []
        for number in range(count):
            reading, writing = os.pipe()
            fcntl(reading, F_SETPIPE_SZ, size)
            os.set_blocking(reading, False)
            children.append(subprocess.Popen(command, stdout=writing))
            os.close(writing)
            logs[reading] = os.open(directory / str(number), OPEN_FLAGS, 0o600)
            os.set_inheritable(reading, True)
            os.set_inheritable(logs[reading], True)
        began = time.monotonic()
        if not (pid := os.fork()):
            loop(size, logs)
            os._exit(0)
        _, status, usage = os.wait4(pid, 0)
        seconds = time.monotonic() - began
        assert status == 0
        for reading, log in logs.items():
            os.close(reading)
            os.close(log)
        for child in children:
            child.wait()
    processor = usage.ru_utime + usage.ru_stime
    total = count * amount
    return f"{processor / (total / 1e9):.2f} s/GB, {total / 1e6 / seconds:.0f} MB/s"


def listener(deliver: Deliver) -> str:
    """Send a byte-wise listener its events; return the processor time of each and the rate."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "go").touch()
        command = [sys.executable, "-S", "-E", listener_script(directory), name]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            reading, writing = child.stdout.fileno(), child.stdin.fileno()
            before, began = time.process_time(), time.monotonic()
            deliver(reading, writing)
            seconds = time.monotonic() - began
            processor = time.process_time() - before
            child.kill()
    return f"{processor / EVENTS * 1e6:.0f} us/event, {EVENTS / seconds:.0f} events/s"


def deliver_plainly(reading: int, writing: int) -> None:
    """Wait for each answer by a system call."""
    epoll = select.epoll()
    epoll.register(reading, select.EPOLLIN)
    for _ in range(EVENTS):
        answer = b""
        while not answer.endswith(READY):
            epoll.poll()
            answer += os.read(reading, 128 * 1024)
        os.write(writing, EVENT)


def deliver_in_trio(reading: int, writing: int) -> None:
    """Wait for each answer as a task of trio does, beside which others can run."""

    async def deliver() -> None:
        for _ in range(EVENTS):
            answer = b""
            while not answer.endswith(READY):
                await trio.lowlevel.wait_readable(reading)
                answer += os.read(reading, 128 * 1024)
            os.write(writing, EVENT)

    trio.run(deliver)


def main() -> None:
    """Measure everything once and print it."""
    with tempfile.TemporaryDirectory() as name:
        loops: dict[str, Loop] = {"Python": python_loop}
        if (compiler := shutil.which("cc")) is not None:
            source, program = Path(name, "loop.c"), str(Path(name, "loop"))
            source.write_text(C_LOOP)
            subprocess.run([compiler, "-O2", "-o", program, str(source)], check=True)
            loops["C"] = partial(c_loop, program)
        for count, amount in FLOODS:
            for size in SIZES:
                for language, loop in loops.items():
                    what = f"{count} writers, {size // 1024} KiB a read, {language}"
                    print(f"{what}: {flood(loop, count, amount, size)}", flush=True)
    for language, deliver in (("Python", deliver_plainly), ("trio", deliver_in_trio)):
        print(f"listener that reads byte by byte, {language}: {listener(deliver)}", flush=True)


if __name__ == "__main__":
    main()
