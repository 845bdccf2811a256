"""The client and logs that were damaged from outside."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kit.ctl import Ran, finish, install, read_until, run, spawn
from tests.kit.daemon import Daemon, daemon, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Ctl = Callable[..., Ran]

PROGRAMS = """\
[program:cat]
command=/bin/cat
startsecs=0
stdout_logfile=%(here)s/cat.out
[program:once]
command=/bin/sh -c "echo first; echo oops >&2"
startsecs=0
autorestart=false
stdout_logfile=%(here)s/once.out
stderr_logfile=%(here)s/once.err
[program:pool]
command=/bin/cat
numprocs=20
process_name=%(program_name)s_%(process_num)02d
startsecs=0
[program:left]
command=/bin/cat
autostart=false
[program:right]
command=/bin/cat
autostart=false
[group:duo]
programs=left,right
"""
HEADER = "==> Press Ctrl-C to exit <==\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("damaged")
    install(directory / "bin")
    with daemon(directory, PROGRAMS) as running:
        running.wait_for("once", "EXITED")
        running.wait_for("pool:pool_19", "RUNNING")
        yield running


def command(site: Daemon, *words: str) -> list[str]:
    return [f"{site.directory}/bin/tsupervisorctl", "-c", f"{site.directory}/c.conf", *words]


@pytest.fixture
def ctl(site: Daemon) -> Ctl:
    return lambda *words: run(command(site, *words))


@pytest.fixture
def log(site: Daemon) -> Iterator[Path]:
    """The log of cat, which the test may damage; afterwards it is a fresh one."""
    path = site.directory / "cat.out"
    site.rpc.sendProcessStdin("cat", "abc\n")
    eventually(lambda: path.is_file() and b"abc" in path.read_bytes(), "cat having written")
    yield path
    if path.is_dir():
        path.rmdir()
    path.touch()
    assert site.rpc.clearProcessLogs("cat") is True


@pytest.mark.behaviour("client.md#tail-and-maintail", "client.md#following-a-log")
def test_a_log_that_was_removed(site: Daemon, ctl: Ctl, log: Path) -> None:
    log.unlink()
    assert ctl("tail", "cat") == (1, "cat: ERROR (no log file)\n", "")
    url = f"unix://{site.directory}/s.sock/logtail/cat/stdout"
    expected = (1, HEADER, f"{url} Cannot read, status code 404\n")
    assert ctl("tail", "-f", "cat") == expected


@pytest.mark.behaviour("client.md#tail-and-maintail", "client.md#clear")
def test_a_directory_in_place_of_a_log(ctl: Ctl, log: Path) -> None:
    log.unlink()
    log.mkdir()
    assert ctl("tail", "cat") == (1, "cat: ERROR (unknown error reading log)\n", "")
    assert ctl("clear", "cat", "once", "pool:pool_00") == (
        1,
        "cat: ERROR (failed)\nonce: cleared\npool:pool_00: cleared\n",
        "",
    )


@pytest.mark.behaviour("client.md#tail-and-maintail")
def test_the_main_log(site: Daemon, ctl: Ctl) -> None:
    log = site.directory / "sup.log"
    log.rename(site.directory / "elsewhere")
    assert ctl("maintail") == (1, "supervisord: ERROR (no log file)\n", "")
    log.mkdir()
    assert ctl("maintail") == (1, "supervisord: ERROR (unknown error reading log)\n", "")
    log.rmdir()
    shutil.move(site.directory / "elsewhere", log)
    assert ctl("maintail", "-5").status == 0


@pytest.mark.behaviour("client.md#following-a-log")
def test_following_over_a_truncation(site: Daemon, log: Path) -> None:
    process = spawn(command(site, "tail", "-f", "cat"))
    seen = read_until(process, lambda text: text.endswith("abc\n"))
    log.write_bytes(b"")
    seen += read_until(process, lambda text: "truncated" in text)
    site.rpc.sendProcessStdin("cat", "more\n")
    seen += read_until(process, lambda text: text.endswith("more\n"))
    process.send_signal(signal.SIGINT)
    assert finish(process) == (0, "\n", "")
    assert seen == f"{HEADER}abc\n==> File truncated <==\nmore\n"


@pytest.mark.behaviour("client.md#following-a-log", "client.md#tail-and-maintail")
def test_bytes_that_are_no_text(site: Daemon, ctl: Ctl, log: Path) -> None:
    log.write_bytes(b"abc\xff\xfe\x1bdef\n")
    assert ctl("tail", "cat") == (0, "abc\ufffd\ufffd\ufffddef\n\n", "")
    assert ctl("tail", "-7", "cat").status == 0  # cuts a character
    process = spawn(command(site, "tail", "-f", "cat"))
    assert process.stdout is not None
    wanted = HEADER.encode() + b"abc\xff\xfe\x1bdef\n"
    assert process.stdout.read(len(wanted)) == wanted
    process.send_signal(signal.SIGINT)
    assert finish(process).status == 0


@pytest.mark.behaviour("client.md#signal")
def test_a_group_with_nobody_to_signal(ctl: Ctl) -> None:
    assert ctl("signal", "BOGUS", "duo:*") == (0, "", "")


@pytest.mark.behaviour("client.md#clear", "client.md#failures-of-a-start")
def test_clear_empties_logs_of_what_has_ended(site: Daemon, ctl: Ctl) -> None:
    out, err = site.directory / "once.out", site.directory / "once.err"
    assert ctl("start", "once") == (0, "once: started\n", "")  # never an abnormal end
    eventually(lambda: out.read_bytes() and err.read_bytes(), "once having written")
    site.wait_for("once", "EXITED")
    assert ctl("clear", "once") == (0, "once: cleared\n", "")
    assert (out.read_bytes(), err.read_bytes()) == (b"", b"")


@pytest.mark.behaviour("client.md#clear")
def test_clear_all_is_immediate(site: Daemon, ctl: Ctl) -> None:
    """Supervisor takes 0.9 s for each process, which were 20 s here."""
    began = time.monotonic()
    ran = ctl("clear", "all")
    assert time.monotonic() - began < 15
    assert (ran.status, ran.out.count(": cleared\n")) == (0, 24)
