"""What values mean in a loaded configuration, and which are refused."""

from __future__ import annotations

import dataclasses
import re

import pytest

from tests.kit.config import BASE, load, program
from trio_supervisor.core.config.access import Access, Credentials
from trio_supervisor.core.config.identity import NO_IDENTITY
from trio_supervisor.core.config.limits import NO_LIMITS
from trio_supervisor.core.config.model import (
    AUTO,
    Autorestart,
    Compression,
    EventLength,
    GroupKind,
    InetServer,
    LogFormat,
    Severity,
)
from trio_supervisor.core.config.restarting import RestartOptions
from trio_supervisor.core.config.stopping import NO_STOPPING
from trio_supervisor.core.diagnostics import Diagnostic
from trio_supervisor.core.errors import ConfigError


def names(text: str, environ: dict[str, str] | None = None) -> list[str]:
    """``group:process`` in configuration order."""
    return [f"{g.name}:{p.name}" for g in load(text, environ).groups for p in g.processes]


def commands(text: str, environ: dict[str, str] | None = None) -> list[str]:
    return [p.command for g in load(text, environ).groups for p in g.processes]


@pytest.mark.behaviour(
    "configuration.md#comments",
    "configuration.md#continuation-lines",
    "configuration.md#keys-and-values",
    "configuration.md#repeated-sections-and-keys",
    "configuration.md#the-directory-of-the-file",
    "configuration.md#percent-expansions",
)
@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ('command=/bin/sh -c "a ; b"', '/bin/sh -c "a'),
        ('command=/bin/sh -c "a;b"', '/bin/sh -c "a;b"'),
        ("command=/bin/echo a #b", "/bin/echo a"),
        ("command=/bin/echo a#b", "/bin/echo a#b"),
        ("command=;foo", ";foo"),
        ("command= ;foo", ""),
        ("command=a#b #c ;d", "a#b #c"),
        ("command=a;b ;c #d", "a;b ;c"),
        ("command=/bin/cat\t;foo", "/bin/cat"),
        ("command=/bin/echo a\n   b\n\n   c", "/bin/echo a\nb\n\nc"),
        ("command=/bin/echo a\n   b\n   ; com\n#com\n   c", "/bin/echo a\nb\nc"),
        ("command=/bin/cat\n  autostart=false", "/bin/cat\nautostart=false"),
        ("command=\n   /bin/cat", "\n/bin/cat"),
        ("COMMAND=/bin/cat\nAutoStart=false", "/bin/cat"),
        ("command : a=b", "a=b"),
        ("command=a\ncommand=b", "b"),
        ("command=/bin/echo %%(here)s", "/bin/echo %(here)s"),
        ("command=/bin/date +%%Y", "/bin/date +%Y"),
    ],
)
def test_dialect(command: str, expected: str) -> None:
    assert commands(f"[program:x]\n{command}\n") == [expected]


@pytest.mark.behaviour("configuration.md#continuation-lines")
def test_an_indented_header_continues_a_value() -> None:
    text = "[program:x]\nautostart=false\ncommand=/bin/cat\n [program:y]\n"
    assert commands(text) == ["/bin/cat\n[program:y]"]


@pytest.mark.behaviour("configuration.md#continuation-lines")
def test_the_first_key_may_be_indented() -> None:
    assert program("priority=\n   5").priority == 5
    ((g,),) = (load("[program:x]\n  command=a\npriority=3\n").groups,)
    assert g.processes[0].priority == 3


@pytest.mark.behaviour("configuration.md#section-headers")
@pytest.mark.parametrize("header", ["[program:x ;y]", "[program:x"])
def test_a_header_without_end_is_refused(header: str) -> None:
    with pytest.raises(ConfigError, match="malformed section header"):
        load(f"{header}\ncommand=/bin/cat\n")


@pytest.mark.behaviour("configuration.md#section-headers")
def test_what_a_section_name_is() -> None:
    assert names("[program:x] junk\ncommand=/bin/cat\n") == ["x:x"]
    assert names("[program:a[b]]\ncommand=/bin/cat\n") == ["a[b]:a[b]"]


@pytest.mark.behaviour("configuration.md#section-headers")
@pytest.mark.parametrize("header", ["[Program:x]", "[ program:x ]", "[program]", "[progam:x]"])
def test_other_sections_are_ignored(header: str) -> None:
    assert names(f"{header}\ncommand=/bin/cat\n") == []


@pytest.mark.behaviour("configuration.md#repeated-sections-and-keys")
def test_sections_merge() -> None:
    text = "[program:x]\ncommand=a\nautostart=false\n[program:y]\ncommand=b\n"
    ((x,), _) = (g.processes for g in load(text + "[program:x]\ncommand=c\npriority=5\n").groups)
    assert (x.command, x.priority, x.autostart) == ("c", 5, False)


