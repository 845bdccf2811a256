"""JSON Schemas of the answers of the API. Named ones become components of OpenAPI.

Objects may get further members in later versions. Existing members stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.config.options import CONFIG_INFO
from trio_supervisor.core.events import PUBLISHED_TYPES
from trio_supervisor.core.process.states import DaemonState, ListenerState, State
from trio_supervisor.runtime.inspect.describe import KIND_NAMES

if TYPE_CHECKING:
    from trio_supervisor.core.config.options import Option
    from trio_supervisor.web.api.route import Schema

TEXT: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
TRUTH: Schema = {"type": "boolean"}


def described(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description}


def text(description: str) -> Schema:
    return described(TEXT, description)


def count(description: str) -> Schema:
    return {"type": "integer", "minimum": 0, "description": description}


def one_of(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


def array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def thing(description: str, /, **members: Schema) -> Schema:
    """Return the schema of an object that has all these members."""
    return {
        "type": "object",
        "description": description,
        "properties": members,
        "required": list(members),
    }


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_SECONDS = "seconds since the epoch; 0 for never"
_KINDS = one_of(*KIND_NAMES.values())
_STATE = one_of(*(state.name for state in State))
_DAEMON_STATE = one_of(*(state.name for state in DaemonState))
_NAMES = array(TEXT)

#: The result of ``details`` in ``runtime/inspect/describe.py``.
PROCESS = thing(
    "A process; the first 14 members are those of supervisor.getProcessInfo",
    name=text("its name in its group"),
    group=TEXT,
    start=described(INTEGER, f"the last start, {_SECONDS}"),
    stop=described(INTEGER, f"the last end, {_SECONDS}"),
    now=described(INTEGER, "the time of this answer, seconds since the epoch"),
    state={"type": "integer", "enum": [int(state) for state in State]},
    statename=_STATE,
    spawnerr=text("the error of the last start; empty if there was none"),
    exitstatus=described(INTEGER, "of the last child; -1 if a signal ended it"),
    logfile=text("the same as stdout_logfile"),
    stdout_logfile=text("path; empty if there is none"),
    stderr_logfile=text("path; empty if there is none"),
    pid=count("0 if there is no child"),
    description=text("the line that status shows"),
    full_name=text("the name to address it by: group:name, or name if both are the same"),
    kind=_KINDS,
    uptime=count("seconds; 0 if there is no child"),
    restarts=count("children after the first, since the start of the supervisor"),
    reason=text("why it does not run; empty if it does, or is on its way"),
    last_output=text("the end of what it wrote to stderr; to stdout if that is empty"),
    stdout_bytes=count("written since the start of the supervisor"),
    stderr_bytes=count("written since the start of the supervisor"),
    cpu_seconds={"type": "number", "minimum": 0, "description": "used by child and descendants"},
    memory=count("bytes of resident memory of child and descendants"),
    processes=count("how many child and descendants are"),
)
ERROR = thing(
    "Why something was not done",
    code=text("stable: the name of an XML-RPC fault or of an HTTP status"),
    fault={"type": ["integer", "null"], "description": "XML-RPC fault number, if it has one"},
    message=text("for people"),
    hint=text("the way out; may be empty"),
)
FAILURE = thing("The body of every answer from 400 on", error=ref("Error"))
RESULT = thing(
    "What became of one of several processes",
    name=TEXT,
    group=TEXT,
    full_name=TEXT,
    statename=_STATE,
    error={"anyOf": [ref("Error"), {"type": "null"}], "description": "null for success"},
)
GROUP = thing(
    "A group of processes",
    name=TEXT,
    kind=_KINDS,
    priority=INTEGER,
    active=described(TRUTH, "false: it is only in the configuration last read"),
    processes=described(_NAMES, "full names, in start order"),
    states={
        "type": "object",
        "description": "how many of its processes are in which state",
        "propertyNames": _STATE,
        "additionalProperties": {"type": "integer", "minimum": 1},
    },
)
DAEMON = thing(
    "The supervisor itself",
    identifier=text("its configured name"),
    pid=INTEGER,
    version=text("of trio-supervisor"),
    supervisor_version=text("of the Supervisor release that it behaves like"),
    state={"type": "integer", "enum": [int(state) for state in DaemonState]},
    statename=_DAEMON_STATE,
    start=described(NUMBER, "of this life, since which all counters count; since the epoch"),
    now=described(NUMBER, "seconds since the epoch"),
    uptime={"type": "number", "minimum": 0, "description": "seconds"},
    config={"type": ["string", "null"], "description": "path of the configuration file"},
    log={"type": ["string", "null"], "description": "path of the activity log"},
)
POOL = thing(
    "A pool of event listeners",
    name=TEXT,
    buffer_size=count("events that may wait"),
    buffered=count("events that wait"),
    dropped=count("events lost because the buffer was full"),
    listeners=array(
        thing(
            "One listener",
            name=TEXT,
            pid=INTEGER,
            state={"type": "integer", "enum": [int(state) for state in ListenerState]},
            statename=one_of(*(state.name for state in ListenerState)),
        )
    ),
)
#: Members of ``getAllConfigInfo`` of which more is told than their option's type.
_CONFIG: dict[str, Schema] = {
    "autostart": TRUTH,
    "autorestart": {"anyOf": [TRUTH, one_of("unexpected")]},
    "directory": text("where it starts; none: the directory of the supervisor"),
    "uid": {"type": ["integer", "string"], "description": "none: the user of the supervisor"},
    "command": TEXT,
    "exitcodes": array(INTEGER),
    "group": TEXT,
    "group_prio": INTEGER,
    "inuse": described(TRUTH, "whether its group is active"),
    "killasgroup": TRUTH,
    "name": TEXT,
    "process_prio": INTEGER,
    "redirect_stderr": TRUTH,
    "startretries": INTEGER,
    "startsecs": INTEGER,
    "stdout_capture_maxbytes": INTEGER,
    "stdout_events_enabled": TRUTH,
    "stdout_logfile": text("path, auto or none"),
    "stdout_logfile_backups": INTEGER,
    "stdout_logfile_maxbytes": INTEGER,
    "stdout_syslog": TRUTH,
    "stopsignal": described(INTEGER, "number"),
    "stopwaitsecs": INTEGER,
    "stderr_capture_maxbytes": INTEGER,
    "stderr_events_enabled": TRUTH,
    "stderr_logfile": text("path, auto or none"),
    "stderr_logfile_backups": INTEGER,
    "stderr_logfile_maxbytes": INTEGER,
    "stderr_syslog": TRUTH,
    "serverurl": text("none: chosen by the supervisor, or not set"),
}


def _of_option(option: Option) -> Schema:
    """What ``Option.shown`` gives of a value."""
    kind = option.type.shown_as
    return described({"type": kind if option.default is not None else [kind, "string"]}, option.doc)


#: The result of ``all_config_info`` in ``runtime/inspect/info.py``.
CONFIG = thing(
    "How a process is configured; the members of supervisor.getAllConfigInfo",
    **_CONFIG,
    **{
        member: _of_option(option)
        for member, option in CONFIG_INFO.items()
        if member not in _CONFIG
    },
)
DIFF = thing(
    "How the configuration last read differs from what runs, as names of groups",
    added=_NAMES,
    changed=_NAMES,
    removed=_NAMES,
)
UPDATE = thing(
    "What an update did, as names of groups",
    added=_NAMES,
    changed=_NAMES,
    removed=_NAMES,
    failed=array(thing("A group that could not be changed", group=TEXT, error=ref("Error"))),
)
DONE = thing("It is done, or begun", done={"type": "boolean", "const": True})
HEALTH = thing("The supervisor answers", status={"const": "ok"}, statename=_DAEMON_STATE)
READINESS = thing(
    "Whether everything that starts by itself runs, or has ended as expected",
    ready=TRUTH,
    statename=_DAEMON_STATE,
    waiting=array(
        thing(
            "What is not ready",
            full_name=TEXT,
            statename=_STATE,
            reason=text("why; empty if it is on its way"),
        )
    ),
)
EVENT = thing(
    "The data of one server-sent event; members beyond these depend on its type",
    event=one_of(*PUBLISHED_TYPES),
    serial=count("its number, which listeners see too"),
    time={"type": "number", "description": "seconds since the epoch"},
)

COMPONENTS: dict[str, Schema] = {
    "Process": PROCESS,
    "Error": ERROR,
    "Failure": FAILURE,
    "Result": RESULT,
    "Group": GROUP,
    "Daemon": DAEMON,
    "Pool": POOL,
    "Config": CONFIG,
    "Diff": DIFF,
    "Update": UPDATE,
    "Done": DONE,
    "Health": HEALTH,
    "Readiness": READINESS,
    "Event": EVENT,
}
