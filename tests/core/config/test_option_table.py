"""One row of the option table is all that files, Python programs, answers and documents need."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import trio_supervisor
from tests.kit.config import BASE, eval_context, load
from trio_supervisor.core.config.access import Access, Credentials, Tls
from trio_supervisor.core.config.keywords import ProgramOptions, TaskOptions
from trio_supervisor.core.config.model import (
    Config,
    DaemonConfig,
    FastCgiSocket,
    InetServer,
    PoolConfig,
    ProcessConfig,
    UnixServer,
)
from trio_supervisor.core.config.options import (
    POOL,
    PROGRAM,
    PYTHON_ONLY,
    PYTHON_OPTIONS,
    SOCKET,
    SUPERVISORD,
    TABLES,
    Option,
)
from trio_supervisor.core.config.programs import SectionTemplate
from trio_supervisor.core.errors import ConfigError

PACKAGE = Path(trio_supervisor.__file__).parent
#: Where the package ``tests`` is, also if ours is installed elsewhere.
CHECKOUT = Path(__file__).parents[3]
CREDENTIALS = Credentials("name", "password")
ACCESS = Access(readonly=CREDENTIALS)
#: What the rows are read from.
OWNERS: list[tuple[tuple[Option, ...], object]] = [
    (SUPERVISORD, DaemonConfig()),
    (PROGRAM, ProcessConfig("x", "y")),
    (SOCKET, FastCgiSocket("unix:///s")),
    (POOL, PoolConfig(frozenset())),
    (TABLES["unix_http_server"], UnixServer("u", "/s", credentials=CREDENTIALS, access=ACCESS)),
    (
        TABLES["inet_http_server"],
        InetServer("i", "", 1, credentials=CREDENTIALS, access=ACCESS, tls=Tls("c")),
    ),
]


@pytest.mark.parametrize(("rows", "owner"), OWNERS, ids=lambda part: type(part).__name__)
def test_every_row_names_a_value_of_the_model(rows: tuple[Option, ...], owner: object) -> None:
    for option in rows:
        if option.path is None:
            continue
        value = owner
        for name in option.path.split("."):
            assert hasattr(value, name), option.name
            value = getattr(value, name)
        assert option.read(owner) == value


def test_every_value_of_a_program_and_of_the_daemon_has_a_row() -> None:
    def paths(owner: object, prefix: str = "") -> set[str]:
        found = set()
        for field in fields(owner):  # type: ignore[arg-type]  # owner is a dataclass of the model
            value = getattr(owner, field.name)
            path = f"{prefix}{field.name}"
            found |= paths(value, f"{path}.") if is_dataclass(value) else {path}
        return found

    of_program = {option.path for option in (*PROGRAM, *PYTHON_ONLY)} - {None}
    assert paths(ProcessConfig("x", "y")) - of_program == {
        *("socket", "task", "section"),
        "identity.own",  # what environment adds, kept apart for the sake of environment_file
    }
    assert paths(DaemonConfig()) == {option.path for option in SUPERVISORD} - {None}


def test_defaults_of_the_model_are_those_of_the_table() -> None:
    """But for names, which have none, and for what is taken from the machine."""
    for rows, owner in OWNERS[:2]:
        for option in rows:
            known = option.path is None or option.default is None or option.secret
            if known or option.name in ("process_name", "logfile", "pidfile", "serverurl"):
                continue
            assert option.type.convert(option.default or "", eval_context()) == option.read(owner)


def test_keywords_for_type_checkers_are_those_of_the_table() -> None:
    assert set(ProgramOptions.__annotations__) == set(PYTHON_OPTIONS)
    of_tasks = {keyword for keyword, option in PYTHON_OPTIONS.items() if option.for_tasks}
    assert set(TaskOptions.__annotations__) == of_tasks


KINDNESS = """\
    Option(
        "kindness",
        value_types.INTEGER,
        "0",
        "how much it yields to other processes",
        extension=True,
        python=python_values.ANY_INTEGER,
        config_info="kindness",
    ),
"""
#: Run with the package that knows the new option: prints what each of its readers makes of it.
PROBE = """
import contextlib, io, json, sys
from pathlib import Path
from types import SimpleNamespace

