"""Configurations written as TOML."""

from __future__ import annotations

import shlex

import pytest

from tests.kit.config import HERE, eval_context, load
from trio_supervisor.cli.convert import meaning
from trio_supervisor.core.config.build import build
from trio_supervisor.core.config.ini import Document
from trio_supervisor.core.config.interpolation_toml import expand_dollars
from trio_supervisor.core.config.model import Config
from trio_supervisor.core.config.toml import read_toml
from trio_supervisor.core.errors import ConfigError

SKETCH = """\
[supervisord]
identifier = "supervisor"
nodaemon = true
logfile = "${here}/d.log"
logfile_maxbytes = "50MB"
environment = { TZ = "UTC", ROOT = "${here}" }

[unix_http_server]
file = "${here}/ctl.sock"
chmod = "0770"

[inet_http_server]
port = "127.0.0.1:9001"
username = "u"
password = "p$$w"

[supervisorctl]
serverurl = "unix://${here}/ctl.sock"

[rpcinterface.supervisor]
"supervisor.rpcinterface_factory" = "supervisor.rpcinterface:make_main_rpcinterface"

[program.web]
command = ["gunicorn", "-b", ":80${process_num:02d}", "an app"]
process_name = "${program_name}_${process_num:02d}"
numprocs = 2
autorestart = "unexpected"
exitcodes = [0, 2]
stopsignal = "TERM"
stopwaitsecs = 10
environment = { PORT = "80${process_num:02d}", HOME2 = "${ENV_HOME}", X = "${ENV_NO:-a b}" }

[fcgi-program.php]
command = "php-cgi"
socket = "unix://${here}/php.sock"

[eventlistener.mail]
command = "mailer"
events = ["PROCESS_STATE_FATAL", "TICK_60"]
buffer_size = 10

[group.site]
programs = ["web", "php"]
priority = 50
"""
#: The same in the other form.
INI = """\
[supervisord]
identifier=supervisor
nodaemon=true
logfile=%(here)s/d.log
environment=TZ="UTC",ROOT="%(here)s"
[unix_http_server]
file=%(here)s/ctl.sock
chmod=0770
[inet_http_server]
port=127.0.0.1:9001
username=u
password=p$w
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[program:web]
command=gunicorn -b :80%(process_num)02d 'an app'
process_name=%(program_name)s_%(process_num)02d
numprocs=2
exitcodes=0,2
environment=PORT="80%(process_num)02d",HOME2="%(ENV_HOME)s",X="a b"
[fcgi-program:php]
command=php-cgi
socket=unix://%(here)s/php.sock
[eventlistener:mail]
command=mailer
events=PROCESS_STATE_FATAL,TICK_60
[group:site]
programs=web,php
priority=50
"""


def load_toml(text: str) -> Config:
    document = Document()
    read_toml(text, file="c.toml", here=HERE, into=document)
    return build(document, eval_context(), overrides={}, here=HERE)


@pytest.mark.behaviour("configuration.md#toml-files")
def test_toml_means_what_the_same_ini_means() -> None:
    assert meaning(load_toml(SKETCH)) == meaning(load(INI, base=""))