@pytest.mark.behaviour("configuration.md#section-headers", "configuration.md#errors-of-syntax")
@pytest.mark.parametrize(
    ("text", "base", "message"),
    [
        ("[]", BASE, "parsing errors"),
        ("foo\nbar\n", BASE, r"'foo'.*'bar'"),
        ("=foo\n", BASE, "'=foo'"),
        ("foo=1\n", "", "no section headers"),
        ("", "", "does not include supervisord section"),
        ("rem foo\n", BASE, "'rem foo'"),
        pytest.param("[include]\n", BASE, None, id="includes are read elsewhere"),
    ],
)
def test_errors_of_the_file(text: str, base: str, message: str | None) -> None:
    if message is None:
        assert names(text) == []
        return
    with pytest.raises(ConfigError, match=message):
        load(text, base=base)


@pytest.mark.behaviour("configuration.md#encoding-and-line-ends")
def test_a_byte_order_mark_is_skipped() -> None:
    assert load("", base="\ufeff" + BASE).daemon.identifier == "golden"


@pytest.mark.behaviour("configuration.md#encoding-and-line-ends")
@pytest.mark.parametrize("end", ["\r\n", "\r"], ids=["CRLF", "CR"])
def test_line_ends_of_every_system(end: str) -> None:
    assert load("", base=BASE.replace("\n", end)).daemon.identifier == "golden"


@pytest.mark.behaviour("configuration.md#values-inherited-from-default")
def test_DEFAULT_is_inherited() -> None:
    text = (
        "[DEFAULT]\nautostart=false\n[program:x]\ncommand=a\n"
        "[program:y]\ncommand=b\nautostart=true\n"
    )
    assert [g.processes[0].autostart for g in load(text).groups] == [False, True]


@pytest.mark.behaviour("configuration.md#values-inherited-from-default")
def test_inherited_keys_do_not_reach_the_rpc_factory() -> None:
    plugin = "[rpcinterface:y]\nsupervisor.rpcinterface_factory=m:f\nfoo=1\n"
    main, other = load(f"[DEFAULT]\nautostart=false\nfoo=2\n{plugin}").rpcinterfaces
    assert main.options == {}
    assert other.options == {"autostart": "false", "foo": "1"}  # as in Supervisor


@pytest.mark.behaviour("configuration.md#unknown-sections-and-keys")
def test_what_is_never_read_is_never_expanded() -> None:
    text = "bogus=%(nope)s\nlogfile=/nope/x\n[foo]\nbar=%z\n[supervisorctl]\nserverurl=%(nope)s"
    assert program(text).command == "/bin/cat"


@pytest.mark.behaviour(
    "configuration.md#percent-expansions",
    "configuration.md#percent-conversions-without-a-name",
    "configuration.md#errors-of-expansions",
)
@pytest.mark.parametrize(
    "command",
    [
        "/bin/date +%Y",
        "a 100%",
        "a %d",
        "/bin/echo %s",
        "%(nope)s",
        "%(ENV_NOPE)s",
        "%(process_num)",
    ],
)
def test_errors_of_expansion(command: str) -> None:
    with pytest.raises(ConfigError, match=r"program:x\.command") as caught:
        program(f"command={command}")
    assert (caught.value.option, caught.value.file, caught.value.line) == ("command", "c.conf", 15)


@pytest.mark.behaviour("configuration.md#percent-expansions")
def test_numbers_of_processes_in_values() -> None:
    text = (
        "[program:x]\nnumprocs=2\nnumprocs_start=5\nprocess_name=%(program_name)s_%(process_num)03d\n"
        "command=e %(numprocs)d %(process_num)02x %(group_name)s %(here)s\n"
    )
    assert names(text) == ["x:x_005", "x:x_006"]
    assert commands(text) == ["e 2 05 x /here", "e 2 06 x /here"]


@pytest.mark.behaviour("configuration.md#percent-expansions")
def test_odd_but_legal_formats() -> None:
    assert program("process_name=p%(process_num)foo").name == "p0.000000oo"


@pytest.mark.behaviour("configuration.md#environment-variables-in-values")
@pytest.mark.parametrize(
    ("environ", "command", "expected"),
    [
        ({"FOO": "a%b"}, "e %(ENV_FOO)s", "e a%b"),
        ({"FOO": "%(here)s"}, "%(ENV_FOO)s", "%(here)s"),
    ],
)
def test_values_of_variables_are_not_expanded(
    environ: dict[str, str], command: str, expected: str
) -> None:
    assert program(f"command={command}", environ).command == expected


