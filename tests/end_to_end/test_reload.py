"""Reloads that cannot work change nothing; those that can keep the addresses that stay."""

from __future__ import annotations

import os
import signal
import socket
import urllib.request
import xmlrpc.client
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import (
    BASE,
    Daemon,
    UnixTransport,
    daemon,
    eventually,
    free_port,
    write_config,
)
from tests.kit.root import NOBODY, directory_of, needs_root

if TYPE_CHECKING:
    from pathlib import Path

CAT = "[program:x]\ncommand=/bin/cat\nstartsecs=0\n"
REFUSED = "CRIT restart refused, everything keeps running: "


def refused_for(running: Daemon, why: str) -> None:
    """SIGHUP and the remote call are refused, both with this reason, and nothing has changed."""
    pid, times = running.pid("x"), running.log.count(REFUSED)
    running.signal(signal.SIGHUP)
    eventually(lambda: running.log.count(REFUSED) == times + 1, "the refusal")
    assert why in running.log[running.log.rindex(REFUSED) :]
    assert running.fault("restart") == 92
    assert running.log.count(REFUSED) == times + 2
    assert (running.pid("x"), running.state("x")) == (pid, "RUNNING")
    assert running.rpc.getState() == {"statecode": 1, "statename": "RUNNING"}


def reloaded(running: Daemon) -> None:
    """Reload, and wait until the programs run again."""
    times, pid = running.log.count("supervisord started with pid"), running.pid("x")
    running.signal(signal.SIGHUP)
    eventually(lambda: running.log.count("supervisord started with pid") == times + 1, "the reload")
    running.wait_for_another_child("x", pid)


def inet(name: str, port: int, host: str = "127.0.0.1") -> str:
    return f"[inet_http_server:{name}]\nport={host}:{port}\n"


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ok.html", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.mark.behaviour("process.md#restart-of-the-daemon")
def test_a_reload_to_a_port_that_is_taken_changes_nothing(tmp_path: Path) -> None:
    free, kept = free_port(), free_port()
    with daemon(tmp_path, CAT + inet("kept", kept)) as running:
        running.wait_for("x", "RUNNING")
        inode = (tmp_path / "s.sock").stat().st_ino
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            text = CAT + inet("free", free) + inet("kept", kept) + inet("taken", port)
            write_config(tmp_path, text)
            refused_for(running, "Another program is already listening on a port")
            assert not answers(free)  # what was bound for the reload is closed again
            assert answers(kept)
        reloaded(running)
        assert answers(free)
        assert answers(kept)
        assert answers(port)
        assert (tmp_path / "s.sock").stat().st_ino == inode  # nobody could have taken it
        write_config(tmp_path, CAT)
        reloaded(running)
        assert not any(map(answers, (free, kept, port)))
        before = running.descriptors
        reloaded(running)
        eventually(lambda: running.descriptors <= before, "no descriptor left")
    assert not (tmp_path / "s.sock").exists()


@pytest.mark.behaviour("process.md#restart-of-the-daemon")
@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("/sup.log", "/sub/sup.log", "cannot open the log {here}/sub/sup.log: "),
        (
            "[unix_http_server]\n",
            "[unix_http_server:a]\nfile=%(here)s/t.sock\n[unix_http_server:b]\n"
            "file=%(here)s/t.sock\nchmod=0777\n[unix_http_server]\n",
            "Two HTTP servers listen on the same address: {here}/t.sock",
        ),
        (
            "[unix_http_server]\n",
            "[inet_http_server]\nport=192.0.2.1:{port}\n[unix_http_server]\n",
            "192.0.2.1",
        ),
    ],
)
def test_a_reload_that_cannot_work_is_refused(tmp_path: Path, old: str, new: str, why: str) -> None:
    port = free_port()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "sup.log").mkdir()
    with daemon(tmp_path, CAT + inet("kept", port)) as running:
        running.wait_for("x", "RUNNING")
        base = BASE.replace(old, new.replace("{port}", str(port)))
        text = CAT if "inet" in new else CAT + inet("kept", port)
        write_config(tmp_path, text, base=base)
        refused_for(running, why.format(here=tmp_path))
        assert answers(port)
        assert not (tmp_path / "t.sock").exists()


