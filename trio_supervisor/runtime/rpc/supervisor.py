"""The table of the ``supervisor.*`` methods, aliases included."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from trio_supervisor.runtime.inspect.info import (
    all_config_info,
    all_process_info,
    clamped,
    process_info,
)
from trio_supervisor.runtime.rpc import control, logs
from trio_supervisor.runtime.rpc.method import INTEGER, NAME, QUOTED, SCALAR, WAIT, Method

if TYPE_CHECKING:
    from trio_supervisor.core.xmlrpc import Value
    from trio_supervisor.runtime.supervisor import Supervisor

#: supervisorctl refuses to work with any other.
API_VERSION = "3.0"
#: Of the Supervisor release whose behaviour we have; clients compare it as a version.
SUPERVISOR_VERSION = "4.3.0+trio1"


async def api_version(supervisor: Supervisor) -> Value:
    """Tell the version of this interface.

    @return string  the version
    """
    return API_VERSION


async def supervisor_version(supervisor: Supervisor) -> Value:
    """Tell the version of Supervisor that this program behaves like.

    @return string  the version
    """
    return SUPERVISOR_VERSION


async def identification(supervisor: Supervisor) -> Value:
    """Tell the configured name of this supervisor.

    @return string  the identifier
    """
    return supervisor.config.daemon.identifier


async def state(supervisor: Supervisor) -> Value:
    """Tell the state of the supervisor as a whole.

    @return struct  {statecode: int, statename: string}
    """
    return {"statecode": int(supervisor.state), "statename": supervisor.state.name}


async def pid(supervisor: Supervisor) -> Value:
    """Tell the process id of the supervisor.

    @return int  the pid
    """
    return os.getpid()


async def one_process_info(supervisor: Supervisor, name: str) -> Value:
    """Tell all about one process.

    @param string name  the process
    @return struct      its state, times, logs, pid and a line of description
    """
    return process_info(supervisor.process(name), supervisor.wall_clock())


async def every_process_info(supervisor: Supervisor) -> Value:
    """Tell all about every process, by group name, then process name.

    @return array  one struct for each process
    """
    return list(all_process_info(supervisor))


async def every_config_info(supervisor: Supervisor) -> Value:
    """Tell the configuration last read, whether or not it is active.

    @return array  one struct for each process
    """
    return [clamped(info) for info in all_config_info(supervisor)]


_READ = (INTEGER, INTEGER)
_READ_OF = (NAME, INTEGER, INTEGER)

METHODS = (
    Method("addProcessGroup", "boolean", (NAME,), control.add_process_group),
    Method("clearAllProcessLogs", "array", (), logs.clear_all_process_logs),
    Method("clearLog", "boolean", (), logs.clear_main_log),
    Method("clearProcessLog", "boolean", (NAME,), logs.clear_process_logs),
    Method("clearProcessLogs", "boolean", (NAME,), logs.clear_process_logs),
    Method("getAPIVersion", "string", (), api_version, reads=True),
    Method("getAllConfigInfo", "array", (), every_config_info, reads=True),
    Method("getAllProcessInfo", "array", (), every_process_info, reads=True),
    Method("getIdentification", "string", (), identification, reads=True),
    Method("getPID", "int", (), pid, reads=True),
    Method("getProcessInfo", "struct", (NAME,), one_process_info, reads=True),
    Method("getState", "struct", (), state, reads=True),
    Method("getSupervisorVersion", "string", (), supervisor_version, reads=True),
    Method("getVersion", "string", (), api_version, reads=True),
    Method("readLog", "string", _READ, logs.read_main_log, reads=True),
    Method("readMainLog", "string", _READ, logs.read_main_log, reads=True),
    Method("readProcessLog", "string", _READ_OF, logs.read_stdout_log, reads=True),
    Method("readProcessStderrLog", "string", _READ_OF, logs.read_stderr_log, reads=True),
    Method("readProcessStdoutLog", "string", _READ_OF, logs.read_stdout_log, reads=True),
    Method("reloadConfig", "array", (), control.reload_config),
    Method("removeProcessGroup", "boolean", (NAME,), control.remove_process_group),
    Method("restart", "boolean", (), control.restart),
    Method("sendProcessStdin", "boolean", (NAME, QUOTED), control.send_process_stdin),
    Method(
        "sendRemoteCommEvent",
        "boolean",
        (SCALAR, SCALAR),
        control.send_remote_comm_event,
        always=True,
    ),
    Method("shutdown", "boolean", (), control.shutdown),
    Method("signalAllProcesses", "array", (SCALAR,), control.signal_all_processes),
    Method("signalProcess", "boolean", (NAME, SCALAR), control.signal_process),
    Method("signalProcessGroup", "array", (NAME, SCALAR), control.signal_process_group),
    Method("startAllProcesses", "array", (WAIT,), control.start_all_processes),
    Method("startProcess", "boolean", (NAME, WAIT), control.start_process),
    Method("startProcessGroup", "array", (NAME, WAIT), control.start_process_group),
    Method("stopAllProcesses", "array", (WAIT,), control.stop_all_processes),
    Method("stopProcess", "boolean", (NAME, WAIT), control.stop_process),
    Method("stopProcessGroup", "array", (NAME, WAIT), control.stop_process_group),
    Method("tailProcessLog", "array", _READ_OF, logs.tail_stdout_log, reads=True),
    Method("tailProcessStderrLog", "array", _READ_OF, logs.tail_stderr_log, reads=True),
    Method("tailProcessStdoutLog", "array", _READ_OF, logs.tail_stdout_log, reads=True),
)
