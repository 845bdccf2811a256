"""Supervisor and we read the same files; what both make of them is compared.

Supervisor is loaded in this process as a library, no daemon is started. Where we differ on
purpose, the difference is named here.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from supervisor.datatypes import (
    Automatic,
    RestartUnconditionally,
    RestartWhenExitUnexpected,
)
from supervisor.options import ServerOptions

from tests.kit.config_texts import daemon_fragments, fragments
from trio_supervisor.core.config.model import AUTO, Autorestart, Config, GroupKind, UnixServer, diff
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.runtime.load import load_config

BASE = """\
[supervisord]
logfile=%(here)s/sd.log
pidfile=%(here)s/sd.pid
childlogdir=%(here)s
user=root
identifier=golden
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""

Groups = dict[str, Any]


def reference_options(path: Path) -> Any:
    """What Supervisor reads, or the line in which it refuses the file."""
    options = ServerOptions()
    options.stderr = io.StringIO()
    try:
        options.realize(["-c", str(path)])
    except SystemExit:
        return options.stderr.getvalue().splitlines()[0]
    return options


def reference_groups(options: Any) -> Groups:
    """Its groups as plain values."""
    return {
        group.name: (
            type(group).__name__.startswith("EventListener"),
            group.priority,
            [_reference_process(process) for process in group.process_configs],
        )
        for group in sorted(options.process_group_configs)[::-1]  # of equal names the first
    }


def _reference_process(p: Any) -> dict[str, object]:
    def log(value: object) -> object:
        return "auto" if value is Automatic else value or None

    return {
        "name": p.name,
        "command": p.command,
        "directory": p.directory,
        "umask": p.umask,
        "uid": p.uid,
        "priority": p.priority,
        "autostart": p.autostart,
        "autorestart": {
            RestartUnconditionally: "true",
            RestartWhenExitUnexpected: "unexpected",
        }.get(p.autorestart, "false"),
        "startsecs": p.startsecs,
        "startretries": p.startretries,
        "exitcodes": list(p.exitcodes),
        "stopsignal": int(p.stopsignal),
        "stopwaitsecs": p.stopwaitsecs,
        "stopasgroup": p.stopasgroup,
        "killasgroup": p.killasgroup,
        "redirect_stderr": p.redirect_stderr,
        "environment": dict(p.environment),
        **{
            f"{channel}_{key}": value
            for channel in ("stdout", "stderr")
            for key, value in (
                ("logfile", log(getattr(p, f"{channel}_logfile"))),
                ("maxbytes", getattr(p, f"{channel}_logfile_maxbytes")),
                ("backups", getattr(p, f"{channel}_logfile_backups")),
                ("capture", getattr(p, f"{channel}_capture_maxbytes")),
                ("events", getattr(p, f"{channel}_events_enabled")),
                ("syslog", getattr(p, f"{channel}_syslog")),
            )
        },
    }


def ours(path: Path) -> Config | ConfigError:
    try:
        return load_config(str(path))
    except ConfigError as error:
        return error


#: Options of ``[supervisord]`` that both keep under the same name.
DAEMON = (
    *("logfile", "logfile_maxbytes", "logfile_backups", "pidfile", "umask", "nodaemon"),
    *("silent", "minfds", "minprocs", "nocleanup", "childlogdir", "uid", "directory"),
    *("strip_ansi", "identifier"),
)


def reference_daemon(options: Any) -> dict[str, object]:
    """The daemon's options and servers as plain values."""
    servers = [
        (
            server["section"],
            server.get("file") or (server["host"], server["port"]),
            server.get("chmod"),
            server.get("chown"),
            server["username"] or None,
            server["password"] or None,
        )
        for server in options.server_configs
    ]
    return {
        **{name: getattr(options, name) for name in DAEMON},
        "loglevel": int(options.loglevel),
        "environment": dict(options.configroot.supervisord.environment),
        "servers": servers,
    }


def our_daemon(config: Config) -> dict[str, object]:
    servers = [
        (
            server.section,
            server.file if isinstance(server, UnixServer) else (server.host, server.port),
            server.chmod if isinstance(server, UnixServer) else None,
            (server.chown or (-1, -1)) if isinstance(server, UnixServer) else None,
            None if server.credentials is None else server.credentials.username,
            None if server.credentials is None else server.credentials.password,
        )
        for server in config.servers
    ]
    return {
        **{name: getattr(config.daemon, name) for name in DAEMON},
        "loglevel": int(config.daemon.loglevel),
        "environment": dict(config.daemon.environment),
        "servers": servers,
    }


