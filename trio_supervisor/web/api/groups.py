"""Routes for groups and the configuration: read, add, remove, reread, update."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from trio_supervisor.core.errors import BadName
from trio_supervisor.core.plan import StepKind
from trio_supervisor.runtime.inspect.describe import KIND_NAMES
from trio_supervisor.runtime.inspect.info import all_config_info, configured, extended_options
from trio_supervisor.web.api.error import problem_of
from trio_supervisor.web.api.processes import GROUP_NAME
from trio_supervisor.web.api.route import CHANGE, READ, ROOT, Route
from trio_supervisor.web.api.schema import array, ref

if TYPE_CHECKING:
    from trio_supervisor.core.config.model import GroupConfig
    from trio_supervisor.runtime.supervisor import Supervisor
    from trio_supervisor.web.api.route import ApiRequest


async def all_groups(request: ApiRequest) -> object:
    known = _known(request.supervisor)
    return [_shown(request.supervisor, known[name]) for name in sorted(known)]


async def one_group(request: ApiRequest) -> object:
    name = request.text("name")
    known = _known(request.supervisor)
    if name not in known:
        raise BadName(name)
    return _shown(request.supervisor, known[name])


async def add(request: ApiRequest) -> object:
    request.supervisor.add_group(request.text("name"))
    return await one_group(request)


async def remove(request: ApiRequest) -> object:
    await request.supervisor.remove_stopped(request.text("name"))
    return {"done": True}


async def config(request: ApiRequest) -> object:
    return [
        {**info, "extended": extended_options(process)}
        for info, process in zip(
            all_config_info(request.supervisor), configured(request.supervisor), strict=True
        )
    ]


async def reread(request: ApiRequest) -> object:
    found = await request.supervisor.reread()
    return {"added": found.added, "changed": found.changed, "removed": found.removed}


async def update(request: ApiRequest) -> object:
    """Update groups in the order of ``supervisorctl update``: removed, changed, added ones."""
    results = await request.supervisor.update()

    def done(kind: StepKind) -> list[str]:
        return [r.step.group for r in results if r.step.kind is kind and r.error is None]

    return {
        "removed": done(StepKind.STOP),
        "changed": done(StepKind.REPLACE),
        "added": done(StepKind.START),
        "failed": [
            {"group": r.step.group, "error": problem_of(r.error).object}
            for r in results
            if r.error is not None
        ],
    }


def _known(supervisor: Supervisor) -> dict[str, GroupConfig]:
    """Return the active groups, and those of the configuration last read, by name.

    Of groups with equal names the first counts, as when they are added.
    """
    wanted = {group.name: group for group in reversed(supervisor.candidates)}
    return wanted | {group.name: group.config for group in supervisor.groups.values()}


def _shown(supervisor: Supervisor, config: GroupConfig) -> object:
    active = supervisor.groups.get(config.name)
    processes = [] if active is None else list(active.processes.values())
    return {
        "name": config.name,
        "kind": KIND_NAMES[config.kind],
        "priority": config.priority,
        "active": active is not None,
        "processes": [process.full_name for process in processes],
        "states": Counter(process.state.name for process in processes),
    }


_ONE = f"{ROOT}/groups/{{name}}"
GROUP = ref("Group")
ROUTES = (
    Route(READ, f"{ROOT}/groups", all_groups, "All groups, including inactive ones", array(GROUP)),
    Route(READ, _ONE, one_group, "One group", GROUP, parameters=(GROUP_NAME,), failures=(404,)),
    Route(
        CHANGE,
        f"{_ONE}/add",
        add,
        "Activate a group of the last read configuration",
        GROUP,
        parameters=(GROUP_NAME,),
        failures=(404, 409),
    ),
    Route(
        CHANGE,
        f"{_ONE}/remove",
        remove,
        "Remove a group that has no running process",
        ref("Done"),
        parameters=(GROUP_NAME,),
        failures=(404, 409),
    ),
    Route(
        READ,
        f"{ROOT}/config",
        config,
        "The last read configuration of all processes, active or not",
        array(ref("Config")),
    ),
    Route(
        CHANGE,
        f"{ROOT}/daemon/reread",
        reread,
        "Reread the configuration without changing any running process",
        ref("Diff"),
        failures=(409,),
    ),
    Route(
        CHANGE,
        f"{ROOT}/daemon/update",
        update,
        "Reread the configuration and apply it: stop, remove, add and start groups",
        ref("Update"),
        failures=(409,),
    ),
)
