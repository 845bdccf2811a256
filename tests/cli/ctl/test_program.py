"""The client as a program: input on a pipe, signals, broken output, names, what it imports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import trio_supervisor
from tests.kit.ctl import Ran, environment, finish, install, read_until, run
from tests.kit.daemon import eventually
from tests.kit.rpc_stub import Raw, Stub, chunked, fault, info, result, serving, turns
from trio_supervisor.cli.ctl.status_actions import STOPPED_NAMES
from trio_supervisor.core.process.states import STOPPED_STATES

if TYPE_CHECKING:
    from collections.abc import Callable

    Start = Callable[[list[str]], subprocess.Popen[bytes]]

HEADER = "==> Press Ctrl-C to exit <==\n"


@pytest.fixture
def program(tmp_path: Path) -> str:
    return install(tmp_path / "bin")


# fg on a pipe


def foreground(stub: Stub, program: str, tmp_path: Path, stdin: str) -> Ran:
    log = Raw(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    stub.answers |= {"GET /logtail/x/stdout": log, "GET /logtail/x/stderr": log}
    return run([program, "-s", stub.url, "fg", "x"], cwd=tmp_path, stdin=stdin)


@pytest.mark.behaviour("client.md#result-lines")
@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (fault("NO_FILE", "x"), "ERROR: <Fault 20: 'NO_FILE: x'>\n"),
        (fault("NOT_RUNNING", "x"), "Process got killed\n"),
    ],
)
def test_fg_input_refused(
    stub: Stub, program: str, tmp_path: Path, answer: object, line: str
) -> None:
    stub.answers |= {"getProcessInfo": info("x"), "sendProcessStdin": answer}
    ran = foreground(stub, program, tmp_path, "abc\n")
    assert ran == (0, f"{HEADER}{line}Exiting foreground\n", "")
    assert stub.calls[:2] == [("getVersion",), ("getProcessInfo", "x")]
    rest = {
        ("GET", "/logtail/x/stdout"),
        ("GET", "/logtail/x/stderr"),
        ("sendProcessStdin", "x", "abc\n"),
    }
    # The logs are asked for on connections of their own, which the stub serves side by side.
    eventually(lambda: set(stub.calls[2:]) == rest, "all three requests")


@pytest.mark.behaviour("client.md#result-lines")
def test_fg_process_gone_after_a_line(stub: Stub, program: str, tmp_path: Path) -> None:
    stub.answers |= {
        "getProcessInfo": turns(info("x"), info("x", "EXITED")),
        "sendProcessStdin": True,
    }
    ran = foreground(stub, program, tmp_path, "abc")
    assert ran == (0, f"{HEADER}Process got killed\nExiting foreground\n", "")
    asked = [method for method in stub.methods if method != "GET"]
    assert asked == ["getProcessInfo", "sendProcessStdin", "getProcessInfo"]


@pytest.mark.behaviour("client.md#fg")
def test_fg_ends_with_its_input(stub: Stub, program: str, tmp_path: Path) -> None:
    stub.answers |= {"getProcessInfo": info("x"), "sendProcessStdin": True}
    ran = foreground(stub, program, tmp_path, "one\ntwo\n")
    assert ran == (0, f"{HEADER}Exiting foreground\n", "")
    sent = [call for call in stub.calls if call[0] == "sendProcessStdin"]
    assert sent == [("sendProcessStdin", "x", "one\n"), ("sendProcessStdin", "x", "two\n")]


@pytest.mark.behaviour("client.md#result-lines", "client.md#fg")
@pytest.mark.parametrize(
    ("answer", "out"),
    [
        (fault("NO_FILE", "extra"), "ERROR: <Fault 20: 'NO_FILE: extra'>\n"),
        (fault("BAD_NAME", "x"), "ERROR: bad process name supplied\n"),
        (info("x", "STARTING"), "ERROR: process not running\n"),
    ],
    ids=["NO_FILE", "BAD_NAME", "STARTING"],
)
def test_fg_refused(stub: Stub, program: str, tmp_path: Path, answer: object, out: str) -> None:
    stub.answers["getProcessInfo"] = answer
    assert foreground(stub, program, tmp_path, "") == (1, out, "")


def test_fg_in_a_shell_on_a_pipe_takes_the_lines_that_follow(
    stub: Stub, program: str, tmp_path: Path
) -> None:
    stub.answers |= {
        "getAllProcessInfo": [],
        "getProcessInfo": info("x"),
        "sendProcessStdin": turns(True, fault("NOT_RUNNING")),
        "getPID": 5,
    }
    ran = run([program, "-s", stub.url], cwd=tmp_path, stdin="fg x\none\ntwo\npid\n")
    assert ran.out == (
        f"supervisor> {HEADER}Process got killed\nExiting foreground\nsupervisor> 5\nsupervisor> \n"
    )


# Questions on a pipe (401)


@pytest.mark.behaviour("client.md#reload-and-shutdown")
@pytest.mark.parametrize(
    ("answer", "status", "calls"),
    [("y\n", 0, 1), ("Yes", 0, 1), ("n\n", 0, 0), ("\n", 0, 0), ("", 1, 0)],
)
def test_end_of_input_at_a_question_is_no(
    stub: Stub, program: str, tmp_path: Path, answer: str, status: int, calls: int
) -> None:
    stub.answers["restart"] = True
    ran = run([program, "-s", stub.url, "-i", "reload"], cwd=tmp_path, stdin=answer)
    question = "Really restart the remote supervisord process y/N? "
    assert ran == (status, question + "Restarted supervisord\n" * calls, "")
    assert stub.methods == ["restart"] * calls


def test_password_on_a_pipe(stub: Stub, program: str, tmp_path: Path) -> None:
    stub.password = "me:secret"
    stub.answers["getPID"] = 5
    command = [program, "-s", stub.url, "-i", "pid"]
    ran = run(command, cwd=tmp_path, stdin="me\nwrong\nme\nsecret\n")
    asked = "Server requires authentication\nUsername:\n"
    assert (ran.status, ran.out) == (0, asked * 2 + "5\n")
    # Supervisor's getpass writes it there too, and a program reads only the answer.
    warning = "Warning: standard input is no terminal, the password may be shown.\n"
    assert ran.err == f"{warning}Password:\n" * 2
    ran = run(command, cwd=tmp_path, stdin="me\n")
    assert ran.status == 1


# Signals


@pytest.mark.behaviour("client.md#interrupting-an-action")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_waiting_action_silently(
    stub: Stub, program: str, start: Start, number: signal.Signals
) -> None:
    stub.answers["startProcess"] = Raw(b"", hold=True)
    process = start([program, "-s", stub.url, "start", "slow"])
    eventually(lambda: ("startProcess", "slow") in stub.calls, "the call")
    process.send_signal(number)
    assert finish(process) == (-number, "", "")


@pytest.mark.behaviour("client.md#following-a-log")
def test_following_flushes_each_line_and_ends_with_SIGINT(
    stub: Stub, program: str, start: Start
) -> None:
    stub.answers["GET /logtail/x/stdout"] = Raw(chunked(b"caf\xc3", b"\xa9\xff\n"), hold=True)
    process = start([program, "-s", stub.url, "tail", "-f", "x"])
    seen = read_until(process, lambda text: text.endswith("\n") and "caf" in text)
    process.send_signal(signal.SIGINT)
    assert seen == f"{HEADER}caf\u00e9\ufffd\n"  # the byte FF came through as it is
    assert finish(process) == (0, "\n", "")


# Output that cannot be written


@pytest.mark.behaviour("client.md#output-that-cannot-be-written")
def test_characters_that_the_encoding_lacks(stub: Stub, program: str, tmp_path: Path) -> None:
    stub.answers["readProcessStdoutLog"] = "caf\u00e9 \u2713"
    command = [program, "-s", stub.url, "tail", "x"]
    ran = run(command, cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert ran == (0, "caf\\xe9 \\u2713\n", "")
    ran = run(command, cwd=tmp_path, LC_ALL="C")
    assert ran == (0, "caf\u00e9 \u2713\n", "")


@pytest.mark.behaviour("client.md#output-that-cannot-be-written")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_closed_pipe_keeps_the_status_of_the_action(
    stub: Stub, program: str, start: Start, monkeypatch: pytest.MonkeyPatch, unbuffered: str
) -> None:
    stub.answers["startProcess"] = fault("SPAWN_ERROR")
    process = subprocess.Popen(
        [program, "-s", stub.url, "start", "a", "b"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(PYTHONUNBUFFERED=unbuffered),
    )
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate()
    assert (process.returncode, err) == (7, b"")
    assert stub.methods == ["startProcess"] * 2


@pytest.mark.behaviour("client.md#output-that-cannot-be-written")
def test_full_disk_is_told_after_the_action(stub: Stub, program: str) -> None:
    stub.answers["startProcess"] = True
    with open("/dev/full", "wb") as full:
        ran = subprocess.run(
            [program, "-s", stub.url, "start", "a", "b"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
            check=False,
        )
    text = b"error: cannot write the output: [Errno 28] No space left on device\n"
    assert (ran.returncode, ran.stderr) == (1, text)
    assert stub.methods == ["startProcess"] * 2


@pytest.mark.behaviour("client.md#output-that-cannot-be-written")
def test_following_ends_when_nobody_reads(stub: Stub, program: str) -> None:
    stub.answers["GET /mainlogtail"] = Raw(chunked(*[b"x" * 1000] * 200), hold=True)
    with subprocess.Popen(
        [program, "-s", stub.url, "maintail", "-f"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(30) == 0


def test_without_standard_streams(stub: Stub, program: str) -> None:
    stub.answers["stopAllProcesses"] = [result("x")]
    script = f'"{program}" -s {stub.url} stop all >&- <&-'
    ran = run(["/bin/sh", "-c", script])
    assert (ran.status, ran.out) == (0, "")
    assert "stopAllProcesses" in stub.methods


# Names and files


def test_symlink_named_supervisorctl(program: str, tmp_path: Path) -> None:
    link = tmp_path / "supervisorctl"
    os.symlink(program, link)
    assert run([str(link), "-Z"]) == (
        2,
        "",
        f"Error: option -Z not recognized\nFor help, use {link} -h\n",
    )
    ran = run([str(link), "-h"])
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("usage: supervisorctl [options] ")
    assert str(tmp_path) not in ran.out


@pytest.mark.parametrize("words", [["--version"], ["-c", "/no/such", "--version", "status", "-h"]])
def test_the_version_of_the_client_needs_no_daemon(
    program: str, tmp_path: Path, words: list[str]
) -> None:
    assert run([program, *words], cwd=tmp_path) == (0, f"{trio_supervisor.__version__}\n", "")


def test_help_needs_no_config_and_no_daemon(program: str, tmp_path: Path) -> None:
    for word in ("-h", "--help", "-?"):
        ran = run([program, "-c", "/no/such", word], cwd=tmp_path)
        assert (ran.status, ran.err) == (0, "")


# Start-up

SLOW = {
    "trio",
    "h11",
    "defusedxml",
    "xmlrpc",
    "xmlrpc.client",
    "http",
    "http.client",
    "dataclasses",
    "typing",
    "json",
    "logging",
    "inspect",
    "subprocess",
    "argparse",
    "email",
    "ssl",
    "urllib",
    "cmd",
    "readline",
    "getpass",
    "configparser",
    "importlib.metadata",
}
REPORT = """
import sys
before = set(sys.modules)
from trio_supervisor.cli.ctl.main import main
status = main(["tsupervisorctl", "-s", *sys.argv[1:]])
sys.stderr.write(" ".join(sorted(set(sys.modules) - before)))
"""


def test_light_imports(stub: Stub, tmp_path: Path) -> None:
    """A whole run, not only the import: what an action needs counts as well."""
    stub.answers["getAllProcessInfo"] = [info("x")]
    # -S: what site imports on behalf of installed packages is none of the client's doing.
    ran = run([sys.executable, "-S", "-c", REPORT, stub.url, "status"], cwd=tmp_path)
    assert ran.out.startswith("x ")
    loaded = set(ran.err.split())
    assert loaded & SLOW == set()
    ours = {name for name in loaded if name.startswith("trio_supervisor.")}
    assert {name for name in ours if not name.startswith("trio_supervisor.cli")} == {
        "trio_supervisor.core",
        "trio_supervisor.core.config",
        "trio_supervisor.core.config.search",
        "trio_supervisor.core.numbers",  # these import next to nothing
    }
    assert {name.removeprefix("trio_supervisor.cli.") for name in ours if ".cli." in name} == {
        *("client", "client.client", "client.http", "client.tls_options", "client.xml", "flags"),
        *(
            "ctl",
            "ctl.main",
            "ctl.ini",
            "ctl.io",
            "ctl.options",
            "ctl.session",
            "ctl.dispatch",
            "ctl.commands",
        ),
        *("ctl.status_actions", "ctl.names"),
    }


#: What takes a third of a run over a unix socket to import.
HEAVY = {"re", "enum", "functools", "collections", "selectors", "socket", "binascii"}


@pytest.mark.parametrize("line", ["pid", "pid x", "status", "version"])
def test_lightest_imports_over_a_unix_socket(tmp_path: Path, line: str) -> None:
    stub = Stub()
    stub.answers |= {
        "getPID": 1,
        "getSupervisorVersion": "4.3.0",
        "getProcessInfo": info("x"),
        "getAllProcessInfo": [info("x")],
    }
    with serving(stub, str(tmp_path / "s.sock")):
        command = [sys.executable, "-S", "-c", REPORT, stub.url, *line.split()]
        ran = run(command, cwd=tmp_path)
    assert set(ran.err.split()) & HEAVY == set()
    assert "error" not in ran.out
    assert len(stub.calls) > 0


def test_the_names_of_stopped_states() -> None:
    assert {state.name for state in STOPPED_STATES} == STOPPED_NAMES


LINES = (
    *("pid", "start x", "stop all", "restart x", "signal HUP x", "tail x", "clear x", "reread"),
    *("update", "avail", "add x", "version", "healthy", "wait x"),
)


@pytest.mark.parametrize("line", LINES)
def test_light_imports_of_actions(stub: Stub, tmp_path: Path, line: str) -> None:
    stub.answers |= {
        "getPID": 1,
        "getSupervisorVersion": "4.3.0",
        "reloadConfig": [[[], [], []]],
        "readProcessStdoutLog": "text",
        "getAllConfigInfo": [],
        "getAllProcessInfo": [info("x")],
        "stopAllProcesses": [],
        "tsupervisor.getUnhealthy": [],
        "tsupervisor.waitForState": [info("x")],
    }
    for method in ("startProcess", "stopProcess", "signalProcess", "clearProcessLogs"):
        stub.answers[method] = True
    stub.answers["addProcessGroup"] = True
    command = [sys.executable, "-S", "-c", REPORT, stub.url, *line.split()]
    ran = run(command, cwd=tmp_path)
    assert set(ran.err.split()) & SLOW == set()
    assert "error" not in ran.out
    assert len(stub.calls) > 0
