"""``--print-unit``, ``--export systemd`` and ``--export compose``, checked by systemd itself."""

from __future__ import annotations

import importlib
import json
import os
import pwd
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.kit.daemon import run_to_end
from tests.kit.machine import path_of
from tests.kit.root import NOBODY, as_user
from trio_supervisor.core.config.options import ROWS

DAEMON = """\
[supervisord]
user=daemon
extended=true
logfile=/var/log/supervisor/supervisord.log
childlogdir=/var/lib/sup/children
pidfile=/run/supervisor/supervisord.pid
identifier=100%% mine
minfds=600000
[unix_http_server]
file=/run/supervisor/supervisor.sock
"""
PROGRAMS = """\
[program:web]
command=/bin/sh -c "echo $HOME 100%% \\"x\\" 'y'; exec sleep 100"
numprocs=2
process_name=%(program_name)s_%(process_num)d
environment=A="b c",P="$x%%y\\z"
exitcodes=0,2
startretries=5
depends_on=one
stdout_logfile=/tmp/web.log
stderr_logfile=NONE
[program:one]
command=/bin/cat
user=daemon
umask=022
directory=/tmp
autorestart=true
redirect_stderr=true
stopsignal=INT
stopwaitsecs=33
[program:off]
command=/bin/cat
autostart=false
autorestart=false
stopasgroup=true
ignore_sigpipe=false
rlimit_nofile=1000:unlimited
nice=5
memory_max=512MB
memory_high=1GB
cpu_max=1.5
pids_max=100
oom_score_adj=-100
no_new_privs=true
environment_file=-/etc/default/off
[program:strict]
command=/bin/cat
exitcodes=3
stdout_syslog=true
stdout_logfile=NONE
[fcgi-program:php]
command=/bin/cat
socket=tcp://127.0.0.1:9123
socket_backlog=7
[eventlistener:listener]
command=/bin/cat
events=TICK_5
"""


def verify(directory: Path, *names: str) -> None:
    """Let systemd read units. It needs no running systemd."""
    done = subprocess.run(
        [path_of("systemd-analyze"), "verify", "--man=no", *(f"./{name}" for name in names)],
        cwd=directory,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{directory}:"},
        capture_output=True,
        text=True,
    )
    assert (done.stderr, done.returncode) == ("", 0)


def printed(directory: Path, *arguments: str, text: str = PROGRAMS, user: str = "") -> str:
    (directory / "c.conf").write_text(DAEMON.replace("user=daemon\n", user or "") + text)
    done = run_to_end(*arguments, "c.conf", cwd=directory)
    assert done.returncode == 0, done.stderr
    return done.stdout


def units(text: str) -> dict[str, str]:
    """The units of an export by name."""
    parts = re.split(r"^# /etc/systemd/system/(\S+)\n", text, flags=re.MULTILINE)
    assert parts[0] == ""
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.skipif(os.getuid() != 0, reason="an ordinary user gets a unit of another kind")
@pytest.mark.behaviour("configuration.md#a-unit-for-the-daemon")
def test_the_unit_of_the_daemon(tmp_path: Path) -> None:
    unit = printed(tmp_path, "--print-unit", user="user=daemon\n")
    lines = unit.splitlines()
    for line in (
        "Type=notify",
        f"ExecStart={run_command()} -n -c {tmp_path}/c.conf",
        "KillMode=mixed",
        "Delegate=yes",
        "User=daemon",
        "RuntimeDirectory=supervisor",
        "LogsDirectory=supervisor",
        "StateDirectory=sup/children",
        "LimitNOFILE=600000:600000",
        "Description=trio-supervisor (100%% mine)",
        "WantedBy=multi-user.target",
    ):
        assert line in lines
    (tmp_path / "tsupervisord.service").write_text(unit)
    as_root = printed(tmp_path, "--print-unit")
    assert "User=" not in as_root
    (tmp_path / "root.service").write_text(as_root)
    verify(tmp_path, "tsupervisord.service", "root.service")


