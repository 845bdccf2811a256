"""Unit files for systemd: that of the daemon, and those of programs that leave it. Pure."""

from __future__ import annotations

import posixpath
import re
import shlex
from typing import TYPE_CHECKING

from trio_supervisor.core.config.limits import RLIMITS, UNLIMITED_NAME
from trio_supervisor.core.config.model import AUTO, Autorestart, GroupKind, UnixServer
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.process.signals import signal_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trio_supervisor.core.config.model import (
        ChannelConfig,
        Config,
        GroupConfig,
        ProcessConfig,
    )

#: A unit file: its name and its text.
Unit = tuple[str, str]

#: Hard limit of open files that systemd itself gives to a service.
DEFAULT_HARD_LIMIT = 524288
#: Exit code of the daemon for errors at start, which another start would only repeat.
EXIT_ERROR = 2
#: Seconds after which systemd kills a daemon whose event loop hangs.
WATCHDOG_SECONDS = 120
#: Base directories that systemd creates subdirectories of, and the option that names these.
MANAGED = (
    ("/run/", "RuntimeDirectory"),
    ("/var/run/", "RuntimeDirectory"),
    ("/var/log/", "LogsDirectory"),
    ("/var/lib/", "StateDirectory"),
)
#: Options of programs that are exported, or mean nothing in a unit.
EXPORTED_OPTIONS = frozenset(
    {
        *("command", "process_name", "numprocs", "numprocs_start", "directory", "user", "umask"),
        *("environment", "autostart", "autorestart", "exitcodes", "stopsignal", "stopwaitsecs"),
        *("stopasgroup", "killasgroup", "ignore_sigpipe", "redirect_stderr", "serverurl"),
        *("stdout_logfile", "stderr_logfile", "stdout_syslog", "stderr_syslog"),
        *("socket", "socket_mode", "socket_backlog", "kill_mode"),
        *("nice", "oom_score_adj", "no_new_privs", "environment_file"),
        *("memory_max", "memory_high", "cpu_max", "pids_max"),
        *(f"rlimit_{name}" for name in RLIMITS),
    }
)
#: Signals that systemd takes for a clean exit, unlike Supervisor.
CLEAN_SIGNALS = "SIGHUP SIGINT SIGTERM SIGPIPE"
SUCCESS = 0
#: Characters that systemd accepts in the name of a unit without an escape.
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9:_.-]")
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_@+=:,./-]+")


@dataclass(frozen=True, slots=True)
class Installation:
    """The daemon as it is installed on this machine."""

    command: Sequence[str]
    """Absolute path of ``tsupervisord``, or of an interpreter with its arguments."""
    configuration: str
    """Absolute path."""
    version: str
    user: str | None
    """Name of the user of ``[supervisord] user=``; None means that the daemon stays root."""
    per_user: bool = False
    """Whether the unit is for the service manager of an ordinary user."""


def daemon_unit(config: Config, installation: Installation) -> str:
    """The unit of the daemon, with comments that say where to put it and what to decide."""
    daemon = config.daemon
    place = (
        "~/.config/systemd/user/tsupervisord.service, then: systemctl --user daemon-reload"
        if installation.per_user
        else "/etc/systemd/system/tsupervisord.service, then: systemctl daemon-reload"
    )
    command = [*installation.command, "-n", "-c", installation.configuration]
    lines = [
        f"# Printed by tsupervisord {installation.version} --print-unit.",
        f"# Write it to {place}",
        "",
        "[Unit]",
        f"Description=trio-supervisor ({_plain(daemon.identifier)})",
        "Documentation=man:tsupervisord(8) man:tsupervisord.conf(5)",
    ]
    if not installation.per_user:
        lines += ["Wants=network-online.target", "After=network-online.target"]
    lines += [
        "",
        "[Service]",
        "# READY=1 is sent when the sockets are bound; the state of the programs is the status.",
        "Type=notify",
        f"ExecStart={_words(command)}",
        "# Restarts every program. To restart changed programs only: tsupervisorctl update",
        "ExecReload=/bin/sh -c 'kill -HUP $MAINPID'",
        "# Only the daemon gets SIGTERM. It stops the programs in order and extends the timeout.",
        "KillMode=mixed",
        "TimeoutStopSec=30",
        "Restart=on-failure",
        "RestartSec=5",
        "# A configuration error, which a restart would not fix.",
        f"RestartPreventExitStatus={EXIT_ERROR}",
        "# The event loop reports to systemd twice in this time; a daemon that hangs is restarted.",
        f"WatchdogSec={WATCHDOG_SECONDS}",
        "# Programs may have control groups of their own, and the kernel kills only the program",
        "# that runs out of memory.",
        "Delegate=yes",
        "OOMPolicy=continue",
        "TasksMax=infinity",
        f"LimitNOFILE={daemon.minfds}:{max(daemon.minfds, DEFAULT_HARD_LIMIT)}",
    ]
    if not installation.per_user:
        lines += _directories(config)
        lines += _hardening(installation.user)
    lines += [
        "",
        "[Install]",
        f"WantedBy={'default' if installation.per_user else 'multi-user'}.target",
    ]
    return "\n".join(lines) + "\n"


