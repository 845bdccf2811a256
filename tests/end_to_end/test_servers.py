"""Servers of others, with their own ways to be ready: PostgreSQL, gunicorn, sdnotify, HTTPS."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.kit.ctl import install, run
from tests.kit.daemon import BASE, daemon, eventually, free_port
from tests.kit.machine import postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator

EXTENDED = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\n")


@pytest.fixture
def cluster() -> Iterator[tuple[Path, str]]:
    """A new database cluster, and the line ``user=`` of its server, which must not be root."""
    directory = Path(tempfile.mkdtemp(dir="/tmp"))  # sockets have short names
    as_user: list[str] = []
    if os.getuid() == 0:
        shutil.chown(directory, "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    try:
        command = [
            *as_user,
            f"{postgresql()}/initdb",
            "-D",
            str(directory / "data"),
            "-N",
            "-A",
            "trust",
        ]
        subprocess.run(command, check=True, capture_output=True, cwd="/")
        yield directory, "user=postgres\n" if as_user else ""
    finally:
        shutil.rmtree(directory)


@pytest.mark.behaviour(
    "policies.md#running-means-ready-and-alive-for-startsecs",
    "policies.md#a-process-that-waits",
    "policies.md#stop_command",
)
@pytest.mark.parametrize("kind", ["exec", "tcp"])
def test_a_job_waits_for_postgresql(cluster: tuple[Path, str], kind: str, tmp_path: Path) -> None:
    (directory, user), port = cluster, free_port()
    data, bin = directory / "data", postgresql()
    client = f"-h {directory} -p {port}"
    ready = f"exec:{bin}/pg_isready -q {client}" if kind == "exec" else f"tcp:{port}"
    programs = (
        f"[program:db]\n{user}directory={directory}\nredirect_stderr=true\n"
        f"command={bin}/postgres -D {data} -k {directory} -p {port}\n"
        f"stop_command={bin}/pg_ctl stop -s -m fast -D {data}\n"
        f"ready={ready}\nhealth=exec:{bin}/pg_isready -q {client}\n"
        f"[program:schema]\n{user}directory={directory}\noneshot=true\ndepends_on=db:healthy\n"
        f'command={bin}/psql {client} -d postgres -c "create table t (n int)"\n'
        "startretries=0\n"
    )
    with daemon(tmp_path, programs, base=EXTENDED) as running:
        running.wait_for("schema", "EXITED")  # at the first try
        assert running.state("db") == "RUNNING"
        running.rpc.stopProcess("db")
        assert running.info("db")["exitstatus"] == 0  # not by a signal
    lines = [line for line in running.log.splitlines() if "schema" in line or "db entered" in line]
    assert "db entered RUNNING" in next(line for line in lines if "waiting" not in line)
    assert not (data / "postmaster.pid").exists()


NOTIFIER = """\
import sdnotify, sys
notifier = sdnotify.SystemdNotifier(debug=True)
notifier.notify("STATUS=loading")
sys.stdin.readline()
notifier.notify("READY=1\\nSTATUS=serving")
sys.stdin.read()
"""
APPLICATION = """\
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"works\\n"]
"""


@pytest.mark.behaviour("policies.md#ready-by-a-message", "policies.md#refresh")
def test_programs_with_a_notify_client_of_others(tmp_path: Path) -> None:
    (tmp_path / "notifier.py").write_text(NOTIFIER)
    (tmp_path / "app.py").write_text(APPLICATION)
    port = free_port()
    programs = (
        f"[program:notifier]\ncommand={sys.executable} notifier.py\ndirectory={tmp_path}\n"
        "ready=notify\nstartsecs=0\n"
        f"[program:web]\ncommand={sys.executable} -m gunicorn -b 127.0.0.1:{port} app\n"
        f"directory={tmp_path}\nredirect_stderr=true\nstdout_logfile={tmp_path}/web.log\n"
        f"ready=notify\nhealth=http://127.0.0.1:{port}/\nstartsecs=0\nready_timeout=0\n"
    )
    ctl = [install(tmp_path / "bin"), "-c", str(tmp_path / "c.conf")]
    with daemon(tmp_path, programs, base=EXTENDED) as running:
        waits = "not ready yet: notify (loading)"
        eventually(lambda: running.info("notifier")["description"] == waits, waits)
        running.rpc.sendProcessStdin("notifier", "\n")
        running.wait_for("notifier", "RUNNING")
        running.wait_for("web", "RUNNING")
        assert "Gunicorn arbiter booted" in run([*ctl, "status", "-v", "web"]).out
        eventually(lambda: run([*ctl, "healthy", "web"]).status == 0, "its health")
        assert run([*ctl, "refresh", "web"]).out == "web: refreshed\n"
        eventually(lambda: "Handling signal: hup" in (tmp_path / "web.log").read_text(), "HUP")


SERVER = """\
import ssl, sys
from http.server import HTTPServer, SimpleHTTPRequestHandler
server = HTTPServer(("127.0.0.1", int(sys.argv[1])), SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


@pytest.mark.behaviour("policies.md#answers-of-checks")
def test_certificates_of_checks_are_verified(tmp_path: Path) -> None:
    ca, stranger = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    (tmp_path / "server.py").write_text(SERVER)
    programs = ""
    for name, issuer, host in (
        ("good", ca, "127.0.0.1"),
        ("stranger", stranger, "127.0.0.1"),
        ("other", ca, "other.test"),
    ):
        path, port = tmp_path / f"{name}.pem", free_port()
        issuer.issue_cert(host).private_key_and_cert_chain_pem.write_to_path(str(path))
        programs += (
            f"[program:{name}]\ncommand={sys.executable} server.py {port} {path}\n"
            f"directory={tmp_path}\nready=https://127.0.0.1:{port}/\nready_timeout=0\nstartsecs=0\n"
        )
    within = ("/usr/bin/env", f"SSL_CERT_FILE={tmp_path}/ca.pem")
    with daemon(tmp_path, programs, base=EXTENDED, within=within) as running:

        def is_told(name: str, reason: str) -> bool:
            return reason in str(running.info(name)["description"])

        running.wait_for("good", "RUNNING")
        for name, reason in (
            ("stranger", "unable to get local issuer certificate"),
            ("other", "IP address mismatch"),
        ):
            eventually(partial(is_told, name, reason), f"{name}: {reason}")
            assert running.state(name) == "STARTING"
