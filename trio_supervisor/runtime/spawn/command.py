"""Finds the program a command line names (process.md 2.1). Runs nothing."""

from __future__ import annotations

import os
import shlex
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trio_supervisor.core.config.secrets import MASK, SHORTEST_SECRET
from trio_supervisor.core.errors import NoFile, NotExecutable

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Where commands are searched when neither the process nor the supervisor has a PATH (P-029).
FALLBACK_PATH = "/bin:/usr/bin:/usr/local/bin"


@dataclass(frozen=True, slots=True)
class Command:
    """A command line that was found."""

    argv: tuple[str, ...]
    """``argv[0]`` is the first word as written, not the path that was found (P-036)."""
    executable: str


def find_command(
    text: str,
    *,
    directory: str | None,
    environment: Mapping[str, str],
    inherited: Mapping[str, str],
) -> Command:
    """Split ``text`` by POSIX shell word rules and find its program (P-024 to P-035).

    ``directory`` is the process's working directory, ``environment`` its configured environment and
    ``inherited`` the supervisor's own. Raises NoFile or NotExecutable with the text that operators
    know as the spawn error.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        shown = text
        for value in environment.values():  # one with a quote may be what is wrong, and a secret
            if len(value) >= SHORTEST_SECRET:
                shown = shown.replace(value, MASK)
        raise NotExecutable(f"can't parse command {shown!r}: {error}") from None
    if not words or not words[0]:
        raise NotExecutable("command is empty")
    name = words[0]
    if "/" in name:
        # The child is already in its directory when it runs the program (P-028, Q-30).
        path = os.path.join(directory, name) if directory is not None else name
    else:
        path = _search(name, environment.get("PATH", inherited.get("PATH", FALLBACK_PATH)))
    try:
        found = os.stat(path)
    except OSError:
        raise NoFile(f"can't find command {name!r}") from None
    if stat.S_ISDIR(found.st_mode):
        raise NotExecutable(f"command at {path!r} is a directory")
    if not found.st_mode & 0o111:
        raise NotExecutable(f"command at {path!r} is not executable")
    if not os.access(path, os.X_OK):
        raise NotExecutable(f"no permission to run command {path!r}")
    return Command(tuple(words), name if "/" in name else path)


def _search(name: str, search_path: str) -> str:
    """The first existing entry of that name, even if it cannot be executed (P-030, Q-29)."""
    for directory in search_path.split(os.pathsep):
        path = os.path.join(directory, name)
        if os.path.exists(path):
            return path
    raise NoFile(f"can't find command {name!r}")