from tests.kit.reference import markdown, schema
from trio_supervisor.cli.check.check import check
from trio_supervisor.cli.convert import convert
from trio_supervisor.cli.export import export
from trio_supervisor.cli.sample import sample
from trio_supervisor.core.config.model import diff
from trio_supervisor.core.config.programs import SectionTemplate
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.runtime.embedding.definitions import program
from trio_supervisor.runtime.inspect.info import all_config_info
from trio_supervisor.runtime.load import load_config
from trio_supervisor.web.api.schema import CONFIG

def printed(function, *arguments):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        function(*arguments)
    return out.getvalue()

def written(name, text):
    Path(name).write_text(text)
    return name

def processes(path):
    return [process.kindness for group in load_config(path).groups for process in group.processes]

def refused(value):
    try:
        program("x", "/bin/true", {"kindness": value})
    except ConfigError as error:
        return str(error)

HEAD = "[supervisord]\\nuser=root\\n"
X = "[program:x]\\ncommand=/bin/true\\n"
ini = written("c.conf", HEAD + X + "numprocs=2\\nprocess_name=%(process_num)d\\n"
              "kindness=%(process_num)d\\n")
toml = written("c.toml", "[supervisord]\\n[program.x]\\ncommand = '/bin/true'\\nkindness = 5\\n")
bad = written("bad.conf", HEAD + X + "kindness=five\\n")
misspelled = written("misspelled.conf", HEAD + X + "kindnes=5\\n")
config = load_config(toml)
before = {group.name: group for group in load_config(written("d.conf", HEAD + X)).groups}
print(json.dumps({
    "ini": processes(ini),
    "default": before["x"].processes[0].kindness,
    "toml": processes(toml),
    "python": program("x", "/bin/true", {"kindness": 5}).processes[0].kindness,
    "python refuses": refused("5"),
    "check": json.loads(printed(check, bad, {}, "json", "tsupervisord"))["findings"],
    "misspelled": json.loads(printed(check, misspelled, {}, "json", "tsupervisord"))["findings"],
    "export": json.loads(printed(export, toml, {}, "json", "tsupervisord"))["group"],
    "convert": printed(convert, written("e.conf", HEAD + X + "kindness=5\\n"), "tsupervisord"),
    "info": all_config_info(SimpleNamespace(candidates=config.groups, groups={})),
    "changed": diff(before, config.groups).changed,
    "api": CONFIG["properties"].get("kindness"),
    "schema": json.loads(schema()),
    "sample": sample(),
    "page": markdown(),
}))
"""


def test_a_new_row_reaches_everything(tmp_path: Path) -> None:
    """Its row and its field are added to a copy of the package, and nothing else."""
    copy = tmp_path / "copy" / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    table, model = copy / "core/config/options.py", copy / "core/config/model.py"
    _insert(table, "\nPROGRAM = (\n", KINDNESS)
    _insert(model, "    umask: int | None = None\n", "    kindness: int = 0\n")
    keywords = copy / "core/config/keywords.py"
    _insert(keywords, "    directory: str | PathLike\n", "    kindness: int\n")
    found = _probed(copy.parent, tmp_path)
    assert found["ini"] == [0, 1]  # expanded for each process
    assert (found["default"], found["toml"], found["python"]) == (0, [5], 5)
    assert found["python refuses"].startswith("x: kindness must be a whole number, not '5'")
    (wrong,) = [finding for finding in found["check"] if finding["severity"] == "error"]
    assert (wrong["option"], wrong["line"], wrong["column"]) == ("kindness", 5, 10)
    (meant,) = [finding for finding in found["misspelled"] if finding["option"] == "kindnes"]
    assert meant["hint"] == "did you mean kindness?"
    (group,) = found["export"]
    assert group["process"][0]["kindness"] == {"value": 5, "from": "c.toml:4"}
    assert "kindness = 5\n" in found["convert"]
    assert found["info"][0]["kindness"] == 5
    assert found["changed"] == ["x"]
    assert found["api"]["type"] == "integer"
    for kind in ("program", "fcgi-program", "eventlistener"):
        options = found["schema"]["properties"][kind]["additionalProperties"]["properties"]
        assert options["kindness"]["type"] == ["integer", "string"]
    assert ";kindness=0 " in found["sample"]
    assert "| `kindness` | whole number | `0` | update | how much it yields" in found["page"]


#: One section of each kind that has options behind the gate, but for ``[supervisord]``.
SECTIONS = """\
[program:x]
command=/bin/cat
[fcgi-program:f]
command=/bin/cat
socket=unix:///here/f
[eventlistener:e]
command=/bin/cat
events=TICK_5
"""
GATE_PROBE = """
import json
import os
from pathlib import Path

