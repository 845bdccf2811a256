"""Hints on standard error of a terminal: why something failed, and what to do about it.

Imported only to show them. Looks at files and asks the daemon; errors of that are ignored.
"""

from __future__ import annotations

import difflib
import grp
import os
import pwd
import stat
from contextlib import suppress

from trio_supervisor.cli.client.client import UNAUTHORIZED, HttpError
from trio_supervisor.cli.ctl.commands import COMMANDS
from trio_supervisor.cli.ctl.daemon_file import DaemonFile
from trio_supervisor.cli.ctl.io import complain
from trio_supervisor.cli.ctl.names import short_name, split_name
from trio_supervisor.cli.ctl.session import is_timeout
from trio_supervisor.cli.ctl.text import plain

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from trio_supervisor.cli.ctl.session import Session

#: Lines shown of a program's last output: enough for the end of a traceback.
SHOWN_LINES = 10
UNIX = "unix://"


def show(session: Session) -> None:
    """Write the explanations of the session's failures, each line once."""
    hints = Hints(session)
    lines: list[str] = []
    for hint in session.hints:
        lines += [line for line in hint(hints) if line not in lines]
    for line in lines:
        complain(f"  {line}\n")


class Hints:
    """Finds explanations for one session: each method returns lines, none if it knows nothing."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def of_failure(self, error: Exception) -> list[str]:
        """Explain why a call failed, as far as the client can find out."""
        options = self._session.options
        url = options.serverurl
        daemon = DaemonFile(options.configuration)
        if isinstance(error, HttpError):
            if error.status != UNAUTHORIZED:
                return []
            return [self._source(), "give -u NAME and -p TEXT, or username= and password= there"]
        if not isinstance(error, OSError):
            return []
        lines = [self._source()]
        if url.startswith(UNIX):
            lines += _of_socket(url.removeprefix(UNIX), error)
            if daemon.socket and daemon.socket != url.removeprefix(UNIX):
                lines.append(f"the daemon of that file listens at unix://{daemon.socket}")
        elif isinstance(error, ConnectionRefusedError):
            lines.append(
                "nothing listens there; a daemon does only with a section [inet_http_server]"
            )
        if is_timeout(error):
            lines.append(
                "it takes connections but does not answer: is it stopped, does its disk hang?"
            )
        return lines + daemon.about_pid()

    def of_start(self, name: str) -> list[str]:
        """Explain why a process did not start, and show its last output."""
        with suppress(Exception):  # Supervisor's daemon, or no daemon any more
            details = self._session.own_call("getProcessDetails", name)
            if not details["reason"]:
                return [f"{name}: is {details['statename']} now"]
            output = [plain(line) for line in details["last_output"].splitlines()[-SHOWN_LINES:]]
            lines = [f"{name}: {plain(details['reason'])}"]
            return (
                [*lines, "its last output:", *(f"  {line}" for line in output)] if output else lines
            )
        return []

    def of_command(self, name: str) -> list[str]:
        """Show the command that cannot be run; nothing else is known without an attempt."""
        with suppress(Exception):  # as above
            for row in self._session.call("getAllConfigInfo"):
                if short_name(row) == name:
                    return [f"{name}: its command is {plain(row['command'])}"]
        return []

    def of_name(self, written: str) -> list[str]:
        """Suggest similar names for an unknown one."""
        with suppress(Exception):
            rows = self._session.call("getAllProcessInfo")
            group, process = split_name(written)
            groups = {row["group"] for row in rows}
            if group in groups and ":" not in written:
                return [f"{group} is a group of several: write {group}:* for all of them"]
            if process is None:
                return _similar(group, groups, "{}:*")
            return _similar(written, {short_name(row) for row in rows}, "{}")
        return []

    def of_line(self, line: str) -> list[str]:
        """Suggest similar commands for an unknown one."""
        return _similar(line.split()[0], {*COMMANDS, "help"}, "{}") or ["help lists the actions"]

    def _source(self) -> str:
        """Describe where the URL comes from."""
        options = self._session.options
        if options.url_given:
            return f"{options.serverurl} was given on the command line"
        if options.configuration is None:
            return (
                f"no configuration file was found, so {options.serverurl} was tried; give -c FILE"
            )
        return f"{options.serverurl} comes from {os.path.abspath(options.configuration)}"


def _of_socket(path: str, error: OSError) -> list[str]:
    if isinstance(error, FileNotFoundError):
        directory = os.path.dirname(path) or "."
        if not os.path.isdir(directory):
            return [f"the directory {directory} does not exist"]
        return ["there is no such socket: is tsupervisord running?"]
    if isinstance(error, ConnectionRefusedError):
        with suppress(OSError):
            if not stat.S_ISSOCK(os.stat(path).st_mode):
                return [f"{path} is no socket"]
        return ["the socket is stale: its daemon has gone; a new one replaces it"]
    if isinstance(error, PermissionError):
        return _of_permission(path)
    return []


def _of_permission(path: str) -> list[str]:
    """Show the owner and mode that deny access, and the identity of the user."""
    place = path
    parents = [path]
    while (parent := os.path.dirname(place)) not in (place, ""):
        place = parent
        parents.insert(0, place)
    closed = next((p for p in parents[:-1] if not os.access(p, os.X_OK)), path)
    mine = ", ".join(_group(gid) for gid in sorted({os.getegid(), *os.getgroups()}))
    lines = [f"you are {_user(os.geteuid())} of the groups {mine}"]
    with suppress(OSError):
        status = os.stat(closed)
        lines.insert(
            0,
            f"{closed} belongs to {_user(status.st_uid)}:{_group(status.st_gid)} "
            f"with mode {stat.S_IMODE(status.st_mode):04o}",
        )
    if closed == path:
        lines.append("[unix_http_server] with chmod=0770 and chown=USER:GROUP lets a group in")
    return lines


def _user(uid: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def _group(gid: int) -> str:
    with suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return str(gid)


def _similar(written: str, known: set[str], form: str) -> list[str]:
    found = difflib.get_close_matches(written, sorted(known), n=3)
    return [f"did you mean {' or '.join(form.format(name) for name in found)}?"] if found else []
