"""A real ``systemd-journald``, without systemd: in a mount namespace with a ``/run`` of its own."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.kit.daemon import PATIENCE, eventually
from tests.kit.machine import need_namespaces, path_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLACES = ("/usr/lib/systemd/systemd-journald", "/lib/systemd/systemd-journald")
_SOCKETS = ("socket", "io.systemd.journal")
#: Entries only in ``/run``, which goes with the namespace; none of the kernel's, and no limit of
#: how many one service may send.
_CONFIGURATION = """\
[Journal]
Storage=volatile
RateLimitBurst=0
ReadKMsg=no
Audit=no
ForwardToWall=no
"""
_START = """\
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journald.conf.d /run/log/journal &&
printf %s "$1" >/run/systemd/journald.conf.d/test.conf && exec sleep infinity
"""


class Journald:
    """A namespace in which journald can be started and ended."""

    def __init__(self, keeper: int, program: str) -> None:
        self._program = program
        self._run = Path(f"/proc/{keeper}/root/run")
        self.within = ("nsenter", f"--mount=/proc/{keeper}/ns/mnt")
        """Command that executes another one where this journal is ``/run/systemd/journal``."""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        for name in _SOCKETS:
            (self._run / "systemd/journal" / name).unlink(missing_ok=True)
        process = self._process = subprocess.Popen(
            [*self.within, self._program], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

        def listens() -> bool:
            if process.poll() is not None:
                assert process.stderr is not None
                pytest.skip(f"systemd-journald does not run here: {process.stderr.read()!r}")
            return all((self._run / "systemd/journal" / name).exists() for name in _SOCKETS)

        eventually(listens, "the sockets of journald")

    def end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.communicate(timeout=PATIENCE)
            self._process = None

    def entries(self, *matches: str) -> list[dict[str, Any]]:
        """All fields of the entries that match, in order; bytes that are no text as numbers."""
        command = [*self.within, "journalctl", "-D", "/run/log/journal", "--no-pager"]
        if self._process is not None:
            subprocess.run([*self.within, "journalctl", "--sync"], check=True)
        done = subprocess.run(
            [*command, "-o", "json", "--all", *matches], capture_output=True, check=True
        )
        return [json.loads(line) for line in done.stdout.splitlines()]


@contextmanager
def journald() -> Iterator[Journald]:
    """Run journald in a namespace of its own; skip the test where that is impossible."""
    path_of("systemd-analyze")  # of the same package as journald and journalctl
    need_namespaces("--mount")
    program = next(filter(os.path.exists, _PLACES), None)
    if program is None:
        pytest.skip(f"there is no {_PLACES[0]}")
    with tempfile.TemporaryFile() as errors:
        keeper = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", _START, "sh", _CONFIGURATION],
            stdin=subprocess.DEVNULL,
            stderr=errors,
        )
        try:

            def is_made() -> bool:
                if keeper.poll() is not None:
                    errors.seek(0)
                    pytest.skip(f"no /run of its own can be mounted: {errors.read()!r}")
                return Path(f"/proc/{keeper.pid}/comm").read_text() == "sleep\n"

            eventually(is_made, "the namespace")
            made = Journald(keeper.pid, program)
            try:
                made.start()
                yield made
            finally:
                made.end()
        finally:
            keeper.kill()
            keeper.wait()