from trio_supervisor.cli.convert import convert
from trio_supervisor.runtime.load import load_config

HEAD = "[supervisord]\\nuser=root\\n%s"
X = "%s[program:x]\\ncommand=/bin/true\\n"
ON = "extended=true\\n"

def loaded(name, text):
    Path(name).write_text(text)
    config = load_config(name)
    told = [m.text for m in config.messages if "extended" in m.text.replace(os.getcwd(), "")]
    return [process.kindness for group in config.groups for process in group.processes], told

def meaning(name, text):
    Path(name).write_text(text)
    config = load_config(name)
    return repr((config.daemon, config.groups))

Path("main").write_text("[supervisord]\\nuser=root\\n[include]\\nfiles=more.conf\\n")
Path("more.conf").write_text("[supervisord]\\nextended=true\\n" + X % "" + "kindness=5\\n")
print(json.dumps({
    "off": loaded("off.conf", HEAD % "" + X % "" + "kindness=five\\n"),
    "false": loaded("off.conf", HEAD % "extended=false\\n" + X % "" + "kindness=5\\n"),
    "on": loaded("on.conf", HEAD % ON + X % "" + "kindness=5\\n"),
    "variable": loaded("on.conf", HEAD % "extended=%(ENV_EXTENDED)s\\n" + X % "" + "kindness=5\\n"),
    "included": loaded("main", Path("main").read_text()),
    "default off": loaded("off.conf", HEAD % "" + X % "[DEFAULT]\\nkindness=five\\n"),
    "default on": loaded("on.conf", HEAD % ON + X % "[DEFAULT]\\nkindness=6\\n"),
    "toml": loaded("c.toml", "[supervisord]\\n[program.x]\\ncommand='/bin/true'\\nkindness=5\\n"),
    "same": meaning("same.conf", HEAD % "" + X % "" + "kindness=five\\n")
    == meaning("same.conf", HEAD % "" + X % ""),
}))
for name in ("off.conf", "on.conf"):
    Path(name).write_text(HEAD % (ON if name == "on.conf" else "") + X % "" + "kindness=5\\n")
    convert(name, "tsupervisord")
