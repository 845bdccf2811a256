"""Remarks about configurations that load."""

from __future__ import annotations

import pytest

from tests.kit.config import BASE, HERE, eval_context, load
from trio_supervisor.core.config.build import Examined, examine
from trio_supervisor.core.config.ini import Document, read
from trio_supervisor.core.config.model import Severity


def examined(fragment: str, base: str = BASE) -> Examined:
    document = Document()
    read(base + fragment, file="c.conf", here=HERE, into=document)
    return examine(document, eval_context(), overrides={}, here=HERE)


X = "[program:x]\ncommand=/bin/cat\n"


@pytest.mark.behaviour(
    "configuration.md#comments",
    "configuration.md#continuation-lines",
    "configuration.md#section-headers",
    "configuration.md#repeated-sections-and-keys",
    "configuration.md#unknown-sections-and-keys",
    "configuration.md#numprocs",
    "configuration.md#lists-that-do-not-mean-what-they-seem-to",
    "configuration.md#quotes-and-backslashes-in-environment",
    "configuration.md#signals",
    "configuration.md#whole-numbers",
    "configuration.md#event-listeners",
    "configuration.md#names-of-programs-processes-and-groups",
    "configuration.md#equal-names",
    "configuration.md#members-of-a-group",
    "configuration.md#command-is-required",
    "configuration.md#http-servers",
    "process.md#search-for-a-command",
    "process.md#identity-directory-and-umask-of-a-child",
    "configuration.md#remarks",
)
@pytest.mark.parametrize(
    ("fragment", "line", "text"),
    [
        (X + "comand=a\n", 14, "unknown option comand is ignored (did you mean command?)"),
        (
            X + "dependent_startup=true\n",
            14,
            "tsupervisord has no option dependent_startup (keep it",
        ),
        (X + "autostart_delay=3\n", 14, "tsupervisord has no option autostart_delay (keep it"),
        (X + "stdout_logfile_backupcount=3\n", 14, "is ignored here (use stdout_logfile_backups)"),
        (X + "cwd=/tmp\n", 14, "cwd is ignored here (use directory)"),
        (X + "pidfile=/tmp/p\n", 14, "pidfile is ignored here (it belongs in [supervisord])"),
        ("[supervisorctl]\nuser=u\n", 13, "user is ignored here (use username)"),
        ("[progam:x]\n", 12, "unknown section [progam:x] is ignored (did you mean [program:x]?)"),
        ("[foo]\n", 12, "unknown section [foo] is ignored"),
        ("[program]\n", 12, "[program] has no name and is ignored (write [program:x])"),
        ("[inet_http_server3]\nport=1\n", 12, "is a server too (write [inet_http_server:name])"),
        (X + "logfile=/tmp/x\n", 14, "logfile is ignored here (use stdout_logfile)"),
        ("[group:g]\nautostart=false\n", 13, "autostart is ignored here (it belongs in each"),
        (
            "[eventlistener:l]\ncommand=x\nevents=TICK_5\nstdout_syslog=true\n",
            15,
            "stdout_syslog has no effect for an event listener",
        ),
        (X + "  autostart=false\n", 14, "'autostart=false' is part of the value of 'command'"),
        (X + " [program:y]\n", 14, "'[program:y]' is part of the value of 'command'"),
        ("[program:x] junk\ncommand=a\n", 12, "text after the section header: ' junk'"),
        ("[ program:x ]\n", 12, "blanks inside the brackets belong to the name"),
        (X + "command=b\n", 14, "'command' replaces the value given in c.conf, line 13"),
        (X + X, 14, "section [program:x] began in c.conf, line 12: both are one section"),
        ('[program:x]\ncommand=/bin/sh -c "a ; b"\n', 13, "a comment ends this line inside quotes"),
        (X + "environment=A=1;B=2\n", 14, "';' separates variables (write a comma"),
        (
            X + "environment=A=$secret\n",
            14,
            "other than a comma separates variables (write a comma",
        ),
        (X + 'environment=A="1""junk"B="2"\n', 14, "other than a comma separates variables"),
        (
            X + 'environment=A="a\\\\b"\n',
            14,
            "Supervisor after 4.3 reads other values in these quotes",
        ),
        (X + "environment=A=\"'q'\"\n", 14, "Supervisor after 4.3 reads other values"),
        (X + "environment=A=b#c,D=e\n", 14, "the text after # is not part of the value"),
        (X + "startsecs=-1\n", 14, "a negative time"),
        (X + "startretries=-1\n", 14, "a negative count: FATAL at the first failure"),
        (X + "stopwaitsecs=-1\n", 14, "a negative time"),
        (X + "directory=/nope\n", 14, "there is no directory /nope (create it before"),
        (
            X + "environment=A=a:b\nprocess_name=%(ENV_A)s\n",
            15,
            "a process name with a blank, : or / is hard to address",
        ),
        (
            X + "[group:g]\nprograms=x\n[group:h]\nprograms=x\n",
            12,
            "[program:x] is in several groups and runs once in each: g, h (name it in one",
        ),
        (
            X + "stdout_logfile=/tmp/l\nnumprocs=3\nprocess_name=%(process_num)d\n",
            12,
            "0, 1 and 1 more write and rotate the same file /tmp/l (give each its own",
        ),
        (X + "stopsignal=0\n", 14, "signal 0 stops nothing"),
        (X + "stopwaitsecs=0\n", 14, "SIGKILL follows the stop signal at once"),
        (X + "umask=7777\n", 14, "no such umask"),
        (X + "numprocs=0\n", 14, "there will be no process (use 1 or more)"),
        (X + "numprocs_start=3\n", 14, "nothing uses %(process_num)"),
        (
            X + "[fcgi-program:x]\ncommand=a\nsocket=unix:///tmp/s\n",
            12,
            "several groups are called x",
        ),
        (
            X + "process_name=p%%(process_num)d\nnumprocs=2\n",
            12,
            "several processes of x are called p%(process_num)d",
        ),
        (
            X + "stdout_logfile=/tmp/l\n[program:y]\ncommand=b\nstdout_logfile=/tmp/l\n",
            15,
            "x and y write and rotate the same file /tmp/l",
        ),
    ],
)
def test_a_remark_for_what_is_probably_not_meant(fragment: str, line: int, text: str) -> None:
    result = examined(fragment)
    assert result.errors == []
    found = [remark for remark in result.remarks if text in str(remark)]
    assert [(remark.place.file, remark.place.line) for remark in found] == [("c.conf", line)]
    warnings = [str(m) for m in load(fragment).messages if m.severity is Severity.WARN]
    assert str(found[0]) in warnings
    assert found[0].hint
    assert "secret" not in str(found[0])


