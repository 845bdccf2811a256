"""The values of ready and health, and what of their texts is refused."""

from __future__ import annotations

import pytest

from tests.kit.config import eval_context, load, program
from trio_supervisor.core.config.build import build
from trio_supervisor.core.config.ini import Document, read
from trio_supervisor.core.config.lint import lint
from trio_supervisor.core.config.model import Health, OnUnhealthy, ProcessConfig, Readiness
from trio_supervisor.core.config.pattern import LONGEST_LINE, longest_line, required_text
from trio_supervisor.core.config.probes import (
    DescriptorNewline,
    ExecProbe,
    HttpProbe,
    LogLine,
    Notify,
    TcpProbe,
    UnixProbe,
    parse_health,
    parse_ready,
)
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.runtime.embedding import definitions

ON = "[supervisord]\nextended=true\n"
PROGRAM = "[program:x]\ncommand=/bin/x\n"

CONDITIONS = [
    ("notify", Notify()),
    (" Notify ", Notify()),
    ("fd:3", DescriptorNewline(3)),
    ("log:ready: yes", LogLine("ready: yes")),
    ("log:~^up in [0-9]+ ms$", LogLine("^up in [0-9]+ ms$", is_regex=True)),
    ("tcp:5432", TcpProbe(5432)),
    ("tcp:db.example:5432", TcpProbe(5432, "db.example")),
    ("tcp:[::1]:80", TcpProbe(80, "::1")),
    ("unix:/run/x.sock", UnixProbe("/run/x.sock")),
    ("unix:///run/x.sock", UnixProbe("/run/x.sock")),
    ("http://localhost", HttpProbe("http", "localhost", 80, "/")),
    ("HTTP://localhost:8080/a?b#c", HttpProbe("http", "localhost", 8080, "/a?b")),
    ("https://[::1]?x", HttpProbe("https", "::1", 443, "/?x")),
    ("exec: redis-cli -p 1 ping", ExecProbe("redis-cli -p 1 ping")),
]


@pytest.mark.behaviour("policies.md#conditions")
@pytest.mark.parametrize(("text", "value"), CONDITIONS)
def test_conditions(text: str, value: object) -> None:
    assert parse_ready(text) == value
    assert parse_ready(str(value)) == value


@pytest.mark.behaviour("policies.md#conditions")
@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "use notify"),
        ("notify:", "use notify"),
        ("5432", "use notify"),
        ("fd:2", "use fd:3"),
        ("fd:99999", "use fd:3"),
        ("fd:three", "use fd:3"),
        ("log:", "write log:"),
        ("log:~", "write log:"),
        ("log:~(", "see https://docs.python.org"),
        ("log:~(a+)+b", "repeat single characters"),
        ("log:~(?:a|b)*c", "repeat single characters"),
        ("log:~((a*)b){2,}", "repeat single characters"),
        ("log:~(a)\\1", "write the text of the group"),
        ("tcp:", "use tcp:PORT"),
        ("tcp:0", "use tcp:PORT"),
        ("tcp:65536", "use tcp:PORT"),
        ("tcp:::1:80", "use tcp:PORT"),
        ("tcp:a b:80", "use tcp:PORT"),
        ("unix:", "use unix:/path"),
        ("unix:x.sock", "use unix:/path"),
        ("http://", "write it as"),
        ("http://a:b/", "write it as"),
        ("http://a/ b", "write it as"),
        ("http://::1/", "write it as"),
        ("http://user:secret@a/", "use exec:"),
        ("exec: ", "write exec:"),
        ('exec:sh -c "echo', "close it"),
    ],
)
def test_mistakes_in_conditions_have_a_hint(text: str, hint: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - converters raise nothing narrower
        parse_ready(text)
    assert str(caught.value.args[1]).startswith(hint)
    assert "secret" not in str(caught.value.args)


@pytest.mark.parametrize(
    "pattern",
    ["a.*b", "(a|b)", "(ab)?c", "[(|+]+x", r"\(a+\)+", "(?i:up)", "(?:a[)*]b){2}", "x{2,"],
)
def test_safe_patterns(pattern: str) -> None:
    assert parse_ready(f"log:~{pattern}") == LogLine(pattern, is_regex=True)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^Listening on port [0-9]+$", "Listening on port "),
        ("up", "up"),
        ("server v1\\.2 is up!?", "server v1.2 is up"),
        ("ab+cde", "cde"),
        ("ab{2}c", "a"),
        ("abc?", "ab"),
        ("abc*?de", "ab"),
        ("(ready) or not", " or not"),
        ("(?:up)", ""),
        ("ready|up", ""),
        ("(ready|up) now", " now"),
        ("(?i)ready", ""),
        ("(?=ready).", ""),
        ("[ready]", ""),
        ("a\\x41b", ""),
        ("a\\db", "a"),
        ("äöü.", "äöü"),
        (".*", ""),
    ],
)
def test_the_text_that_every_match_contains(pattern: str, text: str) -> None:
    assert required_text(pattern) == text


