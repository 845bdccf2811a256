"""What the daemon sets up in its own process before anything else: standard descriptors, signals,
user and limits."""

from __future__ import annotations

import importlib
import os
import pwd
import resource
import signal
from contextlib import suppress

from trio_supervisor.cli.postponed import load_all
from trio_supervisor.core.config.model import DaemonConfig
from trio_supervisor.core.diagnostics import Diagnostic, Severity
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.core.xmlrpc import decode_call
from trio_supervisor.web.pages.assets import load_assets

STDERR = 2
#: A call whose decoding loads every module that the first real call needs.
FIRST_CALL = b"<methodCall><methodName>x</methodName></methodCall>"
#: Modules of the interpreter that the daemon imports when it first needs them; its own are kept by
#: ``late_modules.py``.
LATE_MODULES = (
    *("ctypes", "datetime", "email.utils", "html", "importlib.resources", "json", "tomllib"),
    "encodings.idna",  # the interpreter imports it for the first host name, even for an address
)
#: What only a journal on disk needs.
JOURNAL_MODULES = ("sqlite3",)


def open_standard_descriptors() -> None:
    """Open the null device for those of fds 0 to 2 that are closed.

    Otherwise the next file or socket that is opened would become stdin, stdout or stderr.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(fd)


def keep_descriptors() -> bool:
    """Have an exec close all descriptors above fd 2; return whether that is certain.

    What Python opens, an exec closes anyway (PEP 446). This is for those that were inherited.
    """
    try:
        descriptors = os.listdir("/proc/self/fd")
    except OSError:
        return False
    for fd in map(int, descriptors):
        if fd > STDERR:
            with suppress(OSError):  # it was that of the directory
                os.set_inheritable(fd, False)
    return True


def reset_signals() -> None:
    """Unblock all signals and give SIGCHLD its default effect, whatever the parent has set.

    If SIGCHLD were ignored, the kernel would reap children and their exit status would be lost.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def drop_privileges(uid: int | None, *, journal: bool = False) -> list[Diagnostic]:
    """Become the user of ``[supervisord] user=`` and return messages for the activity log.

    ``journal`` tells whether a journal is kept on disk. Raises ConfigError if that is not possible.
    """
    if uid is None:
        if os.getuid() != 0:
            return []
        return [
            Diagnostic(
                Severity.CRITICAL,
                "Supervisor is running as root.  No user= is set in [supervisord], so it stays "
                "root; set user=root to confirm that this is intended.",
            )
        ]
    done = Diagnostic(Severity.INFO, f"Set uid to user {uid} succeeded")
    if os.getuid() == uid:
        return [done]
    if os.getuid() != 0:
        raise ConfigError("Can't drop privilege as nonroot user")
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise ConfigError(f"Can't find uid {uid}") from None
    load_what_is_read_late(journal=journal)
    try:
        os.setgroups(os.getgrouplist(entry.pw_name, entry.pw_gid))
        os.setgid(entry.pw_gid)
        os.setuid(uid)
    except OSError as error:
        raise ConfigError(f"Can't drop privilege to user {entry.pw_name}: {error}") from error
    return [done]


def load_what_is_read_late(*, journal: bool = False) -> None:
    """Load the modules and files that only the first client needs, because the user that the daemon
    becomes may be unable to read them.

    Those for a journal on disk, which take memory, are loaded only if there is one.
    """
    for module in (*LATE_MODULES, *(JOURNAL_MODULES if journal else ())):
        importlib.import_module(module)
    load_all()
    decode_call(FIRST_CALL)
    load_assets()


def raise_limits(config: DaemonConfig) -> list[Diagnostic]:
    """Raise the soft limits to ``minfds`` and ``minprocs``; return messages for the activity log.

    Raises ConfigError, which names the option, the number needed and the hard limit.
    """
    wanted = (
        ("minfds", "RLIMIT_NOFILE", resource.RLIMIT_NOFILE, config.minfds),
        ("minprocs", "RLIMIT_NPROC", resource.RLIMIT_NPROC, config.minprocs),
    )
    messages = []
    for option, name, number, minimum in wanted:
        try:
            soft, hard = resource.getrlimit(number)
        except OSError as error:  # a sandbox refuses it
            text = f"{option}={minimum} has no effect: getrlimit {name}: {error.strerror}"
            messages.append(Diagnostic(Severity.WARN, text))
            continue
        if soft == resource.RLIM_INFINITY or soft >= minimum:
            continue
        enough = hard == resource.RLIM_INFINITY or hard >= minimum
        try:
            resource.setrlimit(number, (minimum, hard if enough else minimum))
        except (OSError, ValueError, OverflowError):
            raise ConfigError(
                f"{option}={minimum} cannot be satisfied: the hard limit {name} of this process "
                f"is {hard}. Raise it for the user that starts the daemon, or lower {option}",
                section="supervisord",
                option=option,
            ) from None
        messages.append(Diagnostic(Severity.INFO, f"Increased {name} limit to {minimum}"))
    return messages
