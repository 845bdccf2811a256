"""``top``: a live table of all processes on the whole screen, and keys to act.

The loop waits for keys, samples and outcomes of requests, and paints the lines of ``view.py``.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import contextmanager

from trio_supervisor.cli.client.client import Fault
from trio_supervisor.cli.ctl.arguments import mistake
from trio_supervisor.cli.ctl.logs import follow_one
from trio_supervisor.cli.ctl.session import UNIMPLEMENTED, UsageMistake
from trio_supervisor.cli.ctl.streams import GONE, words_of
from trio_supervisor.cli.ctl.top.actions import PERFORM, reason_of
from trio_supervisor.cli.ctl.top.background import Background
from trio_supervisor.cli.ctl.top.keys import FOLLOW, QUIT, RESTART, UNDER_WAY, Top
from trio_supervisor.cli.ctl.top.screen import Screen, ScreenError
from trio_supervisor.cli.ctl.top.view import render
from trio_supervisor.core.process.states import FaultCode

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any

    from trio_supervisor.cli.client.client import Client
    from trio_supervisor.cli.ctl.arguments import Arguments
    from trio_supervisor.cli.ctl.session import Session
    from trio_supervisor.cli.ctl.top.keys import ActionRequest

    Sample = tuple[str, list[dict[str, Any]]]

#: Default seconds between two samples: long enough to measure the use of a processor and to read.
INTERVAL = 2.0
#: Shortest interval in seconds. With more samples top itself would dominate what is measured.
LEAST_INTERVAL = 0.1
#: Seconds without an answer after which the daemon is considered gone.
PATIENCE = 5.0


class Ended(BaseException):
    """Raised by the handler of SIGTERM and SIGHUP."""


def top(session: Session, arguments: Arguments) -> None:
    interval = arguments.number("delay", INTERVAL, least=LEAST_INTERVAL)
    if arguments.words:
        raise mistake("top takes no names; / filters what it shows")
    if not session.input.on_terminal:
        raise UsageMistake("Error: top needs a terminal; scripts use status", with_help=False)
    if not session.upcheck():
        return
    first = _first_sample(session)
    background = Background()
    try:
        with _signals(background), Screen() as screen:
            _Loop(session, screen, background, interval).run(first)
    except ScreenError as error:
        raise UsageMistake(f"Error: {error}", with_help=False) from None
    except KeyboardInterrupt:
        pass  # Ctrl-C quits
    finally:
        if background.busy:
            session.line("waiting for the requested restarts; Ctrl-C cancels them")
            background.finish()
        background.close()


def _first_sample(session: Session) -> Sample:
    """Take a sample before the screen is taken over, so that errors appear as usual.

    Raises UsageMistake for a daemon without the call, and what calls raise.
    """
    try:
        return _sample(session.client())
    except Fault as fault:
        if fault.code != FaultCode.UNKNOWN_METHOD:
            raise
        raise UsageMistake(
            "Error: this daemon does not provide what top shows; it is not a tsupervisord",
            UNIMPLEMENTED,
            with_help=False,
        ) from None


@contextmanager
def _signals(background: Background) -> Iterator[None]:
    """Restore the terminal on SIGTERM and SIGHUP; wake the loop when the terminal is resized."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Ended(number)

    def wake(number: int, frame: FrameType | None) -> None:
        """Do nothing: the signal has written to the wakeup descriptor."""

    handlers = {signal.SIGTERM: end, signal.SIGHUP: end, signal.SIGWINCH: wake}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    descriptor = signal.set_wakeup_fd(background.wakeup_fd, warn_on_full_buffer=False)
    ended = None
    try:
        yield
    except Ended as signalled:
        (ended,) = signalled.args
    finally:
        signal.set_wakeup_fd(descriptor)
        for number, handler in before.items():
            signal.signal(number, handler)
    if ended is not None:
        signal.signal(ended, signal.SIG_DFL)  # the parent must see which signal ended us
        os.kill(os.getpid(), ended)


def _sample(client: Client) -> Sample:
    identity = (
        f"{client.call('supervisor.getIdentification')}  pid {client.call('supervisor.getPID')}"
    )
    return identity, client.call("tsupervisor.getAllProcessDetails")


class _Loop:
    def __init__(
        self, session: Session, screen: Screen, background: Background, interval: float
    ) -> None:
        self._session = session
        self._screen = screen
        self._background = background
        self._interval = interval
        self._top = Top()
        self._sampler = session.another_client(session.options.timeout or PATIENCE)
        self._next = 0.0
        """The time of the next sample; infinity while a sample is being taken."""

    def run(self, first: Sample) -> None:
        """Run until the user quits."""
        self._sampled(first)
        while True:
            self._screen.paint(render(self._top, *self._screen.size))
            timeout = max(0.0, self._next - time.monotonic())
            wait = None if timeout == float("inf") else timeout
            sources: list[int | Background] = [self._session.input.fd, self._background]
            select.select(sources, [], [], wait)
            self._background.deliver()
            for key in self._screen.pressed():
                request = self._top.press(key)
                if request is not None and request.verb == QUIT:
                    return
                if request is not None:
                    self._perform(request)
            if time.monotonic() >= self._next:
                self._next = float("inf")
                self._background.run(lambda: _sample(self._sampler), self._sampled, required=False)

    def _sampled(self, outcome: Sample | Exception) -> None:
        now = time.monotonic()
        self._next = now + self._interval
        if isinstance(outcome, Exception):
            self._sampler.close()
            self._top.lost = words_of(outcome)
            return
        identity, details = outcome
        self._top.lost = ""
        self._top.identity = f"{identity}  {self._session.options.serverurl}"
        self._top.time = time.strftime("%H:%M:%S")
        self._top.table.sample(details, now)

    def _perform(self, request: ActionRequest) -> None:
        if request.verb == FOLLOW:
            self._follow(request.name)
            return
        self._top.say(f"{request.name}: {UNDER_WAY[request.verb]}")

        def done(outcome: object) -> None:
            if isinstance(outcome, Exception):
                self._top.say(
                    f"{request.name}: cannot {request.verb} it: {reason_of(outcome, request)}",
                    alarming=True,
                )
            else:
                self._top.say(f"{request.name}: {outcome}")
            self._next = min(self._next, time.monotonic())  # show the effect at once

        # Only a restart is two calls. If the second were lost, the process would stay stopped.
        self._background.run(
            lambda: PERFORM[request.verb](self._session.another_client(None), request),
            done,
            required=request.verb == RESTART,
        )

    def _follow(self, name: str) -> None:
        with self._screen.aside():
            self._session.line(f"output of {name}; Ctrl-C returns")
            try:
                follow_one(self._session, name)
            except GONE as error:
                self._top.say(f"{name}: cannot follow its log: {words_of(error)}", alarming=True)
