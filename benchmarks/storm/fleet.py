"""The configuration of a storm: its programs, with every policy in use, and its listeners."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

_HERE = Path(__file__).parent

#: Backups are never deleted in a storm, because every line is looked for at its end.
_KEPT_BACKUPS = 100_000
#: User and group of the programs that run without rights, if root runs the storm.
POOR_USER = 54321

_DAEMON = """\
[supervisord]
extended = true
logfile = {directory}/daemon.log
logfile_maxbytes = 0
loglevel = info
pidfile = {directory}/daemon.pid
childlogdir = {directory}/auto
journal = {directory}/journal
journal_maxbytes = 4GB
minfds = {descriptors}
environment = LD_PRELOAD=""

[unix_http_server]
file = {directory}/daemon.sock

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl = unix://{directory}/daemon.sock

[eventlistener:recorder]
command = {python} -I -S {here}/recorder.py {directory}/events
events = PROCESS_STATE,PROCESS_GROUP
buffer_size = 1000000
startsecs = 0
priority = -2

[eventlistener:troublemaker]
command = {python} -I -S {here}/troublemaker.py
events = PROCESS_STATE,TICK
numprocs = 3
process_name = %(program_name)s_%(process_num)d
buffer_size = 20
startsecs = 0
autorestart = true
startretries = 1000000
priority = -1
stderr_logfile = NONE
stdout_logfile = NONE

