"""What a person is told when the daemon cannot be reached."""

from __future__ import annotations

import errno
import io
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from trio_supervisor.cli.client.client import HttpError
from trio_supervisor.cli.ctl.daemon_file import DaemonFile
from trio_supervisor.cli.ctl.hints import Hints
from trio_supervisor.cli.ctl.options import ClientOptions
from trio_supervisor.cli.ctl.session import Session

MISSING = FileNotFoundError(errno.ENOENT, "No such file or directory")
REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
DENIED = PermissionError(errno.EACCES, "Permission denied")


def hints(url: str, error: Exception, configuration: Path | None = None) -> list[str]:
    options = ClientOptions()
    options.serverurl = url
    options.configuration = None if configuration is None else str(configuration)
    return Hints(Session(options, io.StringIO())).of_failure(error)


def test_which_url_was_tried(tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/s"
    assert hints(url, MISSING)[0] == (
        f"no configuration file was found, so {url} was tried; give -c FILE"
    )
    config = tmp_path / "c.conf"
    config.write_text("")
    assert hints(url, MISSING, config)[0] == f"{url} comes from {config}"


@pytest.mark.behaviour("client.md#a-daemon-that-cannot-be-reached")
def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    found = hints(f"unix://{tmp_path}/s", MISSING)
    assert found[1:] == ["there is no such socket: is tsupervisord running?"]
    found = hints(f"unix://{tmp_path}/none/s", MISSING)
    assert found[1:] == [f"the directory {tmp_path}/none does not exist"]


def test_a_stale_socket_and_a_file(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "s"))
    found = hints(f"unix://{tmp_path}/s", REFUSED)
    assert found[1:] == ["the socket is stale: its daemon has gone; a new one replaces it"]
    (tmp_path / "f").touch()
    assert hints(f"unix://{tmp_path}/f", REFUSED)[1:] == [f"{tmp_path}/f is no socket"]


@pytest.mark.behaviour("client.md#a-daemon-that-cannot-be-reached")
def test_nobody_listens_on_tcp() -> None:
    assert "[inet_http_server]" in hints("http://127.0.0.1:1", REFUSED)[1]


def test_who_may_open_the_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.touch(mode=0o600)
    path.chmod(0o600)
    _, owner, mine, advice = hints(f"unix://{path}", DENIED)
    assert owner.startswith(f"{path} belongs to ")
    assert owner.endswith(" with mode 0600")
    assert mine.startswith("you are ")
    assert "chmod=0770 and chown=USER:GROUP" in advice


def test_a_directory_that_keeps_others_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o600)
    # As a user who is not root sees it.
    monkeypatch.setattr(os, "access", lambda path, mode: path != str(closed))
    found = hints(f"unix://{closed}/s", DENIED)
    assert found[1].startswith(f"{closed} belongs to ")
    assert len(found) == 3  # the options of the socket do not help


def test_where_the_daemon_of_the_file_is(tmp_path: Path) -> None:
    config, pidfile = tmp_path / "c.conf", tmp_path / "d.pid"
    config.write_text(
        "[unix_http_server]\nfile=%(here)s/other.sock\n[supervisord]\npidfile=%(here)s/d.pid\n"
    )
    url = f"unix://{tmp_path}/s"
    listens = f"the daemon of that file listens at unix://{tmp_path}/other.sock"
    assert hints(url, MISSING, config)[2:] == [
        listens,
        f"there is no pidfile {pidfile}: that daemon is not running",
    ]
    pidfile.write_text(f"{os.getpid()}\n")
    alive = f"{pidfile} names pid {os.getpid()}, which is running"
    assert hints(url, MISSING, config)[2:] == [listens, alive]
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    pidfile.write_text(str(ended.pid))
    gone = f"{pidfile} names pid {ended.pid}, which does not exist any more"
    assert hints(url, MISSING, config)[2:] == [listens, gone]


@pytest.mark.parametrize(
    "text",
    [
        "no INI at all",
        "[unix_http_server]\nfile=%(nosuch)s\n[supervisord]\npidfile=relative.pid\n",
        "[supervisord]\npidfile=%\n",
    ],
)
def test_a_file_that_says_nothing(tmp_path: Path, text: str) -> None:
    config = tmp_path / "c.conf"
    config.write_text(text)
    found = DaemonFile(str(config))
    assert (found.socket, found.pidfile, found.about_pid()) == ("", "", [])
    assert DaemonFile(str(tmp_path / "none.toml")).about_pid() == []


def test_a_password_is_asked_for() -> None:
    found = hints("http://h", HttpError("h/RPC2", 401, "Unauthorized"))
    assert found[-1] == "give -u NAME and -p TEXT, or username= and password= there"
    assert hints("http://h", HttpError("h/RPC2", 500, "Internal Server Error")) == []


def test_a_daemon_that_does_not_answer() -> None:
    assert "does not answer" in hints("http://h", TimeoutError())[-1]


def test_unknown_actions() -> None:
    session = Session(ClientOptions(), io.StringIO())
    assert Hints(session).of_line("retsart web") == ["did you mean restart or start?"]
    assert Hints(session).of_line("!ls") == ["help lists the actions"]
