"""What the daemon changes about its own process first: standard descriptors, signals, user and
limits."""

from __future__ import annotations

import os
import pwd
import resource
import signal

from trio_supervisor.core.config.model import DaemonConfig
from trio_supervisor.core.diagnostics import Diagnostic, Severity
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.core.xmlrpc import decode_call
from trio_supervisor.web.pages.assets import load_assets

STDERR = 2
#: Decoding it loads all that the first call to the daemon needs.
FIRST_CALL = b"<methodCall><methodName>x</methodName></methodCall>"


def open_standard_descriptors() -> None:
    """Give those of fds 0 to 2 that are closed the null device.

    Whatever we open next would be taken for our stdin, stdout or stderr otherwise.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(fd)


def reset_signals() -> None:
    """Unblock all signals, and wait for children as usual, whatever our starter has set.

    Where SIGCHLD is ignored the kernel reaps children, and nobody learns how they ended.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def drop_privileges(uid: int | None) -> list[Diagnostic]:
    """Become ``user=`` (P-323 to P-325); returns what the activity log is to say.

    Raises ConfigError if that is not possible.
    """
    if uid is None:
        if os.getuid() != 0:
            return []
        return [
            Diagnostic(
                Severity.CRITICAL,
                "Supervisor is running as root.  No user= is set in [supervisord], so privileges "
                "were kept; user=root there says that this is intended.",
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
    load_what_is_read_late()
    try:
        os.setgroups(os.getgrouplist(entry.pw_name, entry.pw_gid))
        os.setgid(entry.pw_gid)
        os.setuid(uid)
    except OSError as error:
        raise ConfigError(f"Can't drop privilege to user {entry.pw_name}: {error}") from error
    return [done]


def load_what_is_read_late() -> None:
    """Read the modules and files that only the first client needs: they may be out of reach for
    the user that the daemon becomes."""
    decode_call(FIRST_CALL)
    load_assets()


def raise_limits(config: DaemonConfig) -> list[Diagnostic]:
    """Raise the soft limits to ``minfds`` and ``minprocs`` (P-328 to P-331).

    Returns what the activity log is to say; raises ConfigError naming option, need and limit.
    """
    wanted = (
        ("minfds", "RLIMIT_NOFILE", resource.RLIMIT_NOFILE, config.minfds),
        ("minprocs", "RLIMIT_NPROC", resource.RLIMIT_NPROC, config.minprocs),
    )
    messages = []
    for option, name, number, minimum in wanted:
        soft, hard = resource.getrlimit(number)
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
