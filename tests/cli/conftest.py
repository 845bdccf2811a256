"""A stub daemon and the client talking to it, inside the test's process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kit.ctl import Ran
from tests.kit.rpc_stub import Stub, serving
from trio_supervisor.cli.ctl import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def stub() -> Iterator[Stub]:
    with serving(Stub()) as stub:
        yield stub


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """Runs the client with exactly these arguments, in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Ran:
        capsys.readouterr()
        status = main(["tsupervisorctl", *words])
        return Ran(status, *capsys.readouterr())

    return run


@pytest.fixture
def ctl(command: Callable[..., Ran], stub: Stub) -> Callable[..., Ran]:
    """Runs the client against the stub."""

    def run(*words: str) -> Ran:
        return command("-s", stub.url, *words)

    return run
