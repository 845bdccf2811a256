"""The reference of the Python API, made from the docstrings and types of what is public."""

from __future__ import annotations

import ast
import enum
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import trio_supervisor
from trio_supervisor import testing
from trio_supervisor.core.events import EVENT_TYPES, PUBLISHED_TYPES

INTRODUCTION = """\
# Python API

Made from the docstrings; [embedding.md](embedding.md) and [library.md](library.md) show how it is
used. What is not on this page is internal and may change.
"""
#: Attributes of events that come from a process, and of those with its output.
_SENDER = {"process": "`str`: the name of the process.", "group": "`str`: of its group."}
_OUTPUT = {"pid": "`int`: of the child.", "data": "`bytes`: what it wrote."}
_COUNTERS = (
    *("failures", "spawns", "restarts", "requested_starts", "automatic_restarts"),
    *("failed_starts", "last_exit", "last_end"),
)
#: Of classes that a program receives and never makes: what it may use, in the order of the page.
#: Attributes have their text here; methods and properties speak for themselves.
RECEIVED: dict[str, dict[str, str]] = {
    "Supervisor": {
        "config": "`Config`: what it was made from, or what the last reread changed.",
        "groups": "`dict[str, Group]`: the active groups by name, in start order; a group has "
        "`name`, `config` and `processes`, a dict by name.",
        "processes": "",
        "process": "",
        "group": "",
        "add_program": "",
        "add_programs": "",
        "add_task": "",
        "add_tasks": "",
        "add": "",
        "scale": "",
        "remove": "",
        "run_job": "",
        "output": "",
        "start_all": "another name of `start`; so are `stop_all` and `signal_all`.",
        "start": "",
        "stop": "",
        "restart": "",
        "signal": "",
        "refresh": "",
        "why": "",
        "history": "",
        "events": "",
        "reread": "",
        "plan": "",
        "apply": "",
        "update": "",
        "add_group": "",
        "remove_group": "",
        "reopen_logs": "",
        "send_remote_communication": "",
        "request_shutdown": "",
        "shutdown": "",
        "ended": "",
        "stop_on": "",
        "failure": "`ProcessFailed | None`: of the essential process that ended the supervisor.",
    },
    "Process": {
        "name": "`str`; `full_name` is `group:name`, or just the name if the group has the same.",
        "group": "`str`: the name of its group.",
        "kind": "`GroupKind`: TASK for an async function.",
        "config": "`ProcessConfig`: what it was made from.",
        "state": "`State`.",
        "pid": "`int`: of the child; 0 for a task, and if there is no child.",
        "started": "`float`: when the last start was attempted, seconds since the epoch; 0.0: "
        "never.",
        "stopped": "`float`: when the last child ended; 0.0: never.",
        "exit_status": "`int`: of the last child; -1 if a signal ended it.",
        "spawn_error": "`str`: what was wrong with the last start or end; empty if nothing.",
        "history": "`History`: counters, and how the last child ended.",
        "exception": "",
        "result": "",
        "started_value": "",
        "start": "",
        "stop": "",
        "restart": "",
        "signal": "",
        "refresh": "",
        "start_without_dependencies": "",
        "wait_for": "",
        "wait": "",
        "changed": "",
        "output": "",
        "send_stdin": "",
        "write_stdin": "",
        "close_stdin": "",
        "stdin_pending": "",
    },
    "Group": {
        "name": "`str`.",
        "config": "`GroupConfig`: what it was made from.",
        "processes": "`dict[str, Process]`: by name, in start order, as `for process in group`.",
        "scale": "",
    },
    "History": dict.fromkeys(_COUNTERS, ""),
    "JournalEntry": {
        "number": "`int`: never used twice; entries are in this order.",
        "time": "`float`: seconds since the epoch; `monotonic` is that of the monotonic clock.",
        "process": "`str`: full name of the process; empty: the supervisor.",
        "what": "`What`: what the entry is about.",
        "old": "`str`: the state before; may be empty.",
        "new": "`str`: the state after, or what was requested; may be empty.",
        "cause": "`Cause`.",
        "evidence": "mapping of facts such as `pid`, `exit`, `error` to plain values.",
        "count": "`int`: how often it happened in a loop; `first` is when it happened first.",
    },
    "Cause": {
        "kind": "`CauseKind`.",
        "who": "`str`: the requester; empty if there is none.",
        "entry": "`int`: number of the entry that caused it; 0 if there is none.",
    },
    "OutputStream": {"dropped": "", "lines": ""},
    "MergedOutput": {"dropped": ""},
    "EventStream": {"dropped": "`int`: events lost because too many waited."},
    "Event": {"name": "`str`: the type, such as `PROCESS_STATE_RUNNING`.", "payload": ""},
    "ProcessState": {
        **_SENDER,
        "from_state": "`State`: the state it left.",
        "pid": "`int`: of the child; not in STARTING, BACKOFF, FATAL and UNKNOWN.",
        "state": "`State`: the state that it has now.",
        "tries": "`int`: failed attempts to start; in STARTING and BACKOFF only.",
        "exit": "`Exit`: how the child ended; in BACKOFF, STOPPED and EXITED.",
        "expected": "`bool`: whether the exit code is one of `exitcodes`; in EXITED only.",
    },
    "ProcessLog": {**_SENDER, **_OUTPUT, "channel": "`str`: `stdout` or `stderr`."},
    "ProcessCommunication": {**_SENDER, **_OUTPUT},
    "ProcessGroup": {"group": "`str`: the name of the group."},
    "RemoteCommunication": {"type": "`str`.", "data": "`str`."},
    "SupervisorStateChange": {"name": "`str`: ends in `_RUNNING` or `_STOPPING`."},
    "Tick": {
        "when": "`int`: the start of the slice, in seconds since the epoch.",
        "period": "`int`: its length in seconds.",
    },
}
#: Beyond this a signature gets a line for each parameter.
_WIDTH = 80


