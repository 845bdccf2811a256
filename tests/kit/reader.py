"""A reader of a page who types its commands and compares what they print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.kit.ctl import Ran, environment, install, run
from tests.kit.daemon import eventually
from tests.kit.docs import shows
from tests.kit.terminal import terminal

if TYPE_CHECKING:
    from pathlib import Path


class Reader:
    """Types in a directory of its own, where the commands are installed in ``bin``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        install(directory / "bin")
        install(directory / "bin", "tsupervisord", "daemon:main")

    @property
    def path(self) -> str:
        return f"{self.directory / 'bin'}:{environment()['PATH']}"

    def run(self, command: str, **changes: str) -> Ran:
        shell = ["/bin/sh", "-c", command]
        return run(shell, cwd=self.directory, PATH=self.path, LC_ALL="C", **changes)

    def prints(self, command: str, shown: str) -> bool:
        """Run a command once: does it print what the page shows?"""
        done = self.run(command)
        return shows(shown, done.err + done.out)

    def sees(self, command: str, shown: str) -> None:
        """Run a command that changes nothing, again and again until it prints what is shown."""
        seen: list[Ran] = []

        def look() -> bool:
            seen[:] = [self.run(command)]
            return shows(shown, seen[0].err + seen[0].out)

        try:
            eventually(look, command)
        except AssertionError as error:
            raise AssertionError(
                f"$ {command}\n{shown}\nbut\n{seen[0].out}{seen[0].err}"
            ) from error

    def sees_on_terminal(self, command: str, shown: str) -> None:
        shell = ["/bin/sh", "-c", f"PATH={self.path}; NO_COLOR=1; export NO_COLOR; {command}"]
        with terminal(shell, cwd=self.directory) as person:
            _, printed = person.end()
        assert shows(shown, printed), f"{command}\n{shown}\nbut\n{printed}"
