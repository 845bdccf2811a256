"""``tsupervisord --demo``: runs a few programs in a temporary directory and removes it."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from functools import partial
from pathlib import Path

import trio

from trio_supervisor.cli.daemon_run import Service
from trio_supervisor.runtime.load import load_config

_LISTENER = '''\
"""Prints every process event on the daemon's stderr: the event listener protocol in a few lines."""
import sys

while True:
    print("READY", flush=True)
    header = dict(token.split(":", 1) for token in sys.stdin.readline().split())
    event = header["eventname"].removeprefix("PROCESS_STATE_")
    payload = dict(token.split(":", 1) for token in sys.stdin.read(int(header["len"])).split())
    name = payload.pop("processname")
    rest = " ".join(payload[key] for key in ("from_state", "pid") if key in payload)
    print(f"  heard: {name:<10} {event:<9} from {rest}", file=sys.stderr, flush=True)
    print("RESULT 2\\nOK", end="", flush=True)
'''

_WORKER = '''\
"""Works, and talks about it."""
import itertools
import time

for number in itertools.count(1):
    print("worker: finished job", number, flush=True)
    time.sleep(1)
'''

_CONFIG = """\
[supervisord]
extended = true
nodaemon = true
silent = true
identifier = demo
logfile = %(here)s/supervisord.log
pidfile = %(here)s/supervisord.pid
childlogdir = %(here)s
{user}
[unix_http_server]
file = %(here)s/supervisor.sock

[inet_http_server]
port = 127.0.0.1:{page}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl = unix://%(here)s/supervisor.sock

[program:web]
command = {python} -m http.server --bind 127.0.0.1 --directory %(here)s/www {web}
redirect_stderr = true
ready = http://127.0.0.1:{web}/
health = http://127.0.0.1:{web}/

[program:worker]
command = {python} %(here)s/worker.py
numprocs = 2
process_name = %(program_name)s_%(process_num)d
depends_on = web

[program:crasher]
command = /bin/sh -c "echo crasher: up; sleep 7; echo crasher: oh no; exit 3"
restart_delay = 2s
restart_limit = 100/1h

[program:hopeless]
command = /bin/sh -c "echo hopeless: this never works >&2; exit 1"
startretries = 2
backoff = exponential

[eventlistener:listener]
command = {python} %(here)s/listener.py
events = PROCESS_STATE
buffer_size = 100
stderr_logfile = /dev/stderr
stderr_logfile_maxbytes = 0
"""

_WELCOME = """\
trio-supervisor demo: {count} programs in {directory}

  web        a small web server, RUNNING when it answers: http://127.0.0.1:{web}/
  worker     two chatty workers, started when web answers: worker:worker_0 and worker:worker_1
  crasher    crashes every 7 seconds and is restarted after a pause of 2
  hopeless   never starts: three attempts, then FATAL
  listener   an event listener; it prints what it hears below

Look at it in a browser:  http://127.0.0.1:{page}/
Or from another terminal:
  {ctl} status
  {ctl} tail -f worker:worker_0
  {ctl} restart web
Ctrl-C stops everything and leaves nothing behind.
"""


def run_demo() -> int:
    """Run the demo until a signal stops it; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="tsupervisord-demo-") as name:
        directory = Path(name)
        page, web = _free_ports(2)
        _write_files(directory, page=page, web=web)
        load = partial(load_config, str(directory / "supervisord.conf"))
        config = load()
        print(
            _WELCOME.format(
                count=sum(len(group.processes) for group in config.groups),
                directory=directory,
                page=page,
                web=web,
                ctl=f"{_companion('tsupervisorctl')} -c {directory}/supervisord.conf",
            ),
            flush=True,
        )
        code = trio.run(Service(config, load=load, messages=[], ready=None).run)
        print("demo: everything is stopped, nothing is left behind", flush=True)
        return code


def _write_files(directory: Path, *, page: int, web: int) -> None:
    (directory / "www").mkdir()
    (directory / "www" / "index.html").write_text(
        "<!doctype html><title>demo</title><h1>Served by a supervised program</h1>\n"
    )
    (directory / "listener.py").write_text(_LISTENER)
    (directory / "worker.py").write_text(_WORKER)
    (directory / "supervisord.conf").write_text(
        _CONFIG.format(
            python=sys.executable.replace("%", "%%"),
            page=page,
            web=web,
            user="user = root\n" if os.getuid() == 0 else "",
        )
    )


def _free_ports(count: int) -> list[int]:
    """Return loopback ports that are free at the moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def _companion(command: str) -> str:
    """Return the path of another of our commands beside the interpreter, else its bare name."""
    beside = Path(sys.executable).with_name(command)
    return str(beside) if beside.exists() else command
