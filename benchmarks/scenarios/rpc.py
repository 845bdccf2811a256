"""How many XML-RPC calls are answered each second?"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from benchmarks.load import count_answers, generator
from benchmarks.probe import cpu_seconds
from benchmarks.report import Measure
from benchmarks.scenario import Scenario
from benchmarks.scenarios import fleet
from benchmarks.subjects import running

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.report import Sample
    from benchmarks.subjects import Subject

#: Of one measurement: some thousand small answers, or a hundred large ones of the slower daemon.
_SECONDS = 5

_SERVER = """\
[inet_http_server]
port = 127.0.0.1:{port}
"""

#: What is measured: name -> method and kept-alive connections.
_CASES = {
    "getState, 1 connection": ("supervisor.getState", 1),
    "getState, 50 connections": ("supervisor.getState", 50),
    "all info, 1 connection": ("supervisor.getAllProcessInfo", 1),
    "all info, 50 connections": ("supervisor.getAllProcessInfo", 50),
}


def _run(subject: Subject, directory: Path) -> Sample:
    port = _free_port()
    sample: dict[str, float] = {}
    text = _SERVER.format(port=port) + fleet.programs()
    with running(subject, directory, text) as daemon:
        daemon.wait_for_running(fleet.COUNT)
        for name, (method, connections) in _CASES.items():
            processor = cpu_seconds(daemon.pid)
            count, took = count_answers(port, method, connections, _SECONDS, directory)
            sample[name] = count / took
            sample[f"{name}, CPU"] = (cpu_seconds(daemon.pid) - processor) / count * 1e6
    return sample


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


SCENARIO = Scenario(
    name="rpc",
    what=(
        f"XML-RPC over TCP with {fleet.COUNT} running programs: answers each second to a trivial"
        " call (getState) and to getAllProcessInfo, over 1 and over 50 kept-alive connections,"
        f" {_SECONDS} s each; and the daemon's processor time for each answer. Load by"
        f" {generator()}."
    ),
    measures=(
        *(Measure(name, "1/s", "higher") for name in _CASES),
        *(Measure(f"{name}, CPU", "us", "lower") for name in _CASES),
    ),
    run=_run,
)