@pytest.mark.behaviour(
    "configuration.md#names-that-can-be-expanded",
    "configuration.md#environment-variables-in-values",
)
@pytest.mark.parametrize(
    ("name", "lines", "key", "expected"),
    [
        ("7", "startsecs=%(program_name)s", "startsecs", 7),
        ("7", "priority=%(program_name)s", "priority", 7),
        ("x", "directory=~/x", "directory", "~/x"),
        (
            "x",
            'environment=FOO="bar"\ndirectory=%(here)s/%(process_num)d/%(ENV_FOO)s',
            "directory",
            "/here/0/bar",
        ),
        (
            "x",
            'environment=FOO="b r",N="%(process_num)d"\ncommand=e %(ENV_FOO)s %(ENV_N)s',
            "command",
            "e b r 0",
        ),
        ("x", 'environment=FOO="b r"\nprocess_name=%(ENV_FOO)s', "name", "b r"),
        (
            "x",
            "serverurl=http://%(host_node_name)s/%(group_name)s/%(program_name)s",
            "serverurl",
            "http://node/x/x",
        ),
    ],
)
def test_expansion(name: str, lines: str, key: str, expected: object) -> None:
    ((process,),) = (
        g.processes for g in load(f"[program:{name}]\ncommand=/bin/cat\n{lines}\n").groups
    )
    assert getattr(process, key) == expected


@pytest.mark.behaviour(
    "configuration.md#names-that-can-be-expanded",
    "configuration.md#values-that-supervisor-expands-twice",
)
def test_child_logs_are_expanded_twice_if_that_works() -> None:
    x = program(
        "stdout_logfile=%(here)s/a%%%%b.log\nstderr_logfile=%(here)s/x_%%(process_num)s.log\n"
        "stdout_logfile_backups=%(process_num)s"
    )
    assert (x.stdout.logfile, x.stderr.logfile) == ("/here/a%b.log", "/here/x_0.log")
    assert x.stdout.backups == 0
    assert program("stdout_logfile=%(here)s/a%%b.log").stdout.logfile == "/here/a%b.log"


@pytest.mark.behaviour(
    "configuration.md#names-that-can-be-expanded",
    "configuration.md#environment-variables-in-values",
)
@pytest.mark.parametrize(
    "lines",
    [
        "startsecs=%(process_num)s",
        'environment=FOO="root"\nuser=%(ENV_FOO)s',
        'environment=A="1",B="%(ENV_A)s"',
    ],
)
def test_names_that_a_stage_does_not_know(lines: str) -> None:
    with pytest.raises(ConfigError, match="unknown name"):
        program(lines)


@pytest.mark.behaviour("configuration.md#environment-variables-in-values")
def test_siblings_see_the_outer_variable() -> None:
    x = program('environment=A="1",B="%(ENV_A)s"\ncommand=e %(ENV_A)s %(ENV_B)s', {"A": "os"})
    assert x.command == "e 1 os"


@pytest.mark.behaviour("configuration.md#environment-variables-in-values")
def test_variables_of_one_process_do_not_reach_the_next() -> None:
    text = (
        '[program:x]\nenvironment=K%(process_num)s="v"\nnumprocs=2\n'
        "process_name=p%(process_num)s\ncommand=e %(ENV_K0)s\n"
    )
    with pytest.raises(ConfigError, match="unknown name 'ENV_K0'"):
        load(text)


@pytest.mark.behaviour("configuration.md#environment-variables-in-values")
def test_the_global_environment_is_known_everywhere_later() -> None:
    base = BASE.replace("identifier=golden", 'environment=GG="gv"')
    text = '[program:a]\ncommand=%(ENV_GG)s\n[program:b]\ncommand=%(ENV_GG)s\nenvironment=GG="pv"\n'
    assert [g.processes[0].command for g in load(text, base=base).groups] == ["gv", "pv"]
    with pytest.raises(ConfigError, match="ENV_GG"):
        load("", base=base.replace("nocleanup=true", "loglevel=%(ENV_GG)s"))


@pytest.mark.behaviour("configuration.md#values-that-supervisor-expands-twice")
def test_the_global_environment_is_expanded_twice_if_that_works() -> None:
    for text, value in (
        ("%(host_node_name)s", "node"),
        ("%%(host_node_name)s", "node"),
        ("a%%20b", "a%20b"),
        ("a%%%%20b", "a%20b"),
    ):
        base = BASE.replace("identifier=golden", f'environment=GG="{text}"')
        assert load("", base=base).daemon.environment == {"GG": value}


