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
    from trio_supervisor.core.config.keywords import CommonOptions as CommonOptions
    from trio_supervisor.core.config.keywords import ProgramOptions as ProgramOptions
    from trio_supervisor.core.config.keywords import TaskOptions as TaskOptions
    from trio_supervisor.core.config.keywords import UnconditionalOptions as UnconditionalOptions
    from trio_supervisor.core.config.model import Autorestart as Autorestart
    from trio_supervisor.core.config.model import ChannelConfig as ChannelConfig
    from trio_supervisor.core.config.model import Config as Config
    from trio_supervisor.core.config.model import Diff as Diff
    from trio_supervisor.core.config.model import GroupConfig as GroupConfig
    from trio_supervisor.core.config.model import GroupKind as GroupKind
    from trio_supervisor.core.config.model import InetServer as InetServer
    from trio_supervisor.core.config.model import PoolConfig as PoolConfig
    from trio_supervisor.core.config.model import ProcessConfig as ProcessConfig
    from trio_supervisor.core.config.model import UnixServer as UnixServer
    from trio_supervisor.core.diagnostics import Severity as Severity
    from trio_supervisor.core.errors import AbnormalTermination as AbnormalTermination
    from trio_supervisor.core.errors import AlreadyAdded as AlreadyAdded
    from trio_supervisor.core.errors import AlreadyStarted as AlreadyStarted
    from trio_supervisor.core.errors import BadName as BadName
    from trio_supervisor.core.errors import BadSignal as BadSignal
    from trio_supervisor.core.errors import CantReread as CantReread
    from trio_supervisor.core.errors import ConfigError as ConfigError
    from trio_supervisor.core.errors import Failed as Failed
    from trio_supervisor.core.errors import InternalError as InternalError
    from trio_supervisor.core.errors import NoFile as NoFile
    from trio_supervisor.core.errors import NotExecutable as NotExecutable
    from trio_supervisor.core.errors import NotRunning as NotRunning
    from trio_supervisor.core.errors import PluginError as PluginError
    from trio_supervisor.core.errors import PluginFault as PluginFault
    from trio_supervisor.core.errors import ProcessFailed as ProcessFailed
    from trio_supervisor.core.errors import RequestError as RequestError
    from trio_supervisor.core.errors import ServerError as ServerError
    from trio_supervisor.core.errors import ShuttingDown as ShuttingDown
    from trio_supervisor.core.errors import SpawnFailed as SpawnFailed
    from trio_supervisor.core.errors import StateUnreachable as StateUnreachable
    from trio_supervisor.core.errors import StillRunning as StillRunning
    from trio_supervisor.core.errors import StreamOverflow as StreamOverflow
    from trio_supervisor.core.errors import SupervisorError as SupervisorError
    from trio_supervisor.core.errors import WaitsInVain as WaitsInVain
    from trio_supervisor.core.events import Event as Event
    from trio_supervisor.core.events import Extended as Extended
    from trio_supervisor.core.events import ProcessCommunication as ProcessCommunication
    from trio_supervisor.core.events import ProcessCommunicationStderr as ProcessCommunicationStderr
    from trio_supervisor.core.events import ProcessCommunicationStdout as ProcessCommunicationStdout
    from trio_supervisor.core.events import ProcessFlapping as ProcessFlapping
    from trio_supervisor.core.events import ProcessGroup as ProcessGroup
    from trio_supervisor.core.events import ProcessGroupAdded as ProcessGroupAdded
    from trio_supervisor.core.events import ProcessGroupRemoved as ProcessGroupRemoved
    from trio_supervisor.core.events import ProcessHealthy as ProcessHealthy
    from trio_supervisor.core.events import ProcessLog as ProcessLog
    from trio_supervisor.core.events import ProcessLogStderr as ProcessLogStderr
    from trio_supervisor.core.events import ProcessLogStdout as ProcessLogStdout
    from trio_supervisor.core.events import ProcessState as ProcessState
    from trio_supervisor.core.events import ProcessStateBackoff as ProcessStateBackoff
    from trio_supervisor.core.events import ProcessStateExited as ProcessStateExited
    from trio_supervisor.core.events import ProcessStateFatal as ProcessStateFatal
    from trio_supervisor.core.events import ProcessStateRunning as ProcessStateRunning
    from trio_supervisor.core.events import ProcessStateStarting as ProcessStateStarting
    from trio_supervisor.core.events import ProcessStateStopped as ProcessStateStopped
    from trio_supervisor.core.events import ProcessStateStopping as ProcessStateStopping
    from trio_supervisor.core.events import ProcessStateUnknown as ProcessStateUnknown
    from trio_supervisor.core.events import ProcessUnhealthy as ProcessUnhealthy
    from trio_supervisor.core.events import RemoteCommunication as RemoteCommunication
    from trio_supervisor.core.events import SupervisorStateChange as SupervisorStateChange
    from trio_supervisor.core.events import (
        SupervisorStateChangeRunning as SupervisorStateChangeRunning,
    )
    from trio_supervisor.core.events import (
        SupervisorStateChangeStopping as SupervisorStateChangeStopping,
    )
    from trio_supervisor.core.events import Tick as Tick
    from trio_supervisor.core.events import Tick5 as Tick5
    from trio_supervisor.core.events import Tick60 as Tick60
    from trio_supervisor.core.events import Tick3600 as Tick3600
    from trio_supervisor.core.journal.chain import Why as Why
    from trio_supervisor.core.journal.entry import JournalEntry as JournalEntry
    from trio_supervisor.core.journal.entry import What as What
    from trio_supervisor.core.plan import Plan as Plan
    from trio_supervisor.core.plan import PlanStep as PlanStep
    from trio_supervisor.core.plan import StepKind as StepKind
    from trio_supervisor.core.process.cause import Cause as Cause
    from trio_supervisor.core.process.cause import CauseKind as CauseKind
    from trio_supervisor.core.process.exit import End as End
    from trio_supervisor.core.process.exit import Exit as Exit
    from trio_supervisor.core.process.exit import ResourceUsage as ResourceUsage
    from trio_supervisor.core.process.record import History as History
    from trio_supervisor.core.process.states import DaemonState as DaemonState
    from trio_supervisor.core.process.states import FaultCode as FaultCode
    from trio_supervisor.core.process.states import State as State
    from trio_supervisor.runtime.embedding.block import open_supervisor as open_supervisor
    from trio_supervisor.runtime.embedding.jobs import Completed as Completed
    from trio_supervisor.runtime.events.result_handlers import RejectEvent as RejectEvent
    from trio_supervisor.runtime.events.subscription import EventStream as EventStream
    from trio_supervisor.runtime.groups.group import Group as Group
    from trio_supervisor.runtime.groups.operations import StepResult as StepResult
    from trio_supervisor.runtime.load import load_config as load_config
    from trio_supervisor.runtime.output.merged import MergedOutput as MergedOutput
    from trio_supervisor.runtime.output.merged import OutputLine as OutputLine
    from trio_supervisor.runtime.output.subscriptions import Lines as Lines
    from trio_supervisor.runtime.output.subscriptions import OutputStream as OutputStream
    from trio_supervisor.runtime.process.process import Process as Process
    from trio_supervisor.runtime.process.process import Result as Result
    from trio_supervisor.runtime.rpc.plugins import NOT_DONE_YET as NOT_DONE_YET
    from trio_supervisor.runtime.supervisor import Supervisor as Supervisor
    from trio_supervisor.web.server import serve_http as serve_http

