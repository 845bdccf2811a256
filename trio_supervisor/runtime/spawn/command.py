"""Find the program that a command line names, as the shell would; nothing is run."""

from __future__ import annotations

import os
import re
import shlex
import stat
from typing import TYPE_CHECKING

from trio_supervisor.core.config.secrets import MASK, SHORTEST_SECRET
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.errors import NoFile, NotExecutable

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Where commands are searched when neither the process nor the supervisor has a PATH.
FALLBACK_PATH = "/bin:/usr/bin:/usr/local/bin"
#: What makes a command line more than words between blanks, which need no parser.
_QUOTED = re.compile(r"['\"\\]")
_WORD = re.compile(r"[^ \t\r\n]+")


@dataclass(frozen=True, slots=True)
class FoundCommand:
    """A command line and the program that it names."""

    argv: tuple[str, ...]
    """``argv[0]`` is the first word as written, not the path that was found."""
    executable: str


def find_command(
    text: str,
    *,
    directory: str | None,
    environment: Mapping[str, str],
    inherited: Mapping[str, str],
) -> FoundCommand:
    """Split ``text`` by POSIX shell word rules and find its program.

    ``directory`` is the process's working directory, ``environment`` its configured environment and
    ``inherited`` the supervisor's own. Raises NoFile or NotExecutable; their texts are
    shown as the spawn error.
    """
    try:
        words = shlex.split(text) if _QUOTED.search(text) else _WORD.findall(text)
    except ValueError as error:
        shown = text
        for value in environment.values():  # a quote in a secret may be the mistake
            if len(value) >= SHORTEST_SECRET:
                shown = shown.replace(value, MASK)
        raise NotExecutable(f"can't parse command {shown!r}: {error}") from None
    if not words or not words[0]:
        raise NotExecutable("command is empty")
    name = words[0]
    if "/" in name:
        # Relative to its own directory: the child is in there when it executes the program.
        path = os.path.join(directory, name) if directory is not None else name
    else:
        path = _search(name, environment.get("PATH", inherited.get("PATH", FALLBACK_PATH)))
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # ValueError: no file has such a name
        raise NoFile(f"can't find command {name!r}") from None
    if stat.S_ISDIR(found.st_mode):
        raise NotExecutable(f"command at {path!r} is a directory")
    if not found.st_mode & 0o111:
        raise NotExecutable(f"command at {path!r} is not executable")
    if not os.access(path, os.X_OK):
        raise NotExecutable(f"no permission to run command {path!r}")
    return FoundCommand(tuple(words), name if "/" in name else path)


def _search(name: str, search_path: str) -> str:
    """Return the first existing entry of that name, even if it cannot be executed."""
    for directory in search_path.split(os.pathsep):
        path = os.path.join(directory, name)
        if os.path.exists(path):
            return path
    raise NoFile(f"can't find command {name!r}")
