"""A stub daemon and the client talking to it, inside the test's process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kit.ctl import Ran, spawn
from tests.kit.rpc_stub import Stub, serving
from trio_supervisor.cli.ctl.main import main

if TYPE_CHECKING:
    import subprocess
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


@pytest.fixture
def start() -> Iterator[Callable[[list[str]], subprocess.Popen[bytes]]]:
    """Starts programs without waiting for them; those a failed test has left are killed."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(command: list[str]) -> subprocess.Popen[bytes]:
        processes.append(spawn(command))
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        if process.stdout is not None and not process.stdout.closed:
            process.communicate()
