"""The client against a scripted daemon: what it asks, prints and returns."""

from __future__ import annotations

import _socket
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.kit.daemon import free_port
from tests.kit.rpc_stub import (
    DROPPED,
    FAULTS,
    Raw,
    Stub,
    chunked,
    fault,
    http_error,
    info,
    result,
    serving,
    turns,
)
from trio_supervisor.cli.ctl.commands import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.kit.ctl import Ran

    Ctl = Callable[..., Ran]

PRECHECKED = (
    "start x",
    "start",
    "stop x",
    "restart x",
    "signal HUP x",
    "pid",
    "pid x",
    "clear x",
    "tail x",
    "tail -f x",
    "maintail",
    "maintail -f",
    "version",
    "fg x",
)
STRAIGHT = ("reload", "avail", "reread", "add x", "remove x", "update", "update x")
EVERY = ("status", "status x", *PRECHECKED, *STRAIGHT, "shutdown")


def refused_url() -> str:
    """A URL nobody listens at."""
    return f"http://127.0.0.1:{free_port()}"


# The status table


@pytest.mark.behaviour("client.md#status")
@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("STOPPED", 3),
        ("STARTING", 0),
        ("RUNNING", 0),
        ("BACKOFF", 0),
        ("STOPPING", 0),
        ("EXITED", 3),
        ("FATAL", 3),
        ("UNKNOWN", 3),
    ],
)
def test_status_exit_by_state(ctl: Ctl, stub: Stub, state: str, status: int) -> None:
    stub.answers["getAllProcessInfo"] = [info("x", state)]
    assert ctl("status") == (status, f"x{' ' * 32}{state:<10}\n", "")


@pytest.mark.behaviour("client.md#status")
@pytest.mark.parametrize(("length", "column"), [(30, 34), (31, 35), (40, 44)])
def test_column_of_the_state(ctl: Ctl, stub: Stub, length: int, column: int) -> None:
    stub.answers["getAllProcessInfo"] = [info("a" * length), info("b")]
    lines = ctl("status").out.splitlines()
    assert [line.index("RUNNING") + 1 for line in lines] == [column, column]


@pytest.mark.behaviour("client.md#status")
def test_status_width_counts_shown_rows_and_code_points(ctl: Ctl, stub: Stub) -> None:
    stub.answers["getAllProcessInfo"] = [info("a" * 40), info("é" * 31)]
    assert ctl("status", "é" * 31).out.index("RUNNING") + 1 == 35


@pytest.mark.behaviour("client.md#status")
def test_status_without_rows(ctl: Ctl, stub: Stub) -> None:
    stub.answers["getAllProcessInfo"] = []
    assert ctl("status") == (0, "", "")
    assert ctl("status", "x") == (4, "x: ERROR (no such process)\n", "")
    assert stub.methods == ["getAllProcessInfo"] * 2


@pytest.mark.behaviour("client.md#status", "client.md#all-hides-other-words")
def test_status_three_beats_four_and_all_hides_names(ctl: Ctl, stub: Stub) -> None:
    stub.answers["getAllProcessInfo"] = [info("x", "STOPPED")]
    assert ctl("status", "y", "x").status == 3
    assert ctl("status", "x", "y").status == 3
    assert "no such" not in ctl("status", "y", "all").out


# Acting on processes


@pytest.mark.behaviour("client.md#result-lines")
def test_start_unexpected_fault_goes_on(ctl: Ctl, stub: Stub) -> None:
    stub.answers["startProcess"] = turns(fault("FAILED", "boom"), True, True)
    assert ctl("start a b c") == (1, "a: ERROR (FAILED: boom)\nb: started\nc: started\n", "")
    assert stub.calls[1:] == [("startProcess", name) for name in "abc"]


@pytest.mark.behaviour("client.md#result-lines")
def test_stop_failed_is_the_daemon_s_text(ctl: Ctl, stub: Stub) -> None:
    stub.answers["stopProcess"] = turns(fault("FAILED", "boom"), True)
    assert ctl("stop a b") == (1, "FAILED: boom\nb: stopped\n", "")


@pytest.mark.behaviour("client.md#result-lines")
def test_restart_goes_on_after_failed_stop(ctl: Ctl, stub: Stub) -> None:
    stub.answers |= {"stopProcess": fault("FAILED", "nope"), "startProcess": True}
    assert ctl("restart x") == (1, "FAILED: nope\nx: started\n", "")


