"""Routes for the supervisor itself: its state, listener pools, shutdown, restart, health."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from trio_supervisor._version import __version__
from trio_supervisor.core.process.reasons import ill_health
from trio_supervisor.core.process.states import DaemonState, State
from trio_supervisor.runtime.inspect.describe import flapping, reason
from trio_supervisor.runtime.inspect.info import by_name
from trio_supervisor.runtime.requester import cause_of_request
from trio_supervisor.runtime.rpc.supervisor import SUPERVISOR_VERSION
from trio_supervisor.runtime.rpc.tsupervisor import pool_info
from trio_supervisor.web.api.json import json_response
from trio_supervisor.web.api.route import CHANGE, READ, ROOT, Field, Route
from trio_supervisor.web.api.schema import array, ref

if TYPE_CHECKING:
    from trio_supervisor.runtime.process.process import Process
    from trio_supervisor.web.api.route import ApiRequest


async def daemon(request: ApiRequest) -> object:
    supervisor = request.supervisor
    now = supervisor.wall_clock()
    return {
        "identifier": supervisor.config.daemon.identifier,
        "pid": os.getpid(),
        "version": __version__,
        "supervisor_version": SUPERVISOR_VERSION,
        "state": int(supervisor.state),
        "statename": supervisor.state.name,
        "start": supervisor.started,
        "now": now,
        "uptime": supervisor.uptime,
        "config": supervisor.config.path,
        "log": None if supervisor.activity is None else supervisor.activity.path,
    }


async def pools(request: ApiRequest) -> object:
    return await pool_info(request.supervisor)


async def shutdown(request: ApiRequest) -> object:
    request.supervisor.request_shutdown()
    return {"done": True}


async def restart(request: ApiRequest) -> object:
    await request.supervisor.reload()
    return {"done": True}


async def upgrade(request: ApiRequest) -> object:
    upgrades = request.supervisor.upgrades
    await upgrades.begin(cause_of_request())
    return upgrades.described()


async def upgrade_status(request: ApiRequest) -> object:
    return request.supervisor.upgrades.described()


async def health(request: ApiRequest) -> object:
    """Report health: any answer means that the event loop runs and requests are read."""
    return {"status": "ok", "statename": request.supervisor.state.name}


async def readiness(request: ApiRequest) -> object:
    supervisor = request.supervisor
    strict = bool(request.number("strict"))
    waiting = [
        {"full_name": p.full_name, "statename": p.state.name, "reason": _why(p)}
        for p in by_name(supervisor)
        if p.config.autostart and (not _is_ready(p) or (strict and flapping(p)))
    ]
    ready = not waiting and supervisor.state is DaemonState.RUNNING
    found = {"ready": ready, "statename": supervisor.state.name, "waiting": waiting}
    return json_response(found, status=200 if ready else 503)


def _why(process: Process) -> str:
    return reason(process) or ill_health(process.config, process.record) or flapping(process)


def _is_ready(process: Process) -> bool:
    """Whether a process is RUNNING, and healthy if that is checked, or has exited as expected."""
    if process.state is State.EXITED:
        ended = process.record.last_exit
        return ended is not None and ended.expected(process.config.exitcodes)
    return process.state is State.RUNNING and not ill_health(process.config, process.record)


ROUTES = (
    Route(READ, f"{ROOT}/daemon", daemon, "Information about the supervisor", ref("Daemon")),
    Route(
        READ,
        f"{ROOT}/pools",
        pools,
        "The event listener pools and their backlog",
        array(ref("Pool")),
    ),
    Route(
        CHANGE,
        f"{ROOT}/daemon/shutdown",
        shutdown,
        "Stop all processes and shut down the supervisor",
        ref("Done"),
    ),
    Route(
        CHANGE,
        f"{ROOT}/daemon/restart",
        restart,
        "Stop all processes and restart the supervisor with a reread configuration",
        ref("Done"),
        failures=(409,),
    ),
    Route(
        READ,
        f"{ROOT}/daemon/upgrade",
        upgrade_status,
        "How upgrades without a stop have gone",
        ref("Upgrade"),
    ),
    Route(
        CHANGE,
        f"{ROOT}/daemon/upgrade",
        upgrade,
        "Check the program on disk, and begin to replace the running one by it without a stop",
        ref("Upgrade"),
        failures=(409,),
    ),
)
HEALTH_ROUTES = (
    Route(READ, "/healthz", health, "200 if the supervisor responds", ref("Health")),
    Route(
        READ,
        "/readyz",
        readiness,
        "200 if every autostart program is running, and healthy if that is checked, or has exited "
        "as expected, otherwise 503",
        ref("Readiness"),
        query=(
            Field(
                "strict",
                "integer",
                "1: a program that is restarted often after unexpected exits is not ready",
                default=0,
                minimum=0,
                maximum=1,
            ),
        ),
        other_answers={503: ("Not ready", ref("Readiness"))},
    ),
)
