"""What a child is told about who it is: its group, and variables from other places than options."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import field

from trio_supervisor.core.dataclass import dataclass


class UserEnv(enum.Enum):
    """Which variables describe the user of a child to it."""

    NONE = "none"
    BASIC = "basic"
    """HOME, USER, LOGNAME and SHELL."""


@dataclass(frozen=True, slots=True)
class EnvironmentFile:
    """A file with variables, read at each spawn."""

    path: str
    """Absolute."""
    optional: bool = False
    """Whether it may be missing."""

    def __str__(self) -> str:
        """Return the value as a configuration file has it."""
        return f"-{self.path}" if self.optional else self.path


@dataclass(frozen=True, slots=True)
class Identity:
    """Group and additional variables of the children of one process."""

    gid: int | None = None
    """Group to run as; None: that of the user."""
    user_env: UserEnv = UserEnv.NONE
    environment_files: tuple[EnvironmentFile, ...] = ()
    own: Mapping[str, str] = field(default_factory=dict)
    """The variables of the program itself, which win over those of the files. Empty without files:
    the environment of the process has them too."""

    @property
    def adds_variables(self) -> bool:
        """Whether variables must be looked up at each spawn."""
        return self.user_env is not UserEnv.NONE or bool(self.environment_files)


#: The identity of all processes without such options, shared.
NO_IDENTITY = Identity()
