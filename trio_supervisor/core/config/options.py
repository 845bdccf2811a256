"""The option table: every option of every section kind, in one place (config.md section 8).

Reading, the sample configuration, the reference page and what a reread changes come from it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trio_supervisor.core.config import converters

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.context import EvalContext


class Effect(enum.Enum):
    """What it takes until a changed value is in force (config.md 13)."""

    REREAD = "reread"
    """It is as soon as the file has been read again; nothing restarts."""
    UPDATE = "update"
    """``tsupervisorctl update`` restarts the groups whose processes it changes, and no other."""
    RELOAD = "reload"
    """``tsupervisorctl reload`` or SIGHUP: every program restarts, the daemon keeps its pid."""
    START = "new start"
    """The daemon must end and be started anew."""
    COMMAND = "next command"
    """The client reads it whenever it runs."""


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table."""

    name: str
    convert: Callable[[str, EvalContext], object]
    default: str | None
    """As it would be written in a file; None: not set."""
    doc: str
    effect: Effect | None = None
    """None: that of most options of its section (see ``effect_of``)."""
    ours: bool = False
    """Supervisor has no such option, and ignores it."""
    older: str = ""
    """What manuals of earlier releases of Supervisor say instead."""


SUPERVISORD = (
    Option("logfile", converters.log_path, "supervisord.log", "the daemon's own log, or syslog"),
    Option(
        "logfile_maxbytes", converters.byte_size, "50MB", "size at which it is rotated; 0: never"
    ),
    Option("logfile_backups", converters.integer, "10", "rotated logs to keep"),
    Option(
        "loglevel", converters.level, "info", "critical, error, warn, info, debug, trace, blather"
    ),
    Option(
        "pidfile", converters.absolute_file, "supervisord.pid", "where the daemon writes its pid"
    ),
    Option("umask", converters.octal, "022", "umask of the daemon in the background", Effect.START),
    Option("nodaemon", converters.boolean, "false", "stay in the foreground", Effect.START),
    Option(
        "silent", converters.boolean, "false", "in the foreground, no copy of the log on stdout"
    ),
    Option(
        "minfds", converters.integer, "1024", "open files the daemon must be allowed", Effect.START
    ),
    Option(
        "minprocs", converters.integer, "200", "processes the daemon must be allowed", Effect.START
    ),
    Option("nocleanup", converters.boolean, "false", "keep automatic child logs of earlier runs"),
    Option(
        "childlogdir",
        converters.existing_directory,
        None,
        "directory of automatic child logs",
        Effect.REREAD,
    ),
    Option(
        "user",
        converters.user,
        None,
        "user to become when started as root",
        Effect.START,
        older="before 3.3.4 a daemon that could not become this user went on as root",
    ),
    Option(
        "directory",
        converters.existing_directory,
        None,
        "directory of the daemon in the background",
        Effect.START,
    ),
    Option(
        "log_answer_maxbytes",
        converters.size_limit,
        "16MB",
        "most bytes of a log in one answer; of more the last part",
        Effect.REREAD,
        ours=True,
    ),
    Option(
        "strip_ansi",
        converters.boolean,
        "false",
        "remove ANSI escapes from child logs",
        Effect.REREAD,
    ),
    Option(
        "environment",
        converters.string,
        "",
        'KEY="value",... for all programs',
        Effect.UPDATE,
        older="manuals let the SUPERVISOR_* variables win over it; in fact it wins",
    ),
    Option(
        "identifier",
        converters.string,
        "supervisor",
        "name of this daemon, for clients and events",
        Effect.REREAD,
    ),
)

#: Options whose values appear in no error, log line or export.
SECRETS = frozenset({"password", "readonly_password", "environment"})

