"""``[supervisord] extended = true``: the gate of options that change what a program does.

Files written for Supervisor carry keys such as ``depends_on`` for other tools. In the INI form such
an option (``Option.extended``) is therefore read only if the main file asks for it; else it stays
the unknown key that it is to Supervisor. TOML files and Python programs are ours alone and need no
gate.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from trio_supervisor.core.config.ini import DEFAULT, Document, Entry, Grammar, Section
from trio_supervisor.core.config.lint import kind_of, remark_at
from trio_supervisor.core.config.options import ROWS, TABLES

if TYPE_CHECKING:
    from trio_supervisor.core.config.evaluate import SectionReader
    from trio_supervisor.core.diagnostics import Diagnostic

SWITCH = "extended"
#: Options behind the gate, of all section kinds.
GATED = frozenset(option.name for table in TABLES.values() for option in table if option.extended)


def is_extended(reader: SectionReader) -> bool:
    """Whether ``[supervisord]``, the reader's section, asks for the options behind the gate.

    The entry must be the main file's: an included file must not change how others are read. A wrong
    value, which is an error of its own, asks for nothing.
    """
    entry = reader.section.entries.get(SWITCH)
    if entry is None or _is_included(reader.document, entry):
        return False
    return reader.value(SWITCH) is True


def is_read(kind: str, key: str, entry: Entry, *, extended: bool) -> bool:
    """Whether the gate lets the entry of a section of this kind pass."""
    option = ROWS.get(kind, {}).get(key)
    gated = key in GATED if kind == DEFAULT else option is not None and option.extended
    return extended or not gated or entry.grammar is Grammar.DOLLAR


def without_unread(document: Document, *, extended: bool) -> Document:
    """The document without entries that the gate keeps out; each gets a remark.

    Keys of ``[DEFAULT]`` stay, for the plugins that get all of them; no option is read from them.
    """
    if extended:
        return replace(document, extended=True)
    sections: dict[str, Section] = {}
    remarks = [*document.remarks, *_remarks_on_switch(document)]
    for name, section in document.sections.items():
        kind = kind_of(name)
        unread = [
            key
            for key, entry in section.entries.items()
            if not is_read(kind, key, entry, extended=extended)
        ]
        remarks += [_remark(section, key) for key in unread]
        entries = {key: entry for key, entry in section.entries.items() if key not in unread}
        keeps_all = name == DEFAULT or not unread
        sections[name] = section if keeps_all else replace(section, entries=entries)
    return replace(document, sections=sections, remarks=remarks, not_inherited=GATED)


def _is_included(document: Document, entry: Entry) -> bool:
    return document.file not in (None, entry.file)


def _remarks_on_switch(document: Document) -> list[Diagnostic]:
    section = document.sections.get("supervisord")
    entry = None if section is None else section.entries.get(SWITCH)
    if section is None or entry is None or not _is_included(document, entry):
        return []
    text = f"{SWITCH} has no effect in an included file"
    return [remark_at(section, SWITCH, text, "write it into the main file")]


def _remark(section: Section, key: str) -> Diagnostic:
    text = f"{key} has no effect without extended = true in [supervisord] of the main file"
    hint = "write that line there, or keep the key for the program that reads it"
    return remark_at(section, key, text, hint)
