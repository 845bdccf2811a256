"""What a configuration depends on besides its text, as a value: core asks nobody itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class EvalContext:
    """The machine and the user a configuration is read for."""

    environ: Mapping[str, str]
    """The daemon's environment when it started (config.md 5.4, ENV-start)."""
    cwd: str
    host_node_name: str
    tempdir: str
    user_id: Callable[[str], int]
    """uid of a login name or number; LookupError if there is none."""
    group_id: Callable[[str], int]
    """gid of a group name or number; LookupError if there is none."""
    is_dir: Callable[[str], bool]
    expand_user: Callable[[str], str]
    """Replaces a leading ``~``."""
