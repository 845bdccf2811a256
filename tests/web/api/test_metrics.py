"""Metrics, read by the parser of those who wrote the format."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.kit.api import read
from tests.kit.curl import send
from tests.kit.daemon import daemon, free_port
from tests.kit.fake_supervisor import NOW, FakeSupervisor
from tests.kit.web import talking
from trio_supervisor.core.process.states import State

CONFIG = """
[inet_http_server]
port=127.0.0.1:{port}
[program:web]
command=/bin/sh -c "echo hello; exec sleep 1000"
startsecs=0
[program:broken]
command=/bin/false
startretries=0
[eventlistener:ears]
command=/bin/cat
events=TICK_3600
startsecs=0
"""


def samples(text: str) -> Iterator[tuple[str, str, float]]:
    """Metric, name of the thing, value."""
    families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # is untyped
    for family in families:
        assert family.documentation
        for sample in family.samples:
            yield sample.name, sample.labels.get("name", ""), sample.value


@pytest.mark.behaviour("http.md#probes-and-metrics")
def test_real_processes(tmp_path: Path) -> None:
    port = free_port()
    with daemon(tmp_path, CONFIG.format(port=port)) as running:
        running.wait_for("broken", "FATAL")
        running.wait_for("web", "RUNNING")
        running.wait_for("ears", "RUNNING")
        answer = send(f"http://127.0.0.1:{port}/metrics")
        assert answer.response.headers["Content-Type"].startswith("application/openmetrics-text")
        found = {(metric, name): value for metric, name, value in samples(answer.body())}
        info = running.info("web")
        assert found["node_supervisord_up", "web"] == 1
        assert found["node_supervisord_up", "broken"] == 0
        assert found["node_supervisord_state", "broken"] == State.FATAL
        assert found["node_supervisord_start_time_seconds", "web"] == info["start"]
        assert ("node_supervisord_start_time_seconds", "broken") not in found
        assert found["trio_supervisor_process_resident_memory_bytes", "web"] > 100_000
        assert found["trio_supervisor_process_processes", "web"] == 1
        assert found["trio_supervisor_process_restarts_total", "web"] == 0
        assert found["trio_supervisor_process_failed_starts_total", "broken"] == 1
        assert found["trio_supervisor_process_automatic_restarts_total", "broken"] == 0
        assert found["trio_supervisor_process_last_exit_unexpected", "broken"] == 1
        ended = found["trio_supervisor_process_last_exit_timestamp_seconds", "broken"]
        assert abs(ended - time.time()) < 3600
        assert ("trio_supervisor_process_last_exit_unexpected", "web") not in found
        assert found["trio_supervisor_uptime_seconds", ""] >= 0
        assert found["trio_supervisor_build_info", ""] == 1
        assert found["trio_supervisor_pool_buffered_events", "ears"] == 0
        assert found["trio_supervisor_pool_dropped_events_total", "ears"] == 0


@pytest.mark.behaviour("http.md#probes-and-metrics")
async def test_what_the_collector_of_node_exporter_makes_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its metrics of getAllProcessInfo, for every state: up, state, exit_status, start_time."""
    fake = FakeSupervisor(*(f"g:{state.name}" for state in State), 'odd:a"b\\c\nd')
    for process in fake.processes():
        process.started = NOW - 7
        process.exit_status = 3
        process.state = State.__members__.get(process.name, State.RUNNING)
    # No pools: the fake has none to ask.
    monkeypatch.setattr("trio_supervisor.web.api.metrics.pool_info", _no_pools)
    async with talking(fake) as client:
        text = (await client.get("/metrics")).body.decode()
    found = {(metric, name): value for metric, name, value in samples(text)}
    for state in State:
        up = state in (State.STARTING, State.RUNNING, State.STOPPING)
        assert found["node_supervisord_up", state.name] == up
        assert found["node_supervisord_state", state.name] == int(state)
        assert found["node_supervisord_exit_status", state.name] == 3
        start = found.get(("node_supervisord_start_time_seconds", state.name))
        assert start == (NOW - 7 if up else None)
    assert found["node_supervisord_up", 'a"b\\c\nd'] == 1


async def _no_pools(supervisor: object) -> list[object]:
    return []


async def test_only_where_the_supervisor_talks() -> None:
    async with talking(FakeSupervisor("cat", rpcinterfaces=())) as client:
        assert (await client.get("/metrics")).status == 404
        assert (await read(client, "/pools", status=404))["code"] == "NOT_FOUND"
