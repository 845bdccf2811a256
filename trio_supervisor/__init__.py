"""trio-supervisor: starts other programs and keeps them running.

Each layer imports only from those below it:

    cli/      the commands: tsupervisord, tsupervisorctl and their companions
    web/      HTTP: connections, XML-RPC, JSON API, log streams, pages
    runtime/  trio, file descriptors and processes: the supervisor itself
    core/     pure rules: configuration, states, events, codecs; no I/O, no clock

The public API is what ``__all__`` names; the sub-packages are internal. Importing this package
imports neither trio nor h11 (PEP 562), because ``tsupervisorctl`` must start fast.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's flag without importing typing: type checkers know the name
if TYPE_CHECKING:
    from trio_supervisor._version import __version__ as __version__
    from trio_supervisor.core.config.access import Access as Access
    from trio_supervisor.core.config.access import Credentials as Credentials
    from trio_supervisor.core.config.access import Tls as Tls
    from trio_supervisor.core.config.model import Autorestart as Autorestart
    from trio_supervisor.core.config.model import ChannelConfig as ChannelConfig
    from trio_supervisor.core.config.model import Config as Config
    from trio_supervisor.core.config.model import GroupConfig as GroupConfig
    from trio_supervisor.core.config.model import GroupKind as GroupKind
    from trio_supervisor.core.config.model import InetServer as InetServer
    from trio_supervisor.core.config.model import ProcessConfig as ProcessConfig
    from trio_supervisor.core.config.model import UnixServer as UnixServer
    from trio_supervisor.core.errors import ConfigError as ConfigError
    from trio_supervisor.core.errors import InternalError as InternalError
    from trio_supervisor.core.errors import PluginError as PluginError
    from trio_supervisor.core.errors import PluginFault as PluginFault
    from trio_supervisor.core.errors import RequestError as RequestError
    from trio_supervisor.core.errors import ServerError as ServerError
    from trio_supervisor.core.errors import StateUnreachable as StateUnreachable
    from trio_supervisor.core.errors import SupervisorError as SupervisorError
    from trio_supervisor.core.events import Event as Event
    from trio_supervisor.core.events import ProcessCommunication as ProcessCommunication
    from trio_supervisor.core.events import ProcessGroup as ProcessGroup
    from trio_supervisor.core.events import ProcessLog as ProcessLog
    from trio_supervisor.core.events import ProcessState as ProcessState
    from trio_supervisor.core.events import RemoteCommunication as RemoteCommunication
    from trio_supervisor.core.events import SupervisorStateChange as SupervisorStateChange
    from trio_supervisor.core.events import Tick as Tick
    from trio_supervisor.core.process.states import State as State
    from trio_supervisor.runtime.embedding import open_supervisor as open_supervisor
    from trio_supervisor.runtime.events.result_handlers import RejectEvent as RejectEvent
    from trio_supervisor.runtime.events.subscription import EventStream as EventStream
    from trio_supervisor.runtime.load import load_config as load_config
    from trio_supervisor.runtime.output.subscriptions import OutputStream as OutputStream
    from trio_supervisor.runtime.process.process import Process as Process
    from trio_supervisor.runtime.rpc.plugins import NOT_DONE_YET as NOT_DONE_YET
    from trio_supervisor.runtime.supervisor import Supervisor as Supervisor
    from trio_supervisor.web.server import serve_http as serve_http

_HOME = {
    "Access": "core.config.access",
    "Autorestart": "core.config.model",
    "ChannelConfig": "core.config.model",
    "Config": "core.config.model",
    "ConfigError": "core.errors",
    "Credentials": "core.config.access",
    "Event": "core.events",
    "EventStream": "runtime.events.subscription",
    "GroupConfig": "core.config.model",
    "GroupKind": "core.config.model",
    "InetServer": "core.config.model",
    "InternalError": "core.errors",
    "NOT_DONE_YET": "runtime.rpc.plugins",
    "OutputStream": "runtime.output.subscriptions",
    "PluginError": "core.errors",
    "PluginFault": "core.errors",
    "Process": "runtime.process.process",
    "ProcessCommunication": "core.events",
    "ProcessConfig": "core.config.model",
    "ProcessGroup": "core.events",
    "ProcessLog": "core.events",
    "ProcessState": "core.events",
    "RejectEvent": "runtime.events.result_handlers",
    "RemoteCommunication": "core.events",
    "RequestError": "core.errors",
    "ServerError": "core.errors",
    "State": "core.process.states",
    "StateUnreachable": "core.errors",
    "Supervisor": "runtime.supervisor",
    "SupervisorError": "core.errors",
    "SupervisorStateChange": "core.events",
    "Tick": "core.events",
    "Tls": "core.config.access",
    "UnixServer": "core.config.model",
    "__version__": "_version",
    "load_config": "runtime.load",
    "open_supervisor": "runtime.embedding",
    "serve_http": "web.server",
}

__all__ = [
    "NOT_DONE_YET",
    "Access",
    "Autorestart",
    "ChannelConfig",
    "Config",
    "ConfigError",
    "Credentials",
    "Event",
    "EventStream",
    "GroupConfig",
    "GroupKind",
    "InetServer",
    "InternalError",
    "OutputStream",
    "PluginError",
    "PluginFault",
    "Process",
    "ProcessCommunication",
    "ProcessConfig",
    "ProcessGroup",
    "ProcessLog",
    "ProcessState",
    "RejectEvent",
    "RemoteCommunication",
    "RequestError",
    "ServerError",
    "State",
    "StateUnreachable",
    "Supervisor",
    "SupervisorError",
    "SupervisorStateChange",
    "Tick",
    "Tls",
    "UnixServer",
    "load_config",
    "open_supervisor",
    "serve_http",
]


def __getattr__(name: str) -> object:
    """Import a public name from its home module on first use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