@pytest.mark.behaviour(
    "configuration.md#whole-numbers",
    "configuration.md#signals",
    "configuration.md#lists-of-exit-codes",
    "configuration.md#octal-numbers",
    "configuration.md#booleans-and-words",
    "configuration.md#stopasgroup-implies-killasgroup",
    "configuration.md#users-and-groups",
)
@pytest.mark.parametrize(
    ("lines", "key", "expected"),
    [
        *(
            (f"stopwaitsecs={text}", "stopwaitsecs", value)
            for text, value in (("-5", -5), ("+5", 5), ("1_000", 1000), ("010", 10), ("\u0665", 5))
        ),
        *(
            (f"stopsignal={text}", "stopsignal", value)
            for text, value in (
                ("TERM", 15),
                ("sigterm", 15),
                ("15", 15),
                ("9", 9),
                ("RTMIN", 34),
                ("64", 64),
                ("CLD", 17),
                ("STOP", 19),
                ("0", 0),
                ("35", 35),
                ("RTMIN+2", 36),
            )
        ),
        *(
            (f"exitcodes={text}", "exitcodes", value)
            for text, value in (("0, 2 ,3", (0, 2, 3)), ("", ()), ("255", (255,)))
        ),
        *(
            (f"umask={text}", "umask", value)
            for text, value in (("022", 18), ("22", 18), ("0o22", 18), ("-22", -18), ("0_22", 18))
        ),
        *(
            (f"autorestart={text}", "autorestart", value)
            for text, value in (
                ("true", Autorestart.ALWAYS),
                ("UNEXPECTED", Autorestart.UNEXPECTED),
                ("Off", Autorestart.NEVER),
                ("1", Autorestart.ALWAYS),
            )
        ),
        *(
            (f"redirect_stderr={text}", "redirect_stderr", value)
            for text, value in (("yes", True), ("TRUE", True), ("no", False), ("OFF", False))
        ),
        ("stopasgroup=true", "killasgroup", True),
        *(
            (f"user={text}", "uid", value)
            for text, value in (("root", 0), ("0", 0), ("nobody", 65534))
        ),
    ],
)
def test_values(lines: str, key: str, expected: object) -> None:
    assert getattr(program(lines), key) == expected


@pytest.mark.behaviour("configuration.md#sizes")
@pytest.mark.parametrize(
    ("lines", "maxbytes"),
    [
        ("1KB", 1024),
        ("1 KB", 1024),
        ("2Mb", 2097152),
        ("1GB", 1073741824),
        ("-1MB", -1048576),
        ("+2kb", 2048),
        ("2GB", 2147483648),
    ],
)
def test_sizes_with_suffixes(lines: str, maxbytes: int) -> None:
    assert program(f"stdout_logfile_maxbytes={lines}").stdout.maxbytes == maxbytes


@pytest.mark.behaviour("configuration.md#log-targets")
@pytest.mark.parametrize(
    ("text", "logfile"),
    [
        ("NONE", None),
        ("off", None),
        ("auto", AUTO),
        ("", ""),
        ("foo.log", "foo.log"),
        ("~/x.log", "/home/me/x.log"),
    ],
)
def test_targets_of_child_logs(text: str, logfile: object) -> None:
    assert program(f"stdout_logfile={text}").stdout.logfile == logfile


@pytest.mark.behaviour("configuration.md#log-targets")
def test_syslog_as_a_log_file_is_deprecated() -> None:
    config = load("[program:x]\ncommand=a\nstdout_logfile=SYSLOG\n")
    stdout = config.groups[0].processes[0].stdout
    assert (stdout.logfile, stdout.syslog, len(config.messages)) == (None, True, 1)


@pytest.mark.behaviour("configuration.md#redirect_stderr-and-stderr_logfile")
def test_redirect_stderr_ignores_a_stderr_file() -> None:
    config = load("[program:x]\ncommand=a\nredirect_stderr=true\nstderr_logfile=/tmp/x\n")
    assert config.groups[0].processes[0].stderr.logfile is None
    assert [message.text[:19] for message in config.messages] == ["For [program:x], re"]


@pytest.mark.behaviour(
    "configuration.md#whole-numbers",
    "configuration.md#sizes",
    "configuration.md#lists-of-exit-codes",
    "configuration.md#signals",
    "configuration.md#octal-numbers",
    "configuration.md#booleans-and-words",
    "configuration.md#log-targets",
    "configuration.md#stopasgroup-implies-killasgroup",
    "configuration.md#users-and-groups",
    "configuration.md#names-of-programs-processes-and-groups",
    "configuration.md#numprocs",
    "configuration.md#lists-that-do-not-mean-what-they-seem-to",
)
@pytest.mark.parametrize(
    "lines",
    [
        *(f"stopwaitsecs={t}" for t in ("0x10", "5.0", "", "abc")),
        *(f"stdout_logfile_maxbytes={t}" for t in ("50M", "1K", "10B", "1TB", "1.5MB", "KB", "")),
        *(f"exitcodes={t}" for t in ("0,", "256", "-1", "0 2")),
        *(f"stopsignal={t}" for t in ("FOO", "", "65", "-9", "INFO", "SIG_IGN", "_DFL")),
        *(f"umask={t}" for t in ("8", "99", "0x12", "", "7" * 30)),
        *(f"autorestart={t}" for t in ("always", "never", "")),
        *(f"redirect_stderr={t}" for t in ("y", "t", "2", "none", "", '"true"')),
        *(f"stdout_logfile={t}" for t in ("/nonexistent/x.log", "./x/y.log")),
        "stopasgroup=true\nkillasgroup=false",
        *(f"user={t}" for t in ("nosuch", "4242", "", "root:root", "-1")),
        "process_name=a b",
        "process_name=",
        "numprocs=2",
        *(f"environment={t}" for t in (",A=1", "A=1 B=2", "A=,B=2", "A=", "A", "A,B=2", "A=b=c")),
        "environment=A=foo@bar",
        'environment=A="x ;y"',
    ],
)
def test_rejected_values_name_their_place(lines: str) -> None:
    with pytest.raises(ConfigError) as caught:
        program(lines)
    assert (caught.value.section, caught.value.file) == ("program:x", "c.conf")


