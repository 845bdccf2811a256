"""What values mean where only the daemon and its children can show it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.kit.daemon import BASE, daemon, free_port, run_to_end, write_config
from tests.kit.root import NOBODY, as_user, directory_of, needs_root

#: Writes what it is given and lives on.
SHOW = """\
import json, os, sys
umask = os.umask(0)
shown = {"argv": sys.argv[2:], "environ": dict(os.environ), "umask": umask, "cwd": os.getcwd()}
with open(sys.argv[1] + ".new", "w") as out:
    json.dump(shown, out)
os.rename(sys.argv[1] + ".new", sys.argv[1])
sys.stdin.read()
"""


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "show.py").write_text(SHOW)
    for name in ("A", "B", "C"):
        monkeypatch.setenv(name, "os")
    monkeypatch.setenv("SLASHES", "p/q")
    monkeypatch.delenv("SUPERVISOR_SERVER_URL", raising=False)
    return tmp_path


def shown_by(stage: Path, name: str) -> dict[str, object]:
    """What a program that is RUNNING has been given."""
    shown: dict[str, object] = json.loads((stage / name).read_text())
    return shown


@pytest.mark.behaviour(
    "configuration.md#continuation-lines",
    "process.md#environment-of-a-child",
    "process.md#supervisor-variables",
    "configuration.md#settings-of-the-host-that-the-daemon-applies",
    "configuration.md#command-is-required",
    "configuration.md#log-targets",
    "configuration.md#members-of-a-group",
    "configuration.md#numprocs",
    "configuration.md#equal-names",
    "configuration.md#names-of-programs-processes-and-groups",
    "configuration.md#order-of-groups-and-processes",
    "process.md#start-order",
)
def test_one_daemon_many_programs(stage: Path) -> None:
    show = f"command={sys.executable} {stage}/show.py {stage}"
    text = f"""\
[program:words]
{show}/words a
   b

   c
