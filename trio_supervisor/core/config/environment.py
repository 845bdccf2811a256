"""``environment=``: KEY=value pairs.

The text is split like Supervisor 4.3.0 does. Where the result makes no sense, it is split into
POSIX shell words, as Supervisor's next release will do.
"""

from __future__ import annotations

import re
import shlex

#: Characters of unquoted words besides letters, digits and ``_``.
_WORD_CHARACTERS = "/.+-():"
_BLANK = r"[ \t\r\n]*"
_WORD = rf"[A-Za-z0-9_{re.escape(_WORD_CHARACTERS)}]+"
_VALUE = rf"(?:{_WORD}|\"[^\"'\\]*\"|'[^\"'\\]*')"
_PAIR = rf"{_BLANK}{_WORD}{_BLANK}={_BLANK}{_VALUE}{_BLANK}"
_PLAIN = re.compile(f"{_PAIR}(?:,{_PAIR})*")
NO_CLOSING_QUOTATION = "no closing quotation"
PAIRS = 'write KEY="value",KEY2="value2"'


def parse_environment(text: str) -> dict[str, str]:
    """The variables of a text.

    Raises ValueError naming the last variable that was complete, never a value, which may be
    secret.
    """
    try:
        return _pairs(_words(text, posix=False), strip_quotes=True)
    except ValueError:
        try:
            return _pairs(_words(text, posix=True), strip_quotes=False)
        except ValueError as error:
            open_quote = error.args[0] == NO_CLOSING_QUOTATION
            hint = (
                "close the quote, or put a value with a quote in it into the other kind of quotes"
            )
            raise ValueError(*error.args, hint if open_quote else PAIRS) from None


def is_plain(text: str) -> bool:
    """Whether the text has the usual form, in which nothing is odd or ambiguous.

    Most texts have it, and it is seen without splitting them.
    """
    return _PLAIN.fullmatch(text) is not None


def odd_separators(text: str) -> list[str]:
    """Separators of pairs that are no commas; Supervisor takes any word for one."""
    try:
        words = _words(text, posix=False)
        _pairs(words, strip_quotes=True)
    except ValueError:
        return []
    return [word for word in words[3::4] if word != ","]


def is_ambiguous(text: str) -> bool:
    """Whether Supervisor's next release reads other variables from this text."""
    try:
        today = _pairs(_words(text, posix=False), strip_quotes=True)
        return today != _pairs(_words(text, posix=True), strip_quotes=False)
    except ValueError:
        return False


def _words(text: str, *, posix: bool) -> list[str]:
    lexer = shlex.shlex(text, posix=posix)
    lexer.wordchars += _WORD_CHARACTERS
    try:
        return list(lexer)
    except ValueError as error:  # says "No closing quotation"
        raise ValueError(str(error).lower()) from None


def _pairs(words: list[str], *, strip_quotes: bool) -> dict[str, str]:
    """Runs of key, ``=``, value, separator. Like Supervisor it accepts any separator."""
    pairs: dict[str, str] = {}
    for start in range(0, len(words), 4):
        run = words[start : start + 3]
        if len(run) < 3 or run[1] != "=":
            after = f"after {last!r}" if (last := next(reversed(pairs), "")) else "at the beginning"
            raise ValueError(f"unexpected end of key/value pairs {after}")
        pairs[run[0]] = run[2].strip("'\"") if strip_quotes else run[2]
    return pairs
