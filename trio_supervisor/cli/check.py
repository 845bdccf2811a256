"""``tsupervisord --check``: everything that is wrong or odd with a configuration, at once.

Starts, binds and creates nothing; it only looks.
"""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from trio_supervisor.core.config import Config, InetServer, ProcessConfig, UnixServer
from trio_supervisor.core.errors import ConfigError, RequestError
from trio_supervisor.core.options import SECRETS
from trio_supervisor.runtime.command import find_command
from trio_supervisor.runtime.load import examine_config, find_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_supervisor.core.remark import Remark

EXIT_FOUND = 2
#: Seconds a program that may hold a socket has to take a connection.
PROBE_TIME = 1.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to tell; ``line`` is 0 where none is known."""

    severity: str
    """``error`` or ``warning``."""
    text: str
    file: str | None = None
    line: int = 0
    section: str | None = None
    option: str | None = None
    hint: str | None = None


def check(configuration: str | None, overrides: Mapping[str, str], form: str, program: str) -> int:
    """Print the findings in ``form`` (text or json); returns the exit code."""
    path = configuration
    try:
        path = find_config(program, os.getcwd()) if path is None else path
        findings = list(findings_of(path, overrides))
    except ConfigError as error:  # there is no file to check
        findings = [_of_error(error)]
    errors = sum(finding.severity == "error" for finding in findings)
    if form == "json":
        report = {"file": path, "errors": errors, "findings": [asdict(f) for f in findings]}
        print(json.dumps(report, indent=2))
    else:
        for finding in findings:
            print("\n".join(_shown(finding)))
        warnings = len(findings) - errors
        print(f"{path or 'no file'}: {_count(errors, 'error')}, {_count(warnings, 'warning')}")
    return EXIT_FOUND if errors else 0


def findings_of(path: str, overrides: Mapping[str, str]) -> Iterator[Finding]:
    """Errors, remarks, and what a look at this machine shows."""
    examined = examine_config(path, overrides=overrides)
    yield from map(_of_error, examined.errors)
    yield from map(_of_remark, examined.remarks)
    if examined.config is not None:
        yield from _probes(examined.config)


def _of_error(error: ConfigError) -> Finding:
    return Finding(
        "error",
        error.message,
        error.file,
        error.line or 0,
        error.section,
        error.option,
        error.hint,
    )


def _of_remark(remark: Remark) -> Finding:
    return Finding(
        "warning",
        remark.text,
        remark.file,
        remark.line,
        remark.section,
        remark.option,
        remark.hint,
    )


def _probes(config: Config) -> Iterator[Finding]:
    for server in config.servers:
        yield from _probe_server(server)
    for path in (config.daemon.logfile, config.daemon.pidfile):
        yield from _probe_writable(path, "supervisord")
    if not os.access(config.daemon.childlogdir, os.W_OK):
        text = f"no permission to write in childlogdir {config.daemon.childlogdir}"
        yield Finding("warning", text, section="supervisord", option="childlogdir")
    for group in config.groups:
        for process in group.processes:
            yield from _probe_process(f"{group.name}:{process.name}", process)


def _probe_process(name: str, process: ProcessConfig) -> Iterator[Finding]:
    if process.directory is not None and not os.path.isdir(process.directory):
        text = f"{name} will fail: there is no directory {process.directory}"
        yield Finding("warning", text, option="directory")
    try:
        find_command(
            process.command,
            directory=process.directory,
            environment=process.environment,
            inherited=os.environ,
        )
    except RequestError as error:
        yield Finding("warning", f"{name} will fail: {error.detail}", option="command")
    for channel in (process.stdout, process.stderr):
        if isinstance(channel.logfile, str):
            yield from _probe_writable(channel.logfile, name)


def _probe_writable(path: str, whose: str) -> Iterator[Finding]:
    target = path if os.path.exists(path) else os.path.dirname(path) or "."
    if os.path.isdir(path):
        yield Finding("warning", f"the log or pidfile {path} of {whose} is a directory")
    elif not os.access(target, os.W_OK):
        yield Finding("warning", f"no permission to write {path} of {whose}")


def _probe_server(server: UnixServer | InetServer) -> Iterator[Finding]:
    where = server.file if isinstance(server, UnixServer) else server.url
    if _is_held(server):
        text = f"something listens on {where} already"
        yield Finding("warning", text, section=server.section, hint="is this daemon running?")
    if not isinstance(server, UnixServer):
        return
    directory = os.path.dirname(server.file)
    if not os.access(directory, os.W_OK):
        text = f"the directory {directory} of the socket is missing or not writable"
        yield Finding("error", text, section=server.section, option="file")
    elif os.path.lexists(server.file) and not stat.S_ISSOCK(os.lstat(server.file).st_mode):
        text = f"{server.file} exists and is not a socket"
        yield Finding("error", text, section=server.section, option="file")


def _is_held(server: UnixServer | InetServer) -> bool:
    try:
        if isinstance(server, UnixServer):
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(PROBE_TIME)
                probe.connect(server.file)
        else:
            address = (server.host or "localhost", server.port)
            socket.create_connection(address, PROBE_TIME).close()
    except OSError:
        return False
    return True


def _shown(finding: Finding) -> list[str]:
    """Severity, place and text; the line of the file with the value marked; the way out."""
    place = "" if finding.file is None else f"{finding.file}:{finding.line or ''}".rstrip(":")
    section = "" if finding.section is None else f" [{finding.section}]"
    head = f"{place}{section}".strip()
    lines = [f"{finding.severity}: {head + ': ' if head else ''}{finding.text}"]
    source = _source_line(finding)
    if source is not None and finding.option not in SECRETS:
        start = len(source) - len(source.split("=", 1)[-1].split(":", 1)[-1].lstrip())
        lines += [f"    {source}", f"    {' ' * start}{'^' * max(1, len(source) - start)}"]
    if finding.hint is not None:
        lines.append(f"    fix: {finding.hint}")
    return lines


def _source_line(finding: Finding) -> str | None:
    if finding.file is None or not finding.line or finding.option is None:
        return None
    try:
        with open(finding.file, encoding="utf-8") as file:
            return file.read().splitlines()[finding.line - 1].rstrip()
    except (OSError, IndexError, UnicodeDecodeError):
        return None


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
