"""Configurations of the manual load, and its commands print what it shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.kit.config import HERE, eval_context, load
from tests.kit.ctl import environment
from tests.kit.docs import blocks, sessions
from tests.kit.reader import Reader
from trio_supervisor.core.config.build import build
from trio_supervisor.core.config.ini import Document, read
from trio_supervisor.core.export.daemon_unit import Installation, daemon_unit

#: Pages whose configurations are complete but for ``[supervisord]``.
PAGES = ("sections.md", "groups.md", "expansions.md", "states.md", "migration.md", "fastcgi.md")
#: Of these the output depends on when they are run: they are repeated until it is as shown.
LOOKING = ("tsupervisorctl status", "tail ", "cat ")


@pytest.mark.parametrize("page", PAGES)
def test_the_configurations_load(page: str) -> None:
    found = blocks(page, "ini")
    assert found
    for text in found:
        whole = text if "[supervisord]" in text else f"[supervisord]\n{text}"
        environ = {"PATH": "/bin", "HOME": "/"}
        whole = whole.replace("user = daemon", "user = nobody").replace("www-data", "nobody")
        config = load(whole, environ, base="")
        assert [str(m) for m in config.messages if "unknown" in str(m)] == []


def test_the_configurations_of_the_installation_guide_load_and_make_a_unit() -> None:
    system, clock, _, of_a_user = blocks("installation.md", "ini")
    environ = {"HOME": "/home/me", "XDG_RUNTIME_DIR": "/run/user/1000"}
    context = replace(eval_context(environ), is_dir=lambda path: True, group_id=lambda name: 100)
    configs = []
    for text in (system + clock, of_a_user):
        document = Document()
        read(text, file="c.conf", here=HERE, into=document)
        configs.append(build(document, context, overrides={}, here=HERE))
    config, own = configs
    assert [process.uid for process in config.groups[0].processes] == [65534]
    assert own.daemon.pidfile == "/run/user/1000/supervisord.pid"
    installed = Installation(["/usr/local/bin/tsupervisord"], "/etc/c.conf", "1", None)
    unit = daemon_unit(config, installed).splitlines()
    assert "RuntimeDirectory=supervisor" in unit  # /run/supervisor, as the guide says
    assert "LogsDirectory=supervisor" in unit


@pytest.mark.parametrize("page", ["states.md", "expansions.md"])
def test_the_commands_of_a_running_daemon(page: str, tmp_path: Path) -> None:
    (text,) = [text for text in blocks(page, "ini") if text.startswith("; supervisord.conf\n")]
    (tmp_path / "supervisord.conf").write_text(text)
    reader = Reader(tmp_path)
    assert reader.prints("tsupervisord -c supervisord.conf", "")
    try:
        for command, output in sessions(page):
            if command.startswith(LOOKING):
                reader.sees(command, output)
            else:
                assert reader.prints(command, output), command
    finally:
        assert reader.prints("tsupervisorctl shutdown", "Shut down\n")


def test_the_plugins(tmp_path: Path) -> None:
    lamp, hello = blocks("plugins.md", "python")
    (tmp_path / "lamp.py").write_text(lamp)
    (tmp_path / "hello.py").write_text(hello)
    (complete,) = [text for text in blocks("expansions.md", "ini") if "supervisord.conf" in text]
    plugins = "\n".join(blocks("plugins.md", "ini"))
    (tmp_path / "supervisord.conf").write_text(complete + plugins)
    reader = Reader(tmp_path)
    importable = f"PYTHONPATH={environment()['PYTHONPATH']}:."
    assert reader.prints(f"{importable} tsupervisord -c supervisord.conf", "")
    try:
        ((command, output),) = sessions("plugins.md")
        assert reader.prints(f"{importable} {command}", output)
        call = (
            "from trio_supervisor.childutils import getRPCInterface as rpc; "
            f"r = rpc({{'SUPERVISOR_SERVER_URL': 'unix://{tmp_path}/supervisor.sock'}}); "
            "r.lamp.on(); print(r.lamp.state())"
        )
        printed = "{'on': True, 'colour': 'green', 'processes': 2}\n"
        assert reader.prints(f'python3 -c "{call}"', printed)
    finally:
        reader.prints(f"{importable} tsupervisorctl shutdown", "")


def test_conversions_and_exports(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    procfile, variables = blocks("migration.md", "text")
    (tmp_path / "Procfile").write_text(procfile)
    (tmp_path / ".env").write_text(variables)
    (configuration,) = blocks("migration.md", "ini")
    (tmp_path / "supervisord.conf").write_text(configuration)
    for command, output in sessions("migration.md"):
        assert reader.prints(command, output), command
    (split,) = blocks("migration.md", "sh")
    assert reader.prints(split, "")
    assert (tmp_path / "web.service").read_text().startswith("[Unit]\n")
