"""Runs ``async def`` tests with trio, without nurseries of its own, so that a failing assertion is
shown as it is and not inside an exception group.

A test that takes the fixture ``mock_clock`` runs under a frozen virtual clock (real children as
puppets, time moves by ``mock_clock.jump``); one that takes ``autojump_clock`` under a clock that
jumps whenever all tasks are blocked (fakes only: it would also jump while a real child runs).
"""

from __future__ import annotations

import inspect
import signal
from collections.abc import Iterator
from types import FrameType

import hypothesis
import pytest
import trio
import trio.testing

from trio_supervisor.runtime.logs import filesink

#: Seconds that a test with a virtual clock waits for the disk.
DISK_PATIENCE = 5
#: For the tests of the pytest plugin.
pytest_plugins = ("pytester",)

# The same examples in every run: a test fails because of a change, never because of the day.
# ``pytest --hypothesis-profile=explore`` looks for new ones.
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", max_examples=2000, deadline=None)
hypothesis.settings.load_profile("fixed")

#: Seconds of real time one test may take before it is failed with a traceback of where it hangs.
WATCHDOG = 120


#: Signals that a shell lets its background jobs ignore, or nohup, and what a person's programs do
#: with them. Programs inherit that they are ignored, so those that tests start would not hear
#: Ctrl-C.
USUAL_HANDLERS = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGQUIT: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}


def pytest_configure() -> None:
    for number, handler in USUAL_HANDLERS.items():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture
def mock_clock() -> trio.testing.MockClock:
    return trio.testing.MockClock(rate=0)


@pytest.fixture
def autojump_clock(monkeypatch: pytest.MonkeyPatch) -> trio.testing.MockClock:
    """A disk is waited for in real time: the clock would jump over a busy one."""
    monkeypatch.setattr(filesink, "SHORT_BLOCK_TIMEOUT", DISK_PATIENCE)
    monkeypatch.setattr(filesink.FileSink, "settled", _settled)
    return trio.testing.MockClock(autojump_threshold=0)


_SETTLED = filesink.FileSink.settled


async def _settled(sink: filesink.FileSink) -> None:
    sink._worker.wait(lambda: sink._queue is None, DISK_PATIENCE)
    await _SETTLED(sink)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    clocks = [value for value in arguments.values() if isinstance(value, trio.abc.Clock)]

    async def run() -> None:
        await pyfuncitem.obj(**arguments)

    trio.run(run, clock=clocks[0] if clocks else None)
    return True


@pytest.fixture(autouse=True)
def _watchdog() -> Iterator[None]:
    def expired(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"test took longer than {WATCHDOG} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(WATCHDOG)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