@pytest.mark.behaviour("client.md#the-last-failure-decides")
@pytest.mark.parametrize(("swapped", "status"), [(False, 1), (True, 7)])
def test_last_failure_wins(ctl: Ctl, stub: Stub, swapped: bool, status: int) -> None:
    faults = [fault("SPAWN_ERROR", "a"), fault("NO_FILE", "b")]
    lines = ["spawn error", "no such file"]
    if swapped:
        faults, lines = faults[::-1], lines[::-1]
    stub.answers["startProcess"] = turns(*faults)
    expected = f"a: ERROR ({lines[0]})\nb: ERROR ({lines[1]})\n"
    assert ctl("start a b") == (status, expected, "")


@pytest.mark.behaviour(
    "client.md#being-in-the-wanted-state-is-no-failure", "client.md#the-last-failure-decides"
)
def test_success_never_resets_and_no_failure_changes_nothing(ctl: Ctl, stub: Stub) -> None:
    stub.answers["startProcess"] = turns(
        fault("SPAWN_ERROR", "a"), True, fault("ALREADY_STARTED", "c")
    )
    assert ctl("start a b c").status == 7


@pytest.mark.behaviour("client.md#signal")
@pytest.mark.parametrize(
    ("rows", "status", "out"),
    [
        ([], 0, ""),
        (
            [result("g:n", "NOT_RUNNING"), result("g:m")],
            7,
            "g:n: ERROR (not running)\ng:m: signalled\n",
        ),
    ],
)
def test_signalling_a_group(ctl: Ctl, stub: Stub, rows: object, status: int, out: str) -> None:
    stub.answers["signalProcessGroup"] = rows
    assert ctl("signal", "HUP", "g:*") == (status, out, "")
    assert stub.calls[1:] == [("signalProcessGroup", "g", "HUP")]


# Reason and exit status of every fault

REASONS = {
    "BAD_NAME": "no such process",
    "BAD_SIGNAL": "bad signal name",
    "NO_FILE": "no such file",
    "NOT_EXECUTABLE": "file is not executable",
    "ABNORMAL_TERMINATION": "abnormal termination",
    "SPAWN_ERROR": "spawn error",
    "ALREADY_STARTED": "already started",
    "NOT_RUNNING": "not running",
}
OUTCOMES = [
    ("start x", "startProcess", "BAD_NAME", 1),
    ("start x", "startProcess", "NO_FILE", 1),
    ("start x", "startProcess", "NOT_EXECUTABLE", 1),
    ("start x", "startProcess", "ABNORMAL_TERMINATION", 7),
    ("start x", "startProcess", "SPAWN_ERROR", 7),
    ("start x", "startProcess", "ALREADY_STARTED", 0),
    ("stop x", "stopProcess", "BAD_NAME", 1),
    ("stop x", "stopProcess", "NOT_RUNNING", 0),
    ("signal HUP x", "signalProcess", "BAD_NAME", 1),
    ("signal HUP x", "signalProcess", "BAD_SIGNAL", 1),
    ("signal HUP x", "signalProcess", "NOT_RUNNING", 7),
    ("clear x", "clearProcessLogs", "BAD_NAME", 1),
]


@pytest.mark.parametrize(("line", "method", "name", "status"), OUTCOMES)
def test_reason_and_exit_status_of_every_fault(
    ctl: Ctl, stub: Stub, line: str, method: str, name: str, status: int
) -> None:
    stub.answers[method] = fault(name, "x")
    assert ctl(line) == (status, f"x: ERROR ({REASONS[name]})\n", "")


@pytest.mark.behaviour("client.md#result-lines", "client.md#errors-are-printed-on-standard-output")
@pytest.mark.parametrize("name", sorted(FAULTS))
@pytest.mark.parametrize("line", ["start x", "stop x", "signal HUP x", "clear x"])
def test_every_fault_is_told_and_the_next_name_has_its_turn(
    ctl: Ctl, stub: Stub, line: str, name: str
) -> None:
    methods = ("startProcess", "stopProcess", "signalProcess", "clearProcessLogs")
    stub.answers |= {method: turns(fault(name, "x"), True) for method in methods}
    ran = ctl(line, "y")
    assert len(ran.out.splitlines()) == 2
    assert ran.out.splitlines()[1].startswith("y: ")


