"""Escaping of characters that are unsafe in a terminal, a page or a log.

Imports only re, because the command-line client imports this module.
"""

from __future__ import annotations

import re

#: Format characters that reorder text (bidirectional controls of Unicode, UAX 9), or that break a
#: line only in some programs.
REORDERING = "\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"
#: For character classes: C0 without tabulator and line feed, DEL, C1 (which some terminals take
#: for C0 with an escape), and REORDERING.
UNSAFE = "\x00-\x08\x0b-\x1f\x7f-\x9f" + REORDERING

_UNSAFE = re.compile(f"[{UNSAFE}]")


def escaped(text: str) -> str:
    """Write unsafe characters as Python escapes: ``\\x1b``, ``\\u202e``.

    Line feeds and tabulators are kept.
    """
    return _UNSAFE.sub(_escape, text) if _UNSAFE.search(text) else text


def _escape(character: re.Match[str]) -> str:
    code = ord(character[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
