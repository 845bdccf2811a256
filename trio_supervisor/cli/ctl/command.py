"""What the commands are that the reference does not have: a row with options, parsed words.

The reference's own actions know no options (ctl.md 1.2); those this client adds to them are rows
too. Nothing here is imported by a run that uses neither.
"""

from __future__ import annotations

from trio_supervisor.cli.ctl.actions import described, resolved
from trio_supervisor.cli.ctl.session import INVALID_ARGUMENTS, UsageMistake
from trio_supervisor.core.numbers import seconds

TYPE_CHECKING = False  # typing's flag without importing typing, which is slow (technique 8)
if TYPE_CHECKING:
    from trio_supervisor.cli.ctl.session import Session


class Option:
    """An option of a command, written as the help shows it: ``-n, --lines N``."""

    __slots__ = ("key", "spelled", "spellings", "text", "value")

    def __init__(self, spelled: str, text: str) -> None:
        self.spelled = spelled
        self.text = text
        names, _, self.value = spelled.replace(", ", ",").partition(" ")
        """``value`` is what the help calls it; empty: the option takes none."""
        self.spellings = tuple(names.split(","))
        self.key = self.spellings[-1].lstrip("-")
        """Its long name, by which ``Arguments`` has it."""


class Arguments:
    """The words after a command, sorted out."""

    __slots__ = ("options", "words")

    def __init__(self) -> None:
        self.words: list[str] = []
        self.options: dict[str, str] = {}
        """By long name without dashes; of an option given twice the last counts."""

    def has(self, key: str) -> bool:
        return key in self.options

    def number(self, key: str, default: float, *, least: float = 0) -> float:
        """The value of an option that is a number. Raises UsageMistake."""
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


class Command:
    """One row; ``target`` is the ``module:function`` that is given the session and Arguments.

    ``completes`` is what its words are (see ``actions.py``); of options the names are completed.
    """

    __slots__ = ("completes", "forms", "lenient", "name", "options", "target")

    def __init__(
        self,
        name: str,
        target: str,
        *forms: tuple[str, str],
        options: tuple[Option, ...] = (),
        completes: str = "",
        lenient: bool = False,
    ) -> None:
        self.name = name
        self.target = target
        self.forms = forms
        self.options = options
        self.completes = completes
        self.lenient = lenient
        """Takes words that look like options for names."""

    @property
    def help(self) -> list[str]:
        """One line for each form, one for each option."""
        options = [(f"  {option.spelled}", option.text) for option in self.options]
        return described([*self.forms, *options])

    def perform(self, session: Session, argument: str) -> bool:
        """Never ends the shell. Raises UsageMistake, and what calls raise."""
        arguments = self.parse(argument)
        resolved(self.target)(session, arguments)
        return False

    def parse(self, argument: str) -> Arguments:
        """Options may stand anywhere among the words. Raises UsageMistake."""
        arguments = Arguments()
        rest = argument.split()
        while rest:
            word = rest.pop(0)
            option, value = self._option(word)
            if option is None:
                # An extended action has always taken any word for a name. To the others a process
                # whose name starts with a dash is group:name.
                if word.startswith("-") and not self.lenient:
                    raise mistake(f"{self.name} has no option {word}")
                arguments.words.append(word)
            else:
                if option.value and not value:
                    if not rest:
                        raise mistake(f"{word} needs a value: {option.spelled}")
                    value = rest.pop(0)
                arguments.options[option.key] = value
        return arguments

    def is_given_options(self, argument: str) -> bool:
        return any(self._option(word)[0] is not None for word in argument.split())

    def _option(self, word: str) -> tuple[Option | None, str]:
        """The option that a word is, and the value it holds itself: ``--lines=5``, ``-n5``."""
        if word.startswith("--"):
            name, _, value = word.partition("=")
        else:
            name, value = word[:2], word[2:]
        option = next((option for option in self.options if name in option.spellings), None)
        if option is not None and value and not option.value:
            return None, ""
        return option, value


def mistake(text: str) -> UsageMistake:
    """Wrong arguments: told with the command's help, exit status 2."""
    return UsageMistake(f"Error: {text}", INVALID_ARGUMENTS)
