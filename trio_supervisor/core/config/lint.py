"""Remarks about a file that loads but probably does not mean what its author intended.

What is remarked here loads, and keeps loading. Layout is judged where it is seen,
in ``core/config/ini.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from trio_supervisor.core.config.environment import is_ambiguous, is_plain, odd_separators
from trio_supervisor.core.config.ini import DEFAULT, Document, Entry, Grammar, Section
from trio_supervisor.core.config.model import Config, ProcessConfig
from trio_supervisor.core.config.options import (
    NOT_DEFAULTS,
    PROBES,
    PROGRAM_DEFAULT,
    ROWS,
    SECRETS,
)
from trio_supervisor.core.config.restarting import NO_RESTART_OPTIONS
from trio_supervisor.core.config.shell_syntax import VARIABLE, shell_syntax
from trio_supervisor.core.config.stopping import NO_STOPPING
from trio_supervisor.core.config.suggest import suggestion
from trio_supervisor.core.config.unknown_keys import PROGRAM_KINDS, SERVERS, mistaken
from trio_supervisor.core.config.value_types import COMMAND
from trio_supervisor.core.diagnostics import Diagnostic, Place, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trio_supervisor.core.config.context import EvalContext

#: Sections that may have any keys.
FREE_KINDS = frozenset({"rpcinterface", "ctlplugin"})
#: Sections that need a name behind a colon; without one they are ignored.
NAMED_KINDS = frozenset({"program", "group", "eventlistener", "fcgi-program", *FREE_KINDS})

_COMMANDS = frozenset(o.name for o in ROWS["program"].values() if o.type is COMMAND)
#: Keys in which a dollar sign is not remarked here: a command may give it to a shell.
UNTOUCHED = (SECRETS - {"environment"}) | _COMMANDS
#: Keys of a listener that have no effect: its stdout carries the event protocol.
_NO_EFFECT_IN_LISTENERS = ("stdout_capture_maxbytes", "stdout_events_enabled", "stdout_syslog")
#: A number sign outside quotes: Supervisor's lexer drops the rest of the line.
UNQUOTED_MARK = re.compile(r"^(?:[^\"'#]|\"[^\"]*\"|'[^']*')*[^\s\"']#")
_PROBE_OPTIONS = tuple(option.name for option in PROBES)
#: Logs below these are open files of other programs, which are not rotated.
DEVICES = ("/dev/", "/proc/")
MOST_UMASK = 0o777
UMASKS = "use three octal digits, like 022"
#: Hint for a key that resembles no option.
FOREIGN = "keep it if another program reads it here, else remove it or correct its name"
UNKNOWN = "remove it, or correct its name"
SIGKILL = 9


def lint(
    document: Document,
    config: Config | None,
    context: EvalContext,
    environment: Callable[[Section], str | None],
) -> list[Diagnostic]:
    """All remarks, those of the layout first. ``config`` is None if the document has errors.

    ``environment`` is the expanded text of the section's ``environment=``; None if there is none.
    """
    remarks = [*document.remarks, *_sections(document)]
    for section in document.sections.values():
        remarks += _keys(document, section)
        remarks += _environment(section, environment(section))
        remarks += _shell(section)
        remarks += _dollars(section, context.environ)
    if config is not None:
        remarks += _values(document, config, context.is_dir)
        remarks += _names(document, config)
        remarks += _collisions(document, config)
    return remarks


def kind_of(name: str) -> str:
    """The kind of a section by its name.

    As in Supervisor, any name that starts with the kind of a server is a server.
    """
    for server in SERVERS:
        if name.startswith(server):
            return server
    return name.partition(":")[0]


def _remark(section: Section, text: str, hint: str | None = None) -> Diagnostic:
    place = Place(section.file, section.line, section.name)
    return Diagnostic(Severity.WARN, text, place, hint)


def remark_at(section: Section, key: str, text: str, hint: str | None = None) -> Diagnostic:
    """A warning about the key of the section, with its place."""
    entry = section.entries[key]
    place = Place(entry.file, entry.line, section.name, key)
    return Diagnostic(Severity.WARN, text, place, hint)


def _sections(document: Document) -> Iterator[Diagnostic]:
    for section in document.sections.values():
        name, kind = section.name, kind_of(section.name)
        known = kind in ROWS or kind in FREE_KINDS or name == DEFAULT
        if not known:
            meant = suggestion(kind, [*ROWS, "ctlplugin"])
            hint = f"did you mean [{meant}{name[len(kind) :]}]?" if meant else UNKNOWN
            yield _remark(section, f"unknown section [{name}] is ignored", hint)
        elif name in NAMED_KINDS:
            yield _remark(section, f"[{name}] has no name and is ignored", f"write [{name}:x]")
        elif kind in SERVERS and name != kind and not name.startswith(f"{kind}:"):
            yield _remark(section, f"[{name}] is a server too", f"write [{kind}:name]")
        if name == "include":
            main = next(iter(document.sections.values())).file
            for entry in section.entries.values():
                if entry.file != main:
                    text, hint = "[include] of an included file is ignored", "name its files in "
                    place = Place(entry.file, entry.line, name)
                    yield Diagnostic(Severity.WARN, text, place, hint + main)


def _keys(document: Document, section: Section) -> Iterator[Diagnostic]:
    kind = kind_of(section.name)
    if kind not in ROWS or kind in FREE_KINDS:
        return
    legal = ROWS[kind]
    for key in section.entries:
        if kind == "eventlistener" and key in _NO_EFFECT_IN_LISTENERS:
            text = f"{key} has no effect for an event listener"
            yield remark_at(section, key, text, "leave it out")
        if key in legal or (kind == PROGRAM_DEFAULT and key in NOT_DEFAULTS):
            continue
        wrong = mistaken(kind, key)
        if wrong is None:
            yield remark_at(section, key, f"tsupervisord has no option {key}", FOREIGN)
        else:
            yield remark_at(section, key, *wrong)


def _environment(section: Section, text: str | None) -> Iterator[Diagnostic]:
    if not text or is_plain(text):
        return
    if separators := odd_separators(text):
        # A word may be a piece of a value, and that a secret.
        marks = [word for word in separators if len(word) == 1 and not word.isalnum()]
        what = repr(marks[0]) if marks else "something other than a comma"
        hint = 'write a comma, and put values into quotes: KEY="value",KEY2="value2"'
        yield remark_at(section, "environment", f"{what} separates variables", hint)
    elif is_ambiguous(text):
        remark = "Supervisor after 4.3 reads other values in these quotes or backslashes"
        hint = "put the whole value into quotes that do not occur in it, without backslashes"
        yield remark_at(section, "environment", remark, hint)
    if UNQUOTED_MARK.match(text):
        hint = "put the value into quotes"
        yield remark_at(section, "environment", "the text after # is not part of the value", hint)


def _shell(section: Section) -> Iterator[Diagnostic]:
    if kind_of(section.name) not in PROGRAM_KINDS:
        return
    for key, entry in section.entries.items():
        is_check = _is_check(key, entry)
        if entry.words is not None or not (is_check or key in _COMMANDS):
            continue
        command = entry.value.partition(":")[2] if is_check else entry.value
        found = shell_syntax(command, expansions=entry.grammar is Grammar.PERCENT)
        if found is not None:
            text, hint = found
            here = f"{key}=exec:" if is_check else f"{key}="
            yield remark_at(section, key, text, hint.replace("command=", here))


def _is_check(key: str, entry: Entry) -> bool:
    """Whether the value has a command behind ``exec:``."""
    return key in ("ready", "health") and entry.value.lstrip().startswith("exec:")


def _dollars(section: Section, environ: Mapping[str, str]) -> Iterator[Diagnostic]:
    """Variables as shells write them; in commands they are found as shell syntax."""
    kind = kind_of(section.name)
    if kind not in ROWS or kind in FREE_KINDS:
        return
    for key, entry in section.entries.items():
        if key in UNTOUCHED or entry.grammar is not Grammar.PERCENT or _is_check(key, entry):
            continue
        for variable in VARIABLE.finditer(entry.value):
            name = variable[1] or variable[2]
            # In an environment it may be a piece of a password: what is a variable is none.
            if key not in SECRETS or name in environ or f"{name}=" in entry.value:
                text, hint = f"{variable[0]} is not expanded here", f"write %(ENV_{name})s"
                yield remark_at(section, key, text, hint)
                break


#: Option, when a process has an odd value of it, what is odd, and what to do.
_ODD_VALUES: tuple[tuple[str, Callable[[ProcessConfig], bool], str, str], ...] = (
    ("startsecs", lambda p: p.startsecs < 0, "a negative time", "use 0 or more"),
    (
        "startretries",
        lambda p: p.startretries < 0,
        "a negative count: FATAL at the first failure",
        "use 0 or more",
    ),
    ("stopwaitsecs", lambda p: p.stopwaitsecs < 0, "a negative time", "use 0 or more"),
    (
        "stopsignal",
        lambda p: p.stopsignal == 0,
        "signal 0 stops nothing: SIGKILL will follow",
        "use a name, like TERM",
    ),
    (
        "stopwaitsecs",
        lambda p: p.stopwaitsecs == 0 and p.stopsignal != SIGKILL,
        "SIGKILL follows the stop signal at once",
        "give it a few seconds to stop",
    ),
    (
        "umask",
        lambda p: p.umask is not None and not 0 <= p.umask <= MOST_UMASK,
        "no such umask",
        UMASKS,
    ),
)


def _values(
    document: Document, config: Config, is_dir: Callable[[str], bool]
) -> Iterator[Diagnostic]:
    for section, processes in _programs(document, config):
        yield from _directory(section, processes, is_dir)
        for key, is_odd, text, hint in _ODD_VALUES:
            if key in section.entries and any(is_odd(process) for process in processes):
                yield remark_at(section, key, text, hint)
        yield from _policies(section, processes)
        if "numprocs" in section.entries and not processes:
            yield remark_at(section, "numprocs", "there will be no process", "use 1 or more")
        uses_number = any("process_num" in entry.value for entry in section.entries.values())
        if "numprocs_start" in section.entries and not uses_number:
            hint = "use it in process_name, or leave numprocs_start out"
            yield remark_at(section, "numprocs_start", "nothing uses %(process_num)", hint)
    daemon = document.sections["supervisord"]
    if "umask" in daemon.entries and not 0 <= config.daemon.umask <= MOST_UMASK:
        yield remark_at(daemon, "umask", "no such umask", UMASKS)
    if daemon.entries.get("logfile", Entry("", "", 0, "")).value.lower() in ("none", "off", "auto"):
        yield remark_at(daemon, "logfile", "this is the name of a file here", "use /dev/null")
    if config.daemon.nodaemon:
        for key in ("umask", "directory"):
            if key in daemon.entries:
                hint = f"set {key} of the programs that need it"
                yield remark_at(daemon, key, f"{key} has no effect in the foreground", hint)


def _policies(section: Section, processes: list[ProcessConfig]) -> Iterator[Diagnostic]:
    if not processes:
        return
    process = processes[0]
    has_probes = any(name in section.entries for name in _PROBE_OPTIONS)
    has_none = process.restarting is NO_RESTART_OPTIONS and process.stopping is NO_STOPPING
    if has_none and not process.essential and not has_probes:
        return
    # Imported here because few programs have such options.
    from trio_supervisor.core.config.ineffective import ineffective

    for found in ineffective(process, section.entries):
        yield remark_at(section, found.option, f"{found.option} {found.text}", found.hint)


def _directory(
    section: Section, processes: list[ProcessConfig], is_dir: Callable[[str], bool]
) -> Iterator[Diagnostic]:
    entry = section.entries.get("directory")
    if entry is None:
        return
    missing = [
        p.directory for p in processes if p.directory is not None and not is_dir(p.directory)
    ]
    if missing:  # no error: it may be mounted later
        shown = entry.value if "ENV_" in entry.value else missing[0]
        hint = "create it before the program starts"
        yield remark_at(section, "directory", f"there is no directory {shown}", hint)


def _programs(document: Document, config: Config) -> Iterator[tuple[Section, list[ProcessConfig]]]:
    """Each section that makes processes, and those that came of it."""
    made: dict[str, list[ProcessConfig]] = {}
    for group in config.groups:
        made.setdefault(group.section or "", [])
        for process in group.processes:
            made.setdefault(process.section or "", []).append(process)
    for section in document.sections.values():
        if kind_of(section.name) in PROGRAM_KINDS and section.name in made:
            yield section, made[section.name]


def _names(document: Document, config: Config) -> Iterator[Diagnostic]:
    """Process names that are hard to address, and programs that run more than once."""
    for section, processes in _programs(document, config):
        entry = section.entries.get("process_name")
        if entry is not None and any(set(p.name) & set(" :/") for p in processes):
            text = "a process name with a blank, : or / is hard to address"
            yield remark_at(section, "process_name", text, "look at the variables it uses")
    groups: dict[str, dict[str, None]] = {}
    for group in config.groups:
        for process in group.processes:
            groups.setdefault(process.section or "", {})[group.name] = None
    for name, names in groups.items():
        if len(names) > 1 and name in document.sections:
            text = f"[{name}] is in several groups and runs once in each: {', '.join(names)}"
            yield _remark(document.sections[name], text, "name it in one of them")


def _collisions(document: Document, config: Config) -> Iterator[Diagnostic]:
    first = document.sections["supervisord"]
    for name in _repeated(group.name for group in config.groups):
        hint = "the one of lower priority number runs; rename the others"
        yield _remark(_of_group(document, name, first), f"several groups are called {name}", hint)
    for group in config.groups:
        for name in _repeated(process.name for process in group.processes):
            hint = "only the last of them runs: give each a name of its own"
            section = _of_group(document, group.name, first)
            yield _remark(section, f"several processes of {group.name} are called {name}", hint)
    users: dict[str, dict[str, str | None]] = {}
    for group in config.groups:
        for process in group.processes:
            for channel in (process.stdout, process.stderr):
                path = channel.logfile
                if (
                    isinstance(path, str)
                    and path
                    and channel.maxbytes > 0
                    and not path.startswith(DEVICES)
                ):
                    users.setdefault(path, {})[process.name] = process.section
            own = process.stdout.logfile
            if own == process.stderr.logfile and own in users:
                text = f"stdout and stderr of {process.name} write and rotate the same file {own}"
                section = document.sections.get(process.section or "", first)
                yield _remark(section, text, "use redirect_stderr=true without stderr_logfile=")
    for path, names in users.items():
        if len(names) > 1:
            (one, another), more = [*names][:2], len(names) - 2
            others = f", {another} and {more} more" if more else f" and {another}"
            section = document.sections.get(names[another] or "", first)
            text = f"{one}{others} write and rotate the same file {path}"
            yield _remark(section, text, "give each its own, or set maxbytes=0 for all")


def _of_group(document: Document, name: str, otherwise: Section) -> Section:
    """A section that the group of this name came from."""
    for section in document.sections.values():
        if section.name.partition(":")[2].strip() == name:
            return section
    return otherwise


def _repeated(names: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    repeated: dict[str, None] = {}
    for name in names:
        if name in seen:
            repeated[name] = None
        seen.add(name)
    return list(repeated)
