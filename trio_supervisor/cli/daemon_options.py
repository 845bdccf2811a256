"""The command line of ``tsupervisord``: its flags, their values and its help."""

from __future__ import annotations

import os
from dataclasses import field
from typing import TYPE_CHECKING

from trio_supervisor.cli.flags import QUESTIONS, Flag, FlagError, flag_values, split_flags
from trio_supervisor.cli.help_row import help_row
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.errors import SupervisorError

if TYPE_CHECKING:
    from collections.abc import Mapping


class UsageError(SupervisorError):
    """The command line is wrong; the text names the option."""


FLAGS = (
    Flag("c", "configuration", "FILE", "configuration file; without it the usual places are tried"),
    Flag("n", "nodaemon", "", "stay in the foreground"),
    Flag("s", "silent", "", "do not copy the log to standard output"),
    Flag("", "demo", "", "run a demonstration: a few programs in a temporary directory"),
    Flag("", "check", "", "report errors and warnings of the configuration, then exit"),
    Flag("", "format", "FORM", "with --check: text or json"),
    Flag("", "verbose", "", "with --check: also the order of starting", abbreviated=False),
    Flag("", "convert", "", "print an INI configuration, or a Procfile, as TOML"),
    Flag("", "keep-includes", "", "with --convert: keep [include], for TOML files"),
    Flag(
        "",
        "export",
        "FORM",
        "print the configuration in effect, with origins: toml or json; or its programs as "
        "units of systemd, or services of a compose file: systemd or compose",
    ),
    Flag(
        "",
        "print-unit",
        "",
        "print a unit of systemd for this daemon, configuration and machine",
        abbreviated=False,
    ),
    Flag(
        "",
        "upgrade-check",
        "",
        "used by a running daemon: tell whether this program can take its place",
        abbreviated=False,
    ),
    Flag("", "hash-password", "", "ask for a password and print the value for password="),
    Flag("h", "help", "", "show this text (also -?)"),
    Flag("v", "version", "", "show the version"),
    Flag("u", "user", "USER", "run as this user (name or uid)"),
    Flag("m", "umask", "UMASK", "umask of the background daemon (default 022)"),
    Flag("d", "directory", "DIR", "directory the background daemon changes to"),
    Flag("l", "logfile", "FILE", "the daemon's own log"),
    Flag("y", "logfile_maxbytes", "BYTES", "size at which the log is rotated"),
    Flag("z", "logfile_backups", "NUM", "number of rotated logs to keep"),
    Flag("e", "loglevel", "LEVEL", "critical, error, warn, info, debug, trace, blather"),
    Flag("j", "pidfile", "FILE", "where to write the daemon's pid"),
    Flag("i", "identifier", "NAME", "name of this daemon"),
    Flag("q", "childlogdir", "DIR", "directory of automatic child logs"),
    Flag("k", "nocleanup", "", "keep automatic child logs of earlier runs"),
    Flag("a", "minfds", "NUM", "required limit of open files"),
    Flag("t", "strip_ansi", "", "remove ANSI escapes from child logs"),
    Flag("", "minprocs", "NUM", "required limit of processes"),
    Flag("", "profile_options", "LIST", "profile the daemon: cumulative, calls, callers"),
)
#: Flags that request something other than running the daemon.
ACTIONS = ("demo", "check", "convert", "export", "hash-password", "print-unit", "upgrade-check")
#: Flags about this run. Each other flag overrides the option of ``[supervisord]`` with its name.
OF_THIS_RUN = frozenset(
    (*ACTIONS, *QUESTIONS, "configuration", "format", "keep-includes", "profile_options", "verbose")
)
#: Actions on a file, which may be named without ``-c``.
OF_A_FILE = ("check", "convert", "export", "print-unit")
FORMS = {"format": ("text", "json"), "export": ("toml", "json", "systemd", "compose")}


@dataclass(frozen=True, slots=True)
class DaemonOptions:
    """The parsed command line."""

    action: str = "run"
    """``run``, ``help``, ``version`` or one of ACTIONS."""
    configuration: str | None = None
    format: str = "text"
    """The format of the output of ``check`` and ``export``."""
    keep_includes: bool = False
    """For ``convert``: keep ``[include]``."""
    verbose: bool = False
    """For ``check``: show the order of starting."""
    profile: str | None = None
    """How to show a profile of the run; None means no profile."""
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Option of ``[supervisord]`` to its value; ``true`` for flags that take none."""


def parse(argv: list[str]) -> DaemonOptions:
    """Parse the arguments by the rules of getopt. Raises UsageError."""
    try:
        found, rest = split_flags(FLAGS, argv)
        if rest and any(flag.long in OF_A_FILE for _, flag, _ in found):
            file, *rest = rest
            more, rest = split_flags(FLAGS, [f"--configuration={file}", *rest])
            found += more
        if rest:
            raise UsageError(f"positional arguments are not supported: {' '.join(rest)}")
        given = flag_values(found)
    except FlagError as error:
        raise UsageError(str(error)) from None
    for question in QUESTIONS:
        if question in given:
            return DaemonOptions(action=question)
    for option, legal in FORMS.items():
        if option in given and given[option] not in legal:
            shown = f"{', '.join(legal[:-1])} or {legal[-1]}"
            raise UsageError(f"invalid value for --{option} {given[option]!r}: use {shown}")
    actions = [name for name in given if name in ACTIONS]
    return DaemonOptions(
        action=actions[-1] if actions else "run",
        configuration=given.get("configuration"),
        format=given.get("export", given.get("format", "text")),
        keep_includes="keep-includes" in given,
        verbose="verbose" in given,
        profile=given.get("profile_options"),
        overrides={
            flag.long: given[flag.long] if flag.value else "true"
            for flag in FLAGS
            if flag.long in given and flag.long not in OF_THIS_RUN
        },
    )


def usage(program: str) -> str:
    """Return the text of ``--help``."""
    lines = [
        f"usage: {os.path.basename(program)} [options]",
        f"       {os.path.basename(program)} --check | --convert | --export FORM [FILE]",
        f"       {os.path.basename(program)} --print-unit [FILE]",
        "",
        "Starts the programs of a supervisord.conf, keeps them running and answers",
        "tsupervisorctl.",
        "",
        "options (they override the configuration file, also when it is reloaded):",
    ]
    for flag in FLAGS:
        spellings = f"-{flag.short}, --{flag.long}" if flag.short else f"    --{flag.long}"
        lines += help_row(f"{spellings} {flag.value}", 30, flag.text)
    lines += [
        "",
        "examples:",
        "  tsupervisord --demo                      see it work, no configuration needed",
        "  tsupervisord --check -c supervisord.conf find errors before they cause harm",
        "  tsupervisord -n -c /etc/supervisord.conf run in the foreground",
        "  tsupervisord -c /etc/supervisord.conf    run in the background",
        "",
        "exit status: 0 after an orderly shutdown, 2 for every error at start, 1 for an",
        "internal error",
    ]
    return "\n".join(lines)