def as_values(config: Config) -> Groups:
    return {
        group.name: (
            group.kind is GroupKind.POOL,
            group.priority,
            [
                {
                    "name": p.name,
                    "command": p.command,
                    "directory": p.directory,
                    "umask": p.umask,
                    "uid": p.uid,
                    "priority": p.priority,
                    "autostart": p.autostart,
                    "autorestart": Autorestart(p.autorestart).value,
                    "startsecs": p.startsecs,
                    "startretries": p.startretries,
                    "exitcodes": list(p.exitcodes),
                    "stopsignal": p.stopsignal,
                    "stopwaitsecs": p.stopwaitsecs,
                    "stopasgroup": p.stopasgroup,
                    "killasgroup": p.killasgroup,
                    "redirect_stderr": p.redirect_stderr,
                    "environment": dict(p.environment),
                    **{
                        f"{name}_{key}": value
                        for name, channel in (("stdout", p.stdout), ("stderr", p.stderr))
                        for key, value in (
                            ("logfile", "auto" if channel.logfile is AUTO else channel.logfile),
                            ("maxbytes", channel.maxbytes),
                            ("backups", channel.backups),
                            ("capture", channel.capture_maxbytes),
                            ("events", channel.events_enabled),
                            ("syslog", channel.syslog),
                        )
                    },
                }
                for p in group.processes
            ],
        )
        for group in reversed(config.groups)
    }


@pytest.fixture(autouse=True)
def _neutral(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/root")


@pytest.mark.behaviour("configuration.md#members-of-a-group")
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(fragment=fragments())
def test_both_make_the_same_of_a_file(tmp_path: Path, fragment: str) -> None:
    path = tmp_path / "c.conf"
    path.write_text(BASE + fragment)
    reference, read = reference_options(path), ours(path)
    if not isinstance(reference, str):
        assert isinstance(read, Config), (read, fragment)
        assert as_values(read) == reference_groups(reference)
        return
    # What we accept beyond Supervisor is tested elsewhere; none of that is generated.
    assert isinstance(read, ConfigError)
    blamed = re.findall(r"(?:fcgi-program|program|eventlistener|group):\w", reference)
    # The second unknown member of a group is blamed on a program there.
    assert not blamed or read.section in blamed or "names unknown" in reference


@pytest.mark.behaviour(
    "configuration.md#credentials-of-a-server", "configuration.md#unix-sockets-of-servers"
)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(fragment=daemon_fragments())
def test_both_make_the_same_of_the_daemon_and_its_servers(tmp_path: Path, fragment: str) -> None:
    path = tmp_path / "c.conf"
    path.write_text(BASE + fragment)
    reference, read = reference_options(path), ours(path)
    if isinstance(reference, str):
        assert isinstance(read, ConfigError)
    elif isinstance(read, ConfigError):
        # What is refused on purpose: one of the two is empty, or the name of a socket.
        assert re.search(r"incomplete authentication|has no file value", str(read))
        assert re.search(r"^(username|password|file)=$", fragment, re.MULTILINE)
    else:
        assert our_daemon(read) == reference_daemon(reference)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(before=fragments(), after=fragments(), edit=st.booleans())
def test_both_find_the_same_changes(tmp_path: Path, before: str, after: str, edit: bool) -> None:
    """Added, changed and removed groups of a reread after an edit."""
    path = tmp_path / "c.conf"
    found = []
    for text in (before, before + after if edit else after):
        path.write_text(BASE + text)
        reference = reference_options(path)
        if isinstance(reference, str):
            return
        found.append((reference_groups(reference), load_config(str(path))))
    (old, first), (new, second) = found
    active = {group.name: group for group in reversed(first.groups)}
    changes = diff(active, second.groups)
    assert set(changes.added) == set(new) - set(old)
    assert set(changes.removed) == set(old) - set(new)
    # Every difference that Supervisor's values show is a change for us.
    assert {name for name in old if name in new and old[name] != new[name]} <= set(changes.changed)