_HOME = {
    "AbnormalTermination": "core.errors",
    "Access": "core.config.access",
    "AlreadyAdded": "core.errors",
    "AlreadyStarted": "core.errors",
    "Autorestart": "core.config.model",
    "BadName": "core.errors",
    "BadSignal": "core.errors",
    "CantReread": "core.errors",
    "Cause": "core.process.cause",
    "CauseKind": "core.process.cause",
    "ChannelConfig": "core.config.model",
    "CommonOptions": "core.config.keywords",
    "Completed": "runtime.embedding.jobs",
    "Config": "core.config.model",
    "ConfigError": "core.errors",
    "Credentials": "core.config.access",
    "DaemonState": "core.process.states",
    "Diff": "core.config.model",
    "End": "core.process.exit",
    "Event": "core.events",
    "EventStream": "runtime.events.subscription",
    "Exit": "core.process.exit",
    "Extended": "core.events",
    "Failed": "core.errors",
    "FaultCode": "core.process.states",
    "Group": "runtime.groups.group",
    "GroupConfig": "core.config.model",
    "GroupKind": "core.config.model",
    "History": "core.process.record",
    "InetServer": "core.config.model",
    "InternalError": "core.errors",
    "JournalEntry": "core.journal.entry",
    "Lines": "runtime.output.subscriptions",
    "MergedOutput": "runtime.output.merged",
    "NOT_DONE_YET": "runtime.rpc.plugins",
    "NoFile": "core.errors",
    "NotExecutable": "core.errors",
    "NotRunning": "core.errors",
    "OutputLine": "runtime.output.merged",
    "OutputStream": "runtime.output.subscriptions",
    "Plan": "core.plan",
    "PlanStep": "core.plan",
    "PluginError": "core.errors",
    "PluginFault": "core.errors",
    "PoolConfig": "core.config.model",
    "Process": "runtime.process.process",
    "ProcessCommunication": "core.events",
    "ProcessCommunicationStderr": "core.events",
    "ProcessCommunicationStdout": "core.events",
    "ProcessConfig": "core.config.model",
    "ProcessFailed": "core.errors",
    "ProcessFlapping": "core.events",
    "ProcessGroup": "core.events",
    "ProcessGroupAdded": "core.events",
    "ProcessGroupRemoved": "core.events",
    "ProcessHealthy": "core.events",
    "ProcessLog": "core.events",
    "ProcessLogStderr": "core.events",
    "ProcessLogStdout": "core.events",
    "ProcessState": "core.events",
    "ProcessStateBackoff": "core.events",
    "ProcessStateExited": "core.events",
    "ProcessStateFatal": "core.events",
    "ProcessStateRunning": "core.events",
    "ProcessStateStarting": "core.events",
    "ProcessStateStopped": "core.events",
    "ProcessStateStopping": "core.events",
    "ProcessStateUnknown": "core.events",
    "ProcessUnhealthy": "core.events",
    "ProgramOptions": "core.config.keywords",
    "RejectEvent": "runtime.events.result_handlers",
    "RemoteCommunication": "core.events",
    "RequestError": "core.errors",
    "ResourceUsage": "core.process.exit",
    "Result": "runtime.process.process",
    "ServerError": "core.errors",
    "Severity": "core.diagnostics",
    "ShuttingDown": "core.errors",
    "SpawnFailed": "core.errors",
    "State": "core.process.states",
    "StateUnreachable": "core.errors",
    "StepKind": "core.plan",
    "StepResult": "runtime.groups.operations",
    "StillRunning": "core.errors",
    "StreamOverflow": "core.errors",
    "Supervisor": "runtime.supervisor",
    "SupervisorError": "core.errors",
    "SupervisorStateChange": "core.events",
    "SupervisorStateChangeRunning": "core.events",
    "SupervisorStateChangeStopping": "core.events",
    "TaskOptions": "core.config.keywords",
    "Tick": "core.events",
    "Tick3600": "core.events",
    "Tick5": "core.events",
    "Tick60": "core.events",
    "Tls": "core.config.access",
    "UnconditionalOptions": "core.config.keywords",
    "UnixServer": "core.config.model",
    "WaitsInVain": "core.errors",
    "What": "core.journal.entry",
    "Why": "core.journal.chain",
    "__version__": "_version",
    "load_config": "runtime.load",
    "open_supervisor": "runtime.embedding.block",
    "serve_http": "web.server",
}

