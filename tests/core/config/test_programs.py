"""Names, groups, and which variables are known where."""

from __future__ import annotations

import pytest

from tests.kit.config import BASE, load, program
from trio_supervisor.core.config.model import Config, Severity
from trio_supervisor.core.errors import ConfigError

AB = "[program:a]\ncommand=/bin/a\n[program:b]\ncommand=/bin/b\n"


def groups(config: Config) -> dict[str, list[str]]:
    """Names of groups and commands of their processes; of equal names the first counts."""
    found: dict[str, list[str]] = {}
    for group in config.groups:
        found.setdefault(group.name, [process.command for process in group.processes])
    return found


def remarks(config: Config) -> str:
    return "\n".join(str(m) for m in config.messages if m.severity is Severity.WARN)


@pytest.mark.behaviour(
    "configuration.md#comments",
    "configuration.md#continuation-lines",
    "configuration.md#keys-and-values",
    "configuration.md#errors-of-expansions",
    "configuration.md#signals",
)
@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("autostart=false;comment", "'false;comment'"),
        ("autostart=\n   false", r"'\\nfalse'"),
        ('autostart="false"', "'\"false\"'"),
        ("command=%(ENV_FOO)d", "is badly formatted"),
        ("stopsignal=_DFL", "not a valid signal name"),
        pytest.param("stopsignal=SIG_IGN", "not a valid signal name", id="SIG_IGN"),
    ],
)
def test_errors_show_the_text_that_is_wrong(lines: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        program(lines, {"FOO": "12"})


@pytest.mark.behaviour("configuration.md#environment-variables-in-values")
def test_variables_of_one_program_are_unknown_to_others() -> None:
    text = "[program:a]\ncommand=x\nenvironment=AA=1\n[program:b]\ncommand=%(ENV_AA)s\n"
    with pytest.raises(ConfigError, match="unknown name 'ENV_AA'") as caught:
        load(text)
    assert caught.value.section == "program:b"


@pytest.mark.behaviour("configuration.md#environment-variables-in-values")
def test_the_global_environment_in_groups_and_servers() -> None:
    base = BASE.replace("identifier=golden", 'environment=GG="a"')
    text = f"{AB}[group:g]\nprograms=%(ENV_GG)s\n[inet_http_server]\nport=1\nusername=%(ENV_GG)s\n"
    config = load(f"{text}password=p\n", base=base)
    assert groups(config) == {"b": ["/bin/b"], "g": ["/bin/a"]}
    credentials = config.servers[0].credentials
    assert credentials is not None
    assert credentials.username == "a"


@pytest.mark.behaviour("configuration.md#values-that-supervisor-expands-twice")
def test_the_environment_of_a_program_is_expanded_once() -> None:
    assert program('environment=GG="a%%20b"').environment["GG"] == "a%20b"


@pytest.mark.behaviour("configuration.md#errors-of-expansions")
def test_a_percent_sign_in_a_password_is_doubled() -> None:
    server = "[inet_http_server]\nport=1\nusername=u\npassword={}\n"
    with pytest.raises(ConfigError) as caught:
        load(server.format("p%w"))
    assert (caught.value.option, caught.value.line) == ("password", 15)
    assert caught.value.hint == "write %% for a literal %"
    credentials = load(server.format("p%%w")).servers[0].credentials
    assert credentials is not None
    assert credentials.password == "p%w"


@pytest.mark.behaviour("configuration.md#the-directory-of-the-file")
def test_here_is_known_in_every_option() -> None:
    text = (
        "[inet_http_server]\nport=1\nusername=%(here)s\npassword=p\n"
        "[rpcinterface:y]\nsupervisor.rpcinterface_factory=m:f\nfoo=%(here)s\n"
    )
    config = load(text)
    credentials = config.servers[0].credentials
    assert credentials is not None
    assert (credentials.username, config.rpcinterfaces[1].options) == ("/here", {"foo": "/here"})


@pytest.mark.behaviour("configuration.md#names-that-can-be-expanded")
def test_a_priority_is_a_number_whatever_it_comes_from() -> None:
    with pytest.raises(ConfigError) as caught:
        load(f"{AB}[group:g]\nprograms=a\npriority=%(host_node_name)s\n")
    assert (caught.value.section, caught.value.option) == ("group:g", "priority")


@pytest.mark.behaviour("process.md#supervisor-variables")
@pytest.mark.parametrize(("text", "url"), [("", ""), ("http://foo", "http://foo")])
def test_serverurl_of_a_program(text: str, url: str) -> None:
    assert program(f"serverurl={text}").serverurl == url


@pytest.mark.behaviour("configuration.md#log-targets")
def test_an_automatic_log_without_rotation_is_warned_of() -> None:
    config = load(AB.replace("/bin/a\n", "/bin/a\nstdout_logfile_maxbytes=0\n"))
    assert "For [program:a], AUTO logging used for stdout_logfile without rollover" in (
        remarks(config)
    )


@pytest.mark.behaviour("configuration.md#names-of-programs-processes-and-groups")
def test_what_comes_out_of_a_variable_is_not_checked() -> None:
    lines = "process_name=%(ENV_Q)s\nstdout_logfile=NONE\nstderr_logfile=NONE"
    assert program(lines, {"Q": "a:/b c"}).name == "a:/b c"


@pytest.mark.behaviour("configuration.md#command-is-required")
@pytest.mark.parametrize("command", ["", '/bin/echo "a'])
def test_a_command_that_cannot_run_loads(command: str) -> None:
    assert program(f"command={command}").command == command


@pytest.mark.behaviour("configuration.md#numprocs", "configuration.md#equal-names")
def test_names_that_are_equal_after_all() -> None:
    text = "[program:x]\ncommand=a\nnumprocs=2\nprocess_name={}\n"
    for name, expanded in (("p%(process_num).0s", "p"), ("p%%(process_num)s", "p%(process_num)s")):
        config = load(text.format(name))
        assert [process.name for process in config.groups[0].processes] == [expanded] * 2
        assert f"several processes of x are called {expanded}" in remarks(config)


@pytest.mark.behaviour("configuration.md#members-of-a-group")
def test_a_program_may_be_in_several_groups_and_twice_in_one() -> None:
    config = load(f"{AB}[group:g]\nprograms=a,a\n[group:h]\nprograms=a\n")
    assert groups(config) == {"b": ["/bin/b"], "g": ["/bin/a"], "h": ["/bin/a"]}
    assert "[program:a] is in several groups and runs once in each: g, h" in remarks(config)


@pytest.mark.behaviour("configuration.md#equal-names")
@pytest.mark.parametrize(
    ("priority", "runs"),
    [
        ("", {"a": ["/bin/b"]}),
        ("priority=1000\n", {"a": ["/bin/a"]}),
    ],
)
def test_a_group_named_like_a_program(priority: str, runs: dict[str, list[str]]) -> None:
    config = load(f"{AB}[group:a]\nprograms=b\n{priority}")
    assert groups(config) == runs
    assert "several groups are called a" in remarks(config)


@pytest.mark.behaviour("configuration.md#equal-names")
def test_processes_of_one_name_in_a_group() -> None:
    text = AB.replace("command", "process_name=p\ncommand")
    config = load(f"{text}[group:g]\nprograms=a,b\n")
    assert groups(config) == {"g": ["/bin/a", "/bin/b"]}
    assert "several processes of g are called p (only the last of them runs" in remarks(config)


@pytest.mark.behaviour("configuration.md#equal-names")
@pytest.mark.parametrize(
    ("other", "runs"),
    [
        ("[fcgi-program:f]\nsocket=unix:///tmp/f\ncommand=c", "/bin/f"),
        ("[eventlistener:f]\nevents=TICK_5\ncommand=c", "c"),
    ],
)
def test_sections_of_two_kinds_and_one_name(other: str, runs: str) -> None:
    config = load(f"[program:f]\ncommand=/bin/f\n{other}\n")
    assert groups(config) == {"f": [runs]}
    assert "several groups are called f" in remarks(config)


@pytest.mark.behaviour("configuration.md#members-of-a-group")
def test_a_blank_in_the_header_belongs_to_the_section_not_to_the_name() -> None:
    blank = "[program: a]\ncommand=/bin/a\n"
    assert groups(load(blank)) == {"a": ["/bin/a"]}
    with pytest.raises(ConfigError, match="names unknown program or fcgi-program a"):
        load(f"{blank}[group:g]\nprograms=a\n")


@pytest.mark.behaviour("configuration.md#sections-of-the-client")
def test_the_daemon_ignores_what_is_the_clients() -> None:
    text = "[ctlplugin:z]\nsupervisor.ctl_factory=nope:x\n[supervisorctl]\nserverurl=%(nope)s\n"
    assert load(text).groups == ()