@pytest.mark.behaviour("client.md#missing-and-unknown-names", "client.md#clear")
@pytest.mark.parametrize(
    ("line", "status"), [("start g:*", 2), ("stop g:", 1), ("signal HUP g:*", 1), ("clear g:*", 1)]
)
def test_an_unknown_group(ctl: Ctl, stub: Stub, line: str, status: int) -> None:
    methods = ("startProcessGroup", "stopProcessGroup", "signalProcessGroup")
    stub.answers |= dict.fromkeys(methods, fault("BAD_NAME", "g"))
    stub.answers["getAllProcessInfo"] = [info("x")]
    assert ctl(line) == (status, "g: ERROR (no such group)\n", "")


@pytest.mark.behaviour("client.md#the-last-failure-decides")
def test_group_order_decides_the_exit(ctl: Ctl, stub: Stub) -> None:
    stub.answers |= {
        "startProcess": fault("BAD_NAME", "gone"),
        "startProcessGroup": fault("BAD_NAME", "nogroup"),
    }
    assert ctl("start gone nogroup:*").status == 2
    assert ctl("start nogroup:* gone").status == 1


@pytest.mark.behaviour("client.md#result-lines")
def test_other_group_fault_is_a_generic_line_and_goes_on(ctl: Ctl, stub: Stub) -> None:
    stub.answers |= {"startProcessGroup": fault("FAILED", "g"), "startProcess": True}
    assert ctl("start g:* x") == (1, "error: <Fault 30: 'FAILED: g'>\nx: started\n", "")


@pytest.mark.behaviour("client.md#missing-and-unknown-names", "client.md#tail-and-maintail")
@pytest.mark.parametrize(
    ("line", "status", "text"),
    [
        ("start", 2, "Error: start requires a process name"),
        ("stop", 1, "Error: stop requires a process name"),
        ("restart", 1, "Error: restart requires a process name"),
        ("clear", 1, "Error: clear requires a process name"),
        ("signal", 1, "Error: signal requires a signal name and a process name"),
        ("signal HUP", 1, "Error: signal requires a signal name and a process name"),
        ("tail", 1, "Error: too few arguments"),
        ("tail a b c d", 1, "Error: too many arguments"),
        ("tail A B stderr", 1, "Error: too many arguments"),
        ("maintail a b", 1, "Error: too many arguments"),
        ("fg", 1, "ERROR: no process name supplied"),
        ("avail x", 1, "Error: avail accepts no arguments"),
        ("reread x", 1, "Error: reread accepts no arguments"),
        ("reload x", 1, "Error: reload accepts no arguments"),
        ("shutdown x", 1, "Error: shutdown accepts no arguments"),
        ("version x", 1, "Error: version accepts no arguments"),
    ],
)
def test_wrong_arguments_show_the_help(
    ctl: Ctl, stub: Stub, line: str, status: int, text: str
) -> None:
    help_lines = COMMANDS[line.split()[0]].usage("")
    assert ctl(line) == (status, "\n".join([text, *help_lines, ""]), "")
    assert stub.methods == []


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("tail -f", "Error: tail requires process name"),
        ("tail -5", "Error: tail requires process name"),
        ("tail -x x", "Error: bad argument -x"),
        ("tail - x", "Error: bad argument -"),
        ("tail -8.5 x", "Error: bad argument -8.5"),
        ("tail x bogus", "Error: bad channel 'bogus'"),
        ("tail -x x bogus", "Error: bad channel 'bogus'"),
        ("tail x -f", "Error: bad channel '-f'"),
        ("tail x stderr y", "Error: bad channel 'y'"),
        ("maintail x", "Error: bad argument x"),
        ("maintail -x", "Error: bad argument -x"),
        ("fg a b", "ERROR: too many process names supplied"),
    ],
)
def test_wrong_arguments_without_help(ctl: Ctl, stub: Stub, line: str, text: str) -> None:
    assert ctl(line) == (1, text + "\n", "")
    assert stub.methods == []


# Logs


@pytest.mark.behaviour("client.md#tail-and-maintail")
@pytest.mark.parametrize(
    ("answer", "status", "out"),
    [
        (fault("BAD_NAME", "x"), 1, "x: ERROR (no such process name)\n"),
        (fault("NO_FILE", "x"), 1, "x: ERROR (no log file)\n"),
        (fault("FAILED", "x"), 1, "x: ERROR (unknown error reading log)\n"),
        ("abc", 0, "abc\n"),
        ("", 0, "\n"),
    ],
)
def test_tail_and_its_faults(ctl: Ctl, stub: Stub, answer: object, status: int, out: str) -> None:
    stub.answers["readProcessStdoutLog"] = answer
    assert ctl("tail x") == (status, out, "")