@pytest.mark.behaviour("process.md#restart-of-the-daemon")
@needs_root
def test_a_reload_with_an_owner_that_may_not_be_given_is_refused() -> None:
    """Of the socket that is there already; nothing but the log tells of it."""
    with directory_of(NOBODY) as directory, daemon(directory, CAT, user=NOBODY) as running:
        running.wait_for("x", "RUNNING")
        inode = (directory / "s.sock").stat().st_ino
        names = sorted(os.listdir(directory))
        base = BASE.replace("[unix_http_server]\n", "[unix_http_server]\nchown=root\n")
        write_config(directory, CAT, base=base, user=NOBODY)
        refused_for(running, "Cannot open an HTTP server: ")
        assert (directory / "s.sock").stat().st_ino == inode
        assert sorted(os.listdir(directory)) == names
        base = BASE.replace("[unix_http_server]\n", "[unix_http_server]\nchmod=0770\n")
        write_config(directory, CAT, base=base, user=NOBODY)
        reloaded(running)
        assert (directory / "s.sock").stat().st_mode & 0o777 == 0o770


@pytest.mark.behaviour("process.md#restart-of-the-daemon")
def test_a_reload_moves_a_server_to_another_host_of_its_port(tmp_path: Path) -> None:
    port = free_port()
    with daemon(tmp_path, CAT + inet("a", port)) as running:
        running.wait_for("x", "RUNNING")
        write_config(tmp_path, CAT + inet("a", port, "*"))
        reloaded(running)
        eventually(partial(answers, port), "the server")


@pytest.mark.behaviour("process.md#restart-of-the-daemon")
def test_a_program_that_cannot_be_made_ends_no_reload(tmp_path: Path) -> None:
    with daemon(tmp_path, CAT) as running:
        running.wait_for("x", "RUNNING")
        (tmp_path / "f.sock").write_text("not a socket")
        fcgi = f"[fcgi-program:f]\ncommand=/bin/sleep 1000\nsocket=unix://{tmp_path}/f.sock\n"
        write_config(tmp_path, f"{CAT}{fcgi}startsecs=0\n")
        reloaded(running)
        running.wait_for("f", "BACKOFF")
        assert "a file that is not a socket is there" in str(running.info("f")["spawnerr"])
        (tmp_path / "f.sock").unlink()
        running.wait_for("f", "RUNNING")


@pytest.mark.behaviour("configuration.md#rpc-interfaces")
def test_a_plugin_that_cannot_be_made_any_more_ends_no_reload(tmp_path: Path) -> None:
    (tmp_path / "fragile.py").write_text(
        "import os\n"
        "class Plugin:\n"
        "    def hello(self):\n"
        "        return 'hello'\n"
        "def make(supervisor, **options):\n"
        "    if os.path.exists('broken'):\n"
        "        raise LookupError('no database')\n"
        "    return Plugin()\n"
    )
    plugin = "[rpcinterface:fragile]\nsupervisor.rpcinterface_factory=fragile:make\n"
    with daemon(tmp_path, CAT + plugin) as running:
        running.wait_for("x", "RUNNING")
        server = xmlrpc.client.ServerProxy(
            "http://x", transport=UnixTransport(f"{tmp_path}/s.sock")
        )
        assert server.fragile.hello() == "hello"
        (tmp_path / "broken").touch()
        reloaded(running)
        assert "LookupError: no database; without plugins' rpc interfaces" in running.log
        (tmp_path / "broken").unlink()
        reloaded(running)
        assert server.fragile.hello() == "hello"
