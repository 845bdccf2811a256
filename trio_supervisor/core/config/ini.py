"""Parses the INI dialect of ``supervisord.conf``, and keeps the place of everything.

Equal to ``configparser.RawConfigParser(strict=False, inline_comment_prefixes=(";", "#"))``, which
keeps no positions; a test compares the two.
"""

from __future__ import annotations

import enum
import re
import sys
from dataclasses import field

from trio_supervisor.core.config.options import ROWS, SECRETS
from trio_supervisor.core.config.secrets import MASK
from trio_supervisor.core.config.shell_syntax import open_quote
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.diagnostics import Diagnostic, Place, Severity
from trio_supervisor.core.errors import ConfigError

COMMENT_MARKS = (";", "#")
#: Section whose keys are fall-back values of every section.
DEFAULT = "DEFAULT"
#: Characters of a line, and such lines, that one message shows.
LONGEST_SHOWN = 100
MOST_SHOWN = 20

_LINE_END = re.compile(r"\r\n|\r|\n")
_HEADER = re.compile(r"\[(.+)\]")
#: What begins a line that is probably not meant to continue the value above.
SECTION_KINDS = frozenset({*ROWS, "ctlplugin"})
OPTION_NAMES = frozenset(
    name for rows in ROWS.values() for name, option in rows.items() if not option.extended
)
_KEY = re.compile(r"(.*?)\s*[=:]\s*(.*)\Z", re.DOTALL)


class Grammar(enum.Enum):
    """How names are written in a value."""

    PERCENT = "%(name)s"
    DOLLAR = "${name}"


@dataclass(slots=True)
class Entry:
    """The value of one key and where it stands."""

    value: str
    file: str
    line: int
    here: str
    """Directory of the file: the meaning of ``%(here)s`` in this value."""
    grammar: Grammar = Grammar.PERCENT
    table: dict[str, str] | None = None
    """An ``environment`` that was written as a table; ``value`` is empty then."""
    words: list[str] | None = None
    """A ``command`` that was written as a list of words; ``value`` is empty then."""
    is_default: bool = False
    """Whether it was written for all programs, in ``[program-default]``."""


@dataclass(slots=True)
class Section:
    """Keys of one section. ``file`` and ``line`` are those of its first header."""

    name: str
    file: str
    line: int
    entries: dict[str, Entry] = field(default_factory=dict)


@dataclass(slots=True)
class Document:
    """All sections, in order of their first appearance, of one file or of several."""

    file: str | None = None
    """The main file; None for text that comes from none."""
    sections: dict[str, Section] = field(default_factory=dict)
    remarks: list[Diagnostic] = field(default_factory=list)
    """Layout that is probably a mistake."""
    errors: list[ConfigError] = field(default_factory=list)
    """Parse errors. The rest of the file has been read all the same."""
    extended: bool = False
    """Whether its INI files may use extended options and forms of values (see ``extended.py``)."""
    not_inherited: frozenset[str] = frozenset()
    """Options that sections do not take from ``[DEFAULT]``."""

    def entry(self, section: Section, key: str) -> Entry | None:
        """The key's own value in the section, else that of ``[DEFAULT]``."""
        own = section.entries.get(key)
        if own is not None:
            return own
        default = self.sections.get(DEFAULT)
        if default is None or key in self.not_inherited:
            return None
        return default.entries.get(key)

    def keys(self, section: Section) -> frozenset[str]:
        """The keys for which ``entry`` finds something."""
        default = self.sections.get(DEFAULT)
        if default is None:
            return frozenset(section.entries)
        return frozenset(section.entries) | (default.entries.keys() - self.not_inherited)


def read(text: str, *, file: str, here: str, into: Document) -> None:
    """Add a file to a document; later values replace earlier ones. Raises nothing."""
    _IniReader(file, here, into).read(text.removeprefix("\ufeff"))