@pytest.mark.behaviour("client.md#tail-and-maintail")
@pytest.mark.parametrize(
    ("name", "reason"), [("NO_FILE", "no log file"), ("FAILED", "unknown error reading log")]
)
def test_maintail_and_its_faults(ctl: Ctl, stub: Stub, name: str, reason: str) -> None:
    stub.answers["readLog"] = fault(name)
    assert ctl("maintail") == (1, f"supervisord: ERROR ({reason})\n", "")


@pytest.mark.behaviour("client.md#tail-and-maintail")
@pytest.mark.parametrize(
    ("line", "call"),
    [
        ("tail x", ("readProcessStdoutLog", "x", -1600, 0)),
        ("tail -5 x stderr", ("readProcessStderrLog", "x", -5, 0)),
        ("tail -0 x STDOUT", ("readProcessStdoutLog", "x", 0, 0)),
        ("tail --8 x", ("readProcessStdoutLog", "x", 8, 0)),
        ("tail -+8 x", ("readProcessStdoutLog", "x", -8, 0)),
        ("tail -1_0 x", ("readProcessStdoutLog", "x", -10, 0)),
        ("maintail", ("readLog", -1600, 0)),
        ("maintail -9", ("readLog", -9, 0)),
    ],
)
def test_offsets_that_tail_asks_for(
    ctl: Ctl, stub: Stub, line: str, call: tuple[object, ...]
) -> None:
    stub.answers |= dict.fromkeys(("readProcessStdoutLog", "readProcessStderrLog", "readLog"), "t")
    assert ctl(line) == (0, "t\n", "")
    assert stub.calls == [("getVersion",), call]


# Following

HEADER = "==> Press Ctrl-C to exit <==\n"


@pytest.mark.behaviour("client.md#following-a-log")
@pytest.mark.parametrize("status", [404, 500, 401])
def test_follow_http_error(ctl: Ctl, stub: Stub, status: int) -> None:
    stub.answers["GET /logtail/x/stdout"] = http_error(status, "No")
    error = f"{stub.url}/logtail/x/stdout Cannot read, status code {status}\n"
    assert ctl("tail -f x") == (1, HEADER, error)


@pytest.mark.behaviour("client.md#following-a-log")
@pytest.mark.parametrize(
    "rest", [b"", b"0\r\n\r\n", b"20\r\nhalf"], ids=["drops", "ends", "drops inside a chunk"]
)
def test_follow_until_the_end(ctl: Ctl, stub: Stub, rest: bytes) -> None:
    stub.answers["GET /logtail/g:n/stderr"] = Raw(chunked(b"hello\n") + rest)
    ran = ctl("tail -f g:n STDERR")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.removesuffix("half") == HEADER + "hello\n"
    assert stub.calls == [("getVersion",), ("GET", "/logtail/g:n/stderr")]


@pytest.mark.behaviour("client.md#following-a-log")
def test_follow_main_log(ctl: Ctl, stub: Stub) -> None:
    stub.answers["GET /mainlogtail"] = Raw(chunked(b"log\n", b"==> File truncated <==\n"))
    assert ctl("maintail -f") == (0, HEADER + "log\n==> File truncated <==\n", "")


@pytest.mark.behaviour("client.md#following-a-log")
def test_follow_broken_connection(ctl: Ctl, stub: Stub) -> None:
    stub.answers["GET /mainlogtail"] = DROPPED
    error = "error: Remote end closed connection without response\n"
    assert ctl("maintail -f") == (1, HEADER, error)


# Clearing


@pytest.mark.behaviour("client.md#clear")
def test_clear_and_its_faults(ctl: Ctl, stub: Stub) -> None:
    stub.answers["clearAllProcessLogs"] = [result("g:n"), result("g:q", "FAILED")]
    assert ctl("clear all") == (1, "g:n: cleared\ng:q: ERROR (failed)\n", "")
    stub.answers["clearProcessLogs"] = fault("FAILED", "g:n")
    assert ctl("clear g:n") == (1, "g:n: ERROR (failed)\n", "")


@pytest.mark.behaviour("client.md#clear")
def test_clear_group_one_by_one(ctl: Ctl, stub: Stub) -> None:
    stub.answers |= {
        "getAllProcessInfo": [info("g:a"), info("h"), info("g:b")],
        "clearProcessLogs": turns(fault("FAILED", "g:a"), True),
    }
    assert ctl("clear", "g:*") == (1, "g:a: ERROR (failed)\ng:b: cleared\n", "")
    assert stub.calls[2:] == [("clearProcessLogs", "g:a"), ("clearProcessLogs", "g:b")]


