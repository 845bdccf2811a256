"""The measurement of log formats: what it leaves out, and that its numbers are of lines."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks import formats

if TYPE_CHECKING:
    from pathlib import Path


def test_loggers_that_are_not_installed_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.formats.shutil.which", lambda name: None)
    assert [name for name in formats.measures() if "log" in name] == []
    assert capsys.readouterr().err.splitlines() == [
        "not measured: there is no s6-log (Debian: apt-get install s6)",
        "not measured: there is no svlogd (Debian: apt-get install runit)",
    ]


def test_the_flood_has_as_many_lines_as_are_counted(tmp_path: Path) -> None:
    script = tmp_path / "flood.py"
    script.write_text(formats._FLOOD.replace(f"* {formats.LINES}", "* 5000"))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, check=True)
    assert done.stdout == formats.LINE * 5000
    assert len(formats.LINE) == 100


@pytest.mark.parametrize("name", formats.FORMATS[1:])
def test_a_record_of_a_line_takes_some_time(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "LINES", 200_000)
    assert 0 < formats.rendering(name, tmp_path) < 1000
