"""AUTO logs."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from tests.kit.fakes import log_lines
from trio_supervisor.runtime.logs.autologs import (
    create_auto_log,
    create_auto_logs,
    remove_auto_log,
    remove_auto_logs,
)


def create(directory: Path, process: str = "x", identifier: str = "supervisor") -> str:
    return create_auto_log(str(directory), process=process, channel="stdout", identifier=identifier)


def remove(directory: Path, identifier: str = "supervisor") -> list[str]:
    lines: list[str] = []
    remove_auto_logs(str(directory), identifier, report=log_lines(lines))
    return lines


@pytest.mark.behaviour("process.md#auto-logs")
def test_name_and_mode_of_an_automatic_log(tmp_path: Path) -> None:
    path = create(tmp_path)
    assert re.fullmatch(r"x-stdout---supervisor-\w{8}\.log", os.path.basename(path))
    status = os.stat(path)
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_size == 0


@pytest.mark.behaviour("configuration.md#names-of-programs-processes-and-groups")
def test_slashes_in_names(tmp_path: Path) -> None:
    path = create(tmp_path, process="a/b", identifier="id/x")
    assert os.path.basename(path).startswith("a_b-stdout---id_x-")
    assert remove(tmp_path, "id/x") == []
    assert os.listdir(tmp_path) == []


@pytest.mark.behaviour(
    "process.md#auto-logs", "configuration.md#settings-of-the-host-that-the-daemon-applies"
)
def test_logs_of_earlier_runs_are_removed(tmp_path: Path) -> None:
    ours = ["x-stdout---supervisor-abc.log", "x-stdout---supervisor-abc.log.12"]
    others = [
        "x---supervisorX-foo.log",
        "---supervisor-foo.log",
        "a---supervisor-fo o.log",
        "x-stdout---supervisor-abc.log.12.bak",
        "x-stdout---supervisor-abc.log.keep",
        "my---supervisor-x.logbook",
        "supervisor-abc.log",
    ]
    for name in ours + others:
        (tmp_path / name).touch()
    assert remove(tmp_path) == []
    assert sorted(os.listdir(tmp_path)) == sorted(others)


@pytest.mark.behaviour("process.md#auto-logs")
def test_the_identifier_is_literal_text(tmp_path: Path) -> None:
    (tmp_path / "x---specA-abc.log").touch()
    (tmp_path / "x---sp.cA-abc.log").touch()
    assert remove(tmp_path, "sp.cA") == []
    assert os.listdir(tmp_path) == ["x---specA-abc.log"]


def test_trouble_costs_a_line(tmp_path: Path) -> None:
    directory = tmp_path / "x---supervisor-dir.log"
    directory.mkdir()
    assert remove(tmp_path) == [f"WARN Failed to clean up '{directory}'"]
    assert remove(tmp_path / "none") == ["WARN Could not clear childlog dir"]


@pytest.mark.behaviour("configuration.md#names-of-programs-processes-and-groups")
def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        create(tmp_path / "none")


def test_a_log_is_removed_with_its_backups(tmp_path: Path) -> None:
    path = Path(create(tmp_path))
    others = [f"{path.name}.1.bak", f"a{path.name}", f"{path.name}x"]
    for name in (f"{path.name}.1", f"{path.name}.12", *others):
        (tmp_path / name).touch()
    remove_auto_log(str(path))
    assert sorted(os.listdir(tmp_path)) == sorted(others)
    remove_auto_log(str(path))


@pytest.mark.behaviour("process.md#auto-logs")
def test_logs_that_are_made_together_until_one_cannot_be_made(tmp_path: Path) -> None:
    wanted = [("x", "stdout"), ("x", "stderr"), ("y" * 300, "stdout"), ("z", "stdout")]
    paths = create_auto_logs(str(tmp_path), wanted, identifier="supervisor")
    assert [os.path.basename(path)[:9] for path in paths] == ["x-stdout-", "x-stderr-"]
    assert sorted(map(str, tmp_path.iterdir())) == sorted(paths)
    with pytest.raises(FileNotFoundError):
        create_auto_logs(str(tmp_path / "none"), wanted, identifier="supervisor")