@pytest.mark.parametrize(
    ("pattern", "bytes"),
    [
        ("up", LONGEST_LINE),
        ("^.*up.*$", LONGEST_LINE),
        (".*ready.*port.*", LONGEST_LINE),
        ("a+b+", 700),
        ("^a+b+", LONGEST_LINE),
        ("^a+b+c+", 700),
        ("a+b+c+", 200),
        ("a+b+c+d+", 96),
        ("a+" * 30, 60),
    ],
)
def test_the_length_that_is_looked_at(pattern: str, bytes: int) -> None:
    assert longest_line(pattern) == bytes


@pytest.mark.behaviour("policies.md#health-checks")
@pytest.mark.parametrize("text", ["fd:3", "log:x", "log:~x", ""])
def test_what_ends_once_is_no_check(text: str) -> None:
    with pytest.raises(ValueError, match="is no check"):
        parse_health(text)


@pytest.mark.behaviour("policies.md#ready-timeout")
@pytest.mark.behaviour("policies.md#health-checks")
def test_defaults_are_shared_by_all_programs() -> None:
    first, second = program(""), program("")
    assert first.readiness is second.readiness is ProcessConfig("x", "y").readiness
    assert first.health is second.health
    assert first.readiness == Readiness(None, 60.0)
    assert first.health == Health(None, 10.0, 3.0, 3, OnUnhealthy.RESTART, None)


def written(lines: str) -> ProcessConfig:
    ((process,),) = (group.processes for group in load(PROGRAM + lines, base=ON).groups)
    return process


def test_the_options_of_a_file() -> None:
    process = written(
        "ready=tcp:%(ENV_PORT)s\n".replace("%(ENV_PORT)s", "90%(process_num)02d")
        + "ready_timeout=2m\nhealth=exec:check %(program_name)s\nhealth_interval=500ms\n"
        "health_timeout=1\nhealth_failures=5\non_unhealthy=Stop\ndump_signal=ABRT\n"
    )
    assert process.readiness == Readiness(TcpProbe(9000), 120.0)
    check = ExecProbe("check x")
    assert process.health == Health(check, 0.5, 1.0, 5, OnUnhealthy.STOP, 6)


@pytest.mark.parametrize(
    ("lines", "option"),
    [
        ("ready=tcp:x\n", "ready"),
        ("ready=tcp:1\nstartsecs=61\n", "ready_timeout"),
        ("ready=tcp:1\nready_timeout=500ms\n", "ready_timeout"),
        ("health=log:x\n", "health"),
        ("health=tcp:1\nhealth_interval=0\n", "health_interval"),
        ("health=tcp:1\nhealth_timeout=0\n", "health_timeout"),
        ("health=tcp:1\nhealth_failures=0\n", "health_failures"),
        ("on_unhealthy=kill\n", "on_unhealthy"),
        ("dump_signal=SIG_IGN\n", "dump_signal"),
    ],
)
def test_mistakes_in_a_file_have_a_place_and_a_fix(lines: str, option: str) -> None:
    with pytest.raises(ConfigError) as caught:
        written(lines)
    assert caught.value.option == option
    assert caught.value.diagnostic.hint