#: What programs use, by topic. Events that are kinds of another need no text of their own.
TOPICS: dict[str, tuple[str, ...]] = {
    "Open a supervisor": ("open_supervisor", "Supervisor", "serve_http", "load_config"),
    "Processes": (
        *("Process", "Group", "State", "Exit", "End", "ResourceUsage", "History", "GroupKind"),
        *("Result", "StepResult", "Diff", "Plan", "PlanStep", "StepKind"),
    ),
    "Options of programs and tasks": (
        *("CommonOptions", "ProgramOptions", "UnconditionalOptions", "TaskOptions", "Autorestart"),
    ),
    "Jobs and output": ("Completed", "OutputStream", "Lines", "MergedOutput", "OutputLine"),
    "Events": (
        *("EventStream", "Event", "ProcessState", "ProcessLog", "ProcessCommunication"),
        *("ProcessGroup", "RemoteCommunication", "SupervisorStateChange", "Tick"),
    ),
    "Journal": ("JournalEntry", "What", "Cause", "CauseKind", "Why"),
    "Errors": (
        *(
            "SupervisorError",
            "RequestError",
            "AlreadyStarted",
            "NotRunning",
            "SpawnFailed",
            "WaitsInVain",
        ),
        *("AbnormalTermination", "ShuttingDown", "BadName", "BadSignal", "NoFile"),
        *("NotExecutable", "Failed", "AlreadyAdded", "StillRunning", "CantReread"),
        *(
            "StateUnreachable",
            "ProcessFailed",
            "StreamOverflow",
            "ConfigError",
            "ServerError",
            "PluginError",
            "InternalError",
        ),
        *("FaultCode", "Severity"),
    ),
    "Configuration as values": (
        *("Config", "GroupConfig", "ProcessConfig", "ChannelConfig", "PoolConfig", "UnixServer"),
        *("InetServer", "Credentials", "Access", "Tls"),
    ),
    "Plugins and result handlers": (
        *("NOT_DONE_YET", "PluginFault", "RejectEvent", "DaemonState"),
    ),
}


def reference() -> str:
    """The page, in Markdown."""
    parts = [INTRODUCTION]
    for title, names in TOPICS.items():
        parts += [f"## {title}\n", *(_thing(getattr(trio_supervisor, name)) for name in names)]
        if title == "Events":
            parts.append(_kinds_of_events())
    parts.append("## trio_supervisor.testing\n")
    parts += [_thing(getattr(testing, name)) for name in testing.__all__]
    return "\n".join(parts)