@pytest.mark.skipif(os.getuid() != 0, reason="an ordinary user gets a unit of another kind")
@pytest.mark.behaviour("configuration.md#a-unit-for-the-daemon")
def test_the_unit_of_a_daemon_whose_programs_survive_it(tmp_path: Path) -> None:
    adopt = "[supervisord]\nextended=true\nsurvive=adopt\n"
    text = PROGRAMS
    (tmp_path / "c.conf").write_text(
        DAEMON.replace("user=daemon\n", "").replace("[supervisord]\n", adopt) + text
    )
    done = run_to_end("--print-unit", "c.conf", cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert {"KillMode=process", "RuntimeDirectoryPreserve=restart"} <= set(lines), done.stderr
    (tmp_path / "adopt.service").write_text(done.stdout)
    verify(tmp_path, "adopt.service")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.behaviour("configuration.md#a-unit-for-the-daemon")
def test_the_unit_of_an_ordinary_user() -> None:
    nobody = pwd.getpwnam(NOBODY)
    within = as_user(nobody.pw_uid, nobody.pw_gid)
    with tempfile.TemporaryDirectory(prefix="trio-supervisor-test-") as name:
        directory = Path(name)  # not below that of pytest, which others cannot enter
        directory.chmod(0o755)
        (directory / "c.conf").write_text("[supervisord]\n")
        done = run_to_end("--print-unit", "c.conf", cwd=directory, within=within)
    assert "WantedBy=default.target" in done.stdout
    assert "User=" not in done.stdout
    assert "~/.config/systemd/user/" in done.stdout


@pytest.mark.behaviour("configuration.md#units-and-services-of-the-programs")
def test_the_programs_as_units(tmp_path: Path) -> None:
    found = units(printed(tmp_path, "--export", "systemd"))
    assert sorted(found) == [
        *("off.service", "one.service", "php.service", "php.socket", "strict.service"),
        *("web-web_0.service", "web-web_1.service", "web.target"),
    ]
    web = found["web-web_0.service"].splitlines()
    for line in (
        "Requires=one.service",
        "After=one.service",
        "StartLimitIntervalSec=12",
        "StartLimitBurst=6",
        r'''ExecStart=/bin/sh -c "echo $$HOME 100%% \"x\" 'y'; exec sleep 100"''',
        'Environment="A=b c"',
        r'Environment="P=$x%%y\\z"',
        "Restart=on-failure",
        "SuccessExitStatus=2",
        "RestartForceExitStatus=SIGHUP SIGINT SIGTERM SIGPIPE",
        "StandardOutput=append:/tmp/web.log",
        "StandardError=null",
        "PartOf=web.target",
    ):
        assert line in web
    for line in (
        *("User=daemon", "UMask=0022", "WorkingDirectory=/tmp", "Restart=always"),
        *("StandardError=inherit", "KillSignal=SIGINT", "TimeoutStopSec=33", "KillMode=mixed"),
    ):
        assert line in found["one.service"].splitlines()
    for line in (
        *("Restart=no", "KillMode=control-group", "IgnoreSIGPIPE=no", "Nice=5"),
        *("LimitNOFILE=1000:infinity", "OOMScoreAdjust=-100", "NoNewPrivileges=yes"),
        "EnvironmentFile=-/etc/default/off",
        *("MemoryMax=536870912", "MemoryHigh=1073741824", "CPUQuota=150%", "TasksMax=100"),
    ):
        assert line in found["off.service"].splitlines()
    strict = found["strict.service"]
    assert "RestartForceExitStatus=0 SIGHUP SIGINT SIGTERM SIGPIPE\n" in strict
    assert "StandardOutput=journal\n" in strict
    assert "ListenStream=127.0.0.1:9123\n" in found["php.socket"]
    assert "StandardInput=socket\n" in found["php.service"]
    for name, text in found.items():
        (tmp_path / name).write_text(text)
    verify(tmp_path, *found)


@pytest.mark.behaviour("configuration.md#units-and-services-of-the-programs")
def test_the_programs_as_services_of_a_compose_file(tmp_path: Path) -> None:
    text = printed(tmp_path, "--export", "compose")
    services = dict(re.findall(r'^  "([^"]+)":\n((?:    .*\n)+)', text, re.MULTILINE))
    assert set(services) == {"off", "one", "php", "strict", "web-web_0", "web-web_1"}
    fields = dict(line.strip().split(": ", 1) for line in services["one"].splitlines())
    assert json.loads(fields["command"]) == ["/bin/cat"]
    assert json.loads(fields["restart"]) == "always"
    assert fields["stop_signal"] == "SIGINT"
    assert fields["stop_grace_period"] == "33s"
    for line in ('profiles: ["manual"]', "mem_limit: 536870912", "cpus: 1.5", "pids_limit: 100"):
        assert line in services["off"]
    assert r'''"echo $$HOME 100% \"x\" 'y'; exec sleep 100"''' in services["web-web_0"]
    assert '"P": "$$x%y' in services["web-web_0"]


#: Options beyond Supervisor, in as many ways as the exports tell apart.
EXTENDED = """\
[program:db]
command=/bin/sleep 1000
ready=notify
ready_timeout=90
health=notify
health_interval=20
dump_signal=ABRT
on_unhealthy=none
restart_limit=5/60s
restart_prevent=78,SIGTERM
memory_max=512MB
rlimit_nofile=1000:unlimited
rlimit_as=1GB
nice=5
no_new_privs=true
stop_sequence=QUIT:10s,TERM:5s
journald=true
environment_file=-/etc/default/off
[program:migrate]
command=/bin/true
oneshot=true
depends_on=db
[program:cache]
command=/bin/cat
autostart=false
ready=tcp:6379
health=http://127.0.0.1:8080/health
refresh_signal=USR1
on_fatal=retry:5m
retry_forever=true
backoff=exponential
[program:web]
command=/bin/cat
depends_on=db:healthy, migrate:done, cache?, listener?
on_dependency_stop=restart
pre_start=/bin/true $HOME
post_stop=/bin/echo "a b"
hook_timeout=40
stop_command=/bin/kill -TERM 1
refresh_command=/bin/true
ready=exec:/bin/test -e /run/x
restart_delay=3s
essential=true
priority=5
log_format=json
create_log_dirs=true
stdout_logfile=/var/log/app/web.log
stdout_logfile_maxbytes=1MB
autorestart=true
[program:jobs]
command=/bin/cat
depends_on=web
on_dependency_stop=stop
health=exec:/bin/test -e "/run/a b"
health_interval=500ms
health_timeout=2
exitcodes=0,3
autorestart=unexpected
create_log_dirs=true
[program:watched]
command=/bin/cat
autorestart=false
health=notify
ready_timeout=0
ready=notify
[eventlistener:listener]
command=/bin/cat
events=TICK_5
[program-default]
die_with_supervisor=true
"""


@pytest.mark.behaviour("configuration.md#units-and-services-of-the-programs")
def test_options_beyond_supervisor_in_units(tmp_path: Path) -> None:
    found = units(printed(tmp_path, "--export", "systemd", text=EXTENDED))
    expected = {
        "db": (
            *("Type=notify", "NotifyAccess=all", "TimeoutStartSec=90", "WatchdogSec=20"),
            *("WatchdogSignal=SIGABRT", "StartLimitIntervalSec=60", "StartLimitBurst=6"),
            *("RestartPreventExitStatus=78 SIGTERM", "MemoryMax=536870912", "Nice=5"),
            *("LimitNOFILE=1000:infinity", "LimitAS=1073741824", "NoNewPrivileges=yes"),
            *("KillSignal=SIGQUIT", "TimeoutStopSec=15", "SyslogIdentifier=db"),
            "EnvironmentFile=-/etc/default/off",
            "# on_unhealthy: systemd ends a program that sends nothing",
            "# stop_sequence: after its first signal KILL follows, at the end of all waits",
            "# die_with_supervisor: systemd does not end before its services",
        ),
        "migrate": ("Type=oneshot", "RemainAfterExit=yes", "Requires=db.service"),
        "cache": (
            "# ready: systemd cannot wait for tcp:6379; notify and exec: it can",
            "# health: systemd checks nothing itself; let the program send WATCHDOG=1",
            "ExecReload=/bin/sh -c 'kill -USR1 $MAINPID'",
            "StartLimitIntervalSec=0",
            "# on_fatal: what has reached its limit stays failed",
            "# backoff: the pause is always the same",
        ),
        "web": (
            *("BindsTo=db.service", "After=db.service", "BindsTo=migrate.service"),
            *("Wants=cache.service", "After=cache.service"),
            "# depends_on listener?: that is not exported",
            "# on_dependency_stop: it is stopped, and not started when that runs again",
            *("ExecStartPre=/bin/true $$HOME", 'ExecStopPost=/bin/echo "a b"'),
            *("ExecStop=/bin/kill -TERM 1", "ExecReload=/bin/true", "RestartSec=3"),
            'ExecStartPost=/bin/sh -c "until /bin/test -e /run/x; do sleep 1; done"',
            *("TimeoutStartSec=60", "LogsDirectory=app", "Restart=always"),
            "# essential: the machine goes on; see FailureAction= and SuccessAction=",
            "# priority: the order comes from depends_on only",
            "# stdout_logfile_maxbytes: systemd does not rotate files; use logrotate, or log to the"
            " journal",
        ),
        "jobs": (
            *("BindsTo=web.service", "SuccessExitStatus=3"),
            "# create_log_dirs: systemd makes directories below /var/log only",
        ),
        "watched": ("Restart=on-watchdog", "TimeoutStartSec=infinity"),
    }
    assert set(found) == {f"{name}.service" for name in expected}
    for name, lines in expected.items():
        text = found[f"{name}.service"].splitlines()
        assert [line for line in lines if line not in text] == []
        (tmp_path / f"{name}.service").write_text(found[f"{name}.service"])
    verify(tmp_path, *found)


@pytest.mark.behaviour("configuration.md#units-and-services-of-the-programs")
def test_options_beyond_supervisor_in_a_compose_file(tmp_path: Path) -> None:
    text = printed(tmp_path, "--export", "compose", text=EXTENDED)
    services = dict(re.findall(r'^  "([^"]+)":\n((?:    .*\n)+)', text, re.MULTILINE))
    expected = {
        "db": """\
            # restart_limit: all restarts count, not those within a time
            restart: "on-failure:5"
            stop_signal: SIGQUIT
            stop_grace_period: 15s
            # health: a healthcheck can only run a command, and notify is none
              nofile: {soft: 1000, hard: -1}
            # rlimit_as: Docker cannot set this limit; see mem_limit
            mem_limit: 536870912
            security_opt: ["no-new-privileges:true"]
              - path: "/etc/default/off"
                required: false
            """,
        "web": """\
            depends_on:
              # depends_on db:healthy: it has no healthcheck, so started counts
              "db":
                condition: service_started
                restart: true
              "migrate":
                condition: service_completed_successfully
                restart: true
              "cache":
                condition: service_healthy
                required: false
            # depends_on listener?: that is not exported
            pre_stop:
              - command: ["/bin/kill", "-TERM", "1"]
              test: ["CMD", "/bin/test", "-e", "/run/x"]
              start_period: 60s
            # pre_start: put it in front of the command
            # essential: start with docker compose up --abort-on-container-exit
            """,
        "jobs": """\
              "web":
                condition: service_healthy
            # on_dependency_stop: it keeps running
            # exitcodes: only 0 counts as expected
              test: ["CMD", "/bin/test", "-e", "/run/a b"]
              interval: 500ms
              timeout: 2s
              retries: 3
            # on_unhealthy: nothing follows when it is unhealthy
            """,
        "cache": """\
              test: ["CMD", "curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1:8080/health"]
            profiles: ["manual"]
            """,
        "migrate": 'restart: "on-failure"',
        "watched": 'restart: "no"',
    }
    assert set(services) == set(expected)
    for name, lines in expected.items():
        found = [line.strip() for line in services[name].splitlines()]
        assert [
            line for line in map(str.strip, lines.splitlines()) if line not in (*found, "")
        ] == []


@pytest.mark.behaviour("configuration.md#units-and-services-of-the-programs")
@pytest.mark.parametrize("rows", ["program_units", "compose"])
def test_every_option_of_programs_is_exported_or_has_a_reason(rows: str) -> None:
    """A new option needs a row in the tables of both exports."""
    module = importlib.import_module(f"trio_supervisor.core.export.{rows}")
    tables = (module._ROWS,) if rows == "compose" else (module._UNIT, module._SERVICE)
    mapped = {option for table in tables for options in table for option in options}
    known = {*mapped, *module._REASONS, *module._IMPLIED}
    options = {*ROWS["program"], *ROWS["fcgi-program"]}
    assert options - known == set()
    assert known - options == set()


@pytest.mark.behaviour("configuration.md#units-and-services-of-the-programs")
def test_listeners_are_reported_as_left_out(tmp_path: Path) -> None:
    (tmp_path / "c.conf").write_text("[supervisord]\n" + PROGRAMS)
    done = run_to_end("--export", "systemd", "c.conf", cwd=tmp_path)
    assert done.stderr == "not exported, systemd has no event listeners: listener\n"


@pytest.mark.behaviour("configuration.md#converting-a-procfile")
def test_a_procfile_becomes_a_configuration_that_loads(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("web: sleep 1000\n")
    (tmp_path / ".env").write_text("A=hidden\n")
    done = run_to_end("--convert", "Procfile", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == "the variables of .env are in [supervisord.environment]\n"
    (tmp_path / "tsupervisord.toml").write_text(done.stdout)
    assert run_to_end("--check", "tsupervisord.toml", cwd=tmp_path).returncode == 0
    (tmp_path / "Procfile").write_text("nothing\n")
    done = run_to_end("--convert", "Procfile", cwd=tmp_path)
    assert done.returncode == 2
    assert "has no entry of the form 'name: command'" in done.stderr


def run_command() -> str:
    return f"{sys.executable} -m trio_supervisor"
