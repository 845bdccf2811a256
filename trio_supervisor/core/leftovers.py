"""Rules about the programs of a daemon that was killed: whose they are, and the order of their end.

With ``survive`` each child has a variable that names its daemon, the process and the configuration,
and so have all that it has started. The next daemon of that configuration ends those whose daemon
has ended, or adopts them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import GroupKind, ProcessConfig
from trio_supervisor.core.config.names import full_name
from trio_supervisor.core.dependencies.graph import make_graph
from trio_supervisor.core.dependencies.stop_order import StopOrder, StoppedGroup
from trio_supervisor.core.process.member import Member

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from trio_supervisor.core.config.model import Config
    from trio_supervisor.core.process.start import Key

#: Length of the longest name of a program that the configuration no longer has; it comes from an
#: environment, which anybody can make.
LONGEST_NAME = 255


def owner_mark(daemon: Member, path: str, name: str) -> str:
    """Return the value of the variable of a child; ``name`` is the full name of its process."""
    return f"{daemon.pid}.{daemon.started}:{name}:{path}"


def owner_of(mark: str, path: str, key: Key) -> Member | None:
    """Return the daemon that a mark names.

    None means that the process is none of this configuration: also one that a supervisor has
    started which was itself a program of the daemon, as the names differ.
    """
    daemon, _, rest = mark.partition(":")
    pid, _, started = daemon.partition(".")
    name = full_name(key[1], key[0])
    if rest != f"{name}:{path}" or not name.isprintable() or len(name) > LONGEST_NAME:
        return None
    if not (_is_number(pid) and _is_number(started)):
        return None
    return Member(int(pid), int(started))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 20


def options_of(config: Config, keys: Collection[Key]) -> dict[Key, ProcessConfig]:
    """Return the options by which each process is stopped.

    Those that the configuration no longer has get the defaults.
    """
    known = {(g.name, process.name): process for g in config.groups for process in g.processes}
    return {key: known.get(key) or ProcessConfig(key[1], "") for key in keys}


def stop_turns(config: Config, left: Mapping[Key, object]) -> list[list[Key]]:
    """Return the processes turn by turn, in the order in which a shutdown stops them.

    Those that the configuration no longer has are in the first turn.
    """
    members = {
        group.name: StoppedGroup(
            [(group.name, process.name) for process in group.processes],
            group.kind is GroupKind.POOL,
        )
        for group in config.groups
    }
    known = [key for group in members.values() for key in group.members]
    order = StopOrder([*members.values()], make_graph(config.groups).dependents())
    for key in known:
        if key not in left:
            order.ended(key)
    turns = [sorted(left.keys() - set(known))]
    while keys := order.ready():
        turns.append(keys)
        for key in keys:
            order.ended(key)
    return [turn for turn in turns if turn]