@pytest.mark.behaviour(
    "configuration.md#the-activity-log-file",
    "process.md#foreground-and-background",
    "configuration.md#remarks",
)
@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("logfile_backupcount=3", "logfile_backupcount is ignored here (use logfile_backups)"),
        ("autorestart=true", "autorestart is ignored here (it belongs in each [program:x])"),
        ("username=u", "it belongs in [inet_http_server] or [unix_http_server]"),
        ("logfile=none", "this is the name of a file here (use /dev/null)"),
        ("umask=7777", "no such umask"),
        ("nodaemon=true\numask=022", "umask has no effect in the foreground"),
        ("nodaemon=true\ndirectory=/tmp", "directory has no effect in the foreground"),
        ("http_port=9001", "http_port is ignored here (use [inet_http_server] port=)"),
    ],
)
def test_remarks_about_the_daemon(line: str, text: str) -> None:
    result = examined("", base=f"[supervisord]\n{line}\n")
    assert [text in str(remark) for remark in result.remarks] == [True]


@pytest.mark.behaviour("configuration.md#remarks")
@pytest.mark.parametrize(
    "fragment",
    [
        "",
        X,
        '[program:x]\ncommand=/bin/sh -c "a; b"\nenvironment=A="1;2",B=\'#\'\n',
        "[rpcinterface:y]\nsupervisor.rpcinterface_factory=m:f\nanything=1\n",
        "[ctlplugin:z]\nsupervisor.ctl_factory=m:f\nanything=1\n[DEFAULT]\nautostart=false\n",
        "[supervisorctl]\nserverurl=unix:///tmp/s\n",
        "[program:x]\ncommand=a\n  --flag b\n  -c d\n",
    ],
)
def test_an_ordinary_file_has_no_remarks(fragment: str) -> None:
    assert examined(fragment).remarks == []


