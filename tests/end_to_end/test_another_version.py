"""Another version is installed in the place of the one that runs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import trio_supervisor
from tests.kit.curl import send
from tests.kit.daemon import BASE, daemon, free_port
from tests.kit.upgrading import WRITER, refusal, script, tsupervisor, upgrade

#: Options and servers that need modules which are imported late.
PROGRAMS = """
[inet_http_server]
port=127.0.0.1:{port}
[program:x]
command=/bin/cat
post_stop=/bin/true
kill_mode=tree
stopsignal=CHLD
stopwaitsecs=0
memory_max=1GB
autostart=false
startsecs=0
"""


#: What has another name in the other version: none of its modules fits one of this version.
RENAMED = ("_targets", "read_available", "settle_logs", "state_of", "when_ready", "_registry")


def copy_of_the_package(library: Path) -> Path:
    """What a daemon with this directory on its path runs."""
    package = library / "trio_supervisor"
    shutil.copytree(trio_supervisor.__path__[0], package, ignore=shutil.ignore_patterns("*.pyc"))
    return package


def make_another_version(package: Path) -> None:
    """Install it in the place of this one."""
    pattern = re.compile(rf"\b({'|'.join(RENAMED)})\b")
    for module in package.rglob("*.py"):
        module.write_text(pattern.sub(r"\1_renamed", module.read_text()))
    version = package / "_version.py"
    version.write_text(version.read_text() + '\n__version__ = "9.9"\n')


@pytest.mark.behaviour("upgrade.md#the-running-program-keeps-its-modules")
def test_a_daemon_goes_to_another_version_in_its_place_and_back(tmp_path: Path) -> None:
    package = copy_of_the_package(tmp_path / "lib")
    text = f"""
[program:w]
command={script(tmp_path, "w", WRITER)} {tmp_path}/last
stdout_logfile={tmp_path}/w.log
stdout_logfile_maxbytes=0
"""
    with daemon(tmp_path, text, within=["env", f"PYTHONPATH={tmp_path}/lib"]) as running:
        running.wait_for("w", "RUNNING")
        pid = running.pid("w")
        shutil.copytree(package, tmp_path / "installed")
        make_another_version(package)
        upgrade(running)
        shutil.rmtree(package)
        (tmp_path / "installed").rename(package)
        upgrade(running)
        assert running.pid("w") == pid
        running.rpc.stopProcess("w")
        assert " to 9.9, goes on with 1 child" in running.log
        assert "upgraded from version 9.9 to " in running.log
    last = int((tmp_path / "last").read_text())
    lines = (tmp_path / "w.log").read_text().splitlines()
    assert lines == [f"line {number}" for number in range(1, last + 1)]


@pytest.mark.behaviour("upgrade.md#the-running-program-keeps-its-modules")
def test_a_running_daemon_keeps_its_own_modules(tmp_path: Path) -> None:
    """Nothing of the other version is loaded: it fails at once here, as any other might later."""
    port, package = free_port(), copy_of_the_package(tmp_path / "lib")
    base = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\n")
    within = ["env", f"PYTHONPATH={tmp_path}/lib"]
    with daemon(tmp_path, PROGRAMS.format(port=port), base=base, within=within) as running:
        package.rename(tmp_path / "installed")
        shutil.copytree(tmp_path / "installed", package)
        for module in package.rglob("*.py"):
            module.write_text("raise RuntimeError('this is another version')\n")
        url = f"http://127.0.0.1:{port}"
        running.rpc.startProcess("x")
        for path in ("/", "/log.html?processname=x", "/history.html", "/api/v1/processes"):
            page = send(url + path)
            assert page.body()
            assert page.status == 200, path
        assert tsupervisor(running).why("x")["chain"]
        running.rpc.stopProcess("x")
        assert "this is another version" in refusal(running)
        shutil.rmtree(package)
        (tmp_path / "installed").rename(package)
        running.rpc.startProcess("x")
        pid = running.pid("x")
        upgrade(running)
        assert running.pid("x") == pid
        assert "internal error" not in running.log
        assert "Traceback" not in running.log
