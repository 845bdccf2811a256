"""The comparison with other supervisors: what is left out, what is started, and what is counted."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from benchmarks import contenders, installation, others
from benchmarks.contenders import Contender
from benchmarks.launched import Launched
from benchmarks.probe import MeasurementError
from benchmarks.scenarios import fleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.starts import Executables

PROGRAMS = ["/a/0/sleep", "/a/1/sleep"]


def fails(directory: Path, requirement: str, program: str) -> Path:
    raise MeasurementError(f"failed: install {requirement}")


def test_supervisors_that_are_not_available_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.contenders.shutil.which", lambda name: None)
    monkeypatch.setattr("benchmarks.contenders.from_pypi", fails)
    monkeypatch.setattr("benchmarks.supervisor_venv.from_pypi", fails)
    found, missing = contenders.available()
    assert [contender.name for contender in found] == ["ours"]
    assert missing == [
        "failed: install supervisor==4.3.0",
        "there is no s6-svscan (Debian: apt-get install s6)",
        "there is no runsvdir (Debian: apt-get install runit)",
        "failed: install circus==0.19.0",
        "there is no npm (Debian: apt-get install npm)",
    ]


def test_an_installation_that_fails_is_shown_with_its_command(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no network')"]
    with pytest.raises(MeasurementError, match=r"(?s)failed: .*no network"):
        installation._install(command, tmp_path / "program")


def test_each_program_is_in_the_configuration(tmp_path: Path) -> None:
    assert contenders._service_directories(tmp_path, PROGRAMS) == [f"{tmp_path}/services"]
    run = tmp_path / "services" / "idle-001" / "run"
    assert run.read_text() == "#!/bin/sh\nexec /a/1/sleep 1000\n"
    assert run.stat().st_mode & 0o111

    [ini] = contenders._circus_ini(tmp_path, PROGRAMS)
    with open(ini) as file:
        assert "[watcher:idle-001]\ncmd = /a/1/sleep 1000\n" in file.read()

    _, apps = contenders._pm2_apps(tmp_path, PROGRAMS)
    with open(apps) as file:
        names = [(app["name"], app["script"]) for app in json.load(file)["apps"]]
    assert names == [("idle-000", "/a/0/sleep"), ("idle-001", "/a/1/sleep")]


def test_programs_do_not_count_as_processes_of_their_supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "COUNT", 3)
    monkeypatch.setattr(others, "_SETTLE", 0)

    @contextmanager
    def shell(directory: Path, executables: Executables) -> Iterator[Launched]:
        """Run a shell that supervises two programs, and one that supervises the third."""
        first, second, third = (f"{path} 1000 &" for path in executables.paths)
        script = f"{first} {second} sh -c '{third} wait' & wait"
        launched = Launched("shell", ["sh", "-c", script], {}, directory)
        try:
            yield launched
        finally:
            for pid in launched.processes():
                os.kill(pid, signal.SIGKILL)
            launched.end()

    sample = others.boot(Contender("shell", shell), tmp_path)
    assert sample["processes"] == 2
    assert set(sample) == {measure.name for measure in others.MEASURES}
    assert min(sample.values()) > 0
