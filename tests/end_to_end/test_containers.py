"""The idioms of container images, unchanged, with the real daemon.

Their event listeners that end the supervisor are in ``test_listeners.py``.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from tests.kit.daemon import (
    BASE,
    COMMAND,
    PATIENCE,
    alive,
    daemon,
    eventually,
    run_to_end,
    wait_until_gone,
    write_config,
)
from tests.kit.machine import NEW_PIDS, need_namespaces
from tests.kit.root import NOBODY, as_user, directory_of, needs_root

if TYPE_CHECKING:
    from collections.abc import Iterator

SILENT = "stdout_logfile_maxbytes=0\nstderr_logfile_maxbytes=0\n"
#: What images copy from each other; ``{out}`` is where a program's output goes.
PROGRAMS = f"""\
[program:web]
command=/bin/sh -c "echo web out; echo web err >&2; exec cat"
stdout_logfile=/dev/stdout
stderr_logfile=/dev/stderr
{SILENT}\
[program:once]
command=/bin/echo once out
startsecs=0
startretries=0
autorestart=false
redirect_stderr=true
stdout_logfile=/dev/fd/1
{SILENT}\
[program:first]
command=/bin/echo first out
startsecs=0
autorestart=false
redirect_stderr=true
stdout_logfile=/proc/1/fd/1
stdout_capture_maxbytes=50MB
{SILENT}\
[program:upload]
command=/bin/cat
autostart=%(ENV_SE_VIDEO_INTERNAL_UPLOAD)s
stdout_logfile=NONE
"""
HEAD = """\
[supervisord]
nodaemon=true
user=root
logfile=/dev/stdout
logfile_maxbytes=0
pidfile=/dev/null
childlogdir=%(here)s
"""
NULL_DEVICE = Path("/dev/null")


@contextmanager
def container(directory: Path, text: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The daemon as PID 1; its stdout and stderr are one pipe, as a container's are."""
    need_namespaces(*NEW_PIDS)
    (directory / "c.conf").write_text(text)
    with subprocess.Popen(
        ["unshare", *NEW_PIDS, "--kill-child",
         *COMMAND, "-c", "c.conf", *arguments],
        cwd=directory,
        env={**os.environ, "SE_VIDEO_INTERNAL_UPLOAD": "false"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def read_until(stream: IO[str] | None, *texts: str) -> str:
    """Lines until each of the texts was in one."""
    assert stream is not None
    seen = ""
    while not all(text in seen for text in texts):
        line = stream.readline()
        assert line, f"{texts} expected, seen: {seen}"
        seen += line
    return seen


def inner_pid(process: subprocess.Popen[str]) -> int:
    """The pid, outside, of what is PID 1 inside."""
    (pid,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(pid)


@pytest.mark.behaviour(
    "process.md#reaping",
    "process.md#special-files-as-logs",
    "process.md#destinations-of-the-activity-log",
)
@needs_root
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_container_says_everything_on_its_stdout(tmp_path: Path, stop: signal.Signals) -> None:
    """Each line once, nothing that looks like trouble, code 0."""
    with container(tmp_path, HEAD + PROGRAMS) as process:
        seen = read_until(
            process.stdout, "success: web", "exited: once", "exited: first", "first out", "web err"
        )
        os.kill(inner_pid(process), stop)
        assert process.stdout is not None
        seen += process.stdout.read()
        assert process.wait(PATIENCE) == 0
    lines = seen.splitlines()
    for line in ("web out", "web err", "once out", "first out"):
        assert lines.count(line) == 1
    for text in (
        "INFO Set uid to user 0 succeeded",
        "INFO supervisord started with pid 1",
        f"WARN received {stop.name} indicating exit request",
        "WARN stopped: web (terminated by SIGTERM)",
    ):
        assert sum(line.endswith(text) for line in lines) == 1
    assert not any(" CRIT " in line or " ERRO " in line or "upload" in line for line in lines)
    assert NULL_DEVICE.is_char_device()


@needs_root
def test_the_same_by_the_command_line(tmp_path: Path) -> None:
    """``--logfile /dev/null --pidfile /dev/null --user root -n``."""
    text = "[supervisord]\nchildlogdir=%(here)s\nlogfile=sup.log\n" + PROGRAMS
    arguments = ["--logfile", "/dev/null", "--pidfile", "/dev/null", "--user", "root", "-n"]
    with container(tmp_path, text, *arguments) as process:
        seen = read_until(process.stdout, "success: web", "web err", "first out", "once out")
        os.kill(inner_pid(process), signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        assert "Error" not in seen
    assert sorted(path.name for path in tmp_path.iterdir() if "---" not in path.name) == ["c.conf"]
    assert NULL_DEVICE.is_char_device()


@pytest.mark.behaviour("process.md#special-files-as-logs")
@pytest.mark.parametrize("stdout", ["pipe", "socket", "file", "closed"])
@pytest.mark.parametrize("option", ["stdout_logfile_maxbytes=0", ""])
def test_stdout_may_be_anything(tmp_path: Path, stdout: str, option: str) -> None:
    """Also a socket, which cannot be opened by name."""
    reader: socket.socket | IO[bytes]
    if stdout == "socket":
        reader, writer = socket.socketpair()
        fd = writer.detach()
    elif stdout == "pipe":
        read, fd = os.pipe()
        reader = os.fdopen(read, "rb")
    else:
        reader = (tmp_path / "stdout").open("w+b")
        fd = os.open(tmp_path / "stdout", os.O_WRONLY | os.O_APPEND)
    (tmp_path / "config").mkdir()
    text = (
        "[program:x]\ncommand=/bin/sh -c 'echo out of the child; touch spoken; exec cat'\n"
        "startsecs=0\n"
        f"stdout_logfile=/dev/stdout\n{option}\n"
    )
    write_config(tmp_path / "config", text, base=BASE.replace("loglevel=debug", "loglevel=info"))
    command = [*COMMAND, "-n", "-c", "config/c.conf"]
    if stdout == "closed":
        command = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    with reader, subprocess.Popen(command, cwd=tmp_path, stdout=fd, stderr=fd) as process:
        os.close(fd)
        log = tmp_path / "config" / "sup.log"
        try:
            eventually(lambda: log.exists() and "success: x" in log.read_text(), "its start")
            eventually((tmp_path / "spoken").exists, "its words")
            if stdout == "closed":
                assert os.readlink(f"/proc/{process.pid}/fd/1") == os.devnull
        finally:
            process.terminate()
        assert process.wait(PATIENCE) == 0
        seen = b"" if stdout == "closed" else read_all(reader)
    if stdout != "closed":
        assert seen.count(b"out of the child\n") == 1
        assert seen.count(b"INFO success: x") == 1
    assert "CRIT Server" in log.read_text()
    assert log.read_text().count(" CRIT ") == 1


def read_all(reader: socket.socket | IO[bytes]) -> bytes:
    if not isinstance(reader, socket.socket):
        return reader.read()
    data = b""
    while chunk := reader.recv(1 << 16):
        data += chunk
    return data


@needs_root
def test_stdout_of_somebody_else(tmp_path: Path) -> None:
    """The daemon gave up the rights to open it by name; it is open already."""
    with directory_of(NOBODY) as directory:
        text = (
            "[program:x]\ncommand=/bin/sh -c 'echo out of the child; touch spoken; exec cat'\n"
            "startsecs=0\n"
            "stdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0\n"
        )
        with daemon(directory, text, user=NOBODY) as running:
            running.wait_for("x", "RUNNING")
            (directory / "stdout").chmod(0)
            eventually(lambda: "\nout of the child" in (directory / "stdout").read_text(), "it")
            assert running.stop() == 0


@pytest.mark.parametrize("way", ["foreground", "detached"])
def test_without_any_standard_descriptor(tmp_path: Path, way: str) -> None:
    """Nothing that is opened later becomes our stdout, and detaching ends."""
    text = (
        "[program:x]\ncommand=/bin/sh -c 'echo out of the child; touch spoken; exec cat'\n"
        "startsecs=0\n"
        "stdout_logfile=%(here)s/out\n"
    )
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    pidfile = tmp_path / "sup.pid"
    with (
        daemon(tmp_path, text, within=closed)
        if way == "foreground"
        else detached(tmp_path, text, closed)
    ):
        pid = int(pidfile.read_text())
        assert [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)] == [os.devnull] * 3
        out = tmp_path / "out"
        eventually(lambda: out.exists() and out.read_text() == "out of the child\n", "its output")


@contextmanager
def detached(directory: Path, text: str, within: list[str]) -> Iterator[None]:
    write_config(directory, text)
    assert run_to_end("-c", "c.conf", cwd=directory, within=within).returncode == 0
    pid = int((directory / "sup.pid").read_text())
    try:
        yield
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_until_gone(pid)


@needs_root
@pytest.mark.parametrize("named", [False, True])
def test_a_user_that_exists_nowhere(*, named: bool) -> None:
    """OpenShift runs images with a number for a user, in the group of root; a configuration may
    name that number.
    """
    stranger = 1_234_567
    with directory_of("root") as directory:
        os.chown(directory, stranger, 0)
        user = f"user={stranger}\n" if named else ""
        base = BASE.replace("user={user}\n", user)
        text = f"[program:x]\ncommand=/bin/cat\nstartsecs=0\n{user}"
        with daemon(directory, text, base=base, within=as_user(stranger, 0)) as running:
            running.wait_for("x", "RUNNING")
            assert Path(f"/proc/{running.pid('x')}").stat().st_uid == stranger
            assert running.stop() == 0


def test_a_program_ends_the_supervisor_when_it_has_ended(tmp_path: Path) -> None:
    """Selenium: the main program's own shell does it."""
    text = (
        '[program:main]\ncommand=/bin/bash -c "cat; EXIT_CODE=$?; kill -s SIGINT $(cat '
        '%(here)s/sup.pid); exit $EXIT_CODE"\nstartsecs=0\nautorestart=false\n'
        "[program:other]\ncommand=/bin/cat\nstartsecs=0\n"
    )
    with daemon(tmp_path, text) as running:
        running.wait_for("other", "RUNNING")
        other = running.pid("other")
        cat = eventually(lambda: children_of(running.pid("main")), "the shell's child")
        os.kill(cat[0], signal.SIGKILL)
        assert running.process.wait(PATIENCE) == 0
        assert not alive(other)
    assert "WARN received SIGINT indicating exit request" in running.log


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_program_that_starts_the_others_with_the_client(tmp_path: Path) -> None:
    """docker-mailserver: an entry point that asks for services, one after the other."""
    client = f"{Path(sys.executable).with_name('tsupervisorctl')} -c c.conf"
    (tmp_path / "stack.sh").write_text(
        f"{client} start rspamd\n{client} start postfix\n"
        f"until [ -s rspamd ]; do sleep 0.05; done\n{client} signal SIGHUP rspamd\n"
        f"{client} status rspamd postfix | awk '{{print $2}}' | sort -u\necho done\n"
    )
    service = (
        "autostart=false\nstartsecs=0\ncommand=/bin/sh -c \"trap 'echo reloaded' HUP; echo up; "
        'while :; do read line || sleep 0.05; done"\nstdout_logfile=%(here)s/%(program_name)s\n'
    )
    text = (
        f"[program:stack]\ncommand=/bin/sh stack.sh\ndirectory={tmp_path}\nstartsecs=0\n"
        f"autorestart=false\nstdout_logfile=%(here)s/said\nredirect_stderr=true\n"
        f"[program:rspamd]\n{service}[program:postfix]\n{service}"
    )
    said = tmp_path / "said"
    with daemon(tmp_path, text) as running:
        eventually(lambda: said.exists() and "done" in said.read_text(), "the end of the script")
        assert said.read_text() == (
            "rspamd: started\npostfix: started\nrspamd: signalled\nRUNNING\ndone\n"
        )
        reloaded = "up\nreloaded\n"
        eventually(lambda: (tmp_path / "rspamd").read_text() == reloaded, "the trap's line")
        assert running.stop() == 0
