"""The unit file of the daemon for systemd."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Survive, UnixServer
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.export.systemd_syntax import plain, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_supervisor.core.config.model import Config

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


#: Whom systemd signals, by whether the programs are to survive the daemon.
_KILLING = {
    False: (
        "# Only the daemon gets SIGTERM. It stops the programs in order and extends the timeout.",
        "KillMode=mixed",
    ),
    True: (
        "# Only the daemon gets signals. It stops the programs in order and extends the timeout;",
        "# if it is killed, the programs go on, and the next one adopts them.",
        "KillMode=process",
    ),
}


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
        f"Description=trio-supervisor ({plain(daemon.identifier)})",
        "Documentation=man:tsupervisord(8) man:tsupervisord.conf(5)",
    ]
    if not installation.per_user:
        lines += ["Wants=network-online.target", "After=network-online.target"]
    lines += [
        "",
        "[Service]",
        "# READY=1 is sent when the sockets are bound; the state of the programs is the status.",
        "Type=notify",
        f"ExecStart={words(command)}",
        "# Restarts every program. To restart changed programs only: tsupervisorctl update",
        "ExecReload=/bin/sh -c 'kill -HUP $MAINPID'",
        *_KILLING[daemon.survive is Survive.ADOPT],
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
    lines = [f"{option}={words(names)}" for option, names in found.items() if names]
    if daemon.survive is Survive.ADOPT and found.get("RuntimeDirectory"):
        lines.append("RuntimeDirectoryPreserve=restart")
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
