"""``tsupervisorctl``: the command line that controls a running daemon.

A run makes a few calls, so its imports decide how long it takes: see the module client.
"""

from __future__ import annotations

import os
import sys

from trio_supervisor.cli.ctl.dispatch import Dispatcher
from trio_supervisor.cli.ctl.options import OptionError, read_options
from trio_supervisor.cli.ctl.session import GENERIC, INVALID_ARGUMENTS, Session

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from trio_supervisor.cli.ctl.options import ClientOptions


def main(argv: list[str] | None = None) -> int:
    """Run the command line (program name first) and return the exit status."""
    try:
        return _run(sys.argv if argv is None else argv)
    except KeyboardInterrupt:
        # Imported here because hardly any run is interrupted.
        import signal

        # End by the signal, so that the parent sees it, and without a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        raise


def program() -> int:
    """The console script: run ``main`` and exit without the finalization of the interpreter.

    Finalization takes longer than a call to the daemon. It is only skipped if nothing depends on
    it: a plugin or a coverage tool that does has loaded ``atexit`` or ``threading``.
    """
    status = main()
    if "atexit" in sys.modules or "threading" in sys.modules:
        return status
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):  # closed: let the interpreter report it
        return status
    os._exit(status)


def _run(argv: list[str]) -> int:
    # With standard output closed at start, discard the output.
    stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the end
    try:
        options = read_options(argv, os.environ)
        session = Session(options, stdout)
        if options.help:
            # Imported here because scripts do not need it.
            from trio_supervisor.cli.ctl.help import usage

            session.line(usage(argv[0]))
            return 0
        if options.version:
            # Imported here for the same reason.
            from trio_supervisor._version import __version__

            session.line(__version__)
            return 0
        if options.completion is not None or options.complete is not None:
            return _complete(session, argv[0])
        dispatcher = Dispatcher(session)
        if options.plugin_sections:
            # Imported here because hardly any configuration has plugins.
            from trio_supervisor.cli.ctl.plugins import load_plugins

            load_plugins(dispatcher)
    except OptionError as error:
        sys.stderr.write(f"Error: {error}\nFor help, use {argv[0]} -h\n")
        return INVALID_ARGUMENTS
    try:
        status = _perform(options, dispatcher)
    finally:
        session.disconnect()
    failure = session.output.failure
    if failure is not None and not isinstance(failure, BrokenPipeError):
        sys.stderr.write(f"error: cannot write the output: {failure}\n")
        return GENERIC
    return status


def _complete(session: Session, program: str) -> int:
    """Print a completion script, or the candidates that it asks for. Raises OptionError."""
    # Imported here because actions do not need it.
    from trio_supervisor.cli.ctl import completion as ctl_completion

    options = session.options
    if options.completion is not None:
        session.output.text(ctl_completion.script(options.completion))
    else:
        for word in ctl_completion.candidates(program, options.complete or [], os.environ):
            session.line(word)
    return 0


def _perform(options: ClientOptions, dispatcher: Dispatcher) -> int:
    if options.line is None:
        # Imported here because scripts do not open the shell.
        from trio_supervisor.cli.ctl.shell import run_shell

        run_shell(dispatcher)
        return 0  # whatever its actions returned
    dispatcher.run(options.line)
    return dispatcher.session.exit_status
