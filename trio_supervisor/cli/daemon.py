"""``tsupervisord``: from the command line to a running daemon, and back to the exit code.

Actions other than running the daemon import their modules themselves. A daemon runs for months, and
would keep these modules in memory all the time without ever using them.
"""

from __future__ import annotations

import gc
import os
import sys
from functools import partial
from typing import TYPE_CHECKING

import trio

from trio_supervisor._version import __version__
from trio_supervisor.cli.daemon_options import DaemonOptions, UsageError, parse, usage
from trio_supervisor.cli.daemon_run import Service
from trio_supervisor.cli.detach import detach
from trio_supervisor.cli.late_modules import keep_late_modules
from trio_supervisor.cli.privileges import (
    drop_privileges,
    open_standard_descriptors,
    raise_limits,
    reset_signals,
)
from trio_supervisor.core.config.passwords import SALT_BYTES, hash_password
from trio_supervisor.core.errors import InternalError, SupervisorError
from trio_supervisor.core.escape import escaped
from trio_supervisor.runtime.load import load_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.cli.service_manager import ServiceManager
    from trio_supervisor.core.config.model import DaemonConfig
    from trio_supervisor.core.diagnostics import Diagnostic
    from trio_supervisor.runtime.cgroups.subtree import Subtree

#: Errors at start: usage, configuration, privileges, limits, log, servers.
EXIT_ERROR = 2
#: An internal error of the daemon.
EXIT_INTERNAL = 1


#: In the environment of a program that is to go on with the state of an earlier one: the descriptor
#: of the state.
HANDOVER = "TSUPERVISORD_HANDOVER"

#: Word of ``--profile_options`` that shows the callers; the others are sort keys.
CALLERS = "callers"
SORT_WORDS = ("cumulative", "calls", "time")


class NoPassword(SupervisorError):
    """No usable password was given."""


def main(argv: list[str] | None = None) -> None:
    """Run ``tsupervisord`` and exit with its code."""
    program = sys.argv[0]
    try:
        options = parse(sys.argv[1:] if argv is None else argv)
        sys.exit(_ACTIONS[options.action](options, program))
    except BrokenPipeError:  # the reader of the output has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except InternalError as error:
        print(escaped(f"Error: {error}"), file=sys.stderr)
        sys.exit(EXIT_INTERNAL)
    except SupervisorError as error:
        print(escaped(f"Error: {error}"), file=sys.stderr)
        print(f"For help, use {program} -h", file=sys.stderr)
        sys.exit(EXIT_ERROR)


def _run(options: DaemonOptions, program: str) -> int:
    """Run the daemon: read the configuration, detach, drop privileges, start.

    Forking comes before all that must happen in the process of the daemon.
    """
    keep_late_modules()
    sys.path_importer_cache.clear()  # the names of all files next to the modules
    if (state := os.environ.pop(HANDOVER, None)) is not None:
        from trio_supervisor.cli.upgrade.resume import resume

        return resume(state, options, program)
    gc.disable()  # little is garbage while everything is made; ``Service`` enables it
    open_standard_descriptors()
    reset_signals()
    load = partial(
        load_config,
        options.configuration,
        overrides=options.overrides,
        program=program,
        origin=os.getcwd(),
    )
    config = load()
    manager = _service_manager()
    ready = None if config.daemon.nodaemon else detach()
    cgroups, found = _cgroups(config.daemon)
    dropped = drop_privileges(config.daemon.uid, journal=config.daemon.journal is not None)
    messages = [*dropped, *raise_limits(config.daemon), *found]
    service = Service(
        config,
        load=load,
        messages=messages,
        ready=ready,
        manager=manager,
        cgroups=cgroups,
        origin=os.getcwd(),
    )
    run = partial(_run_service, service)
    return run() if options.profile is None else _profiled(run, options.profile)


def _run_service(service: Service) -> int:
    try:
        return trio.run(service.run)
    except OSError as error:  # a sandbox refuses what trio needs, such as socketpair(2)
        raise SupervisorError(f"Cannot start the event loop: {error.strerror}") from error


