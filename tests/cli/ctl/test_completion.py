"""Shell completion: what is offered, and that bash, zsh and fish offer it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.kit.ctl import install, run
from tests.kit.machine import path_of
from tests.kit.rpc_stub import Raw, Stub, fault, info
from tests.kit.terminal import TAB, terminal
from trio_supervisor.cli.ctl import completion as ctl_completion
from trio_supervisor.cli.ctl.commands import COMMANDS

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [info("cat"), info("pool:pool_00"), info("pool:pool_01")]
POOL = ["pool:*", "pool:pool_00", "pool:pool_01"]


def offered(stub: Stub, *words: str) -> list[str]:
    return ctl_completion.candidates("tsupervisorctl", ["-s", stub.url, *words], {})


@pytest.mark.behaviour("client.md#completion")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([""], sorted([*COMMANDS, "help"])),
        (["st"], ["start", "status", "stop"]),
        (["help", "st"], ["start", "status", "stop"]),
        (["stop", ""], ["cat", *POOL]),
        (["stop", "cat", "p"], POOL),
        (["stop", "cat:"], ["cat:*", "cat:cat"]),
        (["signal", "HUP", "c"], ["cat"]),
        (["wait", "c"], ["cat"]),
        (["update", ""], ["cat", "pool"]),
        (["status", "--s"], ["--sort", "--state"]),
        (["wait", "cat", "--"], ["--for", "--timeout"]),
        (["stop", "--"], []),
        (["maintail", ""], []),
        (["nosuch", ""], []),
        (["--ti"], ["--timeout"]),
        (["-c", ""], [":files"]),
        (["--timeout", ""], []),
        (["--completion", "f"], ["fish"]),
        (["-Z", "x"], []),
    ],
)
def test_candidates(stub: Stub, words: list[str], expected: list[str]) -> None:
    stub.answers["getAllProcessInfo"] = ROWS
    assert offered(stub, *words) == expected


@pytest.mark.behaviour("client.md#completion")
def test_nothing_is_offered_or_said_without_a_daemon(stub: Stub) -> None:
    stub.answers["getAllProcessInfo"] = fault("SHUTDOWN_STATE")
    assert offered(stub, "stop", "c") == []
    stub.everything = Raw(b"", hold=True)
    assert offered(stub, "--timeout", "0.01", "stop", "c") == []
    assert ctl_completion.candidates("x", ["-c", "/no/such", "stop", "c"], {}) == []
    assert ctl_completion.candidates("x", [], {}) != []


def test_unknown_shell(tmp_path: Path) -> None:
    program = install(tmp_path / "bin")
    ran = run([program, "--completion", "tcsh"])
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("Error: no completion for the shell 'tcsh'; there is bash, zsh, fish")


#: How each shell is started without anybody's configuration, and told to complete.
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source <({} --completion bash)"),
    "zsh": (
        ["zsh", "-f", "-i"],
        "autoload -U compinit; compinit -D -u; source <({} --completion zsh)",
    ),
    "fish": (["fish", "--no-config", "-i"], "{} --completion fish | source"),
}


@pytest.mark.behaviour("client.md#completion")
@pytest.mark.parametrize("shell", SHELLS)
def test_shells_complete_live_process_names(shell: str, stub: Stub, tmp_path: Path) -> None:
    if shell != "bash":
        path_of(shell)
    stub.answers |= {"getAllProcessInfo": ROWS, "stopProcess": True, "stopProcessGroup": []}
    program = install(tmp_path / "bin")
    command, load = SHELLS[shell]
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    with terminal(["env", f"PATH={path}", f"HOME={tmp_path}", *command], cwd=tmp_path) as person:
        person.type(load.format(program) + "\n")
        person.type("echo lo''aded\n")
        person.expect_pattern(r"loaded\W")
        person.type(f"tsupervisorctl -s {stub.url} sto{TAB}ca{TAB}pool:pool_00 && echo do''ne\n")
        person.expect_pattern(r"pool_00: stopped\W")
        person.expect_pattern(r"done\W")
        person.type(f"tsupervisorctl -s {stub.url} stop pool:pool_01 poo{TAB}pool_0{TAB}0\n")
        person.expect_pattern(r"pool_00: stopped\W")
        person.type("exit\n")
        person.end()
    stopped = [call[1:] for call in stub.calls if call[0] == "stopProcess"]
    assert stopped == [("cat",), ("pool:pool_00",), ("pool:pool_01",), ("pool:pool_00",)]
