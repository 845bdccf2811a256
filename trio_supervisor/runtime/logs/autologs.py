"""Automatic logs (AUTO): created with their group, removed with it or at the next start."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Severity
from trio_supervisor.runtime.logs.rotation import ANY_GENERATION
from trio_supervisor.runtime.system.opening import directory as opened

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def create_auto_log(directory: str, *, process: str, channel: str, identifier: str) -> str:
    """Create an empty log of mode 0600 and return its path. Raises OSError."""
    with opened(directory) as place:
        return os.path.join(directory, _create(place, process, channel, identifier))


def create_auto_logs(
    directory: str, wanted: Sequence[tuple[str, str]], *, identifier: str
) -> list[str]:
    """Create a log for each name of a process and a channel; return their paths, in that order.

    If one cannot be created, those before it are returned. Raises OSError for the directory.
    """
    paths: list[str] = []
    with opened(directory) as place, suppress(OSError):
        for process, channel in wanted:
            paths.append(os.path.join(directory, _create(place, process, channel, identifier)))
    return paths


def _create(place: int, process: str, channel: str, identifier: str) -> str:
    prefix = _file_name(f"{process}-{channel}---{identifier}-")
    while True:
        name = f"{prefix}{os.urandom(4).hex()}.log"
        with suppress(FileExistsError):
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=place))
            return name


def remove_auto_log(path: str) -> None:
    """Remove a log and its backups; missing ones are no error. Raises OSError."""
    directory, name = os.path.split(path)
    pattern = re.compile(re.escape(name) + ANY_GENERATION)
    with opened(directory) as place:
        for found in os.listdir(place):
            if pattern.fullmatch(found):
                with suppress(FileNotFoundError):
                    os.unlink(found, dir_fd=place)


def remove_auto_logs(
    directory: str, identifier: str, *, report: Callable[[Severity, str], None]
) -> None:
    """Remove the logs that earlier starts left; log a WARN line for each that cannot be removed."""
    pattern = re.compile(
        rf".+---{re.escape(_file_name(identifier))}-[^ ]+\.log{ANY_GENERATION}", re.DOTALL
    )
    try:
        with opened(directory) as place:
            for name in os.listdir(place):
                if pattern.fullmatch(name):
                    _clean_up(directory, place, name, report)
    except OSError:
        report(Severity.WARN, "Could not clear childlog dir")


def _clean_up(
    directory: str, place: int, name: str, report: Callable[[Severity, str], None]
) -> None:
    try:
        os.unlink(name, dir_fd=place)
    except OSError:
        report(Severity.WARN, f"Failed to clean up '{os.path.join(directory, name)}'")


def _file_name(text: str) -> str:
    return text.replace("/", "_")  # names of processes may have slashes
