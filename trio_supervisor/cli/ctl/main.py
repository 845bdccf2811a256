"""``tsupervisorctl``: look at and control the programs a running daemon looks after.

A run lasts a few calls, so what it imports decides how long it takes: see the module client.
"""

from __future__ import annotations

import os
import sys

from trio_supervisor.cli.ctl.dispatch import Dispatcher
from trio_supervisor.cli.ctl.options import OptionError, read_options
from trio_supervisor.cli.ctl.session import GENERIC, INVALID_ARGUMENTS, Session

TYPE_CHECKING = False  # typing's flag without importing typing, which is slow (technique 8)
if TYPE_CHECKING:
    from trio_supervisor.cli.ctl.options import ClientOptions


def main(argv: list[str] | None = None) -> int:
    """Run the command line (program name first) and return the exit status."""
    try:
        return _run(sys.argv if argv is None else argv)
    except KeyboardInterrupt:
        # Imported here because hardly any run is interrupted (technique 8).
        import signal

        # The parent must see that it was a signal, and people no traceback (D-10).
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        raise


def program() -> int:
    """The console script: ``main`` without taking the interpreter down piece by piece afterwards.

    That takes longer than a call of the daemon. Whoever has something to do at the end has loaded
    one of the modules that arrange for it: a plugin, or a tool that measures coverage.
    """
    status = main()
    if "atexit" in sys.modules or "threading" in sys.modules:
        return status
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):  # closed: the interpreter knows what to say
        return status
    os._exit(status)


def _run(argv: list[str]) -> int:
    # A closed standard output takes nothing and complains about nothing.
    stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the end
    try:
        options = read_options(argv, os.environ)
        session = Session(options, stdout)
        if options.help:
            # Imported here because scripts do not ask for help.
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
    """For shells: a script, or the words it asks for. Raises OptionError."""
    # Imported here because neither is an action.
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
        # Imported here because scripts never open the shell.
        from trio_supervisor.cli.ctl.shell import run_shell

        run_shell(dispatcher)
        return 0  # K-13
    dispatcher.run(options.line)
    return dispatcher.session.exit_status