@pytest.mark.behaviour("policies.md#ready-timeout")
def test_no_limit_and_the_same_as_startsecs_are_right() -> None:
    assert written("ready=tcp:1\nready_timeout=0\n").readiness.timeout == 0
    assert written("ready=tcp:1\nready_timeout=1\n").readiness.timeout == 1


def test_the_options_of_a_python_program() -> None:
    (process,) = definitions.program(
        "x", "/bin/x", {"ready": "tcp:1", "ready_timeout": "5m", "on_unhealthy": "none"}
    ).processes
    assert process.readiness == Readiness(TcpProbe(1), 300.0)
    assert process.health.on_unhealthy is OnUnhealthy.NONE


async def announcing(task_status: object) -> None: ...


async def plain() -> None: ...


def test_mistakes_of_a_python_program() -> None:
    with pytest.raises(ConfigError, match="x: ready: 'tcp:' is no address") as caught:
        definitions.program("x", "/bin/x", {"ready": "tcp:"})
    assert caught.value.diagnostic.hint == "use tcp:PORT, tcp:HOST:PORT or tcp:[IPv6]:PORT"
    with pytest.raises(ConfigError, match="x: ready must be a text"):
        definitions.program("x", "/bin/x", {"ready": 80})  # type: ignore[typeddict-item]  # refusal tested
    with pytest.raises(ConfigError, match="on_unhealthy must be restart, stop or none"):
        definitions.program("x", "/bin/x", {"on_unhealthy": "halt"})  # type: ignore[typeddict-item]  # refusal tested
    with pytest.raises(ConfigError, match="less than startsecs"):
        definitions.program("x", "/bin/x", {"ready": "tcp:1", "ready_timeout": 0.5})


@pytest.mark.behaviour("policies.md#policies-of-tasks")
def test_a_task_is_ready_by_what_it_serves_or_by_what_it_announces() -> None:
    definitions.task("x", plain, {"ready": "tcp:1", "health": "tcp:1"})
    with pytest.raises(ConfigError, match=r"announces by task_status.started\(\)"):
        definitions.task("x", announcing, {"ready": "tcp:1"})
    for condition in ("notify", "fd:3", "log:x"):
        with pytest.raises(ConfigError, match="a task cannot be ready by"):
            definitions.task("x", plain, {"ready": condition})
    with pytest.raises(ConfigError, match="health of a task cannot be checked by notify"):
        definitions.task("x", announcing, {"health": "notify"})


@pytest.mark.behaviour("policies.md#probe-options-without-effect")
@pytest.mark.parametrize(
    ("lines", "options"),
    [
        ("ready=tcp:1\nready_timeout=5\n", set()),
        ("ready_timeout=5\n", {"ready_timeout"}),
        ("on_unhealthy=none\nhealth_interval=5\n", {"on_unhealthy", "health_interval"}),
        ("health=tcp:1\non_unhealthy=stop\ndump_signal=USR1\n", {"dump_signal"}),
        ("health=tcp:1\ndump_signal=USR1\nhealth_failures=2\n", set()),
        ("health=notify\nhealth_failures=2\nhealth_interval=5\n", {"health_failures"}),
    ],
)
def test_options_without_effect_are_remarked(lines: str, options: set[str]) -> None:
    document = Document()
    read(ON + PROGRAM + lines, file="c.conf", here="/here", into=document)
    config = build(document, eval_context(), overrides={}, here="/here")
    remarks = lint(document, config, eval_context(), lambda section: None)
    found = {remark.place.option for remark in remarks if "has no effect" in remark.text}
    assert found == options