def _directories(config: Config) -> list[str]:
    """Directories that systemd creates, and gives to the user of the unit."""
    daemon = config.daemon
    files = [daemon.logfile, daemon.pidfile, posixpath.join(daemon.childlogdir, "log")]
    files += [server.file for server in config.servers if isinstance(server, UnixServer)]
    found: dict[str, list[str]] = {}
    for file in files:
        for base, option in MANAGED:
            name = posixpath.dirname(file).removeprefix(base)
            names = found.setdefault(option, [])
            if file.startswith(base) and name not in (*names, base.rstrip("/"), ""):
                names.append(name)
    lines = [f"{option}={_words(names)}" for option, names in found.items() if names]
    return ["# Directories of the configuration.", *lines] if lines else []


def _hardening(user: str | None) -> list[str]:
    """Restrictions that ordinary programs do not notice, and others to choose from."""
    lines = ["# The programs live under these restrictions too."]
    if user is None:
        lines += [
            "# The daemon runs as root, so that programs can have users of their own.",
        ]
    else:
        lines += [
            f"User={user}",
            "# No program can become another user: remove this line if one needs sudo.",
            "NoNewPrivileges=yes",
        ]
    return [
        *lines,
        "ProtectKernelModules=yes",
        "ProtectKernelLogs=yes",
        "ProtectKernelTunables=yes",
        "# Stricter restrictions, for programs that do not need these rights:",
        "#ProtectSystem=full",
        "#ProtectHome=yes",
        "#PrivateTmp=yes",
        "#PrivateDevices=yes",
        "#RestrictSUIDSGID=yes",
    ]


def program_units(
    group: GroupConfig, user_name: dict[int, str], unmapped: dict[str, tuple[str, ...]]
) -> list[Unit]:
    """Return the units of a group of programs.

    ``user_name`` has the names of users by uid. ``unmapped`` has, for each section, the options
    that are set and not exported; they are named in a comment. A listener pool has no
    counterpart, so there are no units for it.
    """
    if group.kind is GroupKind.POOL:
        return []
    units: list[Unit] = []
    several = len(group.processes) > 1
    target = f"{unit_name(group.name)}.target"
    for process in group.processes:
        name = unit_name(
            process.name if process.name == group.name else f"{group.name}-{process.name}"
        )
        service = _service(process, user_name, unmapped.get(process.section or "", ()))
        unit = [f"Description={_plain(group.name)}: {_plain(process.name)}"]
        if several:
            unit.append(f"PartOf={target}")
        if process.autorestart is not Autorestart.NEVER:
            unit.append("StartLimitIntervalSec=0")  # like Supervisor after startsecs: for ever
        install = [f"WantedBy={target if several else 'multi-user.target'}"]
        if process.socket is not None:
            unit.append(f"Requires={name}.socket")
            units.append((f"{name}.socket", _socket(process, group.name)))
        if not process.autostart:
            install.insert(0, "# autostart=false: do not enable it, or the machine starts it.")
        text = _sections(("Unit", unit), ("Service", service), ("Install", install))
        units.append((f"{name}.service", text))
    if several:
        wants = " ".join(name for name, _ in units if name.endswith(".service"))
        text = _sections(
            ("Unit", [f"Description=all of {_plain(group.name)}", f"Wants={wants}"]),
            ("Install", ["WantedBy=multi-user.target"]),
        )
        units.append((target, text))
    return units


def unit_name(name: str) -> str:
    """A name as the name of a unit, without its suffix; other characters become ``_``."""
    return _NOT_IN_NAME.sub("_", name)