[program:variables]
{show}/variables
environment=B="2",SUPERVISOR_PROCESS_NAME="zz"
serverurl=
[program:url]
{show}/url
serverurl=http://foo
[program:place]
{show}/place
umask=077
directory=/
[program:nowhere]
command=/bin/cat
directory=/nope
startretries=0
[program:slash]
command=/bin/cat
stdout_logfile=/tmp/
startretries=0
[program:empty]
command=
startretries=0
[program:unbalanced]
command=/bin/echo "a
startretries=0
[program:twice]
command=/bin/cat
startsecs=0
[group:g]
programs=twice,twice
[program:equal]
{show}/equal_%(process_num)d
numprocs=2
process_name=p%(process_num).0s
[program:both]
command=/bin/cat
startsecs=0
[fcgi-program:both]
command=/bin/false
socket=unix://%(here)s/both.sock
[program:variable]
command=/bin/cat
startsecs=0
process_name=%(ENV_SLASHES)s
[program:first]
command=/bin/cat
startsecs=0
priority=10
[program:second]
command=/bin/cat
startsecs=0
priority=5
[program:third]
command=/bin/cat
startsecs=0
priority=5
[group:order]
programs=first,third,second
"""
    base = BASE.replace(
        "[unix", 'environment=SUPERVISOR_ENABLED="glob",A="1",B="1"\nidentifier=i/d\n[unix', 1
    )
    with daemon(stage, text, base=base) as running:
        for name in ("words", "variables", "url", "place", "g:twice", "both", "order:first"):
            running.wait_for(name, "RUNNING")
        for name in ("nowhere", "slash", "empty", "unbalanced"):
            running.wait_for(name, "FATAL")
        running.wait_for("equal:p", "RUNNING")

        assert shown_by(stage, "words")["argv"] == ["a", "b", "c"]
        environ = shown_by(stage, "variables")["environ"]
        assert isinstance(environ, dict)
        wanted = {
            "SUPERVISOR_ENABLED": "glob",
            "A": "1",
            "B": "2",
            "C": "os",
            "SUPERVISOR_PROCESS_NAME": "zz",
            "SUPERVISOR_GROUP_NAME": "variables",
        }
        assert {name: environ[name] for name in wanted} == wanted
        assert "SUPERVISOR_SERVER_URL" not in environ
        environ = shown_by(stage, "url")["environ"]
        assert isinstance(environ, dict)
        assert environ["SUPERVISOR_SERVER_URL"] == "http://foo"
        place = shown_by(stage, "place")
        assert (place["umask"], place["cwd"]) == (0o077, "/")

        log = running.log
        for name, error in (
            ("nowhere", "/nope"),
            ("empty", "command is empty"),
            ("unbalanced", "No closing quotation"),
        ):
            assert error in str(running.info(name)["spawnerr"])
        assert "EISDIR" in str(running.info("slash")["spawnerr"])

        states = running.states()
        assert [name for name in states if name.startswith("g:")] == ["g:twice"]
        assert [name for name in states if name.startswith("equal:")] == ["equal:p"]
        assert not (stage / "equal_0").exists()  # of equal names the last
        assert (stage / "equal_1").exists()
        assert "WARN" in log
        assert "several groups are called both" in log  # the program runs
        assert not (stage / "both.sock").exists()
        auto = [path.name for path in stage.iterdir() if "---i_d-" in path.name]
        assert any(name.startswith("p_q-stdout---") for name in auto)
        spawned = [log.index(f"spawned: '{name}'") for name in ("third", "second", "first")]
        assert spawned == sorted(spawned)


@pytest.mark.behaviour(
    "configuration.md#http-servers",
    "configuration.md#unix-sockets-of-servers",
    "process.md#control-sockets",
    "configuration.md#the-activity-log-file",
)
@pytest.mark.parametrize(
    ("text", "old", "new", "error"),
    [
        pytest.param(
            "[inet_http_server:a]\nport=127.0.0.1:{port}\n"
            "[inet_http_server:b]\nport=127.0.0.1:{port}\n",
            *("", "", "{port}"),
            id="port",
        ),
        pytest.param("", "%(here)s/s.sock", "%(here)s/file", "file", id="socket"),
        pytest.param("", "%(here)s/sup.log", "", "logfile", id="empty"),
        pytest.param("", "%(here)s/sup.log", "%(here)s", "{here}", id="directory"),
    ],
)
def test_what_cannot_be_opened_is_an_error_and_leaves_everything_alone(
    tmp_path: Path, text: str, old: str, new: str, error: str
) -> None:
    """Exit 2 and no traceback."""
    port = free_port()
    (tmp_path / "file").write_text("precious")
    text, error = (part.format(here=tmp_path, port=port) for part in (text, error))
    write_config(tmp_path, text, base=BASE.replace(old, new) if old else BASE)
    done = run_to_end("-n", "-c", "c.conf", cwd=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert done.stderr.startswith("Error: ")
    assert error in done.stderr.splitlines()[0]
    assert done.stderr.splitlines()[-1].startswith("For help, use ")
    assert (tmp_path / "file").read_text() == "precious"
    assert not (tmp_path / "sup.pid").exists()
    assert not (tmp_path / "s.sock").exists()


@pytest.mark.behaviour(
    "configuration.md#fastcgi-programs",
    "process.md#files-of-fastcgi-sockets",
    "process.md#fastcgi-sockets-that-cannot-be-created",
)
@pytest.mark.parametrize(
    ("socket", "error"),
    [
        pytest.param("unix:///nope/f", "/nope/f", id="directory"),
        pytest.param("unix://{here}/file", "/file", id="file"),
        pytest.param("tcp://no-host.invalid:9", "no-host.invalid", id="host"),
    ],
)
def test_a_fastcgi_socket_that_cannot_be_made_concerns_its_program_only(
    tmp_path: Path, socket: str, error: str
) -> None:
    (tmp_path / "file").write_text("precious")
    socket = socket.format(here=tmp_path)
    text = f"[fcgi-program:f]\ncommand=/bin/cat\nsocket={socket}\nstartretries=50\n"
    with daemon(tmp_path, f"{text}[program:x]\ncommand=/bin/cat\n") as running:
        running.wait_for("x", "RUNNING")
        running.wait_for("f", "BACKOFF")
        assert f"f: could not create FastCGI socket {socket}: " in running.log
        assert error in str(running.info("f")["spawnerr"])
        assert "Traceback" not in running.log
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.behaviour("configuration.md#the-activity-log-file", "process.md#rotation-failures")
@pytest.mark.parametrize("logfile", ["syslog", "NONE", "/dev/stdout"])
def test_logs_of_the_daemon(tmp_path: Path, logfile: str) -> None:
    base = BASE.replace("%(here)s/sup.log", logfile)
    with daemon(tmp_path, "[program:x]\ncommand=/bin/cat\nstartsecs=0\n", base=base) as running:
        running.wait_for("x", "RUNNING")
        if logfile == "NONE":  # the name of a file, which is remarked
            assert "this is the name of a file here" in (tmp_path / "NONE").read_text()
            assert running.rpc.readLog(-10, 0)
        elif logfile == "syslog":
            assert running.fault("readLog", -10, 0) == 20
        assert running.stop() == 0
    printed = (tmp_path / "stdout").read_text()
    assert printed.count("spawned: 'x'") == 1  # once, also where the log is stdout itself
    assert "stopped: x" in printed
    assert not (tmp_path / "syslog").exists()


def test_a_profile_of_the_daemon(tmp_path: Path) -> None:
    arguments = ("--profile_options", "cumulative,calls")
    with daemon(tmp_path, "", *arguments) as running:
        assert running.stop() == 0
    assert "Ordered by: cumulative time, call count" in (tmp_path / "stdout").read_text()
    done = run_to_end("-n", "-c", "c.conf", "--profile_options", "nonsense", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: invalid value for --profile_options 'nonsense'")


@pytest.mark.behaviour("configuration.md#encoding-and-line-ends")
def test_files_are_UTF_8_wherever_they_are_read(tmp_path: Path) -> None:
    write_config(tmp_path, "[program:h\u00e9]\ncommand=/bin/cat\n")
    bare = ("env", "LC_ALL=C", "PYTHONUTF8=0", "PYTHONCOERCECLOCALE=0")
    done = run_to_end("--export", "json", "-c", "c.conf", cwd=tmp_path, within=bare)
    assert [group["name"] for group in json.loads(done.stdout)["group"]] == ["h\u00e9"]


@pytest.mark.behaviour(
    "configuration.md#settings-of-the-host-that-the-daemon-applies",
    "configuration.md#warning-when-root-searches-for-the-configuration",
)
@needs_root
def test_what_a_user_without_rights_may_not(tmp_path: Path) -> None:
    with directory_of(NOBODY) as directory:
        status = os.stat(directory)
        as_nobody = as_user(status.st_uid, status.st_gid)
        write_config(directory, "", user="root")
        for arguments in (("-c", "c.conf"), ("-c", "c.conf", "-u", "root")):
            done = run_to_end("-n", *arguments, cwd=directory, within=as_nobody)
            assert done.returncode == 2
            assert done.stderr.startswith("Error: Can't drop privilege as nonroot user")
        done = run_to_end("--check", cwd=directory, within=as_nobody)
        assert "running as root" not in done.stderr
