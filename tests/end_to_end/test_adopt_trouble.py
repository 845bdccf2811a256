"""``survive = adopt`` when more than the daemon goes wrong."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.test_internal_errors import faulty_python
from tests.end_to_end.test_survive_adopt import (
    ADOPT,
    PROGRAM,
    adopting,
    ctl,
    keepers,
    kept,
    kill,
    leave_nothing,  # noqa: F401  # a fixture that is used by all tests here
    output,
    pids,
    program,
)
from tests.kit.daemon import (
    BASE,
    COMMAND,
    PATIENCE,
    alive,
    daemon,
    eventually,
    free_port,
    text_of,
    wait_until_gone,
    write_config,
)
from tests.kit.strace import killed_at
from trio_supervisor.runtime.adoption.keeper import start
from trio_supervisor.runtime.adoption.left import server_note
from trio_supervisor.runtime.spawn.members import read_stat

if TYPE_CHECKING:
    from pathlib import Path

#: Leaves a process behind that leads a group of its own, and then goes on.
FORKING = """\
import os, signal
if not os.fork():
    os.setpgid(0, 0)
    with open("left", "w") as file:
        file.write(str(os.getpid()))
    signal.pause()
with open("pids", "a") as file:
    file.write(f"forking {os.getpid()}\\n")
