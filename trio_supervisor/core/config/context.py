"""What a configuration depends on besides its text, as a value: core makes no system calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class EvalContext:
    """The machine and the user that a configuration is evaluated for."""

    environ: Mapping[str, str]
    """The daemon's environment when it started."""
    cwd: str
    host_node_name: str
    tempdir: Callable[[], str]
    """Returns the directory of automatic logs where none is configured."""
    user_id: Callable[[str], int]
    """uid of a login name or number; raises LookupError if there is none."""
    group_id: Callable[[str], int]
    """gid of a group name or number; raises LookupError if there is none."""
    is_dir: Callable[[str], bool]
    expand_user: Callable[[str], str]
    """Replaces a leading ``~``."""
