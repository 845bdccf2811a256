"""``logs -f`` and ``events -f`` beside the real daemon: over rotations, reloads and restarts."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from tests.kit.ctl import Ran, environment, install, run
from tests.kit.daemon import BASE, daemon, eventually
from tests.kit.screen import screen
from tests.kit.terminal import CTRL_C

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: Numbers that go on over restarts, in a log that is rotated after about 100 lines.
COUNTER = """\
[program:count]
command=sh -c 'i=$(cat number 2>/dev/null || echo 0); while :; do i=$((i+1)); echo "line $i"; echo "$i" >number; sleep 0.002; done'
directory=%(here)s
stdout_logfile=%(here)s/count.log
stdout_logfile_maxbytes=1000
stdout_logfile_backups=90
redirect_stderr=true
"""  # noqa: E501 - what is printed has lines of this length
TALKERS = """\
[program:file]
command=sh -c 'echo out; echo err >&2; exec sleep 1000'
[program:memory]
command=sh -c 'while read line; do echo "$line"; echo "no $line" >&2; done'
stdout_logfile=NONE
stderr_logfile=/dev/null
[program:stdout]
command=cat
stdout_logfile=/dev/stdout
stdout_logfile_maxbytes=0
[program:evil]
command=sh -c 'printf "\\033[2J\\033[31mred\\033[0m \\033]0;title\\007\\n"; exec sleep 1000'
redirect_stderr=true
"""


class Watching:
    """A command that goes on, and what it has said so far."""

    def __init__(self, command: list[str], cwd: Path) -> None:
        self.out = self.err = ""
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(name,)) for name in ("out", "err")
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str) -> None:
        stream = self._process.stdout if name == "out" else self._process.stderr
        assert stream is not None
        with stream:
            for line in stream:
                setattr(self, name, getattr(self, name) + line)

    def wait_for(self, text: str) -> None:
        eventually(lambda: text in self.out, f"{text!r} in {self.out!r}")

    def interrupt(self) -> Ran:
        self._process.send_signal(signal.SIGINT)
        return self.end()

    def end(self) -> Ran:
        status = self._process.wait(30)
        for reader in self._readers:
            reader.join()
        return Ran(status, self.out, self.err)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self.end()


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[..., Watching]]:
    program = install(tmp_path / "bin")
    started = []

    def watch(*words: str) -> Watching:
        started.append(Watching([program, "-c", "c.conf", *words], tmp_path))
        return started[-1]

    yield watch
    for watching in started:
        watching.close()


@pytest.fixture
def ctl(tmp_path: Path) -> Callable[..., Ran]:
    program = install(tmp_path / "bin")
    return lambda *words: run([program, "-c", "c.conf", *words], cwd=tmp_path)


def everything_in(directory: Path) -> str:
    """The log with all its backups, oldest first."""
    backups = sorted(directory.glob("count.log.*"), key=lambda path: -int(path.suffix[1:]))
    return "".join(path.read_text() for path in [*backups, directory / "count.log"])


def test_no_line_is_lost_and_none_is_shown_twice(
    tmp_path: Path, watch: Callable[..., Watching]
) -> None:
    with daemon(tmp_path, COUNTER) as first:
        first.wait_for("count", "RUNNING")
        watching = watch("logs", "-f", "-n", "100000", "count")
        watching.wait_for("line 60\n")
        first.signal(signal.SIGHUP)  # a reload: the same daemon starts over
        watching.wait_for("line 150\n")
        first.stop()
        eventually(lambda: "the daemon is gone" in watching.err, "the end of the daemon being told")
    with daemon(tmp_path, COUNTER) as second:
        eventually(
            lambda: watching.err.endswith("connected again\n"), "the next daemon being found"
        )
        number = int(watching.out.splitlines()[-1].split()[1])
        watching.wait_for(f"line {number + 200}\n")  # more than two log files hold
        second.rpc.stopProcess("count")
        everything = everything_in(tmp_path)
        eventually(lambda: len(watching.out) >= len(everything), "the whole log")
        ran = watching.interrupt()
    assert ran.status == 0
    assert ran.out == everything
    assert len(list(tmp_path.glob("count.log.*"))) >= 2


def test_logs_of_all_kinds(
    tmp_path: Path, watch: Callable[..., Watching], ctl: Callable[..., Ran]
) -> None:
    with daemon(tmp_path, TALKERS) as running:
        for name in ("file", "memory", "stdout", "evil"):
            running.wait_for(name, "RUNNING")
        running.rpc.sendProcessStdin("memory", "one\ntwo\n")
        running.rpc.sendProcessStdin("stdout", "three\n")
        seen = "memory | one\nmemory | two\nmemory | no one\nmemory | no two\nstdout | three\n"
        names = ("memory", "stdout")
        eventually(lambda: ctl("logs", *names).out == seen, "what was written being remembered")
        assert ctl("logs", "-n1", "--stdout", *names).out == "memory | two\nstdout | three\n"
        assert ctl("logs", "--since", "1h", "--stderr", "memory").out == "no one\nno two\n"
        assert ctl("logs", "file") == Ran(0, "out\nerr\n", "")
        assert "\x1b[2J" in ctl("logs", "evil").out  # a pipe gets it as it is
        assert ctl("logs", "--stderr", "evil") == Ran(
            1, "evil: ERROR (evil has no log of its stderr: it goes to stdout)\n", ""
        )
        watching = watch("logs", "-f", "-n0", "memory", "stdout")
        count = 0

        def arrived() -> bool:
            # Until the streams are open nothing that is written belongs to them.
            nonlocal count
            count += 1
            running.rpc.sendProcessStdin("memory", f"{count} € ")
            running.rpc.sendProcessStdin("memory", "whole\n")
            running.rpc.sendProcessStdin("stdout", f"{count}\n")
            return "no " in watching.out and "stdout |" in watching.out

        eventually(arrived, "all outputs")
        ran = watching.interrupt()
        kinds = {line.rstrip("0123456789 ") for line in ran.out.splitlines()}
        assert {line for line in kinds if "whole" not in line} == {"stdout |"}
        whole = [line for line in ran.out.splitlines() if "whole" in line]
        assert all(line.startswith("memory | ") and "€ whole" in line for line in whole)
        assert (ran.status, ran.err) == (0, "")


@pytest.mark.behaviour(
    "client.md#logs-with-times", "client.md#lines-that-match", "http.md#logs-of-the-json-api"
)
def test_times_matches_and_the_lines_of_the_daemon(tmp_path: Path, ctl: Callable[..., Ran]) -> None:
    log = tmp_path / "x.log"
    log.write_text("of another time\n")
    text = f"[program:x]\ncommand=/bin/cat\nstartsecs=0\nstdout_logfile={log}\n"
    base = BASE.replace("loglevel=debug", "loglevel=info")  # else the output is in the log too
    with daemon(tmp_path, text, base=base) as running:
        running.wait_for("x", "RUNNING")
        running.rpc.sendProcessStdin("x", "one\ntwo\n")
        eventually(lambda: "two" in log.read_text(), "the output")
        timed = ctl("logs", "-t", "x").out.splitlines()
        assert timed[0] == f"{'-':<19} of another time"
        assert [re.sub(r"^[-\d]{10} [:\d]{8} ", "time ", line) for line in timed[1:]] == [
            *("time one", "time two"),
        ]
        assert ctl("logs", "--grep", "^t", "x").out == "two\n"
        assert ctl("logs", "--grep", "(", "x").status != 0
        assert ctl("logs", "--grep", "of another", "x").out == "of another time\n"
        running.rpc.stopProcess("x")
        merged = ctl("logs", "--daemon", "--grep", "one|two|pid|stopped", "x").out
        order = re.findall(r"spawned|one|two|stopped", merged)
        assert order == ["spawned", "one", "two", "stopped"]
        assert re.search(r"^\(daemon\) \| .* INFO spawned: 'x'", merged, re.MULTILINE)
        assert "spawned" not in ctl("logs", "--daemon", "--since", "0s", "x").out


@pytest.mark.behaviour("client.md#reopening-logs")
def test_logs_are_opened_again(tmp_path: Path, ctl: Callable[..., Ran]) -> None:
    text = "".join(
        f"[program:{name}]\ncommand=/bin/cat\nstartsecs=0\nstdout_logfile=%(here)s/{name}.log\n"
        for name in ("x", "y")
    )
    with daemon(tmp_path, text) as running:
        for name in ("x", "y"):
            running.wait_for(name, "RUNNING")
            (tmp_path / f"{name}.log").unlink()
        assert ctl("reopen", "x") == Ran(0, "x: logs reopened\n", "")
        assert [(tmp_path / f"{name}.log").exists() for name in ("x", "y")] == [True, False]
        assert ctl("reopen") == Ran(0, "all logs reopened\n", "")
        assert (tmp_path / "y.log").exists()
        assert ctl("reopen", "z").status == 1


def test_a_terminal_is_safe_from_what_programs_write(tmp_path: Path) -> None:
    program = install(tmp_path / "bin")
    with daemon(tmp_path, TALKERS) as running:
        running.wait_for("evil", "RUNNING")
        running.wait_for("file", "RUNNING")
        with screen(
            [program, "-c", "c.conf", "logs", "-f", "evil", "file"], cwd=tmp_path
        ) as person:
            person.wait_for(r"^evil \| \^\[\[2Jred \^\[\]0;title\^G$")
            person.wait_for(r"^file \| err$")
            assert person.style("red").fg == "red"
            assert person.style("file").fg not in ("default", person.style("evil").fg)
            person.type(CTRL_C)
            assert person.end()[0] == 0


def test_events_over_a_restart(tmp_path: Path, watch: Callable[..., Watching]) -> None:
    with daemon(tmp_path, TALKERS) as first:
        first.wait_for("file", "RUNNING")
        lines = watch("events", "--types", "PROCESS_STATE")
        follow = watch("events", "-f", "--json", "--types", "PROCESS_STATE")

        def seen() -> bool:
            first.rpc.stopProcess("file")
            first.rpc.startProcess("file")
            return "STOPPED" in lines.out and "STOPPED" in follow.out

        eventually(seen, "events")
        first.stop()
        ran = lines.end()  # in order, with the daemon
        assert (ran.status, ran.err) == (0, "")
        assert "PROCESS_STATE_STOPPED    file                 STOPPING -> STOPPED pid=" in ran.out
        eventually(lambda: "the daemon is gone" in follow.err, "the end of the daemon being told")
    with daemon(tmp_path, TALKERS) as second:
        eventually(lambda: follow.err.endswith("connected again\n"), "the next daemon being found")
        before = len(follow.out)
        second.rpc.stopProcess("file")
        eventually(
            lambda: "PROCESS_STATE_STOPPED" in follow.out[before:], "events of the next daemon"
        )
        ran = follow.interrupt()
    assert ran.status == 0
    assert {json.loads(line)["event"] for line in ran.out.splitlines()} > {
        "PROCESS_STATE_STOPPED",
        "PROCESS_STATE_STARTING",
    }