[include]
files = {directory}/conf.d/*.conf
"""

#: Descriptors that the daemon may open when nobody takes them away.
DESCRIPTORS = 4096


@dataclass(frozen=True)
class Kind:
    """One kind of program, of which the storm has several."""

    name: str
    options: str
    """Lines of its section, after ``command`` and the logs; ``{...}`` as in ``Fleet.fields``."""
    arguments: str = ""
    log: str = "{directory}/logs/{name}.log"
    rotation: str = "64KB"
    exact: bool = True
    """Every line must be in the log; otherwise some may be missing, but none is there twice."""
    needs: Callable[[Fleet], bool] = lambda fleet: True


def _as_root(fleet: Fleet) -> bool:
    return fleet.root


def _with_disk(fleet: Fleet) -> bool:
    return fleet.disk


KINDS = (
    Kind("plain", ""),
    Kind("prefix", "log_format = prefix\n"),
    Kind("json", "log_format = json\nstdout_logfile_compress = gz\n"),
    Kind("gz", "stdout_logfile_compress = gz\n", rotation="16KB"),
    Kind(
        "shared",
        "log_format = prefix\n",
        log="{directory}/logs/shared.log",
        rotation="0",
    ),
    Kind("log", "ready = log:ready now\nready_timeout = 20s\n", "--announce log"),
    Kind("fd", "ready = fd:3\nready_timeout = 20s\n", "--announce fd"),
    Kind(
        "notify",
        "ready = notify\nhealth = notify\nhealth_interval = 4s\ndump_signal = CONT\n",
        "--announce notify",
    ),
    Kind(
        "unix",
        "ready = unix:{directory}/run/{name}.sock\n",
        "--announce unix:{directory}/run/{name}.sock",
    ),
    Kind(
        "health",
        "health = exec:/usr/bin/test -e {directory}/run/{name}\nhealth_interval = 1s\n"
        "health_failures = 2\n",
        "--health {directory}/run/{name}",
    ),
    Kind("db", "priority = 1\nready = log:ready now\n", "--announce log"),
    Kind("app", "depends_on = db{index}\non_dependency_stop = restart\n"),
    Kind("web", "depends_on = app{index}, db{index}:running?\n"),
    Kind("job", "oneshot = true\nstartretries = 1000\n", "--job"),
    Kind("after", "depends_on = job{index}:done\n"),
    Kind(
        "limited",
        "restart_limit = 3/10s\non_fatal = retry:3s\nrestart_delay = 200ms\n"
        "backoff = exponential\nbackoff_jitter = 0.5\nrestart_prevent = 78\n",
    ),
    Kind("tree", "kill_mode = tree\nstopwaitsecs = 2\n"),
    Kind("sequence", "stop_sequence = WINCH:100ms, TERM:1s\n"),
    Kind("deaf", "stopwaitsecs = 1\n", "--deaf"),
    Kind(
        "hooks",
        "pre_start = /bin/echo before\npost_stop = /bin/echo after\nhook_timeout = 10s\n"
        'stop_command = /bin/sh -c "kill $MAINPID"\n',
    ),
    Kind("group", "stopasgroup = true\nkillasgroup = true\nstopsignal = INT\n"),
    Kind("memory", "memory_max = 1GB\n"),
    Kind("limits", "rlimit_nofile = 64\nnice = 5\noom_score_adj = 500\nno_new_privs = true\n"),
    Kind(
        "poor",
        f"user = {POOR_USER}:{POOR_USER}\nuser_env = basic\nstartretries = 1000000\n",
        needs=_as_root,
    ),
    Kind(
        "small",
        "",
        log="{directory}/disk/{name}.log",
        rotation="1MB",
        exact=False,
        needs=_with_disk,
    ),
    Kind("stdin", "stdout_events_enabled = true\nredirect_stderr = true\n", exact=True),
)


@dataclass(frozen=True)
class Program:
    """A program of the storm."""

    kind: Kind
    name: str
    section: str
    log: Path

    @property
    def is_job(self) -> bool:
        return "oneshot" in self.section


@dataclass
class Fleet:
    """All programs, and where their files are."""

    directory: Path
    count: int
    root: bool = field(default_factory=lambda: os.getuid() == 0)
    disk: bool = False
    """Whether ``directory/disk`` is a small disk of its own."""
    programs: list[Program] = field(default_factory=list)

    def __post_init__(self) -> None:
        kinds = [kind for kind in KINDS if kind.needs(self)]
        for number in range(self.count):
            self.programs.append(self._program(kinds[number % len(kinds)], number // len(kinds)))

    def _program(self, kind: Kind, index: int) -> Program:
        name = f"{kind.name}{index}"
        fields = {"directory": self.directory, "name": name, "index": index}
        log = Path(kind.log.format(**fields))
        python = poor_python() if "user =" in kind.options else sys.executable
        section = (
            f"[program:{name}]\n"
            f"command = {python} -I -S {self.directory}/actor.py {self.directory} {name}"
            f" {kind.arguments.format(**fields)}\n"
            "startsecs = 1\nautorestart = true\nstartretries = 1000000\nstopwaitsecs = 5\n"
            f"stdout_logfile = {log}\nstdout_logfile_maxbytes = {kind.rotation}\n"
            f"stdout_logfile_backups = {_KEPT_BACKUPS}\nstderr_logfile = AUTO\n"
        )
        own = kind.options.format(**fields)
        names = {line.partition(" =")[0] for line in own.splitlines()}
        if "oneshot" in names:
            names |= {"autorestart", "startsecs"}
        if "stop_sequence" in names:
            names.add("stopsignal")
        kept = [line for line in section.splitlines() if line.partition(" =")[0] not in names]
        if "redirect_stderr" in names:
            kept = [line for line in kept if not line.startswith("stderr_logfile")]
        return Program(kind, name, "\n".join(kept) + "\n" + own, log)

    def write(self) -> Path:
        """Write the configuration and make the directories; return the path of the main file."""
        for name in ("logs", "auto", "run", "records", "conf.d", "moved", "disk"):
            (self.directory / name).mkdir(exist_ok=True)
        for name in ("records", "run"):
            (self.directory / name).chmod(0o1777)
        self.directory.chmod(0o755)
        actor = self.directory / "actor.py"
        actor.write_bytes((_HERE / "actor.py").read_bytes())
        actor.chmod(0o644)
        for program in self.programs:
            self.write_section(program)
        path = self.directory / "daemon.conf"
        path.write_text(
            _DAEMON.format(
                directory=self.directory,
                python=sys.executable,
                here=_HERE,
                descriptors=DESCRIPTORS,
            )
        )
        return path

    def section_file(self, program: Program) -> Path:
        return self.directory / "conf.d" / f"{program.name}.conf"

    def write_section(self, program: Program, more: str = "") -> None:
        self.section_file(program).write_text(program.section + more)

    @property
    def names(self) -> list[str]:
        return [program.name for program in self.programs]


def poor_python() -> str:
    """An interpreter that every user may run; the storm's own may be in a closed directory."""
    for candidate in (os.path.realpath(sys.executable), "/usr/bin/python3"):
        path = Path(candidate)
        if path.exists() and all(place.stat().st_mode & 0o001 for place in (path, *path.parents)):
            return candidate
    return sys.executable
