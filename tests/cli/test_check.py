"""``tsupervisord --check``: all at once, with places and fixes; it starts and changes nothing."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.kit.daemon import write_config
from trio_supervisor.cli.check import check

BAD = """\
[program:web]
comand=/bin/cat
autostart="false"
password=x
[inet_http_server]
port=127.0.0.1:1
username=u
password=gene%ric
"""


def test_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_config(tmp_path, BAD)
    before = sorted(tmp_path.iterdir())
    assert check(str(path), {}, "text", "tsupervisord") == 2
    shown = capsys.readouterr().out
    assert (
        f"error: {path}:15 [program:web]: not a valid boolean value: '\"false\"'\n"
        '    autostart="false"\n'
        "              ^^^^^^^\n"
        "    fix: leave the quotes out\n"
    ) in shown
    assert "fix: did you mean command?" in shown
    assert f"error: {path} [program:web]: program section program:web does not specify" in shown
    assert "ric" not in shown.replace("generic", "")  # of the password
    assert shown.endswith(f"{path}: 3 errors, 2 warnings\n")
    assert sorted(tmp_path.iterdir()) == before


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_config(tmp_path, BAD)
    assert check(str(path), {}, "json", "tsupervisord") == 2
    report = json.loads(capsys.readouterr().out)
    assert (report["file"], report["errors"], len(report["findings"])) == (str(path), 3, 5)
    assert report["findings"][0] == {
        "severity": "error",
        "text": "not a valid boolean value: '\"false\"'",
        "file": str(path),
        "line": 15,
        "section": "program:web",
        "option": "autostart",
        "hint": "leave the quotes out",
    }


def test_what_a_look_at_the_machine_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        path = write_config(
            tmp_path,
            f"[inet_http_server]\nport=127.0.0.1:{taken.getsockname()[1]}\n"
            "[program:a]\ncommand=/no/such/program\ndirectory=/no/such/directory\n"
            f"[program:b]\ncommand=/bin/cat\nstdout_logfile={tmp_path}\n",
        )
        assert check(str(path), {}, "text", "tsupervisord") == 0
    shown = capsys.readouterr().out
    for text in (
        "something listens on http://127.0.0.1:",
        "a:a will fail: there is no directory /no/such/directory",
        "a:a will fail: can't find command '/no/such/program'",
        f"{tmp_path} of b:b is a directory",
        "0 errors, 4 warnings",
    ):
        assert text in shown


def test_a_socket_that_cannot_be_made_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.sock").write_text("precious")
    path = write_config(tmp_path, "[unix_http_server:two]\nfile=/no/such/directory/s\n")
    assert check(str(path), {}, "text", "tsupervisord") == 2
    shown = capsys.readouterr().out
    assert "s.sock exists and is not a socket" in shown
    assert "/no/such/directory of the socket is missing or not writable" in shown
    assert (tmp_path / "s.sock").read_text() == "precious"


@pytest.mark.parametrize("content", [None, b"\xff", b"foo\n"])
def test_files_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    path = tmp_path / "c.conf"
    if content is not None:
        path.write_bytes(content)
    assert check(str(path), {}, "text", "tsupervisord") == 2
    assert "1 error, 0 warnings" in capsys.readouterr().out