def not_on_the_page() -> list[str]:
    """Public names that no topic has."""
    shown = {name for names in TOPICS.values() for name in names}
    kinds = {cls.__name__ for cls in EVENT_TYPES.values()}
    return sorted(set(trio_supervisor.__all__) - shown - kinds)


def _kinds_of_events() -> str:
    rows = [
        f"| `{cls.__name__}` | `{name}` | `{cls.__mro__[1].__name__.lstrip('_')}` |\n"
        for name, cls in EVENT_TYPES.items()
        if name in PUBLISHED_TYPES
    ]
    head = "| class | name | a kind of |\n|---|---|---|\n"
    return f"### Events that are published\n\n{head}{''.join(rows)}"


def _thing(thing: Any) -> str:
    head = f"### {thing.__name__}\n"
    body = _class(thing) if isinstance(thing, type) else [_function(thing, thing.__name__)]
    return "\n".join([head, *body])


def _class(cls: type) -> Iterator[str]:
    yield _text(cls)
    if issubclass(cls, enum.Enum):
        yield ", ".join(f"`{m.name}` ({m.value!r})" for m in cls) + "\n"
    elif issubclass(cls, Exception):
        yield f"A kind of `{cls.__mro__[1].__name__}`.\n"
    elif cls.__name__ in RECEIVED:
        yield from _members(cls, RECEIVED[cls.__name__])
    else:
        yield "".join(_fields(cls))
        for name, member in vars(cls).items():
            if name[0] != "_" and inspect.isfunction(member):
                yield _function(member, name)


def _members(cls: type, shown: dict[str, str]) -> Iterator[str]:
    yield "".join(f"* `{name}`: {text}\n" for name, text in shown.items() if text)
    for name in (name for name, text in shown.items() if not text):
        member = getattr(cls, name)
        if isinstance(member, property):
            kind = member.fget.__annotations__["return"]
            yield f"* `{name}`: `{kind}`: {_text(member)}"
        else:
            yield _function(member, name)


def _function(function: Callable[..., object], name: str) -> str:
    plain = inspect.unwrap(function)
    keyword = "async def" if inspect.iscoroutinefunction(plain) else "def"
    definition = _definition(plain)
    managers = "".join(f"@{ast.unparse(manager)}\n" for manager in definition.decorator_list)
    head = f"{managers}{keyword} {name}{_signature(definition)}"
    return f"```python\n{head}\n```\n\n{_text(plain)}"


def _definition(function: Callable[..., object]) -> ast.FunctionDef | ast.AsyncFunctionDef:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(definition, (ast.FunctionDef, ast.AsyncFunctionDef))
    return definition


def _signature(definition: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """As in the source; annotations are strings, and would be quoted by ``str(signature)``."""
    arguments = definition.args
    arguments.args = [argument for argument in arguments.args if argument.arg != "self"]
    result = "" if definition.returns is None else f" -> {ast.unparse(definition.returns)}"
    listed = ast.unparse(arguments)
    if len(listed) + len(result) < _WIDTH:
        return f"({listed}){result}"
    lines = "".join(f"    {line},\n" for line in _split(listed))
    return f"(\n{lines}){result}"


def _split(listed: str) -> list[str]:
    """Parameters at commas outside brackets."""
    parts, depth = [""], 0
    for character in listed:
        depth += {"[": 1, "(": 1, "]": -1, ")": -1}.get(character, 0)
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _text(thing: object) -> str:
    doc = thing.__doc__ or ""
    return f"{inspect.cleandoc(doc)}\n" if doc else ""


def _fields(cls: type) -> Iterator[str]:
    """A line for each annotated field of the class, with the docstring that follows it."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)
    for node, after in zip(definition.body, [*definition.body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign):
            continue
        default = "" if node.value is None else f" = {ast.unparse(node.value)}"
        said = after.value if isinstance(after, ast.Expr) else None
        doc = said.value if isinstance(said, ast.Constant) else ""
        told = f": {' '.join(str(doc).split())}" if doc else ""
        yield f"* `{ast.unparse(node.target)}: {ast.unparse(node.annotation)}{default}`{told}\n"