@pytest.mark.behaviour("configuration.md#defaults-of-a-program")
def test_defaults_of_a_program() -> None:
    x = program("")
    values = dataclasses.asdict(x)
    for key in ("name", "command", "stdout", "stderr", "environment", "section"):
        values.pop(key)
    assert values.pop("task") is None  # only programs can say it
    assert values.pop("restarting") == dataclasses.asdict(RestartOptions())
    assert x.limits is NO_LIMITS
    values.pop("limits")
    for key in ("dependencies", "oneshot", "readiness", "health"):  # Supervisor has none of them
        values.pop(key)
    assert x.stopping is NO_STOPPING
    values.pop("stopping")
    assert x.identity is NO_IDENTITY
    values.pop("identity")
    assert values == {
        "directory": None,
        "umask": None,
        "uid": None,
        "priority": 999,
        "autostart": False,
        "startsecs": 1,
        "startretries": 3,
        "autorestart": Autorestart.UNEXPECTED,
        "exitcodes": (0,),
        "stopsignal": 15,
        "stopwaitsecs": 10,
        "stopasgroup": False,
        "killasgroup": False,
        "redirect_stderr": False,
        "ignore_sigpipe": True,
        "essential": False,
        "log_format": LogFormat.RAW,
        "create_log_dirs": False,
        "journald": False,
        "serverurl": AUTO,
        "socket": None,
    }
    assert dataclasses.asdict(x.stdout) == {
        "logfile": AUTO,
        "maxbytes": 52428800,
        "backups": 10,
        "capture_maxbytes": 0,
        "events_enabled": False,
        "syslog": False,
        "mode": None,
        "compress": Compression.NONE,
    }


@pytest.mark.behaviour("configuration.md#names-of-programs-processes-and-groups")
@pytest.mark.parametrize(
    "header",
    ["[program:a b]", "[program:a:b]", "[program:a/b]", "[group:a b]", "[program:]", "[group:]"],
)
def test_names_that_are_refused(header: str) -> None:
    with pytest.raises(ConfigError, match="Invalid name"):
        load(f"{header}\ncommand=/bin/cat\n")


@pytest.mark.parametrize("kind", ["program", "fcgi-program"])
@pytest.mark.parametrize(("name", "bad"), [("a b", " "), ("a/b", "/"), ("c:d", ":")])
def test_a_member_of_a_group_has_a_name_that_a_program_may_have(
    kind: str, name: str, bad: str
) -> None:
    text = f"[{kind}:{name}]\ncommand=/bin/cat\nsocket=tcp://h:1\n[group:g]\nprograms={name}\n"
    message = f"Invalid name: {name!r} because of character: {bad!r}"
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        load(text)
    assert caught.value.section == f"{kind}:{name}"


@pytest.mark.behaviour("configuration.md#names-of-programs-processes-and-groups")
def test_names_that_look_odd_are_fine() -> None:
    for name in ("*", "all", "a,b", "a%b", "a;b", "x=y", "my-app_1.2", "a\tb"):
        text = f"[program:{name}]\ncommand=/bin/cat\nprocess_name=p\n"
        assert names(text) == [f"{name}:p"]


@pytest.mark.behaviour("configuration.md#command-is-required")
def test_a_program_without_command() -> None:
    with pytest.raises(ConfigError) as caught:
        load("[program:broken]\n")
    assert str(caught.value) == (
        "program section program:broken does not specify a command in section "
        "'program:broken' (file: 'c.conf'); add command= with the program to run"
    )


@pytest.mark.behaviour("configuration.md#command-is-required")
def test_numprocs_0_hides_everything() -> None:
    (group,) = load("[program:x]\nnumprocs=0\n").groups
    assert (group.name, group.processes) == ("x", ())


