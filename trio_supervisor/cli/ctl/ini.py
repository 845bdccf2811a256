"""Reads some sections of an INI file without parsing all of it.

The file may describe hundreds of programs, and parsing it with the standard library would take
longer than a call to the daemon. A file with anything but the common forms is left to that parser,
so that the results are always the same.
"""

from __future__ import annotations

COMMENTS = ";#"
#: The section whose values apply to all others.
DEFAULT_SECTION = "DEFAULT"


def quick_sections(text: str, *prefixes: str) -> dict[str, dict[str, str]] | None:
    """Return the sections whose names start with one of ``prefixes``.

    The result is that of a RawConfigParser with ``strict=False`` and ``;`` and ``#`` for inline
    comments: options are in lower case, repeated sections are merged. None means that the file has
    something uncommon, perhaps a mistake: use that parser.
    """
    sections: dict[str, dict[str, str]] = {}
    wanted: dict[str, str] | None = None
    in_section = in_option = False
    for line in text.split("\n"):
        if not line or line.isspace() or line[0] in COMMENTS:
            continue
        if line[0].isspace():
            # A continuation line of a value, or a comment.
            if line.lstrip()[0] not in COMMENTS and (wanted is not None or not in_option):
                return None
        elif line[0] == "[":
            header = line.rstrip()
            if len(header) < 3 or header[-1] != "]" or _first(line, COMMENTS) >= 0:
                return None
            name = header[1:-1]
            if name == DEFAULT_SECTION:
                return None
            wanted = sections.setdefault(name, {}) if name.startswith(prefixes) else None
            in_section, in_option = True, False
        else:
            delimiter, comment = _first(line, "=:"), _first(line, COMMENTS)
            if not in_section or delimiter <= 0 or 0 <= comment < delimiter:
                return None
            in_option = True
            if wanted is not None:
                if comment >= 0:
                    if _first(line[comment + 1 :], COMMENTS) >= 0:
                        return None
                    if line[comment - 1].isspace():
                        line = line[:comment]
                wanted[line[:delimiter].rstrip().lower()] = line[delimiter + 1 :].strip()
    return sections


def _first(text: str, characters: str) -> int:
    """Return the index of the first of these two characters; -1 if there is none."""
    one, other = text.find(characters[0]), text.find(characters[1])
    return max(one, other) if one < 0 or other < 0 else min(one, other)
