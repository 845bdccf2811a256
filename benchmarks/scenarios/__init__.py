"""The table of scenarios. A new scenario is a module with a ``SCENARIO`` and a line here."""

from __future__ import annotations

from benchmarks.scenarios import (
    boot,
    client,
    drain,
    events,
    flood,
    lines,
    listener,
    memory,
    reaction,
    reread,
    restart,
    rpc,
    slope,
    thousand,
)

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        boot.SCENARIO,
        boot.USER_SCENARIO,
        restart.SCENARIO,
        restart.THOUSAND_SCENARIO,
        drain.SCENARIO,
        flood.SCENARIO,
        lines.SCENARIO,
        memory.SCENARIO,
        slope.SCENARIO,
        reread.SCENARIO,
        reaction.SCENARIO,
        thousand.SCENARIO,
        rpc.SCENARIO,
        events.SCENARIO,
        listener.SCENARIO,
        listener.UNBUFFERED_SCENARIO,
        client.SCENARIO,
    )
}