# Groups and configuration


@pytest.mark.behaviour("client.md#add-and-remove")
def test_add_and_remove(ctl: Ctl, stub: Stub) -> None:
    stub.answers |= {"addProcessGroup": True, "removeProcessGroup": True}
    assert ctl("add x y").out == "x: added process group\ny: added process group\n"
    assert ctl("remove x y").out == "x: removed process group\ny: removed process group\n"


@pytest.mark.behaviour("client.md#add-and-remove", "client.md#a-daemon-that-is-going-down")
@pytest.mark.parametrize(
    ("line", "name", "status", "out"),
    [
        ("add x", "ALREADY_ADDED", 0, "ERROR: process group already active\n"),
        ("add x", "BAD_NAME", 1, "ERROR: no such process/group: x\n"),
        ("add x", "SHUTDOWN_STATE", 1, "ERROR: shutting down\n"),
        ("remove x", "STILL_RUNNING", 1, "ERROR: process/group still running: x\n"),
        ("remove x", "BAD_NAME", 1, "ERROR: no such process/group: x\n"),
        ("remove x", "SHUTDOWN_STATE", 1, "ERROR: supervisor shutting down\n"),
    ],
)
def test_add_and_remove_faults(
    ctl: Ctl, stub: Stub, line: str, name: str, status: int, out: str
) -> None:
    stub.answers |= dict.fromkeys(("addProcessGroup", "removeProcessGroup"), fault(name))
    assert ctl(line) == (status, out, "")


@pytest.mark.behaviour("client.md#add-and-remove")
def test_add_and_remove_nothing(ctl: Ctl, stub: Stub) -> None:
    assert ctl("add") == (0, "", "")
    assert ctl("remove") == (0, "", "")
    assert stub.calls == []


def update_answers(outcome: str = "SUCCESS") -> dict[str, Any]:
    return {
        "reloadConfig": [[["n"], ["c"], ["r1", "r2"]]],
        "getAllProcessInfo": [info("r1"), info("r2"), info("c"), info("same")],
        "stopProcessGroup": turns([result("r1", outcome)], [result("r2", outcome)], [result("c")]),
        "removeProcessGroup": True,
        "addProcessGroup": True,
    }


@pytest.mark.behaviour("client.md#update")
def test_update_with_problems(ctl: Ctl, stub: Stub) -> None:
    stub.answers |= update_answers("FAILED")
    assert ctl("update") == (
        1,
        "r1: stopped\nr1: has problems; not removing\n"
        "r2: stopped\nr2: has problems; not removing\n"
        "c: stopped\nc: updated process group\nn: added process group\n",
        "",
    )


@pytest.mark.behaviour("client.md#update")
def test_update_goes_on_after_a_fault(ctl: Ctl, stub: Stub) -> None:
    stub.answers |= update_answers()
    stub.answers["removeProcessGroup"] = turns(fault("STILL_RUNNING", "r1"), True)
    assert ctl("update") == (
        1,
        "r1: stopped\nr1: ERROR (STILL_RUNNING: r1)\n"
        "r2: stopped\nr2: removed process group\n"
        "c: stopped\nc: updated process group\nn: added process group\n",
        "",
    )


def test_an_update_that_another_client_overtakes(ctl: Ctl, stub: Stub) -> None:
    """What the other one has removed is added; what it has replaced or added already is left."""
    differs = [[["n", "r1"], ["c", "gone"], []]]
    stub.answers |= {
        "reloadConfig": turns(differs, [[[], [], []]], [[[], [], []]], [[["r1"], [], []]]),
        "getAllProcessInfo": [],
        "stopProcessGroup": [],
        "removeProcessGroup": turns(fault("STILL_RUNNING", "c"), fault("BAD_NAME", "gone")),
        "addProcessGroup": turns(True, fault("ALREADY_ADDED", "n"), fault("ALREADY_ADDED", "r1")),
    }
    assert ctl("update") == (
        1,
        "c: stopped\nc: updated process group\ngone: stopped\ngone: updated process group\n"
        "n: added process group\nr1: ERROR (ALREADY_ADDED: r1)\n",
        "",
    )


