"""The package as it is released: a source archive, a wheel made from it, and what is installed.

The wheel is installed into an environment that has its declared dependencies and nothing else.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.kit.daemon import BARE, PATIENCE, write_config
from tests.kit.machine import requirements
from trio_supervisor import __version__

ROOT = Path(__file__).parents[1]
SCRIPTS = ("tsupervisord", "tsupervisorctl", "echo_tsupervisord_conf", "tpidproxy")
SERVER = """\
[unix_http_server]
file=%(here)s/s.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://%(here)s/s.sock
[program:x]
command=/bin/sleep 1000
"""


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def link_dependencies(target: Path) -> None:
    """Make what our distribution requires importable in another environment."""
    for name in requirements("trio-supervisor") - {"trio-supervisor"}:
        files = distribution(name).files or ()
        for top in {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}:
            source = Path(str(distribution(name).locate_file(top)))
            if not (target / top).exists():
                (target / top).symlink_to(source)


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source archive, and the wheel that is made from it alone."""
    directory = tmp_path_factory.mktemp("release")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", directory, cwd=ROOT)
    (source,) = directory.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(directory, filter="data")
    unpacked = directory / source.name.removesuffix(".tar.gz")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", directory, cwd=unpacked)
    (wheel,) = directory.glob("*.whl")
    return source, wheel


def test_the_archives_have_what_they_need(archives: tuple[Path, Path]) -> None:
    source, wheel = archives
    assert source.name == f"trio_supervisor-{__version__}.tar.gz"
    assert wheel.name == f"trio_supervisor-{__version__}-py3-none-any.whl"
    with tarfile.open(source) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("docs/README.md", "tests/test_release.py", ".ci/run", "CHANGELOG.md", "LICENSE"):
        assert name in inside
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        metadata = packed.read(next(n for n in names if n.endswith("METADATA"))).decode()
    assert "trio_supervisor/py.typed" in names
    assert not [name for name in names if name.startswith(("tests", "docs", "benchmarks"))]
    assert f"Version: {__version__}" in metadata
    assert sorted(
        re.findall(r"^Requires-Dist: ([\w-]+)\S*$", metadata, re.MULTILINE),
    ) == ["defusedxml", "h11", "tomli-w", "trio"]


def test_the_wheel_works_in_an_environment_with_nothing_else(
    archives: tuple[Path, Path], tmp_path: Path
) -> None:
    _, wheel = archives
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=tmp_path)
    python = venv / "bin" / "python"
    install = ("install", "-q", "--no-deps", "--no-index", "--no-compile", wheel)
    run(sys.executable, "-m", "pip", "--python", python, *install, cwd=tmp_path)
    (packages,) = venv.glob("lib/python*/site-packages")
    link_dependencies(packages)
    assert sorted(path.name for path in (venv / "share" / "man").glob("man*/*")) == sorted(
        path.name for path in (ROOT / "docs" / "man").iterdir()
    )
    for script in SCRIPTS:
        assert (venv / "bin" / script).exists()
    daemon, client = venv / "bin" / "tsupervisord", venv / "bin" / "tsupervisorctl"
    assert run(daemon, "--version", cwd=tmp_path) == f"{__version__}\n"
    assert "[supervisord]" in run(venv / "bin" / "echo_tsupervisord_conf", cwd=tmp_path)
    config = write_config(tmp_path, SERVER, base=BARE)
    run(daemon, "--check", config, cwd=tmp_path)
    run(daemon, "-c", config, cwd=tmp_path)
    try:
        run(client, "-c", config, "wait", "x", cwd=tmp_path)
        assert run(client, "-c", config, "pid", "x", cwd=tmp_path).strip().isdigit()
        # A script that pip writes for an entry point imports re: a third of a call's time.
        times = subprocess.run(
            [python, "-X", "importtime", client, "-c", config, "pid"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stderr
        imported = {line.rpartition("|")[2].strip() for line in times.splitlines()}
        assert "trio_supervisor.cli.ctl.main" in imported
        assert not imported & {"re", "enum", "collections", "functools", "socket"}
    finally:
        assert run(client, "-c", config, "shutdown", cwd=tmp_path) == "Shut down\n"


def test_the_changelog_begins_with_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (\S+)", changelog, re.MULTILINE)
    assert sections[0] in (__version__, "Unreleased")
    assert __version__ in sections
