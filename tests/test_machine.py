"""What the tests need of the machine is what ``.ci/run`` installs, and is asked for by its package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.kit import machine

RUN = Path(__file__).parents[1] / ".ci" / "run"


def test_every_package_is_installed_where_ci_is_set() -> None:
    table = RUN.read_text().partition("declare -A package=(")[2].partition(")")[0]
    assert dict(re.findall(r"\[([^]]+)\]=(\S+)", table)) == machine.PACKAGES


def test_a_missing_program_is_a_reason_that_names_its_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "PLACES", "/nonexistent")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install procps"):
        machine.path_of("ps")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install procps"):
        machine.path_of("ps")


def test_a_missing_right_is_named() -> None:
    with pytest.raises(pytest.skip.Exception, match=r"unshare.*CAP_SYS_ADMIN"):
        machine.need_namespaces("--no-such-option")
