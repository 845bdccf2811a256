"""Output, logs and stdin with the real daemon."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import xmlrpc.client
from functools import partial
from pathlib import Path

import pytest

from tests.kit.daemon import BASE, COMMAND, PATIENCE, alive, daemon, eventually, write_config
from tests.kit.machine import need_namespaces
from tests.kit.root import needs_root

NO_FILE = 20
BAD_NAME = 10
INCORRECT_PARAMETERS = 2
NOT_RUNNING = 70
CANT_REREAD = 92
FAILED = 30

CAT = "command=/bin/cat\nstartsecs=0\n"


def content(path: Path, text: str) -> None:
    eventually(lambda: path.exists() and path.read_text() == text, f"{text!r} in {path.name}")


@pytest.mark.behaviour("process.md#reopening-and-truncation-from-outside")
def test_reopen_with_the_log_directory_gone(tmp_path: Path) -> None:
    """A CRIT line, and the log is back with the directory."""
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "x.log"
    text = f"[program:x]\n{CAT}stdout_logfile={log}\n[program:y]\n{CAT}"
    with daemon(tmp_path, text) as running:
        running.wait_for("x", "RUNNING")
        running.wait_for("y", "RUNNING")
        log.unlink()
        log.parent.rmdir()
        running.signal(signal.SIGUSR2)
        running.wait_log(f"CRIT could not reopen {log}: ")
        assert set(running.states().values()) == {"RUNNING"}
        log.parent.mkdir()
        running.signal(signal.SIGUSR2)
        eventually(log.exists, "the log")
        running.rpc.sendProcessStdin("x", "back\n")
        content(log, "back\n")


@pytest.mark.behaviour("process.md#clearing-logs")
def test_clearing_logs_of_running_and_stopped_processes(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    text = f"[program:x]\n{CAT}stdout_logfile={log}\n"
    with daemon(tmp_path, text) as running:
        running.wait_for("x", "RUNNING")
        for _ in range(2):
            (tmp_path / "x.log.1").write_text("backup")
            running.rpc.sendProcessStdin("x", "text\n")
            content(log, "text\n")
            assert running.rpc.clearProcessLogs("x") is True
            assert log.read_bytes() == b""
            assert (tmp_path / "x.log.1").read_text() == "backup"
        log.unlink()
        assert running.rpc.clearProcessLogs("x") is True
        running.rpc.sendProcessStdin("x", "text\n")
        content(log, "text\n")
        running.rpc.stopProcess("x")
        assert running.rpc.clearProcessLogs("x") is True
        assert log.read_bytes() == b""


@pytest.mark.behaviour("process.md#clearing-logs", "process.md#syslog")
def test_clear_with_syslog(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    text = f"[program:x]\n{CAT}stdout_logfile={log}\nstdout_syslog=true\n[program:y]\n{CAT}"
    with daemon(tmp_path, text) as running:
        running.wait_for("x", "RUNNING")
        running.rpc.sendProcessStdin("x", "text\n")
        content(log, "text\n")
        assert running.rpc.clearProcessLogs("x") is True
        assert log.read_bytes() == b""
        results = running.rpc.clearAllProcessLogs()
        assert isinstance(results, list)
        assert [result["status"] for result in results] == [80, 80]


@pytest.mark.behaviour("process.md#clearing-logs")
@needs_root
def test_clear_leaves_the_link_of_a_device(tmp_path: Path) -> None:
    """In a mount namespace of its own: Supervisor removes the link for the whole machine."""
    text = f"[program:x]\n{CAT}stdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0\n"
    private = (
        "mount -t tmpfs none /dev && ln -s /proc/self/fd/1 /dev/stdout && mknod /dev/null c 1 3"
    )
    need_namespaces("--mount")
    within = ["unshare", "--mount", "sh", "-c", f'{private} && exec "$@"', "sh"]
    with daemon(tmp_path, text, within=within) as running:
        running.wait_for("x", "RUNNING")
        assert running.rpc.clearProcessLogs("x") is True
        link = Path(f"/proc/{running.process.pid}/root/dev/stdout")
        assert os.readlink(link) == "/proc/self/fd/1"


@pytest.mark.behaviour("process.md#log-targets", "process.md#output-is-logged-as-it-arrives")
@pytest.mark.parametrize("none", ["NONE", "off"])
def test_output_without_a_log(tmp_path: Path, none: str) -> None:
    (tmp_path / "flood.py").write_text(
        "import os\nfor _ in range(160):\n    os.write(1, b'x' * 65536)\n"
        "open('done', 'w').close()\nos.read(0, 1)\n"
    )
    text = (
        f"[program:x]\ncommand={sys.executable} -S flood.py\ndirectory={tmp_path}\nstartsecs=0\n"
        f"stdout_logfile={none}\nstderr_logfile={none}\n"
    )
    with daemon(tmp_path, text) as running:
        eventually((tmp_path / "done").exists, "10 MB written")
        assert running.fault("readProcessStdoutLog", "x", 0, 0) == NO_FILE
        assert running.rpc.tailProcessStdoutLog("x", 0, 10) == ["", 0, False]
        assert list(tmp_path.glob("x-*")) == []


@pytest.mark.behaviour("process.md#log-targets", "process.md#auto-logs")
def test_logs_are_made_late_but_for_AUTO(tmp_path: Path) -> None:
    text = f"[program:x]\n{CAT}autostart=false\nstdout_logfile=%(here)s/x.log\n"
    with daemon(tmp_path, text):
        (log,) = tmp_path.glob("x-*")
        assert re.fullmatch(r"x-stderr---supervisor-\w{8}\.log", log.name)
        assert (log.stat().st_size, log.stat().st_mode & 0o777) == (0, 0o600)
        assert not (tmp_path / "x.log").exists()


@pytest.mark.behaviour("process.md#special-files-as-logs", "process.md#rotation-failures")
@pytest.mark.parametrize("option", ["stdout_logfile_maxbytes=0", ""])
def test_a_child_log_on_our_stdout(tmp_path: Path, option: str) -> None:
    text = f"[program:x]\n{CAT}stdout_logfile=/dev/stdout\n{option}\n"
    with daemon(tmp_path, text) as running:
        running.wait_for("x", "RUNNING")
        for number in range(10):
            running.rpc.sendProcessStdin("x", f"line {number}\n")
        out = tmp_path / "stdout"
        eventually(lambda: "\nline 9\n" in out.read_text(), "the last line")
        assert running.stop() == 0
    lines = out.read_text().splitlines()
    copies = [line for line in lines if re.fullmatch(r"line \d", line)]
    # Once as the child's own output, once as a part of the DEBG record about it.
    assert copies.count("line 3") == 2
    warnings = [line for line in lines if " WARN /dev/stdout is no regular file" in line]
    assert len(warnings) == (0 if option else 1)
    assert not any(" CRIT " in line and "Server" not in line for line in lines)


@pytest.mark.behaviour("process.md#special-files-as-logs")
def test_a_fifo_without_a_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    text = (
        "[program:x]\ncommand=/bin/cat\nstartretries=20\nstdout_logfile=%(here)s/fifo\n"
        f"stdout_logfile_maxbytes=0\n[program:y]\n{CAT}"
    )
    with daemon(tmp_path, text) as running:
        running.wait_for("y", "RUNNING")
        running.wait_for("x", "BACKOFF")
        assert running.info("x")["spawnerr"] == "unknown error making dispatchers for 'x': ENXIO"


@pytest.mark.behaviour("process.md#the-activity-log-never-blocks-the-daemon")
def test_a_stdout_that_nobody_reads(tmp_path: Path) -> None:
    (tmp_path / "w.py").write_text("import os\nwhile True:\n    os.write(1, b'x' * 999 + b'\\n')\n")
    program = f"command={sys.executable} -S {tmp_path}/w.py\nstartsecs=0\n"
    names = ("a", "b")
    config = write_config(
        tmp_path,
        "".join(
            f"[program:{name}]\n{program}stdout_logfile=%(here)s/{name}\n"
            "stdout_logfile_maxbytes=1MB\nstdout_logfile_backups=1\n"
            for name in names
        ),
    )
    command = [*COMMAND, "-n", "-c", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path) as process:
        try:
            eventually((tmp_path / "sup.pid").exists, "the daemon")
            # Both go on writing long after what the pipe and the buffer can hold.
            for name in names:
                for _ in range(2):
                    rotated = tmp_path / f"{name}.1"
                    eventually(rotated.exists, "a rotation")
                    rotated.unlink()
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
    assert "received SIGTERM" in (tmp_path / "sup.log").read_text()


@pytest.mark.behaviour("process.md#the-activity-log-never-blocks-the-daemon")
def test_a_stdout_whose_reader_is_gone(tmp_path: Path) -> None:
    config = write_config(tmp_path, f"[program:x]\n{CAT}")
    command = [*COMMAND, "-n", "-c", str(config)]
    with (
        (tmp_path / "stderr").open("wb") as err,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, cwd=tmp_path) as process,
    ):
        assert process.stdout is not None
        eventually((tmp_path / "sup.pid").exists, "the daemon")
        process.stdout.close()
        log = tmp_path / "sup.log"
        for number in range(1, 4):
            process.send_signal(signal.SIGUSR2)
            eventually(partial(said_times, log, "logreopen", number), "USR2")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert (tmp_path / "stderr").read_bytes() == b""


def said_times(log: Path, text: str, number: int) -> bool:
    return log.read_text().count(text) == number


@pytest.mark.behaviour("process.md#pipes-that-close-early-or-stay-open")
def test_a_child_that_closes_its_output(tmp_path: Path) -> None:
    text = (
        '[program:x]\ncommand=/bin/sh -c "echo hi; exec 1>&- 2>&-; exec sleep 1000"\nstartsecs=0\n'
        "stdout_logfile=%(here)s/out\n"
    )
    with daemon(tmp_path, text) as running:
        eventually(lambda: running.log.count("closed, stopped monitoring") == 2, "two ends")
        content(tmp_path / "out", "hi\n")
        assert running.state("x") == "RUNNING"
        running.check_idle()
        running.rpc.stopProcess("x")
        assert running.state("x") == "STOPPED"


@pytest.mark.behaviour("process.md#pipes-that-close-early-or-stay-open")
def test_output_of_a_descendant(tmp_path: Path) -> None:
    """Logged like the child's while that lives, refused with EPIPE when it is gone."""
    (tmp_path / "x.py").write_text(
        "import os, time\n"
        "if os.fork():\n"
        "    os.read(0, 1)\n"
        "    os.write(1, b'last of the child\\n')\n"
        "    os._exit(0)\n"
        "os.setsid()\n"
        "try:\n"
        "    while True:\n"
        "        os.write(1, b'descendant\\n')\n"
        "        time.sleep(0.01)\n"
        "except BrokenPipeError:\n"
        "    open('refused', 'w').close()\n"
    )
    out = tmp_path / "out"
    text = (
        f"[program:x]\ncommand={sys.executable} -S x.py\ndirectory={tmp_path}\nstartsecs=0\n"
        f"autorestart=false\nstdout_logfile={out}\n"
    )
    with daemon(tmp_path, text) as running:
        eventually(lambda: out.exists() and out.read_text().count("descendant") > 3, "its lines")
        running.rpc.sendProcessStdin("x", "x")
        running.wait_for("x", "EXITED")
        assert "last of the child\n" in out.read_text()
        eventually((tmp_path / "refused").exists, "EPIPE")


