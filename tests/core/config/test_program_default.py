"""``[program-default]``: what programs have that do not write it themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.kit.config import BASE, HERE, eval_context, load
from trio_supervisor.core.config.build import build, examine
from trio_supervisor.core.config.convert import to_tables
from trio_supervisor.core.config.ini import Document, read
from trio_supervisor.core.config.model import Autorestart, Config, ProcessConfig
from trio_supervisor.core.config.toml import read_toml
from trio_supervisor.core.errors import ConfigError

EXTENDED = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\n")


def processes(text: str, base: str = EXTENDED) -> dict[str, ProcessConfig]:
    groups = load(text, base=base).groups
    return {process.name: process for group in groups for process in group.processes}


@pytest.mark.behaviour("policies.md#defaults-of-programs")
def test_a_program_has_them_unless_it_writes_its_own_value() -> None:
    found = processes(
        "[program-default]\nautorestart=false\nstopasgroup=true\nstdout_logfile=/tmp/%(program_name)s\n"
        "rlimit_nofile=64\n"
        "[DEFAULT]\nautorestart=true\nstartsecs=7\n"
        "[program:x]\ncommand=x\n"
        "[program:y]\ncommand=y\nautorestart=true\nstdout_logfile=/tmp/own\n"
        "[fcgi-program:f]\ncommand=f\nsocket=unix:///s\n"
        "[eventlistener:e]\ncommand=e\nevents=TICK_5\n"
    )
    x, y, f, e = (found[name] for name in "xyfe")
    assert [p.autorestart for p in (x, y, f, e)] == [
        *(Autorestart.NEVER, Autorestart.ALWAYS, Autorestart.NEVER, Autorestart.ALWAYS)
    ]
    assert [p.startsecs for p in (x, y, f, e)] == [7, 7, 7, 7]
    assert [p.stdout.logfile for p in (x, y, f)] == ["/tmp/x", "/tmp/own", "/tmp/f"]
    assert x.killasgroup
    assert x.limits.rlimits() == [("nofile", 64, 64)]
    assert e.limits.rlimits() == []


@pytest.mark.behaviour("policies.md#defaults-of-programs")
def test_variables_are_merged_one_by_one() -> None:
    text = (
        "[program-default]\nenvironment=A=default,B=default,P=%(program_name)s\n"
        "[program:x]\ncommand=/bin/%(ENV_P)s\nenvironment=B=own\nenvironment_file=f\n"
    )
    base = EXTENDED.replace("[supervisord]\n", "[supervisord]\nenvironment=A=common,C=common\n")
    (x,) = processes(text, base).values()
    assert x.environment == {"A": "default", "B": "own", "C": "common", "P": "x"}
    assert x.identity.own == {"B": "own"}
    assert x.command == "/bin/x"


def test_further_processes_of_a_program_have_them_too() -> None:
    text = (
        "[program-default]\nenvironment=N=%(process_num)d\npriority=5\n"
        "[program:x]\ncommand=x\nprocess_name=%(process_num)d\n"
    )
    (group,) = load(text, base=EXTENDED).groups
    (program,) = group.programs
    process = program.template.process(3, 4)
    assert (process.environment, process.priority) == ({"N": "3"}, 5)


@pytest.mark.behaviour("policies.md#defaults-of-programs")
@pytest.mark.parametrize(
    ("line", "error"),
    [
        *(
            (f"{option}=1", f"{option} cannot be the same for all programs")
            for option in ("command", "process_name", "numprocs", "depends_on", "oneshot")
        ),
        ("startsecs=soon", "invalid number 'soon'"),
    ],
)
def test_a_mistake_is_told_with_the_place_of_the_default(line: str, error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(f"[program:x]\ncommand=x\n[program-default]\n{line}\n", base=EXTENDED)
    assert error in str(caught.value)
    assert caught.value.line == len((EXTENDED + "[program:x]\ncommand=x\n").splitlines()) + 2


@pytest.mark.behaviour("policies.md#defaults-of-programs")
def test_without_extended_the_section_is_another_programs() -> None:
    programs = "[program:x]\ncommand=x\n"
    bad = "[program-default]\ncommand=y\nautorestart=never\nstartsecs=soon\n"
    document = Document()
    read(BASE + bad + programs, file="c.conf", here=HERE, into=document)
    found = examine(document, eval_context(), overrides={}, here=HERE)
    assert found.errors == []
    (remark,) = (r for r in found.remarks if "program-default" in r.text)
    assert "has no effect without extended = true" in remark.text
    assert repr(load(bad + programs).groups) == repr(load(programs).groups)
    assert to_tables(document, HERE, extended=False)[0].keys() == {
        *("supervisord", "unix_http_server", "rpcinterface", "program")
    }


def from_toml(text: str) -> Config:
    document = Document()
    read_toml(text, file="c.toml", here=HERE, into=document)
    return build(document, eval_context(), overrides={}, here=HERE)


@pytest.mark.behaviour("policies.md#defaults-of-programs")
def test_toml_has_them_as_a_table() -> None:
    text = (
        "[supervisord]\nuser='root'\n[defaults.program]\nstartsecs=7\nenvironment={A='1'}\n"
        "[program.x]\ncommand='x'\nenvironment={B='2'}\n"
    )
    ((x,),) = (group.processes for group in from_toml(text).groups)
    assert (x.startsecs, x.environment) == (7, {"A": "1", "B": "2"})
    for wrong, error in (
        ("[defaults.program]\ncommand='x'\n", "command cannot be the same for all programs"),
        ("[defaults.program]\nstartsec=1\n", "unknown option 'startsec'"),
        ("[defaults.group]\npriority=1\n", "there are no defaults of group"),
    ):
        with pytest.raises(ConfigError) as caught:
            from_toml("[supervisord]\nuser='root'\n" + wrong)
        assert error in str(caught.value)
        assert caught.value.line is not None


def test_a_converted_file_means_the_same(tmp_path: Path) -> None:
    import tomli_w

    text = (
        "[DEFAULT]\nstartsecs=1\nstopwaitsecs=4\n"
        "[program-default]\nstartsecs=2\nenvironment=A=1,B=2\nstopsignal=INT\n"
        "[program:x]\ncommand=x\nenvironment=B=3\n[program:y]\ncommand=y\nstopsignal=HUP\n"
    )
    document = Document()
    read(EXTENDED + text, file="c.conf", here=HERE, into=document)
    converted, lost = to_tables(document, HERE, extended=True)
    tables: dict[str, Any] = converted
    assert lost == []
    assert tables["defaults"]["program"]["stopsignal"] == "INT"

    def meaning(config: Config) -> list[ProcessConfig]:
        return [process for group in config.groups for process in group.processes]

    assert meaning(from_toml(tomli_w.dumps(tables))) == meaning(load(text, base=EXTENDED))