def _service(
    process: ProcessConfig, user_name: dict[int, str], unmapped: Iterable[str]
) -> list[str]:
    lines = [f"# Not exported: {', '.join(unmapped)}"] if unmapped else []
    lines += [f"ExecStart={_words(shlex.split(process.command))}"]
    if process.directory is not None:
        lines.append(f"WorkingDirectory={_specifiers(process.directory)}")
    if process.uid is not None:
        lines.append(f"User={user_name.get(process.uid, str(process.uid))}")
    if process.umask is not None:
        lines.append(f"UMask={process.umask:04o}")
    if process.identity.gid is not None:
        lines.append(f"Group={process.identity.gid}")
    lines += [
        f"EnvironmentFile={_specifiers(str(file))}" for file in process.identity.environment_files
    ]
    lines += _limits(process)
    lines += [f"Environment={_word(f'{k}={v}', '')}" for k, v in process.environment.items()]
    lines += _restart(process)
    lines += [
        f"KillSignal={signal_name(process.stopsignal)}",
        f"TimeoutStopSec={process.stopwaitsecs}",
    ]
    # Supervisor's default signals the program alone, and so does kill_mode. systemd should kill
    # what is left of it.
    lines.append(f"KillMode={'control-group' if process.stopasgroup else 'mixed'}")
    if not process.ignore_sigpipe:
        lines.append("IgnoreSIGPIPE=no")
    if process.socket is not None:
        lines.append("StandardInput=socket")
    lines.append(f"StandardOutput={_output(process.stdout)}")
    error = "inherit" if process.redirect_stderr else _output(process.stderr)
    lines.append(f"StandardError={error}")
    return lines


def _limits(process: ProcessConfig) -> list[str]:
    limits = process.limits
    lines = [
        f"Limit{name.upper()}={str(limit).replace(UNLIMITED_NAME, 'infinity')}"
        for name in RLIMITS
        if (limit := getattr(limits, f"rlimit_{name}")) is not None
    ]
    if limits.nice is not None:
        lines.append(f"Nice={limits.nice}")
    if limits.oom_score_adj is not None:
        lines.append(f"OOMScoreAdjust={limits.oom_score_adj}")
    if limits.memory_high is not None:
        lines.append(f"MemoryHigh={limits.memory_high}")
    if limits.memory_max is not None:
        lines.append(f"MemoryMax={limits.memory_max}")
    if limits.cpu_max is not None:
        lines.append(f"CPUQuota={max(1, round(limits.cpu_max * 100))}%")
    if limits.pids_max is not None:
        lines.append(f"TasksMax={limits.pids_max}")
    if limits.no_new_privs:
        lines.append("NoNewPrivileges=yes")
    return lines


def _restart(process: ProcessConfig) -> list[str]:
    if process.autorestart is Autorestart.NEVER:
        return ["Restart=no"]
    if process.autorestart is Autorestart.ALWAYS:
        return ["Restart=always", "RestartSec=1"]
    lines = ["Restart=on-failure", "RestartSec=1"]
    expected = [str(code) for code in process.exitcodes if code != SUCCESS]
    if expected:
        lines.append(f"SuccessExitStatus={' '.join(expected)}")
    unexpected = CLEAN_SIGNALS if SUCCESS in process.exitcodes else f"{SUCCESS} {CLEAN_SIGNALS}"
    return [*lines, f"RestartForceExitStatus={unexpected}"]


def _output(channel: ChannelConfig) -> str:
    if not channel.logfile:
        return "journal" if channel.syslog else "null"
    if channel.logfile == AUTO or channel.syslog:
        return "journal"
    return f"append:{_specifiers(str(channel.logfile))}"


def _socket(process: ProcessConfig, group: str) -> str:
    assert process.socket is not None
    socket = process.socket
    address = socket.url.removeprefix("unix://").removeprefix("tcp://")
    lines = [f"ListenStream={_specifiers(address)}", f"SocketMode={socket.mode:04o}"]
    if socket.backlog is not None:
        lines.append(f"Backlog={socket.backlog}")
    return _sections(
        ("Unit", [f"Description=FastCGI socket of {_plain(group)}"]),
        ("Socket", lines),
        ("Install", ["WantedBy=sockets.target"]),
    )


def _sections(*sections: tuple[str, list[str]]) -> str:
    return "\n".join(
        f"[{name}]\n" + "".join(f"{line}\n" for line in lines) for name, lines in sections
    )


def _words(words: Iterable[str]) -> str:
    return " ".join(_word(word, "$") for word in words)


def _word(word: str, doubled: str) -> str:
    """Quote a word for systemd; ``doubled`` are characters that are written twice."""
    text = _specifiers(word)
    for character in doubled:
        text = text.replace(character, character * 2)
    if _PLAIN_WORD.fullmatch(text.replace("%", "").replace("$", "") or " "):
        return text
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    text = text.replace("\n", "\\n").replace("\t", "\\t")
    return f'"{text}"'


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


def _plain(text: str) -> str:
    """Text for a description: one line, without specifiers."""
    return _specifiers(" ".join(text.split()))
