"""What is sent to a child that has to end: decisions without processes."""

from __future__ import annotations

from signal import SIGINT, SIGKILL, SIGQUIT, SIGTERM

import pytest

from tests.kit.config import BASE, load
from tests.kit.fakes import program
from trio_supervisor.core.config.model import ProcessConfig
from trio_supervisor.core.config.stopping import SignalStep, Stopping
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.core.process.stop import StopSequence

EXTENDED = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\n")


def configured(lines: str, base: str = EXTENDED) -> ProcessConfig:
    (group,) = load(f"[program:x]\ncommand=/bin/cat\n{lines}\n", base=base).groups
    return group.processes[0]


@pytest.mark.behaviour("policies.md#stop_sequence")
@pytest.mark.parametrize(
    ("lines", "steps", "patience"),
    [
        ("", [(SIGTERM, 10), (SIGKILL, 10)], 10),
        ("stopwaitsecs=0", [(SIGTERM, 0), (SIGKILL, 1)], 0),
        ("stop_sequence=QUIT:10s, TERM:5s", [(SIGQUIT, 10), (SIGTERM, 5), (SIGKILL, 10)], 15),
        (
            "stop_sequence=INT, quit:500ms, 15\nstopwaitsecs=3\nstopsignal=HUP",
            [(SIGINT, 3), (SIGQUIT, 0.5), (SIGTERM, 3), (SIGKILL, 3)],
            6.5,
        ),
        ("stop_command=/bin/x\nstopwaitsecs=4", [(0, 4), (SIGTERM, 4), (SIGKILL, 4)], 8),
    ],
)
def test_the_steps(lines: str, steps: list[tuple[int, float]], patience: float) -> None:
    stop = StopSequence.of(configured(lines))
    assert [(step.signal, step.wait) for step in stop.steps] == steps
    assert stop.patience == patience
    last = len(steps) - 1
    assert [stop.is_last(number) for number in range(len(steps) + 1)] == [
        *([False] * last),
        *(True, True),
    ]
    assert stop.step(last + 5) is stop.steps[-1]


def test_each_signal_goes_where_the_options_of_supervisor_say() -> None:
    stop = StopSequence.of(configured("stop_sequence=INT,QUIT\nkillasgroup=true"))
    assert [step.group for step in stop.steps] == [False, False, True]
    stop = StopSequence.of(configured("stop_sequence=INT,QUIT\nstopasgroup=true"))
    assert [step.group for step in stop.steps] == [True, True, True]


@pytest.mark.parametrize(
    ("seconds", "sent"),
    [
        (100, [(0, SIGQUIT), (2, SIGTERM), (5, SIGKILL)]),
        (4, [(0, SIGQUIT), (2, SIGTERM), (4, SIGKILL)]),
        (2, [(0, SIGQUIT), (2, SIGKILL)]),
        (0, [(0, SIGQUIT), (0, SIGKILL)]),
    ],
)
def test_what_an_emergency_stop_sends_within_a_time(
    seconds: float, sent: list[tuple[float, int]]
) -> None:
    sequence = (SignalStep(SIGQUIT, 2), SignalStep(SIGTERM, 3))
    config = program("x", stopping=Stopping(sequence, command="/bin/x"))
    timed = StopSequence.of(config).signals_within(seconds)
    assert [(after, step.signal) for after, step in timed] == sent


@pytest.mark.behaviour("policies.md#stop_sequence")
@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("QUIT:soon", "invalid duration 'soon'"),
        ("QIUT", "is not a valid signal name"),
        ("QUIT,,TERM", "is not a valid signal name"),
        ("0:5", "signal 0 stops nothing"),
    ],
)
def test_a_wrong_sequence(text: str, error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(f"stop_sequence={text}")
    assert error in str(caught.value)
    assert configured(f"stop_sequence={text}", BASE).stopping.sequence == ()


def test_a_step_is_shown_as_files_have_it() -> None:
    shown = [str(step) for step in configured("stop_sequence=sigquit:1500ms,40").stopping.sequence]
    assert shown == ["QUIT:1.5s", "40"]