__all__ = [
    "NOT_DONE_YET",
    "AbnormalTermination",
    "Access",
    "AlreadyAdded",
    "AlreadyStarted",
    "Autorestart",
    "BadName",
    "BadSignal",
    "CantReread",
    "Cause",
    "CauseKind",
    "ChannelConfig",
    "CommonOptions",
    "Completed",
    "Config",
    "ConfigError",
    "Credentials",
    "DaemonState",
    "Diff",
    "End",
    "Event",
    "EventStream",
    "Exit",
    "Extended",
    "Failed",
    "FaultCode",
    "Group",
    "GroupConfig",
    "GroupKind",
    "History",
    "InetServer",
    "InternalError",
    "JournalEntry",
    "Lines",
    "MergedOutput",
    "NoFile",
    "NotExecutable",
    "NotRunning",
    "OutputLine",
    "OutputStream",
    "Plan",
    "PlanStep",
    "PluginError",
    "PluginFault",
    "PoolConfig",
    "Process",
    "ProcessCommunication",
    "ProcessCommunicationStderr",
    "ProcessCommunicationStdout",
    "ProcessConfig",
    "ProcessFailed",
    "ProcessFlapping",
    "ProcessGroup",
    "ProcessGroupAdded",
    "ProcessGroupRemoved",
    "ProcessHealthy",
    "ProcessLog",
    "ProcessLogStderr",
    "ProcessLogStdout",
    "ProcessState",
    "ProcessStateBackoff",
    "ProcessStateExited",
    "ProcessStateFatal",
    "ProcessStateRunning",
    "ProcessStateStarting",
    "ProcessStateStopped",
    "ProcessStateStopping",
    "ProcessStateUnknown",
    "ProcessUnhealthy",
    "ProgramOptions",
    "RejectEvent",
    "RemoteCommunication",
    "RequestError",
    "ResourceUsage",
    "Result",
    "ServerError",
    "Severity",
    "ShuttingDown",
    "SpawnFailed",
    "State",
    "StateUnreachable",
    "StepKind",
    "StepResult",
    "StillRunning",
    "StreamOverflow",
    "Supervisor",
    "SupervisorError",
    "SupervisorStateChange",
    "SupervisorStateChangeRunning",
    "SupervisorStateChangeStopping",
    "TaskOptions",
    "Tick",
    "Tick5",
    "Tick60",
    "Tick3600",
    "Tls",
    "UnconditionalOptions",
    "UnixServer",
    "WaitsInVain",
    "What",
    "Why",
    "load_config",
    "open_supervisor",
    "serve_http",
]


if not TYPE_CHECKING:  # else type checkers would accept every name

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