_ACCESS = (
    Option("username", converters.string, None, "user name clients must give"),
    Option(
        "password",
        converters.string,
        None,
        "its password: in clear, {SHA} and 40 hex digits, or what --hash-password prints",
    ),
    Option(
        "readonly_username",
        converters.string,
        None,
        "a second user, who may change nothing",
        ours=True,
    ),
    Option(
        "readonly_password", converters.string, None, "its password, in the same forms", ours=True
    ),
    Option(
        "allowed_hosts",
        converters.strings,
        None,
        "further names browsers may call this server by; .example.com: all below, *: any",
        ours=True,
    ),
    Option(
        "get_actions",
        converters.boolean,
        "true",
        "page actions by GET too, not only by POST",
        ours=True,
    ),
    Option(
        "body_maxbytes", converters.size_limit, "16MB", "most bytes of a request's body", ours=True
    ),
)

UNIX_HTTP_SERVER = (
    Option("file", converters.string, None, "path of the socket"),
    Option("chmod", converters.octal, "0700", "mode of the socket"),
    Option("chown", converters.owner, None, "user or user:group of the socket"),
    *_ACCESS,
)

INET_HTTP_SERVER = (
    Option("port", converters.inet_address, None, "host:port, port, or *:port for all addresses"),
    *_ACCESS,
    Option(
        "ssl_certificate",
        converters.absolute_file,
        None,
        "PEM file: speak TLS with it (https://)",
        ours=True,
    ),
    Option(
        "ssl_key",
        converters.absolute_file,
        None,
        "PEM file of its key, if it has one of its own",
        ours=True,
    ),
    Option(
        "ssl_client_ca",
        converters.absolute_file,
        None,
        "PEM file: clients must show a certificate signed by one of these",
        ours=True,
    ),
)

SUPERVISORCTL = (
    Option(
        "serverurl",
        converters.string,
        "http://localhost:9001",
        "unix://path, http://host:port or https://host:port",
    ),
    Option("username", converters.string, None, "as in the server's section"),
    Option("password", converters.string, None, "in clear"),
    Option("prompt", converters.string, "supervisor", "prompt of the interactive shell"),
    Option("history_file", converters.string, None, "where the shell keeps its history"),
    Option(
        "ssl_ca",
        converters.string,
        None,
        "PEM file: who may have signed the server's certificate; default: whom the system trusts",
        ours=True,
    ),
    Option(
        "ssl_verify",
        converters.boolean,
        "true",
        "false: anybody who answers may be the server, and learn the password",
        ours=True,
    ),
    Option("ssl_certificate", converters.string, None, "PEM file to show a server", ours=True),
    Option("ssl_key", converters.string, None, "PEM file of its key", ours=True),
)


def _channel(name: str) -> tuple[Option, ...]:
    return (
        Option(
            f"{name}_logfile", converters.child_log, "AUTO", f"log of {name}: a path, AUTO or NONE"
        ),
        Option(
            f"{name}_logfile_maxbytes",
            converters.byte_size,
            "50MB",
            "size at which it is rotated; 0: never",
        ),
        Option(f"{name}_logfile_backups", converters.integer, "10", "rotated logs to keep"),
        Option(
            f"{name}_capture_maxbytes",
            converters.byte_size,
            "0",
            "bytes kept of a captured section; 0: off",
        ),
        Option(
            f"{name}_events_enabled",
            converters.boolean,
            "false",
            f"an event for each chunk of {name}",
        ),
        Option(f"{name}_syslog", converters.boolean, "false", f"send {name} to syslog as well"),
    )


