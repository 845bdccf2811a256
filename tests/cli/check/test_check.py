"""``tsupervisord --check``: all at once, with places and fixes; it starts and changes nothing."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.kit.daemon import BASE, daemon, free_port, run_to_end, write_config
from trio_supervisor.cli.check.check import check

#: A main file and two included ones, with a mistake in nearly every line.
NASTY = {
    "supervisord.conf": """\
[supervisord]
logfile=/nonexistent/supervisord.log
loglevel=warning
nodaemon="true"
childlogdir=/nonexistent
user=wwww-data
environment=DB_PASSWORD="hidden%word",LANG=C
[unix_http_server]
file=/nonexistent/s.sock
chmod=0888
username=admin
[inet_http_server]
port=localhost:99999
username=admin
password=hidden%2
[include]
files=conf.d/*.conf nothere.conf
[group:web]
programs=web worker,wep,mailer
[program:web]
command=/bin/cat -b :80%(process_number)02d
numprocs=4
autorestart=always
stopsignal=SIGTREM
stdout_logfile=/nonexistent/%(program_name)s.log
stdout_logfile_maxbytes=50M
startsec=10
  redirect_stderr=true
""",
    "conf.d/b-worker.conf": """\
[program:worker]
comand=python worker.py
directory=/nonexistent
user=nosuch
exitcodes=0;2
[progam:cron]
command=cron
this line is nothing
""",
    "conf.d/a-listen.conf": """\
[eventlistener:mailer]
command=/nonexistent/mailer
events=PROCESS_STATE_FATL
buffer_size=0
redirect_stderr=true
environment=TOKEN="hidden"junk;X
[fcgi-program:php]
command=php-cgi
socket=unix://php.sock
socket_mode=9
""",
}
#: Severity, file, line, section, option, and what the fix says.
FOUND = """\
error conf.d/b-worker.conf:8 - - every line is
error supervisord.conf:2 supervisord logfile create the directory
error supervisord.conf:3 supervisord loglevel use warn
error supervisord.conf:4 supervisord nodaemon leave the quotes out
error supervisord.conf:5 supervisord childlogdir create it, or name another
error supervisord.conf:7 supervisord environment write %% for a literal %
error supervisord.conf:6 supervisord user there is no such user
error supervisord.conf:19 group:web programs separate names by commas
error supervisord.conf:19 group:web programs did you mean web?
error supervisord.conf:19 group:web programs an event listener cannot be in a group
error supervisord.conf:23 program:web autorestart use true
error supervisord.conf:24 program:web stopsignal did you mean TERM?
error supervisord.conf:20 program:web process_name write process_name=
error supervisord.conf:25 program:web stdout_logfile create the directory
error supervisord.conf:26 program:web stdout_logfile_maxbytes use 50MB
error supervisord.conf:21 program:web command did you mean process_num?
error conf.d/b-worker.conf:5 program:worker exitcodes separated by commas
error conf.d/b-worker.conf:4 program:worker user there is no such user
error conf.d/b-worker.conf:1 program:worker - add command=
error conf.d/a-listen.conf:4 eventlistener:mailer buffer_size use 1 or more
error conf.d/a-listen.conf:3 eventlistener:mailer events did you mean PROCESS_STATE_FATAL?
error conf.d/a-listen.conf:5 eventlistener:mailer redirect_stderr leave it out
error conf.d/a-listen.conf:6 eventlistener:mailer environment write KEY="value"
error conf.d/a-listen.conf:9 fcgi-program:php socket use unix:///absolute/path
error conf.d/a-listen.conf:10 fcgi-program:php socket_mode use the digits 0 to 7
error supervisord.conf:15 inet_http_server password write %% for a literal %
error supervisord.conf:13 inet_http_server port use a free port
error supervisord.conf:11 unix_http_server username give a value for password too
error supervisord.conf:10 unix_http_server chmod use the digits 0 to 7
warning supervisord.conf:28 program:web startsec write it without indentation
warning conf.d/b-worker.conf:6 progam:cron - did you mean [program:cron]?
warning supervisord.conf:27 program:web startsec did you mean startsecs?
warning conf.d/b-worker.conf:2 program:worker comand did you mean command?
warning supervisord.conf:16 include - correct files=
error supervisord.conf:9 unix_http_server file create it: mkdir -p /nonexistent
warning conf.d/a-listen.conf:2 eventlistener:mailer command give the full path
warning conf.d/a-listen.conf:8 fcgi-program:php command give the full path
"""


@pytest.fixture
def nasty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in NASTY.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def reported(path: str, capsys: pytest.CaptureFixture[str], code: int) -> list[dict[str, Any]]:
    """The findings of the JSON form, with counts and exit code that fit them."""
    assert check(path, {}, "json", "tsupervisord") == code
    report = json.loads(capsys.readouterr().out)
    findings: list[dict[str, Any]] = report["findings"]
    errors = sum(finding["severity"] == "error" for finding in findings)
    assert (report["file"], report["errors"], report["warnings"]) == (
        path,
        errors,
        len(findings) - errors,
    )
    return findings


@pytest.mark.behaviour("configuration.md#checking-a-configuration")
def test_all_mistakes_of_all_files_at_once_each_with_its_place_and_a_fix(
    nasty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    findings = reported("supervisord.conf", capsys, 2)
    for finding, line in zip(findings, FOUND.splitlines(), strict=True):
        severity, place, section, option, hint = line.split(" ", 4)
        found = finding["file"].removeprefix(f"{nasty}/")
        assert [
            finding["severity"],
            f"{found}:{finding['line']}",
            finding["section"] or "-",
            finding["option"] or "-",
        ] == [severity, place, section, option], finding
        assert hint in finding["hint"]


def test_what_a_person_sees_marks_what_is_wrong_and_shows_no_secret(
    nasty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(nasty.rglob("*"))
    assert check("supervisord.conf", {}, "text", "tsupervisord") == 2
    shown = capsys.readouterr().out
    for part in (
        "error: supervisord.conf:4 [supervisord]: not a valid boolean value: '\"true\"'\n"
        '    nodaemon="true"\n'
        "             ^^^^^^\n"
        "    fix: leave the quotes out\n",
        "    port=localhost:99999\n         ^^^^^^^^^^^^^^^\n",
        # What is misspelled is marked, and its value may be a secret.
        "    startsec=***\n    ^^^^^^^^\n    fix: did you mean startsecs?\n",
        "      redirect_stderr=true\n      ^^^^^^^^^^^^^^^^^^^^\n",
        f"error: {nasty}/conf.d/b-worker.conf:1: program section program:worker does not "
        "specify a command\n    [program:worker]\n    ^^^^^^^^^^^^^^^^\n",
        "    password=***\n             ^^^\n",
    ):
        assert part in shown
    assert "hidden" not in shown
    assert shown.endswith("supervisord.conf: 30 errors, 7 warnings\n")
    assert sorted(nasty.rglob("*")) == before


def test_columns_count_from_1_and_the_end_is_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path, '[program:x]\ncommand=a\nautostart : "true"  ; why not\n')
    finding = reported(str(path), capsys, 2)[0]
    line = path.read_text().splitlines()[finding["line"] - 1]
    assert line[finding["column"] - 1 : finding["end"] - 1] == '"true"'


@pytest.mark.behaviour(
    "configuration.md#values-on-the-command-line", "configuration.md#parsing-of-the-command-line"
)
def test_mistakes_on_the_command_line_are_said_to_be_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path, "")
    assert check(str(path), {"loglevel": "bogus"}, "text", "tsupervisord") == 2
    shown = capsys.readouterr().out
    assert shown.startswith(
        "error: command line [supervisord]: bad logging level name 'bogus'\n    fix: use one of "
    )
    done = run_to_end("-n", "-c", str(path), "-e", "bogus", cwd=tmp_path)
    assert done.stderr.startswith(
        "Error: bad logging level name 'bogus' in section 'supervisord' "
        "(option: 'loglevel', file: 'command line'); use one of "
    )


def test_toml_is_checked_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        '[supervisord]\nuser = "root"\nloglevle = "info"\n[program.x]\ncommand = "/bin/cat"\n'
        'autostart = "maybe"\numask = 22\n[progam.y]\n'
    )
    assert [(f["line"], f["option"], f["hint"]) for f in reported(str(path), capsys, 2)] == [
        (3, "loglevle", "did you mean loglevel?"),
        (7, "umask", 'write its octal digits: umask = "022"'),
        (8, None, "did you mean [program]?"),
        (6, "autostart", "use true or false"),
    ]


@pytest.mark.behaviour("configuration.md#checking-a-configuration")
def test_who_holds_ports_and_sockets_and_what_cannot_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket(socket.AF_UNIX) as control:
        control.bind(str(tmp_path / "s.sock"))
        control.listen()
        port = taken.getsockname()[1]
        path = write_config(
            tmp_path,
            f"[inet_http_server]\nport=127.0.0.1:{port}\n"
            "[program:a]\ncommand=/no/such/program\nprocess_name=a%(process_num)d\nnumprocs=3\n"
            "[program:b]\ncommand=/bin/cat\ndirectory=/no/such/directory\n"
            f"[program:c]\ncommand=/bin/cat\nstdout_logfile={tmp_path}\n"
            "[program:d]\ncommand=%(ENV_TOOL)s\nenvironment=TOOL=/opt/hidden\n",
        )
        findings = reported(str(path), capsys, 0)
    me = f"process {os.getpid()} ("
    for text, option in (
        (f"the control socket is taken: {tmp_path}/s.sock is held by {me}", "file"),
        (f"port {port} is held by {me}", "port"),
        ("any client that can reach this port controls every program", "password"),
        ("a:a0 and 2 more will fail to start: can't find command '/no/such/program'", "command"),
        ("there is no directory /no/such/directory", "directory"),
        (f"the log of c:c cannot be written: {tmp_path} is a directory", "stdout_logfile"),
        ("d:d will fail to start: can't find command '%(ENV_TOOL)s'", "command"),
    ):
        found = [finding for finding in findings if text in finding["text"]]
        assert [finding["option"] for finding in found] == [option], text
        assert found[0]["line"] > 0
        assert found[0]["hint"]
    assert len(findings) == 7


@pytest.mark.behaviour("configuration.md#checking-a-configuration")
def test_commands_that_cannot_start_have_the_hint_that_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    commands = {
        "found": "./run.sh",
        "elsewhere": "./other.sh",
        "quoted": '"/bin/cat -b"',
        "open": "/bin/echo it's",
        "builtin": "cd /tmp",
        "assignment": "A=1 /bin/cat",
        "missing": "/no/such",
        "escaped": "/bin/echo it\\'s",
    }
    text = "".join(
        f"[program:{name}]\ncommand={command}\ndirectory=%(here)s\n"
        for name, command in commands.items()
    )
    path = write_config(tmp_path, text)
    assert [
        (f["section"].partition(":")[2], f["text"].partition(": ")[2] or f["text"], f["hint"])
        for f in reported(str(path), capsys, 0)
    ] == [
        (
            "builtin",
            "cd is a command of shells, there is no shell here",
            "set directory=, or run a shell: command=/bin/sh -c '...'",
        ),
        (
            "assignment",
            "A=... is taken as the program, there is no shell here",
            "set the variable with environment=, or begin with /usr/bin/env",
        ),
        (
            "elsewhere",
            "can't find command './other.sh'",
            "a relative command is looked up in directory=: write the whole path",
        ),
        (
            "missing",
            "can't find command '/no/such'",
            "give the full path of an existing program",
        ),
        (
            "open",
            "can't parse command \"/bin/echo it's\": No closing quotation",
            "close the quote, or write \\' for a quote that is meant as it is",
        ),
        (
            "quoted",
            "can't find command '/bin/cat -b'",
            "leave out the quotes around the whole command",
        ),
    ]


def test_nothing_is_said_of_a_container_that_logs_to_its_own_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "command=/bin/cat\nstdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0\n"
    text += "redirect_stderr=true\n"
    path = write_config(tmp_path, f"[program:a]\n{text}[program:b]\n{text}")
    assert reported(str(path), capsys, 0) == []


def test_what_the_running_daemon_of_the_configuration_holds_is_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        f"[inet_http_server]\nport=127.0.0.1:{free_port()}\nusername=u\npassword=p\n"
        "[fcgi-program:f]\ncommand=/bin/sleep 99\nsocket=unix://%(here)s/f.sock\n"
    )
    with daemon(tmp_path, text) as running:
        running.wait_for("f", "RUNNING")
        (finding,) = reported(str(tmp_path / "c.conf"), capsys, 0)
    assert f"the daemon runs already: process {running.process.pid} (" in finding["text"]


def test_sockets_that_cannot_be_made_are_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.sock").write_text("precious")
    path = write_config(
        tmp_path,
        "[unix_http_server:two]\nfile=/no/such/directory/s\n"
        "[inet_http_server]\nport=no-such-host.invalid:9\nusername=u\npassword=p\n"
        "ssl_certificate=%(here)s/none.pem\n"
        "[fcgi-program:f]\ncommand=/bin/cat\nsocket=unix:///no/such/directory/f\n",
    )
    assert [(f["severity"], f["text"]) for f in reported(str(path), capsys, 2)] == [
        (
            "error",
            "the server cannot listen: the host no-such-host.invalid has no address here",
        ),
        (
            "error",
            f"Cannot open an HTTP server: {tmp_path}/none.pem: No such file or directory",
        ),
        (
            "error",
            f"the control socket cannot be created: {tmp_path}/s.sock exists and is not a socket",
        ),
        (
            "error",
            "the control socket cannot be created: there is no directory /no/such/directory",
        ),
        (
            "error",
            "the FastCGI socket cannot be created: there is no directory /no/such/directory",
        ),
    ]
    assert (tmp_path / "s.sock").read_text() == "precious"


def test_sockets_with_paths_that_clients_cannot_connect_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / ("d" * 100)
    directory.mkdir()
    path = tmp_path / "c.conf"
    path.write_text(
        f"[supervisord]\nuser=root\nchildlogdir=%(here)s\n[unix_http_server]\nfile={directory}/s\n"
        f"[fcgi-program:f]\ncommand=/bin/cat\nsocket=unix://{directory}/f\n"
    )
    length = len(str(directory)) + 2
    said = f"cannot be created: its path is {length} bytes long, the limit is 107"
    texts = [f["text"] for f in reported(str(path), capsys, 2) if f["severity"] == "error"]
    assert texts == [f"the control socket {said}", f"the FastCGI socket {said}"]


@pytest.mark.parametrize(
    ("content", "line"), [(None, 0), (b"[supervisord]\nuser=\xff", 2), (b"\nfoo\nbar\n", 2)]
)
def test_files_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, line: int
) -> None:
    path = tmp_path / "c.conf"
    if content is not None:
        path.write_bytes(content)
    findings = [f for f in reported(str(path), capsys, 2) if f["severity"] == "error"]
    assert [finding["line"] for finding in findings] == [line]


def test_without_a_file_the_places_searched_are_named(tmp_path: Path) -> None:
    found = run_to_end("--check", cwd=tmp_path)
    if found.returncode == 2:  # else this machine has a file in /etc
        assert "No config file found at default paths" in found.stdout
        assert "no file: 1 error" in found.stdout


def test_a_file_cannot_steer_the_terminal_on_which_it_is_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.conf"
    path.write_text("[supervisord]\nnodaemon=\x1b[2J\u202e\x9b\n")
    assert check(str(path), {}, "text", "tsupervisord") == 2
    shown = capsys.readouterr().out
    assert "    nodaemon=\\x1b[2J\\u202e\\x9b\n" in shown
    assert not {"\x1b", "\u202e", "\x9b"} & set(shown)


@pytest.mark.behaviour("policies.md#probe-options-without-effect")
def test_the_commands_of_probes_are_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    probes = "ready=exec:/nonexistent/ready now\nhealth=exec:/bin/true\n"
    text = f"[program:x]\ncommand=/bin/true\n{probes}"
    base = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\n")
    path = write_config(tmp_path, text, base=base)
    check(str(path), {}, "json", "tsupervisord")
    findings = json.loads(capsys.readouterr().out)["findings"]
    (missing,) = [found for found in findings if found["option"] in ("ready", "health")]
    assert missing["option"] == "ready"
    assert missing["text"] == "ready of x:x will fail: can't find command '/nonexistent/ready'"


@pytest.mark.behaviour("policies.md#commands-beside-the-program")
@pytest.mark.parametrize("option", ["pre_start", "stop_command", "post_stop", "refresh_command"])
def test_the_commands_of_hooks_are_looked_for(
    option: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOOK_SECRET", "hunter2hunter2")
    base = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\n")

    def findings(line: str) -> list[tuple[str, str]]:
        text = f"[program:x]\ncommand=/bin/true\n{option}={line}\n"
        check(str(write_config(tmp_path, text, base=base)), {}, "json", "tsupervisord")
        found = json.loads(capsys.readouterr().out)["findings"]
        return [(one["text"], one["hint"]) for one in found if one["option"] == option]

    assert findings("/bin/true now") == []
    missing = "can't find command '/nonexistent/hook'"
    hint = "name an existing command, or leave it out"
    assert findings("/nonexistent/hook") == [(f"{option} of x:x will fail: {missing}", hint)]
    [(text, hint)] = findings('/bin/true "%(ENV_HOOK_SECRET)s')
    assert text.endswith("No closing quotation")
    assert "hunter2" not in text
    assert hint.startswith("close the quote")