@pytest.mark.behaviour("client.md#update")
def test_update_of_some_groups(ctl: Ctl, stub: Stub) -> None:
    stub.answers |= update_answers()
    assert ctl("update n r1 same") == (
        0,
        "r1: stopped\nr1: removed process group\nn: added process group\n",
        "",
    )
    assert stub.methods == [
        "reloadConfig",
        "getAllProcessInfo",
        "stopProcessGroup",
        "removeProcessGroup",
        "addProcessGroup",
    ]


@pytest.mark.behaviour("client.md#all-hides-other-words")
def test_update_all_hides_names(ctl: Ctl, stub: Stub) -> None:
    stub.answers |= update_answers()
    assert ctl("update c all nosuch") == (
        0,
        "r1: stopped\nr1: removed process group\nr2: stopped\nr2: removed process group\n"
        "c: stopped\nc: updated process group\nn: added process group\n",
        "",
    )


@pytest.mark.behaviour("client.md#update")
def test_update_unknown_groups_in_command_line_order(ctl: Ctl, stub: Stub) -> None:
    stub.answers |= update_answers()
    assert ctl("update zz aa n zz") == (
        1,
        "ERROR: no such group: zz\nERROR: no such group: aa\nn: added process group\n",
        "",
    )


@pytest.mark.behaviour("client.md#unexpected-errors")
@pytest.mark.parametrize("line", ["update", "reread"])
def test_a_configuration_that_cannot_be_reread(ctl: Ctl, stub: Stub, line: str) -> None:
    stub.answers["reloadConfig"] = fault("CANT_REREAD", "bad file")
    assert ctl(line) == (1, "ERROR: CANT_REREAD: bad file\n", "")


@pytest.mark.behaviour("client.md#avail")
def test_columns_of_avail(ctl: Ctl, stub: Stub) -> None:
    name = "x" * 30
    stub.answers["getAllConfigInfo"] = [
        {
            "group": "grp",
            "name": name,
            "inuse": False,
            "autostart": False,
            "group_prio": 999,
            "process_prio": -1,
        }
    ]
    assert ctl("avail") == (0, f"grp:{name} avail     manual    999:-1\n", "")


@pytest.mark.behaviour("client.md#reread")
@pytest.mark.parametrize(
    ("answer", "out"),
    [
        (
            [["b", "a"], ["c"], ["d"]],
            "a: available\nb: available\nc: changed\nd: disappeared\n",
        ),
        ([["x"], ["x"], ["x"]], "x: disappeared\n"),
        ([[], [], []], "No config updates to processes\n"),
    ],
)
def test_reread_lists_changes_by_name(ctl: Ctl, stub: Stub, answer: object, out: str) -> None:
    stub.answers["reloadConfig"] = [answer]
    assert ctl("reread") == (0, out, "")


# The connection


@pytest.mark.behaviour("client.md#the-daemons-version-is-asked-first")
@pytest.mark.parametrize("line", ["status", *PRECHECKED, "open"])
@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        ("2.0", 5, ("3.0", "2.0")),
        (fault("UNKNOWN_METHOD"), 3, ("supervisor", "[rpcinterface:supervisor]")),
    ],
    ids=["version", "namespace"],
)
def test_a_daemon_of_another_kind(
    ctl: Ctl, stub: Stub, line: str, answer: object, status: int, words: tuple[str, ...]
) -> None:
    if line == "open":
        line, status = f"open {stub.url}", 0
    elif line == "status":
        status = 4
    stub.answers["getVersion"] = answer
    ran = ctl(line)  # also without the arguments it needs: the pre-check comes first
    assert (ran.status, ran.err) == (status, "")
    assert ran.out.startswith("Sorry, ")
    assert ran.out.count("\n") == 1
    assert all(word in ran.out for word in words)
    assert stub.methods == []


@pytest.mark.behaviour(
    "client.md#a-daemon-that-cannot-be-reached",
    "client.md#unexpected-errors",
    "client.md#errors-are-printed-on-standard-output",
)
@pytest.mark.parametrize("line", EVERY)
def test_a_refused_connection(command: Ctl, line: str) -> None:
    url = refused_url()
    text, status = f"{url} refused connection", 4
    if line in STRAIGHT:
        status = 1
    elif line == "shutdown":
        text, status = f"ERROR: {text} (already shut down?)", 1
    assert command("-s", url, line) == (status, text + "\n", "")


