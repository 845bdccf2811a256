"""The flags of the command line of ``tsupervisorctl``: their table, and how they are parsed."""

from __future__ import annotations

from trio_supervisor.core.numbers import seconds

DEFAULT_URL = "http://localhost:9001"


class OptionError(Exception):
    """The command line or the configuration is wrong; the text goes to people (exit 2)."""


class Flag:
    """One row. ``value`` is what the help calls the argument; empty: it takes none."""

    __slots__ = ("long", "short", "text", "value")

    def __init__(self, short: str, long: str, value: str, text: str) -> None:
        self.short = short
        """Empty for those that the reference does not have."""
        self.long = long
        self.value = value
        self.text = text

    @property
    def spelled(self) -> str:
        """As the help shows it."""
        short = f"-{self.short}, " if self.short else ""
        return f"{short}--{self.long}{' ' if self.value else ''}{self.value}"


FLAGS = (
    Flag("c", "configuration", "FILE", "configuration file; without it the usual places are tried"),
    Flag("s", "serverurl", "URL", f"where the daemon listens (default {DEFAULT_URL})"),
    Flag("u", "username", "NAME", "user name to log in with"),
    Flag("p", "password", "TEXT", "password to log in with"),
    Flag("r", "history_file", "FILE", "keep the lines typed in the shell here"),
    Flag("i", "interactive", "", "ask before shutdown and reload, and for a missing password"),
    Flag("", "timeout", "SECONDS", "give up when the daemon says nothing for so long (exit 124)"),
    Flag("", "raw", "", "show control characters of logs as they are, on a terminal too"),
    Flag("", "completion", "SHELL", "print a completion script for bash, zsh or fish, and end"),
    Flag("", "version", "", "show the version of this program"),
    Flag("h", "help", "", "show this text (also -?)"),
)
#: A spelling that the reference documents and refuses (D-13).
OTHER_SPELLINGS = {"history-file": "history_file"}

#: What completion scripts ask with, see ``completion.py``; people do not.
COMPLETE = "--complete"


def parse_flags(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Long name to value (empty for flags), and the words after the flags (ctl.md 1.1).

    The first word that is no flag ends them, as ``--`` does. Asking for help or for the version,
    whichever comes first, hides all else.
    Raises OptionError.
    """
    found: list[tuple[str, Flag, str]] = []
    rest = list(arguments)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        for spelling, flag, value in _long(word) if word.startswith("--") else _short(word):
            if flag.value and value is None:
                if not rest:
                    raise OptionError(f"option {spelling} requires argument")
                value = rest.pop(0)
            found.append((spelling, flag, value or ""))
    # What they say counts once all of them are found to be flags.
    given: dict[str, str] = {}
    for spelling, flag, value in found:
        if flag.long in ("help", "version"):
            return {flag.long: ""}, []
        if flag.long in given:
            raise OptionError(f"conflicting command line option '{spelling}'")
        _check(spelling, flag, value)
        given[flag.long] = value
    return given, rest


def _long(word: str) -> list[tuple[str, Flag, str | None]]:
    """``--serverurl=URL``, the name shortened to any unique prefix. Raises OptionError."""
    name, glued, value = word[2:].partition("=")
    name = OTHER_SPELLINGS.get(name, name)
    # Only names of the reference may be shortened: a further name must not make one ambiguous.
    found = [flag for flag in FLAGS if flag.long == name] or [
        flag for flag in FLAGS if flag.short and flag.long.startswith(name)
    ]
    if not found:
        raise OptionError(f"option --{name} not recognized")
    if len(found) > 1:
        raise OptionError(f"option --{name} not a unique prefix")
    (flag,) = found
    if glued and not flag.value:
        raise OptionError(f"option --{flag.long} must not have an argument")
    return [(f"--{flag.long}", flag, value if glued else None)]


def _short(word: str) -> list[tuple[str, Flag, str | None]]:
    """``-i``, ``-sURL``, ``-isURL``. Raises OptionError."""
    found: list[tuple[str, Flag, str | None]] = []
    for index, letter in enumerate(word[1:], 2):
        flag = next((f for f in FLAGS if f.short == ("h" if letter == "?" else letter)), None)
        if flag is None:
            raise OptionError(f"option -{letter} not recognized")
        if flag.value:
            found.append((f"-{letter}", flag, word[index:] or None))
            break
        found.append((f"-{letter}", flag, None))
    return found


def _check(spelling: str, flag: Flag, value: str) -> None:
    if flag.long == "serverurl" and not _is_url(value):
        raise OptionError(f"invalid value for {spelling} '{value}': value '{value}' is not a URL")
    if flag.long == "timeout" and not _is_seconds(value):
        raise OptionError(
            f"invalid value for {spelling} '{value}': write a number of seconds above 0"
        )


def _is_url(text: str) -> bool:
    """A scheme plus a host or a path; whether anybody speaks the scheme shows at the first call."""
    scheme, colon, rest = text.partition(":")
    place = rest.removeprefix("//").split("?")[0].split("#")[0]
    return bool(colon and scheme[:1].isalpha() and scheme.isascii() and place)


def _is_seconds(text: str) -> bool:
    try:
        return seconds(text) > 0
    except ValueError:
        return False
