"""The part of the cgroup hierarchy that the daemon divides among its programs.

``open_subtree`` is called once, before the daemon becomes another user. It never fails: a daemon
without cgroups runs its programs too, and says what does not work.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from errno import EBUSY
from typing import TYPE_CHECKING

from trio_supervisor.core.cgroups import (
    AUTO,
    LEAF,
    base_of,
    controllers_for,
    directory_of,
    limit_files,
    no_controller,
    node_name,
    not_delegated,
    own_cgroup,
)
from trio_supervisor.core.diagnostics import Diagnostic, Place, Severity
from trio_supervisor.runtime.cgroups.node import Node

if TYPE_CHECKING:
    from trio_supervisor.core.config.limits import Limits
    from trio_supervisor.core.config.model import ProcessConfig

#: Where the kernel tells the cgroups of this program, and its mounts.
CGROUPS, MOUNTS = "/proc/self/cgroup", "/proc/self/mountinfo"
#: Attributes by which a service manager delegates a cgroup; the first is that of system services.
DELEGATED = ("trusted.delegate", "user.delegate")
#: Files of a cgroup that its owner must be able to write: the directory, and in it the processes,
#: and the controllers for cgroups below.
PASSED_ON = "cgroup.subtree_control"
OWNED = ("", "cgroup.procs", PASSED_ON, "cgroup.threads")
#: What to do if there is no cgroup for the daemon.
HINT = "start it by a service manager that delegates one, like Delegate=yes in a unit, or name one"


class NoCgroup(Exception):
    """There is no cgroup that the daemon may divide; ``str()`` says why."""


class Subtree:
    """A cgroup that the daemon divides: its own leaf, and nodes of processes."""

    def __init__(self, base: str, lock: int) -> None:
        """``lock`` is a descriptor that is held open to keep other daemons away."""
        self.base = base
        self.controllers: set[str] = set()
        """Those that limit nodes."""
        self.lock = lock
        # Also for what needs no node: the kernel then counts whom it kills for lack of memory.
        self._enable("memory")

    def node_of(self, config: ProcessConfig, group: str) -> Node:
        """Return the node of a process, which need not exist yet."""
        path = f"{self.base}/{node_name(group, config.name)}"
        return Node(path, limit_files(config.limits, self.controllers))

    def lacking(self, limits: Limits) -> dict[str, str]:
        """Enable the controllers that these limits need; return those that cannot be, and why."""
        needed = sorted(controllers_for(limits) - self.controllers)
        return {name: why for name in needed if (why := self._enable(name))}

    def _enable(self, controller: str) -> str:
        """Let a controller limit nodes. Return why it cannot; empty if it does."""
        if controller not in available_controllers(self.base):
            return no_controller(self.base, controller)
        try:
            with open(f"{self.base}/{PASSED_ON}", "wb", buffering=0) as file:
                file.write(f"+{controller}".encode())
        except OSError as error:
            why = "other processes are in it" if error.errno == EBUSY else error.strerror
            return f"{self.base} cannot pass on the controller {controller}: {why}"
        self.controllers.add(controller)
        return ""

    def close(self) -> None:
        """Leave it to others; nodes that have processes stay."""
        os.close(self.lock)


def open_subtree(setting: str, uid: int | None) -> tuple[Subtree | None, list[Diagnostic]]:
    """Find the cgroup, move this program to its leaf and give both to user ``uid``.

    ``setting`` is that of ``[supervisord] cgroup``, ``uid`` None means that the user stays. None is
    returned, with a warning, if there is no such cgroup or it cannot be used.
    """
    try:
        base = find_base(setting)
        lock = _lock(base)
    except NoCgroup as error:
        return None, [_warning(f"programs get no cgroups: {error}", HINT)]
    try:
        _enter_leaf(base, uid)
    except OSError as error:
        os.close(lock)
        text = f"programs get no cgroups: cannot use {base}: {error.strerror}"
        return None, [_warning(text, HINT)]
    text = f"programs may have cgroups in {base}"
    return Subtree(base, lock), [Diagnostic(Severity.INFO, text)]


def find_base(setting: str, *, create: bool = True) -> str:
    """Return the directory of the cgroup to divide. Raises NoCgroup.

    A path that is missing is created, unless ``create`` is false.
    """
    if setting != AUTO:
        return _named(setting, create=create)
    try:
        own = own_cgroup(_text(CGROUPS))
        directory = None if own is None else directory_of(own, _text(MOUNTS))
    except OSError as error:
        raise NoCgroup(f"{error.filename}: {error.strerror}") from error
    if directory is None:
        raise NoCgroup("the cgroup of the daemon (version 2) cannot be seen")
    base = base_of(directory)
    is_root = not os.path.exists(f"{base}/cgroup.events")  # the root of all has no such file
    why = not_delegated(
        # An earlier start of this program was root, and may have been told by the first attribute.
        marked=base != directory or any(_attribute(base, name) == b"1" for name in DELEGATED),
        namespace_root=not is_root and base_of(own or "") == "/",
        writable=all(os.access(f"{base}/{name}", os.W_OK) for name in OWNED[:3]),
    )
    if why:
        raise NoCgroup(f"{why} ({base})")
    return base


def _named(path: str, *, create: bool) -> str:
    parent = os.path.dirname(path)
    try:
        if create and not os.path.isdir(path) and is_cgroup(parent):
            os.mkdir(path)
    except OSError as error:
        raise NoCgroup(f"cannot create {path}: {error.strerror}") from error
    if not is_cgroup(path if os.path.isdir(path) else parent):
        raise NoCgroup(f"{path} is no cgroup of version 2")
    return path


def is_cgroup(directory: str) -> bool:
    """Whether a directory is a cgroup of version 2."""
    return os.path.exists(f"{directory}/{PASSED_ON}")


def available_controllers(base: str) -> set[str]:
    """Return the controllers of a cgroup, or of one that is to be created."""
    exists = os.path.isdir(base)
    file = f"{base}/cgroup.controllers" if exists else f"{os.path.dirname(base)}/{PASSED_ON}"
    try:
        return set(_text(file).split())
    except OSError:
        return set()


def _lock(base: str) -> int:
    """Keep other daemons away: one of them would end the programs of the other. Raises NoCgroup."""
    try:
        lock = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise NoCgroup(f"cannot open {base}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise NoCgroup(f"another daemon uses {base}") from error
    return lock


def _enter_leaf(base: str, uid: int | None) -> None:
    """Move this program to the leaf. Raises OSError."""
    leaf = f"{base}/{LEAF}"
    with suppress(FileExistsError):
        os.mkdir(leaf)
    with open(f"{leaf}/cgroup.procs", "wb", buffering=0) as file:
        file.write(b"0")
    if uid is not None and uid != os.geteuid():
        for name in OWNED:
            for directory in (base, leaf):
                os.chown(f"{directory}/{name}", uid, -1)


def _warning(text: str, hint: str) -> Diagnostic:
    return Diagnostic(Severity.WARN, text, Place(section="supervisord", option="cgroup"), hint)


def _text(path: str) -> str:
    with open(path, "rb") as file:
        return os.fsdecode(file.read())


def _attribute(path: str, name: str) -> bytes:
    try:
        return os.getxattr(path, name)
    except OSError:  # it has none, or only root may see it
        return b""
