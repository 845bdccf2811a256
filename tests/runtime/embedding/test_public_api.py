"""What programs import, print and get wrong."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest

import trio_supervisor
from tests.kit.fakes import Recorder
from tests.kit.running import running
from trio_supervisor import (
    Exit,
    ProcessState,
    RequestError,
    State,
    SupervisorError,
    open_supervisor,
)
from trio_supervisor.core import errors
from trio_supervisor.core.events import EVENT_TYPES

if TYPE_CHECKING:
    from trio.testing import MockClock

#: What only clients of the daemon can meet.
OF_CLIENTS = {"UnknownMethod", "IncorrectParameters", "BadArguments", "SignatureUnsupported"}
#: What the daemon raises and catches.
OF_DAEMON = {"NotTakenOver"}


def test_every_error_and_event_can_be_imported() -> None:
    names = {name for name, cls in vars(errors).items() if inspect.isclass(cls)}
    ours = {name for name in names if issubclass(getattr(errors, name), SupervisorError)}
    events = {cls.__name__ for cls in EVENT_TYPES.values()}
    assert (ours - OF_CLIENTS - OF_DAEMON | events) - set(trio_supervisor.__all__) == set()
    for name in trio_supervisor.__all__:
        assert getattr(trio_supervisor, name) is not None
    with pytest.raises(AttributeError):
        trio_supervisor.open_superviser  # type: ignore[attr-defined]  # noqa: B018  # the mistake


async def test_events_of_states_have_all_attributes(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(startsecs=0, autorestart=False)
    async with running(group, recorder.host):
        await x.start()
        recorder.launcher.last.die(3)
        await x.wait_for(State.EXITED)
    seen = [
        (event.state, event.pid, event.tries, event.expected, event.exit)
        for event in recorder.events
        if isinstance(event, ProcessState)
    ]
    assert seen[0] == (State.STARTING, None, 0, None, None)
    assert seen[1] == (State.RUNNING, 1000, None, None, None)
    assert seen[2] == (State.EXITED, 1000, None, False, Exit(3))
    with pytest.raises(AttributeError, match="'ProcessStateStarting' has no attribute 'pit'"):
        next(e for e in recorder.events if isinstance(e, ProcessState)).pit  # type: ignore[attr-defined]  # noqa: B018  # the mistake


async def test_what_is_printed_is_readable() -> None:
    assert (f"{State.RUNNING}", str(State.RUNNING), f"{State.RUNNING:d}") == (
        *("RUNNING", "RUNNING"),
        "20",
    )
    async with open_supervisor() as supervisor:
        assert repr(supervisor) == "<Supervisor RUNNING: groups none>"
        cat = supervisor.add_program("cat", "/bin/cat", startsecs=0)
        await cat.wait_for(State.RUNNING)
        assert repr(cat) == f"<Process cat: RUNNING, pid {cat.pid}>"
        assert repr(supervisor.groups["cat"]) == "<Group cat: cat>"
        with cat.output() as output:
            assert repr(output) == "<OutputStream: 0 bytes waiting, 0 dropped>"
        async with supervisor.events(ProcessState) as events:
            assert repr(events) == "<EventStream of PROCESS_STATE: 0 waiting, 0 dropped>"


async def test_misuse_is_told_in_words() -> None:
    async with open_supervisor() as supervisor:
        cat = supervisor.add_program("cat", "/bin/cat", autostart=False)
        with pytest.raises(ValueError, match="no such channel: 'stdin'; there are 'stdout' and"):
            cat.output("stdin")  # type: ignore[arg-type]  # the mistake
        with pytest.raises(TypeError, match="give a GroupConfig, not 'cat'; for a command there"):
            supervisor.add("cat")  # type: ignore[arg-type]  # the mistake
        with pytest.raises(TypeError, match="not the name of a process: <Process cat: STOPPED>"):
            supervisor.process(cat)  # type: ignore[arg-type]  # the mistake
        with pytest.raises(TypeError, match="not the name of a group: <Process cat: STOPPED>"):
            supervisor.group(cat)  # type: ignore[arg-type]  # the mistake
        with pytest.raises(TypeError, match="not the name of a group: <Process cat: STOPPED>"):
            await supervisor.remove(cat)  # type: ignore[arg-type]  # the mistake
        with pytest.raises(TypeError, match="not the name of a group: <Process cat: STOPPED>"):
            await supervisor.scale(cat, 2)  # type: ignore[arg-type]  # the mistake
        for mistaken in (cat, "cat"):
            with pytest.raises(TypeError, match="give a list of processes, not"):
                await supervisor.start(mistaken)  # type: ignore[arg-type]  # the mistake
        with pytest.raises(
            TypeError, match=r"not a process: 'cat'; supervisor.process\(name\) has"
        ):
            await supervisor.stop(["cat"])  # type: ignore[list-item]  # the mistake
        with pytest.raises(RequestError, match="BAD_NAME: dog"):
            supervisor.process("dog")
    for wrong in (-1, "5"):
        with pytest.raises(ValueError, match="stop_within must be seconds"):
            async with open_supervisor(stop_within=wrong):  # type: ignore[arg-type]  # the mistake
                pass
