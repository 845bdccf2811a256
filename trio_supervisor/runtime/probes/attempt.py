"""One try of a probe: ``attempt`` returns an empty text for success, else why it has failed."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.probes import ExecProbe, HttpProbe, Probe, TcpProbe, UnixProbe
from trio_supervisor.core.escape import escaped
from trio_supervisor.runtime.probes.connect import Resolver, connect_tcp, try_unix
from trio_supervisor.runtime.probes.http_check import NotHttp, try_http
from trio_supervisor.runtime.spawn.side_command import CommandNotRun

if TYPE_CHECKING:
    from trio_supervisor.runtime.spawn.side_command import SideCommands

#: Characters of an answer.
LONGEST_ANSWER = 200


class Prober:
    """Tries the probes of one process."""

    def __init__(self, commands: SideCommands) -> None:
        self._commands = commands
        self._resolver = Resolver()

    async def attempt(self, probe: Probe, within: float) -> str:
        """Try it for at most ``within`` seconds."""
        with trio.move_on_after(within):
            return escaped(await self._answer(probe, within))[:LONGEST_ANSWER].replace("\n", " ")
        return _too_slow(within)

    async def _answer(self, probe: Probe, within: float) -> str:
        try:
            match probe:
                case TcpProbe():
                    (await connect_tcp(probe, self._resolver)).close()
                case UnixProbe():
                    await trio.lowlevel.checkpoint()
                    try_unix(probe)
                case HttpProbe():
                    return await try_http(probe, self._resolver)
                case ExecProbe():
                    return await self._of_command(probe, within)
        except socket.gaierror as error:
            return f"cannot resolve the name: {error.strerror}"
        except ssl.SSLCertVerificationError as error:
            return f"certificate not accepted: {error.verify_message}"
        except ssl.SSLError as error:
            return f"TLS error: {error.reason or error}"
        except OSError as error:
            return (error.strerror or str(error)).lower()
        except NotHttp as error:
            return str(error)
        return ""

    async def _of_command(self, probe: ExecProbe, within: float) -> str:
        try:
            end = await self._commands.run(probe.line, within=within)
        except CommandNotRun as error:
            return str(error)
        if end.exit is None:
            return _too_slow(within)
        if end.succeeded:
            return ""
        return f"{end.exit}: {end.last_line}" if end.last_line else str(end.exit)


def _too_slow(within: float) -> str:
    return f"no answer within {within:g} {'second' if within == 1 else 'seconds'}"
