"""Parses the flags of a command line by the rules of getopt, from a table of them.

Pure. It imports nothing, because ``tsupervisorctl`` must start fast.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    #: As it was written (``-c``), its row, its value; None: it takes no value.
    Given = tuple[str, "Flag", str | None]

#: Flags that hide all others.
QUESTIONS = ("help", "version")


class FlagError(Exception):
    """The command line is wrong; the text names the flag."""


class Flag:
    """One row of a table of flags."""

    __slots__ = ("abbreviated", "alias", "long", "short", "text", "value")

    def __init__(
        self,
        short: str,
        long: str,
        value: str,
        text: str,
        *,
        alias: str = "",
        abbreviated: bool = True,
    ) -> None:
        self.short = short
        """One letter; empty if there is none."""
        self.long = long
        self.value = value
        """The placeholder of the help; empty if the flag takes no value."""
        self.text = text
        self.alias = alias
        """Another long name; empty if there is none."""
        self.abbreviated = abbreviated
        """The long name may be shortened to a unique prefix."""

    @property
    def spelled(self) -> str:
        """The flag with its placeholder, as the help shows it."""
        short = f"-{self.short}, " if self.short else ""
        return f"{short}--{self.long}{' ' if self.value else ''}{self.value}"


def split_flags(table: tuple[Flag, ...], arguments: list[str]) -> tuple[list[Given], list[str]]:
    """Return the flags at the start of the arguments, and the words after them.

    The first word that is no flag ends them, and so does ``--``. Raises FlagError.
    """
    found: list[Given] = []
    rest = list(arguments)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        parse = _long if word.startswith("--") else _short
        for spelling, flag, value in parse(table, word):
            if flag.value and value is None:
                if not rest:
                    raise FlagError(f"option {spelling} requires argument")
                value = rest.pop(0)
            found.append((spelling, flag, value))
    return found, rest


def flag_values(
    found: Iterable[Given], check: Callable[[str, Flag, str], None] | None = None
) -> dict[str, str]:
    """Return the value of each flag by its long name; empty for a flag that takes none.

    Asking for help or for the version, whichever comes first, hides all other flags. ``check`` is
    called with the spelling, the flag and its value, and may raise. Raises FlagError.
    """
    values: dict[str, str] = {}
    for spelling, flag, value in found:
        if flag.long in QUESTIONS:
            return {flag.long: ""}
        if flag.long in values:
            raise FlagError(f"conflicting command line option '{spelling}'")
        if check is not None:
            check(spelling, flag, value or "")
        values[flag.long] = value or ""
    return values


def _long(table: tuple[Flag, ...], word: str) -> list[Given]:
    """Parse ``--serverurl=URL``. Raises FlagError."""
    name, glued, value = word[2:].partition("=")
    found = [flag for flag in table if name in (flag.long, flag.alias)] or [
        flag for flag in table if flag.abbreviated and flag.long.startswith(name)
    ]
    if not found:
        raise FlagError(f"option --{name} not recognized")
    if len(found) > 1:
        raise FlagError(f"option --{name} not a unique prefix")
    (flag,) = found
    if glued and not flag.value:
        raise FlagError(f"option --{flag.long} must not have an argument")
    return [(f"--{flag.long}", flag, value if glued else None)]


def _short(table: tuple[Flag, ...], word: str) -> list[Given]:
    """Parse ``-i``, ``-sURL``, ``-isURL``. Raises FlagError."""
    found: list[Given] = []
    for index, letter in enumerate(word[1:], 2):
        flag = next((f for f in table if f.short == ("h" if letter == "?" else letter)), None)
        if flag is None:
            raise FlagError(f"option -{letter} not recognized")
        if flag.value:
            found.append((f"-{letter}", flag, word[index:] or None))
            break
        found.append((f"-{letter}", flag, None))
    return found