@pytest.mark.behaviour("configuration.md#numprocs")
def test_order_of_processes() -> None:
    text = "[program:x]\ncommand=a\nnumprocs={}\nnumprocs_start={}\nprocess_name=p%(process_num)d\n"
    assert names(text.format(3, -1)) == ["x:p-1", "x:p0", "x:p1"]
    expected = ["p0", "p1", "p10", "p11", *(f"p{n}" for n in range(2, 10))]
    assert names(text.format(12, 0)) == [f"x:{name}" for name in expected]


AB = "[program:a]\ncommand=/bin/a\n[program:b]\ncommand=/bin/b\n"


@pytest.mark.behaviour("configuration.md#members-of-a-group")
@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("[group:g]\nprograms= a , b", ["g:a", "g:b"]),
        ("[group:g]\nprograms=a,\n  b", ["g:a", "g:b"]),
        ("[group:g]\nprograms=", ["a:a", "b:b"]),
        pytest.param("[group:g]", ["a:a", "b:b"], id="absent"),
        ("[group:g]\nprograms=a\n[group:h]\nprograms=a", ["b:b", "g:a", "h:a"]),
        pytest.param("[group:g]\nprograms=b,a", ["g:b", "g:a"], id="order"),
    ],
)
def test_groups(group: str, expected: list[str]) -> None:
    assert names(AB + group + "\n") == expected


@pytest.mark.behaviour("configuration.md#members-of-a-group")
@pytest.mark.parametrize("programs", ["a b", "a,", "zzz", "a,zzz"])
def test_unknown_members(programs: str) -> None:
    with pytest.raises(ConfigError, match=r"\[group:g\] names unknown program") as caught:
        load(f"{AB}[group:g]\nprograms={programs}\n")
    assert caught.value.section == "group:g"


@pytest.mark.behaviour("configuration.md#members-of-a-group")
def test_members_that_cannot_be() -> None:
    listener = "[eventlistener:l]\ncommand=x\nevents=TICK_5\n[group:g]\nprograms=l\n"
    with pytest.raises(ConfigError, match="names unknown program"):
        load(listener)
    both = "[program:f]\ncommand=x\n[fcgi-program:f]\ncommand=x\nsocket=unix:///tmp/f\n"
    with pytest.raises(ConfigError, match="ambiguous"):
        load(f"{both}[group:g]\nprograms=f\n")


@pytest.mark.behaviour(
    "configuration.md#members-of-a-group", "configuration.md#order-of-groups-and-processes"
)
def test_names_and_order_of_processes() -> None:
    text = "[program:a]\ncommand=x\nprocess_name=%(group_name)s-%(program_name)s\n"
    assert names(f"{text}[group:g]\nprograms=a\n") == ["g:g-a"]
    text = "".join(
        f"[program:{name}]\ncommand=x\npriority={priority}\n"
        for name, priority in (("c", 5), ("a", 10), ("b", 5), ("z", -1))
    )
    text += "[eventlistener:l]\ncommand=x\nevents=TICK_5\n"
    assert [group.name for group in load(text).groups] == ["l", "z", "b", "c", "a"]


def listener(lines: str) -> str:
    return f"[eventlistener:l]\ncommand=x\n{lines}\n"


@pytest.mark.behaviour("configuration.md#event-listeners")
def test_options_of_listeners() -> None:
    (group,) = load(listener("events=tick_5, Process_State")).groups
    assert group.kind is GroupKind.POOL
    assert group.pool is not None
    assert group.pool.events == {"TICK_5", "PROCESS_STATE"}
    assert (group.priority, group.processes[0].priority) == (-1, 999)
    (group,) = load(listener("events=TICK_5\npriority=7")).groups
    assert (group.priority, group.processes[0].priority) == (7, 7)


@pytest.mark.behaviour("configuration.md#event-listeners")
@pytest.mark.parametrize(
    ("lines", "message"),
    [
        pytest.param("", 'requires an "events" line', id="absent"),
        pytest.param("events=", 'requires an "events" line', id="empty"),
        ("events=FOO", "Unknown event type FOO"),
        ("events=TICK_5,", "Unknown event type"),
        ("events=TICK_5 TICK_60", "Unknown event type"),
        ("events=TICK_5\nbuffer_size=0", "invalid buffer_size"),
        ("events=TICK_5\nredirect_stderr=true", "not allowed"),
        pytest.param("events=TICK_5\nevent_len=runes", "invalid 'event_len'", id="1.2.1"),
    ],
)
def test_listener_errors(lines: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(listener(lines))


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        ("", EventLength.CHARACTERS),
        ("event_len=Characters", EventLength.CHARACTERS),
        ("event_len=bytes", EventLength.BYTES),
    ],
)
def test_what_len_counts_is_an_option_of_the_pool(lines: str, length: EventLength) -> None:
    (group,) = load(listener(f"events=TICK_5\n{lines}")).groups
    assert group.pool is not None
    assert group.pool.event_len is length


