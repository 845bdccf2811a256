"""Checks of a configuration against this machine, for ``--check``.

Nothing is started, bound or created.
"""

from __future__ import annotations

import grp
import os
import pwd
import resource
import shlex
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from trio_supervisor.cli.recorded_pid import recorded_pid
from trio_supervisor.core.cgroups import LIMITS, no_controller, shortcomings
from trio_supervisor.core.config.converters import SYSLOG
from trio_supervisor.core.config.model import AUTO, InetServer, Survive, UnixServer
from trio_supervisor.core.config.secrets import as_written
from trio_supervisor.core.config.shell_syntax import no_program, open_quote
from trio_supervisor.core.diagnostics import Diagnostic, Place, Severity
from trio_supervisor.core.errors import RequestError, ServerError
from trio_supervisor.runtime.cgroups import subtree
from trio_supervisor.runtime.inspect.port_owners import (
    KEEPER_SUFFIX,
    command_of,
    holder_of_port,
    holder_of_socket,
    is_gone,
    keeper_after,
    keeper_of,
    listener_of_socket,
    words_of,
)
from trio_supervisor.runtime.spawn.command import find_command
from trio_supervisor.runtime.spawn.leftovers import find_leftovers
from trio_supervisor.runtime.system.unix_socket import MAX_PATH
from trio_supervisor.web.tls import Certificate

if TYPE_CHECKING:
    from trio_supervisor.core.config.ini import Document
    from trio_supervisor.core.config.model import Config, FastCgiSocket, ProcessConfig

    Findings = Iterator[Diagnostic]

DAEMON = "supervisord"
NO_PERMISSION = "give the user the permission, or name another place"
TAKEN = "stop that one first, or choose another"
CLOSE_QUOTE = "close the quote, or write \\' for a quote that is meant as it is"
#: What to do about a process of an earlier daemon.
_LEFT = {
    Survive.NONE: "end it, if the daemon is not to run the program twice: kill {}",
    Survive.KILL: "the next daemon ends it, if survive was set when it was started",
    Survive.ADOPT: "the next daemon goes on with it, if survive was set when it was started",
}
#: Placeholder for a process name, so that processes with the same finding can share it.
WHO = "\0"


def probe(document: Document, config: Config) -> list[Diagnostic]:
    """All findings; one for all processes that share it."""
    prober = _Prober(document, config)
    found = [*prober.daemon()]
    for server in config.servers:
        found += prober.server(server)
    shared: dict[Diagnostic, list[str]] = {}
    for group in config.groups:
        for process in group.processes:
            for finding in prober.process(process):
                shared.setdefault(finding, []).append(f"{group.name}:{process.name}")
    for finding, names in shared.items():
        who = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        found.append(replace(finding, text=finding.text.replace(WHO, who)))
    return found


