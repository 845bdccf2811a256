"""The command line of ``tsupervisord`` (config.md 14.1): parsing and help."""

from __future__ import annotations

import getopt
import os
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trio_supervisor.core.errors import SupervisorError

if TYPE_CHECKING:
    from collections.abc import Mapping


class UsageError(SupervisorError):
    """The command line is wrong; the text names the option."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One option of the command line."""

    short: str
    """One letter, or empty."""
    long: str
    argument: str
    """What the help calls the argument; empty: takes none."""
    doc: str
    overrides: str = ""
    """The option of ``[supervisord]`` that a value given here beats; empty: none."""


FLAGS = (
    Flag("c", "configuration", "FILE", "configuration file; without it the usual places are tried"),
    Flag("n", "nodaemon", "", "stay in the foreground", "nodaemon"),
    Flag("s", "silent", "", "do not copy the log to standard output", "silent"),
    Flag("", "demo", "", "show the product alive: a few programs in a temporary directory"),
    Flag("", "check", "", "report all that is wrong or odd with the configuration; starts nothing"),
    Flag("", "format", "FORM", "of --check: text or json"),
    Flag("", "convert", "", "print an INI configuration as TOML"),
    Flag("", "keep-includes", "", "of --convert: keep [include], as one of TOML files"),
    Flag("", "export", "FORM", "print the configuration in effect, with origins: toml or json"),
    Flag("", "hash-password", "", "ask for a password and print it as password= may hold it"),
    Flag("h", "help", "", "show this text (also -?)"),
    Flag("v", "version", "", "show the version"),
    Flag("u", "user", "USER", "run as this user (name or uid)", "user"),
    Flag("m", "umask", "UMASK", "umask of the background daemon (default 022)", "umask"),
    Flag("d", "directory", "DIR", "directory the background daemon changes to", "directory"),
    Flag("l", "logfile", "FILE", "the daemon's own log", "logfile"),
    Flag("y", "logfile_maxbytes", "BYTES", "size at which it is rotated", "logfile_maxbytes"),
    Flag("z", "logfile_backups", "NUM", "rotated logs to keep", "logfile_backups"),
    Flag(
        "e", "loglevel", "LEVEL", "critical, error, warn, info, debug, trace, blather", "loglevel"
    ),
    Flag("j", "pidfile", "FILE", "where to write the daemon's pid", "pidfile"),
    Flag("i", "identifier", "NAME", "name of this daemon", "identifier"),
    Flag("q", "childlogdir", "DIR", "directory of automatic child logs", "childlogdir"),
    Flag("k", "nocleanup", "", "keep automatic child logs of earlier runs", "nocleanup"),
    Flag("a", "minfds", "NUM", "open files the daemon must be allowed", "minfds"),
    Flag("t", "strip_ansi", "", "remove ANSI escapes from child logs", "strip_ansi"),
    Flag("", "minprocs", "NUM", "processes the daemon must be allowed", "minprocs"),
    Flag("", "profile_options", "LIST", "profile the daemon: cumulative, calls, callers"),
)


#: Flags that ask for something else than running.
ACTIONS = ("demo", "check", "convert", "export", "hash-password")
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
    short = "?" + "".join(
        flag.short + (":" if flag.argument else "") for flag in FLAGS if flag.short
    )
    long = [flag.long + ("=" if flag.argument else "") for flag in FLAGS]
    try:
        given, rest = getopt.getopt(argv, short, long)
        if rest and any(f"--{action}" in dict(given) for action in OF_A_FILE):
            file, *rest = rest
            more, rest = getopt.getopt(rest, short, long)
            given += [("--configuration", file), *more]
    except getopt.GetoptError as error:
        raise UsageError(str(error)) from None
    if rest:
        raise UsageError(f"positional arguments are not supported: {' '.join(rest)}")
    by_spelling = {f"-{flag.short}": flag for flag in FLAGS if flag.short}
    by_spelling |= {f"--{flag.long}": flag for flag in FLAGS}
    by_spelling["-?"] = by_spelling["-h"]
    action = "run"
    seen: dict[str, str] = {}
    for spelling, value in given:
        flag = by_spelling[spelling]
        if flag.long in ("help", "version"):
            return DaemonOptions(action=flag.long)
        if flag.long in seen:
            raise UsageError(f"conflicting command line option {spelling!r}")
        seen[flag.long] = value if flag.argument else "true"
        if flag.long in ACTIONS:
            action = flag.long
    for option, legal in FORMS.items():
        if option in seen and seen[option] not in legal:
            shown = " or ".join(legal)
            raise UsageError(f"invalid value for --{option} {seen[option]!r}: use {shown}")
    return DaemonOptions(
        action=action,
        configuration=seen.get("configuration"),
        format=seen.get("export", seen.get("format", "text")),
        keep_includes="keep-includes" in seen,
        profile=seen.get("profile_options"),
        overrides={
            flag.overrides: seen[flag.long]
            for flag in FLAGS
            if flag.long in seen and flag.overrides
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
        lines += _folded(f"  {spellings + ' ' + flag.argument:<30} {flag.doc}", 33)
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


def _folded(line: str, indent: int) -> list[str]:
    """The line broken at blanks for the narrowest terminal in use."""
    return textwrap.wrap(
        line, 80, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
