"""The example of docs/containers.md as PID 1, and the sessions about restarts and the end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.test_containers import container, inner_pid, read_until
from tests.kit.ctl import environment, install, run
from tests.kit.daemon import BASE, COMMAND, PATIENCE, daemon, eventually, free_port, run_to_end
from tests.kit.docs import blocks, sessions, shows
from tests.kit.machine import NEW_PIDS, need_namespaces
from tests.kit.root import needs_root


def example(page: str, text: str) -> str:
    """The configuration with this text."""
    (found,) = [block for block in blocks(page, "ini") if text in block]
    return found


def in_directory(directory: Path, port: int) -> str:
    config = example("containers.md", "stop_timeout").replace("8000", str(port))
    return config.replace("/run/app", str(directory)).replace("nodaemon", "user = root\nnodaemon")


@needs_root
@pytest.mark.parametrize("end", ["stop", "crash"])
def test_the_container(tmp_path: Path, end: str) -> None:
    client = install(tmp_path / "bin")
    (instructions,) = blocks("containers.md", "dockerfile")
    commands = [json.loads(words) for words in re.findall(r"CMD (\[.*\])", instructions)]
    with container(tmp_path, in_directory(tmp_path, free_port())) as process:
        read_until(process.stdout, "success: web entered", "success: mailer")
        check = [client, *commands[0][1:]]
        check[check.index("/etc/supervisord.conf")] = str(tmp_path / "c.conf")
        eventually(lambda: run(check, cwd=tmp_path).status == 0, "health")
        if end == "stop":
            os.kill(inner_pid(process), signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        else:
            status = run([client, "-c", "c.conf", "signal", "KILL", "web"], cwd=tmp_path)
            assert status.status == 0
            assert process.wait(PATIENCE) == 128 + signal.SIGKILL
    assert commands[1][0] == "tsupervisord"


def test_programs_that_keep_crashing(tmp_path: Path) -> None:
    binaries = Path(install(tmp_path / "bin")).parent
    config = example("policies.md", "restart_limit = 3/1m").partition("\n\n")[2]
    path = f"{binaries}:{environment()['PATH']}"
    (shown,) = [out for command, out in sessions("policies.md") if "next start in 64" in out]
    with daemon(
        tmp_path, config, base=BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\n")
    ) as running:
        running.wait_for("worker", "FATAL")
        (tmp_path / "c.conf").rename(tmp_path / "supervisord.conf")
        command = ["/bin/sh", "-c", "tsupervisorctl healthy"]
        eventually(lambda: shows(shown, run(command, cwd=tmp_path, PATH=path).out), "the page")


def test_an_essential_program(tmp_path: Path) -> None:
    (shown,) = [out for command, out in sessions("policies.md") if "web.conf" in command]
    config = example("policies.md", "essential = true")
    user = "user = root\n" if os.getuid() == 0 else ""
    (tmp_path / "web.conf").write_text(config.replace("nodaemon", f"{user}nodaemon"))
    done = run_to_end("-c", "web.conf", cwd=tmp_path)
    assert str(done.returncode) == shown.splitlines()[-1]
    lines = [line for line in done.stdout.splitlines() if "Set uid" not in line]
    assert {without_times(line) for line in lines} == {
        without_times(line) for line in shown.splitlines()[:-1]
    }


def without_times(line: str) -> str:
    return re.sub(r"^[-\d]+ [\d:,]+ |pid \d+", "", line)


#: The root is read-only but for the directory of the example, as ``--read-only --tmpfs`` make it.
READ_ONLY = 'mount -o remount,ro,bind / && mount -t tmpfs tmpfs run && exec "$@"'


@needs_root
def test_a_read_only_root(tmp_path: Path) -> None:
    namespaces = ("--mount", *NEW_PIDS)
    need_namespaces(*namespaces)
    (tmp_path / "run").mkdir()
    config = in_directory(tmp_path / "run", free_port())
    (tmp_path / "c.conf").write_text(config)
    command = ["unshare", *namespaces, "--kill-child", "sh", "-c", READ_ONLY, "sh"]
    with subprocess.Popen(
        [*command, *COMMAND, "-c", str(tmp_path / "c.conf")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            seen = read_until(process.stdout, "success: web entered", "success: mailer")
            os.kill(inner_pid(process), signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
    assert not re.search(r"could not write|Read-only|Permission", seen)
    assert not [*(tmp_path / "run").iterdir()]  # what it wrote was in the container
