"""Where a configuration is searched for when no path is given.

Imports next to nothing, because the command-line client imports this module.
"""

from __future__ import annotations

import posixpath

#: Searched in this order after the two places beside the invoked program.
SEARCHED = (
    "supervisord.conf",
    "etc/supervisord.conf",
    "/etc/supervisord.conf",
    "/etc/supervisor/supervisord.conf",
    # Names of our own come last: a file for Supervisor stays in use.
    "tsupervisord.toml",
    "etc/tsupervisord.toml",
    "/etc/tsupervisord.toml",
)
#: Relative to the directory above that of the invoked program.
BESIDE_PROGRAM = ("etc/supervisord.conf", "supervisord.conf")


def search_path(program: str | None) -> list[str]:
    """Paths in order; the first that exists is used.

    ``program`` is the invoked script (``sys.argv[0]``). The search beside it is purely lexical: its
    last two components are cut off. None leaves it out.
    """
    if program is None:
        return [*SEARCHED]
    prefix = posixpath.dirname(posixpath.dirname(program))
    return [*(posixpath.join(prefix, name) for name in BESIDE_PROGRAM), *SEARCHED]
