"""The main job, with the real daemon, real programs and the real clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.kit.daemon import (
    PATIENCE,
    Daemon,
    alive,
    daemon,
    eventually,
    free_port,
    run_to_end,
    wait_until_gone,
    write_config,
)

#: Ignores TERM; says so first, so that a test knows when it does.
DEAF = "/bin/sh -c \"trap '' TERM; echo deaf; while :; do sleep 1; done\""
#: Appends each event it hears to a file.
LISTENER = """\
import sys
log = open(sys.argv[1], "a")
while True:
    print("READY", flush=True)
    line = sys.stdin.readline()
    if not line:
        break
    header = dict(token.split(":", 1) for token in line.split())
    payload = sys.stdin.read(int(header["len"]))
    print(header["eventname"], payload, file=log, flush=True)
    sys.stdout.write("RESULT 2\\nOK")
    sys.stdout.flush()
"""


def forty_programs(directory: Path) -> str:
    """40 programs in 4 groups, an include directory, numprocs, a listener and both servers."""
    included = directory / "conf.d"
    included.mkdir()
    logs = directory / "logs"
    logs.mkdir()
    for group in range(4):
        members = []
        text = ""
        for number in range(5):
            name = f"g{group}p{number}"
            members.append(name)
            text += (
                f"[program:{name}]\ncommand=/bin/cat\nnumprocs=2\nstartsecs=0\n"
                f"process_name=%(program_name)s_%(process_num)d\npriority={number}\n"
                f"stdout_logfile={logs}/%(program_name)s_%(process_num)d.log\n"
                "stdout_logfile_maxbytes=1KB\nstdout_logfile_backups=2\nredirect_stderr=true\n"
            )
        text += f"[group:g{group}]\nprograms={','.join(members)}\npriority={group}\n"
        (included / f"{group}.conf").write_text(text)
    (directory / "listener.py").write_text(LISTENER)
    return (
        f"[include]\nfiles=conf.d/*.conf\n"
        f"[inet_http_server]\nport=127.0.0.1:{free_port()}\nusername=u\npassword=p\n"
        f"[eventlistener:l]\ncommand={sys.executable} listener.py heard\ndirectory={directory}\n"
        "events=PROCESS_STATE\nbuffer_size=1000\nstartsecs=0\n"
    )


def test_forty_programs_run_die_return_and_stop(tmp_path: Path) -> None:
    with daemon(tmp_path, forty_programs(tmp_path)) as running:
        eventually(
            lambda: list(running.states().values()) == ["RUNNING"] * 41, "41 processes RUNNING"
        )
        victims = {
            f"g{g}:g{g}p{n}_1": running.pid(f"g{g}:g{g}p{n}_1") for g in range(4) for n in (0, 4)
        }
        for pid in victims.values():
            os.kill(pid, signal.SIGKILL)
        for name, pid in victims.items():
            running.wait_for_another_child(name, pid)
        # Each child is a cat: what is sent to it appears in its log, rotated by size.
        line = "x" * 99 + "\n"
        for _ in range(25):
            running.rpc.sendProcessStdin("g0:g0p0_0", line)
        base = tmp_path / "logs" / "g0p0_0.log"
        parts = [Path(f"{base}.2"), Path(f"{base}.1"), base]
        eventually(
            lambda: sum(p.stat().st_size for p in parts if p.exists()) == 2500, "2500 bytes logged"
        )
        assert all(
            1024 <= part.stat().st_size < 1024 + 128 * 1024 for part in parts[:2] if part.exists()
        )
        heard = tmp_path / "heard"
        eventually(
            lambda: heard.read_text().count("PROCESS_STATE_EXITED") == len(victims), "exits heard"
        )
        infos = running.rpc.getAllProcessInfo()
        assert isinstance(infos, list)
        pids = [info["pid"] for info in infos]
        assert all(alive(pid) for pid in pids)
        assert running.stop() == 0
    assert not any(alive(pid) for pid in pids)
    assert not (tmp_path / "s.sock").exists()
    assert not (tmp_path / "sup.pid").exists()


@pytest.mark.behaviour("process.md#retries-and-fatal", "process.md#exit-codes-of-the-daemon")
def test_a_program_that_always_fails_ends_fatal_after_exactly_its_attempts(
    tmp_path: Path,
) -> None:
    with daemon(tmp_path, "[program:x]\ncommand=/bin/false\nstartretries=1\n") as running:
        running.wait_for("x", "FATAL")
        log = running.log
    assert log.count("spawned: 'x'") == 2
    assert log.count("exited: x (exit status 1; not expected)") == 2
    assert log.count("gave up: x entered FATAL state") == 1
    assert "entered RUNNING" not in log


@pytest.mark.behaviour("process.md#sigkill-after-stopwaitsecs")
def test_a_deaf_program_gets_KILL_after_stopwaitsecs(tmp_path: Path) -> None:
    text = (
        f"[program:x]\ncommand={DEAF}\nstopwaitsecs=1\nstartsecs=0\nkillasgroup=true\n"
        f"stdout_logfile={tmp_path}/out\n"
    )
    with daemon(tmp_path, text) as running:
        eventually(lambda: (tmp_path / "out").exists() and (tmp_path / "out").read_bytes(), "deaf")
        begin = time.monotonic()
        assert running.rpc.stopProcess("x") is True
        assert time.monotonic() - begin >= 1  # never earlier; how late is for the benchmarks
        assert "killing 'x'" in running.log
        assert "stopped: x (terminated by SIGKILL)" in running.log
        assert running.state("x") == "STOPPED"


@pytest.mark.behaviour("process.md#process-group-and-signal-dispositions-of-a-child")
def test_stop_right_after_start_never_needs_KILL(tmp_path: Path) -> None:
    text = "[program:x]\ncommand=/bin/sleep 1000\nautostart=false\n"
    with daemon(tmp_path, text) as running:
        for _ in range(40):
            running.rpc.startProcess("x", False)
            running.rpc.stopProcess("x")
        log = running.log
    assert log.count("stopped: x (terminated by SIGTERM)") == 40
    assert "SIGKILL" not in log


@pytest.mark.behaviour("process.md#signals-to-the-daemon", "process.md#shutdown")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGQUIT"])
def test_signals_that_end_the_daemon(tmp_path: Path, name: str) -> None:
    with daemon(tmp_path, "[program:x]\ncommand=/bin/cat\nautostart=false\n") as running:
        running.signal(signal.Signals[name])
        assert running.process.wait(PATIENCE) == 0
    assert f"WARN received {name} indicating exit request" in running.log
    assert "waiting for" not in running.log
    assert not (tmp_path / "s.sock").exists()
    assert not (tmp_path / "sup.pid").exists()


@pytest.mark.behaviour("process.md#restart-of-the-daemon")
def test_a_reload_starts_everything_afresh(tmp_path: Path) -> None:
    """HUP: same pid, everything afresh; a broken file stops nothing."""
    one = "[program:a]\ncommand=/bin/cat\nstartsecs=0\n"
    with daemon(tmp_path, one) as running:
        running.wait_for("a", "RUNNING")
        first = running.pid("a")
        write_config(tmp_path, one + "[program:broken]\n")
        running.signal(signal.SIGHUP)
        running.wait_log("restart refused")
        assert running.pid("a") == first
        write_config(tmp_path, one + "[program:b]\ncommand=/bin/cat\nstartsecs=0\n")
        running.signal(signal.SIGHUP)
        eventually(lambda: running.log.count("supervisord started with pid") == 2, "the restart")
        reconnected = Daemon(tmp_path, running.process)
        reconnected.wait_for("b", "RUNNING")
        reconnected.wait_for("a", "RUNNING")
        assert reconnected.pid("a") != first
        assert not alive(first)
        assert (tmp_path / "sup.pid").read_text() == f"{running.process.pid}\n"


@pytest.mark.behaviour("process.md#reopening-and-truncation-from-outside")
def test_logs_are_reopened_by_usr2(tmp_path: Path) -> None:
    text = f"[program:x]\ncommand=/bin/cat\nstartsecs=0\nstdout_logfile={tmp_path}/out\n"
    with daemon(tmp_path, text) as running:
        running.wait_for("x", "RUNNING")
        (tmp_path / "out").rename(tmp_path / "out.old")
        (tmp_path / "sup.log").rename(tmp_path / "sup.old")
        running.rpc.sendProcessStdin("x", "before\n")
        eventually(lambda: (tmp_path / "out.old").read_text() == "before\n", "the old log")
        running.signal(signal.SIGUSR2)
        eventually((tmp_path / "out").exists, "the new log")
        running.rpc.sendProcessStdin("x", "after\n")
        eventually(lambda: (tmp_path / "out").read_text() == "after\n", "the new log's text")
        old = (tmp_path / "sup.old").read_text()
        assert "INFO received SIGUSR2 indicating log reopen request" in old
        assert "INFO supervisord logreopen" in old


@pytest.mark.behaviour("process.md#pipes-that-close-early-or-stay-open")
def test_the_last_output_is_never_lost(tmp_path: Path) -> None:
    """Also what an enlarged pipe holds at exit."""
    writer = tmp_path / "writer.py"
    writer.write_text(
        "import fcntl, os\nfcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20)\n"
        "os.write(1, b'x' * 1000000 + b'LAST')\n"
    )
    text = (
        f"[program:x]\ncommand={sys.executable} {writer}\nstartsecs=0\nautorestart=false\n"
        f"stdout_logfile={tmp_path}/out\nstdout_logfile_maxbytes=0\n"
    )
    with daemon(tmp_path, text) as running:
        running.wait_for("x", "EXITED")
        data = (tmp_path / "out").read_bytes()
    assert len(data) == 1000004
    assert data.endswith(b"xLAST")


@pytest.mark.behaviour(
    "process.md#an-exit-is-recorded-promptly",
    "process.md#pipes-that-close-early-or-stay-open",
    "process.md#the-stop-signal",
)
def test_an_exit_is_noticed_although_a_descendant_holds_the_pipes(tmp_path: Path) -> None:
    text = (
        '[program:x]\ncommand=/bin/sh -c "sleep 1000 & echo $!"\nstartsecs=0\nautorestart=false\n'
        f"stdout_logfile={tmp_path}/out\n"
    )
    with daemon(tmp_path, text) as running:
        running.wait_for("x", "EXITED")
    descendant = int((tmp_path / "out").read_text())
    assert alive(descendant)  # not ours to kill
    os.kill(descendant, signal.SIGKILL)


def test_a_bad_configuration_is_told_and_nothing_happens(tmp_path: Path) -> None:
    config = write_config(tmp_path, "[program:x]\ncommand=/bin/cat\nautostart=maybe\n")
    done = run_to_end("-n", "-c", str(config), cwd=tmp_path)
    assert done.returncode == 2
    first, *_, last = done.stderr.splitlines()
    assert first.startswith("Error: ")
    for part in ("maybe", "program:x", "autostart", "c.conf"):
        assert part in first
    assert last.startswith("For help, use ")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.conf"]


@pytest.mark.behaviour("process.md#foreground-and-background", "process.md#pidfile")
def test_a_detached_daemon_is_ready_when_its_starter_returns(tmp_path: Path) -> None:
    config = write_config(tmp_path, "[program:x]\ncommand=/bin/sleep 1000\n")
    for _ in range(5):
        done = run_to_end("-c", str(config), cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        pid = int((tmp_path / "sup.pid").read_text())
        assert os.getsid(pid) == pid
        assert [os.readlink(f"/proc/{pid}/fd/{n}") for n in range(3)] == ["/dev/null"] * 3
        os.kill(pid, signal.SIGTERM)
        wait_until_gone(pid)
        assert not (tmp_path / "sup.pid").exists()


@pytest.mark.behaviour(
    "process.md#a-second-daemon-with-the-same-configuration", "process.md#auto-logs"
)
def test_a_second_daemon_leaves_the_first_alone(tmp_path: Path) -> None:
    """In the foreground and detached."""
    with daemon(tmp_path, "[program:x]\ncommand=/bin/cat\nstartsecs=0\n") as running:
        running.wait_for("x", "RUNNING")
        before = sorted(p.name for p in tmp_path.iterdir())
        for arguments in (["-n"], []):
            done = run_to_end(*arguments, "-c", "c.conf", "-l", "other.log", cwd=tmp_path)
            assert done.returncode == 2
            assert done.stderr.startswith("Error: Another program is already listening on a port")
        (tmp_path / "other.log").unlink()
        assert sorted(p.name for p in tmp_path.iterdir()) == before
        assert running.state("x") == "RUNNING"


@pytest.mark.behaviour("process.md#processes-that-outlive-the-daemon", "process.md#control-sockets")
def test_a_killed_daemons_socket_is_replaced(tmp_path: Path) -> None:
    text = "[program:x]\ncommand=/bin/sleep 1000\nstartsecs=0\n"
    with daemon(tmp_path, text) as running:
        running.wait_for("x", "RUNNING")
        orphan = running.pid("x")
        running.process.kill()
        running.process.wait(PATIENCE)
    (tmp_path / "sup.pid").unlink()
    with daemon(tmp_path, text) as again:
        again.wait_for("x", "RUNNING")
        assert alive(orphan)
        assert again.pid("x") != orphan
    assert "Unlinking stale socket" in (tmp_path / "stderr").read_text()
    os.kill(orphan, signal.SIGKILL)


def test_a_program_named_like_the_references_works_too(tmp_path: Path) -> None:
    """Automation looks Supervisor's names up on PATH."""
    for ours, theirs in (
        ("tsupervisord", "supervisord"),
        ("tsupervisorctl", "supervisorctl"),
        ("echo_tsupervisord_conf", "echo_supervisord_conf"),
        ("tpidproxy", "pidproxy"),
    ):
        (tmp_path / theirs).symlink_to(Path(sys.executable).with_name(ours))
    version = subprocess.run(
        [tmp_path / "supervisord", "-v"], capture_output=True, text=True, check=True
    )
    assert version.stdout.strip().count(".") == 2
    sample = subprocess.run(
        [tmp_path / "echo_supervisord_conf"], capture_output=True, text=True, check=True
    )
    assert "[unix_http_server]" in sample.stdout
    nobody = subprocess.run(
        [tmp_path / "supervisorctl", "-s", f"unix://{tmp_path}/none", "status"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (nobody.returncode, nobody.stdout) == (4, f"unix://{tmp_path}/none no such file\n")
    usage = subprocess.run([tmp_path / "pidproxy"], capture_output=True, text=True, check=False)
    assert usage.returncode == 1
