"""Remote methods over a fake supervisor: names, arguments, faults, results."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kit.fake_supervisor import NOW, FakeActivity, FakeSupervisor
from trio_supervisor.core.config.model import (
    AUTO,
    Autorestart,
    ChannelConfig,
    DaemonConfig,
    Diff,
    GroupConfig,
    GroupKind,
    ProcessConfig,
)
from trio_supervisor.core.errors import (
    CantReread,
    Failed,
    NoFile,
    NotExecutable,
    RequestError,
    SpawnFailed,
)
from trio_supervisor.core.process.states import DaemonState, State
from trio_supervisor.core.xmlrpc import Value
from trio_supervisor.runtime.inspect.info import format_uptime, process_info
from trio_supervisor.runtime.logs.logread import ANSWER_LIMIT
from trio_supervisor.runtime.rpc.calls import FULL, Rpc
from trio_supervisor.runtime.rpc.method import NAME, Method

Fake = FakeSupervisor


async def answer(fake: FakeSupervisor, method: str, *params: Value) -> object:
    """The result, or for a fault its number and text."""
    try:
        return await Rpc(fake.real).call(method, list(params))
    except RequestError as error:
        return int(error.code), str(error)


@pytest.fixture
def fake() -> FakeSupervisor:
    return FakeSupervisor("cat", "grp:ga", "grp:gb", "off")


#: Every method, its result type, then its parameters' types.
SIGNATURES = """
supervisor.addProcessGroup boolean string
supervisor.clearAllProcessLogs array
supervisor.clearLog boolean
supervisor.clearProcessLog boolean string
supervisor.clearProcessLogs boolean string
supervisor.getAPIVersion string
supervisor.getAllConfigInfo array
supervisor.getAllProcessInfo array
supervisor.getIdentification string
supervisor.getPID int
supervisor.getProcessInfo struct string
supervisor.getState struct
supervisor.getSupervisorVersion string
supervisor.getVersion string
supervisor.readLog string int int
supervisor.readMainLog string int int
supervisor.readProcessLog string string int int
supervisor.readProcessStderrLog string string int int
supervisor.readProcessStdoutLog string string int int
supervisor.reloadConfig array
supervisor.removeProcessGroup boolean string
supervisor.restart boolean
supervisor.sendProcessStdin boolean string string
supervisor.sendRemoteCommEvent boolean string string
supervisor.shutdown boolean
supervisor.signalAllProcesses array string
supervisor.signalProcess boolean string string
supervisor.signalProcessGroup array string string
supervisor.startAllProcesses array boolean
supervisor.startProcess boolean string boolean
supervisor.startProcessGroup array string boolean
supervisor.stopAllProcesses array boolean
supervisor.stopProcess boolean string boolean
supervisor.stopProcessGroup array string boolean
supervisor.tailProcessLog array string int int
supervisor.tailProcessStderrLog array string int int
supervisor.tailProcessStdoutLog array string int int
system.listMethods array
system.methodHelp string string
system.methodSignature array string
system.multicall array array
tsupervisor.getAllProcessDetails array
tsupervisor.getDependencies array
tsupervisor.getHistory array array double string int
tsupervisor.getPoolInfo array
tsupervisor.getProcessDetails struct string
tsupervisor.getUnhealthy array array boolean
tsupervisor.getUpgrade struct
tsupervisor.refresh array array
tsupervisor.reopenLogs boolean array
tsupervisor.startWithoutDependencies boolean string boolean
tsupervisor.upgrade struct
tsupervisor.waitForState array array array double
tsupervisor.why struct string
"""
TABLE = [line.split() for line in SIGNATURES.split("\n") if line]
SUPERVISOR_TABLE = [row for row in TABLE if row[0].startswith("supervisor.")]
#: An argument of each type that passes the type check.
SAMPLES: dict[str, Value] = {
    "string": "cat",
    "int": 0,
    "double": 0.5,
    "boolean": True,
    "array": [],
}


async def test_list_methods_has_the_41_and_ours(fake: Fake) -> None:
    assert await answer(fake, "system.listMethods") == [name for name, *_ in TABLE]
    assert len([row for row in TABLE if not row[0].startswith("tsupervisor.")]) == 41


@pytest.mark.behaviour("http.md#system-methods")
@pytest.mark.parametrize(("name", "types"), [(row[0], row[1:]) for row in TABLE])
async def test_signatures_and_help(fake: Fake, name: str, types: list[str]) -> None:
    assert await answer(fake, "system.methodSignature", name) == types
    text = await answer(fake, "system.methodHelp", name)
    assert isinstance(text, str)
    assert text.count("@param") == len(types) - 1
    assert f"@return {types[0]}" in text
    for line, type in zip(
        [line for line in text.splitlines() if line.startswith("@param")], types[1:], strict=True
    ):
        assert line.split()[1] == type


@pytest.mark.behaviour("http.md#system-methods")
async def test_unknown_names_have_no_help(fake: Fake) -> None:
    for method in ("methodHelp", "methodSignature"):
        assert await answer(fake, f"system.{method}", "supervisor.zz") == (
            4,
            "SIGNATURE_UNSUPPORTED",
        )


@pytest.mark.behaviour("http.md#unknown-methods")
@pytest.mark.parametrize(
    "name",
    [
        " supervisor.getState ",
        "getState",
        "supervisor.a.b",
        "nope.x",
        "supervisor.nope",
        "supervisor._update",
        "supervisor.supervisord",
        "supervisor.__class__",
        "",
    ],
)
async def test_unknown_methods_are_faults(fake: Fake, name: str) -> None:
    assert await answer(fake, name) == (1, "UNKNOWN_METHOD")


@pytest.mark.behaviour("http.md#methods-of-plugins", "configuration.md#rpc-interfaces")
async def test_without_its_section_the_main_namespace_is_missing() -> None:
    fake = FakeSupervisor("cat", rpcinterfaces=())
    assert await answer(fake, "supervisor.getVersion") == (1, "UNKNOWN_METHOD")
    assert await answer(fake, "system.listMethods") == [
        name for name, *_ in TABLE if name.startswith("system.")
    ]


async def test_extension_namespaces(fake: Fake) -> None:

    async def greet(name: str) -> Value:
        """Say hello."""
        return f"hello {name}"

    rpc = Rpc(fake.real, {"my": [Method("greet", "string", (NAME,), greet)]})
    assert await rpc.call("my.greet", ["you"]) == "hello you"
    assert await rpc.call("system.methodHelp", ["my.greet"]) == "Say hello."
    fake.state = DaemonState.SHUTDOWN
    with pytest.raises(RequestError, match="SHUTDOWN_STATE"):
        await rpc.call("my.greet", ["you"])


@pytest.mark.behaviour("http.md#wrong-parameters")
@pytest.mark.parametrize(("name", "types"), [(row[0], row[2:]) for row in TABLE])
async def test_a_wrong_number_of_arguments_is_a_fault(
    fake: Fake, name: str, types: list[str]
) -> None:
    params = [SAMPLES[type] for type in types]
    assert await answer(fake, name, *params, 1) == (2, "INCORRECT_PARAMETERS")
    required = [type for type in types if type != "boolean"]
    if required:
        too_few = params[: len(required) - 1]
        assert await answer(fake, name, *too_few) == (2, "INCORRECT_PARAMETERS")


@pytest.mark.behaviour("http.md#wrong-parameters")
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("getProcessInfo", [5]),
        ("getProcessInfo", [["cat"]]),
        ("getProcessInfo", [{"a": "cat"}]),
        pytest.param("getProcessInfo", [datetime(2024, 1, 1)], id="date"),
        ("readLog", ["a", "10"]),
        ("readLog", [None, 0]),
        pytest.param("readLog", [[], 0], id="array-offset"),
        pytest.param("readLog", [float("inf"), 0], id="infinite-offset"),
        pytest.param("signalProcess", ["cat", ["HUP"]], id="signal-array"),
        pytest.param("sendRemoteCommEvent", ["t", {}], id="event-struct"),
    ],
)
async def test_wrong_types(fake: Fake, name: str, params: list[Value]) -> None:
    assert await answer(fake, f"supervisor.{name}", *params) == (2, "INCORRECT_PARAMETERS")


@pytest.mark.behaviour(
    "http.md#names-of-processes", "http.md#form-of-a-call", "http.md#groups-and-configuration"
)
@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("getProcessInfo", "zz"),
        ("getProcessInfo", ""),
        ("getProcessInfo", "é"),
        pytest.param("getProcessInfo", "grp:*", id="2.7-group"),
        pytest.param("getProcessInfo", "grp:", id="2.7-group-colon"),
        pytest.param("clearProcessLogs", "grp:*", id="2.7-clear-group"),
        pytest.param("startProcess", "ga", id="member"),
        pytest.param("startProcess", "grp", id="2.6-bare-group"),
        ("startProcess", "grp:zz"),
        ("startProcess", "nogrp:*"),
        pytest.param("stopProcess", "nogrp:", id="2.6-no-group"),
        pytest.param("startProcessGroup", "nogrp", id="startProcessGroup"),
        pytest.param("stopProcessGroup", "nogrp", id="2.7-stopProcessGroup"),
        ("addProcessGroup", "nogrp"),
        pytest.param("removeProcessGroup", "ga", id="2.7.1-remove"),
    ],
)
async def test_unknown_processes_and_groups(fake: Fake, method: str, name: str) -> None:
    assert await answer(fake, f"supervisor.{method}", name) == (10, f"BAD_NAME: {name}")


@pytest.mark.behaviour(
    "http.md#starting", "http.md#stopping", "process.md#a-second-stop-joins-the-first"
)
async def test_start_and_stop(fake: Fake) -> None:
    start, stop = "supervisor.startProcess", "supervisor.stopProcess"
    assert await answer(fake, start, "cat") is True
    assert fake.process("cat").state is State.RUNNING
    assert await answer(fake, start, "cat") == (60, "ALREADY_STARTED: cat")
    assert await answer(fake, start, "cat:cat") == (60, "ALREADY_STARTED: cat:cat")
    assert await answer(fake, stop, "cat", True) is True
    assert await answer(fake, stop, "cat") == (70, "NOT_RUNNING: cat")
    assert await answer(fake, stop, "grp:ga") == (70, "NOT_RUNNING: grp:ga")


@pytest.mark.behaviour(
    "http.md#starting", "process.md#a-start-request-on-a-stopping-or-unknown-process"
)
async def test_start_and_stop_without_waiting(fake: Fake) -> None:
    fake.process("cat").gate = trio.Event()  # never set
    assert await answer(fake, "supervisor.startProcess", "cat", False) is True
    assert await answer(fake, "supervisor.stopProcess", "cat", 0) is True
    assert fake.process("cat").state is State.STOPPING
    expected = (40, "ABNORMAL_TERMINATION: cat")
    assert await answer(fake, "supervisor.startProcess", "cat", False) == expected


@pytest.mark.behaviour("http.md#starting", "http.md#faults")
@pytest.mark.parametrize(
    ("failure", "fault"),
    [
        pytest.param(
            NoFile("can't find command '/n/x'"), (20, "NO_FILE: can't find command '/n/x'"), id="20"
        ),
        pytest.param(
            NotExecutable("command at '/etc' is a directory"),
            (21, "NOT_EXECUTABLE: command at '/etc' is a directory"),
            id="21",
        ),
        (SpawnFailed("off"), (50, "SPAWN_ERROR: off:off")),
        pytest.param(Failed("reason"), (30, "FAILED: reason"), id="30"),
    ],
)
async def test_failures_of_a_start_have_faults_of_their_own(
    fake: Fake, failure: RequestError, fault: object
) -> None:
    fake.process("off").failure = failure
    assert await answer(fake, "supervisor.startProcess", "off:off") == fault


def entry(name: str, status: int = 80, description: str = "OK", group: str = "grp") -> Value:
    return {"name": name, "group": group, "status": status, "description": description}


@pytest.mark.behaviour(
    "http.md#results-for-several-processes",
    "http.md#names-of-processes",
    "process.md#requests-for-several-processes",
)
@pytest.mark.parametrize(
    ("method", "name"),
    [("startProcessGroup", "grp"), ("startProcess", "grp:*"), ("startProcess", "grp:")],
    ids=["by-group", "by-pattern", "by-colon"],
)
async def test_starting_a_group(fake: Fake, method: str, name: str) -> None:
    fake.process("grp:gb").failure = SpawnFailed("grp:gb")
    expected = [entry("ga"), entry("gb", 50, "SPAWN_ERROR: grp:gb")]
    assert await answer(fake, f"supervisor.{method}", name) == expected
    fake.process("grp:gb").failure = None
    assert await answer(fake, f"supervisor.{method}", name) == [entry("gb")]
    assert await answer(fake, f"supervisor.{method}", name) == []


@pytest.mark.behaviour("http.md#results-for-several-processes")
@pytest.mark.parametrize(
    ("method", "name"),
    [("stopProcessGroup", "grp"), ("stopProcess", "grp:*")],
    ids=["by-group", "by-pattern"],
)
async def test_stopping_a_group(fake: Fake, method: str, name: str) -> None:
    fake.process("grp:ga").run()
    assert await answer(fake, f"supervisor.{method}", name) == [entry("ga")]


@pytest.mark.behaviour("http.md#results-for-several-processes")
async def test_starting_and_stopping_all(fake: Fake) -> None:
    everything = [entry("cat", group="cat"), entry("ga"), entry("gb"), entry("off", group="off")]
    assert await answer(fake, "supervisor.startAllProcesses") == everything
    assert await answer(fake, "supervisor.startAllProcesses", False) == []
    assert await answer(fake, "supervisor.stopAllProcesses", True) == everything


@pytest.mark.behaviour("http.md#signalling")
@pytest.mark.parametrize(
    ("sent", "number"),
    [("HUP", 1), ("SIGCONT", 18), ("cont", 18), ("18", 18), (18, 18), ("0", 0), (" usr1 ", 10)],
)
async def test_signals_by_name_and_number(fake: Fake, sent: Value, number: int) -> None:
    fake.process("cat").run()
    assert await answer(fake, "supervisor.signalProcess", "cat", sent) is True
    assert fake.process("cat").signals == [number]


@pytest.mark.behaviour("http.md#signalling", "process.md#signal-requests")
@pytest.mark.parametrize(
    "sent",
    ["FOO", "999", "", "-1", "SIG_IGN", "SIG_DFL", "_IGN", "\u0669", "\u00b9", "9" * 5000],
)
async def test_unknown_signals_are_faults(fake: Fake, sent: str) -> None:
    """The signal is checked before the state, and the name before the signal."""
    assert await answer(fake, "supervisor.signalProcess", "cat", sent) == (
        11,
        f"BAD_SIGNAL: {sent}",
    )
    assert await answer(fake, "supervisor.signalProcess", "zz", sent) == (10, "BAD_NAME: zz")


@pytest.mark.parametrize("number", [10**400, 1e300, "9" * 5000, "\u0663"])
async def test_numbers_that_no_clock_and_no_file_takes(fake: Fake, number: Value) -> None:
    bad = (2, "INCORRECT_PARAMETERS")
    assert await answer(fake, "supervisor.readLog", number, 0) == bad
    if isinstance(number, int):
        assert await answer(fake, "tsupervisor.waitForState", [], ["RUNNING"], number) == bad


@pytest.mark.behaviour("http.md#signalling")
async def test_signalling_groups(fake: Fake) -> None:
    assert await answer(fake, "supervisor.signalProcess", "cat", "HUP") == (70, "NOT_RUNNING: cat")
    fake.process("grp:ga").run()
    for method, params in (
        ("signalProcessGroup", ["grp"]),
        ("signalProcess", ["grp:*"]),
        ("signalAllProcesses", []),
    ):
        bad = await answer(fake, f"supervisor.{method}", *params, "FOO")
        assert bad == [entry("ga", 11, "BAD_SIGNAL: FOO")]
        assert await answer(fake, f"supervisor.{method}", *params, "USR1") == [entry("ga")]
    assert fake.process("grp:ga").signals == [10, 10, 10]


@pytest.mark.behaviour("http.md#writing-to-stdin")
async def test_sending_to_stdin(fake: Fake) -> None:
    method = "supervisor.sendProcessStdin"
    assert await answer(fake, method, "cat", 5) == (2, "INCORRECT_PARAMETERS: 5")
    assert await answer(fake, method, "zz", 5) == (2, "INCORRECT_PARAMETERS: 5")
    assert await answer(fake, method, "zz", "x") == (10, "BAD_NAME: zz")
    assert await answer(fake, method, "cat:cat", "x") == (70, "NOT_RUNNING: cat:cat")
    fake.process("cat").run()
    assert await answer(fake, method, "cat", "héllo\n") is True
    assert fake.process("cat").stdin == "héllo\n".encode()


async def test_the_stdin_of_a_listener_is_its_protocol(fake: Fake) -> None:
    fake.process("cat").run()
    fake.process("cat").kind = GroupKind.POOL
    fault = await answer(fake, "supervisor.sendProcessStdin", "cat", "x")
    assert isinstance(fault, tuple)
    assert fault[0] == 30
    assert fake.process("cat").stdin == b""


@pytest.mark.behaviour("events.md#remote-events")
async def test_remote_communication(fake: Fake) -> None:
    """In every state, integers in decimal, empty strings allowed."""
    fake.state = DaemonState.SHUTDOWN
    assert await answer(fake, "supervisor.sendRemoteCommEvent", "t", "d") is True
    assert await answer(fake, "supervisor.sendRemoteCommEvent", 5, "") is True
    assert fake.communications == [("t", "d"), ("5", "")]


@pytest.mark.behaviour("configuration.md#a-reread-changes-nothing-that-runs")
async def test_reload_config_lists_changed_groups(fake: Fake) -> None:
    assert await answer(fake, "supervisor.reloadConfig") == [[[], [], []]]
    fake.found = Diff(added=("newone",), changed=("zero",), removed=("isdir",))
    assert await answer(fake, "supervisor.reloadConfig") == [[["newone"], ["zero"], ["isdir"]]]
    fake.failure = CantReread("could not find config file a.conf")
    fault = (92, "CANT_REREAD: could not find config file a.conf")
    assert await answer(fake, "supervisor.reloadConfig") == fault


@pytest.mark.behaviour("http.md#groups-and-configuration")
async def test_adding_and_removing_groups(fake: Fake) -> None:
    add, remove = "supervisor.addProcessGroup", "supervisor.removeProcessGroup"
    fake.process("cat").run()
    assert await answer(fake, add, "cat") == (90, "ALREADY_ADDED: cat")
    assert await answer(fake, remove, "cat") == (91, "STILL_RUNNING: cat")
    assert await answer(fake, remove, "grp") is True
    assert await answer(fake, remove, "grp") == (10, "BAD_NAME: grp")
    assert await answer(fake, add, "grp") is True


async def test_facts_about_the_supervisor(fake: Fake) -> None:
    assert await answer(fake, "supervisor.getVersion") == "3.0"
    assert await answer(fake, "supervisor.getAPIVersion") == "3.0"
    version = await answer(fake, "supervisor.getSupervisorVersion")
    assert isinstance(version, str)
    assert version.startswith("4.3.0")
    assert await answer(fake, "supervisor.getIdentification") == "supervisor"
    assert await answer(fake, "supervisor.getPID") == os.getpid()
    assert await answer(fake, "supervisor.getState") == {"statecode": 1, "statename": "RUNNING"}


@pytest.mark.behaviour(
    "http.md#shutdown_state", "http.md#shutdown-and-restart-by-xml-rpc", "http.md#wrong-parameters"
)
@pytest.mark.parametrize(
    ("method", "state"),
    [("shutdown", DaemonState.SHUTDOWN), ("restart", DaemonState.RESTARTING)],
    ids=["shutdown", "restart"],
)
async def test_going_down(fake: Fake, method: str, state: DaemonState) -> None:
    """Fault 6 from all but two, after the count and the types were checked."""
    assert await answer(fake, f"supervisor.{method}") is True
    assert fake.state is state
    for name, _, *types in SUPERVISOR_TABLE:
        if name != "supervisor.sendRemoteCommEvent":
            params = [SAMPLES[type] for type in types]
            assert await answer(fake, name, *params) == (6, "SHUTDOWN_STATE")
    assert await answer(fake, "supervisor.getProcessInfo", "zz") == (6, "SHUTDOWN_STATE")
    assert await answer(fake, "supervisor.getProcessInfo", 5) == (2, "INCORRECT_PARAMETERS")
    assert await answer(fake, "supervisor.nope") == (1, "UNKNOWN_METHOD")
    calls: list[Value] = [{"methodName": "supervisor.getState"}]
    fault = {"faultCode": 6, "faultString": "SHUTDOWN_STATE"}
    assert await answer(fake, "system.multicall", calls) == [fault]


@pytest.mark.behaviour("process.md#restart-of-the-daemon")
async def test_a_restart_into_a_bad_configuration_is_refused(fake: Fake) -> None:
    fake.failure = CantReread("bad value")
    assert await answer(fake, "supervisor.restart") == (92, "CANT_REREAD: bad value")
    assert fake.state is DaemonState.RUNNING


# Information about processes


@pytest.mark.behaviour("process.md#description-of-an-exit")
async def test_process_info_keys_and_order(fake: Fake) -> None:
    """Nothing is added."""
    fake.process("cat").run()
    fake.process("cat").stdout.logfile = "/log/out"
    fake.process("cat").stderr.logfile = "/log/err"
    info = await answer(fake, "supervisor.getProcessInfo", "cat")
    assert info == {
        "name": "cat",
        "group": "cat",
        "start": int(NOW) - 65,
        "stop": 0,
        "now": int(NOW),
        "state": 20,
        "statename": "RUNNING",
        "spawnerr": "",
        "exitstatus": 0,
        "logfile": "/log/out",
        "stdout_logfile": "/log/out",
        "stderr_logfile": "/log/err",
        "pid": 4242,
        "description": "pid 4242, uptime 0:01:05",
    }
    assert isinstance(info, dict)
    assert " ".join(info) == (
        "name group start stop now state statename spawnerr exitstatus logfile stdout_logfile "
        "stderr_logfile pid description"
    )
    assert type(info["state"]) is int


STOPPED_AT = time.strftime("%b %d %I:%M %p", time.localtime(NOW))
UNKNOWN = 'unknown error (try "tail cat")'


@pytest.mark.behaviour("http.md#information-about-a-process")
@pytest.mark.parametrize(
    ("state", "stopped", "error", "text"),
    [
        pytest.param(State.STARTING, 0.0, "", "", id="STARTING"),
        pytest.param(State.STOPPING, 0.0, "", "", id="STOPPING"),
        pytest.param(State.UNKNOWN, NOW, "", "", id="UNKNOWN"),
        pytest.param(State.BACKOFF, 0.0, "Bad exit code 7", "Bad exit code 7", id="BACKOFF"),
        pytest.param(State.FATAL, 0.0, "", UNKNOWN, id="FATAL"),
        pytest.param(State.STOPPED, 0.0, "", "Not started", id="never"),
        (State.STOPPED, NOW, "", STOPPED_AT),
        (State.EXITED, NOW, "Bad exit code 7", STOPPED_AT),
    ],
)
def test_descriptions(fake: Fake, state: State, stopped: float, error: str, text: str) -> None:
    process = fake.process("cat")
    process.state, process.stopped, process.spawn_error = state, stopped, error
    process.started = NOW  # an attempt; without any end there is still nothing to show
    info = process_info(process, NOW)  # type: ignore[arg-type]  # a fake process
    assert info["description"] == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0:00:00"),
        (59, "0:00:59"),
        (3661, "1:01:01"),
        (86399, "23:59:59"),
        (86400, "1 day, 0:00:00"),
        (3 * 86400 + 36_065, "3 days, 10:01:05"),
    ],
)
def test_uptime(seconds: int, text: str) -> None:
    assert format_uptime(seconds) == text


@pytest.mark.behaviour("http.md#integers-beyond-32-bits")
def test_timestamps_stay_within_32_bits(fake: Fake) -> None:
    process = fake.process("cat")
    process.run()
    process.started = 2.0**31 + 10
    info = process_info(process, 2.0**31 + 100)  # type: ignore[arg-type]  # a fake process
    assert (info["start"], info["now"]) == (2**31 - 1, 2**31 - 1)


async def test_all_process_info_is_sorted() -> None:
    fake = FakeSupervisor("b:z", "b:a", "a", "B")
    infos = await answer(fake, "supervisor.getAllProcessInfo")
    assert isinstance(infos, list)
    assert [(i["group"], i["name"]) for i in infos] == [
        ("B", "B"),
        ("a", "a"),
        ("b", "a"),
        ("b", "z"),
    ]


# Information about the configuration


@pytest.mark.behaviour("http.md#information-about-the-configuration")
async def test_config_info(fake: Fake) -> None:
    process = ProcessConfig(
        name="zero",
        command="/bin/zero -x",
        autorestart=Autorestart.ALWAYS,
        exitcodes=(0, 2),
        stdout=ChannelConfig(logfile=None, maxbytes=3 * 1024**3, syslog=True),
        stderr=ChannelConfig(logfile="/log/err", backups=3, events_enabled=True),
        uid=33,
        directory="/tmp",
    )
    fake.candidates = (GroupConfig(name="zgroup", processes=(process,), priority=5),)
    infos = await answer(fake, "supervisor.getAllConfigInfo")
    assert infos == [
        {
            "autostart": True,
            "autorestart": True,
            "directory": "/tmp",
            "uid": 33,
            "command": "/bin/zero -x",
            "exitcodes": [0, 2],
            "group": "zgroup",
            "group_prio": 5,
            "inuse": False,
            "killasgroup": False,
            "name": "zero",
            "process_prio": 999,
            "redirect_stderr": False,
            "startretries": 3,
            "startsecs": 1,
            "stdout_capture_maxbytes": 0,
            "stdout_events_enabled": False,
            "stdout_logfile": "none",
            "stdout_logfile_backups": 10,
            "stdout_logfile_maxbytes": 2**31 - 1,  # clients read 32 bits
            "stdout_syslog": True,
            "stopsignal": 15,
            "stopwaitsecs": 10,
            "stderr_capture_maxbytes": 0,
            "stderr_events_enabled": True,
            "stderr_logfile": "/log/err",
            "stderr_logfile_backups": 3,
            "stderr_logfile_maxbytes": 50 * 1024**2,
            "stderr_syslog": False,
            "serverurl": "none",
        }
    ]


async def test_config_info_of_automatic_and_unset_values(fake: Fake) -> None:
    fake.candidates = (
        GroupConfig(
            name="cat",
            processes=(
                ProcessConfig(name="cat", command="c", serverurl=AUTO),
                ProcessConfig(
                    name="new", command="n", serverurl="http://h:1", autorestart=Autorestart.NEVER
                ),
            ),
        ),
        GroupConfig(name="a", processes=(ProcessConfig(name="ant", command="a"),)),
    )
    fake.process("cat").stdout.logfile = "/tmp/cat-stdout.log"
    infos = await answer(fake, "supervisor.getAllConfigInfo")
    assert isinstance(infos, list)
    assert [i["name"] for i in infos] == ["ant", "cat", "new"]
    ant, cat, new = infos
    # An empty value is shown as it was written, not as one that is not set.
    empty = ChannelConfig(logfile="")
    process = ProcessConfig(name="e", command="c", serverurl="", stdout=empty, stderr=empty)
    fake.candidates = (GroupConfig(name="e", processes=(process,)),)
    shown = await answer(fake, "supervisor.getAllConfigInfo")
    assert isinstance(shown, list)
    assert [shown[0][key] for key in ("serverurl", "stdout_logfile", "stderr_logfile")] == [""] * 3
    assert (ant["inuse"], ant["stdout_logfile"], ant["autorestart"]) == (
        False,
        "auto",
        "unexpected",
    )
    assert (cat["inuse"], cat["stdout_logfile"]) == (True, "/tmp/cat-stdout.log")
    assert (cat["uid"], cat["directory"], cat["serverurl"]) == ("none", "none", "none")
    assert (new["serverurl"], new["stdout_logfile"], new["autorestart"]) == (
        "http://h:1",
        "auto",
        False,
    )


# Logs


def write(path: Path, text: str) -> None:
    path.write_text(text)


def content(path: Path) -> str:
    return path.read_text()


def erase(path: Path) -> None:
    path.unlink()


@pytest.fixture
def log(fake: Fake, tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_bytes(b"0123456789abcdefghij")
    fake.process("cat").stdout.logfile = fake.process("cat").stderr.logfile = str(path)
    fake.activity = FakeActivity(str(path))
    return path


@pytest.mark.behaviour("http.md#types-of-parameters")
@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 10), ("0", "10"), (0.9, 10.9), (False, 10)],
    ids=["i4", "strings", "doubles", "boolean"],
)
async def test_numbers_in_every_type(fake: Fake, log: Path, offset: Value, length: Value) -> None:
    assert await answer(fake, "supervisor.readLog", offset, length) == "0123456789"
    assert await answer(fake, "supervisor.readMainLog", offset, length) == "0123456789"


@pytest.mark.behaviour("http.md#reading-logs", "http.md#tailing-logs")
async def test_logs_are_read(fake: Fake, log: Path) -> None:
    for kind in ("ProcessStdoutLog", "ProcessStderrLog", "ProcessLog"):
        assert await answer(fake, f"supervisor.read{kind}", "cat", -4, 0) == "ghij"
        fault = (3, "BAD_ARGUMENTS")
        assert await answer(fake, f"supervisor.read{kind}", "cat", -4, 2) == fault
        tail = await answer(fake, f"supervisor.tail{kind}", "cat", 5, 16)
        assert tail == ["456789abcdefghij", 20, False]


async def test_answers_from_logs_are_bounded_by_an_option(fake: Fake, log: Path) -> None:
    fake.config = replace(fake.config, daemon=DaemonConfig(log_answer_maxbytes=3))
    assert await answer(fake, "supervisor.readLog", 0, 0) == "hij"
    assert await answer(fake, "supervisor.readProcessStdoutLog", "cat", 0, 0) == "hij"
    assert await answer(fake, "supervisor.tailProcessStdoutLog", "cat", 0, 9) == ["hij", 20, True]


@pytest.mark.behaviour("http.md#reading-logs")
async def test_reading_missing_logs(fake: Fake, log: Path) -> None:
    erase(log)
    read, tail = "supervisor.readProcessStdoutLog", "supervisor.tailProcessStdoutLog"
    assert await answer(fake, read, "cat", 0, 0) == (20, f"NO_FILE: {log}")
    assert await answer(fake, tail, "cat", 0, 5) == ["", 0, False]
    assert await answer(fake, read, "off", 0, 0) == (20, "NO_FILE")
    assert await answer(fake, tail, "off", 7, 5) == ["", 0, False]
    assert await answer(fake, tail, "zz", 0, 5) == (10, "BAD_NAME: zz")


async def test_the_main_log(fake: Fake, log: Path) -> None:
    assert await answer(fake, "supervisor.clearLog") is True
    assert content(log) == "new\n"
    assert fake.activity is not None
    fake.activity.broken = True
    fault = await answer(fake, "supervisor.clearLog")
    assert fault == (30, f"FAILED: cannot clear {log}: Permission denied")
    fake.activity.broken = False
    erase(log)
    assert await answer(fake, "supervisor.clearLog") == (20, f"NO_FILE: {log}")
    for activity in (None, FakeActivity(None)):
        fake.activity = activity
        assert await answer(fake, "supervisor.clearLog") == (20, "NO_FILE")
        assert await answer(fake, "supervisor.readLog", 0, 0) == (20, "NO_FILE")


@pytest.mark.behaviour("http.md#clearing-logs-by-xml-rpc", "process.md#clearing-logs")
async def test_clearing_logs(fake: Fake, log: Path) -> None:
    """At once, whether or not it runs."""
    for name in ("clearProcessLog", "clearProcessLogs"):
        write(log, "old")
        assert await answer(fake, f"supervisor.{name}", "cat") is True
        assert content(log) == ""
    fake.process("cat").stdout.broken = True
    text = f"FAILED: cannot clear {log}: Permission denied"
    assert await answer(fake, "supervisor.clearProcessLogs", "cat") == (30, text)
    assert await answer(fake, "supervisor.clearAllProcessLogs") == [
        entry("cat", 30, text, group="cat"),
        entry("ga"),
        entry("gb"),
        entry("off", group="off"),
    ]


# Methods of system


def listed(name: str, *params: Value) -> Value:
    return {"methodName": name, "params": list(params)}


@pytest.mark.behaviour("http.md#systemmulticall")
async def test_multicall_returns_bare_values(fake: Fake) -> None:
    """Results are the bare values, not arrays of one element."""
    assert await answer(fake, "system.multicall", []) == []
    calls: list[Value] = [
        listed("supervisor.getPID"),
        {"methodName": "supervisor.getAPIVersion"},
        listed("supervisor.getState"),
    ]
    expected = [os.getpid(), "3.0", {"statecode": 1, "statename": "RUNNING"}]
    assert await answer(fake, "system.multicall", calls) == expected


async def test_the_results_of_a_multicall_have_a_limit_together(fake: Fake) -> None:
    """Twenty reads of a large log would be twenty times the limit of one."""
    carried_out = []

    async def read() -> Value:
        carried_out.append(True)
        return "x" * 6 * 1024 * 1024

    rpc = Rpc(fake.real, {"my": [Method("read", "string", (), read)]})
    calls: list[Value] = [listed("supervisor.getPID"), *[listed("my.read")] * 20]
    results = await rpc.call("system.multicall", [calls])
    assert isinstance(results, list)
    full = FULL.format(ANSWER_LIMIT)
    fault = {"faultCode": 30, "faultString": f"FAILED: not carried out: {full}"}
    assert [len(r) for r in results if isinstance(r, str)] == [6 * 1024 * 1024] * 3
    assert (results[0], results[4:]) == (os.getpid(), [fault] * 17)
    assert len(carried_out) == 3


async def test_a_larger_limit_of_answers_is_that_of_a_multicall(fake: Fake) -> None:
    daemon = replace(fake.config.daemon, log_answer_maxbytes=2 * ANSWER_LIMIT)
    fake.config = replace(fake.config, daemon=daemon)

    async def read() -> Value:
        return "x" * ANSWER_LIMIT

    rpc = Rpc(fake.real, {"my": [Method("read", "string", (), read)]})
    results = await rpc.call("system.multicall", [[listed("my.read")] * 3])
    assert isinstance(results, list)
    assert [isinstance(result, str) for result in results] == [True, True, False]


async def test_a_multicall_lets_others_run_between_its_calls(fake: Fake) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        await answer(fake, "system.multicall", [listed("supervisor.getPID")] * 100)
        assert turns > 50
        nursery.cancel_scope.cancel()


async def test_a_multicall_that_ends_the_daemon_is_answered(fake: Fake) -> None:
    """Its server is cancelled as soon as the loop turns."""
    with trio.CancelScope() as scope:
        fake.request_shutdown = scope.cancel  # type: ignore[method-assign]  # a spy
        calls: list[Value] = [listed("supervisor.shutdown"), listed("supervisor.getPID")]
        results = await Rpc(fake.real).call("system.multicall", [calls])
        assert results == [True, os.getpid()]


@pytest.mark.behaviour("http.md#systemmulticall")
async def test_faults_within_multicall(fake: Fake) -> None:
    calls: list[Value] = [
        listed("supervisor.getProcessInfo", "zz"),
        listed("nope.x"),
        listed("supervisor.getState", 1),
        {"params": []},
        listed("system.multicall", []),
        {"methodName": 5},
        {"methodName": "supervisor.getPID", "params": "ab"},
        {"methodName": "supervisor.getPID", "params": {}},
        listed("supervisor.getPID"),
    ]
    assert await answer(fake, "system.multicall", calls) == [
        {"faultCode": 10, "faultString": "BAD_NAME: zz"},
        {"faultCode": 1, "faultString": "UNKNOWN_METHOD"},
        {"faultCode": 2, "faultString": "INCORRECT_PARAMETERS"},
        {"faultCode": 2, "faultString": "INCORRECT_PARAMETERS: No methodName"},
        {
            "faultCode": 2,
            "faultString": "INCORRECT_PARAMETERS: Recursive system.multicall forbidden",
        },
        {"faultCode": 1, "faultString": "UNKNOWN_METHOD"},
        {"faultCode": 2, "faultString": "INCORRECT_PARAMETERS"},
        {"faultCode": 2, "faultString": "INCORRECT_PARAMETERS"},
        os.getpid(),
    ]


@pytest.mark.behaviour("http.md#results-for-several-processes")
async def test_calls_run_one_after_the_other(fake: Fake) -> None:
    process = fake.process("cat")
    process.run()
    process.gate = trio.Event()
    calls = [
        listed("supervisor.stopProcess", "cat"),
        listed("supervisor.startProcess", "cat"),
        listed("supervisor.startProcess", "cat"),
        listed("supervisor.stopProcessGroup", "grp"),
    ]
    results: list[object] = []

    async def call() -> None:
        results.append(await answer(fake, "system.multicall", calls))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        await wait_all_tasks_blocked()
        assert process.state is State.STOPPING
        process.gate.set()
    fault = {"faultCode": 60, "faultString": "ALREADY_STARTED: cat"}
    assert results == [[True, True, fault, []]]


@pytest.mark.behaviour("http.md#systemmulticall")
@pytest.mark.parametrize("calls", [5, {}, "abc", ["abc"], None])
async def test_calls_that_are_none(fake: Fake, calls: Value) -> None:
    assert await answer(fake, "system.multicall", calls) == (2, "INCORRECT_PARAMETERS")


async def test_an_unexpected_error_within_multicall_stays_there(fake: Fake) -> None:
    """Without a Python class name in the answer, with the traceback in the log."""

    async def boom() -> Value:
        """Fail."""
        raise KeyError("surprise")

    rpc = Rpc(fake.real, {"my": [Method("boom", "string", (), boom)]})
    results = await rpc.call("system.multicall", [[listed("my.boom"), listed("my.boom")]])
    assert results == [{"faultCode": 30, "faultString": "FAILED: 'surprise'"}] * 2
    assert "KeyError: 'surprise'" in fake.lines[0]