PROGRAM = (
    Option("command", converters.string, None, "the program and its arguments"),
    Option("process_name", converters.string, "%(program_name)s", "name of each process"),
    Option("numprocs", converters.integer, "1", "number of processes"),
    Option("numprocs_start", converters.integer, "0", "number of the first process"),
    Option("priority", converters.integer, "999", "low starts first and stops last"),
    Option("autostart", converters.boolean, "true", "start together with the daemon"),
    Option(
        "startsecs",
        converters.integer,
        "1",
        "seconds it must live to count as started",
        older="old samples name 10 as the default; it has always been 1",
    ),
    Option("startretries", converters.integer, "3", "failed starts after which it is FATAL"),
    Option(
        "autorestart",
        converters.restart,
        "unexpected",
        "after an exit: true, false, unexpected",
        older="the default was true in the first 3.0 releases",
    ),
    Option(
        "exitcodes",
        converters.exit_codes,
        "0",
        "exit codes that are expected",
        older="the default was 0,2 before 4.0",
    ),
    Option("stopsignal", converters.signal, "TERM", "signal that stops it"),
    Option("stopwaitsecs", converters.integer, "10", "seconds until SIGKILL follows"),
    Option("stopasgroup", converters.boolean, "false", "send the stop signal to its process group"),
    Option("killasgroup", converters.boolean, "false", "send SIGKILL to its process group"),
    Option("user", converters.user, None, "user to run it as"),
    Option("redirect_stderr", converters.boolean, "false", "send stderr where stdout goes"),
    *_channel("stdout"),
    *_channel("stderr"),
    Option("environment", converters.string, "", 'KEY="value",... over that of [supervisord]'),
    Option("directory", converters.string, None, "directory to run it in"),
    Option("umask", converters.octal, None, "umask to run it with"),
    Option(
        "ignore_sigpipe",
        converters.boolean,
        "true",
        "start it with SIGPIPE and SIGXFSZ ignored; false: with their default effect",
        ours=True,
    ),
    Option("serverurl", converters.string, "AUTO", "SUPERVISOR_SERVER_URL it sees"),
)

FCGI_PROGRAM = (
    Option(
        "socket", converters.fastcgi_url, None, "unix:///path or tcp://host:port, shared as fd 0"
    ),
    Option(
        "socket_backlog",
        converters.integer,
        None,
        "length of its queue; default: the system's most",
    ),
    Option("socket_owner", converters.owner, None, "user or user:group of a unix socket"),
    Option("socket_mode", converters.octal, "0700", "mode of a unix socket"),
    *PROGRAM,
)

EVENTLISTENER = (
    Option("events", converters.event_types, None, "event types to hear of, separated by commas"),
    Option("buffer_size", converters.integer, "10", "events that may wait for a listener"),
    Option(
        "result_handler",
        converters.string,
        "supervisor.dispatchers:default_handler",
        "judges results",
    ),
    Option(
        "event_len",
        converters.event_length,
        "characters",
        "what len counts: characters or bytes",
        ours=True,
    ),
    *(
        Option("priority", converters.integer, "-1", "low starts first and stops last")
        if option.name == "priority"
        else option
        for option in PROGRAM
    ),
)

GROUP = (
    Option("programs", converters.strings, "", "names of its programs, separated by commas"),
    Option("priority", converters.integer, "999", "low starts first and stops last"),
)

#: The reference's name of the factory of the main namespace, which works without that package.
MAIN_FACTORY = "supervisor.rpcinterface:make_main_rpcinterface"

RPCINTERFACE = (
    Option(
        "supervisor.rpcinterface_factory",
        converters.string,
        None,
        "module:callable of the namespace",
    ),
)

INCLUDE = (Option("files", converters.string, None, "globs of further files, separated by blanks"),)

#: By section kind, in the order in which the sample shows them.
TABLES: dict[str, tuple[Option, ...]] = {
    "unix_http_server": UNIX_HTTP_SERVER,
    "inet_http_server": INET_HTTP_SERVER,
    "supervisord": SUPERVISORD,
    "rpcinterface": RPCINTERFACE,
    "supervisorctl": SUPERVISORCTL,
    "program": PROGRAM,
    "fcgi-program": FCGI_PROGRAM,
    "eventlistener": EVENTLISTENER,
    "group": GROUP,
    "include": INCLUDE,
}

#: Section kind -> what a change of most of its options takes.
_EFFECTS = {
    "supervisord": Effect.RELOAD,
    "unix_http_server": Effect.RELOAD,
    "inet_http_server": Effect.RELOAD,
    "rpcinterface": Effect.RELOAD,
    "supervisorctl": Effect.COMMAND,
    "program": Effect.UPDATE,
    "fcgi-program": Effect.UPDATE,
    "eventlistener": Effect.UPDATE,
    "group": Effect.UPDATE,
    "include": Effect.REREAD,
}


def effect_of(kind: str, option: Option) -> Effect:
    """What it takes until a changed value of an option of this section kind is in force."""
    return _EFFECTS[kind] if option.effect is None else option.effect
