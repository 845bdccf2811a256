"""Upgrades of the real daemon, for end-to-end tests."""

from __future__ import annotations

import sys
import xmlrpc.client
from typing import TYPE_CHECKING, Any

from tests.kit.daemon import UnixTransport, eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kit.daemon import Daemon


#: Writes numbered lines in two halves, and notes the last one at its end.
WRITER = """\
import os, sys, time, signal
def end(*_):
    global over
    over = True
over, n = False, 0
signal.signal(signal.SIGTERM, end)
while not over:
    n += 1
    os.write(1, b"line ")
    os.write(1, b"%d\\n" % n)
    time.sleep(0.01)
open(sys.argv[1], "w").write(str(n))
"""


def script(directory: Path, name: str, text: str) -> str:
    """The command of a program with this source."""
    path = directory / f"{name}.py"
    path.write_text(text)
    return f"{sys.executable} -S -E {path}"


#: A program that is the daemon, after it has executed the code in a file beside it.
STAND_IN = """\
import os, sys, time
is_check, is_next = "--upgrade-check" in sys.argv, "TSUPERVISORD_HANDOVER" in os.environ
exec(open({code!r}).read())
from trio_supervisor.cli.daemon import main
main()
"""


class StandIn:
    """The program of the daemon, which a test changes."""

    def __init__(self, directory: Path) -> None:
        self._code = directory / "code"
        program = directory / "stand_in.py"
        program.write_text(STAND_IN.format(code=str(self._code)))
        self.command = [sys.executable, str(program)]
        self.does("")

    def does(self, code: str) -> None:
        """Each process of this program, from now on, executes this first."""
        self._code.write_text(code)


def tsupervisor(daemon: Daemon) -> Any:
    """The methods that Supervisor does not have."""
    transport = UnixTransport(str(daemon.directory / "s.sock"))
    return xmlrpc.client.ServerProxy("http://localhost", transport=transport).tsupervisor


def upgraded(daemon: Daemon) -> int:
    """How often it was upgraded."""
    count = tsupervisor(daemon).getUpgrade()["upgrades"]
    assert isinstance(count, int)
    return count


def wait_until_decided(daemon: Daemon) -> None:
    """Return when no upgrade is under way."""
    eventually(lambda: not tsupervisor(daemon).getUpgrade()["under_way"], "the end of the upgrade")


def upgrade(daemon: Daemon) -> None:
    """Upgrade it, and return when the next program answers."""
    before = upgraded(daemon)
    tsupervisor(daemon).upgrade()
    wait_until_decided(daemon)
    assert upgraded(daemon) == before + 1, daemon.log[-3000:]


def refusal(daemon: Daemon) -> str:
    """What the daemon answers to an upgrade that it refuses."""
    try:
        answer = tsupervisor(daemon).upgrade()
    except xmlrpc.client.Fault as fault:
        return str(fault.faultString)
    raise AssertionError(f"not refused: {answer}")
