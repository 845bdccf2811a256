"""What the tests need of the machine, and that they do not depend on who has started them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit import machine
from tests.kit.daemon import PATIENCE, alive, wait_until_gone

ROOT = Path(__file__).parents[1]
RUN = ROOT / ".ci" / "run"


def test_every_package_is_installed_where_ci_is_set() -> None:
    table = RUN.read_text().partition("declare -A package=(")[2].partition(")")[0]
    assert dict(re.findall(r"\[([^]]+)\]=(\S+)", table)) == machine.PACKAGES


def test_the_readme_names_the_packages() -> None:
    (listed,) = re.findall(r"apt-get install (caddy [^`]+)`", (ROOT / "README.md").read_text())
    assert listed.split() == sorted(machine.PACKAGES.values())


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


def test_a_missing_name_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(pytest.skip.Exception, match="/etc/hosts"):
        machine.need_localhost()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_no_signal_is_ignored_because_the_tests_are_a_background_job(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(
        "import signal, subprocess, sys\n"
        "def test_it():\n"
        f"    text = 'import signal; print(repr(signal.getsignal({int(number)})))'\n"
        "    done = subprocess.run([sys.executable, '-c', text], capture_output=True, text=True)\n"
        "    assert 'SIG_IGN' not in done.stdout\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    before = signal.signal(number, signal.SIG_IGN)
    try:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    finally:
        signal.signal(number, before)
    assert done.returncode == 0, done.stdout


def test_an_end_in_the_middle_of_the_tests_leaves_no_process(tmp_path: Path) -> None:
    """Neither the job in the background, nor what is in a session of its own, nor the command that
    runs at that moment."""
    text = RUN.read_text()
    begin, end = text.index("# All processes below one"), text.index("# What the tests see")
    started = 'bash -c "sleep 1000 & echo \\$!; (setsid sleep 1000) & echo \\$!; wait" & echo $!'
    script = tmp_path / "run"
    script.write_text(f"set -euo pipefail\n{text[begin:end]}\n{started}\nexec 1>&-\nsleep 1000\n")
    process = subprocess.Popen(
        ["bash", str(script)], stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    assert process.stdout is not None
    pids = [int(process.stdout.readline()) for _ in range(3)]
    assert all(map(alive, pids))
    process.terminate()
    assert process.wait(PATIENCE) == -signal.SIGTERM
    process.stdout.close()
    for pid in pids:
        wait_until_gone(pid)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
