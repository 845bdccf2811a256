"""Parses what follows the name of a command that has options."""

from __future__ import annotations

from trio_supervisor.cli.ctl.session import INVALID_ARGUMENTS, UsageMistake
from trio_supervisor.core.numbers import seconds

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    #: Each as the help shows it, and its explanation.
    OptionRows = tuple[tuple[str, str], ...]

#: All that follows is words, as a process may be called like an option.
END_OF_OPTIONS = "--"


class CommandOption:
    """An option of a command, written as the help shows it: ``-n, --lines N``."""

    __slots__ = ("key", "spelled", "spellings", "value")

    def __init__(self, spelled: str) -> None:
        self.spelled = spelled
        names, _, self.value = spelled.replace(", ", ",").partition(" ")
        """``value`` is the placeholder of the help; empty: the option takes no value."""
        self.spellings = tuple(names.split(","))
        self.key = self.spellings[-1].lstrip("-")
        """The long name, without dashes."""


class Arguments:
    """The words and options that follow a command."""

    __slots__ = ("options", "words")

    def __init__(self) -> None:
        self.words: list[str] = []
        self.options: dict[str, str] = {}
        """By long name without dashes. The last of repeated options counts."""

    def has(self, key: str) -> bool:
        return key in self.options

    def number(self, key: str, default: float, *, least: float = 0) -> float:
        """Return the value of an option that is a number. Raises UsageMistake."""
        text = self.options.get(key)
        if text is None:
            return default
        try:
            number = seconds(text)
        except ValueError:
            number = -1.0
        if number < least:
            raise mistake(f"--{key} takes a number from {least:g} up, not {text!r}")
        return number


def parse(name: str, rows: OptionRows, argument: str, *, strict: bool) -> Arguments:
    """Sort what follows the command ``name`` into words and options, which may stand anywhere
    before ``--``.

    Raises UsageMistake, if ``strict`` also for an unknown option; else that is a word.
    """
    arguments = Arguments()
    rest = _quoted_words(name, argument) if strict else argument.split()
    while rest:
        word = rest.pop(0)
        if word == END_OF_OPTIONS:
            arguments.words += rest
            break
        option, value = _option(rows, word)
        if option is None:
            # An action of Supervisor takes any word for a name.
            if word.startswith("-") and strict:
                raise mistake(f"{name} has no option {word}")
            arguments.words.append(word)
        else:
            if option.value and not value:
                if not rest:
                    raise mistake(f"{word} needs a value: {option.spelled}")
                value = rest.pop(0)
            arguments.options[option.key] = value
    return arguments


def _quoted_words(name: str, argument: str) -> list[str]:
    """Split as a shell does; commands of Supervisor know no quotes. Raises UsageMistake."""
    if not any(mark in argument for mark in "\"'\\"):
        return argument.split()  # the usual case, without loading the module
    import shlex

    try:
        return shlex.split(argument)
    except ValueError as error:
        raise mistake(f"{name}: {error}") from None


def has_options(rows: OptionRows, argument: str) -> bool:
    """Whether any of the words is one of the options."""
    before, _, _ = f" {argument} ".partition(f" {END_OF_OPTIONS} ")
    return any(_option(rows, word)[0] is not None for word in before.split())


def _option(rows: OptionRows, word: str) -> tuple[CommandOption | None, str]:
    """The option that a word is, and the value joined to it: ``--lines=5``, ``-n5``."""
    if word.startswith("--"):
        name, _, value = word.partition("=")
    else:
        name, value = word[:2], word[2:]
    options = (CommandOption(spelled) for spelled, _ in rows)
    option = next((option for option in options if name in option.spellings), None)
    if option is not None and value and not option.value:
        return None, ""
    return option, value


def mistake(text: str) -> UsageMistake:
    """Make the error for wrong arguments: shown with the command's help, exit status 2."""
    return UsageMistake(f"Error: {text}", INVALID_ARGUMENTS)