@pytest.mark.behaviour("configuration.md#all-errors-are-reported-at-once")
def test_all_errors_are_found_in_one_reading() -> None:
    result = examined(
        "[program:a]\ncommand=a\nautostart=maybe\nstopsignal=FOO\nnumprocs=2\n"
        "[program:b]\n[group:g]\nprograms=zz\n[eventlistener:l]\ncommand=a\n"
        "[inet_http_server]\nport=0\n"
    )
    assert result.config is None
    assert [(e.section, e.option, e.line) for e in result.errors] == [
        ("group:g", "programs", 19),
        ("program:a", "autostart", 14),
        ("program:a", "stopsignal", 15),
        ("program:a", "process_name", None),
        ("program:b", None, None),
        ("eventlistener:l", None, None),
        ("inet_http_server", "port", 23),
    ]


@pytest.mark.behaviour("configuration.md#errors-show-no-secrets")
def test_no_secret_is_shown() -> None:
    result = examined(
        "[inet_http_server]\nport=1\nusername=u\npassword=hidden%word\n"
        "[program:x]\ncommand=a\nenvironment=KEY=hidden=word,hidden\n"
        "[program:y]\ncommand=a\nenvironment=KEY=%(hidden_word)s\n"
    )
    assert len(result.errors) == 3
    for error in result.errors:
        assert "hidden" not in str(error).replace("hidden_word", "")


@pytest.mark.behaviour("configuration.md#nested-includes")
def test_an_include_of_an_included_file_is_remarked_where_it_stands() -> None:
    document = Document()
    read(BASE + "[include]\nfiles=a.conf\n", file="c.conf", here=HERE, into=document)
    read("[include]\nfiles=b.conf\n", file="a.conf", here=HERE, into=document)
    result = examine(document, eval_context(), overrides={}, here=HERE)
    (remark,) = [r for r in result.remarks if "is ignored" in r.text]
    assert str(remark) == (
        "a.conf, line 2, [include]: [include] of an included file is ignored "
        "(name its files in c.conf)"
    )


@pytest.mark.behaviour(
    "configuration.md#repeated-sections-and-keys", "configuration.md#precedence-of-included-files"
)
def test_what_an_included_file_replaces_is_remarked() -> None:
    document = Document()
    read(BASE + X, file="c.conf", here=HERE, into=document)
    read("[supervisord]\nidentifier=other\n", file="a.conf", here=HERE, into=document)
    result = examine(document, eval_context(), overrides={}, here=HERE)
    assert [str(remark) for remark in result.remarks] == [
        "a.conf, line 1, [supervisord]: section [supervisord] began in c.conf, line 1: "
        "both are one section (merge them, or rename one)",
        "a.conf, line 2, [supervisord]: 'identifier' replaces the value given in c.conf, line 7 "
        "(leave one of the two out)",
    ]


@pytest.mark.behaviour("configuration.md#remarks")
@pytest.mark.parametrize(
    ("line", "remark"),
    [
        ('ready=exec:sh -c "test -e $HOME/up"', ""),
        ("health = exec: /bin/sh -c 'test -e $HOME/up'", ""),
        ("pre_start=sh -c 'mkdir -p $DIR && touch $DIR/x'", ""),
        ("ready=tcp:$PORT", "$PORT is not expanded here"),
        ("ready=exec:test -e $HOME/up", "$HOME is passed to the program unchanged"),
        ("ready=exec:a && b", "&& is passed to the program unchanged"),
        ("post_stop=rm -rf x > log", "> is passed to the program unchanged"),
        ("refresh_command=cd /tmp", "cd is a command of shells"),
    ],
)
def test_commands_of_checks_and_hooks(line: str, remark: str) -> None:
    base = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\n")
    remarks = examined(X + line + "\n", base).remarks
    found = [m for m in remarks if m.place.section == "program:x"]
    assert [m.text.startswith(remark) for m in found] == [True] * bool(remark)
    key = line.partition("=")[0].strip()
    assert all("command=/" not in (m.hint or "").replace("refresh_command=", "") for m in found)
    assert all(m.place.option == key for m in found)