@pytest.mark.behaviour("process.md#sending-text-to-a-child")
def test_sending_to_stdin(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with daemon(tmp_path, f"[program:cat]\n{CAT}stdout_logfile={out}\n") as running:
        running.wait_for("cat", "RUNNING")
        for text in ("hello\n", "h\u00e9llo \u4e2d\n", ""):
            assert running.rpc.sendProcessStdin("cat", text) is True
        content(out, "hello\nh\u00e9llo \u4e2d\n")
        assert running.fault("sendProcessStdin", "nosuch", "x") == BAD_NAME
        assert running.fault("sendProcessStdin", "cat:*", "x") == BAD_NAME
        assert running.fault("sendProcessStdin", "cat", 1) == INCORRECT_PARAMETERS
        running.rpc.stopProcess("cat")
        assert running.fault("sendProcessStdin", "cat", "x") == NOT_RUNNING


@pytest.mark.behaviour("process.md#sending-text-to-a-child")
def test_sending_to_a_closed_stdin(tmp_path: Path) -> None:
    text = (
        '[program:x]\ncommand=/bin/sh -c "exec 0<&-; echo closed; exec sleep 1000"\nstartsecs=0\n'
        "stdout_logfile=%(here)s/out\n"
    )
    with daemon(tmp_path, text) as running:
        content(tmp_path / "out", "closed\n")
        assert running.fault("sendProcessStdin", "x", "text") == NO_FILE


@pytest.mark.behaviour("process.md#a-child-that-does-not-read-its-stdin")
def test_a_full_pipe(tmp_path: Path) -> None:
    """Queued in order, and bounded at 1 MiB."""
    (tmp_path / "reader.py").write_text(
        "import hashlib, os\n"
        "while not os.path.exists('go'):\n"
        "    __import__('time').sleep(0.01)\n"
        "data = b''\n"
        "while len(data) < 210000:\n"
        "    data += os.read(0, 65536)\n"
        "print(len(data), hashlib.sha256(data).hexdigest(), flush=True)\n"
        "os.read(0, 1)\n"
    )
    out = tmp_path / "out"
    text = (
        f"[program:x]\ncommand={sys.executable} reader.py\ndirectory={tmp_path}\nstartsecs=0\n"
        f"stdout_logfile={out}\n[program:never]\ncommand=/bin/sleep 1000\nstartsecs=0\n"
    )
    sent = ["".join(f"{n:09d}\n" for n in range(k * 6000, (k + 1) * 6000)) for k in range(3)]
    sent.append("x" * 30000)
    with daemon(tmp_path, text) as running:
        for name in ("x", "never"):
            running.wait_for(name, "RUNNING")
        for part in sent:
            assert running.rpc.sendProcessStdin("x", part) is True
        (tmp_path / "go").touch()
        whole = "".join(sent).encode()
        assert len(whole) == 210000
        content(out, f"{len(whole)} {hashlib.sha256(whole).hexdigest()}\n")
        accepted = 0
        chunk = "y" * 65536
        try:
            while running.rpc.sendProcessStdin("never", chunk):
                accepted += len(chunk)
        except xmlrpc.client.Fault as fault:
            refused = fault.faultCode
        assert refused == FAILED
        assert 1024 * 1024 <= accepted <= 1024 * 1024 + 2 * 65536  # and what the pipe took
        assert running.state("never") == "RUNNING"


@pytest.mark.behaviour("process.md#channels-do-not-disturb-each-other")
def test_noisy_programs_delay_nothing(tmp_path: Path) -> None:
    """Prompt is for the benchmarks; here that everything is answered at all, and in time."""
    text = (
        "[program:none]\ncommand=/usr/bin/yes\nstdout_logfile=NONE\n"
        "[program:rotated]\ncommand=/usr/bin/yes\nstdout_logfile=%(here)s/r\n"
        "stdout_logfile_maxbytes=1MB\nstdout_logfile_backups=1\n"
        "[program:quiet]\ncommand=/bin/cat\nautostart=false\n"
    )
    base = BASE.replace("loglevel=debug", "loglevel=info")
    with daemon(tmp_path, text, base=base) as running:
        running.wait_for("rotated", "RUNNING")
        assert running.rpc.startProcess("quiet") is True
        (spawned,) = running.times("spawned: 'quiet'")
        (success,) = running.times("success: quiet")
        assert 0.99 <= success - spawned < PATIENCE
        running.rpc.stopProcess("quiet")
        pids = [running.pid("none"), running.pid("rotated")]
        assert running.stop() == 0
    assert not any(alive(pid) for pid in pids)
    assert sorted(path.name for path in tmp_path.glob("r*") if "---" not in path.name) == [
        "r",
        "r.1",
    ]


@pytest.mark.behaviour("process.md#auto-logs")
def test_a_vanished_directory_of_automatic_logs(tmp_path: Path) -> None:
    """Starts fail without it, which is said, and succeed when it is back."""
    logs = tmp_path / "logs"
    logs.mkdir()
    base = BASE.replace("childlogdir=%(here)s", "childlogdir=%(here)s/logs")
    x = f"[program:x]\n{CAT}"
    with daemon(tmp_path, x, base=base) as running:
        running.wait_for("x", "RUNNING")
        write_config(tmp_path, f"{x}[program:y]\n{CAT}startretries=1000\n", base=base)
        running.rpc.reloadConfig()
        for log in logs.iterdir():
            log.unlink()
        logs.rmdir()
        assert running.rpc.addProcessGroup("y") is True
        running.wait_for("y", "BACKOFF")
        error = running.info("y")["spawnerr"]
        assert f"{logs}: cannot create a log in this childlogdir: No such file" in str(error)
        logs.mkdir()
        running.wait_for("y", "RUNNING")


@pytest.mark.behaviour("process.md#redirected-stderr", "process.md#log-targets")
@needs_root
def test_redirected_stderr_in_a_log_of_the_daemon(tmp_path: Path) -> None:
    """In the order written; a stderr log is not made even if one is named."""
    text = (
        '[program:x]\ncommand=/bin/sh -c "echo a; echo b >&2; echo c; exec cat"\nuser=nobody\n'
        "startsecs=0\nredirect_stderr=true\nstdout_logfile=%(here)s/out\n"
        "stderr_logfile=%(here)s/err\n"
    )
    with daemon(tmp_path, text) as running:
        content(tmp_path / "out", "a\nb\nc\n")
        assert not (tmp_path / "err").exists()
        assert (tmp_path / "out").stat().st_uid == os.getuid()
        assert Path(f"/proc/{running.pid('x')}").stat().st_uid != os.getuid()
        assert "'x' stdout output:\n" in running.log
        assert "'x' stderr output:" not in running.log


@pytest.mark.behaviour("process.md#log-targets", "process.md#exit-codes-of-the-daemon")
def test_a_reread_that_fails_changes_nothing(tmp_path: Path) -> None:
    """CANT_REREAD, and everything runs on."""
    with daemon(tmp_path, f"[program:x]\n{CAT}") as running:
        running.wait_for("x", "RUNNING")
        pid = running.pid("x")
        for broken in ("stdout_logfile=%(here)s/none/y.log", "user=nosuchuser", "startsecs=soon"):
            write_config(tmp_path, f"[program:x]\n{CAT}[program:y]\n{CAT}{broken}\n")
            assert running.fault("reloadConfig") == CANT_REREAD
            assert running.fault("addProcessGroup", "y") == BAD_NAME
        assert (running.states(), running.pid("x")) == ({"x:x": "RUNNING"}, pid)
        write_config(tmp_path, f"[program:x]\n{CAT}[program:y]\n{CAT}")
        assert running.rpc.reloadConfig() == [[["y"], [], []]]


def has_size(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size == size


def test_bytes_of_every_kind_reach_log_and_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise, NULs, halves of characters; no locale helps, and the child goes on."""
    (tmp_path / "noise.py").write_text(
        "import os, sys\nnoise = os.urandom(1 << 20) + bytes(range(256)) + b'\\xed\\xa0\\x80'\n"
        "open('noise', 'wb').write(noise)\n"
        "while noise:\n    noise = noise[os.write(1, noise):]\n"
        "for line in sys.stdin.buffer:\n    os.write(1, line)\n"
    )
    monkeypatch.setenv("LC_ALL", "C")
    log = tmp_path / "x.log"
    text = (
        f"[program:x]\ncommand={sys.executable} -S noise.py\ndirectory={tmp_path}\nstartsecs=0\n"
        f"stdout_logfile={log}\nstdout_events_enabled=true\nstdout_logfile_maxbytes=0\n"
    )
    with daemon(tmp_path, text, base=BASE.replace("loglevel=debug", "loglevel=info")) as running:
        noise = tmp_path / "noise"
        size = (1 << 20) + 256 + 3
        eventually(partial(has_size, log, size), "the noise")
        assert log.read_bytes() == noise.read_bytes()
        for _ in range(2):
            whole = running.rpc.readProcessStdoutLog("x", 0, 0)
            assert isinstance(whole, str)
            assert len(whole) > size // 2
            part = running.rpc.tailProcessStdoutLog("x", 0, 1000)
            assert isinstance(part, list)
            assert part[1] == log.stat().st_size
            running.rpc.sendProcessStdin("x", "z\u00fcrich\n")
            size += len("z\u00fcrich\n".encode())
            eventually(partial(has_size, log, size), "more")
        assert log.read_bytes().endswith("z\u00fcrich\n".encode() * 2)
        assert " CRIT output" not in running.log


@pytest.mark.behaviour("process.md#log-targets", "process.md#destinations-of-the-activity-log")
@pytest.mark.parametrize("spelling", ["syslog", "SysLog"])
def test_everything_to_syslog(tmp_path: Path, spelling: str) -> None:
    """USR2, clearing and reading do no harm where there is no file; nor does a missing daemon."""
    base = BASE.replace("logfile=%(here)s/sup.log", "logfile=syslog")
    text = f"[program:x]\n{CAT}stdout_logfile={spelling}\nstderr_logfile=None\n"
    with daemon(tmp_path, text, base=base) as running:
        running.wait_for("x", "RUNNING")
        running.rpc.sendProcessStdin("x", "text\n")
        running.signal(signal.SIGUSR2)
        out = tmp_path / "stdout"
        eventually(lambda: "supervisord logreopen" in out.read_text(), "the reopening")
        assert running.rpc.clearProcessLogs("x") is True
        assert running.fault("clearLog") == NO_FILE
        assert running.fault("readProcessStdoutLog", "x", 0, 0) == NO_FILE
        assert running.stop() == 0
    assert "CRIT could not reopen" not in out.read_text()
    assert " WARN For [program:x], stdout_logfile=syslog" in out.read_text()
    assert sorted(path.name for path in tmp_path.glob("*log*")) == []
