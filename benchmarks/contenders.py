"""Other supervisors that users would pick: how to get each, and how to start many programs by it.

Each is configured as its manual says, and otherwise has its defaults, also for output.
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks import supervisor_venv
from benchmarks.installation import cached, from_npm, from_pypi
from benchmarks.launched import Launched
from benchmarks.probe import MeasurementError
from benchmarks.scenarios import fleet
from benchmarks.subjects import ours, running, supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from benchmarks.starts import Executables
    from benchmarks.subjects import Subject

_CIRCUS = "0.19.0"
_PM2 = "7.0.4"

#: Seconds for which the programs sleep: longer than any run.
_LIFETIME = "1000"


@dataclass(frozen=True)
class Contender:
    """A supervisor under measurement."""

    name: str
    launch: Callable[[Path, Executables], AbstractContextManager[Launched]]
    """Run it with all these programs during the block, in an empty directory."""
    background: bool = False
    """The command that starts it ends, and the supervisor remains."""


@dataclass(frozen=True)
class _Other:
    """A supervisor that is configured by files in a directory."""

    program: Path | str
    configure: Callable[[Path, Sequence[str]], Sequence[str]]
    """Write what starts these programs into a directory; return the supervisor's arguments."""
    environment: Callable[[Path], dict[str, str]] = field(default=lambda _: {})
    background: bool = False

    def contender(self, name: str) -> Contender:
        @contextmanager
        def launch(directory: Path, executables: Executables) -> Iterator[Launched]:
            command = [str(self.program), *self.configure(directory, executables.paths)]
            environment = self.environment(directory)
            launched = Launched(name, command, environment, directory, background=self.background)
            try:
                yield launched
            finally:
                launched.end()

        return Contender(name, launch, self.background)


def _of(subject: Subject, name: str) -> Contender:
    """Return one of the two daemons that all benchmarks compare."""

    def launch(directory: Path, executables: Executables) -> AbstractContextManager[Launched]:
        programs = fleet.programs(len(executables.paths), executables=executables)
        return running(subject, directory, programs)

    return Contender(name, launch)


def _ours() -> Contender:
    return _of(ours(), "ours")


def _supervisor() -> Contender:
    daemon = supervisor_venv.ensure(supervisor_venv.default_directory())
    return _of(supervisor(daemon), f"Supervisor {supervisor_venv.VERSION}")


def _s6() -> Contender:
    return _Other(_installed("s6-svscan", "s6"), _service_directories).contender("s6")


def _runit() -> Contender:
    return _Other(_installed("runsvdir", "runit"), _service_directories).contender("runit")


def _circus() -> Contender:
    path = from_pypi(cached(f"circus-{_CIRCUS}"), f"circus=={_CIRCUS}", "circusd")
    return _Other(path, _circus_ini).contender(f"circus {_CIRCUS}")


def _pm2() -> Contender:
    _installed("npm", "npm")
    pm2 = _Other(
        from_npm(cached(f"pm2-{_PM2}"), f"pm2@{_PM2}", "pm2"),
        _pm2_apps,
        lambda directory: {
            "PM2_HOME": str(directory / "pm2"),
            "PM2_DISABLE_VERSION_CHECK": "true",  # which asks a server of the vendor
        },
        background=True,
    )
    return pm2.contender(f"pm2 {_PM2}")


#: All of them, ours first; each raises MeasurementError if it is not available.
_ALL = (_ours, _supervisor, _s6, _runit, _circus, _pm2)


def available() -> tuple[list[Contender], list[str]]:
    """Return those that can be measured, and for each other one why not, and how to get it."""
    found, missing = [], []
    for find in _ALL:
        try:
            found.append(find())
        except MeasurementError as error:
            missing.append(str(error))
    return found, missing


def _installed(program: str, package: str) -> str:
    """Return the path of a program of a package of Debian; raises MeasurementError."""
    path = shutil.which(program)
    if path is None:
        raise MeasurementError(f"there is no {program} (Debian: apt-get install {package})")
    return path


def _service_directories(directory: Path, programs: Sequence[str]) -> list[str]:
    """Make one service directory for each program, for s6 and runit."""
    services = directory / "services"
    for number, path in enumerate(programs):
        run = services / fleet.name(number) / "run"
        run.parent.mkdir(parents=True)
        run.write_text(f"#!/bin/sh\nexec {path} {_LIFETIME}\n")
        run.chmod(0o755)
    return [str(services)]


def _circus_ini(directory: Path, programs: Sequence[str]) -> list[str]:
    """Write the configuration of circusd; its sockets are in the directory too."""
    configuration = directory / "circus.ini"
    watchers = (
        f"[watcher:{fleet.name(number)}]\ncmd = {path} {_LIFETIME}\n"
        for number, path in enumerate(programs)
    )
    head = (
        f"[circus]\nendpoint = ipc://{directory}/endpoint\n"
        f"pubsub_endpoint = ipc://{directory}/pubsub\n"
    )
    configuration.write_text("\n".join((head, *watchers)))
    return [str(configuration)]


def _pm2_apps(directory: Path, programs: Sequence[str]) -> list[str]:
    """Write the list of applications for ``pm2 start``."""
    configuration = directory / "apps.json"
    apps = [
        {"name": fleet.name(number), "script": path, "args": _LIFETIME, "interpreter": "none"}
        for number, path in enumerate(programs)
    ]
    configuration.write_text(json.dumps({"apps": apps}))
    return ["start", str(configuration)]
