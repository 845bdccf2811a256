"""The command line of ``tsupervisord`` : parsing and help."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trio_supervisor.cli.flags import QUESTIONS, Flag, FlagError, flag_values, split_flags
from trio_supervisor.cli.help_row import help_row
from trio_supervisor.core.errors import SupervisorError

if TYPE_CHECKING:
    from collections.abc import Mapping


class UsageError(SupervisorError):
    """The command line is wrong; the text names the option."""


FLAGS = (
    Flag("c", "configuration", "FILE", "configuration file; without it the usual places are tried"),
    Flag("n", "nodaemon", "", "stay in the foreground"),
    Flag("s", "silent", "", "do not copy the log to standard output"),
    Flag("", "demo", "", "show the product alive: a few programs in a temporary directory"),
    Flag("", "check", "", "report all that is wrong or odd with the configuration; starts nothing"),
    Flag("", "format", "FORM", "of --check: text or json"),
    Flag("", "convert", "", "print an INI configuration as TOML"),
    Flag("", "keep-includes", "", "of --convert: keep [include], as one of TOML files"),
    Flag("", "export", "FORM", "print the configuration in effect, with origins: toml or json"),
    Flag("", "hash-password", "", "ask for a password and print it as password= may hold it"),
    Flag("h", "help", "", "show this text (also -?)"),
    Flag("v", "version", "", "show the version"),
    Flag("u", "user", "USER", "run as this user (name or uid)"),
    Flag("m", "umask", "UMASK", "umask of the background daemon (default 022)"),
    Flag("d", "directory", "DIR", "directory the background daemon changes to"),
    Flag("l", "logfile", "FILE", "the daemon's own log"),
    Flag("y", "logfile_maxbytes", "BYTES", "size at which it is rotated"),
    Flag("z", "logfile_backups", "NUM", "rotated logs to keep"),
    Flag("e", "loglevel", "LEVEL", "critical, error, warn, info, debug, trace, blather"),
    Flag("j", "pidfile", "FILE", "where to write the daemon's pid"),
    Flag("i", "identifier", "NAME", "name of this daemon"),
    Flag("q", "childlogdir", "DIR", "directory of automatic child logs"),
    Flag("k", "nocleanup", "", "keep automatic child logs of earlier runs"),
    Flag("a", "minfds", "NUM", "open files the daemon must be allowed"),
    Flag("t", "strip_ansi", "", "remove ANSI escapes from child logs"),
    Flag("", "minprocs", "NUM", "processes the daemon must be allowed"),
    Flag("", "profile_options", "LIST", "profile the daemon: cumulative, calls, callers"),
)
#: Flags that ask for something else than running.
ACTIONS = ("demo", "check", "convert", "export", "hash-password")
#: Flags about this run. Each other flag beats the option of ``[supervisord]`` with its name.
OF_THIS_RUN = frozenset(
    (*ACTIONS, *QUESTIONS, "configuration", "format", "keep-includes", "profile_options")
)
#: Those that look at a file, which may be named without ``-c``.
OF_A_FILE = ("check", "convert", "export")
FORMS = {"format": ("text", "json"), "export": ("toml", "json")}


@dataclass(frozen=True, slots=True)
class DaemonOptions:
    """What the command line asks for."""

    action: str = "run"
    """``run``, ``help``, ``version`` or one of ACTIONS."""
    configuration: str | None = None
    format: str = "text"
    """Of ``check`` and ``export``."""
    keep_includes: bool = False
    """Of ``convert``."""
    profile: str | None = None
    """How to show a profile of the run; None: no profile."""
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Option of ``[supervisord]`` to the text given for it; ``true`` for flags."""


def parse(argv: list[str]) -> DaemonOptions:
    """Parse by the rules of traditional getopt. Raises UsageError."""
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
            shown = " or ".join(legal)
            raise UsageError(f"invalid value for --{option} {given[option]!r}: use {shown}")
    actions = [name for name in given if name in ACTIONS]
    return DaemonOptions(
        action=actions[-1] if actions else "run",
        configuration=given.get("configuration"),
        format=given.get("export", given.get("format", "text")),
        keep_includes="keep-includes" in given,
        profile=given.get("profile_options"),
        overrides={
            flag.long: given[flag.long] if flag.value else "true"
            for flag in FLAGS
            if flag.long in given and flag.long not in OF_THIS_RUN
        },
    )


def usage(program: str) -> str:
    """The text of ``--help``."""
    lines = [
        f"usage: {os.path.basename(program)} [options]",
        f"       {os.path.basename(program)} --check | --convert | --export FORM [FILE]",
        "",
        "Starts the programs of a supervisord.conf, keeps them running and answers",
        "tsupervisorctl.",
        "",
        "options (a value given here beats the configuration file, also at every reload):",
    ]
    for flag in FLAGS:
        spellings = f"-{flag.short}, --{flag.long}" if flag.short else f"    --{flag.long}"
        lines += help_row(f"{spellings} {flag.value}", 30, flag.text)
    lines += [
        "",
        "examples:",
        "  tsupervisord --demo                      see it work, no configuration needed",
        "  tsupervisord --check -c supervisord.conf find mistakes before they happen",
        "  tsupervisord -n -c /etc/supervisord.conf run in the foreground",
        "  tsupervisord -c /etc/supervisord.conf    run in the background",
        "",
        "exit status: 0 after an orderly shutdown, 2 for every error at start, 1 for an",
        "internal error",
    ]
    return "\n".join(lines)