def said(text: str) -> list[Diagnostic]:
    """What loading says beyond remarks about lines of the file."""
    return [m for m in load(text).messages if not str(m).startswith("c.conf, line")]


@pytest.mark.behaviour("events.md#header-of-an-event")
@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            "[supervisord]\nidentifier=site a:b\n" + listener("events=TICK_5"),
            "event listeners see the identifier 'site a:b' as site_a_b",
        ),
        (
            "[eventlistener:a\u00a0b]\ncommand=x\nevents=TICK_5\n",
            "listeners see the pool's name as a_b",
        ),
        *(
            pytest.param(
                listener(f"events={names}\nstderr_events_enabled=true"),
                "this can be an endless loop",
                id=f"1.4.2-{names}",
            )
            for names in ("EVENT", "PROCESS_LOG", "TICK_5,PROCESS_LOG_STDERR")
        ),
    ],
)
def test_pools_that_surprise_are_warned_of_once(text: str, warning: str) -> None:
    (message,) = said(text)
    assert message.severity is Severity.WARN
    assert warning in message.text


@pytest.mark.parametrize(
    "text",
    [
        "[supervisord]\nidentifier=site a\n[program:x]\ncommand=x\n",
        listener("events=EVENT"),
        listener("events=PROCESS_LOG_STDOUT\nstderr_events_enabled=true"),
    ],
)
def test_other_pools_are_not_warned_of(text: str) -> None:
    assert said(text) == []


@pytest.mark.behaviour(
    "configuration.md#fastcgi-programs", "configuration.md#names-that-can-be-expanded"
)
@pytest.mark.parametrize(
    "lines",
    [
        "",
        "socket=",
        "socket=unix://fs",
        "socket=tcp://:9",
        "socket=tcp://h",
        "socket=tcp://h:0",
        "socket=tcp://h:99999",
        "socket=http://h:9",
        "socket=tcp://h:9\nsocket_mode=0700",
        "socket=tcp://h:9\nsocket_owner=root",
        "socket=unix:///tmp/f\nsocket_mode=9",
        "socket=unix:///tmp/f\nsocket_owner=nosuch",
        "socket=unix:///tmp/f\nsocket_backlog=0",
        "socket=unix:///tmp/f\nsocket_backlog=65536",
    ],
)
def test_fastcgi_errors(lines: str) -> None:
    with pytest.raises(ConfigError):
        load(f"[fcgi-program:f]\ncommand=x\n{lines}\n")


@pytest.mark.behaviour(
    "configuration.md#names-that-can-be-expanded",
    "configuration.md#fastcgi-programs",
    "process.md#one-socket-for-all-processes-of-a-fastcgi-program",
)
def test_fastcgi_sockets() -> None:
    text = "[fcgi-program:f]\ncommand=x\nsocket=unix:///tmp/%(program_name)s.sock\n"
    (group,) = load(text).groups
    assert group.kind is GroupKind.FCGI
    socket = group.processes[0].socket
    assert socket is not None
    assert (socket.url, socket.mode) == ("unix:///tmp/f.sock", 0o700)
    (grouped,) = load(f"{text}[group:g]\nprograms=f\n").groups
    assert grouped.processes[0].socket == socket


@pytest.mark.behaviour(
    "configuration.md#fastcgi-programs",
    "process.md#one-socket-for-all-processes-of-a-fastcgi-program",
)
@pytest.mark.parametrize(
    "lines",
    [
        "socket=unix:///tmp/f\nsocket_mode=zzz",
        "socket=unix:///tmp/f\nsocket_owner=nosuch",
        "socket=unix:///tmp/f\nsocket_backlog=0",
        "socket=tcp://h:9\nsocket_mode=0700",
        "socket=http://h:9",
        "socket=%(nope)s",
        "socket=",
        "",
    ],
)
def test_a_grouped_fastcgi_program_runs_without_a_socket_that_is_wrong(lines: str) -> None:
    """Supervisor never looks at these options there: no error where it has none."""
    config = load(f"[fcgi-program:f]\ncommand=x\n{lines}\n[group:g]\nprograms=f\n")
    assert [process.socket for process in config.groups[0].processes] == [None]
    (message,) = [m for m in config.messages if "in group g" in m.text]
    assert message.severity is Severity.WARN
    assert "without" in message.text


@pytest.mark.behaviour("configuration.md#addresses-of-tcp-servers")
@pytest.mark.parametrize(
    ("port", "host", "number"),
    [
        ("9", "", 9),
        (":9", "", 9),
        ("*:9", "", 9),
        ("LOCALHOST:9", "localhost", 9),
        ("[::1]:9", "::1", 9),
    ],
)
def test_inet_addresses(port: str, host: str, number: int) -> None:
    server = load(f"[inet_http_server]\nport={port}\n").servers[0]
    assert server == InetServer("inet_http_server", host, number)


