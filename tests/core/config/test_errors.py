"""Every error of a configuration, and oddities that are kept.

Each error is met once: its message, its place, and that it says how to put it right.
"""

from __future__ import annotations

import pytest

from tests.kit.config import BASE, HERE, eval_context, load, program
from trio_supervisor.core.config.build import examine
from trio_supervisor.core.config.ini import Document, read
from trio_supervisor.core.config.model import InetServer
from trio_supervisor.core.errors import ConfigError

X = "[program:x]\ncommand=/bin/cat\n"
L = "[eventlistener:l]\ncommand=a\nevents=TICK\n"
F = "[fcgi-program:f]\ncommand=a\nsocket=unix:///tmp/f\n"
RPC = "[rpcinterface:y]\n"
INET = "[inet_http_server]\nport=1\n"
#: Text behind the base, message, section, option; empty: none.
CATALOGUE = (
    (None, "File contains no section headers: 'foo=1'", "", ""),
    (f"{X}foo\n", "File contains parsing errors: line 14: 'foo'", "", ""),
    (f"{X}=foo\n", "File contains parsing errors: line 14: '=foo'", "", ""),
    ("[program:x ;note]\n", "malformed section header '[program:x'", "", ""),
    (None, ".ini file does not include supervisord section", "", ""),
    (f"{X}user=%(nope)s\n", "Format string '%(nope)s' for 'program:x.user'", "x", "user"),
    (f"{X}user=%Y\n", "Format string '%Y' for 'program:x.user'", "x", "user"),
    (f"{X}startsecs=a\n", "invalid number 'a'", "x", "startsecs"),
    (f"{X}stdout_capture_maxbytes=1M\n", "invalid size '1M'", "x",
     "stdout_capture_maxbytes"),
    (f"{X}autostart=maybe\n", "not a valid boolean value: 'maybe'", "x", "autostart"),
    (f"{X}umask=9\n", "invalid octal number '9'", "x", "umask"),
    (f"{X}autorestart=never\n", "invalid 'autorestart' value 'never'", "x", "autorestart"),
    ("[supervisord]\nloglevel=crit\n", "bad logging level name 'crit'", "", "loglevel"),
    ("[supervisord]\ndirectory=/no\n", "/no is not an existing directory", "", "directory"),
    (f"{X}stderr_logfile=/no/x\n", "The directory named as part of the path /no/x does not",
     "x", "stderr_logfile"),
    (f"{X}environment=A=1,B\n", "unexpected end of key/value pairs after 'A'", "x",
     "environment"),
    (f'{X}environment=A="1\n', "no closing quotation", "x", "environment"),
    (f"{X}user=nosuch\n", "Invalid user name nosuch", "x", "user"),
    (f"{X}user=4242\n", "Invalid user id 4242", "x", "user"),
    (f"{X}stopsignal=FOO\n", "value 'FOO' is not a valid signal name", "x", "stopsignal"),
    (f"{X}stopsignal=99\n", "value '99' is not a valid signal number", "x", "stopsignal"),
    (RPC, "section [rpcinterface:y] does not specify a", "rpcinterface:y", ""),
    ("[program:x]\n", "program section program:x does not specify a command", "x", ""),
    (f"{X}numprocs=2\n", "%(process_num) must be present within process_name when numprocs",
     "x", "process_name"),
    (f"{X}stopasgroup=true\nkillasgroup=false\n", "cannot set stopasgroup=true and", "x",
     "killasgroup"),
    (L.replace("TICK", ""), '[eventlistener:l] section requires an "events" line', "l", ""),
    (L.replace("TICK", "TICK_7"), "Unknown event type TICK_7", "l", "events"),
    (f"{L}buffer_size=0\n", "[eventlistener:l] section sets invalid buffer_size (0)", "l",
     "buffer_size"),
    (F.replace("unix:///tmp/f", ""), '[fcgi-program:f] section requires a "socket" line',
     "f", ""),
    (f"{L}redirect_stderr=true\n", "[eventlistener:l] section sets redirect_stderr=true",
     "l", "redirect_stderr"),
    (F.replace("unix:///", "unix://"), "bad socket value 'unix://tmp/f'", "f", "socket"),
    (f"{F}socket_backlog=0\n", "socket_backlog 0 is not in 1 to 65535", "f",
     "socket_backlog"),
    (F.replace("unix:///tmp/f", "tcp://h:9") + "socket_mode=0700\n",
     "socket_mode is only for unix sockets", "f", "socket_mode"),
    ("[unix_http_server:b]\n", "section [unix_http_server:b] has no file value",
     "unix_http_server:b", ""),
    ("[unix_http_server:b]\nfile=\n", "section [unix_http_server:b] has no file value",
     "unix_http_server:b", ""),
    ("[inet_http_server]\n", "section [inet_http_server] has no port value",
     "inet_http_server", ""),
    (INET.replace("1", "abc"), "'abc' is not a valid port number", "inet_http_server",
     "port"),
    (INET.replace("1", "0"), "port number 0 is not between", "inet_http_server", "port"),
    (f"{INET}username=u\n", "Section [inet_http_server] contains incomplete authentication",
     "inet_http_server", "username"),
    ("[unix_http_server:b]\nfile=/tmp/b\nchmod=8\n", "invalid octal number '8'",
     "unix_http_server:b", "chmod"),
    ("[unix_http_server:b]\nfile=/tmp/b\nchown=nobody:\n", "Invalid group name",
     "unix_http_server:b", "chown"),
    ("[program:a b]\ncommand=a\n", "Invalid name: 'a b' because of character: ' '",
     "program:a b", ""),
    (f"{X}process_name=a:b\n", "Invalid process_name: 'a:b' because of character: ':'", "x",
     "process_name"),
    (f"{X}[group:g]\nprograms=y\n", "[group:g] names unknown program or fcgi-program y", "g",
     "programs"),
    (f"{F}[program:f]\ncommand=a\n[group:g]\nprograms=f\n", "[group:g] name f is ambiguous",
     "g", "programs"),
    (f"{X}exitcodes=0,\n", "not a valid list of exit codes: '0,'", "x", "exitcodes"),
)  # fmt: skip
SECTIONS = {
    "x": "program:x",
    "l": "eventlistener:l",
    "f": "fcgi-program:f",
    "g": "group:g",
    "": "supervisord",
}