class _IniReader:
    def __init__(self, file: str, here: str, document: Document) -> None:
        self._file = file
        self._here = here
        self._document = document
        self._section: Section | None = None
        self._key: str | None = None
        self._value: list[str] = []
        self._quote = ""  # that the value so far has left open
        self._cut_value = 0  # line where the last value began that a comment cuts inside quotes
        self._entry_line = 0
        self._indent = 0
        self._bad: list[tuple[int, str]] = []
        self._headless = False

    def read(self, text: str) -> None:
        for number, line in enumerate(_LINE_END.split(text), 1):
            self._line(number, line)
        self._end_value()
        if self._bad:
            lines = "; ".join(f"line {n}: {_shown(line)}" for n, line in self._bad[:MOST_SHOWN])
            if len(self._bad) > MOST_SHOWN:
                lines += f"; and {len(self._bad) - MOST_SHOWN} more"
            self._error(
                f"File contains parsing errors: {lines}",
                self._bad[0][0],
                "every line is a [section], a key=value, or deeper indented than its key",
            )

    def _line(self, number: int, line: str) -> None:
        cut = _comment_start(line)
        text = line[:cut].strip()
        if cut is not None:
            self._comment(number, line, cut)
        if not text:
            if cut is None and self._key is not None:
                self._value.append("")
            return
        indent = len(line) - len(line.lstrip())
        if self._key is not None and indent > self._indent:
            if self._is_like_a_line(text):
                hint = "write it without indentation if it is a line of its own"
                shown = _shown(text) if self._key not in SECRETS else "this line"
                self._remark(number, f"{shown} is part of the value of {self._key!r}", hint)
            self._value.append(text)
            self._quote = open_quote(text, self._quote)
            return
        self._indent = indent
        header = _HEADER.match(text)
        if header is not None:
            self._begin_section(header[1], number)
            if text[header.end() :]:
                shown = _shown(text[header.end() :])
                hint = "put it on a line of its own, or after a ;"
                self._remark(number, f"text after the section header: {shown}", hint)
        elif text.startswith("[") and text != "[]":
            self._error(
                f"malformed section header {_shown(text)}",
                number,
                "the closing ] is missing, or a comment swallowed it",
            )
            # The keys that follow do not belong to the section before.
            self._end_value()
            self._section = Section(text, self._file, number)
        elif self._section is not None:
            self._begin_key(text, number, line)
        elif not self._headless:
            self._headless = True  # one such line tells all
            self._error(
                f"File contains no section headers: {_shown(line)}",
                number,
                "begin with the header of a section: [supervisord]",
            )

    def _comment(self, number: int, line: str, cut: int) -> None:
        """Warn of a comment inside quotes, which may have begun on an earlier line of the value."""
        if cut == 0 and line.lstrip()[0] != ";":
            return  # a whole line behind # is meant as a comment everywhere, also by a shell
        if self._key is not None and len(line) - len(line.lstrip()) > self._indent:
            began, quote = self._entry_line, open_quote(line[:cut], self._quote)
        else:
            began, quote = number, open_quote(_KEY.sub(r"\2", line[:cut].strip(), count=1))
        if quote and began != self._cut_value:
            self._cut_value = began
            hint = "quotes do not protect ; and #, a blank before them makes a comment"
            self._remark(number, "a comment ends this line inside quotes", hint)

    def _is_like_a_line(self, text: str) -> bool:
        """Whether a further line of a value was probably meant as a line of its own."""
        header = _HEADER.fullmatch(text)
        if header is not None:
            return header[1].partition(":")[0].strip() in SECTION_KINDS
        key = _KEY.match(text)
        if key is None or key[1] not in OPTION_NAMES:
            return False
        # A list of variables, as people write it in several lines, may have any names.
        before = next((line for line in reversed(self._value) if line), ",")
        return self._key != "environment" or not before.endswith(",")

    def _begin_section(self, name: str, number: int) -> None:
        self._end_value()
        sections = self._document.sections
        first = sections.get(name)
        self._section = sections.setdefault(name, Section(name, self._file, number))
        if first is not None:
            where = f"{first.file}, line {first.line}"
            text = f"section [{name}] began in {where}: both are one section"
            self._remark(number, text, "merge them, or rename one")
        if name.strip(" ") != name or ": " in name:
            text = f"blanks inside the brackets belong to the name {name!r}"
            self._remark(number, text, "leave them out")

    def _begin_key(self, text: str, number: int, line: str) -> None:
        match = _KEY.match(text)
        if match is None or not match[1]:
            # It may be the rest of the value above, which lacks its indentation.
            hidden = self._key in SECRETS or text.split()[0].lower() in SECRETS
            self._bad.append((number, MASK if hidden else line))
            return
        self._end_value()
        self._key = sys.intern(match[1].lower())  # all sections have the same few
        assert self._section is not None
        earlier = self._section.entries.get(self._key)
        if earlier is not None:
            where = f"{earlier.file}, line {earlier.line}"
            text = f"{self._key!r} replaces the value given in {where}"
            self._remark(number, text, "leave one of the two out")
        self._value = [match[2]]
        self._quote = open_quote(match[2])
        self._entry_line = number

    def _error(self, text: str, number: int, hint: str) -> None:
        error = ConfigError(text, file=self._file, line=number, hint=hint)
        self._document.errors.append(error)

    def _remark(self, number: int, text: str, hint: str | None = None) -> None:
        section = None if self._section is None else self._section.name
        place = Place(self._file, number, section, self._key)
        self._document.remarks.append(Diagnostic(Severity.WARN, text, place, hint))

    def _end_value(self) -> None:
        if self._key is not None and self._section is not None:
            while len(self._value) > 1 and not self._value[-1]:
                self._value.pop()
            value = "\n".join(self._value)
            self._section.entries[self._key] = Entry(
                value, self._file, self._entry_line, self._here
            )
        self._key = None


def _shown(line: str) -> str:
    return repr(line if len(line) <= LONGEST_SHOWN else f"{line[:LONGEST_SHOWN]}...")


def without_comment(line: str) -> str:
    """The line up to an inline comment."""
    return line[: _comment_start(line)].rstrip()


def _comment_start(line: str) -> int | None:
    """Offset of the comment, or None. Quotes do not protect comment marks."""
    if ";" not in line and "#" not in line:  # most lines
        return None
    if line.strip().startswith(COMMENT_MARKS):
        return 0
    positions = dict.fromkeys(COMMENT_MARKS, -1)
    while positions:
        positions = {
            mark: found
            for mark, before in positions.items()
            if (found := line.find(mark, before + 1)) >= 0
        }
        starts = [at for at in positions.values() if at == 0 or line[at - 1].isspace()]
        if starts:
            return min(starts)
    return None