class _Prober:
    def __init__(self, document: Document, config: Config) -> None:
        self._document = document
        self._config = config
        uid = config.daemon.uid
        self._uid = os.geteuid() if uid is None else uid
        self._itself = {keeper_of(config.daemon.pidfile)}
        """The daemon that already runs with this configuration, if any, and its keeper: sockets and
        ports that they hold are not reported as taken."""
        self._cgroup, self._no_cgroup = _cgroup(config.daemon.cgroup)

    def daemon(self) -> Findings:
        daemon = self._config.daemon
        if daemon.uid is None and os.geteuid() == 0 and DAEMON in self._document.sections:
            text = "the daemon would run as root, and so would every program without user="
            hint = "set user=, or user=root to confirm that this is intended"
            yield _warning(text, DAEMON, "user", hint)
        yield from self._identity(daemon.uid, DAEMON, "the daemon")
        if daemon.logfile != SYSLOG:
            yield from self._writable(daemon.logfile, DAEMON, "logfile", "the log of the daemon")
        yield from self._writable(daemon.pidfile, DAEMON, "pidfile", "the pidfile")
        yield from self._running(daemon.pidfile)
        if self._no_cgroup:
            text = f"started from here, the daemon has no cgroups for programs: {self._no_cgroup}"
            yield _warning(text, DAEMON, "cgroup", subtree.HINT)
        directory = daemon.childlogdir
        if self._has_auto_logs and not self._may(directory, os.W_OK | os.X_OK):
            text = f"automatic child logs: no permission for {self._user} to write in {directory}"
            yield _warning(text, DAEMON, "childlogdir", NO_PERMISSION)
        for option, kind in (
            ("minfds", resource.RLIMIT_NOFILE),
            ("minprocs", resource.RLIMIT_NPROC),
        ):
            wanted = getattr(daemon, option)
            try:
                _, hard = resource.getrlimit(kind)
            except OSError:  # a sandbox refuses it, so it will at the start
                continue
            if os.geteuid() != 0 and hard != resource.RLIM_INFINITY and hard < wanted:
                text = f"{option}={wanted} is more than the hard limit here, {hard}"
                hint = "raise the hard limit where the daemon is started, or lower the option"
                yield _warning(text, DAEMON, option, hint)

    @property
    def _lacking(self) -> dict[str, str] | None:
        """The controllers that are missing, with the reason; None: there is no cgroup."""
        if (base := self._cgroup) is None:
            return None
        missing = {limit.controller for limit in LIMITS} - subtree.available_controllers(base)
        return {name: no_controller(base, name) for name in missing}

    @property
    def _has_auto_logs(self) -> bool:
        return any(
            process.stdout.logfile is AUTO
            or (process.stderr.logfile is AUTO and not process.redirect_stderr)
            for group in self._config.groups
            for process in group.processes
        )

    def _running(self, pidfile: str) -> Findings:
        pid = living = None
        with suppress(OSError, ValueError):
            pid = recorded_pid(pidfile)
            if is_gone(pid):
                self._itself.add(keeper_after(pid))
            if any("supervisor" in word for word in words_of(pid)):
                living = pid
                self._itself.add(itself := f"process {pid} ({command_of(pid)})")
                text = f"the daemon runs already: {itself}"
                hint = "tsupervisorctl update, or reload, applies a new configuration"
                yield _warning(text, DAEMON, "pidfile", hint)
        if living is None or not os.path.exists(pidfile + KEEPER_SUFFIX):  # else they are adopted
            yield from self._leftovers(living, pid)

    def _leftovers(self, living: int | None, earlier: int | None) -> Findings:
        """``living`` is the running daemon if it is known, ``earlier`` the pid in the pidfile."""
        for server in self._config.servers:
            if living is None and isinstance(server, UnixServer):
                found = listener_of_socket(server.file)
                living = None if found and is_gone(found) else found
        daemon = os.getpid() if living is None else living
        with suppress(OSError):  # there is no /proc
            for leftover in find_leftovers(self._config, daemon=daemon, earlier=earlier):
                hint = _LEFT[self._config.daemon.survive].format(leftover.pid)
                yield _warning(str(leftover), DAEMON, None, hint)

    def server(self, server: UnixServer | InetServer) -> Findings:
        section = server.section
        if isinstance(server, UnixServer):
            yield from self._socket(server.file, section, "file", "the control socket")
            return
        yield from self._port(server.host, server.port, section, "port", "the server")
        if server.tls is not None:
            try:
                Certificate(server.tls)
            except ServerError as error:
                yield _error(str(error), section, "ssl_certificate")
        if server.credentials is None:
            text = "no password is set: any client that can reach this port controls every program"
            hint = "set username= and password="
            yield _warning(text, section, "password", hint)

    def process(self, process: ProcessConfig) -> Findings:
        """Findings about one process, with WHO in place of its name."""
        section = process.section or ""
        # A first word that only a shell can run has been remarked already.
        if (why := _missing(process, process.command)) and no_program(process.command) is None:
            yield self._failing(process, why)
        for option, line in _side_commands(process):
            if why := _missing(process, line):
                text = f"{option} of {WHO} will fail: {self._as_written(process, option, why)}"
                yield _warning(text, section, option, _advice_beside(line))
        if process.wants_cgroup:
            for found in shortcomings(process, self._lacking):
                yield _warning(f"{WHO}: {found.text}", section, found.option, found.hint)
        yield from self._identity(process.uid, section, WHO)
        for channel in ("stdout", "stderr"):
            path = getattr(process, channel).logfile
            if isinstance(path, str) and path:
                if process.create_log_dirs and not os.path.isdir(os.path.dirname(path) or "."):
                    continue
                option = f"{channel}_logfile"
                yield from self._writable(path, section, option, f"the log of {WHO}")
        if process.socket is not None:
            yield from self._fastcgi(process.socket, section)

    def _failing(self, process: ProcessConfig, why: str) -> Diagnostic:
        """The finding that a process cannot start."""
        text = f"{WHO} will fail to start: {self._as_written(process, 'command', why)}"
        return _warning(text, process.section, "command", _advice(process))

    def _as_written(self, process: ProcessConfig, option: str, text: str) -> str:
        """A text with a part of the value of an option, without the values of its variables."""
        section = self._document.sections.get(process.section or "")
        entry = None if section is None else self._document.entry(section, option)
        if entry is None:
            return text
        written = entry.value if entry.words is None else " ".join(entry.words)
        known = {**os.environ, **process.environment}
        return as_written(text, written, lambda variable: known.get(variable, ""))

    def _fastcgi(self, socket: FastCgiSocket, section: str) -> Findings:
        scheme, _, rest = socket.url.partition("://")
        if scheme == "unix":
            yield from self._socket(rest, section, "socket", "the FastCGI socket")
        else:
            host, _, port = rest.rpartition(":")
            yield from self._port(host.strip("[]"), int(port), section, "socket", "FastCGI")

    def _socket(self, path: str, section: str, option: str, whose: str) -> Findings:
        directory = os.path.dirname(path)
        if (length := len(os.fsencode(path))) > MAX_PATH:
            its = f"its path is {length} bytes long, the limit is {MAX_PATH}"
            text = f"{whose} cannot be created: {its}"
            hint = "choose a shorter path"
            yield _error(text, section, option, hint)
        elif not os.path.isdir(directory):
            text = f"{whose} cannot be created: there is no directory {directory}"
            hint = f"create it: mkdir -p {directory}"
            yield _error(text, section, option, hint)
        elif not self._may(directory, os.W_OK | os.X_OK):
            text = (
                f"{whose} cannot be created: no permission for {self._user} to write in {directory}"
            )
            yield _warning(text, section, option, NO_PERMISSION)
        elif os.path.lexists(path) and not stat.S_ISSOCK(os.lstat(path).st_mode):
            text = f"{whose} cannot be created: {path} exists and is not a socket"
            hint = "remove it, or choose another path"
            yield _error(text, section, option, hint)
        elif (holder := holder_of_socket(path)) not in (None, *self._itself):
            text = f"{whose} is taken: {path} is held by {holder}"
            yield _warning(text, section, option, TAKEN)

    def _port(self, host: str, port: int, section: str, option: str, whose: str) -> Findings:
        try:
            holder = holder_of_port(host, port)
        except OSError:
            text = f"{whose} cannot listen: the host {host} has no address here"
            hint = "write an address, like 127.0.0.1, or * for all"
            yield _error(text, section, option, hint)
            return
        if holder not in (None, *self._itself):
            text = f"{whose} cannot listen: port {port} is held by {holder}"
            yield _warning(text, section, option, TAKEN)

    def _identity(self, uid: int | None, section: str, who: str) -> Findings:
        if uid not in (None, os.geteuid()) and os.geteuid() != 0:
            text = f"{who} cannot become another user: this is not root"
            hint = "start the daemon as root, or leave user= out"
            yield _warning(text, section, "user", hint)

    def _writable(self, path: str, section: str, option: str, whose: str) -> Findings:
        why = None
        directory = os.path.dirname(path) or "."
        if os.path.isdir(path):
            why = f"{path} is a directory"
        elif os.path.exists(path):
            if not self._may(path, os.W_OK):
                why = f"no permission for {self._user} to write to it"
        elif not self._may(directory, os.W_OK | os.X_OK):
            why = f"no permission for {self._user} to write in {directory}"
        if why is not None:
            text = f"{whose} cannot be written: {why}"
            hint = "name a file" if os.path.isdir(path) else NO_PERMISSION
            yield _warning(text, section, option, hint)

    @property
    def _user(self) -> str:
        """Name of the user that the daemon will run as."""
        try:
            return pwd.getpwuid(self._uid).pw_name
        except KeyError:
            return f"uid {self._uid}"

    def _may(self, path: str, mode: int) -> bool:
        """Whether the user that the daemon will run as has access ``mode`` to a path."""
        if self._uid == os.geteuid():
            return os.access(path, mode)
        if self._uid == 0:
            return True
        try:
            status, user = os.stat(path), pwd.getpwuid(self._uid)
        except (OSError, KeyError):
            return False
        groups = {user.pw_gid, *(g.gr_gid for g in grp.getgrall() if user.pw_name in g.gr_mem)}
        shift = 6 if status.st_uid == self._uid else 3 if status.st_gid in groups else 0
        return (status.st_mode >> shift) & mode == mode