def _cgroups(daemon: DaemonConfig) -> tuple[Subtree | None, list[Diagnostic]]:
    """Return where programs get cgroups, and messages for the activity log.

    Called while the daemon is still root, if it is: it moves itself and gives them to its user.
    """
    if daemon.cgroup == "off":
        return None, []
    from trio_supervisor.runtime.cgroups.subtree import open_subtree

    return open_subtree(daemon.cgroup, daemon.uid)


def _service_manager() -> ServiceManager | None:
    """Return the connection to the service manager that has started this process, if any.

    Called before detaching: the watchdog is meant for the process that was started.
    """
    if "NOTIFY_SOCKET" not in os.environ:
        return None
    from trio_supervisor.cli.service_manager import ServiceManager
    from trio_supervisor.core.notify import notify_settings

    settings = notify_settings(os.environ, os.getpid())
    return None if settings is None else ServiceManager(settings, os.environ)


def _profiled(run: Callable[[], int], words: str) -> int:
    """Run under the profiler, print the profile, and return the result.

    ``words`` are separated by commas: sort keys of ``pstats``, and ``callers``. Raises UsageError.
    """
    import cProfile
    import pstats

    chosen = [word.strip() for word in words.split(",") if word.strip()]
    order = [word for word in chosen if word != CALLERS]
    for word in order:
        if word not in pstats.Stats.sort_arg_dict_default:
            raise UsageError(f"invalid value for --profile_options {word!r}: use words of pstats")
    profile = cProfile.Profile()
    result = profile.runcall(run)
    stats = pstats.Stats(profile).strip_dirs().sort_stats(*(order or SORT_WORDS))
    if CALLERS in chosen:
        stats.print_callers()
    else:
        stats.print_stats()
    return result


def _check(options: DaemonOptions, program: str) -> int:
    from trio_supervisor.cli.check.check import check

    given = options.configuration, options.overrides, options.format, program
    return check(*given, verbose=options.verbose)


def _convert(options: DaemonOptions, program: str) -> int:
    from trio_supervisor.cli.convert import convert

    return convert(options.configuration, program, keep_includes=options.keep_includes)


def _export(options: DaemonOptions, program: str) -> int:
    if options.format == "systemd":
        from trio_supervisor.cli.service_files import export_units

        return export_units(options.configuration, options.overrides, program)
    if options.format == "compose":
        from trio_supervisor.cli.service_files import export_services

        return export_services(options.configuration, options.overrides, program)
    from trio_supervisor.cli.export import export

    return export(options.configuration, options.overrides, options.format, program)


def _print_unit(options: DaemonOptions, program: str) -> int:
    from trio_supervisor.cli.service_files import print_unit

    return print_unit(options.configuration, options.overrides, program)


def _demo(options: DaemonOptions, program: str) -> int:
    from trio_supervisor.cli.demo import run_demo

    return run_demo()


def _hash_password(options: DaemonOptions, program: str) -> int:
    """Ask for a password and print its form for ``password=``. Raises NoPassword.

    The password is read from the terminal without echo, or from a pipe; never from the command
    line, which every user of the machine can see.
    """
    password = _typed_password() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise NoPassword("the password is empty")
    print(hash_password(password, os.urandom(SALT_BYTES)))
    return 0


def _typed_password() -> str:
    import getpass

    try:
        password = getpass.getpass("Password: ")
        again = getpass.getpass("Again: ")
    except (EOFError, KeyboardInterrupt):
        raise NoPassword("no password was typed") from None
    if password != again:
        raise NoPassword("the two passwords differ")
    return password


def _upgrade_check(options: DaemonOptions, program: str) -> int:
    from trio_supervisor.cli.upgrade.check import upgrade_check

    return upgrade_check(options, program)


def _help(options: DaemonOptions, program: str) -> int:
    print(usage(program))
    return 0


def _version(options: DaemonOptions, program: str) -> int:
    print(__version__)
    return 0


_ACTIONS: dict[str, Callable[[DaemonOptions, str], int]] = {
    "run": _run,
    "check": _check,
    "convert": _convert,
    "demo": _demo,
    "export": _export,
    "hash-password": _hash_password,
    "help": _help,
    "print-unit": _print_unit,
    "upgrade-check": _upgrade_check,
    "version": _version,
}
