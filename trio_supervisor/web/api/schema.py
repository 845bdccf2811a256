"""JSON Schemas of the answers of the API. Named ones become components of OpenAPI.

Objects may get further members in later versions. Existing members stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.config.depends_on import Condition, OnDependencyStop
from trio_supervisor.core.config.options import CONFIG_INFO
from trio_supervisor.core.events import PUBLISHED_TYPES
from trio_supervisor.core.journal.chain import FORGOTTEN
from trio_supervisor.core.journal.entry import What
from trio_supervisor.core.process.cause import CauseKind
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
    name=text("name within the group"),
    group=TEXT,
    start=described(INTEGER, f"time of the last start, {_SECONDS}"),
    stop=described(INTEGER, f"time of the last exit, {_SECONDS}"),
    now=described(INTEGER, "time of this response, seconds since the epoch"),
    state={"type": "integer", "enum": [int(state) for state in State]},
    statename=_STATE,
    spawnerr=text("error of the last start; empty if there was none"),
    exitstatus=described(
        INTEGER, "exit status of the last child; -1 if it was terminated by a signal"
    ),
    logfile=text("the same as stdout_logfile"),
    stdout_logfile=text("path; empty if there is none"),
    stderr_logfile=text("path; empty if there is none"),
    pid=count("0 if there is no child"),
    description=text("description in the output of tsupervisorctl status"),
    full_name=text("name that identifies the process: group:name, or name if both are the same"),
    kind=_KINDS,
    uptime=count("seconds; 0 if there is no child"),
    restarts=count("number of children after the first, since the start of the supervisor"),
    requested_starts=count("number of starts on request"),
    automatic_restarts=count("number of starts made by autorestart after an exit"),
    failed_starts=count("number of start attempts that did not lead to RUNNING"),
    reason=text(
        "why the process is not running, not ready or unhealthy, and what its start waits for; "
        "empty if it is well"
    ),
    flapping=text(
        "how often it was restarted because it goes wrong, if that is three times or more within 5 "
        "minutes; else empty"
    ),
    health=described(
        one_of("", "unknown", "healthy", "unhealthy"),
        "verdict of its health checks while it is running; empty if it has none",
    ),
    told_status=text("status that the program itself has sent by sd_notify; empty if none"),
    next_step={
        "type": "object",
        "properties": {"what": {"type": "string"}, "seconds": {"type": "integer", "minimum": 0}},
        "description": "what is done next with a child that starts or stops (a signal, up, given "
        "up), and in how many seconds; empty if nothing is due",
    },
    depends_on=described(_NAMES, "what it depends on, as written: db:healthy, cache?"),
    limits=text(
        "limits of memory, processors and processes with what keeps each, like memory_max 512.0 "
        "MiB (cgroup): the cgroup, the daemon (watched), or nothing (no effect); empty without any"
    ),
    memory_max=count("bytes; 0 if there is no such limit"),
    left_behind=described(
        array(INTEGER), "pids of living processes that its children have left when they ended"
    ),
    adopted=text(
        "which daemon has started the present child, if that one was killed and this one goes on "
        "with it; else empty"
    ),
    last_start={
        "type": "object",
        "properties": {"time": {"type": "number"}, "text": {"type": "string"}},
        "description": "when (seconds since the epoch) and why the present child was started; "
        "empty without one",
    },
    last_exit={
        "anyOf": [ref("LastExit"), {"type": "object", "maxProperties": 0}],
        "description": "kept until the next child ends; empty if none has ended",
    },
    last_output=text("end of its output to stderr, or to stdout if there is none"),
    stdout_bytes=count("written since the start of the supervisor"),
    stderr_bytes=count("written since the start of the supervisor"),
    cpu_seconds={
        "type": "number",
        "minimum": 0,
        "description": "processor time of the child and its descendants",
    },
    memory=count("bytes of resident memory of the child and its descendants"),
    processes=count("number of processes: the child and its descendants"),
)
LAST_EXIT = thing(
    "How the last child ended",
    description=text(
        "in words: exit status 3, terminated by SIGSEGV (core dumped), terminated by SIGKILL; "
        "killed for lack of memory"
    ),
    exit_status=described(INTEGER, "-1 if it was terminated by a signal, or is unknown"),
    signal=text("name of the signal that terminated it; empty if none did"),
    core_dumped=TRUTH,
    expected=described(
        TRUTH,
        "it was stopped on request, or exited with one of exitcodes after a successful start",
    ),
    time=described(NUMBER, "seconds since the epoch"),
    lifetime={"type": "number", "minimum": 0, "description": "seconds that it lived"},
    stdout=text("the last lines that it wrote to stdout, at most 1 KiB"),
    stderr=text("the last lines that it wrote to stderr, at most 1 KiB"),
    cpu_seconds={
        "type": "number",
        "minimum": 0,
        "description": "processor time of the child and the descendants that it waited for",
    },
    peak_memory=count(
        "largest resident memory of one of these processes in bytes; 0 if unknown, which is so if "
        "it is not more than the daemon's own"
    ),
)
ENTRY = thing(
    "An entry of the journal",
    number=count("never used twice; entries are in this order"),
    time=described(NUMBER, "seconds since the epoch"),
    monotonic=described(NUMBER, "seconds of the monotonic clock, comparable within one boot"),
    boot=text("identifies the boot of the machine; empty if it is unknown"),
    process=text("full name of the process; empty: the supervisor"),
    what=one_of(*(what.value for what in What)),
    **{
        "from": text("state before; may be empty"),
        "to": text("state after, or what was requested; may be empty"),
    },
    kind=one_of(*(kind.value for kind in CauseKind)),
    cause=count("number of the entry that caused it; 0 if there is none"),
    who=text("the requester; empty if there is none, and for read-only users"),
    evidence={
        "type": "object",
        "description": "facts such as pid, exit, lifetime, error, stderr, group, options, file",
        "additionalProperties": {"type": ["string", "number", "boolean"]},
    },
    count=count("number of times that it happened in a loop; the rest of the entry is the last"),
    first=described(NUMBER, "when it happened first, seconds since the epoch"),
    text=text("the entry in words, without the requester"),
)
WHY = thing(
    "Why a process is in its state",
    process=text("full name"),
    statename=_STATE,
    root={
        "type": "string",
        "enum": [*(kind.value for kind in CauseKind), FORGOTTEN, ""],
        "description": "kind of the cause at the end of the chain; forgotten: that entry is not "
        "kept any more; empty: nothing has happened to the process",
    },
    next=text("what would start it, or what it waits for; empty while it is running"),
    chain=described(
        array(ref("Entry")), "from the last change back to what nothing else has caused"
    ),
)
GRAPH = thing(
    "Which processes depend on which others",
    nodes=described(
        array(
            thing(
                "A process",
                name=TEXT,
                group=TEXT,
                full_name=TEXT,
                statename=_STATE,
                waiting=text("what its start waits for; empty if it does not wait"),
                on_dependency_stop=one_of(*(action.value for action in OnDependencyStop)),
            )
        ),
        "all processes in the order of starting",
    ),
    edges=array(
        thing(
            "A process and one that it depends on",
            **{"from": text("full name of the process")},
            to=text(
                "full name of the process that it needs; the name of a soft dependency that does "
                "not exist"
            ),
            condition=one_of(*(condition.value for condition in Condition)),
            soft=described(TRUTH, "it starts also if the other one is not going to run"),
            met=described(TRUTH, "the condition holds now"),
        )
    ),
)
ERROR = thing(
    "Why a request failed",
    code=text("stable: the name of an XML-RPC fault or of an HTTP status"),
    fault={"type": ["integer", "null"], "description": "XML-RPC fault number, if it has one"},
    message=text("for people"),
    hint=text("how to fix it; may be empty"),
)
FAILURE = thing("The body of every response with a status of 400 or above", error=ref("Error"))
RESULT = thing(
    "The result for one of several processes",
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
    active=described(TRUTH, "false: the group is only in the last read configuration"),
    processes=described(_NAMES, "full names, in start order"),
    states={
        "type": "object",
        "description": "number of its processes in each state",
        "propertyNames": _STATE,
        "additionalProperties": {"type": "integer", "minimum": 1},
    },
)
DAEMON = thing(
    "Information about the supervisor",
    identifier=text("configured name"),
    pid=INTEGER,
    version=text("version of trio-supervisor"),
    supervisor_version=text("version of the compatible Supervisor release"),
    state={"type": "integer", "enum": [int(state) for state in DaemonState]},
    statename=_DAEMON_STATE,
    start=described(
        NUMBER,
        "time of the last start or restart, at which all counters begin, seconds since the epoch",
    ),
    now=described(NUMBER, "seconds since the epoch"),
    uptime={"type": "number", "minimum": 0, "description": "seconds"},
    config={"type": ["string", "null"], "description": "path of the configuration file"},
    log={"type": ["string", "null"], "description": "path of the activity log"},
)
POOL = thing(
    "A pool of event listeners",
    name=TEXT,
    buffer_size=count("maximum number of events in the buffer"),
    buffered=count("events in the buffer"),
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
#: Members of ``getAllConfigInfo`` with a more exact schema than the type of their option.
_CONFIG: dict[str, Schema] = {
    "autostart": TRUTH,
    "autorestart": {"anyOf": [TRUTH, one_of("unexpected")]},
    "directory": text("working directory; none: the supervisor's"),
    "uid": {"type": ["integer", "string"], "description": "none: the supervisor's user"},
    "command": TEXT,
    "exitcodes": array(INTEGER),
    "group": TEXT,
    "group_prio": INTEGER,
    "inuse": described(TRUTH, "true if its group is active"),
    "killasgroup": TRUTH,
    "name": TEXT,
    "process_prio": INTEGER,
    "redirect_stderr": TRUTH,
    "startretries": INTEGER,
    "startsecs": NUMBER,
    "stdout_capture_maxbytes": INTEGER,
    "stdout_events_enabled": TRUTH,
    "stdout_logfile": text("path, auto or none"),
    "stdout_logfile_backups": INTEGER,
    "stdout_logfile_maxbytes": INTEGER,
    "stdout_syslog": TRUTH,
    "stopsignal": described(INTEGER, "number"),
    "stopwaitsecs": NUMBER,
    "stderr_capture_maxbytes": INTEGER,
    "stderr_events_enabled": TRUTH,
    "stderr_logfile": text("path, auto or none"),
    "stderr_logfile_backups": INTEGER,
    "stderr_logfile_maxbytes": INTEGER,
    "stderr_syslog": TRUTH,
    "serverurl": text("none: chosen by the supervisor, or not set"),
}


def _of_option(option: Option) -> Schema:
    """Schema of what ``Option.shown`` returns."""
    kind = option.type.shown_as
    return described({"type": kind if option.default is not None else [kind, "string"]}, option.doc)


#: The result of ``all_config_info`` in ``runtime/inspect/info.py``.
CONFIG = thing(
    "The configuration of a process; the members of supervisor.getAllConfigInfo, and those beyond",
    **_CONFIG,
    extended={
        "type": "object",
        "description": "options that Supervisor does not have, if they are not at their default",
    },
    **{
        member: _of_option(option)
        for member, option in CONFIG_INFO.items()
        if member not in _CONFIG
    },
)
DIFF = thing(
    "Differences between the last read and the running configuration, as names of groups",
    added=_NAMES,
    changed=_NAMES,
    removed=_NAMES,
)
UPDATE = thing(
    "The result of an update, as names of groups",
    added=_NAMES,
    changed=_NAMES,
    removed=_NAMES,
    failed=array(thing("A group that could not be changed", group=TEXT, error=ref("Error"))),
)
DONE = thing("The request is done, or has begun", done={"type": "boolean", "const": True})
UPGRADE = thing(
    "Upgrades of the supervisor without a stop",
    version=text("of the running program"),
    upgrades=count("upgrades since the start of the daemon"),
    under_way=described(TRUTH, "an upgrade is under way"),
    failure=text("why the last one has failed; empty if it has not"),
)
HEALTH = thing("The supervisor responds", status={"const": "ok"}, statename=_DAEMON_STATE)
READINESS = thing(
    "Readiness: every autostart program is running or has exited as expected",
    ready=TRUTH,
    statename=_DAEMON_STATE,
    waiting=array(
        thing(
            "A process that is not ready",
            full_name=TEXT,
            statename=_STATE,
            reason=text("why; empty if it is starting"),
        )
    ),
)
EVENT = thing(
    "The data of one server-sent event; members beyond these depend on its type",
    event=one_of(*PUBLISHED_TYPES),
    serial=count("serial number of the event, as sent to listeners"),
    time={"type": "number", "description": "seconds since the epoch"},
)

#: The answers of ``web/api/lines.py``.
LINE = thing(
    "A line of a log",
    output=text("stdout, stderr, supervisor; output for a log to which both outputs go"),
    time={
        "type": ["number", "null"],
        "description": "when it was written at the latest, seconds since the epoch; null: in a log "
        "whose lines have times, this one has none",
    },
    earliest={
        "type": ["number", "null"],
        "description": "when it was written at the earliest; equal to time if that is exact; null "
        "if it is not known",
    },
    line=text("without its end; bytes that are no UTF-8 as \\xNN"),
    whole=described(TRUTH, "false for a part of a long line, and for a line that has no end yet"),
    place=text("the place before it"),
)
LINES = thing(
    "Lines of logs, the oldest first",
    lines=array(ref("Line")),
    before=text("the place before the first line, for earlier ones"),
    after=text("the place after the last line that has an end, for later ones"),
    first=described(TRUTH, "whether no line that is kept comes before"),
    last=described(TRUTH, "whether no line follows yet"),
    gone=described(TRUTH, "whether the place that was asked for is not kept any more"),
)
FOUND = thing(
    "What a search has found",
    matches=array(
        thing(
            "A match",
            line=ref("Line"),
            before=array(ref("Line")),
            after=array(ref("Line")),
        )
    ),
    before={
        "type": ["string", "null"],
        "description": "the place where to go on; null if all was searched",
    },
    searched=count("bytes from the end of the logs that were searched, with earlier requests"),
    total=count("bytes of the logs"),
)

COMPONENTS: dict[str, Schema] = {
    "Process": PROCESS,
    "LastExit": LAST_EXIT,
    "Entry": ENTRY,
    "Why": WHY,
    "Graph": GRAPH,
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
    "Upgrade": UPGRADE,
    "Health": HEALTH,
    "Readiness": READINESS,
    "Event": EVENT,
    "Line": LINE,
    "Lines": LINES,
    "Found": FOUND,
}
