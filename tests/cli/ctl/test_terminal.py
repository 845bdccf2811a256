"""The client on a terminal."""

from __future__ import annotations

import socket
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import pytest

from tests.kit.ctl import install
from tests.kit.daemon import eventually
from tests.kit.rpc_stub import Raw, Stub, chunked, fault, info
from tests.kit.terminal import CTRL_C, CTRL_D, CTRL_U, TAB, UP, Terminal, terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Shell = Callable[..., AbstractContextManager[Terminal]]

PROMPT = "supervisor> "
HEADER = "==> Press Ctrl-C to exit <==\n"
ROWS = [info("cat"), info("pool:pool_00"), info("pool:pool_01")]


@pytest.fixture
def shell(tmp_path: Path, stub: Stub) -> Shell:
    """Starts the client on a terminal, talking to the stub."""
    stub.answers |= {
        "getAllProcessInfo": ROWS,
        "getProcessInfo": info("cat", pid=77),
        "GET /logtail/cat/stdout": Raw(chunked(b"log\n"), hold=True),
        "GET /logtail/cat/stderr": Raw(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"),
        "sendProcessStdin": True,
    }
    program = install(tmp_path / "bin")

    def start(*words: str, url: str = "") -> AbstractContextManager[Terminal]:
        return terminal([program, "-s", url or stub.url, *words], cwd=tmp_path)

    return start


@pytest.mark.behaviour("client.md#start-and-end-of-the-shell")
@pytest.mark.parametrize("typed", ["", "pid ca"], ids=["empty", "with-text"])
def test_interrupt_at_the_prompt_leaves_the_shell(shell: Shell, typed: str) -> None:
    with shell() as person:
        person.expect(PROMPT)
        person.type(typed)
        person.expect(typed)
        person.interrupt()
        status, rest = person.end()
    assert (status, rest.replace("^C", "")) == (0, "\n")


@pytest.mark.behaviour("client.md#start-and-end-of-the-shell")
def test_end_of_input_leaves_the_shell(shell: Shell) -> None:
    with shell() as person:
        person.expect(PROMPT)
        person.type(CTRL_D)
        assert person.end() == (0, "\n")


@pytest.mark.behaviour("client.md#start-and-end-of-the-shell")
def test_following_a_log_in_the_shell(shell: Shell) -> None:
    with shell() as person:
        person.expect(PROMPT)
        person.type("tail -f cat\n")
        person.expect(HEADER + "log\n")
        person.type(CTRL_C)
        person.expect("\n" + PROMPT)
        person.type("pid cat\n")
        person.expect("\n77\n" + PROMPT)
        person.type("exit\n")
        assert person.end()[0] == 0


@pytest.mark.behaviour("client.md#start-and-end-of-the-shell")
def test_interrupting_an_action_leaves_the_shell(shell: Shell, stub: Stub) -> None:
    stub.answers["stopProcess"] = Raw(b"", hold=True)
    with shell() as person:
        person.expect(PROMPT)
        person.type("stop deaf\n")
        eventually(lambda: ("stopProcess", "deaf") in stub.calls, "the call")
        person.type(CTRL_C)
        status, rest = person.end()
    assert (status, "Traceback" in rest) == (0, False)


@pytest.mark.behaviour("client.md#fg")
def test_foreground_ends_at_once(shell: Shell, stub: Stub) -> None:
    with shell("fg", "cat") as person:
        person.expect(HEADER + "log\n")
        person.type("abc\n")
        person.expect("abc\n")
        eventually(
            lambda: ("sendProcessStdin", "cat", "abc\n") in stub.calls, "the line being sent"
        )
        person.type(CTRL_C)
        person.expect("Exiting foreground\n")
        assert person.end() == (0, "")


@pytest.mark.behaviour("client.md#fg")
def test_end_of_input_in_the_foreground(shell: Shell) -> None:
    with shell("fg", "cat") as person:
        person.expect(HEADER + "log\n")
        person.type(CTRL_D)
        person.expect("Exiting foreground\n")
        assert person.end() == (0, "")


@pytest.mark.behaviour("client.md#fg")
def test_death_is_noticed_in_the_foreground(shell: Shell, stub: Stub) -> None:
    with shell("fg", "cat") as person:
        person.expect(HEADER + "log\n")
        stub.answers["getProcessInfo"] = info("cat", "STOPPED")
        person.expect("Process got killed\nExiting foreground\n")
        assert person.end() == (0, "")


@pytest.mark.behaviour("client.md#fg")
def test_foreground_in_the_shell(shell: Shell) -> None:
    with shell() as person:
        person.expect(PROMPT)
        person.type("fg cat\n")
        person.expect(HEADER + "log\n")
        person.type(CTRL_C)
        person.expect("Exiting foreground\n" + PROMPT)
        person.type("pid cat\n")
        person.expect("\n77\n" + PROMPT)
        person.type("exit\n")
        assert person.end()[0] == 0


@pytest.mark.behaviour("client.md#completion")
def test_tab_completes(shell: Shell, stub: Stub) -> None:
    with shell() as person:
        person.expect(PROMPT)
        person.type("st" + TAB + TAB)
        listed = person.expect(PROMPT + "st")
        assert listed.split()[1:4] == ["start", "status", "stop"]
        person.type("op p" + TAB)
        person.expect("op pool:")
        person.type(TAB + TAB)
        listed = person.expect(PROMPT + "stop pool:")
        assert listed.split()[:3] == ["pool:*", "pool:pool_00", "pool:pool_01"]
        assert stub.methods.count("getAllProcessInfo") == 2  # the first status, and one for TAB
        person.type(CTRL_U + "exit\n")
        assert person.end()[0] == 0


@pytest.mark.behaviour("client.md#a-wrong-password")
def test_the_password_is_asked_for(shell: Shell, stub: Stub) -> None:
    stub.password = "alice:s3cret"
    with shell() as person:
        for password in ("wrong", "s3cret"):
            person.expect("Server requires authentication\nUsername:")
            person.type("alice\n")
            person.expect("alice\nPassword:")
            person.type(f"{password}\n")
            shown = person.expect_pattern(r"\n(?=Server|cat)")
            assert password not in shown
        person.expect("cat ")
        person.expect(PROMPT)
        person.type("pid cat\n")
        person.expect("\n77\n")
        person.type("exit\n")
        assert person.end()[0] == 0


#: ESC, CSI as C1, BEL, carriage return: each would steer the terminal.
HOSTILE = "\x9b31mred\x9b0m\x1b]0;title\x07\roops"
SHOWN = r"\x9b31mred\x9b0m^[]0;title^G^Moops"


@pytest.mark.behaviour("client.md#control-characters-on-a-terminal")
@pytest.mark.parametrize(
    ("words", "method", "answer"),
    [
        (("pid",), "getPID", Raw(b"HTTP/1.1 500 \x9b2J\r\nContent-Length: 0\r\n\r\n")),
        (("pid",), "getPID", Raw(b"HTTP/1.1 \x9b2J\r\n\r\n")),
        (("pid",), "getPID", Raw(b"HTTP/1.1 200 OK\r\nContent-Length: \x9b2J\r\n\r\n")),
        (("start", "cat"), "startProcess", fault("FAILED", "\x9b2J")),
        (("clear", "cat"), "clearProcessLogs", fault("BAD_SIGNAL", "\x9b2J")),
        (("version",), "getSupervisorVersion", "\x9b2J"),
        (("status",), "getAllProcessInfo", [info("\x9b2J")]),
        (("status",), "getAllProcessInfo", [info("cat", description="\x9b2J")]),
        (("status",), "getVersion", "\x9b2J"),
        (
            ("tail", "-f", "cat"),
            "GET /logtail/cat/stdout",
            Raw(b"HTTP/1.1 200 OK\r\nContent-Length: \x9b2J\r\n\r\n"),
        ),
    ],
)
def test_nothing_that_a_server_sends_steers_the_terminal(
    shell: Shell, stub: Stub, words: tuple[str, ...], method: str, answer: object
) -> None:
    stub.answers[method] = answer
    with shell(*words) as person:
        _, shown = person.end()
    assert "\x9b" not in shown
    assert "\\x9b2J" in shown


def test_a_reason_phrase_is_shown_and_not_obeyed(shell: Shell, stub: Stub) -> None:
    head = f"HTTP/1.1 500 {HOSTILE}\r\nContent-Length: 0\r\n\r\n"
    stub.answers["getPID"] = Raw(head.encode("latin-1"))
    with shell("pid") as person:
        _, shown = person.end()
    assert SHOWN in shown


@pytest.mark.behaviour("client.md#a-wrong-password")
def test_interrupt_at_the_password(shell: Shell, stub: Stub) -> None:
    stub.password = "alice:s3cret"
    with shell() as person:
        person.expect("Username:")
        person.type("alice\n")
        person.expect("Password:")
        person.type(CTRL_C)
        status, rest = person.end()
    assert (status, rest) == (0, "\n")


@pytest.mark.behaviour("client.md#reload-and-shutdown")
def test_end_of_input_at_the_user_name(shell: Shell, stub: Stub) -> None:
    stub.password = "alice:s3cret"
    with shell() as person:
        person.expect("Username:")
        person.type(CTRL_D)
        person.expect(PROMPT)
        person.type("exit\n")
        assert person.end()[0] == 0


@pytest.mark.behaviour("client.md#reload-and-shutdown")
def test_interrupt_at_a_question(shell: Shell, stub: Stub) -> None:
    with shell() as person:
        person.expect(PROMPT)
        person.type("shutdown\n")
        person.expect("Really shut the remote supervisord process down y/N? ")
        person.interrupt()
        assert person.end()[0] == 0
    assert "shutdown" not in stub.methods


@pytest.mark.behaviour("client.md#start-and-end-of-the-shell")
def test_a_shell_without_a_daemon(shell: Shell, tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/none.sock"
    hints = f"  {url} was given on the command line\n"
    hints += "  there is no such socket: is tsupervisord running?\n"
    down = f"{url} no such file\n{hints}"  # on a terminal they stand on standard error
    with shell(url=url) as person:
        person.expect(down + PROMPT)
        for line in ("status", "start x", "avail"):
            person.type(f"{line}\n")
            person.expect(f"{line}\n{down}{PROMPT}")
        person.type("reload\n")
        person.expect("y/N? ")
        person.type("y\n")
        person.expect(f"y\n{down}{PROMPT}")
        person.type("exit\n")
        assert person.end() == (0, "exit\n\n")


@pytest.mark.behaviour("client.md#a-daemon-that-was-killed")
def test_a_port_that_does_not_answer_at_all(shell: Shell) -> None:
    """The person is told what may be the case."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with shell("status", url=url) as person:
            person.expect(f"{url}: connected, and no answer yet: the daemon is stopped or busy")
            person.expect("(survive = adopt)\n")
            person.type(CTRL_C)
            person.end()


@pytest.mark.behaviour("client.md#history_file")
@pytest.mark.parametrize("place", ["file", "option"])
def test_history(shell: Shell, stub: Stub, tmp_path: Path, place: str) -> None:
    history = tmp_path / "history"
    words = ["-r", str(history)]
    if place == "file":
        (tmp_path / "c.conf").write_text("[supervisorctl]\nhistory_file=%(here)s/history\n")
        words = ["-c", "c.conf"]
    with shell(*words) as person:
        for line in ("pid cat", "version", "exit"):
            person.expect(PROMPT)
            person.type(f"{line}\n")
        assert person.end()[0] == 0
    assert history.read_text() == "pid cat\nversion\nexit\n"
    with shell(*words) as person:
        person.expect(PROMPT)
        person.type(UP + UP + UP + "\n")
        person.expect("\n77\n" + PROMPT)
        person.type(CTRL_D)
        assert person.end()[0] == 0
    assert history.read_text() == "pid cat\nversion\nexit\npid cat\n"


def test_faults_do_not_end_the_shell(shell: Shell, stub: Stub) -> None:
    stub.answers["getPID"] = fault("FAILED", "x")
    with shell() as person:
        person.expect(PROMPT)
        person.type("pid\n")
        person.expect("error: <Fault 30: 'FAILED: x'>\n" + PROMPT)
        person.type("exit\n")
        assert person.end()[0] == 0


@pytest.mark.behaviour("client.md#control-characters-on-a-terminal")
def test_what_a_server_sends_cannot_steer_the_terminal(shell: Shell, stub: Stub) -> None:
    stub.answers["getPID"] = fault("FAILED", "\x9b2J\u202egpj.exe\u2066")
    with shell() as person:
        person.expect(PROMPT)
        person.type("pid\n")
        person.expect("error: <Fault 30: 'FAILED: \\x9b2J\\u202egpj.exe\\u2066'>\n" + PROMPT)
        person.type("exit\n")
        assert person.end()[0] == 0


LONG = "can't find command 'gunicorn': it exited too quickly, 3 times in 9 seconds, see its log"


@pytest.mark.parametrize(("name", "indent"), [("web", 52), ("a-name-of-a-program", 4)])
def test_long_reasons_are_broken_between_words(
    tmp_path: Path, stub: Stub, name: str, indent: int
) -> None:
    times = {"start": 0, "now": 9, "spawnerr": ""}
    failed = {**info(name, "FATAL"), **times, "pid": 0, "spawnerr": LONG}
    stub.answers["getAllProcessInfo"] = [failed, {**info("x"), **times}]
    program = install(tmp_path / "bin")
    with terminal([program, "-s", stub.url, "status", "-v"], cwd=tmp_path) as person:
        _, shown = person.end()
    title, first, *further, last = shown.splitlines()
    assert (title.split()[-1], last.split()[:2]) == ("REASON", ["x", "RUNNING"])
    assert max(map(len, shown.splitlines())) <= 80
    assert {len(line) - len(line.lstrip()) for line in further} == {indent}
    assert " ".join([first, *further]).split()[7:] == LONG.split()
