"""The daemon and its machine: start-up, users, limits, sockets."""

from __future__ import annotations

import os
import pwd
import re
import signal
import socket
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import (
    BARE,
    BASE,
    COMMAND,
    PATIENCE,
    Daemon,
    alive,
    daemon,
    eventually,
    run_to_end,
    wait_until_gone,
    write_config,
)
from tests.kit.machine import need_namespaces
from tests.kit.root import NOBODY, as_user, directory_of, needs_root

if TYPE_CHECKING:
    from collections.abc import Iterator

CAT = "[program:x]\ncommand=/bin/cat\nstartsecs=0\n"


def options(*lines: str) -> str:
    """The base with more options of [supervisord]."""
    return BASE.replace("[unix_http_server]", "\n".join((*lines, "[unix_http_server]")), 1)


@contextmanager
def detached(directory: Path, text: str, base: str = BASE) -> Iterator[int]:
    """The pid of a daemon in the background."""
    write_config(directory, text, base=base)
    done = run_to_end("-c", "c.conf", cwd=directory)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pid = int((directory / "sup.pid").read_text())
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_until_gone(pid)


def process_status(pid: int, field: str) -> str:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{field}:\s*(.*)$", status, re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.mark.behaviour(
    "process.md#foreground-and-background",
    "process.md#log-targets",
    "configuration.md#relative-paths",
)
def test_a_detached_daemon(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    base = options(f"directory={other}", "umask=027")
    text = "[program:x]\ncommand=/bin/cat\nstartsecs=0\nstdout_logfile=rel.log\n"
    with detached(tmp_path, text, base) as pid:
        assert (os.getsid(pid), os.getpgid(pid)) == (pid, pid)
        assert [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)] == ["/dev/null"] * 3
        stat_fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        assert stat_fields[4] == "0"  # no terminal
        assert os.readlink(f"/proc/{pid}/cwd") == str(other)
        assert process_status(pid, "Umask") == "0027"
        eventually((other / "rel.log").exists, "the program's log")
        lines = (
            "INFO daemonizing the supervisord process",
            f"INFO set current directory: '{other}'",
            f"INFO supervisord started with pid {pid}",
        )
        log = tmp_path / "sup.log"
        eventually(lambda: all(line in log.read_text() for line in lines), "the lines in the log")