@pytest.mark.behaviour("client.md#a-daemon-that-cannot-be-reached", "client.md#unexpected-errors")
@pytest.mark.parametrize("line", EVERY)
def test_a_missing_socket(command: Ctl, tmp_path: Path, line: str) -> None:
    url = f"unix://{tmp_path}/none.sock"
    text, status = f"{url} no such file", 7
    if line.startswith("status"):
        status = 4
    elif line in STRAIGHT:
        status = 1
    elif line == "shutdown":
        text, status = f"ERROR: {text} (already shut down?)", 1
    assert command("-s", url, line) == (status, text + "\n", "")


@pytest.mark.behaviour("client.md#a-daemon-that-cannot-be-reached")
def test_url_that_is_no_socket(command: Ctl, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    url = f"unix://{tmp_path}/file"
    assert command("-s", url, "pid") == (4, f"{url} refused connection\n", "")


@pytest.mark.behaviour("client.md#a-wrong-password")
@pytest.mark.parametrize("line", EVERY)
def test_a_wrong_password_is_one_request(ctl: Ctl, stub: Stub, line: str) -> None:
    stub.password = "alice:s3cret"
    assert ctl(line) == (1, "Server requires authentication\n", "")
    assert len(stub.calls) == 1


@pytest.mark.behaviour("client.md#a-daemon-that-is-going-down")
@pytest.mark.parametrize("line", ["status", *PRECHECKED])
def test_a_daemon_that_is_shutting_down(ctl: Ctl, stub: Stub, line: str) -> None:
    stub.answers["getVersion"] = fault("SHUTDOWN_STATE")
    assert ctl(line) == (1, "ERROR: supervisor shutting down\n", "")


@pytest.mark.behaviour("client.md#a-daemon-that-is-going-down")
@pytest.mark.parametrize(
    ("line", "status", "out"),
    [
        ("shutdown", 0, "ERROR: already shutting down\n"),
        ("reload", 1, "ERROR: already shutting down\n"),
        ("update", 1, "ERROR: already shutting down\n"),
        ("avail", 1, "ERROR: supervisor shutting down\n"),
        ("reread", 1, "ERROR: supervisor shutting down\n"),
        ("add x y", 1, "ERROR: shutting down\nERROR: shutting down\n"),
    ],
)
def test_shutting_down_without_precheck(
    ctl: Ctl, stub: Stub, line: str, status: int, out: str
) -> None:
    methods = ("shutdown", "restart", "reloadConfig", "getAllConfigInfo", "addProcessGroup")
    stub.answers |= dict.fromkeys(methods, fault("SHUTDOWN_STATE"))
    assert ctl(line) == (status, out, "")


@pytest.mark.behaviour("client.md#unexpected-errors")
@pytest.mark.parametrize("line", [*EVERY, "open"])
def test_an_http_error_is_one_line(ctl: Ctl, stub: Stub, line: str) -> None:
    stub.everything = http_error(500, "Internal Server Error")
    text = "error: <ProtocolError for 127.0.0.1/RPC2: 500 Internal Server Error>\n"
    assert ctl(f"open {stub.url}" if line == "open" else line) == (1, text, "")


@pytest.mark.behaviour("client.md#unexpected-errors")
@pytest.mark.parametrize("line", EVERY)
def test_a_dropped_connection_is_one_line(ctl: Ctl, stub: Stub, line: str) -> None:
    stub.everything = DROPPED
    text = "error: Remote end closed connection without response\n"
    assert ctl(line) == (1, text, "")


@pytest.mark.behaviour("client.md#unexpected-errors")
@pytest.mark.parametrize("line", ["status", "pid", "avail", "shutdown"])
def test_a_socket_without_permission(
    command: Ctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    class Refused(_socket.socket):
        def connect(self, address: object) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(_socket, "socket", Refused)  # root may connect to any socket
    url = f"unix://{tmp_path}/s.sock"
    named = f"error: [Errno 13] Permission denied: '{tmp_path}/s.sock'\n"
    assert command("-s", url, line) == (1, named, "")


def test_a_path_that_is_too_long_for_a_socket_is_named(command: Ctl) -> None:
    path = "/" + "x" * 200
    named = f"error: [Errno 36] AF_UNIX path too long: '{path}'\n"
    assert command("-s", f"unix://{path}", "status") == (1, named, "")


@pytest.mark.behaviour("client.md#unexpected-errors")
def test_an_unknown_host(command: Ctl, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # no name server in tests
    ran = command("-s", "http://no.such.host:9", "status")
    assert ran == (1, "error: [Errno -2] Name or service not known: 'no.such.host'\n", "")


# Order, and what is called


CONFIGURED = [
    {"group": group, "name": name, "group_prio": group_prio, "process_prio": process_prio}
    for group, name, group_prio, process_prio in (
        ("b", "b", 5, 5),
        ("duo", "left", 30, 9),
        ("duo", "right", 30, 5),
        ("z", "z", 999, 999),
        ("y", "y", 999, 999),
    )
]


@pytest.mark.behaviour("client.md#all-hides-other-words")
def test_all_hides_other_names_from_start(ctl: Ctl, stub: Stub) -> None:
    stub.answers["startAllProcesses"] = [result("x")]
    assert ctl("start x all") == (0, "x: started\n", "")
    assert stub.methods == ["startAllProcesses"]


@pytest.mark.behaviour("client.md#order-of-results")
def test_results_in_priority_order(ctl: Ctl, stub: Stub) -> None:
    stub.answers |= {
        "getAllConfigInfo": CONFIGURED,
        "stopAllProcesses": [
            result(name) for name in ("z", "unlisted", "duo:left", "y", "duo:right", "b")
        ],
    }
    names = ["b", "duo:right", "duo:left", "y", "z", "unlisted"]
    assert ctl("stop all") == (0, "".join(f"{name}: stopped\n" for name in names), "")


@pytest.mark.behaviour("client.md#order-of-results")
@pytest.mark.parametrize(
    "answer",
    [fault("UNKNOWN_METHOD"), http_error(500, "x"), DROPPED, "nonsense", [{"group": "a"}]],
    ids=["fault", "500", "dropped", "text", "rows without priorities"],
)
def test_daemon_that_cannot_tell_priorities_keeps_its_order(
    ctl: Ctl, stub: Stub, answer: object
) -> None:
    stub.answers |= {
        "getAllConfigInfo": answer,
        "startProcessGroup": [result("g:b", "SPAWN_ERROR"), result("g:a", "NO_FILE")],
    }
    expected = "g:b: ERROR (spawn error)\ng:a: ERROR (no such file)\n"
    assert ctl("start g:*") == (1, expected, "")


def test_call_sequences(ctl: Ctl, stub: Stub) -> None:
    stub.answers |= {"startProcess": True, "startProcessGroup": [result("g:y")]}
    ctl("start x g:y g:*")
    assert stub.calls == [
        ("getVersion",),
        ("startProcess", "x"),
        ("startProcess", "g:y"),
        ("startProcessGroup", "g"),
    ]


def test_pid_calls(ctl: Ctl, stub: Stub) -> None:
    stub.answers["getProcessInfo"] = turns(info("x"), fault("BAD_NAME", "y"), info("z", pid=0))
    assert ctl("pid x y z") == (7, "1\nNo such process y\n0\n", "")
    assert stub.calls == [("getVersion",), *(("getProcessInfo", name) for name in "xyz")]


def test_short_names_are_shown_and_names_are_sent_as_typed(ctl: Ctl, stub: Stub) -> None:
    stub.answers["startProcess"] = True
    assert ctl("start cat:cat a:b:c").out == "cat: started\na:b:c: started\n"
    assert stub.calls[1:] == [("startProcess", "cat:cat"), ("startProcess", "a:b:c")]


@pytest.mark.behaviour("client.md#tail-and-maintail")
def test_log_text_holding_forbidden_characters(ctl: Ctl, stub: Stub) -> None:
    body = b"<methodResponse><params><param><value>\x1b</value></param></params></methodResponse>"
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    stub.answers["readProcessStdoutLog"] = Raw(head + body)
    ran = ctl("tail x")
    assert ran.status == 1
    assert ran.out.startswith("error: not well-formed (invalid token)")


def test_open_other_schemes(ctl: Ctl, stub: Stub) -> None:
    assert ctl("open ftp://x") == (1, "ERROR: url must be http:// or unix://\n", "")
    assert ctl("open") == (1, "ERROR: url must be http:// or unix://\n", "")


@pytest.mark.behaviour("client.md#open-and-version")
def test_open_discards_the_exit_of_status(ctl: Ctl, stub: Stub, tmp_path: Path) -> None:
    other = Stub()
    other.answers["getAllProcessInfo"] = [info("x", "FATAL")]
    with serving(other, f"{tmp_path}/o.sock"):
        ran = ctl(f"open {other.url}")
    assert ran.status == 0
    assert ran.out.startswith("x ")
    assert stub.calls == []
