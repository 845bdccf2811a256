"""Running ``tsupervisorctl`` and ``tpidproxy`` as programs of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds after which something that should have happened long ago is a failure.
PATIENCE = 30


class Ran(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


#: The programs that are scripts in the wheel.
SCRIPTS = Path(__file__).parents[2] / "trio_supervisor/cli/scripts"


def install(
    directory: Path,
    name: str = "tsupervisorctl",
    entry_point: str = "",
    *,
    script: str = "tsupervisorctl",
) -> str:
    """A program file as it is after an installation, under any name; returns its path.

    ``entry_point``: module below ``cli`` and function, for a program that is no ``script``.
    """
    if entry_point:
        module, _, function = entry_point.partition(":")
        text = (
            f"#!python\nfrom trio_supervisor.cli.{module} import {function}\n\n"
            f"raise SystemExit({function}())\n"
        )
    else:
        text = (SCRIPTS / script).read_text()
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(text.replace("#!python", f"#!{sys.executable}"))
    path.chmod(0o755)
    return str(path)


def environment(**changes: str) -> dict[str, str]:
    """An environment in which children find this source tree and nothing of the user's."""
    root = str(Path(__file__).parents[2])
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1", **changes}


def run(command: list[str], *, cwd: Path | None = None, stdin: str = "", **changes: str) -> Ran:
    """Run to the end; ``changes`` go into the environment."""
    done = subprocess.run(
        command,
        input=stdin.encode(),
        capture_output=True,
        cwd=cwd,
        env=environment(**changes),
        timeout=PATIENCE,
        check=False,
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def spawn(command: list[str], *, cwd: Path | None = None) -> subprocess.Popen[bytes]:
    """Start without waiting, all three streams being pipes."""
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=environment(),
    )


def read_until(process: subprocess.Popen[bytes], enough: Callable[[str], object]) -> str:
    """Read standard output as it comes until there is enough of it."""
    assert process.stdout is not None
    data = b""
    while not enough(data.decode(errors="replace")):
        more = os.read(process.stdout.fileno(), 65536)
        if not more:
            raise AssertionError(f"output ended early: {data!r}, then {finish(process)}")
        data += more
    return data.decode(errors="replace")


def finish(process: subprocess.Popen[bytes], seen: str = "") -> Ran:
    """Wait for the end; ``seen`` is output read already."""
    out, err = process.communicate(timeout=PATIENCE)
    return Ran(process.returncode, seen + out.decode(), err.decode())