@pytest.mark.behaviour(
    "process.md#foreground-and-background",
    "configuration.md#settings-of-the-host-that-the-daemon-applies",
)
def test_the_foreground_ignores_directory_and_umask(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    base = options(f"directory={tmp_path}/other", "umask=077")
    with daemon(tmp_path, CAT, base=base) as running:
        pid = running.process.pid
        assert os.readlink(f"/proc/{pid}/cwd") == str(tmp_path)
        assert process_status(pid, "Umask") == process_status(os.getpid(), "Umask")


@pytest.mark.behaviour(
    "process.md#pidfile", "configuration.md#settings-of-the-host-that-the-daemon-applies"
)
def test_an_unwritable_pidfile(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    write_config(tmp_path, CAT, base=BASE.replace("%(here)s/sup.pid", "%(here)s/taken"))
    with subprocess.Popen(
        [*COMMAND, "-n", "-c", "c.conf"], cwd=tmp_path, stdout=subprocess.DEVNULL
    ) as process:
        running = Daemon(tmp_path, process)
        try:
            eventually(lambda: (tmp_path / "sup.log").exists(), "the log")
            running.wait_log(f"CRIT could not write pidfile {tmp_path}/taken")
            running.wait_log("success: x")
        finally:
            assert running.stop() == 0
    assert "supervisord started" not in running.log
    assert (tmp_path / "taken").is_dir()


@pytest.mark.behaviour(
    "process.md#a-second-daemon-with-the-same-configuration", "process.md#pidfile"
)
def test_two_daemons_without_servers(tmp_path: Path) -> None:
    pidfile = tmp_path / "sup.pid"
    with daemon(tmp_path, CAT, base=BARE) as first, daemon(tmp_path, CAT, base=BARE) as second:
        holds = f"{second.process.pid}\n"
        eventually(lambda: pidfile.read_text() == holds, "the second's pid")
        assert first.stop() == 0
        assert pidfile.read_text() == holds
        assert second.stop() == 0
        assert not pidfile.exists()


@pytest.mark.behaviour("process.md#control-sockets")
def test_a_socket_that_cannot_be_made(tmp_path: Path) -> None:
    write_config(tmp_path, CAT, base=BASE.replace("%(here)s/s.sock", "%(here)s/none/s.sock"))
    done = run_to_end("-n", "-c", "c.conf", cwd=tmp_path)
    assert done.returncode == 2
    assert (
        "Error: Cannot open an HTTP server: socket.error reported errno.ENOENT (2)" in done.stderr
    )


@pytest.mark.behaviour("process.md#control-sockets")
def test_a_taken_port_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        write_config(tmp_path, f"{CAT}[inet_http_server]\nport=127.0.0.1:{port}\n")
        done = run_to_end("-n", "-c", "c.conf", cwd=tmp_path)
    assert done.returncode == 2
    assert "Error: Another program is already listening on a port" in done.stderr
    assert not (tmp_path / "s.sock").exists()
    assert not (tmp_path / "sup.pid").exists()


@pytest.mark.behaviour("process.md#control-sockets")
def test_a_regular_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "s.sock").write_text("precious")
    write_config(tmp_path, CAT)
    assert run_to_end("-n", "-c", "c.conf", cwd=tmp_path).returncode == 2
    assert (tmp_path / "s.sock").read_text() == "precious"


@pytest.mark.behaviour("process.md#control-sockets")
@needs_root
def test_attributes_of_the_socket(tmp_path: Path) -> None:
    base = BASE.replace("s.sock\n", "s.sock\nchmod=0770\nchown=nobody:daemon\n", 1)
    with daemon(tmp_path, CAT, base=base):
        status = (tmp_path / "s.sock").stat()
        assert stat.S_IMODE(status.st_mode) == 0o770
        assert (status.st_uid, status.st_gid) == (pwd.getpwnam("nobody").pw_uid, 1)


def limits(pid: int, name: str) -> list[int]:
    found = re.search(rf"^{name}\s+(\d+)\s+(\d+)", Path(f"/proc/{pid}/limits").read_text(), re.M)
    assert found is not None
    return [int(found[1]), int(found[2])]


@pytest.mark.behaviour(
    "process.md#resource-limits", "configuration.md#settings-of-the-host-that-the-daemon-applies"
)
@pytest.mark.parametrize(
    ("given", "after", "said"),
    [
        ("500:2000", [1024, 2000], True),
        ("1500:2000", [1500, 2000], False),
    ],
)
def test_limits_are_raised_and_inherited(
    tmp_path: Path, given: str, after: list[int], said: bool
) -> None:
    with daemon(tmp_path, CAT, within=["prlimit", f"--nofile={given}"]) as running:
        running.wait_for("x", "RUNNING")
        assert limits(running.process.pid, "Max open files") == after
        assert limits(running.pid("x"), "Max open files") == after
        assert ("INFO Increased RLIMIT_NOFILE limit to 1024" in running.log) is said
        # A restart changes nothing.
        running.signal(signal.SIGHUP)
        eventually(lambda: running.log.count("started with pid") == 2, "the restart")
        assert running.log.count("Increased RLIMIT_NOFILE") == int(said)


@pytest.mark.behaviour(
    "process.md#resource-limits", "configuration.md#settings-of-the-host-that-the-daemon-applies"
)
@needs_root
@pytest.mark.parametrize(("option", "name"), [("minfds", "nofile"), ("minprocs", "nproc")])
def test_a_limit_that_cannot_be_raised(option: str, name: str) -> None:
    with directory_of(NOBODY) as directory:
        write_config(directory, CAT, base=options(f"{option}=1024"), user=NOBODY)
        done = run_to_end(
            "-n", "-c", "c.conf", cwd=directory, within=("prlimit", f"--{name}=600:600")
        )
    assert done.returncode == 2
    error = done.stderr.splitlines()[0]
    assert error.startswith("Error: ")
    for part in (option, "1024", "600"):
        assert part in error


@pytest.mark.behaviour(
    "process.md#resource-limits", "configuration.md#settings-of-the-host-that-the-daemon-applies"
)
def test_a_limit_beyond_all_numbers(tmp_path: Path) -> None:
    write_config(tmp_path, CAT, base=options(f"minfds={'9' * 30}"))
    done = run_to_end("-n", "-c", "c.conf", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: minfds={'9' * 30} cannot be satisfied")


@pytest.mark.behaviour("process.md#privileges")
@needs_root
def test_the_daemons_user() -> None:
    uid = pwd.getpwnam(NOBODY).pw_uid
    with directory_of(NOBODY) as directory, daemon(directory, CAT, user=NOBODY) as running:
        running.wait_for("x", "RUNNING")
        assert f"INFO Set uid to user {uid} succeeded" in running.log.splitlines()[0]
        made = [
            path for path in directory.iterdir() if path.name not in ("c.conf", "stdout", "stderr")
        ]
        assert len(made) == 5
        assert {path.stat().st_uid for path in made} == {uid}
        assert process_status(running.process.pid, "Uid").split() == [str(uid)] * 4
        assert process_status(running.pid("x"), "Uid").split() == [str(uid)] * 4


@pytest.mark.behaviour("process.md#privileges")
@needs_root
def test_another_user_without_being_root() -> None:
    within = as_user(pwd.getpwnam(NOBODY).pw_uid, os.getgid())
    with directory_of(NOBODY) as directory:
        write_config(directory, CAT, user="daemon")
        done = run_to_end("-n", "-c", "c.conf", cwd=directory, within=within)
        assert done.returncode == 2
        assert done.stderr.startswith("Error: Can't drop privilege as nonroot user\n")
        # The same user is no change.
        with daemon(directory, CAT, user=NOBODY, within=within) as running:
            running.wait_for("x", "RUNNING")


@pytest.mark.behaviour(
    "process.md#identity-directory-and-umask-of-a-child", "process.md#privileges"
)
@needs_root
@pytest.mark.parametrize("who", ["daemon", "program"])
def test_every_group_of_the_user(who: str) -> None:
    """With a group file of our own that is seen by this daemon only."""
    gid = pwd.getpwnam(NOBODY).pw_gid
    with directory_of(NOBODY) as directory:
        groups = Path("/etc/group").read_text()
        (directory / "group").write_text(
            f"{groups}one:x:70001:{NOBODY}\ntwo:x:70002:root\nthree:x:70003:root,{NOBODY}\n"
        )
        bind = f'mount --bind {directory}/group /etc/group && exec "$@"'
        text = CAT + (f"user={NOBODY}\n" if who == "program" else "")
        user = NOBODY if who == "daemon" else None
        need_namespaces("--mount")
        within = ["unshare", "--mount", "sh", "-c", bind, "sh"]
        with daemon(directory, text, within=within, user=user) as running:
            running.wait_for("x", "RUNNING")
            found = process_status(running.pid("x"), "Groups").split()
            assert sorted(map(int, found)) == sorted([gid, 70001, 70003])


@pytest.mark.behaviour("process.md#privileges")
def test_an_unknown_user(tmp_path: Path) -> None:
    write_config(tmp_path, CAT, user="nosuchuser")
    done = run_to_end("-n", "-c", "c.conf", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: Invalid user name nosuchuser")


@pytest.mark.behaviour(
    "configuration.md#parsing-of-the-command-line", "process.md#exit-codes-of-the-daemon"
)
@pytest.mark.parametrize("option", ["-v", "-h", "-?", "--version", "--help"])
def test_version_and_help(tmp_path: Path, option: str) -> None:
    done = run_to_end(option, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.behaviour("configuration.md#parsing-of-the-command-line", "process.md#privileges")
@pytest.mark.parametrize(
    "arguments", [["--nosuch"], ["extra"], ["-c", "none.conf"], ["-n", "-e", "loud"]]
)
def test_usage_errors(tmp_path: Path, arguments: list[str]) -> None:
    done = run_to_end(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    # Root is warned of looking around for a configuration.
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Warning: running")]
    assert lines[0].startswith("Error: ")
    assert lines[-1].startswith("For help, use ")


@pytest.mark.behaviour(
    "process.md#destinations-of-the-activity-log", "process.md#exit-codes-of-the-daemon"
)
def test_a_log_that_cannot_be_opened(tmp_path: Path) -> None:
    write_config(tmp_path, CAT, base=BASE.replace("%(here)s/sup.log", "%(here)s"))
    done = run_to_end("-n", "-s", "-c", "c.conf", cwd=tmp_path)  # silent or not
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: cannot open the log {tmp_path}: Is a directory")


@pytest.mark.behaviour("process.md#start-up-sequence")
def test_what_a_start_writes(tmp_path: Path) -> None:
    (tmp_path / "more.conf").write_text("")
    text = f"[include]\nfiles=more.conf none.conf\n{CAT}"
    with daemon(tmp_path, text) as running:
        running.wait_for("x", "RUNNING")
        lines = [line.split(" ", 2)[2] for line in running.log.splitlines()]
        assert [line.split()[0] for line in lines if "CHLD" not in line][:1] != ["INFO"]
    start = lines.index("INFO RPC interface 'supervisor' initialized")
    assert [line.split()[0] for line in lines[:start]] == sorted(
        (line.split()[0] for line in lines[:start]), key=["CRIT", "WARN", "INFO"].index
    )
    assert lines[start + 1 : start + 3] == [
        "CRIT Server 'unix_http_server' running without any HTTP authentication checking",
        f"INFO supervisord started with pid {running.process.pid}",
    ]


@pytest.mark.behaviour("process.md#processes-that-outlive-the-daemon")
def test_children_of_a_killed_daemon_live_on(tmp_path: Path) -> None:
    """Their stdin ends, their output is refused."""
    (tmp_path / "x.py").write_text(
        "import os\nprint('up', flush=True)\nassert os.read(0, 1) == b''\n"
        "try:\n    os.write(1, b'x')\nexcept BrokenPipeError:\n    open('refused', 'w').close()\n"
        "import time\ntime.sleep(1000)\n"
    )
    text = f"[program:x]\ncommand={sys.executable} x.py\ndirectory={tmp_path}\nstartsecs=0\n"
    with daemon(tmp_path, text) as running:
        running.wait_log("stdout output:\nup\n")
        pid = running.pid("x")
        running.process.kill()
        running.process.wait(PATIENCE)
    eventually((tmp_path / "refused").exists, "the refusal")
    assert alive(pid)
    os.kill(pid, signal.SIGKILL)


@pytest.mark.behaviour("process.md#destinations-of-the-activity-log")
def test_default_names_in_the_working_directory(tmp_path: Path) -> None:
    with daemon(tmp_path, "", base=f"[supervisord]\npidfile=sup.pid\nchildlogdir={tmp_path}\n"):
        log = tmp_path / "supervisord.log"
        eventually(lambda: log.exists() and "started with pid" in log.read_text(), "the log")


@pytest.mark.behaviour("process.md#process-group-and-signal-dispositions-of-a-child")
def test_a_Ctrl_C_reaches_no_child(tmp_path: Path) -> None:
    """A terminal signals the process group in its foreground: ours."""
    text = (
        "[program:x]\ncommand=/bin/sh -c \"trap 'echo INT; exit 1' INT; "
        "trap 'echo TERM; exit' TERM; "
        'echo up; while :; do sleep 0.05; done"\nstartsecs=0\nstdout_logfile=%(here)s/out\n'
    )
    out = tmp_path / "out"
    with daemon(tmp_path, text, within=["setsid"]) as running:
        eventually(lambda: out.exists() and out.read_text() == "up\n", "the program")
        assert os.getpgid(running.process.pid) == running.process.pid
        os.killpg(running.process.pid, signal.SIGINT)
        assert running.process.wait(PATIENCE) == 0
    assert out.read_text() == "up\nTERM\n"
    assert "received SIGINT indicating exit request" in running.log