@pytest.mark.behaviour(
    "configuration.md#errors-of-syntax",
    "configuration.md#section-headers",
    "configuration.md#errors-of-expansions",
    "configuration.md#whole-numbers",
    "configuration.md#directories-that-must-exist",
    "configuration.md#log-targets",
    "configuration.md#lists-that-do-not-mean-what-they-seem-to",
    "configuration.md#users-and-groups",
    "configuration.md#signals",
    "configuration.md#rpc-interfaces",
    "configuration.md#command-is-required",
    "configuration.md#numprocs",
    "configuration.md#stopasgroup-implies-killasgroup",
    "configuration.md#event-listeners",
    "configuration.md#fastcgi-programs",
    "configuration.md#http-servers",
    "configuration.md#unix-sockets-of-servers",
    "configuration.md#addresses-of-tcp-servers",
    "configuration.md#credentials-of-a-server",
    "configuration.md#names-of-programs-processes-and-groups",
    "configuration.md#members-of-a-group",
    "configuration.md#lists-of-exit-codes",
    "configuration.md#all-errors-are-reported-at-once",
)
@pytest.mark.parametrize(
    ("text", "message", "section", "option"),
    [pytest.param(*row, id=row[1][:30]) for row in CATALOGUE],
)
def test_every_error_says_what_where_and_how(
    text: str | None, message: str, section: str, option: str
) -> None:
    document = Document()
    base = BASE if text is not None else "foo=1\n" if "headers" in message else ""
    read(base + (text or ""), file="c.conf", here=HERE, into=document)
    (error,) = examine(document, eval_context(), overrides={}, here=HERE).errors
    assert str(error).startswith(message)
    assert error.hint
    of_the_file = "File contains" in message or "header" in message or "does not include" in message
    assert error.section == (None if of_the_file else SECTIONS.get(section, section))
    assert (error.option or "") == option
    if "does not include" not in message:
        assert error.file == "c.conf"
        assert error.line or not option or option == "process_name"


