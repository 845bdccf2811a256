"""The layout of a row in the help texts of the commands."""

from __future__ import annotations

import textwrap

#: Columns of the narrowest terminal in use.
WIDTH = 80


def help_row(term: str, room: int, text: str) -> list[str]:
    """Lay out a term in ``room`` columns with its explanation beside it, broken at blanks only."""
    return textwrap.wrap(
        f"  {term:<{room}} {text}",
        WIDTH,
        subsequent_indent=" " * (room + 3),
        break_long_words=False,
        break_on_hyphens=False,
    )
