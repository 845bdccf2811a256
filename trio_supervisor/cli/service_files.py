"""Files for other service managers, on standard output.

``--print-unit`` prints the unit of this daemon; ``--export systemd`` and ``--export compose`` print
the programs as units or as services of containers, for users who leave.
"""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from trio_supervisor._version import __version__
from trio_supervisor.core.config.build import as_read, build
from trio_supervisor.core.config.model import GroupKind
from trio_supervisor.core.config.program_default import with_defaults
from trio_supervisor.core.export.compose import compose_file
from trio_supervisor.core.export.daemon_unit import Installation, daemon_unit
from trio_supervisor.core.export.exported import exported_groups
from trio_supervisor.core.export.program_units import program_units
from trio_supervisor.runtime.load import eval_context, find_config, read_document

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_supervisor.core.config.ini import Document
    from trio_supervisor.core.config.model import Config
    from trio_supervisor.core.export.exported import Exported

#: Directory of the system's own units.
UNITS = "/etc/systemd/system"


def print_unit(configuration: str | None, overrides: Mapping[str, str], program: str) -> int:
    """Print the unit of a daemon with this configuration. Raises ConfigError.

    An ordinary user gets a unit for the service manager of users (``systemctl --user``).
    """
    path, _, config = _load(configuration, overrides, program)
    uid = config.daemon.uid
    installation = Installation(
        command=_command(program),
        configuration=path,
        version=__version__,
        user=None if uid in (None, 0) else _user_name(uid or 0),
        per_user=os.getuid() != 0,
    )
    print(daemon_unit(config, installation), end="")
    return 0


def export_units(configuration: str | None, overrides: Mapping[str, str], program: str) -> int:
    """Print the units of all programs, each after a comment with its path. Raises ConfigError.

    They contain the values of ``environment=``.
    """
    units = [
        unit
        for group in _exported(configuration, overrides, program, "systemd")
        for unit in program_units(group)
    ]
    print("\n".join(f"# {UNITS}/{name}\n{text}" for name, text in units), end="")
    return 0


def export_services(configuration: str | None, overrides: Mapping[str, str], program: str) -> int:
    """Print a compose file with a service for each process. Raises ConfigError.

    It contains the values of ``environment=``.
    """
    groups = _exported(configuration, overrides, program, "compose")
    print(compose_file(exported for group in groups for exported in group), end="")
    return 0


def _exported(
    configuration: str | None, overrides: Mapping[str, str], program: str, form: str
) -> list[list[Exported]]:
    """Return the processes of each group, and report listener pools. Raises ConfigError."""
    _, document, config = _load(configuration, overrides, program)
    _name_pools(config, form)
    written = {section.name: tuple(section.entries) for section in document.sections.values()}
    return exported_groups(config, written, _user_names())


def _name_pools(config: Config, form: str) -> None:
    """Report the groups that have no counterpart, on standard error."""
    for group in config.groups:
        if group.kind is GroupKind.POOL:
            print(f"not exported, {form} has no event listeners: {group.name}", file=sys.stderr)


def _user_names() -> dict[int, str]:
    return {entry.pw_uid: entry.pw_name for entry in pwd.getpwall()}


def _load(
    configuration: str | None, overrides: Mapping[str, str], program: str
) -> tuple[str, Document, Config]:
    """Return the absolute path of the file, its document and its meaning. Raises ConfigError."""
    origin = os.getcwd()
    path = os.path.join(origin, configuration or find_config(program, origin))
    # systemd creates the directories of the unit; those of programs may exist elsewhere only.
    context = replace(eval_context(origin), is_dir=lambda path: True)
    here = os.path.dirname(path)
    document, _ = read_document(path, context, here)
    config = build(document, context, overrides=overrides, here=here)
    return path, with_defaults(as_read(document, context, here)), config


def _command(program: str) -> list[str]:
    """Return how this program was invoked, with an absolute path."""
    if os.path.basename(program) == "__main__.py":
        return [sys.executable, "-m", "trio_supervisor"]
    return [os.path.abspath(shutil.which(program) or program)]


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
