"""Keys that a section does not have: mistakes, and keys of other programs that read the file."""

from __future__ import annotations

from trio_supervisor.core.config.options import ROWS
from trio_supervisor.core.config.suggest import suggestion

PROGRAM_KINDS = frozenset({"program", "fcgi-program", "eventlistener"})
SERVERS = ("inet_http_server", "unix_http_server")
_DAEMON = frozenset({"supervisord"})
_CLIENT_OR_SERVER = frozenset({*SERVERS, "supervisorctl"})
_ALL_BUT_GROUPS = PROGRAM_KINDS | _DAEMON
#: (section kinds, key, advice): keys of old manuals, of other supervisors, of other sections.
_MOVED: tuple[tuple[frozenset[str], str, str], ...] = (
    (PROGRAM_KINDS, "logfile", "use stdout_logfile"),
    (PROGRAM_KINDS, "logfile_maxbytes", "use stdout_logfile_maxbytes"),
    (PROGRAM_KINDS, "logfile_backups", "use stdout_logfile_backups"),
    (PROGRAM_KINDS, "logfile_backupcount", "use stdout_logfile_backups"),
    (PROGRAM_KINDS, "stdout_logfile_backupcount", "use stdout_logfile_backups"),
    (PROGRAM_KINDS, "stderr_logfile_backupcount", "use stderr_logfile_backups"),
    (PROGRAM_KINDS, "stdout_logfile_backup_count", "use stdout_logfile_backups"),
    (PROGRAM_KINDS, "stderr_logfile_backup_count", "use stderr_logfile_backups"),
    (PROGRAM_KINDS, "log_stdout", "use stdout_logfile, or stdout_logfile=NONE"),
    (PROGRAM_KINDS, "log_stderr", "use redirect_stderr, stderr_logfile or stderr_logfile=NONE"),
    (PROGRAM_KINDS, "stdout", "use stdout_logfile"),
    (PROGRAM_KINDS, "stderr", "use stderr_logfile"),
    (PROGRAM_KINDS, "cmd", "use command"),
    (_ALL_BUT_GROUPS, "env", "use environment"),
    (_ALL_BUT_GROUPS, "cwd", "use directory"),
    (_ALL_BUT_GROUPS, "chdir", "use directory"),
    (_ALL_BUT_GROUPS, "workdir", "use directory"),
    (_ALL_BUT_GROUPS, "working_directory", "use directory"),
    (_ALL_BUT_GROUPS, "uid", "use user"),
    (_ALL_BUT_GROUPS, "gid", "leave it out: the groups are those of user="),
    (PROGRAM_KINDS, "username", "use user"),
    (PROGRAM_KINDS, "group", "leave it out: the groups are those of user="),
    (PROGRAM_KINDS, "retries", "use startretries"),
    (PROGRAM_KINDS, "killsignal", "use stopsignal"),
    (_DAEMON, "logfile_backupcount", "use logfile_backups"),
    (_DAEMON, "logfile_backup_count", "use logfile_backups"),
    (_DAEMON, "http_port", "use [inet_http_server] port="),
    (_DAEMON, "http_username", "use [inet_http_server] username="),
    (_DAEMON, "http_password", "use [inet_http_server] password="),
    (_DAEMON, "sockchmod", "use [unix_http_server] chmod="),
    (_DAEMON, "sockchown", "use [unix_http_server] chown="),
    (_DAEMON, "backofflimit", "it has no effect any more: leave it out"),
    (_DAEMON, "profile_options", "it exists on the command line only"),
    (_CLIENT_OR_SERVER, "user", "use username"),
)
#: Section kind -> kinds whose options are written there by mistake, and what to do.
_BELONGS: dict[str, tuple[tuple[str, str], ...]] = {
    "group": (("program", "it belongs in each [program:x]"),),
    "supervisord": (
        ("program", "it belongs in each [program:x]"),
        ("inet_http_server", "it belongs in [inet_http_server] or [unix_http_server]"),
        ("unix_http_server", "it belongs in [unix_http_server]"),
        ("supervisorctl", "it belongs in [supervisorctl]"),
    ),
    "supervisorctl": (("inet_http_server", "it belongs in the section of the server"),),
    "inet_http_server": (("unix_http_server", "only a unix socket has it"),),
    "unix_http_server": (("inet_http_server", "only [inet_http_server] has it"),),
    "program": (
        ("fcgi-program", "only [fcgi-program:x] has a socket"),
        ("eventlistener", "only [eventlistener:x] has it"),
        ("supervisord", "it belongs in [supervisord]"),
    ),
    "eventlistener": (("supervisord", "it belongs in [supervisord]"),),
    "fcgi-program": (
        ("eventlistener", "only [eventlistener:x] has it"),
        ("supervisord", "it belongs in [supervisord]"),
    ),
}


def mistaken(kind: str, key: str) -> tuple[str, str] | None:
    """Return what is wrong with an unknown key and how to fix it; None if another program may use
    it."""
    for kinds, old, advice in _MOVED:
        if kind in kinds and key == old:
            return f"{key} is ignored here", advice
    legal = ROWS[kind].keys()
    for other, advice in _BELONGS.get(kind, ()):
        if key in ROWS[other] and key not in legal:
            return f"{key} is ignored here", advice
    meant = suggestion(key, legal)
    return None if meant is None else (f"unknown option {key} is ignored", f"did you mean {meant}?")