def _warning(
    text: str, section: str | None, option: str | None, hint: str | None = None
) -> Diagnostic:
    return Diagnostic(Severity.WARN, text, Place(section=section, option=option), hint)


def _error(
    text: str, section: str | None, option: str | None, hint: str | None = None
) -> Diagnostic:
    return Diagnostic(Severity.ERROR, text, Place(section=section, option=option), hint)


def _cgroup(setting: str) -> tuple[str | None, str]:
    """Return the cgroup that the daemon would divide, or why there is none."""
    if setting == "off":
        return None, ""
    try:
        return subtree.find_base(setting, create=False), ""
    except subtree.NoCgroup as error:
        return None, str(error)


def _side_commands(process: ProcessConfig) -> Iterator[tuple[str, str]]:
    """Yield the option and the line of each command that is run beside the program."""
    stopping = process.stopping
    probes = (("ready", process.readiness.condition), ("health", process.health.check))
    lines = (
        *((option, None if probe is None else probe.command) for option, probe in probes),
        ("pre_start", stopping.pre_start),
        ("stop_command", stopping.command),
        ("post_stop", stopping.post_stop),
        ("refresh_command", stopping.refresh_command),
    )
    return ((option, line) for option, line in lines if line)


def _missing(process: ProcessConfig, line: str) -> str:
    """Say why a command line of a process cannot be run; empty if its program is there."""
    try:
        find_command(
            line,
            directory=process.directory,
            environment=process.environment,
            inherited=os.environ,
        )
    except RequestError as error:
        return error.detail
    return ""


def _advice_beside(line: str) -> str:
    """Return how to fix a command beside that of the program."""
    return CLOSE_QUOTE if open_quote(line) else "name an existing command, or leave it out"


def _advice(process: ProcessConfig) -> str:
    """Return how to fix a command that cannot be executed."""
    if open_quote(process.command):
        return CLOSE_QUOTE
    words = shlex.split(process.command)
    if len(words) == 1 and " " in words[0]:
        return "leave out the quotes around the whole command"
    if words and "/" in words[0] and not words[0].startswith("/") and process.directory is not None:
        return "a relative command is looked up in directory=: write the whole path"
    return "give the full path of an existing program"
