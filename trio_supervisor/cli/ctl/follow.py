"""Follows logs (tail -f, maintail -f), and attaches to a process (fg)."""

from __future__ import annotations

import select
import time

from trio_supervisor.cli.client.client import Disconnected, Fault, ProtocolViolation
from trio_supervisor.cli.ctl.io import complain
from trio_supervisor.cli.ctl.names import expanded
from trio_supervisor.cli.ctl.session import GENERIC, UsageMistake, is_timeout
from trio_supervisor.core.process.states import FaultCode, State

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from trio_supervisor.cli.client.client import ResponseStream
    from trio_supervisor.cli.ctl.session import Session

CHANNELS = ("stdout", "stderr")
BANNER = "==> Press Ctrl-C to exit <=="
OK = 200
#: Seconds between checks whether the process in the foreground is running. The log streams do not
#: report its exit, and the delay should not be noticeable.
LOOK = 0.25


def follow(session: Session, path: str) -> None:
    """Copy a log to the output until it ends or Ctrl-C is pressed.

    Errors go to standard error, because standard output holds the log.
    """
    try:
        session.line(BANNER)
        stream = session.stream(path)
        try:
            _copy(session, stream, path)
        finally:
            stream.close()
    except KeyboardInterrupt:
        session.line("")
    except (OSError, Disconnected, ProtocolViolation) as error:
        if is_timeout(error):
            raise
        complain(f"error: {error}\n")
        session.exit_status = GENERIC


def _copy(session: Session, stream: ResponseStream, path: str) -> None:
    while not stream.ended and session.output.failure is None:
        try:
            data = stream.read()
        except TimeoutError:
            session.call("getVersion")  # the log may be silent, but the daemon must answer
            continue
        if stream.status not in (0, OK):
            url = session.options.serverurl
            complain(f"{url}{path} Cannot read, status code {stream.status}\n")
            session.exit_status = GENERIC
            return
        session.output.data(data)


def foreground(session: Session, argument: str) -> None:
    names = argument.split()
    if not names:
        raise UsageMistake("ERROR: no process name supplied")
    if len(names) > 1:
        raise UsageMistake("ERROR: too many process names supplied", with_help=False)
    names = expanded(session, names)
    if len(names) > 1:
        raise UsageMistake("ERROR: too many process names supplied", with_help=False)
    (name,) = names
    try:
        running = _is_running(session, name)
    except Fault as fault:
        bad_name = fault.code == FaultCode.BAD_NAME
        session.fail("ERROR: bad process name supplied" if bad_name else f"ERROR: {fault}")
        return
    if not running:
        session.fail("ERROR: process not running")
        return
    streams: list[ResponseStream] = []
    try:
        session.line(BANNER)
        streams.extend(session.stream(f"/logtail/{name}/{channel}") for channel in CHANNELS)
        _attend(session, name, streams)
    except KeyboardInterrupt:
        pass
    finally:
        for stream in streams:
            stream.close()
    session.line("Exiting foreground")


def _is_running(session: Session, name: str) -> bool:
    return bool(session.call("getProcessInfo", name)["state"] == State.RUNNING)


def _attend(session: Session, name: str, streams: list[ResponseStream]) -> None:
    """Copy logs to the output and lines of the input to the process, until either side ends."""
    typed = session.input
    live = list(streams)
    next_look = time.monotonic() + LOOK
    while True:
        while (line := typed.buffered_line()) is not None:
            if not _send(session, name, line):
                return
        if typed.ended:
            return
        timeout = max(0.0, next_look - time.monotonic())
        sources: list[int | ResponseStream] = [typed.fd, *live]
        ready, _, _ = select.select(sources, [], [], timeout)
        for stream in [stream for stream in live if stream in ready]:
            data = stream.read()
            if stream.status == OK:
                session.output.data(data)
            # A log that is merged or switched off is no error here.
            if stream.ended or stream.status not in (0, OK):
                live.remove(stream)
        if typed.fd in ready:
            typed.fill()
        if time.monotonic() >= next_look:
            if not _is_running(session, name):
                session.line("Process got killed")
                return
            next_look = time.monotonic() + LOOK


def _send(session: Session, name: str, line: str) -> bool:
    """Send a line to the process. Report it and return False if the process is gone."""
    try:
        session.call("sendProcessStdin", name, line + "\n")
        running = _is_running(session, name)
    except Fault as fault:
        gone = fault.code == FaultCode.NOT_RUNNING
        session.line("Process got killed" if gone else f"ERROR: {fault}")
        return False
    if not running:
        session.line("Process got killed")
    return running