"""


@pytest.mark.behaviour("configuration.md#extended-options")
def test_the_gate_of_an_extended_option(tmp_path: Path) -> None:
    """A row with ``extended`` is added to a copy of the package."""
    copy = tmp_path / "copy" / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    table, model = copy / "core/config/options.py", copy / "core/config/model.py"
    _insert(table, "\nPROGRAM = (\n", KINDNESS.replace("extension=True", "extended=True"))
    _insert(model, "    umask: int | None = None\n", "    kindness: int = 0\n")
    printed = _run(GATE_PROBE, copy.parent, tmp_path)
    first, _, converted = printed.partition("\n")
    found = json.loads(first)
    text = "kindness has no effect without extended = true in [supervisord] of the main file"
    for case in ("off", "false", "default off"):
        assert found[case] == [[0], [text]], case
    of_included = "extended has no effect in an included file"
    assert found["included"] == [[0], [of_included, text]]
    for case, value in (("on", 5), ("variable", 5), ("default on", 6), ("toml", 5)):
        assert found[case] == [[value], []], case
    assert found["same"] is True
    assert '[program.x.other]\nkindness = "5"\n[supervisord]' in converted
    assert 'extended = true\n\n[program.x]\ncommand = "/bin/true"\nkindness = 5\n' in converted


GATED_ROWS = [
    (kind, option.name) for kind, table in TABLES.items() for option in table if option.extended
]


@pytest.mark.behaviour("configuration.md#extended-options")
@pytest.mark.parametrize(("kind", "name"), GATED_ROWS)
def test_no_option_behind_the_gate_changes_anything(kind: str, name: str) -> None:
    """Whatever its value is: files for Supervisor have such keys for other programs."""
    text = BASE + SECTIONS
    head = next(line for line in text.splitlines() if line.strip("[]").partition(":")[0] == kind)

    def loaded(*lines: str) -> Config:
        return load(text.replace(f"{head}\n", "\n".join((head, *lines, ""))), base="")

    plain, found = loaded(), loaded(f"{name}=%(no_such_name)s, -, é")
    assert (found.daemon, found.groups) == (plain.daemon, plain.groups)
    (told,) = [message.text for message in found.messages if message not in plain.messages]
    assert told.startswith(f"{name} has no effect without extended = true")


def _insert(path: Path, after: str, text: str) -> None:
    source = path.read_text(encoding="utf-8")
    assert source.count(after) >= 1, (path, after)
    path.write_text(source.replace(after, after + text, 1), encoding="utf-8")


def _probed(package: Path, directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_run(PROBE, package, directory))
    return found


def _run(probe: str, package: Path, directory: Path) -> str:
    path = os.pathsep.join([str(package), str(CHECKOUT)])
    done = subprocess.run(
        [sys.executable, "-c", probe],
        cwd=directory,
        env={
            **os.environ,
            "EXTENDED": "true",
            "PYTHONPATH": path,
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_program_is_kept_and_makes_further_processes() -> None:
    section = "[program:x]\ncommand=/bin/x %(process_num)d of %(numprocs)d\n"
    section += 'process_name=%(process_num)d\nenvironment=A="%(process_num)d"\nnumprocs='
    (group,) = load(f"{section}2\n").groups
    (program,) = group.programs
    assert (program.name, program.count, program.first) == ("x", 2, 0)
    assert program.processes() == group.processes
    (larger,) = load(f"{section}4\n").groups
    assert replace(program, count=4).processes() == larger.processes
    assert replace(program, count=0).processes() == ()


def test_a_program_whose_name_has_no_number_stays_a_single_process() -> None:
    (group,) = load("[program:x]\ncommand=/bin/x\n").groups
    (program,) = group.programs
    assert program.processes() == group.processes
    assert replace(program, count=0).processes() == ()
    with pytest.raises(ConfigError, match="must be present within process_name"):
        replace(program, count=2).processes()


def test_a_program_without_processes_can_get_one() -> None:
    (none,) = load("[program:x]\ncommand=/bin/x\nnumprocs=0\n").groups
    (one,) = load("[program:x]\ncommand=/bin/x\n").groups
    assert replace(none.programs[0], count=1).processes() == one.processes


def test_what_a_program_keeps_holds_nothing_of_other_sections() -> None:
    text = "[program:x]\ncommand=/bin/x\nprocess_name=%(process_num)d\n"
    (group,) = load(f"{text}[inet_http_server]\nport=9001\nusername=u\npassword=p\n").groups
    (program,) = group.programs
    assert isinstance(program.template, SectionTemplate)
    assert [*program.template.reader.document.sections] == ["program:x"]


def test_a_group_keeps_each_of_its_programs() -> None:
    text = "[program:a]\ncommand=/bin/a\n[program:b]\ncommand=/bin/b\n[group:g]\nprograms=b,a\n"
    (group,) = load(text).groups
    assert [program.name for program in group.programs] == ["b", "a"]
    made = [process for program in group.programs for process in program.processes()]
    assert tuple(made) == group.processes


def test_a_process_that_cannot_be_made_is_an_error() -> None:
    """As when a program is scaled to a number that its options do not allow."""
    text = "[program:x]\ncommand=/bin/x\nprocess_name=%(process_num)d\n"
    text += "stdout_logfile_backups=%(process_num)d%(process_num)c\nnumprocs_start=48\n"
    (group,) = load(text).groups
    (program,) = group.programs
    assert group.processes[0].stdout.backups == 480
    with pytest.raises(ConfigError, match="invalid number '65A'"):
        replace(program, first=65).processes()
