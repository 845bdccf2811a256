"""Finds shell syntax in ``command=``, which no shell interprets: it is split and executed."""

from __future__ import annotations

import posixpath
import re

#: A piece of a command line: quoted, an escaped character, blanks, or bare text.
_PIECE = re.compile(
    r"""(?P<single>'[^']*')|(?P<double>"(?:[^"\\]|\\.)*")|(?P<escaped>\\.)"""
    r"""|(?P<blank>\s+)|(?P<bare>[^\s"'\\]+)""",
    re.DOTALL,
)
#: The rest of a quoted text.
_QUOTE_END = {
    "'": re.compile(r"[^']*'"),
    '"': re.compile(r'(?:[^"\\]|\\.)*"', re.DOTALL),
}
#: Stands for quoted and escaped text in a bare word.
_QUOTED = "\0"
#: Words that a shell takes for operators.
_OPERATOR = re.compile(r"&&|\|\||\|&?|&|;")
_REDIRECTION = re.compile(r"(\d|&)?(>>?|<<?)(&\d|[^=<>]*)")
#: Names of this form are environment variables; others may mean something to the program itself.
VARIABLE = re.compile(r"\$(?:\{([A-Z_][A-Z0-9_]*)\}|([A-Z_][A-Z0-9_]*)(?![A-Za-z0-9_]))")
_SUBSTITUTION = re.compile(r"\$\([^)]*\)?|`[^`]*`")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_HOME = re.compile(r"~[\w-]*/|~$")

#: Shells, and programs that give a word to one or know expansions themselves.
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "fish", "busybox"})
_EXPANDING = _SHELLS | frozenset(
    {"su", "ssh", "runuser", "watch", "script", "parallel", "awk", "gawk", "mawk", "perl", "php"}
)
_SETTING = "set the variables with environment="
#: Commands that exist only inside of a shell, and what replaces them.
_BUILTINS = {
    "cd": "set directory=",
    "source": _SETTING,
    ".": _SETTING,
    "export": _SETTING,
    "set": "leave it out",
    "exec": "leave it out",
    "ulimit": "set the limit where the daemon is started",
    "umask": "set umask=",
    "alias": "write the command itself",
    "trap": "set stopsignal=",
}
IN_A_SHELL = "command=/bin/sh -c '...'"


def open_quote(text: str, within: str = "") -> str:
    """The quote that begins in the text, or before it, and does not end in it; empty if none.

    ``within`` is what the text before it has left open.
    """
    if not within and "'" not in text and '"' not in text:  # most texts
        return ""
    position = 0
    if within:
        end = _QUOTE_END[within].match(text)
        if end is None:
            return within
        position = end.end()
    while match := _PIECE.match(text, position):
        position = match.end()
    return text[position] if text[position : position + 1] in ("'", '"') else ""


def bare_words(command: str) -> list[str]:
    """The words, with a mark in place of what is quoted."""
    words = [""]
    for piece in _PIECE.finditer(command):
        if piece["blank"]:
            words.append("")
        else:
            words[-1] += piece["bare"] or _QUOTED
    return [word for word in words if word]


def no_program(command: str) -> tuple[str, str] | None:
    """Return why only a shell could run the first word, and how to fix it; or None."""
    return _no_program(bare_words(command))


def _no_program(words: list[str]) -> tuple[str, str] | None:
    if not words:
        return None
    first = words[0]
    if first in _BUILTINS:
        return f"{first} is a command of shells, there is no shell here", _either(_BUILTINS[first])
    if _ASSIGNMENT.match(first):
        name = first.partition("=")[0]
        text = f"{name}=... is taken as the program, there is no shell here"
        return text, "set the variable with environment=, or begin with /usr/bin/env"
    if _HOME.match(first):
        return "~ is no directory here, there is no shell", "write the whole path"
    variable = VARIABLE.match(first)
    if variable is not None:
        name = variable[1] or variable[2]
        return f"{variable[0]} is no directory here, there is no shell", f"write %(ENV_{name})s"
    return None


def shell_syntax(command: str, *, expansions: bool = True) -> tuple[str, str] | None:
    """Return what only a shell would understand in a command line, and how to fix it; or None.

    Without ``expansions`` dollar signs are not looked at: they belong to the file's own grammar.
    """
    words = bare_words(command)
    first = _no_program(words)
    if first is not None or open_quote(command):
        return first
    for number, word in enumerate(words, 1):
        found = _of_word(word, is_last=number == len(words))
        if found is not None:
            return found
    named = {posixpath.basename(word) for word in words}
    return None if named & _EXPANDING or not expansions else _expansion(command)


def _of_word(word: str, *, is_last: bool) -> tuple[str, str] | None:
    if word == "&" and is_last:
        return _given("&"), "leave it out: a program must stay in the foreground"
    redirection = _REDIRECTION.fullmatch(word)
    if redirection is not None:
        return _given(redirection[2]), _either("set stdout_logfile=, stderr_logfile=")
    operator = _OPERATOR.search(word)
    if operator is not None and _separates(operator[0], word, is_last=is_last):
        return _given(operator[0]), _either("make each command a program")
    if _HOME.match(word) or "=~/" in word:
        return _given("~"), "write the whole path"
    return None


def _separates(operator: str, word: str, *, is_last: bool) -> bool:
    """Whether it stands between commands; inside of a word it mostly is a part of a value."""
    if operator == "&&":
        return "://" not in word  # an address may have it
    return operator == word or (operator == word[-1] == ";" and not is_last)


def _given(what: str) -> str:
    return f"{what} is passed to the program unchanged, there is no shell here"


def _expansion(command: str) -> tuple[str, str] | None:
    for piece in _PIECE.finditer(command):
        text = piece["bare"] or piece["double"] or ""
        variable, substitution = VARIABLE.search(text), _SUBSTITUTION.search(text)
        if variable is not None:
            return _given(variable[0]), _either(f"write %(ENV_{variable[1] or variable[2]})s")
        if substitution is not None:
            return _given(substitution[0]), f"run a shell: {IN_A_SHELL}"
    return None


def _either(advice: str) -> str:
    return f"{advice}, or run a shell: {IN_A_SHELL}"
