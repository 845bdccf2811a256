"""``echo_tsupervisord_conf``: a sample configuration made from the option table."""

from __future__ import annotations

from trio_supervisor.core.config.options import PROGRAM_DEFAULT, TABLES, Option

#: Lines of the sample that are active. Installation scripts edit them with sed, so they stay as
#: they are.
ACTIVE = {
    "unix_http_server": {"file": "/tmp/supervisor.sock"},
    "supervisord": {
        "logfile": "/tmp/supervisord.log",
        "logfile_maxbytes": "50MB",
        "logfile_backups": "10",
        "loglevel": "info",
        "pidfile": "/tmp/supervisord.pid",
        "nodaemon": "false",
        "silent": "false",
        "minfds": "1024",
        "minprocs": "200",
        "extended": "true",
    },
    "rpcinterface:supervisor": {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    },
    "supervisorctl": {"serverurl": "unix:///tmp/supervisor.sock"},
}
#: Values shown for options that have no default.
EXAMPLES = {
    "chown": "nobody:nogroup",
    "username": "user",
    "password": "123",
    "port": "127.0.0.1:9001",
    "childlogdir": "/tmp",
    "user": "nobody",
    "directory": "/tmp",
    "environment": 'KEY="value"',
    "history_file": "~/.sc_history",
    "command": "/bin/cat",
    "umask": "022",
    "socket": "unix:///tmp/fastcgi.sock",
    "socket_backlog": "128",
    "socket_owner": "nobody:nogroup",
    "events": "PROCESS_STATE",
    "programs": "progname1,progname2",
    "files": "relative/directory/*.ini",
}
#: Values of one section that differ from those of others with the same option.
SPECIAL = {
    ("eventlistener", "command"): "/bin/eventlistener",
    ("group", "programs"): "theprogramname",
}
#: Section kind -> header of the sample's section and what it is for.
HEADERS = {
    "unix_http_server": ("unix_http_server", "the socket tsupervisorctl talks to"),
    "inet_http_server": ("inet_http_server", "the same over TCP, with the web page"),
    "supervisord": ("supervisord", "the daemon itself"),
    "rpcinterface": ("rpcinterface:supervisor", "required by tsupervisorctl"),
    "supervisorctl": ("supervisorctl", "where tsupervisorctl finds the daemon"),
    "program": ("program:theprogramname", "a program to run; one such section for each"),
    "fcgi-program": (
        "fcgi-program:thefcgiprogramname",
        "a FastCGI program; also all of [program:x]",
    ),
    "eventlistener": (
        "eventlistener:theeventlistenername",
        "a program that receives events; also all of [program:x]",
    ),
    "group": ("group:thegroupname", "programs to address together"),
    "include": ("include", "further files, read after this one"),
}
#: Values for all programs, before the section of one.
DEFAULTS = (
    "; values for all [program:x] and [fcgi-program:x] that do not set the option",
    f";[{PROGRAM_DEFAULT}]",
    ";autorestart=unexpected",
)
#: Column at which the explanations begin.
COLUMN = 58


def sample() -> str:
    """The text of the sample."""
    lines = [
        "; Sample configuration of trio-supervisor.",
        "; Lines beginning with ; are comments; remove the ; to activate an option.",
        "; %(ENV_X)s is the value of the environment variable X, %% a percent sign.",
    ]
    shown: set[str] = set()
    for kind, table in TABLES.items():
        if kind == "program":
            lines += ["", *DEFAULTS]
        header, purpose = HEADERS[kind]
        active = ACTIVE.get(header)
        lines += ["", f"; {purpose}", f"{'' if active else ';'}[{header}]"]
        for option in table:
            if kind in ("fcgi-program", "eventlistener") and option.name in shown - {"command"}:
                continue
            lines.append(_line(kind, option, active))
        if kind == "program":
            shown = {option.name for option in table}
    return "\n".join(lines) + "\n"


def _line(kind: str, option: Option, active: dict[str, str] | None) -> str:
    value = (active or {}).get(option.name)
    mark = "" if value is not None else ";"
    if value is None:
        example = EXAMPLES.get(option.name, "")
        value = SPECIAL.get((kind, option.name)) or option.default or example
    return f"{mark}{option.name}={value}".ljust(COLUMN) + f" ; {option.doc}"


def main() -> None:
    """Print the sample; arguments are ignored."""
    print(sample(), end="")
