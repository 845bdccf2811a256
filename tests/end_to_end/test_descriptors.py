"""A crowd of clients takes no descriptor that programs, logs or the operator need."""

from __future__ import annotations

import signal
import socket
from contextlib import ExitStack
from pathlib import Path

from tests.kit.daemon import daemon, free_port

#: Open files that the daemon may have.
LIMIT = 256
CROWD = 400
PROGRAMS = """\
[inet_http_server]
port=127.0.0.1:{port}
[program:cat]
command=/bin/cat
autostart=false
startsecs=0
[program:more]
command=/bin/cat
autostart=false
startsecs=0
numprocs=5
process_name=%(process_num)s
"""


def test_programs_start_and_the_operator_is_served_beside_a_silent_crowd(tmp_path: Path) -> None:
    port = free_port()
    within = ["sh", "-c", f'ulimit -S -n {LIMIT} && exec "$@"', "sh"]
    with (
        daemon(
            tmp_path, PROGRAMS.format(port=port), "--minfds", str(LIMIT), within=within
        ) as running,
        ExitStack() as stack,
    ):
        for _ in range(CROWD):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
        running.rpc.startProcess("cat")
        running.rpc.startProcessGroup("more")
        states = running.states()
        assert [*states.values()] == ["RUNNING"] * 6
        assert running.descriptors < LIMIT
        assert running.rpc.clearProcessLogs("cat")
        running.signal(signal.SIGUSR2)
        running.wait_log("supervisord logreopen")
        assert running.log.count("HTTP connections are as many as") == 1
        assert "cannot accept" not in running.log
        assert "Traceback" not in running.log
