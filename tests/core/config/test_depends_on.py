"""How dependencies and one-shot programs are written, and which mistakes are found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.kit.config import BASE, HERE, eval_context, load
from trio_supervisor.core.config.build import examine
from trio_supervisor.core.config.depends_on import (
    Condition,
    Dependency,
    OnDependencyStop,
    list_of_mapping,
    parse_dependencies,
)
from trio_supervisor.core.config.ini import Document, read
from trio_supervisor.core.config.model import Autorestart, ProcessConfig
from trio_supervisor.core.config.toml import read_toml
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.runtime.embedding import definitions

if TYPE_CHECKING:
    from trio_supervisor.core.config.keywords import ProgramOptions

EXTENDED = BASE.replace("identifier=golden", "identifier=golden\nextended=true")
WRITTEN = {
    "": (),
    "db": (Dependency("db"),),
    "db:healthy": (Dependency("db", Condition.HEALTHY),),
    "cache?": (Dependency("cache", soft=True),),
    "g:p:Running?": (Dependency("g:p", Condition.RUNNING, True),),
    "g:p , migrate : done": (Dependency("g:p"), Dependency("migrate", Condition.DONE)),
    "g:running:running": (Dependency("g:running", Condition.RUNNING),),
}
WRONG = {
    "db,": ("invalid dependency ''", "remove the comma at the end"),
    "db, db?": ("'db' is named twice", "leave one of the two out"),
    "g:*": ("invalid dependency 'g:*'", "write g for the whole group"),
    "g:p:helthy": ("invalid dependency 'g:p:helthy'", "did you mean healthy?"),
    "a b": ("invalid dependency 'a b'", "NAME:running"),
    ":p": ("invalid dependency ':p'", "NAME:running"),
    "?": ("invalid dependency '?'", "NAME:running"),
}
#: Sections, as their own names and lines, and the error that they have.
MISTAKES = [
    ("web|depends_on=bd", "db|", "no program, group or process bd", "did you mean db?"),
    ("web|depends_on=db:helthy", "db|", "no program, group or process db:helthy", "db:healthy?"),
    ("web|depends_on=redis", "db|", "no program, group or process redis", "write redis?"),
    ("web|depends_on=db", "db|depends_on=web?", "a cycle: db -> web -> db", "leave one of these"),
    ("web|depends_on=web", "db|", "a cycle: web -> web", "leave one of these"),
    ("web|depends_on=db:healthy", "db|", "db has no health check", "give db a health option"),
    ("web|depends_on=db:done", "db|", "db can never be done", "write oneshot = true for db"),
    ("web|depends_on=db:running", "db|oneshot=true", "db is a oneshot", "write db:done"),
    ("web|on_dependency_stop=die", "db|", "'on_dependency_stop' value 'die'", "keep, stop or"),
    ("web|oneshot=true;startsecs=3", "db|", "a oneshot has no startsecs", "leave it out"),
    ("web|oneshot=true;autorestart=true", "db|", "a oneshot has no autorestart", "leave it out"),
]


def sections(*described: str) -> str:
    text = ""
    for each in described:
        name, _, lines = each.partition("|")
        text += f"[program:{name}]\ncommand=/bin/cat\n" + lines.replace(";", "\n") + "\n"
    return text


def processes(text: str) -> dict[str, ProcessConfig]:
    return {p.name: p for group in load(text, base=EXTENDED).groups for p in group.processes}


def toml(text: str) -> Document:
    document = Document()
    read_toml("[supervisord]\n" + text, file="c.toml", here=HERE, into=document)
    return document


@pytest.mark.parametrize("text", WRITTEN)
@pytest.mark.behaviour("policies.md#the-forms-of-depends_on")
def test_a_list_of_names_with_conditions(text: str) -> None:
    needs = parse_dependencies(text)
    assert needs == WRITTEN[text]
    assert parse_dependencies(",".join(map(str, needs))) == needs


@pytest.mark.parametrize("text", WRONG)
@pytest.mark.behaviour("policies.md#the-forms-of-depends_on")
def test_a_wrong_entry_is_shown_with_its_correction(text: str) -> None:
    with pytest.raises(ValueError, match=r"is named twice|invalid dependency") as caught:
        parse_dependencies(text)
    what, hint = WRONG[text]
    assert caught.value.args[0] == what
    assert hint in caught.value.args[1]


@pytest.mark.behaviour("policies.md#the-forms-of-depends_on")
def test_toml_has_a_list_a_text_or_a_table() -> None:
    expected = parse_dependencies("db:healthy, cache:running?")
    for value in (
        '["db:healthy", "cache:running?"]',
        '"db:healthy, cache:running?"',
        '{ db = "healthy", cache = { condition = "running", soft = true } }',
    ):
        document = toml(f'[program.x]\ncommand = "/bin/cat"\ndepends_on = {value}\n')
        examined = examine(document, eval_context(), overrides={}, here=HERE)
        (process,) = examined.partial.groups[0].processes
        assert process.dependencies.needs == expected


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ('{ db = "helthy" }', "invalid condition 'helthy' of db"),
        ("{ db = 3 }", "invalid condition 3 of db"),
        ("{ db = { sft = true } }", "unknown key 'sft' of db"),
        ("{ db = { soft = 1 } }", "invalid value 1 of soft of db"),
        ('{ "a,b" = "running" }', "invalid dependency 'a,b'"),
    ],
)
@pytest.mark.behaviour("policies.md#the-forms-of-depends_on")
def test_a_wrong_table_of_toml_is_an_error_with_its_line(value: str, error: str) -> None:
    document = toml(f'[program.x]\ncommand = "/bin/cat"\ndepends_on = {value}\n')
    (found,) = document.errors
    assert found.message == error
    assert found.line == 4
    assert found.hint


@pytest.mark.behaviour("policies.md#the-forms-of-depends_on")
def test_python_programs_give_lists_mappings_or_text() -> None:
    values: list[dict[str, Any]] = [
        {"depends_on": ["db:healthy", "cache?"]},
        {"depends_on": "db:healthy, cache?"},
        {"depends_on": {"db": "healthy", "cache": {"soft": True}}},
    ]
    for options in values:
        (process,) = definitions.program("x", "/bin/cat", cast("ProgramOptions", options)).processes
        assert process.dependencies.needs == parse_dependencies("db:healthy, cache?")
    (process,) = definitions.program("x", "/bin/cat", {"on_dependency_stop": "restart"}).processes
    assert process.dependencies.on_stop is OnDependencyStop.RESTART


@pytest.mark.behaviour("policies.md#one-shot-programs")
def test_a_job_of_a_python_program_has_no_time_to_pass_either() -> None:
    (process,) = definitions.program("x", "/bin/cat", {"oneshot": True}).processes
    assert process.startsecs == 0
    with pytest.raises(ConfigError, match="x: a oneshot has no startsecs"):
        definitions.program("x", "/bin/cat", {"oneshot": True, "startsecs": 3})


@pytest.mark.behaviour("policies.md#the-forms-of-depends_on")
def test_values_may_use_the_number_of_the_process() -> None:
    found = processes(
        sections(
            "db|numprocs=2;process_name=db%(process_num)s",
            "web|numprocs=2;process_name=web%(process_num)s;depends_on=db:db%(process_num)s",
        )
    )
    assert found["web1"].dependencies.needs == (Dependency("db:db1"),)


@pytest.mark.parametrize(("first", "second", "error", "hint"), MISTAKES)
@pytest.mark.behaviour("policies.md#mistakes-in-dependencies")
def test_mistakes_are_errors_with_their_correction(
    first: str, second: str, error: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(sections(first, second), base=EXTENDED)
    assert error in caught.value.message
    assert hint in (caught.value.hint or "")
    assert (caught.value.file, caught.value.option) != (None, None)
    assert caught.value.line is not None


@pytest.mark.behaviour("policies.md#mistakes-in-dependencies")
def test_an_unknown_name_is_no_second_error_of_a_program_that_cannot_be_read() -> None:
    document = Document()
    text = sections("web|depends_on=db;priority=x", "cache|depends_on=cache")
    read(EXTENDED + text, file="c.conf", here=HERE, into=document)
    examined = examine(document, eval_context(), overrides={}, here=HERE)
    assert [(e.section, e.option) for e in examined.errors] == [
        ("program:web", "priority"),
        ("program:cache", "depends_on"),
    ]


@pytest.mark.behaviour("policies.md#mistakes-in-dependencies")
def test_a_group_and_a_program_of_another_group_must_not_share_a_name() -> None:
    text = sections("a|", "b|", "web|depends_on=a") + "[group:a]\nprograms=b\n"
    with pytest.raises(ConfigError, match="a is a group, and also a program of the group g"):
        load(text + "[group:g]\nprograms=a\n", base=EXTENDED)


@pytest.mark.behaviour("policies.md#mistakes-in-dependencies")
def test_a_priority_that_contradicts_a_dependency_is_remarked() -> None:
    config = load(sections("db|priority=500", "web|depends_on=db;priority=1"), base=EXTENDED)
    (message,) = config.messages
    assert "by priority web would start before db, which it depends on" in str(message)
    # Without any priority the order of the names is nobody's intention.
    assert load(sections("db|", "api|depends_on=db"), base=EXTENDED).messages == ()


@pytest.mark.behaviour("policies.md#one-shot-programs")
def test_a_oneshot_has_no_time_to_pass_and_is_not_restarted() -> None:
    text = "[DEFAULT]\nautorestart=true\n" + sections("x|oneshot=true")
    x = processes(text)["x"]
    assert (x.startsecs, x.autorestart) == (0, Autorestart.UNEXPECTED)


@pytest.mark.behaviour("configuration.md#extended-options")
def test_without_extended_the_keys_are_those_of_other_tools() -> None:
    config = load(sections("x|depends_on=a b c, , x;oneshot=maybe;on_dependency_stop=?"))
    (process,) = config.groups[0].processes
    assert process == load(sections("x|")).groups[0].processes[0]


@pytest.mark.behaviour("policies.md#the-forms-of-depends_on")
def test_a_mapping_means_the_list_with_the_same_entries() -> None:
    assert list_of_mapping({"db": "healthy", "c": {"soft": True}, "d": {}}) == "db:healthy, c?, d"