@pytest.mark.behaviour("configuration.md#toml-files")
@pytest.mark.parametrize(
    ("text", "message", "line", "hint"),
    [
        ("[progam.x]\n", "unknown table [progam]", 3, "did you mean [program]?"),
        ("[program.x]\ncomand = 1\n", "unknown option 'comand'", 4, "did you mean command?"),
        ("[program.x]\ncwd = '/'\n", "unknown option 'cwd'", 4, "use directory"),
        ("[program.x]\nwait_for = 'y'\n", "unknown option 'wait_for'", 4, "table 'other'"),
        ("[program.x]\nother = 1\n", "unknown option 'other'", 4, None),
        ("[program.x]\nautostart = 1.5\n", "autostart cannot be a number with a fraction", 4, None),
        ("[program.x]\ndirectory = ['a']\n", "directory cannot be a list", 4, None),
        ("program = 1\n", "program must be a table", None, "write [program]"),
        ("[program.x]\ncommand = '$x'\n", "is badly formatted at '$x'", 4, "write $$ for a dollar"),
        (
            "[program.x]\ncommand = '$HOME/x'\n",
            "badly formatted at '$HOME/x'",
            4,
            "write ${ENV_HOME}",
        ),
        ("[program.x]\ncommand = '${HOME}/x'\n", "unknown name 'HOME'", 4, "mean ENV_HOME?"),
        ("[program.x]\ncommand = '${zz}'\n", "unknown name 'zz'", 4, "known names"),
        ("[program.x]\ncommand = 'a'\numask = 0o22\n", "umask cannot be a number", 5, '= "022"'),
        ("[unix_http_server]\nchmod = 700\n", "chmod cannot be a number", 4, "octal digits"),
        ("[program.x]\ncommand = 'a'\numask = '9'\n", "invalid octal number '9'", 5, None),
        (
            "[program.x]\ncommand = 'a'\nnumprocs = 2\n",
            "must be present within process_name",
            None,
            'write process_name="${program_name}_${process_num:02d}"',
        ),
        ("[program.x]\ncommand = \n", "parsing errors", None, None),
    ],
)
def test_errors_say_where_and_how(
    text: str, message: str, line: int | None, hint: str | None
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_toml("[supervisord]\nnodaemon = true\n" + text if "program =" not in text else text)
    assert message in str(caught.value)
    if line is not None:
        assert caught.value.line == line
    if hint is not None:
        assert hint in (caught.value.hint or "")


def test_keys_of_other_programs_have_a_table_of_their_own() -> None:
    text = "[supervisord]\n[supervisord.other]\na = 1\n[program.x]\ncommand = 'a'\n"
    (group,) = load_toml(text + "[program.x.other]\nwait_for = ['y', 1.5]\n").groups
    assert [process.name for process in group.processes] == ["x"]
    with pytest.raises(ConfigError, match="other"):  # the name of a server
        load_toml("[supervisord]\n[unix_http_server.other]\na = 1\n")


@pytest.mark.behaviour("configuration.md#toml-files")
def test_a_command_list_is_the_exact_argv() -> None:
    text = "[supervisord]\n[program.x]\ncommand = ['a', \"it's\", '${ENV_HOME} x', '', '$$']\n"
    (group,) = load_toml(text).groups
    assert shlex.split(group.processes[0].command) == ["a", "it's", "/home/me x", "", "$"]


def test_several_servers() -> None:
    text = "[supervisord]\n[inet_http_server.a]\nport = 1\n[inet_http_server.b]\nport = ':2'\n"
    assert [server.section for server in load_toml(text).servers] == [
        "inet_http_server:a",
        "inet_http_server:b",
    ]


@pytest.mark.behaviour("configuration.md#toml-files")
@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain %s %(here)s", "plain %s %(here)s"),
        ("$$ ${a}", "$ x"),
        ("${n:03d} ${n:x} ${a:>3}", "007 7   x"),
        ("${zz:-} ${zz:-a:b} ${a:-d}", " a:b x"),
        ("${v}", "${a}"),
    ],
)
def test_expansion_happens_once(text: str, expanded: str) -> None:
    names: dict[str, str | int] = {"a": "x", "n": 7, "v": "${a}"}
    assert expand_dollars(text, names) == expanded


@pytest.mark.behaviour("configuration.md#toml-files")
@pytest.mark.parametrize("text", ["$", "$a", "${", "${}", "${zz}", "${a:d}", "${n:99999d}"])
def test_expansions_that_make_no_sense(text: str) -> None:
    with pytest.raises(ValueError, match=r"is badly|unknown name|width"):
        expand_dollars(text, {"a": "x", "n": 7})


@pytest.mark.parametrize(
    "value",
    ["[" * 20_000 + "]" * 20_000, "9" * 5_000, "0x" + "f" * 5_000],
    ids=["nested arrays", "decimal digits", "hexadecimal digits"],
)
def test_values_beyond_what_python_takes_are_errors_of_the_configuration(value: str) -> None:
    with pytest.raises(ConfigError, match=r"nested too deeply|too many digits") as caught:
        load_toml(f"[program.x]\ncommand = '/bin/x'\npriority = {value}\n")
    assert caught.value.hint


def test_lines_are_those_of_TOML() -> None:
    """Other line ends of Unicode may stand inside of a text."""
    with pytest.raises(ConfigError) as caught:
        load_toml("[supervisord]\r\nidentifier = 'a\u2028b\x85c'\r\nbogus = 1\r\n")
    assert caught.value.line == 3
