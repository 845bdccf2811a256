"""Another version is installed in the place of the one that runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import trio_supervisor
from tests.kit.curl import send
from tests.kit.daemon import BASE, daemon, free_port
from tests.kit.upgrading import refusal, tsupervisor, upgrade

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


@pytest.mark.behaviour("upgrade.md#the-running-program-keeps-its-modules")
def test_a_running_daemon_keeps_its_own_modules(tmp_path: Path) -> None:
    """Nothing of the other version is loaded: it fails at once here, as any other might later."""
    library, port = tmp_path / "lib", free_port()
    package = library / "trio_supervisor"
    shutil.copytree(trio_supervisor.__path__[0], package, ignore=shutil.ignore_patterns("*.pyc"))
    base = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\n")
    within = ["env", f"PYTHONPATH={library}"]
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
