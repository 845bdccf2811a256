"""Variables that are looked up when a child is made: of its user, and of environment files."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.environment_file import parse_environment_file
from trio_supervisor.core.config.identity import UserEnv
from trio_supervisor.runtime.spawn.forking import SpawnError
from trio_supervisor.runtime.spawn.steps import errno_name
from trio_supervisor.runtime.system.opening import explanation, open_regular
from trio_supervisor.runtime.system.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_supervisor.core.config.identity import EnvironmentFile
    from trio_supervisor.core.config.model import ProcessConfig

#: Bytes of an environment file; Linux passes no larger environment to a program.
LARGEST_FILE = 2 * 1024 * 1024


async def looked_up(
    config: ProcessConfig, environment: Mapping[str, str], inherited: Mapping[str, str]
) -> Mapping[str, str]:
    """Return the environment of the next child with all that must be looked up for it.

    ``environment`` is what is known without that, ``inherited`` the supervisor's own. From the
    weakest: inherited, of the user, ``[supervisord]``, of the files, the program's own. Raises
    SpawnError. Cancelling it leaves a thread behind that waits for a disk, or the user database.
    """
    try:
        # A limiter of its own: a disk that hangs holds up no other program.
        return await in_thread(
            _look_up,
            config,
            environment,
            inherited,
            abandon_on_cancel=True,
            limiter=trio.CapacityLimiter(1),
        )
    except OSError as error:  # no thread
        raise SpawnError(f"couldn't read the environment of '{config.name}': {error}") from error


def _look_up(
    config: ProcessConfig, environment: Mapping[str, str], inherited: Mapping[str, str]
) -> Mapping[str, str]:
    known = dict(environment)
    if config.identity.user_env is UserEnv.BASIC:
        user = _of_user(os.getuid() if config.uid is None else config.uid)
        known.update(
            {name: value for name, value in user.items() if name not in config.environment}
        )
    for file in config.identity.environment_files:
        known.update(_of_file(file, inherited))
    return {**known, **config.identity.own}


def _of_user(uid: int) -> dict[str, str]:
    """Return what login(1) would set; a user without an entry has only a number and no home."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return {"HOME": "/", "USER": str(uid), "LOGNAME": str(uid), "SHELL": "/bin/sh"}
    return {
        "HOME": entry.pw_dir,
        "USER": entry.pw_name,
        "LOGNAME": entry.pw_name,
        "SHELL": entry.pw_shell or "/bin/sh",
    }


def _of_file(file: EnvironmentFile, inherited: Mapping[str, str]) -> dict[str, str]:
    try:
        with open(open_regular(file.path), "rb") as stream:
            data = stream.read(LARGEST_FILE + 1)
    except OSError as error:
        if file.optional and isinstance(error, FileNotFoundError):
            return {}
        why = explanation(error) or errno_name(error)
        raise SpawnError(f"couldn't read environment file {file.path}: {why}") from error
    if len(data) > LARGEST_FILE:
        raise SpawnError(f"environment file {file.path} is larger than {LARGEST_FILE} bytes")
    try:
        return parse_environment_file(os.fsdecode(data), inherited)
    except ValueError as error:
        raise SpawnError(f"environment file {file.path}, {error}") from None