@pytest.mark.behaviour("configuration.md#all-errors-are-reported-at-once")
def test_errors_come_in_the_order_of_supervisor() -> None:
    """A reader of only the first error sees the one that Supervisor would show."""
    options = (
        *("priority", "autostart", "autorestart", "startsecs", "startretries", "stopsignal"),
        *("stopwaitsecs", "stopasgroup", "exitcodes", "redirect_stderr", "numprocs"),
        *("numprocs_start", "stdout_capture_maxbytes", "stdout_events_enabled"),
        *("stderr_capture_maxbytes", "stderr_events_enabled", "user", "umask", "process_name"),
        *("environment", "stdout_logfile", "stdout_logfile_backups", "stdout_logfile_maxbytes"),
        *("stdout_syslog", "stderr_logfile", "stderr_logfile_backups", "stderr_logfile_maxbytes"),
        *("stderr_syslog", "command"),
    )
    lines = "".join(f"{option}=/no/%(nope)s\n" for option in reversed(options))
    document = Document()
    read(f"{BASE}[program:x]\n{lines}", file="c.conf", here=HERE, into=document)
    errors = examine(document, eval_context(), overrides={}, here=HERE).errors
    assert [error.option for error in errors if error.option != "process_name"] == [
        option for option in options if option != "process_name"
    ]


@pytest.mark.behaviour("configuration.md#errors-of-expansions")
def test_no_list_of_environment_variables() -> None:
    with pytest.raises(ConfigError) as caught:
        program("user=%(progam_name)s", {"SECRET_NAME": "1"})
    assert caught.value.hint == "did you mean program_name?"
    with pytest.raises(ConfigError) as caught:
        program("user=%(zzzz)s", {"SECRET_NAME": "1"})
    assert caught.value.hint == (
        "known names: group_name, here, host_node_name, program_name, ENV_*"
    )
    with pytest.raises(ConfigError) as caught:
        program("user=%(ENV_SECRET_NAM)s", {"SECRET_NAME": "1"})
    assert caught.value.hint == "did you mean ENV_SECRET_NAME?"


@pytest.mark.behaviour("configuration.md#environment-variables-in-values")
def test_siblings_in_one_environment_do_not_see_each_other() -> None:
    x = program('environment=A="1",B="%(ENV_A)s"', {"A": "outer"})
    assert x.environment == {"A": "1", "B": "outer"}


@pytest.mark.behaviour(
    "configuration.md#comments",
    "configuration.md#keys-and-values",
    "configuration.md#whole-numbers",
    "process.md#identity-directory-and-umask-of-a-child",
    "process.md#search-for-a-command",
)
@pytest.mark.parametrize(
    ("lines", "key", "value"),
    [
        ("command=a #b", "command", "a"),
        ("command : a", "command", "a"),
        ("startretries=-1", "startretries", -1),
        ("directory=/nope", "directory", "/nope"),
        pytest.param("directory=~/x", "directory", "~/x", id="tilde"),
        ("directory=/tmp\ncommand=./x", "command", "./x"),
    ],
)
def test_quirks_that_are_kept(lines: str, key: str, value: object) -> None:
    assert getattr(program(lines), key) == value


@pytest.mark.behaviour("configuration.md#log-targets")
def test_an_empty_log_name_is_no_log() -> None:
    assert program("stdout_logfile=").stdout.logfile == ""


@pytest.mark.behaviour("process.md#start-order")
def test_names_compare_as_text() -> None:
    text = "[program:x]\ncommand=a\nnumprocs=11\nprocess_name=p%(process_num)d\n"
    names = [process.name for process in load(text).groups[0].processes]
    assert names[:4] == ["p0", "p1", "p10", "p2"]


@pytest.mark.behaviour("configuration.md#command-is-required")
def test_no_process_no_command() -> None:
    assert load("[program:x]\nnumprocs=-3\n").groups[0].processes == ()


@pytest.mark.behaviour("configuration.md#http-servers")
def test_any_section_that_begins_so_is_a_server() -> None:
    assert load("[inet_http_server3]\nport=1\n").servers[0].section == "inet_http_server3"


@pytest.mark.behaviour("configuration.md#addresses-of-tcp-servers")
def test_addresses_of_IPv6() -> None:
    server = load("[inet_http_server]\nport=[::1]:9\n").servers[0]
    assert isinstance(server, InetServer)
    assert (server.host, server.url) == ("::1", "http://[::1]:9")
    process = load(F.replace("unix:///tmp/f", "tcp://[::1]:9")).groups[0].processes[0]
    assert process.socket is not None
    assert process.socket.url == "tcp://[::1]:9"
