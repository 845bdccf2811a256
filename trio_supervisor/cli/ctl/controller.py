"""The object that plugins of supervisorctl work with, compatible with Supervisor's controller.

Plugins expect a subclass of ``cmd.Cmd`` with some more methods. Imported only if the configuration
has a plugin.
"""

from __future__ import annotations

import cmd
import xmlrpc.client
from _thread import get_ident
from contextlib import suppress

from trio_supervisor.cli.client.client import Fault, HttpError
from trio_supervisor.cli.ctl.commands import COMMANDS
from trio_supervisor.cli.ctl.dispatch import HELP_OF_HELP, plugin_actions
from trio_supervisor.cli.ctl.io import StandardOutput
from trio_supervisor.cli.ctl.session import GENERIC, NOT_RUNNING
from trio_supervisor.cli.ctl.shell import Completer, run_shell
from trio_supervisor.core.process.states import FaultCode

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from typing import Any

    from trio_supervisor.cli.ctl.dispatch import Dispatcher
    from trio_supervisor.cli.ctl.options import ClientOptions
    from trio_supervisor.cli.ctl.session import Session

#: Faults that mean "not running", which has an exit status of its own.
_DEAD = frozenset({FaultCode.SPAWN_ERROR, FaultCode.ABNORMAL_TERMINATION, FaultCode.NOT_RUNNING})


class RemoteFault(Fault, xmlrpc.client.Fault):
    """A fault that plugins can also catch as the exception of the standard library."""

    def __init__(self, fault: Fault) -> None:
        xmlrpc.client.Fault.__init__(self, fault.code, fault.text)
        self.code, self.text = fault.code, fault.text


class RemoteHttpError(HttpError, xmlrpc.client.ProtocolError):
    """An HTTP error that plugins can also catch as the exception of the standard library."""

    def __init__(self, error: HttpError) -> None:
        xmlrpc.client.ProtocolError.__init__(self, error.where, error.status, error.reason, {})
        self.where, self.status, self.reason = error.where, error.status, error.reason


class Proxy:
    """Makes calls by attribute: ``proxy.supervisor.getPID()``."""

    def __init__(self, session: Session, method: str = "") -> None:
        self._session = session
        self._method = method

    def __getattr__(self, name: str) -> Proxy:
        if name.startswith("__"):  # copy, pickle and the like must not become remote calls
            raise AttributeError(name)
        return Proxy(self._session, f"{self._method}.{name}" if self._method else name)

    def __call__(self, *params: str | int | bool) -> Any:
        try:
            return self._session.client().call(self._method, *params)
        except Fault as fault:
            raise RemoteFault(fault) from None
        except HttpError as error:
            raise RemoteHttpError(error) from None


class ControllerOptions:
    """The client's options, with the only method of Supervisor's options that plugins call."""

    def __init__(self, session: Session) -> None:
        self.__dict__["_session"] = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session.options, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._session.options, name, value)

    def getServerProxy(self) -> Proxy:
        return Proxy(self._session)


class Redirected(StandardOutput):
    """Output to the object with ``write`` by which a plugin has replaced standard output."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.on_terminal = False
        self.coloured = False
        self._filters = False
        self.failure = None

    def text(self, text: str) -> None:
        self.stream.write(text)

    def data(self, data: bytes) -> None:
        self.stream.write(data.decode(errors="replace"))


class Controller(cmd.Cmd):
    """The first argument of a plugin's factory.

    ``onecmd`` may be called from several threads at a time; each has its own connection.
    """

    nohelp = "*** No help on %s"

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._session = dispatcher.session
        self._standard = dispatcher.session.output
        self._thread = get_ident()
        super().__init__(stdout=self._standard.stream)
        self.prompt = f"{dispatcher.session.options.prompt}> "
        self.options: ClientOptions | ControllerOptions = ControllerOptions(dispatcher.session)

    @property
    def exitstatus(self) -> int:
        return self._session.exit_status

    @exitstatus.setter
    def exitstatus(self, status: int) -> None:
        self._session.exit_status = status

    @property
    def lastcmd(self) -> str:
        """The last line performed."""
        return self._dispatcher.last_line

    @lastcmd.setter
    def lastcmd(self, line: str) -> None:
        self._dispatcher.last_line = line

    @property
    def stdout(self) -> Any:
        """The stream of the output of actions; a plugin may replace it to capture the output."""
        return self._session.output.stream

    @stdout.setter
    def stdout(self, stream: Any) -> None:
        standard = self._standard
        self._session.output = standard if stream is standard.stream else Redirected(stream)

    @property
    def vocab(self) -> list[str]:
        """The names of all actions."""
        names = {*COMMANDS, "help"}
        return sorted(names.union(*map(plugin_actions, self._dispatcher.plugins)))

    def output(self, message: object) -> None:
        self._session.line(message.decode() if isinstance(message, bytes) else str(message))

    def upcheck(self) -> bool:
        return self._session.upcheck()

    def get_server_proxy(self, namespace: str | None = None) -> Proxy:
        return Proxy(self._session, namespace or "")

    def get_supervisor(self) -> Proxy:
        return self.get_server_proxy("supervisor")

    def set_exitstatus_from_xmlrpc_fault(
        self, faultcode: int, ignored_faultcode: int | None = None
    ) -> None:
        """Set the exit status that actions use for a fault."""
        if faultcode not in (FaultCode.SUCCESS, ignored_faultcode):
            self.exitstatus = NOT_RUNNING if faultcode in _DEAD else GENERIC

    def onecmd(self, line: str) -> bool:
        """Perform a line as if typed; a failure only sets the exit status."""
        if get_ident() == self._thread:
            return self._dispatcher.run_nested(line)
        try:
            return self._dispatcher.run_nested(line)
        finally:
            self._session.disconnect_thread()

    def default(self, line: str) -> None:
        self._dispatcher.unknown(line)

    def emptyline(self) -> bool:
        return False

    def do_help(self, arg: str) -> None:
        self._dispatcher.help(arg)

    def help_help(self) -> None:
        for text in HELP_OF_HELP:
            self.output(text)

    def do_EOF(self, arg: str) -> bool:
        return self.onecmd("EOF")

    def help_EOF(self) -> None:
        self.do_help("exit")

    def complete(self, text: str, state: int, line: str | None = None) -> str | None:  # type: ignore[override]  # readline calls it so
        """Readline's interface; ``line`` is the typed line if readline does not provide it."""
        with suppress(ImportError):  # not every Python has it
            import readline

            completer = Completer(self._dispatcher, readline)
            if line is None:
                return completer.complete(text, state)
            found = completer.candidates(line.removesuffix(text), text)
            return f"{found[state]} " if state < len(found) else None
        return None

    def cmdloop(self, intro: object = None) -> None:
        if intro is not None:
            self.output(intro)
        run_shell(self._dispatcher)

    def exec_cmdloop(self, args: object, options: object) -> None:
        self.cmdloop()