signal.pause()
"""


def forking(*options: str) -> str:
    lines = "".join(f"{option}\n" for option in options)
    return (
        f"[program:forking]\ncommand={sys.executable} -S %(here)s/forking.py\ndirectory=%(here)s\n"
        f"startsecs=0\n{lines}"
    )


@pytest.mark.behaviour("policies.md#who-is-adopted")
def test_what_a_stopped_program_has_left_is_not_adopted(tmp_path: Path) -> None:
    """It has the mark of the program and leads a group, but was started by the program."""
    (tmp_path / "forking.py").write_text(FORKING)
    with adopting(tmp_path, forking()) as first:
        left = int(eventually(partial(text_of, tmp_path / "left"), "the pid of what is left"))
        eventually(lambda: pids(tmp_path), "the program")
        first.wait_for("forking", "RUNNING")
        assert first.rpc.stopProcess("forking") is True
        assert alive(left)
        eventually(lambda: "pidfd" not in kept(tmp_path), "nothing being kept of it")
        kill(first)
    with adopting(tmp_path, forking()) as second:
        second.wait_log("0 programs go on")
        eventually(lambda: second.states(), "answers")
        assert second.state("forking") == "STOPPED"
        assert alive(left)


@pytest.mark.behaviour("policies.md#who-is-adopted")
def test_what_an_ended_program_has_left_is_not_adopted(tmp_path: Path) -> None:
    """The program itself has ended while no daemon ran, and is started again."""
    (tmp_path / "forking.py").write_text(FORKING)
    with adopting(tmp_path, forking()) as first:
        eventually(partial(text_of, tmp_path / "left"), "the pid of what is left")
        eventually(lambda: pids(tmp_path), "the program")
        first.wait_for("forking", "RUNNING")
        eventually(lambda: "pidfd" in kept(tmp_path), "all being kept")
        kill(first)
    [main] = pids(tmp_path)["forking"]
    os.kill(main, signal.SIGKILL)
    wait_until_gone(main)
    with adopting(tmp_path, forking()) as second:
        eventually(lambda: len(pids(tmp_path)["forking"]) == 2, "another child")
        second.wait_for("forking", "RUNNING")
        assert second.pid("forking") == pids(tmp_path)["forking"][1]


@pytest.mark.behaviour("policies.md#the-keeper")
def test_a_program_found_by_its_mark_is_gone_on_with_after_an_upgrade(tmp_path: Path) -> None:
    """It is still no child of the daemon."""
    text = program("seven", "exit 7", "autorestart=false")
    with adopting(tmp_path, text) as first:
        eventually(lambda: "seven" in pids(tmp_path), "the program")
        first.wait_for("seven", "RUNNING")
        [keeper] = keepers(tmp_path)
        first.process.send_signal(signal.SIGSTOP)
        os.kill(keeper, signal.SIGKILL)
        wait_until_gone(keeper)
        kill(first)
    with adopting(tmp_path, text) as second:
        second.wait_for("seven", "RUNNING")
        ctl(tmp_path, "upgrade")
        second.wait_log("goes on with 1 child")
        assert second.pid("seven") == pids(tmp_path)["seven"][0]
        assert second.state("seven") == "RUNNING"
        (tmp_path / "go-seven").touch()
        second.wait_for("seven", "EXITED")
        assert second.info("seven")["exitstatus"] == 7


@pytest.mark.behaviour("policies.md#the-keeper")
@pytest.mark.parametrize("goes_on", [False, True])
def test_a_keeper_that_hangs_holds_up_no_program(tmp_path: Path, goes_on: bool) -> None:
    """What it misses it is given when it goes on; the state is written all the same."""
    names = [f"p{number}" for number in range(10)]
    text = "".join(program(name) for name in names) + program("stopped")
    with adopting(tmp_path, text) as first:
        eventually(lambda: len(pids(tmp_path)) == len(names) + 1, "the programs")
        for name in names:
            first.wait_for(name, "RUNNING")
        eventually(lambda: kept(tmp_path).count("pidfd") == len(names) + 1, "all being kept")
        [keeper] = keepers(tmp_path)
        os.kill(keeper, signal.SIGSTOP)
        for turn in range(12):  # the queue of the keeper has room for a few hundred messages
            for name in names:
                os.kill(pids(tmp_path)[name][-1], signal.SIGKILL)
            eventually(
                lambda: all(len(pids(tmp_path)[name]) == turn + 2 for name in names),  # noqa: B023  # called in this turn
                "another child of all",
            )
        assert first.rpc.stopProcess("stopped") is True
        before = pids(tmp_path)
        for name in names:
            eventually(lambda: first.pid(name) == before[name][-1], "the child")  # noqa: B023  # called in this turn
        if goes_on:
            os.kill(keeper, signal.SIGCONT)
            eventually(lambda: kept(tmp_path).count("pidfd") == len(names), "all being kept")
        kill(first)
    if not goes_on:
        os.kill(keeper, signal.SIGCONT)
    with adopting(tmp_path, text) as second:
        second.wait_log(f"{len(names)} programs go on")
        eventually(lambda: second.states(), "answers")
        assert [second.pid(name) for name in names] == [before[name][-1] for name in names]
        assert second.state("stopped") == "STOPPED"
        assert pids(tmp_path) == before


@pytest.mark.behaviour("policies.md#who-is-adopted")
@pytest.mark.parametrize("call", range(1, 8))
def test_a_daemon_that_is_killed_while_it_gives_to_the_keeper(tmp_path: Path, call: int) -> None:
    """At each message of its start: no program runs twice, or is lost."""
    names = ["a", "b", "c"]
    text = "".join(program(name, "writer") for name in names)
    (tmp_path / "program.py").write_text(PROGRAM)
    config = write_config(tmp_path, text, base=ADOPT)
    with (tmp_path / "stdout").open("wb") as out:
        first = subprocess.Popen(
            [*killed_at("sendmsg", call), *COMMAND, "-n", "-c", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        eventually(
            lambda: first.poll() is not None or all(output(tmp_path, name) for name in names),
            "the end of the daemon, or all programs",
        )
    finally:
        first.kill()
        first.wait(PATIENCE)
    (tmp_path / "sup.pid").unlink(missing_ok=True)
    with adopting(tmp_path, text) as second:
        for name in names:
            second.wait_for(name, "RUNNING")
            eventually(lambda: output(tmp_path, name), "its output")  # noqa: B023  # called in this turn
            assert [pid for pid in pids(tmp_path)[name] if alive(pid)] == [second.pid(name)]


#: Something fails in taking over what was left: reading it, or giving it to the supervisor.
TAKEOVER_FAILS = """
import trio_supervisor.cli.adoption as adoption
def faulty(*arguments):
    raise LookupError("injected")