@pytest.mark.behaviour("configuration.md#addresses-of-tcp-servers")
@pytest.mark.parametrize("port", ["0", "70000", "abc", "", "localhost:", "localhost:0"])
def test_ports_that_are_refused(port: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(f"[inet_http_server]\nport={port}\n")
    assert caught.value.option == "port"


@pytest.mark.behaviour("configuration.md#credentials-of-a-server")
@pytest.mark.parametrize(
    "lines", ["username=u", "password=p", "username=\npassword=x", "username=x\npassword="]
)
def test_half_credentials_are_refused(lines: str) -> None:
    with pytest.raises(ConfigError, match="incomplete authentication"):
        load(f"[inet_http_server]\nport=9\n{lines}\n")


@pytest.mark.behaviour("configuration.md#http-servers")
def test_any_number_of_servers() -> None:
    text = "".join(f"[inet_http_server{name}]\nport=1\n" for name in (":one", ":two", "3"))
    sections = [server.section for server in load(text).servers]
    assert sections == [
        "inet_http_server:one",
        "inet_http_server:two",
        "inet_http_server3",
        "unix_http_server",
    ]


@pytest.mark.behaviour("configuration.md#unix-sockets-of-servers")
def test_unix_server_errors() -> None:
    for lines in (
        "",
        "file=",
        "file=/tmp/s\nchmod=abc",
        "file=/tmp/s\nchmod=0888",
        "file=/tmp/s\nchown=nosuch",
        "file=/tmp/s\nchown=nobody:",
    ):
        with pytest.raises(ConfigError):
            load(f"[unix_http_server:two]\n{lines}\n")


@pytest.mark.behaviour("configuration.md#unix-sockets-of-servers")
def test_unix_server_options() -> None:
    text = (
        "[unix_http_server:two]\nfile=~/s\nchmod=0770\nchown=nobody:nogroup\n"
        "username=u\npassword=p\n"
    )
    server = load(text).servers[-1]
    assert dataclasses.asdict(server) == {
        "section": "unix_http_server:two",
        "file": "/home/me/s",
        "chmod": 0o770,
        "chown": (65534, 65534),
        "credentials": dataclasses.asdict(Credentials("u", "p")),
        "access": dataclasses.asdict(Access()),
    }


@pytest.mark.behaviour("process.md#supervisor-variables")
def test_the_server_url_of_children() -> None:
    both = "[inet_http_server]\nport=*:1\n[unix_http_server:two]\nfile=/tmp/two\n"
    assert load(both).server_url == "unix:///here/s"
    base = BASE.replace("[unix_http_server]\nfile=%(here)s/s\n", "")
    inet = "[inet_http_server:b]\nport=:1\n[inet_http_server]\nport=LocalHost:2\n"
    assert load(inet, base=base).server_url == "http://localhost:2"
    assert load("", base=base).server_url is None


@pytest.mark.behaviour("configuration.md#rpc-interfaces")
def test_rpcinterface_errors_and_options() -> None:
    with pytest.raises(ConfigError, match="does not specify a supervisor"):
        load("[rpcinterface:y]\n")
    text = "[rpcinterface:y]\nsupervisor.rpcinterface_factory=m:f\nFooBar=1\n"
    assert load(text).rpcinterfaces[1].options == {"foobar": "1"}


@pytest.mark.behaviour("configuration.md#defaults-of-the-daemon")
def test_defaults_of_the_daemon() -> None:
    daemon = load("", base="[supervisord]\n").daemon
    assert (daemon.logfile, daemon.pidfile) == ("/cwd/supervisord.log", "/cwd/supervisord.pid")
    assert (daemon.minfds, daemon.minprocs, daemon.umask) == (1024, 200, 0o022)
    assert (daemon.childlogdir, daemon.identifier) == ("/tmp", "supervisor")
    flags = (daemon.nodaemon, daemon.silent, daemon.nocleanup, daemon.strip_ansi)
    assert not any(flags)


@pytest.mark.behaviour(
    "configuration.md#booleans-and-words", "configuration.md#directories-that-must-exist"
)
@pytest.mark.parametrize(
    "line",
    [
        "loglevel=warning",
        "directory=/nope",
        "childlogdir=/nope",
        "logfile=/nope/x",
        "pidfile=/nope/x",
    ],
)
def test_errors_of_the_daemon_section(line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load("", base=f"[supervisord]\n{line}\n")
    assert (caught.value.section, caught.value.option) == ("supervisord", line.split("=")[0])
    assert (caught.value.file, caught.value.line) == ("c.conf", 2)
