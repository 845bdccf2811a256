"""Pages that show a session with a daemon whose configuration they describe in words."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from itertools import dropwhile
from typing import TYPE_CHECKING

import pytest

from tests.kit.config import load
from tests.kit.ctl import environment, run
from tests.kit.daemon import BASE, daemon, eventually, free_port, text_of
from tests.kit.docs import DOCS, blocks, program, sessions, shows
from tests.kit.machine import path_of
from tests.kit.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kit.daemon import Daemon

RECIPES = """\
[program:flop]
command = /bin/sh -c "echo no database at 10.0.0.7 >&2; exit 3"
startretries = 0
[program:lost]
command = /no/such/program
startretries = 0
[program:web]
command = /bin/sleep 1000
process_name = %(program_name)s_%(process_num)02d
numprocs = 3
"""
#: Its first start is the one that is requested, and another attempt is left.
RETRIES = "startretries = 0", "startretries = 3\nautostart = false"
TROUBLE = """\
[program:web]
command = /bin/sleep 1000
[program:import]
command = /bin/sh -c "echo no such file: /data/in.csv >&2; exit 3"
startretries = 1
[program:worker]
command = /bin/sh -c "sleep 1.3; kill -SEGV $$"
[program:report]
command = /bin/sleep 2
autorestart = unexpected
"""


@contextmanager
def session(directory: Path, config: str) -> Iterator[tuple[Reader, Daemon]]:
    """A daemon, and a reader in its directory, where the client finds the configuration."""
    with daemon(directory, config, base=BASE.replace("loglevel=debug\n", "")) as running:
        (directory / "supervisord.conf").symlink_to("c.conf")
        yield Reader(directory), running


def test_the_recipes(tmp_path: Path) -> None:
    path_of("jq")
    listed, told, healthy, waiting, machine, timeouts = blocks(
        "tsupervisorctl-recipes.md", "console"
    )
    by_block = {text: commands_of(text) for text in (listed, told, healthy, waiting, machine)}
    with session(tmp_path, RECIPES) as (reader, running):
        running.wait_for("web:web_02", "RUNNING")
        pid = running.pid("web:web_02")
        os.kill(pid, signal.SIGKILL)
        running.wait_for_another_child("web:web_02", pid)
        for text in (listed, healthy, waiting, machine):
            for command, output in by_block[text]:
                reader.sees(command, output)
        ((command, output),) = commands_of(timeouts)
        running.signal(signal.SIGSTOP)
        try:
            place = str(tmp_path / "s.sock")
            reader.sees(
                command.replace("--timeout 5", "--timeout 1"),
                output.replace("/run/supervisor.sock", place),
            )
        finally:
            running.signal(signal.SIGCONT)
    other = tmp_path / "terminal"
    other.mkdir()
    *with_daemon, (alone, refused) = by_block[told]
    with session(other, RECIPES.replace(*RETRIES, 1)) as (reader, _):
        for command, output in with_daemon:
            reader.sees_on_terminal(command, output)
    (tmp_path / "empty").mkdir()
    Reader(tmp_path / "empty").sees_on_terminal(alone, refused)


def commands_of(text: str) -> list[tuple[str, str]]:
    return [pair for pair in sessions("tsupervisorctl-recipes.md") if f"$ {pair[0]}\n" in text]


def test_troubleshooting(tmp_path: Path) -> None:
    shown = [
        (command, output.replace("/etc/supervisord.conf", str(tmp_path / "c.conf")))
        for command, output in sessions("troubleshooting.md")
    ]
    with session(tmp_path, TROUBLE) as (reader, running):
        for name, state in (("import", "FATAL"), ("report", "EXITED"), ("web", "RUNNING")):
            running.wait_for(name, state)
        (recent,) = [pair for pair in shown if "--since 1m" in pair[0]]
        reader.sees(*recent)  # while it is recent
        shown.remove(recent)
        crashes = "restarting often: "
        eventually(lambda: crashes in reader.run("tsupervisorctl status -v worker").out, crashes)
        config = tmp_path / "c.conf"
        config.write_text(config.read_text().replace("/bin/sleep 1000", "/bin/sleep 2000"))
        reader.run("tsupervisorctl stop web")
        reader.run("tsupervisorctl update")
        for command, output in shown:
            reader.sees(command, output)


def test_security(tmp_path: Path) -> None:
    curl, openssl = path_of("curl"), path_of("openssl")
    assert curl
    assert openssl
    port = str(free_port())
    hashing, certificate = sessions("security.md", block=0)
    reader = Reader(tmp_path)
    printed = reader.run(hashing[0]).out
    assert printed.startswith("{SCRYPT}14:8:5:")
    assert len(printed) == len(hashing[1])
    assert reader.run(certificate[0]).status == 0
    looking = reader.run("echo 'just looking' | tsupervisord --hash-password").out
    (text,) = blocks("security.md", "ini")
    text = text.replace("9443", port).replace("{SCRYPT}...\n", looking)
    base = BASE.replace("loglevel=debug\n", "").replace("sup.log", "supervisord.log")
    base = base.partition("[supervisorctl]")[0]
    with daemon(tmp_path, f"{text}\n[program:web]\ncommand=/bin/sleep 1000\n", base=base):
        (tmp_path / "supervisord.conf").symlink_to("c.conf")
        for command, output in sessions("security.md", block=1):
            # A wrong password slows the next answer down, and never changes it.
            reader.sees(command.replace("9443", port), output.replace("9443", port))


def test_another_name_of_the_daemon(tmp_path: Path) -> None:
    path_of("ps")
    reader = Reader(tmp_path)
    (tmp_path / "supervisord.conf").write_text(BASE.replace("user={user}\n", ""))
    link, start, listing = sessions("switching.md")
    places = (("/usr/local/bin", str(tmp_path)), ("/etc/supervisord.conf", "supervisord.conf"))
    for command, output in (link, start):
        for place, here in places:
            command = command.replace(place, here)
        assert reader.prints(command, output), command
    try:
        pid = (tmp_path / "sup.pid").read_text().strip()
        # Of this daemon, not of others that have the name.
        reader.sees(listing[0].replace("-C supervisord", f"-p {pid}"), listing[1])
    finally:
        assert reader.prints("tsupervisorctl shutdown", "Shut down\n")


def test_requests_without_a_browser(tmp_path: Path) -> None:
    path_of("curl")
    port = str(free_port())
    programs = "[program:api]\ncommand=/bin/sleep 1000\nprocess_name=0%(process_num)d\nnumprocs=1\n"
    programs += "[program:broken]\ncommand=/no/such/file\n"
    server = f"[inet_http_server]\nport=127.0.0.1:{port}\n"
    with session(tmp_path, server + programs) as (reader, running):
        running.wait_for("api:00", "RUNNING")
        for command, output in sessions("web.md"):
            done = reader.run(command.replace("9001", port))
            assert done.out.replace("\r", "").rstrip("\n") == output.rstrip("\n")


def test_behind_caddy(tmp_path: Path) -> None:
    caddy, curl = path_of("caddy"), path_of("curl")
    port, own = str(free_port()), free_port()
    (example,) = blocks("web.md", "caddyfile")
    options = "{\nadmin off\nauto_https off\n}\n"
    (tmp_path / "Caddyfile").write_text(
        f"{options}http://127.0.0.1:{own} {{\n{example.replace('9001', port)}}}\n"
    )
    with (
        session(tmp_path, f"[inet_http_server]\nport=127.0.0.1:{port}\n") as (reader, _),
        subprocess.Popen(
            [caddy, "run"],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"HOME": str(tmp_path), "PATH": os.defpath},
        ) as proxy,
    ):
        try:
            page = f"http://127.0.0.1:{own}/supervisor/"
            reader.sees(f"{curl} -s {page}ok.html", "OK")
            action = f"{curl} -s -o /dev/null -d action=stopall -w '%{{http_code}}' {page}"
            assert reader.run(action).out == "303"
        finally:
            proxy.terminate()


def test_reload_by_signal(tmp_path: Path) -> None:
    (text,) = blocks("signals.md", "sh")
    with session(tmp_path, "") as (reader, running):
        (pidfile,) = re.findall(r"cat (\S+)\)", text)
        assert reader.prints(text.replace(pidfile, str(tmp_path / "sup.pid")), "")
        running.wait_log("received SIGHUP indicating restart request")


def test_a_command_for_each_event(tmp_path: Path) -> None:
    (text,) = blocks("watching.md", "sh")
    (config,) = blocks("watching.md", "ini")
    with session(tmp_path, config) as (reader, running):
        running.wait_for("database", "FATAL")
        logger = tmp_path / "bin" / "logger"
        logger.write_text('#!/bin/sh\necho "$@" >>logged\n')
        logger.chmod(0o755)
        watching = subprocess.Popen(
            ["/bin/sh", "-c", text],
            cwd=tmp_path,
            env=environment(PATH=reader.path),
            start_new_session=True,
        )
        try:
            logged = tmp_path / "logged"

            def is_logged() -> bool:
                reader.run("tsupervisorctl start database")  # again, until it is being watched
                return bool(text_of(logged))

            eventually(is_logged, "the command")
            assert logged.read_text().startswith('-t supervisor {"event":"PROCESS_STATE_FATAL"')
        finally:
            os.killpg(watching.pid, signal.SIGTERM)
            watching.wait()


def test_events_of_a_listener(tmp_path: Path) -> None:
    path_of("curl")
    first, second = blocks("events.md", "ini")
    for text in (first, second.replace("/var/log/", "")):
        assert load(f"[supervisord]\n{text}", base="").groups
    for name in ("notify.py", "alert.py"):
        (tmp_path / name).write_text(program("events.md", "python", name))
    config = second.replace("/var/log/", f"{tmp_path}/").replace("python3", sys.executable)
    config += "[program:job]\ncommand=/bin/false\nstartsecs=0\nautostart=false\nautorestart=false\n"
    _, (curl, pools), (events, seen) = [
        pair for pair in sessions("events.md") if not pair[0].startswith(("event=", "header="))
    ]
    with session(tmp_path, config.replace("mail -s", "true")) as (reader, running):
        reader.sees(curl.replace("supervisor.sock", "s.sock"), pools)
        reader.run("tsupervisorctl start job")
        running.wait_for("job", "EXITED")
        with (
            (tmp_path / "events").open("wb") as file,
            subprocess.Popen(
                ["/bin/sh", "-c", f"exec {events}"],
                cwd=tmp_path,
                env=environment(PATH=reader.path),
                stdout=file,
            ) as watching,
        ):

            def lines() -> list[str]:
                reader.run("tsupervisorctl start job")  # again, until it is being watched
                heard = text_of(tmp_path / "events").splitlines(keepends=True)
                # It may have begun in the middle of a life.
                return [*dropwhile(lambda line: " PROCESS_STATE_STARTING " not in line, heard)][:3]

            try:
                eventually(lambda: len(lines()) == 3, "the events")
            finally:
                watching.terminate()
        assert shows(seen, "".join(lines()))


def test_the_alert_rules_use_metrics_that_exist() -> None:
    _, rules = blocks("metrics.md", "yaml")
    text = (DOCS / "metrics.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    used = set(re.findall(r"\b(?:node|trio)_\w+", rules))
    assert used
    assert used <= documented


def test_a_fastcgi_program_behind_nginx(tmp_path: Path) -> None:
    nginx = path_of("nginx")
    (location,) = blocks("fastcgi.md", "nginx")
    (tmp_path / "fastcgi_params").write_text("fastcgi_param REQUEST_URI $request_uri;\n")
    (tmp_path / "nginx.conf").write_text(
        "pid nginx.pid; error_log stderr; events { } http { access_log off;\n"
        "client_body_temp_path a; proxy_temp_path a; fastcgi_temp_path a; uwsgi_temp_path a;\n"
        f"scgi_temp_path a; server {{ listen 127.0.0.1:{free_port()}; {location} }} }}\n"
    )
    done = run([nginx, "-t", "-p", str(tmp_path), "-c", "nginx.conf"])
    assert done.status == 0, done.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_loaded(shell: str, tmp_path: Path) -> None:
    loaded = {
        "bash": "complete -p tsupervisorctl",
        "zsh": 'test -n "$_comps[tsupervisorctl]"',
        "fish": "complete -c tsupervisorctl | grep -q tsupervisorctl",
    }
    prepared = "autoload -Uz compinit && compinit -u -D; " if shell == "zsh" else ""
    (text,) = blocks("tsupervisorctl-recipes.md", "sh")
    (line,) = [line for line in text.splitlines() if f"--completion {shell}" in line]
    line = line.partition("#")[0]
    program = shutil.which("bash") if shell == "bash" else path_of(shell)
    command = [str(program), "-c", f"{prepared}{line}; {loaded[shell]}"]
    done = run(command, cwd=tmp_path, PATH=Reader(tmp_path).path, HOME=str(tmp_path))
    assert (done.status, done.err) == (0, ""), done.out