adoption.{what} = faulty
"""


@pytest.mark.behaviour("policies.md#an-internal-error-in-an-adoption")
@pytest.mark.parametrize("what", ["Left.groups", "take_over"])
def test_an_internal_error_in_an_adoption_loses_no_program(tmp_path: Path, what: str) -> None:
    """What cannot be taken over is ended, and everything is started anew."""
    port = free_port()
    base = ADOPT + f"[inet_http_server]\nport=127.0.0.1:{port}\n"
    text = program("quiet") + program("writer", "writer")
    with adopting(tmp_path, text, base) as first:
        eventually(lambda: kept(tmp_path).count("pidfd") == 2, "all being kept")
        for name in ("quiet", "writer"):
            first.wait_for(name, "RUNNING")
        eventually(lambda: len(pids(tmp_path)) == 2, "the programs")
        kill(first)
    before = pids(tmp_path)
    within = faulty_python(tmp_path, TAKEOVER_FAILS.format(what=what))
    with daemon(tmp_path, text, base=base, within=within) as second:
        second.wait_log("CRIT internal error in taking over what the killed daemon has left")
        for name in ("quiet", "writer"):
            second.wait_for(name, "RUNNING")
            assert not alive(before[name][0])
            eventually(lambda: len(pids(tmp_path)[name]) == 2, "another child")  # noqa: B023  # called in this turn
            assert second.pid(name) == pids(tmp_path)[name][1]
        assert "Please report this" in second.log
        assert "LookupError: injected" in second.log
        with socket.create_connection(("127.0.0.1", port), PATIENCE):
            pass
        eventually(lambda: kept(tmp_path).count("pidfd") == 2, "all being kept again")
        kill(second)
    again = pids(tmp_path)
    with adopting(tmp_path, text, base) as third:
        third.wait_log("2 programs go on")
        eventually(lambda: third.states(), "answers")
        assert pids(tmp_path) == again
        third.stop()


@pytest.mark.behaviour("policies.md#an-internal-error-in-an-adoption")
def test_an_internal_error_in_the_record_of_an_adoption_stops_nothing(tmp_path: Path) -> None:
    with adopting(tmp_path, program("quiet")) as first:
        eventually(lambda: "quiet" in pids(tmp_path), "the program")
        eventually(lambda: "pidfd" in kept(tmp_path), "all being kept")
        kill(first)
    within = faulty_python(tmp_path, TAKEOVER_FAILS.format(what="_record_first"))
    with daemon(tmp_path, program("quiet"), base=ADOPT, within=within) as second:
        second.wait_log("CRIT internal error in taking over quiet, which goes on:")
        second.wait_for("quiet", "RUNNING")
        assert second.pid("quiet") == pids(tmp_path)["quiet"][0]
        second.stop()


def suspend(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: (stat := read_stat(pid)) is not None and stat.state == "T", "its suspension")


@pytest.mark.behaviour("policies.md#the-keeper")
def test_a_suspended_keeper_is_told_to_go_on(tmp_path: Path) -> None:
    """Nothing is lost, and nothing is waited for."""
    with adopting(tmp_path, program("writer", "writer")) as first:
        eventually(lambda: output(tmp_path, "writer"), "output")
        first.wait_for("writer", "RUNNING")
        eventually(lambda: "pidfd" in kept(tmp_path), "all being kept")
        [keeper] = keepers(tmp_path)
        suspend(keeper)
        kill(first)
    with adopting(tmp_path, program("writer", "writer")) as second:
        second.wait_log(f"the keeper (pid {keeper}) was suspended, and was sent SIGCONT to go on")
        assert keepers(tmp_path) == [keeper]
        assert second.pid("writer") == pids(tmp_path)["writer"][0]
        assert "1 program goes on" in second.log
        assert "no keeper was left" not in second.log
        second.stop()
    numbers = [int(line.split()[1]) for line in output(tmp_path, "writer").splitlines()]
    assert numbers == list(range(len(numbers)))


@pytest.mark.behaviour("policies.md#the-keeper")
def test_a_keeper_that_is_suspended_holds_up_no_daemon_without_the_option(tmp_path: Path) -> None:
    """It is told to go on, and ends."""
    with adopting(tmp_path, program("quiet")) as first:
        first.wait_for("quiet", "RUNNING")
        [keeper] = keepers(tmp_path)
        suspend(keeper)
        kill(first)
    with adopting(tmp_path, program("quiet"), BASE) as second:
        eventually(lambda: second.states(), "answers")
        assert not keepers(tmp_path)
        second.stop()


@pytest.mark.behaviour("policies.md#the-keeper")
def test_a_keeper_with_a_listening_socket_and_nothing_else_is_in_nobody_s_way(
    tmp_path: Path,
) -> None:
    """Its daemon was killed before it gave more."""
    port = free_port()
    base = ADOPT + f"[inet_http_server]\nport=127.0.0.1:{port}\n"
    with socket.create_server(("127.0.0.1", port)) as listener:
        keeper = start(str(tmp_path / "sup.pid"))
        note = server_note(("inet", "127.0.0.1", port), None)
        keeper.put("server\0inet_http_server", note, (listener.fileno(),))
        keeper._connection.close()
    with adopting(tmp_path, program("quiet"), base) as running:
        running.wait_for("quiet", "RUNNING")
        with socket.create_connection(("127.0.0.1", port), PATIENCE):
            pass


@pytest.mark.behaviour("policies.md#what-follows-an-adoption")
def test_a_server_with_another_address_on_the_same_port(tmp_path: Path) -> None:
    """The keeper holds the socket of the old one, which would be in its way."""
    port = free_port()
    text = program("quiet")
    with adopting(tmp_path, text, ADOPT + f"[inet_http_server]\nport=*:{port}\n") as first:
        eventually(lambda: "quiet" in pids(tmp_path), "the program")
        first.wait_for("quiet", "RUNNING")
        eventually(lambda: "pidfd" in kept(tmp_path), "all being kept")
        kill(first)
    base = ADOPT + f"[inet_http_server]\nport=127.0.0.1:{port}\n"
    with adopting(tmp_path, text, base) as second:
        assert second.pid("quiet") == pids(tmp_path)["quiet"][0]
        with socket.create_connection(("127.0.0.1", port), PATIENCE):
            pass


@pytest.mark.behaviour("policies.md#the-keeper")
def test_too_few_descriptors_to_take_over_all(tmp_path: Path) -> None:
    """The daemon says so and ends, and the next one with more of them goes on."""
    names = [f"p{number}" for number in range(12)]
    text = "".join(program(name) for name in names)
    with adopting(tmp_path, text) as first:
        eventually(lambda: len(pids(tmp_path)) == len(names), "the programs")
        for name in names:
            first.wait_for(name, "RUNNING")
        eventually(lambda: kept(tmp_path).count("pidfd") == len(names), "all being kept")
        kill(first)
    config = write_config(
        tmp_path, text, base=ADOPT.replace("[supervisord]\n", "[supervisord]\nminfds=32\n")
    )
    done = subprocess.run(
        ["prlimit", "--nofile=32:32", *COMMAND, "-n", "-c", str(config)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2
    assert "Too few descriptors to take over the programs of the earlier daemon" in done.stderr
    with adopting(tmp_path, text) as second:
        second.wait_log(f"{len(names)} programs go on")
        eventually(lambda: second.states(), "answers")
        for name in names:
            assert second.pid(name) == pids(tmp_path)[name][0]
    assert all(len(each) == 1 for each in pids(tmp_path).values())
